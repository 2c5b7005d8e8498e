"""The outbox's reading side: what is held, what may be packed next, the account. See edge/outbox.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from edge import limit_note
from edge.contract import ClockQuality, Kind, Level
from edge.entries import TAIL_BYTES, TAIL_ROWS, Account, Held
from edge.errors import StoreBroken, Unpackable
from edge.ledger import Key, Tally, Why, running_of, whole_ledger
from edge.outbox_eras import Era, load, told_under
from edge.outbox_file import PAGE_BYTES, Unreadable, advice, is_damage
from edge.ranges import RangeSet
from edge.standings import LAST_MS, standings_of, whole

MAX_EPOCH = 2**32 - 1
SCAN_ROWS = 4000  # rows looked at for one packet, at most
FRONT_SUMMARIES = 200
RUN_SEQS = 200_000  # beyond the first of a run: hours, where other groups are read each second
FRONT_ROWS = 2000  # looked at for what is to be folded next, at most: some milliseconds

KINDS = frozenset(Kind)
ENTRY_COLUMNS = "seq, kind, sheet, grp, at_ms, clock, readings, body, origin_seq, window_s"
DATED_ROUNDS = "kind = 0 AND clock <> 2"
BULK = "kind IN (0, 5) AND clock <> 2"  # rounds and summaries
FEW = "kind <> 0 AND kind <> 5"  # as the index entry_first has it


class OutboxReader:
    """Queries on one connection. sqlite3 errors leave here only as StoreBroken."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._db = connection
        self.path = path
        self._sheets: dict[int, tuple[int, bytes]] = {}
        self._no_rounds_below = 0  # where the walk to the oldest round begins: summaries may lie before it
        with self._guard():
            row = self._db.execute("SELECT epoch FROM store").fetchone()
        if row is None or not isinstance(row[0], int) or not 0 <= row[0] <= MAX_EPOCH:
            raise Unreadable(f"its identity row is {row!r}")
        self.epoch: int = row[0]
        with self._guard():
            self.identity = (limit_note.read(connection) or limit_note.NOTHING_NOTED).identity
        self._eras: list[Era] = load(connection, self.epoch)

    def held(self, seqs: Sequence[int]) -> list[Held]:
        """The entries of these seqs that are still held, in seq order."""
        found: list[Held] = []
        with self._guard():
            for seq in sorted(seqs):
                row = self._db.execute(f"SELECT {ENTRY_COLUMNS} FROM entry WHERE seq = ?", (seq,)).fetchone()
                if row:
                    found.append(self._held(row))
        return found

    def first_things(self) -> list[tuple[int, Kind]]:
        """(seq, kind) of every held entry but rounds and summaries: alarms, sheets, status, account. Few, by nature."""
        with self._guard():
            rows = self._db.execute(f"SELECT seq, kind FROM entry WHERE {FEW} ORDER BY seq").fetchall()
        return [(row[0], Kind(row[1])) for row in rows if row[1] in KINDS]

    def rounds(self, skip: RangeSet, low: int, high: int, most_rows: int, most_readings: int) -> list[Held]:
        """The oldest rounds of seq `low`..`high` not in `skip`, all of one sheet and group, within both bounds; or the
        oldest summary, alone, when it is older.

        One row at least, if there is any. Rounds whose time is not known yet are left for later.
        """
        found: list[Held] = []
        readings = 0
        for entry in self._walk(skip, low, high):
            if entry.kind is Kind.SUMMARY:
                if not found:
                    return [entry]
                continue
            if found and (entry.sheet, entry.group) != (found[0].sheet, found[0].group):
                continue
            if found and (len(found) >= most_rows or readings + entry.readings > most_readings):
                break
            found.append(entry)
            readings += entry.readings
        return found

    def rounds_back(self, skip: RangeSet, low: int, high: int, most_rows: int) -> list[Held]:
        """The newest rounds of seq `low`..`high` not in `skip`, newest first; those without a time are left out."""
        found: list[Held] = []
        where = f"{DATED_ROUNDS} AND seq BETWEEN ? AND ?"
        query = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE {where} ORDER BY seq DESC LIMIT ?"
        with self._guard():
            for gap_low, gap_high in reversed(list(skip.gaps(low, high))):
                rows = self._db.execute(query, (gap_low, gap_high, most_rows - len(found))).fetchall()
                found += [self._held(row) for row in rows]
                if len(found) >= most_rows:
                    break
        return found

    def first_since(self, at_ms: int, low: int, high: int) -> int:
        """The first seq of `low`..`high` whose round is of `at_ms` or later, where times ascend with the seqs."""
        query = "SELECT seq, at_ms FROM entry WHERE kind = 0 AND clock <> 2 AND seq >= ? ORDER BY seq LIMIT 1"
        with self._guard():
            while low < high:
                middle = (low + high) // 2
                row = self._db.execute(query, (middle,)).fetchone()
                if row is None or row[0] > high or row[1] >= at_ms:
                    high = middle
                else:
                    low = row[0] + 1
        return low

    def rounds_between(self, start_ms: int, end_ms: int, group: int, low: int, high: int, most_rows: int) -> list[Held]:
        """Rounds of a group with `start_ms` <= time < `end_ms`, of seq `low`..`high`, of this store's own."""
        query = (
            f"SELECT {ENTRY_COLUMNS} FROM entry WHERE kind = 0 AND clock <> 2 AND seq BETWEEN ? AND ? AND grp = ?"
            " AND origin_seq IS NULL ORDER BY seq LIMIT ?"
        )
        found: list[Held] = []
        with self._guard():
            for row in self._db.execute(query, (low, high, group, most_rows)):
                held = self._held(row)
                if start_ms <= held.at_ms < end_ms:
                    found.append(held)
        return found

    def span(self) -> tuple[int, int, int, int] | None:
        """(seq, at_ms) of the oldest and of the newest dated round; None when there is none."""
        query = f"SELECT seq, at_ms FROM entry WHERE {DATED_ROUNDS} AND seq >= ? ORDER BY seq {{}} LIMIT 1"
        low = self._first_round()
        with self._guard():
            first = self._db.execute(query.format("ASC"), (low,)).fetchone()
            last = self._db.execute(query.format("DESC"), (low,)).fetchone()
        return (*first, *last) if first and last else None

    def _first_round(self) -> int:
        """A seq below which there is no round. What has left never comes back, so it only grows."""
        query = "SELECT seq FROM entry WHERE kind = 0 AND seq >= ? ORDER BY seq LIMIT 1"
        with self._guard():
            row = self._db.execute(query, (self._no_rounds_below,)).fetchone()
        self._no_rounds_below = row[0] if row else self.last_seq() + 1
        return self._no_rounds_below

    # -- for folding ---------------------------------------------------------------------------------------------

    def levels(self) -> dict[int, int]:
        """Bytes held by length of windows in s (0: rounds; -1: neither rounds nor summaries)."""
        with self._guard():
            return running_of(self._db).levels

    def fronts(self, skip: RangeSet) -> tuple[dict[tuple[int, int], tuple[int, int]], int | None]:
        """Of each (sheet, group) the oldest dated round not in `skip`: (seq, at_ms), by seq; and the time up to which
        was looked, None when that was all."""
        found: dict[tuple[int, int], tuple[int, int]] = {}
        seen = 0
        query = f"SELECT seq, at_ms, sheet, grp FROM entry WHERE {DATED_ROUNDS} AND seq BETWEEN ? AND ? ORDER BY seq"
        low = self._first_round()
        with self._guard():
            for gap in skip.gaps(low, self.last_seq()):
                for seq, at_ms, sheet, group in self._db.execute(query, gap):
                    if not isinstance(at_ms, int):
                        raise Unpackable(seq, "its time is none")
                    found.setdefault((sheet, group), (seq, at_ms))
                    seen += 1
                    if seen >= FRONT_ROWS:
                        return found, at_ms
        return found, None

    def summary_fronts(self, window_s: int) -> list[tuple[int, int, int, int]]:
        """(seq, at_ms, sheet, group) of the oldest summary with such windows of each group, by seq."""
        query = (
            "SELECT MIN(seq), at_ms, sheet, grp FROM (SELECT seq, at_ms, sheet, grp FROM entry WHERE window_s = ?"
            " AND window_s > 0 ORDER BY seq LIMIT ?) GROUP BY sheet, grp ORDER BY 1"
        )
        with self._guard():
            rows = self._db.execute(query, (window_s, FRONT_SUMMARIES)).fetchall()
        return [row for row in rows if isinstance(row[1], int)]

    def run_of(self, window_s: int, sheet: int, group: int, low: int, end_ms: int) -> Iterator[Held]:
        """Dated rounds (`window_s` 0) or summaries of a group from seq `low` on, up to the first that begins at
        `end_ms` or later. Read as it is asked for."""
        what = f"window_s = {int(window_s)} AND window_s > 0" if window_s else DATED_ROUNDS
        where = f"{what} AND sheet = ? AND grp = ? AND seq BETWEEN ? AND ?"
        query = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE {where} ORDER BY seq"
        with self._guard():
            for row in self._db.execute(query, (sheet, group, low, low + RUN_SEQS)):
                held = self._held(row)
                if held.at_ms >= end_ms:
                    return
                yield held

    def ledger(self, from_day: int = 0) -> dict[Key, Tally]:
        """What became of the rounds of each day since `from_day` (days since 1970), and of those of no day."""
        with self._guard():
            return whole_ledger(self._db, from_day)

    def scan(self) -> Iterator[Held]:
        """Every held entry, oldest first."""
        with self._guard():
            for row in self._db.execute(f"SELECT {ENTRY_COLUMNS} FROM entry ORDER BY seq"):
                yield self._held(row)

    def sheet(self, sheet_id: int) -> tuple[int, bytes]:
        """(epoch, body) of a sheet."""
        if sheet_id not in self._sheets:
            with self._guard():
                row = self._db.execute("SELECT epoch, body FROM sheet WHERE id = ?", (sheet_id,)).fetchone()
            if row is None:
                raise KeyError(f"sheet {sheet_id} is missing")
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
        if not isinstance(row[0], bytes):  # of a huge number bytes() would make as many
            raise TypeError(f"the digest of sheet {sheet_id} is {row[0]!r}")
        return row[0]

    def limit_levels(self) -> Mapping[str, tuple[Level, int | None, int]]:
        """Where each limit stood: id -> (level, value in steps, at_ms)."""
        with self._guard():
            rows = self._db.execute("SELECT id, level, value, at_ms FROM limit_now").fetchall()
        return {found.id: (found.level, found.value, found.at_ms) for found in standings_of(rows)}

    def tail(self) -> list[tuple[int, bytes]]:
        """What limits were told since they were saved: edge/limit_tail.py. Of more than there should be the newest."""
        rows: list[tuple[int, bytes]] = []
        size_bytes = 0
        with self._guard():
            for number, body in self._db.execute("SELECT * FROM limit_tail ORDER BY number DESC LIMIT ?", (TAIL_ROWS,)):
                size_bytes += len(body) if isinstance(body, bytes) else 0
                if size_bytes > TAIL_BYTES:
                    break
                rows.append((number, body))
        return rows[::-1]

    def past(self) -> list[bytes]:
        """The last alarms, oldest first: edge/alarm_past.py."""
        with self._guard():
            rows = self._db.execute("SELECT body FROM alarm_past ORDER BY number").fetchall()
        return [row[0] for row in rows if isinstance(row[0], bytes)]

    def newest_ms(self) -> int:
        """The newest known UTC time in the store; 0 in an empty one."""
        with self._guard():
            rows = self._db.execute("SELECT at_ms FROM entry WHERE clock <> 2 ORDER BY seq DESC LIMIT 100").fetchall()
            rows += self._db.execute("SELECT at_ms FROM limit_now").fetchall()
        return max([0, *(at_ms for row in rows if (at_ms := whole(row[0], 0, LAST_MS)) is not None)])

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
        low = self._first_round()
        with self._guard():
            row = self._db.execute(
                "SELECT at_ms, clock FROM entry WHERE kind = 0 AND seq >= ? ORDER BY seq LIMIT 1", (low,)
            )
            row = row.fetchone()
        return row[0] if row and row[1] != ClockQuality.UNKNOWN and isinstance(row[0], int) else None

    def account(self, count_rows: bool = False) -> Account:
        """The account. `count_rows` counts what is held instead of subtracting: slow on a full store, but a proof."""
        with self._guard():
            row = self._db.execute(
                "SELECT taken_entries, taken_readings, settled_entries, settled_readings, folded_entries,"
                " folded_readings, evicted_entries, evicted_readings, adopted_entries FROM store"
            ).fetchone()
            held = [row[i] - row[i + 2] - row[i + 4] - row[i + 6] for i in (0, 1)]
            if count_rows:
                held = self._db.execute("SELECT COUNT(*), COALESCE(SUM(readings), 0) FROM entry").fetchone()
            evicted = running_of(self._db).evicted
        names = {why.value: why.name.lower().replace("_", " ") for why in Why}
        by = {names.get(why, str(why)): (counts[0], counts[1]) for why, counts in evicted.items()}
        return Account(*(*row[:8], *held, row[8], by))

    def used_bytes(self) -> int:
        """Bytes of the file that hold something (free pages are used again)."""
        with self._guard():
            return self._used_bytes()

    def _used_bytes(self) -> int:
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return int(pages - free) * PAGE_BYTES

    def _walk(self, skip: RangeSet, low: int, high: int) -> Iterator[Held]:
        """Held rounds and summaries not in `skip`, oldest first, SCAN_ROWS at most; skipped runs are leapt over."""
        seen = 0
        with self._guard():
            for gap_low, gap_high in skip.gaps(low, high):
                query = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE {BULK} AND seq BETWEEN ? AND ? ORDER BY seq"
                for row in self._db.execute(query, (gap_low, gap_high)):
                    seen += 1
                    yield self._held(row)
                    if seen >= SCAN_ROWS:
                        return

    def _held(self, row: Sequence[Any]) -> Held:
        """The entry of a row of ENTRY_COLUMNS, as the province is told it. Raises Unpackable."""
        held = held_of(row)
        if len(self._eras) == 1 or held.origin_seq is not None or held.kind is Kind.SHEET:
            return held
        sheet = told_under(self._eras, held.seq)
        if not sheet:
            return held
        return held._replace(sheet=sheet, body_sheet=held.sheet if held.kind is Kind.SUMMARY else 0)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            damaged = isinstance(error, sqlite3.DatabaseError) and is_damage(error)
            raise StoreBroken(self.path, advice(error), damaged=damaged) from error
        except UnicodeDecodeError as error:  # SQLite's own words about a schema that is damaged
            raise StoreBroken(self.path, str(error), damaged=True) from error


def held_of(row: Sequence[Any]) -> Held:
    """The entry of a row of ENTRY_COLUMNS. Raises Unpackable when the row makes no sense."""
    held = Held(*row)
    if not isinstance(held.at_ms, int):
        raise Unpackable(held.seq, "its time is none")
    try:
        return held._replace(kind=Kind(held.kind), clock=ClockQuality(held.clock))
    except ValueError as error:
        raise Unpackable(held.seq, str(error)) from error
