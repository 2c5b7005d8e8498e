"""What is said between the parts: points, readings, rounds, limits' alarms. Imports nothing of ours.

Everybody takes these from edge/contract.py. A UTC time is whole milliseconds since 1970; units stand last in names.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

MAX_STEPS = 2**53 - 1  # a value in whole steps stays exact in a double; beyond it a reading is SUSPECT


class Quality(IntEnum):
    """How far a reading may be believed. Failed is not zero: all but GOOD, OVER_RANGE and SUSPECT have no value."""

    GOOD = 0
    OVER_RANGE = 1  # outside what the instrument can measure (the point's range)
    CALIBRATING = 2
    MAINTENANCE = 3
    NO_ANSWER = 4  # asked, silence (or the wire, the port, the device is gone)
    NO_POWER = 5
    SUSPECT = 6  # stuck, spiking, further beyond the range than that is wide, physically impossible
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
    REMOVED = 7  # of an alarm alone: its limit is in the site file no more, nobody judges how it stands


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
    REMOVED: `value` None, `threshold` 0, `point` "" where it is not known any more.
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

    def words(self, point: Point | None) -> str:
        """The alarm in words: `RED raised: pond.level 312.40 m, above 312.00 m`. `point`: its own; of one that is
        REMOVED it may be gone too."""
        gone = f"cleared: the limit {self.limit} is in the site file no more; nobody judges it from now on"
        words = gone if self.rule is Rule.REMOVED or point is None else self._words(point)
        return f"DRILL, {words}" if self.drill else words

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
