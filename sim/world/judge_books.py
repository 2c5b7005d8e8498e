"""What the province holds, read piece by piece: each look gives what came in since the last one.

A province that lost its database has several books, the present one last; the list may grow between looks. An index of
the judges' own is laid over the entries of each book, so that a look costs only what is new. Writes nothing else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge.contract import Kind
from sim.world.judge_spans import Floats
from sim.world.nouns import START_MS

Ints = npt.NDArray[np.int64]
EntryKey = tuple[int, int]  # epoch, seq

INDEX = "CREATE INDEX IF NOT EXISTS judged_entries ON entries (gateway, received_at_ms)"
WAIT_S = 10.0  # for a province of another process that writes
READINGS = (
    "SELECT r.epoch, r.seq, r.at_ms, r.point, r.steps, r.quality, r.clock, r.received_at_ms, r.value FROM entries e "
    "CROSS JOIN readings r ON r.gateway = e.gateway AND r.epoch = e.epoch AND r.seq = e.seq "
    "WHERE e.gateway = ? AND e.received_at_ms >= ? AND e.received_at_ms < ? AND e.kind = 0"
)
ENTRIES = (
    "SELECT epoch, seq, received_at_ms FROM entries WHERE gateway = ? AND received_at_ms >= ? AND received_at_ms < ?"
)
ALARMS = (
    "SELECT a.epoch, a.seq, a.at_ms, a.limit_id, a.point, a.level, a.change, a.rule, a.value, a.threshold, a.clock, "
    "a.received_at_ms, a.unit FROM entries e JOIN alarms a USING (gateway, epoch, seq) "
    "WHERE e.gateway = ? AND e.received_at_ms >= ? AND e.received_at_ms < ? AND e.kind = 1"
)
ACCOUNTS = (
    "SELECT a.epoch, a.seq, a.at_ms, a.body, a.received_at_ms, a.clock FROM entries e "
    "JOIN accounts a USING (gateway, epoch, seq) "
    "WHERE e.gateway = ? AND e.received_at_ms >= ? AND e.received_at_ms < ? AND e.kind = 4"
)
STATUSES = (
    "SELECT s.at_ms FROM entries e JOIN statuses s USING (gateway, epoch, seq) "
    "WHERE e.gateway = ? AND e.received_at_ms >= ? AND e.received_at_ms < ? AND e.kind = 2"
)
PACKETS = "SELECT id, kind, link, received_at_ms FROM packets WHERE gateway = ? AND id > ? ORDER BY id"
TWICE = (
    "SELECT new.epoch, new.counter, new.received_at_ms FROM packets new "
    "JOIN packets old USING (gateway, epoch, counter) "
    "WHERE new.gateway = ? AND new.id > ? AND old.id < new.id AND (new.bytes <> old.bytes OR new.kind <> old.kind)"
)
SUMMARIES = (
    "SELECT point, window_s, start_ms, minimum, mean, maximum, count, received_at_ms FROM windows WHERE gateway = ?"
)


def at_s_of(ms: float) -> float:
    """The world's instant of a UTC time."""
    return (ms - START_MS) / 1000


class Readings(NamedTuple):
    """Rows of readings, those of one entry together. `place`: of the point in the judge's list, -1 for a strange one;
    `steps` NaN: no value."""

    epoch: Ints
    seq: Ints
    at_s: Floats
    place: Ints
    steps: Floats
    quality: Ints
    clock: Ints
    received_s: Floats
    value: Floats


def joined(parts: Sequence[Readings]) -> Readings:
    """Rows of several looks as those of one."""
    if len(parts) == 1:
        return parts[0]
    return Readings(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class AlarmRow(NamedTuple):
    epoch: int
    seq: int
    at_s: float
    limit: str
    point: str
    level: int
    change: str
    rule: str
    value: float | None
    threshold: float
    clock: int
    received_s: float
    unit: str = ""


class AccountRow(NamedTuple):
    epoch: int
    seq: int
    at_s: float
    body: Mapping[str, Any]
    received_s: float
    clock: int


class Packet(NamedTuple):
    kind: int
    link: str
    received_s: float


class Window(NamedTuple):
    """A summary of one point. `from_s`: its start."""

    point: str
    window_s: int
    from_s: float
    minimum: float
    mean: float
    maximum: float
    good: int  # of how many good values it speaks
    received_s: float


@dataclass
class News:
    """What came in since the last look. `strangers`: points the site does not know. `reused`: epoch, counter, at_s."""

    readings: list[Readings] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)  # epoch, seq, received_s
    alarms: list[AlarmRow] = field(default_factory=list)
    accounts: list[AccountRow] = field(default_factory=list)
    statuses: list[float] = field(default_factory=list)  # at_s
    packets: list[Packet] = field(default_factory=list)
    reused: list[tuple[int, int, float]] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


@dataclass
class _Cursor:
    until_ms: int = 0
    packet: int = 0


class Books:
    """All databases of one gateway's province."""

    def __init__(self, paths: Sequence[Path], gateway: str, points: Sequence[str]) -> None:
        self._paths = paths
        self._gateway = gateway
        self._places = {point: place for place, point in enumerate(points)}
        self._cursors: list[_Cursor] = []

    def look(self, until_ms: int) -> News:
        """What came in before `until_ms` and was not told yet."""
        news = News()
        for place, path in enumerate(self._paths):
            if place == len(self._cursors):
                self._cursors.append(_Cursor())
            if path.exists():
                with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as db:
                    db.execute(INDEX)
                    self._read(db, self._cursors[place], until_ms, news)
        return news

    def windows(self) -> list[Window]:
        """All summaries there are, of whatever book."""
        found = []
        for path in self._paths:
            if path.exists():
                with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as db:
                    for point, window_s, start_ms, least, mean, most, count, received_ms in db.execute(
                        SUMMARIES, (self._gateway,)
                    ):
                        times = at_s_of(start_ms), at_s_of(received_ms)
                        found.append(Window(point, window_s, times[0], least, mean, most, count, times[1]))
        return found

    def _read(self, db: sqlite3.Connection, cursor: _Cursor, until_ms: int, news: News) -> None:
        between = (self._gateway, cursor.until_ms, until_ms)
        cursor.until_ms = max(until_ms, cursor.until_ms)
        news.entries += [(epoch, seq, at_s_of(ms)) for epoch, seq, ms in db.execute(ENTRIES, between)]
        rows = db.execute(READINGS, between).fetchall()
        if rows:
            news.readings.append(self._readings(rows, news))
        for row in db.execute(ALARMS, between):
            news.alarms.append(AlarmRow._make((*row[:2], at_s_of(row[2]), *row[3:11], at_s_of(row[11]), row[12] or "")))
        for epoch, seq, at_ms, body, received_ms, clock in db.execute(ACCOUNTS, between):
            times = at_s_of(at_ms), at_s_of(received_ms)
            news.accounts.append(AccountRow(epoch, seq, times[0], json.loads(body), times[1], clock))
        news.statuses += [at_s_of(at_ms) for (at_ms,) in db.execute(STATUSES, between)]
        since = (self._gateway, cursor.packet)
        news.reused += [(epoch, counter, at_s_of(ms)) for epoch, counter, ms in db.execute(TWICE, since)]
        for number, kind, link, received_ms in db.execute(PACKETS, since):
            news.packets.append(Packet(kind, link or "", at_s_of(received_ms)))
            cursor.packet = number

    def _readings(self, rows: list[tuple[Any, ...]], news: News) -> Readings:
        epoch, seq, at_ms, point, steps, quality, clock, received_ms, value = zip(*rows, strict=True)
        places = self._places
        place = np.array([places.get(name, -1) for name in point], np.int64)
        if place.min() < 0:
            news.strangers += sorted({name for name in point if name not in places})
        return Readings(
            np.array(epoch, np.int64),
            np.array(seq, np.int64),
            (np.array(at_ms, np.float64) - START_MS) / 1000,
            place,
            np.array(steps, np.float64),
            np.array(quality, np.int64),
            np.array(clock, np.int64),
            (np.array(received_ms, np.float64) - START_MS) / 1000,
            np.array(value, np.float64),
        )


ROUNDS = int(Kind.ROUNDS)
