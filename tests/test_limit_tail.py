"""A power cut at any moment: what was committed is judged once more, and every alarm after it is as without the cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.clock import BUILT_MS, Clock
from edge.contract import Alarm, Level, Of, Quality, Rule
from edge.entries import Rows, Standing
from edge.limit_memory import LimitMemory
from edge.limits import Limit, Limits
from edge.measure_nouns import Spec
from edge.outbox import Outbox
from sim.virtual import run
from tests.test_outbox import opened

START_MS = BUILT_MS + 86_400_000
EVERY_S = 10.0
RED, YELLOW = Level.RED, Level.YELLOW


def spec(of: Of, window_s: int = 0, **more: Any) -> Spec:
    return Spec(of, EVERY_S, "mm", Decimal(1), window_s, **more)


LIMITS = [
    Limit("sum", "rain", Rule.ABOVE, ((YELLOW, 60), (RED, 90)), spec=spec(Of.SUM, 200)),
    Limit("mean", "level", Rule.ABOVE, ((YELLOW, 12), (RED, 16)), 1, spec=spec(Of.MEAN, 120)),
    Limit("rate", "level", Rule.ABOVE, ((RED, 3),), spec=spec(Of.RATE, 240, factor=60.0)),
    Limit("apart", "level", Rule.OUTSIDE, ((RED, -8), (RED, 8)), spec=spec(Of.DIFFERENCE, other="twin")),
    Limit("held", "twin", Rule.ABOVE, ((YELLOW, 12), (RED, 15)), hold_s=40.0, clear_hold_s=30.0),
    Limit("two", "rain", Rule.COMBINED, (), members=("sum", "mean", "held"), votes=2),
]
POINTS = ("rain", "level", "twin")


async def direct(work: Callable[[], Any]) -> Any:
    return work()


class Life:
    """A gateway's limits with what keeps them, on the real store."""

    def __init__(self, folder: Path, box: Outbox) -> None:
        loop = asyncio.get_running_loop()
        self.limits = Limits(LIMITS, loop.time())
        clock = Clock(lambda: START_MS + round(loop.time() * 1000), loop.time, lambda: True, 1)
        self.memory = LimitMemory(self.limits, folder, clock, direct, lambda: box)
        self.box = box

    async def begin(self, levels: dict[str, tuple[Level, int | None]]) -> None:
        stands = [Standing(limit, level, value, 0) for limit, (level, value) in levels.items()]
        await self.memory.load(self.box.before()._replace(standings=stands), stands)

    def judge(self, point: str, value: int | None, quality: Quality) -> list[Alarm]:
        now_s = asyncio.get_running_loop().time()
        changed = self.limits.judge(point, value, quality, now_s)
        self.memory.tail.note(point, value, quality, now_s)
        return changed

    def commit(self) -> None:
        rows = self.memory.tail.rows()
        self.box.commit([], tail=rows)
        self.memory.tail.written(rows)


@pytest.mark.parametrize("seed", range(12))
def test_a_power_cut_after_any_commit_changes_no_alarm(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)

    async def story() -> None:
        whole = Limits(LIMITS, asyncio.get_running_loop().time())
        box, _ = opened(tmp_path)
        life = Life(tmp_path, box)
        await life.begin({})
        levels: dict[str, tuple[Level, int | None]] = {}
        told: list[Alarm] = []
        expected: list[Alarm] = []
        cuts = 0
        for _ in range(150):
            await asyncio.sleep(EVERY_S)
            for point in POINTS:
                value = draw.choice([None, 0, 2, 5, 9, 11, 14, 17, 30])
                quality = Quality.NO_ANSWER if value is None else draw.choice([Quality.GOOD] * 5 + [Quality.SUSPECT])
                expected += whole.judge(point, value, quality, asyncio.get_running_loop().time())
                changed = life.judge(point, value, quality)
                levels |= {alarm.limit: (alarm.level, alarm.value) for alarm in changed}
                told += changed
            life.commit()
            if draw.random() < 0.05:
                await life.memory.save()
            if draw.random() < 0.1:
                life = Life(tmp_path, box)
                await life.begin(levels)
                cuts += 1
        assert cuts > 5
        assert len({alarm.limit for alarm in expected}) >= 5
        assert told == expected

    run(story())


def test_rows_that_the_file_has_are_deleted_and_the_rest_is_bounded(tmp_path: Path) -> None:
    async def story() -> None:
        box, _ = opened(tmp_path)
        life = Life(tmp_path, box)
        await life.begin({})
        for _ in range(20):
            await asyncio.sleep(EVERY_S)
            life.judge("rain", 3, Quality.GOOD)
            life.commit()
        assert len(box.tail()) == 20
        await life.memory.save()
        life.judge("rain", 3, Quality.GOOD)
        life.commit()
        assert [number for number, _ in box.tail()] == [20, 21], "the next number is known by the last one"

    run(story())


def test_nothing_is_kept_of_an_alarm_that_is_not_in_the_store_yet(tmp_path: Path) -> None:
    async def story() -> None:
        box, _ = opened(tmp_path)
        life = Life(tmp_path, box)
        await life.begin({})
        waits = True
        life.memory.tail.waits = lambda: waits
        life.judge("rain", 3, Quality.GOOD)
        life.commit()
        assert box.tail() == []
        waits = False
        life.commit()
        assert len(box.tail()) == 1

    run(story())


def test_spoilt_rows_are_passed_over(tmp_path: Path) -> None:
    async def story() -> None:
        box, _ = opened(tmp_path)
        life = Life(tmp_path, box)
        await life.begin({})
        for value in (40, 40, 30):
            life.judge("rain", value, Quality.GOOD)
            life.commit()
            await asyncio.sleep(EVERY_S)
        number, body = box.tail()[1]
        for spoilt in (b"", b"\x00", body[:-2], body[:5] + b"\xff" + body[6:], b"\x81" * 50):
            box.commit([], tail=Rows([(number, spoilt)]))
            again = Life(tmp_path, box)
            await again.begin({})
            assert again.limits.judge("rain", 25, Quality.GOOD, asyncio.get_running_loop().time())

    run(story())
