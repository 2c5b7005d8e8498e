"""The gateway's box: the unmodified daemon in it, its life and its deaths, and what its wall clock says.

A kill or a power cut takes effect in the middle of whatever is going on: disk, wires and roads go dead at once, then
its tasks are cancelled; what they still try in dying reaches nothing. `LIFE` tells tasks of one life from another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.config.load import load
from edge.config.site import Site
from edge.contract import OpenPort
from edge.daemon import build
from sim.world.blame import STARTS, blamed
from sim.world.disk import Disk, PowerOff
from sim.world.loop import LIFE, WorldLoop
from sim.world.nouns import Broken, Record, Span, true_ms

DYING_TURNS = 200  # of the loop: a dead daemon's tasks are all gone long before
STOP_PATIENCE_S = 90.0  # systemd's own
MOST_TASKS = 250  # of one life: ten times what an honest one ever had (25, six seeds of 6 h)
BOUNDED = "8 bounded"
BOOT_S = 20.0  # of a Pi, from power to the daemon


class Box:
    """`start` it, `kill` it. `wall_off_ms` is how wrong its wall clock is; `synchronised` what its kernel says."""

    def __init__(
        self,
        loop: WorldLoop,
        site_file: Path,
        disk: Disk,
        open_port: OpenPort,
        unplug: Callable[[], None],
        record: Record,
        furnish: Callable[[Site], Site],
    ) -> None:
        """`unplug`: everything outside of the box that it holds open goes dead; `furnish`: what of a site it must not
        touch is replaced."""
        self._loop = loop
        self._site_file = site_file
        self._disk = disk
        self._open_port = open_port
        self._unplug = unplug
        self._record = record
        self._furnish = furnish
        self._life = 0
        self._boot = 1
        self._main: asyncio.Task[None] | None = None
        self._stuck = 0  # the life that was found waiting for nothing
        self.wall_off_ms = 0
        self.synchronised = True
        self.forgets_time = False  # it wakes in 1970
        self.failures: list[Broken] = []  # it ended by itself, can not be ended, waits for nothing, turns for ever
        self._given_up = asyncio.Event()
        self._killing: asyncio.Task[None] | None = None
        loop.spun = self._spun

    @property
    def is_running(self) -> bool:
        return self._main is not None

    def start(self) -> None:
        """Starts the daemon."""
        self._life += 1
        self._loop.signals.clear()  # those were of the process before
        self._disk.revive()
        self._given_up.clear()
        context = contextvars.copy_context()
        context.run(LIFE.set, self._life)
        self._record.running.append(Span(self._loop.time(), inf))
        self._record.note(self._loop.time(), "the daemon starts")
        self._main = self._loop.create_task(self._run(), context=context)

    async def _run(self) -> None:
        clock = Clock(self._wall_ms, self._loop.time, lambda: self.synchronised, self._boot)
        try:
            site = self._furnish(load(self._site_file))
            daemon = build(site, self._open_port, clock, self._disk.blocking, "world")
            await daemon.run()
        except (Exception, asyncio.CancelledError) as error:
            if self._main is not None:
                self.failures.append(blamed(error, self._loop.time(), "the daemon ended by itself"))
            raise
        if self._main is not None:
            self._fails("the daemon ended by itself")

    def _fails(self, what: str) -> None:
        self.failures.append(Broken(STARTS, self._loop.time(), what))

    def _wall_ms(self) -> int:
        return true_ms(self._loop.time()) + self.wall_off_ms

    def look(self) -> None:
        """Is there anything that could wake it by itself? A gateway has always a timer armed: who only waits for
        others watches over nothing. Said once for each life. One that waits for a card that hangs is excused. And are
        its tasks bounded?"""
        tasks = len(self._loop.tasks_of(self._life))
        if self._main is not None and tasks > MOST_TASKS:
            self.failures.append(Broken(BOUNDED, self._loop.time(), f"it has {tasks} tasks that do not end"))
        if self._main is None or self._disk.hang or self._stuck == self._life or self._is_armed():
            return
        self._stuck = self._life
        began_s = self._record.running[-1].from_s
        self._fails(f"what began at {began_s:.1f} s waits for nothing: no timer of its own is armed")

    def _spun(self, who: str) -> None:
        """It makes far more turns than a gateway ever needs: the world would never get on, so it is killed."""
        self._fails(f"it turns and turns, and does nothing else: {who}")
        self._given_up.set()
        self._killing = self._loop.create_task(self.kill())

    def _is_armed(self) -> bool:
        """Whether this life has a timer, or something to do at this very instant. Timers of instruments and roads are
        armed in the context of whoever opened them, and are not its own."""
        return any(_is_of(handle, self._life) for handle in self._loop.calls())

    async def stop(self) -> None:
        """SIGTERM. Who has not said yet what is to be done then dies of it."""
        main, self._main = self._main, None
        if main is None:
            return
        handler = self._loop.signals.get(signal.SIGTERM)
        if handler is not None:
            handler()
            await self._stopped(main)
        self._ended("power.stop")
        self._disk.kill()
        self._unplug()
        await self._die()

    async def _stopped(self, main: asyncio.Task[None]) -> None:
        """Waits for it as long as systemd does. Who waits for a card that hangs is excused."""
        hung = self._disk.hang
        gives_up = self._loop.create_task(self._given_up.wait())
        await asyncio.wait({main, gives_up}, timeout=STOP_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        gives_up.cancel()
        if not (main.done() or self._given_up.is_set() or hung or self._disk.hang):
            self._fails(f"it was told to stop (SIGTERM) and still runs {STOP_PATIENCE_S:.0f} s later")

    async def kill(self) -> None:
        """kill -9."""
        if self._main is None:
            return
        self._main = None
        self._ended("power.kill")
        self._disk.kill()
        self._unplug()
        await self._die()

    async def cut(self) -> None:
        """The power is gone, and with it what was not synced."""
        self._boot += 1
        if self._main is None:
            self._disk.cut()  # what a killed daemon had not synced was still on its way
            return
        self._main = None
        self._ended("power.cut")
        self._disk.cut()
        self._unplug()
        await self._die()

    def power_on(self) -> None:
        """What the wall clock says after a time without power."""
        if self.forgets_time:
            self.wall_off_ms = -true_ms(self._loop.time())
            self.synchronised = False

    def _ended(self, why: str) -> None:
        span = self._record.running[-1]
        span.to_s, span.why = self._loop.time(), why
        self._record.note(span.to_s, f"the daemon is gone: {why}")

    async def _die(self) -> None:
        for _ in range(DYING_TURNS):
            tasks = self._loop.tasks_of(self._life)
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        left = self._loop.tasks_of(self._life)
        names = ", ".join(sorted({getattr(task.get_coro(), "__qualname__", task.get_name()) for task in left}))
        self._fails(f"parts of it can not be ended, and go on after its death: {names}")
        for task in left:
            _abandon(task)


def _is_of(handle: asyncio.Handle, life: int) -> bool:
    """Whether a handle of the loop was armed by the daemon itself in this life."""
    is_simulated = str(getattr(handle._callback, "__module__", "")).startswith("sim.")  # type: ignore[attr-defined]
    return not handle.cancelled() and not is_simulated and handle._context.get(LIFE, 0) == life  # type: ignore[attr-defined]


def _abandon(task: asyncio.Task[Any]) -> None:
    """The loop's own end would wait for ever for a task that no cancellation ends."""
    asyncio.tasks._unregister_task(task)
    coroutine: Any = task.get_coro()
    for _ in range(DYING_TURNS):  # it may wait for more in dying
        with contextlib.suppress(RuntimeError):
            coroutine.close()
            return


def quiet(record: Record, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """For the loop: a dying daemon's tasks end by PowerOff, which nobody fetches; anything else is told."""
    error = context.get("exception")
    if isinstance(error, PowerOff) or (isinstance(error, BaseExceptionGroup) and _only_power(error)):
        return
    if isinstance(error, Exception):
        record.faults.append(blamed(error, loop.time(), str(context.get("message", ""))))
    else:
        loop.default_exception_handler(context)


def _only_power(group: BaseExceptionGroup[BaseException]) -> bool:
    return group.subgroup(lambda error: not isinstance(error, PowerOff | asyncio.CancelledError)) is None
