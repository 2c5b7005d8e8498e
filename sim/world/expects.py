"""What a scenario says must be seen at the province, against what the province has seen.

An alarm is seen when the province first stored it; the packet that brought it was stored in the same transaction, and
tells the way. A level that is expected several times is looked for in each of its windows; before the first of them it
must not have been there. Reads the province's tables and nothing else.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from edge.contract import Kind, Level
from sim.world.nouns import START_MS, Expect

MQTT = "mqtt"  # what a province names all MQTT links that it hears at one broker

# The packet with the smallest id of those stored with an alarm brought it.
ARRIVALS = """
SELECT limit_id, level, received_at_ms, (
    SELECT link FROM packets WHERE packets.gateway = alarms.gateway AND packets.kind IN (?, ?) AND entries > repeated
    AND packets.received_at_ms = alarms.received_at_ms ORDER BY id LIMIT 1)
FROM alarms ORDER BY received_at_ms, seq
"""


class Arrival(NamedTuple):
    """An alarm came to the province: when, by which link."""

    limit: str
    level: str
    at_s: float
    link: str


class Verdict(NamedTuple):
    """`seen`: the arrival that decided; `broken`: the sentence, or "" where all is as expected."""

    expect: Expect
    seen: Arrival | None
    broken: str


def arrivals(books: Iterable[Path], since_ms: int = START_MS) -> list[Arrival]:
    """All alarms in the province's databases, in order. `since_ms`: the UTC time that is second 0."""
    found = []
    for book in books:
        with contextlib.closing(sqlite3.connect(f"file:{book}?mode=ro", uri=True, timeout=5)) as db:
            for limit, level, at_ms, link in db.execute(ARRIVALS, (Kind.ALARM, Kind.FRAGMENT)):
                found.append(Arrival(limit, Level(level).name.lower(), (at_ms - since_ms) / 1000, link or ""))
    return sorted(found, key=lambda arrival: arrival.at_s)


def verdicts(expects: Sequence[Expect], seen: Sequence[Arrival], now_s: float) -> list[Verdict]:
    """One for each of `expects` whose time is over at `now_s`."""
    done = [expect for expect in expects if expect.by_s <= now_s]
    return [_verdict(expect, _is_first(expect, expects), seen) for expect in done]


def clock(at_s: float) -> str:
    """`1:40:30` for 6030 s."""
    minutes, seconds = divmod(at_s, 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02d}:{seconds:04.1f}"


def _is_first(expect: Expect, expects: Sequence[Expect]) -> bool:
    same = [it for it in expects if (it.limit, it.level) == (expect.limit, expect.level) and not it.never]
    return bool(same) and expect.from_s == min(it.from_s for it in same)


def _verdict(expect: Expect, first: bool, seen: Sequence[Arrival]) -> Verdict:
    mine = [it for it in seen if (it.limit, it.level) == (expect.limit, expect.level)]
    within = [it for it in mine if expect.from_s <= it.at_s <= expect.by_s]
    what = f"{expect.limit} {expect.level}"
    window = f"from {clock(expect.from_s)} by {clock(expect.by_s)}"
    if expect.never:
        why = f"{what} must not be seen {window}, and was at {clock(within[0].at_s)}" if within else ""
        return Verdict(expect, within[0] if within else None, why)
    early = [it for it in mine if it.at_s < expect.from_s] if first and expect.level != "none" else []
    if early:
        return Verdict(expect, early[0], f"{what} was expected {window}, and was seen early, {clock(early[0].at_s)}")
    if not within:
        late = next((it for it in mine if it.at_s > expect.by_s), None)
        when = f"came at {clock(late.at_s)}" if late else "never came"
        return Verdict(expect, late, f"{what} was expected {window}, and {when}")
    if not _same_way(expect.link, within[0].link):
        why = f"{what} was expected by {expect.link}, and came by {within[0].link} at {clock(within[0].at_s)}"
        return Verdict(expect, within[0], why)
    return Verdict(expect, within[0], "")


def _same_way(wanted: str, came: str) -> bool:
    return not wanted or wanted == came or (came == MQTT and wanted != "beidou")
