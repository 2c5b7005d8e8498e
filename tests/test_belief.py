"""Which readings are doubted, and for how long: never what is confirmed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.belief import CONFIRM, Beliefs
from edge.contract import Doubt, Point


def beliefs(doubt: Doubt, *more: Point) -> Beliefs:
    return Beliefs([Point("p", "m", Decimal("0.1"), None, None, 60_000, "d", doubt=doubt), *more])


def doubted(known: Beliefs, values: list[int], every_s: float = 60.0) -> list[int]:
    return [i for i, value in enumerate(values) if known.doubts("p", value, i * every_s)]


def test_a_spike_is_doubted_and_what_follows_it_is_not() -> None:
    assert doubted(beliefs(Doubt(spike=10)), [0, 5, 90, 6, 7, -80, 95, 8, 18, 29]) == [2, 5, 6, 9]


def test_a_step_is_believed_when_it_is_confirmed() -> None:
    assert doubted(beliefs(Doubt(spike=10)), [0, 90, 92, 91, 91, 93]) == [1, 2]


def test_after_a_silence_a_step_may_be_as_large_as_the_silence_was_long() -> None:
    known = beliefs(Doubt(spike=10))
    assert [known.doubts("p", value, at) for value, at in ((0, 0.0), (90, 600.0), (190, 660.0))] == [False, False, True]


def test_too_fast_is_doubted() -> None:
    assert doubted(beliefs(Doubt(rate_max=600)), [0, 10, 20, 31, 40]) == [3]  # 10 steps a minute


@given(st.lists(st.integers(-100, 100), min_size=CONFIRM, max_size=60), st.integers(1, 50))
def test_no_doubt_lasts_on_what_stays(values: list[int], spike: int) -> None:
    known = beliefs(Doubt(spike=spike))
    doubted(known, values)
    assert not [known.doubts("p", 77, 6000.0 + i) for i in range(9)][CONFIRM - 1 :].count(True)


def test_what_does_not_move_is_doubted_until_it_moves() -> None:
    assert doubted(beliefs(Doubt(stuck_s=180.0)), [5, 5, 5, 5, 5, 6, 6, 6, 6]) == [3, 4, 8]


def test_twins_that_differ_are_both_doubted_after_the_third_time() -> None:
    twin = Point("q", "m", Decimal("0.01"), None, None, 60_000, "e")
    known = beliefs(Doubt(twin="q", twin_differs=Decimal("0.5")), twin)
    seen = []
    for i, (mine, other) in enumerate([(10, 100), (15, 100), (16, 100), (16, 100), (16, 100), (16, 111), (16, 111)]):
        seen.append((known.doubts("p", mine, 60.0 * i), known.doubts("q", other, 60.0 * i + 1)))
    assert seen == [*[(False, False)] * 4, (True, True), (True, False), (False, False)]


def test_a_twin_that_is_silent_says_nothing() -> None:
    twin = Point("q", "m", Decimal("0.1"), None, None, 60_000, "e")
    known = beliefs(Doubt(twin="q", twin_differs=Decimal(1)), twin)
    for i in range(2):
        known.doubts("q", 500, 60.0 * i)
        assert not known.doubts("p", 0, 60.0 * i + 1)
    assert not known.doubts("p", 0, 600.0)  # ... and what was counted before the silence is over
    known.doubts("q", 500, 660.0)
    assert not known.doubts("p", 0, 661.0)


def test_a_slow_twin_is_compared_once_for_each_of_its_readings() -> None:
    """Else one reading of an hour ago would make three proofs in three minutes."""
    slow = Point("q", "m", Decimal("0.1"), None, None, 3_600_000, "e")
    known = beliefs(Doubt(twin="q", twin_differs=Decimal(1)), slow)
    bad = []
    for minute in range(240):
        if minute % 60 == 0:
            known.doubts("q", 0, 60.0 * minute)
        if known.doubts("p", 500, 60.0 * minute + 1):
            bad.append(minute)
    assert bad == list(range(120, 240))


RUNAWAYS: dict[str, Callable[[int], int]] = {
    "steady": lambda i: 12 * i,
    "falling": lambda i: -12 * i,
    "accelerating": lambda i: 11 * i + i * i,
    "in steps of its own": lambda i: 40 * i + (i % 3) * 5,
}


@pytest.mark.parametrize("law", RUNAWAYS)
@pytest.mark.parametrize("doubt", [Doubt(spike=10), Doubt(rate_max=600), Doubt(spike=10, rate_max=600)])
def test_what_runs_away_and_never_stops_is_believed_at_each_third_reading(law: str, doubt: Doubt) -> None:
    """10 steps a minute are allowed: this moves faster from its first reading to its last."""
    values = [0] * 5 + [RUNAWAYS[law](i) for i in range(1, 200)]
    doubtful = set(doubted(beliefs(doubt), values))
    assert not any({i, i + 1, i + 2} <= doubtful for i in range(len(values)))


@given(st.lists(st.integers(11, 10_000), min_size=1, max_size=60), st.booleans())
def test_wild_readings_to_both_sides_stay_doubted(sizes: list[int], first: bool) -> None:
    """Each is beyond what is believed, on the other side than the one before it."""
    known = beliefs(Doubt(spike=10))
    assert not known.doubts("p", 0, 0.0)
    swings = [size if (i % 2 == 0) is first else -size for i, size in enumerate(sizes)]
    assert all(known.doubts("p", swing, 1.0 + i) for i, swing in enumerate(swings))


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=80), st.integers(1, 50))
def test_never_three_running_on_one_side_are_doubted(values: list[int], spike: int) -> None:
    known = beliefs(Doubt(spike=spike))
    believed, run, side = 0, 0, 0
    known.doubts("p", 0, 0.0)
    for index, value in enumerate(values):
        now_side = (value > believed) - (value < believed)
        run = run + 1 if now_side == side else 1
        side = now_side
        if known.doubts("p", value, 1.0 + index):
            assert run < CONFIRM
        else:
            believed, run, side = value, 0, 0
