"""Durable store-and-forward: one SQLite file in WAL mode with synchronous=FULL, one connection, one thread.

What `commit` has returned is on the disk: a later kill or power cut can not take it. An entry leaves only by `settle`
(the province's receipt) or by the counted eviction when the quota is reached. The key of an entry at the province is
(gateway, epoch, seq): `epoch` is random for each new store, `seq` is AUTOINCREMENT within it.

A file that can not be read is put aside under a dated name, its readable rows are adopted by a new store (keeping their
old epoch and seq, so that nothing arrives twice), and work goes on. Where no disk can be written at all, `in_memory`
gives the same store without durability; `adopt` brings its rows home later.

May not: use a second connection, VACUUM, truncate the WAL, or retry on a handle that has failed. All calls block; the
daemon makes them on one thread of its own. sqlite3 errors leave here only as `errors.StoreBroken`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge.contract import ClockQuality, Kind
from edge.entries import Commit, NewEntry, Standing
from edge.errors import StoreBroken
from edge.outbox_file import (
    PAGE_BYTES,
    VERSION,
    Unreadable,
    advice,
    create,
    disk,
    fill_new,
    forget_old,
    is_damage,
    make_folder,
    put_aside,
    quick_check,
)
from edge.outbox_read import OutboxReader
from edge.ranges import Range, RangeSet
from edge.salvage import Saved, salvage

FILE_NAME = "outbox.db"
SALVAGE_NAME = "outbox.salvage.db"  # a broken store whose entries have not been taken over yet
WAL_AUTOCHECKPOINT_PAGES = 400  # a WAL that wraps early inside its old size spares ext4's journal (facts, storage 2.1)
CACHE_KIB = 2048
EVICT_STEP_ENTRIES = 500  # freed in one go when the quota is reached: bounded, so that intake never stalls
MEMORY_QUOTA_BYTES = 32_000_000
MOST_MAPS = 300  # status and account entries held: where only a narrow link is left, they wait; the oldest say least
MIN_QUOTA_BYTES = 1_000_000
MAPS = (Kind.STATUS, Kind.ACCOUNT)


class Outbox(OutboxReader):
    """An open store. Make it with `open` or `in_memory`."""

    def __init__(self, connection: sqlite3.Connection, path: str, quota_bytes: int) -> None:
        super().__init__(connection, path)
        self.quota_bytes = quota_bytes
        self.durable = path != ":memory:"
        self.commits = 0
        self.last_commit_s = 0.0
        self.opened_seq = self.last_seq()  # what was given before this run
        if not isinstance(self.opened_seq, int):
            raise Unreadable(f"its last seq is {self.opened_seq!r}")
        self._boot = 0
        self._identity = (0, 0)
        if self.durable:
            with disk(path):
                there = Path(path).stat()
            self._identity = (there.st_dev, there.st_ino)

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

    def renew(self, folder: Path) -> tuple[Outbox, Path]:
        """Puts this store aside (closed; its path is returned) and makes a new one with a new epoch in its place.

        To be followed by `take_over` and `salvaged`.
        """
        self.close()
        waiting = folder / SALVAGE_NAME
        return self._replace(folder, self.quota_bytes, waiting), waiting

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

    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one that its name leads to."""
        try:
            there = Path(self.path).stat()
        except OSError:
            return False
        return not self.durable or (there.st_dev, there.st_ino) == self._identity

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
        with self._transaction():
            for entry in entries:
                done.seqs.append(self._insert(entry, entry.sheet or sheet))
            settled = self._settle(receipts, done.freed)
            self._stand(limits)
            evicted = self._evict(done.freed)
            done.evicted = evicted[0]
            if any(entry.kind in MAPS for entry in entries):
                evicted = evicted[0] + self._forget_maps(done.freed), evicted[1]
            self._db.execute(
                "UPDATE store SET taken_entries = taken_entries + ?, taken_readings = taken_readings + ?,"
                " settled_entries = settled_entries + ?, settled_readings = settled_readings + ?,"
                " evicted_entries = evicted_entries + ?, evicted_readings = evicted_readings + ?",
                (len(entries), sum(entry.readings for entry in entries), *settled, *evicted),
            )
        self.commits += 1
        self.last_commit_s = time.perf_counter() - began
        return done

    def discard(self, seq: int) -> None:
        """Drops an entry that cannot be read any more, as evicted."""
        with self._transaction():
            row = self._db.execute("SELECT readings FROM entry WHERE seq = ?", (seq,)).fetchone()
            if row is not None:
                self._db.execute("DELETE FROM entry WHERE seq = ?", (seq,))
                self._db.execute(
                    "UPDATE store SET evicted_entries = evicted_entries + 1, evicted_readings = evicted_readings + ?",
                    (row[0],),
                )

    def reserve_counters(self, count: int) -> int:
        """Reserves `count` packet counters durably; returns the first. No counter is ever given twice."""
        with self._transaction():
            first = self._db.execute("SELECT counter_high FROM store").fetchone()[0]
            self._db.execute("UPDATE store SET counter_high = ?", (first + count,))
        return int(first)

    def sheet_id(self, digest: bytes, epoch: int, body: bytes) -> tuple[int, bool]:
        """The row of a sheet, and whether it is new here."""
        with self._transaction():
            row = self._db.execute("SELECT id FROM sheet WHERE digest = ?", (digest,)).fetchone()
            if row:
                return row[0], False
            cursor = self._db.execute("INSERT INTO sheet (digest, epoch, body) VALUES (?, ?, ?)", (digest, epoch, body))
            return int(cursor.lastrowid or 0), True

    def forget_sheets(self, keep: int) -> None:
        """Drops sheets no held entry needs, except `keep`."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM sheet WHERE id <> ? AND id NOT IN (SELECT DISTINCT sheet FROM entry)", (keep,)
            )
        self._sheets.clear()

    def backdate(self, boot: int, offset_ms: int, quality: ClockQuality) -> int:
        """Dates what was taken before the time was known; returns how many entries.

        Entries of this boot get their exact time. Those of earlier boots are known only in their order: each such boot
        is laid to end where the next one begins, and its entries stay marked UNKNOWN no longer than as FREE.
        """
        with self._transaction():
            changed = self._db.execute(
                "UPDATE entry SET at_ms = at_ms + ?, clock = ?, boot = NULL WHERE clock = 2 AND boot = ?",
                (offset_ms, quality, boot),
            ).rowcount
            end_ms = offset_ms
            boots = self._db.execute(
                "SELECT boot, MIN(at_ms), MAX(at_ms) FROM entry WHERE clock = 2 GROUP BY boot ORDER BY MIN(seq) DESC"
            ).fetchall()
            for earlier, first_ms, last_ms in boots:
                changed += self._db.execute(
                    "UPDATE entry SET at_ms = at_ms + ?, clock = ?, boot = NULL WHERE clock = 2 AND boot IS ?",
                    (end_ms - last_ms, ClockQuality.FREE, earlier),
                ).rowcount
                end_ms -= last_ms - first_ms
        return changed

    def adopt(self, other: Outbox, boot: int) -> int:
        """Takes over every entry of `other` (kept in memory while the disk was broken), with its own epoch and seq."""
        saved = [Saved(e, *other.sheet(e.sheet), other.sheet_digest(e.sheet), boot) for e in other.scan()]
        levels = other.limit_levels().items()
        return self._adopt(saved, [Standing(limit, level, value, at_ms) for limit, (level, value, at_ms) in levels])

    def take_over(self, aside: Path, opened_seq: int, sheet: int) -> int:
        """Takes the entries of a store that `renew` has put aside. Those up to `opened_seq` keep their identity; the
        younger ones, whose seq another copy of that store has given too, become new entries of `sheet` here."""
        found = salvage(aside)
        again = [s.entry for s in found.saved if s.entry.seq > opened_seq and s.entry.origin_seq is None]
        seqs = {entry.seq for entry in again}
        news = [
            NewEntry(e.kind, e.group, e.at_ms, e.clock, e.readings, e.body) for e in again if e.kind is not Kind.SHEET
        ]
        self.commit(news, sheet=sheet)
        return len(news) + self._adopt([s for s in found.saved if s.entry.seq not in seqs], found.standings)

    # -- inside --------------------------------------------------------------------------------------------------

    def _insert(self, entry: NewEntry, sheet: int) -> int:
        boot = self._boot if entry.clock is ClockQuality.UNKNOWN else None
        cursor = self._db.execute(
            "INSERT INTO entry (kind, sheet, grp, at_ms, clock, boot, readings, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (entry.kind, sheet, entry.group, entry.at_ms, entry.clock, boot, entry.readings, entry.body),
        )
        return int(cursor.lastrowid or 0)

    def set_boot(self, boot: int) -> None:
        """Which boot undated entries belong to."""
        self._boot = boot

    def _settle(self, receipts: Iterable[tuple[int, int, int]], freed: list[Range]) -> tuple[int, int]:
        entries = readings = 0
        adopted = "origin_seq BETWEEN ? AND ? AND sheet IN (SELECT id FROM sheet WHERE epoch = ?)"
        wheres: list[tuple[str, tuple[int, ...]]] = []
        for epoch, low, high in receipts:
            if epoch == self.epoch:
                wheres.append(("seq BETWEEN ? AND ? AND origin_seq IS NULL", (low, high)))
            wheres.append((adopted, (low, high, epoch)))
        for where, values in wheres:
            rows = self._db.execute(f"SELECT seq, readings FROM entry WHERE {where}", values).fetchall()
            if rows:
                self._db.execute(f"DELETE FROM entry WHERE {where}", values)
                entries += len(rows)
                readings += sum(row[1] for row in rows)
                freed.extend(RangeSet((row[0], row[0]) for row in rows))
        return entries, readings

    def _evict(self, freed: list[Range]) -> tuple[int, int]:
        """Frees the oldest rounds, a bounded number, once the file reaches its quota. Alarms are never evicted here."""
        if self._used_bytes() <= self.quota_bytes:
            return 0, 0
        rows = self._db.execute(
            "SELECT seq, readings FROM entry WHERE kind = 0 ORDER BY seq LIMIT ?", (EVICT_STEP_ENTRIES,)
        ).fetchall()
        if not rows:
            return 0, 0
        self._db.execute("DELETE FROM entry WHERE kind = 0 AND seq <= ?", (rows[-1][0],))
        freed.extend(RangeSet((row[0], row[0]) for row in rows))
        return len(rows), sum(row[1] for row in rows)

    def _forget_maps(self, freed: list[Range]) -> int:
        """Lets go of the oldest status and account entries beyond MOST_MAPS."""
        query = "SELECT seq FROM entry WHERE kind <> 0 AND kind IN (?, ?) ORDER BY seq DESC LIMIT -1 OFFSET ?"
        seqs = [row[0] for row in self._db.execute(query, (*MAPS, MOST_MAPS))]
        self._db.executemany("DELETE FROM entry WHERE seq = ?", [(seq,) for seq in seqs])
        freed.extend(RangeSet((seq, seq) for seq in seqs))
        return len(seqs)

    def _stand(self, standings: Iterable[Standing]) -> None:
        self._db.executemany(
            "INSERT INTO limit_now (id, level, value, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET level = excluded.level, value = excluded.value, at_ms = excluded.at_ms",
            [(standing.id, standing.level, standing.value, standing.at_ms) for standing in standings],
        )

    def _adopt(self, saved: Iterable[Saved], standings: Iterable[Standing] = ()) -> int:
        """Takes entries of another store, with their own identity; one that was taken before is not taken again.

        A sheet's own entry gets a new identity: it is sealed without a sheet, so nothing would tell the other epoch.
        """
        count = readings = 0
        with self._transaction():
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
                    "INSERT OR IGNORE INTO entry (kind, sheet, grp, at_ms, clock, boot, readings, body, origin_seq)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(entry.kind, sheet, entry.group, entry.at_ms, entry.clock),
                        *(boot if entry.clock is ClockQuality.UNKNOWN else None, entry.readings, entry.body),
                        None if is_sheet else entry.wire_seq,
                    ),
                )
                count += cursor.rowcount
                readings += entry.readings if cursor.rowcount else 0
            self._db.execute(
                "UPDATE store SET taken_entries = taken_entries + ?, taken_readings = taken_readings + ?,"
                " adopted_entries = adopted_entries + ?",
                (count, readings, count),
            )
        return count

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _free_name(waiting: Path, folder: Path, stamp: str) -> Path:
    """Where a broken file goes: to be salvaged, or merely kept while an older one still waits for that."""
    return _unused(folder, stamp) if waiting.exists() else waiting


def _unused(folder: Path, stamp: str) -> Path:
    """A dated name that no file has yet: two may break in one second."""
    names = [f"outbox.broken-{stamp}.db", *(f"outbox.broken-{stamp}-{n}.db" for n in range(2, 100))]
    return next((folder / name for name in names if not (folder / name).exists()), folder / names[-1])
