"""What is told after a start of what stood before it: over the shelf, an edited site file, a clock that was wrong."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from edge.clock import Clock
from edge.daemon import build
from sim.modbus_port import opener
from sim.virtual import run
from tests.outputs_site import SIREN, T0_MS, Rig, action, output

Story = Callable[["Life"], Awaitable[None]]
LONG_SIREN = output("siren", 0) + action("wail", "high", 'output = "siren"\nlevel = "red"\nmax_on = "20min"')


class Life(Rig):
    """One life of a gateway: with its own boot and wall clock, and cut where it ends."""

    def __init__(self, folder: Path, outputs: str = SIREN, *, boot: int = 1, later_ms: int = 0) -> None:
        super().__init__(folder, outputs)
        self.folder, self.boot, self.later_ms, self.trusted = folder, boot, later_ms, True

    async def _live(self, story: Story) -> None:
        async def on_disk(work: Callable[[], Any]) -> Any:
            return work()

        loop = asyncio.get_running_loop()
        wall = lambda: T0_MS + self.later_ms + round(loop.time() * 1000)  # noqa: E731
        clock = Clock(wall, loop.time, lambda: self.trusted, self.boot)
        self.daemon = self.now = build(self.site, opener(self.lines), clock, on_disk)
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
