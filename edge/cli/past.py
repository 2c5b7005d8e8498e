"""A site's recorded data out of a CSV file, for `fengsui what-if`.

    wide   a header `time,POINT,POINT ...` and one row an instant; an empty cell: asked and failed
    long   a header `time,point,value` and one row a reading

The time is called time, at or at_ms: milliseconds since 1970, ISO 8601, or 2026/11/21 22:00 as spreadsheets write it;
UTC where there is no zone, and then nowhere: a file that mixes both is refused. A row is a line; one that can not be
understood is left out and counted, as a cell is, the first ones said. Rows may stand in any order.
Kept in arrays: 18 bytes a reading.
"""

from __future__ import annotations

import csv
import math
import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from edge.cli.history import POINT, VALUE, BadHistory, number, time_ms

TIME_NAMES = ("time", "at", "at_ms")
READINGS_MOST = 4_000_000  # 72 MB: four points each minute for two years, on a box of 1 GB
SAID_MOST = 5  # bad rows that are shown; all are counted
STRANGERS_MOST = 20
_ZONE = re.compile(r"\d[T ].*([zZ]|[+-]\d\d(:?\d\d)*)$")  # of a time that was understood
_SPREADSHEET = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?")


@dataclass
class Past:
    """Readings, oldest first: `at_ms`, `point` (a place in `points`) and `value` (nan: asked and failed) side by side.

    `bad`: rows with something wrong; `said`: sentences about the first of them. `disorder`: rows that stood behind a
    later one. `strangers`: columns or points that the site does not have.
    """

    points: list[str] = field(default_factory=list)
    at_ms: array[int] = field(default_factory=lambda: array("q"))
    point: array[int] = field(default_factory=lambda: array("H"))
    value: array[float] = field(default_factory=lambda: array("d"))
    rows: int = 0
    bad: int = 0
    said: list[str] = field(default_factory=list)
    disorder: int = 0
    strangers: dict[str, None] = field(default_factory=dict)
    zoned: dict[bool, str] = field(default_factory=dict)  # where a time with a zone, and one without, stood first

    def zone(self, where: str, text: str) -> None:
        """Raises BadHistory where times with and without a zone are mixed: one kind would be hours off."""
        if text.isdecimal():
            return
        self.zoned.setdefault(_ZONE.search(text) is not None, f"{where}: “{text}”")
        if len(self.zoned) == 2:
            raise BadHistory(
                f"{self.zoned[False]} has no time zone, but {self.zoned[True]} has one: write one with each time "
                "(Z, +08:00), or with none, then all are UTC"
            )

    def complain(self, sentence: str) -> None:
        self.bad += 1
        if len(self.said) < SAID_MOST:
            self.said.append(sentence)

    def add(self, at_ms: int, place: int, value: float) -> None:
        if len(self.at_ms) >= READINGS_MOST:
            raise BadHistory(f"more than {READINGS_MOST} readings: cut the file, or leave out points")
        self.at_ms.append(at_ms)
        self.point.append(place)
        self.value.append(value)

    def period_ms(self, place: int) -> int | None:
        """The middle distance between readings of a point; None with fewer than two."""
        times = [at for at, point in zip(self.at_ms, self.point, strict=True) if point == place]
        gaps = sorted(later - earlier for earlier, later in pairwise(times))
        return gaps[len(gaps) // 2] if gaps else None

    def sort(self) -> None:
        """Oldest first, readings of one instant as they stood."""
        if not self.disorder:
            return
        order = sorted(range(len(self.at_ms)), key=self.at_ms.__getitem__)
        self.at_ms = array("q", (self.at_ms[index] for index in order))
        self.point = array("H", (self.point[index] for index in order))
        self.value = array("d", (self.value[index] for index in order))


def read_past(path: Path, known: Collection[str]) -> Past:
    """The readings of the `known` points in the file. Raises BadHistory when there is nothing to be had."""
    past = Past()
    try:
        # Ids are ASCII; whatever else is in it (names in GBK, say) does not matter here.
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            _read(path, file, known, past)
    except OSError as error:
        raise BadHistory(f"{path} can not be read: {error.strerror or error}") from error
    if not past.at_ms:
        why = f"; the first trouble: {past.said[0]}" if past.said else ""
        strangers = f"; it has {', '.join(past.strangers)}" if past.strangers else ""
        raise BadHistory(f"{path} has no reading of any point of this site{strangers}{why}")
    past.sort()
    return past


def _read(path: Path, file: Iterator[str], known: Collection[str], past: Past) -> None:
    try:
        header = [name.strip() for name in _cells(next(file, ""))]
    except csv.Error as error:
        raise BadHistory(f"{path}: its first line is no header: {error}") from None
    time = next((header.index(name) for name in TIME_NAMES if name in header), None)
    if time is None:
        raise BadHistory(
            f"{path} has no header `time,POINT,...` or `time,point,value` (times: {', '.join(TIME_NAMES)})"
        )
    twice = [name for name in {header[time], POINT, VALUE, *known} if header.count(name) > 1]
    if twice:
        raise BadHistory(f"{path}: the header names {', '.join(sorted(twice))} more than once: which one counts?")
    places: dict[str, int] = {}
    columns = [] if POINT in header and VALUE in header else [n for n in range(len(header)) if n != time]
    newest_ms = -(2**63)
    for number_of, line in enumerate(file, 2):
        if not line.strip():
            continue
        where = f"line {number_of}"
        past.rows += 1
        try:
            cells = _cells(line)
            if len(cells) != len(header):
                raise BadHistory(f"{where}: {len(cells)} columns, the header has {len(header)}")
            at_ms = _time_ms(where, cells[time].strip())
        except BadHistory as error:
            past.complain(str(error))
            continue
        except csv.Error as error:
            past.complain(f"{where}: {error}; is a quotation mark left open?")
            continue
        past.zone(where, cells[time].strip())
        past.disorder += at_ms < newest_ms
        newest_ms = max(newest_ms, at_ms)
        pairs = _pairs(header, cells, columns)
        _take(past, where, at_ms, pairs, known, places)


def _pairs(header: Sequence[str], cells: Sequence[str], columns: Sequence[int]) -> list[tuple[str, str]]:
    """(point, text) of one row."""
    if columns:
        return [(header[column], cells[column]) for column in columns]
    return [(cells[header.index(POINT)].strip(), cells[header.index(VALUE)])]


def _take(
    past: Past,
    where: str,
    at_ms: int,
    pairs: Sequence[tuple[str, str]],
    known: Collection[str],
    places: dict[str, int],
) -> None:
    """The readings of one row; what is wrong with it is complained of once."""
    wrong = ""
    for point, text in pairs:
        if point not in known:
            if len(past.strangers) < STRANGERS_MOST:
                past.strangers[point] = None
            continue
        if point not in places:
            places[point] = len(past.points)
            past.points.append(point)
        value = math.nan
        try:
            found = number(where, text)
            value = math.nan if found is None else found
        except BadHistory as error:
            wrong = wrong or f"{error} ({point})"
        past.add(at_ms, places[point], value)
    if wrong:
        past.complain(wrong)


def _cells(line: str) -> list[str]:
    """Of one line, by itself: a quotation mark left open takes no other with it. Raises csv.Error."""
    return next(csv.reader([line], strict=True), [])


def _time_ms(where: str, text: str) -> int:
    match = _SPREADSHEET.fullmatch(text)
    if match is None:
        return time_ms(where, text)
    try:
        at = datetime(*(int(part or 0) for part in match.groups()), tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError as error:
        raise BadHistory(f"{where}: “{text}” is no time: {error}") from None
    return round(at.timestamp() * 1000)
