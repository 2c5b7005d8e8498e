"""Modbus RTU and TCP instruments: `wire` grammar, `plan` of the reads, `bus` discipline, `sensor` readings, `output`
switching.

Light to import: pymodbus is loaded when the first sensor is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.modbus.settings import ModbusDevice, ModbusPoint, check, mode_of
from drivers.modbus.settings_output import ModbusOutput, check_outputs
from edge.contract import DeviceSpec, Driver, OpenPort, Output, OutputSpec, PortSettings, Sensor


def sensors(port: PortSettings, open_port: OpenPort, devices: Sequence[DeviceSpec]) -> Mapping[str, Sensor]:
    """The sensors of all devices on one wire, sharing one bus; nothing is opened yet."""
    from drivers.modbus.bus import Bus
    from drivers.modbus.sensor import ModbusSensor

    bus = Bus(port, open_port, is_rtu=mode_of(port, devices[0].settings) == "rtu")
    return {device.id: ModbusSensor(device, bus) for device in devices}


def outputs(
    port: PortSettings | None, open_port: OpenPort, specs: Sequence[OutputSpec], sensors: Mapping[str, Sensor]
) -> Mapping[str, Output]:
    """The outputs on one wire, on the bus of its sensors where there are any; nothing is opened yet."""
    from drivers.modbus.bus import Bus
    from drivers.modbus.output import ModbusSwitch
    from drivers.modbus.sensor import ModbusSensor

    if port is None:
        raise ValueError("a Modbus output without a port")
    bus = next((sensor.bus for sensor in sensors.values() if isinstance(sensor, ModbusSensor)), None)
    bus = bus or Bus(port, open_port, is_rtu=mode_of(port, specs[0].settings) == "rtu")
    return {spec.id: ModbusSwitch(spec.settings, bus) for spec in specs}


__all__ = ["DRIVER", "ModbusDevice", "ModbusOutput", "ModbusPoint"]

DRIVER = Driver(
    name="modbus",
    device=ModbusDevice,
    point=ModbusPoint,
    sensors=sensors,
    check=check,
    output=ModbusOutput,
    output_port=True,
    outputs=outputs,
    check_outputs=check_outputs,
)
