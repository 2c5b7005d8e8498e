"""Waiting: a lock whose waiters take turns, in the order they came, but those in a hurry before all others; and for an
event, but not beyond an instant."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf


async def until(event: asyncio.Event, at_s: float) -> None:
    """Waits for the event, which is cleared then, or until the monotonic instant `at_s`: that sets it, too."""
    if at_s < inf:
        loop = asyncio.get_running_loop()
        timer = loop.call_at(at_s, event.set) if at_s > loop.time() else loop.call_soon(event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()
    else:
        await event.wait()
    event.clear()


class Turns:
    """Used as `async with turns:`, or `async with turns.at_once():` for what is in a hurry."""

    def __init__(self) -> None:
        self._held = False
        self._hurried: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, hurry: bool = False) -> None:
        if not self._held:
            self._held = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._hurried if hurry else self._waiting
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it was our turn already: the next one's now
            elif turn in queue:  # who released in the very same moment has passed it over
                queue.remove(turn)
            raise

    def release(self) -> None:
        """Hands over to the next; without one, nobody has it."""
        for queue in (self._hurried, self._waiting):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._held = False

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[None]:
        await self.acquire(hurry=True)
        try:
            yield
        finally:
            self.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()
