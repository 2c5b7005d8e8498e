"""Durable store-and-forward: one SQLite file in WAL mode with synchronous=FULL, one connection, one thread.

What `commit` has returned is on the disk: a later kill or power cut can not take it. An entry leaves only by a receipt
of the province, by folding (a summary, an entry itself, stands for it: edge/fold.py), or by the counted eviction when
the quota is reached and nothing can be folded. The account of all that (edge/ledger.py) is part of each transaction.
The key of an entry at the province is (gateway, epoch, seq): `epoch` is random for each new store, `seq` is
AUTOINCREMENT within it.

A file that can not be read is put aside, its alarms are adopted by a new store at once and its other rows step by step
(edge/salvage_steps.py), with their old epoch and seq, so that nothing arrives twice. Where no disk can be written at
all, `in_memory` gives the same store without durability; `take_over` brings its rows home later.

May not: use a second connection, VACUUM, checkpoint with TRUNCATE, or retry on a handle that has failed. All calls
block; the daemon makes them on one thread of its own. sqlite3 errors leave here only as `errors.StoreBroken`.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edge import limit_note, outbox_eras
from edge.contract import ClockQuality, Kind
from edge.entries import Commit, NewEntry, Past, Rows, Standing
from edge.errors import StoreBroken
from edge.ledger import Books, Why
from edge.obstacles import move_aside, must_lead_somewhere
from edge.outbox_eras import Era, Mark, renewed, since
from edge.outbox_file import (
    FRESH_NAME,
    LATER,
    PAGE_BYTES,
    VERSION,
    Unreadable,
    advice,
    copy,
    create,
    disk,
    fill_new,
    finish_move,
    is_damage,
    make_folder,
    put_aside,
    quick_check,
    readable_text,
)
from edge.outbox_home import BULK_KINDS, Doubt
from edge.outbox_read import FEW
from edge.ranges import Range, to_ranges
from edge.retell import other_sheets
from edge.salvage import Saved
from edge.salvage_steps import WAITING, WAITING_MOST, Salvaging, next_name, waiting

FILE_NAME = "outbox.db"
WAL_AUTOCHECKPOINT_PAGES = 400  # a WAL that wraps early inside its old size spares ext4's journal (facts, storage 2.1)
WAL_MOST_BYTES = 1_000_000  # a commit of many thousands leaves a longer one: cut when it wraps, at the cost of one call
CACHE_KIB = 2048
MEMORY_QUOTA_BYTES = 32_000_000
SETTLE_MOST = 5000  # entries in one commit: some 50 ms on two cores of a server, and an alarm may wait for it
MOST_MAPS = 300  # status and account entries held: where only a narrow link is left, they wait; the oldest say least
MAPS = (Kind.STATUS, Kind.ACCOUNT)
NO_ROWS = Rows()
NO_PAST = Past()
OWN = "seq BETWEEN ? AND ? AND origin_seq IS NULL"
ADOPTED = "origin_seq BETWEEN ? AND ? AND sheet IN (SELECT id FROM sheet WHERE epoch = ?)"


class Outbox(Salvaging):
    """An open store. Make it with `open` or `in_memory`."""

    def __init__(self, connection: sqlite3.Connection, path: str, quota_bytes: int) -> None:
        super().__init__(connection, path, quota_bytes)
        self.durable = path != ":memory:"
        self.commits = 0
        self.last_commit_s = 0.0
        self.now_ms: int | None = None  # the time of the last round taken in this run
        if not isinstance(self.opened_seq, int):
            raise Unreadable(f"its last seq is {self.opened_seq!r}")

    # -- opening -------------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        folder: Path,
        quota_bytes: int,
        stamp: str,
        *,
        distrust: bool = False,
        doubtful: Doubt | None = None,
        rename: Callable[[Iterable[Saved]], Iterable[Saved]] = iter,
    ) -> tuple[Outbox, list[str]]:
        """Opens or makes the store in `folder`. Returns it with sentences about what had to be done.

        A broken file is put aside; its alarms are taken at once, the rest by `salvage_step` while `salvaging`.
        `stamp` dates the name under which it is kept; `distrust`: this file is known to be damaged; `doubtful`: as for
        `salvage_step`; `rename`: what is taken of another store gets the names that this gives. Raises StoreBroken when
        nothing can be written. A cut at any moment leaves what can be salvaged.
        """
        said: list[str] = []
        path = folder / FILE_NAME
        with disk(str(path)):
            must_lead_somewhere(folder)
            make_folder(folder)
            must_lead_somewhere(path)
            said += move_aside(folder, [FILE_NAME, f"{FILE_NAME}-wal", FRESH_NAME, *WAITING], stamp)
            moved = len(said)
            there = waiting(folder)
            if there:
                finish_move(path, there[0])
            if distrust and path.exists() and len(there) < WAITING_MOST:
                said.append(f"the store {path} is damaged: it was put aside")
                put_aside(path, next_name(folder, stamp))
            if not path.exists():
                create(path)
        try:
            box = cls._attach(path, quota_bytes)
        except Unreadable as broken:
            said.append(f"the store {path} could not be read and was put aside: {broken}")
            box = cls._replace(folder, quota_bytes, next_name(folder, stamp))
        box.rename = rename
        with box._guard():
            count = box._begin_salvage(stamp, doubtful)
        if len(said) > moved:
            said.append(
                f"a new epoch begins; {count} alarms and the like were saved, the rest follows while work goes on"
            )
        return box, said

    def renew(
        self,
        make_sheet: Callable[[int, int, list[bytes]], tuple[bytes, bytes]],
        epoch: int | None = None,
        opened_seq: int | None = None,
    ) -> int:
        """Begins a new epoch in this very file, in one transaction: it is an older copy of itself, and the seqs given
        since it was opened (by the mark in it: `sure_seq`) mean something else at the province. What is older keeps its
        identity; what is younger gets a new one, of the sheet that `make_sheet` makes for (epoch, next seq, []): see
        edge/outbox_eras.py. Returns how many entries are held. `epoch`, `opened_seq`: where both were settled by an
        attempt that failed.
        """
        epoch = secrets.randbits(32) if epoch is None else epoch
        opened_seq = min(self.sure_seq, self.last_seq() if opened_seq is None else opened_seq)
        last_seq = self.last_seq()
        digest, body = make_sheet(epoch, last_seq + 1, [])
        with self._transaction() as books:
            sheet = self._sheet_row(digest, epoch, body)
            young = self._young(opened_seq, last_seq, epoch, sheet)
            first = self._db.execute("SELECT MIN(seq) FROM entry").fetchone()[0] or 1
            eras = since(renewed(self._eras, opened_seq, young, last_seq, epoch), first)
            self._note(outbox_eras.NAME, outbox_eras.dumps(eras))
            self._db.execute("UPDATE store SET epoch = ?, counter_high = 0", (epoch,))
            limit_note.was_copied(self._db)
            for row in (sheet, *sorted({era.sheet for era in young} - {sheet})):
                seq = self._insert(books, NewEntry(Kind.SHEET, 0, 0, ClockQuality.FREE, 0, b"", row), row)
            self._set_mark(Mark(seq, 0))
        self.epoch, self._eras, self.counter_high = epoch, eras, 0
        self.opened_seq = self.last_seq()  # a second new epoch renames nothing that went out under this one
        self._sheets.clear()
        return self.account().held_entries - 1

    def _young(self, sure_seq: int, last_seq: int, epoch: int, sheet: int) -> list[Era]:
        """Those of what was given above `sure_seq`. Where the site looked otherwise meanwhile, what was taken then is
        told under its own sheet, made anew for the new epoch."""
        bodies = self._db.execute("SELECT id, body FROM sheet WHERE epoch = ?", (self.epoch,)).fetchall()
        anew = other_sheets(bodies, self.sheet(sheet)[1], epoch)
        others = {row: self._sheet_row(digest, epoch, body) for row, (digest, body) in anew.items()}
        found = outbox_eras.stretches(self._db, sure_seq, others) if others else [(sure_seq + 1, 0)]
        highs = [*(low - 1 for low, _ in found[1:]), last_seq]
        stretches = zip(found, highs, strict=True)
        return [Era(low, high, epoch, others.get(row, sheet)) for (low, row), high in stretches if low <= high]

    @classmethod
    def _replace(cls, folder: Path, quota_bytes: int, aside: Path) -> Outbox:
        path = folder / FILE_NAME
        with disk(str(path)):
            put_aside(path, aside)
            create(path)
        try:
            return cls._attach(path, quota_bytes)
        except Unreadable as broken:
            raise StoreBroken(str(path), str(broken)) from broken

    @classmethod
    def in_memory(cls) -> Outbox:
        """The same store without a disk: for the time when no disk can be written. Bounded by MEMORY_QUOTA_BYTES."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        fill_new(connection)
        return cls(connection, ":memory:", MEMORY_QUOTA_BYTES)

    @classmethod
    def _attach(cls, path: Path, quota_bytes: int) -> Outbox:
        """Opens an existing file; Unreadable when it is not a sound store of this version."""
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        except sqlite3.Error as error:
            raise StoreBroken(str(path), advice(error)) from error
        try:
            # Nobody else may have the file, so no shared-memory index is needed: 2.0 instead of 2.4 pages a commit.
            connection.text_factory = readable_text
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise Unreadable(f"it is of version {version}, this program knows version {VERSION}")
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreBroken(str(path), f"SQLite can not use a write-ahead log there (journal mode {mode})")
            connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_MOST_BYTES}")
            quick_check(connection)
            # After an fsync that failed, frames of the log may be in the page cache only, and a later fsync is content
            # with that: what is there goes into the file itself, and the commit after it begins the log anew.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            # The file may be open for reading and still refuse writing (read-only mount, no rights): find out now.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE store SET counter_high = counter_high")
            for statement in LATER:
                connection.execute(statement)
            outbox_eras.mark_opening(connection)
            limit_note.made_sure(connection)
            connection.execute("COMMIT")
            return cls(connection, str(path), quota_bytes)
        except sqlite3.DatabaseError as error:
            connection.close()
            if is_damage(error):
                raise Unreadable(str(error)) from error
            raise StoreBroken(str(path), advice(error)) from error
        except (ValueError, TypeError, OverflowError) as error:  # text that is no text, numbers that are none
            connection.close()
            raise Unreadable(str(error)) from error
        except (Unreadable, StoreBroken):
            connection.close()
            raise

    def save(self, stamp: str) -> Path:
        """Writes the whole of this store, whose file has lost its name, beside the one that has it now, to be salvaged
        at the next start. Returns the file. Raises StoreBroken."""
        folder = Path(self.path).parent
        aside = next_name(folder, stamp)
        with disk(str(aside)):
            make_folder(folder)
            copy(self._db, aside)
        return aside

    def close(self) -> None:
        """Closes the file. Nothing is lost by not calling it."""
        self._db.close()

    # -- writing -------------------------------------------------------------------------------------------------

    def commit(
        self,
        entries: Sequence[NewEntry],
        receipts: Iterable[tuple[int, int, int]] = (),
        limits: Iterable[Standing] = (),
        sheet: int = 0,
        tail: Rows = NO_ROWS,
        past: Past = NO_PAST,
    ) -> Commit:
        """One durable transaction: takes `entries` (of `sheet`, a row of `sheet_id`), settles `receipts` (epoch, low,
        high), SETTLE_MOST entries of them at most, notes where limits stand, what they were told (`tail`: numbered rows
        to be added, and up to which number they are needed no more), and the last alarms (`past`).

        On StoreBroken nothing of it has happened, and this store is not to be written again.
        """
        began = time.perf_counter()
        done = Commit()
        with self._transaction() as books:
            self._settle(books, receipts, done)
            self._make_room(books, entries, done)
            for entry in entries:
                done.seqs.append(self._insert(books, entry, entry.sheet or sheet))
            self._stand(limits)
            self._note_tail(*tail)
            self._note_past(*past)
            if any(entry.kind in MAPS for entry in entries):
                self._forget_maps(books, done.freed)
            done.used_bytes = self._used_bytes()
        for entry in entries:
            if entry.kind is Kind.ROUNDS and entry.clock is not ClockQuality.UNKNOWN:
                self.now_ms = entry.at_ms
        self.commits += 1
        self.last_commit_s = time.perf_counter() - began
        return done

    def fold(self, seqs: Sequence[int], summary: NewEntry, seq: int) -> Commit:
        """Replaces entries by a summary of them, which gets `seq`, the next one. One durable transaction."""
        done = Commit(freed=to_ranges(seqs), made=[(seq, summary)])
        with self._transaction() as books:
            pieces = [piece for one in seqs for piece in self._pieces("seq = ?", (one,))[1]]
            self._delete(seqs)
            books.fold(pieces)
            if self._insert(books, summary, summary.sheet) != seq:
                raise StoreBroken(self.path, f"the next seq is not {seq}", damaged=True)
            done.used_bytes = self._used_bytes()
        return done

    def discard(self, seq: int) -> None:
        """Drops an entry that cannot be read any more, as evicted."""
        with self._transaction() as books:
            seqs, pieces = self._pieces("seq = ?", (seq,))
            self._delete(seqs)
            books.evict(pieces, Why.DAMAGED)

    def adopt(self, other: Outbox, boot: int) -> int:
        """Takes over every entry of `other` (kept in memory while the disk was broken), with its own epoch and seq, in
        one transaction. The daemon does it in batches: `take_over`."""
        saved: list[Saved] = []
        seq, last_seq = 0, other.last_seq()
        while seq < last_seq:
            batch, seq = other.batch((), seq, boot)
            saved += batch
        return self._adopt(saved, other.stands(), Commit())

    def take_over(self, saved: Sequence[Saved], standings: Sequence[Standing] = ()) -> tuple[int, Commit]:
        """Takes entries of another store in one durable transaction; returns how many were not here before, and what
        was done."""
        before_seq = self.last_seq()
        done = Commit()
        taken = self._adopt([one for one in saved if not self.has_own(one)], standings, done)
        done.came, done.last_seq, done.used_bytes = taken > 0, self.last_seq(), self.used_bytes()
        if any(one.entry.kind not in BULK_KINDS for one in saved):
            done.things = [thing for thing in self.first_things() if thing[0] > before_seq]
        return taken, done

    # -- inside --------------------------------------------------------------------------------------------------

    def _settle(self, books: Books, receipts: Iterable[tuple[int, int, int]], done: Commit) -> None:
        """The short ones first: an alarm's receipt waits for no backlog's."""
        room = SETTLE_MOST
        for receipt in sorted(receipts, key=lambda one: one[2] - one[1]):
            for where, values in self._wheres(*receipt):
                seqs, pieces = self._pieces(f"{where} LIMIT ?", (*values, room))
                if seqs:
                    self._delete(seqs)
                    books.settle(pieces)
                    done.freed.extend(to_ranges(seqs))
                    room -= len(seqs)
                    if where is not ADOPTED and self._mark is not None and max(seqs) > self._mark.seq:
                        self._set_mark(None)
            if not room:
                done.left.append(receipt)

    def _wheres(self, epoch: int, low: int, high: int) -> list[tuple[str, tuple[int, ...]]]:
        """What a receipt settles: conditions, with their values."""
        low, high = (min(seq, outbox_eras.ENDLESS) for seq in (low, high))
        eras = [(max(low, era.low), min(high, era.high)) for era in self._eras if era.epoch == epoch]
        # A sheet's own entry is of the present epoch, whatever era its seq lies in.
        own_of_eras = OWN if len(self._eras) == 1 else f"{OWN} AND kind <> {int(Kind.SHEET)}"
        wheres: list[tuple[str, tuple[int, ...]]] = [(own_of_eras, span) for span in eras if span[0] <= span[1]]
        if len(self._eras) > 1 and epoch == self.epoch:
            wheres.append((f"{OWN} AND {FEW} AND kind = {int(Kind.SHEET)}", (low, high)))
        return [*wheres, (ADOPTED, (low, high, epoch))]

    def _forget_maps(self, books: Books, freed: list[Range]) -> None:
        """Lets go of the oldest status and account entries beyond MOST_MAPS."""
        where = f"{FEW} AND kind IN (?, ?) ORDER BY seq DESC LIMIT -1 OFFSET ?"
        seqs, pieces = self._pieces(where, (*MAPS, MOST_MAPS))
        self._delete(seqs)
        books.evict(pieces, Why.TOO_MANY)
        freed.extend(to_ranges(seqs))
