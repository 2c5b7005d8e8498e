"""Models of every instrument of a site, from the site file alone: `models_of(site, source_of)`.

What there is to measure comes from `source_of(point)`; what the instrument makes of it (steps, registers, texts) from
the point's own settings, read backwards. Wires whose driver has no model here are left out: a Beidou terminal is
`sim.beidou.port`'s. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge.config.site import Port, Site, Wire
from edge.contract import DeviceSpec, OutputSpec, Point
from sim.instrument import Model, SourceOf
from sim.model_gauge import GaugeRegister
from sim.model_lines import LineModel
from sim.model_modbus import ModbusModel
from sim.model_registers import Register


def models_of(site: Site, source_of: SourceOf, seed: int = 1) -> dict[str, Model]:
    """Port id -> what is on that wire. Raises ValueError for an instrument that no line can speak for."""
    points = {point.id: point for point in site.points}
    found: dict[str, Model] = {}
    for wire in site.wires:
        if wire.driver.name == "modbus":
            found[wire.port.id] = _modbus(wire, points, source_of, f"{seed}/{wire.port.id}")
        elif wire.driver.name == "serial_line":
            found[wire.port.id] = _lines(wire, points, source_of, f"{seed}/{wire.port.id}")
    for port in site.ports:  # relays that share no wire with instruments
        outputs = [it.spec for it in site.outputs if it.port == port.id and _has_model(it.spec)]
        if outputs and port.id not in found:
            found[port.id] = _siren(port, outputs, f"{seed}/{port.id}")
    return found


def _has_model(spec: OutputSpec) -> bool:
    return getattr(spec.settings, "table", "") == "coil" and spec.settings.feedback is None


def _siren(port: Port, outputs: list[OutputSpec], seed: str) -> Model:
    return ModbusModel(port, (), {}, seed, outputs)


def _modbus(wire: Wire, points: Mapping[str, Point], source_of: SourceOf, seed: str) -> Model:
    registers = {spec.id: _registers(spec, points, source_of) for spec in wire.devices}
    return ModbusModel(wire.port, wire.devices, registers, seed)


def _registers(spec: DeviceSpec, points: Mapping[str, Point], source_of: SourceOf) -> list[Register]:
    made: dict[str, Register] = {}
    for id_, settings in spec.points.items():
        kind = Register if settings.vibrating_wire is None else GaugeRegister
        made[id_] = kind(points[id_], settings, source_of(points[id_]))
    for id_, register in made.items():
        if isinstance(register, GaugeRegister):
            register.temperature = made.get(spec.points[id_].vibrating_wire.temperature)
    return list(made.values())


def _lines(wire: Wire, points: Mapping[str, Point], source_of: SourceOf, seed: str) -> Model:
    (spec,) = wire.devices
    return LineModel(wire.port, spec, [(points[id_], source_of(points[id_])) for id_ in spec.points], seed)
