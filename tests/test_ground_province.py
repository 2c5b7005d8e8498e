"""The province's core against packets made with edge/wire: stored once, receipted after, silent on garbage."""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Alarm, Basis, Change, ClockQuality, Input, Kind, Level, Of, Quality, Rule
from edge.wire import packet as wire
from edge.wire.seal import Direction, Opened, open_packet, seal
from edge.wire.sheet import Sheet, SheetGroup, SheetLimit, SheetPoint
from sim.province import ASK_AGAIN_MS, KeyFolder, Province

ROOT = bytes(range(32))
GATEWAY = "gw-1"
EPOCH = 0xA1B2C3D4
T0_MS = 1_795_000_000_000
MINUTE_MS = 60_000


def make_sheet(name: str = "尾矿库水位", epoch: int = EPOCH) -> Sheet:
    level = SheetPoint("level", "m", Decimal("0.01"), Decimal(0), Decimal(30))
    rain = SheetPoint("rain", "mm", Decimal("0.1"), None, None)
    limit = SheetLimit("high", "level", int(Rule.ABOVE), ((Level.YELLOW, 1000), (Level.RED, 1200)), name)
    return Sheet(GATEWAY, epoch, 1, T0_MS, (SheetGroup(MINUTE_MS, (level, rain)),), (limit,))


SHEET = make_sheet()
RAINED = Basis(Of.SUM, 43_200, "mm", Decimal("0.1"), (Input("rain", 12),))
MEMBERS = Basis(Of.MEMBERS, 0, "", Decimal(1), (Input("a", 4), Input("b", 4)))
ALARM = Alarm("high", "level", Level.RED, Change.RAISED, Rule.ABOVE, 1234, 1200, T0_MS + 5000)


class Gateway:
    """Seals uplink packets and opens downlink ones, with counters of its own."""

    def __init__(self, epoch: int = EPOCH, sheet: Sheet = SHEET) -> None:
        self.epoch, self.sheet = epoch, sheet
        self.counter = 0
        self.down: set[int] = set()

    def pack(self, body: bytes, *, sheet: bool = True, long: bool = True) -> bytes:
        self.counter += 1
        named = self.sheet if sheet else None
        return seal(ROOT, GATEWAY, self.epoch, Direction.UP, self.counter, named, body, long=long)

    def sheet_packet(self, seq: int = 1) -> bytes:
        return self.pack(wire.encode_sheet(seq, self.sheet), sheet=False)

    def rounds(self, first: int, last: int, *, long: bool = True) -> bytes:
        rows = [wire.RoundRow(seq, T0_MS + seq * MINUTE_MS, (seq, 7)) for seq in range(first, last + 1)]
        body, taken = wire.pack_rounds(self.sheet, 0, rows, 16000)
        assert taken == len(rows)
        return self.pack(body, long=long)

    def alarm(self, seq: int, alarm: Alarm = ALARM, *, long: bool = True) -> bytes:
        return self.pack(wire.encode_alarms(self.sheet, [(seq, alarm)]), long=long)

    def receipt(self, packet: bytes) -> wire.Receipt:
        opened = open_packet(packet, ROOT, GATEWAY, Direction.DOWN, {})
        assert isinstance(opened, Opened)
        assert opened.counter not in self.down
        self.down.add(opened.counter)
        body = wire.decode(opened.body, None)
        assert isinstance(body, wire.Receipt)
        return replace(body, epoch=opened.epoch) if body.epoch is None else body


def make_province(db: Path | str = ":memory:", lines: list[str] | None = None) -> Province:
    keys = {GATEWAY: ROOT}
    return Province(db, keys.get, (lines if lines is not None else []).append, durable=False)


def query(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        return connection.execute(sql).fetchall()


def test_rounds_are_stored_and_receipted(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    province, gateway = make_province(db), Gateway()
    first = gateway.receipt(province.receive(GATEWAY, gateway.sheet_packet(), 111)[0])
    assert first == wire.Receipt(EPOCH, ((1, 1),), 111, 1)
    second = gateway.receipt(province.receive(GATEWAY, gateway.rounds(2, 61), 222)[0])
    assert second == wire.Receipt(EPOCH, ((1, 61),), 222, 2)
    rows = query(db, "SELECT at_ms, point, value, steps, quality, clock, received_at_ms FROM readings WHERE seq = 60")
    assert rows == [
        (T0_MS + 60 * MINUTE_MS, "level", 0.6, 60, 0, 0, 222),
        (T0_MS + 60 * MINUTE_MS, "rain", 0.7, 7, 0, 0, 222),
    ]
    assert query(db, "SELECT count(*) FROM readings") == [(120,)]
    assert query(db, "SELECT kind, entries, repeated FROM packets") == [(Kind.SHEET, 1, 0), (Kind.ROUNDS, 60, 0)]


def test_missing_values_qualities_and_clock_are_kept(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    province, gateway = make_province(db), Gateway()
    province.receive(GATEWAY, gateway.sheet_packet(), 1)
    row = wire.RoundRow(2, T0_MS, (None, 5), bytes([Quality.NO_ANSWER, Quality.SUSPECT]), int(ClockQuality.UNKNOWN))
    province.receive(GATEWAY, gateway.pack(wire.pack_rounds(SHEET, 0, [row], 500)[0]), 2)
    assert query(db, "SELECT value, steps, quality, clock FROM readings") == [
        (None, None, Quality.NO_ANSWER, ClockQuality.UNKNOWN),
        (0.5, 5, Quality.SUSPECT, ClockQuality.UNKNOWN),
    ]


def test_repeats_are_counted_never_stored_twice(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    lines: list[str] = []
    province, gateway = make_province(db, lines), Gateway()
    province.receive(GATEWAY, gateway.sheet_packet(), 1)
    once = gateway.rounds(2, 11)
    for packet in (once, once, gateway.rounds(7, 16), gateway.alarm(17), gateway.alarm(17)):
        assert len(province.receive(GATEWAY, packet, 2)) == 1
    assert query(db, "SELECT entries, repeated FROM packets WHERE kind < 3") == [
        (10, 0),
        (10, 10),
        (10, 5),
        (1, 0),
        (1, 1),
    ]
    assert query(db, "SELECT count(*), count(DISTINCT seq) FROM readings") == [(30, 15)]
    assert query(db, "SELECT count(*) FROM alarms") == [(1,)]
    assert sum("ALARM" in line for line in lines) == 1
    assert province.counts["repeated"] == 16


def test_an_alarm_is_said_in_words_and_stamped_once(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    lines: list[str] = []
    province, gateway = make_province(db, lines), Gateway()
    province.receive(GATEWAY, gateway.sheet_packet(), 1)
    province.receive(GATEWAY, gateway.alarm(5), 777)
    province.receive(GATEWAY, gateway.alarm(5), 999)
    words = "RED raised: 尾矿库水位 (high, point level): 12.34 m, limit above 12.00 m, at 2026-11-18 11:06:45 UTC"
    assert f"gw-1: ALARM {words}" in lines
    sql = "SELECT limit_id, point, level, change, rule, value, threshold, unit, received_at_ms, words FROM alarms"
    assert query(db, sql) == [("high", "level", 4, "raised", "above", 12.34, 12.0, "m", 777, words)]


@pytest.mark.parametrize(
    ("alarm", "part"),
    [
        (Alarm("high", "level", Level.NONE, Change.CLEARED, Rule.ABOVE, 900, 1000, T0_MS), "cleared: 尾矿库水位"),
        (
            Alarm("high", "level", Level.RED, Change.RAISED, Rule.ABOVE, None, 12, T0_MS, drill=True),
            "DRILL, RED raised",
        ),
        (Alarm("mute", "rain", Level.BLUE, Change.RAISED, Rule.STALE, None, 300, T0_MS), "no good value for 300 s"),
        (Alarm("x", "gone", Level.BLUE, Change.CHANGED, Rule.BELOW, 3, 4, 2**53 - 1), "3 steps, limit below 4 steps"),
        (
            Alarm("s", "level", Level.RED, Change.RAISED, Rule.ABOVE, 612, 500, T0_MS, basis=RAINED),
            "sum in 43200 s of rain = 12: 61.2 mm, limit above 50.0 mm",
        ),
        (
            Alarm("d", "level", Level.BLUE, Change.RAISED, Rule.SUSPECT, None, 60, T0_MS),
            "doubtful values only for 60 s",
        ),
        (
            Alarm("two", "level", Level.RED, Change.RAISED, Rule.COMBINED, 2, 2, T0_MS, basis=MEMBERS),
            "members of a = 4, b = 4: 2, needed 2",
        ),
        (
            Alarm("gone", "", Level.NONE, Change.CLEARED, Rule.REMOVED, None, 0, T0_MS),
            "cleared: gone (gone, point -): this limit is in the gateway's site file no more",
        ),
    ],
)
def test_every_alarm_can_be_said(alarm: Alarm, part: str) -> None:
    lines: list[str] = []
    province, gateway = make_province(":memory:", lines), Gateway()
    province.receive(GATEWAY, gateway.sheet_packet(), 1)
    province.receive(GATEWAY, gateway.alarm(5, alarm), 2)
    assert any(part in line for line in lines), lines


def test_an_alarm_that_came_without_its_sheet_is_told_in_its_unit_when_the_sheet_comes(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    lines: list[str] = []
    province, gateway = make_province(db, lines), Gateway()
    alarm = Alarm("high", "level", Level.RED, Change.RAISED, Rule.ABOVE, 1234, 1200, T0_MS)
    province.receive(GATEWAY, gateway.pack(wire.encode_alarms(None, [(5, alarm)]), sheet=False), 777)
    sql = "SELECT value, threshold, unit, received_at_ms FROM alarms"
    assert query(db, sql) == [(1234.0, 1200.0, "steps", 777)]
    province.receive(GATEWAY, gateway.sheet_packet(), 999)
    assert query(db, sql) == [(12.34, 12.0, "m", 777)]
    assert any("12.34 m, limit above 12.00 m" in line for line in lines)
    province.receive(GATEWAY, gateway.pack(wire.encode_alarms(None, [(6, alarm)]), sheet=False), 1000)
    assert query(db, sql)[1] == (12.34, 12.0, "m", 1000)


def test_status_and_account_are_kept_as_json(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    province, gateway = make_province(db), Gateway()
    values = {"up_s": 5, "名": "库", "raw": b"\x01\xff", "deep": [{"a": None}], "big": 2**64 - 1}
    province.receive(GATEWAY, gateway.pack(wire.encode_map(Kind.STATUS, 1, T0_MS, 1, values), sheet=False), 5)
    province.receive(GATEWAY, gateway.pack(wire.encode_map(Kind.ACCOUNT, 2, T0_MS, 0, values), sheet=False), 6)
    for table, seq in (("statuses", 1), ("accounts", 2)):
        [(body, found)] = query(db, f"SELECT body, seq FROM {table}")
        assert json.loads(body) == values | {"raw": "01ff"}
        assert found == seq


def test_an_unknown_sheet_is_asked_for_and_what_waited_counts_when_it_comes(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    province, gateway = make_province(db), Gateway()
    early = [gateway.alarm(9), gateway.rounds(2, 5), gateway.alarm(10)]
    answers = [province.receive(GATEWAY, packet, 1000) for packet in early]
    assert [len(answer) for answer in answers] == [1, 0, 0]
    asked = gateway.receipt(answers[0][0])
    assert (asked.ranges, asked.need_sheets, asked.epoch) == ((), (SHEET.short,), EPOCH)
    assert query(db, "SELECT count(*) FROM entries") == [(0,)]
    again = province.receive(GATEWAY, gateway.alarm(9), 1000 + ASK_AGAIN_MS)
    assert gateway.receipt(again[0]).need_sheets == (SHEET.short,)
    came = [gateway.receipt(answer) for answer in province.receive(GATEWAY, gateway.sheet_packet(), 9000)]
    assert [receipt.ranges for receipt in came] == [((1, 5),), ((9, 10),), ((1, 5),), ((9, 10),), ((9, 10),)]
    assert query(db, "SELECT seq FROM entries") == [(1,), (2,), (3,), (4,), (5,), (9,), (10,)]


def test_a_new_sheet_with_the_short_byte_of_an_old_one_is_asked_for() -> None:
    twin = next(sheet for n in range(100_000) if (sheet := make_sheet(f"n{n}")).short == SHEET.short)
    province, gateway = make_province(), Gateway()
    province.receive(GATEWAY, gateway.sheet_packet(), 1)
    gateway.sheet = twin
    [answer] = province.receive(GATEWAY, gateway.alarm(5), 10_000)
    assert gateway.receipt(answer).need_sheets == (SHEET.short,)
    province.receive(GATEWAY, gateway.sheet_packet(2), 11_000)
    [answer] = province.receive(GATEWAY, gateway.alarm(5), 12_000)
    assert gateway.receipt(answer).ranges == ((5, 5),)


def test_short_packets_open_once_the_epoch_is_known_and_across_counter_wraps() -> None:
    province, gateway = make_province(), Gateway()
    province.receive(GATEWAY, gateway.sheet_packet(), 1)
    for counter in (0xFFFE, 0x10003, 0x17000, 0x1F000):
        gateway.counter = counter
        [answer] = province.receive(GATEWAY, gateway.alarm(counter, long=False), 2)
        assert gateway.receipt(answer).echo == counter + 1


def test_all_is_remembered_over_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    gateway = Gateway()
    province = make_province(db)
    for packet in (gateway.sheet_packet(), gateway.rounds(2, 5), gateway.rounds(8, 9)):
        gateway.receipt(province.receive(GATEWAY, packet, 5)[0])
    province.close()
    province = make_province(db)
    [answer] = province.receive(GATEWAY, gateway.rounds(4, 6, long=False), 6)
    assert gateway.receipt(answer).ranges == ((1, 6),)
    [answer] = province.receive(GATEWAY, gateway.rounds(7, 7), 7)
    assert gateway.receipt(answer).ranges == ((1, 9),)
    assert query(db, "SELECT count(*) FROM entries") == [(9,)]


def test_downlink_counters_do_not_repeat_when_the_database_is_lost() -> None:
    gateway, now_ms = Gateway(), T0_MS
    for _ in range(3):
        province = make_province()
        for n in range(50):
            gateway.receipt(province.receive(GATEWAY, gateway.sheet_packet(), now_ms + n)[0])
        province.close()
        now_ms += 1000


def test_a_new_epoch_starts_its_own_count(tmp_path: Path) -> None:
    db = tmp_path / "p.db"
    province, old, new = make_province(db), Gateway(), Gateway(7, make_sheet(epoch=7))
    for gateway in (old, new):
        for packet in (gateway.sheet_packet(), gateway.rounds(2, 3)):
            [answer] = province.receive(GATEWAY, packet, 5)
            assert gateway.receipt(answer).epoch == gateway.epoch
    assert query(db, "SELECT count(*) FROM readings") == [(8,)]


def test_garbage_is_counted_said_once_for_each_kind_and_never_answered() -> None:
    lines: list[str] = []
    province, gateway, noise = make_province(":memory:", lines), Gateway(), random.Random(1)
    good = gateway.rounds(2, 40)
    province.receive(GATEWAY, gateway.sheet_packet(), 1)
    lines.clear()
    asked = 0
    for n in range(3000):
        cut = good[: noise.randrange(len(good))]
        flipped = bytearray(good)
        flipped[noise.randrange(len(good))] ^= 1 << noise.randrange(8)
        for packet in (noise.randbytes(noise.randrange(200)), cut, bytes(flipped)):
            for answer in province.receive(GATEWAY, packet, n):
                opened = open_packet(answer, ROOT, GATEWAY, Direction.DOWN, {})
                assert isinstance(opened, Opened)
                body = wire.decode(opened.body, None)
                assert isinstance(body, wire.Receipt)
                assert not body.ranges
                asked += 1
    assert asked < 10
    assert province.counts["entries"] == 1
    assert len(lines) < 20
    assert gateway.receipt(province.receive(GATEWAY, good, 9999)[0]).ranges == ((1, 40),)


def test_unknown_gateways_and_wrong_keys_are_refused_without_growing(tmp_path: Path) -> None:
    province, gateway = make_province(), Gateway()
    packet = gateway.sheet_packet()
    for n in range(50):
        assert province.receive(f"gw-{n + 2}", packet, 1) == []
    assert province.noise == {("?", "no key for a gateway"): 50}
    wrong = seal(bytes(32), GATEWAY, EPOCH, Direction.UP, 1, None, wire.encode_sheet(1, SHEET), long=True)
    assert province.receive(GATEWAY, wrong, 1) == []
    assert province.counts["entries"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x07rubbish",
        wire.encode_receipt(EPOCH, [(1, 2)], 5),
        wire.encode_sheet(1, Sheet("gw-2", EPOCH, 1, T0_MS, ())),
        wire.encode_sheet(
            1, Sheet(GATEWAY, EPOCH, 1, T0_MS, (SheetGroup(1, (SheetPoint("a", "", Decimal("1e999"), None, None),)),))
        ),
    ],
)
def test_a_genuine_packet_that_makes_no_sense_is_refused(body: bytes) -> None:
    province, gateway = make_province(), Gateway()
    assert province.receive(GATEWAY, gateway.pack(body, sheet=False), 1) == []
    assert province.counts["entries"] == 0
    assert province.counts["noise"] == 1


def test_a_batch_that_cannot_be_committed_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    province, gateway = make_province(tmp_path / "p.db"), Gateway()
    province.receive(GATEWAY, gateway.sheet_packet(), 1)

    def fails() -> None:
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(province._store, "commit", fails)
        with pytest.raises(sqlite3.OperationalError):
            province.receive(GATEWAY, gateway.rounds(2, 9), 2)
    [answer] = province.receive(GATEWAY, gateway.rounds(9, 9), 3)
    assert gateway.receipt(answer).ranges == ((1, 1), (9, 9))[1:]


def test_keys_come_from_a_folder_or_one_file_and_no_topic_names_a_path(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "gw-1.key").write_text(f"# root key\n{ROOT.hex()}\n", "utf-8")
    (tmp_path / "keys" / "bad.key").write_text("nonsense", "utf-8")
    (tmp_path / "other.key").write_text(bytes(32).hex(), "utf-8")
    folder = KeyFolder(tmp_path / "keys")
    assert folder("gw-1") == ROOT
    assert [folder(name) for name in ("bad", "gw-2", "../other", "", "a/b", "GW-1")] == [None] * 6
    (tmp_path / "keys" / "gw-2.key").write_text(bytes(32).hex(), "utf-8")
    assert folder("gw-2") == bytes(32)
    assert KeyFolder(tmp_path / "other.key")("anything") == bytes(32)
