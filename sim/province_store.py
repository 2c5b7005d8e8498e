"""What the province keeps: one SQLite file, everything of a batch of packets in one durable commit.

`entries` is the one register of what has been received; an entry is stored once, whatever packets carried it. The other
tables hold what the entries say; `plain_alarms` the alarms that came without their sheet, as they came. Times are UTC
milliseconds. `received_at_ms` is when the first copy came in.
`quality` is contract.Quality, `clock` contract.ClockQuality, `kind` contract.Kind, `level` contract.Level. A packet's
`link` is the way it came ("mqtt", "beidou"), NULL where that was not told.

`summaries` holds what entries tell (by epoch and seq: rounds that were folded, each in one entry only, so two parts of
a window add up) and, under epoch 0 and seq 0, what was made of rounds that are told elsewhere (of a window told twice,
what counts more good values). `windows` is one row for each window: the parts together, or what counts more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge.contract import Alarm, Kind
from edge.wire.sheet import Sheet

IN_STEPS = "steps"  # the unit of an alarm whose point no sheet has told yet

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    gateway TEXT, epoch INTEGER, seq INTEGER, kind INTEGER NOT NULL, received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (gateway, epoch, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS readings (
    gateway TEXT, epoch INTEGER, seq INTEGER, at_ms INTEGER NOT NULL, point TEXT, value REAL, steps INTEGER,
    quality INTEGER NOT NULL, clock INTEGER NOT NULL, received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (gateway, epoch, seq, point)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alarms (
    gateway TEXT, epoch INTEGER, seq INTEGER, at_ms INTEGER NOT NULL, limit_id TEXT NOT NULL, point TEXT NOT NULL,
    level INTEGER NOT NULL, change TEXT NOT NULL, rule TEXT NOT NULL, value REAL, threshold REAL, unit TEXT,
    clock INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, words TEXT NOT NULL, drill INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (gateway, epoch, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plain_alarms (
    gateway TEXT, epoch INTEGER, seq INTEGER, body BLOB NOT NULL, PRIMARY KEY (gateway, epoch, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (
    gateway TEXT, epoch INTEGER, seq INTEGER, at_ms INTEGER NOT NULL, body TEXT NOT NULL, clock INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL, PRIMARY KEY (gateway, epoch, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS statuses (
    gateway TEXT, epoch INTEGER, seq INTEGER, at_ms INTEGER NOT NULL, body TEXT NOT NULL, clock INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL, PRIMARY KEY (gateway, epoch, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sheets (
    gateway TEXT, epoch INTEGER, digest BLOB, sheet BLOB NOT NULL, received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (gateway, epoch, digest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS summaries (
    gateway TEXT, point TEXT, window_s INTEGER, start_ms INTEGER, minimum REAL, mean REAL, maximum REAL,
    count INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, epoch INTEGER, seq INTEGER,
    PRIMARY KEY (gateway, point, window_s, start_ms, epoch, seq)) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS windows AS
    SELECT gateway, point, window_s, start_ms, minimum, mean, maximum, max(count) AS count, received_at_ms FROM (
        SELECT gateway, point, window_s, start_ms, min(minimum) AS minimum, sum(mean * count) / sum(count) AS mean,
            max(maximum) AS maximum, sum(count) AS count, max(received_at_ms) AS received_at_ms
        FROM summaries GROUP BY gateway, point, window_s, start_ms, seq > 0)
    GROUP BY gateway, point, window_s, start_ms;
CREATE TABLE IF NOT EXISTS packets (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
    kind INTEGER NOT NULL, bytes INTEGER NOT NULL, link TEXT, received_at_ms INTEGER NOT NULL,
    entries INTEGER NOT NULL, repeated INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS packets_seen ON packets (gateway, epoch, counter);
CREATE TABLE IF NOT EXISTS counters (
    gateway TEXT, epoch INTEGER, next INTEGER NOT NULL, PRIMARY KEY (gateway, epoch)) WITHOUT ROWID;
"""

# A database of before summaries were kept by their entries: what it has stays, as told elsewhere.
OLD_SUMMARIES = """
ALTER TABLE summaries RENAME TO old_summaries;
{schema}
INSERT INTO summaries SELECT *, 0, 0 FROM old_summaries;
DROP TABLE old_summaries;
"""

# A database that was lost must not give downlink counters again: a new row starts at the milliseconds since this time,
# which is ahead of any row that was used less than a thousand times a second. 2**40 ms last until 2060.
COUNTER_ZERO_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class Store:
    """The tables. Not for several threads; every call between `begin` and `commit` is part of one transaction.

    `durable` False leaves out the waiting for the disk: for worlds in memory, where no power can be cut.
    """

    def __init__(self, path: Path | str, *, durable: bool = True) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(summaries)")}
        self._db.executescript(OLD_SUMMARIES.format(schema=SCHEMA) if columns and "seq" not in columns else SCHEMA)
        if not any(column[1] == "drill" for column in self._db.execute("PRAGMA table_info(alarms)")):
            self._db.execute("ALTER TABLE alarms ADD COLUMN drill INTEGER NOT NULL DEFAULT 0")  # of an older province

    def close(self) -> None:
        self._db.close()

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """On the disk when this returns."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def sheets(self) -> Iterator[tuple[str, Sheet]]:
        """(gateway, sheet), oldest first."""
        for gateway, sheet in self._db.execute("SELECT gateway, sheet FROM sheets ORDER BY received_at_ms"):
            yield gateway, Sheet.decode(sheet)

    def epochs(self) -> Iterator[tuple[str, int, int]]:
        """(gateway, epoch, highest uplink counter), the latest epoch of each gateway last."""
        yield from self._db.execute(
            "SELECT gateway, epoch, max(counter) FROM packets GROUP BY gateway, epoch ORDER BY max(id)"
        )

    def islands(self) -> Iterator[tuple[str, int, int, int]]:
        """(gateway, epoch, first, last): the seqs received, as closed ranges, ascending."""
        yield from self._db.execute(
            "SELECT gateway, epoch, min(seq), max(seq) FROM (SELECT gateway, epoch, seq, seq - row_number() OVER "
            "(PARTITION BY gateway, epoch ORDER BY seq) AS island FROM entries) GROUP BY gateway, epoch, island "
            "ORDER BY gateway, epoch, min(seq)"
        )

    def take_counter(self, gateway: str, epoch: int, now_ms: int) -> int:
        """A downlink counter never given before; it may be used once the transaction is committed."""
        start = max(now_ms - COUNTER_ZERO_MS, 0)
        row = self._db.execute(
            "INSERT INTO counters VALUES (?, ?, ? + 1) ON CONFLICT DO UPDATE SET next = next + 1 RETURNING next",
            (gateway, epoch, start),
        ).fetchone()
        return int(row[0]) - 1

    def add_packet(
        self, number: tuple[str, int, int], kind: int, size: int, link: str | None, now_ms: int, *counts: int
    ) -> None:
        """`number`: gateway, epoch, counter. `counts`: entries in it, and how many had been received before."""
        self._db.execute(
            "INSERT INTO packets (gateway, epoch, counter, kind, bytes, link, received_at_ms, entries, repeated) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*number, kind, size, link, now_ms, *counts),
        )

    def last_packet(self) -> int:
        """The id of the packet received last; 0 before the first."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM packets").fetchone()[0])

    def times(self, gateway: str, epoch: int, counter: int) -> int:
        """How often this packet has come."""
        sql = "SELECT count(*) FROM packets WHERE gateway = ? AND epoch = ? AND counter = ?"
        return int(self._db.execute(sql, (gateway, epoch, counter)).fetchone()[0])

    def arrived(self, gateway: str, epoch: int, low: int, high: int, since: int) -> set[int]:
        """Counters of the packets from `low` to `high` that have arrived; of fragments, only those received after the
        packet of id `since`: the pieces of earlier ones are gone."""
        found = self._db.execute(
            "SELECT counter FROM packets WHERE gateway = ? AND epoch = ? AND counter BETWEEN ? AND ? "
            "AND (kind <> ? OR id > ?)",
            (gateway, epoch, low, high, int(Kind.FRAGMENT), since),
        )
        return {counter for (counter,) in found}

    def add_entries(self, gateway: str, epoch: int, seqs: Iterable[int], kind: int, now_ms: int) -> None:
        self._db.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?)", ((gateway, epoch, s, kind, now_ms) for s in seqs)
        )

    def add_readings(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows in the order of the table's columns."""
        self._db.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_summaries(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows in the order of the table's columns."""
        self._db.executemany(
            "INSERT INTO summaries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET minimum = "
            "excluded.minimum, mean = excluded.mean, maximum = excluded.maximum, count = excluded.count, "
            "received_at_ms = excluded.received_at_ms WHERE excluded.count > count",
            rows,
        )

    def add_alarm(self, key: tuple[str, int, int], alarm: Alarm, shown: Shown, words: str, now_ms: int) -> None:
        what = (
            alarm.at_ms,
            alarm.limit,
            alarm.point,
            int(alarm.level),
            alarm.change.name.lower(),
            alarm.rule.name.lower(),
        )
        self._db.execute(
            "INSERT INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(*key, *what, as_real(shown[0]), as_real(shown[1]), shown[2]),
                *(int(alarm.clock), now_ms, words, int(alarm.drill)),
            ),
        )

    def add_plain_alarm(self, key: tuple[str, int, int], body: bytes) -> None:
        """An alarm whose packet named no sheet, as it came: it may be told otherwise when its sheet is known."""
        self._db.execute("INSERT OR REPLACE INTO plain_alarms VALUES (?, ?, ?, ?)", (*key, body))

    def plain_alarms(self, gateway: str, epoch: int, from_seq: int) -> list[tuple[int, str, bytes]]:
        """(seq, words, body) of those from a seq on that came without their sheet."""
        rows = self._db.execute(
            "SELECT seq, words, body FROM plain_alarms JOIN alarms USING (gateway, epoch, seq)"
            " WHERE gateway = ? AND epoch = ? AND seq >= ? ORDER BY seq",
            (gateway, epoch, from_seq),
        )
        return list(rows)

    def explain_alarm(self, key: tuple[str, int, int], shown: Shown, words: str) -> None:
        """An alarm in its point's unit, now that the sheet has come."""
        self._db.execute(
            "UPDATE alarms SET value = ?, threshold = ?, unit = ?, words = ?"
            " WHERE gateway = ? AND epoch = ? AND seq = ?",
            (as_real(shown[0]), as_real(shown[1]), shown[2], words, *key),
        )

    def add_map(self, table: str, key: tuple[str, int, int], at_ms: int, clock: int, values: Any, now_ms: int) -> None:
        """A status or an account, as JSON (bytes as hexadecimal)."""
        body = json.dumps(values, ensure_ascii=False, default=bytes.hex)
        self._db.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, at_ms, body, clock, now_ms))

    def add_sheet(self, gateway: str, epoch: int, sheet: Sheet, now_ms: int) -> None:
        row = (gateway, epoch, sheet.digest, sheet.encode(), now_ms)
        self._db.execute("INSERT OR IGNORE INTO sheets VALUES (?, ?, ?, ?, ?)", row)


Shown = tuple[Decimal | None, Decimal, str]  # value, threshold, unit


def as_real(value: Decimal | None) -> float | None:
    """The nearest double."""
    return None if value is None else float(value)
