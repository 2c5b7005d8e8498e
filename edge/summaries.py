"""Summaries of held rounds for a link that can not carry them all: min, mean, max, count of each point over a window.

Windows of ten minutes for the last hours, of an hour before that, on the UTC grid, the newest first. They are made of
what is held when they are sent, and settle nothing: the rounds themselves follow on a wide link. Runs on the store's
thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from edge.contract import Kind
from edge.errors import DoesNotFit
from edge.outbox import Outbox
from edge.packing import Packed, Window, row_of
from edge.wire.packet import Window as Summary
from edge.wire.packet import pack_summaries, summarise
from edge.wire.sheet import Sheet

FINE_S, COARSE_S = 600, 3600
FINE_LASTS_S = 2 * 3600  # older windows are of an hour
COARSE_LASTS_S = 7 * 86_400
MOST_TOGETHER = 6  # windows in one packet
MOST_ROWS = 4000  # rounds in one window: an hour at one a second; the count says how many they were
MOST_LOOKED = 64  # windows looked at for one packet; empty ones are told at once
MOST_BYTES = 4096  # of a summary in pieces: some 500 points


def pack_summary(
    outbox: Outbox, sheet_row: int, sheet: Sheet, told: Collection[Window], room_bytes: int
) -> Packed | None:
    """The newest window not told yet and, as far as they fit, those before it. A body larger than the room is to go in
    pieces; one without a body says that its windows hold nothing. None: all is told. Raises Unpackable."""
    span = outbox.span()
    if span is None:
        return None
    empty: list[Window] = []
    for window in windows(span[1], span[3], len(sheet.groups)):
        if window in told:
            continue
        made = summarized(outbox, sheet_row, sheet, window)
        if made is not None:
            return _filled(outbox, sheet_row, sheet, told, [(window, made)], room_bytes)
        empty.append(window)
        if len(empty) == MOST_LOOKED:
            break
    return Packed(Kind.SUMMARY, b"", None, (), 0, windows=tuple(empty)) if empty else None


def windows(oldest_ms: int, newest_ms: int, groups: int) -> Iterator[Window]:
    """The windows that are over and may hold rounds, newest first."""
    fine_from_s = (newest_ms // 1000 - FINE_LASTS_S) // COARSE_S * COARSE_S
    for window_s, high_s, low_s in (
        (FINE_S, newest_ms // 1000, fine_from_s),
        (COARSE_S, fine_from_s, newest_ms // 1000 - COARSE_LASTS_S),
    ):
        for number in range(high_s // window_s - 1, max(low_s, oldest_ms // 1000 - window_s) // window_s - 1, -1):
            for group in range(groups):
                yield Window(group, window_s, number)


def summarized(outbox: Outbox, sheet_row: int, sheet: Sheet, window: Window) -> Summary | None:
    """What the held rounds of a window come to; None when there are none. Raises Unpackable."""
    span = outbox.span()
    if span is None:
        return None
    start_ms = window.number * window.window_s * 1000
    first = outbox.first_since(start_ms, span[0], span[2])
    end_ms = start_ms + window.window_s * 1000
    last = outbox.first_since(end_ms, first, span[2])
    held = outbox.rounds_between(start_ms, end_ms, window.group, first, last, MOST_ROWS)
    width = len(sheet.groups[window.group].points)
    rows = [row_of(entry, width) for entry in held if entry.sheet == sheet_row]
    return summarise(start_ms, width, rows) if rows else None


def _filled(
    outbox: Outbox,
    sheet_row: int,
    sheet: Sheet,
    told: Collection[Window],
    found: list[tuple[Window, Summary]],
    room_bytes: int,
) -> Packed:
    """A packet with the first window found and those before it, as many as fit."""
    newest = found[0][0]
    while len(found) < MOST_TOGETHER:
        before = newest._replace(number=newest.number - len(found))
        made = None if before in told else summarized(outbox, sheet_row, sheet, before)
        if made is None:
            break
        found.append((before, made))
    made_windows = [summary for _, summary in found]
    body, taken = pack_summaries(sheet, newest.group, newest.window_s, made_windows, room_bytes)
    if not taken:
        body, taken = pack_summaries(sheet, newest.group, newest.window_s, made_windows[:1], MOST_BYTES)
    if not taken:
        raise DoesNotFit(0, "summary")
    return Packed(
        Kind.SUMMARY, body, sheet, (), 0, group=newest.group, windows=tuple(window for window, _ in found[:taken])
    )
