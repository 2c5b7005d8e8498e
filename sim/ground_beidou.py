"""The province's Beidou side: what arrives from the gateways' cards goes to `Province`, receipts go back one at a time.

`BeidouDesk` decides, and only that: no terminal, no clock. All gateways share the one commanding card, and every
receipt takes its slot, so a receipt waits for a reason: first the gateways that have just told an alarm, or asked for
an answer, or whose sheet is missing; then those with RECEIPT_EVERY packets, or RECEIPT_AGE_MS, without one. It is built
when the card is free and not before, so it covers all that has come until then. One that is lost is made good by the
next: a gateway repeats what it has no word of.
`sim.beidou.station` is the terminal's side of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sim.province import Province
from sim.province_keys import GATEWAY_ID

RECEIPT_EVERY = 12  # packets: at most one downlink message for 10 uplink ones, with room for the urgent ones
RECEIPT_AGE_MS = 720_000  # 12 packets of a civil card take so long; also when it sends less often
LINK = "beidou"  # in the province's table of packets
HIGHEST_CARD = 9_999_999  # 7 digits
STRANGERS = 1_000  # cards told apart that no gateway is known for; each is said once


@dataclass
class _Waiting:
    """A gateway without a receipt for its last `packets`, the first of which came at `since_ms`."""

    since_ms: int
    card: int = 0
    packets: int = 0
    urgent: bool = False

    def is_due(self, now_ms: int) -> bool:
        return self.urgent or self.packets >= RECEIPT_EVERY or now_ms - self.since_ms >= RECEIPT_AGE_MS


@dataclass
class BeidouDesk:
    """`cards`: number of a gateway's card -> gateway id. `counts`: arrived, noise, stranger, receipts."""

    province: Province
    cards: Mapping[int, str]
    say: Callable[[str], None] = lambda _line: None
    counts: Counter[str] = field(default_factory=Counter)
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _strangers: set[int] = field(default_factory=set)

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
        waiting.urgent |= stored.urgent

    def next_message(self, now_ms: int, room_bytes: int) -> tuple[int, bytes] | None:
        """The card is free: the receipt to be sent now (card number, packet), if there is a reason to send one."""
        due = [(not w.urgent, w.since_ms, gateway) for gateway, w in self._waiting.items() if w.is_due(now_ms)]
        for _, _, gateway in sorted(due):
            waiting = self._waiting.pop(gateway)
            packet = self.province.receipt(gateway, now_ms, room_bytes)
            if packet is not None:
                self.counts["receipts"] += 1
                self._waiting[gateway] = _Waiting(now_ms, waiting.card)  # what did not fit follows when its time comes
                return waiting.card, packet
        return None

    def _stranger(self, sender: int) -> None:
        self.counts["stranger"] += 1
        if sender not in self._strangers and len(self._strangers) < STRANGERS:
            self._strangers.add(sender)
            self.say(f"message from card {sender}, which belongs to no gateway known here: --beidou-card {sender}=ID")


def parse_card(text: str) -> tuple[int, str]:
    """`4207733=tailings-pond-3`: card number and gateway id. Raises ValueError with a sentence."""
    number, _, gateway = text.partition("=")
    if not number.isascii() or not number.isdigit() or not 0 < int(number) <= HIGHEST_CARD:
        raise ValueError(f"{text!r}: a card number of up to 7 digits, then = and the gateway's id")
    if not GATEWAY_ID.fullmatch(gateway):
        raise ValueError(f"{text!r}: {gateway!r} is no gateway id (small letters, digits, . _ -)")
    return int(number), gateway
