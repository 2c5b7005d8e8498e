"""A site's past readings as rounds, out of the province's database or a CSV file; for `fengsui fit`.

    SQLite   the table `readings` of the province: gateway, at_ms, point, value, clock
    CSV      a header `at,POINT,POINT ...` and one row an instant, or `at_ms,point,value` and one row a reading

Times are UTC: whole milliseconds since 1970 or ISO 8601. Readings are laid on the grid of their point's `every`, as the
gateway does; the last one wins. Only the newest ROWS_MOST rounds of a group are kept. Reads only; nothing is guessed: a
line that can not be understood ends it with a sentence.
"""

from __future__ import annotations

import csv
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from edge.contract import MAX_STEPS, Point
from edge.errors import FengsuiError

ROWS_MOST = 10_000  # of a group: a week of minutes; more history hardly fits better, and each row costs time
STRANGERS_MOST = 20  # columns or points the site does not have: enough to say what is wrong
FIRST_LIKELY_MS = 10**11  # 1973: a smaller number is seconds, not milliseconds
SQLITE_MAGIC = b"SQLite format 3\0"
TIMES, POINT, VALUE = ("at", "at_ms"), "point", "value"

Item = tuple[int, str, float | None]


class BadHistory(FengsuiError):
    """The history can not be read, or is not what it must be."""


class Row(NamedTuple):
    """One round of the past, in whole steps."""

    at_ms: int
    values: tuple[int | None, ...]


class History(NamedTuple):
    """`groups`: for each group of the site its rounds, oldest first. `strangers`: points the site does not have."""

    groups: tuple[tuple[Row, ...], ...]
    strangers: tuple[str, ...]


def read_history(path: Path, gateway: str, groups: Mapping[int, Sequence[Point]]) -> History:
    """The rounds in the file for the site's `groups` (every_ms -> points). Raises BadHistory."""
    rounds = _Rounds(groups)
    try:
        with path.open("rb") as file:
            is_database = file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
        items = _database(path, gateway, groups) if is_database else _csv(path)
        for item in items:
            rounds.add(*item)
    except OSError as error:
        raise BadHistory(f"{path} can not be read: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise BadHistory(f"{path} has no readings as the province keeps them: {error}") from error
    except csv.Error as error:
        raise BadHistory(f"{path} is no CSV file: {error}") from error
    return rounds.history()


class _Rounds:
    """Lays readings on the grids of their groups."""

    def __init__(self, groups: Mapping[int, Sequence[Point]]) -> None:
        self._groups = [(every_ms, len(points)) for every_ms, points in groups.items()]
        self._rows: list[dict[int, list[int | None]]] = [{} for _ in groups]
        self._places = {
            point.id: (group, column, float(point.step))
            for group, points in enumerate(groups.values())
            for column, point in enumerate(points)
        }
        self._strangers: dict[str, None] = {}

    def add(self, at_ms: int, point: str, value: float | None) -> None:
        place = self._places.get(point)
        if place is None:
            if len(self._strangers) < STRANGERS_MOST:
                self._strangers[point] = None
            return
        group, column, step = place
        every_ms, width = self._groups[group]
        rows = self._rows[group]
        row = rows.get(at_ms // every_ms)
        if row is None:
            if len(rows) >= 2 * ROWS_MOST:
                rows = self._rows[group] = {cell: rows[cell] for cell in sorted(rows)[-ROWS_MOST:]}
            row = rows[at_ms // every_ms] = [None] * width
        row[column] = _steps(value, step)

    def history(self) -> History:
        groups = [
            tuple(Row(cell * every_ms, tuple(rows[cell])) for cell in sorted(rows)[-ROWS_MOST:])
            for (every_ms, _), rows in zip(self._groups, self._rows, strict=True)
        ]
        return History(tuple(groups), tuple(self._strangers))


def _steps(value: float | None, step: float) -> int | None:
    """Whole steps; None for no value and for what no gateway would keep."""
    if value is None or not math.isfinite(value / step):
        return None
    steps = round(value / step)
    return steps if abs(steps) <= MAX_STEPS else None


def _database(path: Path, gateway: str, groups: Mapping[int, Sequence[Point]]) -> Iterator[Item]:
    """Readings of one gateway whose time was known, group by group, no more than will be kept."""
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        for every_ms, points in groups.items():
            marks = ", ".join("?" * len(points))
            what = f"FROM readings WHERE gateway = ? AND clock < 2 AND point IN ({marks})"
            keys = (gateway, *(point.id for point in points))
            newest_ms = database.execute(f"SELECT max(at_ms) {what}", keys).fetchone()[0]
            if newest_ms is not None:
                oldest_ms = newest_ms - ROWS_MOST * every_ms
                order = "AND at_ms > ? ORDER BY at_ms, epoch, seq"
                yield from database.execute(f"SELECT at_ms, point, value {what} {order}", (*keys, oldest_ms))
    finally:
        database.close()


def _csv(path: Path) -> Iterator[Item]:
    # Ids are ASCII; whatever else is in it (names in GBK, say) does not matter here.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = csv.reader(file)
        header = [name.strip() for name in next(lines, [])]
        time = next((header.index(name) for name in TIMES if name in header), None)
        if time is None:
            raise BadHistory(
                f"{path} is neither a database nor CSV with a header: `at,POINT,...` or `at_ms,point,value`"
            )
        read = _long if POINT in header and VALUE in header else _wide
        for cells in lines:
            where = f"{path}, line {lines.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise BadHistory(f"{where}: {len(cells)} columns, the header has {len(header)}")
            yield from read(where, header, cells, time_ms(where, cells[time].strip()))


def _long(where: str, header: list[str], cells: list[str], at_ms: int) -> Iterator[Item]:
    yield at_ms, cells[header.index(POINT)].strip(), number(where, cells[header.index(VALUE)])


def _wide(where: str, header: list[str], cells: list[str], at_ms: int) -> Iterator[Item]:
    for name, cell in zip(header, cells, strict=True):
        if name not in TIMES:
            yield at_ms, name, number(where, cell)


def number(where: str, text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise BadHistory(f"{where}: “{text[:40]}” is no number; leave a value that is missing empty") from None


def time_ms(where: str, text: str) -> int:
    try:
        if text.isdecimal() and len(text) < 16:
            at_ms = int(text)
        else:
            at = datetime.fromisoformat(text)
            at_ms = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        at_ms = 0
    if at_ms < FIRST_LIKELY_MS:
        raise BadHistory(f"{where}: “{text[:40]}” is no time; write milliseconds since 1970, or 2026-11-21T22:00:00Z")
    return at_ms
