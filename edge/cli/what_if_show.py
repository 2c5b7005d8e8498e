"""What `fengsui what-if` found, in words and lanes for a terminal, and in JSON types."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from edge.cli.ask import COLOURS
from edge.cli.past import Past
from edge.cli.show import printable, span, table, width
from edge.config.site import Site
from edge.config.units import show_ms
from edge.contract import Alarm, Level, Rule
from edge.limit_words import explain, lasting
from edge.replay import LEVELS, Replay, Story

LEAST_COLUMNS, MOST_COLUMNS = 30, 160
USUAL_TERMINAL = (100, 24)
ALARMS_SHOWN = 40
COARSE = 2  # a record with fewer than one reading in so many periods of its point judges otherwise than the field
NOTHING = "nothing was judged, so nobody knows whether any would have been raised"
MARKS = {Level.NONE: "·", Level.BLUE: "b", Level.YELLOW: "y", Level.ORANGE: "o", Level.RED: "R"}


def notes_of(site: Site, past: Past, played: Replay) -> Iterator[str]:
    """What one must know before one believes the drawing."""
    if past.bad:
        rows = "row" if past.rows == 1 else "rows"
        yield f"{past.bad} of {past.rows} {rows} with something wrong, left out; the first: {'; '.join(past.said)}"
    if past.disorder:
        yield f"{past.disorder} rows stood behind a later one: put in order"
    if past.strangers:
        yield f"no points of this site, left out: {', '.join(past.strangers)}"
    lacking = [story.limit.id for story in played.stories if not story.judged]
    if lacking:
        yield f"not judged, the file lacks what they are about: {', '.join(lacking)}"
    partly = [
        f"{story.limit.id} (without {', '.join(gone)})"
        for story in played.stories
        if story.judged and (gone := [member for member in story.limit.judged.members if member in lacking])
    ]
    if partly:
        yield f"judged by fewer members than there are: {', '.join(partly)}"
    every_ms = {point.id: point.every_ms for point in site.points}
    for place, point in enumerate(past.points):
        period_ms = past.period_ms(place)
        if period_ms is not None and period_ms > COARSE * every_ms[point]:
            yield (
                f"{point} is read every {show_ms(every_ms[point])} at the site, here every {span(period_ms / 1000)}: "
                "hold times, rates and silences are judged otherwise"
            )
    for point, count in played.doubted.items():
        yield f"{count} readings of {point} were not believed (stuck, spike, rate_max, twin, far beyond its range)"
    useless = [point for point in past.points if point not in played.used]
    if useless:
        yield f"not one number that can be judged, so no level says anything of it: {', '.join(useless)}"


# -- for people ---------------------------------------------------------------------------------------------------


def text(site: Site, file: Path, past: Past, played: Replay, notes: Sequence[str]) -> Iterator[str]:
    lasted_s = (played.to_ms - played.from_ms) / 1000
    yield printable(
        f"{file}: {past.clock(played.from_ms)} to {past.clock(played.to_ms)} ({span(lasted_s)}), "
        f"{len(past.at_ms)} readings of {len(past.points)} points"
    )
    yield f"{past.read_as}; {_zone_words(past)}"
    for note in notes:
        yield printable(f"note: {note}")
    yield ""
    yield from _lanes(past, played)
    yield ""
    yield table(
        "rules: how often each level (or a higher one) was reached, how long it stood",
        _header(),
        list(_rows(past, played)),
    )
    yield ""
    yield from _alarm_lines(site, past, played)


def _zone_words(past: Past) -> str:
    if past.local:
        return f"its times have no zone: taken for {past.zone}, and shown as they stand there"
    return f"times in {past.zone}"


def _lanes(past: Past, played: Replay) -> Iterator[str]:
    stories = [story for story in played.stories if story.judged]
    names = max((width(story.limit.id) for story in stories), default=0)
    terminal = shutil.get_terminal_size(USUAL_TERMINAL).columns
    columns = max(LEAST_COLUMNS, min(MOST_COLUMNS, terminal - names - 4))
    one_s = (played.to_ms - played.from_ms) / 1000 / columns
    yield f"levels over time, one column is {span(one_s)}: b blue, y yellow, o orange, R red, · none"
    left, right = past.clock(played.from_ms)[:16], past.clock(played.to_ms)[:16]
    yield " " * (names + 4) + left + right.rjust(columns - len(left))
    for story in stories:
        lane = story.highest(columns, played.from_ms, played.to_ms)
        yield f"  {story.limit.id.ljust(names)}  " + "".join(_mark(level) for level in lane)


def _mark(level: Level) -> str:
    colour = COLOURS.get(level.name.lower())
    return click.style(MARKS[level], fg=colour, bold=True) if colour else MARKS[level]


def _header() -> Sequence[str]:
    return ("limit", *(level.name.lower() for level in LEVELS), "first", "least", "greatest", "name")


def _rows(past: Past, played: Replay) -> Iterator[Sequence[str]]:
    for story in played.stories:
        if not story.judged:
            continue
        stood = {level: story.stood(level, played.to_ms) for level in LEVELS}
        has = _levels(story)
        cells = [
            f"{known.times} x, {span(known.lasted_s)}" if known.times else "never" if level in has else ""
            for level, known in stood.items()
        ]
        first = past.clock(
            min((known.first_ms for known in stood.values() if known.first_ms is not None), default=None)
        )
        least, greatest = _ends(story)
        yield (story.limit.id, *cells, first, least, greatest, story.limit.name)


def _levels(story: Story) -> set[Level]:
    if story.limit.judged.members:
        return set(LEVELS)
    return {level for part in story.limit.judged.parts for level, _ in part.thresholds}


def _ends(story: Story) -> tuple[str, str]:
    """The least and the greatest number judged, in its unit; of several windows, of the shortest."""
    if story.limit.rule in (Rule.STALE, Rule.SUSPECT, Rule.COMBINED):
        return "", ""
    scale = story.limit.scale
    lows, highs = [n for n in story.low if n is not None], [n for n in story.high if n is not None]
    if not lows:
        return "-", "-"
    several = story.limit.judged.more and story.limit.judged.spec
    window = f" ({lasting(several.window_s)})" if several else ""
    return f"{scale.show(min(lows))} {scale.unit}{window}", f"{scale.show(max(highs))} {scale.unit}{window}"


def _alarm_lines(site: Site, past: Past, played: Replay) -> Iterator[str]:
    alarms = sorted((alarm for story in played.stories for alarm in story.alarms), key=lambda alarm: alarm.at_ms)
    if not alarms:
        yield f"alarms: {NOTHING}" if played.empty else "alarms: none would have been raised"
        return
    shown = f", the first {ALARMS_SHOWN} (all with --json)" if len(alarms) > ALARMS_SHOWN else ""
    yield f"alarms ({len(alarms)}){shown}"
    points = {point.id: point for point in site.points}
    for alarm in alarms[:ALARMS_SHOWN]:
        yield printable(f"  {past.clock(alarm.at_ms)}  {alarm.limit}: {alarm.words(points[alarm.point])}")


# -- for programs -------------------------------------------------------------------------------------------------


def as_json(site: Site, past: Past, played: Replay, notes: Sequence[str]) -> dict[str, Any]:
    points = {point.id: point for point in site.points}
    return {
        "from_ms": played.from_ms,
        "to_ms": played.to_ms,
        "read_as": past.read_as,
        "zone": past.zone,
        "readings": len(past.at_ms),
        "rows": past.rows,
        "bad_rows": past.bad,
        "bad": past.said,
        "out_of_order": past.disorder,
        "strangers": list(past.strangers),
        "doubted": played.doubted,
        "nothing_judged": played.empty,
        "notes": list(notes),
        "limits": [_story_json(story, played, points) for story in played.stories],
    }


def _story_json(story: Story, played: Replay, points: Any) -> dict[str, Any]:
    stood = {level.name.lower(): story.stood(level, played.to_ms) for level in LEVELS}
    limit = story.limit
    return {
        "id": limit.id,
        "name": limit.name,
        "judged": story.judged,
        "rule": explain(limit.judged, limit.scale),
        "rule_zh": explain(limit.judged, limit.scale, chinese=True),
        "levels": {
            level: {"times": known.times, "lasted_s": known.lasted_s, "first_ms": known.first_ms}
            for level, known in stood.items()
            if known.times
        },
        "alarms": [_alarm_json(alarm, points) for alarm in story.alarms],
    }


def _alarm_json(alarm: Alarm, points: Any) -> dict[str, Any]:
    return {
        "at_ms": alarm.at_ms,
        "level": alarm.level.name.lower(),
        "change": alarm.change.name.lower(),
        "text": alarm.words(points[alarm.point]),
    }
