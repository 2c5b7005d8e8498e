"""Work on the world's memory card (sim/world/disk.py): slow, hanging, cut off; what a keeper makes of it; its cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.errors import StoreBroken
from edge.keeper import Keeper
from edge.link_memory import FileMemory
from edge.outbox import Outbox
from sim.virtual import run
from sim.world.disk import Disk, PowerOff

QUOTA_BYTES = 50_000_000
STAMP = "20261122T000000Z"
HOME_S = 60.0  # a keeper looks for its disk more often
COST_COMMITS = 100  # the plain ones wait for the real disk
COST_US = 250.0  # measured 30 on a quiet machine; a busy one must not fail for that


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "card", Random(1)) as disk:
        yield disk


def opened(disk: Disk) -> Outbox:
    return Outbox.open(disk.folder, QUOTA_BYTES, STAMP)[0]


def put(box: Outbox, *bodies: bytes) -> None:
    sheet, _ = box.sheet_id(b"d" * 16, box.epoch, b"sheet")
    box.commit([NewEntry(Kind.ALARM, 0, 1, ClockQuality.FREE, 0, body) for body in bodies], sheet=sheet)


def bodies(box: Outbox) -> list[bytes]:
    return [entry.body for entry in box.scan()]


# -- work on it ------------------------------------------------------------------------------------------------------


def test_work_is_done_at_once_and_what_fails_is_told(disk: Disk) -> None:
    async def story() -> None:
        assert await disk.blocking(lambda: 1) == 1
        with pytest.raises(ZeroDivisionError):
            await disk.blocking(lambda: 1 // 0)
        assert asyncio.get_running_loop().time() < 0.01

    run(story())


def test_a_slow_card_takes_its_time_for_a_commit_and_none_for_reading(disk: Disk) -> None:
    box = opened(disk)
    put(box, b"sheet")

    async def story() -> None:
        now_s = asyncio.get_running_loop().time
        disk.slow_s = 2.0
        await asyncio.gather(*(disk.blocking(partial(put, box, b"%d" % n)) for n in range(3)))
        assert 6.0 <= now_s() < 6.1  # a piece at a time
        assert len(await disk.blocking(lambda: bodies(box))) == 4
        assert now_s() < 6.1

    run(story())


def test_a_card_that_hangs_holds_up_what_touches_it_until_it_answers(disk: Disk) -> None:
    box, memory = opened(disk), Outbox.in_memory()
    put(box, b"sheet")

    async def story() -> None:
        now_s = asyncio.get_running_loop().time
        disk.hang = True
        waiting = [disk.blocking(partial(put, box, b"%d" % n)) for n in range(2)]
        await asyncio.sleep(5)
        disk.blocking.abandon()
        link = FileMemory(disk.folder / "link.sky", disk.blocking)
        assert not await link.save(b"later")
        disk.blocking.abandon()
        before_s = now_s()
        await disk.blocking(lambda: put(memory, b"in memory"))
        assert now_s() < before_s + 0.1
        await asyncio.sleep(5)
        assert bodies(box) == [b"sheet"]
        assert not any(one.done() for one in waiting)
        disk.hang = False
        await asyncio.gather(*waiting)
        assert bodies(box) == [b"sheet", b"0", b"1"]
        assert await link.load() == b"later"

    run(story())
    disk.cut()
    disk.revive()
    assert bodies(opened(disk)) == [b"sheet", b"0", b"1"]


def test_a_store_that_is_open_already_is_not_waited_for_in_real_time(disk: Disk) -> None:
    box = opened(disk)
    put(box, b"one")
    began_s = time.monotonic()
    with pytest.raises(StoreBroken, match="another program has the store open"):
        opened(disk)
    assert time.monotonic() - began_s < 1.0


@pytest.mark.parametrize("how", ["before", "hanging", "slow", "in the middle"])
def test_a_dead_daemons_work_is_not_done(how: str, disk: Disk) -> None:
    box = opened(disk)

    async def story() -> None:
        blocking = disk.blocking
        disk.hang, disk.slow_s = how == "hanging", 5.0 * (how == "slow")
        disk.cut_at_write = 2 if how == "in the middle" else None
        if how == "before":
            disk.kill()
        work: Awaitable[Any] = asyncio.ensure_future(blocking(lambda: put(box, b"late" * 1000)))
        await asyncio.sleep(1)
        disk.kill()
        disk.hang = False
        disk.revive()
        with pytest.raises(PowerOff):
            await work
        with pytest.raises(PowerOff):
            await blocking(lambda: None)
        # a slow card has it, but nobody was told
        assert len(await disk.blocking(lambda: bodies(opened(disk)))) == (how == "slow")

    run(story())


def test_a_keeper_goes_on_in_memory_while_the_card_hangs_and_comes_home(disk: Disk) -> None:
    said: list[str] = []

    def keeper() -> Keeper:
        made = (b"d" * 16, b"sheet")
        blocking = disk.blocking
        what = (blocking, lambda *_: made, lambda _, text: said.append(text), lambda: STAMP, 1, blocking.abandon)
        return Keeper(disk.folder, QUOTA_BYTES, 1.0, *what)

    async def story() -> None:
        first = keeper()
        await first.start()
        running = asyncio.ensure_future(first.run())
        disk.hang = True
        await first.take_now([NewEntry(Kind.ALARM, 0, 1, ClockQuality.FREE, 0, b"one")])
        assert not first.outbox.durable
        disk.hang = False
        await asyncio.sleep(HOME_S)
        assert first.outbox.durable
        disk.cut()
        running.cancel()
        await asyncio.wait({running})
        disk.revive()
        assert b"one" in bodies(opened(disk))

    run(story())
    assert any("has not answered" in text for text in said)


def test_the_card_costs_little(tmp_path: Path) -> None:
    def cost_us(folder: Path) -> float:
        box, _ = Outbox.open(folder, QUOTA_BYTES, STAMP)
        began_s = time.process_time()
        for _ in range(COST_COMMITS):
            put(box, b"one")
        return (time.process_time() - began_s) / COST_COMMITS * 1e6

    def on_a_card(number: int) -> float:
        with Disk(tmp_path / f"card{number}", Random(1)) as disk:
            return cost_us(disk.folder)

    def least(work: Callable[[int], float]) -> float:
        return min(work(number) for number in range(3))

    assert least(on_a_card) - least(lambda number: cost_us(tmp_path / f"plain{number}")) < COST_US
