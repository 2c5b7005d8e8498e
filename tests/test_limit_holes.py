"""Where a window has a hole, or a total has lost its zero: no level that stands is ended by what is left, and none is
raised by a few readings."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Of, Rule
from edge.entries import Before, Standing
from edge.limit_memory import FILE
from edge.limit_note import born
from edge.limit_nouns import Limit
from edge.limit_tail import read
from edge.measure_nouns import Spec
from sim.virtual import run
from tests.test_limit_restarts import NONE, RED, TOTAL, Box

MEAN = Limit("mean", "p", Rule.ABOVE, ((RED, 40),), spec=Spec(Of.MEAN, 60.0, "mm", Decimal(1), 3600))
SUM = Limit("sum", "p", Rule.ABOVE, ((RED, 100),), spec=Spec(Of.SUM, 60.0, "mm", Decimal(1), 7200))


def lose(box: Box, first_s: float, last_s: float) -> None:
    """The rows of the readings between."""
    told, spoilt = read(sorted(box.rows.items()))
    assert not spoilt
    for row in told:
        if row.groups and first_s <= row.groups[0][0] <= last_s:
            del box.rows[row.number]


async def steady(box: Box, value: int, readings: int) -> list[int]:
    return [int(level) for level in await box.climb(value, readings, 0)]


def test_a_mean_of_what_is_left_by_a_hole_is_none(tmp_path: Path) -> None:
    """A file of 50 minutes ago and a hole since: ten gusts are no mean of an hour."""

    async def story() -> None:
        box = Box(tmp_path, MEAN)
        await box.start()
        await steady(box, 10, 65)
        await box.memory.save()
        box.commit()
        old = (tmp_path / FILE).read_bytes()
        await steady(box, 10, 50)
        await box.memory.save()
        box.commit()
        (tmp_path / FILE).write_bytes(old)
        await box.start()
        assert await steady(box, 80, 10) == [], "22 on the whole, 80 of what is left"
        assert await steady(box, 10, 60) == []

    run(story())


def test_a_mean_that_stands_is_not_ended_by_half_a_window_after_a_hole(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, MEAN)
        await box.start()
        await steady(box, 38, 60)
        await box.memory.save()
        box.commit()
        begun_s = asyncio.get_running_loop().time()
        assert await steady(box, 100, 5) == [RED]
        lose(box, begun_s, begun_s + 200)
        await box.start()
        # For 56 minutes more it is 43 on the whole, and 39 without what is missing.
        assert await steady(box, 38, 55) == []
        assert await steady(box, 38, 10) == [NONE]

    run(story())


def test_a_sum_raised_after_a_hole_stands_until_its_window_is_whole(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, SUM)
        await box.start()
        assert await steady(box, 5, 10) == []
        await box.memory.save()
        box.commit()
        begun_s = asyncio.get_running_loop().time()
        assert await steady(box, 5, 9) == []
        lose(box, begun_s, begun_s + 400)
        await box.start()
        assert await steady(box, 9, 6) == [RED], "the hole is 35"
        await box.start()
        await box.memory.save()
        assert await steady(box, 0, 103) == [], "100 and more fell within two hours"
        assert (await steady(box, 0, 20))[:1] == [NONE]

    run(story())


@pytest.mark.parametrize("edit", [{}, {"thresholds": ((RED, 101),)}, {"clear_hold_s": 1.0}, {"id": "other"}])
def test_an_edited_number_does_not_end_what_is_raised_after_a_hole(tmp_path: Path, edit: dict[str, Any]) -> None:
    async def story() -> None:
        box = Box(tmp_path, SUM)
        await box.start()
        assert await steady(box, 5, 10) == []
        await box.memory.save()
        box.commit()
        begun_s = asyncio.get_running_loop().time()
        assert await steady(box, 5, 9) == []
        lose(box, begun_s, begun_s + 400)
        await box.start()
        await box.memory.save()
        box.commit()
        box.plan = (replace(SUM, **edit),)
        await box.start()
        assert await steady(box, 9, 6) == [RED], "the hole is 35"
        assert await steady(box, 0, 103) == [], "100 and more fell within two hours"
        assert (await steady(box, 0, 20))[:1] == [NONE]

    run(story())


def test_edited_thresholds_do_not_end_a_level_of_a_total_whose_zero_is_lost(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        await box.start()
        assert await box.climb(0, 4, 40) == [RED]
        (tmp_path / FILE).unlink(missing_ok=True)
        box.rows.clear()
        await box.start()
        assert await box.climb(120, 10, 0) == []
        await box.memory.save()
        box.commit()
        for threshold in (90, 80):
            box.plan = (replace(TOTAL, thresholds=((RED, threshold),)),)
            await box.start()
            assert await box.climb(120, 10, 0) == []
            assert box.limits.levels() == {"moved": RED}
            await box.memory.save()
            box.commit()

    run(story())


def test_a_time_learnt_late_does_not_end_what_a_salvage_brought_of_a_total(tmp_path: Path) -> None:
    """The zero was lost in a life before, and the gateway was off for longer than anybody waits for it."""

    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        box.note = box.note._replace(lost=True)
        await box.start()
        await box.climb(500, 5, 0)
        await box.memory.save()
        box.commit()
        await asyncio.sleep(40 * 3600)
        box.trusted = False
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        box.memory.came(Before(), [Standing("moved", RED, 120, 0)])
        box.raised(box.limits.tick(asyncio.get_running_loop().time()))
        assert await box.climb(500, 5, 0) == []
        box.trusted = True
        box.clock.update()
        assert await box.climb(500, 60 * 25, 0) == []
        running.cancel()
        assert (box.told, box.limits.levels()) == ([], {"moved": RED})

    run(story())


def test_a_file_that_was_moved_aside_says_that_the_box_is_not_new(tmp_path: Path) -> None:
    """The store is gone, the file can not be read, and none can be written before the next cut."""
    gas = Limit("gas", "p", Rule.ABOVE, ((RED, 150),), clear=((RED, 100),), clear_hold_s=60.0)

    async def story() -> None:
        box = Box(tmp_path, gas)
        (tmp_path / FILE).mkdir()
        (tmp_path / (FILE + ".new")).mkdir()
        for _ in range(2):
            await box.start()
            running = asyncio.ensure_future(box.memory.run())
            await box.climb(120, 5, 0)
            running.cancel()
            assert (tmp_path / (FILE + ".bad")).is_dir()
            assert not (tmp_path / FILE).exists()
            assert not box.limits.sure("gas")
        assert box.note.lost is None
        await steady(box, 99, 3)
        assert box.limits.sure("gas")
        box.note = born(lost=False)
        await box.start()
        box.read("p", 120)
        assert box.limits.sure("gas"), "of a store that is there the old file says nothing"

    run(story())
