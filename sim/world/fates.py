"""Lets the troubles of a story begin and end. Each kind has one function that makes things so, as the troubles of this
kind that last at the moment want it; two that overlap on one thing do not end each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from math import inf
from typing import TYPE_CHECKING, Any

from sim.world.blame import blamed
from sim.world.box import BOOT_S
from sim.world.nouns import KINDS, Broken, Span, Story, Trouble

if TYPE_CHECKING:
    from sim.world.world import World

WRITES_MOST = 40  # of a few commits
STRIKES_WITHIN_S = 20.0  # a daemon that writes nothing for so long is cut where it stands
STOPPED_S = 1.0  # systemd starts a daemon again after a second
TERMINAL_FAULTS = ("deaf", "no_feedback", "late", "twice", "reset", "slow", "noise")


class Fates:
    """What goes wrong, when. `failures`: what could not be done."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lasting: list[Trouble] = []
        self._power = asyncio.Lock()
        self._random = random.Random(f"{world.story.seed}/power")
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[Broken] = []
        check(world.story, world)

    def arm(self) -> None:
        """Sets the timers of all troubles."""
        loop = self._world.loop
        for trouble in self._world.story.troubles:
            loop.call_at(trouble.at_s, self._begin, trouble)

    def is_unplugged(self, port: str) -> bool:
        return any(it.kind == "port.unplug" and it.on == port for it in self._lasting)

    def _begin(self, trouble: Trouble) -> None:
        world = self._world
        world.record.troubles.append((world.loop.time(), trouble))
        world.record.note(world.loop.time(), trouble.words())
        if trouble.kind.startswith("power."):
            self._start(self._without_power(trouble))
            return
        self._lasting.append(trouble)
        self._settle(trouble)
        world.loop.call_at(trouble.end_s, self._end, trouble)

    def _end(self, trouble: Trouble) -> None:
        self._lasting.remove(trouble)
        self._world.record.note(self._world.loop.time(), f"{trouble.kind} {trouble.on} is over")
        self._settle(trouble)

    def _settle(self, trouble: Trouble) -> None:
        family, _, _ = trouble.kind.partition(".")
        now = [it for it in self._lasting if it.kind.startswith(f"{family}.") and it.on == trouble.on]
        _FAMILIES[family](self._world, trouble.on, now)
        if trouble.kind == "disk.damage" and trouble in now:
            self._start(self._damage(trouble))
        if trouble.kind == "province.forgets" and trouble in now:
            self._world.host.forget()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._world.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(blamed(error, self._world.loop.time()))

    async def _without_power(self, trouble: Trouble) -> None:
        """One after the other: a box that is off can not be cut off."""
        async with self._power:
            box = self._world.box
            if trouble.kind == "power.cut":
                await self._until_it_strikes()
                await box.cut()
                await asyncio.sleep(trouble.for_s)
                box.power_on()
                await asyncio.sleep(BOOT_S)
            elif trouble.kind == "power.kill":
                await box.kill()
                await asyncio.sleep(max(STOPPED_S, trouble.for_s))
            else:
                await box.stop()
                await asyncio.sleep(max(STOPPED_S, trouble.for_s))
            box.start()

    async def _until_it_strikes(self) -> None:
        """Half of all cuts come in the middle of a commit, between two of its writes."""
        disk, world = self._world.disk, self._world
        if not world.box.is_running or self._random.random() < 0.5:
            return
        struck = asyncio.Event()
        disk.struck = struck.set
        disk.cut_at_write = self._random.randint(1, WRITES_MOST)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STRIKES_WITHIN_S):
                await struck.wait()
        disk.cut_at_write = None

    async def _damage(self, trouble: Trouble) -> None:
        """Somebody's finger on the card: the daemon is killed, its file damaged, and it starts again."""
        async with self._power:
            await self._world.box.kill()
            self._world.disk.damage("outbox.db", max(1, int(trouble.value)))
            await asyncio.sleep(STOPPED_S)
            self._world.box.start()


def check(story: Story, world: World) -> None:
    """Raises ValueError for a trouble that names what is not there."""
    site = world.site
    there = {
        "link": {link.id for link in site.links},
        "device": {device.id for device in site.devices},
        "point": {point.id for point in site.points},
        "port": {port.id for port in site.ports},
        "": {""},
    }
    for trouble in story.troubles:
        if trouble.kind not in KINDS:
            raise ValueError(f"{story.name}: {trouble.kind} is no trouble: {', '.join(KINDS)}")
        what = KINDS[trouble.kind][0]
        if trouble.on not in there[what]:
            raise ValueError(
                f"{story.name}: {trouble.kind} at {trouble.at_s:.0f} s: the site has no {what} {trouble.on}"
            )


def _road(world: World, link: str, now: list[Trouble]) -> None:
    road = world.roads.by_link[link]
    road.delay_s = max([0.03, *(it.value for it in now if it.kind == "road.delay")])
    rates = [it.value for it in now if it.kind == "road.slow" and it.value > 0]
    road.rate_bytes_s = min(rates, default=0.0)
    states = [state for state in ("cut", "silent", "refused") if any(it.kind == f"road.{state}" for it in now)]
    road.set(states[0] if states else "open")


def _sky(world: World, link: str, now: list[Trouble]) -> None:
    terminal, record, at_s = world.terminal, world.record, world.loop.time()
    assert terminal is not None
    assert world.plugs is not None
    blocked = any(it.kind == "sky.blocked" for it in now)
    was = terminal.sky.shaded
    terminal.sky.shaded = blocked
    spans = record.usable[link]
    if blocked and not was:
        spans[-1].to_s = at_s
    elif was and not blocked:
        spans.append(Span(at_s, inf))
    world.satellite.loss = max([0.0, *(it.value for it in now if it.kind == "sky.loss")])
    chance = max([0.0, *(it.value for it in now if it.kind == "sky.terminal")])
    for name in TERMINAL_FAULTS:
        setattr(terminal.trouble, name, chance)
    world.plugs.touch()


def _device(world: World, device: str, now: list[Trouble]) -> None:
    world.wires.model_of(device).set_faults(device, {it.kind.partition(".")[2]: it.value for it in now})


def _point(world: World, point: str, now: list[Trouble]) -> None:
    world.weather.bend(point, now, world.loop.time())


def _port(world: World, port: str, now: list[Trouble]) -> None:
    is_out = any(it.kind == "port.unplug" for it in now)
    if world.plugs is not None and port == world.sky_port:
        (world.plugs.unplug if is_out else world.plugs.plug)(port)
        return
    (world.wires.unplug if is_out else world.wires.plug)(port)
    for kind in ("flip", "drop"):
        chance = max([0.0, *(it.value for it in now if it.kind == f"port.{kind}")])
        world.wires.impair(port, kind, chance)


def _disk(world: World, _on: str, now: list[Trouble]) -> None:
    disk = world.disk
    kinds = {it.kind for it in now}
    disk.full, disk.read_only, disk.hang = "disk.full" in kinds, "disk.read_only" in kinds, "disk.hang" in kinds
    disk.error = max([0.0, *(it.value for it in now if it.kind == "disk.error")])
    disk.slow_s = max([0.0, *(it.value for it in now if it.kind == "disk.slow")])


def _clock(world: World, _on: str, now: list[Trouble]) -> None:
    """After all of it the kernel's clock is set right by NTP."""
    box = world.box
    box.forgets_time = any(it.kind == "clock.1970" for it in now)
    box.synchronised = not now
    steps = [it.value for it in now if it.kind == "clock.step"]
    if steps:
        box.wall_off_ms = round(steps[-1] * 1000)
    elif not now:
        box.wall_off_ms = 0


def _province(world: World, _on: str, now: list[Trouble]) -> None:
    if any(it.kind == "province.away" for it in now):
        world.host.away = True
    else:
        world.host.back()


_FAMILIES: dict[str, Callable[[World, str, list[Trouble]], None]] = {
    "road": _road,
    "sky": _sky,
    "device": _device,
    "point": _point,
    "port": _port,
    "disk": _disk,
    "clock": _clock,
    "province": _province,
}
