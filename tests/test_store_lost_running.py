"""The store breaks, or can not be written, while the gateway runs: where limits stand is not forgotten with it, and no
power comes back into gas. The whole daemon on its disk, in virtual time."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from edge import housing
from edge.contract import Level
from edge.entries import Standing
from edge.errors import StoreBroken
from edge.homecoming import open_store
from edge.outbox import Outbox
from edge.standings import Stood, newer
from tests.outputs_site import action, output
from tests.test_limit_sequence import FEEDER, Life

RED, NONE = Level.RED, Level.NONE
FEEDER_PLACE = 3


class Values(Life):
    """Limits on values alone: no file but for the store's name."""

    SITE = output("siren", 0) + action("wail", "high", 'output = "siren"\nmax_on = "20s"') + FEEDER


def standings(folder: Path) -> dict[str, int]:
    db = sqlite3.connect(folder / "store" / "outbox.db")
    rows = db.execute("SELECT id, level FROM limit_now").fetchall()
    db.close()
    return dict(rows)


def ruin(folder: Path, how: str) -> None:
    for file in (folder / "store").glob("outbox.db*"):
        if how == "spoil":
            file.write_bytes(b"not a store" * 1000)
        elif file.name.endswith("-wal"):
            file.write_bytes(b"")


async def stays_off(life: Life, for_s: int) -> None:
    """Cut off at 1.5, given free below 1.0, and now between them."""
    for _ in range(for_s * 2):
        assert not life.on(FEEDER_PLACE)
        await asyncio.sleep(0.5)


# -- lost while it is used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Life, Values])
@pytest.mark.parametrize(("how", "wait_s"), [("spoil", 40), ("cut", 15), ("cut", 400)])
def test_a_new_store_knows_where_limits_stand_before_it_is_used(
    kind: type[Life], how: str, wait_s: int, tmp_path: Path
) -> None:
    async def first(life: Life) -> None:
        life.put(gas=1.6)
        await asyncio.sleep(400)
        ruin(life.folder, how)
        life.put(gas=1.2)
        await asyncio.sleep(wait_s)
        assert life.now.keeper.outbox.durable
        assert (life.level("gas-high"), life.on(FEEDER_PLACE)) == (RED, False)

    async def second(life: Life) -> None:
        await stays_off(life, 60)
        assert life.level("gas-high") is RED
        life.put(gas=0.5)
        await asyncio.sleep(60)
        assert life.on(FEEDER_PLACE)
        assert life.alarmed("gas-high")[-1] == ("gas-high", "none")

    cut = kind(tmp_path / "one").live(first, gas=0.2)
    assert standings(cut)["gas-high"] == RED
    kind(cut, 1000, 2).live(second, gas=1.2)


def test_what_a_store_that_can_not_be_read_any_more_held_goes_into_the_next(tmp_path: Path) -> None:
    """Not even the store that is left can be read: what is known of it counts."""

    async def first(life: Life) -> None:
        life.put(gas=1.6)
        await asyncio.sleep(60)
        box = life.now.keeper.outbox
        for file in (life.folder / "store").glob("outbox.db*"):
            file.unlink()

        def broken(*_: Any) -> Any:
            raise StoreBroken(box.path, "disk I/O error")

        vars(box)["batch"] = broken
        await asyncio.sleep(60)
        assert life.now.keeper.outbox is not box
        assert life.now.keeper.outbox.durable

    assert standings(Life(tmp_path / "one").live(first, gas=0.2))["gas-high"] == RED


# -- not to be written, while the folder is ----------------------------------------------------------------------------


class Disk:
    """`broken`: the store can be read and not be written."""

    broken = False


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk, commit, take_over, opens = Disk(), Outbox.commit, Outbox.take_over, open_store

    def refusing(call: Any) -> Any:
        def called(box: Outbox, *given: Any, **named: Any) -> Any:
            if disk.broken and box.durable:
                raise StoreBroken(box.path, "disk I/O error")
            return call(box, *given, **named)

        return called

    def opening(ask: Any) -> Any:
        if disk.broken:
            raise StoreBroken(str(ask.folder), "disk I/O error")
        return opens(ask)

    monkeypatch.setattr(Outbox, "commit", refusing(commit))
    monkeypatch.setattr(Outbox, "take_over", refusing(take_over))
    monkeypatch.setattr(housing, "open_store", opening)
    return disk


async def quiet(life: Life) -> None:
    await asyncio.sleep(400)
    assert (life.level("gas-high"), life.on(FEEDER_PLACE)) == (NONE, True)


async def gas_comes(life: Life) -> None:
    await asyncio.sleep(60)
    life.put(gas=1.6)
    await asyncio.sleep(13)
    life.put(gas=1.2)
    await asyncio.sleep(13)
    assert not life.now.keeper.outbox.durable
    assert (life.alarmed("gas-high"), life.on(FEEDER_PLACE)) == ([("gas-high", "red")], False)


async def told_again(life: Life) -> None:
    await stays_off(life, 60)
    assert life.level("gas-high") is RED
    assert life.alarmed("gas-high") == [("gas-high", "red")]


@pytest.mark.parametrize("kind", [Life, Values])
@pytest.mark.parametrize("is_back", [True, False])
@pytest.mark.parametrize("breaks", ["before the start", "while it runs"])
def test_a_level_raised_without_a_store_outlives_a_power_cut(
    kind: type[Life], is_back: bool, breaks: str, disk: Disk, tmp_path: Path
) -> None:
    async def second(life: Life) -> None:
        await asyncio.sleep(30)
        disk.broken = True
        await gas_comes(life)

    folder = kind(tmp_path / "one").live(quiet, gas=0.2)
    disk.broken = breaks == "before the start"
    folder = kind(folder, 1000, 2).live(second, gas=0.2)
    disk.broken = not is_back
    folder = kind(folder, 2000, 3).live(told_again, gas=1.2)
    if not is_back:  # and once more, as long as it takes
        folder = kind(folder, 3000, 4).live(told_again, gas=1.2)


@pytest.mark.parametrize("kind", [Life, Values])
def test_a_level_that_ended_without_a_store_does_not_stand_again(kind: type[Life], disk: Disk, tmp_path: Path) -> None:
    async def red(life: Life) -> None:
        life.put(gas=1.6)
        await asyncio.sleep(60)
        assert life.level("gas-high") is RED

    async def ends(life: Life) -> None:
        disk.broken = True
        life.put(gas=0.5)
        await asyncio.sleep(60)
        assert life.alarmed("gas-high") == [("gas-high", "none")]

    async def after(life: Life) -> None:
        await asyncio.sleep(30)
        assert (life.level("gas-high"), life.alarmed("gas-high")) == (NONE, [("gas-high", "none")])
        assert life.on(FEEDER_PLACE)

    folder = kind(tmp_path / "one").live(red, gas=0.2)
    folder = kind(folder, 1000, 2).live(ends, gas=1.6)
    disk.broken = False
    kind(folder, 2000, 3).live(after, gas=0.5)


def test_a_file_that_is_older_than_what_the_store_was_told_counts_no_more(disk: Disk, tmp_path: Path) -> None:
    """The disk is back, the level ends, and the power goes before the file has heard of it."""
    files: list[bytes] = []

    async def comes_and_goes(life: Life) -> None:
        disk.broken = True
        await gas_comes(life)
        files.append((life.folder / "store" / "limits").read_bytes())
        disk.broken = False
        await asyncio.sleep(40)
        assert life.now.keeper.outbox.durable
        life.put(gas=0.5)
        await asyncio.sleep(30)
        assert life.alarmed("gas-high")[-1] == ("gas-high", "none")

    async def after(life: Life) -> None:
        await asyncio.sleep(30)
        assert (life.level("gas-high"), life.alarmed("gas-high")) == (NONE, [])

    folder = Values(tmp_path / "one").live(comes_and_goes, gas=0.2)
    (folder / "store" / "limits").write_bytes(files[0])
    Values(folder, 1000, 2).live(after, gas=0.5)


# -- who knows what ----------------------------------------------------------------------------------------------------


def at(level: Level, at_ms: int) -> Standing:
    return Standing("gas", level, 160, at_ms)


def test_a_commit_that_failed_may_have_happened() -> None:
    stood = Stood()
    stood.found([at(NONE, 1)])
    stood.tried([at(RED, 2)], durable=True)
    stood.told([at(RED, 2)], durable=False)
    stood.told([at(Level.YELLOW, 3)], durable=False)
    lacks = stood.lacks({"gas": at(Level.YELLOW, 3)})
    for there in ([], [at(NONE, 1)], [at(RED, 2)]):
        assert [it.level for it in newer(lacks, there)] == [Level.YELLOW]
    assert newer(lacks, [at(RED, 9)]) == [], "the store has been told since"
    assert [it.at_ms for it in stood.all()] == [3]


def test_what_the_disk_has_been_told_is_not_lacking() -> None:
    stood = Stood()
    stood.told([at(RED, 1)], durable=False)
    assert stood.lacks({"gas": at(RED, 1)})
    assert stood.lacks({"gas": at(NONE, 1)}) == [], "nor one that stands nowhere"
    stood.tried(stood.all(), durable=True)
    stood.told(stood.all(), durable=True)
    assert stood.lacks({"gas": at(RED, 1)}) == []
