"""Readings beyond the instrument's range, and instruments that fall silent just when it matters."""

from __future__ import annotations

from decimal import Decimal
from math import log
from pathlib import Path

import pytest

from edge.belief import Beliefs
from edge.contract import Alarm, Change, Level, Of, Quality, Rule
from edge.limits import Limit, Limits
from edge.measure_nouns import Spec
from tests.limit_sites import limit, point, site_of

BLUE, YELLOW, ORANGE, RED = Level.BLUE, Level.YELLOW, Level.ORANGE, Level.RED
GOOD, OVER = Quality.GOOD, Quality.OVER_RANGE
WILD = 0xFFFF  # what a register shows that has no answer


def spec(of: Of, window_s: int = 0, **more: object) -> Spec:
    return Spec(of, 60.0, "mm", Decimal("0.1"), window_s, **more)  # type: ignore[arg-type]


def above(red: int, what: Spec | None, **more: object) -> Limits:
    return Limits([Limit("x", "p", Rule.ABOVE, ((RED, red),), spec=what, **more)], 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "calm"),
    [
        (spec(Of.SUM, 86_400, counter=True), 120),
        (spec(Of.SUM, 3600), 2),
        (spec(Of.MEAN, 3600, factor=10.0), 20),
        (spec(Of.RATE, 3600, factor=360_000.0), 20),
        (spec(Of.TOTAL), 20),
        (spec(Of.TANGENT_ANGLE, 3600, factor=10.0, uniform=0.001), 20),
        (spec(Of.DIFFERENCE, other="q", other_every_s=60.0), 20),
    ],
)
def test_one_wild_register_makes_no_alarm_out_of_a_window(what: Spec, calm: int) -> None:
    limits = above(1000, what)
    for minute in range(300):
        beyond = minute in (0, 100)
        told = limits.judge("p", WILD if beyond else calm, OVER if beyond else GOOD, 60.0 * minute)
        told += limits.judge("q", calm, GOOD, 60.0 * minute + 1)
        assert told == []


@pytest.mark.parametrize("what", [None, spec(Of.RATIO), spec(Of.TOTAL, start=5)])
def test_a_value_beyond_the_range_is_judged_where_the_value_itself_is(what: Spec | None) -> None:
    limits = above(1000, what)
    assert [alarm.level for alarm in limits.judge("p", WILD, OVER, 0.0)] == [RED]


CREEP = [
    (Limit("x", "p", Rule.ABOVE, ((RED, 50),), spec=spec(Of.RATE, 43_200, factor=3600.0)), 3.0),
    (Limit("x", "p", Rule.ABOVE, ((RED, 850),), spec=spec(Of.TANGENT_ANGLE, 43_200, factor=10.0, uniform=0.002)), 3.0),
    (Limit("x", "p", Rule.BELOW, ((RED, 240),), spec=spec(Of.TIME_TO_FAILURE, 43_200, factor=1 / 360)), 3.0),
]


@pytest.mark.parametrize(("limit", "least_h"), CREEP)
def test_a_crack_meter_at_its_end_does_not_end_the_alarm_before_the_failure(limit: Limit, least_h: float) -> None:
    """Displacement that runs away to a failure after 100 h; the instrument's range ends hours before."""
    limits, told, failure_s = Limits([limit], 0.0), list[tuple[float, Alarm]](), 360_000.0
    beyond_s = 0.0
    for minute in range(140 * 60):
        at_s = 60.0 * minute
        moved = round(-1500 * log((failure_s - at_s) / failure_s)) if at_s < failure_s else WILD
        beyond_s = beyond_s or (at_s if moved > 4000 else 0.0)
        told += [(at_s, alarm) for alarm in limits.judge("p", min(moved, 4000), OVER if moved > 4000 else GOOD, at_s)]
    assert told[-1][1].level is RED
    assert told[-1][0] < beyond_s < failure_s - least_h * 3600


# -- a hold time, and silence ------------------------------------------------------------------------------------------


def held(**more: object) -> Limits:
    levels = ((YELLOW, 10), (RED, 40))
    limit = Limit("x", "p", Rule.ABOVE, levels, hold_s=600.0, clear_hold_s=600.0, every_s=60.0, **more)  # type: ignore[arg-type]
    return Limits([limit], 0.0)


def silence(limits: Limits, since: int, until: int) -> list[tuple[int, Level]]:
    found = []
    for minute in range(since, until):
        told = limits.judge("p", None, Quality.NO_ANSWER, 60.0 * minute) + limits.tick(60.0 * minute)
        found += [(minute, alarm.level) for alarm in told]
    return found


def test_an_instrument_destroyed_within_the_hold_time_has_said_enough() -> None:
    limits = held()
    for minute in range(9):
        assert limits.judge("p", 50 if minute else 20, GOOD, 60.0 * minute) + limits.tick(60.0 * minute) == []
    assert silence(limits, 9, 500) == [(11, RED)]


def test_one_reading_before_the_silence_is_not_enough() -> None:
    limits = held()
    limits.judge("p", 50, GOOD, 0.0)
    assert silence(limits, 1, 500) == []


def test_a_pause_shorter_than_three_periods_waits_for_the_next_reading() -> None:
    limits = held()
    for minute in (0, 9):
        limits.judge("p", 50, GOOD, 60.0 * minute)
    assert silence(limits, 10, 12) == []
    assert limits.judge("p", 0, GOOD, 720.0) == []
    assert silence(limits, 13, 500) == []


def test_silence_ends_no_level() -> None:
    limits = held()
    for minute in range(11):
        limits.judge("p", 50, GOOD, 60.0 * minute)
    for minute in range(11, 20):
        limits.judge("p", 0, GOOD, 60.0 * minute)
    assert silence(limits, 20, 500) == []
    assert limits.levels()["x"] is RED


# -- what a release waits for ------------------------------------------------------------------------------------------


def test_a_limit_is_sure_only_of_what_it_heard_since_the_start() -> None:
    limits = held()
    limits.judge("p", 0, GOOD, -60.0)  # played again from the store
    limits.restore({"x": (Level.NONE, None)})
    assert not limits.sure("x")
    limits.judge("p", 50, GOOD, 0.0)
    assert not limits.sure("x"), "a hold time runs"
    limits.judge("p", 0, GOOD, 60.0)
    assert limits.sure("x")
    limits.doubt({"x"})
    limits.judge("p", 9, GOOD, 120.0)
    assert not limits.sure("x"), "not for as long as it takes to leave a level"
    limits.judge("p", 9, GOOD, 720.0)
    assert limits.sure("x")
    limits.doubt({"x"})
    assert not limits.sure("x")
    limits.forget(())
    assert limits.sure("x"), "it is known after all, and was heard"


# -- a level that is in the site file no more --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stood", "left", "value", "told"),
    [
        (BLUE, ((RED, 100),), 20, (Level.NONE, Change.CLEARED)),
        (RED, ((BLUE, 10),), 120, (BLUE, Change.CHANGED)),
        (ORANGE, ((BLUE, 10), (RED, 100)), 20, (BLUE, Change.CHANGED)),
        (RED, ((RED, 100),), 120, None),
    ],
)
def test_the_end_of_a_level_that_was_taken_out_is_told(
    stood: Level, left: tuple[tuple[Level, int], ...], value: int, told: tuple[Level, Change] | None
) -> None:
    limits = Limits([Limit("x", "p", Rule.ABOVE, left)], 0.0)
    limits.restore({"x": (stood, value)})
    found = limits.tick(0.0)
    assert [(alarm.level, alarm.change) for alarm in found] == ([told] if told else [])
    assert limits.judge("p", value, GOOD, 1.0) == limits.tick(2.0) == []


def test_a_rain_gauge_with_a_spike_makes_nothing_of_a_wild_number_and_loses_nothing_of_a_start(tmp_path: Path) -> None:
    gauge = point("rain", more="spike = 10\nrange = [0, 6553.4]")
    site = site_of(
        tmp_path, gauge, limit("day", "rain", 'of = "sum"\ncounter = true\nwindow = "1d"\nabove = { red = 1 }')
    )
    beliefs, limits = Beliefs(site.points), Limits([each.judged for each in site.limits], 0.0)
    shown = [50000, 50000, 33000, 50000, 33000, 34000, 50001, 3, 4, 5, 6]
    sums = []
    for minute, steps in enumerate(shown):
        doubted = beliefs.doubts("rain", steps, 60.0 * minute)
        limits.judge("rain", steps, Quality.SUSPECT if doubted else GOOD, 60.0 * minute)
        sums.append(limits.judged["day"].parts[0].value)
    assert sums == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1 + 5, 1 + 6], "set to zero after the 7th: the third after it says 5"
