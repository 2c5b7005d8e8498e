"""The outbox's quota: what makes room, in what order; and entries of other stores, which need it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from edge.contract import ClockQuality, Kind
from edge.entries import Commit, Held, NewEntry, Standing
from edge.ledger import ROW_BYTES, Books, Why
from edge.outbox_file import PAGE_BYTES
from edge.outbox_home import OutboxHome
from edge.outbox_read import FEW
from edge.outbox_write import piece_of
from edge.ranges import to_ranges
from edge.salvage import Saved

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


class OutboxRoom(OutboxHome):
    """Keeps a store within `quota_bytes`."""

    def __init__(self, connection: sqlite3.Connection, path: str, quota_bytes: int) -> None:
        super().__init__(connection, path)
        self.quota_bytes = quota_bytes
        self.rename: Callable[[Iterable[Saved]], Iterable[Saved]] = iter

    def _make_room(self, books: Books, entries: Sequence[NewEntry | Held], done: Commit) -> None:
        """Frees what `entries` need within the quota, a bounded number. Folding has come before (edge/fold.py): what is
        left are rounds that can not be folded, oldest first, then summaries, the coarsest first, then alarms."""
        need_bytes = sum(len(entry.body) + ROW_BYTES for entry in entries) * 5 // 4 + ROOM_BYTES
        if any(entry.kind is not Kind.ALARM for entry in entries):
            need_bytes += int(self.quota_bytes * ALARM_RESERVE)
        steps = 0
        if self._free_bytes() >= need_bytes:
            return
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

    def _adopt(self, saved: Iterable[Saved], standings: Iterable[Standing], done: Commit) -> int:
        """Takes entries of another store, with their own identity, in a transaction of its own; returns how many. What
        makes room for them is told in `done`."""
        saved = list(saved)
        with self._transaction() as books:
            self._make_room(books, [one.entry for one in saved], done)
            self._stand(standings)
            return len(self._take_over(books, saved))

    def _take_over(self, books: Books, saved: Iterable[Saved]) -> list[tuple[int, Kind]]:
        """Takes entries of another store; (seq here, kind) of each. One that was taken before is not taken again.

        A sheet's own entry gets a new identity: it is sealed without a sheet, so nothing would tell the other epoch.
        """
        taken: list[tuple[int, Kind]] = []
        rows: dict[bytes, int] = {}
        for entry, epoch, body, digest, boot in self.rename(saved):
            sheet = rows[digest] = rows.get(digest) or self._sheet_row(digest, epoch, body)
            is_sheet = entry.kind is Kind.SHEET
            known = f"SELECT 1 FROM entry WHERE {FEW} AND kind = ? AND sheet = ?"
            if is_sheet and self._db.execute(known, (entry.kind, sheet)).fetchone():
                continue
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO entry (kind, sheet, grp, at_ms, clock, boot, readings, body, origin_seq,"
                " window_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(entry.kind, sheet, entry.group, entry.at_ms, entry.clock),
                    *((boot or 0) if entry.clock is ClockQuality.UNKNOWN else None, entry.readings, entry.body),
                    *(None if is_sheet else entry.wire_seq, entry.window_s),
                ),
            )
            if cursor.rowcount:
                taken.append((int(cursor.lastrowid or 0), entry.kind))
                books.take(piece_of(entry, sheet), entry.body, adopted=True)
        return taken

    def _sheet_row(self, digest: bytes, epoch: int, body: bytes) -> int:
        self._db.execute("INSERT OR IGNORE INTO sheet (digest, epoch, body) VALUES (?, ?, ?)", (digest, epoch, body))
        return int(self._db.execute("SELECT id FROM sheet WHERE digest = ?", (digest,)).fetchone()[0])

    def _free_bytes(self) -> int:
        """What can still be written within the quota. Pages of the file that are free are used first."""
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return int(free * PAGE_BYTES + max(0, self.quota_bytes - pages * PAGE_BYTES))
