"""What comes late, and what was lost before it came: no row counts twice, nobody is told that a level ended that may
stand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

from edge.contract import Rule
from edge.entries import Before, Standing
from edge.limit_memory import FILE
from edge.limit_nouns import Limit
from edge.measure_nouns import Spec
from sim.virtual import run
from tests.test_limit_restarts import NONE, RED, STORM, TOTAL, Box

AMOUNT = replace(STORM, spec=replace(cast(Spec, STORM.spec), counter=False))


def test_a_silence_while_the_store_is_awaited_makes_no_row_that_counts_again(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, AMOUNT, Limit("quiet", "q", Rule.STALE, ((RED, 600),), every_s=10.0))
        await box.start()
        box.read("q", 1)
        await box.climb(0, 20, 0)
        assert await box.climb(9, 9, 0) == []
        box.durable = False
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        assert await box.climb(0, 6, 0) == []
        box.come()
        await box.climb(0, 3, 0)
        running.cancel()
        for _ in range(2):
            await box.start()
            assert box.read("p", 0) == []
            assert box.limits.judged["storm"].parts[0].value == 81
            await asyncio.sleep(60)

    run(story())


def test_the_day_of_a_total_whose_zero_is_lost_goes_on_over_restarts(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        box.note = box.note._replace(lost=True)
        for _ in range(3):
            await box.start()
            running = asyncio.ensure_future(box.memory.run())
            await box.climb(500, 8 * 60 - 10, 0)
            assert (box.told, box.limits.sure("moved")) == ([], False)
            running.cancel()
        await box.start()
        await box.climb(500, 40, 0)
        assert [(alarm.limit, alarm.level) for alarm in box.told] == [("moved", NONE)]
        assert box.limits.sure("moved")

    run(story())


def test_a_reading_before_a_damaged_file_answers_does_not_shorten_that_day(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"spoilt")

    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        box.note, box.read_s = box.note._replace(lost=True), 5.0
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        await box.climb(500, 5, 0)
        running.cancel()
        assert (box.told, box.limits.sure("moved")) == ([], False)
        assert any("the zero of moved" in said for said in box.said)
        assert not any("knew stands" in said for said in box.said), "the file knew nothing"

    run(story())


def test_what_a_salvage_brings_of_a_total_whose_zero_is_lost_stands(tmp_path: Path) -> None:
    async def story(lives: int) -> None:
        box = Box(tmp_path / str(lives), TOTAL)
        box.folder.mkdir()
        box.note = box.note._replace(lost=True)
        for _ in range(lives):
            await box.start()
            running = asyncio.ensure_future(box.memory.run())
            await box.climb(500, 5, 0)
            running.cancel()
        box.memory.came(Before(), [Standing("moved", RED, 120, 0)])
        box.raised(box.limits.tick(asyncio.get_running_loop().time()))
        assert await box.climb(500, 60 * 25, 0) == []
        assert box.limits.levels() == {"moved": RED}

    run(story(1))
    run(story(2))


def test_a_hole_over_a_file_without_the_zero_of_a_total_ends_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        await box.start()
        await box.memory.save()
        assert await box.climb(0, 4, 40) == [RED]
        del box.rows[min(box.rows)]
        await box.start()
        assert await box.climb(120, 60 * 25, 0) == []
        assert box.limits.levels() == {"moved": RED}
        await box.start()
        assert await box.climb(0, 3, 0) == []

    run(story())


def test_a_hole_after_the_zero_of_a_total_leaves_it(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        await box.start()
        assert await box.climb(0, 4, 40) == [RED]
        del box.rows[sorted(box.rows)[1]]
        await box.start()
        assert await box.climb(120, 2, 0) == []
        assert box.limits.judged["moved"].parts[0].value == 120
        assert box.read("p", 99) == [NONE]

    run(story())
