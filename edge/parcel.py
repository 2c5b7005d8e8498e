"""A body too large for one packet of a narrow link, cut into pieces; only pieces that did not arrive are sent again.

Every piece is a packet of its own, known by its packet counter. The province's receipts say which counters have
arrived; one that is not spoken of for `patience_s` goes again. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from edge.packing import Packed
from edge.transit import Flight
from edge.wire.packet import FRAGMENT_HEAD_BYTES, Receipt, encode_fragment

MOST_BACK = 1 << 14  # packets since its first piece: what FRAGMENT_HEAD_BYTES has room for
REORDER_S = 30.0  # a message sent earlier may arrive later by some seconds (facts, beidou 5): not missed before


@dataclass(slots=True)
class Piece:
    data: bytes
    counter: int | None = None  # of the packet that carried it last
    sent_s: float = -inf
    arrived: bool = False


class Parcel:
    """One body on its way. `flight`: the entries in it, or None for what is no entry."""

    def __init__(self, packed: Packed, chunks: Sequence[bytes], patience_s: float) -> None:
        self.packed = packed
        self.pieces = [Piece(data) for data in chunks]
        self.patience_s = patience_s
        self.flight: Flight | None = None
        self.first_counter: int | None = None

    @property
    def done(self) -> bool:
        return all(piece.arrived for piece in self.pieces)

    def due_s(self) -> float:
        """When the next piece is due; inf when all have arrived."""
        return min((p.sent_s + self.patience_s for p in self.pieces if not p.arrived), default=inf)

    def fits(self, room_bytes: int) -> bool:
        """Whether its pieces still go into a packet with so much room: a card may have been exchanged."""
        return len(self.pieces[0].data) + FRAGMENT_HEAD_BYTES <= room_bytes

    def unsent(self) -> int:
        """How many pieces have never been handed over."""
        return sum(piece.counter is None for piece in self.pieces)

    def take(self, counter: int, now_s: float) -> tuple[int, bytes]:
        """(which, body) of the next piece, to be sealed under `counter`."""
        if self.first_counter is None:
            self.first_counter = counter
        which = min(
            (index for index, piece in enumerate(self.pieces) if not piece.arrived),
            key=lambda index: (self.pieces[index].sent_s, index),
        )
        piece = self.pieces[which]
        piece.counter, piece.sent_s = counter, now_s
        body = encode_fragment(counter - self.first_counter, which, len(self.pieces) - 1, piece.data)
        return which, body

    def again(self) -> None:
        """What has not arrived is due at once."""
        for piece in self.pieces:
            piece.sent_s = -inf

    def not_sent(self, which: int) -> None:
        """It surely did not leave: it is the next again. Its counter stays: the parcel is named after the first."""
        self.pieces[which].sent_s = -inf

    def receipt(self, receipt: Receipt, now_s: float) -> None:
        """Notes what the province says of the pieces."""
        for piece in self.pieces:
            if piece.counter is None or piece.arrived:
                continue
            missing = receipt.missing(piece.counter)
            if missing is False:
                piece.arrived = True
            elif missing and now_s - piece.sent_s > REORDER_S:
                piece.sent_s = -inf
