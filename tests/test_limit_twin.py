"""A gateway that is cut again and again, its disk slow or not, against a twin that is never cut: the same alarms."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.outputs_site import T0_MS
from tests.test_limit_sequence import SITE, Life

TOTAL_S = 2400
DEAD = """
[[device.point]]
id = "gone"
unit = "mm"
step = 1
every = "10s"
register = 99
[[limit]]
id = "gone-dead"
point = "gone"
stale = { red = "10min" }
"""


class WithOneDead(Life):
    """Of its instruments one has never answered."""

    SITE = DEAD.partition("[[limit]]")[0] + SITE + DEAD[DEAD.index("[[limit]]") :]


def series(seed: int) -> list[tuple[int, float]]:
    """(rain, level) of each ten seconds."""
    draw, level = random.Random(seed), 1.0
    starts = draw.randrange(20, 60), draw.randrange(20, 100)
    made = []
    for turn in range(TOTAL_S // 10 + 2):
        wet = any(start <= turn < start + 14 for start in starts)
        level += draw.choice([0, 0, 0.1]) if turn > 30 else 0
        made.append((draw.choice([8, 10, 12]) if wet else 0, level))
    return made


def lived(folder: Path, seed: int, late: tuple[float, float] | None) -> list[tuple[str, str, float]]:
    """What is told of windows, and when. With `late` over random cuts."""
    data, draw, at_s, boot = series(seed), random.Random(seed + 1), 0.0, 1
    told: list[tuple[str, str, float]] = []
    shortest_s = 2 * late[0] if late else 0
    while at_s < TOTAL_S:
        lasts = [one for one in (20, 60, 150, 400) if one > shortest_s]
        lasts_s = min(TOTAL_S - at_s, draw.choice(lasts) + draw.randrange(8) if late else TOTAL_S)
        life = (WithOneDead if shortest_s > 60 else Life)(
            folder, at_s, boot, *(late if late and boot > 1 else (0.0, 0.0))
        )

        async def weather(life: Life, begins_s: float = at_s, ends_s: float = at_s + lasts_s) -> None:
            now_s = begins_s + 1
            while now_s < ends_s:
                rain, level = data[int((now_s + 5) // 10)]
                life.put(rain=rain, level=level)
                step_s = min(10 - (now_s + 5) % 10, ends_s - now_s)
                await asyncio.sleep(step_s)
                now_s += step_s
            heard = [it for it in life.now.journal.alarms if it["at_ms"] >= T0_MS + life.later_ms]
            told.extend((it["limit"], it["level"], (it["at_ms"] - T0_MS) / 1000) for it in heard)

        rain, level = data[int((at_s + 5) // 10)]
        folder = life.live(weather, rain=rain, level=level)
        at_s, boot = at_s + lasts_s, boot + 1
    return told


@pytest.mark.parametrize(
    "late", [(0, 0), (5, 0), (0, 15), (5, 15), (70, 0)], ids=["in time", "store", "file", "both", "minute"]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_cuts_at_any_moment_change_no_alarm_whatever_is_late(
    late: tuple[float, float], seed: int, tmp_path: Path
) -> None:
    whole = lived(tmp_path / "whole", seed, None)
    cut = lived(tmp_path / "cut", seed, late)
    for limit in ("storm", "moved"):
        expected, found = ([it[1:] for it in told if it[0] == limit] for told in (whole, cut))
        assert [level for level, _ in found] == [level for level, _ in expected]
        assert all(
            abs(at_s - there_s) <= max(60, late[0] + 20)
            for (_, at_s), (_, there_s) in zip(found, expected, strict=True)
        )
    assert len(whole) > 4
