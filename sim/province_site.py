"""What the province remembers of one gateway while it runs: seqs received, sheets, parcels in pieces, receipts owed.

Sheets, epochs and seqs come back from the store after a restart. Pieces of parcels and owed receipts do not: a gateway
sends again what has no receipt. All of it is bounded; what is too much makes room, oldest first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from edge.contract import Kind
from edge.wire.basics import WireError
from edge.wire.packet import Fragment, Receipt
from edge.wire.seal import Opened
from edge.wire.sheet import Sheet

WAITING_PACKETS = 256  # for their sheet, of one gateway: 4 MB at 16 kB each
ASK_AGAIN_MS = 5_000  # for a sheet, of one gateway: one round trip by satellite and the sheet's own way, with room
ASK_NARROW_AGAIN_MS = 600_000  # over short messages: a sheet's way there takes minutes
MOST_PARCELS = 16  # in pieces, of one gateway: it sends one at a time, or a few
MOST_PARCEL_BYTES = 1 << 20  # in all of them: four of the largest sheets
DONE_PARCELS = 16  # remembered, so that pieces that come once more are answered
LOST_PIECES = 512  # remembered, of parcels given up: what a receipt's bitmap reaches, twice
OPEN_RECEIPTS = 3  # receipts whose ranges are said again: with 5 % loss, all of them are lost once in 8000
MOST_SEALING_EPOCHS = 4  # of one gateway with receipts owed: a new store is rare

ParcelKey = tuple[int, int]  # epoch, counter of its first packet


class Seqs:
    """The seqs received of one epoch, as closed ranges that never touch."""

    def __init__(self) -> None:
        self.low: list[int] = []
        self.high: list[int] = []

    def __contains__(self, seq: int) -> bool:
        place = bisect_left(self.high, seq)
        return place < len(self.low) and self.low[place] <= seq

    def add(self, low: int, high: int) -> None:
        """Takes in low..high, joining what it touches."""
        first, last = bisect_left(self.high, low - 1), bisect_right(self.low, high + 1)
        if first < last:
            low, high = min(low, self.low[first]), max(high, self.high[last - 1])
        self.low[first:last], self.high[first:last] = [low], [high]

    def around(self, seqs: Iterable[int]) -> list[tuple[int, int]]:
        """The ranges that hold `seqs`, ascending."""
        places = sorted({bisect_left(self.high, seq) for seq in seqs})
        return [(self.low[place], self.high[place]) for place in places]


@dataclass(frozen=True, slots=True)
class Took:
    """A genuine packet that is stored: which entries (`seqs` of `epoch`) it brought or completed, how many of them had
    come before. `ended`: it is the last piece of a parcel or makes it whole, and no sheet of its epoch was known."""

    sealed: int  # epoch of the packet
    counter: int
    epoch: int
    seqs: tuple[int, ...]
    kind: Kind
    repeated: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A sheet is missing; the receipt that asks for it is to be sealed under epoch `sealed`."""

    sealed: int
    short: int


@dataclass
class Parcel:
    """A parcel in pieces. `opened`: the packet that came last."""

    opened: Opened
    last: int
    chunks: dict[int, bytes] = field(default_factory=dict)
    counters: set[int] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        return len(self.chunks) > self.last

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.chunks.values()))

    def in_order(self) -> list[bytes]:
        return [self.chunks[index] for index in range(self.last + 1)]


class Parcels:
    """The parcels of one gateway that are not whole, or wait for their sheet. `lost`: (epoch, counter) of pieces that
    had to make room: to their gateway they count as not arrived."""

    def __init__(self) -> None:
        self._held: dict[ParcelKey, Parcel] = {}
        self._done: dict[ParcelKey, Took] = {}
        self.lost: deque[tuple[int, int]] = deque(maxlen=LOST_PIECES)

    def done(self, key: ParcelKey) -> Took | None:
        """What a parcel brought, if it has been whole before."""
        return self._done.get(key)

    def add(self, key: ParcelKey, opened: Opened, fragment: Fragment) -> Parcel:
        """Takes a piece in; gives its parcel. Raises WireError for one that does not belong to the others."""
        parcel = self._held.pop(key, None) or Parcel(opened, fragment.last)
        self._held[key] = parcel  # now the youngest
        if parcel.last != fragment.last:
            raise WireError(f"a fragment of 0..{fragment.last} in a parcel of 0..{parcel.last}")
        parcel.opened = opened
        parcel.chunks.setdefault(fragment.index, fragment.data)
        parcel.counters.add(opened.counter)
        self._make_room()
        return parcel

    def _make_room(self) -> None:
        while len(self._held) > 1 and (
            len(self._held) > MOST_PARCELS or sum(p.size_bytes for p in self._held.values()) > MOST_PARCEL_BYTES
        ):
            key = next(iter(self._held))
            self.lost.extend((key[0], counter) for counter in sorted(self._held.pop(key).counters))

    def finish(self, key: ParcelKey, took: Took | None) -> None:
        """The parcel is read (or can not be read: None): its pieces are not needed any more."""
        self._held.pop(key, None)
        if took is not None:
            self._done[key] = took
            while len(self._done) > DONE_PARCELS:
                del self._done[next(iter(self._done))]

    def whole(self) -> Iterator[tuple[ParcelKey, Parcel]]:
        """Those that wait for their sheet only."""
        yield from [(key, parcel) for key, parcel in self._held.items() if parcel.whole]


@dataclass
class Owed:
    """What a gateway is to be told over a narrow link, of the packets sealed under one epoch. `echo`: the highest
    counter that came that way; `new`: epoch of entries -> seqs no receipt has named since they came; `said`: of the
    last few receipts."""

    echo: int | None = None
    echo_at_ms: int = 0
    waiting: int = 0
    new: dict[int, Seqs] = field(default_factory=dict)
    said: deque[tuple[int, tuple[int, ...]]] = field(default_factory=lambda: deque(maxlen=OPEN_RECEIPTS))
    needs: list[int] = field(default_factory=list)

    def took(self, took: Took, now_ms: int) -> None:
        self.waiting += 1
        if self.echo is None or took.counter > self.echo:
            self.echo, self.echo_at_ms = took.counter, now_ms
        if took.seqs:
            new = self.new.setdefault(took.epoch, Seqs())
            for seq in took.seqs:
                new.add(seq, seq)

    def asked(self, short: int) -> None:
        if short not in self.needs:
            self.needs.append(short)

    def open(self, epoch: int) -> list[int]:
        """One seq of each range of `epoch` that the last receipts were about, in case one of them was lost."""
        return [seq for of, seqs in self.said if of == epoch for seq in seqs]

    def close(self, epoch: int, receipt: Receipt) -> None:
        """A receipt has been written, whose ranges are of `epoch`."""
        said = Seqs()
        for low, high in receipt.ranges:
            said.add(low, high)
        new = self.new.pop(epoch, Seqs())
        for low, high in zip(new.low, new.high, strict=True):
            if low not in said:
                self.new.setdefault(epoch, Seqs()).add(low, high)
        self.said.append((epoch, tuple(low for low in new.low if low in said)))
        self.needs = [short for short in self.needs if short not in receipt.need_sheets]
        self.waiting = len(self.new)  # what did not fit, or is of another epoch, needs one more


@dataclass
class Site:
    """What is known of one gateway. `epochs`: epoch -> highest uplink counter; sheets newest first; `owed` by the
    epoch that packets are sealed under. Of epochs the one heard last is at the end."""

    sheets: deque[Sheet] = field(default_factory=deque)
    epochs: dict[int, int] = field(default_factory=dict)
    seqs: dict[int, Seqs] = field(default_factory=dict)
    waiting: deque[bytes] = field(default_factory=lambda: deque(maxlen=WAITING_PACKETS))
    parcels: Parcels = field(default_factory=Parcels)
    owed: dict[int, Owed] = field(default_factory=dict)
    asked_at_ms: int | None = None

    def may_ask(self, now_ms: int, again_ms: int) -> bool:
        """Whether to ask for a sheet now. What names it is not proven genuine, so there is one allowance for all."""
        if self.asked_at_ms is not None and 0 <= now_ms - self.asked_at_ms < again_ms:
            return False
        self.asked_at_ms = now_ms
        return True

    def knows(self, epoch: int) -> bool:
        """Whether a sheet of this epoch is known."""
        return any(sheet.epoch == epoch for sheet in self.sheets)

    def received(self, epoch: int) -> Seqs:
        return self.seqs.setdefault(epoch, Seqs())

    def owing(self) -> int | None:
        """The epoch heard last of those whose packets are to be answered."""
        return next((epoch for epoch, owed in reversed(self.owed.items()) if owed.waiting or owed.needs), None)

    def owes(self, epoch: int) -> Owed:
        owed = self.owed[epoch] = self.owed.pop(epoch) if epoch in self.owed else Owed()
        while len(self.owed) > MOST_SEALING_EPOCHS:
            del self.owed[next(iter(self.owed))]
        return owed
