"""`fengsui rules` after a start: a level that is not left where it would be left says so, and until when."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from edge.config import load
from edge.contract import Level
from edge.intake_nouns import PointNow
from edge.limit_memory import FILE
from edge.rules_now import rule_now
from sim.virtual import run
from tests.test_limit_restarts import Box
from tests.test_what_if import SITE

MORE = """
[[limit]]
id = "moved"
point = "level"
of = "total"
above = { red = 2 }
[[limit]]
id = "day"
point = "rain"
of = "sum"
counter = true
window = "1d"
above = { red = 50 }
"""


class Site:
    """The limits of a site file through several lives."""

    def __init__(self, folder: Path) -> None:
        (folder / "site.toml").write_text(SITE + MORE, "utf-8")
        self.site = load(folder / "site.toml")
        self.points = {point.id: PointNow(point) for point in self.site.points}
        self.box = Box(folder, *(limit.judged for limit in self.site.limits))

    def rule(self, limit: str) -> dict[str, Any]:
        [found] = [one for one in self.site.limits if one.id == limit]
        return rule_now(found, self.box.limits, self.points, asyncio.get_running_loop().time())

    async def read(self, point: str, values: range, every_s: float = 60.0) -> None:
        for value in values:
            self.box.read(point, value)
            await asyncio.sleep(every_s)

    async def start(self, *, lost: bool = False) -> None:
        """A new life; `lost`: without what the last one knew but for its levels."""
        if lost:
            (self.box.folder / FILE).unlink(missing_ok=True)
            self.box.rows.clear()
        await self.box.start()


def test_a_level_whose_window_or_zero_is_lost_is_not_said_to_end_with_a_number(tmp_path: Path) -> None:
    async def story() -> None:
        site = Site(tmp_path)
        await site.start()
        await site.read("rain", range(0, 600, 60))
        await site.read("level", range(0, 400, 100))
        assert {site.box.limits.levels()[limit] for limit in ("day", "moved")} == {Level.RED}
        assert site.rule("moved")["trips"] == ["red is left below 2.00 m"]
        assert site.rule("day")["trips"] == ["red is left below 50.0 mm"]
        await site.start(lost=True)
        longer = "red stands for {} longer: something of its window is missing, and until it has been seen again"
        assert site.rule("day")["trips"][0] == longer.format("1 d")
        await site.read("rain", range(1))
        await asyncio.sleep(12 * 3600.0 - 60.0)
        assert site.rule("day")["trips"] == [longer.format("12 h"), "red is left below 50.0 mm"]
        assert site.rule("moved")["trips"] == ["red stands until its `start` is written: the zero is lost"]
        assert site.rule("moved")["trips_zh"] == ["零点已丢失，写入 start 后方可解除红色"]
        await site.read("level", range(0, 400, 100))
        assert site.box.limits.levels()["moved"] is Level.RED
        await asyncio.sleep(13 * 3600.0)
        assert site.rule("day")["trips"] == ["red is left below 50.0 mm"]
        await site.read("rain", range(1))
        assert site.box.limits.levels()["day"] is Level.NONE, "and so it is"

    run(story())


def test_where_nobody_knows_what_stood_it_is_said_what_makes_it_sure(tmp_path: Path) -> None:
    async def story() -> None:
        site = Site(tmp_path)
        site.box.note = site.box.note._replace(lost=True)
        await site.start()
        assert "whether a level stood before is not known" in site.rule("high")["trips"][0]
        assert "启动前是否已触发不详" in site.rule("high")["trips_zh"][0]
        assert "until the next good value" in site.rule("silent")["trips"][0]
        await site.read("level", range(800, 805))
        assert "is not known" not in site.rule("high")["trips"][0]
        assert "is not known" not in site.rule("silent")["trips"][0]

    run(story())


def test_a_level_whose_alarm_was_not_committed_is_due_now(tmp_path: Path) -> None:
    """Its hold time had ended before the cut."""

    async def story() -> None:
        site = Site(tmp_path)
        await site.start()
        await site.read("level", range(1050, 1052))
        await site.read("level", range(1250, 1251))
        told = dict(site.box.standings)
        assert (told["high"].level, told["high"].value) == (Level.YELLOW, 1250)
        await site.read("level", range(1250, 1254))
        assert site.box.limits.levels()["high"] is Level.RED
        await site.box.memory.save(last=True)
        site.box.standings = told
        await site.start()
        assert "red is reached and raised if the next reading is so too" in site.rule("high")["trips"]
        await site.read("level", range(1250, 1251))
        assert site.box.limits.levels()["high"] is Level.RED

    run(story())
