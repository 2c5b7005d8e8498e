"""The world's event loop: virtual time, and sockets that lead over modelled roads instead of a network.

The daemon's MQTT driver makes a real TCP socket and asks the loop to connect it; here the loop puts one end of a socket
pair under its descriptor and hands the other end to whoever is modelled at that address. So paho, its buffers and the
kernel's are the real ones. Signals are kept to be delivered by the story. While `machine_clocks` holds, every clock of
this process is the loop's: paho measures its keep-alive with time.monotonic.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from typing import Any, TypeVar
from unittest import mock

import paho.mqtt.client

from sim.virtual import VirtualLoop
from sim.world.nouns import START_MS

T = TypeVar("T")
Connect = Callable[[tuple[str, int]], Coroutine[Any, Any, Callable[[socket.socket], None]]]
LIFE: ContextVar[int] = ContextVar("LIFE", default=0)  # which life of the box a task belongs to; 0: the world's own


class WorldLoop(VirtualLoop):
    """`connect` answers what is at an address: it waits, raises OSError, or gives who takes the socket's far end."""

    def __init__(self) -> None:
        super().__init__()
        self.connect: Connect | None = None
        self.signals: dict[int, Callable[[], object]] = {}
        self._lives: dict[int, dict[asyncio.Task[Any], None]] = {}  # in order, as sets of tasks are not
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def _make_task(
        self,
        _loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, T],
        context: Context | None = None,
        **more: Any,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, context=context, **more)
        life = LIFE.get() if context is None else context.get(LIFE, 0)
        if life:
            tasks = self._lives.setdefault(life, {})
            tasks[task] = None
            task.add_done_callback(lambda ended: tasks.pop(ended, None))
        return task

    def tasks_of(self, life: int) -> list[asyncio.Task[Any]]:
        """Those of one life of the box that are not done, oldest first."""
        return list(self._lives.get(life, ()))

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        if self.connect is None:
            raise ConnectionRefusedError
        take = await self.connect((str(address[0]), int(address[1])))
        near, far = socket.socketpair()
        with near:
            near.setblocking(False)
            os.dup2(near.fileno(), sock.fileno())
        far.setblocking(False)
        take(far)

    async def getaddrinfo(self, host: Any, port: Any, **_hints: Any) -> list[Any]:
        """Sites in the world name addresses; no resolver is modelled."""
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(host), int(port)))]

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        self.signals[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self.signals.pop(sig, None) is not None


@contextlib.contextmanager
def machine_clocks(loop: WorldLoop) -> Iterator[None]:
    """All clocks of this process show the world's time while this lasts."""

    def utc_s() -> float:
        return START_MS / 1000 + loop.time()

    def utc_ns() -> int:
        return START_MS * 1_000_000 + round(loop.time() * 1e9)

    with (
        mock.patch.object(time, "monotonic", loop.time),
        mock.patch.object(time, "perf_counter", loop.time),
        mock.patch.object(time, "time", utc_s),
        mock.patch.object(time, "time_ns", utc_ns),
        mock.patch.object(paho.mqtt.client, "time_func", loop.time),
    ):
        yield


def run(main: Callable[[WorldLoop], Coroutine[Any, Any, T]]) -> T:
    """Runs `main(loop)` in a world of its own, from second 0 on. Raises sim.virtual.Deadlock."""
    with asyncio.Runner(loop_factory=WorldLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WorldLoop)
        with machine_clocks(loop):
            return runner.run(main(loop))
