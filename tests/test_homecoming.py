"""Out of memory and back to the disk, out of a deleted file into a new one: what it must not cost.

In virtual time with the real store (see test_bad_disks and relay_world for the world), or with the keeper alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract import ClockQuality, Kind, Level
from edge.diskwork import OneThread, aside
from edge.doubt import NAME as DOUBT_NAME
from edge.entries import NewEntry, Standing
from edge.errors import StoreBroken
from edge.keeper import Keeper
from edge.outbox import Outbox
from edge.outbox_home import BATCH_ENTRIES, Doubt
from edge.turns import Turns
from sim.virtual import run
from tests.relay_world import START_MS, Gateway, Network, alarms, drained, make_sheet, rounds, values, world
from tests.test_bad_disks import Card, instants, slowly

MANY = 4 * BATCH_ENTRIES


def pile(gateway: Gateway, count: int) -> None:
    for _ in range(count):
        gateway.round()
        gateway.keeper._pending[-1] = gateway.keeper._pending[-1]._replace(at_ms=START_MS + gateway.taken)


async def on_disk(gateway: Gateway) -> None:
    for _ in range(300):
        if gateway.keeper.outbox.durable:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the disk is not used")


def held(gateway: Gateway, kind: Kind) -> int:
    return sum(entry.kind is kind for entry in gateway.keeper.outbox.scan())


# -- home in batches ------------------------------------------------------------------------------------------------


def test_an_alarm_does_not_wait_for_all_that_comes_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 3)
        card.broken = True
        await gateway.alarm()
        pile(gateway, MANY)
        await asyncio.sleep(3)
        card.broken = False
        slowly(gateway, 0.2, 10**6)
        await on_disk(gateway)
        assert gateway.keeper._leaving, "all of it came home in one go"
        assert held(gateway, Kind.ALARM) == 1, "the few things come first"
        began_s = asyncio.get_running_loop().time()
        await gateway.alarm()
        assert asyncio.get_running_loop().time() - began_s < 1.1
        await rounds(gateway, 20)
        assert not gateway.keeper._leaving
        account = gateway.keeper.outbox.account(count_rows=True)
        assert account.balanced
        assert account.adopted_entries == MANY + 2
        memory = gateway.keeper._memory
        assert memory is not None
        assert memory.account(count_rows=True).balanced
        assert (memory.account().taken_entries, memory.account().held_entries) == (0, 0)
        network.up = True
        await drained(gateway, 300)
        assert values(network) == list(range(1, MANY + 24))
        assert len(alarms(network)) == 2

    world(tmp_path, story)


def test_a_disk_that_breaks_while_memory_comes_home_leaves_the_rest_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 3)
        network.up = False
        await asyncio.sleep(2)
        take_over, calls = Outbox.take_over, 0

        def breaking(box: Outbox, *args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls in (3, 5, 10):
                raise StoreBroken(box.path, "disk I/O error")
            return take_over(box, *args)

        monkeypatch.setattr(Outbox, "take_over", breaking)
        for _ in range(2):
            card.broken = True
            pile(gateway, MANY)
            await gateway.alarm()
            epoch = gateway.keeper.outbox.epoch
            card.broken = False
            await asyncio.sleep(600)
        assert calls > 10
        assert gateway.keeper._memory is not None
        assert gateway.keeper._memory.epoch == epoch, "one store in memory for the whole run"
        assert gateway.keeper.outbox.durable
        assert not gateway.keeper._leaving
        assert held(gateway, Kind.SHEET) <= 2
        assert len(gateway.keeper.outbox.sheets()) == 2, "one sheet of the disk's epoch, one of memory's"
        network.up = True
        await drained(gateway, 600)
        assert values(network) == list(range(1, 2 * MANY + 4))
        assert len(alarms(network)) == 2
        assert gateway.keeper.outbox.account(count_rows=True).balanced

    world(tmp_path, story)


def test_a_receipt_for_what_is_not_home_yet_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 2)
        card.broken = True
        pile(gateway, MANY)
        await gateway.alarm()
        epoch = gateway.keeper.outbox.epoch
        card.broken = False
        slowly(gateway, 0.2, 10**6)
        await on_disk(gateway)
        assert gateway.keeper._leaving
        gateway.keeper.settle(epoch, 1, 10**6)
        await gateway.keeper._flush()
        await asyncio.sleep(30)
        assert not gateway.keeper._leaving
        assert gateway.held() < BATCH_ENTRIES, "what the province has came home all the same"

    world(tmp_path, story)


def test_what_comes_home_to_a_full_store_is_folded_before_anything_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(monkeypatch)
    quota_bytes = 600_000

    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        gateway.keeper._quota_bytes = quota_bytes
        gateway.keeper.outbox.quota_bytes = quota_bytes

        async def minutes(count: int) -> None:
            for _ in range(count // 500):
                for _ in range(500):
                    gateway.round()
                    late = gateway.keeper._pending[-1]._replace(at_ms=START_MS + 1000 * gateway.taken)
                    gateway.keeper._pending[-1] = late
                await asyncio.sleep(1.1)

        await minutes(12_000)
        card.broken = True
        await minutes(12_000)
        assert not gateway.keeper.outbox.durable
        card.broken = False
        await asyncio.sleep(120)
        account = gateway.keeper.outbox.account(count_rows=True)
        assert gateway.keeper.outbox.durable
        assert not gateway.keeper._leaving
        assert account.balanced
        assert account.evicted_by.get("quota", (0, 0))[0] == 0
        assert account.folded_readings > 0
        assert gateway.keeper.outbox.used_bytes() <= quota_bytes

    world(tmp_path, story)


def test_who_is_stopped_brings_home_what_memory_still_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        card.broken = True
        pile(gateway, MANY)
        await gateway.alarm()
        card.broken = False
        slowly(gateway, 0.1, 10**6)
        await on_disk(gateway)
        for task in gateway.tasks:
            task.cancel()
        await asyncio.gather(*gateway.tasks, return_exceptions=True)
        await gateway.keeper.stop()
        box, _ = Outbox.open(tmp_path / "store", 50_000_000, "now")
        assert sum(entry.kind is Kind.ROUNDS for entry in box.scan()) == MANY
        box.close()
        await gateway.start()

    world(tmp_path, story)


def test_where_a_limit_stood_in_memory_once_does_not_come_home_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next start takes an alarm that is over for one that stands, and does not tell it when it comes again."""
    card = Card(monkeypatch)

    async def stands(gateway: Gateway, level: Level) -> None:
        await gateway.keeper.take_now([], [Standing("high", level, 500, START_MS)])
        await asyncio.sleep(1)
        gateway.round()
        await asyncio.sleep(3)

    async def story(network: Network, gateway: Gateway) -> None:
        card.broken = True
        await stands(gateway, Level.RED)
        await rounds(gateway, 2)
        assert not gateway.keeper.outbox.durable
        card.broken = False
        await on_disk(gateway)
        await stands(gateway, Level.NONE)
        await asyncio.sleep(130)  # the disk counts as steady, and is looked at soon when it fails again
        card.broken = True
        await rounds(gateway, 3)
        assert not gateway.keeper.outbox.durable
        card.broken = False
        await on_disk(gateway)
        assert gateway.keeper.outbox.limit_levels()["high"][0] is Level.NONE

    world(tmp_path, story)


# -- files that go, or are swapped -----------------------------------------------------------------------------------


def test_a_store_whose_folder_cannot_be_made_again_loses_nothing_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 10)
        await gateway.alarm()
        store = tmp_path / "store"
        shutil.rmtree(store)
        store.write_text("in the way")
        await rounds(gateway, 20)
        assert any("a file that was deleted" in text for text in gateway.said)
        assert gateway.keeper.broken
        assert gateway.held() >= 31
        commit = Outbox.commit

        def failing(box: Outbox, *args: Any, **kwargs: Any) -> Any:
            if box.durable:
                raise StoreBroken(box.path, "disk I/O error")
            return commit(box, *args, **kwargs)

        monkeypatch.setattr(Outbox, "commit", failing)
        await rounds(gateway, 5)
        monkeypatch.setattr(Outbox, "commit", commit)
        assert not gateway.keeper.outbox.durable
        assert held(gateway, Kind.ALARM) == 1, "what the deleted file held is in memory"
        store.unlink()
        await rounds(gateway, 30)
        assert gateway.keeper.outbox.durable
        network.up = True
        await drained(gateway, 120)
        assert values(network) == list(range(1, 66))
        assert len(alarms(network)) == 1
        assert len(set(instants(network))) == 65

    world(tmp_path, story)


@pytest.mark.parametrize("gone", ["deleted", "replaced"])
def test_a_log_that_is_gone_is_noticed_and_what_was_in_it_kept(tmp_path: Path, gone: str) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 10)
        log = tmp_path / "store" / "outbox.db-wal"
        log.unlink()
        if gone == "replaced":
            log.write_bytes(b"no log of ours")
        await rounds(gateway, 30)
        assert any("write-ahead log was deleted or replaced" in text for text in gateway.said)
        assert gateway.keeper.outbox.durable
        assert gateway.keeper.outbox.has_log()
        await gateway.die()
        again = Gateway(tmp_path / "store", network)
        network.links[:] = network.links[-1:]
        await again.start()
        network.up = True
        await drained(again, 120)
        assert values(network) == list(range(1, 41))
        await again.die()
        await gateway.start()

    world(tmp_path, story)


def test_a_log_that_is_cut_short_is_noticed_before_anything_is_written_behind_the_hole(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 10)
        os.truncate(tmp_path / "store" / "outbox.db-wal", 0)
        await gateway.alarm()
        assert any("write-ahead log was deleted or replaced, or cut short" in text for text in gateway.said)
        assert gateway.held() >= 1
        await rounds(gateway, 30)
        assert gateway.keeper.outbox.durable
        await gateway.die()
        again = Gateway(tmp_path / "store", network)
        network.links[:] = network.links[-1:]
        again.taken = gateway.taken
        await again.start()
        assert not any("put aside" in text for text in again.said), "the file is sound"
        await rounds(again, 2)
        network.up = True
        await drained(again, 120)
        assert len(alarms(network)) == 1
        assert values(network)[-32:] == list(range(11, 43))
        await again.die()
        await gateway.start()

    world(tmp_path, story)


@pytest.mark.parametrize("through_memory", [False, True])
def test_an_older_copy_put_in_place_of_the_store_gives_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through_memory: bool
) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        store = tmp_path / "store" / "outbox.db"
        await rounds(gateway, 10)
        await drained(gateway, 30)
        gateway.keeper.outbox._db.execute("PRAGMA wal_checkpoint(FULL)")
        shutil.copy(store, tmp_path / "copy.db")
        epoch = gateway.keeper.outbox.epoch
        await rounds(gateway, 20)
        await drained(gateway, 30)
        network.up = False
        await asyncio.sleep(5)
        if through_memory:
            card.broken = True
            await rounds(gateway, 2)
            for file in (tmp_path / "store").glob("outbox.db*"):
                file.unlink()
        (tmp_path / "copy.db").replace(store)
        card.broken = False
        await rounds(gateway, 30)
        assert gateway.keeper.outbox.durable
        assert gateway.keeper.outbox.epoch != epoch
        assert sum("older copy of itself" in text for text in gateway.said) == 1
        network.up = True
        await drained(gateway, 120)
        assert values(network) == list(range(1, gateway.taken + 1))
        assert len(set(instants(network))) == gateway.taken

    world(tmp_path, story)


# -- doubt ------------------------------------------------------------------------------------------------------------


def in_doubt(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The next commit of rounds to a disk happens, and fails all the same; then no store can be opened until the
    returned function is called."""
    commit, open_store, broken = Outbox.commit, Outbox.open.__func__, [True]  # type: ignore[attr-defined]

    def failing(box: Outbox, *args: Any, **kwargs: Any) -> Any:
        done = None
        good_seq = box.good_seq
        if broken[0] and box.durable and args[0]:
            done = commit(box, *args, **kwargs)
            box.good_seq = good_seq
            raise StoreBroken(box.path, "disk I/O error")
        return done or commit(box, *args, **kwargs)

    def refusing(cls: type[Outbox], *args: Any, **kwargs: Any) -> Any:
        if broken[0]:
            raise StoreBroken("store", "disk I/O error")
        return open_store(cls, *args, **kwargs)

    monkeypatch.setattr(Outbox, "commit", failing)
    monkeypatch.setattr(Outbox, "open", classmethod(refusing))

    def mend() -> None:
        broken[0] = False

    return mend


@pytest.mark.parametrize("killed", [False, True])
def test_a_commit_in_doubt_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 10)
        await drained(gateway, 30)
        mend = in_doubt(monkeypatch)
        for _ in range(10):
            gateway.round()
            await asyncio.sleep(0.01)
        await asyncio.sleep(100)  # memory has sent them by now
        if killed:
            assert (tmp_path / "store" / DOUBT_NAME).exists()
            await gateway.die()
        mend()
        again = gateway
        if killed:
            again = Gateway(tmp_path / "store", network)
            network.links[:] = network.links[-1:]
            again.taken = 20
            await again.start()
        await rounds(again, 30)
        await drained(again, 60)
        assert again.keeper.outbox.durable
        assert not (tmp_path / "store" / DOUBT_NAME).exists()
        assert values(network) == list(range(1, 51))
        assert again.keeper.outbox.account(count_rows=True).balanced
        if killed:
            await again.die()
            await gateway.start()

    world(tmp_path, story)


def test_a_commit_in_doubt_that_nobody_heard_of_is_kept_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 10)
        mend = in_doubt(monkeypatch)
        await rounds(gateway, 1)
        await gateway.die()
        mend()
        again = Gateway(tmp_path / "store", network)
        network.links[:] = network.links[-1:]
        await again.start()
        network.up = True
        await drained(again, 60)
        assert values(network) == list(range(1, 12))
        await again.die()
        await gateway.start()

    world(tmp_path, story)


def test_seqs_in_doubt_are_never_given_again(tmp_path: Path) -> None:
    box, _ = Outbox.open(tmp_path, 50_000_000, "now")
    entry = NewEntry(Kind.ROUNDS, 0, START_MS, ClockQuality.TRUSTED, 1, b"body")
    sheet, _ = box.sheet_id(b"d" * 16, box.epoch, b"sheet")
    box.commit([entry] * 3, sheet=sheet)
    assert box.take_back(Doubt(box.epoch, 1, 10)) == 2
    assert box.take_back(Doubt(box.epoch + 1, 0, 10)) == 0
    assert box.commit([entry], sheet=sheet).seqs == [11]
    assert box.take_back(Doubt(box.epoch, 1, 10)) == 0, "a word left over does no harm"
    assert box.account(count_rows=True).balanced
    box.close()


# -- a disk that hangs ------------------------------------------------------------------------------------------------


def keeper_of(folder: Path, blocking: Callable[[Callable[[], Any]], Any], said: list[str]) -> Keeper:
    return Keeper(
        folder, 50_000_000, 1.0, blocking, make_sheet, lambda about, text: said.append(text), lambda: "now", 1
    )


def test_a_start_on_a_disk_that_hangs_is_soon_over_and_the_disk_is_used_when_it_answers(tmp_path: Path) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        answers = asyncio.Event()

        async def hanging(work: Callable[[], Any]) -> Any:
            if "_fall_back" not in work.__qualname__ and not answers.is_set() and loop.time() < 60:
                await answers.wait()
            return work()

        said: list[str] = []
        keeper = keeper_of(tmp_path, hanging, said)
        await keeper.start()
        assert loop.time() < 5
        assert not keeper.outbox.durable
        assert keeper.hangs
        await asyncio.sleep(60)
        running = asyncio.ensure_future(keeper.run())
        keeper.take(NewEntry(Kind.ROUNDS, 0, START_MS, ClockQuality.TRUSTED, 1, b"body"))
        await asyncio.sleep(60)
        assert not keeper.outbox.durable
        answers.set()
        await asyncio.sleep(20)
        assert keeper.outbox.durable
        assert not keeper.hangs
        assert [entry.body for entry in keeper.outbox.scan() if entry.kind is Kind.ROUNDS] == [b"body"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await keeper.stop()

    run(story())


def test_no_store_is_opened_while_a_call_hangs_nor_two_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0
    real = Outbox.open.__func__  # type: ignore[attr-defined]

    def counting(cls: type[Outbox], *args: Any, **kwargs: Any) -> Any:
        nonlocal opened
        opened += 1
        return real(cls, *args, **kwargs)

    monkeypatch.setattr(Outbox, "open", classmethod(counting))

    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 3)
        assert opened == 1
        slowly(gateway, 300.0, 1, ("_write",))
        await gateway.alarm()
        await rounds(gateway, 200)
        assert opened == 1, "what hangs may wake up, and move or delete files"
        slowly(gateway, 300.0, 1, ("_open",))
        await rounds(gateway, 200)
        assert gateway.keeper._opening is not None
        await rounds(gateway, 300)
        assert opened == 2, "the second attempt is the one that took its time"
        assert gateway.keeper.outbox.durable
        network.up = True
        await drained(gateway, 120)
        assert values(network) == list(range(1, 704))
        assert len(alarms(network)) == 1

    world(tmp_path, story)


@pytest.mark.parametrize("raised_s", [0.0, 3.0, 13.0])
def test_an_alarm_waits_ten_seconds_at_most_for_a_disk_that_hangs(tmp_path: Path, raised_s: float) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        loop = asyncio.get_running_loop()
        await rounds(gateway, 3)
        slowly(gateway, 10.0**6, 1, ("call",))
        calling = asyncio.ensure_future(gateway.keeper.call(Outbox.last_seq))
        await asyncio.sleep(raised_s)
        began_s = loop.time()
        await gateway.alarm()
        assert loop.time() - began_s < 8
        await asyncio.sleep(1)
        assert len(alarms(network)) == 1
        await asyncio.gather(calling, return_exceptions=True)

    world(tmp_path, story)


def test_an_alarm_that_was_committed_and_not_sent_when_the_disk_fails_goes_out_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 3)
        network.up = False
        await asyncio.sleep(2)
        await gateway.alarm()
        for turn in range(2):
            card.broken = True
            await rounds(gateway, 5)
            assert not gateway.keeper.outbox.durable
            if turn:
                network.up = True
                await rounds(gateway, 12)
                assert len(alarms(network)) == 1
                assert held(gateway, Kind.ALARM) == 0
                network.receipts_reach_us = False
            card.broken = False
            await asyncio.sleep(60)
            assert gateway.keeper.outbox.durable
        assert held(gateway, Kind.ALARM) == 0, "its receipt was heard while the disk was away"
        network.receipts_reach_us = True
        await drained(gateway, 120)
        assert len(alarms(network)) == 1
        assert values(network) == list(range(1, gateway.taken + 1))

    world(tmp_path, story)


def test_an_alarm_is_next_whoever_waits(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        loop = asyncio.get_running_loop()
        await rounds(gateway, 3)
        slowly(gateway, 2.0, 10**6)
        calls = [asyncio.ensure_future(gateway.keeper.call(Outbox.last_seq)) for _ in range(10)]
        await asyncio.sleep(0.1)
        began_s = loop.time()
        await gateway.alarm()
        assert loop.time() - began_s < 4.2
        assert sum(call.done() for call in calls) <= 2
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    world(tmp_path, story)


def test_turns_come_in_order_and_who_gives_up_holds_nobody_up() -> None:
    async def story() -> None:
        turns, order = Turns(), []

        async def work(name: str, *, hurry: bool = False) -> None:
            async with turns.at_once() if hurry else turns:
                order.append(name)
                await asyncio.sleep(1)

        tasks = [asyncio.ensure_future(work(name)) for name in "abc"]
        await asyncio.sleep(0.1)
        tasks.append(asyncio.ensure_future(work("alarm", hurry=True)))
        await asyncio.sleep(0.1)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["a", "alarm", "c"]
        await asyncio.wait_for(turns.acquire(), 1)
        waits = asyncio.ensure_future(turns.acquire())
        await asyncio.sleep(0.1)
        turns.release()
        waits.cancel()  # its turn had come already
        await asyncio.gather(waits, return_exceptions=True)
        await asyncio.wait_for(turns.acquire(), 1)

    run(story())


def test_who_is_cancelled_in_the_moment_of_a_release_ends_as_cancelled() -> None:
    """Otherwise it was begun again as one that had failed, and the gateway did not stop."""

    async def story() -> None:
        turns = Turns()
        await turns.acquire()
        waits = asyncio.ensure_future(turns.acquire())
        await asyncio.sleep(0.1)
        waits.cancel()
        turns.release()
        with pytest.raises(asyncio.CancelledError):
            await waits
        await asyncio.wait_for(turns.acquire(), 1)

    run(story())


def test_the_store_is_opened_on_a_thread_of_its_own(tmp_path: Path) -> None:
    gate = threading.Event()

    async def story() -> None:
        threads = OneThread()
        said: list[str] = []
        keeper = keeper_of(tmp_path, threads, said)
        keeper._disk._abandon = threads.abandon
        stuck = [keeper._disk.aside(gate.wait), asyncio.ensure_future(aside(threads)(gate.wait))]
        began_s = asyncio.get_running_loop().time()
        await keeper.start()
        await keeper.take_now([NewEntry(Kind.ROUNDS, 0, START_MS, ClockQuality.TRUSTED, 1, b"body")])
        assert asyncio.get_running_loop().time() - began_s < 5
        stuck.append(asyncio.ensure_future(aside(threads)(gate.wait)))
        await keeper.take_now([NewEntry(Kind.ROUNDS, 0, START_MS, ClockQuality.TRUSTED, 1, b"body")])
        assert not any(task.done() for task in stuck)
        gate.set()
        await asyncio.gather(*stuck)
        await keeper.stop()

    asyncio.run(story())
