"""What the parts of the world say to each other: a story, the troubles in it, and the record of what really happened.

Times are seconds since the world began (`at_s`), as the loop counts them; the true UTC is START_MS + at_s * 1000. The
record knows nothing of the gateway: it is what instruments showed, what the roads carried, when there was power.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

START_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z, true time when every world begins


def true_ms(at_s: float) -> int:
    """UTC of an instant of the world, ms."""
    return START_MS + round(at_s * 1000)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something goes wrong at `at_s`, for `for_s`. KINDS says what `on` names and what `value` means."""

    kind: str
    at_s: float
    for_s: float = 0.0
    on: str = ""
    value: float = 0.0

    @property
    def end_s(self) -> float:
        return self.at_s + self.for_s

    def words(self) -> str:
        """One line of a trace."""
        on, value = f" {self.on}" if self.on else "", f" {self.value:g}" if self.value else ""
        return f"{self.kind}{on}{value} for {self.for_s:.0f} s"


# kind -> (what `on` names, what `value` means). A story that names another kind, or a thing that is not there, is
# refused with a sentence.
KINDS: Mapping[str, tuple[str, str]] = {
    # a link: a road is the way of an MQTT link to the broker, by the link's id; "sky" is every Beidou link
    "road.cut": ("link", ""),  # no route, connections in use get no answer any more
    "road.refused": ("link", ""),  # the broker's port is shut: refused at once, connections in use are reset
    "road.silent": ("link", ""),  # connects and carries nothing (a modem that lost its bearer)
    "road.slow": ("link", "bytes/s"),
    "road.delay": ("link", "s, one way"),
    "sky.blocked": ("link", ""),  # no beam
    "sky.loss": ("link", "chance of each message"),
    "sky.terminal": ("link", "chance that a request meets one of the terminal's own faults (deaf, late, twice, reset)"),
    # what is at the end of a wire
    "device.silence": ("device", "chance of each request"),
    "device.noise": ("device", "chance"),
    "device.crc": ("device", "chance"),
    "device.late": ("device", "s"),
    "device.exception": ("device", "Modbus code"),
    "device.short": ("device", "chance"),
    "device.twice": ("device", "chance"),
    "point.stick": ("point", ""),
    "point.spike": ("point", "added to the truth, in the point's unit"),
    "point.drift": ("point", "per hour, in the point's unit"),
    "point.is": ("point", "the value it shows"),  # for scenarios: what must be seen is then known exactly
    "point.ramp": ("point", "the value it goes to, linearly, and keeps"),
    "port.unplug": ("port", ""),
    "port.flip": ("port", "chance that a bit of each chunk flips"),
    "port.drop": ("port", "chance that a byte is lost, of each chunk"),
    # the box
    "power.cut": ("", ""),  # what was not synced may be lost; dark for for_s
    "power.kill": ("", ""),  # kill -9 of the daemon; started again after for_s
    "power.stop": ("", ""),  # SIGTERM; started again after for_s
    "disk.full": ("", ""),
    "disk.error": ("", "chance that a write or a sync fails"),
    "disk.slow": ("", "s for each commit"),
    "disk.hang": ("", ""),
    "disk.read_only": ("", ""),
    "disk.damage": ("", "bytes overwritten in the store's file, while the box is off or the daemon down"),
    "clock.1970": ("", ""),  # from the next power cut on the box wakes in 1970, until for_s is over
    "clock.step": ("", "s the wall clock jumps by"),
    "clock.unsynced": ("", ""),  # the kernel does not call its clock synchronised
    # the province
    "province.away": ("", ""),
    "province.forgets": ("", ""),  # an empty database
    # a point that counts up
    "point.reset": ("point", ""),  # it begins at zero again, and stays with it
    "point.pour": ("point", "so much more an hour, in the point's unit"),  # and keeps what came together
    "point.wild": ("point", ""),  # all its register can hold: 65535
}


@dataclass(frozen=True, slots=True)
class Expect:
    """What must be seen at the province. `limit` raised to `level` (or cleared: "none"), first seen between `from_s`
    and `by_s`; `link`: the way it came, if that matters. `never`: must not be seen in that time."""

    limit: str
    level: str
    from_s: float
    by_s: float
    link: str = ""
    never: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """One play: a site, a length, what goes wrong, what must be seen. The same story gives the same trace."""

    name: str
    site: str  # the site file's text
    seed: int
    lasts_s: float
    troubles: tuple[Trouble, ...] = ()
    expects: tuple[Expect, ...] = ()
    weather: Mapping[str, float] = field(default_factory=dict)
    about: str = ""

    def without(self, place: int) -> Story:
        """The same without one trouble."""
        return replace(self, troubles=self.troubles[:place] + self.troubles[place + 1 :])


class Shown(NamedTuple):
    """An instrument gave a value of one point. `value` in the point's unit, exactly as the wire can carry it;
    `clean`: it left the instrument whole and on time, over a wire that was fine."""

    at_s: float
    value: float
    clean: bool


@dataclass(slots=True)
class Span:
    """Something was so from `from_s` to `to_s` (inf while it is)."""

    from_s: float
    to_s: float
    why: str = ""


@dataclass
class Record:
    """What really happened. Written by the world, read by the judges."""

    shown: dict[str, list[Shown]] = field(default_factory=dict)  # point -> what its instrument gave, in order
    failed: dict[str, list[float]] = field(default_factory=dict)  # point -> when it was asked and gave nothing usable
    running: list[Span] = field(default_factory=list)  # the daemon ran; `why` it ended: power.cut, power.kill ...
    usable: dict[str, list[Span]] = field(default_factory=dict)  # link -> its road was open, end to end
    used: dict[str, list[float]] = field(default_factory=dict)  # link -> when the gateway spoke on it (each CONNECT,
    # packet or burst)
    troubles: list[tuple[float, Trouble]] = field(default_factory=list)  # as they began
    sizes: list[tuple[float, int]] = field(default_factory=list)  # of the store's files, bytes
    early: list[float] = field(default_factory=list)  # when a Beidou request came before the card's period was over
    switched: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)  # output -> when it really changed
    writes: list[str] = field(default_factory=list)  # that reached an instrument: nobody ordered any
    faults: list[Broken] = field(default_factory=list)  # what raised: a part of the daemon, or of the simulator
    lines: list[str] = field(default_factory=list)  # the trace; only kept when asked for
    keep_lines: bool = False
    last_s: float = 0.0  # of the newest line
    _hash: Any = field(default_factory=hashlib.sha256)

    def note(self, at_s: float, text: str) -> None:
        """One line of the trace."""
        line = f"{at_s:12.3f} {text}"
        self._hash.update(line.encode() + b"\n")
        self.last_s = at_s
        if self.keep_lines:
            self.lines.append(line)

    def show(self, point: str, shown: Shown) -> None:
        self.shown.setdefault(point, []).append(shown)
        self.note(shown.at_s, f"{point} = {shown.value!r}{'' if shown.clean else ' (spoilt)'}")

    def fail(self, point: str, at_s: float) -> None:
        self.failed.setdefault(point, []).append(at_s)
        self.note(at_s, f"{point} gave nothing")

    @property
    def hash(self) -> str:
        """Of the whole trace so far."""
        return str(self._hash.hexdigest())


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was not kept: which (DESIGN's number and name), when, and what was seen."""

    promise: str
    at_s: float
    what: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a play. `sums`: figures for the report (readings, packets, alarms ...)."""

    story: Story
    broken: tuple[Broken, ...]
    hash: str
    took_s: float  # of the processor: a world never waits, so on a quiet machine that is real time
    sums: Mapping[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
