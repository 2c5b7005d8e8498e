"""A disk that hangs, or fails with an alarm on it: who waits for it, for how long, and who comes first.

In virtual time with the real store (see test_bad_disks and relay_world for the world), or with the keeper alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract import ClockQuality, Kind
from edge.diskwork import OneThread, aside
from edge.entries import NewEntry
from edge.keeper import Keeper
from edge.outbox import Outbox
from edge.turns import Turns
from sim.virtual import run
from tests.relay_world import START_MS, Gateway, Network, alarms, drained, held, make_sheet, rounds, values, world
from tests.test_bad_disks import Card, slowly


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
