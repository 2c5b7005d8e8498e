"""Ranges against plain sets of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.ranges import RangeSet, to_ranges

numbers = st.integers(0, 40)
steps = st.lists(st.tuples(st.booleans(), numbers, numbers))


def as_set(ranges: RangeSet) -> set[int]:
    return {number for low, high in ranges for number in range(low, high + 1)}


@given(steps)
def test_add_and_discard_are_those_of_sets(steps: list[tuple[bool, int, int]]) -> None:
    ranges, numbers = RangeSet(), set[int]()
    for add, low, high in steps:
        if add:
            ranges.add(low, high)
            numbers |= set(range(low, high + 1))
        else:
            ranges.discard(low, high)
            numbers -= set(range(low, high + 1))
        spans = list(ranges)
        assert as_set(ranges) == numbers
        assert all(a[1] + 1 < b[0] for a, b in pairwise(spans)), "ranges touch"
        assert all((number in ranges) == (number in numbers) for number in range(42))


@given(st.sets(numbers), numbers, numbers)
def test_gaps_are_what_is_not_there(there: set[int], low: int, high: int) -> None:
    ranges = RangeSet((n, n) for n in there)
    gaps = {n for a, b in ranges.gaps(low, high) for n in range(a, b + 1)}
    assert gaps == set(range(low, high + 1)) - there


@given(st.sets(numbers))
def test_to_ranges_holds_exactly_the_numbers(there: set[int]) -> None:
    assert as_set(RangeSet(to_ranges(there))) == there
