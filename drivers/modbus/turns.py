"""Who may speak on a wire next: those in a hurry first, each kind in the order it came."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque


class Turns:
    """A lock with two queues."""

    def __init__(self) -> None:
        self._taken = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    def take(self, urgent: bool) -> _Turn:
        """Used as `async with turns.take(urgent):` waits for the turn, and has it for as long as the block lasts."""
        return _Turn(self, urgent)

    async def acquire(self, urgent: bool) -> None:
        """Waits for the turn, which is then the caller's until `release`."""
        if self._taken:
            await self._wait(self._urgent if urgent else self._others)
        self._taken = True

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it was ours already
            else:
                with contextlib.suppress(ValueError):  # taken off already, as one that waits no more
                    queue.remove(turn)
            raise

    def release(self) -> None:
        """Hands over to the next; without one, nobody has it."""
        for queue in (self._urgent, self._others):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)  # taken all the while: nobody comes in between
                    return
        self._taken = False


class _Turn:
    """One turn, or the wait for it."""

    __slots__ = ("_turns", "_urgent")

    def __init__(self, turns: Turns, urgent: bool) -> None:
        self._turns, self._urgent = turns, urgent

    async def __aenter__(self) -> None:
        await self._turns.acquire(self._urgent)

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()
