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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edge.contract import ClockQuality, Kind, Level
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
from edge.ranges import Range, RangeSet

FILE_NAME = "outbox.db"
WAL_AUTOCHECKPOINT_PAGES = 400  # a WAL that wraps early inside its old size spares ext4's journal (facts, storage 2.1)
CACHE_KIB = 2048
SALVAGE_S = 5.0
EVICT_STEP_ENTRIES = 500  # freed in one go when the quota is reached: bounded, so that intake never stalls
MAX_SEQ = 2**63 - 1
SCAN_ROWS = 4000  # rows looked at for one packet, at most
MEMORY_QUOTA_BYTES = 32_000_000
MIN_QUOTA_BYTES = 1_000_000

_ENTRY_COLUMNS = "seq, kind, sheet, grp, at_ms, clock, readings, body, origin_seq"


class NewEntry(NamedTuple):
    """An entry to be taken. `at_ms`: UTC, or ms since boot when `clock` is UNKNOWN. `sheet`: 0 for the present one."""

    kind: Kind
    group: int
    at_ms: int
    clock: ClockQuality
    readings: int
    body: bytes
    sheet: int = 0


class Held(NamedTuple):
    """An entry as the store holds it. `wire_seq` is what the province knows it by (in the epoch of its sheet)."""

    seq: int
    kind: Kind
    sheet: int
    group: int
    at_ms: int
    clock: ClockQuality
    readings: int
    body: bytes
    origin_seq: int | None

    @property
    def wire_seq(self) -> int:
        return self.seq if self.origin_seq is None else self.origin_seq


@dataclass(frozen=True, slots=True)
class Account:
    """What became of everything ever taken by this store. `balanced` counts the rows, it does not believe the sums."""

    taken_entries: int
    taken_readings: int
    settled_entries: int
    settled_readings: int
    evicted_entries: int
    evicted_readings: int
    held_entries: int
    held_readings: int
    adopted_entries: int

    @property
    def balanced(self) -> bool:
        return (
            self.taken_entries == self.settled_entries + self.evicted_entries + self.held_entries
            and self.taken_readings == self.settled_readings + self.evicted_readings + self.held_readings
        )


@dataclass(slots=True)
class Commit:
    """What one commit did: the seq given to each new entry (in order), the seqs that are gone, and what was evicted."""

    seqs: list[int] = field(default_factory=list)
    freed: list[Range] = field(default_factory=list)
    evicted: int = 0


@dataclass(slots=True)
class Standing:
    """A limit's standing to be written with the alarm that changed it."""

    id: str
    level: Level
    value: int | None
    at_ms: int


class Outbox:
    """An open store. Make it with `open` or `in_memory`."""

    def __init__(self, connection: sqlite3.Connection, path: str, quota_bytes: int) -> None:
        self._db = connection
        self.path = path
        self.quota_bytes = quota_bytes
        self.durable = path != ":memory:"
        self.commits = 0
        self.last_commit_s = 0.0
        with self._guard():
            row = self._db.execute("SELECT epoch FROM store").fetchone()
            if row is None:
                raise StoreBroken(path, "the store has no identity row")
            self.epoch: int = row[0]
        self.opened_seq = self.last_seq()  # what was given before this run
        self._sheets: dict[int, tuple[int, bytes]] = {}

    # -- opening -------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, folder: Path, quota_bytes: int, stamp: str) -> tuple[Outbox, list[str]]:
        """Opens or makes the store in `folder`. Returns it with sentences about what had to be done.

        `stamp` dates the name under which a broken file is put aside. Raises StoreBroken when nothing can be written.
        """
        said: list[str] = []
        path = folder / FILE_NAME
        with disk(str(path)):
            make_folder(folder)
            if not path.exists():
                create(path)
        try:
            return cls._attach(path, quota_bytes), said
        except Unreadable as broken:
            aside = folder / f"outbox.broken-{stamp}.db"
            said.append(f"the store {path} could not be read ({broken}): put aside as {aside.name}")
        with disk(str(path)):
            put_aside(path, aside)
            forget_old(folder)
            create(path)
        try:
            fresh = cls._attach(path, quota_bytes)
        except Unreadable as broken:
            raise StoreBroken(str(path), str(broken)) from broken
        saved = fresh._salvage(aside)
        said.append(f"saved {saved} entries from it; a new store with a new epoch goes on")
        return fresh, said

    def renew(self, folder: Path, stamp: str) -> tuple[Outbox, Path]:
        """Puts this store aside (closed; its path is returned) and makes a new one with a new epoch in its place."""
        self.close()
        path = folder / FILE_NAME
        aside = folder / f"outbox.broken-{stamp}.db"
        with disk(str(path)):
            put_aside(path, aside)
            forget_old(folder)
            create(path)
        try:
            return self._attach(path, self.quota_bytes), aside
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
            for limit in limits:
                self._db.execute(
                    "INSERT INTO limit_now (id, level, value, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
                    " SET level = excluded.level, value = excluded.value, at_ms = excluded.at_ms",
                    (limit.id, limit.level, limit.value, limit.at_ms),
                )
            evicted = self._evict(done.freed)
            done.evicted = evicted[0]
            self._db.execute(
                "UPDATE store SET taken_entries = taken_entries + ?, taken_readings = taken_readings + ?,"
                " settled_entries = settled_entries + ?, settled_readings = settled_readings + ?,"
                " evicted_entries = evicted_entries + ?, evicted_readings = evicted_readings + ?",
                (len(entries), sum(entry.readings for entry in entries), *settled, *evicted),
            )
        self.commits += 1
        self.last_commit_s = time.perf_counter() - began
        return done

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
        rows = [(entry, *other.sheet(entry.sheet), other.sheet_digest(entry.sheet)) for entry in other.scan()]
        adopted = self._adopt(rows, boot)
        with other._guard():
            limits = other._db.execute("SELECT id, level, value, at_ms FROM limit_now").fetchall()
        self.commit((), (), [Standing(row[0], Level(row[1]), row[2], row[3]) for row in limits])
        return adopted

    def take_over(self, aside: Path, opened_seq: int, sheet: int) -> int:
        """Takes the entries of a store that `renew` has put aside. Those up to `opened_seq` keep their identity; the
        younger ones, whose seq another copy of that store has given too, become new entries of `sheet` here."""
        return self._salvage(aside, opened_seq, sheet)

    # -- reading -------------------------------------------------------------------------------------------------

    def held(self, seqs: Sequence[int]) -> list[Held]:
        """The entries of these seqs that are still held, in seq order."""
        found: list[Held] = []
        with self._guard():
            for seq in sorted(seqs):
                row = self._db.execute(f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE seq = ?", (seq,)).fetchone()
                if row:
                    found.append(_held(row))
        return found

    def first_things(self) -> list[tuple[int, Kind]]:
        """(seq, kind) of every held entry that is not a round: alarms, sheets, status, account. Few, by nature."""
        with self._guard():
            rows = self._db.execute("SELECT seq, kind FROM entry WHERE kind <> 0 ORDER BY seq").fetchall()
        return [(row[0], Kind(row[1])) for row in rows]

    def rounds(self, skip: RangeSet, low: int, high: int, most_rows: int, most_readings: int) -> list[Held]:
        """The oldest rounds of seq `low`..`high` not in `skip`, all of one sheet and group, within both bounds.

        One row at least, if there is any. Rounds whose time is not known yet are left for later.
        """
        found: list[Held] = []
        readings = 0
        for entry in self._walk(skip, low, high):
            if entry.clock is ClockQuality.UNKNOWN:
                continue
            if found and (entry.sheet, entry.group) != (found[0].sheet, found[0].group):
                continue
            if found and (len(found) >= most_rows or readings + entry.readings > most_readings):
                break
            found.append(entry)
            readings += entry.readings
        return found

    def scan(self) -> Iterator[Held]:
        """Every held entry, oldest first."""
        with self._guard():
            for row in self._db.execute(f"SELECT {_ENTRY_COLUMNS} FROM entry ORDER BY seq"):
                yield _held(row)

    def sheet(self, sheet_id: int) -> tuple[int, bytes]:
        """(epoch, body) of a sheet."""
        if sheet_id not in self._sheets:
            with self._guard():
                row = self._db.execute("SELECT epoch, body FROM sheet WHERE id = ?", (sheet_id,)).fetchone()
            if row is None:
                raise StoreBroken(self.path, f"sheet {sheet_id} is missing")
            self._sheets[sheet_id] = (row[0], row[1])
        return self._sheets[sheet_id]

    def sheet_bodies(self) -> list[bytes]:
        """The sheets of the present epoch, newest first."""
        with self._guard():
            rows = self._db.execute("SELECT body FROM sheet WHERE epoch = ? ORDER BY id DESC", (self.epoch,)).fetchall()
        return [row[0] for row in rows]

    def sheets(self) -> list[tuple[int, bytes]]:
        """(row, digest) of every sheet, newest first."""
        with self._guard():
            rows = self._db.execute("SELECT id, digest FROM sheet ORDER BY id DESC").fetchall()
        return [(row[0], row[1]) for row in rows]

    def sheet_digest(self, sheet_id: int) -> bytes:
        with self._guard():
            row = self._db.execute("SELECT digest FROM sheet WHERE id = ?", (sheet_id,)).fetchone()
        return bytes(row[0])

    def limit_levels(self) -> Mapping[str, tuple[Level, int | None, int]]:
        """Where each limit stood: id -> (level, value in steps, at_ms)."""
        with self._guard():
            rows = self._db.execute("SELECT id, level, value, at_ms FROM limit_now").fetchall()
        return {row[0]: (Level(row[1]), row[2], row[3]) for row in rows}

    def newest_ms(self) -> int:
        """The newest known UTC time in the store; 0 in an empty one."""
        with self._guard():
            rows = self._db.execute("SELECT at_ms FROM entry WHERE clock <> 2 ORDER BY seq DESC LIMIT 100").fetchall()
            limits: int = self._db.execute("SELECT MAX(at_ms) FROM limit_now").fetchone()[0] or 0
        return max([limits, *(int(row[0]) for row in rows)])

    def last_seq(self) -> int:
        """The highest seq ever given."""
        with self._guard():
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()
        return row[0] if row else 0

    def undated(self) -> int:
        """How many held entries wait for the time to be known."""
        with self._guard():
            return int(self._db.execute("SELECT COUNT(*) FROM entry WHERE clock = 2").fetchone()[0])

    def oldest_ms(self) -> int | None:
        """The time of the oldest held round, None when there is none or its time is not known."""
        with self._guard():
            row = self._db.execute("SELECT at_ms, clock FROM entry WHERE kind = 0 ORDER BY seq LIMIT 1").fetchone()
        return row[0] if row and row[1] != ClockQuality.UNKNOWN else None

    def account(self, count_rows: bool = False) -> Account:
        """The account. `count_rows` counts what is held instead of subtracting: slow on a full store, but a proof."""
        with self._guard():
            row = self._db.execute(
                "SELECT taken_entries, taken_readings, settled_entries, settled_readings, evicted_entries,"
                " evicted_readings, adopted_entries FROM store"
            ).fetchone()
            held = [row[0] - row[2] - row[4], row[1] - row[3] - row[5]]
            if count_rows:
                held = self._db.execute("SELECT COUNT(*), COALESCE(SUM(readings), 0) FROM entry").fetchone()
        return Account(row[0], row[1], row[2], row[3], row[4], row[5], held[0], held[1], row[6])

    def used_bytes(self) -> int:
        """Bytes of the file that hold something (free pages are used again)."""
        with self._guard():
            return self._used_bytes()

    # -- inside --------------------------------------------------------------------------------------------------

    def _insert(self, entry: NewEntry, sheet: int) -> int:
        boot = self._boot if entry.clock is ClockQuality.UNKNOWN else None
        cursor = self._db.execute(
            "INSERT INTO entry (kind, sheet, grp, at_ms, clock, boot, readings, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (entry.kind, sheet, entry.group, entry.at_ms, entry.clock, boot, entry.readings, entry.body),
        )
        return int(cursor.lastrowid or 0)

    _boot: int = 0

    def set_boot(self, boot: int) -> None:
        """Which boot undated entries belong to."""
        self._boot = boot

    def _settle(self, receipts: Iterable[tuple[int, int, int]], freed: list[Range]) -> tuple[int, int]:
        entries = readings = 0
        for epoch, low, high in receipts:
            if epoch == self.epoch:
                where, values = "seq BETWEEN ? AND ? AND origin_seq IS NULL", (low, high)
            else:
                where = "origin_seq BETWEEN ? AND ? AND sheet IN (SELECT id FROM sheet WHERE epoch = ?)"
                values = (low, high, epoch)  # type: ignore[assignment]
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

    def _used_bytes(self) -> int:
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return int(pages - free) * PAGE_BYTES

    def _walk(self, skip: RangeSet, low: int, high: int) -> Iterator[Held]:
        """Held rounds not in `skip`, oldest first, SCAN_ROWS of them at most; long skipped runs are leapt over."""
        seen = 0
        with self._guard():
            for gap_low, gap_high in skip.gaps(low, high):
                for row in self._db.execute(
                    f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE kind = 0 AND seq BETWEEN ? AND ? ORDER BY seq",
                    (gap_low, gap_high),
                ):
                    seen += 1
                    yield _held(row)
                    if seen >= SCAN_ROWS:
                        return

    def _salvage(self, aside: Path, own_until: int = MAX_SEQ, sheet: int = 0) -> int:
        """Adopts what can be read of a broken file, from both ends towards the damage, for SALVAGE_S at most."""
        until_s = time.monotonic() + SALVAGE_S
        found: dict[int, tuple[Held, int, bytes, bytes, int | None]] = {}
        try:
            db = sqlite3.connect(aside, isolation_level=None)
        except sqlite3.Error:
            return 0
        try:
            sheets = {row[0]: row[1:] for row in _readable(db, "SELECT id, epoch, body, digest FROM sheet", until_s)}
            for order in ("ASC", "DESC"):
                for row in _readable(db, f"SELECT {_ENTRY_COLUMNS}, boot FROM entry ORDER BY seq {order}", until_s):
                    if row[0] in found:
                        break
                    if row[2] in sheets:
                        found[row[0]] = (_held(row[:-1]), *sheets[row[2]], row[-1])
            limits = list(_readable(db, "SELECT id, level, value, at_ms FROM limit_now", until_s))
        finally:
            db.close()
        by_boot: dict[int | None, list[tuple[Held, int, bytes, bytes]]] = {}
        young = [found.pop(seq)[0] for seq in sorted(found) if seq > own_until and found[seq][0].kind is not Kind.SHEET]
        self.commit([NewEntry(e.kind, e.group, e.at_ms, e.clock, e.readings, e.body) for e in young], sheet=sheet)
        for seq in sorted(found):
            by_boot.setdefault(found[seq][4], []).append(found[seq][:4])
        saved = sum(self._adopt(rows, boot) for boot, rows in by_boot.items())
        self.commit((), (), [Standing(row[0], Level(row[1]), row[2], row[3]) for row in limits])
        return saved + len(young)

    def _adopt(self, rows: Iterable[tuple[Held, int, bytes, bytes]], boot: int | None) -> int:
        """Inserts entries of another store: (entry, epoch of its sheet, the sheet's body, its digest)."""
        count = readings = 0
        ids: dict[bytes, int] = {}
        with self._transaction():
            for entry, epoch, body, digest in rows:
                if digest not in ids:
                    self._db.execute(
                        "INSERT OR IGNORE INTO sheet (digest, epoch, body) VALUES (?, ?, ?)", (digest, epoch, body)
                    )
                    ids[digest] = self._db.execute("SELECT id FROM sheet WHERE digest = ?", (digest,)).fetchone()[0]
                undated = entry.clock is ClockQuality.UNKNOWN
                self._db.execute(
                    "INSERT INTO entry (kind, sheet, grp, at_ms, clock, boot, readings, body, origin_seq)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(entry.kind, ids[digest], entry.group, entry.at_ms, entry.clock),
                        *(boot if undated else None, entry.readings, entry.body, entry.wire_seq),
                    ),
                )
                count += 1
                readings += entry.readings
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

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreBroken(self.path, advice(error)) from error


def _held(row: Sequence[Any]) -> Held:
    held = Held._make(row)
    return held._replace(kind=Kind(held.kind), clock=ClockQuality(held.clock))


def _readable(db: sqlite3.Connection, query: str, until_s: float) -> Iterator[tuple[Any, ...]]:
    """Rows until the first that can not be read."""
    try:
        for row in db.execute(query):
            if time.monotonic() > until_s:
                return
            yield row
    except (sqlite3.Error, OverflowError):
        return
