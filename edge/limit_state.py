"""What the limits know beside their levels, as bytes and back: windows, hold times, which latches are set. Pure.

Levels are in the store, committed with the alarm that changed them, and have the last word (`Limits.restore`, which
comes after this). This is the rest, so that a 24 h sum does not begin at nothing, a level that had stood for nine of
its ten minutes needs one more, and of several windows it is known which one it was. Written now and then, at a clean
end and on a failing supply: after a power cut what came since is missing, and nothing else.

    data = save(limits, now_s)
    restored = load(limits, data, now_s, gap_s)      how many parts go on from there

`gap_s` is the time that passed since, None when it is not known (a box without a clock): sums then keep all, hold times
go on, rates begin anew. A silence goes on where it was, without the gap: nobody listened then, and a box that is off
each night is not to wake with an alarm. A part that judges something else in the site file now, or whose bytes are
damaged, begins anew; a limit whose thresholds are others keeps its window and not its latches; one that has got another
name goes on from the old one (where that stood, the store knows: edge/limit_stood.py). How often a point is read, its
limit's `start`, `uniform` or `noise` are no other thing: what is remembered are readings. Never raises.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import cbor2

from edge.contract import Of, Rule
from edge.limits import Judged, JudgedPart, Limit, Limits
from edge.measure_nouns import DAMAGED

VERSION = 3
NEED_THE_GAP = (Of.RATE, Of.TANGENT_ANGLE, Of.TIME_TO_FAILURE)  # a rate over a time nobody knows is none
UNREADABLE = (*DAMAGED, cbor2.CBORError, zlib.error, RecursionError, MemoryError)
MOST_BYTES = 50_000_000  # inflated; 500 limits of 24 h take some 5 MB


def save(limits: Limits, now_s: float) -> bytes:
    """All of it: check value, CBOR; it deflates well."""
    states = {limit_id: _limit(state, now_s) for limit_id, state in limits.judged.items() if state.parts}
    lasts = {name: last for point, name in limits.names.items() if (last := limits.last(point)) is not None}
    plain = cbor2.dumps([VERSION, states, lasts])
    return zlib.crc32(plain).to_bytes(4, "big") + plain


def load(limits: Limits, data: bytes, now_s: float, gap_s: float | None) -> int:
    """Goes on from what `save` gave; how many parts do."""
    try:
        known, lasts = parsed(data)
        limits.recall({point: int(lasts[name]) for point, name in limits.names.items() if name in lasts})
    except UNREADABLE:
        return 0
    restored = 0
    others = renamed(limits, known)
    for limit_id, state in limits.judged.items():
        try:
            restored += _restore(state, known[others.get(limit_id, limit_id)], now_s, gap_s)
        except UNREADABLE:
            continue
    return restored


def parsed(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """States by limit, last values by point. Raises one of UNREADABLE."""
    if zlib.crc32(data[4:]).to_bytes(4, "big") != data[:4]:
        raise ValueError("the check value is wrong")
    version, states, lasts = cbor2.loads(data[4:])
    if version != VERSION:
        raise ValueError(f"of version {version}")
    return dict(states), dict(lasts)


def outline(known: Mapping[str, Sequence[Any]]) -> int:
    """Which limits these states (`parsed`) are of, by name and by what they judge: a number."""
    try:
        parts = ((name, saved[0], [(part[0], part[4]) for part in saved[3]]) for name, saved in known.items())
        return _mark(sorted(parts))
    except UNREADABLE:
        return 0


def renamed(limits: Limits, known: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """For each limit that is not among these states (`parsed`), of those in it that are in the site file no more the
    one that judged most of what it does: it may have got another name. New name -> old one."""
    gone = {name: saved for name, saved in known.items() if name not in limits.judged}
    found = {}
    for limit_id, state in limits.judged.items():
        try:
            alike = {name: _likeness(state, saved) for name, saved in gone.items() if limit_id not in known}
        except UNREADABLE:
            continue
        best = max(alike, key=lambda name: alike[name], default="")
        if best and alike[best][0]:
            found[limit_id] = best
    return found


def _likeness(state: Judged, saved: Sequence[Any]) -> tuple[int, bool, int]:
    """How much of the same is judged, whether all of it with the same hold times, how much by the same thresholds."""
    there = {part[0]: part[4] for part in saved[3]}
    both = [part for part in state.parts if _meaning(part) in there]
    same = sum(there[_meaning(part)] == _thresholds(part) for part in both)
    return len(both), saved[0] == _whole(state.limit), same


def _whole(limit: Limit) -> int:
    """Of a limit but for its numbers and its name."""
    return _mark(limit.point, limit.rule, limit.hold_s, limit.clear_hold_s)


def _mark(*what: object) -> int:
    """Stands for a part of the site file: another number, another meaning."""
    return zlib.crc32(repr(what).encode())


def _limit(state: Judged, now_s: float) -> list[Any]:
    limit = state.limit
    suspect = None if state.suspect_s is None else now_s - state.suspect_s
    parts = [_part(part, now_s) for part in state.parts]
    silent = now_s - state.last_evidence_s if limit.rule is Rule.STALE else None
    return [_whole(limit), suspect, silent, parts]


def _part(part: JudgedPart, now_s: float) -> list[Any]:
    latches = [[latch.set, _age(latch.since_s, now_s), latch.kept] for latch in part.latches]
    measure = part.measure.state(now_s) if part.measure else None
    last = _age(part.before_s if part.at_s is None else part.at_s, now_s)
    # What stands by a zero that is lost does so too when its thresholds are edited.
    lost = part.memory_s == inf and (part.zero_lost or any(latch.kept for latch in part.latches))
    known = [_meaning(part), measure, _age(part.since_s, now_s), last, _thresholds(part), latches, part.value]
    return known + [True] * lost


def _age(since_s: float | None, now_s: float) -> float | None:
    return None if since_s is None else now_s - since_s


def _meaning(part: JudgedPart) -> int:
    """Of what the measure remembers: the readings of which points, in which steps, over how long."""
    spec, point = part.spec, part.whole.limit.point
    if spec is None:
        return _mark(point)
    step = None if spec.of is Of.TOTAL else spec.value_step  # a zero is carried over into other steps
    return _mark(point, spec.of, spec.window_s, spec.counter, spec.other, spec.value_unit, step)


def _thresholds(part: JudgedPart) -> int:
    step = part.spec and str(part.spec.step)
    levels = [(latch.level, latch.low, latch.high, latch.stay_low, latch.stay_high) for latch in part.latches]
    return _mark(step, part.spec and part.spec.unit, levels)


def _restore(state: Judged, saved: Sequence[Any], now_s: float, gap_s: float | None) -> int:
    mark, suspect, silent, parts = saved
    limit = state.limit
    same = mark == _whole(limit)
    if same and suspect is not None:
        state.suspect_s = now_s - (gap_s or 0.0) - float(suspect)
    if same and silent is not None:
        state.last_evidence_s = now_s - float(silent)
    by_mark: Mapping[int, Sequence[Any]] = {part[0]: part for part in parts}
    restored = 0
    for part in state.parts:
        try:
            found = by_mark.get(_meaning(part))
            restored += found is not None and _restore_part(part, found[1:], same, now_s, gap_s)
        except UNREADABLE:
            continue
    state.settle()
    return restored


def _restore_part(part: JudgedPart, saved: Sequence[Any], same: bool, now_s: float, gap_s: float | None) -> bool:
    """`same`: the limit's hold times are what they were."""
    measure, age, last, thresholds, latches, value, *lost = saved
    if part.measure is not None:
        part.measure.restore(measure, now_s, gap_s)
    part.zero_lost = part.zero_lost or bool(lost)
    known = gap_s is not None or part.spec is None or part.spec.of not in NEED_THE_GAP
    part.since_s = now_s - (gap_s or 0.0) - float(age) if known and age is not None else None
    part.before_s = None if last is None else now_s - (gap_s or 0.0) - float(last)
    if same and thresholds == _thresholds(part):
        part.value = None if value is None else int(value)
        part.low, part.high = 1.0, 0.0
        for latch, (is_set, since, kept) in zip(part.latches, latches, strict=True):
            latch.set, latch.kept = bool(is_set), bool(kept) or (bool(is_set) and not known)
            latch.since_s = None if since is None else now_s - (gap_s or 0.0) - float(since)
    elif part.memory_s < inf and all(kept for _, _, kept in latches):
        for latch in part.latches:  # something of the window is missing, at whatever numbers and hold times
            latch.kept = True
    return True
