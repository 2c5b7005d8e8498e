"""Lengths of time as a person writes them in a site file: "500ms", "10s", "5min", "1h", "2d". Pure."""

from __future__ import annotations

import re

_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|min|h|d)", re.ASCII)


def parse_duration_s(text: str) -> float:
    """Seconds in `text`: a number and one of ms, s, min, h, d. Raises ValueError with a sentence."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f'"{text}" is not a duration: write a number and ms, s, min, h or d, such as "500ms" or "5min"'
        )
    return float(match[1]) * _UNITS_S[match[2]]
