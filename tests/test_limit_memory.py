"""What limits know outlives restarts and power cuts: by the file, in the daemon, on clocks that are set or unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from edge.clock import BUILT_MS, Clock
from edge.contract import Level, Of, Quality, Rule
from edge.entries import Before
from edge.limit_memory import FILE, LimitMemory
from edge.limit_note import born
from edge.limit_nouns import Limit
from edge.limit_past import unpacked
from edge.limits import Limits
from edge.measure_nouns import Spec
from sim.broker import mosquitto_path
from sim.rig import Rig, port_table, until
from sim.virtual import run

START_MS = BUILT_MS + 86_400_000
DAY = Spec(Of.SUM, 600.0, "mm", Decimal(1), 86_400)
STORM = Limit("storm", "rain", Rule.ABOVE, ((Level.RED, 100),), spec=DAY)
SLOW = Limit("slow", "rain", Rule.ABOVE, ((Level.RED, 5),), hold_s=600.0)
PLAIN = Limit("plain", "rain", Rule.ABOVE, ((Level.RED, 100),))


async def direct(work: Callable[[], Any]) -> Any:
    return work()


class Life:
    """One life of a gateway: its limits and their memory. `wall_ms` of the machine; `boot` of this life."""

    def __init__(self, folder: Path, wall_ms: int, boot: int, *limits: Limit, trusted: bool = True) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        self.limits = Limits(limits or [STORM, SLOW], begun_s)
        clock = Clock(lambda: wall_ms + round((loop.time() - begun_s) * 1000), loop.time, lambda: trusted, boot)
        self.memory = LimitMemory(self.limits, folder, clock, direct)

    async def rain(self, mm: int, times: int) -> list[Level]:
        told = []
        for _ in range(times):
            changed = self.limits.judge("rain", mm, Quality.GOOD, asyncio.get_running_loop().time())
            told += [alarm.level for alarm in changed if alarm.limit == "storm"]
            await asyncio.sleep(600)
        return told


@pytest.mark.parametrize(
    ("dark_h", "boot", "wall_ms", "red"),
    [
        (1, 2, START_MS + 11 * 3_600_000, True),  # 90 mm before an hour in the dark, 20 after it
        (23, 2, START_MS + 33 * 3_600_000, False),  # most of it was a day ago
        (23, 1, 0, False),  # the same boot: the machine's own clock knows, whatever UTC says
        (1, 2, 0, True),  # nobody knows how long: all of it counts
    ],
)
def test_a_day_of_rain_does_not_begin_at_nothing(
    dark_h: int, boot: int, wall_ms: int, red: bool, tmp_path: Path
) -> None:
    async def story() -> None:
        first = Life(tmp_path, START_MS, 1)
        await first.memory.load(Before())
        assert await first.rain(9, 10) == []
        await first.memory.save()
        await asyncio.sleep(dark_h * 3600.0)
        second = Life(tmp_path, wall_ms, boot)
        assert await second.memory.load(Before()) == 2
        assert (await second.rain(10, 2) == [Level.RED]) is red

    run(story())


def test_a_level_that_had_stood_for_most_of_its_time_needs_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        first = Life(tmp_path, START_MS, 1)
        await first.memory.load(Before())
        first.limits.judge("rain", 9, Quality.GOOD, asyncio.get_running_loop().time())
        await asyncio.sleep(500)
        await first.memory.save()
        second = Life(tmp_path, START_MS + 500_000, 2)
        await second.memory.load(Before())
        await asyncio.sleep(101)
        [alarm] = second.limits.judge("rain", 9, Quality.GOOD, asyncio.get_running_loop().time())
        assert (alarm.limit, alarm.level) == ("slow", Level.RED)

    run(story())


def test_limits_with_hold_times_are_written_while_one_runs_and_once_after(tmp_path: Path) -> None:
    async def story() -> None:
        life, file = Life(tmp_path, START_MS, 1, SLOW), tmp_path / FILE
        await life.memory.load(Before())
        written = []
        for value in (1, 9, 9, 1, 1):
            life.limits.judge("rain", value, Quality.GOOD, asyncio.get_running_loop().time())
            file.unlink(missing_ok=True)
            await life.memory.save()
            written.append(file.exists())
            await asyncio.sleep(60)
        assert written == [False, True, True, True, False]

    run(story())


def test_a_spoilt_file_is_as_none(tmp_path: Path) -> None:
    async def story() -> None:
        first = Life(tmp_path, START_MS, 1)
        await first.memory.load(Before())
        await first.rain(9, 10)
        await first.memory.save()
        whole = (tmp_path / FILE).read_bytes()
        for spoilt in (b"", whole[:-1], whole[:20], b"x" * 100, whole[:30] + b"\xff" + whole[31:]):
            (tmp_path / FILE).write_bytes(spoilt)
            second = Life(tmp_path, START_MS, 2)
            assert await second.memory.load(Before()) == 0
            assert await second.rain(10, 1) == []

    run(story())


def test_limits_that_remember_nothing_but_levels_name_their_store_once(tmp_path: Path) -> None:
    async def story() -> None:
        life = Life(tmp_path, START_MS, 1, PLAIN)
        note = born(lost=False)
        await life.memory.load(Before(note=note))
        await life.memory.save()
        assert unpacked((tmp_path / FILE).read_bytes()).store == note.identity
        (tmp_path / FILE).unlink()
        await life.memory.save()
        assert not (tmp_path / FILE).exists()

    run(story())


SITE = """
[[device]]
id = "gauge"
driver = "modbus"
port = "bus"
unit = 1
[[device.point]]
id = "rain"
unit = "mm"
step = 1
every = "200ms"
register = 3
[[limit]]
id = "storm"
point = "rain"
of = "sum"
window = "1h"
counter = true
above = { blue = 50, red = 100 }
[[limit]]
id = "any"
any = ["storm"]
"""


@pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")
def test_the_daemon_goes_on_with_its_sum_and_the_province_sees_what_decided(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "10")
        rig.write_site(port_table("bus", slaves.address) + SITE, batch="1s")
        slaves.command("set 1 holding 3 1000")
        rig.start_gateway()
        until("readings", lambda: rig.one("SELECT COUNT(*) FROM readings") >= 5)
        slaves.command("set 1 holding 3 1060")
        until("blue", lambda: rig.one("SELECT COUNT(*) FROM alarms") == 2)
        assert rig.stop("gateway") == 0
        rig.start_gateway()
        slaves.command("set 1 holding 3 1105")  # 45 more: red only with what came before the restart
        until("red", lambda: rig.one("SELECT COUNT(*) FROM alarms") == 4)
        rows = rig.province("SELECT limit_id, level, change, value, threshold, unit FROM alarms ORDER BY seq")
        assert rows == [
            ("storm", 1, "raised", 60.0, 50.0, "mm"),
            ("any", 1, "raised", 1.0, 1.0, ""),
            ("storm", 4, "changed", 105.0, 100.0, "mm"),
            ("any", 4, "changed", 1.0, 1.0, ""),
        ]
        [words] = rig.province("SELECT words FROM alarms WHERE level = 4 AND limit_id = 'storm'")
        assert "sum in 3600 s of rain = 1105: 105 mm, limit above 100 mm" in words[0]
        assert rig.stop("gateway") == 0


@pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")
def test_the_daemon_reads_faster_while_a_level_stands_and_as_before_afterwards(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "10")
        site = SITE.replace("200ms", "2s").replace('of = "sum"\nwindow = "1h"\ncounter = true\n', "")
        site = site.replace("above = { blue = 50", 'while_raised = "200ms"\nabove = { blue = 50')
        slaves.command("set 1 holding 3 0")
        rig.write_site(port_table("bus", slaves.address) + site, batch="1s")
        rig.start_gateway()
        until("readings", lambda: rig.one("SELECT COUNT(*) FROM readings") >= 2)
        slaves.command("set 1 holding 3 60")
        until("faster", lambda: rig.one("SELECT COUNT(*) FROM readings WHERE value = 60") >= 15)
        slaves.command("set 1 holding 3 0")
        until("cleared", lambda: rig.one("SELECT COUNT(*) FROM alarms WHERE level = 0") == 2)
        cleared_ms = rig.one("SELECT MAX(at_ms) FROM alarms")
        until("as before", lambda: rig.one(f"SELECT COUNT(*) FROM readings WHERE at_ms > {cleared_ms + 1000}") >= 2)
        fast = [at_ms for (at_ms,) in rig.province("SELECT at_ms FROM readings WHERE value = 60 ORDER BY at_ms")]
        assert median(after - before for before, after in pairwise(fast)) == 200  # on a busy machine one is left out
        assert {at_ms % 200 for at_ms in fast} == {0}
        slow = rig.province(f"SELECT at_ms FROM readings WHERE at_ms > {cleared_ms + 1000} ORDER BY at_ms")
        assert {at_ms % 2000 for (at_ms,) in slow} == {0}
