"""The slaves of `sim.modbus_slave` behind a port in memory: what a virtual-time world gives the daemon as `open_port`.

Bytes travel by the event loop's timers, so all times hold in virtual time too. Unread input is bounded like a tty's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from edge.contract import OpenPort, Port, PortSettings
from edge.errors import PortLost
from sim.modbus_slave import Line

INPUT_BYTES = 4096  # the kernel's tty buffer


class MemoryPort:
    """A `contract.Port` to the slaves on `line`."""

    def __init__(self, port_id: str, line: Line) -> None:
        self._id = port_id
        self._line = line
        self._input = bytearray()
        self._arrived = asyncio.Event()
        self._gone = False

    async def read(self) -> bytes:
        while not self._input:
            self._check()
            self._arrived.clear()
            await self._arrived.wait()
        return self.flush_input()

    async def write(self, data: bytes) -> None:
        self._check()
        loop = asyncio.get_running_loop()
        for delay_s, reply in self._line.feed(data, loop.time()):
            loop.call_later(delay_s, self._receive, reply)

    def flush_input(self) -> bytes:
        self._check()
        data = bytes(self._input)
        self._input.clear()
        return data

    def close(self) -> None:
        self.unplug()

    def unplug(self) -> None:
        """From now on every call raises PortLost."""
        self._gone = True
        self._arrived.set()

    def _receive(self, data: bytes) -> None:
        if not self._gone and len(self._input) + len(data) <= INPUT_BYTES:
            self._input += data
            self._arrived.set()

    def _check(self) -> None:
        if self._gone:
            raise PortLost(self._id, "unplugged (simulated)")


def opener(lines: Mapping[str, Line]) -> OpenPort:
    """An `open_port` that knows the ports in `lines` by id; any other does not exist."""

    async def open_port(settings: PortSettings) -> Port:
        if settings.id not in lines:
            raise PortLost(settings.id, "does not exist (simulated)")
        return MemoryPort(settings.id, lines[settings.id])

    return open_port
