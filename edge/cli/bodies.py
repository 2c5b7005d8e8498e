"""What the body of a packet says: in plain lines for a person, in JSON types for a program. Pure.

Bodies come from `edge.wire.packet.decode`, so they are well formed, but their numbers may be any: a level, rule or time
that means nothing is shown as its number. Values are decimals of the instrument's step, as text: 312.40 stays 312.40.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import IntEnum
from typing import Any

from edge.cli.show import clock_time, table
from edge.config.units import show_ms
from edge.contract import Alarm, Basis, ClockQuality, Level, Of, Point, Quality, Rule
from edge.wire.packet import (
    Account,
    Alarms,
    Body,
    Fragment,
    Receipt,
    RoundRow,
    Rounds,
    SheetPacket,
    Status,
    Summaries,
    Test,
    Window,
)
from edge.wire.sheet import Sheet, SheetGroup, SheetLimit, SheetPoint

CLOCK_MARKS = {ClockQuality.TRUSTED: "", ClockQuality.FREE: " (clock not confirmed)"}
UNKNOWN_TIME = " (time not known: since boot)"
PRIOR_DEFAULT, PRIOR_FITTED = "default", "fitted"

Points = Mapping[str, Point]


def points_of(sheets: Iterable[Sheet]) -> dict[str, Point]:
    """Every point of the sheets, as the first that has it says."""
    points: dict[str, Point] = {}
    for sheet in sheets:
        for group in sheet.groups:
            for point in group.points:
                points.setdefault(point.id, _point(point, group.every_ms))
    return points


def _point(point: SheetPoint, every_ms: int) -> Point:
    return Point(point.id, point.unit, point.step, point.minimum, point.maximum, every_ms, "")


def _shown(point: Point, steps: int | None) -> str | None:
    if steps is None:
        return None
    try:
        return point.show(steps)
    except ArithmeticError:  # a step of no real instrument
        return f"{steps} steps"


def _name(kind: type[IntEnum], number: int) -> str:
    try:
        return kind(number).name.lower().replace("_", " ")
    except ValueError:
        return f"{kind.__name__.lower()} {number}"


# -- for people -------------------------------------------------------------------------------------------------------


def lines(body: Body, sheet: Sheet | None, points: Points) -> Iterator[str]:
    """The body line by line. `sheet`: what it was sealed with; `points`: all that are known, for what names one."""
    match body:
        case Rounds() if sheet is not None:
            yield from _rounds_lines(body, sheet.groups[body.group])
        case Alarms():
            for seq, alarm in body.alarms:
                yield f"{_at(alarm.at_ms, alarm.clock)}  seq {seq}  {_alarm_words(alarm, sheet, points)}"
        case Status() | Account():
            yield f"{_at(body.at_ms, body.clock)}  seq {body.seq}"
            for key, value in body.values.items():
                yield f"  {key}: {value if isinstance(value, str) else _json(value)}"
        case SheetPacket():
            yield f"seq {body.seq}"
            yield from _sheet_lines(body.sheet)
        case Summaries() if sheet is not None:
            yield from _summaries_lines(body, sheet.groups[body.group])
        case Fragment():
            yield f"piece {body.index + 1} of {body.last + 1} of a parcel, {len(body.data)} bytes: {body.data.hex()}"
            yield f"the parcel began {body.back} packets before this one"
        case Test():
            yield "asks the province for a receipt, holds nothing"
        case Receipt():
            yield from _receipt_lines(body)


def _at(at_ms: int, clock: int) -> str:
    if clock == ClockQuality.UNKNOWN:
        return f"boot+{at_ms // 1000}s{UNKNOWN_TIME}"
    return clock_time(at_ms) + CLOCK_MARKS.get(ClockQuality(clock), "")


def _rounds_lines(rounds: Rounds, group: SheetGroup) -> Iterator[str]:
    points = [_point(point, group.every_ms) for point in group.points]
    count = len(rounds.rows)
    yield f"group {rounds.group}, every {show_ms(group.every_ms)}: {count} rounds of {len(points)} points"
    for row in rounds.rows:
        cells = [
            f"{point.id} {_shown(point, steps) or '-'} {point.unit}".rstrip() + (f" ({quality})" if quality else "")
            for point, steps, quality in _readings(points, row)
        ]
        yield f"{_at(row.at_ms, row.clock)}  seq {row.seq}  {', '.join(cells)}"


def _readings(points: Sequence[Point], row: RoundRow) -> Iterator[tuple[Point, int | None, str]]:
    """(point, steps, quality in words, "" when it is good)."""
    qualities = row.qualities or bytes(len(points))
    for point, steps, quality in zip(points, row.values, qualities, strict=True):
        good = quality == Quality.GOOD and steps is not None
        yield point, steps, "" if good else _name(Quality, quality)


def _summaries_lines(summaries: Summaries, group: SheetGroup) -> Iterator[str]:
    seq = f"seq {summaries.seq}" if summaries.seq else "derived, no entry"
    windows = f"{len(summaries.windows)} window{'s' if len(summaries.windows) > 1 else ''}"
    length = show_ms(summaries.window_s * 1000)
    yield f"group {summaries.group}, {windows} of {length}: least / mean / greatest; {seq}"
    for start_ms, found in _windows(summaries, group):
        cells = (
            f"{point.id} {' / '.join(shown or '-' for shown in values)} {point.unit} ({count} good)"
            for point, values, count in found
        )
        yield f"from {clock_time(start_ms)}  {', '.join(cells)}"


def _windows(
    summaries: Summaries, group: SheetGroup
) -> Iterator[tuple[int, list[tuple[Point, list[str | None], int]]]]:
    """For each window its start, and for each point (least, mean, greatest) and how many good values."""
    points = [_point(point, group.every_ms) for point in group.points]
    for window in summaries.windows:
        yield (
            window.start_ms,
            [
                (point, [_shown(point, steps) for steps in three], count)
                for point, three, count in zip(points, _threes(window), window.counts, strict=True)
            ],
        )


def _threes(window: Window) -> Iterator[tuple[int | None, int | None, int | None]]:
    return zip(window.minimum, window.mean, window.maximum, strict=True)


def _alarm_words(alarm: Alarm, sheet: Sheet | None, points: Points) -> str:
    name = next((limit.name for limit in (sheet.limits if sheet else ()) if limit.id == alarm.limit), "")
    point = points.get(alarm.point) or Point(alarm.point, "steps", Decimal(1), None, None, 0, "")
    try:
        words = alarm.words(point)
    except ArithmeticError:
        words = f"{_name(Level, alarm.level)}: {alarm.point}"
    return f"{words}  (limit {alarm.limit}{' ' + name if name else ''})"


def _sheet_lines(sheet: Sheet) -> Iterator[str]:
    yield f"sheet {sheet.digest.hex()} of gateway {sheet.gateway}, epoch {sheet.epoch:08x}"
    yield f"made {clock_time(sheet.t0_ms)}, seq counted from {sheet.seq0}"
    for index, group in enumerate(sheet.groups):
        rows = [
            (p.id, p.unit, str(p.step), _range(p), PRIOR_FITTED if p.prior else PRIOR_DEFAULT) for p in group.points
        ]
        title = f"group {index}, every {show_ms(group.every_ms)}"
        yield from table(title, ("point", "unit", "step", "range", "prior"), rows).splitlines()
    points = points_of([sheet])
    limits = [(m.id, m.point, _rule_words(m, points.get(m.point)), m.name) for m in sheet.limits]
    yield from table("limits", ("id", "point", "rule", "name"), limits).splitlines()


def _range(point: SheetPoint) -> str:
    low, high = ("-" if end is None else str(end) for end in (point.minimum, point.maximum))
    return "-" if low == high == "-" else f"{low} to {high}"


def _rule_words(limit: SheetLimit, point: Point | None) -> str:
    """`above orange 310.00, red 312.00 m`; thresholds in seconds for STALE, in steps when the point is not known."""
    if limit.basis is not None:
        point = Point(limit.point, limit.basis.unit, limit.basis.step, None, None, 0, "")
    silent = limit.rule in (Rule.STALE, Rule.SUSPECT)
    in_unit = point is not None and not silent
    unit = point.unit if point and in_unit else "s" if silent else "steps"
    levels = (f"{_name(Level, n)} {_shown(point, at) if point and in_unit else at}" for n, at in limit.levels)
    of = f"{_name(Of, limit.basis.of).replace('_', ' ')} " if limit.basis else ""
    return f"{of}{_name(Rule, limit.rule)} {', '.join(levels)} {unit}".rstrip()


def _receipt_lines(receipt: Receipt) -> Iterator[str]:
    entries = sum(high - low + 1 for low, high in receipt.ranges)
    shown = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in receipt.ranges)
    epoch = "the same epoch" if receipt.epoch is None else f"epoch {receipt.epoch:08x}"
    yield f"the province has stored {entries} entries of {epoch}: seq {shown or 'none'}"
    yield f"its clock: {clock_time(receipt.time_ms)}"
    if receipt.echo is not None:
        held = f", held for {receipt.held_ms / 1000:.2f} s before" if receipt.held_ms else ""
        yield f"answers the uplink packet with counter {receipt.echo}{held}"
        missing = ", ".join(map(str, _missing(receipt)))
        if receipt.lowest is not None:
            yield f"packets from {receipt.lowest} to there that have not arrived: {missing or 'none'}"
    if receipt.need_sheets:
        named = (f"0x{short:02x}" if short else "any of this epoch" for short in receipt.need_sheets)
        yield f"asks for sheets it does not have: {', '.join(named)}"


def _missing(receipt: Receipt) -> list[int]:
    """Counters of the packets that it says have not arrived."""
    if receipt.echo is None or receipt.lowest is None:
        return []
    return [counter for counter in range(receipt.lowest, receipt.echo) if receipt.missing(counter)]


# -- for programs -----------------------------------------------------------------------------------------------------


def as_json(body: Body, sheet: Sheet | None, points: Points) -> dict[str, Any]:
    """The same in JSON types; times in UTC milliseconds, values as decimal texts."""
    match body:
        case Rounds() if sheet is not None:
            group = sheet.groups[body.group]
            known = [_point(point, group.every_ms) for point in group.points]
            rows = [_row_json(known, row) for row in body.rows]
            return {"group": body.group, "every_ms": group.every_ms, "rounds": rows}
        case Alarms():
            return {"alarms": [_alarm_json(seq, alarm, sheet, points) for seq, alarm in body.alarms]}
        case Status() | Account():
            values = json.loads(_json(dict(body.values)))
            return {"seq": body.seq, "at_ms": body.at_ms, "clock": _name(ClockQuality, body.clock), "values": values}
        case SheetPacket():
            return {"seq": body.seq, "sheet": _sheet_json(body.sheet)}
        case Summaries() if sheet is not None:
            return _summaries_json(body, sheet.groups[body.group])
        case Fragment():
            return {"back": body.back, "index": body.index, "last": body.last, "data": body.data.hex()}
        case Receipt():
            return {
                "epoch": body.epoch,
                "ranges": [list(pair) for pair in body.ranges],
                "time_ms": body.time_ms,
                "echo": body.echo,
                "held_ms": body.held_ms,
                "lowest": body.lowest,
                "missing": _missing(body),
                "need_sheets": list(body.need_sheets),
            }
    return {}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=bytes.hex)


def _row_json(points: Sequence[Point], row: RoundRow) -> dict[str, Any]:
    readings = [
        {"point": point.id, "value": _shown(point, steps), "unit": point.unit, "quality": quality or "good"}
        for point, steps, quality in _readings(points, row)
    ]
    return {"seq": row.seq, "at_ms": row.at_ms, "clock": _name(ClockQuality, row.clock), "readings": readings}


def _summaries_json(summaries: Summaries, group: SheetGroup) -> dict[str, Any]:
    windows = []
    for start_ms, found in _windows(summaries, group):
        readings = [
            {"point": point.id, "min": low, "mean": mean, "max": high, "unit": point.unit, "count": count}
            for point, (low, mean, high), count in found
        ]
        windows.append({"start_ms": start_ms, "readings": readings})
    head = {"seq": summaries.seq, "group": summaries.group, "window_s": summaries.window_s}
    return {**head, "windows": windows}


def _alarm_json(seq: int, alarm: Alarm, sheet: Sheet | None, points: Points) -> dict[str, Any]:
    """`value` and `threshold` in whole steps of the point; of `stale`, the threshold in seconds."""
    return {
        "seq": seq,
        "at_ms": alarm.at_ms,
        "clock": _name(ClockQuality, alarm.clock),
        "limit": alarm.limit,
        "point": alarm.point,
        "level": _name(Level, alarm.level),
        "change": alarm.change.name.lower(),
        "rule": alarm.rule.name.lower(),
        "value_steps": alarm.value,
        "threshold": alarm.threshold,
        **({} if alarm.basis is None else {"basis": _basis_json(alarm.basis)}),
        **({"drill": True} if alarm.drill else {}),
        "text": _alarm_words(alarm, sheet, points),
    }


def _basis_json(basis: Basis) -> dict[str, Any]:
    """What was judged; `step` of value and threshold, each input in its own steps."""
    return {
        "of": basis.of.name.lower(),
        "window_s": basis.window_s,
        "unit": basis.unit,
        "step": str(basis.step),
        "inputs": dict(basis.inputs),
    }


def _sheet_json(sheet: Sheet) -> dict[str, Any]:
    groups = [
        {
            "every_ms": group.every_ms,
            "points": [
                {"id": p.id, "unit": p.unit, "step": str(p.step), "range": _range(p), "prior": p.prior.hex()}
                for p in group.points
            ],
        }
        for group in sheet.groups
    ]
    limits = [
        {"id": m.id, "point": m.point, "rule": _name(Rule, m.rule), "levels": list(m.levels), "name": m.name}
        for m in sheet.limits
    ]
    names = {"gateway": sheet.gateway, "epoch": sheet.epoch, "digest": sheet.digest.hex()}
    return {**names, "seq0": sheet.seq0, "t0_ms": sheet.t0_ms, "groups": groups, "limits": limits}
