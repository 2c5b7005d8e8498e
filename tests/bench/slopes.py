"""Why a rate is a median of slopes: what one wild reading does to it, and to least squares, on recorded series.

Each window of a day of the series, every STRIDE_H hours, is judged twice: as it was recorded, and with one reading of
it, at a random place, off by WILD times the usual change from one reading to the next. The error is by how much the
rate is another then. Pure; seeded.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from edge.contract import Of
from edge.measure_nouns import Spec
from edge.measure_rate import Rate
from tests.bench.figure import Figure, percentile, plain

SERIES = Path(__file__).parents[1] / "data/series"
NAMES = ("piezo_pb01a", "piezo_pb02a", "welltemp_pb01a", "baro")
HOUR_S = 3600.0
WINDOW_H, STRIDE_H = 24, 3
WILD = (50, 500)  # times the usual change from one reading to the next
SPEC = Spec(Of.RATE, HOUR_S, "1/h", Decimal(1), WINDOW_H * int(HOUR_S))

Row = tuple[float, int]


def run() -> Iterator[Figure]:
    """The figures of this part."""
    how = f"windows of a day, every {STRIDE_H} h; one reading off by so many times the usual change; steps an hour"
    for name in NAMES:
        rows = hourly(name)
        usual = statistics.mean(abs(after[1] - before[1]) for before, after in pairwise(rows))
        for wild in WILD:
            own, medians, squares = _errors(rows, wild * usual)
            yield plain(
                f"error of a rate, {name}, one wild by {wild}",
                f"own rate up to {max(own):.3g}; medians {_both(medians)}; least squares {_both(squares)}",
                f"{how}; 99th percentile / worst of {len(own)} windows",
            )


def _errors(rows: Sequence[Row], off: float) -> tuple[list[float], list[float], list[float]]:
    """The series' own rates, and by how much one wild reading moves each of the two."""
    chance, own, medians, squares = random.Random(1), list[float](), list[float](), list[float]()
    for start in range(0, len(rows) - WINDOW_H, STRIDE_H):
        window = rows[start : start + WINDOW_H + 1]
        spoilt = list(window)
        place = chance.randrange(len(spoilt))
        at_s, value = spoilt[place]
        spoilt[place] = at_s, value + round(chance.choice((-1, 1)) * off)
        right, wrong = rate(window), rate(spoilt)
        if right is not None and wrong is not None:
            own.append(abs(right))
            medians.append(abs(wrong - right))
            squares.append(abs(least_squares(spoilt) - least_squares(window)))
    return own, medians, squares


def hourly(name: str) -> list[Row]:
    """The first reading of each hour."""
    found: dict[int, Row] = {}
    for line in (SERIES / f"{name}.csv").read_text().splitlines():
        if line[:1].isdigit():
            at, value = line.split(",")
            found.setdefault(int(float(at) // HOUR_S), (float(at), int(value)))
    return list(found.values())


def rate(rows: Sequence[Row]) -> float | None:
    """Of the engine, steps an hour."""
    measure, found = Rate(SPEC), None
    for at_s, value in rows:
        found = measure.per_second(value, at_s)
    return None if found is None else found * HOUR_S


def least_squares(rows: Sequence[Row]) -> float:
    """Steps an hour."""
    return statistics.linear_regression([at_s for at_s, _ in rows], [value for _, value in rows]).slope * HOUR_S


def _both(errors: Sequence[float]) -> str:
    return f"{percentile(errors, 0.99):.3g} / {max(errors):.3g}"
