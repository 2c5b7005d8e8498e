"""Where limits stood: what a store is told of it, and what it says, looked at before it is believed. Pure.

A disk can give back anything. What is damaged of a row is left out and its level kept: a level that stood goes on to
stand, since when nobody knows. Only a row without a limit's name or without a level says nothing at all. Never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from edge.contract import MAX_STEPS, Alarm, ClockQuality, Level
from edge.entries import Standing
from edge.ledger import DAY_MS, LAST_DAY

LEVELS = frozenset(Level)
QUALITIES = frozenset(ClockQuality)
LIMIT_ID = re.compile(r"[a-z0-9._-]{1,40}")  # as the site file has them
FIRST_MS = 946_684_800_000  # a UTC time of before the year 2000 is damage: an alarm of "long ago" would sound nothing
LAST_MS = DAY_MS * LAST_DAY
LAST_S = LAST_MS / 1000


def standings_of(rows: Iterable[Sequence[Any]], told: Iterable[Sequence[Any]] = ()) -> list[Standing]:
    """`rows`: (id, level, value, at_ms); `told`: (id, boot, monotonic_ms, clock, true level, scale) of some of them."""
    known = {row[0]: row[1:] for row in told if isinstance(row[0], str)}
    found = (_standing(*row, *known.get(row[0], (None,) * 5)) for row in rows)
    return [standing for standing in found if standing is not None]


def _standing(
    limit: Any, level: Any, value: Any, at_ms: Any, boot: Any, monotonic_ms: Any, clock: Any, true: Any, scale: Any
) -> Standing | None:
    if not isinstance(limit, str) or not LIMIT_ID.fullmatch(limit) or level not in LEVELS:
        return None
    found = Standing(limit, Level(level), whole(value, -MAX_STEPS, MAX_STEPS), whole(at_ms, 0, LAST_MS) or 0)
    found.true = Level(true) if true in LEVELS and true != level else None
    found.scale = scale if isinstance(scale, str) else ""
    if whole(boot, 0, MAX_STEPS) is None or clock not in QUALITIES or not _is_instant(monotonic_ms):
        return found
    if whole(at_ms, 0 if clock == ClockQuality.UNKNOWN else FIRST_MS, LAST_MS) is not None:
        found.boot, found.monotonic_s, found.clock = boot, monotonic_ms / 1000, ClockQuality(clock)
    return found


def fitting(standings: Iterable[Standing], scales: Mapping[str, str]) -> list[Standing]:
    """Without values that count something else than they would in the site file now (limit -> scale)."""
    found = []
    for standing in standings:
        same = not standing.scale or scales.get(standing.id, standing.scale) == standing.scale
        found.append(standing if same else replace(standing, value=None))
    return found


def held_back(told: Standing | None, alarm: Alarm, scale: str) -> Standing:
    """The shelf keeps an alarm from the province: `told` goes on, and where the limit stands is known beside it."""
    told = told or Standing(alarm.limit, Level.NONE, None, 0)
    true = None if alarm.level is told.level else alarm.level
    return replace(told, value=alarm.value, true=true, scale=scale)


def whole(value: Any, least: int, most: int) -> int | None:
    """A whole number between two, ends included; None for anything else."""
    return value if type(value) is int and least <= value <= most else None


def _is_instant(monotonic_ms: Any) -> bool:
    return isinstance(monotonic_ms, int | float) and isfinite(monotonic_ms) and 0 <= monotonic_ms / 1000 <= LAST_S
