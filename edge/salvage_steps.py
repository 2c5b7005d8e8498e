"""What a broken store file held comes over in steps, while work goes on: `Outbox.open` takes the few (alarms, sheets,
where limits stand), `salvage_step` the rest, oldest first. See edge/salvage.py for how it is read.

A broken file waits under one of WAITING names. How far it has been read stands in the new store (table under_way), in
the same transaction as what was taken: a cut neither loses the rest nor takes anything twice. When a file is through it
gets a dated name and is kept for a while. A store that breaks while another one still waits begins to wait too.

A step stays below SALVAGE_UP_TO of the quota, so folding (edge/fold.py) comes before anything is evicted. May not
evict what the store holds for what the broken one held, but for an alarm.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cbor2

from edge import limit_note
from edge.contract import Kind
from edge.doubt import noted
from edge.entries import Commit, Standing
from edge.ledger import DAMAGED, ROW_BYTES, Books, Why
from edge.outbox_file import disk, forget_old, put_aside
from edge.outbox_home import Doubt
from edge.outbox_room import OutboxRoom
from edge.outbox_write import piece_of
from edge.salvage import FIRST_KINDS, LAST_SEQ, Locked, Saved, Source, mend_head

WAITING_MOST = 3  # broken files that wait; each is as large as the quota at most
WAITING = ("outbox.salvage.db", *(f"outbox.salvage-{number}.db" for number in range(2, WAITING_MOST + 1)))
FEW_S = 1.0  # at the start, before work begins: tens of thousands of alarms
FEW_WORK = "few:"
STEP_ENTRIES = 2000  # in one step: 30 to 50 ms on two cores of a server
STEP_BYTES = 250_000  # of bodies: the log of the step, and memory
READ_SHARE = 0.4  # of the time of a step; the rest is for writing
SALVAGE_UP_TO = 0.9  # of the quota: above the ladder's 0.85, below the reserve for alarms
INDEX_BYTES = 16  # about, of an adopted entry beside what any entry takes


class Salvaged(NamedTuple):
    """A step. `taken`: entries; `left`: seqs that have not been looked at, at most; `done`: what is to be said when a
    file is through, else "". `short`: room is short, folding is to make some. `commit`: what changed in the store.
    `standings`: where limits stood, of a file that could not be read before. `waits`: why it can not be read now."""

    taken: int
    left: int
    done: str = ""
    short: bool = False
    commit: Commit | None = None
    standings: Sequence[Standing] = ()
    waits: str = ""


@dataclass(slots=True)
class Progress:
    """How far a file has been read: `next_seq` of `high`; `few`: kind -> the seq from which on all were taken at the
    start. Counts: entries saved, seqs that could not be read, entries without room. `doubtful`: as for `salvage_step`,
    as it was known at the start."""

    next_seq: int = 1
    high: int = 0
    few: dict[int, int] = field(default_factory=dict)
    saved: int = 0
    unreadable: int = 0
    evicted: int = 0
    doubtful: Doubt | None = None

    def encode(self) -> bytes:
        counts = (self.saved, self.unreadable, self.evicted)
        return cbor2.dumps([self.next_seq, self.high, self.few, *counts, self.doubtful])

    @classmethod
    def decode(cls, data: bytes) -> Progress | None:
        """None for what makes no sense: the file is begun again, and what was taken is not taken twice."""
        try:
            next_seq, high, few, saved, unreadable, evicted, doubtful = cbor2.loads(data)
            doubt = None
            if doubtful:
                of, low, above, rounds_only = doubtful
                doubt = Doubt(int(of), int(low), int(above), bool(rounds_only))
            return cls(int(next_seq), int(high), dict(few), int(saved), int(unreadable), int(evicted), doubt)
        except DAMAGED:
            return None

    def has(self, one: Saved) -> bool:
        """Whether an entry was taken at the start."""
        return one.entry.seq >= self.few.get(one.entry.kind, LAST_SEQ)


def waiting(folder: Path) -> list[Path]:
    """Broken files that wait, the latest first."""
    return [folder / name for name in reversed(WAITING) if (folder / name).exists()]


def next_name(folder: Path, stamp: str) -> Path:
    """Where a broken file goes: to wait, or merely to be kept while too many wait."""
    there = waiting(folder)
    place = WAITING.index(there[0].name) + 1 if there else 0
    return folder / WAITING[place] if place < len(WAITING) else unused(folder, stamp)


def unused(folder: Path, stamp: str) -> Path:
    """A dated name that no file has yet: two may break in one second."""
    names = [f"outbox.broken-{stamp}.db", *(f"outbox.broken-{stamp}-{n}.db" for n in range(2, 100))]
    return next((folder / name for name in names if not (folder / name).exists()), folder / names[-1])


class Salvaging(OutboxRoom):
    """Takes over what broken files in its folder held."""

    def __init__(self, connection: sqlite3.Connection, path: str, quota_bytes: int) -> None:
        super().__init__(connection, path, quota_bytes)
        self._stamp = ""

    def _begin_salvage(self, stamp: str, doubtful: Doubt | None) -> int:
        """Takes the few of each file that waits, for FEW_S in all, and where limits stand; returns how many. What is
        known of a limit here is newer. A file that can not be read now is left to `salvage_step`. Notes of files that
        are gone go too."""
        self._stamp = stamp
        there = waiting(Path(self.path).parent)
        self.salvaging = bool(there)
        until_s = time.monotonic() + FEW_S
        noted = self._db.execute("SELECT name FROM under_way WHERE name LIKE ?", (f"{FEW_WORK}%",)).fetchall()
        gone = [name for (name,) in noted if name not in {FEW_WORK + file.name for file in there}]
        if gone:
            with self._transaction():
                for name in gone:
                    self._note(name, b"")
        count = 0
        for file in there:
            if not self._noted(FEW_WORK + file.name):
                with contextlib.suppress(Locked):
                    count += self._take_few(file, until_s, doubtful, Commit())[0]
        return count

    def _take_few(self, file: Path, until_s: float, doubtful: Doubt | None, done: Commit) -> tuple[int, list[Standing]]:
        """How many were taken, and where limits stood that are not known here. Raises Locked."""
        doubtful = doubtful or noted(file.parent)
        mend_head(file)
        source = Source(file)
        try:
            low, high = source.span()
            progress = Progress(low, high, doubtful=doubtful)
            found: list[Saved] = []
            for kind in FIRST_KINDS:
                some, progress.few[kind] = source.few(kind, LAST_SEQ, until_s)
                found += some
            found = [one for one in sorted(found, key=lambda one: one.entry.seq) if not _doubted(one, doubtful)]
            standings = source.standings()
        finally:
            source.close()
        with self._transaction() as books:
            known = {row[0] for row in self._db.execute("SELECT id FROM limit_now")}
            standings = [standing for standing in standings if standing.id not in known]
            self._stand(standings)
            limit_note.was_lost(self._db)
            self._make_room(books, [one.entry for one in found], done)
            done.things = self._take_over(books, found)
            progress.saved = len(done.things)
            self._note(FEW_WORK + file.name, progress.encode())
            done.used_bytes, done.last_seq = self._used_bytes(), self.last_seq()
        return progress.saved, standings

    def salvage_step(self, most_s: float = 0.1, *, doubtful: Doubt | None = None, squeeze: bool = False) -> Salvaged:
        """Takes over a bounded number of entries of a broken file, in one durable transaction.

        `doubtful`: entries that are not taken; their commit failed as far as anybody was told, and they were taken
        again. `squeeze`: folding can make no more room; what does not fit is
        counted as evicted. Raises StoreBroken.
        """
        with self._guard():
            return self._salvage(most_s, doubtful, squeeze)

    def _salvage(self, most_s: float, doubtful: Doubt | None, squeeze: bool) -> Salvaged:
        there = waiting(Path(self.path).parent)
        self.salvaging = bool(there)
        if not there:
            return Salvaged(0, 0)
        until_s = time.monotonic() + most_s * READ_SHARE
        try:
            late = next((file for file in there if not self._noted(FEW_WORK + file.name)), None)
            if late is not None:  # it could not be read when this store was opened
                few = Commit(came=True)
                taken, standings = self._take_few(late, until_s, doubtful, few)
                return Salvaged(taken, 1, commit=few, standings=standings)
            return self._rest(there[0], until_s, doubtful, squeeze)
        except Locked as error:
            return Salvaged(0, 1, waits=str(error))

    def _rest(self, file: Path, until_s: float, doubtful: Doubt | None, squeeze: bool) -> Salvaged:
        source = Source(file)
        try:
            progress = Progress.decode(self._noted(FEW_WORK + file.name)) or Progress(*source.span())
            swept = source.sweep(progress.next_seq, progress.high, STEP_ENTRIES, STEP_BYTES, until_s)
            held = source.held()
        finally:
            source.close()
        doubts = (doubtful, progress.doubtful)
        wanted = [one for one in swept.saved if not progress.has(one) and not any(_doubted(one, it) for it in doubts)]
        done, fit = Commit(came=True), self._fitting(wanted)
        short = bool(wanted) and not fit
        with self._transaction() as books:
            before = progress.saved
            self._take_fitting(books, wanted, fit, short and squeeze, progress, done)
            if fit < len(wanted) and not (short and squeeze):
                swept = swept._replace(next_seq=wanted[fit].entry.seq)
            progress.next_seq = swept.next_seq
            progress.unreadable += swept.unreadable
            self._note(FEW_WORK + file.name, progress.encode())
            done.used_bytes, done.last_seq = self._used_bytes(), self.last_seq()
        taken = progress.saved - before
        left = max(0, progress.high + 1 - progress.next_seq)
        if left:
            return Salvaged(taken, left, "", short and not squeeze, done)
        if held is not None:  # seqs that could not be read need not have been held any more
            progress.unreadable = min(progress.unreadable, max(0, held - progress.saved - progress.evicted))
        return self._through(file, progress)._replace(taken=taken, commit=done)

    def _fitting(self, wanted: Sequence[Saved]) -> int:
        """How many of these, from the first on, surely have room."""
        room_bytes = int(SALVAGE_UP_TO * self.quota_bytes) - self._used_bytes()
        for place, one in enumerate(wanted):
            room_bytes -= (len(one.entry.body) + ROW_BYTES + INDEX_BYTES) * 5 // 4
            if room_bytes < 0 and one.entry.kind in (Kind.ROUNDS, Kind.SUMMARY):
                return place
        return len(wanted)

    def _take_fitting(
        self, books: Books, wanted: Sequence[Saved], fit: int, give_up: bool, progress: Progress, done: Commit
    ) -> None:
        few = [one.entry for one in wanted[:fit] if one.entry.kind not in (Kind.ROUNDS, Kind.SUMMARY)]
        if few:
            self._make_room(books, few, done)
        taken = self._take_over(books, wanted[:fit])
        if give_up:
            more = [one for one in wanted[fit:] if one.entry.kind not in (Kind.ROUNDS, Kind.SUMMARY)]
            self._make_room(books, [one.entry for one in more], done)
            taken += self._take_over(books, more)
            for one in wanted[fit:]:
                if one.entry.kind in (Kind.ROUNDS, Kind.SUMMARY):
                    self._give_up(books, one)
                    progress.evicted += 1
        progress.saved += len(taken)
        done.things = [(seq, kind) for seq, kind in taken if kind not in (Kind.ROUNDS, Kind.SUMMARY)]

    def _give_up(self, books: Books, one: Saved) -> None:
        """Counts an entry for which there is no room as taken and evicted."""
        piece = piece_of(one.entry, self._sheet_row(one.sheet_digest, one.epoch, one.sheet_body))
        books.take(piece, one.entry.body, adopted=True)
        books.evict([piece], Why.QUOTA)

    def _through(self, file: Path, progress: Progress) -> Salvaged:
        """A file has been read to its end: it gets its dated name."""
        folder = file.parent
        aside = unused(folder, self._stamp)
        with disk(str(aside)):
            put_aside(file, aside)
            forget_old(folder)
        with self._transaction():
            self._note(FEW_WORK + file.name, b"")
        self.salvaging = bool(waiting(folder))
        words = [f"the broken store is kept as {aside.name}; {progress.saved} entries were saved"]
        if progress.unreadable:
            words.append(f"up to {progress.unreadable} could not be read")
        if progress.evicted:
            words.append(f"{progress.evicted} had no room")
        return Salvaged(0, 1 if self.salvaging else 0, ", ".join(words))


def _doubted(one: Saved, doubtful: Doubt | None) -> bool:
    return doubtful is not None and doubtful.has(one.epoch, one.entry.wire_seq, one.entry.kind)
