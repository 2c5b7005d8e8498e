"""What can still be read of a broken store file. Never raises for what is in it. See edge/salvage_steps.py.

Entries are read by seq, a stretch at a time. Where that fails, they are asked for one by one, so a damaged page costs
what hangs on it and no more; where LEAP_AFTER in a row can not be read (a page high up in the tree), the next place
that can be read is looked for by leaps. Only damage, and what the card can not read, is given up: a disk that is full
or refuses to write, or a file that somebody else holds, says nothing of the entries (Locked): they are for later.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from edge import limit_note
from edge.contract import Kind
from edge.entries import Before, Held, Standing
from edge.errors import Unpackable
from edge.outbox_eras import Era, load, told_under
from edge.outbox_file import PAGE_BYTES, advice, fill_new, readable_text
from edge.outbox_read import ENTRY_COLUMNS, FEW, held_of
from edge.retell import retold
from edge.standings import standings_of

PEEK_S = 2.0  # an alarm waits for nothing else
READ_ROWS = 256
HEAD = b"SQLite format 3\0" + PAGE_BYTES.to_bytes(2, "big")
LEAP_AFTER = 2000  # seqs in a row: far more than one page holds
LAST_SEQ = 2**48  # beyond it a seq is damage
ROW = f"SELECT {ENTRY_COLUMNS}, boot FROM entry WHERE seq"
# In this order: alarms, sheets, then all else that is neither rounds nor summaries.
FIRST_KINDS = (
    Kind.ALARM,
    Kind.SHEET,
    *(k for k in Kind if k not in {Kind.ALARM, Kind.SHEET, Kind.ROUNDS, Kind.SUMMARY}),
)


# Errors of SQLite that speak of the disk, or of who else has the file, not of what is in it.
NOT_NOW = frozenset(
    {
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY),
        *(sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL),
        *(sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOLFS),
    }
)
UNREADABLE = frozenset(
    {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
)  # a sector that the card has lost will not come back


class Locked(Exception):
    """It can not be read now: somebody still has the file open (a call that hangs), or the disk is full. It is to be
    tried again; what has been read so far of this stretch is to be read again too."""


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """What can not be read is passed over. Raises Locked where that is for now only."""
    try:
        yield
    except (OverflowError, UnicodeDecodeError):  # of numbers, and of SQLite's own words about a damaged schema
        return
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF in NOT_NOW and code not in UNREADABLE:
            raise Locked(advice(error)) from error


class Saved(NamedTuple):
    """An entry of another store: with the epoch, body and digest of its sheet, and its boot while it has no time."""

    entry: Held
    epoch: int
    sheet_body: bytes
    sheet_digest: bytes
    boot: int | None


class Swept(NamedTuple):
    """Entries by seq; the seq to go on from; how many seqs could not be read, or made no sense."""

    saved: list[Saved]
    next_seq: int
    unreadable: int


class Source:
    """A broken store file that is read. To be closed. Raises Locked, then and later."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=0)
        except sqlite3.Error as error:
            raise Locked(advice(error)) from error
        self._db.text_factory = readable_text
        self._sheets: dict[int, tuple[int, bytes, bytes]] = {}
        self._eras: list[Era] = []
        try:
            self._begin()
        except Locked:
            self.close()
            raise

    def _begin(self) -> None:
        with forgiving():
            # Without the shared-memory file, for which there may be no room.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        for row in _readable(self._db, "SELECT id, epoch, body, digest FROM sheet"):
            if isinstance(row[1], int) and isinstance(row[2], bytes) and isinstance(row[3], bytes):
                self._sheets[row[0]] = row[1:]
        with forgiving():
            self._eras = load(self._db, self._db.execute("SELECT epoch FROM store").fetchone()[0])

    def close(self) -> None:
        """Lets go of the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def standings(self) -> list[Standing]:
        """Where the limits stood."""
        return _standings(self._db)

    def held(self) -> int | None:
        """How many entries it held by its own account; None when that can not be read."""
        gone = "settled_entries - folded_entries - evicted_entries"
        found = [row[0] for row in _readable(self._db, f"SELECT taken_entries - {gone} FROM store")]
        return found[0] if found and isinstance(found[0], int) else None

    def span(self) -> tuple[int, int]:
        """The seqs between which everything lies; (1, 0) for nothing."""
        ends = {way: self._number(f"SELECT seq FROM entry ORDER BY seq {way} LIMIT 1") for way in ("ASC", "DESC")}
        given = self._number("SELECT seq FROM sqlite_sequence WHERE name = 'entry'")
        high = max(given, ends["DESC"]) or self._furthest()
        return max(1, min(ends["ASC"], high)), high

    def few(self, kind: Kind, below_seq: int, until_s: float) -> tuple[list[Saved], int]:
        """Entries of one of FIRST_KINDS, newest first; and the seq from which on all that can be read were read, 0
        when that is all. By the index; what of it is damaged is left to `sweep`."""
        query = f"SELECT seq FROM entry WHERE {FEW} AND kind = ? AND seq < ? ORDER BY seq DESC"
        found: list[Saved] = []
        low = below_seq
        with forgiving():
            for (seq,) in self._db.execute(query, (kind, below_seq)):
                if not isinstance(seq, int) or not 0 < seq < low or time.monotonic() > until_s:
                    return found, low
                low = seq
                with forgiving():
                    saved = self._saved(self._db.execute(f"{ROW} = ?", (seq,)).fetchone())
                    if saved is not None and saved.entry.kind is kind:
                        found.append(saved)
            return found, 0
        return found, low

    def sweep(self, from_seq: int, high: int, most: int, most_bytes: int, until_s: float) -> Swept:
        """Entries from a seq up to `high`, oldest first: `most` of them, about `most_bytes` of bodies, until then."""
        swept = Swept([], from_seq, 0)
        in_a_row = 0
        while swept.next_seq <= high and len(swept.saved) < most and time.monotonic() < until_s:
            if sum(len(one.entry.body) for one in swept.saved) >= most_bytes:
                break
            swept, sound = self._stretch(swept, high, min(READ_ROWS, most))
            if sound:
                in_a_row = 0
                continue
            swept, found = self._single(swept)
            in_a_row = 0 if found else in_a_row + 1
            if in_a_row > LEAP_AFTER:
                next_seq = self._leap(swept.next_seq, high)
                swept = swept._replace(next_seq=next_seq, unreadable=swept.unreadable + next_seq - swept.next_seq)
                in_a_row = 0
        return swept

    def _stretch(self, swept: Swept, high: int, most: int) -> tuple[Swept, bool]:
        """What follows, as far as it can be read; False where that was not to the end of the stretch."""
        saved, next_seq, unreadable = swept
        count = 0
        with forgiving():
            for row in self._db.execute(f"{ROW} BETWEEN ? AND ? ORDER BY seq LIMIT ?", (next_seq, high, most)):
                seq = row[0]
                if not isinstance(seq, int) or not next_seq <= seq <= high:
                    return Swept(saved, next_seq, unreadable), False
                one = self._saved(row)
                if one is None:
                    unreadable += 1
                else:
                    saved.append(one)
                next_seq = seq + 1
                count += 1
            return Swept(saved, next_seq if count == most else high + 1, unreadable), True
        return Swept(saved, next_seq, unreadable), False

    def _single(self, swept: Swept) -> tuple[Swept, bool]:
        """The one seq that is next."""
        saved, seq, unreadable = swept
        with forgiving():
            row = self._db.execute(f"{ROW} = ?", (seq,)).fetchone()
            one = self._saved(row) if row and row[0] == seq else None
            if one is not None:
                saved.append(one)
            return Swept(saved, seq + 1, unreadable + (row is not None and one is None)), True
        return Swept(saved, seq + 1, unreadable + 1), False

    def _leap(self, from_seq: int, high: int) -> int:
        """A seq from which on something can be read again; beyond `high` when nothing is found."""
        low, step = from_seq, 1
        while not self._can_read(low + step):
            low, step = low + step, step * 2
            if low > high:
                return high + 1
        top = low + step
        while top - low > 1:
            middle = (low + top) // 2
            low, top = (low, middle) if self._can_read(middle) else (middle, top)
        return min(top, high + 1)

    def _furthest(self) -> int:
        """A seq beyond all that can be read, where neither the table's end nor the counter can."""
        furthest = 0
        for power in range(48):
            if any(True for _ in _readable(self._db, f"{ROW} >= {1 << power} ORDER BY seq LIMIT 1")):
                furthest = 1 << power
        return 2 * furthest

    def _can_read(self, seq: int) -> bool:
        with forgiving():
            self._db.execute(f"{ROW} >= ? ORDER BY seq LIMIT 1", (seq,)).fetchone()
            return True
        return False

    def _number(self, query: str) -> int:
        found = [row[0] for row in _readable(self._db, query)]
        return found[0] if found and isinstance(found[0], int) and 0 < found[0] < LAST_SEQ else 0

    def _saved(self, row: tuple[Any, ...] | None) -> Saved | None:
        """None for a row that makes no sense: damage need not look it."""
        if row is None:
            return None
        with contextlib.suppress(ValueError, TypeError, KeyError, Unpackable):
            entry = held_of(row[:-1])
            if entry.origin_seq is None and entry.kind is not Kind.SHEET:
                entry = self._told(entry, told_under(self._eras, entry.seq) or entry.sheet)
            epoch, body, digest = self._sheets[entry.sheet]
            numbers = (*row[:7], epoch, *(number for number in row[8:] if number is not None))
            if all(isinstance(number, int) for number in numbers) and isinstance(entry.body, bytes):
                return Saved(entry, epoch, body, digest, row[-1])
        return None

    def _told(self, entry: Held, sheet: int) -> Held:
        """As it is told under a sheet. Raises ValueError for a summary that can not be."""
        if sheet != entry.sheet and entry.kind is Kind.SUMMARY:
            body = retold(entry.body, self._sheets[entry.sheet][1], self._sheets[sheet][1])
            if not body:
                raise ValueError("it can not be told under another sheet")
            entry = entry._replace(body=body)
        return entry._replace(sheet=sheet)


def mend_head(path: Path) -> None:
    """Puts the first page of a new store into a file whose own is gone: all else hangs on it, and it says nothing but
    where the tables begin, which is the same in every store of this version. Best effort."""
    with contextlib.suppress(OSError), path.open("rb+") as file:
        pages = path.stat().st_size // PAGE_BYTES
        if file.read(len(HEAD)) == HEAD or pages < 2:
            return
        file.seek(0)
        file.write(_first_page(pages))


def _first_page(pages: int) -> bytes:
    """As the file format of SQLite has it, section 1.3 (the database header)."""
    new = sqlite3.connect(":memory:", isolation_level=None)
    new.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    fill_new(new)
    page = bytearray(new.serialize()[:PAGE_BYTES])
    new.close()
    page[18:20] = b"\2\2"  # it has a write-ahead log
    page[28:32] = pages.to_bytes(4, "big")
    page[32:40] = bytes(8)  # no free pages
    page[92:96] = page[24:28]  # the number of pages is to be believed
    return bytes(page)


def peek(path: Path) -> tuple[Before | None, int]:
    """What limits go on from and the newest known UTC time (ms), of a store that cannot be written. Never raises,
    writes nothing. None where what was committed last can not be seen: then nobody knows where limits stand."""
    until_s = time.monotonic() + PEEK_S
    has_log = _has_log(path)
    # With its log only without locks: there may be no room for shared memory, and without that a file that may not be
    # written can not be locked. What is immutable is read without its log.
    for how in ("vfs=unix-none", "immutable=1") if has_log else ("immutable=1",):
        try:
            db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&{how}", uri=True, isolation_level=None, timeout=0)
        except sqlite3.Error:
            continue
        db.set_progress_handler(lambda: int(time.monotonic() > until_s), 20_000)
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")  # without the shared-memory file
            before = _before(db)
            newest = "SELECT at_ms FROM entry WHERE clock <> 2 ORDER BY seq DESC LIMIT 100"
            times_ms = [row[0] for row in _readable(db, newest) if isinstance(row[0], int)]
        except (sqlite3.Error, UnicodeDecodeError, Locked):
            continue
        finally:
            db.close()
        if before.standings or times_ms:
            newest_ms = max([0, *times_ms, *(standing.at_ms for standing in before.standings)])
            return (None if has_log and how == "immutable=1" else before), newest_ms
    return None, 0


def _has_log(path: Path) -> bool:
    """Whether there may be something in it."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except OSError as error:
        return not isinstance(error, FileNotFoundError)


def _before(db: sqlite3.Connection) -> Before:
    """All that can be read of it. Where some of that can not, it is as lost: what is missing may be what stands."""
    rows: list[tuple[int, bytes]] = []
    note = limit_note.DAMAGED_NOTE
    with forgiving():
        found = db.execute("SELECT number, body FROM limit_tail ORDER BY number").fetchall()
        db.execute("SELECT id, level, value, at_ms FROM limit_now").fetchall()
        note = limit_note.read(db) or limit_note.NOTHING_NOTED
        rows = found
    return Before(_standings(db), rows, note)


def _standings(db: sqlite3.Connection) -> list[Standing]:
    """All that can be read of them; of an older store nothing is told but levels, values and times."""
    rows = list(_readable(db, "SELECT id, level, value, at_ms FROM limit_now"))
    told = list(_readable(db, "SELECT id, boot, monotonic_ms, clock, level, scale FROM limit_told"))
    return standings_of(rows, told)


def _readable(db: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Rows until the first that can not be read. Raises Locked."""
    with forgiving():
        yield from db.execute(query)
