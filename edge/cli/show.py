"""Plain text for a serial console: no colour, no lines, Chinese counted as two columns. May not import a screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from unicodedata import combining, east_asian_width

GAP = "  "
BOOT_MOST_MS = 10**11  # 1973: an earlier time is not UTC, it counts from the boot
LAST_DATE_MS = 253_402_300_799_999  # 9999-12-31, the last day of datetime


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title line, a header and aligned rows, indented by two; "none" when there are no rows."""
    if not rows:
        return f"{title}: none"
    lines = [header, *rows]
    widths = [max(width(line[column]) for line in lines) for column in range(len(header))]
    shown = [f"{title} ({len(rows)})"]
    for line in lines:
        cells = [cell + " " * (size - width(cell)) for cell, size in zip(line, widths, strict=True)]
        shown.append((GAP + GAP.join(cells)).rstrip())
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
