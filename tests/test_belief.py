"""Which readings are doubted, and for how long: never what is confirmed."""

from __future__ import annotations

from decimal import Decimal

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
    known.doubts("q", 500, 0.0)
    assert [known.doubts("p", 0, 60.0 * i) for i in range(1, 9)] == [False, False, True, *[False] * 5]
