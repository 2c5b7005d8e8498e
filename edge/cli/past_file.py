"""What a CSV file is, before its first row is read: how it is written, what separates its columns, where they begin.

    written      UTF-8, UTF-16 with its mark ("Unicode text" of Excel), GB18030 and so GBK (Excel and WPS on a Chinese
                 Windows): the first one in which every byte has a meaning
    separated    by , ; or tab: by what makes a column of time out of the header
    header       the first line with a column of time; lines above it (a title, `sep=;`) are passed over

A file that is none of these is refused with a sentence that says what it is.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Sequence, Set
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from edge.cli.history import BadHistory

TIMES = ("time", "at", "at_ms", "时间", "日期时间", "采集时间")  # the first one that is there counts
DATES = ("date", "日期")  # alone, or with the time of day in a column of its own
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
HEADER_WITHIN = 20  # lines: a title, whose it is, when it was printed
CHUNK_BYTES = 1 << 18  # nobody's line is as long: 1000 points take 20 kB
SHOWN_CHARS = 40
NULS_MOST = 0.1  # of a text's bytes; of UTF-16 it is nearly half
QUOTE = '"'
LINE_END = re.compile(b"[\r\n]")
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SPOKEN = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "gb18030": "GB18030"}
NO_CSV = {b"PK\x03\x04": "a workbook of Excel or WPS", b"\xd0\xcf\x11\xe0": "an old workbook of Excel or WPS"}
HOW = "save it as CSV first (Excel, WPS: Save as, CSV UTF-8)"


class Form(NamedTuple):
    """`fits`: every byte had a meaning. `header`: its names, stripped. `line`: of the header, from 1. `time`,
    `date`: columns; `date` only where the day stands apart from the time."""

    encoding: str
    fits: bool
    delimiter: str
    line: int
    header: tuple[str, ...]
    time: int
    date: int | None

    def words(self) -> str:
        """In one line, for who wonders."""
        where = f", header in line {self.line}" if self.line > 1 else ""
        return f"{_read_as(self.encoding, self.fits)}, separated by {DELIMITERS[self.delimiter]}{where}"


def form_of(path: Path, known: Set[str]) -> Form:
    """Looks at all of it, in pieces. `known`: what its columns may be called; a line that has one of them goes before
    one that has a column of time alone ("时间,2026年7月" above the header). Raises BadHistory and OSError."""
    if path.exists() and not path.is_file():
        raise BadHistory(f"{path} is no file; save the record in one first")  # it is read more than once
    encoding, fits = _encoding(path)
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        top = list(islice(file, HEADER_WITHIN))
    forms = [
        Form(encoding, fits, delimiter, number, header, *found)
        for number, line in enumerate(top, 1)
        for delimiter in DELIMITERS
        if (found := _times(header := _names(line, delimiter)))
    ]
    if forms:
        return next((form for form in forms if not known.isdisjoint(form.header)), forms[0])
    first = next((line.strip() for line in top if line.strip()), "")
    raise BadHistory(
        f"{path} has no header: none of its first {HEADER_WITHIN} lines has a column {', '.join((*TIMES, *DATES))} "
        f"beside others, separated by comma, semicolon or tab; {_read_as(encoding, fits)} it begins with "
        f"“{first[:SHOWN_CHARS]}”{'; is a quotation mark left open?' if first.count(QUOTE) % 2 else ''}"
    )


def _read_as(encoding: str, fits: bool) -> str:
    return f"read as {SPOKEN[encoding]}{'' if fits else ' (but not every byte of it is)'}"


def cells_of(line: str, delimiter: str) -> list[str]:
    """Of one line, by itself: a quotation mark left open takes no other with it. Raises csv.Error."""
    if QUOTE not in line:
        return line.rstrip("\r\n").split(delimiter)
    return next(csv.reader([line], strict=True, delimiter=delimiter), [])


def _names(line: str, delimiter: str) -> tuple[str, ...]:
    try:
        return tuple(name.strip() for name in cells_of(line, delimiter))
    except csv.Error:
        return ()


def _times(header: Sequence[str]) -> tuple[int, int | None] | None:
    """The column of time, and that of the day if it stands apart; None where this is no header."""
    small = [name.casefold() for name in header]
    time, date = (next((small.index(word) for word in words if word in small), None) for words in (TIMES, DATES))
    if sum(map(bool, header)) < 2 or (time is None and date is None):
        return None
    if time is None:
        assert date is not None
        return date, None
    return time, date


def _encoding(path: Path) -> tuple[str, bool]:
    """The first one that fits all of it, True; where none does, the one that fits longest, False."""
    with path.open("rb") as file:
        head = file.read(CHUNK_BYTES)
    if not head.strip():
        raise BadHistory(f"{path} is empty: no header, no reading")
    if what := next((what for magic, what in NO_CSV.items() if head.startswith(magic)), None):
        raise BadHistory(f"{path} is {what}; {HOW}")
    candidates = [MARKS[head[:2]]] if head[:2] in MARKS else ["utf-8-sig", "gb18030"]
    if head[:2] not in MARKS and head.count(0) > len(head) * NULS_MOST:
        raise BadHistory(f"{path} is no text, or UTF-16 without its mark; {HOW}")
    reach: dict[str, float] = {}
    for encoding in candidates:
        reach[encoding] = _reach(path, encoding)
        if reach[encoding] == math.inf:
            return encoding, True
    return max(candidates, key=lambda encoding: reach[encoding]), False  # of equal ones the first


def _reach(path: Path, encoding: str) -> float:
    """Up to which byte each has a meaning, inf: to the end; there a character may be cut off."""
    decoder = codecs.getincrementaldecoder(encoding)()
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if len(chunk) == CHUNK_BYTES and not LINE_END.search(chunk):
                raise BadHistory(f"{path} has a line of more than {CHUNK_BYTES} bytes: is it CSV?")
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return done + error.start
            done += len(chunk)
    return math.inf
