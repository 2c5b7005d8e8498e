"""A summary told under another sheet of the same points: after a new epoch has begun, or in another store. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace

from edge.wire.basics import WireError
from edge.wire.packet import pack_summaries
from edge.wire.seal import MAX_BODY_BYTES
from edge.wire.sheet import Sheet
from edge.wire.summary import unpack_summaries


def retold(body: bytes, sheet_body: bytes, present_body: bytes) -> bytes:
    """The body of a summary under another sheet of the same points, its seq unchanged; b"" when that can not be."""
    try:
        sheet, present = Sheet.decode(sheet_body), Sheet.decode(present_body)
        told = unpack_summaries(sheet, body)
        if not same_points(sheet, present):
            return b""
        anew, taken = pack_summaries(present, told.group, told.window_s, told.windows, MAX_BODY_BYTES, seq=told.seq)
    except (WireError, TypeError):
        return b""
    return anew if taken == len(told.windows) else b""


def other_sheets(
    sheets: Iterable[tuple[int, bytes]], present_body: bytes, epoch: int
) -> dict[int, tuple[bytes, bytes]]:
    """Of sheets (row, body) those of other points than the present one: row -> (digest, body), told for `epoch`. One
    that is damaged is left out: what is of it can not be told at all."""
    anew: dict[int, tuple[bytes, bytes]] = {}
    for row, body in sheets:
        with contextlib.suppress(WireError, TypeError):
            then = Sheet.decode(body)
            if not same_points(then, Sheet.decode(present_body)):
                told = replace(then, epoch=epoch)
                anew[row] = told.digest, told.encode()
    return anew


def same_points(one: Sheet, other: Sheet) -> bool:
    """Whether two sheets describe the same points, whatever their epoch and what coding assumes of them."""

    def points(sheet: Sheet) -> list[list[tuple[str, str, object]]]:
        return [[(point.id, point.unit, point.step) for point in group.points] for group in sheet.groups]

    return points(one) == points(other)
