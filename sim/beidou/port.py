"""Terminals behind ports in memory, on the running loop: what a test hands to a link, or to the daemon, as `open_port`.

    air = Air(Satellite(seed=7), {"bd": Terminal(...), "province": Terminal(...)})
    plugs = Plugs(air)             # plugs.open_port opens the terminal that has the port's id for a name

Bytes towards the host travel by the loop's timers at the terminal's baud rate, so all times hold in virtual time too.
A port opened at another rate hears and says rubbish. Unread input is bounded like a tty's. A terminal lives on, and
its timers run, while nobody has it open.
"""

from __future__ import annotations

import asyncio
import math

from edge.contract import Port, PortSettings
from edge.errors import PortLost
from sim.beidou.satellite import Air
from sim.beidou.terminal import Terminal
from sim.beidou.uart import as_heard
from sim.pty import character_s

INPUT_BYTES = 4096  # the kernel's tty buffer
BACKLOG_S = 5.0  # of bytes a terminal holds for a slow line; what it says then is dropped


class MemoryPort:
    """A `contract.Port` to one terminal."""

    def __init__(self, settings: PortSettings, terminal: Terminal, plugs: Plugs) -> None:
        self.gone = False
        self._id = settings.id
        self._baud = settings.baud
        self._terminal = terminal
        self._plugs = plugs
        self._input = bytearray()
        self._arrived = asyncio.Event()
        self._free_s = 0.0

    async def read(self) -> bytes:
        while not self._input:
            self._check()
            self._arrived.clear()
            await self._arrived.wait()
        return self.flush_input()

    async def write(self, data: bytes) -> None:
        self._check()
        self._terminal.feed(as_heard(data, self._baud, self._terminal.baud), asyncio.get_running_loop().time())
        self._plugs.touch()

    def flush_input(self) -> bytes:
        self._check()
        data = bytes(self._input)
        self._input.clear()
        return data

    def close(self) -> None:
        self.unplug()

    def unplug(self) -> None:
        """From now on every call raises PortLost."""
        self.gone = True
        self._arrived.set()

    def say(self, data: bytes) -> None:
        """Bytes of the terminal begin their way over the wire."""
        loop = asyncio.get_running_loop()
        if self._free_s > loop.time() + BACKLOG_S:
            return
        self._free_s = max(self._free_s, loop.time()) + len(data) * character_s(self._terminal.baud)
        loop.call_at(self._free_s, self._receive, as_heard(data, self._terminal.baud, self._baud))

    def _receive(self, data: bytes) -> None:
        room = INPUT_BYTES - len(self._input)
        if data and not self.gone and room > 0:
            self._input += data[:room]
            self._arrived.set()

    def _check(self) -> None:
        if self.gone:
            raise PortLost(self._id, "unplugged (simulated)")


class Plugs:
    """The terminals of `air`, each with one plug. One object for one loop."""

    def __init__(self, air: Air) -> None:
        self.air = air
        self._open: dict[str, MemoryPort] = {}
        self._unplugged: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def open_port(self, settings: PortSettings) -> Port:
        """Opens the terminal named `settings.id`. Raises PortLost when there is none, or it is unplugged or in use."""
        terminal = self.air.terminals.get(settings.id)
        if terminal is None or settings.id in self._unplugged:
            raise PortLost(settings.id, "does not exist (simulated)")
        if settings.id in self._open and not self._open[settings.id].gone:
            raise PortLost(settings.id, "is in use already (simulated)")
        port = self._open[settings.id] = MemoryPort(settings, terminal, self)
        self.touch()
        return port

    def unplug(self, name: str) -> None:
        """Pulls the plug of a terminal, which stays powered: open and new ports raise PortLost until `plug`."""
        self._unplugged.add(name)
        if name in self._open:
            self._open[name].unplug()

    def plug(self, name: str) -> None:
        self._unplugged.discard(name)

    def touch(self) -> None:
        """Lets happen what is due now; to be called after a test has changed a terminal."""
        loop = asyncio.get_running_loop()
        self.air.advance(loop.time())
        for name, terminal in self.air.terminals.items():
            said = terminal.out()
            if said and name in self._open and not self._open[name].gone:
                self._open[name].say(said)
        if self._timer is not None:
            self._timer.cancel()
        wake_s = self.air.wake_s()
        self._timer = loop.call_at(wake_s, self.touch) if wake_s < math.inf else None
