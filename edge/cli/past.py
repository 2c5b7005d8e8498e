"""A site's recorded data out of a CSV file, for `fengsui what-if`.

    wide   a header `time,POINT,POINT ...` and one row an instant; an empty cell: asked and failed
    long   a header `time,point,value` and one row a reading

How the file is written, what separates its columns and where its header stands is found out (`past_file.py`), what a
cell says too (`past_cell.py`). A column is called by the point's id, or by its name where no other point has it. A time
without a zone is local time (UTC+8), and then none has one: a file that mixes both is refused. A row is a line; one
that can not be understood is left out and counted, as a cell is, the first ones said. Rows may stand in any order.
Kept in arrays: 18 bytes a reading.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from edge.cli.history import POINT, VALUE, BadHistory
from edge.cli.past_cell import LOCAL, LOCAL_WORDS, Refused, number_of, time_of
from edge.cli.past_file import Form, cells_of, form_of
from edge.cli.show import clock_time
from edge.config.words import listing
from edge.contract import Point

READINGS_MOST = 4_000_000  # 72 MB: four points each minute for two years, on a box of 1 GB
SAID_MOST = 5  # bad rows that are shown; all are counted
STRANGERS_MOST = 20


@dataclass
class Past:
    """Readings, oldest first: `at_ms`, `point` (a place in `points`) and `value` (nan: asked and failed) side by side.

    `bad`: rows with something wrong; `said`: sentences about the first of them. `disorder`: rows that stood behind a
    later one. `strangers`: columns or points that the site does not have. `read_as`: how the file is written.
    """

    read_as: str = ""
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

    @property
    def local(self) -> bool:
        """Its times have no zone: they are told as they stand there."""
        return False in self.zoned

    @property
    def zone(self) -> str:
        return LOCAL_WORDS if self.local else "UTC"

    def clock(self, at_ms: int | None) -> str:
        """A time as people read it: as the record writes it, without a zone, or UTC with its Z."""
        if at_ms is None or not self.local:
            return clock_time(at_ms)
        return clock_time(at_ms + LOCAL.utcoffset(None) // timedelta(milliseconds=1)).removesuffix("Z")

    def sees(self, zoned: bool, where: str, text: str) -> None:
        """Raises BadHistory where times with and without a zone are mixed: one kind would be hours off."""
        if zoned in self.zoned:
            return
        self.zoned[zoned] = f"{where}: “{text}”"
        if len(self.zoned) == 2:
            raise Refused(
                f"{self.zoned[False]} has no time zone, but {self.zoned[True]} has one: write one with each time "
                f"(Z, +08:00), or with none, then all are {LOCAL_WORDS}"
            )

    def complain(self, sentence: str) -> None:
        self.bad += 1
        if len(self.said) < SAID_MOST:
            self.said.append(sentence)

    def add(self, at_ms: int, place: int, value: float) -> None:
        if len(self.at_ms) >= READINGS_MOST:
            raise Refused(f"more than {READINGS_MOST} readings: cut the file, or leave out points")
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


class Names(NamedTuple):
    """What a record may call a site's points. `ids`: by id, and by a name that only one has. `shared`: a name of
    several, with their ids."""

    ids: Mapping[str, str]
    shared: Mapping[str, Sequence[str]]

    def spoken(self) -> Iterator[str]:
        """`pond.level (水位)` of each point."""
        called = {point: name for name, point in self.ids.items() if name != point}
        for point in dict.fromkeys(self.ids.values()):
            yield f"{point} ({called[point]})" if point in called else point


def names_of(points: Iterable[Point]) -> Names:
    named: dict[str, list[str]] = defaultdict(list)
    ids = {point.id: point.id for point in points}
    for point in points:
        if (name := point.name.strip()) and name not in ids:
            named[name].append(point.id)
    alone = {name: having[0] for name, having in named.items() if len(having) == 1}
    return Names({**ids, **alone}, {name: having for name, having in named.items() if len(having) > 1})


def read_past(path: Path, names: Names) -> Past:
    """The readings of known points in the file. Raises BadHistory when there is nothing to be had."""
    try:
        form = form_of(path, {*names.ids, *names.shared, VALUE})
        past = Past(form.words())
        with path.open(encoding=form.encoding, errors="replace", newline="") as file:
            _Reader(path, form, names, past).read(file)
    except OSError as error:
        raise BadHistory(f"{path} can not be read: {error.strerror or error}") from error
    if not past.at_ms:
        why = f"; the first trouble: {past.said[0]}" if past.said else "" if past.rows else "; it has no row"
        its = f"; it has {', '.join(past.strangers)}, the site {listing(names.spoken())}" if past.strangers else ""
        raise BadHistory(f"{path}, {form.words()}, has no reading of any point of this site{its}{why}")
    past.sort()
    return past


class _Reader:
    """Row by row into `past`."""

    def __init__(self, path: Path, form: Form, names: Names, past: Past) -> None:
        self.form, self.names, self.past = form, names, past
        self.header = form.header
        self.least = max(column for column, name in enumerate(form.header) if name) + 1
        self.comma_is_free = form.delimiter != ","
        self.places: dict[str, int] = {}
        self.newest_ms = -(2**63)
        small = [name.casefold() for name in form.header]
        self.long = (small.index(POINT), small.index(VALUE)) if POINT in small and VALUE in small else None
        counted = [small[form.time], POINT, VALUE] if self.long else [small[form.time], *names.ids.values()]
        meant = [names.ids.get(name, name.casefold()) for name in form.header]
        if twice := sorted({name for name in counted if meant.count(name) > 1}):
            raise Refused(f"{path}: the header names {', '.join(twice)} more than once: which one counts?")
        # (column, point) of those that the site has
        self.columns = [] if self.long else list(self._columns())

    def _columns(self) -> Iterator[tuple[int, str]]:
        for column, name in enumerate(self.header):
            if column in (self.form.time, self.form.date) or not name:
                continue
            if point := self._point(name):
                yield column, point

    def _point(self, name: str) -> str | None:
        """What the record calls so; None, and noted, where the site has no such point."""
        if (point := self.names.ids.get(name)) is not None:
            return point
        if len(self.past.strangers) < STRANGERS_MOST:
            shared = self.names.shared.get(name)
            self.past.strangers[f"{name} (the name of {', '.join(shared)}: write the id)" if shared else name] = None
        return None

    def read(self, file: Iterator[str]) -> None:
        delimiter = self.form.delimiter
        for number, line in enumerate(file, 1):
            if number <= self.form.line or not line.strip():
                continue
            where = f"line {number}"
            try:
                self._row(where, cells_of(line, delimiter))
            except Refused:
                raise
            except BadHistory as error:
                self.past.complain(str(error))
            except csv.Error as error:
                self.past.rows += 1
                self.past.complain(f"{where}: {error}; is a quotation mark left open?")

    def _row(self, where: str, cells: Sequence[str]) -> None:
        """What is wrong with it is complained of once."""
        past, wide = self.past, len(self.header)
        if not cells[0].strip() and not any(map(str.strip, cells)):  # one that a spreadsheet once had
            return
        past.rows += 1
        if len(cells) < self.least or any(map(str.strip, cells[wide:])):
            raise BadHistory(f"{where}: {len(cells)} columns, the header has {wide}")
        text = cells[self.form.time].strip()
        if self.form.date is not None and not text[:4].isdecimal():  # the time of day alone
            text = f"{cells[self.form.date].strip()} {text}"
        at_ms, zoned = time_of(where, text)
        if zoned is not None:
            past.sees(zoned, where, text)
        past.disorder += at_ms < self.newest_ms
        self.newest_ms = max(self.newest_ms, at_ms)
        if self.long is None:
            self._take(where, at_ms, [(point, cells[column]) for column, point in self.columns])
        elif point := self._point(cells[self.long[0]].strip()):
            self._take(where, at_ms, [(point, cells[self.long[1]])])

    def _take(self, where: str, at_ms: int, pairs: Sequence[tuple[str, str]]) -> None:
        past, places, wrong = self.past, self.places, ""
        for point, text in pairs:
            if point not in places:
                places[point] = len(past.points)
                past.points.append(point)
            try:
                value = number_of(where, text, self.comma_is_free)
            except Refused:
                raise
            except BadHistory as error:
                value = math.nan
                wrong = wrong or f"{error} ({point})"
            past.add(at_ms, places[point], value)
        if wrong:
            past.complain(wrong)
