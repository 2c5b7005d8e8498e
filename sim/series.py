"""Recorded sensor series as a source of values: CSV files of `seconds,count` rows under a `#` line of `key=value;...`.

`value = count * quantum`. A series is looped: row n is row 0 again. Reads the file once, holds whole numbers only.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Series:
    """`counts` in whole quanta; `quantum` in `unit`; `dt_s` the recorder's interval."""

    name: str
    unit: str
    quantum: float
    dt_s: float
    counts: array[int]

    def count(self, row: int) -> int:
        """The count in `row`, looped."""
        return self.counts[row % len(self.counts)]

    def value(self, row: int) -> float:
        """The value in `row`, looped, in `unit`."""
        return self.count(row) * self.quantum

    def row_at(self, seconds: float, every_s: float | None = None) -> int:
        """Which row is current `seconds` after the start, when one lasts `every_s` (default: as recorded)."""
        return int(seconds / (every_s or self.dt_s)) % len(self.counts)


def load(path: Path) -> Series:
    """Reads a series file. Raises ValueError naming file and line, OSError."""
    with path.open(encoding="utf-8") as file:
        head = dict(part.partition("=")[::2] for part in file.readline().lstrip("# ").strip().split(";"))
        counts = array("q")
        for number, line in enumerate(file, 2):
            if not line.strip():
                continue
            try:
                counts.append(int(line.partition(",")[2]))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {line.strip()!r} is not `seconds,count`") from error
    if not counts or not {"quantum", "dt_s"} <= head.keys():
        raise ValueError(f"{path}: needs a first line `# name=...;unit=...;quantum=...;dt_s=...` and rows")
    quantum, dt_s = float(head["quantum"]), float(head["dt_s"])
    return Series(head.get("name", path.stem), head.get("unit", ""), quantum, dt_s, counts)
