"""One wire, one question at a time: who may speak, when, and which answer belongs to which question.

RTU gives no transaction id: an answer is known by unit, function and length only. What keeps a late or doubled answer
from passing for the answer to the next question:

1. Before each question the line has been silent for 3.5 characters, and whatever arrived before is thrown away.
2. A question without an answer is *owed* one. A device answers in order: a reply settles the oldest question it may
   stem from and all before it. While a unit owes a reply of the same shape as the one a question would get, a probe
   goes first, a read of another length: its reply, be it a refusal, shows that the unit has got past the old question.
   A probe that fails is the unit's silence; nothing is asked in its place.
3. A question is owed nothing any more OWES_AT_MOST_S after it was sent.

So a wrong value would need a unit that answers out of order, one later than OWES_AT_MOST_S, or one that answers twice
with more than 3.5 characters in between. On Modbus TCP the transaction id settles all of this.

The port is opened when first needed, closed when lost, and opened again by the next question. No retries here: whoever
asks decides. Writes are never repeated; a write without confirmation is read back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from drivers.modbus import wire
from drivers.modbus.turns import Turns
from drivers.modbus.wire import Answer, Exchange, Refusal, Request
from edge.contract import OpenPort, Port, PortSettings
from edge.errors import PortLost

SILENT_CHARACTERS = 3.5  # MODBUS over Serial Line V1.02, 2.5.1.1
SILENT_FAST_S = 0.00175  # fixed above 19200 baud, same place
FAST_BAUD = 19200
OWES_AT_MOST_S = 10.0  # radio modems and converters deliver some seconds late; beyond this they have dropped it
PROBES_MAX = 2  # before one question; a refusal settles one old question at a time
REOPEN_PAUSE_S = 1.0  # a port that failed to open is not tried again for every device that waits for it


@dataclass(frozen=True, slots=True)
class Silence:
    """No usable answer in time: why, and what was heard instead. `asked` False: the question was not even sent."""

    why: str
    raw: bytes = b""
    asked: bool = True


class Outcome(Enum):
    """What became of a write."""

    DONE = "done"
    NOT_DONE = "not done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Written:
    outcome: Outcome
    why: str = ""


class _Question(NamedTuple):
    """An unanswered question: when it was sent, and the shapes its reply may have."""

    sent_s: float
    shapes: tuple[wire.Shape, wire.Shape]


class Bus:
    """All questions on one port go through here. `is_rtu` False: Modbus TCP."""

    def __init__(self, settings: PortSettings, open_port: OpenPort, *, is_rtu: bool) -> None:
        self.opened = 0
        self.lost = 0
        self.noise_bytes = 0
        self.probes = 0
        self.last_answer_ms = 0.0  # from the end of the question to the end of the answer
        self._settings = settings
        self._open_port = open_port
        self._is_rtu = is_rtu
        self._turns = Turns()
        self._port: Port | None = None
        self._echo: bool | None = None
        self._transaction = 0
        self._sent = 0
        self._owed: dict[int, list[_Question]] = {}  # by unit; bounded, as no question is owed for long
        self._heard_at_s = -1.0
        self._failed: tuple[float, PortLost] | None = None
        self._character_s = _character_bits(settings) / settings.baud if is_rtu else 0.0
        self._silent_s = _silent_s(settings.baud, self._character_s) if is_rtu else 0.0

    async def ask(self, request: Request, timeout_s: float, *, urgent: bool = False) -> Answer | Refusal | Silence:
        """Asks once. `timeout_s` is for the device alone: the time on the wire is added. `urgent`: before all that wait
        and are not; behind what is on the wire. Raises PortLost."""
        async with self._turns.take(urgent):
            try:
                return await self._clear_way(request, timeout_s) or await self._exchange(request, timeout_s)
            except PortLost:
                self._drop()
                raise

    async def write(self, request: Request, timeout_s: float, *, urgent: bool = False) -> Written:
        """Sends a write once, and reads back what it can not be sure of. Raises PortLost only if nothing was sent."""
        sent_before = self._sent
        try:
            reply = await self.ask(request, timeout_s, urgent=urgent)
        except PortLost as error:
            if self._sent == sent_before:
                raise
            return Written(Outcome.UNKNOWN, str(error))
        if isinstance(reply, Refusal):
            return Written(Outcome.NOT_DONE, str(reply))
        if isinstance(reply, Silence) and not reply.asked:
            return Written(Outcome.NOT_DONE, reply.why)
        if isinstance(reply, Answer) and not self._may_be_echo(request):
            return Written(Outcome.DONE)
        return await self._read_back(request, timeout_s, urgent)

    async def order(self, request: Request, timeout_s: float) -> Written:
        """Sends a write that must not wait: before all others, and whatever its unit still owes us. A late answer may
        be taken for its own; what it has done, the caller has to read. Raises PortLost only if nothing was sent."""
        sent_before = self._sent
        async with self._turns.take(urgent=True):
            try:
                reply = await self._exchange(request, timeout_s)
            except PortLost as error:
                self._drop()
                if self._sent == sent_before:
                    raise
                return Written(Outcome.UNKNOWN, str(error))
        if isinstance(reply, Answer):
            return Written(Outcome.UNKNOWN if self._may_be_echo(request) else Outcome.DONE)
        if isinstance(reply, Refusal) or not reply.asked:
            return Written(Outcome.NOT_DONE, reply.why if isinstance(reply, Silence) else str(reply))
        return Written(Outcome.UNKNOWN, reply.why)

    def close(self) -> None:
        """Closes the port; the next question opens it again."""
        if self._port is not None:
            self._port.close()
        self._port = None
        self._echo = None

    def health(self) -> dict[str, int | bool | None]:
        """Counters of the wire."""
        return {
            "opened": self.opened,
            "lost": self.lost,
            "noise_bytes": self.noise_bytes,
            "probes": self.probes,
            "echo": self._echo,
        }

    # ---- one exchange

    async def _exchange(self, request: Request, timeout_s: float, is_probe: bool = False) -> Answer | Refusal | Silence:
        port = await self._quiet_port()
        if port is None:
            return Silence(
                "the line never falls silent: another master or a stuck transmitter talks on it", asked=False
            )
        exchange = Exchange(request, None if self._is_rtu else self._next_transaction(), self._echo)
        self._owe(request)
        self._sent += 1
        await port.write(exchange.frame)
        sent_s = self._heard_at_s = _now_s() + len(exchange.frame) * self._character_s
        answer_s = (wire.answer_pdu_bytes(request) + 3) * self._character_s
        reply: Answer | Refusal | None = None
        try:
            async with asyncio.timeout_at(sent_s + timeout_s + answer_s):
                while reply is None:
                    data = await port.read()
                    self._heard_at_s = _now_s()
                    reply = self._reply(exchange, data, is_probe)
        except TimeoutError:
            self._count(exchange)
            return Silence(wire.explain(exchange), exchange.heard())
        self._count(exchange)
        self._learn_echo(exchange)
        self.last_answer_ms = max(0.0, self._heard_at_s - sent_s) * 1000
        return reply

    def _reply(self, exchange: Exchange, data: bytes, is_probe: bool) -> Answer | Refusal | None:
        """The reply to this question; a refusal that an older one may have caused is none, except to a probe."""
        reply = exchange.feed(data)
        while reply is not None and not (self._settle(exchange.request, reply) or is_probe):
            reply = exchange.feed(b"")
        return reply

    def _count(self, exchange: Exchange) -> None:
        self.noise_bytes += exchange.noise_bytes + len(exchange.heard())
        if exchange.echo_heard:
            self._echo = True

    def _learn_echo(self, exchange: Exchange) -> None:
        """A first answer with nothing at all before it: this adapter gives no echo."""
        if self._echo is None and not exchange.noise_bytes and exchange.request.function not in wire.SINGLE_WRITES:
            self._echo = exchange.echo_heard

    def _next_transaction(self) -> int:
        self._transaction = self._transaction % 0xFFFF + 1
        return self._transaction

    # ---- the line

    async def _quiet_port(self) -> Port | None:
        """The open port, with nothing unread and silent for long enough; None: it never falls silent."""
        port, thrown = await self._flushed_port()
        give_up_s = _now_s() + 2 * wire.MAX_FRAME_BYTES * self._character_s + self._silent_s
        while True:
            now_s = _now_s()
            if thrown:
                self.noise_bytes += len(thrown)
                self._heard_at_s = now_s
            wait_s = self._heard_at_s + self._silent_s - now_s
            if wait_s <= 0 or not self._is_rtu:
                return port
            if now_s > give_up_s:
                return None
            await asyncio.sleep(wait_s)
            thrown = port.flush_input()

    async def _flushed_port(self) -> tuple[Port, bytes]:
        """Opens if needed. A connection that was closed while idle is opened anew at once: nothing was sent on it."""
        if self._port is not None:
            try:
                return self._port, self._port.flush_input()
            except PortLost:
                self._drop()
        self._port = await self._open()
        return self._port, self._port.flush_input()

    async def _open(self) -> Port:
        if self._failed is not None and _now_s() < self._failed[0] + REOPEN_PAUSE_S:
            raise PortLost(self._failed[1].port, self._failed[1].why)
        try:
            port = await self._open_port(self._settings)
        except PortLost as error:
            self._failed = (_now_s(), error)
            raise
        self._failed = None
        self.opened += 1
        self._heard_at_s = _now_s()  # what went over the line before is not known: count its silence from here
        return port

    def _drop(self) -> None:
        if self._port is not None:
            self.lost += 1
            self.close()

    # ---- what units owe

    def _owe(self, request: Request) -> None:
        """Notes the question as unanswered, before it is sent: whatever happens then, a reply may come."""
        if self._is_rtu:
            self._owed.setdefault(request.unit, []).append(_Question(_now_s(), wire.shapes(request)))

    def _settle(self, request: Request, reply: Answer | Refusal) -> bool:
        """Settles the oldest question that `reply` may stem from, and all before; whether that was `request`."""
        if not self._is_rtu:
            return True
        shape = wire.shapes(request)[isinstance(reply, Refusal)]
        owed = self._owed[request.unit]
        oldest = next(i for i, question in enumerate(owed) if shape in question.shapes)
        del owed[: oldest + 1]
        return not owed

    def _in_the_way(self, request: Request) -> frozenset[wire.Shape]:
        """The shapes of what `request`'s unit may still reply until no late reply can be taken for the answer."""
        if not self._owed.get(request.unit):
            return frozenset()
        since_s = _now_s() - OWES_AT_MOST_S
        owed = self._owed[request.unit] = [q for q in self._owed[request.unit] if q.sent_s > since_s]
        answer = wire.shapes(request)[0]
        last = max((i for i, question in enumerate(owed) if answer in question.shapes), default=-1)
        return frozenset(shape for question in owed[: last + 1] for shape in question.shapes)

    async def _clear_way(self, request: Request, timeout_s: float) -> Silence | None:
        """Makes sure that no late reply can be taken for the answer to `request`; Silence: it could not."""
        for _ in range(PROBES_MAX):
            taken = self._in_the_way(request)
            if not taken:
                return None
            probe = wire.probe_for(request, taken)
            if probe is None:
                break
            self.probes += 1
            reply = await self._exchange(probe, timeout_s, is_probe=True)
            if isinstance(reply, Silence):
                return Silence(reply.why, reply.raw, asked=False)
        if not self._in_the_way(request):
            return None
        return Silence(f"not asked: a late answer may still come, {OWES_AT_MOST_S:g} s long", asked=False)

    # ---- writes

    def _may_be_echo(self, request: Request) -> bool:
        return self._is_rtu and self._echo is None and request.function in wire.SINGLE_WRITES

    async def _read_back(self, request: Request, timeout_s: float, urgent: bool) -> Written:
        is_bits = request.function in wire.BIT_FUNCTIONS
        function = wire.READ_COILS if is_bits else wire.READ_HOLDING
        wanted = tuple(int(bool(value)) for value in request.values) if is_bits else request.values
        try:
            question = Request(request.unit, function, request.address, request.quantity)
            reply = await self.ask(question, timeout_s, urgent=urgent)
        except PortLost as error:
            return Written(Outcome.UNKNOWN, str(error))
        if isinstance(reply, Answer):
            done = reply.values == wanted
            return Written(Outcome.DONE) if done else Written(Outcome.NOT_DONE, f"it reads {reply.values} afterwards")
        why = reply.why if isinstance(reply, Silence) else str(reply)
        return Written(Outcome.UNKNOWN, f"it could not be read back: {why}")


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _character_bits(settings: PortSettings) -> int:
    """Bits of one character on the wire: start, data, parity, stop."""
    return 1 + settings.data_bits + (settings.parity != "N") + settings.stop_bits


def _silent_s(baud: int, character_s: float) -> float:
    return SILENT_FAST_S if baud > FAST_BAUD else SILENT_CHARACTERS * character_s
