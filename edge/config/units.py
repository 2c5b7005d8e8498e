"""Durations and sizes as people write them: "100ms" "10s" "5min" "1h" "2d"; "200MB" "64MiB" "4kB".

Exact: decimal arithmetic, whole milliseconds and whole bytes or an error. kB MB GB are powers of 1000, KiB MiB GiB
powers of 1024. A number without a unit is refused: ten of what?
"""

from __future__ import annotations

import re
from decimal import Decimal

DURATION_UNITS_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
SIZE_UNITS_BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
DURATIONS = '"100ms", "10s", "5min", "1h" or "2d"'
SIZES = '"64MiB" (1024 × 1024), "200MB" (1000 × 1000) or "4kB"'
_NUMBER_UNIT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]{1,4})", re.ASCII)


def duration_ms(text: str) -> int:
    """Whole milliseconds of "1.5s" and the like. ValueError: a sentence."""
    return _parse(text, DURATION_UNITS_MS, "duration", DURATIONS, "millisecond")


def size_bytes(text: str) -> int:
    """Whole bytes of "200MB" and the like. ValueError: a sentence."""
    return _parse(text, SIZE_UNITS_BYTES, "size", SIZES, "byte")


def _parse(text: str, units: dict[str, int], what: str, examples: str, smallest: str) -> int:
    match = _NUMBER_UNIT.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise ValueError(f"“{text}” is not a {what}; write for example {examples}")
    amount = Decimal(match[1]) * units[match[2]]
    if amount != int(amount):
        raise ValueError(f"“{text}” is not a whole number of {smallest}s")
    return int(amount)


def show_ms(amount_ms: int) -> str:
    """A duration as the site file would write it, in the largest unit that divides it: 90000 -> "90s"."""
    for unit, unit_ms in reversed(DURATION_UNITS_MS.items()):
        if amount_ms and amount_ms % unit_ms == 0:
            return f"{amount_ms // unit_ms}{unit}"
    return "0s"


def show_bytes(amount_bytes: int) -> str:
    """A size in the largest decimal unit that divides it: 200000000 -> "200MB"."""
    for unit in ("GB", "MB", "kB"):
        if amount_bytes and amount_bytes % SIZE_UNITS_BYTES[unit] == 0:
            return f"{amount_bytes // SIZE_UNITS_BYTES[unit]}{unit}"
    return f"{amount_bytes}B"
