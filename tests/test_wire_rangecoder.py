"""Encoder and Decoder write `unary` out for speed: it stays what BitByBit says, in bytes, cells and errors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.wire.basics import WireError
from edge.wire.rangecoder import MAX_SIZE, P_MAX, P_MIN, BitByBit, Decoder, Encoder, cell

CELLS = 6


class SlowEncoder(Encoder):
    """`unary` as it is meant, over the same `bit`."""

    def unary(self, cells: list[int], at: int, size: int, last: int) -> int:
        return BitByBit.unary(self, cells, at, size, last)  # type: ignore[arg-type]


class SlowDecoder(Decoder):
    """The same of the other way."""

    def unary(self, cells: list[int], at: int, size: int, last: int) -> int:
        return BitByBit.unary(self, cells, at, size, last)  # type: ignore[arg-type]


def fresh(probabilities: list[int]) -> list[int]:
    return [cell(p, uses) for uses, p in enumerate(probabilities)]


PROBABILITIES = st.lists(st.integers(P_MIN, P_MAX), min_size=CELLS, max_size=CELLS)
SIZES = st.lists(st.tuples(st.integers(1, MAX_SIZE), st.integers(0, CELLS - 2)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(PROBABILITIES, SIZES)
def test_unary_is_bit_by_bit(probabilities: list[int], sizes: list[tuple[int, int]]) -> None:
    fast, slow = Encoder(), SlowEncoder()
    cells, same = fresh(probabilities), fresh(probabilities)
    for size, last in sizes:
        fast.unary(cells, 1, size, last)
        slow.unary(same, 1, size, last)
        fast.commit()
        slow.commit()
    assert cells == same
    data = fast.finish()
    assert data == slow.finish()

    for decoder in (Decoder(data), SlowDecoder(data)):
        cells = fresh(probabilities)
        assert [decoder.unary(cells, 1, 0, last) for _, last in sizes] == [size for size, _ in sizes]
        assert cells == same


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), PROBABILITIES)
def test_garbage_is_read_alike(data: bytes, probabilities: list[int]) -> None:
    told = []
    for decoder in (Decoder(data), SlowDecoder(data)):
        cells = fresh(probabilities)
        sizes: list[int] = []
        try:
            while len(sizes) < 200:
                sizes += [decoder.unary(cells, 1, 0, CELLS - 2)]
            end = ""
        except WireError as error:
            end = str(error)
        told.append((sizes, end, cells if not end else None))
    assert told[0] == told[1]


@pytest.mark.parametrize("coder", [Encoder, SlowEncoder])
def test_what_is_too_long_is_refused(coder: type[Encoder]) -> None:
    with pytest.raises(WireError):
        coder().unary(fresh([P_MAX] * CELLS), 1, MAX_SIZE + 1, 2)
