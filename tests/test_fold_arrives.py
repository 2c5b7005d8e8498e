"""What a store that filled has folded arrives at the province once, and then the store is back to raw.

In virtual time, with the real store, relay and province (see relay_world for the world these stories run in).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from edge.contract import Kind
from edge.entries import Held
from edge.wire.seal import LONG_OVERHEAD_BYTES
from tests.fold_site import balanced
from tests.relay_world import Gateway, Network, alarms, drained, world


def small(gateway: Gateway, quota_bytes: int) -> None:
    gateway.keeper.outbox.quota_bytes = quota_bytes
    gateway.keeper.outbox._db.execute("PRAGMA synchronous = OFF")


def test_after_a_blackout_the_store_drains_completely_and_returns_to_raw(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        small(gateway, 200_000)
        for minute in range(400):
            for _ in range(20):
                gateway.round()
                await asyncio.sleep(3)
            if minute % 100 == 50:
                await gateway.alarm()
        account = gateway.keeper.account()
        assert account.folded_entries > 1000
        assert account.evicted_entries == 0
        assert "store: is nearly full: the oldest readings become summaries (least, mean, greatest)" in gateway.said
        network.up = True
        await drained(gateway, 600)
        db = network.province._store._db
        good = gateway.taken  # of the first point: 1, 2, 3 ...
        raw = db.execute("SELECT steps FROM readings WHERE point = 'p0'").fetchall()
        (count,) = db.execute("SELECT SUM(count) FROM summaries WHERE point = 'p0'").fetchone()
        assert len(raw) == len(set(raw))
        assert len(raw) + count == good
        assert network.province.counts["repeated"] == 0
        assert network.province.counts["noise"] == 0
        assert len(alarms(network)) == 4
        assert db.execute("SELECT COUNT(*) FROM entries WHERE kind = 5").fetchone()[0] > 10
        assert balanced(gateway.keeper.outbox)
        before = gateway.keeper.account().folded_entries
        for _ in range(100):
            gateway.round()
            await asyncio.sleep(1)
        await drained(gateway, 60)
        assert gateway.keeper.account().folded_entries == before
        assert len(db.execute("SELECT 1 FROM readings WHERE point = 'p0'").fetchall()) == len(raw) + 100

    world(tmp_path, story)


def test_what_is_folded_while_it_is_packed_arrives_once(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await drained(gateway, 60)  # the sheet
        gateway.keeper.on_way = lambda: gateway.relay.transit.skip()
        network.up = False
        for _ in range(900):
            gateway.round()
            await asyncio.sleep(1)
        sealing, box = gateway.relay._sealing, gateway.keeper.outbox
        number = sealing.number
        folds: list[int] = []

        async def slow() -> Any:
            """While the counters of a packet of rounds are reserved, the keeper has its turn."""
            quota_bytes, box.quota_bytes = box.quota_bytes, 1000
            async with gateway.keeper._lock:
                folds.append(await gateway.keeper._fold_once(box, gateway.keeper.on_way()))
            box.quota_bytes = quota_bytes
            return await number()

        sealing.number = slow  # type: ignore[method-assign]
        network.up = True
        await asyncio.sleep(60)
        sealing.number = number  # type: ignore[method-assign]
        await drained(gateway, 600)
        db = network.province._store._db
        raw = db.execute("SELECT steps FROM readings WHERE point = 'p0'").fetchall()
        (count,) = db.execute("SELECT SUM(count) FROM summaries WHERE point = 'p0'").fetchone()
        assert sum(folds) > 2
        assert len(raw) + count == gateway.taken

    world(tmp_path, story)


def test_a_summary_that_fits_no_packet_of_a_link_stands_in_nobodys_way(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await drained(gateway, 60)  # the sheet
        network.up = False
        small(gateway, 250_000)
        for _ in range(6000):
            gateway.round()
            await asyncio.sleep(1)
        assert gateway.keeper.account().folded_entries > 500
        summaries = [held for held in gateway.keeper.outbox.scan() if held.kind is Kind.SUMMARY]
        large = max(len(held.body) for held in summaries)
        network.links[0].mtu_bytes = large + LONG_OVERHEAD_BYTES - 1
        network.up = True
        await asyncio.sleep(900)
        left: list[Held] = [held for held in gateway.keeper.outbox.scan() if held.kind is not Kind.STATUS]
        assert {held.kind for held in left} == {Kind.SUMMARY}
        network.up = False
        await asyncio.sleep(20)
        network.links[0].mtu_bytes = 4096
        network.up = True
        await drained(gateway, 200)

    world(tmp_path, story)
