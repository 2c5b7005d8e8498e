"""The ledger as a person and the province read it: by day and point, with online rate and completeness.

    due       readings the site file asks for on that day (of today, so far)
    taken     readings in the store, with or without a value; = settled + folded + evicted + held
    online    of the due ones, how many the instrument answered (anything but "no answer" and "no power"), in percent
    complete  of the due ones, how many the province has signed for, each by itself, in percent

What the Chinese geohazard platforms score is named so, but no public text gives their formulas: these are ours. Runs on
the store's thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from edge.contract import Quality
from edge.ledger import DAY_MS, EARLIER, UNDATED, Key, Tally, Why, names_of
from edge.outbox import Outbox
from edge.wire.basics import WireError
from edge.wire.sheet import Sheet

ROWS_MOST = 10_000  # in one answer: 2 MB
NO_DAY = {UNDATED: "no time yet", EARLIER: "earlier"}
AWAY = (Quality.NO_ANSWER, Quality.NO_POWER)


@dataclass(slots=True)
class PointDay:
    """A point on a day. `every_ms` 0: not known any more."""

    every_ms: int
    tally: Tally = field(default_factory=Tally)
    failed: dict[int, int] = field(default_factory=dict)

    def add(self, tally: Tally, place: int) -> None:
        self.tally.add(Tally(tally.taken, tally.settled, tally.folded, dict(tally.evicted)))
        for quality, count in tally.failed.get(place, {}).items():
            self.failed[quality] = self.failed.get(quality, 0) + count


def by_point(outbox: Outbox, days: int, now_ms: int) -> list[dict[str, Any]]:
    """One map for each day (the last `days`, and those of no day) and point, JSON types only."""
    today = now_ms // DAY_MS
    found: dict[tuple[int, str], PointDay] = {}
    sheets: dict[int, Sheet | None] = {}
    for key, tally in sorted(outbox.ledger(max(EARLIER + 1, today - days + 1)).items()):
        for place, (name, every_ms) in enumerate(_points(outbox, sheets, key)):
            row = found.setdefault((key.day, name), PointDay(every_ms))
            row.every_ms = every_ms
            row.add(tally, place)
    return [_shown(day, name, row, now_ms) for (day, name), row in found.items()]


def _points(outbox: Outbox, sheets: dict[int, Sheet | None], key: Key) -> list[tuple[str, int]]:
    """(id, every_ms) of the points of a group; one nameless point where the sheet is gone."""
    if key.sheet not in sheets:
        try:
            sheets[key.sheet] = Sheet.decode(outbox.sheet(key.sheet)[1])
        except (WireError, TypeError, KeyError):
            sheets[key.sheet] = None
    sheet = sheets[key.sheet]
    if sheet is None or not 0 <= key.group < len(sheet.groups):
        return [("-", 0)]
    group = sheet.groups[key.group]
    return [(point.id, group.every_ms) for point in group.points]


def _shown(day: int, name: str, row: PointDay, now_ms: int) -> dict[str, Any]:
    due = _due(day, row.every_ms, now_ms)
    tally = row.tally
    answered = tally.taken - sum(row.failed.get(quality, 0) for quality in AWAY)
    return {
        "day": day_name(day),
        "point": name,
        "due": due,
        "taken": tally.taken,
        "settled": tally.settled,
        "held": tally.held,
        "folded": tally.folded,
        "evicted": names_of(tally.evicted, Why),
        "failed": names_of(row.failed, Quality),
        "online_percent": percent(answered, due),
        "complete_percent": percent(tally.settled, due),
    }


def _due(day: int, every_ms: int, now_ms: int) -> int | None:
    if day in NO_DAY or every_ms <= 0:
        return None
    start_ms = day * DAY_MS
    end_ms = min(start_ms + DAY_MS, now_ms + 1)
    return max(0, -(-end_ms // every_ms) - -(-start_ms // every_ms))


def percent(part: int, whole: int | None) -> float | None:
    """Down to a tenth, so that 100 means all."""
    return None if not whole else min(100.0, math.floor(1000 * part / whole) / 10)


def day_name(day: int) -> str:
    if day in NO_DAY:
        return NO_DAY[day]
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d")
    except OverflowError:
        return str(day)


def in_short(ledger: Mapping[Key, Tally], now_ms: int) -> dict[str, dict[str, Any]]:
    """Yesterday and today for the province, in rounds, by day; what is zero is left out."""
    today = now_ms // DAY_MS
    found: dict[str, dict[str, Any]] = {}
    for day in (today - 1, today):
        total = Tally()
        for key, tally in ledger.items():
            if key.day == day:
                total.add(tally)
        failed: dict[int, int] = {}
        for qualities in total.failed.values():
            for quality, count in qualities.items():
                failed[quality] = failed.get(quality, 0) + count
        shown = {"taken": total.taken, "settled": total.settled, "held": total.held, "folded": total.folded}
        more = {"evicted": names_of(total.evicted, Why), "failed": names_of(failed, Quality)}
        if total.taken:
            found[day_name(day)] = {name: value for name, value in {**shown, **more}.items() if value}
    return found
