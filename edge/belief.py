"""Which readings are not to be believed: stuck, spiking, changing too fast, at odds with a twin. Pure.

They become SUSPECT: kept and sent, but no evidence for any limit and never an alarm by themselves (a `suspect` limit
says when nothing else comes). A doubt must not swallow a disaster, so none lasts on what is confirmed: the CONFIRM-th
reading running on one side of what was believed is believed, whether it stayed where the first went or runs on and on;
wild readings to both sides are not. Twins must differ CONFIRM times running (two instruments of one round are not read
in one instant); each reading of one is held against each of the other once. What is beyond an instrument's range is not
looked at: it may be the worst case, or no number at all (intake_nouns.py). Over a restart it is remembered for how long
a value has stood still, and nothing else: the first reading is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.contract import Doubt, Point

CONFIRM = 3  # readings: a spike is one or two
TWIN_PERIODS = 3.0  # an older reading of the twin says nothing
HOUR_S = 3600.0


@dataclass(slots=True)
class _Seen:
    """What is known of one point."""

    point: Point
    doubt: Doubt
    every_s: float
    twin: str = ""
    differs: float = 0.0
    believed: tuple[int, float] | None = None
    upwards: bool = False  # to which side of what is believed an unbelievable step went
    confirmed: int = 0  # readings running on that side
    same: tuple[int, float] | None = None  # a value, and since when nothing else has come
    apart: int = 0  # readings running that differed from the twin
    held_against: float | None = None  # the instant of the twin's reading that was compared last


class Beliefs:
    """Of all points that have doubts."""

    def __init__(self, points: Iterable[Point]) -> None:
        known = {point.id: point for point in points}
        self._seen: dict[str, _Seen] = {}
        self._last: dict[str, tuple[float, float]] = {}  # of points that are a twin: value in the unit, instant
        for point in known.values():
            if point.doubt:
                self._add(point, point.doubt.twin, float(point.doubt.twin_differs))
        for seen in list(self._seen.values()):
            if seen.twin and not (seen.twin in self._seen and self._seen[seen.twin].twin):
                self._add(known[seen.twin], seen.point.id, seen.differs)  # which of the two is wrong nobody knows
        self._periods_s = {point.id: point.every_ms / 1000 for point in known.values()}

    def _add(self, point: Point, twin: str, differs: float) -> None:
        self._seen[point.id] = _Seen(point, point.doubt or Doubt(), point.every_ms / 1000, twin, differs)

    def doubts(self, point: str, value: int, now_s: float) -> bool:
        """Whether a good reading of `point`, in whole steps, is not to be believed."""
        seen = self._seen.get(point)
        if seen is None:
            return False
        # Each looks at every reading: what one of them doubts the others must know of.
        stuck, jumped = _is_stuck(seen, value, now_s), _has_jumped(seen, value, now_s)
        return self._is_apart(seen, value, now_s) or stuck or jumped

    def same(self, now_s: float) -> dict[str, tuple[int, float, float]]:
        """Of points that may be stuck: what they show, for how long, and for how long they may."""
        return {
            point: (seen.same[0], now_s - seen.same[1], seen.doubt.stuck_s)
            if seen.same
            else (0, 0.0, seen.doubt.stuck_s)
            for point, seen in self._seen.items()
            if seen.doubt.stuck_s is not None
        }

    def go_on(self, same: Mapping[str, Sequence[Any]], now_s: float) -> None:
        """From what `same` said before a restart at `now_s`. The time in between does not count: nobody looked."""
        for point, (value, age_s, _) in same.items():
            seen = self._seen.get(point)
            if seen is not None and age_s and (seen.same is None or seen.same[0] == value):
                seen.same = (int(value), now_s - float(age_s))

    def _is_apart(self, seen: _Seen, value: int, now_s: float) -> bool:
        if not seen.twin:
            return False
        mine = value * float(seen.point.step)
        self._last[seen.point.id] = (mine, now_s)
        other = self._last.get(seen.twin)
        if other is None or now_s - other[1] > TWIN_PERIODS * self._periods_s[seen.twin]:
            seen.apart = 0
            return False
        if other[1] == seen.held_against:  # the slower of the two has said nothing new: no further proof
            return seen.apart >= CONFIRM
        seen.held_against = other[1]
        tolerance = seen.differs + float(seen.point.step) / 2  # 0.3 - 0.1 in binary is not to decide
        seen.apart = seen.apart + 1 if abs(mine - other[0]) > tolerance else 0
        return seen.apart >= CONFIRM


def _is_stuck(seen: _Seen, value: int, now_s: float) -> bool:
    if seen.doubt.stuck_s is None:
        return False
    if seen.same is None or seen.same[0] != value:
        seen.same = (value, now_s)
    return now_s - seen.same[1] >= seen.doubt.stuck_s


def _has_jumped(seen: _Seen, value: int, now_s: float) -> bool:
    if seen.doubt.spike is None and seen.doubt.rate_max is None:
        return False
    before = seen.believed
    if before is None or _is_near(seen, before, value, now_s):
        seen.believed, seen.confirmed = (value, now_s), 0
        return False
    upwards = value > before[0]
    seen.confirmed = seen.confirmed + 1 if seen.confirmed and upwards is seen.upwards else 1
    seen.upwards = upwards
    if seen.confirmed < CONFIRM:
        return True
    seen.believed, seen.confirmed = (value, now_s), 0
    return False


def _is_near(seen: _Seen, before: tuple[int, float], value: int, now_s: float) -> bool:
    """Whether a step from `before` is believable: after a silence, as many steps as there were periods."""
    step, passed_s = abs(value - before[0]), max(0.0, now_s - before[1])
    if seen.doubt.spike is not None and step > seen.doubt.spike * max(1.0, passed_s / seen.every_s):
        return False
    return seen.doubt.rate_max is None or step <= max(1.0, seen.doubt.rate_max * passed_s / HOUR_S)
