"""The ledger by day: what became of each round, which point had no value and why; always balanced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import ledger as ledger_module
from edge.account import by_point, in_short, percent
from edge.contract import ClockQuality, Kind, Quality, Round
from edge.entries import NewEntry
from edge.errors import StoreBroken
from edge.filling import Filling
from edge.ledger import DAY_MS, EARLIER, UNDATED, Key, LastRunning, Running, Tally, day_of, failing
from edge.outbox import Outbox
from edge.packing import map_entry, round_entry
from tests.fold_site import balanced, site_sheet
from tests.test_outbox import dated

DAY = 20_833
DAY0_MS = DAY * DAY_MS
HOUR_MS = 3_600_000
EVERYTHING = 2**62
GOOD, SILENT, DARK = Quality.GOOD, Quality.NO_ANSWER, Quality.NO_POWER
TRUSTED, UNKNOWN = ClockQuality.TRUSTED, ClockQuality.UNKNOWN


def round_(at_ms: int, *bad: Quality, clock: ClockQuality = TRUSTED, group: int = 0, width: int = 3) -> NewEntry:
    qualities = bytes([*bad, *[GOOD] * (width - len(bad))])
    values = tuple(None if quality else 7 for quality in qualities)
    return round_entry(Round(group, at_ms, values, qualities if any(qualities) else b"", clock))


def ready(folder: Path | None = None) -> Outbox:
    box = Outbox.in_memory() if folder is None else Outbox.open(folder, 50_000_000, "now")[0]
    sheet = site_sheet(box.epoch, (10_000, 3_600_000), (3, 2))
    box.sheet_id(sheet.digest, box.epoch, sheet.encode())
    return box


def test_a_day_is_told_point_by_point(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([round_(DAY0_MS + i * 10_000, SILENT if i < 5 else GOOD, DARK) for i in range(100)], sheet=1)
    box.commit([round_(DAY0_MS + 7 * HOUR_MS, group=1, width=2)], [(box.epoch, 1, 40)], sheet=1)
    box.discard(50)
    rows = {row["point"]: row for row in by_point(box, 1, DAY0_MS + 10 * HOUR_MS - 1)}
    assert list(rows) == ["g0.0", "g0.1", "g0.2", "g1.0", "g1.1"]
    assert rows["g0.0"] == {
        "day": "2027-01-15",
        "point": "g0.0",
        "due": 3600,
        "taken": 100,
        "settled": 40,
        "held": 59,
        "folded": 0,
        "evicted": {"damaged": 1},
        "failed": {"no answer": 5},
        "online_percent": 2.6,
        "complete_percent": 1.1,
    }
    assert rows["g0.1"]["failed"] == {"no power": 100}
    assert rows["g0.1"]["online_percent"] == 0.0
    assert rows["g1.0"]["due"] == 10
    assert balanced(box)
    short = in_short(box.ledger(), DAY0_MS + DAY_MS)
    assert short == {
        "2027-01-15": {
            "taken": 101,
            "settled": 40,
            "held": 60,
            "evicted": {"damaged": 1},
            "failed": {"no answer": 5, "no power": 100},
        }
    }


def test_all_is_a_hundred_percent_and_one_missing_is_not() -> None:
    assert percent(8640, 8640) == 100.0
    assert percent(8639, 8640) == 99.9
    assert percent(0, 0) is None
    box = ready()
    box.commit([round_(DAY0_MS + i * 10_000) for i in range(8640)], sheet=1)
    while box.commit([], [(box.epoch, 0, EVERYTHING)]).left:
        pass
    (row, *_) = by_point(box, 2, DAY0_MS + DAY_MS + 5)
    assert (row["due"], row["online_percent"], row["complete_percent"]) == (8640, 100.0, 100.0)


def test_days_change_and_what_settles_late_is_counted_on_its_own_day(tmp_path: Path) -> None:
    box = ready(tmp_path)
    for day in range(5):
        box.commit([round_((DAY + day) * DAY_MS + i) for i in range(10)], sheet=1)
    box.commit([round_((DAY + 4) * DAY_MS + 99)], [(box.epoch, 1, 15)], sheet=1)
    box.close()
    again = Outbox.open(tmp_path, 50_000_000, "now")[0]
    found = {key.day - DAY: (tally.taken, tally.settled) for key, tally in again.ledger().items()}
    assert found == {0: (10, 10), 1: (10, 5), 2: (10, 0), 3: (10, 0), 4: (11, 0)}
    assert {key.day for key in again.ledger(DAY + 3)} == {DAY + 3, DAY + 4}
    assert balanced(again)
    in_row = Running.decode(again._db.execute("SELECT running FROM store").fetchone()[0])
    assert {key.day for key in in_row.tallies} == {DAY + 4}, "the others are in their table"


def test_what_had_no_time_moves_to_its_day_with_its_failures() -> None:
    box = ready()
    box.set_boot(1)
    box.commit([round_(i * HOUR_MS, SILENT if i < 3 else GOOD, clock=UNKNOWN) for i in range(10)], sheet=1)
    assert set(box.ledger()) == {Key(UNDATED, 1, 0)}
    assert [row["day"] for row in by_point(box, 1, DAY0_MS)] == ["no time yet"] * 3
    dated(box, 1, DAY0_MS - 2 * HOUR_MS)
    found = {key.day - DAY: (tally.taken, tally.failed) for key, tally in box.ledger().items() if tally.taken}
    assert found == {-1: (2, {0: {SILENT: 2}}), 0: (8, {0: {SILENT: 1}})}
    assert balanced(box)


def test_old_days_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "LEDGER_DAYS", 5)
    box = ready()
    for day in range(20):
        box.commit([round_((DAY + day) * DAY_MS, SILENT)], sheet=1)
    days = sorted(key.day for key in box.ledger())
    assert days == [EARLIER, *range(DAY + 14, DAY + 20)]
    old = box.ledger()[Key(EARLIER, 0, 0)]
    assert (old.taken, old.failed) == (14, {0: {SILENT: 14}})
    assert by_point(box, 400, (DAY + 20) * DAY_MS)[0]["point"] == "-"
    box.commit([], [(box.epoch, 0, EVERYTHING)])
    assert sum(tally.held for tally in box.ledger().values()) == 0


def test_a_site_that_was_changed_often_does_not_fill_the_store_with_its_descriptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.outbox_write.LEDGER_SHEETS", 3)
    box = Outbox.in_memory()
    for number in range(12):
        row, _ = box.sheet_id(bytes([number]) * 16, box.epoch, b"sheet")
        box.commit([round_((DAY + number) * DAY_MS)], [(box.epoch, 0, EVERYTHING)], sheet=row)
        box.forget_sheets(row)
    box.commit([], [(box.epoch, 0, EVERYTHING)])
    box.forget_sheets(12)
    assert len(box.sheets()) <= 5
    assert sum(tally.settled for tally in box.ledger().values()) == 12
    assert box.account(count_rows=True).balanced


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["rounds", "settle", "discard", "undated", "date", "maps"]),
            st.integers(0, 40),
            st.integers(0, 12),
        ),
        max_size=25,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_it_balances_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    box = ready()
    box.set_boot(1)
    for what, one, two in steps:
        if what in ("rounds", "undated"):
            clock = TRUSTED if what == "rounds" else UNKNOWN
            start_ms = DAY0_MS + one * 10 * HOUR_MS if clock is TRUSTED else one * HOUR_MS
            box.commit([round_(start_ms + i * HOUR_MS, *[SILENT] * (i % 3), clock=clock) for i in range(two)], sheet=1)
        elif what == "settle":
            box.commit([], [(box.epoch, one, one + two)])
        elif what == "discard":
            box.discard(one)
        elif what == "date":
            dated(box, 1, DAY0_MS + one * HOUR_MS)
        else:
            box.commit([map_entry(Kind.STATUS, 5, TRUSTED, {"n": one})] * two, sheet=1)
        assert balanced(box)


failures = st.dictionaries(st.integers(0, 50), st.dictionaries(st.integers(1, 7), st.integers(1, 9), min_size=1))


@given(failures, st.integers(0, 9), st.integers(0, 9))
def test_a_tally_is_read_as_it_was_written(failed: dict[int, dict[int, int]], taken: int, evicted: int) -> None:
    tally = Tally(taken, 1, 2, {0: evicted}, failed)
    running = Running(DAY, {Key(DAY, 1, 0): tally}, {0: 5, -1: 7}, {2: [1, 2]})
    assert Running.decode(running.encode()) == running


@pytest.mark.parametrize("damage", [b"", b"\xff", b"\x84\x01", b"hello", b"\x84\x01\x81\x01\xa0\xa0"])
def test_a_ledger_that_makes_no_sense_begins_anew(damage: bytes) -> None:
    box = ready()
    box._db.execute("UPDATE store SET running = ?", (damage,))
    box.commit([round_(DAY0_MS)], sheet=1)
    assert box.ledger()[Key(DAY, 1, 0)].taken == 1


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x40, 0x80, 0xFF])
def test_no_damage_to_a_ledger_stops_a_commit(flip: int) -> None:
    box = ready()
    box.commit([round_(DAY0_MS + i * 1000, SILENT, group=i % 2) for i in range(20)], [(box.epoch, 1, 5)], sheet=1)
    box.discard(7)
    running = box._db.execute("SELECT running FROM store").fetchone()[0]
    for place in range(len(running)):
        damaged = running[:place] + bytes([running[place] ^ flip]) + running[place + 1 :]
        box._db.execute("UPDATE store SET running = ?", (damaged,))
        box.commit([round_(DAY0_MS, SILENT), round_(DAY0_MS + DAY_MS)], [(box.epoch, 8, 8)], sheet=1)
        assert box.levels()
        box.account()
        box._db.execute("DELETE FROM ledger")


@pytest.mark.parametrize(
    "runs", [[[0, 2**40, {1: 1}]], [[0, 1, {1: 1}], [1, 2, {1: 1}]], [[0, 0, [[1, 1]]]], [[-1, 0, {}]]]
)
def test_a_tally_whose_places_make_no_sense_is_none(runs: Any) -> None:
    with pytest.raises(ledger_module.DAMAGED):
        Tally.of([1, 0, 0, {}, runs])


def test_damage_that_nobody_thought_of_is_told_as_a_broken_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = ready(tmp_path)
    before = box.account()

    def fails(_data: bytes) -> Running:
        raise AttributeError("no such thing")

    monkeypatch.setattr(Running, "decode", fails)
    with pytest.raises(StoreBroken, match="AttributeError") as raised:
        box.commit([round_(DAY0_MS)], sheet=1)
    assert raised.value.damaged
    monkeypatch.undo()
    assert box.account() == before


@pytest.mark.parametrize(("at_ms", "clock", "day"), [(5, 2, 0), (5, 1, 1), ("x", 0, 1), (-5, 0, 1), (DAY0_MS, 1, DAY)])
def test_the_day_of_a_reading(at_ms: Any, clock: int, day: int) -> None:
    assert day_of(at_ms, clock) == day


@pytest.mark.parametrize("body", [b"", b"x", b"\xff\xff", "text", None, b"\x82\x01\x02"])
def test_damaged_bodies_fail_nothing(body: Any) -> None:
    assert failing(body) == b""


def test_hours_left_are_told_by_the_growth_of_the_last_hour() -> None:
    filling = Filling()
    assert filling.room(0, 1_000_000, 10).folding_in_h is None
    for minute in range(90):
        filling.note(minute * 60.0, 100_000 + minute * 1000)
    room = filling.room(189_000, 1_000_000, 10)
    assert room.folding_in_h == pytest.approx((850_000 - 189_000) / 60_000, abs=0.1)
    assert room.loss_in_h == pytest.approx(11 + 950_000 / 60, abs=1)
    assert filling.room(900_000, 1_000_000, 10).folding
    draining = Filling()
    for minute in range(90):
        draining.note(minute * 60.0, 500_000 - minute * 1000)
    assert draining.room(411_000, 1_000_000, 10).folding_in_h is None


def test_what_was_rolled_back_is_read_from_the_bytes_again() -> None:
    last = LastRunning()
    kept = last.write(Running(day=1, levels={0: 5}))
    changed = last.read(kept)
    changed.levels[0] = 9  # and its transaction never ends
    assert last.read(kept).levels == {0: 5}
    last.write(last.read(kept))
    last.read(kept).levels[0] = 7
    written = last.write(Running(day=2, levels={0: 8}))
    assert last.read(kept).levels == {0: 5}  # the commit failed: the row is the old one
    assert last.read(written).levels == {0: 8}
