"""From one store to another while the gateway runs: out of memory when the disk is back, or into a new file where
somebody has deleted the old one. The keeper (edge/keeper.py) carries it out; here are its parts.

The store to come is opened by `open_store` while nobody uses it, on a thread of its own and for as long as it takes:
only one is opened at a time, so none is ever left behind to move the files of the one in use. There it is also made
sure that it is what it was: an older copy of itself begins a new epoch, as its seqs and packet counters were given
before; what is in doubt is taken back. Then it becomes the store, with the few things (alarms, sheets, status) of the
one that is left; rounds and summaries follow in batches (`Leaving`), and between two of them everybody else has their
turn. An entry is taken over durably first and let go of then, and has one identity in both: what comes twice is not
taken twice. Receipts go to both. May not hold a lock, nor wait.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from edge import doubt as doubts
from edge.contract import ClockQuality, Kind
from edge.entries import Before, Held, NewEntry, SheetNow
from edge.errors import StoreBroken
from edge.ledger import DAMAGED
from edge.outbox import Outbox
from edge.outbox_home import BATCH_ENTRIES, BULK_KINDS, Doubt
from edge.salvage import Saved
from edge.wire.basics import WireError
from edge.wire.sheet import Sheet

MakeSheet = Callable[[int, int, list[bytes]], tuple[bytes, bytes]]
"""(epoch, next seq, bodies of sheets the store has) -> (digest, body): an old one when it still says the same."""

ALARMS_MOST = 200  # without a receipt, that memory takes along; the others are sent when the disk is back
OLDER = "is an older copy of itself (a restored or cloned card?): a new epoch begins, {} entries are kept"


class Given(NamedTuple):
    """What a store had given when it was last used: its highest seq and packet counter."""

    seq: int
    counter: int


class Overtaken(NamedTuple):
    """What of a store is to get new names: the province has entries of its epoch that it never gave, so what it gave
    above `seq` in this run means something else there. `epoch`: the one they get, the same however often it is tried
    and in whichever store they are by then."""

    seq: int
    epoch: int

    @classmethod
    def above(cls, seq: int) -> Overtaken:
        return cls(seq, secrets.randbits(32))


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be opened, and what is known of it. `left`: the file that had its name, which is still open; `given`:
    by epoch, of the stores used before in this run; `overtaken`: by epoch, those that must begin a new one first."""

    folder: Path
    quota_bytes: int
    stamp: str
    boot: int
    make_sheet: MakeSheet
    distrust: bool = False
    left: Outbox | None = None
    given: Mapping[int, Given] = field(default_factory=dict)
    doubts: Mapping[int, Doubt] = field(default_factory=dict)
    overtaken: Mapping[int, Overtaken] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opened:
    """A store ready to be used, with what limits go on from, the newest time it knew, and what is to be said.
    `alarms`: those it holds, the newest; `was`: its epoch before a new one began."""

    box: Outbox
    sheet: SheetNow
    before: Before
    newest_ms: int
    said: list[str]
    alarms: list[Saved] = field(default_factory=list)
    was: int | None = None
    past: list[bytes] = field(default_factory=list)


def open_store(ask: Ask) -> Opened:
    """Opens the store in the folder of `ask`. Blocks as long as the disk does. Raises StoreBroken."""
    if ask.left is not None:
        ask.left.leave_name()
    try:
        doubtful = next(reversed([*ask.doubts.values()]), None)
        open_it = partial(Outbox.open, ask.folder, ask.quota_bytes, ask.stamp)
        rename = partial(renamed, overtaken=ask.overtaken, make_sheet=ask.make_sheet)
        box, said = open_it(distrust=ask.distrust, doubtful=doubtful, rename=rename)
    except DAMAGED as error:  # that nobody thought of
        raise StoreBroken(str(ask.folder), f"{type(error).__name__}: {error}", damaged=True) from error
    try:
        before, newest_ms, past = box.before(), box.newest_ms(), box.past()
        was, more = _begin_anew(box, ask)
        said += more
        sheet = prepare(box, ask.make_sheet, ask.boot)
        if not box.salvaging:  # a broken file may be what it speaks of
            doubts.forget(ask.folder)
        return Opened(box, sheet, before, newest_ms, said, newest_alarms(box, ask.boot), was, past)
    except StoreBroken:
        box.close()
        raise
    except DAMAGED as error:
        box.close()
        raise StoreBroken(box.path, f"{type(error).__name__}: {error}", damaged=True) from error


def _begin_anew(box: Outbox, ask: Ask) -> tuple[int | None, list[str]]:
    """A new epoch where it must be: the one that it was in until now, None where it goes on; and what is to be said."""
    was, over = box.epoch, ask.overtaken.get(box.epoch)
    if _is_older(box, ask):
        seq = box.opened_seq if over is None else min(box.opened_seq, over.seq)
        return was, [OLDER.format(box.renew(ask.make_sheet, None, seq))]
    said = _take_back(box, ask)
    if over is None:
        return None, said
    return was, [*said, OLDER.format(box.renew(ask.make_sheet, over.epoch, over.seq))]


def _is_older(box: Outbox, ask: Ask) -> bool:
    """Whether it is a copy from before what was given under its epoch."""
    if ask.left is not None and box.epoch == ask.left.epoch:
        return True  # the one that had its name goes on giving seqs until this one is used
    given = ask.given.get(box.epoch)
    return given is not None and (box.last_seq() < given.seq or box.counter_high < given.counter)


def _take_back(box: Outbox, ask: Ask) -> list[str]:
    """Entries in doubt, of this run or as the last one left word of."""
    doubt = ask.doubts.get(box.epoch)
    if doubt is not None:
        box.take_back(doubt)
        return []
    noted = doubts.noted(ask.folder)
    sane = noted is not None and noted.high <= box.last_seq() + doubts.MOST_SEQS
    taken = box.take_back(noted) if noted is not None and sane else 0
    return [f"{taken} rounds of a commit that had failed were sent before the last stop: taken back"] if taken else []


def prepare(box: Outbox, make_sheet: MakeSheet, boot: int) -> SheetNow:
    """Makes a store ready to take entries: the site's sheet is in it. Blocking; raises StoreBroken."""
    box.set_boot(boot)
    bodies = box.sheet_bodies()
    digest, body = make_sheet(box.epoch, box.last_seq() + 1, bodies)
    sheet_id, new = box.sheet_id(digest, box.epoch, body)
    # Memory that was emptied and is needed again: its sheet went home with the rest, and may be on the way still.
    if new or (not box.durable and all(kind is not Kind.SHEET for _, kind in box.first_things())):
        box.commit([NewEntry(Kind.SHEET, 0, 0, ClockQuality.FREE, 0, b"", sheet_id)])
    box.forget_sheets(sheet_id)
    return SheetNow(sheet_id, box.epoch, body)


def newest_alarms(box: Outbox, boot: int) -> list[Saved]:
    """The newest alarms that a store holds, as another one takes them. Blocking; raises StoreBroken."""
    seqs = [seq for seq, kind in box.first_things() if kind is Kind.ALARM][-ALARMS_MOST:]
    return box.batch(seqs, 0, boot)[0] if seqs else []


def renamed(saved: Iterable[Saved], overtaken: Mapping[int, Overtaken], make_sheet: MakeSheet) -> list[Saved]:
    """Entries of this run under the names that they get when a new epoch begins in the store that gave them."""
    found: list[Saved] = []
    sheets: dict[int, tuple[bytes, bytes]] = {}
    for one in saved:
        over = overtaken.get(one.epoch)
        if over is not None and one.entry.wire_seq > over.seq:
            if over.epoch not in sheets:
                sheets[over.epoch] = make_sheet(over.epoch, over.seq + 1, [])
            digest, body = sheets[over.epoch]
            one = one._replace(epoch=over.epoch, sheet_body=body, sheet_digest=digest)
        found.append(one)
    return found


class Alarms:
    """The alarms of a store on the disk that have no receipt yet, by epoch and seq: should the disk fail before they
    are out, memory takes them along, under the same names."""

    def __init__(self, saved: Iterable[Saved] = ()) -> None:
        self._held: dict[tuple[int, int], Saved] = {}
        self.moved(saved)

    def taken(self, epoch: int, sheet: SheetNow, boot: int, entries: Iterable[tuple[int, NewEntry]]) -> None:
        """Entries just committed."""
        for seq, entry in entries:
            if entry.kind is Kind.ALARM:
                held = Held(seq, entry.kind, sheet.id, *entry[1:6], None)
                self.moved([Saved(held, epoch, sheet.body, b"", boot)])

    def moved(self, saved: Iterable[Saved], *, old: bool = False) -> None:
        """Entries just brought; `old`: from before this run."""
        brought = {(one.epoch, one.entry.wire_seq): one for one in saved if one.entry.kind is Kind.ALARM}
        self._held = brought | self._held if old else self._held | brought
        for name in list(self._held)[:-ALARMS_MOST]:
            del self._held[name]

    def settled(self, epoch: int, low: int, high: int) -> None:
        """The province has these."""
        for name in [name for name in self._held if name[0] == epoch and low <= name[1] <= high]:
            del self._held[name]

    def all(self) -> list[Saved]:
        """As another store takes them."""
        with contextlib.suppress(WireError, TypeError):  # a damaged sheet: they stay on the disk
            return [
                one if one.sheet_digest else one._replace(sheet_digest=Sheet.decode(one.sheet_body).digest)
                for one in self._held.values()
            ]
        return []


class Leaving:
    """A store that is left, and how far: the few things first, then all else from the oldest on."""

    def __init__(self, box: Outbox) -> None:
        self.box = box
        self.moved = 0
        self.last_seq = box.good_seq  # nothing is added any more
        self._seq = 0
        self._few: list[int] | None = None
        self._next: tuple[list[int], int] = ([], 0)

    @property
    def done(self) -> bool:
        return self._few == [] and self._seq >= self.last_seq

    def batch(self, boot: int) -> list[Saved]:
        """What goes next. Blocking; raises StoreBroken. The same again until `taken`."""
        few = self.box.few() if self._few is None else self._few
        if few:
            self._next = few[BATCH_ENTRIES:], self._seq
            return self.box.batch(few[:BATCH_ENTRIES], 0, boot)[0]
        found, seq = self.box.batch((), self._seq, boot)
        self._next = [], seq
        return [one for one in found if one.entry.kind in BULK_KINDS]

    def taken(self, count: int) -> None:
        """The batch is in the other store."""
        self.moved += count
        self._few, self._seq = self._next

    def give_up(self) -> None:
        """The rest can not be read any more."""
        self._few, self._seq = self._next = [], self.last_seq
