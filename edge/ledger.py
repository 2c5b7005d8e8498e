"""The ledger: what became of the rounds of each day, and which points had no good value and why. Pure but for `Books`.

A tally stands for one day (UTC, of the reading), sheet and group of points. In it, at every commit:

    taken = settled + folded + evicted (by reason) + held        in rounds; each holds one reading of each point

Rounds without a time stand under UNDATED until they get one. The newest LEDGER_DAYS days are kept apart, older ones in
one tally (EARLIER).

Where it lies: the tallies of the running day in one small CBOR map in the row `store`, on a page that every commit
writes anyway; those of other days in the table `ledger`. `Books` gathers what one transaction changes and writes it
with that transaction, so no cut can part the account from what it counts. May not commit by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import cbor2

from edge.contract import ClockQuality, Kind

DAY_MS = 86_400_000
UNDATED, EARLIER = 0, 1  # days that no reading is of: before the time was known; summed up
LAST_DAY = 1 << 22  # some 11000 years: beyond it a time is damage
LEDGER_DAYS = 400  # a year and a month; some 60 bytes for each group and day
LEDGER_SHEETS = 30  # older descriptions of the site are forgotten; their tallies then go without names
ROW_BYTES = 24  # about, of an entry beside its body
NOTHING_FAILED = b"\x40"  # how the body of a round ends whose readings are all good: CBOR of no qualities
DAMAGED = (ValueError, TypeError, AttributeError, LookupError, OverflowError, cbor2.CBORError)
PLACES_MOST = 1 << 16  # of points in a group, as the sheet can name them; beyond it a place is damage
NUMBER_MOST = 1 << 60  # beyond it a count is damage, and SQLite could not take it
OTHERS = -1  # in `levels`: entries that are neither rounds nor summaries


class Why(IntEnum):
    """Why an entry had to go without the province's receipt."""

    QUOTA = 0  # the store is full
    DAMAGED = 1  # it could not be read any more
    TWICE = 3  # a commit that failed had happened all the same, and its entries were taken again
    TOO_MANY = 2  # status and account entries that only a narrow link was there for


class Piece(NamedTuple):
    """An entry as the account sees it. `window_s`: 0, or the length of a summary's windows; `size_bytes`: its body."""

    kind: int
    sheet: int
    group: int
    at_ms: int
    clock: int
    readings: int
    window_s: int
    size_bytes: int


class Key(NamedTuple):
    day: int
    sheet: int
    group: int


@dataclass(slots=True)
class Tally:
    """Rounds by what became of them. `failed`: place of the point in its group -> quality -> readings without a good
    value."""

    taken: int = 0
    settled: int = 0
    folded: int = 0
    evicted: dict[int, int] = field(default_factory=dict)
    failed: dict[int, dict[int, int]] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return self.taken - self.settled - self.folded - sum(self.evicted.values())

    def add(self, other: Tally) -> None:
        self.taken += other.taken
        self.settled += other.settled
        self.folded += other.folded
        for why, rounds in other.evicted.items():
            self.evicted[why] = self.evicted.get(why, 0) + rounds
        for place, qualities in other.failed.items():
            mine = self.failed.setdefault(place, {})
            for quality, count in qualities.items():
                mine[quality] = mine.get(quality, 0) + count

    def fail(self, qualities: bytes, sign: int = 1) -> None:
        for place, quality in enumerate(qualities):
            if quality:
                mine = self.failed.setdefault(place, {})
                mine[quality] = mine.get(quality, 0) + sign

    def plain(self) -> list[Any]:
        """As CBOR takes it. Points of one device fail together: places in a row that failed alike are one item."""
        runs: list[list[Any]] = []
        for place in sorted(self.failed):
            qualities = {quality: count for quality, count in self.failed[place].items() if count}
            if not qualities:
                continue
            if runs and runs[-1][1] == place - 1 and runs[-1][2] == qualities:
                runs[-1][1] = place
            else:
                runs.append([place, place, qualities])
        return [self.taken, self.settled, self.folded, self.evicted, runs]

    @classmethod
    def of(cls, plain: Sequence[Any]) -> Tally:
        """The inverse of `plain`. Raises one of DAMAGED for what makes no sense: it is counted with later."""
        taken, settled, folded, evicted, runs = plain
        failed: dict[int, dict[int, int]] = {}
        next_place = 0
        for first, last, qualities in runs:
            if not next_place <= _number(first) <= _number(last) < PLACES_MOST:
                raise ValueError(f"places {first}..{last}")
            failed.update((place, _numbers(qualities)) for place in range(first, last + 1))
            next_place = last + 1
        return cls(_number(taken), _number(settled), _number(folded), _numbers(evicted), failed)


def _number(value: object) -> int:
    if type(value) is not int or abs(value) > NUMBER_MOST:
        raise TypeError(f"{value!r} is no count")
    return value


def _numbers(value: object) -> dict[int, int]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no map of counts")
    return {_number(key): _number(count) for key, count in value.items()}


def day_of(at_ms: object, clock: object) -> int:
    """The day of a reading."""
    if clock == ClockQuality.UNKNOWN:
        return UNDATED
    if not isinstance(at_ms, int) or not EARLIER < at_ms // DAY_MS <= LAST_DAY:
        return EARLIER
    return at_ms // DAY_MS


def failing(body: object) -> bytes:
    """The qualities in a round's body; b"" when all are good, or nothing can be read."""
    if not isinstance(body, bytes) or body.endswith(NOTHING_FAILED):
        return b""
    try:
        _, qualities = cbor2.loads(body)
    except DAMAGED:
        return b""
    return qualities if isinstance(qualities, bytes) else b""


@dataclass(slots=True)
class Running:
    """The small map of the row `store`: the tallies of the running day, bytes by level, evictions by reason."""

    day: int = UNDATED
    tallies: dict[Key, Tally] = field(default_factory=dict)
    levels: dict[int, int] = field(default_factory=dict)  # window_s (0: rounds, OTHERS) -> bytes held
    evicted: dict[int, list[int]] = field(default_factory=dict)  # Why -> [entries, readings]

    def encode(self) -> bytes:
        tallies = [[*key, tally.plain()] for key, tally in self.tallies.items()]
        return cbor2.dumps([self.day, tallies, self.levels, self.evicted])

    @classmethod
    def decode(cls, data: bytes) -> Running:
        """An empty one for what makes no sense: the store goes on."""
        if not data:
            return cls()
        try:
            day, tallies, levels, evicted = cbor2.loads(data)
            found = {Key(*map(_number, key)): Tally.of(tally) for *key, tally in tallies}
            gone = {_number(why): [_number(entries), _number(readings)] for why, (entries, readings) in evicted.items()}
            return cls(_number(day), found, _numbers(levels), gone)
        except DAMAGED:
            return cls()


class LastRunning:
    """The Running that was written last, so that it is not read anew from the very bytes that were made of it. What
    another hand has written, or a transaction that was rolled back, is other bytes."""

    def __init__(self) -> None:
        self._running, self._data = Running(), b""

    def read(self, data: bytes) -> Running:
        """Of `data`, to be changed by who has asked: the next `write` says what has become of it."""
        found = self._running if data and data == self._data else Running.decode(data)
        self._data = b""
        return found

    def write(self, running: Running) -> bytes:
        """As it is to be kept."""
        self._running, self._data = running, running.encode()
        return self._data


class Books:
    """What one transaction changes in the account. `close` writes it: within that transaction, before its end."""

    def __init__(self, db: sqlite3.Connection, last: LastRunning | None = None) -> None:
        self._db = db
        self._last = last or LastRunning()
        self._sums = dict.fromkeys(("taken", "settled", "folded", "evicted"), (0, 0))
        self._tallies: dict[Key, Tally] = {}
        self._levels: dict[int, int] = {}
        self._evicted: dict[int, tuple[int, int]] = {}
        self._adopted = 0
        self._newest_day = UNDATED

    def take(self, piece: Piece, body: bytes, *, adopted: bool = False) -> None:
        """An entry is taken."""
        self._sum("taken", 1, piece.readings)
        self._adopted += adopted
        self._level(piece, 1)
        if piece.kind == Kind.ROUNDS:
            tally = self._tally(piece)
            tally.taken += 1
            tally.fail(failing(body))
            if not adopted:
                self._newest_day = max(self._newest_day, day_of(piece.at_ms, piece.clock))

    def untake(self, piece: Piece, body: bytes) -> None:
        """An entry has moved to another store, which accounts for it now: as if it had never been taken here."""
        self._sum("taken", -1, -piece.readings)
        self._level(piece, -1)
        if piece.kind == Kind.ROUNDS:
            tally = self._tally(piece)
            tally.taken -= 1
            tally.fail(failing(body), -1)

    def settle(self, pieces: Iterable[Piece]) -> None:
        """The province has these: they leave."""
        for piece in pieces:
            self._leave("settled", piece)
            if piece.kind == Kind.ROUNDS:
                self._tally(piece).settled += 1

    def fold(self, pieces: Iterable[Piece]) -> None:
        """A summary, which is taken in the same transaction, stands for these: they leave."""
        for piece in pieces:
            self._leave("folded", piece)
            if piece.kind == Kind.ROUNDS:
                self._tally(piece).folded += 1

    def evict(self, pieces: Iterable[Piece], why: Why) -> None:
        """These leave and nothing stands for them."""
        for piece in pieces:
            self._leave("evicted", piece)
            entries, readings = self._evicted.get(why, (0, 0))
            self._evicted[why] = entries + 1, readings + piece.readings
            if piece.kind == Kind.ROUNDS:
                tally = self._tally(piece)
                tally.evicted[why] = tally.evicted.get(why, 0) + 1

    def move(self, old: Key, new: Key, rounds: int, qualities: Iterable[bytes] = ()) -> None:
        """Rounds that stood under one key stand under another: they have got their time, or another sheet."""
        tallies = [self._tallies.setdefault(key, Tally()) for key in (old, new)]
        for tally, sign in zip(tallies, (-1, 1), strict=True):
            tally.taken += sign * rounds
            for one in qualities:
                tally.fail(one, sign)

    def close(self) -> None:
        """Writes what was gathered."""
        if not any(map(any, self._sums.values())) and not self._tallies and not self._levels:
            return
        row = self._db.execute("SELECT running FROM store").fetchone()
        running = self._last.read(row[0])
        self._enter(running)
        for level, size_bytes in self._levels.items():
            running.levels[level] = running.levels.get(level, 0) + size_bytes
        for why, (entries, readings) in self._evicted.items():
            before = running.evicted.get(why, [0, 0])
            running.evicted[why] = [before[0] + entries, before[1] + readings]
        names = [f"{name}_{what}" for name in self._sums for what in ("entries", "readings")]
        sets = ", ".join(f"{name} = {name} + ?" for name in (*names, "adopted_entries"))
        numbers = [number for pair in self._sums.values() for number in pair]
        self._db.execute(f"UPDATE store SET {sets}, running = ?", (*numbers, self._adopted, self._last.write(running)))

    # -- inside --------------------------------------------------------------------------------------------------

    def _sum(self, name: str, entries: int, readings: int) -> None:
        before = self._sums[name]
        self._sums[name] = before[0] + entries, before[1] + readings

    def _level(self, piece: Piece, sign: int) -> None:
        level = piece.window_s if piece.kind in (Kind.ROUNDS, Kind.SUMMARY) else OTHERS
        self._levels[level] = self._levels.get(level, 0) + sign * (piece.size_bytes + ROW_BYTES)

    def _leave(self, name: str, piece: Piece) -> None:
        self._sum(name, 1, piece.readings)
        self._level(piece, -1)

    def _tally(self, piece: Piece) -> Tally:
        return self._tallies.setdefault(Key(day_of(piece.at_ms, piece.clock), piece.sheet, piece.group), Tally())

    def _enter(self, running: Running) -> None:
        """Puts the changed tallies where they belong."""
        if self._newest_day not in (UNDATED, running.day):
            for key in [key for key in running.tallies if key.day != UNDATED]:
                self._to_table(key, running.tallies.pop(key))
            running.day = self._newest_day
            self._sum_up()
        for key, tally in self._tallies.items():
            if key.day in (UNDATED, running.day):
                running.tallies.setdefault(key, Tally()).add(tally)
            else:
                self._to_table(key, tally)

    def _to_table(self, key: Key, tally: Tally) -> None:
        row = self._db.execute("SELECT tally FROM ledger WHERE day = ? AND sheet = ? AND grp = ?", key).fetchone()
        if row is not None:
            tally.add(_readable(row[0]))
        self._db.execute("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)", (*key, cbor2.dumps(tally.plain())))

    def _sum_up(self) -> None:
        """Keeps the newest LEDGER_DAYS days apart, no more."""
        query = "SELECT DISTINCT day FROM ledger WHERE day > ? ORDER BY day DESC LIMIT 1 OFFSET ?"
        row = self._db.execute(query, (EARLIER, LEDGER_DAYS)).fetchone()
        if row is not None:
            gather(self._db, "day > ? AND day <= ?", (EARLIER, row[0]), lambda _key: Key(EARLIER, 0, 0))


def gather(db: sqlite3.Connection, where: str, values: Sequence[int], to: Any) -> None:
    """Sums the tallies of a condition up under the keys `to(key)`, without the names of their points."""
    rows = db.execute(f"SELECT day, sheet, grp, tally FROM ledger WHERE {where}", tuple(values)).fetchall()
    db.execute(f"DELETE FROM ledger WHERE {where}", tuple(values))
    books = Books(db)
    for *key, data in rows:
        tally = _readable(data)
        total: dict[int, int] = {}
        for qualities in tally.failed.values():
            for quality, count in qualities.items():
                total[quality] = total.get(quality, 0) + count
        tally.failed = {0: total} if total else {}
        books._to_table(to(Key(*key)), tally)


def whole_ledger(db: sqlite3.Connection, from_day: int = UNDATED) -> dict[Key, Tally]:
    """Every tally from a day on, and those of no day, by key."""
    found: dict[Key, Tally] = {}
    query = "SELECT day, sheet, grp, tally FROM ledger WHERE day >= ? OR day <= ? ORDER BY day, sheet, grp"
    for day, sheet, group, data in db.execute(query, (from_day, EARLIER)):
        found[Key(day, sheet, group)] = _readable(data)
    for key, tally in running_of(db).tallies.items():
        if key.day >= from_day or key.day <= EARLIER:
            found.setdefault(key, Tally()).add(tally)
    return found


def running_of(db: sqlite3.Connection) -> Running:
    row = db.execute("SELECT running FROM store").fetchone()
    return Running.decode(row[0]) if row else Running()


def _readable(data: bytes) -> Tally:
    try:
        return Tally.of(cbor2.loads(data))
    except DAMAGED:
        return Tally()


def names_of(counts: Mapping[int, int], of: type[IntEnum]) -> dict[str, int]:
    """Counts by the names a person reads, without zeros."""
    known = {member.value: member.name.lower().replace("_", " ") for member in of}
    return {known.get(number, str(number)): count for number, count in counts.items() if count}
