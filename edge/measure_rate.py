"""Rate of change, robust: the median of the slopes between medians (Theil-Sen on BUCKETS bounded buckets).

The window is cut into BUCKETS buckets of time. Of each the median reading and the median instant are kept, so a spike
or two in a bucket change nothing; the rate is the median of the slopes between all pairs of buckets, which up to a
quarter of bad buckets cannot carry off. Least squares was tried beside it on real series with one spike planted in a
window (edge/LIMITS.md has the figures): its error is many times larger, and its residual check finds the spike only by
giving no rate at all, which is no way to see a slope move. Only the running bucket changes with a reading, so the
slopes between the closed ones stay sorted: a reading costs BUCKETS divisions and one merge, whatever the window.

There is no rate before half of the window has been seen, nor from fewer than LEAST_BUCKETS buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge.measure_nouns import Spec, seen_until, whole

BUCKETS = 12  # 66 slopes: of a rate, more cost more and see hardly better
HELD = 15  # readings of the running bucket; of more, every second, then every fourth ... is held
LEAST_BUCKETS = 3
SEEN = 0.5  # of the window, before there is a rate

Dot = tuple[float, float]  # median instant, median reading


class Medians:
    """The buckets of a window: medians of the closed ones, oldest first, and the running one."""

    __slots__ = (
        *("_buckets", "_index", "_origin", "_seen", "_stride", "_times", "_values", "_width_s"),
        *("closed", "now", "numbers"),
    )

    def __init__(self, window_s: float, buckets: int = BUCKETS) -> None:
        self._buckets = buckets
        self._width_s = window_s / buckets
        self._origin: float | None = None
        self.now = 0.0
        self.closed: list[Dot] = []
        self.numbers: list[int] = []  # of the closed buckets
        self._open(0)

    def _open(self, index: int) -> None:
        self._index = index
        self._seen, self._stride = 0, 1
        self._times: list[float] = []
        self._values: list[int] = []  # in the order they came; sorted only when asked

    def take(self, value: int, at_s: float) -> bool:
        """Takes a reading; whether the closed buckets are others now."""
        if self._origin is None:
            self._origin = at_s
        now = self.now = max(self.now, at_s - self._origin)
        index = int(now / self._width_s)
        turned = index != self._index
        if turned:
            if self._times:
                self.closed.append(self.running())
                self.numbers.append(self._index)
            while self.numbers and self.numbers[0] <= index - self._buckets:
                del self.numbers[0], self.closed[0]
            self._open(index)
        if self._seen % self._stride == 0:
            if len(self._values) == HELD:  # thinned out: an even choice of all readings of the bucket
                del self._times[1::2], self._values[1::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self._times.append(now)
                self._values.append(value)
        self._seen += 1
        return turned

    def running(self) -> Dot:
        """The medians of the running bucket."""
        half, odd = divmod(len(self._times), 2)
        values, times = sorted(self._values), self._times
        if odd:
            return times[half], values[half]
        return (times[half - 1] + times[half]) / 2, (values[half - 1] + values[half]) / 2

    def state(self, now_s: float) -> list[Any]:
        age = None if self._origin is None else now_s - self._origin
        running = [self._index, self._seen, self._stride, self._times, self._values]
        return [age, self.now, self.numbers, [list(dot) for dot in self.closed], *running]

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        """An unknown gap begins anew: a rate over a time nobody knows is none."""
        age, now, numbers, closed, index, seen, stride, times, values = state
        if gap_s is None or age is None:
            return
        if not len(numbers) == len(closed) <= self._buckets or not len(times) == len(values) <= HELD or stride < 1:
            raise ValueError("the state of a rate does not fit together")
        seen_until(float(now), age)
        dots = [(float(at), float(value)) for at, value in closed]
        held = [float(at) for at in times], [int(value) for value in values]
        self.now, self._origin = float(now), now_s - gap_s - float(age)
        self.closed, self.numbers = dots, [int(number) for number in numbers]
        self._index, self._seen, self._stride = int(index), int(seen), int(stride)
        self._times, self._values = held


def slopes(dots: Sequence[Dot]) -> list[float]:
    """Between all pairs, sorted."""
    found = []
    for later in range(1, len(dots)):
        at, value = dots[later]
        found += [(value - v) / (at - t) for t, v in dots[:later]]
    found.sort()
    return found


class Rate:
    """Steps per second, times the spec's factor."""

    __slots__ = ("_between", "_factor", "_seen_s", "medians")

    def __init__(self, spec: Spec) -> None:
        self.medians = Medians(spec.window_s)
        self._seen_s = spec.window_s * SEEN
        self._factor = spec.factor
        self._between: list[float] | None = None  # sorted slopes between the closed buckets

    def take(self, value: int | None, at_s: float) -> int | None:
        if value is None:
            return None
        rate = self.per_second(value, at_s)
        return None if rate is None else whole(rate * self._factor)

    def per_second(self, value: int, at_s: float) -> float | None:
        """Takes a reading; the rate in steps per second, if there is one."""
        medians = self.medians
        if medians.take(value, at_s):
            self._between = None
        closed = medians.closed
        at, middle = medians.running()
        if len(closed) < LEAST_BUCKETS - 1 or at - closed[0][0] < self._seen_s:
            return None
        if self._between is None:
            self._between = slopes(closed)
        all_slopes = self._between + [(middle - v) / (at - t) for t, v in closed]
        all_slopes.sort()
        half, odd = divmod(len(all_slopes), 2)
        return all_slopes[half] if odd else (all_slopes[half - 1] + all_slopes[half]) / 2

    def state(self, now_s: float) -> list[Any]:
        return self.medians.state(now_s)

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        self.medians.restore(state, now_s, gap_s)
        self._between = None
