"""What rests on (a release): never given while nobody can know whether the level stands. In virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sim.modbus_slave import Fault
from tests import outputs_site
from tests.modbus_site import run_virtual
from tests.outputs_site import Rig, action, output

FEEDER = output("feeder", 3, 'rest = "on"') + action("cut", "gas-high", 'output = "feeder"')
MORE = '[[limit]]\nid = "any"\nany = ["high", "gas-high"]\n' + output("feeder", 3, 'rest = "on"')
FEEDER_OF_ANY = MORE + action("cut", "any", 'output = "feeder"\nlevel = "red"')
DEAD_BAND, CUT, CLEAR = 1.2, 1.6, 0.9  # cut at 1.5, restored below 1.0


def run_once(folder: Path, gas: float) -> None:
    """A run of the gateway before, that ends at this value."""
    rig = Rig(folder, FEEDER)

    async def story(rig: Rig) -> None:
        rig.set(1, gas)
        await asyncio.sleep(3)

    run_virtual(rig.play(story))


def gases(rig: Rig) -> list[str]:
    assert rig.daemon is not None
    return [alarm["text"] for alarm in rig.daemon.journal.alarms]


def test_with_a_known_past_the_dead_band_is_what_it_was(tmp_path: Path) -> None:
    for before, released in ((CLEAR, True), (CUT, False)):
        folder = tmp_path / str(released)
        folder.mkdir()
        run_once(folder, before)
        rig = Rig(folder, FEEDER)
        rig.set(1, DEAD_BAND)

        async def story(rig: Rig, released: bool = released) -> None:
            await asyncio.sleep(60)
            assert rig.on(3) is released

        run_virtual(rig.play(story))


def test_after_a_lost_store_the_dead_band_releases_nothing(tmp_path: Path) -> None:
    run_once(tmp_path, CUT)
    for file in (tmp_path / "store").iterdir():
        if file.is_file():
            file.write_bytes(b"not a store" * 1000)
    rig = Rig(tmp_path, FEEDER)
    rig.set(1, DEAD_BAND)

    async def story(rig: Rig) -> None:
        await asyncio.sleep(3600)
        assert not rig.on(3), "1.2 % may be on its way down from 1.6 %"
        assert not any("RED" in text for text in gases(rig)), "and nothing false is told"
        rig.set(1, CLEAR)
        await asyncio.sleep(2)
        assert rig.on(3)

    run_virtual(rig.play(story))


@pytest.mark.parametrize(("before", "released"), [(CLEAR, True), (CUT, False)])
def test_while_the_store_is_late_the_dead_band_releases_nothing(tmp_path: Path, before: float, released: bool) -> None:
    run_once(tmp_path, before)
    rig = Rig(tmp_path, FEEDER)
    rig.set(1, DEAD_BAND)
    rig.disk_hangs_s = 300.0

    async def story(rig: Rig) -> None:
        await asyncio.sleep(250)
        assert not rig.on(3), "the store has not said what stood"
        await asyncio.sleep(120)
        assert rig.daemon is not None
        assert rig.daemon.keeper.outbox.durable
        assert rig.on(3) is released
        assert len(gases(rig)) == (not released), "the one of before, and nothing new"

    run_virtual(rig.play(story))


def test_a_limit_about_others_is_judged_before_anything_is_released(tmp_path: Path) -> None:
    """It is new in the site file, its member stands at red in the store and does not move."""
    run_once(tmp_path, CUT)
    rig = Rig(tmp_path, FEEDER_OF_ANY)
    rig.set(1, CUT)

    async def story(rig: Rig) -> None:
        assert rig.daemon is not None
        assert rig.daemon.limits.levels()["any"].name == "RED"
        await asyncio.sleep(60)
        assert [value for _, coil, value in rig.relays.log if (coil, value) == (3, 1)] == [], "not for one second"
        assert len(gases(rig)) == 2, "that of before, and the new one's"
        rig.set(1, CLEAR)
        await asyncio.sleep(2)
        assert rig.on(3)

    run_virtual(rig.play(story))


SILENT = '[[limit]]\nid = "gas-silent"\npoint = "gas"\nstale = { blue = "10s", red = "30s" }\n'
LOCKED = SILENT + output("feeder", 3, 'rest = "on"') + action("cut", "gas-high", 'output = "feeder"\nlevel = "red"')
LOCKED = LOCKED.replace('on = ["gas-high"]', 'on = ["gas-high", "gas-silent"]')


@pytest.mark.parametrize("dead", ["doubtful", "silent"])
def test_a_sensor_that_fails_takes_the_release_away_where_its_silence_is_in_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: str
) -> None:
    """故障闭锁: 65535 far beyond the range, or no answer at all."""
    ranged = outputs_site.HEAD.replace("register = 1\nscale = 0.01", "register = 1\nscale = 0.01\nrange = [0, 100]")
    monkeypatch.setattr(outputs_site, "HEAD", ranged)
    rig = Rig(tmp_path, LOCKED)

    async def story(rig: Rig) -> None:
        await asyncio.sleep(10)
        assert rig.on(3)
        if dead == "doubtful":
            rig.sensors.put("holding", 1, [65535])
        else:
            rig.sensors.faults.append(Fault("silence"))
        await asyncio.sleep(25)
        assert rig.on(3), "not for a moment's silence"
        await asyncio.sleep(10)
        assert not rig.on(3)
        await asyncio.sleep(3600)
        assert not rig.on(3)
        rig.set(1, 0)
        rig.sensors.faults.clear()
        await asyncio.sleep(120)
        assert rig.on(3)

    run_virtual(rig.play(story))
