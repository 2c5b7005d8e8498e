"""What a broken store held comes over step by step: nothing that can be read is lost, nothing comes twice, and nobody
waits for it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.contract import Kind, Level
from edge.entries import Standing
from edge.ledger import Books
from edge.outbox import Outbox
from edge.outbox_home import Doubt
from edge.salvage import peek
from edge.salvage_steps import Salvaged
from tests.broken_store import BIG, STAMP, broken, keys, steps
from tests.relay_world import Gateway, Network, alarms, drained, world
from tests.test_outbox import EVERYTHING, QUOTA, alarm, opened, round_, saved_whole


def test_alarms_and_standings_are_there_at_once_the_rest_follows_in_bounded_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.salvage_steps.STEP_ENTRIES", 500)
    epoch = broken(tmp_path)
    box, said = opened(tmp_path, stamp=STAMP)
    assert box.salvaging
    assert [(entry.kind, entry.wire_seq) for entry in box.scan()] == [(Kind.ALARM, 1001 * n) for n in range(1, 5)]
    assert box.limit_levels() == {"high": (Level.RED, 45, 3000)}
    assert (tmp_path / "outbox.salvage.db").exists()
    assert "the rest follows" in said[-1]
    found = steps(box)
    assert len(found) >= 8
    assert max(step.taken for step in found) <= 500 + 255
    assert [step.left for step in found] == sorted((step.left for step in found), reverse=True)
    assert found[-1].done.startswith(f"the broken store is kept as outbox.broken-{STAMP}.db; ")
    assert "could not be read" in found[-1].done
    saved = keys(box)
    assert len(saved) == len(set(saved)) > BIG - 40
    assert {key[0] for key in saved} == {epoch}
    assert box.salvage_step() == Salvaged(0, 0)
    assert box.account(count_rows=True).balanced


@pytest.mark.parametrize("where", [b"body000500", b"body003999", b"body000000"])
def test_a_damaged_page_costs_what_hangs_on_it(tmp_path: Path, where: bytes) -> None:
    broken(tmp_path, damage=where)
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    said = saved_whole(box)
    there = {entry.body for entry in box.scan()}
    lost = [number for number in range(BIG) if b"body%06d" % number not in there]
    assert 0 < len(lost) < 40
    assert lost == list(range(lost[0], lost[-1] + 1)), "one page"
    assert int(said[0].split("up to ")[1].split()[0]) >= len(lost) > 0


def test_a_damaged_page_high_in_the_tree_is_leapt_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.salvage.LEAP_AFTER", 20)
    broken(tmp_path, rounds=BIG, body=bytes(100))
    file = tmp_path / "outbox.db"
    data = bytearray(file.read_bytes())
    inner = [n for n in range(1, len(data) // 1024) if data[n * 1024] == 5]  # interior table pages
    data[inner[-1] * 1024 : inner[-1] * 1024 + 1024] = b"\xa5" * 1024
    file.write_bytes(data)
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    said = saved_whole(box)
    left = box.account(count_rows=True)
    assert 0 < left.held_entries < BIG
    unreadable = int(said[0].split("up to ")[1].split()[0])
    assert left.held_entries + unreadable >= BIG
    assert left.balanced


def test_a_schema_that_is_no_text_any_more_costs_the_file_and_nothing_else(tmp_path: Path) -> None:
    """SQLite's own words about it then are no text either, and Python says so with another error."""
    broken(tmp_path)
    file = tmp_path / "outbox.db"
    data = file.read_bytes()
    for place in range(1, data.count(b"CREATE TABLE") + 1):
        at = [n for n in range(len(data)) if data.startswith(b"CREATE TABLE", n)][place - 1]
        file.write_bytes(data[: at + 3] + b"\xae" + data[at + 4 :])
        assert peek(file) is not None
        box, said = Outbox.open(tmp_path, QUOTA, f"{STAMP}-{place}")
        assert said
        saved_whole(box)
        assert box.commit([]) is not None
        box.close()


def test_a_cut_between_steps_neither_loses_the_rest_nor_takes_settled_ones_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.salvage_steps.STEP_ENTRIES", 500)
    epoch = broken(tmp_path)
    box, _ = opened(tmp_path, stamp=STAMP)
    came: list[int] = []
    while box.salvaging:
        box.salvage_step(1.0)
        came += [entry.wire_seq for entry in box.scan()]
        box.commit([], [(epoch, 0, EVERYTHING)])
        with monkeypatch.context() as cut:  # the power goes in the middle of the next step
            cut.setattr(Books, "close", lambda _books: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                box.salvage_step(1.0) if box.salvaging else (_ for _ in ()).throw(KeyboardInterrupt)
        box.close()
        box, said = opened(tmp_path, stamp=STAMP)
        assert said == []
    assert len(came) == len(set(came)) > BIG - 40
    assert box.account(count_rows=True).balanced


def test_a_store_that_breaks_while_another_still_waits_loses_neither(tmp_path: Path) -> None:
    first = broken(tmp_path)
    box, _ = opened(tmp_path, stamp=STAMP)
    sheet, _ = box.sheet_id(b"n" * 16, box.epoch, b"new")
    box.commit([alarm(), round_()], limits=[Standing("high", Level.BLUE, 1, 9000)], sheet=sheet)
    second = box.epoch
    box.salvage_step(0.02)
    box.close()
    again, said = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    assert "put aside" in said[0]
    assert again.limit_levels() == {"high": (Level.BLUE, 1, 9000)}, "what is known last"
    again.close()
    again, said = opened(tmp_path, stamp=STAMP)
    assert said == []
    assert len(saved_whole(again)) == 2
    saved = keys(again)
    assert len(saved) == len(set(saved))
    assert len([key for key in saved if key[0] == first]) > BIG - 40
    assert len([key for key in saved if key[0] == second]) == 2
    assert len(list(tmp_path.glob("outbox.broken-*.db"))) == 2
    assert again.account(count_rows=True).balanced


def test_room_is_made_by_folding_not_by_eviction(tmp_path: Path) -> None:
    broken(tmp_path, body=bytes(80))
    box, _ = opened(tmp_path, quota=300_000)
    found = steps(box, most=20)
    assert found[-1].short
    assert found[-1].taken == 0
    assert box.account().evicted_entries == 0
    assert box.used_bytes() <= 0.92 * 300_000
    assert box.salvaging
    # The ladder frees room, here a receipt; and the step goes on where it was.
    held = box.account().held_entries
    box.commit([], [(key[0], key[1], key[1]) for key in keys(box)[10:500]])
    assert steps(box, most=1)[0].taken > 0
    # Where nothing can be folded, what does not fit is counted.
    steps(box, squeeze=True)
    account = box.account(count_rows=True)
    assert account.evicted_by["quota"][0] == account.evicted_entries > BIG - held - 600
    assert account.balanced
    assert sum(tally.held for tally in box.ledger().values()) == account.held_entries - 4
    assert (tmp_path / "outbox.db").stat().st_size <= 300_000


def test_entries_in_doubt_are_not_taken(tmp_path: Path) -> None:
    epoch = broken(tmp_path, rounds=100)
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True, doubtful=Doubt(epoch, 50, 101))
    box.salvage_step(0.0, doubtful=Doubt(epoch, 40, 101))
    box.close()
    box, _ = opened(tmp_path)
    saved_whole(box)  # nobody knows it any more but the store
    assert max(key[1] for key in keys(box)) == 50


def test_what_is_salvaged_into_a_small_store_is_folded_and_arrives_once(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await drained(gateway, 60)  # the sheet
        network.up = False
        gateway.keeper.outbox._db.execute("PRAGMA synchronous = OFF")
        for _ in range(6000):
            gateway.round()
            await asyncio.sleep(1)
        await gateway.alarm()
        await gateway.die()
        (tmp_path / "store" / "outbox.db").rename(tmp_path / "store" / "outbox.salvage.db")
        again = Gateway(tmp_path / "store", network)
        network.links[:] = network.links[-1:]
        again.keeper._quota_bytes = 250_000
        again.taken = gateway.taken
        await again.start()
        again.keeper.outbox._db.execute("PRAGMA synchronous = OFF")
        for _ in range(300):
            again.round()
            await asyncio.sleep(1)
        assert any("entries were saved" in text for text in again.said)
        account = again.keeper.outbox.account(count_rows=True)
        assert account.evicted_entries == 0
        assert account.folded_entries > 2900
        assert account.balanced
        network.up = True
        await drained(again, 600)
        db = network.province._store._db
        raw = db.execute("SELECT steps FROM readings WHERE point = 'p0'").fetchall()
        (count,) = db.execute("SELECT SUM(count) FROM summaries WHERE point = 'p0'").fetchone()
        assert len(raw) == len(set(raw))
        assert len(raw) + count == again.taken
        assert len(alarms(network)) == 1
        await again.die()
        await gateway.start()

    world(tmp_path, story)
