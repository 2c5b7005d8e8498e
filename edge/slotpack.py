"""What goes into one slot of a narrow link: rounds newest first, the packet filled, or a parcel of them.

Runs on the store's thread, like `edge.packing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from edge.contract import Kind
from edge.entries import Held
from edge.errors import DoesNotFit
from edge.outbox import Outbox
from edge.packing import Packed, Packer, row_of
from edge.ranges import RangeSet, to_ranges
from edge.wire.packet import RoundRow, pack_rounds
from edge.wire.sheet import Sheet

LOOK_ROWS = 500  # of what waits, from the newest back: some hours of a site that a narrow link can serve at all
MOST_ROWS = 64  # in one packet or parcel: bounds the time of packing (some 20 us a reading, a few trials)
HUGE_ROUND_PARCELS = 8  # one round that is larger than a parcel goes alone, in so many times its pieces
PIECE = Packed(Kind.FRAGMENT, b"", None, (), 0)  # of what was begun: which one is seen when it leaves
GOOD_ROWS = 3  # that many rounds a packet: single packets do, pieces would gain little and arrive later


@dataclass(frozen=True, slots=True)
class Due:
    """Alarms to be said, by seq, ascending. `tries`: how often each was. `alone`: they must speak for themselves; else
    they may, in `long_bytes`, if their sheet is this one. `plain`: those whose turn it is to be said so that anybody
    can read them. `begun`: the level of an alarm whose next piece has its turn, -1 for none."""

    seqs: Sequence[int]
    tries: Mapping[int, int]
    alone: bool
    sheet_row: int
    long_bytes: int
    plain: Collection[int] = ()
    plain_bytes: int = 0  # most, of one that is said so in pieces
    begun: int = -1


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rounds may go: those of `low`..`high` not in `skip`; `again`: seqs on the way without a receipt."""

    skip: RangeSet
    low: int
    high: int
    again: Sequence[int] = ()
    served_s: Mapping[tuple[int, int], float] = field(default_factory=dict)  # (sheet, group) -> when it went last
    fitted: Mapping[int, int] = field(default_factory=dict)  # group -> rounds that fitted last
    most_bytes: int = 0  # of a parcel
    most_rows: int = MOST_ROWS  # of what is fresh


def pack_alarms(packer: Packer, outbox: Outbox, due: Due, room_bytes: int) -> Packed | None:
    """The most urgent ones, as many as fit, or that piece if none is graver. One that is larger than the room is to go
    in pieces. Raises Unpackable."""
    packed = packer.alarms(outbox, due.seqs, due.tries, due.alone, room_bytes, pieces=True)
    if packed is None:
        return None
    if packed.level <= due.begun:
        return PIECE
    if packed.first in due.plain:
        seqs = [seq for seq in due.seqs if seq in due.plain]
        alone = packer.alarms(outbox, seqs, due.tries, True, due.long_bytes, pieces=True)
        if alone is not None and len(alone.body) <= max(due.long_bytes, due.plain_bytes):
            return replace(alone, plain=True)
    return packer.alone(outbox, packed, due.sheet_row, due.long_bytes)


def pack_rows(packer: Packer, outbox: Outbox, rows: Rows, room_bytes: int) -> Packed | None:
    """The newest rounds that wait, of the sheet and group that have waited longest (what came home from memory has
    another sheet, and is not to wait for a pause that never comes), and in the room that is left those that went
    before without a receipt. A body larger than the room is to go in pieces. Raises Unpackable, DoesNotFit."""
    waiting = outbox.rounds_back(rows.skip, rows.low, rows.high, LOOK_ROWS)
    if not waiting:
        return None
    first = min(waiting, key=lambda held: rows.served_s.get((held.sheet, held.group), -inf))
    fresh = [held for held in waiting if _kin(held, first)][: rows.most_rows]
    again = [held for held in outbox.held(rows.again) if held.kind is Kind.ROUNDS and _kin(held, first)]
    again.sort(key=lambda held: -held.seq)
    pack = _Pack(packer, outbox, first)
    single = pack.most([*fresh, *again], room_bytes, rows.fitted.get(first.group, 1))
    if single >= min(len(fresh), GOOD_ROWS):
        return pack.packed([*fresh, *again][:single], fresh)
    parcel = pack.most(fresh, rows.most_bytes, len(fresh)) or pack.most(
        fresh[:1], HUGE_ROUND_PARCELS * rows.most_bytes, 1
    )
    if not parcel:
        raise DoesNotFit(first.seq, "round")
    return pack.packed(fresh[:parcel], fresh)


def _kin(held: Held, other: Held) -> bool:
    return (held.sheet, held.group) == (other.sheet, other.group)


class _Pack:
    """Packs rounds of one sheet and group."""

    def __init__(self, packer: Packer, outbox: Outbox, first: Held) -> None:
        self.group = first.group
        self.sheet_row = first.sheet
        self.sheet: Sheet = packer.sheet_of(outbox, first)
        self.width = len(self.sheet.groups[first.group].points)

    def body(self, held: Sequence[Held], room_bytes: int) -> bytes:
        """All of these in one body, oldest first; b"" when they do not fit."""
        rows: list[RoundRow] = [row_of(entry, self.width) for entry in sorted(held, key=lambda entry: entry.seq)]
        body, taken = pack_rounds(self.sheet, self.group, rows, room_bytes)
        return body if taken == len(rows) else b""

    def most(self, held: Sequence[Held], room_bytes: int, guess: int) -> int:
        """How many from the front fit."""
        return largest(
            lambda count: bool(self.body(held[:count], room_bytes)), min(len(held), MOST_ROWS), max(1, guess)
        )

    def packed(self, held: Sequence[Held], fresh: Sequence[Held]) -> Packed:
        body = self.body(held, 1 << 16)
        seqs = {entry.seq for entry in fresh}
        return Packed(
            Kind.ROUNDS,
            body,
            self.sheet,
            tuple(to_ranges(entry.seq for entry in held)),
            sum(entry.readings for entry in held),
            fresh=tuple(to_ranges(entry.seq for entry in held if entry.seq in seqs)),
            group=self.group,
            rows=len(held),
            sheet_row=self.sheet_row,
        )


def largest(fits: Callable[[int], bool], most: int, guess: int) -> int:
    """The largest count up to `most` for which `fits`, 0 for none: what fits, fits with one less. Begins at `guess`."""
    low, high, count = 0, most + 1, min(guess, most)
    while low + 1 < high:
        if not low < count < high:
            count = (low + high) // 2
        if fits(count):
            low, count = count, count + 1
        else:
            high, count = count, count - 1
    return low
