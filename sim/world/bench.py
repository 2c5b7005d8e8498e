"""The instruments of a site on real ports, in real time: a pseudo-terminal for each serial port, TCP for the others.

The same models and wires as in the world (sim.models, sim.world.wire): what the gateway writes into a port is handed to
the wire in memory, and what the wire gives is written back when it would have arrived. The loop's time is the world's:
seconds since START_MS, so the record can be compared with what the province dates. Real time only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import sys
import termios
import time
import traceback
import tty
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edge.config import Site
from edge.config.site import Port as PortSettings
from edge.contract import Port
from edge.errors import PortLost
from sim.world.blame import blamed
from sim.world.nouns import START_MS, Broken
from sim.world.wire import Wires

T = TypeVar("T")
HOST = "127.0.0.1"
CHUNK_BYTES = 4096
LOOK_S = 0.02  # how often it is looked whether a port has been opened


class RealLoop(asyncio.SelectorEventLoop):
    """`time()`: seconds since the world began, by the machine's clock at the start and monotonic from there on."""

    def __init__(self) -> None:
        super().__init__()
        self._began_s = time.time() - START_MS / 1000 - time.monotonic()

    def time(self) -> float:
        return time.monotonic() + self._began_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like asyncio.run, on a RealLoop."""
    with asyncio.Runner(loop_factory=RealLoop) as runner:
        return runner.run(main)


class Bench:
    """Ports for all instruments of `wires`. `names`: a folder for the pseudo-terminals' stable names."""

    def __init__(self, site: Site, wires: Wires, ports: Sequence[str], names: Path) -> None:
        settings = {port.id: port for port in site.ports}
        self.wires = wires
        self.faults: list[Broken] = []  # our own: an instrument that has died of one must not pass for a silent one
        self.failed = asyncio.Event()
        self._is_closed = False
        self._ends: dict[str, _SerialEnd | _TcpEnd] = {
            port: _TcpEnd(settings[port], wires, self._over)
            if settings[port].open.startswith("tcp:")
            else _SerialEnd(settings[port], wires, names / port, self._over)
            for port in ports
        }

    async def open(self) -> dict[str, str]:
        """Opens all ports; port id -> what the site file's `open` has to be."""
        asyncio.get_running_loop().set_exception_handler(self._raised)
        for end in self._ends.values():
            await end.plug()
        return {port: end.address for port, end in self._ends.items()}

    async def unplug(self, port: str) -> None:
        """Whoever has it open loses it. Raises KeyError."""
        self.wires.unplug(port)
        await self._ends[port].unplug()

    async def plug(self, port: str) -> None:
        """There again, under the same address; not when all is closed. Raises KeyError."""
        if self._is_closed:
            return
        self.wires.plug(port)
        await self._ends[port].plug()

    async def close(self) -> None:
        self._is_closed = True
        for end in self._ends.values():
            await end.unplug()

    def _over(self, port: str, task: asyncio.Task[None]) -> None:
        """What serves a port has ended."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(port, error)

    def _raised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For the loop: an instrument that speaks by itself is a timer."""
        error = context.get("exception")
        if isinstance(error, Exception):
            self._fail(str(context.get("message", "")), error)
        else:
            loop.default_exception_handler(context)

    def _fail(self, where: str, error: BaseException) -> None:
        self.faults.append(blamed(error, asyncio.get_running_loop().time(), where))
        sys.stderr.write("".join(traceback.format_exception(error)))
        self.failed.set()


Over = Callable[[str, "asyncio.Task[None]"], None]


class _SerialEnd:
    """A serial port: a pseudo-terminal. While nobody has it open nothing is said there, as on a UART that is closed."""

    def __init__(self, settings: PortSettings, wires: Wires, link: Path, over: Over) -> None:
        self._over = functools.partial(over, settings.id)
        self._settings = settings
        self._wires = wires
        self._link = link
        self._fd = -1
        self._watching: asyncio.Task[None] | None = None
        self.address = f"serial:{link}"

    async def plug(self) -> None:
        if self._watching is not None:
            return
        self._fd, far = os.openpty()
        tty.setraw(far)
        os.set_blocking(self._fd, False)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(far))
        os.close(far)
        self._watching = asyncio.ensure_future(self._watch())
        self._watching.add_done_callback(self._over)

    async def unplug(self) -> None:
        if self._watching is not None:
            await _ended([self._watching])
            self._watching = None
            os.close(self._fd)
            self._link.unlink(missing_ok=True)

    async def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            while any(events & select.POLLHUP for _, events in poll.poll(0)):  # noqa: ASYNC110 no event tells it
                await asyncio.sleep(LOOK_S)
            wire = await self._wires.open_port(self._settings)
            saying = asyncio.ensure_future(_until_lost(self._say(wire)))
            try:
                await self._hear(wire)
            finally:
                await _ended([saying])
                wire.close()
                _forget_input(self._link)

    async def _hear(self, wire: Port) -> None:
        """Until the gateway closes the port."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, readable.set)
        try:
            with contextlib.suppress(PortLost, OSError):  # EIO: closed
                while True:
                    await readable.wait()
                    readable.clear()
                    if data := self._heard():
                        await wire.write(data)
        finally:
            loop.remove_reader(self._fd)

    def _heard(self) -> bytes:
        """b"" when there is nothing. Raises OSError when the port is closed."""
        try:
            return os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return b""

    async def _say(self, wire: Port) -> None:
        while True:
            data = await wire.read()
            with contextlib.suppress(OSError):  # closed, or full: lost, as on any line
                os.write(self._fd, data)


def _forget_input(path: Path) -> None:
    """What was on its way is not read by whoever opens the port next."""
    with contextlib.suppress(OSError):
        far = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            termios.tcflush(far, termios.TCIFLUSH)
        finally:
            os.close(far)


class _TcpEnd:
    """A serial server or a PLC: whoever connects last has the wire."""

    def __init__(self, settings: PortSettings, wires: Wires, over: Over) -> None:
        self._over = functools.partial(over, settings.id)
        self._settings = settings
        self._wires = wires
        self._port = 0
        self._server: asyncio.Server | None = None
        self._now: asyncio.Task[None] | None = None
        self.address = ""

    async def plug(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self._port)
            self._port = self._server.sockets[0].getsockname()[1]
            self.address = f"tcp:{HOST}:{self._port}"

    async def unplug(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._hush()

    async def _hush(self) -> None:
        if self._now is not None:
            await _ended([self._now])
            self._now = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._hush()
        self._now = asyncio.current_task()
        assert self._now is not None
        self._now.add_done_callback(self._over)
        try:
            with contextlib.suppress(PortLost, OSError, asyncio.CancelledError):
                await _both_ways(reader, writer, await self._wires.open_port(self._settings))
        finally:
            writer.close()


async def _both_ways(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Port) -> None:
    async def say() -> None:
        while True:
            writer.write(await wire.read())

    saying = asyncio.ensure_future(_until_lost(say()))
    try:
        while data := await reader.read(CHUNK_BYTES):
            await wire.write(data)
    finally:
        saying.cancel()
        wire.close()


async def _until_lost(part: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(PortLost):
        await part


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
