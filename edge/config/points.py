"""Points: what a step, a range and a period may be, and ids that stand for one thing only."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from edge.config.reader import Reader, Where
from edge.config.tables import DevicePointTable, PointTable
from edge.config.units import show_ms
from edge.contract import MAX_STEPS, Doubt, Point

MIN_EVERY_MS, DAY_MS = 10, 86_400_000  # 100 Hz is the most a serial line carries; a day is the slowest grid
STUCK_READINGS = 3  # the same value twice is no wonder
MAX_STUCK_MS = 30 * DAY_MS
MIN_STEP, MAX_STEP = Decimal("1e-9"), Decimal(10**9)  # beyond, take a larger or smaller unit


def read_point(reader: Reader, where: Where, table: PointTable, device: str) -> Point | None:
    """The point, or None after its problems were noted."""
    before = len(reader.problems)
    if not table.step.is_finite() or not MIN_STEP <= table.step <= MAX_STEP:
        reader.problem(
            (*where, "step"), f"found {table.step}; allowed: {MIN_STEP:f} to {MAX_STEP:f}, the smallest change it shows"
        )
        return None
    minimum, maximum = _range(reader, (*where, "range"), table)
    every_ms = reader.duration_ms((*where, "every"), table.every, MIN_EVERY_MS, DAY_MS)
    if every_ms is not None and DAY_MS % every_ms:
        reader.problem(
            (*where, "every"), f"found “{table.every}”; a day must be a whole number of them: {_near(every_ms)}"
        )
    doubt = _doubt(reader, where, table, every_ms or DAY_MS) if isinstance(table, DevicePointTable) else None
    if every_ms is None or len(reader.problems) > before:
        return None
    return Point(
        id=table.id,
        unit=table.unit,
        step=table.step,
        minimum=minimum,
        maximum=maximum,
        every_ms=every_ms,
        device=device,
        name=table.name,
        doubt=doubt,
    )


def _doubt(reader: Reader, where: Where, table: DevicePointTable, every_ms: int) -> Doubt | None:
    """What of its readings is not believed; None when all are."""
    stuck_ms = None
    if table.stuck is not None:
        stuck_ms = reader.duration_ms((*where, "stuck"), table.stuck, STUCK_READINGS * every_ms, MAX_STUCK_MS)
    steps: dict[str, int | None] = {}
    for key in ("spike", "rate_max"):
        given = getattr(table, key)
        steps[key] = None
        if given is None:
            continue
        if not table.step <= given <= MAX_STEPS * table.step:
            reader.problem((*where, key), f"found {given}; allowed: at least one step ({table.step})")
            continue
        steps[key] = int(given / table.step)
    if (table.twin is None) != (table.twin_differs is None):
        reader.problem(where, "`twin` and `twin_differs` belong together; one of them is missing")
    differs = table.twin_differs or Decimal(0)
    if differs < 0:
        reader.problem((*where, "twin_differs"), f"found {differs}; allowed: 0 or a positive number of {table.unit}")
    doubt = Doubt(
        None if stuck_ms is None else stuck_ms / 1000, steps["spike"], steps["rate_max"], table.twin or "", differs
    )
    return None if doubt == Doubt() else doubt


def _range(reader: Reader, where: Where, table: PointTable) -> tuple[Decimal | None, Decimal | None]:
    if table.range is None:
        return None, None
    if len(table.range) != 2 or not all(end.is_finite() for end in table.range):
        found = ", ".join(map(str, table.range))
        reader.problem(where, f"found [{found}]; allowed: two numbers [lowest, highest]")
        return None, None
    low, high = table.range
    if high - low < table.step:
        reader.problem(where, f"from {low} to {high} is not even one step ({table.step}) wide; write [lowest, highest]")
    if max(abs(low), abs(high)) > MAX_STEPS * table.step:
        reader.problem(where, f"[{low}, {high}] holds more than 2^53 steps of {table.step}; take a larger step")
    return low, high


def _near(every_ms: int) -> str:
    """The nearest periods that divide a day, below and above."""
    below = next(ms for ms in range(every_ms, 0, -1) if DAY_MS % ms == 0)
    above = next(ms for ms in range(every_ms, DAY_MS + 1) if DAY_MS % ms == 0)
    return f"{show_ms(below)} or {show_ms(above)}"


def check_distinct(reader: Reader, kind: str, named: Iterable[tuple[Where, object]]) -> None:
    """Complains of every id that a second thing of one kind has too."""
    first: dict[str, Where] = {}
    for where, given in named:
        if not isinstance(given, str):
            continue
        if given in first:
            reader.problem((*where, "id"), f"the {kind} id “{given}” is taken by {' → '.join(first[given])}")
        first.setdefault(given, where)
