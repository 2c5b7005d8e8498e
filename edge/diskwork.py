"""Disk work with a time limit: a dying card can hold up a call for ever, and must not hold up an alarm with it.

A call that takes longer than DISK_PATIENCE_S is left behind on its thread, as StoreBroken; later calls are made on
another thread. Should it end some day, the store it worked on is closed, so that its file can be opened again. A store
is never closed on the event loop, nor waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from edge.errors import StoreBroken
from edge.outbox import Outbox

T = TypeVar("T")

DISK_PATIENCE_S = 15.0  # a bad card can take seconds for a sync; salvaging a store takes five
SECOND_LOOK_S = 1.0  # a process that was stopped for a while finds its timers over before its threads have run
HANGING_MOST = 8  # threads left behind on a disk that hangs; until one comes back it is not tried again


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
        self.hanging = 0

    async def do(self, work: Callable[[], T], box: Outbox | None = None) -> T:
        """The result of `work`, which touches `box`. Raises what it raises, and StoreBroken when it hangs.

        A store in memory hangs on no disk: what takes long there is a machine that stood still.
        """
        task: asyncio.Future[T] = asyncio.ensure_future(self._run_blocking(work))
        patience_s = None if box is not None and not box.durable else DISK_PATIENCE_S
        done, _ = await asyncio.wait({task}, timeout=patience_s)
        if not done:
            done, _ = await asyncio.wait({task}, timeout=SECOND_LOOK_S)
        if done:
            return task.result()
        self.hanging += 1
        if box is not None:
            self._hung.add(id(box))
        self._keep(task)
        task.add_done_callback(lambda ended: self._late(ended, box))
        self._abandon()
        raise StoreBroken(self._where, f"the disk has not answered for {DISK_PATIENCE_S:.0f} s")

    def close(self, box: Outbox) -> None:
        """Lets a store go, without waiting, on the thread it was used on; later calls are made on another."""
        if id(box) in self._hung:
            return
        self._keep(asyncio.ensure_future(self._run_blocking(box.close)))
        self._abandon()

    def _late(self, ended: asyncio.Future[Any], box: Outbox | None) -> None:
        self.hanging -= 1
        if box is not None:
            self._hung.discard(id(box))
            self.close(box)
        opened = None if ended.cancelled() or ended.exception() else ended.result()
        if isinstance(opened, tuple) and opened and isinstance(opened[0], Outbox):
            self.close(opened[0])  # nobody waits for it any more

    def _keep(self, task: asyncio.Future[Any]) -> None:
        def forget(ended: asyncio.Future[Any]) -> None:
            self._tasks.discard(ended)
            with contextlib.suppress(asyncio.CancelledError):
                ended.exception()  # it has been said already

        self._tasks.add(task)
        task.add_done_callback(forget)
