"""Stretches of time as sorted lists of (from_s, to_s) that do not overlap, and what the judges ask of them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from edge.config.site import Limit

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
HOLD_S = 1.0  # a hold ends with the first value after it; values come a little earlier or later than the grid
# Of a hold (LIMITS.md, "A hold time"): this part of it and of a round; seconds, or this part of it, at most.
LET_OFF = 4, 1.0, 50
Stretch = tuple[float, float]
Stretches = list[Stretch]


def merged(stretches: Iterable[Stretch]) -> Stretches:
    """Sorted, and joined where they touch."""
    found: Stretches = []
    for low, high in sorted(stretches):
        if high <= low:
            continue
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def both(one: Sequence[Stretch], other: Sequence[Stretch]) -> Stretches:
    """Where both are."""
    found, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        low, high = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if low < high:
            found.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return found


def without(one: Sequence[Stretch], gaps: Sequence[Stretch]) -> Stretches:
    """Where `one` is and `gaps` are not."""
    found = []
    for low, high in one:
        for gap_low, gap_high in gaps:
            if gap_high <= low or gap_low >= high:
                continue
            if gap_low > low:
                found.append((low, gap_low))
            low = gap_high
        if low < high:
            found.append((low, high))
    return found


def holds(stretches: Sequence[Stretch], at_s: float) -> bool:
    """Whether an instant lies in one of them."""
    place = bisect_right(stretches, (at_s, float("inf"))) - 1
    return place >= 0 and at_s <= stretches[place][1]


def held(stretches: Sequence[Stretch], at_s: Floats) -> Bools:
    """The same of many instants."""
    if not stretches:
        return np.zeros(len(at_s), bool)
    lows = np.array([low for low, _ in stretches])
    highs = np.array([high for _, high in stretches])
    place = np.searchsorted(lows, at_s, "right") - 1
    inside: Bools = (place >= 0) & (at_s <= highs[np.maximum(place, 0)])
    return inside


def let_off_s(hold_s: float, every_s: float) -> float:
    """What a reading may lack of the hold that raises a level all the same: readings jitter, rounds do not."""
    part, least_s, of_hold = LET_OFF
    return min(hold_s / part, every_s / part, max(least_s, hold_s / of_hold))


def must_last_s(limit: Limit, stands: bool) -> float:
    """After how long on one side a level must stand, or be left. Half of what is let off is the readings' own."""
    if stands:
        return limit.hold_s - let_off_s(limit.hold_s, limit.judged.every_s) / 2
    return limit.clear_hold_s + HOLD_S if limit.clear_hold_s else 0.0


def held_for(
    at: Floats, run_ok: Bools, counts: Bools, lives: np.ndarray[tuple[int], np.dtype[np.int64]], lasts_s: float
) -> Floats:
    """Instants of values that surely counted, at which all has been on this side for so long, in one memory."""
    if not len(at):
        return at
    breaks = ~run_ok
    breaks[1:] |= lives[1:] != lives[:-1]
    run = np.cumsum(breaks)
    mine = np.flatnonzero(counts)
    _, first = np.unique(run[mine], return_index=True)
    lengths = np.diff(np.concatenate((first, [len(mine)])))
    since = np.repeat(at[mine][first], lengths)
    long: Floats = at[mine][at[mine] - since >= lasts_s]
    return long


def stood(
    times: Floats,
    levels: np.ndarray[tuple[int], np.dtype[np.int64]],
    at: Floats,
    level: int,
    stands: bool,
    slack_s: Floats,
) -> Bools:
    """Whether the level stood (or did not) at some moment near each instant. `levels` has NONE before the first."""
    fits = levels >= level if stands else levels < level
    counts = np.concatenate(([0], np.cumsum(fits)))
    low = np.searchsorted(times, at - slack_s, "right")
    high = np.searchsorted(times, at + slack_s, "right")
    some: Bools = counts[high + 1] > counts[low]
    return some


class Column:
    """Numbers that only grow in number; `all` is a view of them."""

    def __init__(self) -> None:
        self._room: Floats = np.empty(256)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    @property
    def all(self) -> Floats:
        return self._room[: self._used]

    def extend(self, more: Floats) -> None:
        need = self._used + len(more)
        if need > len(self._room):
            room = np.empty(max(need, 2 * len(self._room)))
            room[: self._used] = self.all
            self._room = room
        self._room[self._used : need] = more
        self._used = need
