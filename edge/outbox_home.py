"""What a store does when it is left for another one, or come back to: entries are read and let go of in batches, those
of a commit in doubt are taken back, and its files are looked at. See edge/homecoming.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from edge import limit_note
from edge.contract import Kind
from edge.entries import Before, Standing
from edge.errors import StoreBroken, Unpackable
from edge.ledger import Books, Why
from edge.outbox_eras import MARK, Mark, mark
from edge.outbox_read import ENTRY_COLUMNS
from edge.outbox_write import OutboxWriter
from edge.retell import retold
from edge.salvage import Saved
from edge.standings import standings_of

BATCH_ENTRIES = 500  # taken home in one transaction: 10 to 30 ms on two cores of a server
BATCH_BYTES = 64_000  # some 60 pages: what a bad card writes in a quarter of a second
LOG_GONE = "its write-ahead log was deleted or replaced, or cut short, while in use"
BULK_KINDS = frozenset({Kind.ROUNDS, Kind.SUMMARY})


class Doubt(NamedTuple):
    """Seqs above `low` up to `high` of store `epoch`: a commit that failed, and may have happened all the same. They
    were taken again, but for `rounds_only`, where it is not known whether that arrived: an alarm twice is better than
    none."""

    epoch: int
    low: int
    high: int
    rounds_only: bool = False

    def has(self, epoch: int, seq: int, kind: Kind) -> bool:
        """Whether it is in doubt about an entry."""
        return epoch == self.epoch and self.low < seq <= self.high and (kind is Kind.ROUNDS or not self.rounds_only)


class OutboxHome(OutboxWriter):
    """Between the writer and `Outbox`."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        super().__init__(connection, path)
        with self._guard():
            self.counter_high = int(self._db.execute("SELECT counter_high FROM store").fetchone()[0])
        with self._guard():
            self._mark = mark(self._db)
        self.opened_seq = self.last_seq()  # what was given before this run, or may have been sent before it
        if self._mark is not None and self._mark.counter == self.counter_high:
            self.opened_seq = self.sure_seq
        self._file_name, self._log_name = Path(path), Path(f"{path}-wal")
        self._file = identity(self._file_name)
        self._log = identity(self._log_name)
        self._log_bytes = self._log_size()  # as the last commit left it: only a commit makes it shorter

    def reserve_counters(self, count: int) -> int:
        first = super().reserve_counters(count)
        self.counter_high = first + count
        return first

    @property
    def sure_seq(self) -> int:
        """Up to where the seqs mean here what they mean at the province, should this be an older copy."""
        return self.opened_seq if self._mark is None else min(self.opened_seq, self._mark.seq)

    def _set_mark(self, found: Mark | None) -> None:
        """Within a transaction. None: the province has confirmed something given since."""
        self._note(MARK, b"" if found is None else found.encode())
        self._mark = found

    # -- its files -----------------------------------------------------------------------------------------------

    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one that its name leads to."""
        return self._file is None or identity(self._file_name) == self._file

    def has_log(self) -> bool:
        """Whether its write-ahead log is still there under its name: what was committed last lies in it alone."""
        return self._file is None or (identity(self._log_name) == self._log and not self._log_is_cut())

    def _log_is_cut(self) -> bool:
        """Whether somebody has cut it short: a commit would go on behind a hole, and be lost with the next opening."""
        return 0 <= self._log_size() < self._log_bytes

    def _log_size(self) -> int:
        """In bytes; -1 where its name leads to no log, or to another one."""
        try:
            there = self._log_name.stat()
        except OSError:
            return -1
        return there.st_size if (there.st_dev, there.st_ino) == self._log else -1

    @contextmanager
    def _transaction(self) -> Iterator[Books]:
        if self._log_is_cut():
            raise StoreBroken(self.path, LOG_GONE)
        with super()._transaction() as books:
            yield books
        self._log_bytes = self._log_size()

    def leave_name(self) -> None:
        """Another file has this one's name: takes this one's log from beside it, which would be read as its own."""
        if self._log is not None and not self.is_in_place() and identity(self._log_name) == self._log:
            self._log_name.unlink(missing_ok=True)

    # -- leaving -------------------------------------------------------------------------------------------------

    def few(self) -> list[int]:
        """The seqs of all held entries but rounds and summaries."""
        return [seq for seq, _ in self.first_things()]

    def batch(self, seqs: Sequence[int], above_seq: int, boot: int) -> tuple[list[Saved], int]:
        """Entries for another store: of `seqs`, or where there are none the oldest above a seq, bounded; and the last
        seq that was looked at. `boot`: of entries without a time that say nothing of it."""
        query = f"SELECT {ENTRY_COLUMNS}, boot FROM entry WHERE seq > ? ORDER BY seq LIMIT ?"
        values: tuple[int, ...] = (above_seq, BATCH_ENTRIES)
        if seqs:
            query = f"SELECT {ENTRY_COLUMNS}, boot FROM entry WHERE seq IN ({', '.join('?' * len(seqs))}) ORDER BY seq"
            values = tuple(seqs)
        found: list[Saved] = []
        size_bytes, last_seq = 0, above_seq
        with self._guard():
            rows = self._db.execute(query, values).fetchall()
            for row in rows:
                if not seqs and size_bytes > BATCH_BYTES:
                    break
                last_seq = row[0]
                try:
                    held = self._held(row[:-1])
                    told = (*self.sheet(held.sheet), self.sheet_digest(held.sheet))
                    if held.body_sheet:
                        body = retold(held.body, self.sheet(held.body_sheet)[1], told[1])
                        held = held._replace(body=body, body_sheet=0)
                except (Unpackable, KeyError, TypeError):
                    continue  # damage: it stays where it is
                if held.kind is Kind.SUMMARY and not held.body:
                    continue  # it can not be told under its new sheet
                found.append(Saved(held, *told, boot if row[-1] is None else row[-1]))
                size_bytes += len(held.body)
            if not rows and not seqs:
                last_seq = max(above_seq, self.last_seq())  # nothing is left
        return found, last_seq

    def stands(self) -> list[Standing]:
        """Where the limits stand."""
        with self._guard():
            rows = self._db.execute("SELECT id, level, value, at_ms FROM limit_now").fetchall()
            told = self._db.execute("SELECT id, boot, monotonic_ms, clock, level, scale FROM limit_told").fetchall()
        return standings_of(rows, told)

    def before(self) -> Before:
        """What limits go on from."""
        with self._guard():
            note = limit_note.read(self._db) or limit_note.NOTHING_NOTED
        return Before(self.stands(), self.tail(), note)

    def give(self, saved: Iterable[Saved]) -> None:
        """Lets go of entries that another store has taken: as if this one never had."""
        with self._transaction() as books:
            for one in saved:
                seqs, pieces = self._pieces("seq = ?", (one.entry.seq,))
                for piece in pieces:
                    books.untake(piece, one.entry.body)
                self._delete(seqs)

    def has_own(self, one: Saved) -> bool:
        """Whether an entry of another store is held here as this one's own: one of them is a copy of the other."""
        seq = one.entry.wire_seq
        if one.entry.kind is Kind.SHEET or not any(era.epoch == one.epoch and seq in era for era in self._eras):
            return False
        with self._guard():
            query = "SELECT 1 FROM entry WHERE seq = ? AND origin_seq IS NULL"
            return self._db.execute(query, (seq,)).fetchone() is not None

    # -- doubt ---------------------------------------------------------------------------------------------------

    def take_back(self, doubt: Doubt) -> int:
        """Lets go of the entries of a commit that failed and had happened all the same, as what an fsync failed for may
        well be in the file. They were taken again. Returns how many. Their seqs are not given a second time."""
        if doubt.epoch != self.epoch:
            return 0
        where = "seq > ? AND seq <= ?" + (" AND kind = 0" if doubt.rounds_only else "")
        with self._transaction() as books:
            seqs, pieces = self._pieces(where, (doubt.low, doubt.high))
            self._delete(seqs)
            books.evict(pieces, Why.TWICE)
            self._skip_to(doubt.high)
        if self.opened_seq >= doubt.low:  # else nothing of this store was sent yet
            self.opened_seq = max(self.opened_seq, doubt.high)
        return len(seqs)

    def _skip_to(self, seq: int) -> None:
        if not self._db.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'entry'").fetchone():
            self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entry', 0)")
        self._db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'entry' AND seq < ?", (seq, seq))


def identity(name: Path) -> tuple[int, int] | None:
    """Which file a name leads to; None where there is none."""
    try:
        there = name.stat()
    except OSError:
        return None
    return there.st_dev, there.st_ino
