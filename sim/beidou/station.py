"""The province's own terminal, from its host's side: what it hears goes to a desk, what the desk has to say goes out.

Pure: bytes in, bytes out, instants from the caller. Asks which card is in with a query of each dialect until one
answers (none of them radiates), and again every half minute: a card may be exchanged, a terminal may start again.
Keeps the card's period from its own side: a message is fetched from the desk only when the card is free, and one at a
time is on the way. What surely was not sent is tried again for a while; what may have been is not.
This is the commanding end, on a shelf with a person near it: no finding of the baud rate, no memory. After a start it
waits a whole period before it sends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from drivers.beidou.wire import (
    LEVEL_BITS,
    UNKNOWN_BITS,
    BitLimit,
    Card,
    Dialect,
    Feedback,
    Form,
    Heard,
    Message,
    Outcome,
    QueryCard,
    Send,
    Stream,
    build,
    mixed_bytes,
    smaller_bits,
)

ASK_EVERY_S = 2.0  # while no dialect is known: a terminal answers within 2 s
ASK_AGAIN_S = 30.0
LOST_AFTER_S = 75.0  # two queries without an answer
FEEDBACK_S = 15.0  # the slowest FKI known from terminals' manuals
LATE_S = 60.0  # after FEEDBACK_S: an FKI may still come, and must not be taken for that of the next message
MARGIN_S = 2.0  # terminals' own timers are off by so much
REFUSED_AGAIN_S = 10.0  # no signal, no reason given: beams come back within tens of seconds, or not soon
STOPPED_AGAIN_S = 60.0  # inhibited, silence ordered, no battery: a person has to see to it
STOPPED = (Outcome.SUPPRESSED, Outcome.SILENT, Outcome.LOW_BATTERY, Outcome.NO_PERMISSION)
REFUSALS = 3  # without a reason, of one message: it may be too long
LOOK_EVERY_S = 5.0  # the desk may have something to say by then
HOLD_S = 60.0  # a receipt's time is used by gateways: an older one is dropped, the next says more
QUIET_S = 0.25  # longer than a pause inside a frame: what came before it is decided
FIRST_BYTES = range(0x40, 0x60)  # of packets; outside of all that vendors use
OURS = (Form.MIXED, Form.CODE)  # code: from a site whose terminal refuses mixed content
ORDER = (Dialect.BDS3, Dialect.TEXT21, Dialect.BINARY40)  # a dual terminal answers the first


class Desk(Protocol):
    def arrived(self, sender: int, packet: bytes, now_ms: int) -> None: ...

    def next_message(self, now_ms: int, room_bytes: int) -> tuple[int, bytes] | None: ...


@dataclass(frozen=True, slots=True)
class _OnTheWay:
    to: int
    packet: bytes
    built_s: float
    sent_s: float


class Station:
    """`counts`: sent, unknown, not_sent, dropped, foreign, noise. `card`: as last heard, None before."""

    def __init__(self, desk: Desk, say: Callable[[str], None] = lambda _line: None) -> None:
        self.card: Card | None = None
        self.counts: Counter[str] = Counter()
        self._desk = desk
        self._say = say
        self._stream = Stream()
        self._fed_s = -math.inf
        self._dialect: Dialect | None = None
        self._asked = 0
        self._ask_s = -math.inf
        self._card_s = -math.inf
        self._bits: int | None = None
        self._most_bits: int | None = None  # of what the card takes, learnt from refusals
        self._refusals = 0
        self._free_s = math.inf
        self._waiting: _OnTheWay | None = None  # for its feedback
        self._late = False  # an FKI may still come for the last message
        self._held: _OnTheWay | None = None  # surely not sent
        self._refused = Outcome.SENT  # what was said of the last message, if that was new

    def feed(self, data: bytes, now_s: float, now_ms: int) -> None:
        """Bytes from the terminal."""
        self._flush(now_s, now_ms)
        self._fed_s = now_s
        for heard in self._stream.feed(data):
            self._hear(heard, now_s, now_ms)

    def step(self, now_s: float, now_ms: int) -> bytes:
        """What to say to the terminal now."""
        self._flush(now_s, now_ms)
        self._check_lost(now_s)
        said = b""
        if now_s >= self._ask_s:
            dialect = self._dialect or ORDER[self._asked % len(ORDER)]
            self._asked += 1
            self._ask_s = now_s + (ASK_EVERY_S if self._dialect is None else ASK_AGAIN_S)
            said = build(QueryCard(dialect))
        if self._waiting is not None and now_s >= self._waiting.sent_s + FEEDBACK_S:
            self.counts["unknown"] += 1  # may have gone out this late
            self._used(now_s, LATE_S)
            self._late = True
        return said + self._send(now_s, now_ms)

    def wake_s(self, now_s: float) -> float:
        """When `step` is to be called again at the latest; that the desk has something to say is not known here."""
        wake_s = min(self._ask_s, now_s + LOOK_EVERY_S)
        if self._stream.held_bytes:
            wake_s = min(wake_s, self._fed_s + QUIET_S)
        if self._waiting is not None:
            wake_s = min(wake_s, self._waiting.sent_s + FEEDBACK_S)
        elif self._free_s > now_s:
            wake_s = min(wake_s, self._free_s)
        return wake_s

    def _flush(self, now_s: float, now_ms: int) -> None:
        if self._stream.held_bytes and now_s >= self._fed_s + QUIET_S:
            for heard in self._stream.flush():
                self._hear(heard, now_s, now_ms)

    # -- hearing -------------------------------------------------------------------------------------------------

    def _hear(self, heard: Heard, now_s: float, now_ms: int) -> None:
        if isinstance(heard, Message):
            if heard.form in OURS and heard.intact and heard.content[:1] and heard.content[0] in FIRST_BYTES:
                self._desk.arrived(heard.sender, heard.content, now_ms)
            else:
                self.counts["foreign"] += 1
        elif isinstance(heard, Card):
            self._adopt(heard, now_s)
        elif isinstance(heard, BitLimit):
            self._bits = heard.bits
        elif isinstance(heard, Feedback):
            self._settle(heard, now_s)

    def _adopt(self, card: Card, now_s: float) -> None:
        if self._dialect is Dialect.BDS3 and card.dialect is not Dialect.BDS3:
            return  # the second answer of a dual terminal
        self._dialect, self._card_s = card.dialect, now_s
        if card == self.card:
            return
        is_new = self.card is None or (self.card.address, self.card.period_s) != (card.address, card.period_s)
        if is_new and self.card is not None:
            self._bits = self._most_bits = None  # of the card before
        self.card = card
        if card.address is None:
            self._free_s = math.inf
            self._say("terminal without a card: put it in")
        elif is_new:
            self._free_s = now_s + card.period_s + MARGIN_S
            self._say(
                f"terminal {card.dialect.value}, card {card.address}, one message of {self._room_bytes()} bytes "
                f"every {card.period_s:g} s"
            )

    def _check_lost(self, now_s: float) -> None:
        if self._dialect is not None and now_s - self._card_s > LOST_AFTER_S:
            self._say("terminal does not answer any more; asking on")
            self._dialect = self.card = None
            self._free_s, self._ask_s = math.inf, now_s

    def _settle(self, feedback: Feedback, now_s: float) -> None:
        """What became of the message on the way. Of one given up it only says that the card is free again soon."""
        on_the_way, wait_s = self._waiting, feedback.wait_s or 0.0
        if feedback.outcome is Outcome.RELEASED:
            return
        if on_the_way is None:
            if self._late:
                self._used(now_s, wait_s)
            return
        if feedback.outcome is Outcome.SENT:
            self.counts["sent"] += 1
            self._refused = Outcome.SENT
            self._refusals = 0
            self._used(now_s, wait_s)
            return
        self.counts["not_sent"] += 1
        self._waiting, self._held = None, on_the_way
        if feedback.outcome is Outcome.TOO_EARLY:
            period_s = self.card.period_s if self.card else 0.0
            self._free_s = now_s + (wait_s or period_s) + MARGIN_S
            return
        self._free_s = now_s + (STOPPED_AGAIN_S if feedback.outcome in STOPPED else REFUSED_AGAIN_S)
        if feedback.outcome is Outcome.REFUSED:
            self._shorten(on_the_way)
        if feedback.outcome is not self._refused:
            self._refused = feedback.outcome
            self._say(f"terminal does not send: {feedback.outcome.value}; trying on")

    def _shorten(self, refused: _OnTheWay) -> None:
        """A refusal without a reason: after some of them the next receipt is to be smaller."""
        self._refusals += 1
        smaller = smaller_bits(len(refused.packet))
        if self._refusals < REFUSALS or smaller is None:
            return
        self._refusals, self._most_bits, self._held = 0, smaller, None
        self._say(f"terminal refuses {len(refused.packet)} bytes: receipts are kept to {mixed_bytes(smaller)} bytes")

    # -- sending -------------------------------------------------------------------------------------------------

    def _used(self, now_s: float, wait_s: float) -> None:
        self._waiting, self._late = None, False
        if self.card is not None:
            self._free_s = now_s + max(self.card.period_s, wait_s) + MARGIN_S

    def _send(self, now_s: float, now_ms: int) -> bytes:
        if self._waiting is not None or now_s < self._free_s or self.card is None or self.card.address is None:
            return b""
        message = self._next(now_s, now_ms)
        if message is None:
            return b""
        self._waiting = message
        return build(Send(self.card.dialect, message.to, message.packet, own=self.card.address))

    def _next(self, now_s: float, now_ms: int) -> _OnTheWay | None:
        held, self._held = self._held, None
        if held is not None and now_s - held.built_s <= HOLD_S:
            return _OnTheWay(held.to, held.packet, held.built_s, now_s)
        self.counts["dropped"] += held is not None
        following = self._desk.next_message(now_ms, self._room_bytes())
        return None if following is None else _OnTheWay(*following, now_s, now_s)

    def _room_bytes(self) -> int:
        assert self.card is not None
        bits = self._bits or UNKNOWN_BITS
        if self.card.dialect is not Dialect.BDS3:
            bits = LEVEL_BITS.get((self.card.level, self.card.encrypted), UNKNOWN_BITS)
        return mixed_bytes(min(bits, self._most_bits or bits))
