"""What a limit judges of its point: from `of`, `window` and their like to a measure, and all that can be wrong.

A measure has a unit and a step of its own; as a `Point` of that unit and step it is judged like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from edge.config.reader import Reader, Where
from edge.config.tables import LimitTable
from edge.config.units import show_ms
from edge.contract import MAX_STEPS, Of, Point
from edge.measure_nouns import Spec

MAX_WINDOW_MS = 60 * 86_400_000  # two months of a slope's creep
LEAST_READINGS = 6  # in the window of a rate: from fewer, its medians are no medians
MIN_PER_MS, MAX_PER_MS = 1000, 365 * 86_400_000
ANGLE_STEP, HOURS_STEP, RATIO_STEP = Decimal("0.1"), Decimal("0.1"), Decimal("0.001")
FINER = 100  # a rate is told in hundredths of the point's step, a mean in tenths
NEEDED = {
    Of.RATE: ("window",),
    Of.SUM: ("window",),
    Of.MEAN: ("window",),
    Of.DIFFERENCE: ("minus",),
    Of.RATIO: ("to",),
    Of.TANGENT_ANGLE: ("window", "uniform"),
    Of.TIME_TO_FAILURE: ("window",),
}
ALLOWED = {
    Of.RATE: ("per",),
    Of.SUM: ("counter",),
    Of.TOTAL: ("start",),
    Of.TANGENT_ANGLE: ("per", "noise"),
    Of.TIME_TO_FAILURE: ("noise",),
}
KEYS = ("window", "per", "counter", "start", "minus", "to", "uniform", "noise")
MEDIANS = (Of.RATE, Of.TANGENT_ANGLE, Of.TIME_TO_FAILURE)
DEFAULTS = {"per": "1h", "counter": False}


class Scale(NamedTuple):
    """What is judged, as a point of its own unit and step; the spec lacks its window where each level has its own."""

    point: Point
    spec: Spec | None


def read_scale(
    reader: Reader, where: Where, table: LimitTable, points: Mapping[str, Point], windows: bool
) -> Scale | None:
    """What is judged; None after problems were noted. `windows`: each level has windows of its own."""
    before = len(reader.problems)
    of = Of[table.of.upper()]
    _check_keys(reader, where, table, of, windows)
    point = points.get(table.point or "")
    if table.minus is not None:
        reader.reference((*where, "minus"), "point", table.minus, points)
    per_ms = reader.duration_ms((*where, "per"), table.per, MIN_PER_MS, MAX_PER_MS)
    if len(reader.problems) > before or point is None or per_ms is None:
        return None
    if of is Of.VALUE:
        return Scale(point, None)
    made = _make(reader, where, table, of, point, points, per_ms)
    if made is None or made.spec is None:
        return None
    made = made._replace(spec=replace(made.spec, value_step=point.step, value_unit=point.unit))
    if table.window is None:
        return made
    window_s = read_window(reader, (*where, "window"), table.window, made)
    return None if window_s is None else with_window(made, window_s)


def with_window(scale: Scale, window_s: int) -> Scale:
    assert scale.spec is not None
    return Scale(scale.point, replace(scale.spec, window_s=window_s))


def read_window(reader: Reader, where: Where, text: object, scale: Scale) -> int | None:
    """A window in whole seconds; it must hold readings enough."""
    assert scale.spec is not None
    every_ms = round(scale.spec.every_s * 1000)
    needs = LEAST_READINGS if scale.spec.of in MEDIANS else 1
    amount_ms = reader.duration_ms(where, text, 1000, MAX_WINDOW_MS)
    if amount_ms is None:
        return None
    if amount_ms % 1000:
        reader.problem(where, f"found “{text}”; whole seconds only")
        return None
    if amount_ms < needs * every_ms:
        least = show_ms(needs * every_ms)
        reader.problem(where, f"found “{text}”, but the point is read every {show_ms(every_ms)}: at least {least}")
        return None
    return amount_ms // 1000


def _check_keys(reader: Reader, where: Where, table: LimitTable, of: Of, windows: bool) -> None:
    needed = NEEDED.get(of, ())
    for key in KEYS:
        given = getattr(table, key) != DEFAULTS.get(key)
        if key == "window" and windows:
            if given:
                reader.problem((*where, key), "each level has windows of its own; leave one of the two out")
            elif "window" not in needed:
                reader.problem(where, f"a {table.of} has no window: write a number for each level")
        elif key in needed and not given:
            reader.problem(where, f"the key `{key}` is missing: of = “{table.of}” needs it")
        elif given and key not in needed and key not in ALLOWED.get(of, ()):
            reader.problem((*where, key), f"has no meaning for of = “{table.of}”; leave it out")


def _make(
    reader: Reader, where: Where, table: LimitTable, of: Of, point: Point, points: Mapping[str, Point], per_ms: int
) -> Scale | None:
    every_s = point.every_ms / 1000
    per = show_ms(per_ms)
    per = per[1:] if per.startswith("1") and not per[1:2].isdigit() else per
    if of is Of.RATE:
        step = point.step / FINER
        spec = Spec(of, every_s, f"{point.unit}/{per}", step, factor=per_ms / 1000 * FINER)
        return Scale(_as_point(point, spec, None, None), spec)
    if of is Of.SUM:
        least = Decimal(0) if table.counter or (point.minimum is not None and point.minimum >= 0) else None
        spec = Spec(of, every_s, point.unit, point.step, counter=table.counter)
        return Scale(_as_point(point, spec, least, None), spec)
    if of is Of.MEAN:
        spec = Spec(of, every_s, point.unit, point.step / 10, factor=10)
        return Scale(_as_point(point, spec, point.minimum, point.maximum), spec)
    if of is Of.TOTAL:
        if table.start is not None and abs(table.start) > MAX_STEPS * point.step:
            reader.problem((*where, "start"), f"{table.start} is beyond all numbers kept for {point.id}")
            return None
        start = None if table.start is None else round(table.start / point.step)
        spec = Spec(of, every_s, point.unit, point.step, start=start)
        ends = (point.minimum, point.maximum) if start is not None else (None, None)
        low, high = (None if end is None else end - (start or 0) * point.step for end in ends)
        return Scale(_as_point(point, spec, low, high), spec)
    if of is Of.DIFFERENCE:
        return _difference(reader, where, point, points[table.minus or ""])
    if of is Of.RATIO:
        return _ratio(reader, where, table, point)
    return _creep(reader, where, table, of, point, per_ms)


def _as_point(point: Point, spec: Spec, minimum: Decimal | None, maximum: Decimal | None) -> Point:
    return replace(point, unit=spec.unit, step=spec.step, minimum=minimum, maximum=maximum, doubt=None)


def _difference(reader: Reader, where: Where, point: Point, other: Point) -> Scale | None:
    if point.id == other.id or point.unit != other.unit:
        what = "is the point itself" if point.id == other.id else f"is in {other.unit}, {point.id} in {point.unit}"
        reader.problem((*where, "minus"), f"{other.id} {what}: nothing to take away")
        return None
    step = min(point.step, other.step)
    factors = float(point.step / step), float(other.step / step)
    spec = Spec(
        *(Of.DIFFERENCE, point.every_ms / 1000, point.unit, step, 0, factors[0]),
        other=other.id,
        other_factor=factors[1],
        other_every_s=other.every_ms / 1000,
    )
    ends = (point.minimum, point.maximum, other.minimum, other.maximum)
    if None in ends:
        return Scale(_as_point(point, spec, None, None), spec)
    low, high, other_low, other_high = (end or Decimal(0) for end in ends)
    return Scale(_as_point(point, spec, low - other_high, high - other_low), spec)


def _ratio(reader: Reader, where: Where, table: LimitTable, point: Point) -> Scale | None:
    to = table.to or Decimal(0)
    if to <= 0:
        reader.problem((*where, "to"), f"found {to}; allowed: a positive number of {point.unit}")
        return None
    spec = Spec(Of.RATIO, point.every_ms / 1000, "", RATIO_STEP, factor=float(point.step / to / RATIO_STEP))
    ends = (None if end is None else end / to for end in (point.minimum, point.maximum))
    return Scale(_as_point(point, spec, *ends), spec)


def _creep(reader: Reader, where: Where, table: LimitTable, of: Of, point: Point, per_ms: int) -> Scale | None:
    noise = table.noise or Decimal(0)
    if noise < 0 or table.uniform == 0:
        key, allowed = ("noise", "0 or a positive number") if noise < 0 else ("uniform", "a velocity, not 0")
        reader.problem((*where, key), f"found {getattr(table, key)}; allowed: {allowed}")
        return None
    steps = float(noise / point.step)
    every_s = point.every_ms / 1000
    if of is Of.TIME_TO_FAILURE:
        spec = Spec(of, every_s, "h", HOURS_STEP, factor=float(1 / (3600 * HOURS_STEP)), noise=steps)
        return Scale(_as_point(point, spec, Decimal(0), Decimal(10_000)), spec)
    uniform = float((table.uniform or Decimal(1)) / point.step) / (per_ms / 1000)
    spec = Spec(of, every_s, "deg", ANGLE_STEP, factor=float(1 / ANGLE_STEP), noise=steps, uniform=uniform)
    return Scale(_as_point(point, spec, Decimal(-90), Decimal(90)), spec)
