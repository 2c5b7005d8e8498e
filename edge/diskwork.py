"""Disk work with a time limit: a dying card can hold up a call for ever, and must not hold up an alarm with it.

A call that takes longer than DISK_PATIENCE_S, or holds up an alarm for ALARM_PATIENCE_S, is left behind on its thread,
as StoreBroken; later calls are made on another thread. Should it end some day, the store it worked on is closed, so
that its file can be opened again. What nobody waits for (opening a store that is not used yet) has no limit and a
thread of its own. A store is never closed on the event loop, nor waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from edge.errors import StoreBroken
from edge.outbox import Outbox

T = TypeVar("T")

DISK_PATIENCE_S = 15.0  # a bad card can take seconds for a sync
ALARM_PATIENCE_S = 6.0  # for all calls that one alarm waits for: it is to be out within 10 s
CALL_LEAST_S = 1.5  # for each call all the same
SECOND_LOOK_S = 1.0  # a process that was stopped for a while finds its timers over before its threads have run
LOOK_S = 0.5  # how often a long call is compared with what has begun to wait for it


class DiskWork:
    """`run_blocking` makes a call on the store's thread; `abandon` gives that thread up, the next call gets another."""

    def __init__(
        self, where: str, run_blocking: Callable[[Callable[[], Any]], Awaitable[Any]], abandon: Callable[[], None]
    ) -> None:
        self._where = where
        self._run_blocking = run_blocking
        self._abandon = abandon
        self._tasks: set[asyncio.Future[Any]] = set()
        self._hung: set[int] = set()  # stores (by id) that a hanging call still holds
        self._alarms_s: list[float] = []  # since when alarms wait
        self.hanging = 0

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """While inside, an alarm waits for the disk."""
        since_s = asyncio.get_running_loop().time()
        self._alarms_s.append(since_s)
        try:
            yield
        finally:
            self._alarms_s.remove(since_s)

    async def do(self, work: Callable[[], T], box: Outbox | None = None, patience_s: float = DISK_PATIENCE_S) -> T:
        """The result of `work`, which touches `box`. Raises what it raises, and StoreBroken when it hangs.

        A store in memory hangs on no disk: what takes long there is a machine that stood still.
        """
        began_s = asyncio.get_running_loop().time()
        task: asyncio.Future[T] = asyncio.ensure_future(self._run_blocking(work))
        if box is not None and not box.durable:
            await asyncio.wait({task})
        else:
            await self._wait(task, began_s, patience_s)
        if task.done():
            return task.result()
        self.hanging += 1
        if box is not None:
            self._hung.add(id(box))
        self._keep(task)
        task.add_done_callback(lambda _ended: self._late(box))
        self._abandon()
        for_s = asyncio.get_running_loop().time() - began_s
        raise StoreBroken(self._where, f"the disk has not answered for {for_s:.0f} s")

    def aside(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Begins `work` on a thread of its own, which may hang as long as it likes."""
        self._abandon()
        task: asyncio.Future[T] = asyncio.ensure_future(self._run_blocking(work))
        self._abandon()
        self._keep(task)
        return task

    def holds(self, box: Outbox) -> bool:
        """Whether a call that was left behind may still touch it."""
        return id(box) in self._hung

    def close(self, box: Outbox) -> None:
        """Lets a store go, without waiting."""
        if not self.holds(box):
            self.hanging += 1  # until it is closed its file is locked
            self.aside(box.close).add_done_callback(self._closed)

    async def _wait(self, task: asyncio.Future[Any], began_s: float, patience_s: float) -> None:
        """Until it is done, or has taken too long."""
        loop = asyncio.get_running_loop()
        while not task.done():
            until_s = began_s + patience_s
            if self._alarms_s:
                until_s = min(until_s, max(began_s + CALL_LEAST_S, self._alarms_s[0] + ALARM_PATIENCE_S))
            left_s = until_s - loop.time()
            if left_s <= 0:
                await asyncio.wait({task}, timeout=SECOND_LOOK_S)
                return
            await asyncio.wait({task}, timeout=min(left_s, LOOK_S))

    def _closed(self, _ended: asyncio.Future[Any]) -> None:
        self.hanging -= 1

    def _late(self, box: Outbox | None) -> None:
        self.hanging -= 1
        if box is not None:
            self._hung.discard(id(box))
            self.close(box)

    def _keep(self, task: asyncio.Future[Any]) -> None:
        def forget(ended: asyncio.Future[Any]) -> None:
            self._tasks.discard(ended)
            with contextlib.suppress(asyncio.CancelledError):
                ended.exception()  # it has been said already

        self._tasks.add(task)
        task.add_done_callback(forget)


def aside(run_blocking: Callable[[Callable[[], T]], Awaitable[T]]) -> Callable[[Callable[[], T]], Awaitable[T]]:
    """Makes each call on a thread of its own: what may hang and is not the store's must not hold up the store."""
    abandon = getattr(run_blocking, "abandon", lambda: None)

    def run(work: Callable[[], T]) -> Awaitable[T]:
        abandon()
        task = run_blocking(work)
        abandon()
        return task

    return run


class OneThread:
    """Runs disk work on a thread of its own, a call at a time; `abandon` leaves a hanging one behind."""

    def __init__(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="store")

    def __call__(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._executor, work)
