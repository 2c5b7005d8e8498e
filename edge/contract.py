"""The nouns every part shares, and the shapes of what plugs in. Imports nothing of ours.

A driver is found by entry point (group `fengsui.drivers`): the name in the site file, the object a `Driver`.
Time: a monotonic instant is `asyncio.get_running_loop().time()` in seconds (virtual in the simulator), a UTC time is
whole milliseconds since 1970 and comes only from `edge.clock`. Units stand last in names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

ENTRY_POINT_GROUP = "fengsui.drivers"

MAX_STEPS = 2**53 - 1  # a value in whole steps stays exact in a double; beyond it a reading is SUSPECT


class Quality(IntEnum):
    """How far a reading may be believed. Failed is not zero: all but GOOD, OVER_RANGE and SUSPECT have no value."""

    GOOD = 0
    OVER_RANGE = 1  # outside what the instrument can measure (the point's range)
    CALIBRATING = 2
    MAINTENANCE = 3
    NO_ANSWER = 4  # asked, silence (or the wire, the port, the device is gone)
    NO_POWER = 5
    SUSPECT = 6  # stuck, spiking, physically impossible
    REFUSED = 7  # it answered: with an exception, or with its own mark for "no value"


class Level(IntEnum):
    """Grades of the Chinese warning system, lowest first; NONE is a cleared alarm."""

    NONE = 0
    BLUE = 1
    YELLOW = 2
    ORANGE = 3
    RED = 4


class ClockQuality(IntEnum):
    """How far a UTC time may be believed."""

    TRUSTED = 0  # disciplined: NTP, GNSS, or the province's own time over an authenticated link
    FREE = 1  # plausible (not before the last time we knew), not confirmed
    UNKNOWN = 2  # before the last time we knew, e.g. 1970: back-dated when the time is learnt


class Kind(IntEnum):
    """What an entry of the outbox, and the body of a packet, holds. edge/wire/FORMAT.md says how they stand there."""

    ROUNDS = 0
    ALARM = 1
    STATUS = 2
    SHEET = 3
    ACCOUNT = 4
    SUMMARY = 5  # min, mean, max, count of a group over a window of time
    FRAGMENT = 6  # a piece of a body too large for one packet of a narrow link
    TEST = 7  # asks for a receipt, holds nothing
    RECEIPT = 8  # downlink


@dataclass(frozen=True, slots=True)
class Doubt:
    """What of a point's readings is not believed. Steps of the point; `rate_max` an hour. edge/belief.py says how."""

    stuck_s: float | None = None
    spike: int | None = None
    rate_max: int | None = None
    twin: str = ""
    twin_differs: Decimal = Decimal(0)  # in the unit


@dataclass(frozen=True, slots=True)
class Point:
    """One measured quantity. `step` is the instrument's resolution in `unit`; a value is kept in whole steps."""

    id: str
    unit: str
    step: Decimal
    minimum: Decimal | None
    maximum: Decimal | None
    every_ms: int
    device: str
    name: str = ""
    doubt: Doubt | None = None

    def show(self, steps: int | None) -> str:
        """The value as a person reads it, with exactly the digits the instrument has; `-` when there is none."""
        return "-" if steps is None else str(steps * self.step)


class Reading(NamedTuple):
    """What a driver read of one point, in the point's unit. `value` None: asked and failed, `quality` says why."""

    point: str
    value: float | int | None
    quality: Quality = Quality.GOOD


@dataclass(frozen=True, slots=True)
class Round:
    """All readings of one instant and one group of points (those read equally often, in the sheet's order).

    `values` in whole steps; `qualities` one byte (`Quality`) for each, or empty when all are GOOD.
    """

    group: int
    at_ms: int
    values: tuple[int | None, ...]
    qualities: bytes = b""
    clock: ClockQuality = ClockQuality.TRUSTED


class Change(IntEnum):
    RAISED = 0
    CHANGED = 1  # of level, either way
    CLEARED = 2


class Rule(IntEnum):
    """How a limit judges: which side of its thresholds is the bad one, or what else counts."""

    ABOVE = 0
    BELOW = 1
    STALE = 2  # no good value for so many seconds
    SUSPECT = 3  # nothing but doubtful values for so many seconds
    OUTSIDE = 4  # of a band; its thresholds come in pairs of one level, low before high
    INSIDE = 5  # likewise
    COMBINED = 6  # other limits: votes, or several of one level that make the next


class Of(IntEnum):
    """What of a point a limit judges. edge/LIMITS.md says how each is computed."""

    VALUE = 0
    RATE = 1
    SUM = 2
    MEAN = 3
    TOTAL = 4
    DIFFERENCE = 5
    RATIO = 6
    TANGENT_ANGLE = 7
    TIME_TO_FAILURE = 8
    MEMBERS = 9  # of a COMBINED limit: how many of its members


class Input(NamedTuple):
    """A number that went into a judgement: of a point in its own steps, of a limit its level, of `±` in the steps of
    what was judged."""

    name: str
    value: int | None


@dataclass(frozen=True, slots=True)
class Basis:
    """What was judged where that is not a point's own value: `window_s` 0 where there is no window; `unit`, `step` of
    the alarm's value and threshold."""

    of: Of
    window_s: int
    unit: str
    step: Decimal
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """A limit changed its level. `why` in numbers: the rule, the value and the threshold that decided.

    ABOVE, BELOW, OUTSIDE, INSIDE: `value` and `threshold` in whole steps of the point, or of `basis` where there is one
    (when CLEARED, the threshold that was left). STALE, SUSPECT: `value` is None, `threshold` the seconds without a good
    value. COMBINED: `value` of the members stand, `threshold` are needed; the inputs of `basis` are the members.
    """

    limit: str
    point: str
    level: Level
    change: Change
    rule: Rule
    value: int | None
    threshold: int
    at_ms: int
    clock: ClockQuality = ClockQuality.TRUSTED
    basis: Basis | None = None
    drill: bool = False  # nothing has happened: a person tries what would

    def words(self, point: Point) -> str:
        """The alarm in words: `RED raised: pond.level 312.40 m, above 312.00 m`."""
        return f"DRILL, {self._words(point)}" if self.drill else self._words(point)

    def _words(self, point: Point) -> str:
        level = "cleared" if self.change is Change.CLEARED else f"{self.level.name} {self.change.name.lower()}"
        if self.rule is Rule.COMBINED:
            return f"{level}: {self._members()}"
        if self.rule in (Rule.STALE, Rule.SUSPECT):
            if self.change is Change.CLEARED:
                return f"{level}: {point.id} has good values again"
            wrong = "without a good value" if self.rule is Rule.STALE else "with doubtful values only"
            return f"{level}: {point.id} {wrong} for {self.threshold} s"
        step, unit = (point.step, point.unit) if self.basis is None else (self.basis.step, self.basis.unit)
        unit = f" {unit}" if unit else ""
        value = "-" if self.value is None else str(self.value * step)
        return f"{level}: {self._what(point)} {value}{unit}, {self._side()} {self.threshold * step}{unit}"

    def _side(self) -> str:
        """On which side of the threshold the value is; `limit` on its way back, where hysteresis keeps the level."""
        beyond = (self.value or 0) - self.threshold
        if self.rule is Rule.OUTSIDE and self.change is not Change.CLEARED:
            return "above" if beyond > 0 else "below" if beyond < 0 else "at"
        if self.rule is Rule.INSIDE and self.change is not Change.CLEARED:
            return "within the band from"
        if self.rule not in (Rule.ABOVE, Rule.BELOW) or (beyond if self.rule is Rule.ABOVE else -beyond) < 0:
            return "limit"
        return "above" if self.rule is Rule.ABOVE else "below"

    def _what(self, point: Point) -> str:
        """What was judged: `sum of rain in 10800 s`."""
        if self.basis is None or self.basis.of is Of.VALUE:
            return point.id
        spread = next((f" ± {i.value * self.basis.step}" for i in self.basis.inputs if i.name == "±" and i.value), "")
        others = [i.name for i in self.basis.inputs if i.name not in (point.id, "±")]
        name = self.basis.of.name.lower().replace("_", " ")
        over = f" in {self.basis.window_s} s" if self.basis.window_s else ""
        return f"{name} of {' and '.join([point.id, *others])}{over}{spread}"

    def _members(self) -> str:
        """`2 stand where 2 are needed: a red, b orange`."""
        inputs = self.basis.inputs if self.basis else ()
        standing = ", ".join(f"{i.name} {Level(i.value).name.lower()}" for i in inputs if i.value)
        return f"{self.value} stand where {self.threshold} are needed: {standing or 'none stands'}"


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
    (each starting with the device or point id), for `edge/config`.
    `output`: the driver's keys of `[[output]]`; `output_port`: its outputs talk through a `[[port]]`.
    `outputs(port, open_port, outputs, sensors)` makes the outputs on one wire (of a driver without `output_port`: all
    of them, `port` None), by id, opening nothing yet; `sensors`: those on the same wire, to share it with.
    `check_outputs(port, outputs)` is their `check`.
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
