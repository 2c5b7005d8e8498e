"""The composition root: which parts there are and how they are wired. Reads as a list.

    sensors -> intake -> limits -> alarms: committed at once ─┐
                     └-> rounds: with the next commit ────────┴-> keeper (outbox) -> relay -> links -> the province

Three seams, no more: `open_port`, `clock`, `run_blocking`. Each part runs under a supervisor: one that fails (which is
a fault of ours) is said with its traceback and started again; the others never notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from edge.alarm_past import removed
from edge.answers import Answers, Journal
from edge.clock import Clock, on_battery
from edge.config.site import Site
from edge.contract import Alarm, ClockQuality, Kind, Link, OpenPort, Output, PolledSensor, Quality, Round, Sensor
from edge.control import Server
from edge.dating import date_all
from edge.diskwork import OneThread, aside
from edge.drills import Drills
from edge.entries import Standing
from edge.hurry import Hurry
from edge.intake import Intake
from edge.keeper import Keeper
from edge.limit_memory import LimitMemory
from edge.limit_nouns import scale_of
from edge.limits import Limits
from edge.links import open_links
from edge.packing import alarm_entry, map_entry, round_entry
from edge.powerfail import PowerFail
from edge.preflight import look
from edge.process import hold_name, lock_in_time, notify
from edge.relay import Relay
from edge.reporter import report
from edge.shelving import Shelving
from edge.site_sheet import SheetMaker
from edge.standings import fitting, held_back
from edge.switching import Outputs, open_outputs
from edge.wear import Sample, Wear, read_counters
from edge.wire.seal import parse_key_file

TICK_S = 1.0
UNDATED_S = 10.0  # what could not be dated when the time was learnt (it waited for a commit) is dated now and then
KEY_AGAIN_S = 10.0
SOCKET_AGAIN_S = 5.0
RESTART_FIRST_S = 1.0
RESTART_LONGEST_S = 60.0
WATCHDOG_S = 10.0


class Daemon:
    """One gateway. Make it with `build`, then `await run()`."""

    def __init__(
        self,
        site: Site,
        sensors: Mapping[str, Sensor],
        links: Mapping[str, tuple[Link, float]],
        clock: Clock,
        run_blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        version: str,
        outputs: Mapping[str, Output] | None = None,
    ) -> None:
        self.site = site
        self.clock = clock
        self.journal = Journal(clock)
        self.say = self.journal.say
        self.relay: Relay | None = None
        self._links, self._run_blocking = links, run_blocking
        self._device = ""  # the store's disk, when it has been looked at
        self.wear = Wear(self.say, lambda: read_counters(self._device))
        self.power = PowerFail(site.store.power_fail, self._commit_last, self._tell, self.say)
        self._points = {point.id: point for point in site.points}
        self.sheets = SheetMaker(site, links, clock, self.say)
        self._raised: list[tuple[Alarm, bytes]] = []
        self._unwritten: set[str] = set()  # whose standing the store has not got yet
        self._scales = {limit.id: scale_of(limit.scale) for limit in site.limits}
        self._alarm_waits = asyncio.Event()
        self._background: set[asyncio.Future[None]] = set()
        self._dating: asyncio.Future[None] | None = None
        self.keeper = Keeper(
            site.store.folder,
            site.store.quota_bytes,
            site.store.commit_every_s,
            run_blocking,
            self.sheets.make,
            self.say,
            lambda: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(max(0, clock.now().at_ms) / 1000)),
            clock.boot,
            getattr(run_blocking, "abandon", lambda: None),
        )
        self.limits = Limits([limit.judged for limit in site.limits], asyncio.get_running_loop().time())
        ports = {device.id: device.port for device in site.devices}
        ports |= {link.id: link.port or link.id for link in site.links if link.points}
        self.intake = Intake(site.groups, sensors, ports, clock, self._judge, self._keep, self.say, self._supervise)
        self.hurry = Hurry(site, self.limits, self.intake)
        self.memory = LimitMemory(
            *(self.limits, site.store.folder, clock, aside(run_blocking), lambda: self.keeper.outbox, self.say),
            *(self.intake.beliefs, self._known, self._raise, site.gateway.id),
        )
        self.keeper.tail, self.memory.tail.waits = self.memory.tail, lambda: bool(self._raised or self._unwritten)
        self.memory.lacks = lambda: self.keeper.stood.lacks(self.answers.since)
        self.shelving = Shelving(self.limits, self._tell, self.say)
        self.outputs = Outputs(site, outputs or {}, self.say, self._tell)
        self.drills = Drills(site, self.outputs, self._send, self._tell, self.say)
        self.answers = Answers(
            *(site, clock, self.intake, self.limits, self.keeper, lambda: self.relay, self.journal, version),
            {"wear": self.wear.show, "power": self.power.show, "shelf": self.shelving.show},
        )

    # -- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs until cancelled or told to stop by SIGTERM or SIGINT. Raises AlreadyRunning."""
        name, dying = hold_name(self.site.store.folder)
        lock = await lock_in_time(self.site.store.folder, self._run_blocking, dying=dying)
        with name or contextlib.nullcontext(), lock or contextlib.nullcontext():
            await self._run()

    async def _run(self) -> None:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored by who started us, no end of a command can be seen
            asyncio.get_running_loop().add_signal_handler(signal.SIGPWR, self.power.signalled)
            self.sheets.read_priors()
            await self.keeper.start()
            await self._restore()
            self._start(self._preflight())
            async with asyncio.TaskGroup() as parts:
                running = [
                    parts.create_task(self._supervise(name, part), name=name)
                    for name, part in {
                        **self.outputs.parts(),
                        "intake": self.intake.run,
                        "alarms": self._commit_alarms,
                        "keeper": self.keeper.run,
                        "relay": self._relay,
                        "control": self._control,
                        "ticker": self._tick,
                        "limits": self.memory.run,
                        "power": self.power.run,
                        "reporter": lambda: report(self.answers, self.wear, self._tell),
                    }.items()
                ]
                for number in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(number, _cancel, running)
                notify("READY=1")
        finally:
            notify("STOPPING=1")
            await self.outputs.end()
            self._send(self.drills.end())
            await self._commit_last()
            await self.keeper.stop()

    async def _supervise(self, name: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The outermost ladder: whatever a part dies of, it is said, and the part begins again."""
        pause_s = RESTART_FIRST_S
        while True:
            began_s = asyncio.get_running_loop().time()
            try:
                await part()
            except Exception as error:  # noqa: BLE001 the one place that may: nothing stops the daemon
                self.journal.log(traceback.format_exc())
                self.say(name, f"failed, a fault of ours: {type(error).__name__}: {error}; started again")
            if asyncio.get_running_loop().time() - began_s > RESTART_LONGEST_S:
                pause_s = RESTART_FIRST_S
            await asyncio.sleep(pause_s)
            pause_s = min(RESTART_LONGEST_S, pause_s * 2)

    async def _restore(self) -> None:
        """Where the limits stood, what they remember, and the newest time we knew."""
        self.clock.set_floor(self.keeper.newest_ms)
        standings = self._resumed()
        await self.memory.load(self.keeper.before, standings)
        self.hurry.look()
        if self.clock.quality is ClockQuality.UNKNOWN:
            self.say("clock", "the time is not known (before the newest we recorded): readings are dated when it is")
        self.keeper.learnt, self.keeper.overtaken = self._restore_late, self._overtaken
        self._look_back(standings)

    def _resumed(self) -> list[Standing]:
        """Where limits stood of which nothing was told in this run. What outputs were on for goes on, for the rest of
        its time; what the shelf had held back is told."""
        standings = [it for it in fitting(self.keeper.standings, self._scales) if it.id not in self.answers.since]
        self.answers.since.update({standing.id: standing for standing in standings})
        self.limits.owe({it.id: it.level for it in standings if it.true is not None})
        self.outputs.restore({it.id: (it.level, self.memory.ago_s(it)) for it in standings})
        return standings

    def _known(self) -> Collection[str]:
        """Limits of which something was told, before this run or in it."""
        return self.answers.since

    def _look_back(self, standings: Sequence[Standing]) -> None:
        """What was told before this run, and the end of what nobody judges any more."""
        before = self.keeper.past.before()
        self.journal.recall(before)
        if self.memory.lost and not self.journal.alarms:
            self.say("alarms", "their history was lost with the store and begins anew")
        self._send(removed(standings, self.limits.judged, self.journal.alarms))
        self._send(self.drills.left(before))
        self._raise(self.limits.tick(asyncio.get_running_loop().time()))  # members may stand that do not move

    def _restore_late(self) -> None:
        """The disk took its time: what no limit has said since holds, so that an alarm of before still has its end."""
        standings = self._resumed()
        if self.keeper.before is not None:
            self.memory.came(self.keeper.before, standings)
        self._look_back(standings)

    def _overtaken(self) -> None:
        """The store is an older copy: what is known of before is not all. A release waits as after a lost one."""
        self.memory.overtaken()
        self.outputs.doubt(self.limits.sure)

    async def _relay(self) -> None:
        while True:
            try:
                root_key = parse_key_file(self.site.gateway.key.read_text("utf-8-sig"))
                break
            except (OSError, ValueError) as error:
                why = f"{self.site.gateway.key}: {getattr(error, 'strerror', None) or error}"
                self.journal.say_once("key", f"{why}. Nothing is sent without it: fengsui keygen")
            await asyncio.sleep(KEY_AGAIN_S)
        relay = self.relay = Relay(
            *(self.site.gateway.id, root_key, self._links, self.keeper, self.say, self._learn, self._troubled)
        )
        self.keeper.on_way = lambda: relay.transit.skip()
        await relay.run()

    async def _control(self) -> None:
        while True:
            try:
                handlers = self.answers.handlers() | self.shelving.handlers() | self.drills.handlers()
                await Server(self.site.gateway.socket, handlers).run()
            except OSError as error:
                self.journal.say_once("control", f"no socket at {self.site.gateway.socket}: {error.strerror or error}")
            await asyncio.sleep(SOCKET_AGAIN_S)

    async def _tick(self) -> None:
        """What only time brings: stale limits, the wall clock, the watchdog. Waits for no disk."""
        loop = asyncio.get_running_loop()
        watchdog_s = undated_s = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            self._raise(self.limits.tick(loop.time()))
            self.outputs.look(self.limits.sure)
            self._send(self.shelving.over())
            self._send(self.drills.over())
            if loop.time() >= watchdog_s:
                notify("WATCHDOG=1")
                watchdog_s = loop.time() + WATCHDOG_S
            store = self.keeper.outbox
            self.wear.take(Sample(loop.time(), store.commits, store.last_commit_s, store.durable))
            learnt = self.clock.update() is not None
            if stepped := self.clock.stepped():
                self.say("clock", stepped)
            if learnt or loop.time() >= undated_s:
                undated_s = loop.time() + UNDATED_S
                self._date()

    # -- the way of a reading ------------------------------------------------------------------------------------

    def _judge(self, point: str, value: int | None, quality: Quality, now_s: float) -> None:
        changed = self.limits.judge(point, value, quality, now_s)
        self.memory.note(point, value, quality, now_s)
        if changed:
            self._raise(changed)

    def _raise(self, changed: Sequence[Alarm]) -> None:
        """What has changed: alarms, and how often points are read."""
        if not changed:
            return
        self.outputs.judged(changed)
        self.hurry.look()
        passed = self.shelving.let_through(changed)
        for alarm in (alarm for alarm in changed if alarm not in passed):
            since, scale = self.answers.since, self._scales[alarm.limit]
            since[alarm.limit] = held_back(since.get(alarm.limit), alarm, scale)
            self._unwritten.add(alarm.limit)
            self._alarm_waits.set()
        self._send(passed)

    def _send(self, alarms: Sequence[Alarm]) -> None:
        if not alarms:
            return
        self.outputs.alarms(alarms)  # the siren waits for nothing
        now = self.clock.now()
        self._alarm_waits.set()
        here = self.clock.boot, self.clock.monotonic_s()
        for alarm in alarms:
            a = replace(alarm, at_ms=now.at_ms, clock=now.quality)
            self._raised.append((a, self.journal.alarm(a, self._points)))
            if not a.drill:
                how = (a.at_ms, *here, a.clock, None, self._scales.get(a.limit, ""))
                self.answers.since[a.limit] = Standing(a.limit, a.level, a.value, *how)
                self._unwritten.add(a.limit)

    async def _commit_alarms(self) -> None:
        while True:
            await self._alarm_waits.wait()
            self._alarm_waits.clear()
            await self._commit_raised()

    async def _commit_raised(self) -> None:
        raised, told = [alarm for alarm, _ in self._raised], [body for _, body in self._raised]
        standings = [self.answers.since[limit] for limit in self._unwritten]
        self._raised, self._unwritten = [], set()
        self.keeper.past.add(told)  # with this commit, as no other can come between
        await self.keeper.take_now([alarm_entry(alarm) for alarm in raised], standings)
        self.memory.stir()

    async def _commit_last(self) -> None:
        """At the end, or when the supply fails: the store first, then what the limits know."""
        await self._commit_raised()
        await self.memory.save(last=True)

    def _keep(self, round_: Round) -> None:
        self.keeper.take(round_entry(round_))
        if self.journal.watchers:
            points = list(self.site.groups.values())[round_.group]
            values = {p.id: p.show(v) for p, v in zip(points, round_.values, strict=True)}
            self.journal.tell({"round": {"at_ms": round_.at_ms, "values": values}})

    def _troubled(self, link: str, trouble: str) -> None:
        """A link needs a person: the province is told by the others."""
        self._tell({"link": link, "trouble": trouble or "over"})

    def _tell(self, words: dict[str, Any], kind: Kind = Kind.STATUS) -> None:
        """The province is told, with the next commit."""
        now = self.clock.now()
        self.keeper.ride(map_entry(kind, now.at_ms, now.quality, words))

    async def _preflight(self) -> None:
        """What is wrong with the disk under the store, said once; it has been opened, so this holds nothing up."""
        store = self.site.store
        found = await aside(self._run_blocking)(lambda: look(store.folder, store.quota_bytes))
        self._device = found.device
        for finding in found.findings:
            self.say("disk", finding.text)

    # -- time ----------------------------------------------------------------------------------------------------

    def _learn(self, utc_ms: float, uncertainty_ms: float) -> None:
        if self.clock.learn(utc_ms, uncertainty_ms, "the province") is not None:
            self._date()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _date(self) -> None:
        """What was taken before the time was known gets it now; no level is in the store before its alarm."""
        if self._dating is None or self._dating.done():
            self._dating = asyncio.ensure_future(self._date_all())

    async def _date_all(self) -> None:
        count = await date_all(self.clock, self.keeper, self.journal.alarms, {} if self._raised else self.answers.since)
        if count > 0:
            self.say("clock", f"the time is known now, from {self.clock.source}; {count} earlier entries were dated")
            if self.relay is not None:
                self.relay.dated()


def build(
    site: Site,
    open_port: OpenPort,
    clock: Clock | None = None,
    run_blocking: Callable[[Callable[[], Any]], Awaitable[Any]] | None = None,
    version: str = "",
) -> Daemon:
    """The daemon of a site. Opens nothing yet; call it with a running event loop."""
    sensors: dict[str, Sensor] = {}
    for wire in site.wires:
        if wire.driver.sensors is not None:
            sensors.update(wire.driver.sensors(wire.port, open_port, wire.devices))
    clock, run_blocking = clock or Clock(on_battery=on_battery()), run_blocking or OneThread()
    links = open_links(site, open_port, clock, aside(run_blocking))
    for watched in site.links:
        link = links[watched.id][0] if watched.id in links else None
        if watched.points and isinstance(link, PolledSensor):
            sensors[watched.id] = link
    return Daemon(site, sensors, links, clock, run_blocking, version, open_outputs(site, open_port, sensors))


def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
