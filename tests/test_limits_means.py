"""A mean where its window is never full, and where it has been silent once."""

from __future__ import annotations

import pytest

from edge.contract import Of
from edge.measures import make
from tests.test_limits_measures import spec


@pytest.mark.parametrize("shift_s", [0.0, 5000.0])
@pytest.mark.parametrize(("on_s", "off_s"), [(20, 36), (4, 36), (2, 56), (28, 32)])
def test_silences_that_come_again_and_again_do_not_hide_a_mean(on_s: int, off_s: int, shift_s: float) -> None:
    """Never is half of its minute seen in one piece; a restart in each silence."""
    measure, now, found = make(spec(Of.MEAN, 60)), 0.0, []
    for turn in range(12):
        for at in range(0, on_s, 2):
            value = 40 if turn < 6 else 10
            found.append((now + at, measure.take(value, now + at + turn * shift_s)))
        now += on_s + off_s
        state, measure = measure.state(now + turn * shift_s), make(spec(Of.MEAN, 60))
        measure.restore(state, now + (turn + 1) * shift_s, 0.0)
    assert all(number is None for at, number in found if at < 90), "a few readings are no mean at first"
    assert all(number == 40 for at, number in found if 90 <= at < 6 * (on_s + off_s))
    assert found[-1][1] == 10, "and it ends"


def test_a_single_silence_leaves_no_mean_of_a_few_readings() -> None:
    for silence_s in range(34, 400, 2):
        measure = make(spec(Of.MEAN, 60))
        for at in range(0, 120, 2):
            measure.take(10, at)
        found = [measure.take(80, at) for at in range(118 + silence_s, 150 + silence_s, 2)]
        assert found[:14] == [None] * 14, silence_s
        assert found[14:] != [None, None], silence_s


def test_a_mean_goes_on_from_what_an_older_version_saved() -> None:
    older, newer = make(spec(Of.MEAN, 60)), make(spec(Of.MEAN, 60))
    for at in range(0, 30, 2):
        older.take(10, at)
    newer.restore(list(older.state(30))[:2], 30, 0.0)
    assert [newer.take(10, at) for at in (30, 32)] == [10, 10]
