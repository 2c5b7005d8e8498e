"""The last alarms as they were told on the spot, for `fengsui alarms`: kept in the store over restarts.

Each is a map of JSON types, with its words and the numbers that decided as they were then: what the site file says now
of points and limits changes nothing of it. The store holds PAST_KEPT of them as CBOR (table alarm_past), each written
in the transaction of its alarm; a store that is used in place of another one (memory while the disk is away) gets all
of them with its next commit. One that can not be read is left out. And the end of what stood of limits that are gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import cbor2

from edge.contract import Alarm, Basis, Change, ClockQuality, Level, Of, Point, Rule
from edge.entries import PAST_KEPT, Past, Standing
from edge.measure_nouns import DAMAGED

UNREADABLE = (*DAMAGED, cbor2.CBORError, RecursionError, MemoryError)
TEXTS = ("limit", "point", "level", "change", "text")


class AlarmPast:
    """The last alarms as bodies for the store. `anew`: the store in use has not got them."""

    def __init__(self) -> None:
        self._bodies: deque[bytes] = deque(maxlen=PAST_KEPT)
        self._added = self._given = self._written = 0  # how many ever: in this run, in the last rows, in the store
        self._before: list[bytes] = []
        self.anew = False

    def add(self, bodies: Sequence[bytes]) -> None:
        """Alarms that go to the store with the next commit."""
        self._bodies += bodies
        self._added += len(bodies)

    def recall(self, bodies: Sequence[bytes]) -> None:
        """What the store held when it was opened, before all that has been told in this run."""
        self._before, own = list(bodies), list(self._bodies)
        self._bodies = deque([*bodies, *own], PAST_KEPT)
        self.anew = bool(own)

    def before(self) -> list[dict[str, Any]]:
        """What the store held, oldest first. It is given once."""
        before, self._before = self._before, []
        return [shown for body in before if (shown := _read(body)) is not None]

    def date(self, boot: int, offset_ms: int) -> None:
        """The time is known now."""
        told = [_read(body) for body in self._bodies]
        if dated([shown for shown in told if shown is not None], boot, offset_ms):
            self._bodies = deque([body_of(shown) for shown in told if shown is not None], PAST_KEPT)
            self.anew = True

    def rows(self) -> Past:
        """For the next commit."""
        bodies, waiting = list(self._bodies), self._added - self._written
        self._given = self._added
        return Past(bodies if self.anew else bodies[max(0, len(bodies) - waiting) :], self.anew)

    def written(self, rows: Past) -> None:
        """They are in the store in use, but for what has come since."""
        self._written = self._given
        self.anew = self.anew and not rows.anew


def body_of(shown: Mapping[str, Any]) -> bytes:
    """As the store keeps it."""
    return cbor2.dumps(dict(shown))


def dated(told: Iterable[dict[str, Any]], boot: int, offset_ms: int) -> bool:
    """Gives alarms of this boot their time; whether there were any without."""
    found = [shown for shown in told if shown.get("boot") == boot]
    for shown in found:
        shown["at_ms"] += offset_ms
        del shown["boot"]
    return bool(found)


def removed(standings: Iterable[Standing], judged: Container[str], told: Iterable[Mapping[str, Any]]) -> list[Alarm]:
    """The end of what stood of limits that are in the site file no more: nobody else will ever tell it. `told`: the
    last alarms, which know of what point each was."""
    points = {shown["limit"]: shown["point"] for shown in told}
    none = Level.NONE, Change.CLEARED, Rule.REMOVED, None, 0, 0, ClockQuality.FREE
    return [
        Alarm(standing.id, points.get(standing.id, ""), *none)
        for standing in standings
        if standing.level is not Level.NONE and standing.id not in judged
    ]


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        shown = dict(cbor2.loads(body))
        good = isinstance(shown["at_ms"], int) and isinstance(shown["why"], dict) and isinstance(shown["drill"], bool)
        return shown if good and all(isinstance(shown[key], str) for key in TEXTS) else None
    except UNREADABLE:
        return None


def shown_of(alarm: Alarm, points: Mapping[str, Point], boot: int) -> dict[str, Any]:
    """An alarm in JSON types, with the numbers that decided. `boot`: where its time is since that."""
    return {
        "at_ms": alarm.at_ms,
        "limit": alarm.limit,
        "point": alarm.point,
        "level": alarm.level.name.lower(),
        "change": alarm.change.name.lower(),
        "drill": alarm.drill,
        "text": alarm.words(points.get(alarm.point)),
        "why": numbers_of(alarm, points),
        **({"boot": boot} if alarm.clock is ClockQuality.UNKNOWN else {}),
    }


def numbers_of(alarm: Alarm, points: Mapping[str, Point]) -> dict[str, Any]:
    """The numbers that decided an alarm, as texts with their units."""
    basis = alarm.basis
    silent = alarm.rule in (Rule.STALE, Rule.SUSPECT)
    if silent or alarm.rule in (Rule.COMBINED, Rule.REMOVED):
        step, unit = Decimal(1), "s" if silent else ""
    else:
        of: Basis | Point = basis or points[alarm.point]
        step, unit = of.step, of.unit
    return {
        "of": (basis.of if basis else Of.VALUE).name.lower(),
        "rule": alarm.rule.name.lower(),
        "value": None if alarm.value is None else str(alarm.value * step),
        "threshold": str(alarm.threshold * step),
        "unit": unit,
        "window_s": basis.window_s if basis else 0,
        "inputs": [_decided(name, value, alarm, points) for name, value in (basis.inputs if basis else ())],
    }


def _decided(name: str, value: int | None, alarm: Alarm, points: Mapping[str, Point]) -> dict[str, Any]:
    if alarm.rule is Rule.COMBINED:
        return {"name": name, "value": Level(value or 0).name.lower(), "unit": ""}
    if name in points:
        shown = None if value is None else points[name].show(value)
        return {"name": name, "value": shown, "unit": points[name].unit}
    assert alarm.basis is not None
    return {"name": name, "value": None if value is None else str(value * alarm.basis.step), "unit": alarm.basis.unit}
