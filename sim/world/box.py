"""The gateway's box: the unmodified daemon in it, its life and its deaths, and what its wall clock says.

A kill or a power cut takes effect in the middle of whatever is going on: disk, wires and roads go dead at once, then
its tasks are cancelled; what they still try in dying reaches nothing. `LIFE` tells tasks of one life from another's.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
from collections.abc import Callable
from math import inf
from pathlib import Path

from edge.clock import Clock
from edge.config.load import load
from edge.contract import OpenPort
from edge.daemon import build
from sim.world.disk import Disk, PowerOff
from sim.world.loop import LIFE, WorldLoop
from sim.world.nouns import Record, Span, true_ms

DYING_TURNS = 200  # of the loop: a dead daemon's tasks are all gone long before
STOP_PATIENCE_S = 90.0  # systemd's own
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
    ) -> None:
        """`unplug`: everything outside of the box that it holds open goes dead."""
        self._loop = loop
        self._site_file = site_file
        self._disk = disk
        self._open_port = open_port
        self._unplug = unplug
        self._record = record
        self._life = 0
        self._boot = 1
        self._main: asyncio.Task[None] | None = None
        self.wall_off_ms = 0
        self.synchronised = True
        self.forgets_time = False  # it wakes in 1970
        self.failures: list[str] = []  # a daemon that ended by itself, which is a broken promise

    @property
    def is_running(self) -> bool:
        return self._main is not None

    def start(self) -> None:
        """Starts the daemon."""
        self._life += 1
        self._disk.revive()
        context = contextvars.copy_context()
        context.run(LIFE.set, self._life)
        self._record.running.append(Span(self._loop.time(), inf))
        self._record.note(self._loop.time(), "the daemon starts")
        self._main = self._loop.create_task(self._run(), context=context)

    async def _run(self) -> None:
        clock = Clock(self._wall_ms, self._loop.time, lambda: self.synchronised, self._boot)
        daemon = build(load(self._site_file), self._open_port, clock, self._disk.blocking, "world")
        try:
            await daemon.run()
        except (Exception, asyncio.CancelledError) as error:
            if self._main is not None:
                self.failures.append(f"{type(error).__name__}: {error}")
            raise
        if self._main is not None:
            self.failures.append("it ended by itself")

    def _wall_ms(self) -> int:
        return true_ms(self._loop.time()) + self.wall_off_ms

    async def stop(self) -> None:
        """SIGTERM."""
        main, self._main = self._main, None
        if main is None:
            return
        self._loop.signals[signal.SIGTERM]()
        done, _ = await asyncio.wait({main}, timeout=STOP_PATIENCE_S)
        self._ended("power.stop")
        if done:
            self._disk.kill()
            self._unplug()
        else:
            await self._die()

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
        left = [task.get_name() for task in self._loop.tasks_of(self._life)]
        raise RuntimeError(f"tasks of a dead daemon live on: {left}")


def quiet(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """For the loop: a dying daemon's tasks end by PowerOff, which nobody fetches."""
    error = context.get("exception")
    if isinstance(error, PowerOff) or (isinstance(error, BaseExceptionGroup) and _only_power(error)):
        return
    _loop.default_exception_handler(context)


def _only_power(group: BaseExceptionGroup[BaseException]) -> bool:
    return group.subgroup(lambda error: not isinstance(error, PowerOff | asyncio.CancelledError)) is None
