"""Measures without a window: a value in other steps, how far from a start, one point less another."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import inf
from typing import Any

from edge.measure_nouns import Spec, whole

PAIR_PERIODS = 3.0  # a partner's reading older than so many of its periods is no partner any more
SAME_ROUND = 0.6  # periods: one that is older, of a point read as often, is of the round before; its next is nearer
HURRIED_PERIODS = 3.0  # without a pair: what came sooner than its time was no hurry, or too much was missed in it


class Scaled:
    """RATIO to a design value; a VALUE in other steps. Remembers nothing."""

    __slots__ = ("_factor",)

    def __init__(self, spec: Spec) -> None:
        self._factor = spec.factor

    def take(self, value: int | None, at_s: float) -> int | None:
        return None if value is None else whole(value * self._factor)

    def state(self, now_s: float) -> list[Any]:
        return []

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        pass


class Total:
    """How far the value is from where it began: the site's own zero, or the first value there was. That one is
    remembered in steps of its own, so that it outlives a finer step."""

    __slots__ = ("_given", "_start", "_step")

    def __init__(self, spec: Spec) -> None:
        self._start, self._step = spec.start, spec.value_step
        self._given = spec.start is not None

    @property
    def start(self) -> int | None:
        """What it is counted from; None before the first value."""
        return self._start

    def take(self, value: int | None, at_s: float) -> int | None:
        if value is None:
            return None
        if self._start is None:
            self._start = value
        return whole(value - self._start)

    def state(self, now_s: float) -> list[Any]:
        return [self._start, str(self._step)]

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        start, step = state
        if not self._given and start is not None:
            self._start = round(int(start) * Decimal(step) / self._step)


class Difference:
    """One point less another. Points read equally often are judged when each has a new value of the same round, so that
    a step both take is no difference, also after one of them has missed a round, and while they are read more often
    than usual; else each reading of the one read more often is judged with the other's last."""

    __slots__ = ("_age_s", "_both", "_fresh", "_gaps_s", "_other_leads", "_paired_s", "_spec", "_values")

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._both = spec.every_s == spec.other_every_s
        self._other_leads = spec.other_every_s < spec.every_s
        self._age_s = (PAIR_PERIODS * spec.every_s, PAIR_PERIODS * spec.other_every_s)
        self._values: list[tuple[int, float] | None] = [None, None]
        self._fresh = [False, False]
        self._gaps_s = [inf, inf]  # between the last two readings of each
        self._paired_s = -inf

    def take(self, value: int | None, at_s: float) -> int | None:
        return self._take(0, value, at_s)

    def take_other(self, value: int | None, at_s: float) -> int | None:
        return self._take(1, value, at_s)

    def _take(self, which: int, value: int | None, at_s: float) -> int | None:
        if value is None:
            return None
        last = self._values[which]
        self._gaps_s[which] = inf if last is None else at_s - last[1]
        self._values[which] = (value, at_s)
        self._fresh[which] = True
        partner = self._values[1 - which]
        if partner is None or at_s - partner[1] > self._age_s[1 - which]:
            return None
        if self._both:
            if not all(self._fresh) or at_s - partner[1] > SAME_ROUND * self._pace_s(at_s):
                return None
        elif (which == 1) != self._other_leads:
            return None
        self._fresh, self._paired_s = [False, False], at_s
        mine, other = (value, partner[0]) if which == 0 else (partner[0], value)
        return whole(mine * self._spec.factor - other * self._spec.other_factor)

    def _pace_s(self, at_s: float) -> float:
        """How often both are read now. A single gap may be short by chance: it counts no longer than a hurry would
        leave them without a pair."""
        every_s = self._spec.every_s
        pace_s = min(every_s, *self._gaps_s)
        return every_s if at_s - self._paired_s > HURRIED_PERIODS * pace_s else pace_s

    def state(self, now_s: float) -> list[Any]:
        pairs = [None if pair is None else [pair[0], now_s - pair[1]] for pair in self._values]
        return [pairs, list(self._fresh), list(self._gaps_s), now_s - self._paired_s]

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        if gap_s is None:
            return  # who knows how old a partner is has none
        pairs, fresh, *pace = state  # the last two are newer
        gaps, age = pace or ((inf, inf), inf)
        gaps_s, paired_s = [float(gaps[0]), float(gaps[1])], now_s - gap_s - float(age)
        values = [None if pair is None else (int(pair[0]), now_s - gap_s - float(pair[1])) for pair in pairs]
        self._values, self._fresh = [values[0], values[1]], [bool(fresh[0]), bool(fresh[1])]
        self._gaps_s, self._paired_s = gaps_s, paired_s
