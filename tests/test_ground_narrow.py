"""The province on a narrow link: many packets under one receipt, parcels in pieces, summaries; losses do no harm."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Rule
from edge.wire import packet as wire
from edge.wire.receipt import ANY_SHEET
from edge.wire.seal import LONG_OVERHEAD_BYTES
from edge.wire.sheet import Sheet
from sim.province import Province, Stored
from sim.province_site import ASK_NARROW_AGAIN_MS, MOST_PARCELS
from sim.province_store import Store
from tests.test_ground_province import (
    EPOCH,
    GATEWAY,
    MINUTE_MS,
    SHEET,
    T0_MS,
    Gateway,
    make_province,
    make_sheet,
    query,
)

ROOM = 77
ALARM = Alarm("high", "p0", Level.RED, Change.RAISED, Rule.ABOVE, 500, 400, T0_MS, ClockQuality.TRUSTED)
WINDOWS = "SELECT point, window_s, start_ms, minimum, mean, maximum, count FROM windows"
CHUNK = ROOM - LONG_OVERHEAD_BYTES - wire.FRAGMENT_HEAD_BYTES


class Narrow(Gateway):
    """A gateway whose packets come one by one; `now_ms` goes on by itself."""

    def __init__(self, province: Province, sheet: Sheet = SHEET) -> None:
        super().__init__(sheet.epoch, sheet)
        self.province = province
        self.now_ms = T0_MS

    def stores(self, packet: bytes) -> Stored | None:
        self.now_ms += MINUTE_MS
        return self.province.store_narrow(GATEWAY, packet, self.now_ms, "beidou")

    def answered(self, room_bytes: int = ROOM) -> wire.Receipt | None:
        packet = self.province.receipt(GATEWAY, self.now_ms + 5_120, room_bytes)
        if packet is None:
            return None
        assert len(packet) <= room_bytes
        return self.receipt(packet)

    def pieces(self, body: bytes, sheet: Sheet | None = None, chunk_bytes: int = CHUNK) -> list[bytes]:
        """Packets of the fragments of one parcel."""
        chunks = wire.cut(sheet, body, chunk_bytes)
        first = self.counter + 1
        return [self.piece(first, i, chunks) for i in range(len(chunks))]

    def piece(self, first: int, index: int, chunks: list[bytes]) -> bytes:
        back = self.counter + 1 - first
        return self.pack(wire.encode_fragment(back, index, len(chunks) - 1, chunks[index]), sheet=False)

    def has_sheet(self) -> None:
        assert self.province.receive(GATEWAY, self.sheet_packet(), self.now_ms, "mqtt")


def seqs(receipt: wire.Receipt | None) -> set[int]:
    assert receipt is not None
    return {seq for low, high in receipt.ranges for seq in range(low, high + 1)}


def test_a_sheet_comes_in_pieces_and_the_first_contact_is_answered_at_once(tmp_path: Path) -> None:
    gateway = Narrow(make_province(tmp_path / "p.db"))
    packets = gateway.pieces(wire.encode_sheet(1, SHEET))
    assert len(packets) >= 3
    lost = packets.pop(1)
    stored = [gateway.stores(packet) for packet in packets]
    assert stored == [Stored(n == len(packets) - 1, n + 1) for n in range(len(packets))]
    receipt = gateway.answered()
    assert receipt is not None
    assert (receipt.echo, receipt.held_ms, receipt.ranges) == (len(packets) + 1, 5_120, ())
    assert [c for c in range(1, len(packets) + 2) if receipt.missing(c)] == [2]
    assert gateway.answered() is None
    assert gateway.stores(lost) == Stored(True, 1)
    assert seqs(gateway.answered()) == {1}
    assert query(tmp_path / "p.db", "SELECT count(*) FROM sheets") == [(1,)]
    kinds = query(tmp_path / "p.db", "SELECT kind, link, sum(entries) FROM packets GROUP BY kind")
    assert kinds == [(Kind.FRAGMENT, "beidou", 1)]


def test_many_packets_under_one_receipt() -> None:
    gateway = Narrow(make_province())
    gateway.has_sheet()
    for n in range(12):
        packet = gateway.rounds(2 + 5 * n, 6 + 5 * n, long=False)
        if n != 4:
            assert gateway.stores(packet) == Stored(False, n + 1 - (n > 4))
    receipt = gateway.answered()
    assert receipt is not None
    assert receipt.ranges == ((1, 21), (27, 61))
    assert (receipt.echo, receipt.epoch, receipt.held_ms) == (13, EPOCH, 5_120)
    assert [receipt.missing(counter) for counter in (1, 5, 6, 7, 13, 14)] == [False, False, True, False, False, None]
    assert gateway.answered() is None


def test_an_alarm_and_a_test_are_answered_at_once_but_no_echo_of_an_alarm_in_the_sky() -> None:
    gateway = Narrow(make_province())
    gateway.has_sheet()
    alarm, test = gateway.alarm(5, long=False), gateway.pack(wire.encode_test(), sheet=False, long=False)
    assert gateway.stores(alarm) == Stored(True, 1)
    assert gateway.stores(test) == Stored(True, 2)
    assert seqs(gateway.answered()) == {5}
    assert gateway.stores(alarm) == Stored(False, 0)
    assert gateway.answered() is None
    assert gateway.stores(test) == Stored(True, 1), "it may be of a gateway on an older copy of its store"
    assert seqs(gateway.answered()) >= {5}, "which finds that out from the newest seq"
    assert gateway.stores(gateway.alarm(5, long=False)) == Stored(True, 1), "sent again: the receipt was lost"
    assert seqs(gateway.answered()) == {5}


def test_a_test_over_mqtt_is_answered_too() -> None:
    gateway = Narrow(make_province())
    [answer] = gateway.province.receive(GATEWAY, gateway.pack(wire.encode_test(), sheet=False), 5)
    assert gateway.receipt(answer) == wire.Receipt(EPOCH, (), 5, 1)


def test_a_lost_receipt_is_made_good_by_the_next() -> None:
    gateway = Narrow(make_province())
    gateway.has_sheet()
    for first in (10, 20, 30):  # each an island of its own
        gateway.stores(gateway.rounds(first, first + 3))
        lost = gateway.answered()
        assert lost is not None
    gateway.stores(gateway.rounds(40, 43))
    receipt = gateway.answered()
    assert receipt is not None
    assert receipt.ranges == ((10, 13), (20, 23), (30, 33), (40, 43))
    assert not any(receipt.missing(counter) for counter in range(2, 6))


@given(st.randoms(use_true_random=False), st.integers(45, 90))
@settings(max_examples=40, deadline=None)
def test_receipts_never_exceed_their_room_and_name_all_in_the_end(chance: random.Random, room_bytes: int) -> None:
    gateway = Narrow(make_province())
    gateway.has_sheet()
    wanted, told = set(), set()
    for _ in range(60):
        seq = chance.randrange(2, 5000)
        gateway.stores(gateway.rounds(seq, seq))
        wanted.add(seq)
        if chance.random() < 0.1:
            told |= seqs(gateway.answered(room_bytes))
    for _ in range(60):
        receipt = gateway.answered(room_bytes)
        if receipt is None:
            break
        told |= seqs(receipt)
    assert told >= wanted
    assert gateway.answered(room_bytes) is None


def test_where_no_receipt_fits_there_is_none() -> None:
    gateway = Narrow(make_province())
    gateway.stores(gateway.alarm(5))
    gateway.has_sheet()
    gateway.stores(gateway.alarm(6))
    assert [gateway.answered(room) for room in (0, 12, 19, 30)] == [None] * 4
    assert seqs(gateway.answered(50)) >= {6}


def test_pieces_of_two_parcels_in_any_order_twice_and_with_other_packets_between() -> None:
    gateway, chance = Narrow(make_province()), random.Random(3)
    gateway.has_sheet()
    one = wire.encode_map(Kind.STATUS, 50, T0_MS, 0, {"text": "x" * 300})
    rows = [wire.RoundRow(100 + n, T0_MS + n * MINUTE_MS, (n * n, 7 * n)) for n in range(200)]
    two, taken = wire.pack_rounds(SHEET, 0, rows, 16_000)
    assert taken == 200
    packets = gateway.pieces(one) + gateway.pieces(two, SHEET) + [gateway.alarm(60)]
    packets *= 2
    chance.shuffle(packets)
    for packet in packets:
        assert gateway.stores(packet) is not None
    assert gateway.province.counts["noise"] == 0
    assert seqs(gateway.answered(300)) == {50, 60, *range(100, 300)}


def test_a_piece_sent_again_is_a_new_packet_and_finds_its_parcel() -> None:
    gateway = Narrow(make_province())
    body = wire.encode_sheet(1, SHEET)
    chunks = wire.cut(None, body, CHUNK)
    first = gateway.counter + 1
    packets = [gateway.piece(first, i, chunks) for i in range(len(chunks))]
    for packet in packets[:-1]:
        gateway.stores(packet)
    gateway.counter += 500
    assert gateway.stores(gateway.piece(first, len(chunks) - 1, chunks)) == Stored(True, len(chunks))
    assert seqs(gateway.answered()) == {1}
    again = gateway.piece(first, 0, chunks)  # its receipt was lost
    assert gateway.stores(again) == Stored(True, 1), "without its sheet a gateway is of no use"
    assert seqs(gateway.answered()) == {1}


def test_a_parcel_whose_sheet_is_not_known_waits_for_it() -> None:
    gateway = Narrow(make_province())
    rows = [wire.RoundRow(100 + n, T0_MS + n * MINUTE_MS, (n * n, 7 * n)) for n in range(200)]
    body, _ = wire.pack_rounds(SHEET, 0, rows, 16_000)
    stored = [gateway.stores(packet) for packet in gateway.pieces(body, SHEET)]
    assert stored[-1] is not None
    assert stored[-1].urgent
    receipt = gateway.answered()
    assert receipt is not None
    assert receipt.need_sheets == (SHEET.short,)
    gateway.stores(gateway.sheet_packet(1))
    assert seqs(gateway.answered()) == {1, *range(100, 300)}


def test_a_parcel_made_with_another_sheet_of_the_same_short_byte_is_not_read_with_ours() -> None:
    twin = next(sheet for n in range(100_000) if (sheet := make_sheet(f"n{n}")).short == SHEET.short)
    gateway = Narrow(make_province())
    gateway.has_sheet()
    body, _ = wire.pack_rounds(twin, 0, [wire.RoundRow(n, T0_MS + n, (n, 7)) for n in range(100, 150)], 16_000)
    for packet in gateway.pieces(body, twin):
        gateway.stores(packet)
    assert gateway.province.counts["entries"] == 1
    receipt = gateway.answered()
    assert receipt is not None
    assert receipt.need_sheets == (SHEET.short,)


@pytest.mark.parametrize(
    "body", [wire.encode_receipt(EPOCH, [(1, 2)], 5), b"\x0f" * 200, wire.encode_sheet(1, make_sheet(epoch=7))[:-1]]
)
def test_a_parcel_that_makes_no_sense_is_refused(body: bytes) -> None:
    gateway = Narrow(make_province())
    for packet in gateway.pieces(body):
        gateway.stores(packet)
    assert gateway.province.counts["noise"] == 1
    assert gateway.province.counts["entries"] == 0


def test_pieces_that_do_not_belong_together_are_refused() -> None:
    gateway = Narrow(make_province())
    chunks = wire.cut(None, wire.encode_sheet(1, SHEET), CHUNK)
    gateway.stores(gateway.piece(1, 0, chunks))
    other = wire.encode_fragment(1, 1, 1, b"x")  # says that there are two
    assert gateway.stores(gateway.pack(other, sheet=False)) is None
    before = wire.encode_fragment(99, 0, 1, b"x")  # of a parcel from before the first packet
    assert gateway.stores(gateway.pack(before, sheet=False)) is None


def test_parcels_in_pieces_are_bounded_and_what_made_room_counts_as_lost() -> None:
    gateway = Narrow(make_province())
    chunks = [b"x" * CHUNK] * 2
    for _ in range(MOST_PARCELS + 4):
        gateway.stores(gateway.piece(gateway.counter + 1, 0, chunks))
    receipt = gateway.answered()
    assert receipt is not None
    assert [c for c in range(1, gateway.counter + 1) if receipt.missing(c)] == [1, 2, 3, 4]
    big = [b"y" * 60_000] * 200
    for n in range(40):
        gateway.stores(gateway.piece(gateway.counter + 1 - n % 2, n % 2, big))
    held = gateway.province._site(GATEWAY).parcels._held
    assert sum(parcel.size_bytes for parcel in held.values()) < 1_200_000


def test_after_a_restart_pieces_count_as_lost_and_all_else_as_arrived(tmp_path: Path) -> None:
    gateway = Narrow(make_province(tmp_path / "p.db"))
    chunks = wire.cut(None, wire.encode_sheet(1, SHEET), CHUNK)
    gateway.stores(gateway.pack(wire.encode_map(Kind.STATUS, 9, T0_MS, 0, {}), sheet=False))
    gateway.stores(gateway.piece(2, 0, chunks))
    gateway.province.close()
    gateway.province = make_province(tmp_path / "p.db")
    gateway.stores(gateway.piece(2, 1, chunks))
    receipt = gateway.answered()
    assert receipt is not None
    assert [receipt.missing(counter) for counter in (1, 2, 3)] == [False, True, False]


def test_a_missing_sheet_is_asked_for_rarely() -> None:
    gateway = Narrow(make_province())
    asked = 0
    for n in range(30):
        stored = gateway.stores(gateway.rounds(2 + n, 2 + n))
        receipt = gateway.answered() if stored else None
        asked += receipt is not None and receipt.need_sheets == (SHEET.short,)
    assert asked == 30 * MINUTE_MS // ASK_NARROW_AGAIN_MS


def test_who_has_sent_no_sheet_is_told_so_whatever_could_be_read() -> None:
    """A gateway that thinks it is known learns by the answer to an alarm, or to a packet that asks, that it is not."""
    gateway = Narrow(make_province())
    assert gateway.stores(gateway.pack(wire.encode_alarms(None, [(5, ALARM)]), sheet=False)) == Stored(True, 1)
    receipt = gateway.answered()
    assert receipt is not None
    assert (receipt.need_sheets, receipt.ranges) == ((ANY_SHEET,), ((5, 5),))
    gateway.stores(gateway.pack(bytes([Kind.TEST]), sheet=False))
    receipt = gateway.answered()
    assert receipt is not None
    assert receipt.need_sheets == (ANY_SHEET,)
    gateway.stores(gateway.sheet_packet(1))
    receipt = gateway.answered()
    assert receipt is not None
    assert receipt.need_sheets == ()


def test_the_short_form_is_read_after_any_number_of_new_stores() -> None:
    """Each card that breaks begins an epoch; the latest is not lost among them, nor an older one in use again."""
    province = make_province()
    sheets = [make_sheet(epoch=8 * n) for n in range(1, 200)]
    for sheet in sheets:
        gateway = Narrow(province, sheet)
        gateway.has_sheet()
        assert gateway.stores(gateway.rounds(2, 4, long=False))
    again = Narrow(province, sheets[0])
    again.counter = 10
    assert again.stores(again.rounds(5, 6))
    assert again.stores(again.rounds(7, 8, long=False))


def test_entries_of_another_epoch_have_a_receipt_of_their_own() -> None:
    old = make_sheet(epoch=7)
    gateway = Narrow(make_province())
    gateway.has_sheet()
    gateway.province.receive(GATEWAY, gateway.pack(wire.encode_sheet(3, old), sheet=False), 5)
    gateway.stores(gateway.rounds(2, 4))
    gateway.sheet = old  # taken over from another store, sealed under our epoch
    gateway.stores(gateway.rounds(20, 24))
    found = [gateway.answered(), gateway.answered(), gateway.answered()]
    assert [None if r is None else (r.epoch, r.ranges) for r in found] == [
        (EPOCH, ((1, 4),)),
        (7, ((20, 24),)),
        None,
    ]


def test_summaries_are_kept_once_with_the_most_values(tmp_path: Path) -> None:
    gateway = Narrow(make_province(tmp_path / "p.db"))
    gateway.has_sheet()
    start_ms = T0_MS // 600_000 * 600_000
    full = wire.Window(start_ms, (100, None), (105, None), (120, None), (10, 0))
    part = wire.Window(start_ms, (100, 3), (102, 3), (110, 3), (4, 1))
    for window in (part, full, part):
        body, taken = wire.pack_summaries(SHEET, 0, 600, [window], 60)
        assert taken == 1
        assert gateway.stores(gateway.pack(body, long=False)) is not None
    rows = query(tmp_path / "p.db", WINDOWS)
    assert rows == [("level", 600, start_ms, 1.0, 1.05, 1.2, 10), ("rain", 600, start_ms, 0.3, 0.3, 0.3, 1)]
    body, _ = wire.pack_summaries(SHEET, 0, 600, [full], 60, seq=77)
    gateway.stores(gateway.pack(body))
    assert seqs(gateway.answered()) == {77}
    assert query(tmp_path / "p.db", WINDOWS) == rows


def test_parts_of_a_window_that_were_folded_apart_add_up(tmp_path: Path) -> None:
    gateway = Narrow(make_province(tmp_path / "p.db"))
    gateway.has_sheet()
    start_ms = T0_MS // 600_000 * 600_000
    first = wire.Window(start_ms, (100, None), (105, None), (120, None), (10, 0))
    second = wire.Window(start_ms, (90, 3), (95, 3), (110, 3), (30, 1))
    for seq, window in ((77, first), (78, second), (77, first), (0, first)):
        body, _ = wire.pack_summaries(SHEET, 0, 600, [window], 60, seq=seq)
        gateway.stores(gateway.pack(body))
    level, rain = query(tmp_path / "p.db", WINDOWS)
    assert level == ("level", 600, start_ms, 0.9, pytest.approx(0.975), 1.2, 40)
    assert rain == ("rain", 600, start_ms, 0.3, 0.3, 0.3, 1)


def test_a_database_of_before_keeps_its_summaries(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE TABLE summaries (gateway TEXT, point TEXT, window_s INTEGER, start_ms INTEGER, minimum REAL, "
            "mean REAL, maximum REAL, count INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, "
            "PRIMARY KEY (gateway, point, window_s, start_ms)) WITHOUT ROWID"
        )
        db.execute("INSERT INTO summaries VALUES ('g', 'level', 600, 0, 1.0, 2.0, 3.0, 10, 5)")
        db.commit()
    for _ in range(2):
        Store(path).close()
        assert query(path, WINDOWS) == [("level", 600, 0, 1.0, 2.0, 3.0, 10)]
