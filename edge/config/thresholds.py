"""Levels of a limit: from numbers in the unit to whole steps, and all that can be wrong with them.

A limit that can never be reached is an alarm that never comes, one that is always reached an alarm nobody hears any
more; a check refuses both, and a gateway that ran with one runs on. Rounding to steps changes no verdict: value >=
threshold for a value in whole steps is value >= the threshold rounded up (ABOVE), value <= threshold is value <= it
rounded down (BELOW), and so for the ends of bands and for clear values.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import Any

import msgspec

from edge.config.reader import Reader, Where
from edge.config.words import did_you_mean, show
from edge.contract import MAX_STEPS, Level, Point, Rule
from edge.limit_nouns import bands
from edge.measure_nouns import Spec

LEVELS = {level.name.lower(): level for level in Level if level is not Level.NONE}

Thresholds = tuple[tuple[Level, int], ...]


def named_levels(reader: Reader, where: Where, levels: Mapping[str, Any]) -> list[tuple[Level, Any]]:
    if not levels:
        reader.problem(where, "names no level; at least one of blue, yellow, orange, red is needed")
    for key in levels:
        if key not in LEVELS:
            near = did_you_mean(key, LEVELS)
            hint = f"did you mean `{near}`?" if near else "allowed: blue, yellow, orange, red"
            reader.problem((*where, key), f"no such level; {hint}")
    return [(level, levels[key]) for key, level in LEVELS.items() if key in levels]


def values_of(reader: Reader, where: Where, levels: Mapping[str, Any]) -> list[tuple[Level, Decimal]]:
    values = []
    for level, given in named_levels(reader, where, levels):
        if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
            reader.problem((*where, level.name.lower()), f"found {show(given)}; allowed: a number in the point's unit")
            continue
        values.append((level, msgspec.convert(given, Decimal)))
    return values


def hysteresis_of(reader: Reader, where: Where, hysteresis: Decimal, point: Point) -> int:
    """In whole steps."""
    if not 0 <= hysteresis <= MAX_STEPS * point.step:
        reader.problem((*where, "hysteresis"), f"found {hysteresis}; allowed: 0 or a positive number of {point.unit}")
        return 0
    return _steps(hysteresis, point, ROUND_CEILING)


def thresholds_of(
    reader: Reader, where: Where, rule: Rule, levels: Mapping[str, Any], point: Point | None
) -> Thresholds | None:
    """Of ABOVE or BELOW, in whole steps of what is judged; None when something is wrong, or nobody knows the point."""
    before = len(reader.problems)
    values = values_of(reader, where, levels)
    if point is None:
        return None
    for level, value in values:
        _check_size(reader, (*where, level.name.lower()), value, point)
    if len(reader.problems) > before:
        return None
    rounding = ROUND_CEILING if rule is Rule.ABOVE else ROUND_FLOOR
    return tuple((level, _steps(value, point, rounding)) for level, value in values)


def bands_of(
    reader: Reader,
    where: Where,
    rule: Rule,
    levels: Mapping[str, Any],
    point: Point | None,
    spec: Spec | None = None,
) -> Thresholds | None:
    """Of OUTSIDE or INSIDE: two of each level, low before high."""
    before = len(reader.problems)
    found: list[tuple[Level, int]] = []
    for level, given in named_levels(reader, where, levels):
        key = (*where, level.name.lower())
        ends = [_number(end) for end in given] if isinstance(given, list) else []
        if len(ends) != 2 or ends[0] is None or ends[1] is None:
            reader.problem(key, f"found {show(given)}; allowed: a band [low, high]")
        elif point is not None:
            low, high = ends[0], ends[1]
            _check_size(reader, key, low, point)
            _check_size(reader, key, high, point)
            found += [(level, _steps(low, point, ROUND_CEILING)), (level, _steps(high, point, ROUND_FLOOR))]
            if found[-2][1] >= found[-1][1]:
                reader.problem(key, f"the band from {low} to {high} is not even one step ({point.step}) wide")
    if point is None or len(reader.problems) > before:
        return None
    _check_bands(reader, where, rule, tuple(found), point, spec)
    return tuple(found)


def clear_of(
    reader: Reader, where: Where, rule: Rule, levels: Mapping[str, Any], thresholds: Thresholds, point: Point
) -> Thresholds:
    """Where levels are left: (level, steps)."""
    sign = 1 if rule is Rule.ABOVE else -1
    near = point.minimum if rule is Rule.ABOVE else point.maximum
    raised, found = dict(thresholds), []
    for level, value in values_of(reader, where, levels):
        key = (*where, level.name.lower())
        _check_size(reader, key, value, point)
        steps = _steps(value, point, ROUND_CEILING if rule is Rule.ABOVE else ROUND_FLOOR)
        side = "above" if rule is Rule.ABOVE else "below"
        if level not in raised:
            reader.problem(key, f"there is no {level.name.lower()} in `{rule.name.lower()}` to be left")
        elif (steps - raised[level]) * sign > 0:
            at = point.show(raised[level])
            reader.problem(key, f"found {value}, which is {side} {at} where {level.name.lower()} begins")
        elif near is not None and (steps * point.step - near) * sign <= 0:
            reader.of_no_use(key, f"with {value} the level {level.name.lower()} can never be left again")
        found.append((level, steps))
    return tuple(found)


def _number(given: object) -> Decimal | None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return None
    return msgspec.convert(given, Decimal)


def _steps(value: Decimal, point: Point, rounding: str) -> int:
    return int((value / point.step).to_integral_value(rounding))


def _check_size(reader: Reader, where: Where, value: Decimal, point: Point) -> None:
    if abs(value) > MAX_STEPS * point.step:
        reader.problem(where, f"{value} is beyond all numbers kept for {point.id}")


def _span(point: Point, spec: Spec | None) -> str:
    """What there can be to judge."""
    low, high = point.minimum, point.maximum
    ends = f"up to {high}" if low is None else f"{low} and more" if high is None else f"{low} to {high}"
    less = "" if spec is None or spec.start is None else f" less {spec.start * point.step}"
    return f"{point.id}{less} measures {ends} {point.unit}".rstrip()


def check_total(reader: Reader, where: Where, rule: Rule, thresholds: Thresholds, point: Point) -> None:
    """A total without a `start` begins at 0: a level that is reached there is a number that lost its sign."""
    for level, steps in thresholds:
        if steps <= 0 if rule is Rule.ABOVE else steps >= 0:
            less = "more" if rule is Rule.ABOVE else "less"
            key = (*where, rule.name.lower(), level.name.lower())
            reader.of_no_use(key, f"{point.show(steps)} is reached where the total begins, at 0; write {less} than 0")


def _check_bands(
    reader: Reader, where: Where, rule: Rule, thresholds: Thresholds, point: Point, spec: Spec | None
) -> None:
    pairs = list(zip(thresholds[::2], thresholds[1::2], strict=True))
    wider = "wider" if rule is Rule.OUTSIDE else "narrower"
    for ((low, first), (_, second)), ((high, third), (_, fourth)) in pairwise(pairs):
        outer, inner = (
            ((third, fourth), (first, second)) if rule is Rule.OUTSIDE else ((first, second), (third, fourth))
        )
        if not (outer[0] <= inner[0] and inner[1] <= outer[1] and outer != inner):
            reader.problem(where, f"the band of {high.name.lower()} must be {wider} than that of {low.name.lower()}")
    if point.minimum is None or point.maximum is None:
        return
    for (level, least), (_, most) in pairs:
        start, end, key = least * point.step, most * point.step, (*where, level.name.lower())
        span = _span(point, spec)
        away, whole = end < point.minimum or start > point.maximum, start <= point.minimum and end >= point.maximum
        if whole if rule is Rule.OUTSIDE else away:
            reader.of_no_use(key, f"can never be reached: {span}")
        elif away if rule is Rule.OUTSIDE else whole:
            reader.of_no_use(key, f"is reached by every value: {span}")


def check_band_left(
    reader: Reader, where: Where, rule: Rule, thresholds: Thresholds, hysteresis_steps: int, point: Point
) -> None:
    """Bands with hysteresis: there must be values left at which a level ends."""
    for level, low, high in bands(thresholds):
        if rule is Rule.OUTSIDE:
            stays = low - 1 + hysteresis_steps >= high + 1 - hysteresis_steps
        else:
            stays = (
                point.minimum is not None
                and point.maximum is not None
                and (low - hysteresis_steps) * point.step <= point.minimum
                and (high + hysteresis_steps) * point.step >= point.maximum
            )
        if stays:
            reader.of_no_use(
                (*where, "hysteresis"),
                f"with {point.show(hysteresis_steps)} the level {level.name.lower()} ({point.show(low)} to "
                f"{point.show(high)}) can never be left again; make it smaller",
            )


def check_order(
    reader: Reader,
    where: Where,
    rule: Rule,
    thresholds: Thresholds,
    hysteresis_steps: int,
    point: Point,
    own: Collection[Level],
) -> None:
    """`own`: levels with a clear value of their own."""
    direction, way = (1, "above") if rule is Rule.ABOVE else (-1, "below")
    for (low, first), (high, second) in pairwise(thresholds):
        gap = (second - first) * direction
        if gap <= 0:
            reader.problem(
                (*where, rule.name.lower()),
                f"{high.name.lower()} ({point.show(second)}) must lie {way} {low.name.lower()} ({point.show(first)}) "
                f"by at least one step ({point.step} {point.unit})",
            )
        elif hysteresis_steps > gap and high not in own:
            reader.problem(
                (*where, "hysteresis"),
                f"{point.show(hysteresis_steps)} is more than the {point.show(gap)} {point.unit} between "
                f"{low.name.lower()} and {high.name.lower()}: the alarm could not step down; make it smaller",
            )


def check_reach(
    reader: Reader,
    where: Where,
    rule: Rule,
    thresholds: Thresholds,
    hysteresis_steps: int,
    point: Point,
    own: Collection[Level],
    spec: Spec | None = None,
) -> None:
    """Thresholds against what the instrument can show (range ends, in steps: the ends themselves are reached)."""
    rule_where = (*where, rule.name.lower())
    sign = 1 if rule is Rule.ABOVE else -1
    far, near = (point.maximum, point.minimum) if rule is Rule.ABOVE else (point.minimum, point.maximum)
    span = _span(point, spec)
    for level, steps in thresholds:
        key = (*rule_where, level.name.lower())
        if far is not None and (steps * point.step - far) * sign > 0:
            reader.of_no_use(key, f"{point.show(steps)} can never be reached: {span}")
        elif near is not None and (steps * point.step - near) * sign <= 0:
            reader.of_no_use(key, f"{point.show(steps)} is reached by every value: {span}")
        elif (
            level not in own
            and near is not None
            and ((steps - sign * hysteresis_steps) * point.step - near) * sign <= 0
        ):
            reader.of_no_use(
                (*where, "hysteresis"),
                f"with {point.show(hysteresis_steps)} the level {level.name.lower()} can never be left again: {span}",
            )
