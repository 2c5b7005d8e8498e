"""Modbus RTU and TCP instruments: `wire` grammar, `plan` of the reads, `bus` discipline, `sensor` readings.

Light to import: pymodbus is loaded when the first sensor is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.modbus.settings import ModbusDevice, ModbusPoint, check, mode_of
from edge.contract import DeviceSpec, Driver, OpenPort, PortSettings, Sensor


def sensors(port: PortSettings, open_port: OpenPort, devices: Sequence[DeviceSpec]) -> Mapping[str, Sensor]:
    """The sensors of all devices on one wire, sharing one bus; nothing is opened yet."""
    from drivers.modbus.bus import Bus
    from drivers.modbus.sensor import ModbusSensor

    bus = Bus(port, open_port, is_rtu=mode_of(port, devices[0].settings) == "rtu")
    return {device.id: ModbusSensor(device, bus) for device in devices}


__all__ = ["DRIVER", "ModbusDevice", "ModbusPoint"]

DRIVER = Driver(name="modbus", device=ModbusDevice, point=ModbusPoint, sensors=sensors, check=check)
