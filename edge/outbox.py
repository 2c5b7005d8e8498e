"""Durable store-and-forward: one SQLite file in WAL mode with synchronous=FULL, one connection, one thread.

What `commit` has returned is on the disk: a later kill or power cut can not take it. An entry leaves only by a receipt
of the province, by folding (a summary, an entry itself, stands for it: edge/fold.py), or by the counted eviction when
the quota is reached and nothing can be folded. The account of all that (edge/ledger.py) is part of each transaction.
The key of an entry at the province is (gateway, epoch, seq): `epoch` is random for each new store, `seq` is
AUTOINCREMENT within it.

A file that can not be read is put aside under a dated name, its readable rows are adopted by a new store (keeping their
old epoch and seq, so that nothing arrives twice), and work goes on. Where no disk can be written at all, `in_memory`
gives the same store without durability; `adopt` brings its rows home later.

May not: use a second connection, VACUUM, truncate the WAL, or retry on a handle that has failed. All calls block; the
daemon makes them on one thread of its own. sqlite3 errors leave here only as `errors.StoreBroken`.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edge.contract import ClockQuality, Kind
from edge.entries import Commit, Held, NewEntry, Standing
from edge.errors import StoreBroken
from edge.ledger import ROW_BYTES, Books, Key, Why, day_of, failing
from edge.outbox_file import (
    PAGE_BYTES,
    VERSION,
    Unreadable,
    advice,
    create,
    disk,
    fill_new,
    finish_move,
    forget_old,
    is_damage,
    make_folder,
    put_aside,
    quick_check,
    readable_text,
)
from edge.outbox_home import BULK_KINDS, OutboxHome
from edge.outbox_read import FEW
from edge.outbox_write import piece_of
from edge.ranges import Range, to_ranges
from edge.salvage import Saved, salvage

FILE_NAME = "outbox.db"
SALVAGE_NAME = "outbox.salvage.db"  # a broken store whose entries have not been taken over yet
WAL_AUTOCHECKPOINT_PAGES = 400  # a WAL that wraps early inside its old size spares ext4's journal (facts, storage 2.1)
CACHE_KIB = 2048
ALARM_RESERVE = 0.05  # of the quota, that only alarms may use: 50 000 of them in the smallest store
ROOM_BYTES = 12 * PAGE_BYTES  # that a commit may use beside its entries: indexes, the ledger, pages half full
EVICT_STEP_ENTRIES = 100  # freed in one go when the quota is reached: bounded, so that intake never stalls
EVICT_STEPS = 100
# What goes first when nothing can be folded any more. Sheets never: without them nothing else can be read.
VICTIMS = (
    "kind = 0 ORDER BY seq",
    "window_s > 0 ORDER BY window_s DESC, seq",
    f"{FEW} AND kind IN (2, 4) ORDER BY seq",
    f"{FEW} AND kind = 1 ORDER BY seq",
)
MEMORY_QUOTA_BYTES = 32_000_000
MOST_MAPS = 300  # status and account entries held: where only a narrow link is left, they wait; the oldest say least
MAPS = (Kind.STATUS, Kind.ACCOUNT)
Retell = Callable[[bytes, bytes, bytes], bytes]


class Outbox(OutboxHome):
    """An open store. Make it with `open` or `in_memory`."""

    def __init__(self, connection: sqlite3.Connection, path: str, quota_bytes: int) -> None:
        super().__init__(connection, path)
        self.quota_bytes = quota_bytes
        self.durable = path != ":memory:"
        self.commits = 0
        self.last_commit_s = 0.0
        if not isinstance(self.opened_seq, int):
            raise Unreadable(f"its last seq is {self.opened_seq!r}")

    # -- opening -------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, folder: Path, quota_bytes: int, stamp: str, *, distrust: bool = False) -> tuple[Outbox, list[str]]:
        """Opens or makes the store in `folder`. Returns it with sentences about what had to be done.

        `stamp` dates the name under which a broken file is put aside; `distrust`: this file is known to be damaged.
        Raises StoreBroken when nothing can be written. A cut at any moment leaves what can be salvaged for next time.
        """
        said: list[str] = []
        path, waiting = folder / FILE_NAME, folder / SALVAGE_NAME
        with disk(str(path)):
            make_folder(folder)
            finish_move(path, waiting)
            if distrust and path.exists() and not waiting.exists():
                said.append(f"the store {path} is damaged")
                put_aside(path, _free_name(waiting, folder, stamp))
            if not path.exists():
                create(path)
        try:
            box = cls._attach(path, quota_bytes)
        except Unreadable as broken:
            said.append(f"the store {path} could not be read: {broken}")
            box = cls._replace(folder, quota_bytes, _free_name(waiting, folder, stamp))
        if waiting.exists():
            found = salvage(waiting)
            box._adopt(found.saved, found.standings)
            name = box.salvaged(folder, stamp)
            said.append(f"it was put aside as {name}; {len(found.saved)} entries were saved, a new epoch begins")
        return box, said

    def renew(
        self, make_sheet: Callable[[int, int, list[bytes]], tuple[bytes, bytes]], retell: Retell = lambda *_: b""
    ) -> int:
        """Begins a new epoch in this very file, in one transaction: it is an older copy of itself, and the seqs given
        since it was opened mean something else at the province. What is older keeps its identity; what is younger gets
        a new one, of the sheet that `make_sheet` makes for (epoch, next seq, []). Returns how many entries are held.
        `retell`: a summary's body, coded under one sheet (its bytes), coded under another; b"" when it can not be.
        """
        epoch = secrets.randbits(32)
        digest, body = make_sheet(epoch, self.last_seq() + 1, [])
        own = "origin_seq IS NULL AND kind <> 3"  # a sheet's own entry is sealed without a sheet: it is new each time
        with self._transaction() as books:
            cursor = self._db.execute("INSERT INTO sheet (digest, epoch, body) VALUES (?, ?, ?)", (digest, epoch, body))
            sheet = int(cursor.lastrowid or 0)
            older = f"UPDATE OR IGNORE entry SET origin_seq = seq WHERE {own} AND seq <= ?"
            self._db.execute(older, (self.opened_seq,))
            rounds = self._db.execute(f"SELECT at_ms, clock, sheet, grp, body FROM entry WHERE {own} AND kind = 0")
            for at_ms, clock, old, group, data in rounds:
                key = Key(day_of(at_ms, clock), old, group)
                books.move(key, key._replace(sheet=sheet), 1, [failing(data)])
            self._retell(books, own, body, retell)
            self._db.execute(f"UPDATE entry SET sheet = ? WHERE {own}", (sheet,))
            self._db.execute("UPDATE store SET epoch = ?, counter_high = 0", (epoch,))
            held = self._db.execute("SELECT COUNT(*) FROM entry").fetchone()[0]
            self._insert(books, NewEntry(Kind.SHEET, 0, 0, ClockQuality.FREE, 0, b"", sheet), sheet)
        self.epoch = epoch
        self._sheets.clear()
        return int(held)

    def _retell(self, books: Books, own: str, present: bytes, retell: Retell) -> None:
        """Codes the young summaries under the present sheet."""
        query = f"SELECT seq, sheet, body FROM entry WHERE {own} AND window_s > 0"
        for seq, sheet, body in self._db.execute(query).fetchall():
            _, pieces = self._pieces("seq = ?", (seq,))
            anew = retell(body, self.sheet(sheet)[1], present)
            if anew:
                self._db.execute("UPDATE entry SET body = ? WHERE seq = ?", (anew, seq))
                books.resize(pieces[0], len(anew))
            else:
                self._delete([seq])
                books.evict(pieces, Why.DAMAGED)

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

    def salvaged(self, folder: Path, stamp: str) -> str:
        """What could be saved of the file put aside has been taken; returns the name it is kept under."""
        aside = _unused(folder, stamp)
        with disk(str(aside)):
            put_aside(folder / SALVAGE_NAME, aside)
            forget_old(folder)
        return aside.name

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
            quick_check(connection)
            # The file may be open for reading and still refuse writing (read-only mount, no rights): find out now.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE store SET counter_high = counter_high")
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
    ) -> Commit:
        """One durable transaction: takes `entries` (of `sheet`, a row of `sheet_id`), settles `receipts` (epoch, low,
        high), notes where limits stand.

        On StoreBroken nothing of it has happened, and this store is not to be written again.
        """
        began = time.perf_counter()
        done = Commit()
        with self._transaction() as books:
            self._settle(books, receipts, done.freed)
            self._make_room(books, entries, done)
            for entry in entries:
                done.seqs.append(self._insert(books, entry, entry.sheet or sheet))
            self._stand(limits)
            if any(entry.kind in MAPS for entry in entries):
                self._forget_maps(books, done.freed)
            done.used_bytes = self._used_bytes()
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
        return self._adopt(saved, other.stands())

    def take_over(self, saved: Sequence[Saved], standings: Sequence[Standing] = ()) -> tuple[int, Commit]:
        """Takes entries of another store in one durable transaction; returns how many were not here before, and what
        was done."""
        before_seq = self.last_seq()
        taken = self._adopt(saved, standings)
        done = Commit(came=taken > 0, used_bytes=self.used_bytes())
        if any(one.entry.kind not in BULK_KINDS for one in saved):
            done.things = [thing for thing in self.first_things() if thing[0] > before_seq]
        return taken, done

    # -- inside --------------------------------------------------------------------------------------------------

    def _settle(self, books: Books, receipts: Iterable[tuple[int, int, int]], freed: list[Range]) -> None:
        adopted = "origin_seq BETWEEN ? AND ? AND sheet IN (SELECT id FROM sheet WHERE epoch = ?)"
        wheres: list[tuple[str, tuple[int, ...]]] = []
        for epoch, low, high in receipts:
            if epoch == self.epoch:
                wheres.append(("seq BETWEEN ? AND ? AND origin_seq IS NULL", (low, high)))
            wheres.append((adopted, (low, high, epoch)))
        for where, values in wheres:
            seqs, pieces = self._pieces(where, values)
            if seqs:
                self._db.execute(f"DELETE FROM entry WHERE {where}", values)
                books.settle(pieces)
                freed.extend(to_ranges(seqs))

    def _make_room(self, books: Books, entries: Sequence[NewEntry | Held], done: Commit) -> None:
        """Frees what `entries` need within the quota, a bounded number. Folding has come before (edge/fold.py): what is
        left are rounds that can not be folded, oldest first, then summaries, the coarsest first, then alarms."""
        need_bytes = sum(len(entry.body) + ROW_BYTES for entry in entries) * 5 // 4 + ROOM_BYTES
        if any(entry.kind is not Kind.ALARM for entry in entries):
            need_bytes += int(self.quota_bytes * ALARM_RESERVE)
        steps = 0
        for where in VICTIMS:
            while self._free_bytes() < need_bytes and steps < EVICT_STEPS:
                steps += 1
                if not self._evict(books, where, done):
                    break

    def _evict(self, books: Books, where: str, done: Commit) -> bool:
        seqs, pieces = self._pieces(f"{where} LIMIT ?", (EVICT_STEP_ENTRIES,))
        self._delete(seqs)
        books.evict(pieces, Why.QUOTA)
        done.evicted += len(seqs)
        done.freed.extend(to_ranges(seqs))
        return bool(seqs)

    def _adopt(self, saved: Iterable[Saved], standings: Iterable[Standing] = ()) -> int:
        """Takes entries of another store, with their own identity; one that was taken before is not taken again.

        A sheet's own entry gets a new identity: it is sealed without a sheet, so nothing would tell the other epoch.
        """
        count = 0
        saved = list(saved)
        with self._transaction() as books:
            self._make_room(books, [one.entry for one in saved], Commit())
            self._stand(standings)
            for entry, epoch, body, digest, boot in saved:
                self._db.execute(
                    "INSERT OR IGNORE INTO sheet (digest, epoch, body) VALUES (?, ?, ?)", (digest, epoch, body)
                )
                sheet = self._db.execute("SELECT id FROM sheet WHERE digest = ?", (digest,)).fetchone()[0]
                is_sheet = entry.kind is Kind.SHEET
                known = "SELECT 1 FROM entry WHERE kind = ? AND sheet = ?"
                if is_sheet and self._db.execute(known, (entry.kind, sheet)).fetchone():
                    continue
                cursor = self._db.execute(
                    "INSERT OR IGNORE INTO entry (kind, sheet, grp, at_ms, clock, boot, readings, body, origin_seq,"
                    " window_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(entry.kind, sheet, entry.group, entry.at_ms, entry.clock),
                        *(boot if entry.clock is ClockQuality.UNKNOWN else None, entry.readings, entry.body),
                        *(None if is_sheet else entry.wire_seq, entry.window_s),
                    ),
                )
                if cursor.rowcount:
                    count += 1
                    books.take(piece_of(entry, sheet), entry.body, adopted=True)
        return count

    def _free_bytes(self) -> int:
        """What can still be written within the quota. Pages of the file that are free are used first."""
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return int(free * PAGE_BYTES + max(0, self.quota_bytes - pages * PAGE_BYTES))

    def _forget_maps(self, books: Books, freed: list[Range]) -> None:
        """Lets go of the oldest status and account entries beyond MOST_MAPS."""
        where = f"{FEW} AND kind IN (?, ?) ORDER BY seq DESC LIMIT -1 OFFSET ?"
        seqs, pieces = self._pieces(where, (*MAPS, MOST_MAPS))
        self._delete(seqs)
        books.evict(pieces, Why.TOO_MANY)
        freed.extend(to_ranges(seqs))


def _free_name(waiting: Path, folder: Path, stamp: str) -> Path:
    """Where a broken file goes: to be salvaged, or merely kept while an older one still waits for that."""
    return _unused(folder, stamp) if waiting.exists() else waiting


def _unused(folder: Path, stamp: str) -> Path:
    """A dated name that no file has yet: two may break in one second."""
    names = [f"outbox.broken-{stamp}.db", *(f"outbox.broken-{stamp}-{n}.db" for n in range(2, 100))]
    return next((folder / name for name in names if not (folder / name).exists()), folder / names[-1])
