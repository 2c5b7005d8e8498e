"""What limits on sums, rates, differences and other limits must say: an oracle of its own, from edge/LIMITS.md.

Of a measure the bounds of the number (judge_numbers.py) say at many instants that a level must stand, or must not; and
an alarm that came must carry a number within them. Of a roll-up or a vote the members' alarms, as they came, say it.
`Rules` has no state but what it is asked for; judge_alarms.py asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf

import numpy as np

from edge.config.site import Limit
from edge.contract import ClockQuality, Level, Of, Rule
from edge.limit_nouns import Part
from sim.world.judge_books import AlarmRow
from sim.world.judge_numbers import Bounds, Shows, bounds
from sim.world.judge_spans import HOLD_S, Bools, Floats, held, held_for, let_off_s, must_last_s
from sim.world.judge_truth import Seen, Truth

MEASURES = (Of.SUM, Of.RATE, Of.DIFFERENCE)
RATE_EVERY_S = 60.0  # a line is laid through a window so often
SETTLED_S = 8.0  # after a member's alarm the whole limit has followed
SHOWN_BEFORE = 10  # readings, and as many more as it takes: over a silence it rose since one that was surely taken
LEVELS = tuple(level for level in Level if level is not Level.NONE)

Place = tuple[float, float, float]  # instant, epoch, seq
Must = tuple[int, Floats, bool]
Calm = Callable[[Seen, int, int], Bools]


def is_measured(limit: Limit) -> bool:
    """A limit above a sum of a counter, a rate or a difference."""
    spec = limit.judged.spec
    known = spec is not None and spec.of in MEASURES and (spec.of is not Of.SUM or spec.counter)
    return known and limit.rule is Rule.ABOVE and not limit.judged.clear


def is_combined(limit: Limit, known: Mapping[str, Limit]) -> bool:
    """A roll-up or a vote all of whose members are judged here."""
    return limit.rule is Rule.COMBINED and all(member in known for member in limit.judged.members)


def levels_of(limit: Limit) -> set[Level]:
    if limit.rule is Rule.COMBINED:
        return set(LEVELS)
    return {level for part in limit.judged.parts for level, _ in part.thresholds}


class Rules:
    """`calm`: which of what was shown was surely taken."""

    def __init__(self, truth: Truth, calm: Calm) -> None:
        self._truth = truth
        self._calm = calm

    # -- measures --------------------------------------------------------------------------------------------------

    def measured_musts(self, limit: Limit, after_s: float, until_s: float) -> Iterator[Must]:
        """Where a level must stand, and where it must not; of several windows none that is as high or higher."""
        seen = self._truth.points[limit.point]
        reach_s = 2 * (limit.hold_s + limit.clear_hold_s) + 120.0
        first, last = np.searchsorted(seen.at.all, (after_s - reach_s, until_s))
        at = seen.at.all[first:last]
        calm = self._calm(seen, int(first), int(last))
        if limit.judged.spec is not None and limit.judged.spec.of is Of.RATE and len(at):
            chosen = np.unique(np.searchsorted(at, np.arange(at[0], at[-1] + 1, RATE_EVERY_S)))
            chosen = chosen[chosen < len(at)]
            at, calm = at[chosen], calm[chosen]
        if not len(at):
            return
        calm &= ~held(self._truth.uncommitted(), at)
        lives = self._truth.memories(at)
        known = {part: self._bounds(limit, part, at) for part in limit.judged.parts}
        off: dict[Level, Bools] = {}
        for part, (low, high) in known.items():
            for level, threshold in part.thresholds:
                beyond = low >= threshold
                yield int(level), held_for(at, beyond, beyond & calm, lives, must_last_s(limit, True)), True
                back = high < threshold - limit.hysteresis_steps
                gone = np.isin(at, held_for(at, back, back & calm, lives, must_last_s(limit, False)))
                off[level] = off.get(level, np.ones(len(at), bool)) & gone
        for level in off:
            gone = np.logical_and.reduce([mask for other, mask in off.items() if other >= level])
            yield int(level), at[gone], False

    def fits(self, limit: Limit, row: AlarmRow, step: float, slack_s: float) -> bool:
        """Whether what was shown allows this alarm now."""
        if row.value is None:
            return False
        value, threshold = round(row.value / step), row.threshold / step
        seen = self._truth.points[limit.point]
        quiet_s = self._truth.silent_s(seen, row.at_s - slack_s)  # while a hold time runs the last number stands
        early_s = quiet_s + slack_s if limit.hold_s and quiet_s > 2 * seen.every_s else 0.0
        first, last = np.searchsorted(seen.at.all, (row.at_s - slack_s - early_s, row.at_s + slack_s))
        when = np.append(seen.at.all[first:last], row.at_s)
        when.sort()
        for part in limit.judged.parts:
            low, high = self._bounds(limit, part, when)
            if not low.min() - 1 <= value <= high.max() + 1:
                continue
            mine = [at for level, at in part.thresholds if level == row.level]
            rises = any(abs(at - threshold) <= 0.5 and value >= at for at in mine)
            if rises and self._lasted(limit, part, row.at_s, slack_s, round(threshold)):
                return True
            if row.change != "raised" and any(
                value < at - limit.hysteresis_steps for level, at in part.thresholds if level > row.level
            ):
                return True
        return False

    def _lasted(self, limit: Limit, part: Part, at_s: float, slack_s: float, threshold: int) -> bool:
        """Nothing that was surely taken in the hold before was surely on the other side."""
        if not limit.hold_s:
            return True
        seen = self._truth.points[limit.point]
        lasts_s = limit.hold_s - let_off_s(limit.hold_s, seen.every_s)
        first, last = np.searchsorted(seen.at.all, (at_s - lasts_s + HOLD_S + slack_s, at_s - slack_s))
        if last <= first:
            return True
        _, high = self._bounds(limit, part, seen.at.all[first:last])
        return not bool(np.any((high < threshold) & self._calm(seen, int(first), int(last))))

    def _bounds(self, limit: Limit, part: Part, when: Floats) -> Bounds:
        spec = part.spec
        assert spec is not None
        window_s = float(spec.window_s)
        from_s = float(when[0]) - window_s - 300.0
        mine = self._shows(limit.point, from_s, float(when[-1]))
        other = self._shows(spec.other, from_s, float(when[-1])) if spec.other else None
        low, high = bounds(spec, mine, other, when)
        lost = held(self._truth.windows_lost(window_s), when)
        low[lost], high[lost] = -np.inf, np.inf
        return low, high

    def _shows(self, point: str, from_s: float, to_s: float) -> Shows:
        seen = self._truth.points[point]
        begin, last = (int(it) for it in np.searchsorted(seen.at.all, (from_s, to_s + 5.0)))
        first = max(0, begin - SHOWN_BEFORE)
        while first and not np.any(self._sure(seen, first, begin)):
            first = max(0, first - (begin - first))
        inside = self._inside(seen, first, last)
        at, steps = seen.at.all[first:last], np.rint(seen.steps.all[first:last])
        return Shows(at[inside], steps[inside], self._sure(seen, first, last)[inside])

    def _sure(self, seen: Seen, first: int, last: int) -> Bools:
        """Which of what was shown from one place to another was surely taken, is on the disk and within the range."""
        sure = self._calm(seen, first, last) & self._inside(seen, first, last)
        return sure & ~held(self._truth.uncommitted(), seen.at.all[first:last])

    @staticmethod
    def _inside(seen: Seen, first: int, last: int) -> Bools:
        steps, step = np.rint(seen.steps.all[first:last]), float(seen.point.step)
        inside = np.ones(len(steps), bool)
        if seen.point.minimum is not None:
            inside &= steps >= round(float(seen.point.minimum) / step)
        if seen.point.maximum is not None:
            inside &= steps <= round(float(seen.point.maximum) / step)
        return inside

    # -- limits about limits ---------------------------------------------------------------------------------------

    def combined_musts(
        self, limit: Limit, rows: Mapping[str, Sequence[AlarmRow]], after_s: float, until_s: float
    ) -> Iterator[Must]:
        """Between two alarms of members their levels stand, and the whole limit with them."""
        mine = [rows[member] for member in limit.judged.members]
        times = sorted(row.at_s for member in mine for row in member)
        edges = [*times, until_s + SETTLED_S]
        start_s = min((low for low, _, _ in self._truth.lives), default=0.0)
        when = [
            start_s + SETTLED_S,
            *(a + SETTLED_S for a, b in zip(times, edges[1:], strict=True) if b - a > 2 * SETTLED_S),
        ]
        own = rows[limit.id]
        for at_s in when:
            if not after_s < at_s <= until_s or _is_doubtful([*mine, own]):
                continue
            levels = self._wholes(limit, mine, (at_s, inf, inf))
            if min(levels) > Level.NONE:
                yield int(min(levels)), np.array([at_s]), True
            if max(levels) < Level.RED:
                yield int(max(levels)) + 1, np.array([at_s]), False

    def combined_fits(
        self, limit: Limit, row: AlarmRow, rows: Mapping[str, Sequence[AlarmRow]], slack_s: float
    ) -> bool:
        """Whether the members' levels, some moment near it, make its own."""
        mine = [rows[member] for member in limit.judged.members]
        if _is_doubtful(mine) or held(self._truth.may_be_lost(), np.array([row.at_s]))[0]:
            return True
        near = [_place(it) for member in mine for it in member if abs(it.at_s - row.at_s) <= slack_s]
        places = [(row.at_s - slack_s, inf, inf), *near, (row.at_s + slack_s, inf, inf)]
        return any(row.level in self._wholes(limit, mine, place) for place in places)

    def _wholes(self, limit: Limit, mine: Sequence[Sequence[AlarmRow]], until: Place) -> set[Level]:
        """What the members make of what they told so far: all of it, and without what a lost store told."""
        found = {whole_level(limit, [_level_at(member, until) for member in mine])}
        for low, high in self._truth.forgot(until[0]):
            known = [[row for row in member if not low <= row.at_s < high] for member in mine]
            found.add(whole_level(limit, [_level_at(member, until) for member in known]))
        return found


def whole_level(limit: Limit, levels: Sequence[int]) -> Level:
    """What the members make. GB 51108-2015, 8.3: the worst of them, or so many of one level the next; of blue ones that
    count up, each so many are one more yellow."""
    judged = limit.judged
    if not judged.rollup:
        return max((level for level in LEVELS if sum(it >= level for it in levels) >= judged.votes), default=Level.NONE)
    found = Level(max(levels, default=0))
    blues = [count for level, count, of in judged.rollup if level is Level.YELLOW and of is Level.BLUE]
    for level, count, of in judged.rollup:
        there = sum(it >= of for it in levels)
        if of is Level.YELLOW and blues:
            there += levels.count(Level.BLUE) // blues[0]
        if there >= count:
            found = max(found, level)
    return found


def _place(row: AlarmRow) -> Place:
    """Alarms of one instant have an order too."""
    return row.at_s, row.epoch, row.seq


def _level_at(rows: Sequence[AlarmRow], until: Place) -> int:
    return next((row.level for row in reversed(rows) if _place(row) <= until), 0)


def _is_doubtful(rows: Sequence[Sequence[AlarmRow]]) -> bool:
    """Whether one of them was told with a time that is none: in what order is not known then, before nor after."""
    return any(row.clock != ClockQuality.TRUSTED for mine in rows for row in mine)
