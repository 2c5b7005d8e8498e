"""A difference of two points while they are read more often than usual, or speak more often than once a turn."""

from __future__ import annotations

import pytest

from edge.contract import Of
from edge.measure_nouns import Spec
from edge.measure_plain import Difference
from edge.measures import make
from tests.test_limits_measures import spec

TURN_S = 10.0
SLOW = Spec(Of.DIFFERENCE, 600.0, "mm", spec(Of.VALUE).step, other="b", other_every_s=600.0)


def measure() -> Difference:
    made = make(SLOW)
    assert isinstance(made, Difference)
    return made


@pytest.mark.parametrize("other_misses", [False, True])
@pytest.mark.parametrize("missed", [(2,), (1,), (4, 5), (3, 5, 7), range(3, 60, 7), range(4, 60, 2)])
def test_two_that_move_together_do_not_differ_in_a_hurry(missed: range, other_misses: bool) -> None:
    """Read each 600 s, then each 10 s, with restarts; both move 1 mm/s, one misses turns."""
    made, found = measure(), []
    for turn in range(-3, 60):
        at = 600.0 * turn if turn < 0 else TURN_S * turn
        for is_other, late_s in ((False, 0.0), (True, 0.3)):
            if turn not in missed or is_other is not other_misses:
                found.append((made.take_other if is_other else made.take)(int(at), at + late_s))
        if turn % 5 == 2:
            state, made = made.state(at + 1.0), measure()
            made.restore(state, at + 1.0, 0.0)
    numbers = [number for number in found if number is not None]
    assert set(numbers) == {0}
    assert len(numbers) == 63 - len(missed)


@pytest.mark.parametrize("words", [((0.0, 0.1, 0.2), (200.0,)), ((0.0, 0.1), (200.0, 200.1)), ((0.0, 0.1), (0.3,))])
def test_who_says_a_thing_twice_is_in_no_hurry(words: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    made, numbers = measure(), 0
    for turn in range(10):
        at = 600.0 * turn
        for late_s, is_other in sorted([(s, False) for s in words[0]] + [(s, True) for s in words[1]]):
            found = (made.take_other if is_other else made.take)(turn, at + late_s)
            assert found in (None, 0)
            numbers += found is not None
    assert numbers == 10


def test_a_difference_goes_on_from_what_an_older_version_saved() -> None:
    older, newer = measure(), measure()
    older.take(5, 0.0)
    newer.restore(older.state(1.0)[:2], 1.0, 0.0)
    assert newer.take_other(3, 2.0) == 2
