"""A limit as it stands: the engine's own nouns. What it is made of is in edge/limit_nouns.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from edge.contract import Level, Rule
from edge.limit_nouns import Latch, Limit
from edge.measure_nouns import Measure, Spec

ZERO_LOST_S = 86_400.0  # so long whatever hangs on a total waits that may have stood before its zero was lost
DEAD_PERIODS = 3.0  # without a reading: the instrument is gone, and what had stood is the last word


@dataclass(slots=True)
class JudgedPart:
    """A part of a limit as it stands. Between `low` and `high` a number changes nothing. `doubted`: while the standing
    is unknown, the latches that may have been set. `at_s`: the instant of the last number since the start, `before_s`:
    before it; `doubted_s`: of the last reading that was not believed. `since_s`: of the first reading of what the
    measure remembers without a hole, over restarts; `memory_s`: how long it would remember. `zero_lost`: a total, and
    for ever: what it counts from may not be where it began."""

    whole: Judged
    spec: Spec | None
    measure: Measure | None
    latches: list[Latch]
    value: int | None = None
    low: float = 1.0
    high: float = 0.0
    at_s: float | None = None
    doubted: list[Latch] = field(default_factory=list)
    before_s: float | None = None
    since_s: float | None = None
    memory_s: float = 0.0
    zero_lost: bool = False
    doubted_s: float = -inf

    def time(self, latch: Latch, number: int, now_s: float) -> None:
        """Lets a number work on one of the latches. A level that stands since before a restart is not ended by a window
        that began after it: what had raised it may be just what is missing."""
        if latch.kept:
            is_whole = self.since_s is not None and now_s - self.since_s >= self.memory_s
            if latch.set and not is_whole:
                return
            latch.kept = not is_whole
        whole = self.whole
        latch.time(latch.flips(number), now_s, whole.limit.clear_hold_s if latch.set else whole.raised_after_s)

    def last_word_s(self, latch: Latch, start_s: float = -inf) -> float:
        """From when on a level is raised though nothing more is heard: its hold time is over, it had run over more than
        one reading, and the instrument is silent: one whose readings are not believed is not dead. `start_s`: since
        when there is somebody to hear."""
        limit, last_s = self.whole.limit, self.before_s if self.at_s is None else self.at_s
        if latch.set or latch.since_s is None or last_s is None or latch.since_s >= last_s or not limit.every_s:
            return inf
        return max(max(last_s, start_s, self.doubted_s) + DEAD_PERIODS * limit.every_s, latch.since_s + limit.hold_s)

    def as_if_set(self) -> list[Latch]:
        """Its latches, for `doubted`."""
        return [replace(latch, set=True, since_s=None, kept=self.memory_s > 0) for latch in self.latches]

    def forget(self, start_s: float, *, unknown: bool, doubted: bool) -> None:
        """See `Limits.forget`."""
        self.doubted = self.as_if_set() if unknown or doubted else []
        self.zero_lost = self.zero_lost or (unknown and self.lacks_zero(start_s))
        self.low, self.high = 1.0, 0.0

    def believe(self) -> None:
        """How it stood is known. What was judged again from the store is nothing that was heard since the start."""
        self.doubted = []
        if self.at_s is not None:
            self.before_s, self.at_s = self.at_s, None

    def waited_long(self, now_s: float) -> bool:
        """Nobody can ever know whether a level of it stood, and it has been looked at for long enough."""
        return self.memory_s == inf and self.since_s is not None and now_s - self.since_s >= ZERO_LOST_S

    def lacks_zero(self, start_s: float) -> bool:
        """Whether a total counts from nothing that was there before `start_s`: its zero is lost for ever."""
        return self.memory_s == inf and (self.zero_lost or self.since_s is None or self.since_s >= start_s)

    def keeps(self, start_s: float) -> bool:
        """Whether a level that stood before `start_s` may be about what is not remembered."""
        return 0 < self.memory_s < inf or self.lacks_zero(start_s)


@dataclass(slots=True)
class Judged:
    """A limit as it stands. `part`: whose latch decided last; `raised_after_s`: its hold time, as it is reached by a
    reading that comes a little early."""

    limit: Limit
    level: Level = Level.NONE
    threshold: int = 0
    parts: list[JudgedPart] = field(default_factory=list)
    part: JudgedPart | None = None
    last_evidence_s: float = 0.0
    suspect_s: float | None = None  # since when nothing but doubtful values come
    unknown: bool = False  # what the province was told last is forgotten
    has_told: bool = False  # in this life
    raised_after_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.raised_after_s = self.limit.hold_s - self.limit.early_s

    def settle(self) -> None:
        """The limit's level from its latches."""
        top, where = None, None
        for part in self.parts:
            for latch in part.latches:
                if latch.set and (top is None or latch.level > top.level):
                    top, where = latch, part
        self.level = top.level if top else Level.NONE
        if top:
            self.threshold, self.part = top.threshold, where

    def put(self, level: Level, value: int | None, start_s: float) -> None:
        """As it stood before a restart."""
        for part in self.parts:
            part.low, part.high = 1.0, 0.0
            for latch in part.latches:
                # Of a band, the side the value is on; the other would fall at once, and may name a wrong threshold.
                here = self.limit.rule is not Rule.OUTSIDE or value is None or _on_side(latch, value)
                # Of one that had set, but whose alarm was not committed: its hold time is over already.
                since_s = -inf if latch.set and latch.level > level else None
                latch.set, latch.since_s = latch.level <= level and here, since_s
            part.value = value if len(self.parts) == 1 else None
        if self.limit.rule is Rule.COMBINED:
            self.level = level
            return
        self.settle()
        if self.level is not level:  # the value is on no side any more: the level stands all the same
            for latch in (latch for part in self.parts for latch in part.latches):
                latch.set = latch.level <= level
            self.settle()
        for part in self.parts:
            for latch in part.latches:
                latch.kept = part.keeps(start_s) if latch.set else latch.kept and part.memory_s < inf

    @property
    def is_doubted(self) -> bool:
        """Whether a level of it may have stood of which nobody knows."""
        return any(part.doubted for part in self.parts)

    @property
    def is_sure(self) -> bool:
        """See `Limits.sure`."""
        return all(
            part.at_s is not None
            and not part.doubted
            and all(latch.set or latch.since_s is None for latch in part.latches)
            for part in self.parts
        )

    def stays(self, level: Level, value: int | None) -> Level:
        """How much of `level` goes on to stand at `value` (None: nobody knows it), if it stood."""
        latches = [replace(latch, set=True) for part in self.parts for latch in part.latches if latch.level <= level]
        stay = (latch.level for latch in latches if value is None or not latch.flips(value))
        return max(stay, default=Level.NONE)

    def zero_is_lost(self, start_s: float) -> bool:
        return any(part.lacks_zero(start_s) for part in self.parts)


def _on_side(latch: Latch, value: int) -> bool:
    return latch.stay_low <= value <= latch.stay_high


Feed = tuple[Callable[[int | None, float], int | None] | None, JudgedPart]


@dataclass(slots=True)
class Watched:
    """What one point is judged by."""

    feeds: list[Feed] = field(default_factory=list)
    beyond: list[Feed] = field(default_factory=list)  # those of `feeds` that are judged beyond the range, too
    silent: list[Judged] = field(default_factory=list)
    last: int | None = None
