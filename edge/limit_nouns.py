"""What a limit is: what is judged (a point's value or a measure of it) and the levels with their thresholds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from edge.contract import Level, Point, Quality, Rule
from edge.measure_nouns import Spec

EVIDENCE = frozenset({Quality.GOOD, Quality.OVER_RANGE})

# Rounds have a grid, readings have not: one comes milliseconds, on a wire where another device was asked twice a second
# or so, sooner or later after its instant than the one before. A `hold` of two rounds that is compared to the
# millisecond is by chance over at the third reading after the first or at the fourth: a whole round late. So it is over
# a little early: by a quarter of what lies between two readings or of the hold at most, and of a longer one by no more
# than a second or its fiftieth part. Half a round, or a hold that anybody would call another one, is never let off.
EARLY_SHARE = 0.25  # of `every` and of `hold`
EARLY_S = 1.0
EARLY_PART = 0.02  # of `hold`

Thresholds = tuple[tuple[Level, int], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is judged, with its levels. `spec` None: the value of the point. `clear`: (level, number) where a
    level is left, for those that are not left at their threshold and hysteresis."""

    spec: Spec | None
    thresholds: Thresholds
    clear: Thresholds = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of the site file.

    `thresholds`: (level, whole steps of the point, or of `spec`'s measure), lowest level first; for OUTSIDE and INSIDE
    two of each level, low before high; (level, seconds) for STALE and SUSPECT. `hysteresis` in the same steps. `more`:
    further windows with their own levels; the highest level of all parts is the limit's. COMBINED has no thresholds: a
    level stands when `votes` of the `members` (ids of limits) stand there or higher, or, with `rollup`, when one does,
    or for an item (level, count, of) so many stand at `of` or higher. `every_s`: how often the point is read, 0 where
    nobody says so. `counts`: (point, scale) of those that are judged, of which a reading is whole steps.
    """

    id: str
    point: str
    rule: Rule
    thresholds: Thresholds
    hysteresis: int = 0
    hold_s: float = 0.0
    clear_hold_s: float = 0.0
    clear: Thresholds = ()
    spec: Spec | None = None
    more: tuple[Part, ...] = ()
    members: tuple[str, ...] = ()
    votes: int = 1
    rollup: tuple[tuple[Level, int, Level], ...] = ()
    every_s: float = 0.0
    counts: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that is judged, the first one's thresholds first."""
        return (Part(self.spec, self.thresholds, self.clear), *self.more)

    @property
    def early_s(self) -> float:
        """So much earlier than `hold_s` a reading may raise a level. `clear_hold_s` has nothing of it: what ends a
        level a round late errs on the safe side, and a release may wait for it."""
        return min(EARLY_SHARE * self.every_s, EARLY_SHARE * self.hold_s, max(EARLY_S, EARLY_PART * self.hold_s))


@dataclass(slots=True)
class Latch:
    """One level. It sets when a number has stood within `low`..`high` for the hold time, and falls when one has stood
    outside `stay_low`..`stay_high` for the clear hold time. `kept`: what had set it, or of a sum may yet set it, may
    be in a window that has a hole: it does not end before that is whole (`JudgedPart.time`)."""

    level: Level
    threshold: int
    low: float = -inf
    high: float = inf
    stay_low: float = -inf
    stay_high: float = inf
    set: bool = False
    since_s: float | None = field(default=None)  # since when the number stands where it would flip the latch
    kept: bool = False

    def flips(self, number: int) -> bool:
        if self.set:
            return not self.stay_low <= number <= self.stay_high
        return self.low <= number <= self.high

    def time(self, flips: bool, now_s: float, hold_s: float) -> None:
        """Flips when that has been due for `hold_s`."""
        if not flips:
            self.since_s = None
            return
        if self.since_s is None:
            self.since_s = now_s
        if now_s - self.since_s >= hold_s:
            self.set = not self.set
            self.since_s = None


def latches_of(rule: Rule, part: Part, hysteresis: int) -> list[Latch]:
    """The latches of one part, in the order of its thresholds."""
    if rule in (Rule.STALE, Rule.SUSPECT, Rule.COMBINED):
        return [Latch(level, threshold) for level, threshold in part.thresholds]
    left = dict(part.clear)
    if rule is Rule.ABOVE:
        return [_above(level, at, left.get(level, at - hysteresis)) for level, at in part.thresholds]
    if rule is Rule.BELOW:
        return [_below(level, at, left.get(level, at + hysteresis)) for level, at in part.thresholds]
    made = []
    for level, low, high in bands(part.thresholds):
        if rule is Rule.INSIDE:
            made.append(Latch(level, low, low, high, low - hysteresis, high + hysteresis))
        else:
            # The ends themselves are inside.
            made.append(Latch(level, low, high=low - 1, stay_high=low - 1 + hysteresis))
            made.append(Latch(level, high, low=high + 1, stay_low=high + 1 - hysteresis))
    return made


def scale_of(shown: Point) -> str:
    """What a number counts that is shown so: step and unit."""
    return f"{shown.step.normalize()} {shown.unit}"


def bands(thresholds: Thresholds) -> Iterator[tuple[Level, int, int]]:
    """(level, low, high) of thresholds that come in pairs."""
    for (level, low), (_, high) in zip(thresholds[::2], thresholds[1::2], strict=True):
        yield level, low, high


def _above(level: Level, at: int, left: int) -> Latch:
    return Latch(level, at, low=at, stay_low=left)


def _below(level: Level, at: int, left: int) -> Latch:
    return Latch(level, at, high=at, stay_high=left)


def calm(latches: Sequence[Latch], number: int) -> tuple[float, float]:
    """The range around `number`, ends included, in which no latch has anything to do; (1, 0) when one is timed."""
    low, high = -inf, inf
    for latch in latches:
        if latch.since_s is not None or latch.flips(number):
            return 1.0, 0.0
        if latch.set:
            low, high = max(low, latch.stay_low), min(high, latch.stay_high)
        elif number < latch.low:
            high = min(high, latch.low - 1)
        else:
            low = max(low, latch.high + 1)
    return low, high
