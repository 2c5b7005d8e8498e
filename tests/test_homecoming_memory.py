"""What memory takes along when the disk fails: all alarms that wait. What a stop brings home; what is in hand while
the store changes.

In virtual time with the real store (see relay_world for the world), or with the keeper alone.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Kind
from edge.errors import StoreBroken, Unpackable
from edge.fold import Folder
from edge.keeper import Keeper
from edge.outbox import Outbox
from edge.outbox_home import BATCH_ENTRIES
from tests.keeper_alone import ALARM, ROUND, alone, break_disk, kinds, mend_disk
from tests.relay_world import Gateway, Network, alarms, drained, rounds, world

# -- alarms that memory takes along -----------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["a restart", "a new epoch", "the store broke"])
def test_memory_takes_along_the_alarms_from_before(tmp_path: Path, before: str) -> None:
    async def first(keeper: Keeper) -> None:
        await keeper.take_now([ALARM])
        if before == "a new epoch":
            await keeper.renew(keeper.outbox.epoch)
            await break_disk(keeper)
            assert kinds(keeper) == [Kind.ALARM]
        await keeper.stop()

    async def second(keeper: Keeper) -> None:
        while await keeper._salvage():
            pass
        assert kinds(keeper) == [Kind.ALARM]
        await break_disk(keeper)
        assert not keeper.outbox.durable
        assert kinds(keeper) == [Kind.ALARM]

    alone(tmp_path, first)
    if before == "the store broke":
        (tmp_path / "outbox.db").rename(tmp_path / "outbox.salvage.db")
    alone(tmp_path, second)


def test_memory_takes_along_alarms_that_were_salvaged_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.salvage_steps.FEW_S", -1.0)  # the start has no time for them

    async def first(keeper: Keeper) -> None:
        await keeper.take_now([ALARM])
        await keeper.stop()

    async def second(keeper: Keeper) -> None:
        assert kinds(keeper) == []
        while await keeper._salvage():
            pass
        await break_disk(keeper)
        assert kinds(keeper) == [Kind.ALARM]

    alone(tmp_path, first)
    (tmp_path / "outbox.db").rename(tmp_path / "outbox.salvage.db")
    alone(tmp_path, second)


def test_memory_does_not_take_along_an_alarm_that_the_province_has(tmp_path: Path) -> None:
    async def first(keeper: Keeper) -> None:
        await keeper.take_now([ALARM, ALARM])
        await keeper.stop()

    async def second(keeper: Keeper) -> None:
        keeper.settle(keeper.outbox.epoch, 1, 2)
        await keeper._flush()
        await break_disk(keeper)
        assert kinds(keeper) == [Kind.ALARM]

    alone(tmp_path, first)
    alone(tmp_path, second)


# -- a disk that fails while a broken store is salvaged ---------------------------------------------------------------


def test_a_disk_that_fails_while_room_is_made_for_what_is_salvaged_costs_memory_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_folder: Folder, box: Outbox, _on_way: object) -> None:
        raise StoreBroken(box.path, "disk I/O error")

    async def first(keeper: Keeper) -> None:
        await keeper.take_now([ROUND])
        await keeper.stop()

    async def second(keeper: Keeper) -> None:
        await keeper.take_now([ALARM])
        keeper._short = True
        monkeypatch.setattr(Folder, "step", failing)
        disk = keeper.outbox
        assert disk.salvaging
        assert await keeper._salvage() is False
        assert not keeper.outbox.durable
        assert kinds(keeper) == [Kind.ALARM]
        async with keeper._lock:
            await keeper._fall_back(StoreBroken(disk.path, "heard of too late"), disk)
        assert kinds(keeper) == [Kind.ALARM]
        await asyncio.sleep(1)
        with pytest.raises(StoreBroken):
            disk.salvage_step()  # closed by now

    alone(tmp_path, first)
    (tmp_path / "outbox.db").rename(tmp_path / "outbox.salvage.db")
    said = alone(tmp_path, second)
    assert not any("memory failed too" in text for text in said)


def test_what_makes_room_for_what_comes_home_is_told(tmp_path: Path) -> None:
    freed: list[tuple[int, int]] = []

    async def story(keeper: Keeper) -> None:
        while not keeper.outbox.account().evicted_entries:
            await keeper.take_now([ROUND] * BATCH_ENTRIES)
        await break_disk(keeper)
        await keeper.take_now([ROUND] * 3 * BATCH_ENTRIES)
        keeper.committed = lambda _entries, done: freed.extend(done.freed)
        await mend_disk(keeper)

    said = alone(tmp_path, story, 600_000)
    assert freed
    assert sum("is full" in text for text in said) == 2  # memory was not


# -- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noticed", [True, False])
def test_stopping_in_a_deleted_file_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    monkeypatch.setattr("edge.keeper.STOP_PATIENCE_S", 0.0)
    count = 3 * BATCH_ENTRIES

    async def first(keeper: Keeper) -> None:
        await keeper.take_now([ROUND] * count)
        await keeper.take_now([ALARM])
        (tmp_path / "outbox.db").unlink()
        if noticed:
            await keeper._look_at_disk()
            assert keeper._opening is not None
            await asyncio.wait({keeper._opening})
            assert await keeper._arrive() is None
            assert await keeper._bring()
        await keeper.stop()

    async def second(keeper: Keeper) -> None:
        assert kinds(keeper) == [Kind.ALARM]
        while await keeper._salvage():
            pass
        assert sum(entry.kind is Kind.ROUNDS for entry in keeper.outbox.scan()) == count
        assert keeper.outbox.account(count_rows=True).balanced
        await keeper.stop()

    said = alone(tmp_path, first)
    assert any("was written to outbox.salvage.db" in text for text in said)
    alone(tmp_path, second)


def test_stopping_in_a_deleted_file_says_what_is_lost_where_nothing_can_be_written(tmp_path: Path) -> None:
    store = tmp_path / "store"

    async def story(keeper: Keeper) -> None:
        await keeper.take_now([ROUND] * 3)
        shutil.rmtree(store)
        store.write_text("in the way")
        await keeper.stop()

    said = alone(store, story)
    assert any("4 entries were in a deleted file only and are lost" in text for text in said)


def test_stopping_brings_home_what_memory_holds_when_the_disk_is_back(tmp_path: Path) -> None:
    async def first(keeper: Keeper) -> None:
        await break_disk(keeper)
        await keeper.take_now([ROUND, ALARM])
        await keeper.stop()

    async def second(keeper: Keeper) -> None:
        assert kinds(keeper) == [Kind.ALARM]

    assert not any("in memory only" in text for text in alone(tmp_path, first))
    alone(tmp_path, second)


# -- the store changes while something is done ------------------------------------------------------------------------


def test_what_waits_with_the_row_of_a_sheet_takes_the_present_one_in_another_store(tmp_path: Path) -> None:
    async def story(keeper: Keeper) -> None:
        keeper.take(ROUND._replace(kind=Kind.SHEET, readings=0, body=b"", sheet=99))
        await break_disk(keeper)
        await keeper._flush()
        assert {entry.sheet for entry in keeper.outbox.scan()} == {keeper.sheet.id}

    alone(tmp_path, story)


def test_an_entry_that_makes_no_sense_is_dropped_from_the_store_that_has_it_and_no_other(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        keeper = gateway.keeper
        network.up = False
        await rounds(gateway, 5)
        seq = 4
        keeper.outbox._db.execute("UPDATE entry SET body = x'ff' WHERE seq = ?", (seq,))
        call = keeper.call

        async def then_breaks(*args: Any, **kwargs: Any) -> Any:
            try:
                return await call(*args, **kwargs)
            except Unpackable:
                await break_disk(keeper)
                for _ in range(5):
                    await gateway.alarm()
                    await asyncio.sleep(0.01)
                assert (seq, Kind.ALARM) in keeper.outbox.first_things()
                raise

        keeper.call = then_breaks  # type: ignore[method-assign]
        network.up = True
        await asyncio.sleep(5)
        assert gateway.relay.damaged == 1
        await drained(gateway, 120)
        assert len(alarms(network)) == 5

    world(tmp_path, story)
