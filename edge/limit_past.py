"""How limits stood at the end of the last life: from what was saved, and the rows of the store over it. Pure.

edge/limit_memory.py reads the two and says when; here they become limits again. All that comes from a disk is looked at
before it is believed: what is damaged is an error of UNREADABLE, never another one, and never a number that blinds.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from math import inf, isfinite
from typing import Any, NamedTuple

import cbor2

from edge.contract import ClockQuality, Of, Quality, Rule
from edge.limit_state import MOST_BYTES, load, parsed, save
from edge.limit_tail import Told, mark_of, play
from edge.limits import JudgedPart, Limit, Limits
from edge.measure_plain import Total
from edge.standings import Lack, newer

BACK_MS = 60_000  # a clock that was set back by less since: no time has passed
TICK_S = 1.0  # the gateway lets time pass at least so often
MOST_LIVES = 20  # of which rows are played, the last ones: each costs 80 ms with 500 rules of a day


class Instant(NamedTuple):
    """When something was saved, by every clock there is."""

    boot: int
    monotonic_s: float
    at_ms: int
    quality: int


class Kept(NamedTuple):
    """What the file holds: `state` of `life` at its loop's time `loop_s`, with all rows up to `number`, whose places
    count in `points`; `number` -1: rows do not follow on it; `same`: what stood still. `gateway`, `store`: whose it is;
    `unknown`: limits of which nobody knew whether they stood; `lacks`: what that store had not been told of where they
    stand (edge/standings.py)."""

    instant: Instant
    state: bytes
    number: int
    life: list[Any]
    loop_s: float
    points: list[str]
    same: dict[str, Any]
    gateway: str
    store: bytes
    unknown: frozenset[str]
    lacks: list[Lack] = []  # noqa: RUF012 nobody changes it

    def packed(self) -> bytes:
        """The file, yet to be deflated."""
        return cbor2.dumps([list(self.instant), *self[1:-2], sorted(self.unknown), self.lacks])


def nothing(now: Instant) -> Kept:
    """As of a file that holds nothing."""
    return Kept(now, b"", 0, [], 0.0, [], {}, "", b"", frozenset())


class Past(NamedTuple):
    """Limits as they were at the end of the last life, when that was by every clock and by their own. `whole`: nothing
    is missing."""

    limits: Limits
    then: Instant
    then_s: float
    whole: bool


def unpacked(packed: bytes) -> Kept:
    """The file. Raises one of UNREADABLE."""
    inflater = zlib.decompressobj()
    plain = inflater.decompress(packed, MOST_BYTES)
    stamp, state, number, life, loop_s, points, same, gateway, store, unknown, *more = cbor2.loads(
        plain if inflater.eof else b""
    )
    lacks = [list(lack) for lack in more[0]] if more else []
    newer(lacks, ())
    parsed(state)
    boot, monotonic_s, at_ms, quality = stamp
    instant = Instant(int(boot), float(monotonic_s), int(at_ms), int(quality))
    if not isfinite(instant.monotonic_s) or not isfinite(float(loop_s)):
        raise ValueError("an instant is none")
    names = [str(point) for point in points]
    whose = str(gateway), bytes(store), frozenset(str(limit) for limit in unknown)
    return Kept(instant, bytes(state), int(number), list(life), float(loop_s), names, dict(same), *whose, lacks)


def passed_s(saved: Instant, now: Instant, battery_boot: int | None) -> float | None:
    """The time between: by the monotonic clock within one boot, else by UTC where both times were trusted and do
    not contradict each other; None: nobody knows. A wall clock that nobody has confirmed may stand where it was
    when the power went, or months off. One that was right then and has run on a battery (in `battery_boot`) is as
    good."""
    if saved.boot and saved.boot == now.boot and now.monotonic_s >= saved.monotonic_s:
        return now.monotonic_s - saved.monotonic_s
    on_battery = now.quality == ClockQuality.FREE and now.boot == battery_boot
    if saved.quality != ClockQuality.TRUSTED or not (now.quality == ClockQuality.TRUSTED or on_battery):
        return None
    passed_ms = now.at_ms - saved.at_ms
    return max(0, passed_ms) / 1000 if passed_ms >= -BACK_MS else None


def limits_of(limits: Sequence[Limit], state: bytes, now_s: float, gap_s: float | None) -> Limits:
    """Limits that go on from a state."""
    made = Limits(limits, now_s)
    load(made, state, now_s, gap_s)
    return made


def before(
    plan: Sequence[Limit], site: Sequence[str], kept: Kept, rows: Iterable[Told], end: int, battery_boot: int | None
) -> Past:
    """From what was saved over what was told since, maybe in several lives; of each life the loop's own time is used,
    as it was. `site`: the points that it has now; `end`: the number of the last row that there was."""
    points = {mark_of(names): names for names in (kept.points, site)}
    then, then_s, life = kept.instant, kept.loop_s, kept.life
    limits = limits_of(plan, kept.state, then_s, 0.0)
    held, whole, lost = kept.number, kept.number >= 0, set[tuple[str, int]]()
    for row in _last_lives([row for row in rows if row.number > kept.number]):
        if row.points is not None:
            points[row.mark] = row.points
        if row.mark not in points:
            continue
        if row.after > held:
            whole = False
            lost |= miss(limits)
        held = row.number
        instant = Instant(*row.instant)
        first_s = min((at_s for at_s, _ in row.groups), default=row.loop_s)
        if row.life != life:
            gap_s = passed_s(then, instant, battery_boot)
            gap_s = None if gap_s is None else max(0.0, gap_s - (row.loop_s - first_s))
            limits = limits_of(plan, save(limits, then_s), first_s, gap_s)
            life, then_s = row.life, first_s
        silent = {id_: then_s - state.last_evidence_s for id_, state in limits.judged.items()}
        play(limits, row, points[row.mark])
        then, then_s = instant, row.loop_s
        for id_, age_s in silent.items():  # rows do not tell of every point: of none that it was silent
            state = limits.judged[id_]
            state.last_evidence_s = max(state.last_evidence_s, then_s - age_s)
        for id_, age_s in row.silent:
            if id_ in limits.judged and limits.judged[id_].limit.rule is Rule.STALE:
                limits.judged[id_].last_evidence_s = then_s - age_s
    if held < end:
        whole = False
        lost |= miss(limits)
    _lose_zeros(limits, lost)
    return Past(limits, then, then_s, whole)


def miss(limits: Limits) -> set[tuple[str, int]]:
    """Something is missing here: no window is whole before it has been seen again, what stands may be about just that,
    and nobody knows whether a number was back meanwhile. The totals (limit, part) that had no zero yet: it may be just
    that."""
    lost = set()
    for id_, place, part in _parts(limits):
        if part.memory_s == inf and part.since_s is None:
            lost.add((id_, place))
        if 0 < part.memory_s < inf:
            part.since_s = None
        is_sum = part.spec is not None and part.spec.of is Of.SUM  # one that lacks something is too small
        for latch in part.latches:
            if latch.set:
                latch.since_s = None
            latch.kept = latch.kept or (0 < part.memory_s < inf and (latch.set or is_sum))
    return lost


def _lose_zeros(limits: Limits, lost: Collection[tuple[str, int]]) -> None:
    """Of totals: what they count from now is not their zero, and what stands is not ended by it."""
    for id_, place, part in _parts(limits):
        if (id_, place) in lost:
            part.since_s, part.zero_lost = None, True
            for latch in part.latches:
                latch.kept = latch.set


def take_zeros(limits: Limits, past: Past, now_s: float) -> list[str]:
    """Totals go on from where they began, though all else begins anew; those whose zero is lost."""
    lost = []
    for (id_, _, part), (_, _, was) in zip(_parts(limits), _parts(past.limits), strict=True):
        if part.memory_s < inf or not isinstance(part.measure, Total) or not isinstance(was.measure, Total):
            continue  # its zero is in the site file, or it is no total
        if was.zero_lost or was.since_s is None:
            part.zero_lost = part.zero_lost or was.zero_lost
            lost += [id_] * was.zero_lost
            continue
        counted_from = part.measure.start
        part.measure.restore(was.measure.state(0.0), 0.0, 0.0)
        if part.value is not None and counted_from is not None and part.measure.start is not None:
            part.value += counted_from - part.measure.start
        part.since_s, part.zero_lost = now_s - (past.then_s - was.since_s), False
        part.low, part.high = 1.0, 0.0
        for latch in part.latches:
            latch.kept = False
    return lost


def _parts(limits: Limits) -> Iterable[tuple[str, int, JudgedPart]]:
    return ((id_, place, part) for id_, it in limits.judged.items() for place, part in enumerate(it.parts))


def _last_lives(rows: Sequence[Told]) -> Sequence[Told]:
    starts = [place for place, row in enumerate(rows) if not place or row.life != rows[place - 1].life]
    return rows[starts[-MOST_LIVES] :] if len(starts) > MOST_LIVES else rows


def hear(limits: Limits, heard: Iterable[tuple[str, int | None, Quality, float]], now_s: float) -> None:
    """What was heard since the start, and the time that passed meanwhile: what silence raised stands again."""
    ticked_s = 0.0
    for point, value, quality, at_s in heard:
        if at_s - TICK_S > ticked_s:
            ticked_s = at_s - TICK_S
            limits.tick(ticked_s)
        limits.judge(point, value, quality, at_s)
    limits.tick(now_s)
