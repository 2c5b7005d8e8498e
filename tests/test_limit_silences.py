"""What limits know over restarts: of silent instruments, and of a site file that was edited."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.belief import Beliefs
from edge.contract import Doubt, Level, Point, Quality
from edge.limit_state import load, save
from edge.limits import Limits
from sim.virtual import run
from tests.test_limit_restarts import MORE, NONE, QUIET, RATE, RED, STORM, TOTAL, Box

# -- silence -----------------------------------------------------------------------------------------------------------


def test_a_box_that_is_on_ten_hours_a_day_finds_a_dead_instrument(tmp_path: Path) -> None:
    async def story() -> list[tuple[int, Level]]:
        box, told = Box(tmp_path, QUIET), []
        for day in range(4):
            await box.start()
            running = asyncio.ensure_future(box.memory.run())
            if day in (0, 3):
                box.read("p", 5)
            for _ in range(10 * 60):
                box.raised(box.limits.tick(asyncio.get_running_loop().time()))
                await asyncio.sleep(60)
            running.cancel()  # the power goes
            told += [(day, alarm.level) for alarm in box.told]
            box.told.clear()
            await asyncio.sleep(14 * 3600)
        return told

    assert run(story()) == [(1, RED), (3, NONE)]


def test_a_box_that_slept_does_not_wake_with_an_alarm_and_a_silence_that_ended_is_forgotten(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, QUIET)
        await box.start()
        box.read("p", 5)
        running = asyncio.ensure_future(box.memory.run())
        await asyncio.sleep(11 * 3600)
        box.read("p", 5)
        await asyncio.sleep(600)
        running.cancel()
        await asyncio.sleep(3 * 86_400)
        await box.start()
        await asyncio.sleep(11 * 3600)
        assert box.limits.tick(asyncio.get_running_loop().time()) == []

    run(story())


def test_what_other_points_were_told_makes_no_instrument_silent(tmp_path: Path) -> None:
    """The store holds what windows were told since the file was saved; of a point without one it holds nothing."""

    async def story() -> None:
        box = Box(tmp_path, replace(QUIET, thresholds=((RED, 60),)), replace(STORM, point="rain"))
        await box.start()
        for turn in range(40):
            if turn == 3:
                await box.memory.save()
            box.read("p", 5)
            box.read("rain", turn)
            await asyncio.sleep(10)
        await box.start()
        assert box.limits.tick(asyncio.get_running_loop().time()) == []
        await asyncio.sleep(61)
        assert box.limits.tick(asyncio.get_running_loop().time())

    run(story())


@pytest.mark.parametrize("how", ["cut", "stop"])
def test_an_instrument_that_died_over_its_limit_is_told_after_a_restart_too(how: str, tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, MORE[-1])
        await box.start()
        for _ in range(2):
            box.read("q", 30)
            await asyncio.sleep(2)
        if how == "stop":
            await box.memory.save(last=True)
        await asyncio.sleep(3600)
        await box.start()
        told = []
        for _ in range(8):
            told.append([alarm.level for alarm in box.limits.tick(asyncio.get_running_loop().time())])
            await asyncio.sleep(1)
        assert told == [[], [], [], [], [], [], [RED], []]  # three of its periods: it had the time to answer

    run(story())


def test_for_how_long_a_value_has_stood_still_is_known_after_a_restart() -> None:
    point = Point("p", "m", Decimal(1), None, None, 60_000, "d", doubt=Doubt(stuck_s=600.0))
    old = Beliefs([point])
    assert not any(old.doubts("p", 5, at) for at in (0.0, 400.0))
    for value, doubted in ((5, True), (6, False)):
        new = Beliefs([point])
        new.go_on(old.same(500.0), 10_000.0)
        assert not new.doubts("p", value, 10_001.0)
        assert new.doubts("p", value, 10_101.0) is doubted
    assert new.same(10_200.0) == {"p": (6, 199.0, 600.0)}


# -- edits of the site file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edit", [{"every_s": 30.0}, {"every_s": 30.0, "noise": 1.0}])
def test_an_edit_that_means_nothing_to_it_keeps_the_window(edit: dict[str, Any]) -> None:
    for limit, last in ((STORM, 1190), (RATE, 1190), (TOTAL, 1190)):
        assert limit.spec is not None
        old = Limits([limit], 0.0)
        for at in range(24 * 60):
            old.judge("p", at, Quality.GOOD, 60.0 * at)
        new = Limits([replace(limit, spec=replace(limit.spec, **edit))], 0.0)
        assert load(new, save(old, 86_400.0), 0.0, 0.0) == 1
        new.restore({limit.id: (old.levels()[limit.id], last)})
        assert new.judge("p", 1440, Quality.GOOD, 0.0) == []
        number = new.judged[limit.id].parts[0].value
        assert number is not None
        assert abs(number - {"storm": 1440, "rate": 60, "moved": 1440}[limit.id]) <= 2


def test_a_zero_outlives_a_finer_step_and_gives_way_to_one_that_is_written() -> None:
    assert TOTAL.spec is not None
    old = Limits([TOTAL], 0.0)
    old.judge("p", 1000, Quality.GOOD, 0.0)
    state = save(old, 1.0)
    finer = replace(TOTAL, spec=replace(TOTAL.spec, step=Decimal("0.1"), value_step=Decimal("0.1")))
    for limit, number in ((finer, 1500), (replace(TOTAL, spec=replace(TOTAL.spec, start=11_400)), 100)):
        new = Limits([limit], 0.0)
        assert load(new, state, 0.0, 0.0) == 1
        new.judge("p", 11_500, Quality.GOOD, 0.0)
        assert new.judged["moved"].parts[0].value == number
