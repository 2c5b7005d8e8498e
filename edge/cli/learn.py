"""What the history of a group of points teaches, and whether it holds: the work of `fengsui fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

from edge.cli.history import Row
from edge.config.units import show_ms
from edge.contract import Point, Quality
from edge.wire.fit import fit as fit_columns
from edge.wire.packet import RoundRow, pack_rounds
from edge.wire.sheet import Sheet, SheetGroup, SheetPoint

LEARN_PART = 0.75  # of the rounds; the rest is what the result is measured on
PACKET_ROWS = 60  # as a wide link has them with an hour of minutes
ROOM_BYTES = 1 << 22  # 60 rows never take so much: it is the rows that make a packet


class Fitted(NamedTuple):
    """A group: what was learnt, and the bits a reading takes without and with it, on the newest quarter."""

    every_ms: int
    points: int
    rows: Sequence[Row]
    priors: Mapping[str, bytes]
    before_bits: float
    after_bits: float


def learn_group(every_ms: int, points: Sequence[Point], rows: Sequence[Row]) -> Fitted:
    """What the history of one group teaches, and whether that holds."""
    cut = int(len(rows) * LEARN_PART)
    old, new = rows[:cut], rows[cut:]
    tried = {}
    for column, point in enumerate(points):
        click.echo(f"learning {point.id} (every {show_ms(every_ms)}, {len(rows)} rounds)", err=True)
        prior = _learn(old, column)
        alone = [row._replace(values=(row.values[column],)) for row in new if row.values[column] is not None]
        if _bits(every_ms, [point], alone, {point.id: prior}) < _bits(every_ms, [point], alone, {}):
            tried[point.id] = prior
    before_bits, after_bits = (_bits(every_ms, points, new, priors) for priors in ({}, tried))
    priors = {point.id: _learn(rows, column) for column, point in enumerate(points) if point.id in tried}
    return Fitted(every_ms, len(points), rows, priors, before_bits, after_bits)


def _learn(rows: Sequence[Row], column: int) -> bytes:
    """The prior of one column; b"", the gateway's own numbers, when there is too little to learn from."""
    return fit_columns(1, [(row.values[column],) for row in rows])[0]


def _bits(every_ms: int, points: Sequence[Point], rows: Sequence[Row], priors: Mapping[str, bytes]) -> float:
    """Bits a reading takes in packets of these rounds, all but head and tag of the packet inside; 0 without any."""
    if not rows:
        return 0.0
    columns = tuple(SheetPoint(p.id, p.unit, p.step, None, None, priors.get(p.id, b"")) for p in points)
    sheet = Sheet("", 0, 1, rows[0].at_ms, (SheetGroup(every_ms, columns),))
    left = [_round(1 + index, row) for index, row in enumerate(rows)]
    size_bytes = 0
    while left:
        body, taken = pack_rounds(sheet, 0, left[:PACKET_ROWS], ROOM_BYTES)
        size_bytes += len(body)
        left = left[taken:]
    return size_bytes * 8 / len(rows) / len(points)


def _round(seq: int, row: Row) -> RoundRow:
    qualities = bytes(Quality.NO_ANSWER if value is None else Quality.GOOD for value in row.values)
    return RoundRow(seq, row.at_ms, row.values, qualities if any(qualities) else b"")
