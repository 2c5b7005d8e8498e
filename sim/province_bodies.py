"""What a packet's body means at the province: which entries it holds, the rows that keep it, the words that say it.

Pure. Raises WireError for what no gateway sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Quality, Rule
from edge.wire import packet as wire
from edge.wire.basics import WireError
from edge.wire.seal import Opened
from edge.wire.sheet import Sheet, SheetPoint
from sim.province_store import IN_STEPS, Shown, as_real

LAST_DATE_MS = 253_402_300_799_999  # 9999-12-31, the last day of datetime
SMALLEST_STEP = Decimal("1e-30")  # what no instrument has, and no arithmetic here overflows on


def entry_epoch(opened: Opened, body: wire.Body) -> int:
    """The epoch whose seqs a packet's entries carry: what the body says, else its sheet's, where it names one. A
    gateway also sends what it has taken over from another store of its own, sealed under its present epoch."""
    if isinstance(body, wire.Alarms) and body.epoch is not None:
        return body.epoch
    return opened.epoch if opened.sheet is None else opened.sheet.epoch


def entries_of(body: wire.Body, gateway: str) -> tuple[Kind, list[int]]:
    if isinstance(body, wire.Rounds):
        return Kind.ROUNDS, [row.seq for row in body.rows]
    if isinstance(body, wire.Alarms):
        return Kind.ALARM, [seq for seq, _ in body.alarms]
    if isinstance(body, wire.Status):
        return Kind.STATUS, [body.seq]
    if isinstance(body, wire.Account):
        return Kind.ACCOUNT, [body.seq]
    if isinstance(body, wire.SheetPacket):
        _check_sheet(body.sheet, gateway)
        return Kind.SHEET, [body.seq]
    if isinstance(body, wire.Summaries):
        return Kind.SUMMARY, [body.seq] if body.seq else []
    if isinstance(body, wire.Test):
        return Kind.TEST, []
    raise WireError(f"a {type(body).__name__.lower()}, which does not belong there")


def _check_sheet(sheet: Sheet, gateway: str) -> None:
    if sheet.gateway != gateway:
        raise WireError(f"a sheet of {sheet.gateway[:40]!r}")
    for point in (point for group in sheet.groups for point in group.points):
        if not SMALLEST_STEP <= point.step <= 1 / SMALLEST_STEP:
            raise WireError(f"a sheet whose point {point.id[:40]!r} has a step of {str(point.step)[:40]}")


def readings(
    key: tuple[str, int], sheet: Sheet, rounds: wire.Rounds, new: set[int], now_ms: int
) -> Iterable[tuple[Any, ...]]:
    points = sheet.groups[rounds.group].points
    for row in rounds.rows:
        if row.seq not in new:
            continue
        new.discard(row.seq)  # a packet that holds a seq twice stores the first
        qualities = row.qualities or bytes([Quality.GOOD]) * len(points)
        for point, steps, quality in zip(points, row.values, qualities, strict=True):
            value = None if steps is None else as_real(steps * point.step)
            yield (*key, row.seq, row.at_ms, point.id, value, steps, quality, row.clock, now_ms)


def summary_rows(
    key: tuple[str, int], sheet: Sheet, summaries: wire.Summaries, now_ms: int
) -> Iterator[tuple[Any, ...]]:
    """A row for each point of each window that had good values. `key`: gateway and epoch."""
    gateway, epoch = key
    entry = (epoch, summaries.seq) if summaries.seq else (0, 0)
    points = sheet.groups[summaries.group].points
    for window in summaries.windows:
        three = zip(window.minimum, window.mean, window.maximum, strict=True)
        for point, values, count in zip(points, three, window.counts, strict=True):
            if count:
                reals = (None if steps is None else as_real(steps * point.step) for steps in values)
                yield (gateway, point.id, summaries.window_s, window.start_ms, *reals, count, now_ms, *entry)


def _point(name: str, sheet: Sheet | None) -> SheetPoint | None:
    groups = sheet.groups if sheet else ()
    return next((point for group in groups for point in group.points if point.id == name), None)


def shown_alarm(alarm: Alarm, sheet: Sheet | None) -> Shown:
    """Value, threshold and unit as a person reads them; in steps when no sheet is known that knows the point."""
    if alarm.rule in (Rule.STALE, Rule.SUSPECT):
        return None, Decimal(alarm.threshold), "s"
    if alarm.rule is Rule.REMOVED:
        return None, Decimal(0), ""
    point, basis = _point(alarm.point, sheet), alarm.basis
    step, unit = (point.step, point.unit) if point else (Decimal(1), IN_STEPS)
    if basis is not None:
        step, unit = basis.step, basis.unit
    return None if alarm.value is None else alarm.value * step, alarm.threshold * step, unit


def sheet_of_alarm(sheets: Iterable[Sheet], epoch: int, seq: int, alarm: Alarm) -> Sheet | None:
    """The sheet that an alarm told without one was made under, of those known: each stands from its seq0 on until the
    next one. None where it is not known yet: all are younger, or the limit that the alarm tells of is not that one's.
    In another sheet's unit a number would be wrong, and nobody could see it."""
    older = (it for it in sheets if it.epoch == epoch and it.seq0 <= seq)
    found = max(older, key=lambda it: (it.seq0, it.t0_ms), default=None)
    return found if found is not None and _tells(found, alarm) else None


def _tells(sheet: Sheet, alarm: Alarm) -> bool:
    """Whether an alarm may be of a sheet's site. A large site's sheet has no limits; what ends may have had others."""
    if not sheet.limits or alarm.basis is not None or alarm.change is Change.CLEARED:
        return True
    wanted = (alarm.limit, alarm.point, int(alarm.rule))
    found = (limit for limit in sheet.limits if (limit.id, limit.point, limit.rule) == wanted)
    return any(alarm.threshold == steps for limit in found for _, steps in limit.levels)


def limit_name(alarm: Alarm, sheet: Sheet | None) -> str:
    return next((limit.name for limit in (sheet.limits if sheet else ()) if limit.id == alarm.limit), "")


def alarm_words(alarm: Alarm, shown: Shown, name: str) -> str:
    """An alarm in full words, for the duty officer's screen."""
    value, threshold, unit = shown
    if alarm.rule == Rule.STALE:
        why = f"no good value for {threshold} s"
    elif alarm.rule == Rule.SUSPECT:
        why = f"doubtful values only for {threshold} s"
    elif alarm.rule == Rule.REMOVED:
        why = "this limit is in the gateway's site file no more; nobody judges it from now on"
    else:
        unit = f" {unit}" if unit else ""
        limit = "needed" if alarm.rule == Rule.COMBINED else f"limit {alarm.rule.name.lower()}"
        why = f"{_judged(alarm)}{'-' if value is None else value}{unit}, {limit} {threshold}{unit}"
    level = "cleared" if alarm.change == Change.CLEARED else f"{Level(alarm.level).name} {alarm.change.name.lower()}"
    clock = "" if alarm.clock == ClockQuality.TRUSTED else f" (clock {alarm.clock.name.lower()})"
    level = f"DRILL, {level}" if alarm.drill else level
    of = f"{alarm.limit}, point {alarm.point or '-'}"
    return f"{level}: {name or alarm.limit} ({of}): {why}, at {_utc(alarm.at_ms)}{clock}"


def _judged(alarm: Alarm) -> str:
    """What was judged and what went in, where that is not the point's value: `sum in 10800 s of rain = 12 steps: `."""
    basis = alarm.basis
    if basis is None:
        return ""
    name = basis.of.name.lower().replace("_", " ")
    over = f" in {basis.window_s} s" if basis.window_s else ""
    inputs = ", ".join(f"{i.name} = {'-' if i.value is None else i.value}" for i in basis.inputs)
    return f"{name}{over} of {inputs or alarm.point}: "


def _utc(at_ms: int) -> str:
    if at_ms > LAST_DATE_MS:
        return f"{at_ms} ms"  # a clock gone mad; no calendar goes there
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def describe(body: wire.Body) -> str:
    if isinstance(body, wire.Rounds):
        return f"{len(body.rows)} rounds of group {body.group}"
    if isinstance(body, wire.Alarms):
        return f"{len(body.alarms)} alarm(s)"
    if isinstance(body, wire.SheetPacket):
        return f"sheet 0x{body.sheet.short:02x}"
    if isinstance(body, wire.Summaries):
        return f"{len(body.windows)} windows of {body.window_s} s of group {body.group}"
    return type(body).__name__.lower()
