"""Seals what leaves and opens what comes: the root key, the packet counters, and the round trip of what was answered.

Counters are reserved durably ahead of use and belong to the store's epoch, so no key and nonce ever meet twice. What
was sent in this run is remembered for a while: only the answer to such a packet tells a round trip, or the time; an
old receipt played again tells nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from edge.keeper import Keeper
from edge.outbox import Outbox
from edge.wire import seal
from edge.wire.basics import WireError
from edge.wire.packet import Receipt, decode
from edge.wire.sheet import Sheet

COUNTERS_AT_ONCE = 1000  # packet counters reserved with one sync; the rest is lost at a restart, 2**40 there are
ECHOES_KEPT = 256  # packets whose round trip can still be measured


@dataclass(slots=True)
class _Counters:
    epoch: int
    next: int = 0
    end: int = 0


class Number(NamedTuple):
    """What makes a packet unique: the store's epoch and the packet counter in it."""

    epoch: int
    counter: int


class Sealing:
    """One gateway's. `refused` is told why a downlink packet was not taken."""

    def __init__(self, gateway: str, root_key: bytes, keeper: Keeper, refused: Callable[[str], None]) -> None:
        self._gateway = gateway
        self._root = root_key
        self._keeper = keeper
        self._refused = refused
        self._counters = _Counters(-1)
        self._sent: dict[Number, tuple[float, str]] = {}

    async def number(self) -> Number:
        """A number never given before. Raises StoreBroken."""
        counters = self._counters
        if counters.next >= counters.end or counters.epoch != self._keeper.sheet.epoch:

            def reserve(outbox: Outbox) -> _Counters:
                first = outbox.reserve_counters(COUNTERS_AT_ONCE)
                return _Counters(outbox.epoch, first, first + COUNTERS_AT_ONCE)

            counters = self._counters = await self._keeper.call(reserve)
        counters.next += 1
        return Number(counters.epoch, counters.next - 1)

    def seal(self, number: Number, sheet: Sheet | None, body: bytes, way: str, *, long: bool) -> bytes:
        """A packet, remembered as sent now on the link `way`."""
        while len(self._sent) >= ECHOES_KEPT:
            del self._sent[next(iter(self._sent))]
        self._sent[number] = (asyncio.get_running_loop().time(), way)
        return seal.seal(
            self._root, self._gateway, *number[:1], seal.Direction.UP, number.counter, sheet, body, long=long
        )

    def open(self, packet: bytes) -> tuple[Receipt, int] | None:
        """A genuine receipt and the epoch it was sealed under, which its entries have too where it names none; None
        for anything else, which is told to `refused`."""
        epochs = {self._keeper.sheet.epoch: -1}
        opened = seal.open_packet(packet, self._root, self._gateway, seal.Direction.DOWN, epochs)
        if isinstance(opened, seal.Noise):
            self._refused(opened.why)
            return None
        try:
            body = decode(opened.body, None)
        except WireError as error:
            self._refused(str(error))
            return None
        if not isinstance(body, Receipt):
            self._refused("it is not a receipt")
            return None
        return body, opened.epoch

    def answered(self, receipt: Receipt, epoch: int) -> tuple[str, float] | None:
        """The link and the round trip (s) of the packet that a receipt answers, if it was sent in this run. The time
        for which the province held that packet is not counted."""
        if receipt.echo is None:
            return None
        number = Number(epoch, receipt.echo)
        sent = self._sent.pop(number, None)
        if sent is None:
            return None
        sent_s, way = sent
        # What went the same way before and has no answer of its own was lost, or answered together with others.
        for earlier in [n for n, (_, other) in self._sent.items() if other == way and n < number]:
            del self._sent[earlier]
        return way, max(asyncio.get_running_loop().time() - sent_s - receipt.held_ms / 1000, 0.0)

    def unanswered_s(self, way: str) -> float:
        """For how long packets have gone out on a link without any answer: from the oldest of them to the newest, as
        one that was lost on a link that is at rest says nothing."""
        sent_s = [sent_s for sent_s, by in self._sent.values() if by == way]
        return max(sent_s) - min(sent_s) if sent_s else 0.0

    def forget(self) -> None:
        """The store has changed: what was sent from the old one is not waited for. Counters are reserved anew, also
        where it is the same store again: by that the next run sees that something was sent since it was opened."""
        self._sent.clear()
        self._counters = _Counters(-1)
