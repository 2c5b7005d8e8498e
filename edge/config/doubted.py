"""What does not go together: doubts that hide what a limit is to see, sides of a measure that mean nothing.

A reading that a limit calls dangerous must not be one that the same site file calls wrong; and a level that stands
from the first reading, or never by itself, is an alarm that nobody hears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import radians, tan

from edge.config.measured import Scale
from edge.config.reader import Reader, Where
from edge.config.site import Limit
from edge.config.units import show_ms
from edge.contract import Level, Of, Point, Rule
from edge.limit_nouns import Limit as Judged
from edge.limit_nouns import Part

HOUR_S = 3600.0


def check_doubts(reader: Reader, points: Mapping[str, tuple[Where, Point]], limits: Sequence[Limit]) -> None:
    """Complains at the point of each doubt that a limit of the point can not live with."""
    for limit in limits:
        found = points.get(limit.point)
        if found is None:
            continue
        where, point = found
        if point.doubt is not None:
            _fast(reader, where, point, limit.judged)
            if point.doubt.stuck_s is not None and limit.hold_s >= point.doubt.stuck_s:
                hold = show_ms(round(limit.hold_s * 1000))
                reader.problem(
                    (*where, "stuck"),
                    f"must be longer than {hold}, the `hold` of limit “{limit.id}”: a value that stands still beyond "
                    "its threshold would be doubted before it is an alarm",
                )
        for part in limit.judged.parts:
            other = points.get(part.spec.other) if part.spec and part.spec.other else None
            if other is not None:
                _apart(reader, found, other, limit.id, part)


def _fast(reader: Reader, where: Where, point: Point, limit: Judged) -> None:
    doubt, every_s = point.doubt, point.every_ms / 1000
    needs = [(speed, level) for part in limit.parts for speed, level in _speeds(limit.rule, part)]
    if doubt is None or not needs:
        return
    speed, level = max(needs)
    for key, given, needed, over in (
        ("rate_max", doubt.rate_max, speed * HOUR_S, "an hour"),
        ("spike", doubt.spike, speed * every_s, f"in {show_ms(point.every_ms)}, from one reading to the next"),
    ):
        if given is not None and given < needed:
            reader.problem(
                (*where, key),
                f"found {point.show(given)}, but limit “{limit.id}” is {level.name.lower()} at "
                f"{needed * float(point.step):.3g} {point.unit} {over}: what it is to see would be doubted; "
                "write a larger number or leave it out",
            )


def _speeds(rule: Rule, part: Part) -> list[tuple[float, Level]]:
    """How fast, in steps of the point a second, a value moves that reaches the levels."""
    spec = part.spec
    if spec is None or rule is Rule.INSIDE:
        return []
    numbers = [(abs(threshold), level) for level, threshold in part.thresholds]
    if spec.of is Of.RATE:
        return [(number / spec.factor, level) for number, level in numbers]
    if spec.of is Of.SUM and spec.counter and spec.window_s:
        return [(number / spec.window_s, level) for number, level in numbers]
    if spec.of is Of.TANGENT_ANGLE:
        angles = [(number / spec.factor, level) for number, level in numbers]
        return [(tan(radians(angle)) * abs(spec.uniform), level) for angle, level in angles if angle < 90]
    return []


def _apart(reader: Reader, one: tuple[Where, Point], other: tuple[Where, Point], limit: str, part: Part) -> None:
    """Twins that differ are both doubted: a limit on their difference never sees more."""
    if part.spec is None:
        return
    most = max(abs(threshold) for _, threshold in part.thresholds) * part.spec.step
    for (where, point), twin in ((one, other[1]), (other, one[1])):
        if point.doubt is not None and point.doubt.twin == twin.id and point.doubt.twin_differs < most:
            reader.problem(
                (*where, "twin_differs"),
                f"found {_plain(point.doubt.twin_differs)}, but limit “{limit}” judges their difference up to "
                f"{_plain(most)} {point.unit}: both would be doubted before; write at least that",
            )


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def check_sides(reader: Reader, where: Where, rule: Rule, scale: Scale, parts: Sequence[Part]) -> None:
    """Levels of a measure that are reached by all, or hide each other."""
    spec = scale.spec
    if spec is None:
        return
    if spec.of is Of.SUM and (rule is Rule.BELOW or (rule is Rule.OUTSIDE and _low(parts) > 0)):
        reader.problem(
            (*where, rule.name.lower()),
            "a sum begins at nothing and would be too low at the first reading; judge the mean, or the value",
        )
    if spec.of is Of.TIME_TO_FAILURE and rule is Rule.ABOVE:
        reader.problem((*where, "above"), "the hours until a failure are dangerous when few are left: write `below`")
    if spec.of is not Of.SUM or rule is not Rule.ABOVE or scale.point.minimum is None:
        return
    rows = [(part.spec.window_s, level, at) for part in parts if part.spec for level, at in part.thresholds]
    for window_s, level, at in rows:
        for longer_s, higher, least in rows:
            if longer_s > window_s and higher > level and least <= at:
                reader.problem(
                    (*where, "above"),
                    f"{higher.name.lower()} at {scale.point.show(least)} in {show_ms(longer_s * 1000)} is reached "
                    f"before {level.name.lower()} at {scale.point.show(at)} in {show_ms(window_s * 1000)}; the longer "
                    "window of a higher level needs the larger number",
                )


def _low(parts: Sequence[Part]) -> int:
    return max(low for part in parts for _, low in part.thresholds[::2])
