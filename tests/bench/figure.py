"""One measured figure beside its target, and the table of all of them. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEADS = ("what", "measured", "target", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """`met` None: there is no target, the figure is for information."""

    what: str
    measured: str
    target: str
    met: bool | None
    how: str

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "ok" if self.met else "FALLS SHORT"


def at_most(what: str, value: float, target: float, unit: str, how: str, note: str = "") -> Figure:
    """A figure that must not exceed its target."""
    return Figure(what, f"{value:.4g} {unit}{note}", f"<= {target:g} {unit}", value <= target, how)


def plain(what: str, measured: str, how: str) -> Figure:
    """A figure without a target."""
    return Figure(what, measured, "", None, how)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0 to 1) of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """Median and range in words."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} {unit} ({low:.{digits}f}-{high:.{digits}f}, {len(values)} times)"


def table(figures: Iterable[Figure]) -> str:
    """All figures, aligned, each followed by how it was measured."""
    rows = list(figures)
    cells = [HEADS, *((f.what, f.measured, f.target, f.verdict) for f in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    short = [f.what for f in rows if f.met is False]
    ends = [f"FALLS SHORT: {len(short)} of {sum(f.met is not None for f in rows)}: {'; '.join(short)}"] if short else []
    hows = [f"  {f.what}: {f.how}" for f in rows]
    return "\n".join([*lines, "", *(ends or ["Every target is met."]), "", "How:", *hows])
