"""Limits: which rule there is, what it judges, its levels; from a table of the site file to a limit of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from edge.config.doubted import check_sides
from edge.config.measured import DEFAULTS, KEYS, Scale, read_scale, read_window, with_window
from edge.config.points import DAY_MS, MIN_EVERY_MS
from edge.config.reader import Reader, Where
from edge.config.site import Limit
from edge.config.tables import LimitTable
from edge.config.thresholds import (
    LEVELS,
    Thresholds,
    bands_of,
    check_band_left,
    check_order,
    check_reach,
    check_total,
    clear_of,
    hysteresis_of,
    named_levels,
    thresholds_of,
)
from edge.config.units import show_ms
from edge.contract import Of, Point, Rule
from edge.limit_nouns import Limit as Judged
from edge.limit_nouns import Part, scale_of
from edge.measure_nouns import Spec

MAX_HOLD_MS = 86_400_000  # a condition that must last longer than a day is a trend, not an alarm
MAX_STALE_MS = 30 * 86_400_000  # a month: rounding error of nobody's intention
STALE_UNIT_MS = 1000  # Alarm.threshold of STALE is in whole seconds
RULES: Mapping[Rule, str] = {rule: rule.name.lower() for rule in Rule if rule not in (Rule.COMBINED, Rule.REMOVED)}
SILENT = (Rule.STALE, Rule.SUSPECT)
BANDS = (Rule.OUTSIDE, Rule.INSIDE)
MEANINGLESS = {  # keys that a limit about silence does not have -> what it says when they are left out
    **dict.fromkeys(("clear", *KEYS)),
    **DEFAULTS,
    "of": "value",
}


class _Times(NamedTuple):
    hold_ms: int
    clear_hold_ms: int
    while_raised_ms: int | None


def read_limit(reader: Reader, where: Where, table: LimitTable, points: Mapping[str, Point]) -> Limit | None:
    """The limit, or None after its problems were noted. `points`: those that are themselves right."""
    before = len(reader.problems)
    if table.point is None:
        reader.problem(where, 'the key `point` is missing: a text in "quotes", the id of what is judged')
    point = points.get(table.point or "")
    times = _times(reader, where, table, point)
    written = {rule: getattr(table, key) for rule, key in RULES.items()}
    given = {rule: levels for rule, levels in written.items() if levels is not None}
    if len(given) != 1:
        names = ", ".join(f"`{RULES[rule]}`" for rule in given) or "none"
        allowed = ", ".join(f"`{key}`" for key in RULES.values())
        reader.problem(where, f"exactly one of {allowed} is allowed; found {names}")
        return None
    [(rule, levels)] = given.items()
    judge = _silent if rule in SILENT else _by_value
    found = judge(reader, where, rule, levels, table, points)
    if len(reader.problems) > before or point is None or times is None or found is None:
        return None
    parts, hysteresis, scale = found
    first = parts[0]
    hold_s, clear_hold_s = times.hold_ms / 1000, times.clear_hold_ms / 1000
    judged = Judged(
        *(table.id, point.id, rule, first.thresholds, hysteresis, hold_s, clear_hold_s, first.clear, first.spec),
        more=tuple(parts[1:]),
        every_s=point.every_ms / 1000,
        counts=tuple((one.id, scale_of(one)) for one in [point, *_other(first.spec, points)]),
    )
    return Limit(
        id=table.id,
        name=table.name,
        point=point.id,
        rule=rule,
        thresholds=first.thresholds,
        hysteresis_steps=hysteresis,
        hold_s=hold_s,
        clear_hold_s=clear_hold_s,
        judged=judged,
        scale=scale,
        while_raised_ms=times.while_raised_ms,
    )


def _other(spec: Spec | None, points: Mapping[str, Point]) -> list[Point]:
    return [points[spec.other]] if spec is not None and spec.other else []


Found = tuple[list[Part], int, Point]


def _times(reader: Reader, where: Where, table: LimitTable, point: Point | None) -> _Times | None:
    hold_ms = reader.duration_ms((*where, "hold"), table.hold, 0, MAX_HOLD_MS)
    clear_hold_ms = reader.duration_ms((*where, "clear_hold"), table.clear_hold, 0, MAX_HOLD_MS)
    faster_ms = None
    if table.while_raised is not None:
        key = (*where, "while_raised")
        faster_ms = reader.duration_ms(key, table.while_raised, MIN_EVERY_MS, DAY_MS)
        if faster_ms is not None and point is not None and (faster_ms >= point.every_ms or point.every_ms % faster_ms):
            every = show_ms(point.every_ms)
            reader.problem(key, f"found “{table.while_raised}”; {point.id} is read every {every}: write a part of that")
        if table.of == "sum" and not table.counter:
            reader.problem(key, "amounts read more often would be counted more often; this needs counter = true")
    if hold_ms is None or clear_hold_ms is None:
        return None
    return _Times(hold_ms, clear_hold_ms, faster_ms)


def _silent(
    reader: Reader, where: Where, rule: Rule, levels: Mapping[str, Any], table: LimitTable, points: Mapping[str, Point]
) -> Found | None:
    """Thresholds in seconds; there is no hysteresis."""
    name, point = RULES[rule], points.get(table.point or "")
    if table.hysteresis:
        reader.problem((*where, "hysteresis"), f"has no meaning for `{name}`; leave it out")
    for key, default in MEANINGLESS.items():
        if getattr(table, key) != default:
            reader.problem((*where, key), f"has no meaning for `{name}`; leave it out")
    found = _seconds(reader, (*where, name), rule, levels, point)
    return None if point is None else ([Part(None, found)], 0, point)


def _seconds(reader: Reader, where: Where, rule: Rule, levels: Mapping[str, Any], point: Point | None) -> Thresholds:
    found = []
    for level, given in named_levels(reader, where, levels):
        key = (*where, level.name.lower())
        amount_ms = reader.duration_ms(key, given, STALE_UNIT_MS, MAX_STALE_MS)
        if amount_ms is None:
            continue
        if amount_ms % STALE_UNIT_MS:
            reader.problem(key, f"found “{given}”; whole seconds only")
        elif rule is Rule.STALE and point is not None and amount_ms <= point.every_ms:
            every = show_ms(point.every_ms)
            reader.problem(key, f"found “{given}”, but {point.id} is read every {every}: the alarm would never rest")
        else:
            found.append((level, amount_ms // STALE_UNIT_MS))
    for (low, early), (high, late) in pairwise(found):
        if late <= early:
            reader.problem(where, f"{high.name.lower()} must be longer than {low.name.lower()} ({late} s <= {early} s)")
    return tuple(found)


def _by_value(
    reader: Reader, where: Where, rule: Rule, levels: Mapping[str, Any], table: LimitTable, points: Mapping[str, Point]
) -> Found | None:
    """One part, or one for each window; thresholds and hysteresis in whole steps of what is judged."""
    before = len(reader.problems)
    windows = any(isinstance(given, dict) for given in levels.values())
    scale = read_scale(reader, where, table, points, windows)
    shown = scale.point if scale else None
    hysteresis = hysteresis_of(reader, where, table.hysteresis, shown) if shown else 0
    if table.clear is not None and (windows or rule in BANDS):
        reader.problem((*where, "clear"), "belongs to `above` or `below` with one number for each level")
    rule_where = (*where, RULES[rule])
    if rule in BANDS:
        parts = [(scale, bands_of(reader, rule_where, rule, levels, shown, scale.spec if scale else None))]
    elif windows:
        parts = _windowed(reader, rule_where, rule, levels, scale)
    else:
        parts = [(scale, thresholds_of(reader, rule_where, rule, levels, shown))]
    if len(reader.problems) > before or scale is None:
        return None
    made = []
    for judged, thresholds in parts:
        if judged is not None and thresholds is not None:
            made.append(_part(reader, where, rule, table, judged, thresholds, hysteresis))
    check_sides(reader, where, rule, scale, made)
    return made, hysteresis, scale.point


def _part(
    reader: Reader,
    where: Where,
    rule: Rule,
    table: LimitTable,
    scale: Scale,
    thresholds: Thresholds,
    hysteresis: int,
) -> Part:
    if rule in BANDS:
        check_band_left(reader, where, rule, thresholds, hysteresis, scale.point)
        return Part(scale.spec, thresholds)
    clear: Thresholds = ()
    if table.clear is not None:
        clear = clear_of(reader, (*where, "clear"), rule, table.clear, thresholds, scale.point)
    own = [level for level, _ in clear]
    check_order(reader, where, rule, thresholds, hysteresis, scale.point, own)
    check_reach(reader, where, rule, thresholds, hysteresis, scale.point, own, scale.spec)
    if scale.spec is not None and scale.spec.of is Of.TOTAL and scale.spec.start is None:
        check_total(reader, where, rule, thresholds, scale.point)
    return Part(scale.spec, thresholds, clear)


def _windowed(
    reader: Reader, where: Where, rule: Rule, levels: Mapping[str, Any], scale: Scale | None
) -> list[tuple[Scale | None, Thresholds | None]]:
    """`{ blue = { 12h = 50 }, yellow = { 6h = 50 } }` by window, the shortest first."""
    by_window: dict[str, dict[str, Any]] = {}
    for level, table in levels.items():
        if level in LEVELS and not isinstance(table, dict):
            reader.problem((*where, level), "found a number; here each level has windows: { 24h = 50 }")
            continue
        for window, number in table.items() if isinstance(table, dict) else ():
            by_window.setdefault(window, {})[level] = number
    if not all(level in LEVELS for level in levels) or not by_window:
        named_levels(reader, where, levels if by_window else {})
        return []
    found: list[tuple[int, Scale | None, Thresholds | None]] = []
    for window, numbers in by_window.items():
        windowed, window_s = scale, 0
        if scale is not None and scale.spec is not None:
            window_s = read_window(reader, (*where, window), window, scale) or 0
            windowed = with_window(scale, window_s)
        point = windowed.point if windowed else None
        found.append((window_s, windowed, thresholds_of(reader, (*where, window), rule, numbers, point)))
    if len({window_s for window_s, *_ in found}) < len(found) and scale is not None:
        reader.problem(where, "the same window is written in two ways")
    return [(windowed, numbers) for _, windowed, numbers in sorted(found, key=lambda item: item[0])]


def sums_amounts(limit: Judged) -> bool:
    """Whether each reading is added as it comes."""
    return any(part.spec is not None and part.spec.of is Of.SUM and not part.spec.counter for part in limit.parts)
