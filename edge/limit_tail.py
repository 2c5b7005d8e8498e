"""What limits were told since they were saved last, as rows of the store: committed with the readings themselves.

edge/limit_memory.py saves all that limits know now and then; after a power cut these rows are played on top of it, so
that nothing is missing that was committed. A row holds the evidence of one commit, exactly as it was judged:

    CRC-32 of the rest, CBOR [VERSION, number, life, points, instant, [[instant of judging in s, [place, value, place,
    value ...]], ...], [[limit, age in s], ...]]

`life`: which run of the gateway; `points`: those that `place` counts in, their check value, but in the first row of a
life [the number of the row before, their list]; `instant`: when the row was made, by every clock, the loop's the last.
Numbers follow each other, so a row that is missing is noticed. A value None is a doubtful reading; a place of
-1 - place one beyond the range. Of points that only limits with hold times look at, what changes nothing is left out.
At the end the silences that have grown by a step, or ended, since they were told last: a box that is killed every few
minutes still finds what is dead. No I/O: edge/keeper.py takes rows along with each commit.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import inf, isfinite
from typing import Any, NamedTuple

import cbor2

from edge.contract import MAX_STEPS, Quality, Rule
from edge.entries import TAIL_BYTES, TAIL_ROWS, Rows
from edge.limits import EVIDENCE, Judged, Limits
from edge.measure_nouns import DAMAGED

VERSION = 2
SILENT_STEP_S = 60.0  # a silence is told each minute,
SILENT_STEPS = 10  # or each tenth of the time that it may last,
SILENT_PERIODS = 1.5  # but not while the instrument is only between two readings
UNREAD_ROWS = 1_000_000_000  # no file has so many more than its store: nobody commits for thirty years
UNREADABLE = (*DAMAGED, cbor2.CBORError, RecursionError, MemoryError)


class Tail:
    """Of the limits of one site. `stamp`: the instant by every clock; `waits`: an alarm is on its way to the store, and
    what made it must not be there before it."""

    def __init__(self, limits: Limits, stamp: Callable[[], Sequence[Any]]) -> None:
        self._limits = limits
        self._stamp = stamp
        self.life = list(stamp())
        self.points, self._always = _looked_at(limits)
        self.mark = mark_of(self.points)
        self._places = {limits.named[name]: place for place, name in enumerate(self.points)}
        self._open: list[list[Any]] = []
        self._closed: list[tuple[int, bytes]] = []
        self._after: int | None = None  # the number before the first row of this life, while there is none
        self._held: deque[tuple[int, int]] = deque()  # number and size of each row that the file lacks
        self.last = 0  # the number given last
        self._follows = False  # it is known on what: numbers given before would be those of other rows
        self.saved = 0  # up to which number rows are needed no more
        self.size_bytes = 0  # of the rows that the file lacks
        self.is_settled = False  # whether the store may note of which limits nobody knows how they stand
        self._unknown: list[str] | None = None  # as it has been noted
        self._stale = [state for state in limits.judged.values() if state.limit.rule is Rule.STALE]
        self._ages: dict[str, float] = {}  # of silences, as they were told last
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
        if not self._follows or not (self._open or self._stale):
            return self.last
        stamp = list(self._stamp())
        silent = self._silent(float(stamp[-1]))
        if self._open or silent:
            self.last += 1
            points: Any = self.mark if self._after is None else [self._after, self.points]
            plain = cbor2.dumps([VERSION, self.last, self.life, points, stamp, self._open, silent])
            self._closed.append((self.last, zlib.crc32(plain).to_bytes(4, "big") + plain))
            self._open, self._after = [], None
            self.held(self.last, len(plain) + 4)
        return self.last

    def follow(self, number: int, *, up_to: int | None = None) -> None:
        """Rows of this life come after another one's. `up_to`: the file has that one, and all up to this number; None:
        it has not been read, may have more than the store, and no number is to be given twice."""
        if up_to is not None:
            self._forget_held(up_to)
        if self._after is None and self._follows:
            return  # they do already
        self._follows, self._after, self.last = True, number, number + UNREAD_ROWS
        if up_to is not None:
            self._after = self.last = max(number, up_to)

    def held(self, number: int, size_bytes: int) -> None:
        """One more lies in the store. Where the file can not be written, the oldest are let go when there are too many,
        not the room for readings."""
        self._held.append((number, size_bytes))
        self.size_bytes += size_bytes
        while self.size_bytes > TAIL_BYTES or len(self._held) > TAIL_ROWS:
            self._forget_held(self._held[0][0])

    def _forget_held(self, number: int) -> None:
        self.saved = max(self.saved, number)
        while self._held and self._held[0][0] <= number:
            self.size_bytes -= self._held.popleft()[1]
        if self._closed and self._closed[0][0] < number:
            self._closed = [row for row in self._closed if row[0] >= number]

    def in_file(self, number: int, now_s: float) -> None:
        """The file holds all up to a row's number, and how silences were at `now_s`."""
        self._forget_held(number)
        self.told_silences(now_s)

    def settle(self, *, anew: bool) -> None:
        """The store may note which limits are unknown; `anew`: it is another store."""
        self.is_settled, self._unknown = True, None if anew else self._unknown

    def told_silences(self, now_s: float) -> None:
        """They are known as they are."""
        self._ages = {state.limit.id: max(0.0, now_s - state.last_evidence_s) for state in self._stale}

    def _silent(self, now_s: float) -> list[list[Any]]:
        """The silences that have grown by a step, or ended."""
        found: list[list[Any]] = []
        for state in self._stale:
            most_s = _longest_s(state)
            age_s, told_s = min(max(0.0, now_s - state.last_evidence_s), most_s), self._ages.get(state.limit.id, 0.0)
            step_s = min(SILENT_STEP_S, max(most_s / SILENT_STEPS, SILENT_PERIODS * state.limit.every_s))
            if age_s - told_s >= step_s or age_s < told_s >= step_s:
                found.append([state.limit.id, age_s])
                self._ages[state.limit.id] = age_s
        return found

    def rows(self) -> Rows:
        """For the next commit. Until `written` they are given again."""
        unknown = None
        if not self.waits():
            self.close()
            now = self._limits.unknown() if self.is_settled else self._unknown
            unknown = None if now == self._unknown else now
        return Rows(self._closed, self.saved, unknown)

    def written(self, rows: Rows) -> None:
        if rows.unknown is not None:
            self._unknown = list(rows.unknown)
        done = {number for number, _ in rows.add}
        self._closed = [row for row in self._closed if row[0] not in done]


def mark_of(points: Sequence[str]) -> int:
    """Stands for a list of points."""
    return zlib.crc32(repr(list(points)).encode())


def _longest_s(state: Judged) -> float:
    return float(max(seconds for _, seconds in state.limit.thresholds))


def _looked_at(limits: Limits) -> tuple[list[str], int]:
    """The names of the points whose readings leave more behind than a level; how many, the first, do so with each."""
    always, stirred = set(), set()
    for state in limits.judged.values():
        limit = state.limit
        for part in state.parts:
            if part.measure is not None and part.spec is not None:
                always |= {limit.point} | ({part.spec.other} if part.spec.other else set())
            elif limit.hold_s or limit.clear_hold_s or limit.rule is Rule.SUSPECT:
                stirred.add(limit.point)
    return [limits.names[point] for point in [*sorted(always), *sorted(stirred - always)]], len(always)


class Told(NamedTuple):
    """A row, read. `after`: the number of the one before. `points`: in the first row of a life. `instant`: boot,
    monotonic s, UTC ms, its quality."""

    number: int
    after: int
    life: list[Any]
    mark: int
    points: list[str] | None
    instant: tuple[int, float, int, int]
    loop_s: float
    groups: list[tuple[float, list[tuple[int, int | None]]]]
    silent: list[tuple[str, float]]


def read(rows: Iterable[tuple[Any, Any]]) -> tuple[list[Told], int]:
    """The rows, and how many were damaged or of another version. Never raises."""
    found, spoilt = [], 0
    for number, body in rows:
        try:
            found.append(_told(number, body))
        except UNREADABLE:
            spoilt += 1
    return found, spoilt


def _told(number: Any, body: Any) -> Told:
    """Raises one of UNREADABLE."""
    plain = bytes(body[4:])
    if zlib.crc32(plain).to_bytes(4, "big") != body[:4]:
        raise ValueError("the check value is wrong")
    version, its_number, life, of, (boot, monotonic_s, at_ms, quality, loop_s), groups, silent = cbor2.loads(plain)
    if version != VERSION or its_number != number:
        raise ValueError("another version, or another row")
    instant, end_s = (int(boot), _finite(monotonic_s), int(at_ms), int(quality)), _finite(loop_s)
    judged, before_s = [], -inf
    for at_s, flat in groups:
        if not before_s <= _finite(at_s) <= end_s:
            raise ValueError("instants that can not be")
        before_s = float(at_s)
        judged.append((before_s, _readings(flat)))
    ages = [(str(limit), _finite(age_s)) for limit, age_s in silent]
    after, points = (int(number) - 1, None) if isinstance(of, int) else (int(of[0]), [str(point) for point in of[1]])
    mark = of if isinstance(of, int) else mark_of(points or ())
    return Told(int(number), after, list(life), mark, points, instant, end_s, judged, ages)


def _finite(number: Any) -> float:
    if not isfinite(number):
        raise ValueError("no number")
    return float(number)


def _readings(flat: Any) -> list[tuple[int, int | None]]:
    values = [None if value is None else int(value) for value in flat[1::2]]
    if any(value is not None and abs(value) > MAX_STEPS for value in values):
        raise ValueError("a value that no point can have")
    return list(zip([int(place) for place in flat[::2]], values, strict=True))


def play(limits: Limits, told: Told, points: Sequence[str]) -> None:
    """Judges again what a row holds. Points that are gone, or count other steps now, are judged by nothing."""
    for at_s, readings in told.groups:
        for place, value in readings:
            quality = Quality.SUSPECT if value is None else Quality.GOOD
            if place < 0:
                place, quality = -1 - place, Quality.OVER_RANGE
            point = limits.named.get(points[place]) if place < len(points) else None
            if point is not None:
                limits.judge(point, value, quality, at_s)
