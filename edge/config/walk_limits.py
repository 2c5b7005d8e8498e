"""The limits of a site file: each by itself, then those about others, then what must fit between limits and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edge.config.combined import is_combined, members_of, read_combined
from edge.config.doubted import check_doubts
from edge.config.judge import read_limit, sums_amounts
from edge.config.points import check_distinct
from edge.config.reader import Reader, Table, Where
from edge.config.site import Limit
from edge.contract import Point

COMBINED_MOST = 1000  # limits about others are gone through with each alarm, before it goes out
DEPTH_MOST = 16  # a mine of ponds of items of kinds of points takes five; what is deeper nobody sees through


class Part(Protocol):
    """A [[limit]] and where it stands; `table` None: wrong."""

    @property
    def where(self) -> Where: ...
    @property
    def raw(self) -> Table: ...
    @property
    def table(self) -> Any: ...


class Measured(Protocol):
    """A point of the file; `point` None: wrong."""

    @property
    def id(self) -> object: ...
    @property
    def where(self) -> Where: ...
    @property
    def point(self) -> Point | None: ...


def read_limits(reader: Reader, parts: Sequence[Part], measured: Sequence[Measured]) -> list[Limit | None]:
    """The limits in file order; None for those that are wrong, which was noted."""
    check_distinct(reader, "point", [(item.where, item.id) for item in measured])
    known = {item.id: None for item in measured if isinstance(item.id, str)}
    points = {item.point.id: item.point for item in measured if item.point}
    _check_twins(reader, measured, points, known)
    made: dict[str, Limit | None] = {}
    for part in parts:
        point = part.raw.get("point")
        if isinstance(point, str):
            reader.reference((*part.where, "point"), "point", point, known)
        if part.table and not is_combined(part.table):
            made[part.table.id] = read_limit(reader, part.where, part.table, points)
    _read_combined(
        reader,
        [part for part in parts if part.table and is_combined(part.table)],
        [part.raw["id"] for part in parts if isinstance(part.raw.get("id"), str)],
        made,
    )
    places = {item.point.id: (item.where, item.point) for item in measured if item.point}
    check_doubts(reader, places, [limit for limit in made.values() if limit])
    _check_hurried(reader, [part for part in parts if part.table], made, points)
    return [made.get(part.table.id) if part.table else None for part in parts]


def _check_hurried(
    reader: Reader, parts: Sequence[Part], made: Mapping[str, Limit | None], points: Mapping[str, Point]
) -> None:
    """What is read faster takes all along that is read as often: amounts among them would be counted more often."""
    limits = [limit for limit in made.values() if limit]
    amounts = {points[limit.point].every_ms: limit.id for limit in limits if sums_amounts(limit.judged)}
    for part in parts:
        limit = made.get(part.table.id)
        if limit is None or not limit.while_raised_ms or limit.judged.members:
            continue
        other = amounts.get(points[limit.point].every_ms)
        if other is not None and other != limit.id:
            reader.problem(
                (*part.where, "while_raised"),
                f"limit “{other}” sums amounts that are read with {limit.point} and would be counted more often; "
                "read one of them at another `every`, or sum a counter",
            )


def _check_twins(
    reader: Reader, measured: Sequence[Measured], points: Mapping[str, Point], known: Mapping[str, None]
) -> None:
    for item in measured:
        twin = item.point.doubt.twin if item.point and item.point.doubt else ""
        if not twin or item.point is None:
            continue
        place, other = (*item.where, "twin"), points.get(twin)
        if not reader.reference(place, "point", twin, known) or other is None:
            continue
        if other.id == item.point.id or other.unit != item.point.unit:
            reader.problem(place, f"“{twin}” is no second instrument for the same quantity in {item.point.unit}")


def _read_combined(reader: Reader, parts: Sequence[Part], known: Sequence[str], made: dict[str, Limit | None]) -> None:
    """Limits about other limits, each after its members; a ring of them has no beginning."""
    if len(parts) > COMBINED_MOST:
        reader.of_no_use(
            ("limit",),
            f"{len(parts)} limits about other limits are more than the {COMBINED_MOST} that one gateway follows",
        )
    waiting, depth = list(parts), 0
    for part in parts:
        for member in members_of(part.table):
            reader.reference(part.where, "limit", member, known)
    while waiting:
        names = {part.table.id for part in waiting}
        ready = [part for part in waiting if names.isdisjoint(members_of(part.table))]
        if not ready:
            ring = ", ".join(part.where[0] for part in waiting)
            reader.problem(waiting[0].where, f"limits that judge each other in a ring: {ring}")
            return
        depth += 1
        if depth == DEPTH_MOST + 1:
            reader.of_no_use(
                ready[0].where,
                f"stands on limits that stand on limits, more than {DEPTH_MOST} deep: name those below directly",
            )
        right = {limit.id: limit for limit in made.values() if limit}
        for part in ready:
            made[part.table.id] = read_combined(reader, part.where, part.table, right)
        waiting = [part for part in waiting if part.table.id not in made]
