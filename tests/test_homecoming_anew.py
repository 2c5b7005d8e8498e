"""A store that turns out to be an older copy of itself, and begins a new epoch: also when that fails, when its disk
breaks then, and when alarms wait meanwhile.

In virtual time with the real store (see relay_world for the world), or with the keeper alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Kind
from edge.errors import StoreBroken
from edge.keeper import Keeper
from edge.outbox import Outbox
from tests.keeper_alone import ALARM, ROUND, alone, break_disk, kinds, mend_disk
from tests.relay_world import Gateway, Network, alarms, drained, rounds, values, world
from tests.test_bad_disks import Card, instants


async def restored_card(store: Path, network: Network, gateway: Gateway) -> Gateway:
    """A gateway on a copy of its store from before 300 entries that the province has."""
    await rounds(gateway, 20)
    await drained(gateway, 60)
    await gateway.die()
    shutil.copytree(store, store.with_name("copy"))
    later = Gateway(store, network)
    network.links[:] = network.links[-1:]
    later.taken = 20
    await later.start()
    await rounds(later, 300)
    await drained(later, 60)
    await later.die()
    shutil.rmtree(store)
    store.with_name("copy").rename(store)
    restored = Gateway(store, network)
    network.links[:] = network.links[-1:]
    restored.taken = 1000
    return restored


@pytest.mark.parametrize("damaged", [False, True])
def test_a_new_epoch_that_fails_once_is_made_up_for_before_the_store_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    renew, calls = Outbox.renew, 0

    def failing_once(box: Outbox, *args: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreBroken(box.path, "disk I/O error", damaged=damaged)
        return renew(box, *args)

    async def story(network: Network, gateway: Gateway) -> None:
        restored = await restored_card(tmp_path / "store", network, gateway)
        monkeypatch.setattr(Outbox, "renew", failing_once)
        network.up = False
        await restored.start()
        await rounds(restored, 20)
        await restored.alarm()
        network.up = True
        await rounds(restored, 80)
        await drained(restored, 120)
        assert calls == (1 if damaged else 2)
        assert restored.keeper.outbox.durable
        assert values(network) == [*range(1, 321), *range(1001, 1101)]
        assert len(set(instants(network))) == 420
        assert len(alarms(network)) == 1
        assert not any("never sent" in text for text in restored.said)
        assert restored.keeper.outbox.account(count_rows=True).balanced
        await restored.die()
        await gateway.start()

    world(tmp_path, story)


def test_an_older_copy_whose_disk_was_away_before_the_province_was_heard_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        restored = await restored_card(tmp_path / "store", network, gateway)
        network.up = False
        await restored.start()
        await rounds(restored, 50)
        card.broken = True
        await rounds(restored, 5)
        card.broken = False
        await rounds(restored, 30)
        network.up = True
        await drained(restored, 120)
        assert values(network) == [*range(1, 321), *range(1001, 1086)]
        await restored.die()
        await gateway.start()

    world(tmp_path, story)


def test_no_receipt_is_believed_for_a_store_that_must_begin_a_new_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = Outbox.renew

    def failing(box: Outbox, *_args: Any) -> int:
        raise StoreBroken(box.path, "disk I/O error")

    async def story(keeper: Keeper) -> None:
        await keeper.take_now([ROUND, ALARM])
        epoch = keeper.outbox.epoch
        keeper.settle(epoch, 1, 100)
        monkeypatch.setattr(Outbox, "renew", failing)
        await keeper.renew(epoch)
        assert not keeper.outbox.durable
        keeper.settle(epoch, 1, 100)
        await keeper._flush()
        assert kinds(keeper) == [Kind.ALARM]
        monkeypatch.setattr(Outbox, "renew", renew)
        await mend_disk(keeper)
        assert keeper.outbox.durable
        assert keeper.outbox.epoch != epoch
        keeper.settle(epoch, 1, 100)
        await keeper._flush()
        held = [entry for entry in keeper.outbox.scan() if entry.kind is not Kind.SHEET]
        assert [entry.kind for entry in held] == [Kind.ROUNDS, Kind.ALARM]
        assert {keeper.outbox.sheet(entry.sheet)[0] for entry in held} == {keeper.outbox.epoch}

    alone(tmp_path, story)


def test_after_a_new_epoch_the_store_is_still_what_it_was_and_what_went_out_keeps_its_name(tmp_path: Path) -> None:
    async def story(keeper: Keeper) -> None:
        keeper.outbox.reserve_counters(5000)
        await keeper.take_now([ROUND, ALARM])
        await keeper.renew(keeper.outbox.epoch)
        second = keeper.outbox.epoch
        assert keeper.outbox.counter_high == 0
        await break_disk(keeper)
        await mend_disk(keeper)
        assert keeper.outbox.epoch == second, "taken for an older copy of itself"
        await keeper.renew(second)
        assert keeper.outbox.epoch != second
        held = [entry for entry in keeper.outbox.scan() if entry.kind is not Kind.SHEET]
        assert {keeper.outbox.sheet(entry.sheet)[0] for entry in held} == {second}

    said = alone(tmp_path, story)
    assert sum("older copy of itself" in text for text in said) == 2
