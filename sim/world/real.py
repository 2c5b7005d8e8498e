"""`fengsui-sim play FILE --real`: a scenario with the installed daemon, a real broker and real ports, in real time.

The processes are those of sim/rig.py: Mosquitto, `fengsui-sim beidou`, `fengsui-sim ground`, `fengsui run`. The
instruments are on a bench in this process, which writes the same record as the world does; each MQTT link has a road of
its own to the broker. The judges are the world's. What a process cannot be given (another clock, a bad disk) is refused
before anything starts; a power cut is a kill -9 here, so what was not synced is not lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path

import click

from edge.clock import kernel_synchronised
from edge.config import Site
from edge.config import load as load_site
from sim.beidou.cli import Running
from sim.demo.road import Road
from sim.rig import Rig, until
from sim.world import expects
from sim.world.bench import run
from sim.world.hands import Hands
from sim.world.nouns import START_MS, Broken, Outcome, Record, Span, Story, Trouble
from sim.world.rig_cli import Rigged, began_s, on_bench
from sim.world.scenario import Scenario
from sim.world.scenario_site import BEIDOU, Ends, gateway_id
from sim.world.shift import later
from sim.world.stage import Played, judged

LONGEST_S = 1800.0  # real time cannot be hurried: longer scenarios are for virtual time
CARD_PERIOD_S = 10.0  # a civil card has 60 s, for which nobody would wait here
STOPPED_S = 0.5
LOOK_S = 0.5  # how often the terminal's counter is read
SHUT = ("road.cut", "road.refused")
CAN = (*SHUT, "sky.blocked", "sky.loss", "power.cut", "power.kill", "power.stop", "province.away")


class CountedRoad(Road):
    """A road that writes down when it was used."""

    def __init__(self, far_port: int, used: list[float], now: Callable[[], float]) -> None:
        self._used = used
        self._now = now
        super().__init__(far_port)

    def _connect(self, near: socket.socket) -> None:
        self._used.append(self._now())
        super()._connect(near)

    def _serve(self, end: socket.socket) -> None:
        if end in self._ways:
            self._used.append(self._now())
        super()._serve(end)


class Real:
    """One play. Everything on one loop; the processes end with the rig."""

    def __init__(self, scenario: Scenario, rig: Rig, rigged: Rigged, loop: asyncio.AbstractEventLoop) -> None:
        self._scenario = scenario
        self._rig = rig
        self._loop = loop
        self.record: Record = rigged.record
        self._hands: Hands = rigged.hands
        self._roads: dict[str, CountedRoad] = {}
        self._lasting: list[Trouble] = []
        self._power = asyncio.Lock()
        self._requests = 0

    def open_roads(self, broker_port: int) -> dict[str, tuple[str, int]]:
        """A road for each MQTT link; where it begins."""
        for link in self._scenario.links:
            self.record.usable[link] = [Span(self._loop.time(), inf)]
            if link != BEIDOU:
                used = self.record.used.setdefault(link, [])
                self._roads[link] = CountedRoad(broker_port, used, self._loop.time)
        return {link: ("127.0.0.1", road.port) for link, road in self._roads.items()}

    def close(self) -> None:
        for road in self._roads.values():
            road.close()

    async def live(self, story: Story, say: Callable[[str], None]) -> None:
        """From the start to the end of `story`, whose times are this loop's."""
        if not kernel_synchronised():  # a machine without NTP: until the province tells it, the gateway's time is FREE
            unsynced = Trouble("clock.unsynced", self._loop.time(), story.lasts_s - self._loop.time())
            self.record.troubles.append((unsynced.at_s, unsynced))
        self._begin_life()
        first_s = story.lasts_s - self._scenario.story.lasts_s
        watching = asyncio.ensure_future(self._watch_terminal())
        async with asyncio.TaskGroup() as tasks:
            for trouble in story.troubles:
                tasks.create_task(self._befall(trouble, first_s, say))
            await asyncio.sleep(story.lasts_s - self._loop.time())
        watching.cancel()
        if self._rig.beidou is not None:
            self.record.early = [self._loop.time()] * self._rig.beidou.counts("site")["over_rate"]
        await self._stop("power.stop", gently=True)

    async def _befall(self, trouble: Trouble, first_s: float, say: Callable[[str], None]) -> None:
        await asyncio.sleep(trouble.at_s - self._loop.time())
        say(f"{expects.clock(trouble.at_s - first_s)} {trouble.words()}")
        if self._hands.can(trouble):
            await self._hands.begin(trouble)
            await asyncio.sleep(trouble.end_s - self._loop.time())
            await self._hands.end(trouble)
            return
        self.record.troubles.append((self._loop.time(), trouble))
        self.record.note(self._loop.time(), trouble.words())
        if trouble.kind.startswith("power."):
            await self._without(trouble)
            return
        self._lasting.append(trouble)
        await self._settle(trouble)
        await asyncio.sleep(trouble.end_s - self._loop.time())
        self._lasting.remove(trouble)
        await self._settle(trouble)

    # -- the gateway

    def _begin_life(self) -> None:
        self.record.running.append(Span(self._loop.time(), inf))
        self._rig.start_gateway()

    async def _stop(self, why: str, *, gently: bool) -> None:
        span = self.record.running[-1]
        if gently:
            await asyncio.to_thread(self._rig.stop, "gateway")
        else:
            self._rig.kill("gateway")
        span.to_s, span.why = self._loop.time(), why

    async def _without(self, trouble: Trouble) -> None:
        async with self._power:
            await self._stop(trouble.kind, gently=trouble.kind == "power.stop")
            await asyncio.sleep(max(STOPPED_S, trouble.for_s))
            self._begin_life()

    # -- the ways out

    async def _settle(self, trouble: Trouble) -> None:
        now = [it for it in self._lasting if it.on == trouble.on]
        if trouble.kind in SHUT:
            self._shut(trouble.on, any(it.kind in SHUT for it in now))
        elif trouble.kind == "province.away":
            await asyncio.to_thread(self._away, any(it.kind == "province.away" for it in now))
        elif self._rig.beidou is not None:
            await asyncio.to_thread(self._sky, self._rig.beidou, trouble.on, now)

    def _shut(self, link: str, is_shut: bool) -> None:
        (self._roads[link].cut if is_shut else self._roads[link].mend)()
        self._usable(link, not is_shut)

    def _away(self, is_away: bool) -> None:
        if is_away:
            self._rig.kill("province")
        elif not self._rig.alive("province"):
            self._rig.start_province()

    def _sky(self, sky: Running, link: str, now: list[Trouble]) -> None:
        blocked = any(it.kind == "sky.blocked" for it in now)
        sky.command(f"site beams {'off' if blocked else 'on'}")
        sky.command(f"loss {max([0.0, *(it.value for it in now if it.kind == 'sky.loss')])}")
        self._usable(link, not blocked)

    def _usable(self, link: str, usable: bool) -> None:
        spans = self.record.usable[link]
        is_open = spans[-1].to_s == inf
        if is_open and not usable:
            spans[-1].to_s = self._loop.time()
        elif usable and not is_open:
            spans.append(Span(self._loop.time(), inf))

    async def _watch_terminal(self) -> None:
        while self._rig.beidou is not None:
            requests = (await asyncio.to_thread(self._rig.beidou.counts, "site"))["requests"]
            if requests > self._requests:
                self._requests = requests
                self.record.used.setdefault(BEIDOU, []).append(self._loop.time())
            await asyncio.sleep(LOOK_S)


def play_real(scenario: Scenario, keep: Path | None, say: Callable[[str], None]) -> Played:
    """Plays a scenario in real time. Raises UsageError for one that cannot be."""
    refused = sorted({it.kind for it in scenario.story.troubles if it.kind not in CAN and not _by_hand(it)})
    if refused:
        raise click.UsageError(f"--real can not do {', '.join(refused)}: without --real it can")
    if len([link for link in scenario.links if link != BEIDOU]) > 1:
        raise click.UsageError(
            "--real: at one broker the province can not tell two MQTT links apart; name one in links"
        )
    if scenario.story.lasts_s > LONGEST_S:
        raise click.UsageError(f"--real takes as long as the story, and it lasts {scenario.story.lasts_s / 3600:g} h")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        return run(_play(scenario, keep.resolve(), say))
    with tempfile.TemporaryDirectory(prefix="fengsui-real-") as folder:
        return run(_play(scenario, Path(folder), say))


def _by_hand(trouble: Trouble) -> bool:
    return trouble.kind.partition(".")[0] in ("device", "point", "port")


async def _play(scenario: Scenario, folder: Path, say: Callable[[str], None]) -> Played:
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    story = scenario.story
    site_file = folder / "site.toml"
    site_file.write_text(story.site, "utf-8")
    rigged = on_bench(load_site(site_file), story.seed, story.weather, (), folder)
    with Rig(folder, gateway_id(story.name)) as rig:
        real = Real(scenario, rig, rigged, loop)
        try:
            site = await _set_up(scenario, rig, real, rigged)
            moved = later(story, began_s(loop))
            await asyncio.sleep(moved.lasts_s - story.lasts_s - loop.time())
            await real.live(moved, say)
            now_s = loop.time()
            rig.kill("province")
            _name_link(rig.database, scenario)
            broken, sums = _judge(real.record, site, rig.database, moved, now_s)
            broken = [*rigged.bench.faults, *broken]
        finally:
            real.close()
            await rigged.bench.close()
        seen = expects.arrivals([rig.database], START_MS + round((moved.lasts_s - story.lasts_s) * 1000))
    outcome = Outcome(story, tuple(broken), real.record.hash, time.monotonic() - began, sums, tuple(real.record.lines))
    return judged(outcome, seen, story)


async def _set_up(scenario: Scenario, rig: Rig, real: Real, rigged: Rigged) -> Site:
    """Starts everything but the gateway, and writes its site file."""
    rigged.record.keep_lines = True
    opens = await rigged.bench.open()
    broker = rig.start_broker()
    roads = real.open_roads(broker.port)
    terminal = Ends().terminal
    if BEIDOU in scenario.links:
        sky = await asyncio.to_thread(lambda: rig.start_beidou(period_s=CARD_PERIOD_S))
        terminal = f"serial:{sky.paths['site']}"
    rig.start_province()
    ends = Ends(roads, terminal, rig.key_file.name, rig.store.name, str(rig.socket), broker.version)
    rig.site_file.write_text(scenario.real_site(ends, opens), "utf-8")
    await asyncio.to_thread(until, "the province has its database", lambda: rig.database.exists())
    return load_site(rig.site_file)


def _name_link(database: Path, scenario: Scenario) -> None:
    """The province knows the one MQTT link as "mqtt", the judges by its name."""
    roads = [link for link in scenario.links if link != BEIDOU]
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE packets SET link = ? WHERE link = 'mqtt'", (roads[0] if roads else BEIDOU,))


def _judge(
    record: Record, site: Site, database: Path, story: Story, now_s: float
) -> tuple[list[Broken], Mapping[str, float]]:
    from sim.world.judge import Watch

    watch = Watch(record, site, [database], story)
    return watch.end(now_s), watch.sums()
