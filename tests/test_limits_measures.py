"""Measures against their slow oracles: gaps, repeats, disorder, missing values, restarts at any moment."""

from __future__ import annotations

import contextlib
import math
import random
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.contract import Of
from edge.measure_creep import FAR_S
from edge.measure_nouns import DAMAGED, Measure, Spec
from edge.measure_plain import Difference
from edge.measures import KINDS, make
from tests import limit_oracles as oracles

EVERY_S = 2.0
# Mostly on time, sometimes again at once, late, or after a long silence; a value, or none.
STEP = st.sampled_from([2, 2, 2, 2, 2, 2, 0, 1, 3, -2, -5, 7, 40, 200])
SERIES = st.lists(st.tuples(STEP, st.none() | st.integers(0, 40)), min_size=1, max_size=90)


def spec(of: Of, window_s: int = 0, **more: object) -> Spec:
    return Spec(of, EVERY_S, "mm", Decimal(1), window_s, **more)  # type: ignore[arg-type]


def instants(steps: list[tuple[int, int | None]], start: float = 1000.0) -> list[tuple[float, int | None]]:
    at, found = start, []
    for step, value in steps:
        at += step
        found.append((at, value))
    return found


def again(measure: Measure, what: Spec, at_s: float, restarts: random.Random) -> tuple[Measure, float]:
    """Another measure that goes on from this one after a restart: another boot, whose clock counts from elsewhere."""
    shift_s = float(restarts.randrange(-900, 100_000))
    other = make(what)
    other.restore(measure.state(at_s), at_s + shift_s, 0.0)
    return other, shift_s


def check(what: Spec, steps: list[tuple[int, int | None]], seed: int) -> None:
    """Every answer is the oracle's, with restarts anywhere."""
    restarts, measure, shift_s = random.Random(seed), make(what), 0.0
    series = instants(steps)
    for index, (at, value) in enumerate(series):
        found = measure.take(value, at + shift_s)
        history = oracles.forward(series[: index + 1])
        assert found == (None if value is None else expected(what, history)), (index, at, value)
        if restarts.random() < 0.1:
            now = max(t for t, _ in series[: index + 1])
            measure, more_s = again(measure, what, now + shift_s, restarts)
            shift_s += more_s


def expected(what: Spec, history: list[tuple[float, int]]) -> int | None:
    now = history[-1][0]
    if what.of is Of.SUM:
        return oracles.sum_of_amounts(what, history, now)
    if what.of is Of.TOTAL:
        return history[-1][1] - (history[0][1] if what.start is None else what.start)
    if what.of in (Of.RATIO, Of.VALUE):
        return round(history[-1][1] * what.factor)
    number = {
        Of.MEAN: lambda: oracles.mean_of(what, history, now),
        Of.RATE: lambda: oracles.rate_of(what, history),
    }.get(what.of, lambda: oracles.angle_of(what, history))()
    return None if number is None else round(number * what.factor)


@pytest.mark.parametrize(
    "what",
    [
        spec(Of.SUM, 2),
        spec(Of.SUM, 10),
        spec(Of.SUM, 60),
        spec(Of.SUM, 700),
        spec(Of.MEAN, 10, factor=64.0),
        spec(Of.MEAN, 100, factor=64.0),
        spec(Of.RATE, 24, factor=1024.0),
        spec(Of.RATE, 60, factor=1024.0),
        spec(Of.TANGENT_ANGLE, 36, factor=10.0, uniform=0.5, noise=4.0),
        spec(Of.TANGENT_ANGLE, 36, factor=10.0, uniform=-0.5),
        spec(Of.TOTAL),
        spec(Of.TOTAL, start=7),
        spec(Of.RATIO, factor=0.3),
    ],
    ids=lambda what: f"{what.of.name.lower()}-{what.window_s}",
)
def test_a_measure_says_what_its_oracle_says(what: Spec) -> None:
    @given(SERIES, st.integers(0, 1000))
    @settings(max_examples=60, deadline=None)
    def story(steps: list[tuple[int, int | None]], seed: int) -> None:
        check(what, steps, seed)

    story()


@given(st.lists(st.tuples(st.sampled_from([0, 2, 2, 2, 50]), st.integers(0, 9)), min_size=1, max_size=300))
@settings(max_examples=60, deadline=None)
def test_a_long_window_is_never_too_small_and_hardly_too_large(steps: list[tuple[int, int]]) -> None:
    """Readings closer than a 720th of the window share an entry: right within a 720th of the window."""
    what = spec(Of.SUM, 7200)  # pieces of 10 s
    measure = make(what)
    history: list[tuple[float, int]] = []
    for at, value in instants(list(steps)):
        history.append((at, value or 0))
        found = measure.take(value, at)
        longer = replace(what, window_s=7210)
        least, most = (oracles.sum_of_amounts(each, history, at) for each in (what, longer))
        assert found is not None
        assert least <= found <= most


def rises(values: list[int]) -> int:
    """What a counter that is never set to zero gained."""
    return sum(max(0, after - before) for before, after in pairwise(values))


@given(st.lists(st.tuples(st.sampled_from([2, 2, 3, 40, 900]), st.integers(0, 9)), min_size=1, max_size=60))
@settings(deadline=None)
@example([(2, 5), (900, 9), (2, 0)])
def test_a_counter_loses_nothing_over_silences(steps: list[tuple[int, int]]) -> None:
    measure, count, values, at = make(spec(Of.SUM, 100_000, counter=True)), 0, [], 0.0
    found: int | None = 0
    for step, more in steps:
        at, count = at + step, count + more
        values.append(count)
        found = measure.take(count, at)
    assert found == rises(values)


def test_a_few_readings_after_a_long_silence_are_no_mean() -> None:
    measure = make(spec(Of.MEAN, 60))
    assert [measure.take(10, at) for at in range(0, 60, 2)] == [None] * 14 + [10] * 16
    assert measure.take(40, 90) == 12, "half of it was not seen"
    for at in range(92, 120, 2):
        measure.take(10, at)
    assert [measure.take(80, at) for at in range(152, 184, 2)] == [None] * 14 + [80] * 2


def test_what_a_counter_gained_in_a_silence_fell_during_all_of_it() -> None:
    hour, day = make(spec(Of.SUM, 3600, counter=True)), make(spec(Of.SUM, 86_400, counter=True))
    for measure in (hour, day):
        measure.take(0, 0.0)
        measure.take(10, 2.0)
    assert day.take(370, 36_000.0) == 370
    assert hour.take(370, 36_000.0) == pytest.approx(36, abs=1)  # not 370 mm in an hour


@pytest.mark.parametrize("glitch", [[60_000], [0], [60_000, 59_000, 60_001], [0, 1, 3]])
@pytest.mark.parametrize("restarts", [False, True])
def test_what_fell_in_a_silence_that_a_glitch_ended_fell_during_all_of_it(glitch: list[int], restarts: bool) -> None:
    what = spec(Of.SUM, 3600, counter=True)
    measure, at_s = make(what), 7200.0
    measure.take(100, 0.0)
    for wild in glitch:
        measure.take(wild, at_s)
        at_s += 2.0
    if restarts:
        measure, shift_s = again(measure, what, at_s, random.Random(1))
        at_s += shift_s
    assert [measure.take(172, at_s + later_s) for later_s in (0.0, 1800.0, 3610.0)] == pytest.approx([36, 18, 0], abs=1)


def test_what_a_file_of_an_older_kind_knew_of_a_counter_goes_on() -> None:
    what = spec(Of.SUM, 3600, counter=True)
    measure, other = make(what), make(what)
    for value, at_s in ((100, 0.0), (110, 2.0), (400, 4.0)):
        measure.take(value, at_s)
    state = measure.state(4.0)
    risen = [rise[:3] for rise in state[7]]
    other.restore([*state[:7], risen], 4.0, 0.0)
    assert other.take(111, 6.0) == 11


@pytest.mark.parametrize(
    ("values", "gained"),
    [
        ([0, 5, 5, 9], 9),
        ([500, 503, 0, 2, 3], 3 + 3),  # set to zero: from there on
        ([500, 503, 0, 504, 506], 3 + 1 + 2),  # a glitch: it had not been set to zero
        ([500, 0, 0, 0, 503], 3),
        ([500, 499, 500, 501], 1),  # it shivers
        ([500, 501, 65000, 501, 503], 1 + 2),  # a glitch upwards: it had never been there
        ([500, 65000, 64000, 65535, 503, 504], 3 + 1),
        ([500, 0, 2, 503], 3),  # what was counted meanwhile had not been, either
    ],
)
def test_counters_that_fall(values: list[int], gained: int) -> None:
    measure = make(spec(Of.SUM, 600, counter=True))
    assert [measure.take(value, 2.0 * i) for i, value in enumerate(values)][-1] == gained


def test_a_counter_set_to_zero_in_a_long_silence_has_counted_what_it_shows() -> None:
    day = make(spec(Of.SUM, 86_400, counter=True))
    assert [day.take(value, at) for value, at in ((5000, 0.0), (5001, 2.0), (800, 21_602.0))] == [0, 1, 801]
    assert day.take(803, 21_604.0) == 1 + 803
    assert day.take(5004, 21_606.0) == 1 + 3, "it was a glitch after all"


EVENTS_OF_A_COUNTER = st.lists(
    st.tuples(
        st.sampled_from(["up", "down", "zero"]),
        st.lists(st.integers(0, 9), min_size=1, max_size=3),  # how long, and what rains meanwhile
        st.lists(st.integers(0, 9), min_size=4, max_size=12),  # what rains until the next
    ),
    max_size=12,
)


@given(EVENTS_OF_A_COUNTER, st.integers(10, 60), st.integers(0, 999))
@settings(deadline=None)
def test_a_counter_that_glitches_and_is_set_to_zero_is_right_in_every_window(
    events: list[tuple[str, list[int], list[int]]], readings: int, seed: int
) -> None:
    """The oracle is the rain itself: what fell while the gauge did not say so counts when it does again."""
    what, restarts = spec(Of.SUM, 2 * readings, counter=True), random.Random(seed)
    measure, shift_s, count, zero, fallen, at = make(what), 0.0, 5000, 4500, 0, 0.0
    rain: list[tuple[float, int]] = []
    measure.take(count, at)
    for kind, wrong, after in events:
        if kind == "zero":
            at, zero = at + 2.0, zero - 300  # what fell in that period is lost
            count = zero
            measure.take(count, at + shift_s)
        else:
            for index, more in enumerate(wrong):
                at, count, fallen = at + 2.0, count + more, fallen + more
                measure.take(60_000 - index if kind == "up" else index, at + shift_s)
        for more in after:
            at, count = at + 2.0, count + more
            rain.append((at, more + fallen))
            fallen = 0
            in_window = sum(amount for when, amount in rain if when > at - 2 * readings + 1)
            assert measure.take(count, at + shift_s) == in_window
            if restarts.random() < 0.1:
                measure, more_s = again(measure, what, at + shift_s, restarts)
                shift_s += more_s


TWO = st.lists(st.tuples(st.sampled_from([0, 1, 1, 2, 30]), st.booleans(), st.none() | st.integers(0, 9)), max_size=60)


@given(TWO, st.sampled_from([(2.0, 2.0), (2.0, 20.0), (20.0, 2.0)]))
def test_a_difference_says_what_its_oracle_says(
    steps: list[tuple[int, bool, int | None]], every: tuple[float, float]
) -> None:
    what = replace(spec(Of.DIFFERENCE, factor=1.0), every_s=every[0], other_every_s=every[1], other="b")
    measure = make(what)
    assert isinstance(measure, Difference)
    at, new = 0.0, {False: False, True: False}
    last: dict[bool, tuple[int, float]] = {}
    gaps, paired = {False: math.inf, True: math.inf}, -math.inf
    for step, is_other, value in steps:
        at += step
        found = (measure.take_other if is_other else measure.take)(value, at)
        wanted = None
        if value is not None:
            gaps[is_other] = at - last[is_other][1] if is_other in last else math.inf
            last[is_other], new[is_other] = (value, at), True
            partner = last.get(not is_other)
            fresh = partner is not None and at - partner[1] <= 3 * every[0 if is_other else 1]
            if every[0] == every[1]:
                pace = min(every[0], *gaps.values())
                pace = pace if at - paired <= 3 * pace else every[0]
                near = partner is not None and at - partner[1] <= pace / 2
                judged = near and new[True] and new[False]
            else:
                judged = fresh and is_other == (every[1] < every[0])
            if judged:
                wanted = last[False][0] - last[True][0]
                new, paired = {False: False, True: False}, at
        assert found == wanted


def differences(behind_s: float, silent: tuple[int, bool], jitter: random.Random) -> list[int]:
    """Of two points read every 2 s, the other one later, that both step up at 39.5 s; one misses one turn."""
    measure = make(replace(spec(Of.DIFFERENCE, factor=1.0), every_s=2.0, other_every_s=2.0, other="b"))
    assert isinstance(measure, Difference)
    found = []
    for turn in range(30):
        for late_s, take, is_other in ((0.0, measure.take, False), (behind_s, measure.take_other, True)):
            at_s = 2.0 * turn + late_s + jitter.uniform(0.0, 0.05)
            number = None if silent == (turn, is_other) else take(500 if at_s >= 39.5 else 450, at_s)
            found += [] if number is None else [number]
    return found


@pytest.mark.parametrize("other_misses", [False, True])
@pytest.mark.parametrize("behind_s", [0.0, 0.3, 1.7, 1.9])
def test_a_step_that_both_take_is_no_difference_after_one_has_missed_a_turn(
    behind_s: float, other_misses: bool
) -> None:
    found = differences(behind_s, (10, other_misses), random.Random(1))
    assert set(found) == {0}
    assert len(found) >= 28


@pytest.mark.parametrize("behind_s", [0.9, 0.95, 1.0, 1.05, 1.1])
def test_points_read_half_a_turn_apart_are_compared_each_turn(behind_s: float) -> None:
    assert len(differences(behind_s, (10, False), random.Random(1))) >= 28


def test_every_kind_begins_anew_from_damage() -> None:
    for of in KINDS:
        what = spec(of, 600, uniform=1.0)
        measure = make(what)
        for i in range(400):
            measure.take(i, 2.0 * i)
        good = measure.state(800.0)
        for bad in ([], [None], [None] * len(good), ["x"] * len(good), [*good, 1], good[:-1]):
            other = make(what)
            with contextlib.suppress(*DAMAGED):
                other.restore(bad, 0.0, 0.0)
            other.take(5, 1.0)


def test_an_unknown_time_keeps_sums_and_begins_rates_anew() -> None:
    total, rate = make(spec(Of.SUM, 600)), make(spec(Of.RATE, 60))
    for i in range(100):
        total.take(1, 2.0 * i)
        rate.take(i, 2.0 * i)
    other, fresh = make(spec(Of.SUM, 600)), make(spec(Of.RATE, 60))
    other.restore(total.state(198.0), 5.0, None)
    fresh.restore(rate.state(198.0), 5.0, None)
    assert other.take(1, 7.0) == 101
    assert fresh.take(500, 7.0) is None


# -- the rate is robust ------------------------------------------------------------------------------------------------


@given(st.integers(-50, 50), st.lists(st.integers(0, 199), max_size=8), st.integers(-(10**6), 10**6))
@settings(deadline=None)
def test_wild_readings_do_not_carry_a_rate_off(slope: int, where: list[int], wild: int) -> None:
    measure = make(spec(Of.RATE, 400, factor=1.0))
    found = None
    for i in range(200):
        found = measure.take(wild if i in where else 2 * i * slope, 2.0 * i)
    # Eight in two hundred: three a bucket spoil a bucket, two such are not enough.
    assert found is not None
    assert abs(found - slope) <= max(1, abs(slope))


# -- time to failure ---------------------------------------------------------------------------------------------------


def creep(at_s: float, failure_s: float, scale: float) -> float:
    """Displacement whose inverse velocity falls on a line: Fukuzono's law with exponent 2."""
    return -scale * math.log((failure_s - at_s) / failure_s)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_failure_is_forecast_within_its_own_uncertainty(noise: float) -> None:
    chance, failure_s = random.Random(5), 200 * 3600.0
    measure = make(replace(spec(Of.TIME_TO_FAILURE, 72 * 3600, factor=1 / 360), every_s=600.0))  # tenths of an hour
    for i in range(1170):
        at = 600.0 * i
        found = measure.take(round(creep(at, failure_s, 200) + chance.gauss(0, noise)), at)
        left_h = (failure_s - at) / 3600
        if left_h in (60.0, 40.0, 30.0, 20.0, 10.0):
            assert found is not None
            spread_h = measure.uncertainty_s / 3600  # type: ignore[attr-defined]
            assert abs(found / 10 - left_h) <= max(2 * spread_h, 0.15 * left_h), (left_h, found / 10, spread_h)


@pytest.mark.parametrize("law", ["uniform", "still", "slowing"])
def test_a_slope_that_does_not_accelerate_has_no_failure_in_sight(law: str) -> None:
    chance = random.Random(7)
    measure = make(replace(spec(Of.TIME_TO_FAILURE, 72 * 3600, factor=1 / 360, noise=5.0), every_s=600.0))
    seen = set()
    for i in range(2000):
        hours = i / 6
        moved = {"uniform": 2 * hours, "still": 0.0, "slowing": 60 * math.log(1 + hours)}[law]
        found = measure.take(round(moved + chance.gauss(0, 2)), 600.0 * i)
        if found is not None:
            seen.add(found)
    assert seen == {round(FAR_S / 360)}
