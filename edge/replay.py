"""Recorded readings through the very engine that judges in the field: what it would have raised, and when. Pure.

Each reading is rounded and checked as intake does it, doubted by edge/belief.py and judged by edge/limits.py; silence
is looked at each whole second, as the daemon does. Time is that of the record: a year takes as long as it has readings.
Limits about points that the record does not have are not judged: nobody knows how they would have stood. Reading
faster while a level stands (`while_raised`) is not played: the record has what it has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from edge.belief import Beliefs
from edge.config.site import Limit, Site
from edge.contract import Alarm, Level, Quality, Rule
from edge.intake_nouns import PointNow
from edge.limits import Judged, JudgedPart, Limits

LEVELS = tuple(level for level in Level if level is not Level.NONE)

Reading = tuple[int, str, float]  # at_ms, point, value in its unit; nan: asked and failed


class Span(NamedTuple):
    """From `from_ms` on the limit stood at `level`."""

    from_ms: int
    level: Level


class Stood(NamedTuple):
    """How a level was reached: how often, for how long in all (it or a higher one), when first."""

    times: int
    lasted_s: float
    first_ms: int | None


@dataclass
class Story:
    """One limit over the record. `judged` False: the record lacks what it is about. `low`, `high`: least and greatest
    number judged in each column of time, in steps of `limit.scale`; None where there was none."""

    limit: Limit
    judged: bool
    spans: list[Span]
    alarms: list[Alarm] = field(default_factory=list)
    low: list[int | None] = field(default_factory=list)
    high: list[int | None] = field(default_factory=list)

    def stood(self, level: Level, to_ms: int) -> Stood:
        """Of one level until the record's end."""
        times, lasted_ms, first_ms, before = 0, 0, None, Level.NONE
        ends = [span.from_ms for span in self.spans[1:]] + [to_ms]
        for span, end_ms in zip(self.spans, ends, strict=True):
            if span.level >= level:
                lasted_ms += end_ms - span.from_ms
                if before < level:
                    times += 1
                    first_ms = span.from_ms if first_ms is None else first_ms
            before = span.level
        return Stood(times, lasted_ms / 1000, first_ms)

    def highest(self, columns: int, from_ms: int, to_ms: int) -> list[Level]:
        """The highest level in each column of time."""
        found = [Level.NONE] * columns
        ends = [span.from_ms for span in self.spans[1:]] + [to_ms]
        for span, end_ms in zip(self.spans, ends, strict=True):
            if span.level is Level.NONE:
                continue
            last = max(span.from_ms, end_ms - 1)
            for column in range(
                column_of(span.from_ms, columns, from_ms, to_ms), column_of(last, columns, from_ms, to_ms) + 1
            ):
                found[column] = max(found[column], span.level)
        return found


class Replay(NamedTuple):
    """`doubted`, `used`: readings that were not believed, and numbers that could be judged, by point."""

    from_ms: int
    to_ms: int
    stories: tuple[Story, ...]
    doubted: dict[str, int]
    used: dict[str, int]

    @property
    def empty(self) -> bool:
        """Nothing was judged: that no alarm was raised says nothing."""
        judged = [story for story in self.stories if story.judged]
        return not any(story.alarms or story.limit.point in self.used for story in judged)


def column_of(at_ms: int, columns: int, from_ms: int, to_ms: int) -> int:
    """Which of so many equal columns between two times."""
    return min(columns - 1, (at_ms - from_ms) * columns // max(1, to_ms - from_ms))


def replay(
    site: Site, readings: Iterable[Reading], points: Sequence[str], ends_ms: tuple[int, int], columns: int
) -> Replay:
    """What the site's limits make of `readings`, oldest first, from the first to the last instant `ends_ms`. `points`:
    those of which there are any; `columns`: how finely `low` and `high` of each story are kept."""
    return _Run(site, points, ends_ms, columns).run(readings)


class _Run:
    def __init__(self, site: Site, points: Sequence[str], ends_ms: tuple[int, int], columns: int) -> None:
        self.from_ms, self.to_ms = ends_ms
        self.columns = columns
        self.limits = Limits([limit.judged for limit in site.limits], 0.0)
        self.now = {point.id: PointNow(point) for point in site.points}
        self.beliefs = Beliefs(site.points)
        self.doubted: dict[str, int] = {}
        self.used: dict[str, int] = {}
        there = judged_limits(site, points)
        first = [Span(self.from_ms, Level.NONE)]
        self.stories = {
            limit.id: Story(limit, limit.id in there, list(first), low=[None] * columns, high=[None] * columns)
            for limit in site.limits
        }
        self.silent: list[Judged] = []
        self.held: dict[str, list[JudgedPart]] = {}  # by point: what may be raised in its silence
        self.drawn: dict[str, list[tuple[Story, Judged]]] = {}
        for state in self.limits.judged.values():
            self._sort_out(state, state.limit.id in there)
        self.due_s = 0.0  # no limit falls silent before

    def _sort_out(self, state: Judged, there: bool) -> None:
        limit = state.limit
        if limit.rule is Rule.STALE:
            if there:
                self.silent.append(state)
            else:
                state.last_evidence_s = math.inf  # never silent: nobody asked
        elif limit.parts and limit.rule not in (Rule.SUSPECT, Rule.COMBINED):
            spec = limit.spec
            for point in {limit.point, spec.other if spec and spec.other else limit.point}:
                self.drawn.setdefault(point, []).append((self.stories[limit.id], state))
                if limit.hold_s and there:
                    self.held.setdefault(point, []).extend(state.parts)

    def run(self, readings: Iterable[Reading]) -> Replay:
        for at_ms, point, value in readings:
            now_s = (at_ms - self.from_ms) / 1000
            if now_s >= self.due_s:
                self._silence(now_s)
            now = self.now[point]
            now.take(None if math.isnan(value) else value, Quality.GOOD, at_ms)
            if now.quality is Quality.GOOD and now.value is not None and self.beliefs.doubts(point, now.value, now_s):
                now.doubted()
            if now.quality is Quality.SUSPECT:
                self.doubted[point] = self.doubted.get(point, 0) + 1
            elif now.value is not None:
                self.used[point] = self.used.get(point, 0) + 1
            self._told(self.limits.judge(point, now.value, now.quality, now_s), at_ms)
            for part in self.held.get(point, ()):
                self.due_s = min(self.due_s, *(part.last_word_s(latch) for latch in part.latches))
            for story, state in self.drawn.get(point, ()):
                self._draw(story, state.parts[0].value, at_ms)
        return Replay(self.from_ms, self.to_ms, tuple(self.stories.values()), self.doubted, self.used)

    def _silence(self, now_s: float) -> None:
        """The ticks that matter: the whole second after (or at) each instant from which on silence changes a level."""
        while (due_s := self._next_s()) <= now_s:
            self._told(self.limits.tick(due_s), self.from_ms + round(due_s) * 1000)
        # One that is silent already begins anew when it speaks: not before now, and then for its threshold.
        anew = [now_s + latch.threshold for state in self.silent for latch in state.parts[0].latches]
        self.due_s = min(due_s, *anew, math.inf)

    def _next_s(self) -> float:
        """Of what silence will change next, were nothing heard until then."""
        silent = [
            state.last_evidence_s + latch.threshold
            for state in self.silent
            for latch in state.parts[0].latches
            if not latch.set
        ]
        held = [part.last_word_s(latch) for parts in self.held.values() for part in parts for latch in part.latches]
        due_s = min(*silent, *held, math.inf, math.inf)
        return math.ceil(due_s) if due_s < math.inf else due_s

    def _told(self, alarms: Sequence[Alarm], at_ms: int) -> None:
        for alarm in alarms:
            story = self.stories[alarm.limit]
            story.spans.append(Span(at_ms, alarm.level))
            story.alarms.append(replace(alarm, at_ms=at_ms))

    def _draw(self, story: Story, number: int | None, at_ms: int) -> None:
        if number is None:
            return
        column = column_of(at_ms, self.columns, self.from_ms, self.to_ms)
        low, high = story.low[column], story.high[column]
        story.low[column] = number if low is None else min(low, number)
        story.high[column] = number if high is None else max(high, number)


def judged_limits(site: Site, points: Sequence[str]) -> set[str]:
    """The limits of which the record has what they judge: of those about others, one member at least."""
    there, waiting = set(), []
    for limit in site.limits:
        others = {part.spec.other for part in limit.judged.parts if part.spec and part.spec.other}
        if limit.judged.members:
            waiting.append(limit)
        elif {limit.point, *others} <= set(points):
            there.add(limit.id)
    grown = True
    while grown:
        more = {limit.id for limit in waiting if not there.isdisjoint(limit.judged.members)} - there
        there |= more
        grown = bool(more)
    return there
