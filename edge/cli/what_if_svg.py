"""What `fengsui what-if` found, as one SVG file: each rule's number with its thresholds, and its levels below. Pure.

No library and no script in it: any browser, and any printer, shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape

from edge.contract import Level, Rule
from edge.limit_words import explain, lasting
from edge.replay import Replay, Story

COLUMNS = 900  # of time, one pixel each
LEFT, TOP, RIGHT = 70, 54, 20
PANEL, BAND, GAP = 90, 12, 46  # heights of a curve, of the levels below it, and up to the next one
FILLS: Mapping[Level, str] = {
    Level.BLUE: "#3b7dd8",
    Level.YELLOW: "#e6c229",
    Level.ORANGE: "#ee7b22",
    Level.RED: "#c8201d",
}
WITHOUT_CURVE = (Rule.STALE, Rule.SUSPECT, Rule.COMBINED)


def drawing(played: Replay, title: str, clock: Callable[[int | None], str]) -> str:
    """The whole file. `clock`: a time as people read it."""
    stories = [story for story in played.stories if story.judged]
    parts: list[str] = []
    y = TOP
    for story in stories:
        parts += _story(story, played, y)
        y += _height(story)
    size = f'width="{LEFT + COLUMNS + RIGHT}" height="{y + 10}"'
    ends = f"{clock(played.from_ms)} to {clock(played.to_ms)}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
            f'<text x="{LEFT}" y="36" fill="#555555">{ends}</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _has_curve(story: Story) -> bool:
    return story.limit.rule not in WITHOUT_CURVE and any(number is not None for number in story.low)


def _height(story: Story) -> int:
    return GAP + BAND + (PANEL if _has_curve(story) else 0)


def _story(story: Story, played: Replay, y: int) -> Iterator[str]:
    limit = story.limit
    yield f'<text x="{LEFT}" y="{y + 10}" font-weight="bold">{escape(f"{limit.id} {limit.name}")}</text>'
    spec = limit.judged.spec
    drawn = f" Drawn: {lasting(spec.window_s)}." if spec and limit.judged.more else ""
    said = escape(explain(limit.judged, limit.scale) + drawn)
    yield f'<text x="{LEFT}" y="{y + 24}" fill="#555555">{said}</text>'
    top = y + 30
    if _has_curve(story):
        yield from _curve(story, top)
        top += PANEL
    yield f'<rect x="{LEFT}" y="{top}" width="{COLUMNS}" height="{BAND}" fill="#eeeeee"/>'
    yield from _band(story.highest(COLUMNS, played.from_ms, played.to_ms), top)


def _band(levels: list[Level], y: int) -> Iterator[str]:
    start = 0
    for column in range(1, COLUMNS + 1):
        if column < COLUMNS and levels[column] is levels[start]:
            continue
        if levels[start] is not Level.NONE:
            fill, wide = FILLS[levels[start]], column - start
            yield f'<rect x="{LEFT + start}" y="{y}" width="{wide}" height="{BAND}" fill="{fill}"/>'
        start = column


def _curve(story: Story, y: int) -> Iterator[str]:
    """What was judged, from the least to the greatest number of each column, and where the levels begin."""
    scale, thresholds = story.limit.scale, story.limit.thresholds
    lows, highs = [n for n in story.low if n is not None], [n for n in story.high if n is not None]
    least = min(*lows, *(at for _, at in thresholds), lows[0])
    most = max(*highs, *(at for _, at in thresholds), highs[0])

    def down(number: int) -> float:
        return round(y + PANEL - 4 - (number - least) / max(1, most - least) * (PANEL - 8), 1)

    yield f'<rect x="{LEFT}" y="{y}" width="{COLUMNS}" height="{PANEL}" fill="none" stroke="#cccccc"/>'
    for number, place in ((most, y + 10), (least, y + PANEL - 2)):
        yield f'<text x="{LEFT - 6}" y="{place}" text-anchor="end" font-size="10">{scale.show(number)}</text>'
    for level, at in thresholds:
        line = f'x1="{LEFT}" x2="{LEFT + COLUMNS}" y1="{down(at)}" y2="{down(at)}"'
        yield f'<line {line} stroke="{FILLS[level]}" stroke-dasharray="4 3"/>'
    strokes = [
        f"M{LEFT + column}.5 {down(high) - 0.5}V{down(low) + 0.5}"
        for column, (low, high) in enumerate(zip(story.low, story.high, strict=True))
        if low is not None and high is not None
    ]
    yield f'<path d="{"".join(strokes)}" stroke="#222222" fill="none"/>'
