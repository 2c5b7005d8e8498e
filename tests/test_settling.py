"""A receipt may name a backlog of weeks: it is settled in bounded commits, and an alarm comes between any two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Kind
from edge.homecoming import Leaving
from edge.keeper import Keeper
from edge.outbox import Outbox
from sim.virtual import run
from tests.relay_world import make_sheet
from tests.test_outbox import QUOTA, alarm, ready, round_, seqs

MOST = 10


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.outbox.SETTLE_MOST", MOST)


def test_a_long_receipt_is_settled_in_bounded_commits(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([round_(n) for n in range(35)], sheet=1)
    left, steps = [(box.epoch, 1, 34)], []
    while left:
        done = box.commit([], left)
        steps.append(sum(high - low + 1 for low, high in done.freed))
        left = done.left
    assert [step for step in steps if step] == [MOST, MOST, MOST, 4]
    assert seqs(box) == [35]
    account = box.account(count_rows=True)
    assert (account.settled_entries, account.balanced) == (34, True)


def test_a_short_receipt_waits_for_no_long_one(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([*(round_(n) for n in range(35)), alarm()], sheet=1)
    done = box.commit([], [(box.epoch, 1, 35), (box.epoch, 36, 36)])
    assert 36 not in seqs(box)
    assert done.left == [(box.epoch, 1, 35)]


def test_what_another_store_held_is_settled_in_bounded_commits_too(tmp_path: Path) -> None:
    other, box = ready(tmp_path / "other"), ready(tmp_path / "box")
    sheet, _ = other.sheet_id(b"o" * 16, other.epoch, b"its own")
    other.commit([round_(n) for n in range(25)], sheet=sheet)
    box.adopt(other, 1)
    done = box.commit([], [(other.epoch, 1, 25)])
    assert len(seqs(box)) == 25 - MOST
    assert done.left == [(other.epoch, 1, 25)]


@pytest.mark.parametrize("span", [(-5, 2**80), (2**70, 2**71)])
def test_a_receipt_for_seqs_that_can_not_be_breaks_nothing(tmp_path: Path, span: tuple[int, int]) -> None:
    box = ready(tmp_path)
    box.commit([round_()], sheet=1)
    box.commit([], [(box.epoch, *span)])
    assert len(seqs(box)) == (span[0] > 0)


def keeper_of(folder: Path) -> Keeper:
    async def direct(work: Callable[[], Any]) -> Any:
        await asyncio.sleep(0.01)
        return work()

    return Keeper(folder, QUOTA, 1.0, direct, make_sheet, lambda _about, _text: None, lambda: "now", 1)


def test_an_alarm_comes_between_two_commits_that_settle_a_backlog(tmp_path: Path) -> None:
    async def story() -> None:
        keeper = keeper_of(tmp_path)
        await keeper.start()
        await keeper.take_now([round_(n) for n in range(100)])
        box, held = keeper.outbox, len(seqs(keeper.outbox))
        keeper.settle(box.epoch, 1, box.last_seq())
        running = asyncio.ensure_future(keeper.run())
        begun = asyncio.Event()
        keeper.committed = lambda _entries, _done: begun.set()
        await begun.wait()
        await keeper.take_now([alarm()])
        assert held - 3 * MOST - 1 <= len(seqs(box)) - 1 <= held - 2 * MOST
        await asyncio.sleep(2.0)
        assert [held.kind for held in box.scan()] == [Kind.ALARM]
        commits = box.commits
        await asyncio.sleep(20.0)
        assert box.commits == commits, "nothing is left to do"
        running.cancel()
        await keeper.stop()

    run(story())


@pytest.mark.parametrize("stopped", [False, True])
def test_what_is_left_in_another_store_is_settled_in_steps_as_well(tmp_path: Path, stopped: bool) -> None:
    async def story() -> None:
        keeper = keeper_of(tmp_path)
        await keeper.start()
        other = Outbox.in_memory()
        other.sheet_id(b"d" * 16, other.epoch, b"sheet")
        other.commit([round_(n) for n in range(45)], sheet=1)
        keeper._leaving.append(Leaving(other))
        keeper.settle(other.epoch, 1, 40)
        await keeper._flush()
        assert len(seqs(other)) == 45 - MOST
        if stopped:
            await keeper.stop()
        else:
            while keeper._settling:
                await keeper._flush()
            assert seqs(other) == [41, 42, 43, 44, 45]
        again, _ = Outbox.open(tmp_path, QUOTA, "now") if stopped else (keeper.outbox, [])
        brought = [held.wire_seq for held in again.scan() if held.origin_seq is not None]
        assert brought == ([41, 42, 43, 44, 45] if stopped else [])

    run(story())
