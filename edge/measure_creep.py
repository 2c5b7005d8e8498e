"""Creep before a slope fails: the tangent angle of the displacement-time curve, and the time to failure.

Tangent angle (Xu Qiang; JWCN 2021, doi 10.1186/s13638-021-02033-y, table 1): T = S / v, v the velocity of the
uniform-creep stage, which the site's engineer takes from its own record; the angle is arctan(dT/dt). 45 degrees is
uniform creep; 80 to 85 accelerates, above 85 it is about to fail. dS/dt is the robust rate of edge/measure_rate.py over
the window, so the curve is de-noised by medians; a movement over the window that is less than `noise` counts as uniform
creep at most.

Time to failure (Fukuzono 1985, with the usual exponent 2): 1/v falls on a straight line and reaches zero at the
failure. v is taken between medians LAG buckets apart, in the direction the window moves as a whole; the line is least
squares. The forecast is the time from now to its zero, its uncertainty one standard error of that zero (the
velocities overlap, so there are fewer independent ones than velocities). Where the slope does not accelerate (some
velocity is not above what noise makes, the line does not fall clearly) the answer is FAR, not nothing: a level that
was raised must be able to fall. It is a forecast under a law that not every slope obeys; the angle needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, degrees, sqrt
from typing import Any

from edge.contract import Input
from edge.measure_nouns import Spec, whole
from edge.measure_rate import SEEN, Dot, Medians, Rate

BUCKETS = 16  # under noise a forecast from fewer comes later
LAG = 4  # buckets: a velocity over a quarter of the window stands above the noise
CLEAR = 3.0  # standard errors by which the line of 1/v must fall
LEAST_VELOCITIES = 6
FAR_S = 3.6e7  # 10 000 h, more than a year: no failure in sight
UNIFORM_DEGREES = 45.0


class TangentAngle:
    """Degrees, times the spec's factor."""

    __slots__ = ("_factor", "_noise", "_rate", "_uniform")

    def __init__(self, spec: Spec) -> None:
        self._rate = Rate(spec)
        self._uniform, self._noise, self._factor = spec.uniform, spec.noise, spec.factor

    def take(self, value: int | None, at_s: float) -> int | None:
        if value is None:
            return None
        rate = self._rate.per_second(value, at_s)
        if rate is None:
            return None
        sign = 1.0 if self._uniform > 0 else -1.0  # a point that sinks has a negative velocity
        angle = degrees(atan2(rate * sign, abs(self._uniform)))
        medians = self._rate.medians
        if abs(medians.running()[1] - medians.closed[0][1]) < self._noise:
            angle = min(angle, UNIFORM_DEGREES)
        return whole(angle * self._factor)

    def state(self, now_s: float) -> list[Any]:
        return self._rate.state(now_s)

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        self._rate.restore(state, now_s, gap_s)


class TimeToFailure:
    """Seconds from now to the forecast failure, times the spec's factor; `inputs` has the uncertainty."""

    __slots__ = ("_factor", "_medians", "_noise", "_seen_s", "uncertainty_s")

    def __init__(self, spec: Spec) -> None:
        self._medians = Medians(spec.window_s, BUCKETS)
        self._seen_s, self._factor, self._noise = spec.window_s * SEEN, spec.factor, spec.noise
        self.uncertainty_s = 0.0

    def take(self, value: int | None, at_s: float) -> int | None:
        if value is None:
            return None
        medians = self._medians
        medians.take(value, at_s)
        dots = [*medians.closed, medians.running()]
        if len(dots) < LAG + LEAST_VELOCITIES or dots[-1][0] - dots[0][0] < self._seen_s:
            return None
        ahead_s, self.uncertainty_s = forecast(dots, medians.now, self._noise)
        return whole(ahead_s * self._factor)

    def inputs(self) -> tuple[Input, ...]:
        """The uncertainty, in whole steps of the measure."""
        return (Input("±", whole(min(self.uncertainty_s, FAR_S) * self._factor)),)

    def state(self, now_s: float) -> list[Any]:
        return self._medians.state(now_s)

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        self._medians.restore(state, now_s, gap_s)


def forecast(dots: Sequence[Dot], now: float, noise: float) -> tuple[float, float]:
    """(seconds from `now` to the failure, one standard error) from medians of displacement; FAR_S when none is seen."""
    sign = 1.0 if dots[-1][1] >= dots[0][1] else -1.0
    least = noise * LAG / BUCKETS
    line: list[Dot] = []
    for (t0, v0), (t1, v1) in zip(dots, dots[LAG:], strict=False):
        moved = (v1 - v0) * sign
        if moved <= least:
            return FAR_S, 0.0
        line.append(((t0 + t1) / 2 - now, (t1 - t0) / moved))
    return _zero(line)


def _zero(line: Sequence[Dot]) -> tuple[float, float]:
    """Where a falling least-squares line is zero, and the standard error of that."""
    count = len(line)
    t_sum = y_sum = tt_sum = ty_sum = yy_sum = 0.0
    scale = line[0][1]  # the numbers may be of any size: measured in the first of them, the squares stay exact enough
    for t, y in line:
        y /= scale
        t_sum += t
        y_sum += y
        tt_sum += t * t
        ty_sum += t * y
        yy_sum += y * y
    mean_t, mean_y = t_sum / count, y_sum / count
    spread, both = tt_sum - t_sum * mean_t, ty_sum - t_sum * mean_y
    if both >= 0 or spread <= 0:
        return FAR_S, 0.0
    slope = both / spread
    variance = (
        max(0.0, yy_sum - y_sum * mean_y - slope * both) / (count - 2) * LAG
    )  # neighbours share most of their data
    if -slope < CLEAR * sqrt(variance / spread):
        return FAR_S, 0.0
    zero = mean_t - mean_y / slope
    error = sqrt(variance * (1 / count + (zero - mean_t) ** 2 / spread)) / -slope
    return min(max(zero, 0.0), FAR_S), error
