"""The province's Beidou side: what arrives from the gateways' cards goes to `Province`, receipts go back one at a time.

`BeidouDesk` decides, and only that: no terminal, no clock. All gateways share the one commanding card, and every
receipt takes its slot, so a receipt waits for a reason: first the gateways that have just told an alarm, or asked for
an answer, or whose sheet is missing, by turns with those that have waited for RECEIPT_AGE_MS, so that neither starves
the others; then those with RECEIPT_EVERY packets. It is built when the card is free and not before, so it covers all
that has come until then. One that is lost is made good by the next: a gateway repeats what it has no word of.
`sim.beidou.station` is the terminal's side of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from sim.province import Province
from sim.province_keys import GATEWAY_ID

RECEIPT_EVERY = 12  # packets: at most one downlink message for 10 uplink ones, with room for the urgent ones
URGENT_APART_MS = 20_000  # of one gateway: alarms that come one after the other are answered together
RECEIPT_AGE_MS = 720_000  # 12 packets of a civil card take so long; also when it sends less often
LINK = "beidou"  # in the province's table of packets
HIGHEST_CARD = 99_999_999  # 8 digits on BDS-3, 7 before
LEAST_ROOM_BYTES = 50  # of a card of level 2, which does; below, a receipt may not fit
STRANGERS = 1_000  # cards told apart that no gateway is known for; each is said once


class _Reason(IntEnum):
    """In this order, save that URGENT and AGED take turns."""

    URGENT = 0
    AGED = 1
    MANY = 2


@dataclass
class _Waiting:
    """A gateway without a receipt for its last `packets`, the first of which came at `since_ms`."""

    since_ms: int
    card: int = 0
    packets: int = 0
    urgent_ms: int | None = None  # since when, at the earliest

    def reason(self, now_ms: int) -> _Reason | None:
        """To answer it now; None for none."""
        if self.urgent_ms is not None and now_ms >= self.urgent_ms:
            return _Reason.URGENT
        if now_ms - self.since_ms >= RECEIPT_AGE_MS:
            return _Reason.AGED
        return _Reason.MANY if self.packets >= RECEIPT_EVERY else None


@dataclass
class BeidouDesk:
    """`cards`: number of a gateway's card -> gateway id. `counts`: arrived, noise, stranger, receipts."""

    province: Province
    cards: Mapping[int, str]
    say: Callable[[str], None] = lambda _line: None
    counts: Counter[str] = field(default_factory=Counter)
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _strangers: set[int] = field(default_factory=set)
    _answered_ms: dict[str, int] = field(default_factory=dict)
    _last: _Reason | None = None  # of the receipt before
    _too_small_bytes: int | None = None

    def arrived(self, sender: int, packet: bytes, now_ms: int) -> None:
        """A message from card `sender` that may be a packet of ours. Stored when this returns."""
        gateway = self.cards.get(sender)
        if gateway is None:
            self._stranger(sender)
            return
        stored = self.province.store_narrow(gateway, packet, now_ms, link=LINK)
        if stored is None:
            self.counts["noise"] += 1
            return
        self.counts["arrived"] += 1
        if not stored.urgent and not stored.waiting:
            return  # came twice
        waiting = self._waiting.setdefault(gateway, _Waiting(now_ms))
        if not waiting.packets:
            waiting.since_ms = now_ms
        waiting.card = sender  # the answer goes to the card it came from: a gateway's card may be exchanged
        waiting.packets = stored.waiting
        if stored.urgent and waiting.urgent_ms is None:
            waiting.urgent_ms = max(now_ms, self._answered_ms.get(gateway, 0) + URGENT_APART_MS)

    def next_message(self, now_ms: int, room_bytes: int) -> tuple[int, bytes] | None:
        """The card is free: the receipt to be sent now (card number, packet), if there is a reason to send one."""
        due = [(r, w.since_ms, gateway) for gateway, w in self._waiting.items() if (r := w.reason(now_ms)) is not None]
        first = _Reason.AGED if self._last is _Reason.URGENT else _Reason.URGENT
        for reason, _, gateway in sorted(due, key=lambda it: (it[0] is not first, *it)):
            waiting = self._waiting.pop(gateway)
            packet = self.province.receipt(gateway, now_ms, room_bytes)
            if packet is not None:
                self.counts["receipts"] += 1
                self._answered_ms[gateway], self._last = now_ms, reason
                self._waiting[gateway] = _Waiting(now_ms, waiting.card)  # what did not fit follows when its time comes
                return waiting.card, packet
            self._check_room(room_bytes)
        return None

    def _check_room(self, room_bytes: int) -> None:
        """A receipt could not be built: perhaps no receipt ever fits into a message of the province's card."""
        if room_bytes < LEAST_ROOM_BYTES and room_bytes != self._too_small_bytes:
            self._too_small_bytes = room_bytes
            self.say(
                f"the commanding card takes messages of {room_bytes} bytes, too small for a receipt: no gateway gets "
                "an answer over Beidou. Get a card of level 3 (77 bytes)"
            )

    def _stranger(self, sender: int) -> None:
        self.counts["stranger"] += 1
        if sender not in self._strangers and len(self._strangers) < STRANGERS:
            self._strangers.add(sender)
            self.say(f"message from card {sender}, which belongs to no gateway known here: --beidou-card {sender}=ID")


def parse_card(text: str) -> tuple[int, str]:
    """`4207733=tailings-pond-3`: card number and gateway id. Raises ValueError with a sentence."""
    number, _, gateway = text.partition("=")
    if not number.isascii() or not number.isdigit() or not 0 < int(number) <= HIGHEST_CARD:
        raise ValueError(f"{text!r}: a card number of up to 8 digits, then = and the gateway's id")
    if not GATEWAY_ID.fullmatch(gateway):
        raise ValueError(f"{text!r}: {gateway!r} is no gateway id (small letters, digits, . _ -)")
    return int(number), gateway
