"""The outbox's writing side that is not the daily commit: counters, sheets, times learnt, entries of another store.

Every transaction keeps the account: what it changes goes through its `Books` (edge/ledger.py). See edge/outbox.py.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import cbor2

from edge import limit_note
from edge.contract import ClockQuality, Kind
from edge.entries import PAST_KEPT, Held, NewEntry, Standing
from edge.errors import StoreBroken
from edge.ledger import (
    DAMAGED,
    DAY_MS,
    LEDGER_SHEETS,
    NOTHING_FAILED,
    UNDATED,
    Books,
    Key,
    LastRunning,
    Piece,
    day_of,
    failing,
    gather,
    running_of,
)
from edge.outbox_read import OutboxReader

PIECE_COLUMNS = "kind, sheet, grp, at_ms, clock, readings, window_s, length(body)"
DATE_MOST = 5000  # in one step: some 30 ms on two cores of a server
DATING = "dating"  # the name of that work in the table under_way
BOOTS_KEPT = 1000  # whose offset is remembered, the latest; 15 bytes each, 1000 starts without ever a time between
FORGET_MOST_ENTRIES = 20_000  # looking for sheets that no entry needs reads all of them: not while there are many


@dataclass(slots=True)
class Dating:
    """boot -> what its undated entries get: (offset in ms, clock quality)."""

    boots: dict[int, tuple[int, int]] = field(default_factory=dict)

    def encode(self) -> bytes:
        return cbor2.dumps(list(self.boots.items())[-BOOTS_KEPT:])

    @classmethod
    def decode(cls, data: bytes) -> Dating:
        """An empty one for what makes no sense."""
        if not data:
            return cls()
        try:
            return cls({boot: (int(offset_ms), int(quality)) for boot, (offset_ms, quality) in cbor2.loads(data)})
        except DAMAGED:
            return cls()


class OutboxWriter(OutboxReader):
    """Transactions on the reader's connection."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        super().__init__(connection, path)
        self._boot = 0
        self._tail_saved = 0
        self._running = LastRunning()
        self.salvaging = False  # whether entries of a broken store wait to be taken: `Outbox.salvage_step`
        self.good_seq = self.last_seq()  # the last one given by a transaction that is known to be on the disk

    def set_boot(self, boot: int) -> None:
        """Which boot undated entries belong to."""
        self._boot = boot

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
        """Drops sheets no held entry and no recent day of the ledger needs, except `keep`."""
        with self._transaction():
            for sheet in self._not_needed(keep):
                if not self._db.execute("SELECT 1 FROM entry WHERE sheet = ? LIMIT 1", (sheet,)).fetchone():
                    gather(self._db, "sheet = ?", (sheet,), lambda key: Key(key.day, 0, 0))
                    self._db.execute("DELETE FROM sheet WHERE id = ?", (sheet,))
        self._sheets.clear()

    def _not_needed(self, keep: int) -> list[int]:
        """Sheets that the ledger needs no more; none while looking at the entries would take long."""
        if self.account().held_entries > FORGET_MOST_ENTRIES:
            return []
        named = {row[0] for row in self._db.execute("SELECT DISTINCT sheet FROM ledger")}
        eras = (era.sheet for era in self._eras)
        named = {keep, *eras, *sorted(named)[-LEDGER_SHEETS:], *(key.sheet for key in running_of(self._db).tallies)}
        return [row[0] for row in self._db.execute("SELECT id FROM sheet ORDER BY id") if row[0] not in named]

    def backdate_step(self, boot: int, offset_ms: int, quality: ClockQuality, most: int = DATE_MOST) -> int:
        """Dates entries that were taken before the time was known, `most` of them; returns how many are left to date.

        Entries of this boot get their exact time. Those of earlier boots are known only in their order: each such boot
        is laid to end where the next one begins, and its entries stay marked UNKNOWN no longer than as FREE. What an
        earlier boot gets is settled at the first step and noted with it: a cut in between, and what comes later
        (salvaged, or from memory), changes nothing of it. While something is left to salvage, earlier boots wait:
        their end may come.
        """
        with self._transaction() as books:
            plan = Dating.decode(self._noted(DATING))
            before, boots = dict(plan.boots), self._undated_boots()
            if boot in boots:
                plan.boots[boot] = (offset_ms, int(quality))
            if not self.salvaging:
                self._lay(plan, [found for found in boots if found not in plan.boots], offset_ms)
            done, planned = 0, [found for found in boots if found in plan.boots]
            for found in planned:
                if done < most:
                    done += self._date(books, found, *plan.boots[found], most - done)
            if plan.boots != before:
                self._note(DATING, plan.encode())
            left = "SELECT COUNT(*) FROM entry WHERE clock = 2 AND boot = ?"
            return sum(int(self._db.execute(left, (found,)).fetchone()[0]) for found in planned)

    def _undated_boots(self) -> list[int]:
        """The boots that undated entries are of, by leaps through their index."""
        found: list[int] = []
        query = "SELECT boot FROM entry WHERE clock = 2 AND boot > ? ORDER BY boot LIMIT 1"
        while row := self._db.execute(query, (found[-1] if found else -1,)).fetchone():
            found.append(row[0])
        return found

    def _lay(self, plan: Dating, boots: Sequence[int], end_ms: int) -> None:
        """Lays boots before what is dated, the last one first. An index gives the ends of each without a walk."""
        ends = []
        for boot in boots:
            query = "SELECT seq, at_ms FROM entry WHERE clock = 2 AND boot = ? ORDER BY seq {} LIMIT 1"
            first, last = (self._db.execute(query.format(way), (boot,)).fetchone() for way in ("ASC", "DESC"))
            ends.append((first[0], boot, min(first[1], last[1]), max(first[1], last[1])))
        for _, boot, first_ms, last_ms in sorted(ends, reverse=True):
            plan.boots[boot] = (end_ms - last_ms, int(ClockQuality.FREE))
            end_ms -= last_ms - first_ms

    def _date(self, books: Books, boot: int, offset_ms: int, quality: int, most: int) -> int:
        """Adds `offset_ms` to entries of a boot; moves its rounds in the ledger."""
        query = (
            "SELECT seq, kind, sheet, grp, at_ms, CASE WHEN kind = 0 AND substr(body, -1) <> ? THEN body END"
            " FROM entry WHERE clock = 2 AND boot = ? ORDER BY seq LIMIT ?"
        )
        rows = self._db.execute(query, (NOTHING_FAILED, boot, most)).fetchall()
        counted: Counter[tuple[int, int, int]] = Counter()
        failed: dict[tuple[int, int, int], list[bytes]] = {}
        for _, kind, sheet, group, at_ms, body in rows:
            if kind == Kind.ROUNDS:
                key = (sheet, group, (at_ms + offset_ms) // DAY_MS)
                counted[key] += 1
                if body is not None:
                    failed.setdefault(key, []).append(failing(body))
        for (sheet, group, day), count in counted.items():
            to = Key(day_of(day * DAY_MS, ClockQuality.FREE), sheet, group)
            books.move(to._replace(day=UNDATED), to, count, failed.get((sheet, group, day), ()))
        anew = "UPDATE entry SET at_ms = at_ms + ?, clock = ?, boot = NULL WHERE seq = ?"
        self._db.executemany(anew, [(offset_ms, quality, row[0]) for row in rows])
        return len(rows)

    # -- inside --------------------------------------------------------------------------------------------------

    def _noted(self, name: str) -> bytes:
        """What was noted of work that is under way; b"" for nothing."""
        row = self._db.execute("SELECT body FROM under_way WHERE name = ?", (name,)).fetchone()
        return row[0] if row and isinstance(row[0], bytes) else b""

    def _note(self, name: str, body: bytes) -> None:
        """Notes how far work is; b"": it is done."""
        if body:
            self._db.execute("INSERT OR REPLACE INTO under_way VALUES (?, ?)", (name, body))
        else:
            self._db.execute("DELETE FROM under_way WHERE name = ?", (name,))

    def _insert(self, books: Books, entry: NewEntry, sheet: int) -> int:
        boot = self._boot if entry.clock is ClockQuality.UNKNOWN else None
        cursor = self._db.execute(
            "INSERT INTO entry (kind, sheet, grp, at_ms, clock, boot, readings, body, window_s)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*(entry.kind, sheet, entry.group, entry.at_ms, entry.clock), boot, *entry[4:6], entry.window_s),
        )
        books.take(piece_of(entry, sheet), entry.body)
        return int(cursor.lastrowid or 0)

    def _pieces(self, where: str, values: Sequence[int]) -> tuple[list[int], list[Piece]]:
        """The seqs of entries, and what the account must know of them."""
        rows = self._db.execute(f"SELECT seq, {PIECE_COLUMNS} FROM entry WHERE {where}", tuple(values)).fetchall()
        return [row[0] for row in rows], [Piece._make(row[1:]) for row in rows]

    def _delete(self, seqs: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM entry WHERE seq = ?", [(seq,) for seq in seqs])

    def _stand(self, standings: Iterable[Standing]) -> None:
        standings = list(standings)
        self._db.executemany(
            "INSERT OR REPLACE INTO limit_told VALUES (?, ?, ?, ?, ?, ?)",
            [(it.id, it.boot, round(it.monotonic_s * 1000), int(it.clock), it.true, it.scale) for it in standings],
        )
        self._db.executemany(
            "INSERT INTO limit_now (id, level, value, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET level = excluded.level, value = excluded.value, at_ms = excluded.at_ms",
            [(standing.id, standing.level, standing.value, standing.at_ms) for standing in standings],
        )

    def _note_tail(self, rows: Sequence[tuple[int, bytes]], saved: int, unknown: Sequence[str] | None) -> None:
        if saved > self._tail_saved:  # the last one stays: the next number is known by it
            self._db.execute("DELETE FROM limit_tail WHERE number < ?", (saved,))
            self._tail_saved = saved
        if unknown is not None:
            limit_note.told(self._db, unknown)
        self._db.executemany("INSERT OR REPLACE INTO limit_tail VALUES (?, ?)", rows)

    def _note_past(self, add: Sequence[bytes], anew: bool) -> None:
        if anew:
            self._db.execute("DELETE FROM alarm_past")
        if add:
            self._db.executemany("INSERT INTO alarm_past (body) VALUES (?)", [(body,) for body in add])
            last = self._db.execute("SELECT MAX(number) FROM alarm_past").fetchone()[0]
            self._db.execute("DELETE FROM alarm_past WHERE number <= ?", (last - PAST_KEPT,))

    @contextmanager
    def _transaction(self) -> Iterator[Books]:
        """What goes through the books is in the account when the transaction is on the disk, or neither is. A value
        of a kind that nobody thought of is damage: StoreBroken, so that the file is put aside and work goes on."""
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                books = Books(self._db, self._running)
                yield books
                books.close()
                self._db.execute("COMMIT")
                self.good_seq = self.last_seq()
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, DAMAGED):
                    raise StoreBroken(self.path, f"{type(error).__name__}: {error}", damaged=True) from error
                raise


def piece_of(entry: NewEntry | Held, sheet: int) -> Piece:
    what = (entry.kind, sheet, entry.group, entry.at_ms, entry.clock, entry.readings, entry.window_s)
    return Piece(*what, len(entry.body))
