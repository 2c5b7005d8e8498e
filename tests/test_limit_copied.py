"""What the province is told of limits after a restored or cloned card, a site file with another name in it, a card that
is new: the daemon in virtual time, with the real store, and the province's own core.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract import Rule
from edge.limit_memory import FILE
from edge.limit_nouns import Limit
from sim.modbus_slave import Fault
from sim.province import Province
from sim.virtual import run
from tests import outputs_site
from tests.outputs_site import T0_MS, action, output
from tests.relay_world import ROOT, Network
from tests.test_limit_restarts import NONE, RED, STORM, YELLOW, Box
from tests.test_limit_told import Life

CUT, BAND, CALM = 1.6, 1.2, 0.5  # cut at 1.5, restored below 1.0
FEEDER = output("feeder", 3, 'rest = "on"') + action("cut", "gas-high", 'output = "feeder"')
ANY = '[[limit]]\nid = "gas-any"\nany = ["gas-high"]\n'
HORN = output("horn", 1) + action("honk", "gas-any", 'output = "horn"\nlevel = "red"\nmax_on = "4h"')
SITE = ANY + FEEDER + HORN


class Air(Network):
    """Of the gateway `g`."""

    later_ms = 0

    def arrive(self, packet: bytes) -> None:
        now_ms = T0_MS + self.later_ms + round(asyncio.get_running_loop().time() * 1000)
        for answer in self.province.receive("g", packet, now_ms):
            self.links[0].receive(answer)


class Gas:
    """A gateway, life after life, and its province."""

    def __init__(self, folder: Path, outputs: str = SITE) -> None:
        self.folder, self.outputs = folder / "box", outputs
        self.folder.mkdir()
        self.province = Province(folder / "province.db", lambda _gateway: ROOT, durable=False)
        self.boot = 0
        self.said: list[str] = []

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def live(self, gas: float, story: Callable[[Life], Awaitable[None]] | None = None) -> None:
        """The next life, with the gas at `gas` from its start, that ends cleanly after a minute, or with its story."""
        self.boot += 1
        life = Life(self.folder, self.outputs, boot=self.boot, later_ms=self.boot * 3_600_000)
        life.site.gateway.key.parent.mkdir(parents=True, exist_ok=True)
        life.site.gateway.key.write_text(ROOT.hex())
        life.set(1, gas)
        shutil.rmtree(life.cut, ignore_errors=True)

        async def on_air(life: Life) -> None:
            await (story(life) if story else asyncio.sleep(60))
            self.said = [event["text"] for event in life.now.journal.events]

        network = Air(self.province)
        network.later_ms = life.later_ms
        life.links = {"fibre": (network.link("fibre"), 1.0)}
        life.live(on_air)

    def last_words(self) -> dict[str, int]:
        """Of those on gas: each limit's level, as it was told the province last."""
        db: sqlite3.Connection = self.province._store._db
        return dict(
            db.execute("SELECT limit_id, level FROM alarms WHERE limit_id <> 'high' ORDER BY received_at_ms, seq")
        )


@pytest.fixture
def gas(tmp_path: Path) -> Gas:
    return Gas(tmp_path)


def copied_then_gone_on(gas: Gas, copied: float, then: float) -> None:
    gas.live(copied)
    shutil.copytree(gas.store, gas.folder / "bak")
    gas.live(then)
    shutil.rmtree(gas.store)
    shutil.copytree(gas.folder / "bak", gas.store)


# -- an older copy -----------------------------------------------------------------------------------------------------


def test_a_red_that_a_copy_told_long_ago_is_told_again_where_its_end_was_told_since(gas: Gas) -> None:
    copied_then_gone_on(gas, CUT, CALM)
    assert gas.last_words() == {"gas-high": NONE, "gas-any": NONE}
    gas.live(CUT)
    assert gas.last_words() == {"gas-high": RED, "gas-any": RED}


def test_a_red_that_was_told_since_a_calm_copy_was_made_has_its_end_told(gas: Gas) -> None:
    copied_then_gone_on(gas, CALM, CUT)
    assert gas.last_words() == {"gas-high": RED, "gas-any": RED}
    gas.live(CALM)
    assert gas.last_words() == {"gas-high": NONE, "gas-any": NONE}


def test_a_calm_copy_in_the_dead_band_gives_nothing_free_and_tells_no_end_also_after_a_restart(gas: Gas) -> None:
    copied_then_gone_on(gas, CALM, CUT)

    async def story(life: Life) -> None:
        await asyncio.sleep(60)
        assert gas.last_words() == {"gas-high": RED, "gas-any": RED}
        assert not life.on(3)

    gas.live(BAND, story)
    gas.live(BAND, story)

    async def calm(life: Life) -> None:
        await story(life)
        life.set(1, CALM)
        await asyncio.sleep(10)
        assert life.on(3)
        await asyncio.sleep(50)

    gas.live(BAND, calm)
    assert gas.last_words() == {"gas-high": NONE, "gas-any": NONE}


def test_a_release_does_not_blink_where_a_copy_is_noticed_at_rest(gas: Gas) -> None:
    async def story(life: Life) -> None:
        await asyncio.sleep(5)
        assert life.on(3)
        count = len(life.relays.log)
        await life.now.keeper.renew(life.now.keeper.outbox.epoch)
        await asyncio.sleep(5)
        assert [value for _, coil, value in life.relays.log[count:] if coil == 3 and not value] == []
        assert sorted(limit for limit, level, _ in life.alarms if level == "none") == ["gas-any", "gas-high", "high"]

    gas.live(CALM, story)


def test_what_was_told_in_this_life_is_not_told_twice(gas: Gas) -> None:
    async def story(life: Life) -> None:
        await asyncio.sleep(5)
        life.set(1, CUT)
        await asyncio.sleep(5)
        await life.now.keeper.renew(life.now.keeper.outbox.epoch)
        await asyncio.sleep(5)
        told = [(limit, level) for limit, level, _ in life.alarms]
        assert sorted(told) == [("gas-any", "red"), ("gas-high", "red"), ("high", "none")]

    gas.live(CALM, story)


def test_a_cut_right_after_the_new_epoch_began_forgets_nothing(gas: Gas) -> None:
    """The transaction of the new epoch is the last thing that reaches the disk."""
    gas.live(CUT)

    async def story(life: Life) -> None:
        await asyncio.sleep(5)
        life.now.keeper.overtaken = lambda: None
        await life.now.keeper.renew(life.now.keeper.outbox.epoch)
        life.now.memory.tail.rows = lambda: ((), 0, None)  # type: ignore[assignment,method-assign,return-value]

    gas.live(CUT, story)

    async def after(life: Life) -> None:
        await asyncio.sleep(5)
        assert [(limit, level) for limit, level, _ in life.alarms][-3:] == [
            ("gas-high", "red"),
            ("gas-any", "red"),
            ("high", "none"),
        ]
        count = len(life.alarms)
        await asyncio.sleep(30)
        assert len(life.alarms) == count

    gas.live(CUT, after)

    async def again(life: Life) -> None:
        count = len(life.alarms)
        await asyncio.sleep(30)
        assert len(life.alarms) == count, "once for all"

    gas.live(CUT, again)


def test_a_sum_of_an_older_copy_ends_nothing_by_rain_that_it_lacks(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, STORM)
        await box.start()
        assert await box.climb(0, 12, 10) == [RED]
        box.memory.overtaken()
        assert [alarm.level for alarm in box.told] == [RED], "told in this life"
        await box.memory.save()
        await box.start()
        box.memory.overtaken()
        assert [alarm.level for alarm in box.told] == [RED, RED]
        assert await box.climb(110, 23 * 60, 0) == []
        assert await box.climb(110, 120, 0) == [NONE]

    run(story())


# -- another name ------------------------------------------------------------------------------------------------------


@pytest.fixture
def other_name(monkeypatch: pytest.MonkeyPatch) -> Callable[[Gas], None]:
    def edit(gas: Gas) -> None:
        gas.outputs = gas.outputs.replace('"gas-high"', '"gas-off"')
        monkeypatch.setattr(outputs_site, "HEAD", outputs_site.HEAD.replace('"gas-high"', '"gas-off"'))

    return edit


@pytest.mark.parametrize("hears", [True, False])
def test_a_red_that_stands_in_the_dead_band_goes_on_under_another_name(
    hears: bool, gas: Gas, other_name: Callable[[Gas], None]
) -> None:
    """Siren and cut go on, what counts it stays, also where the instrument is dead by then."""

    async def before(life: Life) -> None:
        await asyncio.sleep(60)
        life.set(1, BAND)
        await asyncio.sleep(10)

    async def after(life: Life) -> None:
        if not hears:
            life.sensors.faults.append(Fault("silence"))
        await asyncio.sleep(60)
        assert not life.on(3)
        assert life.on(1)
        assert gas.last_words() == {"gas-high": NONE, "gas-off": RED, "gas-any": RED}
        assert [level for limit, level, _ in life.alarms if limit == "gas-any"] == ["red"], "never cleared"
        if hears:
            life.set(1, CALM)
            await asyncio.sleep(10)
            assert gas.last_words() == {"gas-high": NONE, "gas-off": NONE, "gas-any": NONE}
            assert life.on(3)

    gas.live(CUT, before)
    other_name(gas)
    gas.live(BAND, after)


def test_a_new_name_without_the_file_that_knows_the_old_one_gives_nothing_free_in_the_dead_band(
    gas: Gas, other_name: Callable[[Gas], None]
) -> None:
    async def after(life: Life) -> None:
        await asyncio.sleep(60)
        assert not life.on(3)
        life.set(1, CALM)
        await asyncio.sleep(10)
        assert life.on(3)

    gas.live(CUT)
    other_name(gas)
    (gas.store / FILE).unlink()
    gas.live(BAND, after)


@pytest.mark.parametrize("hold_s", [0.0, 30.0])
@pytest.mark.parametrize("edited_before", [True, False])
def test_of_two_new_names_the_one_at_other_numbers_stands_for_nothing(
    edited_before: bool, hold_s: float, tmp_path: Path
) -> None:
    """`edited_before`: the limit itself came after the first start, the file must have learnt of it."""
    cut = Limit("cut", "p", Rule.ABOVE, ((RED, 150),), clear=((RED, 100),), hold_s=hold_s, every_s=60.0)
    far = Limit("far", "p", Rule.ABOVE, ((YELLOW, 300), (RED, 400)), hysteresis=10, hold_s=hold_s, every_s=60.0)
    other = Limit("other", "q", Rule.ABOVE, ((RED, 1000),))

    async def story() -> None:
        box = Box(tmp_path, other) if edited_before else Box(tmp_path, cut, other)
        await box.start()
        await box.memory.save()
        box.plan = (cut, other)
        await box.start()
        assert await box.climb(170, 5, 0) == [RED]
        assert await box.climb(120, 5, 0) == []
        await box.memory.save(last=True)
        box.plan = (far, replace(cut, id="off"), other)
        await box.start()
        assert [(alarm.limit, alarm.level) for alarm in box.told] == [("cut", RED), ("off", RED)]
        assert await box.climb(120, 5, 0) == []
        assert await box.climb(90, 1, 0) == [NONE]
        await box.start()
        assert len(box.told) == 3

    run(story())


# -- a new box ---------------------------------------------------------------------------------------------------------


def test_a_new_box_gives_nothing_free_in_the_dead_band_however_often_it_starts(gas: Gas) -> None:
    async def story(life: Life) -> None:
        await asyncio.sleep(30)
        assert not life.on(3)
        assert life.alarms == []

    gas.live(BAND, story)
    gas.live(BAND, story)

    async def calm(life: Life) -> None:
        life.set(1, CALM)
        await asyncio.sleep(3)
        assert life.on(3)

    gas.live(BAND, calm)

    async def known(life: Life) -> None:
        await asyncio.sleep(3)
        assert life.on(3), "it was below since"
        assert life.alarms == []

    gas.live(BAND, known)


def test_a_new_box_at_rest_gives_free_at_once(gas: Gas) -> None:
    async def story(life: Life) -> None:
        await asyncio.sleep(3)
        assert life.on(3)
        assert life.alarms == []

    gas.live(CALM, story)


def test_a_level_told_in_the_dead_band_of_another_one_is_not_all_that_is_to_be_known(tmp_path: Path) -> None:
    """Yellow at 80, red at 150 until below 100: at 120 nobody knows of red, over restarts too."""
    gas = Limit("gas", "p", Rule.ABOVE, ((YELLOW, 80), (RED, 150)), clear=((RED, 100),))

    async def story() -> None:
        box = Box(tmp_path, gas)
        for told in ([YELLOW], [], []):
            await box.start()
            assert box.read("p", 120) == told
            assert not box.limits.sure("gas")
            await box.memory.save()
            box.commit()
        assert box.read("p", 70) == [NONE]
        assert box.limits.sure("gas")
        box.commit()
        await box.start()
        box.read("p", 120)
        assert box.limits.sure("gas")

    run(story())
