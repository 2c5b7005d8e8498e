"""Virtual time for asyncio: a loop whose clock jumps to the next timer instead of waiting for it.

For parts that do no real I/O. Where nothing is ready and no timer is armed, nothing can ever happen again: that is
reported as a Deadlock instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


QUANTUM_S = 1e-6  # every turn of the loop takes some time, as on a real machine: asyncio fires timers a hair early,
# and who then waits for the rest of that hair must not wait for ever


class Deadlock(Exception):
    """Everything waits, and nothing is left that could wake it."""


class _Selector(selectors.EpollSelector):
    """Never blocks: moves the loop's clock on by what it was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._poll = self._selector.poll  # type: ignore[attr-defined]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._poll(0, 1):  # asked directly: this is done at every turn, and nearly always in vain
            return super().select(0)
        if timeout is None:
            raise Deadlock("everything waits, and no timer is armed")
        self.now_s += max(timeout, QUANTUM_S)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and jumps."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like asyncio.run, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
