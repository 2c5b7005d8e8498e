"""What is told after a start of what stood before it: over the shelf, an edited site file, a clock that was wrong."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from edge.answers import since_ms
from edge.clock import Clock
from edge.config import load
from edge.contract import Level, Of, Rule
from edge.daemon import build
from edge.limit_nouns import Limit
from edge.measure_nouns import Spec
from sim.modbus_port import opener
from sim.virtual import run
from tests import outputs_site
from tests.outputs_site import SIREN, T0_MS, Rig, action, output
from tests.test_limit_restarts import NONE, RATE, RED, STORM, TOTAL, YELLOW, Box

Story = Callable[["Life"], Awaitable[None]]
LONG_SIREN = output("siren", 0) + action("wail", "high", 'output = "siren"\nlevel = "red"\nmax_on = "4min"')
FAST = replace(RATE, thresholds=((RED, 130),), spec=replace(cast(Spec, RATE.spec), window_s=1800))


class Life(Rig):
    """One life of a gateway: with its own boot and wall clock, and cut where it ends."""

    def __init__(self, folder: Path, outputs: str = SIREN, *, boot: int = 1, later_ms: int = 0) -> None:
        super().__init__(folder, outputs)
        file = folder / "site.toml"
        file.write_text(file.read_text().replace("100ms", "1s"))  # stories of many minutes
        self.site = load(file)
        self.folder, self.boot, self.later_ms, self.trusted = folder, boot, later_ms, True
        self.links: dict[str, Any] = {}  # in place of the site's

    async def _live(self, story: Story) -> None:
        async def on_disk(work: Callable[[], Any]) -> Any:
            return work()

        loop = asyncio.get_running_loop()
        wall = lambda: T0_MS + self.later_ms + round(loop.time() * 1000)  # noqa: E731
        clock = Clock(wall, loop.time, lambda: self.trusted, self.boot)
        self.daemon = self.now = build(self.site, opener(self.lines), clock, on_disk)
        self.now._links = self.links or self.now._links
        running = asyncio.ensure_future(self.now.run())
        try:
            await asyncio.sleep(1.0)
            await story(self)
            shutil.copytree(self.folder, self.cut, ignore=shutil.ignore_patterns("s", "lock"))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @property
    def cut(self) -> Path:
        """The folder as the power cut at the end of the story left it."""
        return self.folder.with_name(self.folder.name + "-cut")

    def live(self, story: Story) -> Path:
        run(self._live(story))
        return self.cut

    @property
    def alarms(self) -> list[tuple[str, str, str]]:
        return [(told["limit"], told["level"], told["text"]) for told in self.now.journal.alarms]


async def shelve(life: Life) -> None:
    asked = {"by": "Li", "reason": "a test", "limit": "high", "for_s": 1800}
    await cast(Awaitable[Any], life.now.shelving.handlers()["shelve"](asked))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "gateway"
    made.mkdir()
    return made


@pytest.mark.parametrize("dead", [True, False])
def test_what_the_shelf_held_back_is_told_after_a_power_cut(dead: bool, folder: Path) -> None:
    async def shelved(life: Life) -> None:
        life.set(0, 6)
        await asyncio.sleep(10)
        await shelve(life)
        for level in (1, 6):
            life.set(0, level)
            await asyncio.sleep(10)
        assert [level for _, level, _ in life.alarms] == ["red", "none"]

    async def after(life: Life) -> None:
        await asyncio.sleep(5)
        assert life.now.limits.levels()["high"].name == "RED"
        assert [level for _, level, _ in life.alarms] == ["red", "none", "red"]
        assert life.alarms[-1][2] == "RED raised: level 6.00 m, above 5.00 m"
        assert life.on()
        await asyncio.sleep(60)
        assert len(life.alarms) == 3, "told once"

    cut = Life(folder).live(shelved)
    again = Life(cut, boot=2, later_ms=60_000)
    again.set(0, 6)
    if dead:
        del again.lines["bus"]
    again.live(after)


def test_what_the_shelf_holds_back_and_is_over_again_is_not_told_after_a_power_cut(folder: Path) -> None:
    async def shelved(life: Life) -> None:
        life.set(0, 6)
        await asyncio.sleep(10)
        await shelve(life)
        for level in (1, 6, 1):
            life.set(0, level)
            await asyncio.sleep(10)

    async def after(life: Life) -> None:
        await asyncio.sleep(5)
        assert [level for _, level, _ in life.alarms] == ["red", "none"]
        assert not life.on()

    Life(Life(folder).live(shelved), boot=2, later_ms=60_000).live(after)


# -- an edited site file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["clean", "cut"])
@pytest.mark.parametrize("limit", [STORM, TOTAL, FAST], ids=lambda limit: str(limit.id))
def test_a_limit_of_another_name_goes_on_with_what_the_old_one_knew(limit: Limit, how: str, tmp_path: Path) -> None:
    async def story(name: str, folder: Path) -> list[tuple[Level, int | None]]:
        folder.mkdir()
        box = Box(folder, limit, Limit("other", "p", Rule.ABOVE, ((RED, 1000),)))
        await box.start()
        await box.climb(0, 20, 2)
        if how == "cut":
            await box.memory.save()
        await box.climb(40, 20, 2)
        if how == "clean":
            await box.memory.save(last=True)
        box.plan = (replace(limit, id=name), *box.plan[1:])
        await box.start()
        await box.climb(80, 20, 3)
        return [(alarm.level, alarm.value) for alarm in box.told]

    told = run(story(limit.id, tmp_path / "same"))
    assert told, "or it shows nothing"
    assert run(story("new-name", tmp_path / "new")) == told


def test_a_silence_and_a_hold_time_go_on_under_another_name(tmp_path: Path) -> None:
    held = Limit("held", "p", Rule.ABOVE, ((RED, 5),), hold_s=600.0, every_s=60.0)
    quiet = Limit("quiet", "q", Rule.STALE, ((RED, 1200),), every_s=60.0)

    async def story() -> None:
        box = Box(tmp_path, held, quiet)
        await box.start()
        await box.climb(9, 8, 0)
        await box.memory.save(last=True)
        box.plan = (replace(held, id="a"), replace(quiet, id="b"))
        await box.start()
        assert await box.climb(9, 3, 0) == [RED]
        await asyncio.sleep(480)
        assert box.limits.tick(asyncio.get_running_loop().time()) == []
        await asyncio.sleep(120)
        assert [alarm.limit for alarm in box.limits.tick(asyncio.get_running_loop().time())] == ["b"]

    run(story())


def test_a_level_that_was_taken_out_ends_with_numbers_that_are_so(tmp_path: Path) -> None:
    both = Limit("l", "p", Rule.ABOVE, ((YELLOW, 50), (RED, 100)))

    async def story() -> None:
        box = Box(tmp_path, both)
        await box.start()
        box.read("p", 60)
        box.plan = (replace(both, thresholds=((RED, 100),)),)
        await box.start()
        assert [(alarm.level, alarm.value, alarm.threshold) for alarm in box.told] == [
            (YELLOW, 60, 50),
            (NONE, 60, 100),
        ]

    run(story())


def test_a_value_in_steps_of_before_is_not_shown_in_those_of_now(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it, or a row of readings in those steps, choose the side of a band that has stood."""
    band = '[[limit]]\nid = "band"\npoint = "level"\noutside = { yellow = [1, 3] }\nhold = "30s"\nclear_hold = "5s"\n'

    async def before(life: Life) -> None:
        life.set(0, 4)
        await asyncio.sleep(40)
        assert {name: level for name, level, _ in life.alarms} == {"high": "yellow", "band": "yellow"}

    async def after(life: Life) -> None:
        await asyncio.sleep(20)
        assert [text for name, level, text in life.alarms if level == "none"] == ["cleared: level - m, limit 5.000 m"]
        assert life.now.journal.alarms[-1]["why"]["value"] is None
        assert {state.part.value for state in life.now.limits.judged.values() if state.part} == {4000}

    cut = Life(folder, SIREN + band).live(before)
    edited = outputs_site.HEAD.replace("yellow = 3, red = 5", "red = 5").replace("step = 0.01", "step = 0.001", 1)
    monkeypatch.setattr(outputs_site, "HEAD", edited)
    again = Life(cut, SIREN + band, boot=2, later_ms=60_000)
    again.set(0, 4)
    again.live(after)


def test_the_last_readings_in_other_steps_are_not_shown_as_the_inputs_of_an_alarm(tmp_path: Path) -> None:
    """Those in the same steps are."""
    total = Spec(Of.TOTAL, 60.0, "m", Decimal(1), start=0)
    limit = Limit("l", "p", Rule.ABOVE, ((YELLOW, 50), (RED, 100)), spec=total, counts=(("p", "1 m"),))

    async def story(scale: str, folder: Path) -> int | None:
        folder.mkdir()
        box = Box(folder, limit)
        await box.start()
        box.read("p", 60)
        await box.memory.save(last=True)
        box.plan = (replace(limit, thresholds=((RED, 100),), counts=(("p", scale),)),)
        await box.start()
        ended = box.told[-1]
        assert (ended.level, len(box.told)) == (NONE, 2)
        assert ended.basis is not None
        return ended.basis.inputs[0].value

    assert run(story("1 m", tmp_path / "same")) == 60
    assert run(story("0.1 m", tmp_path / "other")) is None


@pytest.mark.parametrize("scale", ["1 m", "0.1 m"])
def test_rows_of_readings_in_other_steps_are_not_judged_in_those_of_now(scale: str, tmp_path: Path) -> None:
    """50 m, and a site file that is edited before the start after a power cut."""
    held = Limit("l", "p", Rule.BELOW, ((RED, 100),), hold_s=600.0, every_s=60.0, counts=(("p", "1 m"),))

    async def story() -> None:
        box = Box(tmp_path, held)
        await box.start()
        await box.climb(50, 8, 0)
        assert box.rows
        box.plan = (replace(held, counts=(("p", scale),)),)
        await box.start()
        assert (await box.climb(50, 4, 0) == [RED]) is (scale == "1 m")

    run(story())


# -- a clock that was wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["1970", "an hour behind"])
def test_a_siren_goes_on_for_the_rest_of_its_time_though_its_alarm_came_before_the_time_was_known(
    wrong: str, folder: Path
) -> None:
    behind_ms = T0_MS - 1000 if wrong == "1970" else 3_600_000

    async def before(life: Life) -> None:
        life.set(0, 6)
        await asyncio.sleep(60)
        assert life.on()
        life.later_ms, life.trusted = 0, True  # the time is learnt
        await asyncio.sleep(30)
        assert since_ms(life.now.answers.since["high"], life.now.clock) == pytest.approx(T0_MS + 1000, abs=1000)

    async def after(life: Life) -> None:
        await asyncio.sleep(100)
        assert life.on(), "two of its four minutes are left, and a bit"
        await asyncio.sleep(30)
        assert not life.on()
        assert len(life.alarms) == 1
        assert since_ms(life.now.answers.since["high"], life.now.clock) == pytest.approx(T0_MS + 1000, abs=1000)

    first = Life(folder, LONG_SIREN, later_ms=-behind_ms)
    first.trusted = False
    cut = first.live(before)
    again = Life(cut, LONG_SIREN, boot=2, later_ms=120_000)
    again.set(0, 6)
    again.live(after)


@pytest.mark.parametrize("late", [False, True])
def test_a_siren_of_a_long_ended_time_does_not_sound_anew(late: bool, folder: Path) -> None:
    """`late`: nor where the time is learnt after the start."""

    async def before(life: Life) -> None:
        life.set(0, 6)
        await asyncio.sleep(60)
        life.later_ms, life.trusted = 0, True
        await asyncio.sleep(60)

    first = Life(folder, SIREN, later_ms=1000 - T0_MS)
    first.trusted = False
    cut = first.live(before)

    async def after(life: Life) -> None:
        if late:
            await asyncio.sleep(2)
            life.trusted = True
            await asyncio.sleep(30)  # 20 s at most, where nobody knows
        assert not life.on()
        assert len(life.alarms) == 1

    again = Life(cut, SIREN, boot=2, later_ms=10 * 86_400_000)
    again.trusted = not late
    again.set(0, 6)
    again.live(after)
