"""Plain text for a serial console: no colour, no lines, Chinese counted as two columns. May not import a screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from unicodedata import combining, east_asian_width

GAP = "  "
BOOT_MOST_MS = 10**11  # 1973: an earlier time is not UTC, it counts from the boot
USUAL_TERMINAL = (80, 24)  # of a serial console, which does not tell
LEAST_COLUMNS = 40
HANG = 6  # how far what is folded is indented
LAST_DATE_MS = 253_402_300_799_999  # 9999-12-31, the last day of datetime


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title line, a header and aligned rows, indented by two; "none" when there are no rows. What would steer a
    terminal is not in it: a cell may be a name that anybody wrote."""
    if not rows:
        return f"{title}: none"
    lines = [[printable(cell) for cell in line] for line in (header, *rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(header))]
    shown = [f"{title} ({len(rows)})"]
    for line in lines:
        cells = [cell + " " * (size - width(cell)) for cell, size in zip(line, widths, strict=True)]
        shown.append((GAP + GAP.join(cells)).rstrip())
    return "\n".join(shown)


def terminal_columns() -> int:
    """How wide the terminal is."""
    return max(LEAST_COLUMNS, shutil.get_terminal_size(USUAL_TERMINAL).columns)


def folded(text: str, columns: int, hang: int = HANG) -> Iterator[str]:
    """One line as lines of at most so many columns, all but the first indented by `hang`. Folded at spaces and between
    Chinese characters; a word that is longer than a line is cut."""
    while width(text) > columns:
        cut = _cut(text, columns)
        yield text[:cut].rstrip()
        text = " " * hang + text[cut:].lstrip()
    yield text


def _cut(text: str, columns: int) -> int:
    """Where the line ends: the last place where it may, else the last where it can."""
    start = len(text) - len(text.lstrip())
    used, best = 0, 0
    for index, char in enumerate(text):
        wide = "W" in (east_asian_width(char), east_asian_width(text[index - 1]))
        if index > start and (char == " " or (wide and char.isalnum())):  # no line begins with a bracket or a comma
            best = index
        used += width(char)
        if used > columns:
            return best or max(index, start + 1)
    return len(text)


def folded_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> str:
    """A table; where it is wider than the terminal each row, and the header, takes several lines, its columns still
    one below the other."""
    text = table(title, header, rows)
    if all(width(line) <= columns for line in text.splitlines()):
        return text
    widths = [max(width(line[column]) for line in (header, *rows)) for column in range(len(header))]
    groups: list[list[int]] = []
    room = 0
    for column, size in enumerate(widths):
        if not groups or size + len(GAP) > room:
            room = columns - (HANG if groups else len(GAP)) + len(GAP)
            groups.append([])
        room -= size + len(GAP)
        groups[-1].append(column)
    shown = [f"{title} ({len(rows)})"]
    for line in (header, *rows):
        for place, group in enumerate(groups):
            cells = [line[column] + " " * (widths[column] - width(line[column])) for column in group]
            joined = " " * (HANG if place else len(GAP)) + GAP.join(cells).rstrip()
            shown += folded(joined, columns) if joined.strip() else ()
    return "\n".join(shown)


def clock_time(at_ms: int | None) -> str:
    """UTC as people read it; a time that is not known is given since boot."""
    if at_ms is None:
        return "-"
    if at_ms < BOOT_MOST_MS:
        return f"boot+{at_ms // 1000}s"
    if at_ms > LAST_DATE_MS:
        return f"{at_ms} ms"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(amount_s: float) -> str:
    """A length of time in the unit a person would take, rounded."""
    for unit, unit_s, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if round(amount_s / unit_s) < most:
            return f"{round(amount_s / unit_s)} {unit}"
    return f"{round(amount_s / 86400)} days"


def printable(line: str) -> str:
    """Without what would steer a terminal, whatever an instrument or a packet put into a text."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
