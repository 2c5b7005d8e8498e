"""The nouns every part shares (edge/nouns.py), and the shapes of what plugs in. Imports nothing else of ours.

A driver is found by entry point (group `fengsui.drivers`): the name in the site file, the object a `Driver`.
Time: a monotonic instant is `asyncio.get_running_loop().time()` in seconds (virtual in the simulator), a UTC time is
whole milliseconds since 1970 and comes only from `edge.clock`. Units stand last in names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from edge.nouns import (
    MAX_STEPS,
    Alarm,
    Basis,
    Change,
    ClockQuality,
    Doubt,
    Input,
    Kind,
    Level,
    Of,
    Point,
    Quality,
    Reading,
    Round,
    Rule,
)

__all__ = [
    "ENTRY_POINT_GROUP",
    "MAX_STEPS",
    "Alarm",
    "Basis",
    "Change",
    "ClockQuality",
    "DeviceSpec",
    "Doubt",
    "Driver",
    "Input",
    "Kind",
    "Level",
    "Link",
    "LinkSpec",
    "LinkState",
    "ListenedSensor",
    "Memory",
    "Of",
    "OpenPort",
    "Output",
    "OutputSpec",
    "Point",
    "PolledSensor",
    "Port",
    "PortSettings",
    "Quality",
    "Reading",
    "Round",
    "Rule",
    "Sensor",
    "Sent",
    "Switched",
]

ENTRY_POINT_GROUP = "fengsui.drivers"


@dataclass(frozen=True, slots=True)
class LinkState:
    """What a link knows of itself. `up` None: cannot be known (say why).

    `slot_s` above 0: it takes one packet in so many seconds (a Beidou card's period); `ready_s`: the monotonic instant
    from which it takes the next one. `trouble`: what a person must see to (silence ordered, card pulled out), told to
    the province over the other links at once; "" for none.
    """

    up: bool | None
    why: str
    mtu_bytes: int
    slot_s: float = 0.0
    ready_s: float = 0.0
    trouble: str = ""


class Sent(Enum):
    """What became of one packet handed to a link. None of them settles anything: only the province's receipt does."""

    SENT = "sent"  # left, by the word of the next hop (PUBACK, terminal's feedback)
    NOT_SENT = "not sent"  # surely did not leave: may be sent again at once
    UNKNOWN = "unknown"  # may have left: wait for the receipt before sending again


class Port(Protocol):
    """An open byte pipe. Raises `errors.PortLost` from any call once the other end is gone."""

    async def read(self) -> bytes:
        """The next bytes, one at least."""

    async def write(self, data: bytes) -> None:
        """Returns when the operating system has taken all of `data`."""

    def flush_input(self) -> bytes:
        """Throws away what has arrived and was not read; returns it, as evidence."""

    def close(self) -> None: ...


class PortSettings(Protocol):
    """What opens a port: `serial:/dev/...` with its line settings, or `tcp:host:port` (those are then unused)."""

    @property
    def id(self) -> str: ...
    @property
    def open(self) -> str: ...
    @property
    def baud(self) -> int: ...
    @property
    def parity(self) -> str: ...
    @property
    def stop_bits(self) -> int: ...
    @property
    def data_bits(self) -> int: ...


OpenPort = Callable[[PortSettings], Awaitable[Port]]


@runtime_checkable
class PolledSensor(Protocol):
    """A device that answers when asked."""

    async def read(self, points: Sequence[str]) -> list[Reading]:
        """One Reading for each of `points` (ids), in their order.

        Raises DeviceSilent or PortLost when nothing usable came back; a refusal is a Reading without a value.
        """

    def health(self) -> Mapping[str, Any]:
        """Counters a technician may ask for, JSON types only (asked, answered, silent, garbled, refused ...)."""


@runtime_checkable
class ListenedSensor(Protocol):
    """A device that speaks by itself."""

    def listen(self) -> AsyncIterator[list[Reading]]:
        """Yields what was heard, as heard. Raises PortLost. Noise is skipped and counted, never yielded."""

    def health(self) -> Mapping[str, Any]: ...


Sensor = PolledSensor | ListenedSensor


class Link(Protocol):
    """A way out. One `run` at a time; `send` only while `state().up` is not False."""

    window: int  # packets that may be on the way at once

    def state(self) -> LinkState: ...

    async def run(self, receive: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        """Connects and serves until the link is gone, then raises LinkLost; the relay's ladder calls again.

        `receive` takes each downlink packet; `changed` is called whenever `state()` says something new.
        """

    async def send(self, packet: bytes) -> Sent:
        """Hands over one packet (at most `state().mtu_bytes`); returns when its outcome is known. Never raises."""

    def health(self) -> Mapping[str, Any]: ...


class Memory(Protocol):
    """A few bytes that outlive restarts and power cuts, for a link's own use."""

    async def load(self) -> bytes:
        """What was saved last; b"" when there is nothing, or nothing that can be read. Never raises."""

    async def save(self, data: bytes) -> bool:
        """Whether `data` is on the disk now; False after some seconds when the disk does not take it. Never raises."""


@dataclass(frozen=True, slots=True)
class Switched:
    """What became of one order to an output. `on`: what it shows now, None where that can not be known; `why`: what
    is wrong, "" where the order was done (and, of an output that can be read, seen to be done)."""

    on: bool | None
    why: str = ""


class Output(Protocol):
    """Something that can be switched. One call at a time; no retries in here. Never raises."""

    hold_s: float | None  # with no further word it goes to its safe state by itself after so long; None: it stays so
    readable: bool  # whether `read` can tell how it stands

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        """One order, sent once and read back. `for_s`: it is meant to be on no longer than that, if nothing more is
        said; a device with a timer is told so. `text`: what a speaking output says."""

    async def read(self) -> Switched:
        """How it stands."""

    def health(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """An output as the site file has it. `settings`: an instance of the driver's `output` struct."""

    id: str
    settings: Any


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A link as the site file has it, and what it may use of the gateway.

    `settings`: an instance of the driver's `link` struct; `points`: id -> the driver's `link_point` struct (what of
    the link itself is watched: the link object then is a PolledSensor of these points too). `port`: for a driver with
    `link_port`. `learn_time(utc_ms, uncertainty_ms, source)`: a time the link has heard, as from GNSS; the gateway
    judges whether to believe it. `utc_ms()`: the time, None while it is not known for sure. `boot`: a number that
    is the same until the machine boots again, while monotonic instants can be compared.
    """

    id: str
    gateway: str
    settings: Any
    open_port: OpenPort
    memory: Memory
    learn_time: Callable[[float, float, str], None]
    utc_ms: Callable[[], int | None]
    boot: int
    port: PortSettings | None = None
    points: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device as the site file has it: `settings` an instance of the driver's `device` struct, `points` id -> the
    driver's `point` struct."""

    id: str
    settings: Any
    points: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Driver:
    """What an entry point of the group `fengsui.drivers` names.

    `device`, `point`, `link`, `link_point` are `msgspec.Struct` types with the driver's own keys of `[[device]]`,
    `[[device.point]]`, `[[link]]` and `[[link.point]]` (the common keys are taken off before), or None where it has
    no such end. `link_port`: its links talk through a `[[port]]` of their own.
    `sensors(port, open_port, devices)` makes the sensors of all devices on one wire, by device id, opening nothing yet.
    `open_link(spec)` makes a link, connecting nothing yet; with `link_point`, it is a PolledSensor too.
    `check(port, devices)` and `check_link(settings)` return sentences about settings that are wrong together
    (each starting with the device or point id), for `edge/config`; `link_lacks(settings)`: sentences about files that a
    link needs and this machine does not have (the gateway starts without), each with whether that is sure.
    `output`: the driver's keys of `[[output]]`; `output_port`: its outputs talk through a `[[port]]`.
    `outputs(port, open_port, outputs, sensors)` makes the outputs on one wire (of a driver without `output_port`: all
    of them, `port` None), by id, opening nothing yet; `sensors`: those on the same wire, to share it with.
    `check_outputs(port, outputs)` is their `check`; `lacks(outputs)`: sentences about what they need and this machine
    does not have (the gateway starts without). `if_killed`: what becomes of those without `hold_s` when the gateway
    dies while they are on, and what helps, "" if they simply stay on. `check_text(text)`: what is wrong with a text
    that they are to speak, "" if nothing; None: they do not speak.
    `explain(text)`: what lines or hexadecimal frames of its wire mean, one map for each (`fengsui decode`): `valid`
    (bool), `what` (one sentence), `fields` (name -> value), JSON types only.
    """

    name: str
    device: type[Any] | None = None
    point: type[Any] | None = None
    link: type[Any] | None = None
    sensors: Callable[[PortSettings, OpenPort, Sequence[DeviceSpec]], Mapping[str, Sensor]] | None = None
    open_link: Callable[[LinkSpec], Link] | None = None
    check: Callable[[PortSettings, Sequence[DeviceSpec]], Sequence[str]] = field(default=lambda _port, _devices: ())
    check_link: Callable[[Any], Sequence[str]] = field(default=lambda _settings: ())
    link_lacks: Callable[[Any], Sequence[tuple[str, bool]]] = field(default=lambda _settings: ())
    link_point: type[Any] | None = None
    link_port: bool = False
    explain: Callable[[str], Sequence[Mapping[str, Any]]] | None = None
    output: type[Any] | None = None
    output_port: bool = False
    outputs: (
        Callable[[PortSettings | None, OpenPort, Sequence[OutputSpec], Mapping[str, Sensor]], Mapping[str, Output]]
        | None
    ) = None
    check_outputs: Callable[[PortSettings | None, Sequence[OutputSpec]], Sequence[str]] = field(
        default=lambda _port, _outputs: ()
    )
    lacks: Callable[[Sequence[OutputSpec]], Sequence[str]] = field(default=lambda _outputs: ())
    check_text: Callable[[str], str] | None = None
    if_killed: str = ""
