"""The wires between box and instruments: ports in memory, in virtual time, with what can happen to bytes on the way.

    wires = Wires(models_of(site, weather.source_of), random.Random(...), record)     # wires.open_port is the seam

A reply is one timer, or a few when it comes in pieces as a UART gives it: the last piece comes when the whole would
have. What an instrument gave is written into the record when its last byte has arrived, for only then it is known to
have come whole. The instruments live on when the box dies: what is on the wire then reaches nobody.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from edge.contract import OpenPort, Port, PortSettings
from edge.errors import PortLost
from sim.instrument import Damage, Model, Said
from sim.world.nouns import Record, Shown

INPUT_BYTES = 4096  # the kernel's tty buffer
SPLIT_CHANCE = 0.02  # of replies that are handed over in pieces, beside those a test asks for
UART_BURST_BYTES = 8
SEGMENT_S = 0.001  # between two TCP segments of one reply


@dataclass(slots=True)
class Wire:
    """One wire: its instruments, the port that is open on it, and what is wrong with it."""

    id: str
    model: Model
    port: MemoryPort | None = None
    is_unplugged: bool = False
    chances: dict[Damage, float] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None
    on_way: int = 0  # replies; one comes in pieces only when it is alone, as two would be mixed


class MemoryPort:
    """A `contract.Port` on one wire."""

    def __init__(self, wires: Wires, wire: Wire) -> None:
        self.gone = False
        self._wires = wires
        self._wire = wire
        self._input = b""
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        while not self._input:
            self._check()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.flush_input()

    async def write(self, data: bytes) -> None:
        self._check()
        self._wires.hear(self._wire, self, data)

    def flush_input(self) -> bytes:
        self._check()
        data, self._input = self._input, b""
        return data

    def close(self) -> None:
        self.end()
        self._wires.closed(self._wire, self)

    def end(self) -> None:
        """From now on every call raises PortLost."""
        self.gone = True
        self._wake()

    def receive(self, data: bytes) -> None:
        self._input = (self._input + data)[:INPUT_BYTES]
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check(self) -> None:
        if self.gone:
            raise PortLost(self._wire.id, "unplugged (simulated)")


class Wires:
    """All wires to instruments. `others`: port id -> what opens a port that has no model here.

    `split`: the chance that a reply comes in pieces.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        chance: random.Random,
        record: Record,
        others: Mapping[str, OpenPort] | None = None,
    ) -> None:
        self.split = SPLIT_CHANCE
        self._wires = {port: Wire(port, model) for port, model in models.items()}
        self._by_device = {device: model for model in models.values() for device in model.devices}
        self._random = chance
        self._record = record
        self._others = dict(others or {})

    async def open_port(self, settings: PortSettings) -> Port:
        """Raises PortLost when there is no such port, or it is unplugged or in use."""
        if settings.id in self._others:
            return await self._others[settings.id](settings)
        wire = self._wires.get(settings.id)
        if wire is None or wire.is_unplugged:
            raise PortLost(settings.id, "does not exist (simulated)")
        if wire.port is not None:
            raise PortLost(settings.id, "is in use already (simulated)")
        wire.port = MemoryPort(self, wire)
        self._listen(wire)
        return wire.port

    def model_of(self, device: str) -> Model:
        """The model that speaks for a device. Raises KeyError."""
        return self._by_device[device]

    # -- what can be wrong -----------------------------------------------------------------------------------------

    def unplug(self, port: str) -> None:
        """Pulls the plug: open and new ports raise PortLost until `plug`. Raises KeyError."""
        wire = self._wires[port]
        wire.is_unplugged = True
        if wire.port is not None:
            wire.port.end()
            self.closed(wire, wire.port)

    def plug(self, port: str) -> None:
        self._wires[port].is_unplugged = False

    def impair(self, port: str, how: Damage, chance: float) -> None:
        """From now on so many of the chunks on a wire, either way, have a bit flipped or lose a byte."""
        self._wires[port].chances[how] = chance

    def kill(self) -> None:
        """The box is dead: nothing is open, nothing is delivered."""
        for wire in self._wires.values():
            if wire.port is not None:
                wire.port.gone = True
                self.closed(wire, wire.port)

    # -- bytes -----------------------------------------------------------------------------------------------------

    def hear(self, wire: Wire, port: MemoryPort, data: bytes) -> None:
        """The box sends something. A damaged question has no answer; what it asked for has failed."""
        loop = asyncio.get_running_loop()
        is_whole = self._impaired(wire, data) is data
        for said in wire.model.hear(data, loop.time()):
            if is_whole:
                self._carry(loop, wire, port, said)
            else:
                wire.model.doubt(loop.time())
                self._carry(loop, wire, port, _lost(said, b""))

    def closed(self, wire: Wire, port: MemoryPort) -> None:
        """`port` is not open any more."""
        if wire.port is port:
            wire.port = None
            if wire.timer is not None:
                wire.timer.cancel()
                wire.timer = None

    def _listen(self, wire: Wire) -> None:
        """Arms the timer of what speaks by itself."""
        loop = asyncio.get_running_loop()
        next_s = wire.model.next_s(loop.time())
        if next_s < inf:
            wire.timer = loop.call_at(next_s, self._speak, loop, wire, next_s)

    def _speak(self, loop: asyncio.AbstractEventLoop, wire: Wire, due_s: float) -> None:
        if wire.port is not None:
            for said in wire.model.say(due_s):
                self._carry(loop, wire, wire.port, said)
            self._listen(wire)

    def _carry(self, loop: asyncio.AbstractEventLoop, wire: Wire, port: MemoryPort, said: Said) -> None:
        data = self._impaired(wire, said.data) if said.is_one and said.clean else said.data  # twice could undo it
        if data is not said.data:
            wire.model.doubt(loop.time())
            said = _lost(said, data)
        at_s = loop.time() + said.after_s
        wire.on_way += 1
        if wire.on_way == 1 and said.is_one and len(data) > 1 and self._random.random() < self.split:
            place = self._cut(wire, data)
            early_s = (
                len(data) - place
            ) * wire.model.character_s or SEGMENT_S  # two timers of one instant have no order
            loop.call_at(max(loop.time(), at_s - early_s), self._deliver, loop, wire, port, data[:place])
            said = said._replace(data=data[place:])
        loop.call_at(at_s, self._arrive, loop, wire, port, said)

    def _cut(self, wire: Wire, data: bytes) -> int:
        """Where a reply is cut in two: after some bursts of a UART, anywhere over TCP."""
        place = self._random.randrange(1, len(data))
        if wire.model.character_s and len(data) > UART_BURST_BYTES:
            place = max(1, place // UART_BURST_BYTES) * UART_BURST_BYTES
        return place

    def _arrive(self, loop: asyncio.AbstractEventLoop, wire: Wire, port: MemoryPort, said: Said) -> None:
        """The last byte is there: what the reply gave is known."""
        wire.on_way -= 1
        if not self._deliver(loop, wire, port, said.data):
            return
        at_s, record = loop.time(), self._record
        for point, value in said.values:
            record.show(point, Shown(at_s, value, said.clean))
        for point in said.failed:
            record.fail(point, at_s)

    def _deliver(self, loop: asyncio.AbstractEventLoop, wire: Wire, port: MemoryPort, data: bytes) -> bool:
        """Whether the port that the bytes were meant for is still open."""
        if port.gone:
            return False
        if data:
            port.receive(data)
        return True

    def _impaired(self, wire: Wire, data: bytes) -> bytes:
        """`data` itself, unless something happens to it."""
        for how, chance in wire.chances.items():
            if data and chance and self._random.random() < chance:
                data = wire.model.damaged(data, how, self._random)
        return data


def _lost(said: Said, data: bytes) -> Said:
    """The same when only `data` of it is left."""
    failed = [*said.failed, *(point for point, _ in said.values if point not in said.failed)]
    return said._replace(data=data, values=said.values if data else (), failed=failed, clean=False)
