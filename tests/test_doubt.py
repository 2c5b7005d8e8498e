"""A word of doubt outlives the process. It is believed where it is whole and makes sense; damage takes nothing."""

from __future__ import annotations

import sqlite3
from binascii import crc32
from pathlib import Path

import pytest

from edge.contract import Kind
from edge.doubt import MOST_SEQS, NAME, note, noted
from edge.errors import StoreBroken
from edge.homecoming import Ask, Opened, open_store, prepare
from edge.outbox import Outbox
from edge.outbox_home import Doubt
from tests.relay_world import make_sheet
from tests.test_outbox import QUOTA, alarm, round_, saved_whole, seqs

DOUBT = Doubt(4_000_000_000, 1200, 1210)


def reopened(folder: Path, *, distrust: bool = False) -> Opened:
    return open_store(Ask(folder, QUOTA, "now", 1, make_sheet, distrust))


def in_doubt(folder: Path, low: int, high: int) -> int:
    """A store with its sheet, nineteen rounds and an alarm, and a word of doubt beside it; its epoch."""
    box, _ = Outbox.open(folder, QUOTA, "now")
    sheet = prepare(box, make_sheet, 1)
    box.commit([*(round_(n) for n in range(19)), alarm()], sheet=sheet.id)
    box.close()
    note(folder, Doubt(box.epoch, low, high))
    return box.epoch


def test_it_is_read_as_it_was_written_and_as_of_rounds_only(tmp_path: Path) -> None:
    note(tmp_path, DOUBT)
    assert noted(tmp_path) == DOUBT._replace(rounds_only=True)


@pytest.mark.parametrize("flip", [0x01, 0x02, 0x08, 0x10, 0x40, 0x80])
def test_no_damage_to_it_is_believed(tmp_path: Path, flip: int) -> None:
    note(tmp_path, DOUBT)
    whole = (tmp_path / NAME).read_bytes()
    for place in range(len(whole)):
        (tmp_path / NAME).write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
        assert noted(tmp_path) is None
        (tmp_path / NAME).write_bytes(whole[:place])
        assert noted(tmp_path) is None


@pytest.mark.parametrize(
    "said", ["1 5 5", "1 6 5", "1 -1 5", "1 2", "1 2 3 4", "", "x y z", f"1 0 {MOST_SEQS + 1}", f"1 0 {10**30}"]
)
def test_what_makes_no_sense_says_nothing(tmp_path: Path, said: str) -> None:
    (tmp_path / NAME).write_text(f"{said} {crc32(said.encode()):08x}", "ascii")
    assert noted(tmp_path) is None


@pytest.mark.parametrize("ahead", [MOST_SEQS, 2**62, 2**63 - 30])
def test_seqs_far_ahead_of_the_store_are_not_passed_over(tmp_path: Path, ahead: int) -> None:
    in_doubt(tmp_path, 21 + ahead - 9, 21 + ahead + 1)
    opened = reopened(tmp_path)
    assert opened.box.last_seq() < 30
    assert opened.box.commit([round_()], sheet=opened.sheet.id).seqs[0] < 30


@pytest.mark.parametrize("locked", [False, True])
def test_what_is_in_doubt_is_not_salvaged_either_but_for_alarms(tmp_path: Path, locked: bool) -> None:
    epoch = in_doubt(tmp_path, 10, 25)
    if locked:
        holder = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
    opened = reopened(tmp_path, distrust=True)
    if locked:
        assert not opened.box.salvage_step().taken
        holder.close()
    saved_whole(opened.box)
    saved = [held for held in opened.box.scan() if held.origin_seq is not None]
    assert {opened.box.sheet(held.sheet)[0] for held in saved} == {epoch}
    rounds = [held.wire_seq for held in saved if held.kind is Kind.ROUNDS]
    assert sorted(rounds) == list(range(2, 11))
    assert [held.wire_seq for held in saved if held.kind is Kind.ALARM] == [21]
    opened.box.close()
    again = reopened(tmp_path)
    assert not (tmp_path / NAME).exists(), "seen to, when nothing waits any more"
    assert len(seqs(again.box)) >= 11


def test_damage_met_while_a_store_is_made_ready_closes_it_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_doubt(tmp_path, 10, 12)
    closed: list[str] = []
    close = Outbox.close

    def closing(box: Outbox) -> None:
        closed.append(box.path)
        close(box)

    monkeypatch.setattr(Outbox, "close", closing)

    def damaged(_box: Outbox) -> int:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    with monkeypatch.context() as now:
        now.setattr(Outbox, "newest_ms", damaged)
        with pytest.raises(StoreBroken, match="too large") as raised:
            reopened(tmp_path)
    assert raised.value.damaged
    assert closed == [str(tmp_path / "outbox.db")]
    assert "taken back" in reopened(tmp_path).said[0]
