"""Rounds come back as they went in, whatever they are; the packer fills the room and never more; garbage is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import MAX_STEPS
from edge.wire.basics import WireError
from edge.wire.packet import RoundRow, Rounds, decode, pack_rounds
from edge.wire.sheet import Sheet, SheetGroup, SheetPoint


def make_sheet(width: int, every_ms: int = 60_000, prior: bytes = b"") -> Sheet:
    points = tuple(SheetPoint(f"p{i}", "mm", Decimal("0.01"), None, None, prior) for i in range(width))
    other = SheetGroup(1000, (SheetPoint("fast", "V", Decimal("0.1"), None, None),))
    return Sheet("mine-7", 0x01020304, 100, 1_700_000_000_000, (other, SheetGroup(every_ms, points)))


steps = st.one_of(st.integers(-300, 300), st.integers(-MAX_STEPS, MAX_STEPS))
readings = st.tuples(st.none() | steps, st.sampled_from([0, 0, 0, 1, 4, 6, 15]))


@st.composite
def many_rows(draw: st.DrawFn) -> tuple[int, list[RoundRow]]:
    width = draw(st.integers(1, 5))
    times = draw(st.sampled_from(["regular", "any"]))
    rows = []
    at_ms, seq = draw(st.integers(0, 2**40)), draw(st.integers(0, 2**50))
    for _ in range(draw(st.integers(1, 12))):
        at_ms = at_ms + 60_000 if times == "regular" else draw(st.integers(0, 2**53 - 1))
        seq = seq + 1 if times == "regular" else draw(st.integers(0, 2**63 - 1))
        cells = draw(st.lists(readings, min_size=width, max_size=width))
        qualities = bytes(q for _, q in cells)
        clock = draw(st.sampled_from([0, 0, 1, 2]))
        rows.append(
            RoundRow(seq, at_ms, tuple(v for v, _ in cells), qualities if any(qualities) else b"", clock),
        )
    return width, rows


@given(many_rows())
@settings(max_examples=200, deadline=None)
def test_any_rows_come_back(case: tuple[int, list[RoundRow]]) -> None:
    width, rows = case
    sheet = make_sheet(width)
    body, taken = pack_rounds(sheet, 1, rows, 100_000)
    assert taken == len(rows)
    assert decode(body, sheet) == Rounds(1, tuple(rows))


@given(many_rows(), st.integers(1, 80))
@settings(max_examples=200, deadline=None)
def test_fills_exactly(case: tuple[int, list[RoundRow]], room_bytes: int) -> None:
    width, rows = case
    sheet = make_sheet(width)
    body, taken = pack_rounds(sheet, 1, rows, room_bytes)
    assert len(body) <= room_bytes
    if taken:
        assert decode(body, sheet) == Rounds(1, tuple(rows[:taken]))
    if taken < len(rows):
        more, all_of_them = pack_rounds(sheet, 1, rows[: taken + 1], 100_000)
        assert all_of_them == taken + 1
        assert len(more) > room_bytes


@pytest.mark.parametrize("jump", [0, 7, 40])
def test_rows_that_cost_next_to_nothing_fill_exactly(jump: int) -> None:
    """The end is marked or not, whichever holds more; `jump`: rows from one change of the value to the next."""
    sheet = make_sheet(1)
    values = [1000 * (i // jump % 2) if jump else 0 for i in range(400)]
    rows = [RoundRow(100 + 61 * i, 1_700_000_040_000 + 60_000 * i, (value,)) for i, value in enumerate(values)]
    alone = [len(pack_rounds(sheet, 1, rows[:count], 10_000)[0]) for count in range(1, len(rows) + 1)]
    for room_bytes in range(3, 60):
        body, taken = pack_rounds(sheet, 1, rows, room_bytes)
        assert len(body) <= room_bytes
        assert taken == len(rows) or alone[taken] > room_bytes
        if taken:
            assert decode(body, sheet) == Rounds(1, tuple(rows[:taken]))


@given(st.binary(max_size=80), st.integers(0, 1))
@settings(max_examples=500, deadline=None)
def test_garbage_is_refused_or_rounds(raw: bytes, group: int) -> None:
    try:
        found = decode(bytes([0x20 + 0x60 * group]) + raw, make_sheet(3))
    except WireError:
        return
    assert isinstance(found, Rounds)
