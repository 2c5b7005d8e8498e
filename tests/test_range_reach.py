"""Further beyond its range than the range is wide: no instrument that measures shows that, so it is no evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.clock import BUILT_MS, Clock
from edge.contract import Level, Point, Quality, Reading
from edge.intake import Intake
from edge.intake_nouns import PointNow
from edge.limits import Limits
from edge.replay import replay
from sim.virtual import run
from tests.limit_sites import limit, point, site_of

GOOD, OVER, SUSPECT = Quality.GOOD, Quality.OVER_RANGE, Quality.SUSPECT
NO_ANSWER = 65535 * 0.01  # a register of 16 bits with nothing in it
START_MS = BUILT_MS + 86_400_000


def of_range(low: int | None, high: int | None) -> PointNow:
    ends = [None if end is None else Decimal(end) for end in (low, high)]
    return PointNow(Point("p", "m", Decimal("0.01"), ends[0], ends[1], 1000, "d"))


@pytest.mark.parametrize(
    ("value", "quality"),
    [
        (100.0, GOOD),
        (110.0, GOOD),
        (110.01, OVER),
        (119.99, OVER),
        (120.0, OVER),
        (120.01, SUSPECT),
        (NO_ANSWER, SUSPECT),
        (90.0, OVER),
        (89.99, SUSPECT),
        (-0.01, SUSPECT),
    ],
)
def test_a_flood_may_pass_the_gauges_end_but_not_by_the_whole_gauge(value: float, quality: Quality) -> None:
    now = of_range(100, 110)
    now.take(value, GOOD, 0)
    assert (now.value, now.quality) == (round(value * 100), quality)  # kept and sent either way


def test_of_a_range_with_one_end_nobody_knows_how_wide_it_is() -> None:
    for now, value in ((of_range(None, 100), 1e6), (of_range(0, None), -1e6)):
        now.take(value, GOOD, 0)
        assert now.quality is OVER


class Register:
    def __init__(self, answer: Callable[[float], float]) -> None:
        self.answer = answer

    async def read(self, points: Sequence[str]) -> list[Reading]:
        return [Reading(name, self.answer(asyncio.get_running_loop().time())) for name in points]

    def health(self) -> dict[str, Any]:
        return {}


SITE_POINT = point("d.p", "m", "0.01", "10s", "range = [0, 20]\nspike = 1")
SITE_LIMITS = [
    limit("high", "d.p", "above = { red = 15 }\nhysteresis = 1"),
    limit("doubtful", "d.p", 'suspect = { blue = "30s" }'),
    limit("silent", "d.p", 'stale = { yellow = "60s" }'),
]


async def _judged(tmp_path: Path, answer: Callable[[float], float]) -> list[tuple[str, Level]]:
    """What the limits of a site tell in ten minutes, read each 10 s through intake."""
    site = site_of(tmp_path, SITE_POINT, *SITE_LIMITS)
    loop = asyncio.get_running_loop()
    limits = Limits([it.judged for it in site.limits], loop.time())
    told: list[tuple[str, Level]] = []

    def judge(name: str, value: int | None, quality: Quality, now_s: float) -> None:
        told.extend((alarm.limit, alarm.level) for alarm in limits.judge(name, value, quality, now_s))
        told.extend((alarm.limit, alarm.level) for alarm in limits.tick(now_s))

    clock = Clock(lambda: START_MS + round(loop.time() * 1000), loop.time, lambda: False, 1)
    groups = {10_000: list(site.points)}
    task = asyncio.ensure_future(
        Intake(groups, {"d": Register(answer)}, {"d": "com"}, clock, judge, lambda _: None, lambda *_: None).run()
    )
    await asyncio.sleep(600)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return told


def test_a_register_without_an_answer_is_never_red_and_is_told_as_doubtful_and_silent(tmp_path: Path) -> None:
    told = run(_judged(tmp_path, lambda now_s: 3.0 if now_s < 95 else NO_ANSWER))
    assert told == [("doubtful", Level.BLUE), ("silent", Level.YELLOW)]


def test_a_flood_that_passes_the_gauges_end_is_red(tmp_path: Path) -> None:
    told = run(_judged(tmp_path, lambda now_s: min(25.0, 3.0 + now_s / 60)))
    assert ("high", Level.RED) not in told  # it has not come far yet
    told = run(_judged(tmp_path, lambda now_s: 14.0 + now_s / 60))
    assert told == [("high", Level.RED)]
    told = run(_judged(tmp_path, lambda now_s: 3.0 if now_s < 95 else 25.0))
    assert told == [("high", Level.RED)]


def test_what_if_doubts_it_too(tmp_path: Path) -> None:
    site = site_of(tmp_path, SITE_POINT, *SITE_LIMITS)
    readings = [(START_MS + 10_000 * turn, "d.p", NO_ANSWER if 10 <= turn < 20 else 3.0) for turn in range(40)]
    played = replay(site, readings, ["d.p"], (START_MS, START_MS + 400_000), 40)
    levels = {story.limit.id: max(span.level for span in story.spans) for story in played.stories}
    assert levels == {"high": Level.NONE, "doubtful": Level.BLUE, "silent": Level.YELLOW}
    assert played.doubted == {"d.p": 10}
