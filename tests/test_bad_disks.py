"""What a failing card must not do: lose an alarm, lose or repeat a reading at the province, stand in the way.

In virtual time, with the real store, relay and province (see relay_world for the world these stories run in).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Kind
from edge.errors import StoreBroken
from edge.keeper import PENDING_MOST
from edge.outbox import Outbox
from tests.relay_world import Gateway, Network, alarms, drained, rounds, values, world


class Card:
    """While `broken`, nothing can be committed to a disk, and no store can be opened on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broken = False
        commit, open_store = Outbox.commit, Outbox.open.__func__  # type: ignore[attr-defined]

        def faulty_commit(box: Outbox, *args: Any, **kwargs: Any) -> Any:
            if self.broken and box.durable:
                raise StoreBroken(box.path, "disk I/O error")
            return commit(box, *args, **kwargs)

        def faulty_open(cls: type[Outbox], *args: Any, **kwargs: Any) -> Any:
            if self.broken:
                raise StoreBroken("store", "disk I/O error")
            return open_store(cls, *args, **kwargs)

        monkeypatch.setattr(Outbox, "commit", faulty_commit)
        monkeypatch.setattr(Outbox, "open", classmethod(faulty_open))


def instants(network: Network) -> list[int]:
    """When each reading was taken: two of one instant would be a repeat under two names."""
    db = network.province._store._db
    return [row[0] for row in db.execute("SELECT at_ms FROM readings WHERE point = 'p0' ORDER BY at_ms")]


@pytest.mark.parametrize("link_up", [True, False])
def test_what_memory_held_while_the_card_failed_arrives_once_however_often_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link_up: bool
) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 10)
        for _ in range(2):
            network.up = link_up
            await asyncio.sleep(2)
            card.broken = True
            await rounds(gateway, 10)
            await gateway.alarm()
            await rounds(gateway, 10)
            card.broken = False
            await rounds(gateway, 20)
            network.up = True
            await rounds(gateway, 20)
        await drained(gateway, 120)
        assert sum("brought home" in text for text in gateway.said) == 2
        assert sum("older copy" in text for text in gateway.said) == 0
        assert len(alarms(network)) == 2
        assert values(network) == list(range(1, 131))
        assert len(set(instants(network))) == 130
        assert gateway.keeper.outbox.account(count_rows=True).balanced

    world(tmp_path, story)


def test_salvaged_entries_keep_their_epoch_at_the_province(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 20)
        await drained(gateway, 30)
        network.up = False
        await asyncio.sleep(5)
        await rounds(gateway, 30)
        await gateway.alarm()
        await asyncio.sleep(2)
        await gateway.die()
        db_file = tmp_path / "store" / "outbox.db"
        db_file.rename(tmp_path / "store" / "outbox.salvage.db")
        again = Gateway(tmp_path / "store", network)
        network.links[:] = network.links[-1:]
        again.taken = 100
        await again.start()
        await rounds(again, 10)
        network.up = True
        await rounds(again, 20)
        await drained(again, 60)
        assert values(network) == [*range(1, 51), *range(101, 131)]
        assert len(alarms(network)) == 1
        assert len(set(instants(network))) == 80
        assert list((tmp_path / "store").glob("outbox.broken-*.db"))
        await again.die()
        await gateway.start()

    world(tmp_path, story)


def test_a_restored_card_that_comes_back_in_the_dark_loses_no_alarm(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 20)
        await drained(gateway, 30)
        await gateway.die()
        image = (tmp_path / "store" / "outbox.db").read_bytes()
        again = Gateway(tmp_path / "store", network)
        network.links[:] = network.links[-1:]
        again.taken = 100
        await again.start()
        await rounds(again, 10)
        await drained(again, 30)
        await again.die()
        (tmp_path / "store" / "outbox.db").write_bytes(image)
        for leftover in (tmp_path / "store").glob("outbox.db-*"):
            leftover.unlink()
        network.up = False
        restored = Gateway(tmp_path / "store", network)
        network.links[:] = network.links[-1:]
        restored.taken = 200
        await restored.start()
        await rounds(restored, 5)
        await restored.alarm()
        await rounds(restored, 30)  # by now it has given more seqs than the province knows of
        network.up = True
        await drained(restored, 120)
        assert sum("older copy of itself" in text for text in restored.said) == 1
        assert len(alarms(network)) == 1
        assert values(network) == [*range(1, 21), *range(101, 111), *range(201, 236)]
        await restored.die()
        await gateway.start()

    world(tmp_path, story)


def test_a_disk_that_hangs_holds_up_no_alarm_for_long(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 10)
        hang = asyncio.Event()
        real: Callable[..., Any] = gateway.keeper._disk._run_blocking

        async def hanging(work: Callable[[], Any]) -> Any:
            if not hang.is_set():
                hang.set()
                await asyncio.sleep(10**6)
            return await real(work)

        gateway.keeper._disk._run_blocking = hanging
        gateway.round()
        await asyncio.wait_for(hang.wait(), 5)
        await gateway.alarm()
        await asyncio.sleep(10)
        assert any("has not answered" in text for text in gateway.said)
        taken_ms, received_ms = alarms(network)[0]
        assert received_ms - taken_ms < 30_000

    world(tmp_path, story)


def test_what_is_dropped_when_nothing_can_be_committed_is_rounds_never_alarms(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await gateway.keeper._lock.acquire()
        alarm = asyncio.ensure_future(gateway.alarm())
        await asyncio.sleep(0.1)
        for _ in range(PENDING_MOST + 100):
            gateway.round()
        kinds = [entry.kind for entry in gateway.keeper._pending]
        assert len(kinds) <= PENDING_MOST
        assert kinds.count(Kind.ALARM) == 1
        assert gateway.keeper.dropped > 0
        gateway.keeper._lock.release()
        await alarm
        await asyncio.sleep(5)
        assert len(alarms(network)) == 1

    world(tmp_path, story)


def test_a_store_deleted_while_in_use_is_noticed_and_goes_on_in_a_new_one(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 10)
        network.up = False
        await asyncio.sleep(3)
        await rounds(gateway, 10)
        for file in (tmp_path / "store").iterdir():
            file.unlink()
        await rounds(gateway, 20)
        await gateway.alarm()
        assert any("deleted or replaced" in text for text in gateway.said)
        assert (tmp_path / "store" / "outbox.db").exists()
        network.up = True
        await rounds(gateway, 10)
        await drained(gateway, 120)
        assert values(network) == list(range(1, 51))
        assert len(alarms(network)) == 1

    world(tmp_path, story)


@pytest.mark.parametrize("narrow_first", [True, False])
def test_a_sheet_too_long_for_one_link_goes_by_the_other(tmp_path: Path, narrow_first: bool) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.links[0 if narrow_first else 1].mtu_bytes = 120
        await rounds(gateway, 30)
        await gateway.alarm()
        await drained(gateway, 60)
        assert values(network) == list(range(1, 31))
        assert len(alarms(network)) == 1

    world(tmp_path, story, links=2)


def test_an_alarm_gets_through_even_where_no_link_can_carry_the_sheet(tmp_path: Path) -> None:

    async def story(network: Network, gateway: Gateway) -> None:
        network.links[0].mtu_bytes = 80
        await rounds(gateway, 30)
        await gateway.alarm()
        await asyncio.sleep(30)
        assert len(alarms(network)) == 1
        assert sum("does not fit" in text for text in gateway.said) == 1

    world(tmp_path, story)


def slowly(gateway: Gateway, seconds: float, calls: int, whose: tuple[str, ...] = ("",)) -> None:
    """The next `calls` that the functions `whose` of the keeper make take so long, and then succeed."""
    real: Callable[..., Any] = gateway.keeper._disk._run_blocking
    left = calls

    async def slow(work: Callable[[], Any]) -> Any:
        nonlocal left
        if left and any(name in work.__qualname__ for name in whose):
            left -= 1
            await asyncio.sleep(seconds)
        return await real(work)

    gateway.keeper._disk._run_blocking = slow


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_card_that_answers_too_late_takes_nothing_of_what_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 5)
        network.up = False
        await asyncio.sleep(2)
        card.broken = True
        await rounds(gateway, 5)
        await gateway.alarm()
        await rounds(gateway, 2)
        card.broken = False
        slowly(gateway, 20.0, calls, ("_open", "_come_home"))
        await rounds(gateway, 120)
        network.up = True
        await drained(gateway, 120)
        assert gateway.keeper.outbox.durable
        assert len(alarms(network)) == 1
        assert values(network) == list(range(1, 133))

    world(tmp_path, story)


def test_who_is_stopped_in_the_middle_of_a_commit_has_it_once(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 5)
        slowly(gateway, 0.5, 1)
        alarm = asyncio.ensure_future(gateway.alarm())
        await asyncio.sleep(0.1)
        alarm.cancel()
        await asyncio.gather(alarm, return_exceptions=True)
        await gateway.keeper._flush()
        kinds = [kind for _, kind in gateway.keeper.outbox.first_things()]
        assert kinds.count(Kind.ALARM) == 1

    world(tmp_path, story)
