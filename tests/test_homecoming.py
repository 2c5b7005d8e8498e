"""Out of memory and back to the disk, in batches: what it must not cost.

In virtual time with the real store (see test_bad_disks and relay_world for the world).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Kind, Level
from edge.entries import Standing
from edge.errors import StoreBroken
from edge.outbox import Outbox
from edge.outbox_home import BATCH_ENTRIES
from tests.relay_world import START_MS, Gateway, Network, alarms, drained, held, rounds, values, world
from tests.test_bad_disks import Card, slowly

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
