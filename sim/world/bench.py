"""The instruments of a site on real ports, in real time: a pseudo-terminal for each serial port, TCP for the others.

The same models and wires as in the world (sim.models, sim.world.wire): what the gateway writes into a port is handed to
the wire in memory, and what the wire gives is written back when it would have arrived. The loop's time is the world's:
seconds since START_MS, so the record can be compared with what the province dates. Real time only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edge.config import Site
from edge.config.site import Port as PortSettings
from edge.contract import Port
from edge.errors import PortLost
from sim.pty import Pty
from sim.world.nouns import START_MS
from sim.world.wire import Wires

T = TypeVar("T")
HOST = "127.0.0.1"
CHUNK_BYTES = 4096
AGAIN_S = 0.02  # a wire that is in use by a connection about to end


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
        self._ends: dict[str, _SerialEnd | _TcpEnd] = {
            port: _TcpEnd(settings[port], wires)
            if settings[port].open.startswith("tcp:")
            else _SerialEnd(settings[port], wires, names / port)
            for port in ports
        }

    async def open(self) -> dict[str, str]:
        """Opens all ports; port id -> what the site file's `open` has to be."""
        for end in self._ends.values():
            await end.plug()
        return {port: end.address for port, end in self._ends.items()}

    async def unplug(self, port: str) -> None:
        """Whoever has it open loses it. Raises KeyError."""
        self.wires.unplug(port)
        await self._ends[port].unplug()

    async def plug(self, port: str) -> None:
        """There again, under the same address. Raises KeyError."""
        self.wires.plug(port)
        await self._ends[port].plug()

    async def silence(self, port: str | None = None) -> None:
        """What is on the wires reaches nobody: the gateway is dead."""
        for end in [self._ends[port]] if port else self._ends.values():
            await end.hush()

    async def close(self) -> None:
        for end in self._ends.values():
            await end.unplug()


class _SerialEnd:
    """A serial port: a pseudo-terminal, open for the gateway whenever it likes."""

    def __init__(self, settings: PortSettings, wires: Wires, link: Path) -> None:
        self._settings = settings
        self._wires = wires
        self._link = link
        self._pty: Pty | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.address = f"serial:{link}"

    async def plug(self) -> None:
        if self._pty is not None:
            return
        self._pty = Pty(self._link)
        await self._begin()

    async def unplug(self) -> None:
        await self._end()
        if self._pty is not None:
            self._pty.close()
            self._pty = None

    async def hush(self) -> None:
        if self._pty is not None:
            await self._end()
            self._pty.read()
            _forget_input(self._link)
            await self._begin()

    async def _begin(self) -> None:
        assert self._pty is not None
        pty, wire = self._pty, await self._wires.open_port(self._settings)
        readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(pty.fd, readable.set)

        async def hear() -> None:
            while True:
                await readable.wait()
                readable.clear()
                if data := pty.read():
                    await wire.write(data)

        async def say() -> None:
            while True:
                pty.write(await wire.read())

        self._tasks = [asyncio.ensure_future(_until_lost(part())) for part in (hear, say)]
        self._wire = wire

    async def _end(self) -> None:
        if self._pty is not None:
            asyncio.get_running_loop().remove_reader(self._pty.fd)
        await _ended(self._tasks)
        if self._tasks:
            self._wire.close()
        self._tasks = []


def _forget_input(path: Path) -> None:
    """A UART that nobody has open keeps nothing; a pseudo-terminal would."""
    far = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        termios.tcflush(far, termios.TCIFLUSH)
    finally:
        os.close(far)


class _TcpEnd:
    """A serial server or a PLC: whoever connects last has the wire."""

    def __init__(self, settings: PortSettings, wires: Wires) -> None:
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
        await self.hush()

    async def hush(self) -> None:
        if self._now is not None:
            await _ended([self._now])
            self._now = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.hush()
        self._now = asyncio.current_task()
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
