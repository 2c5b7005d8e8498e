"""Plain tables for a serial console: no colour, no lines, Chinese counted as two columns. May not import a screen."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import combining, east_asian_width

GAP = "  "


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
