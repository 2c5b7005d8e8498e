"""What the limits know beside their levels, as bytes and back: windows, hold times, which latches are set. Pure.

Levels are in the store, committed with the alarm that changed them, and have the last word (`Limits.restore`, which
comes after this). This is the rest, so that a 24 h sum does not begin at nothing, a level that had stood for nine of
its ten minutes needs one more, and of several windows it is known which one it was. Written now and then, at a clean
end and on a failing supply: after a power cut what came since is missing, and nothing else.

    data = save(limits, now_s)
    restored = load(limits, data, now_s, gap_s)      how many parts go on from there

`gap_s` is the time that passed since, None when it is not known (a box without a clock): sums then keep all, hold times
go on, rates begin anew. A part whose measure is another in the site file now, or whose bytes are damaged, begins anew;
a limit whose thresholds are others keeps its window and not its latches. Never raises.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import cbor2

from edge.limits import Judged, JudgedPart, Limits
from edge.measure_nouns import DAMAGED

VERSION = 1
UNREADABLE = (*DAMAGED, cbor2.CBORError, zlib.error, RecursionError, MemoryError)
MOST_BYTES = 50_000_000  # inflated; 500 limits of 24 h take some 5 MB


def save(limits: Limits, now_s: float) -> bytes:
    """All of it: check value, CBOR; it deflates well."""
    states = {limit_id: _limit(state, now_s) for limit_id, state in limits.judged.items() if state.parts}
    lasts = {point: last for point in limits.points() if (last := limits.last(point)) is not None}
    plain = cbor2.dumps([VERSION, states, lasts])
    return zlib.crc32(plain).to_bytes(4, "big") + plain


def load(limits: Limits, data: bytes, now_s: float, gap_s: float | None) -> int:
    """Goes on from what `save` gave; how many parts do."""
    try:
        if zlib.crc32(data[4:]).to_bytes(4, "big") != data[:4]:
            return 0
        version, states, lasts = cbor2.loads(data[4:])
        known = dict(states) if version == VERSION else {}
        limits.recall({str(point): int(last) for point, last in dict(lasts).items()})
    except UNREADABLE:
        return 0
    restored = 0
    for limit_id, state in limits.judged.items():
        try:
            restored += _restore(state, known[limit_id], now_s, gap_s)
        except UNREADABLE:
            continue
    return restored


def _mark(*what: object) -> int:
    """Stands for a part of the site file: another number, another meaning."""
    return zlib.crc32(repr(what).encode())


def _limit(state: Judged, now_s: float) -> list[Any]:
    limit = state.limit
    suspect = None if state.suspect_s is None else now_s - state.suspect_s
    parts = [_part(part, now_s) for part in state.parts]
    return [_mark(limit.point, limit.rule, limit.hold_s, limit.clear_hold_s), suspect, parts]


def _part(part: JudgedPart, now_s: float) -> list[Any]:
    latches = [[latch.set, None if latch.since_s is None else now_s - latch.since_s] for latch in part.latches]
    measure = part.measure.state(now_s) if part.measure else None
    return [_mark(part.whole.limit.point, part.spec), measure, _thresholds(part), latches, part.value]


def _thresholds(part: JudgedPart) -> int:
    return _mark([(latch.level, latch.low, latch.high, latch.stay_low, latch.stay_high) for latch in part.latches])


def _restore(state: Judged, saved: Sequence[Any], now_s: float, gap_s: float | None) -> int:
    mark, suspect, parts = saved
    limit = state.limit
    same = mark == _mark(limit.point, limit.rule, limit.hold_s, limit.clear_hold_s)
    if same and suspect is not None:
        state.suspect_s = now_s - (gap_s or 0.0) - float(suspect)
    by_mark: Mapping[int, Sequence[Any]] = {part[0]: part for part in parts}
    restored = 0
    for part in state.parts:
        found = by_mark.get(_mark(limit.point, part.spec))
        if found is None:
            continue
        _, measure, thresholds, latches, value = found
        if part.measure is not None:
            part.measure.restore(measure, now_s, gap_s)
        part.value = None if value is None else int(value)
        restored += 1
        if same and thresholds == _thresholds(part):
            for latch, (is_set, since) in zip(part.latches, latches, strict=True):
                latch.set = bool(is_set)
                latch.since_s = None if since is None else now_s - (gap_s or 0.0) - float(since)
    Limits.settle(state)
    return restored
