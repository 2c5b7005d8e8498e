"""What narrow links need: receipts that fit, bodies in pieces, summaries. All come back; none exceeds its room."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import MAX_STEPS, Kind, Quality
from edge.wire.basics import WireError
from edge.wire.packet import (
    FRAGMENT_HEAD_BYTES,
    Fragment,
    Joined,
    Receipt,
    RoundRow,
    SheetMissing,
    Summaries,
    Test,
    Window,
    cut,
    decode,
    encode_fragment,
    encode_receipt,
    encode_sheet,
    encode_test,
    join,
    pack_summaries,
    summarise,
)
from edge.wire.sheet import Sheet
from tests.test_wire_golden import GRIDDED, SHEET
from tests.test_wire_rounds import make_sheet

NARROW_BODY_BYTES = 77 - 19
WINDOW_MS = 600_000

# -- receipts ----------------------------------------------------------------------------------------------------------

Ranges = tuple[tuple[int, int], ...]


@st.composite
def ranges(draw: st.DrawFn) -> Ranges:
    found, low = [], draw(st.integers(0, 5))
    for gap, more in draw(
        st.lists(st.tuples(st.integers(1, 3) | st.integers(1, 2**40), st.integers(0, 500)), max_size=25)
    ):
        found.append((low, low + more))
        low += more + 1 + gap
    return tuple(found)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    epoch = draw(st.none() | st.integers(0, 2**32 - 1))
    echo = draw(st.none() | st.integers(0, 300) | st.integers(0, 2**40 - 1))
    held_ms, arrived, lowest = 0, frozenset[int](), None
    if echo:
        held_ms = 10 * draw(st.integers(0, 100_000))
        lowest = max(echo - 8 * draw(st.integers(1, 32)), 0)
        arrived = frozenset(draw(st.sets(st.integers(lowest, echo - 1))))
    needs = tuple(draw(st.lists(st.integers(1, 255), max_size=3)))
    return Receipt(epoch, draw(ranges()), draw(st.integers(0, 2**48 - 1)), echo, held_ms, arrived, lowest, needs)


def write(receipt: Receipt, room_bytes: int | None = None) -> bytes:
    return encode_receipt(
        receipt.epoch,
        receipt.ranges,
        receipt.time_ms,
        echo=receipt.echo,
        held_ms=receipt.held_ms,
        arrived=receipt.arrived,
        lowest=receipt.lowest,
        need_sheets=receipt.need_sheets,
        room_bytes=room_bytes,
    )


def shorter(receipt: Receipt) -> Receipt:
    """With a bitmap of 32 packets at most."""
    if receipt.echo is None or receipt.lowest is None:
        return receipt
    lowest = max(receipt.lowest, receipt.echo - 32)
    return replace(receipt, lowest=lowest, arrived=frozenset(n for n in receipt.arrived if n >= lowest))


@given(receipts())
@settings(deadline=None)
def test_receipts_come_back(receipt: Receipt) -> None:
    assert decode(write(receipt), None) == receipt


@given(receipts(), st.integers(24, 120))
@settings(max_examples=200, deadline=None)
def test_a_receipt_with_little_room_says_less_but_nothing_else(receipt: Receipt, room_bytes: int) -> None:
    raw = write(receipt, room_bytes)
    assert len(raw) <= room_bytes
    found = decode(raw, None)
    assert isinstance(found, Receipt)
    assert (found.epoch, found.time_ms, found.echo, found.held_ms) == (
        *(receipt.epoch, receipt.time_ms, receipt.echo, receipt.held_ms),
    )
    assert receipt.ranges[len(receipt.ranges) - len(found.ranges) :] == found.ranges
    assert receipt.need_sheets[: len(found.need_sheets)] == found.need_sheets
    for counter in range(found.echo or 0 if found.lowest is None else found.lowest, found.echo or 0):
        assert found.missing(counter) in (receipt.missing(counter), None)
    if len(found.ranges) < len(receipt.ranges):
        one_more = receipt.ranges[-len(found.ranges) - 1 :]
        assert len(write(replace(shorter(receipt), ranges=one_more, need_sheets=found.need_sheets))) > room_bytes
    if len(write(receipt)) <= room_bytes:
        assert found == receipt


def test_a_short_message_holds_many_ranges_and_the_last_packets() -> None:
    wanted = tuple((100_000 + 40 * n, 100_000 + 40 * n + 25) for n in range(30))
    receipt = decode(
        encode_receipt(None, wanted, 1_795_000_000_000, echo=70_000, held_ms=90_000, lowest=69_744, room_bytes=58), None
    )
    assert isinstance(receipt, Receipt)
    assert receipt.ranges == wanted[-len(receipt.ranges) :]
    assert len(receipt.ranges) >= 15
    assert receipt.lowest == 69_968


def test_what_a_receipt_says_of_packets() -> None:
    receipt = decode(encode_receipt(None, (), 5, echo=10, arrived=[9, 7, 0], lowest=0), None)
    assert isinstance(receipt, Receipt)
    assert [receipt.missing(n) for n in (11, 10, 9, 8, 7, 1, 0)] == [None, False, False, True, False, True, False]
    silent = Receipt(None, (), 5, 10)
    assert [silent.missing(n) for n in (9, 10, 11)] == [None, False, None]
    assert Receipt(None, (), 5).missing(3) is None


@pytest.mark.parametrize(
    "raw",
    [
        "0800",
        "0810 000000000000",
        "0804 000000000000 01ff",  # a bitmap, no echo
        "0806 000000000000 0500 00",  # of no bytes
        "0806 000000000000 0500 0120",  # packet -1 has arrived
        "0808 000000000000 00",
        "0808 000000000000 0501",
        "0800 000000000000 0100 0000",  # ranges that touch
        "0800 000000000000 01",
        "18" + "00" * 8,
    ],
)
def test_malformed_receipts_are_refused(raw: str) -> None:
    with pytest.raises(WireError):
        decode(bytes.fromhex(raw), None)


@pytest.mark.parametrize("pairs", [[(3, 4), (5, 5)], [(4, 3)], [(-1, 2)], [(1, 2**63)], [(5, 6), (1, 2)]])
def test_ranges_that_are_none_are_refused(pairs: list[tuple[int, int]]) -> None:
    with pytest.raises(WireError):
        encode_receipt(None, pairs, 0)


# -- fragments ---------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=600), st.integers(3, 80), st.sampled_from([None, SHEET]))
def test_a_parcel_comes_back(body: bytes, chunk_bytes: int, sheet: Sheet | None) -> None:
    if body[0] == Kind.FRAGMENT:
        return
    chunks = cut(sheet, body, chunk_bytes)
    assert all(len(chunk) == chunk_bytes for chunk in chunks[:-1])
    assert 0 < len(chunks[-1]) <= chunk_bytes
    assert join(chunks, [make_sheet(1), SHEET]) == Joined(sheet, body)
    last = len(chunks) - 1
    for index, data in enumerate(chunks):
        raw = encode_fragment(16_000 + index, index, last, data)
        assert len(raw) == FRAGMENT_HEAD_BYTES + len(data)
        assert decode(raw, None) == Fragment(16_000 + index, index, last, data)


def test_pieces_of_two_parcels_make_no_third() -> None:
    one, two = (cut(None, encode_sheet(seq, SHEET), 40) for seq in (1, 2))
    assert len(one) == len(two) > 2
    for index in range(len(one)):
        mixed = [*one[:index], two[index], *one[index + 1 :]]
        if mixed not in (one, two):
            with pytest.raises(WireError):
                join(mixed, [])


def test_a_parcel_with_another_sheet_is_not_ours() -> None:
    chunks = cut(SHEET, b"\x22body", 50)
    assert join(chunks, []) == SheetMissing(SHEET.short)
    twin = next(s for n in range(100_000) if (s := make_sheet(1, 1000 + n)).short == SHEET.short)
    assert join(chunks, [twin]) == SheetMissing(SHEET.short)
    assert join(chunks, [twin, SHEET]) == Joined(SHEET, b"\x22body")


@pytest.mark.parametrize(
    "chunks", [[b"\0" * 5], [b"\0" * 9], [b"ab", b"a", b"abcdefgh"], [b"\0abcd\x06xx"], [b"\0abc", b"abcdefgh"]]
)
def test_what_is_no_parcel_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(WireError):
        join(chunks, [SHEET])


def test_what_can_not_be_cut_is_refused() -> None:
    assert len(cut(None, b"\x03" + b"x" * 2554, 10)) == 256
    for body, chunk_bytes in ((b"\x03" + b"x" * 2555, 10), (b"", 10), (b"\x06\0\0\0x", 10), (b"\x03x", 0)):
        with pytest.raises(WireError):
            cut(None, body, chunk_bytes)
    for back, index, last, data in ((-1, 0, 0, b"x"), (0, 1, 0, b"x"), (0, 0, 256, b"x"), (0, 0, 0, b"")):
        with pytest.raises(WireError):
            encode_fragment(back, index, last, data)
    for raw in ("06", "06000000", "0600010078"):
        with pytest.raises(WireError):
            decode(bytes.fromhex(raw), None)


def test_a_test() -> None:
    assert decode(encode_test(), None) == decode(encode_test(), SHEET) == Test()
    with pytest.raises(WireError):
        decode(b"\x07\x00", None)


# -- summaries ---------------------------------------------------------------------------------------------------------

steps = st.integers(-300, 300) | st.integers(-MAX_STEPS, MAX_STEPS)
threes = st.tuples(steps, steps, steps).map(lambda three: tuple(sorted(three)))


@st.composite
def many_windows(draw: st.DrawFn) -> tuple[int, list[Window]]:
    width = draw(st.integers(1, 4))
    number, windows = draw(st.integers(10, 2**33)), []
    for n in range(draw(st.integers(1, 8))):
        counts = tuple(draw(st.lists(st.sampled_from([10, 10, 10, 0, 3, 5000]), min_size=width, max_size=width)))
        found = [draw(threes) if count else (None, None, None) for count in counts]
        minimum, mean, maximum = zip(*found, strict=True)
        windows.append(Window((number - n) * WINDOW_MS, minimum, mean, maximum, counts))
    return width, windows


@given(many_windows(), st.integers(1, 200), st.sampled_from([0, 0, 1, 2**63 - 1]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_windows_come_back_and_fill_the_room(
    case: tuple[int, list[Window]], room_bytes: int, seq: int, gridded: bool
) -> None:
    width, windows = case
    sheet = make_sheet(width, prior=GRIDDED.encode() if gridded else b"")
    if gridded:  # far beyond a grid's lines nothing is measured on it
        windows = [w for w in windows if all(abs(v or 0) < 2**40 for v in (*w.minimum, *w.maximum))][:1]
        if not windows:
            return
    body, taken = pack_summaries(sheet, 1, 600, windows, 10_000, seq=seq)
    assert taken == len(windows)
    assert decode(body, sheet) == Summaries(seq, 1, 600, tuple(windows))
    body, taken = pack_summaries(sheet, 1, 600, windows, room_bytes, seq=seq)
    assert len(body) <= room_bytes
    if taken:
        assert decode(body, sheet) == Summaries(seq, 1, 600, tuple(windows[:taken]))
    if taken < len(windows):
        assert len(pack_summaries(sheet, 1, 600, windows[: taken + 1], 10_000, seq=seq)[0]) > room_bytes


@given(st.lists(st.tuples(st.none() | st.integers(-50, 50), st.sampled_from([0, 0, 0, 1, 4])), max_size=30))
def test_a_window_of_rounds(cells: list[tuple[int | None, int]]) -> None:
    rows = [RoundRow(n, n, (value,), bytes([quality])) for n, (value, quality) in enumerate(cells)]
    good = [value for value, quality in cells if value is not None and quality == Quality.GOOD]
    window = summarise(WINDOW_MS, 1, rows)
    assert window.counts == (len(good),)
    assert (window.minimum, window.maximum) == ((min(good, default=None),), (max(good, default=None),))
    assert window.mean == ((round(Fraction(sum(good), len(good))) if good else None),)  # Python rounds half to even


@pytest.mark.parametrize("values", [(5, 4, 6), (1, None, 2), (None, None, None), (0, 0, MAX_STEPS + 1)])
def test_windows_that_make_no_sense_are_refused(values: tuple[int | None, ...]) -> None:
    low, mean, high = ((value,) for value in values)
    with pytest.raises(WireError):
        pack_summaries(make_sheet(1), 1, 600, [Window(WINDOW_MS, low, mean, high, (3,))], 100)


@pytest.mark.parametrize("starts", [(5, 6), (5, 5), (5, 3), (5.5,), ()])
def test_windows_that_do_not_follow_each_other_are_refused(starts: tuple[float, ...]) -> None:
    windows = [Window(int(start * WINDOW_MS), (1,), (1,), (1,), (1,)) for start in starts]
    with pytest.raises(WireError):
        pack_summaries(make_sheet(1), 1, 600, windows, 100)


@given(st.binary(max_size=80))
@settings(max_examples=500, deadline=None)
def test_garbage_is_refused_or_summaries(raw: bytes) -> None:
    for sheet in (SHEET, make_sheet(3)):
        try:
            found = decode(b"\x05" + raw, sheet)
        except WireError:
            continue
        assert isinstance(found, Summaries)
        for window in found.windows:
            for low, mean, high in zip(window.minimum, window.mean, window.maximum, strict=True):
                assert low is mean is high is None or low <= mean <= high  # type: ignore[operator]


def test_summaries_need_their_sheet() -> None:
    with pytest.raises(WireError):
        decode(b"\x05abcdefgh", None)
