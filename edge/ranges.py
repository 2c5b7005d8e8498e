"""A set of whole numbers kept as closed ranges: what is on the way, what is settled, what a receipt names.

Sequence numbers come in runs, so a handful of ranges stands for a hundred thousand entries. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class RangeSet:
    """Closed ranges, sorted, never touching each other."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._low: list[int] = []
        self._high: list[int] = []
        for low, high in ranges:
            self.add(low, high)

    def add(self, low: int, high: int) -> None:
        """Takes in `low`..`high`, both included. An empty range (high < low) adds nothing."""
        if high < low:
            return
        first = bisect_left(self._high, low - 1)
        last = bisect_right(self._low, high + 1)
        if first < last:
            low = min(low, self._low[first])
            high = max(high, self._high[last - 1])
        self._low[first:last] = [low]
        self._high[first:last] = [high]

    def discard(self, low: int, high: int) -> None:
        """Leaves out `low`..`high`, both included."""
        first = bisect_left(self._high, low)
        last = bisect_right(self._low, high)
        if high < low or first >= last:
            return
        kept: list[Range] = []
        if self._low[first] < low:
            kept.append((self._low[first], low - 1))
        if self._high[last - 1] > high:
            kept.append((high + 1, self._high[last - 1]))
        self._low[first:last] = [r[0] for r in kept]
        self._high[first:last] = [r[1] for r in kept]

    def gaps(self, low: int, high: int) -> Iterator[Range]:
        """The ranges within `low`..`high` that are not in the set, sorted."""
        for place in range(bisect_left(self._high, low), len(self._low)):
            if self._low[place] > high:
                break
            if low < self._low[place]:
                yield low, self._low[place] - 1
            low = self._high[place] + 1
        if low <= high:
            yield low, high

    def __contains__(self, number: int) -> bool:
        place = bisect_left(self._high, number)
        return place < len(self._low) and self._low[place] <= number

    def __iter__(self) -> Iterator[Range]:
        return zip(list(self._low), list(self._high), strict=True)

    def __bool__(self) -> bool:
        return bool(self._low)

    def __len__(self) -> int:
        """How many ranges, not how many numbers."""
        return len(self._low)

    def clear(self) -> None:
        self._low.clear()
        self._high.clear()


def to_ranges(numbers: Iterable[int]) -> list[Range]:
    """The closed ranges that hold exactly `numbers`, sorted."""
    found = RangeSet()
    for number in numbers:
        found.add(number, number)
    return list(found)
