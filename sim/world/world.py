"""The world itself: puts a story's parts together, lets its troubles begin and end, and has the outcome judged.

    play(story, folder)  ->  Outcome: what was broken, the hash of the trace, figures

Everything is in one thread and one loop in virtual time; the daemon is the unmodified one (edge.daemon.build). Each
part draws from a generator of its own, so that a story without one trouble is else the same. The folder must be empty;
one in memory (/dev/shm) is fastest.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import random
import secrets
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest import mock

import edge.daemon
from drivers.beidou.wire import Dialect
from edge.answers import Journal
from edge.config.load import load
from edge.config.site import Site
from edge.wear import Counters
from sim.beidou.card import Card, commanding
from sim.beidou.port import Plugs
from sim.beidou.satellite import Air, Satellite
from sim.beidou.terminal import Terminal
from sim.models import models_of
from sim.world.blame import SIMULATOR, blamed, blamed_words
from sim.world.box import Box, quiet
from sim.world.disk import Disk
from sim.world.fates import Fates
from sim.world.host import STATION_PORT, Host
from sim.world.judge import Watch
from sim.world.loop import Spins, WorldLoop, run
from sim.world.nouns import START_MS, Broken, Outcome, Record, Span, Story
from sim.world.pins import Pins
from sim.world.programs import Programs
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
TRACEBACK = "Traceback (most recent call last)"
WEAR = Counters(0)  # a card in the world has no counters to be read: what the kernel knows is this machine's


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
        for model in self.models.values():
            record.switched |= {output: [] for output in getattr(model, "outputs", ())}
        self.pins = Pins(self.site, record)
        self.programs = Programs(self.site, record)
        self.wires = Wires(self.models, random.Random(f"{seed}/wires"), record, others)
        unplug, furnish = self._unplug, self.programs.instead
        self.box = Box(loop, self.site_file, self.disk, self.wires.open_port, unplug, record, furnish)
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
        self.pins.fall()
        self.programs.fall()
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
            self.box.look()

    def faults(self) -> list[Broken]:
        """What the parts have come to since somebody last asked: the daemon's, and our own."""
        found = [*self.box.failures, *self.fates.failures, *self.record.faults]
        for told in (self.box.failures, self.fates.failures, self.record.faults):
            told.clear()
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.remove(task)
            error = None if task.cancelled() else task.exception()
            name = getattr(task.get_coro(), "__qualname__", task.get_name())
            found.append(blamed(error, self.loop.time(), name) if error else _over(name, self.loop.time()))
        return found

    def observe(self) -> None:
        """Writes down what the parts have counted themselves."""
        if self.terminal is not None:
            asked = self.terminal.requests
            used = self.record.used.setdefault(self.sky_link, [])
            news = asked[len(used) :]
            used += [request.at_s for request in news]
            self.record.early += [request.at_s for request in news if request.over_rate]
        for model in self.models.values():
            for output in getattr(model, "outputs", ()):
                self._switched(output, model.switched(output, self.loop.time()))  # type: ignore[attr-defined]
        self.record.writes = [port for port, model in self.models.items() if getattr(model, "writes", 0)]

    def _switched(self, output: str, changes: list[tuple[float, bool]]) -> None:
        known = self.record.switched[output]
        news = [it for it in changes if not known or it[0] > known[-1][0]]
        known += news
        for at_s, on in news:
            self.record.note(self.loop.time(), f"{output} was {'on' if on else 'off'} from {at_s:.3f} s")

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

    Whatever raises while it is played is in the outcome as something broken. Raises only for what can not be played:
    SiteFileError for its site, ValueError for troubles that name what is not there.
    """
    began_s = time.process_time()
    record = Record(keep_lines=keep_lines)

    async def all_of_it(loop: WorldLoop) -> tuple[list[Broken], Mapping[str, float]]:
        loop.set_exception_handler(functools.partial(quiet, record))
        world = World(loop, story, folder, record)
        with world.disk, world.pins:
            try:
                return await _live(world, on_hour)
            except Exception as error:  # noqa: BLE001 the outermost: whatever a world dies of is told with its seed
                return [_told(record, error, loop.time())], {}
            finally:
                await world.close()

    was_collecting = gc.isenabled()
    gc.disable()  # a tenth of all time; each simulated hour it is done once, and of all there is once a day
    try:
        with _seams(story, record):
            broken, sums = run(all_of_it)
    except (SystemExit, Spins) as error:  # it ends the loop itself
        broken, sums = [_told(record, error, record.last_s)], {}
    finally:
        if was_collecting:
            gc.enable()
    return Outcome(story, tuple(broken), record.hash, time.process_time() - began_s, sums, tuple(record.lines))


@contextlib.contextmanager
def _seams(story: Story, record: Record) -> Iterator[None]:
    """What the daemon asks this machine for is the world's: its chance, its journal, the wear of its disk."""
    trace = ""

    def log(line: str) -> None:
        """What the daemon says goes into the trace; it is no part of the hash."""
        nonlocal trace
        if record.keep_lines:
            record.lines.append(f"{time.monotonic():12.3f} | {line}")
        if TRACEBACK in line:
            trace = line  # a part of it that failed: the sentence comes next
        if FAULT in line:
            record.faults.append(blamed_words(line, trace, time.monotonic()))
            trace = ""

    epochs = random.Random(f"{story.seed}/epochs")
    with (
        mock.patch.object(Journal, "log", staticmethod(log)),
        mock.patch.object(secrets, "randbits", epochs.getrandbits),
        mock.patch.object(edge.daemon, "read_counters", _wear),
    ):
        yield


def _wear(_device: str) -> Counters:
    return WEAR


def _told(record: Record, error: BaseException, at_s: float) -> Broken:
    """What ended a play before its time. Where it came from is written into the trace."""
    if record.keep_lines:
        record.lines += "".join(traceback.format_exception(error)).splitlines()
    return blamed(error, at_s, "the play ended")


def _over(part: str, at_s: float) -> Broken:
    return Broken(SIMULATOR, at_s, f"a fault of the simulator, not of the gateway: {part} has ended")


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
        broken += [*world.faults(), *watch.check(loop.time())]  # the cause before what comes of it
        if loop.time() >= hour_s:
            hour_s = loop.time() + PROGRESS_S
            gc.collect(2 if loop.time() >= day_s else 1)  # what is old is the record, which only grows
            day_s += DAY_S if loop.time() >= day_s else 0.0
            on_hour(loop.time())
    await world.box.stop()
    world.observe()
    broken += watch.end(loop.time())
    if not broken:
        broken += world.faults()
    return broken, watch.sums()
