"""Alarms, status, sheets and receipts come back; sealed packets open for the right key only, and no flipped bit
passes.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Alarm, Basis, Change, ClockQuality, Input, Kind, Level, Of, Rule
from edge.wire.basics import WireError
from edge.wire.packet import (
    Account,
    Alarms,
    Receipt,
    RoundRow,
    SheetPacket,
    Status,
    decode,
    encode_alarms,
    encode_map,
    encode_receipt,
    encode_sheet,
    pack_rounds,
)
from edge.wire.seal import SHORT_OVERHEAD_BYTES, Direction, Noise, Opened, open_packet, parse_key_file, seal
from edge.wire.sheet import Sheet, SheetBasis, SheetGroup, SheetLimit, SheetPoint

ROOT = bytes(range(32))
SHEET = Sheet(
    "mine-7",
    0x5EED0005,
    1,
    1_795_000_000_000,
    (SheetGroup(60_000, (SheetPoint("slope.crack", "mm", Decimal("0.01"), Decimal(0), Decimal(500)),)),),
    (
        SheetLimit("pond-level", "pond.level", Rule.ABOVE, ((2, 1200), (4, 1500))),
        SheetLimit("speed", "x", Rule.ABOVE, ((2, 100), (4, 500)), "", SheetBasis(1, 86_400, "mm/d", Decimal("0.001"))),
        SheetLimit("band", "x", Rule.OUTSIDE, ((2, 100), (2, 500), (4, 50), (4, 1500))),
        SheetLimit("crack-fast", "slope.crack", Rule.ABOVE, ((1, 100), (2, 250), (3, 500), (4, 1000)), "裂缝"),
    ),
)
ALARM = Alarm("crack-fast", "slope.crack", Level.ORANGE, Change.RAISED, Rule.ABOVE, 533, 500, 1_795_086_400_123)

alarms = st.builds(
    Alarm,
    st.sampled_from(["crack-fast", "pond-level", "speed", "band", "gone", "边坡"]),
    st.sampled_from(["slope.crack", "pond.level", "x"]),
    st.sampled_from(Level),
    st.sampled_from(Change),
    st.sampled_from([rule for rule in Rule if rule is not Rule.REMOVED]),
    st.none() | st.integers(-(2**53), 2**53),
    st.sampled_from([100, 500, 1500]) | st.integers(-(2**53), 2**53),
    st.integers(0, 2**53 - 1),
    st.sampled_from(ClockQuality),
    st.none()
    | st.builds(
        Basis,
        st.sampled_from(Of),
        st.sampled_from([0, 3600, 86_400]),
        st.sampled_from(["", "mm", "mm/d", "毫米"]),
        st.sampled_from([Decimal("0.001"), Decimal("0.0010"), Decimal(1), Decimal("1E+1")]),
        st.lists(
            st.builds(Input, st.sampled_from(["x", "pond.level", "±"]), st.none() | st.integers(-(2**53), 2**53)),
            max_size=15,
        ).map(tuple),
    ),
)


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), alarms), min_size=1, max_size=4), st.sampled_from([SHEET, None]))
def test_alarms_come_back(pairs: list[tuple[int, Alarm]], sheet: Sheet | None) -> None:
    assert decode(encode_alarms(sheet, pairs), sheet) == Alarms(tuple(pairs))


def test_one_alarm_is_small() -> None:
    assert len(encode_alarms(SHEET, [(70_000, ALARM)])) <= 25


def test_what_decided_is_small_where_the_sheet_knows_the_measure() -> None:
    known = Basis(Of.RATE, 86_400, "mm/d", Decimal("0.001"), (Input("x", 1234),))
    told = Alarm("speed", "x", Level.RED, Change.RAISED, Rule.ABOVE, 533, 500, 1_795_086_400_123, basis=known)
    short = encode_alarms(SHEET, [(70_000, told)])
    assert len(short) <= 20
    assert decode(short, SHEET) == Alarms(((70_000, told),))
    assert len(encode_alarms(None, [(70_000, told)])) <= 58  # a 77-byte message less the long form's head and tag


@pytest.mark.parametrize(
    "end", ["20", "0fff", "11", "01022a0000", "0109ffffffffff7f000001", "000100027878", "0001000078"]
)
def test_a_basis_that_makes_no_sense_is_refused(end: str) -> None:
    alarm = encode_alarms(None, [(1, ALARM)])
    flags = int.from_bytes(alarm[1:3], "little") | 1 << 14
    with pytest.raises(WireError):
        decode(alarm[:1] + flags.to_bytes(2, "little") + alarm[3:] + bytes.fromhex(end), None)


@pytest.mark.parametrize("sheet", [SHEET, None])
def test_the_end_of_a_limit_that_was_removed_comes_back(sheet: Sheet | None) -> None:
    gone = Alarm("high", "", Level.NONE, Change.CLEARED, Rule.REMOVED, None, 0, 1_795_086_400_123)
    assert decode(encode_alarms(sheet, [(1, gone)]), sheet) == Alarms(((1, gone),))


def test_a_limit_that_was_removed_can_not_stand() -> None:
    alarm = encode_alarms(None, [(1, ALARM)])
    with pytest.raises(WireError, match="removed"):
        decode(alarm[:1] + (int.from_bytes(alarm[1:3], "little") | 0x8300).to_bytes(2, "little") + alarm[3:], None)


def test_a_sheet_without_measures_is_the_same_bytes_as_ever() -> None:
    plain = Sheet(SHEET.gateway, 1, 1, 1, SHEET.groups, SHEET.limits[:1])
    assert b"pond-level" in plain.plain
    assert plain.plain.endswith(bytes.fromhex("8282021904b082041905dc60"))
    assert Sheet.decode(SHEET.encode()) == SHEET


def test_the_rest_comes_back() -> None:
    values = {"cpu": 0.25, "links": {"4g": True, "vsat": None}, "n": [1, -2, "三"]}
    assert decode(encode_map(Kind.STATUS, 5, 6, 2, values), None) == Status(5, 6, 2, values)
    assert decode(encode_map(Kind.ACCOUNT, 5, 6, 0, values), None) == Account(5, 6, 0, values)
    assert decode(encode_sheet(300, SHEET), None) == SheetPacket(300, SHEET)
    ranges = ((0, 0), (2, 9), (1 << 40, (1 << 40) + 5))
    receipt = decode(encode_receipt(7, ranges, 99, echo=3, need_sheets=[1, 255]), None)
    assert receipt == Receipt(7, ranges, 99, 3, need_sheets=(1, 255))
    with pytest.raises(WireError):
        encode_receipt(7, [(3, 4), (4, 5)], 0)


@given(st.binary(max_size=120))
@settings(max_examples=500)
def test_garbage_gives_a_wire_error_only(raw: bytes) -> None:
    for sheet in (None, SHEET):
        try:
            decode(raw, sheet)
        except WireError:
            continue


@pytest.mark.parametrize("long", [False, True])
def test_a_sealed_packet_opens_once_whole(long: bool) -> None:
    body, taken = pack_rounds(SHEET, 0, [RoundRow(9, 1_795_000_020_000, (123,))], 60)
    assert taken == 1
    packet = seal(ROOT, "mine-7", SHEET.epoch, Direction.UP, 70_001, SHEET, body, long=long)
    epochs = {1: 5, SHEET.epoch: 69_990}
    assert open_packet(packet, ROOT, "mine-7", Direction.UP, epochs, [SHEET]) == Opened(
        70_001, SHEET.epoch, SHEET, body
    )
    assert long or len(packet) == len(body) + SHORT_OVERHEAD_BYTES
    for wrong in (
        open_packet(packet, bytes(32), "mine-7", Direction.UP, epochs, [SHEET]),
        open_packet(packet, ROOT, "mine-8", Direction.UP, epochs, [SHEET]),
        open_packet(packet, ROOT, "mine-7", Direction.DOWN, epochs, [SHEET]),
        open_packet(packet, ROOT, "mine-7", Direction.UP, epochs, []),
    ):
        assert isinstance(wrong, Noise)
    for bit in range(len(packet) * 8):
        flipped = bytearray(packet)
        flipped[bit // 8] ^= 1 << bit % 8
        assert isinstance(open_packet(bytes(flipped), ROOT, "mine-7", Direction.UP, epochs, [SHEET]), Noise)
    for length in range(len(packet)):
        assert isinstance(open_packet(packet[:length], ROOT, "mine-7", Direction.UP, epochs, [SHEET]), Noise)


@given(st.integers(0, 2**40 - 1), st.integers(-30_000, 30_000))
def test_a_short_counter_is_found_near_the_last(counter: int, off: int) -> None:
    seen = max(counter + off, -1)
    packet = seal(ROOT, "g", 3, Direction.DOWN, counter, None, b"body", long=False)
    assert open_packet(packet, ROOT, "g", Direction.DOWN, {3: seen}) == Opened(counter, 3, None, b"body")


def test_key_file() -> None:
    assert parse_key_file("# root key of mine-7\n\n" + ROOT.hex() + "  # keep secret\n") == ROOT
    for text in ("", "zz" * 32, "00" * 31, "00" * 32 + "\n" + "11" * 32):
        with pytest.raises(WireError):
            parse_key_file(text)
