"""One data terminal, in one of three dialects: bytes from its host in, bytes to its host out, bursts to the satellite.

Pure: no clock, no I/O; every instant comes from the caller, all chance from its `Trouble`. What is due happens in
`advance(now_s)`, which is to be called at `wake_s()` at the latest. The state of the world is plain attributes one may
set at any time (`card`, `shaded`, `inhibited` ...); call `advance` of the `Air` (or `Plugs.touch`) afterwards.
What it was asked is in `requests`, what it sent in `radiated`: a test counts there.

It answers as manuals and drivers of real terminals say: FKI Y when the burst is out, with a wait when it comes too
early, without a reason when the content is too long or there is no word for the reason in its dialect. A burst, a poll
of stored messages and a fix through the satellite share the card's period.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

from drivers.beidou import wire
from drivers.beidou.wire import Dialect, Outcome, Stream
from sim.beidou import voice
from sim.beidou.card import Card
from sim.beidou.traffic import Burst, Message, Poll
from sim.beidou.trouble import Trouble
from sim.beidou.voice import Sky

BOOT_S = 3.0  # after a reset; a terminal needs 1 to some s
BURST_AFTER_S = (0.3, 1.5)  # from a request to the burst
FEEDBACK_AFTER_S = (0.1, 0.5)  # from the burst, or from a refused request, to the FKI
FIX_AFTER_S = 2.0  # from a burst that asks for a fix to its answer
TWICE_AFTER_S = 1.0  # between an FKI and its repetition
QUIET_S = 0.25  # longer than a pause inside a command: what came before it is decided
OUT_BYTES = 65_536  # kept for a caller who does not fetch them; what comes then is dropped
CUT_BYTES = 20  # of a line that a reset cuts off
BANNER = b"\x00\xff RDSS terminal (simulated) starting\r\n"
VERSION = "simulated RDSS terminal 1.0"
UTC_MS_AT_0 = 1_767_225_600_000  # 2026-01-01T00:00:00Z
MOST_NOISE_BYTES = 20

_SUBSCRIPTIONS = {wire.QueryStatus: "ZJXX", wire.QueryPower: "GLZK", wire.QueryTime: "SJXX"}
_SEND_NAMES = {Dialect.BDS3: "TCQ", Dialect.TEXT21: "TXA", Dialect.BINARY40: "TXSQ"}

Radiating = wire.Send | wire.QueryStored | wire.QueryReceipts | wire.Locate


@dataclass(frozen=True, slots=True)
class Request:
    """The host asked for a burst. `over_rate`: before the card's period was over. `outcome`: what the terminal made of
    it, whether or not it said so; None: it did not hear it."""

    at_s: float
    command: str
    over_rate: bool
    outcome: Outcome | None


class Terminal:
    """A terminal that has been on for a while. `reports`: what it prints unasked (sentence -> period in s), also after
    a reset; by default what its kind does. `dual`: a BDS-3 one that takes 2.1 commands too.

    To be set: `card` (None: pulled out), `sky`, `trouble`, `inhibited` (by the system), `silenced` (radio silence),
    `low_battery`, `battery_percent`, `tells_bits` (False: a BDS-3 one without ZDX), `muted` (its serial line is dead),
    `tells_wait` (an FKI Y carries the wait too), `wait_error_s` (the waits it names are so much too short). Raises
    ValueError for a card its dialect cannot name.
    """

    def __init__(
        self,
        dialect: Dialect,
        card: Card | None,
        *,
        baud: int = 115_200,
        trouble: Trouble | None = None,
        reports: Mapping[str, float] | None = None,
        utc_ms_at_0: int = UTC_MS_AT_0,
        dual: bool = False,
    ) -> None:
        if dialect is Dialect.BINARY40 and card is not None and card.address >= voice.BITS_21:
            raise ValueError(f"card {card.address} is too large for the 4.0 dialect (below {voice.BITS_21})")
        self.dialect = dialect
        self.card = card
        self.baud = baud
        self.trouble = trouble or Trouble()
        self.dual = dual
        self.sky = Sky(dialect, utc_ms_at_0)
        self.inhibited = self.silenced = self.low_battery = self.muted = self.tells_wait = False
        self.battery_percent = 100
        self.tells_bits = True
        self.wait_error_s = 0.0
        self.requests: list[Request] = []
        self.radiated: list[Message] = []
        self.resets = 0
        self._unasked = dict(voice.UNASKED[dialect] if reports is None else reports)
        self._reports = {what: (period_s, 0.0) for what, period_s in self._unasked.items()}
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._bursts: list[Burst] = []
        self._sending = False
        self._boots_until_s = -math.inf
        self._fade_s = math.inf
        self._stream = Stream()
        self._fed_s = -math.inf
        self._out = bytearray()

    @property
    def over_rate(self) -> int:
        """How many requests for a burst came before the card's period was over."""
        return sum(request.over_rate for request in self.requests)

    # -- its three sides -----------------------------------------------------------------------------------------

    def feed(self, data: bytes, now_s: float) -> None:
        """Bytes from its host."""
        self.advance(now_s)
        if self.muted or self._is_booting(now_s):
            return
        held = self._stream.flush() if now_s - self._fed_s > QUIET_S else []
        self._fed_s = now_s
        for heard in [*held, *self._stream.feed(data)]:
            self._obey(heard, now_s)

    def out(self) -> bytes:
        """What it has said to its host since the last call."""
        said = bytes(self._out)
        self._out.clear()
        return said

    def take_bursts(self) -> list[Burst]:
        """What it has radiated since the last call."""
        bursts, self._bursts = self._bursts, []
        return bursts

    def hear(self, message: Message, now_s: float) -> bool:
        """A message comes down; whether it was for this card, and received."""
        if self.card is None or self.card.address != message.to or self._is_booting(now_s) or not self.sky.locked:
            return False
        self._say(voice.received(self.sky, message), now_s)
        return True

    def advance(self, now_s: float) -> None:
        """Everything that is due happens."""
        self._fade(now_s)
        while self._agenda and self._agenda[0][0] <= now_s:
            heapq.heappop(self._agenda)[2](now_s)
        for what, (period_s, due_s) in list(self._reports.items()):
            if due_s <= now_s:
                self._reports[what] = (period_s, max(due_s + period_s, now_s))
                self._report(what, now_s)

    def wake_s(self) -> float:
        """The next instant at which something happens by itself; inf for never."""
        agenda_s = self._agenda[0][0] if self._agenda else math.inf
        return min([agenda_s, self._fade_s, *(due_s for _, due_s in self._reports.values())])

    def reset(self, now_s: float) -> None:
        """It starts again: what it was doing, and what it was asked to report, is forgotten. The card keeps its
        period."""
        self.resets += 1
        self._say(voice.report("GGA", self.sky, self.card, self.battery_percent, now_s)[:CUT_BYTES], now_s)
        self._agenda.clear()
        self._sending = False
        self._stream = Stream()
        ready_s = self._boots_until_s = now_s + BOOT_S
        self._reports = {what: (period_s, ready_s) for what, period_s in self._unasked.items()}
        self._at(ready_s, lambda at_s: self._say(BANNER, at_s))

    # -- commands ------------------------------------------------------------------------------------------------

    def _obey(self, heard: wire.Heard, now_s: float) -> None:
        if isinstance(heard, Radiating):
            if self._speaks(getattr(heard, "dialect", Dialect.TEXT21)):
                self._burst(heard, now_s)
        elif isinstance(heard, wire.QueryCard):
            if self._speaks(heard.dialect) and heard.kind == 0:
                self._say(voice.card_report(heard.dialect, self.card), now_s)
        elif isinstance(heard, wire.SetReport):
            if self.dialect is not Dialect.BINARY40:
                self._subscribe(heard.what.removeprefix("BD"), heard.period_s, now_s)
        elif isinstance(heard, wire.QueryStatus | wire.QueryPower | wire.QueryTime):
            if self.dialect is Dialect.BINARY40:
                self._subscribe(_SUBSCRIPTIONS[type(heard)], float(heard.period_s), now_s)
        elif isinstance(heard, wire.QueryVersion) and self.dialect is Dialect.BINARY40:
            self._say(wire.build_report(wire.Version(self.dialect, VERSION)), now_s)

    def _speaks(self, dialect: Dialect) -> bool:
        return dialect is self.dialect or (self.dual and dialect is Dialect.TEXT21)

    def _subscribe(self, what: str, period_s: float | None, now_s: float) -> None:
        """`what` "": everything."""
        for name in [what] if what else voice.SENTENCES[self.dialect]:
            if period_s:
                self._reports[name] = (period_s, now_s + period_s)
            else:
                self._reports.pop(name, None)
            if period_s is not None:
                self._report(name, now_s)

    def _burst(self, command: Radiating, now_s: float) -> None:
        """A request for a burst: judged, carried out, answered, each with what may go wrong."""
        outcome, wait_s = self._judge(command, now_s)
        early = self.card is not None and (self._sending or self.card.wait_s(now_s) > 0)
        if self.trouble.happens("deaf"):
            self.requests.append(Request(now_s, self._name(command), early, None))
            return
        self.requests.append(Request(now_s, self._name(command), early, outcome))
        chance = self.trouble.random
        burst_s = now_s
        if outcome is Outcome.SENT:
            slow = self.trouble.happens("slow")
            burst_s += chance.uniform(*(self.trouble.slow_s if slow else BURST_AFTER_S))
            self._sending = True
            lies = self.trouble.happens("lies")
            self._at(burst_s, lambda at_s: self._radiate(command, lies, at_s))
        said_s = burst_s + chance.uniform(*FEEDBACK_AFTER_S)
        if self.trouble.happens("reset"):
            self._at(chance.uniform(now_s, said_s), self.reset)
        self._answer(command, outcome, wait_s, said_s)

    def _judge(self, command: Radiating, now_s: float) -> tuple[Outcome, float | None]:
        """What becomes of a request, and the wait it is answered with."""
        card = self.card
        reasons = {
            Outcome.SUPPRESSED: self.inhibited,
            Outcome.SILENT: self.silenced,
            Outcome.LOW_BATTERY: self.low_battery,
            Outcome.NO_SIGNAL: not self.sky.locked,
        }
        if card is None:
            return Outcome.NO_CARD, None
        if outcome := next((outcome for outcome, is_so in reasons.items() if is_so), None):
            return outcome, None
        wait_s = card.period_s if self._sending else card.wait_s(now_s)
        if wait_s > 0:
            return Outcome.TOO_EARLY, max(1.0, math.ceil(wait_s - self.wait_error_s))
        if isinstance(command, wire.Send) and command.bits > self._most_bits(card, command):
            return Outcome.REFUSED, None
        return Outcome.SENT, (math.ceil(card.period_s) if self.tells_wait else None)

    def _most_bits(self, card: Card, command: wire.Send) -> int:
        limit_bits = card.limit_bits(self.dialect)
        return min(limit_bits, wire.URGENT_BITS) if command.urgent else limit_bits

    def _radiate(self, command: Radiating, lies: bool, now_s: float) -> None:
        self._sending = False
        if self.card is None or lies:
            return
        self.card.use(now_s)
        own = self.card.address
        if isinstance(command, wire.Send):
            message = Message(own, command.to, command.content, command.form, now_s)
            self.radiated.append(message)
            self._bursts.append(message)
        elif isinstance(command, wire.QueryStored):
            self._bursts.append(Poll(own, "newest" if command.sender is None else "sender", command.sender))
        elif isinstance(command, wire.QueryReceipts):
            self._bursts.append(Poll(own, "receipts", command.receiver))
        else:
            self._at(now_s + FIX_AFTER_S, lambda at_s: self._say(voice.fix(self.sky, own, at_s), at_s))

    def _answer(self, command: Radiating, outcome: Outcome, wait_s: float | None, said_s: float) -> None:
        if self.trouble.happens("no_feedback"):
            return
        if self.trouble.happens("late"):
            said_s += self.trouble.random.uniform(*self.trouble.late_s)
        # A dual one answers every command in the manner of BDS-3.
        said = voice.feedback(self.dialect, self._name(command), outcome, wait_s, self.sky.time_s_of_day(said_s))
        self._at(said_s, lambda at_s: self._say(said, at_s))
        if self.trouble.happens("twice"):
            self._at(said_s + TWICE_AFTER_S, lambda at_s: self._say(said, at_s))

    def _name(self, command: Radiating) -> str:
        if isinstance(command, wire.Send):
            return _SEND_NAMES[self.dialect]
        if isinstance(command, wire.Locate):
            return "DWSQ" if self.dialect is Dialect.BINARY40 else "DWA"
        return "CXA"

    # -- saying --------------------------------------------------------------------------------------------------

    def _at(self, at_s: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (at_s, next(self._order), what))

    def _report(self, what: str, now_s: float) -> None:
        if what == "ZDX" and not self.tells_bits:
            return
        if said := voice.report(what, self.sky, self.card, self.battery_percent, now_s):
            self._say(said, now_s)

    def _say(self, data: bytes, now_s: float) -> None:
        if self.muted or self._is_booting(now_s):
            return
        if self.trouble.happens("noise"):
            chance = self.trouble.random
            self._out += chance.randbytes(chance.randint(1, MOST_NOISE_BYTES))
        if len(self._out) + len(data) <= OUT_BYTES:
            self._out += data

    def _is_booting(self, now_s: float) -> bool:
        return now_s < self._boots_until_s

    def _fade(self, now_s: float) -> None:
        """All beams lost for a while, now and then."""
        if self._fade_s == math.inf:
            self._fade_s = now_s + self.trouble.fade_after_s(self.sky.faded)
        elif now_s >= self._fade_s:
            self.sky.faded = not self.sky.faded
            self._fade_s = now_s + self.trouble.fade_after_s(self.sky.faded)
