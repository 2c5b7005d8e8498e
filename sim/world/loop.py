"""The world's event loop: virtual time, and sockets that lead over modelled roads instead of a network.

The daemon's MQTT driver makes a real TCP socket and asks the loop to connect it; here the loop puts one end of a socket
pair under its descriptor and hands the other end to whoever is modelled at that address. So paho, its buffers and the
kernel's are the real ones. Signals are kept to be delivered by the story. While `machine_clocks` holds, every clock of
this process is the loop's: paho measures its keep-alive with time.monotonic.

A world spends a good part of its time here, so timers and turns are the loop's own: as asyncio's, down to the order in
which timers of one instant come, without its debug mode. Instants are compared as numbers, not by a method.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import paho.mqtt.client

from sim.virtual import QUANTUM_S, VirtualLoop
from sim.world.nouns import START_MS

T = TypeVar("T")
Connect = Callable[[tuple[str, int]], Coroutine[Any, Any, Callable[[socket.socket], None]]]
SWEPT_FROM = 100  # timers in the heap: it is swept when more than half of them are cancelled, as in asyncio
LONGEST_S = 86_400.0  # that the clock jumps at once, as in asyncio
RESOLUTION_S = 1e-9  # timers fire so much early, as in asyncio
COUNT_S = 60.0  # turns and calls are counted over so long
MOST_TURNS = 25_000  # in COUNT_S: ten times what an honest play ever made (32 points each second: 2 423)
MOST_CALLS = 32_000  # of the gateway in COUNT_S: ten times what an honest one made (3 111)
ASYNCIO = str(Path(asyncio.__file__).parent)
SPIN_SEEN = 20  # turns of one that spins, in which those who turn are seen
LIFE: ContextVar[int] = ContextVar("LIFE", default=0)  # which life of the box a task belongs to; 0: the world's own


class Spins(Exception):
    """Something of the world turns for ever, and time does not get on."""


def _nothing() -> None:
    """What a cancelled handle would call."""


class _Call(asyncio.TimerHandle):
    """A handle without what asyncio keeps for its debug mode. `_scheduled`: it lies in the heap."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(
        self, when: float, callback: Callable[..., object], args: Any, loop: WorldLoop, context: Context | None
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop: WorldLoop = loop
        self._callback, self._args = callback, args
        self._when = when
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._callback, self._args = _nothing, ()
            self._loop.dropped += self._scheduled


class WorldLoop(VirtualLoop):
    """`connect` answers what is at an address: it waits, raises OSError, or gives who takes the socket's far end."""

    def __init__(self) -> None:
        super().__init__()
        self._ready: deque[asyncio.Handle]
        self._stopping: bool
        self._timers: list[tuple[float, _Call]] = []  # a heap
        self.dropped = 0  # timers that were cancelled in the heap since it was swept
        self.connect: Connect | None = None
        self.signals: dict[int, Callable[[], object]] = {}
        self.spun: Callable[[str], object] | None = None  # who turns, of the gateway: told once for each spin
        self._count_until_s, self._turns, self._calls = 0.0, 0, 0
        self._spinning: Counter[tuple[str, int]] = Counter()  # who turns, its life -> in how many turns
        self._lives: dict[int, dict[asyncio.Task[Any], None]] = {}  # in order, as sets of tasks are not
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    # -- turns -----------------------------------------------------------------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        call = _Call(0.0, callback, args, self, context)
        self._ready.append(call)
        return call

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        call = _Call(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, call))
        call._scheduled = True
        return call

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._virtual.now_s + delay, callback, *args, context=context)

    def _run_once(self) -> None:
        """One turn: what is readable, the timers that are due, then all that is ready by now."""
        clock, ready, timers = self._virtual, self._ready, self._timers
        if 2 * self.dropped > len(timers) > SWEPT_FROM:
            timers[:] = [timer for timer in timers if not timer[1]._cancelled]
            heapq.heapify(timers)
            self.dropped = 0
        while timers and timers[0][1]._cancelled:
            heapq.heappop(timers)[1]._scheduled = False
            self.dropped -= 1
        if ready or self._stopping:
            clock.now_s += QUANTUM_S  # what the sockets hold is seen before time gets on
        else:
            wait_s = min(timers[0][0] - clock.now_s, LONGEST_S) if timers else None
            events = clock.select(wait_s)
            if events:
                self._process_events(events)  # type: ignore[attr-defined]
        due_s = clock.now_s + RESOLUTION_S
        while timers and timers[0][0] < due_s:
            call = heapq.heappop(timers)[1]
            call._scheduled = False
            ready.append(call)
        self._turns += 1
        if due_s >= self._count_until_s:
            self._count_anew()
        elif self._turns > MOST_TURNS or self._calls > MOST_CALLS:
            self._look_who_spins()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                self._calls += LIFE in handle._context  # type: ignore[attr-defined]
                handle._run()

    def _count_anew(self) -> None:
        self._count_until_s, self._turns, self._calls = self.time() + COUNT_S, 0, 0
        self._spinning.clear()

    def _look_who_spins(self) -> None:
        """More turns or calls than any honest daemon makes: after some more turns it is told who made those."""
        for handle in self._ready:
            task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
            if isinstance(task, asyncio.Task):
                self._spinning[_place_of(task), handle._context.get(LIFE, 0)] += 1  # type: ignore[attr-defined]
        if max(self._turns - MOST_TURNS, self._calls - MOST_CALLS) > SPIN_SEEN and self._ready:
            often = {turner for turner, turns in self._spinning.items() if turns >= SPIN_SEEN // 4}  # others pass by
            who = ", ".join(sorted({name for name, _ in often}))
            is_gateways = any(life for _, life in often)
            self._count_anew()
            if not is_gateways or self.spun is None:
                raise Spins(f"the world turns and turns, and does nothing else: {who}")
            self.spun(who)

    def calls(self) -> Iterator[asyncio.Handle]:
        """All that is to be called, now or at its time, and what was cancelled of it."""
        yield from self._ready
        yield from (call for _, call in self._timers)

    # -- tasks, sockets, signals -----------------------------------------------------------------------------------

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


def _place_of(task: asyncio.Task[Any]) -> str:
    """The innermost function of a task that is not asyncio's."""
    inner: Any = task.get_coro()
    name = task.get_name()
    while hasattr(inner, "cr_code") and not inner.cr_code.co_filename.startswith(ASYNCIO):
        inner, name = inner.cr_await, inner.__qualname__
    return str(name)


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
    """Runs `main(loop)` in a world of its own, from second 0 on. Raises sim.virtual.Deadlock, Spins."""
    with asyncio.Runner(loop_factory=WorldLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WorldLoop)
        with machine_clocks(loop):
            return runner.run(main(loop))
