"""What a site file says of a Modbus device and its points, and what can be wrong with them together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from drivers.duration import parse_duration_s
from drivers.modbus.values import REGISTERS, Order, Type
from drivers.modbus.wire_gauge import VibratingWire, problems
from edge.contract import DeviceSpec, PortSettings

TIMEOUT_MIN_S = 0.01
TIMEOUT_MAX_S = 30.0  # a device slower than this would hold up everything else on its wire
LAST_ADDRESS = 65535

Bit = Annotated[int, Meta(ge=0, le=15)]

BIT_TABLES = ("coil", "discrete")
_BITS_OF = {"u16": 16, "bool": 16}


class ModbusDevice(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Keys of `[[device]]`."""

    unit: Annotated[int, Meta(ge=0, le=255, description="Address on the bus: 1 to 247 on RTU, 0 to 255 on TCP.")] = 1
    mode: Annotated[
        Literal["rtu", "tcp"] | None,
        Meta(
            description="Framing; default rtu on serial: ports, tcp on tcp: ports. rtu on tcp: is a serial converter."
        ),
    ] = None
    timeout: Annotated[
        str, Meta(description="How long the device may take to begin its answer; the wire's own time is added.")
    ] = "500ms"
    max_gap: Annotated[
        int, Meta(ge=0, le=124, description="Points at most so many unused registers apart are read together.")
    ] = 8
    max_registers: Annotated[
        int,
        Meta(ge=1, le=125, description="Most registers (or a sixteenth of the bits) the device gives in one answer."),
    ] = 125


class ModbusPoint(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Keys of `[[device.point]]`."""

    register: Annotated[
        int,
        Meta(ge=0, le=LAST_ADDRESS, description="Protocol address from 0: what a manual calls 40001 or 30001 is 0."),
    ]
    table: Annotated[
        Literal["holding", "input", "coil", "discrete"], Meta(description="Read by function 3, 4, 1 or 2.")
    ] = "holding"
    type: Annotated[
        Type | None, Meta(description="How the registers are meant; default u16, in coil and discrete bool.")
    ] = None
    order: Annotated[
        Order, Meta(description="Where the bytes stand, A the most significant: CDAB has the low word first.")
    ] = "ABCD"
    bit: Annotated[
        Annotated[int, Meta(ge=0, le=15)] | None, Meta(description="One bit of a register, 0 the lowest.")
    ] = None
    scale: Annotated[float, Meta(description="value = raw * scale + offset, in the point's unit.")] = 1.0
    offset: Annotated[float, Meta(description="value = raw * scale + offset, in the point's unit.")] = 0.0
    invalid: Annotated[
        tuple[int, ...], Meta(max_length=16, description="Raw values by which the device says that it has no value.")
    ] = ()
    vibrating_wire: Annotated[
        VibratingWire | None,
        Meta(description="raw * scale + offset is a frequency in Hz: what it means, by the calibration sheet."),
    ] = None


def kind_of(point: ModbusPoint) -> str:
    """The type, with its default."""
    return point.type or ("bool" if point.table in BIT_TABLES else "u16")


def registers_of(point: ModbusPoint) -> int:
    """How many registers (of coils and discrete inputs: bits) the value takes."""
    return 1 if point.table in BIT_TABLES else REGISTERS[kind_of(point)]


class HasMode(Protocol):
    @property
    def mode(self) -> Literal["rtu", "tcp"] | None: ...


def mode_of(port: PortSettings, device: HasMode) -> str:
    """`rtu` or `tcp`, with its default."""
    return device.mode or ("tcp" if port.open.startswith("tcp:") else "rtu")


def check(port: PortSettings, devices: Sequence[DeviceSpec]) -> list[str]:
    """Sentences about settings that are wrong together, each beginning with the device's or the point's id."""
    found = [*_shared_units(devices), *_mixed_modes(port, devices)]
    for device in devices:
        found += _check_device(port, device)
        for point_id, point in device.points.items():
            found += (f"{point_id}: {why}" for why in _check_point(device.settings, point))
            found += (f"{point_id}: {why}" for why in _check_wire(device, point))
    return found


def _shared_units(devices: Sequence[DeviceSpec]) -> Iterator[str]:
    first: dict[int, str] = {}
    for device in devices:
        other = first.setdefault(device.settings.unit, device.id)
        if other != device.id:
            yield f"{device.id}: unit {device.settings.unit} is {other}'s already: both would answer at once"


def _mixed_modes(port: PortSettings, devices: Sequence[DeviceSpec]) -> Iterator[str]:
    modes = {device.id: mode_of(port, device.settings) for device in devices}
    for device_id, mode in modes.items():
        if mode != next(iter(modes.values())):
            yield f"{device_id}: mode {mode} differs from that of the other devices on port {port.id}"


def _check_device(port: PortSettings, device: DeviceSpec) -> Iterator[str]:
    settings: ModbusDevice = device.settings
    mode = mode_of(port, settings)
    if mode == "tcp" and not port.open.startswith("tcp:"):
        yield f"{device.id}: mode tcp needs a tcp:host:port port, and {port.id} is {port.open}"
    if mode == "rtu" and not 1 <= settings.unit <= 247:
        yield f"{device.id}: unit {settings.unit} is not an address on an RTU bus, which are 1 to 247"
    if mode == "rtu" and port.open.startswith("serial:") and port.data_bits != 8:
        yield f"{device.id}: Modbus RTU needs 8 data bits, and port {port.id} has {port.data_bits}"
    try:
        timeout_s = parse_duration_s(settings.timeout)
    except ValueError as error:
        yield f"{device.id}: timeout: {error}"
    else:
        if not TIMEOUT_MIN_S <= timeout_s <= TIMEOUT_MAX_S:
            yield f"{device.id}: timeout {settings.timeout} is outside {TIMEOUT_MIN_S * 1000:g}ms to {TIMEOUT_MAX_S:g}s"


def _check_point(device: ModbusDevice, point: ModbusPoint) -> Iterator[str]:
    kind, count = kind_of(point), registers_of(point)
    last = point.register + count - 1
    if last > LAST_ADDRESS:
        yield f"a {kind} at register {point.register} would reach to {last}, and the last register is {LAST_ADDRESS}"
    if count > device.max_registers:
        yield f"a {kind} takes {count} registers, and the device's max_registers is {device.max_registers}"
    if point.table in BIT_TABLES and kind != "bool":
        yield f"a {point.table} is one bit: type {kind} is not possible, leave `type` out"
    if point.bit is not None and point.table in BIT_TABLES:
        yield f"a {point.table} is one bit already: leave `bit` out, and count `register` in bits"
    elif point.bit is not None and kind not in _BITS_OF:
        yield f"`bit` picks from one 16-bit register, so the type is u16 or bool and not {kind}"
    if point.scale == 0 or not math.isfinite(point.scale) or not math.isfinite(point.offset):
        yield "scale and offset are plain numbers, and scale is not 0"


def _check_wire(device: DeviceSpec, point: ModbusPoint) -> Iterator[str]:
    wire = point.vibrating_wire
    if wire is None:
        return
    yield from problems(wire)
    if wire.temperature:
        other: ModbusPoint | None = device.points.get(wire.temperature)
        if other is None:
            yield f"vibrating_wire: temperature “{wire.temperature}” is no point of {device.id}"
        elif other.vibrating_wire is not None:
            yield f"vibrating_wire: temperature “{wire.temperature}” is computed from a wire itself"
