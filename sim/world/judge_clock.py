"""What the gateway may say of the time, and how wrong it may be: all that a clock trouble excuses, from when to when.

A gateway whose kernel says that it is synchronised is TRUSTED and right. Without that word it goes on with what it
knows: one that was right before stays so (a day long). One that starts then has nothing but its wall clock, until the
province tells it the time: from then on it is TRUSTED again, and right within CLOCK_UNSURE_S, until the kernel is
synchronised. So there are two kinds of stretches:

    doubt     of one life: from its start until its time must have been told it, or the kernel's word, or its end.
              Stamps may be FREE or UNKNOWN; a FREE one is off by what the wall clock was, and by nothing else
    unsure    TRUSTED, and right within CLOCK_UNSURE_S

The world's wall clock is off by what its steps say; a box that wakes in 1970 knows that it does not know. A machine's
own count of seconds is the world's, so that a stamp of UNKNOWN quality is one of `at_s`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge.contract import ClockQuality
from sim.world.judge_spans import Bools, Floats, Stretches, held, holds, merged, without
from sim.world.nouns import START_MS

if TYPE_CHECKING:
    from sim.world.judge_books import Ints
    from sim.world.judge_truth import Truth

CLOCK_TROUBLES = ("clock.1970", "clock.step", "clock.unsynced")
CLOCK_SETTLE_S = 60.0  # after a clock trouble: NTP, the next tick, the next look at what has no time yet
CLOCK_UNSURE_S = 6.0  # a time learnt from the province is right within 5 s (half of a round trip of 10 s), and rounded
TRUST_LASTS_S = 24 * 3600.0  # without a word that confirms it a time is TRUSTED no longer
STEADY_S = 4 * 3600.0  # a clock that was right drifts by 0.7 s meanwhile; a word that takes its place is within half
TOLD_S = 60.0  # of an open road: an attempt that was begun in the dark, a session, the first packet and its receipt
EDGE_S = 2.0  # a stamp is of the grid's instant, or rounded to a second


class Doubt(NamedTuple):
    """One stretch of one life. `offs`: how wrong its wall clock may have been, s; `laid`: the box was switched off
    afterwards, so that what still had no time was laid before what has one: only its order is known."""

    low_s: float
    high_s: float
    offs: tuple[float, ...]
    laid: bool

    @property
    def is_placed(self) -> bool:
        """Whether all its stamps are right within CLOCK_UNSURE_S."""
        return self.offs == (0.0,) and not self.laid


def doubts_of(truth: Truth) -> list[Doubt]:
    """All there are by now, in order."""
    found = []
    # As it happened: a cut that falls into the dark comes when the box runs again.
    cuts = [end_s for _, end_s, why in truth.lives if why == "power.cut"]
    for low_s, high_s in truth.during(*CLOCK_TROUBLES, after_s=CLOCK_SETTLE_S):
        for start_s, end_s in _lives(truth, low_s, high_s):
            from_s = start_s if start_s >= low_s else low_s + TRUST_LASTS_S
            to_s = min(high_s, end_s, _told_by(truth, from_s))
            if from_s < to_s:
                steps = [it for it in truth.troubles("clock.step") if low_s <= it.at_s <= to_s]
                offs = (0.0, *sorted({it.value for it in steps} - {0.0}))
                found.append(Doubt(from_s, to_s, offs, any(cut_s >= from_s for cut_s in cuts)))
    return found


def _lives(truth: Truth, low_s: float, high_s: float) -> list[tuple[float, float]]:
    """Those that ran in a trouble of the clock, its settling left out: what begins then is synchronised at once."""
    lives = truth.lives
    first = max(0, bisect_right(lives, low_s, key=lambda life: life[0]) - 1)
    last = bisect_left(lives, high_s - CLOCK_SETTLE_S, key=lambda life: life[0])
    return [(start_s, end_s) for start_s, end_s, _ in lives[first:last] if end_s > low_s]


def _told_by(truth: Truth, from_s: float) -> float:
    """When a life that began to doubt at `from_s` must have been told the time by the province."""
    ill = truth.disk_trouble(CLOCK_SETTLE_S)
    roads = [road for link in truth.wide for road in without(truth.open_roads(link), ill)]
    wait_s = TOLD_S + truth.longest_batch_s()
    ends = [max(low, from_s) + wait_s for low, high in roads if max(low, from_s) + wait_s <= high]
    return min(ends, default=float("inf"))


def unsure_of(truth: Truth) -> Stretches:
    """Where a TRUSTED time may be one that was learnt."""
    found = []
    for low_s, high_s in truth.during(*CLOCK_TROUBLES, after_s=CLOCK_SETTLE_S):
        for start_s, end_s in _lives(truth, low_s, high_s):
            from_s = start_s if start_s >= low_s else low_s + STEADY_S
            if from_s < min(high_s, end_s):
                found.append((from_s, min(high_s, end_s)))
    return merged(found)


class Times:
    """When what is stamped so really was, as of one look."""

    def __init__(self, doubts: Sequence[Doubt], unsure: Stretches) -> None:
        self.doubts = doubts
        self.unsure = [(low - CLOCK_UNSURE_S, high + CLOCK_UNSURE_S) for low, high in unsure]
        self.unsure = merged(self.unsure)
        self.offs = sorted({off for doubt in doubts for off in doubt.offs}, key=lambda off: (off != 0.0, off))
        edge_s = CLOCK_UNSURE_S + EDGE_S
        self._of_off = {
            off: merged((it.low_s - edge_s, it.high_s + edge_s) for it in doubts if off in it.offs) for off in self.offs
        }
        self.stretches = merged((it.low_s, it.high_s) for it in doubts)
        self.laid = [it for it in doubts if it.laid]

    def more_s(self, at_s: float) -> float:
        """By how much more than usual a stamp may be off that says this instant."""
        return CLOCK_UNSURE_S if holds(self.unsure, at_s) else 0.0

    def more(self, at: Floats) -> Floats:
        """The same of many."""
        return np.where(held(self.unsure, at), CLOCK_UNSURE_S, 0.0)

    def places(self, at: Floats, clock: Ints) -> list[tuple[Floats, Bools]]:
        """For each way in which stamps that are not TRUSTED may be meant: the instants, and which may be meant so."""
        found = []
        for off in self.offs:
            meant = at - off
            found.append((meant, (clock == ClockQuality.FREE) & held(self._of_off[off], meant)))
        if self.doubts:
            counted = at + START_MS / 1000
            found.append((counted, (clock == ClockQuality.UNKNOWN) & held(self._of_off[0.0], counted)))
        return found

    def are_placed(self, at: Floats, clock: Ints) -> Bools:
        """Whether they are FREE, and of the instants that they say."""
        placed = [(it.low_s, it.high_s) for it in self.doubts if it.is_placed]
        moved = [(it.low_s + off, it.high_s + off) for it in self.doubts if not it.is_placed for off in it.offs]
        found: Bools = (clock == ClockQuality.FREE) & held(merged(placed), at) & ~held(merged(moved), at)
        return found

    def is_laid(self, at: Floats, clock: Ints) -> Bools:
        """Whether they may be of a life whose time is not known: those are laid before the first instant of all."""
        some = bool(self.laid)
        found: Bools = (clock == ClockQuality.FREE) & (at < CLOCK_UNSURE_S) & some
        return found

    def meant(self, at_s: float, clock: int) -> list[float]:
        """All instants that one stamp may mean; none: no doubt explains it. Of what is laid, the end of that doubt."""
        if clock == ClockQuality.TRUSTED:
            return [at_s]
        at, quality = np.array([at_s]), np.array([clock])
        found = [float(instants[0]) for instants, may in self.places(at, quality) if may[0]]
        if not found and self.is_laid(at, quality)[0]:
            return [self.laid[-1].high_s]
        return found
