"""The world itself: puts a story's parts together, lets its troubles begin and end, and has the outcome judged.

    play(story, folder)  ->  Outcome: what was broken, the hash of the trace, figures

Everything is in one thread and one loop in virtual time; the daemon is the unmodified one (edge.daemon.build). Each
part draws from a generator of its own, so that a story without one trouble is else the same. The folder must be empty;
one in memory (/dev/shm) is fastest.
"""

from __future__ import annotations

import asyncio
import gc
import random
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

from drivers.beidou.wire import Dialect
from edge.answers import Journal
from edge.config.load import load
from edge.config.site import Site
from sim.beidou.card import Card, commanding
from sim.beidou.port import Plugs
from sim.beidou.satellite import Air, Satellite
from sim.beidou.terminal import Terminal
from sim.models import models_of
from sim.world.box import Box, quiet
from sim.world.disk import Disk
from sim.world.fates import Fates
from sim.world.host import STATION_PORT, Host
from sim.world.judge import Watch
from sim.world.loop import WorldLoop, run
from sim.world.nouns import START_MS, Broken, Outcome, Record, Span, Story
from sim.world.roads import Roads
from sim.world.weather import Weather
from sim.world.wire import Wires

KEY = bytes.fromhex("5a" * 32)
SITE_CARD = 207_733  # small enough for every dialect
CHECK_EVERY_S = 600.0  # what can be judged while the story goes on
SIZE_EVERY_S = 60.0
PROGRESS_S = 3600.0
DAY_S = 86_400.0
FAULT = "a fault of ours"  # the daemon's own word for a part of it that failed


class World:
    """One story's parts, wired. Made within its loop."""

    def __init__(self, loop: WorldLoop, story: Story, folder: Path, record: Record) -> None:
        self.loop = loop
        self.story = story
        self.record = record
        self.site_file = folder / "site.toml"
        self.site_file.write_text(story.site, "utf-8")
        self.site: Site = load(self.site_file)
        self.site.gateway.key.write_text(KEY.hex() + "\n")
        self.site.gateway.key.chmod(0o600)
        seed = str(story.seed)
        hosts = {link.id: link.settings.host for link in self.site.links if hasattr(link.settings, "host")}
        self.roads = Roads(loop, hosts, record, seed)
        self.host = Host(folder, self.site.gateway.id, KEY, self.roads)
        self.disk = Disk(self.site.store.folder, random.Random(f"{seed}/disk"))
        self.weather = Weather(story.seed, story.weather, self.site.limits)
        self.plugs = self._sky(seed)
        others = {} if self.plugs is None else {self.sky_port: self.plugs.open_port}
        self.models = models_of(self.site, self.weather.source_of, story.seed)
        self.wires = Wires(self.models, random.Random(f"{seed}/wires"), record, others)
        self.box = Box(loop, self.site_file, self.disk, self.wires.open_port, self._unplug, record)
        self.fates = Fates(self)
        self._tasks = [loop.create_task(part) for part in (self.roads.run(), self.host.run(), self._measure())]
        if self.plugs is not None:
            self._tasks.append(loop.create_task(self.host.serve_beidou(self.plugs, SITE_CARD)))

    def _sky(self, seed: str) -> Plugs | None:
        """The terminal of the site, and the province's, where the site has a Beidou link."""
        self.satellite = Satellite(random.Random(f"{seed}/satellite").randrange(2**32), loss=0.0)
        self.terminal: Terminal | None = None
        for link in self.site.links:
            if link.port is None:
                continue
            dialect = random.Random(f"{seed}/dialect").choice(list(Dialect))
            self.terminal = Terminal(dialect, Card(SITE_CARD), reports={}, utc_ms_at_0=START_MS)
            self.terminal.trouble.random.seed(f"{seed}/terminal")
            province = commanding(link.settings.province)
            station = Terminal(dialect, province, reports={}, utc_ms_at_0=START_MS)
            self.record.usable[link.id] = [Span(0.0, float("inf"))]
            self.sky_link, self.sky_port = link.id, link.port
            return Plugs(Air(self.satellite, {link.port: self.terminal, STATION_PORT: station}))
        return None

    def _unplug(self) -> None:
        """The box is dead: what it held open is gone."""
        self.roads.power_off()
        self.wires.kill()
        if self.plugs is not None:
            self.plugs.unplug(self.sky_port)
            if not self.fates.is_unplugged(self.sky_port):
                self.plugs.plug(self.sky_port)

    async def _measure(self) -> None:
        """The store's size, for the judges."""
        folder = self.site.store.folder
        while True:
            await asyncio.sleep(SIZE_EVERY_S)
            size = sum(file.stat().st_size for file in folder.glob("outbox.db*")) if folder.is_dir() else 0
            self.record.sizes.append((self.loop.time(), size))

    def observe(self) -> None:
        """Writes down what the parts have counted themselves."""
        if self.terminal is not None:
            asked = self.terminal.requests
            used = self.record.used.setdefault(self.sky_link, [])
            used += [request.at_s for request in asked[len(used) :]]
            self.record.overrate = self.terminal.over_rate
        self.record.writes = [port for port, model in self.models.items() if getattr(model, "writes", 0)]

    async def close(self) -> None:
        """Ends everything; nothing of it is judged."""
        await self.box.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.host.close()


def play(
    story: Story, folder: Path, *, keep_lines: bool = False, on_hour: Callable[[float], None] = lambda _at_s: None
) -> Outcome:
    """Plays a story in an empty folder. `on_hour` is told the simulated seconds now and then.

    Raises SiteFileError for its site, ValueError for troubles that name what is not there.
    """
    began_s = time.process_time()
    record = Record(keep_lines=keep_lines)

    async def all_of_it(loop: WorldLoop) -> tuple[list[Broken], Mapping[str, float]]:
        loop.set_exception_handler(quiet)
        world = World(loop, story, folder, record)
        with world.disk:
            try:
                return await _live(world, on_hour)
            finally:
                await world.close()

    def log(line: str) -> None:
        """What the daemon says goes into the trace; it is no part of the hash."""
        if keep_lines:
            record.lines.append(f"{time.monotonic():12.3f} | {line}")
        if FAULT in line:
            record.faults.append(line)

    was_collecting = gc.isenabled()
    gc.disable()  # a tenth of all time; each simulated hour it is done once, and of all there is once a day
    try:
        epochs = random.Random(f"{story.seed}/epochs")
        with (
            mock.patch.object(Journal, "log", staticmethod(log)),
            mock.patch.object(secrets, "randbits", epochs.getrandbits),
        ):
            broken, sums = run(all_of_it)
    finally:
        if was_collecting:
            gc.enable()
    return Outcome(story, tuple(broken), record.hash, time.process_time() - began_s, sums, tuple(record.lines))


def _failures(world: World) -> list[str]:
    return world.box.failures + world.fates.failures + world.record.faults


async def _live(world: World, on_hour: Callable[[float], None]) -> tuple[list[Broken], Mapping[str, float]]:
    loop, story = world.loop, world.story
    world.fates.arm()
    world.box.start()
    watch = Watch(world.record, world.site, world.host.books, story)
    broken: list[Broken] = []
    hour_s, day_s = 0.0, DAY_S
    while loop.time() < story.lasts_s and not broken:
        await asyncio.sleep(min(CHECK_EVERY_S, story.lasts_s - loop.time()))
        world.observe()
        broken += watch.check(loop.time())
        broken += [Broken("7 starts", loop.time(), text) for text in _failures(world)]
        if loop.time() >= hour_s:
            hour_s = loop.time() + PROGRESS_S
            gc.collect(2 if loop.time() >= day_s else 1)  # what is old is the record, which only grows
            day_s += DAY_S if loop.time() >= day_s else 0.0
            on_hour(loop.time())
    await world.box.stop()
    world.observe()
    broken += watch.end(loop.time())
    return broken, watch.sums()
