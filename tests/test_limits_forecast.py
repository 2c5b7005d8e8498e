"""The forecast of a slope's failure against an oracle that shares no code with it: numpy's least squares of 1/v, and
for the uncertainty many slopes with noise of their own, whose failures are known."""

from __future__ import annotations

import random
from decimal import Decimal
from statistics import median

import numpy as np
import pytest

from edge.contract import Of
from edge.measure_creep import BUCKETS, FAR_S, LAG, TimeToFailure, forecast
from edge.measure_nouns import Spec

HOUR_S = 3600.0
EVERY_S = 600.0
WINDOW_S = 48 * HOUR_S
FAILS_S = 100 * HOUR_S


def creep(at_s: float, size: float = 4e4) -> float:
    """Displacement in steps under 1/v falling on a straight line to zero at FAILS_S: v = size / (FAILS_S - t)."""
    return float(-size * np.log1p(-at_s / FAILS_S))


def by_numpy(dots: list[tuple[float, float]], now_s: float) -> float:
    """The zero of numpy's line through 1/v, seconds from now."""
    t, x = np.array(dots).T
    inverse = (t[LAG:] - t[:-LAG]) / (x[LAG:] - x[:-LAG])
    slope, at_zero = np.polyfit((t[LAG:] + t[:-LAG]) / 2 - now_s, inverse, 1)
    return float(-at_zero / slope)


@pytest.mark.parametrize("seed", range(40))
def test_the_zero_is_that_of_numpys_least_squares(seed: int) -> None:
    draw = random.Random(seed)
    now_s = draw.uniform(50, 90) * HOUR_S
    width_s = WINDOW_S / BUCKETS
    at_s = [now_s - WINDOW_S + (n + draw.uniform(0.3, 0.7)) * width_s for n in range(BUCKETS)]
    dots = [(t, creep(t) + draw.gauss(0, 20)) for t in at_s]
    ahead_s, _ = forecast(dots, now_s, 0.0)
    if ahead_s < FAR_S:
        assert ahead_s == pytest.approx(max(0.0, by_numpy(dots, now_s)), rel=1e-6)


def played(seed: int, noise: float, until_s: float) -> tuple[float, float]:
    """(when it is forecast to fail, one standard error) after readings of one slope with noise of `seed`."""
    draw = random.Random(seed)
    measure = TimeToFailure(Spec(Of.TIME_TO_FAILURE, EVERY_S, "s", Decimal(1), int(WINDOW_S)))
    at_s = until_s - WINDOW_S - HOUR_S
    ahead = None
    while at_s <= until_s:
        ahead = measure.take(round(creep(at_s) + draw.gauss(0, noise)), at_s)
        last_s, at_s = at_s, at_s + EVERY_S
    assert ahead is not None
    return (last_s + ahead, measure.uncertainty_s) if ahead < FAR_S else (FAR_S, 0.0)


def test_without_noise_it_names_the_hour() -> None:
    fails_s, _ = played(0, 0.0, 80 * HOUR_S)
    assert fails_s == pytest.approx(FAILS_S, abs=1 * HOUR_S)


def test_what_it_says_of_its_uncertainty_is_what_many_slopes_show() -> None:
    """Of 120 slopes that differ by their noise alone: the errors of the forecast are as large as it says."""
    told = [played(seed, 150.0, 80 * HOUR_S) for seed in range(120)]
    seen = [(fails_s, error_s) for fails_s, error_s in told if fails_s < FAR_S]
    assert len(seen) > 100
    spread_s = float(np.std([fails_s for fails_s, _ in seen]))
    said_s = median(error_s for _, error_s in seen)
    assert 0.5 < said_s / spread_s < 2.0
    inside = sum(abs(fails_s - FAILS_S) <= 2 * error_s + HOUR_S for fails_s, error_s in seen)
    assert inside / len(seen) > 0.85
