"""What limits were told since they were saved last, as rows of the store: committed with the readings themselves.

edge/limit_memory.py saves all that limits know now and then; after a power cut these rows are played on top of it, so
that nothing is missing that was committed. A row holds the evidence of one commit, exactly as it was judged:

    CBOR [VERSION, life, mark, instant, [[instant of judging in s, [place, value, place, value ...]], ...]]

`life`: which run of the gateway; `mark`: the list of points that `place` counts in; `instant`: when the row was made,
by every clock, the loop's the last. A value None is a doubtful reading; a place of -1 - place one beyond the range. Of
points that only limits with hold times look at, what changes nothing is left out. No I/O: edge/keeper.py takes rows
along with each commit.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import cbor2

from edge.contract import Quality, Rule
from edge.entries import Rows
from edge.limits import EVIDENCE, Limits
from edge.measure_nouns import DAMAGED

VERSION = 1
MOST_BYTES = 1_000_000  # where the file can not be written: then what it lacks is let go, not the room for readings
UNREADABLE = (*DAMAGED, cbor2.CBORError, RecursionError, MemoryError)


class Tail:
    """Of the limits of one site. `stamp`: the instant by every clock; `waits`: an alarm is on its way to the store, and
    what made it must not be there before it."""

    def __init__(self, limits: Limits, stamp: Callable[[], Sequence[Any]]) -> None:
        self._limits = limits
        self._stamp = stamp
        self.life = list(stamp())
        self.points, self._always = _looked_at(limits)
        self.mark = zlib.crc32(repr(self.points).encode())
        self._places = {point: place for place, point in enumerate(self.points)}
        self._open: list[list[Any]] = []
        self._closed: list[tuple[int, bytes]] = []
        self.last = 0  # the number given last
        self.saved = 0  # up to which number the file holds it
        self.size_bytes = 0  # of what came since
        self.waits: Callable[[], bool] = lambda: False

    def note(self, point: str, value: int | None, quality: Quality, now_s: float) -> None:
        """A reading, just judged."""
        place = self._places.get(point)
        if place is None:
            return
        if value is None or quality not in EVIDENCE:
            if quality is not Quality.SUSPECT:
                return
            value = None
        elif place >= self._always and not self._limits.stirred:
            return
        elif quality is Quality.OVER_RANGE:
            place = -1 - place
        self._limits.stirred = False
        if not self._open or self._open[-1][0] != now_s:
            self._open.append([now_s, []])
        self._open[-1][1] += place, value

    def close(self) -> int:
        """What comes from now on is another row's; the number of the last one."""
        if self._open:
            self.last += 1
            row = cbor2.dumps([VERSION, self.life, self.mark, list(self._stamp()), self._open])
            self._closed.append((self.last, row))
            self._open = []
            self.size_bytes += len(row)
            if self.size_bytes > MOST_BYTES:
                self._closed, self.saved, self.size_bytes = [], self.last, 0
        return self.last

    def rows(self) -> Rows:
        """For the next commit. Until `written` they are given again."""
        if not self.waits():
            self.close()
        return Rows(self._closed, self.saved)

    def written(self, rows: Rows) -> None:
        done = {number for number, _ in rows.add}
        self._closed = [row for row in self._closed if row[0] not in done]


def _looked_at(limits: Limits) -> tuple[list[str], int]:
    """The points whose readings leave more behind than a level; how many of them, the first, do so with each."""
    always, stirred = set(), set()
    for state in limits.judged.values():
        limit = state.limit
        for part in state.parts:
            if part.measure is not None and part.spec is not None:
                always |= {limit.point} | ({part.spec.other} if part.spec.other else set())
            elif limit.hold_s or limit.clear_hold_s or limit.rule is Rule.SUSPECT:
                stirred.add(limit.point)
    return [*sorted(always), *sorted(stirred - always)], len(always)


class Told(NamedTuple):
    """A row, read."""

    number: int
    life: list[Any]
    instant: list[Any]
    loop_s: float
    groups: list[tuple[float, list[tuple[int, int | None]]]]


def read(rows: Iterable[tuple[Any, Any]], after: int, mark: int) -> list[Told]:
    """The rows after a number that count in the same points. What makes no sense is left out. Never raises."""
    found = []
    for number, body in rows:
        try:
            if number <= after:
                continue
            version, life, its_mark, (*instant, loop_s), groups = cbor2.loads(body)
            if version == VERSION and its_mark == mark:
                judged = [_group(*group) for group in groups]
                found.append(Told(int(number), list(life), instant, float(loop_s), judged))
        except UNREADABLE:
            continue
    return found


def _group(at_s: Any, flat: Any) -> tuple[float, list[tuple[int, int | None]]]:
    values = [None if value is None else int(value) for value in flat[1::2]]
    return float(at_s), list(zip([int(place) for place in flat[::2]], values, strict=True))


def play(limits: Limits, told: Told, points: Sequence[str]) -> None:
    """Judges again what a row holds. Points that are gone from the site are judged by nothing."""
    for at_s, readings in told.groups:
        for place, value in readings:
            quality = Quality.SUSPECT if value is None else Quality.GOOD
            if place < 0:
                place, quality = -1 - place, Quality.OVER_RANGE
            if place < len(points):
                limits.judge(points[place], value, quality, at_s)
