"""The judges' bounds hold the engine's own numbers, whatever is lost, reset or wild; a siren's relay keeps a record."""

from __future__ import annotations

import random
from decimal import Decimal

import numpy as np
import pytest

from edge.contract import Of
from edge.measure_nouns import Spec
from edge.measure_plain import Difference
from edge.measures import make
from sim.modbus_slave import crc16
from sim.models import models_of
from sim.world.bend import Signal
from sim.world.judge_numbers import Shows, bounds
from sim.world.nouns import Trouble
from sim.world.stage import standard

EVERY_S, WINDOW_S = 10.0, 1800
COUNTER = Spec(Of.SUM, EVERY_S, "mm", Decimal(1), WINDOW_S, counter=True)
RATE = Spec(Of.RATE, EVERY_S, "mm/h", Decimal(1), WINDOW_S, factor=3600.0)
DIFFERENCE = Spec(Of.DIFFERENCE, EVERY_S, "mm", Decimal(1), other="q", other_every_s=EVERY_S)
TICKS = 900


def series(draw: random.Random, chance: float) -> list[tuple[float, int, bool]]:
    """Instant, value, whether it was surely taken; some were shown and may not have been."""
    value, found, doubtful_until = 100, [], -1
    for tick in range(TICKS):
        value += draw.choice([0, 0, 0, 0, 1, 2])
        if draw.random() < chance:
            value = draw.choice([0, 3])
        if draw.random() < chance:
            doubtful_until = tick + draw.choice([1, 3, 20, 100])
        wild = draw.choice([-50, 400]) if draw.random() < chance else 0
        found.append((tick * EVERY_S, max(0, value + wild), tick > doubtful_until))
    return found


@pytest.mark.parametrize("taken", [0.5, 0.1, 0.0])  # of what may have been taken; of none, whole silences
@pytest.mark.parametrize("chance", [0.0, 0.003, 0.02])
@pytest.mark.parametrize("seed", [*range(12), 37])  # 37: a fall before the window that is noticed in it
def test_a_sum_lies_within_its_bounds(seed: int, chance: float, taken: float) -> None:
    draw = random.Random(f"{seed}/{chance}/{taken}")
    shown = series(draw, chance)
    measure, when, numbers = make(COUNTER), [], []
    for at_s, value, sure in shown:
        if sure or draw.random() < taken:
            numbers.append(measure.take(value, at_s))
            when.append(at_s)
    at, steps, sures = (np.array(column) for column in zip(*shown, strict=True))
    low, high = bounds(COUNTER, Shows(at, steps.astype(float), sures.astype(bool)), None, np.array(when))
    told = np.array(numbers, float)
    assert bool(np.all((low - 1 <= told) & (told <= high + 1)))
    assert chance or float(np.max(high - low)) < 15  # and they say something


@pytest.mark.parametrize("slope", [0.0, 0.02, -0.05])
def test_a_rate_lies_within_its_bounds(slope: float) -> None:
    draw = random.Random(str(slope))
    at = np.array([tick * EVERY_S for tick in range(TICKS)])
    steps = np.array([float(round(slope * at_s + draw.uniform(-2, 2))) for at_s in at.tolist()])
    sure = np.array([draw.random() < 0.9 for _ in at])
    measure = make(RATE)
    when, numbers = [], []
    for at_s, value, taken in zip(at.tolist(), steps.tolist(), sure.tolist(), strict=True):
        number = measure.take(int(value), at_s) if taken or draw.random() < 0.5 else None
        if number is not None:
            when.append(at_s)
            numbers.append(number)
    low, high = bounds(RATE, Shows(at, steps, sure), None, np.array(when))
    told = np.array(numbers, float)
    assert bool(np.all((low - 1 <= told) & (told <= high + 1)))
    assert float(np.min(high - low)) < 80


@pytest.mark.parametrize("seed", range(12))
def test_a_difference_lies_within_its_bounds(seed: int) -> None:
    """Each time the first one shows something, as it stood then or until the next turn; any reading may be missed."""
    draw, measure = random.Random(seed), make(DIFFERENCE)
    assert isinstance(measure, Difference)
    value, stands, doubtful_until = [100, 100], float("nan"), [-1, -1]
    shown: list[list[tuple[float, float, bool]]] = [[], []]
    numbers = []
    for tick in range(TICKS):
        stood = stands
        for which, take in ((0, measure.take), (1, measure.take_other)):
            value[which] += draw.choice([0, 0, 0, 1, -1, 20, -20])
            if draw.random() < 0.02:
                doubtful_until[which] = tick + draw.choice([0, 1, 3, 8])
            at_s, sure = tick * EVERY_S + which * 0.2, tick > doubtful_until[which]
            shown[which].append((at_s, value[which], sure))
            if (sure or draw.random() < 0.3) and (number := take(value[which], at_s)) is not None:
                stands = float(number)
        numbers.append((stood, stands))
    mine, other = (Shows(*(np.array(column) for column in zip(*one, strict=True))) for one in shown)
    low, high = bounds(DIFFERENCE, mine, other, mine.at)
    known = np.isfinite(low)
    wrong = [not any(a - 1 <= number <= b + 1 for number in two) for a, b, two in zip(low, high, numbers, strict=True)]
    assert not any(np.array(wrong) & known)
    assert int(known.sum()) > TICKS / 2


def test_a_counter_is_set_to_zero_pours_and_goes_wild() -> None:
    signal = Signal(lambda at_s: at_s)
    reset = Trouble("point.reset", 100.0, 1.0, "p")
    signal.bend([reset], 100.0)
    assert signal.at(150.0) == 50.0
    signal.bend([], 101.0)
    assert signal.at(150.0) == 50.0
    pour = Trouble("point.pour", 200.0, 3600.0, "p", 10.0)
    signal.bend([pour], 200.0)
    signal.bend([], 3800.0)
    assert signal.at(3800.0) == pytest.approx(3710.0)
    assert signal.at(3900.0) == pytest.approx(3810.0)
    signal.bend([Trouble("point.wild", 3900.0, 5.0, "p")], 3900.0)
    assert signal.at(3901.0) > 1e8
    signal.bend([], 3905.0)
    assert signal.at(3905.0) == pytest.approx(3815.0)


def test_a_relay_falls_by_its_own_timer_and_says_when() -> None:
    _, site = standard()
    siren = models_of(site, lambda _point: lambda _at_s: 0.0)["siren"]
    order = bytes([1, 5, 2, 0, 0, 100])
    (said,) = siren.hear(order + crc16(order), 50.0)
    assert said.data == order + crc16(order)
    assert siren.switched("siren", 55.0) == [(50.0, True)]  # type: ignore[attr-defined]
    assert siren.switched("siren", 61.0) == [(50.0, True), (60.0, False)]  # type: ignore[attr-defined]


def test_the_standard_site_has_forty_points() -> None:
    _, site = standard()
    assert len(site.points) == 40
    assert {limit.judged.spec.of for limit in site.limits if limit.judged.spec} == {Of.SUM, Of.RATE, Of.DIFFERENCE}
