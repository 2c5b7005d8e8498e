"""The store and the file of what limits know arrive in any order, late, damaged, or not at all: the whole daemon on its
disk, in virtual time."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.clock import Clock
from edge.config import load
from edge.contract import Level
from edge.daemon import build
from sim.modbus_port import opener
from sim.virtual import run
from tests.outputs_site import SIREN, T0_MS, Rig, action, output

RAIN = """
[[device.point]]
id = "rain"
unit = "mm"
step = 1
every = "10s"
register = 2
[[limit]]
id = "storm"
point = "rain"
of = "sum"
window = "10min"
above = { yellow = 60, red = 100 }
[[limit]]
id = "held"
point = "rain"
above = { red = 9 }
hold = "2min"
clear_hold = "1min"
[[limit]]
id = "moved"
point = "level"
of = "total"
above = { red = 2 }
[[limit]]
id = "any"
any = ["storm", "held"]
"""
FEEDER = output("feeder", 3, 'rest = "on"') + action("cut", "gas-high", 'output = "feeder"')
SITE = RAIN + SIREN + FEEDER
RAIN_PLACE, GAS_PLACE, LEVEL_PLACE = 2, 1, 0
RED, NONE = Level.RED, Level.NONE
Story = Callable[["Life"], Awaitable[None]]


class Life(Rig):
    """One life of a gateway on a folder, killed at its end. `open_s`, `file_s`: how long the disk takes for each."""

    SITE = SITE

    def __init__(self, folder: Path, later_s: float = 0.0, boot: int = 1, open_s: float = 0.0, file_s: float = 0.0):
        folder.mkdir(exist_ok=True)
        super().__init__(folder, self.SITE)
        file = folder / "site.toml"
        file.write_text(file.read_text().replace("100ms", "10s"))
        self.site = load(file)
        self.folder, self.later_ms, self.boot = folder, round(later_s * 1000), boot
        self.open_s, self.file_s, self.trusted = open_s, file_s, True

    async def _live(self, story: Story) -> None:
        async def on_disk(work: Callable[[], Any]) -> Any:
            name = getattr(work, "__name__", "")
            opens = "open_store" in getattr(work, "__code__", on_disk.__code__).co_names
            await asyncio.sleep(self.file_s if name == "_look" else self.open_s if opens else 0.0)
            return work()

        loop = asyncio.get_running_loop()
        wall = lambda: T0_MS + self.later_ms + round(loop.time() * 1000)  # noqa: E731
        clock = Clock(wall, loop.time, lambda: self.trusted, self.boot)
        self.now = build(self.site, opener(self.lines), clock, on_disk)
        running = asyncio.ensure_future(self.now.run())
        try:
            await asyncio.sleep(1.0)
            await story(self)
            shutil.copytree(self.folder, self.cut, ignore=shutil.ignore_patterns("s", "lock"))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @property
    def cut(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}x")

    def live(self, story: Story, **there: float) -> Path:
        """What is on the disk when the power goes. `there`: what the instruments show at the start."""
        self.put(**there)
        run(self._live(story))
        return self.cut

    def put(self, rain: float = 0, level: float = 0.0, gas: float = 0.0) -> None:
        self.sensors.put("holding", 0, [round(level * 100), round(gas * 100), round(rain)])

    def alarmed(self, *limits: str) -> list[tuple[str, str]]:
        """Since this life began."""
        began_ms = T0_MS + self.later_ms
        alarms = [it for it in self.now.journal.alarms if it["at_ms"] >= began_ms]
        return [(it["limit"], it["level"]) for it in alarms if not limits or it["limit"] in limits]

    def said(self, text: str) -> bool:
        return any(text in event["text"] for event in self.now.journal.events)

    def level(self, limit: str) -> Level:
        return self.now.limits.levels()[limit]

    def number(self, limit: str) -> int | None:
        return self.now.limits.judged[limit].parts[0].value


async def storm(life: Life) -> None:
    """The file has just been written; then 120 mm in a minute, and the power goes."""
    life.put()
    await asyncio.sleep(605)
    await life.now.memory.save()
    life.now.memory._saved_s += 3600  # not again: the rest is in the store alone
    life.put(rain=20)
    await asyncio.sleep(60)
    life.put()
    await asyncio.sleep(20)
    assert life.alarmed("storm") == [("storm", "yellow"), ("storm", "red")]


def spoil(folder: Path) -> None:
    for file in (folder / "store").glob("outbox.db*"):
        file.write_bytes(b"not a store" * 1000)


# -- late --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("open_s", "file_s"), [(0, 0), (5, 0), (0, 40), (40, 20), (5, 40)])
def test_what_stands_by_a_window_stands_whatever_is_late(open_s: float, file_s: float, tmp_path: Path) -> None:
    cut = Life(tmp_path / "one").live(storm)

    async def after(life: Life) -> None:
        life.put()
        await asyncio.sleep(200)
        assert (life.level("storm"), life.number("storm")) == (RED, 120)
        await asyncio.sleep(400)
        assert life.alarmed("storm") == [("storm", "yellow"), ("storm", "none")], "when the rain is ten minutes ago"

    Life(cut, 700, 2, open_s, file_s).live(after)


@pytest.mark.parametrize(("open_s", "file_s"), [(5, 12), (12, 5)])
def test_a_total_that_stands_is_not_ended_by_a_zero_of_this_life(open_s: float, file_s: float, tmp_path: Path) -> None:
    async def climb(life: Life) -> None:
        life.put(level=1)
        await asyncio.sleep(60)
        life.put(level=4)
        await asyncio.sleep(30)
        assert life.alarmed("moved") == [("moved", "red")]

    async def after(life: Life) -> None:
        life.put(level=4)
        await asyncio.sleep(90)
        assert (life.level("moved"), life.alarmed("moved"), life.number("moved")) == (RED, [], 300)

    Life(Life(tmp_path / "one").live(climb, level=1), 100, 2, open_s, file_s).live(after, level=4)


def test_a_file_that_is_late_twice_costs_nothing_that_was_committed(tmp_path: Path) -> None:
    cut = Life(tmp_path / "one").live(storm)

    async def rain(life: Life) -> None:
        life.put(rain=1)
        await asyncio.sleep(60)
        life.put()
        await asyncio.sleep(15)

    async def after(life: Life) -> None:
        life.put()
        await asyncio.sleep(30)
        assert 120 < (life.number("storm") or 0) <= 136

    again = Life(Life(cut, 700, 2, file_s=500).live(rain), 780, 3, file_s=500).live(rain)
    Life(again, 860, 4).live(after)


# -- lost --------------------------------------------------------------------------------------------------------------


async def cut_off(life: Life) -> None:
    life.put(gas=1.6, level=6)
    await asyncio.sleep(80)
    assert (life.level("gas-high"), life.on(3)) == (RED, False)


@pytest.mark.parametrize("how", ["spoilt", "gone", "spoilt, without the file"])
def test_no_start_after_a_lost_store_gives_power_into_gas(how: str, tmp_path: Path) -> None:
    folder = Life(tmp_path / "one").live(cut_off, gas=1.6, level=6)
    if how == "gone":
        (folder / "store" / "outbox.db").unlink()
        shutil.rmtree(folder / "store" / "outbox.db-wal", ignore_errors=True)
        (folder / "store" / "outbox.db-wal").unlink(missing_ok=True)
    else:
        spoil(folder)
    if how.endswith("file"):
        (folder / "store" / "limits").unlink()

    async def between(life: Life) -> None:
        life.put(gas=1.2)
        await asyncio.sleep(120)
        assert not life.on(3)
        assert not life.now.limits.sure("gas-high") or life.level("gas-high") is RED
        assert life.said("was lost with the store") is (life.boot == 2)

    async def below(life: Life) -> None:
        life.put(gas=0.5)
        await asyncio.sleep(120)
        assert life.on(3)
        assert life.alarmed("gas-high") == [("gas-high", "none")]

    for boot in (2, 3, 4):
        folder = Life(folder, 100.0 * boot, boot).live(between, gas=1.2)
    folder = Life(folder, 600, 5).live(below, gas=1.2)


def test_what_stood_by_a_dead_instrument_is_known_from_the_file_and_told(tmp_path: Path) -> None:
    folder = Life(tmp_path / "one").live(cut_off, gas=1.6, level=6)
    spoil(folder)

    async def dead(life: Life) -> None:
        await asyncio.sleep(10)
        assert {("high", "red"), ("gas-high", "red")} <= set(life.alarmed())
        assert life.on(0)
        await asyncio.sleep(60)

    async def after(life: Life) -> None:
        await asyncio.sleep(60)
        assert life.alarmed("high", "gas-high") == []
        assert (life.level("high"), life.on(3)) == (RED, False)

    life = Life(folder, 100, 2)
    life.lines.pop("bus")
    again = Life(life.live(dead), 200, 3)
    again.lines.pop("bus")
    again.live(after)


def test_a_window_that_nobody_knows_is_told_once_over_restarts(tmp_path: Path) -> None:
    """The second start is as careful as the first."""
    folder = Life(tmp_path / "one").live(storm)
    spoil(folder)
    (folder / "store" / "limits").unlink()
    told: list[tuple[str, str]] = []

    async def dry(life: Life) -> None:
        life.put()
        await asyncio.sleep(250)
        told.extend(life.alarmed("storm", "held"))

    for boot in (2, 3, 4):
        folder = Life(folder, 300.0 * boot, boot).live(dry)
    assert sorted(told) == [("held", "none"), ("storm", "none")]


def test_a_new_box_is_simply_new(tmp_path: Path) -> None:
    async def first(life: Life) -> None:
        life.put()
        await asyncio.sleep(60)
        assert life.on(3)
        assert life.alarmed() == []
        assert not life.said("lost")

    Life(Life(tmp_path / "one").live(first), 100, 2).live(first)


# -- holes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hole", ["bits", "rows", "the last rows", "the file"])
def test_a_hole_in_what_was_told_ends_nothing_and_is_said(hole: str, tmp_path: Path) -> None:
    folder = Life(tmp_path / "one").live(storm)
    db = sqlite3.connect(folder / "store" / "outbox.db")
    rows = db.execute("SELECT number, body FROM limit_tail ORDER BY number").fetchall()
    for number, body in rows[4:] if hole == "the last rows" else rows[2:6]:
        if hole == "rows":
            db.execute("DELETE FROM limit_tail WHERE number = ?", (number,))
        elif hole != "the file":
            spoilt = body[:-1] + bytes([body[-1] ^ 1])
            db.execute("UPDATE limit_tail SET body = ? WHERE number = ?", (spoilt, number))
    if hole == "the file":
        (folder / "store" / "limits").unlink()
    db.commit()
    db.close()

    async def after(life: Life) -> None:
        assert life.said("stands until its whole window has been seen again")
        life.put()
        await asyncio.sleep(500)
        assert life.level("storm") is RED
        assert life.alarmed("storm") == []
        await asyncio.sleep(200)
        assert life.alarmed("storm")[-1] == ("storm", "none")

    Life(folder, 700, 2).live(after)


def test_a_file_of_another_site_is_not_used(tmp_path: Path) -> None:
    wet = Life(tmp_path / "wet").live(storm)

    async def quiet(life: Life) -> None:
        life.put()
        await asyncio.sleep(60)
        life.put(rain=5)
        await asyncio.sleep(30)
        life.put()
        await asyncio.sleep(11)

    dry = Life(tmp_path / "dry").live(quiet)
    shutil.copy(wet / "store" / "limits", dry / "store" / "limits")

    async def after(life: Life) -> None:
        life.put()
        await asyncio.sleep(30)
        assert life.number("storm") == 15, "what its own rows say"
        assert life.said("of another gateway or store")

    Life(dry, 200, 2).live(after)


# -- the time ----------------------------------------------------------------------------------------------------------


def test_what_the_time_has_taught_is_saved_at_once(tmp_path: Path) -> None:
    async def wet(life: Life) -> None:
        life.put(rain=9)
        await asyncio.sleep(100)
        await life.now.memory.save()

    async def taught(life: Life) -> None:
        life.put()
        life.trusted = False
        await asyncio.sleep(30)
        assert 85 <= (life.number("storm") or 0) <= 110, "nobody knows how old it is"
        life.trusted = True
        await asyncio.sleep(30)
        assert life.number("storm") == 0

    async def after(life: Life) -> None:
        life.put(rain=6)
        await asyncio.sleep(35)
        assert life.alarmed("storm") == []
        assert (life.number("storm") or 0) <= 30

    folder = Life(tmp_path / "one").live(wet)
    life = Life(folder, 7200, 2)
    life.trusted = False
    Life(life.live(taught), 7270, 3).live(after)
