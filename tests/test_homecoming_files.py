"""Out of a file that was deleted, cut short or swapped, and into a new one: what it must not cost.

In virtual time with the real store (see test_bad_disks and relay_world for the world).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Kind
from edge.errors import StoreBroken
from edge.outbox import Outbox
from tests.relay_world import Gateway, Network, alarms, drained, held, rounds, values, world
from tests.test_bad_disks import Card, instants


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
