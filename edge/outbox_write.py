"""The outbox's writing side that is not the daily commit: counters, sheets, times learnt, entries of another store.

Every transaction keeps the account: what it changes goes through its `Books` (edge/ledger.py). See edge/outbox.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from edge.contract import ClockQuality
from edge.entries import Held, NewEntry, Standing
from edge.ledger import (
    DAY_MS,
    LEDGER_SHEETS,
    NOTHING_FAILED,
    UNDATED,
    Books,
    Key,
    Piece,
    day_of,
    failing,
    gather,
    running_of,
)
from edge.outbox_read import OutboxReader

PIECE_COLUMNS = "kind, sheet, grp, at_ms, clock, readings, window_s, length(body)"
FORGET_MOST_ENTRIES = 20_000  # looking for sheets that no entry needs reads all of them: not while there are many


class OutboxWriter(OutboxReader):
    """Transactions on the reader's connection."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        super().__init__(connection, path)
        self._boot = 0
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
        named = {keep, *sorted(named)[-LEDGER_SHEETS:], *(key.sheet for key in running_of(self._db).tallies)}
        return [row[0] for row in self._db.execute("SELECT id FROM sheet ORDER BY id") if row[0] not in named]

    def backdate(self, boot: int, offset_ms: int, quality: ClockQuality) -> int:
        """Dates what was taken before the time was known; returns how many entries.

        Entries of this boot get their exact time. Those of earlier boots are known only in their order: each such boot
        is laid to end where the next one begins, and its entries stay marked UNKNOWN no longer than as FREE.
        """
        with self._transaction() as books:
            changed = self._date(books, boot, offset_ms, quality)
            end_ms = offset_ms
            boots = self._db.execute(
                "SELECT boot, MIN(at_ms), MAX(at_ms) FROM entry WHERE clock = 2 GROUP BY boot ORDER BY MIN(seq) DESC"
            ).fetchall()
            for earlier, first_ms, last_ms in boots:
                changed += self._date(books, earlier, end_ms - last_ms, ClockQuality.FREE)
                end_ms -= last_ms - first_ms
        return changed

    def _date(self, books: Books, boot: int | None, offset_ms: int, quality: ClockQuality) -> int:
        """Adds `offset_ms` to the entries of a boot; moves its rounds in the ledger."""
        rounds = "FROM entry WHERE clock = 2 AND boot IS ? AND kind = 0"
        what = f"sheet, grp, (at_ms + ?) / {DAY_MS}"
        counted = self._db.execute(f"SELECT {what}, COUNT(*) {rounds} GROUP BY 1, 2, 3", (offset_ms, boot)).fetchall()
        failed: dict[tuple[int, int, int], list[bytes]] = {}
        query = f"SELECT {what}, body {rounds} AND substr(body, -1) <> ?"
        for sheet, group, day, body in self._db.execute(query, (offset_ms, boot, NOTHING_FAILED)):
            failed.setdefault((sheet, group, day), []).append(failing(body))
        for sheet, group, day, count in counted:
            to = Key(day_of(day * DAY_MS, ClockQuality.FREE), sheet, group)
            books.move(to._replace(day=UNDATED), to, count, failed.get((sheet, group, day), ()))
        return self._db.execute(
            "UPDATE entry SET at_ms = at_ms + ?, clock = ?, boot = NULL WHERE clock = 2 AND boot IS ?",
            (offset_ms, quality, boot),
        ).rowcount

    # -- inside --------------------------------------------------------------------------------------------------

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
        self._db.executemany(
            "INSERT INTO limit_now (id, level, value, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET level = excluded.level, value = excluded.value, at_ms = excluded.at_ms",
            [(standing.id, standing.level, standing.value, standing.at_ms) for standing in standings],
        )

    @contextmanager
    def _transaction(self) -> Iterator[Books]:
        """What goes through the books is in the account when the transaction is on the disk, or neither is."""
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                books = Books(self._db)
                yield books
                books.close()
                self._db.execute("COMMIT")
                self.good_seq = self.last_seq()
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def piece_of(entry: NewEntry | Held, sheet: int) -> Piece:
    what = (entry.kind, sheet, entry.group, entry.at_ms, entry.clock, entry.readings, entry.window_s)
    return Piece(*what, len(entry.body))
