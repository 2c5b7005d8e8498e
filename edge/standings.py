"""Where limits stood: what a store is told of it, and what it says, looked at before it is believed; and what the store
on the disk has not been told, while memory stands in for it. Pure.

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

Lack = list[Any]
"""What the store on the disk lacks of a limit: id, level, value, at_ms, true level, [[level, at_ms, true level],
...]: how the limit may stand there."""

LEVELS = frozenset(Level)
QUALITIES = frozenset(ClockQuality)
NOWHERE = Standing("", Level.NONE, None, 0)  # of a limit that a store knows nothing of
LIMIT_ID = re.compile(r"[a-z0-9._-]{1,40}")  # as the site file has them
FIRST_MS = 946_684_800_000  # a UTC time of before the year 2000 is damage: an alarm of "long ago" would sound nothing
LAST_MS = DAY_MS * LAST_DAY
LAST_S = LAST_MS / 1000
TRIED_MOST = 20  # commits to one disk that failed, each of which may have happened


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


class Stood:
    """Where limits stand, as far as a commit to any store has told; and how they may stand in the one on the disk: in
    several ways after commits that failed, and may have happened all the same."""

    def __init__(self) -> None:
        self._now: dict[str, Standing] = {}
        self._on_disk: dict[str, list[Standing]] = {}

    def all(self) -> list[Standing]:
        return list(self._now.values())

    def found(self, standings: Iterable[Standing]) -> None:
        """In a store on the disk, as it was opened: what has been told in this run is newer."""
        found = {it.id: it for it in standings}
        self._now = found | self._now
        self._on_disk.update({limit: [it] for limit, it in found.items()})

    def tried(self, standings: Iterable[Standing], *, durable: bool) -> None:
        """A commit is being made. `durable`: to the disk."""
        for it in standings if durable else ():
            self._on_disk[it.id] = [*self._on_disk.get(it.id, ()), it][-TRIED_MOST:]

    def told(self, standings: Iterable[Standing], *, durable: bool) -> None:
        """It has been."""
        told = {it.id: it for it in standings}
        self._now |= told
        if durable:
            self._on_disk.update({limit: [it] for limit, it in told.items()})

    def lacks(self, now: Mapping[str, Standing]) -> list[Lack]:
        """What the store on the disk would have to be told of where limits stand `now`."""
        found: list[Lack] = []
        for it in now.values():
            there = self._on_disk.get(it.id, [])
            if {one.stands[0] for one in there or [NOWHERE]} != {it.stands[0]}:
                found.append([it.id, it.level, it.value, it.at_ms, it.true, [_row(one) for one in there]])
        return found


def newer(lacks: Iterable[Lack], there: Iterable[Standing]) -> list[Standing]:
    """Of what a store had not been told when that was written (`Stood.lacks`) all that it has not been told since.
    `there`: where limits stand in it."""
    rows = {it.id: _row(it) for it in there}
    return [
        found
        for limit, level, value, at_ms, true, then in lacks
        if (found := _standing(limit, level, value, at_ms, None, None, None, true, None)) is not None
        and (limit not in rows or rows[limit] in then)
    ]


def _row(standing: Standing) -> list[int | None]:
    """What tells one row of a limit from the next."""
    return [standing.level, standing.at_ms, standing.true]


def whole(value: Any, least: int, most: int) -> int | None:
    """A whole number between two, ends included; None for anything else."""
    return value if type(value) is int and least <= value <= most else None


def _is_instant(monotonic_ms: Any) -> bool:
    return isinstance(monotonic_ms, int | float) and isfinite(monotonic_ms) and 0 <= monotonic_ms / 1000 <= LAST_S
