"""Limits: from thresholds in the point's unit to whole steps, and all that can be wrong with them.

A limit that can never be reached is an alarm that never comes, one that is always reached an alarm nobody hears any
more; both are refused here. Rounding to steps changes no verdict: value >= threshold for a value in whole steps is
value >= the threshold rounded up (ABOVE), value <= threshold is value <= it rounded down (BELOW).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import Any

import msgspec

from edge.config.reader import Reader, Where
from edge.config.site import Limit
from edge.config.tables import LimitTable
from edge.config.units import show_ms
from edge.config.words import did_you_mean, show
from edge.contract import MAX_STEPS, Level, Point, Rule

LEVELS = {level.name.lower(): level for level in Level if level is not Level.NONE}
MAX_HOLD_MS = 86_400_000  # a condition that must last longer than a day is a trend, not an alarm
MAX_STALE_MS = 30 * 86_400_000  # a month: rounding error of nobody's intention
STALE_UNIT_MS = 1000  # Alarm.threshold of STALE is in whole seconds

Thresholds = tuple[tuple[Level, int], ...]


def read_limit(reader: Reader, where: Where, table: LimitTable, points: Mapping[str, Point]) -> Limit | None:
    """The limit, or None after its problems were noted. `points`: those that are themselves right."""
    before = len(reader.problems)
    hold_ms = reader.duration_ms((*where, "hold"), table.hold, 0, MAX_HOLD_MS)
    clear_hold_ms = reader.duration_ms((*where, "clear_hold"), table.clear_hold, 0, MAX_HOLD_MS)
    written = {Rule.ABOVE: table.above, Rule.BELOW: table.below, Rule.STALE: table.stale}
    given = {rule: levels for rule, levels in written.items() if levels is not None}
    if len(given) != 1:
        names = ", ".join(f"`{rule.name.lower()}`" for rule in given) or "none"
        reader.problem(where, f"exactly one of `above`, `below`, `stale` is allowed; found {names}")
        return None
    [(rule, levels)] = given.items()
    point = points.get(table.point)
    judge = _stale if rule is Rule.STALE else _by_value
    thresholds, hysteresis_steps = judge(reader, where, rule, levels, table.hysteresis, point)
    if len(reader.problems) > before or point is None or hold_ms is None or clear_hold_ms is None:
        return None
    return Limit(
        id=table.id,
        name=table.name,
        point=table.point,
        rule=rule,
        thresholds=thresholds,
        hysteresis_steps=hysteresis_steps,
        hold_s=hold_ms / 1000,
        clear_hold_s=clear_hold_ms / 1000,
    )


def _named_levels(reader: Reader, where: Where, levels: Mapping[str, Any]) -> list[tuple[Level, Any]]:
    if not levels:
        reader.problem(where, "names no level; at least one of blue, yellow, orange, red is needed")
    for key in levels:
        if key not in LEVELS:
            near = did_you_mean(key, LEVELS)
            hint = f"did you mean `{near}`?" if near else "allowed: blue, yellow, orange, red"
            reader.problem((*where, key), f"no such level; {hint}")
    return [(level, levels[key]) for key, level in LEVELS.items() if key in levels]


def _values(reader: Reader, where: Where, levels: Mapping[str, Any]) -> list[tuple[Level, Decimal]]:
    values = []
    for level, given in _named_levels(reader, where, levels):
        if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
            reader.problem((*where, level.name.lower()), f"found {show(given)}; allowed: a number in the point's unit")
            continue
        values.append((level, msgspec.convert(given, Decimal)))
    return values


def _stale(
    reader: Reader, where: Where, rule: Rule, levels: Mapping[str, Any], hysteresis: Decimal, point: Point | None
) -> tuple[Thresholds, int]:
    """Thresholds in seconds; there is no hysteresis."""
    if hysteresis:
        reader.problem((*where, "hysteresis"), "has no meaning for `stale`; leave it out")
    found = []
    where = (*where, rule.name.lower())
    for level, given in _named_levels(reader, where, levels):
        key = (*where, level.name.lower())
        amount_ms = reader.duration_ms(key, given, STALE_UNIT_MS, MAX_STALE_MS)
        if amount_ms is None:
            continue
        if amount_ms % STALE_UNIT_MS:
            reader.problem(key, f"found “{given}”; whole seconds only")
        elif point is not None and amount_ms <= point.every_ms:
            every = show_ms(point.every_ms)
            reader.problem(key, f"found “{given}”, but {point.id} is read every {every}: the alarm would never rest")
        else:
            found.append((level, amount_ms // STALE_UNIT_MS))
    for (low, early), (high, late) in pairwise(found):
        if late <= early:
            reader.problem(where, f"{high.name.lower()} must be longer than {low.name.lower()} ({late} s <= {early} s)")
    return tuple(found), 0


def _by_value(
    reader: Reader, where: Where, rule: Rule, levels: Mapping[str, Any], hysteresis: Decimal, point: Point | None
) -> tuple[Thresholds, int]:
    """Thresholds and hysteresis in whole steps; none when the point itself is wrong."""
    before = len(reader.problems)
    values = _values(reader, (*where, rule.name.lower()), levels)
    if point is None:
        return (), 0
    most = MAX_STEPS * point.step
    for level, value in values:
        if abs(value) > most:
            key = (*where, rule.name.lower(), level.name.lower())
            reader.problem(key, f"{value} is beyond all numbers kept for {point.id}")
    if not 0 <= hysteresis <= most:
        reader.problem((*where, "hysteresis"), f"found {hysteresis}; allowed: 0 or a positive number of {point.unit}")
    if len(reader.problems) > before:
        return (), 0
    rounding = ROUND_CEILING if rule is Rule.ABOVE else ROUND_FLOOR
    thresholds = tuple((level, int((value / point.step).to_integral_value(rounding))) for level, value in values)
    hysteresis_steps = int((hysteresis / point.step).to_integral_value(ROUND_CEILING))
    _check_order(reader, where, rule, thresholds, hysteresis_steps, point)
    _check_reach(reader, where, rule, thresholds, hysteresis_steps, point)
    return thresholds, hysteresis_steps


def _check_order(
    reader: Reader, where: Where, rule: Rule, thresholds: Thresholds, hysteresis_steps: int, point: Point
) -> None:
    direction, way = (1, "above") if rule is Rule.ABOVE else (-1, "below")
    for (low, first), (high, second) in pairwise(thresholds):
        gap = (second - first) * direction
        if gap <= 0:
            reader.problem(
                (*where, rule.name.lower()),
                f"{high.name.lower()} ({point.show(second)}) must lie {way} {low.name.lower()} ({point.show(first)}) "
                f"by at least one step ({point.step} {point.unit})",
            )
        elif hysteresis_steps > gap:
            reader.problem(
                (*where, "hysteresis"),
                f"{point.show(hysteresis_steps)} is more than the {point.show(gap)} {point.unit} between "
                f"{low.name.lower()} and {high.name.lower()}: the alarm could not step down; make it smaller",
            )


def _check_reach(
    reader: Reader, where: Where, rule: Rule, thresholds: Thresholds, hysteresis_steps: int, point: Point
) -> None:
    """Thresholds against what the instrument can show (range ends, in steps: the ends themselves are reached)."""
    rule_where = (*where, rule.name.lower())
    sign = 1 if rule is Rule.ABOVE else -1
    far, near = (point.maximum, point.minimum) if rule is Rule.ABOVE else (point.minimum, point.maximum)
    span = f"{point.id} measures {point.minimum} to {point.maximum} {point.unit}"
    for level, steps in thresholds:
        key = (*rule_where, level.name.lower())
        if far is not None and (steps * point.step - far) * sign > 0:
            reader.problem(key, f"{point.show(steps)} can never be reached: {span}")
        elif near is not None and (steps * point.step - near) * sign <= 0:
            reader.problem(key, f"{point.show(steps)} is reached by every value: {span}")
        elif near is not None and ((steps - sign * hysteresis_steps) * point.step - near) * sign <= 0:
            reader.problem(
                (*where, "hysteresis"),
                f"with {point.show(hysteresis_steps)} the level {level.name.lower()} can never be left again: {span}",
            )
