"""A commit of which nobody knows whether it happened: its entries are told once.

In virtual time with the real store (see relay_world for the world), or with the store alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract import ClockQuality, Kind
from edge.doubt import NAME as DOUBT_NAME
from edge.entries import NewEntry
from edge.errors import StoreBroken
from edge.outbox import Outbox
from edge.outbox_home import Doubt
from tests.relay_world import START_MS, Gateway, Network, drained, rounds, values, world


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
