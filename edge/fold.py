"""When the store fills: the oldest detail is folded, raw rounds -> 1 min -> 10 min -> 1 h, before anything is given up.

A step takes the oldest rounds (or summaries) of one group in a stretch of whole windows and puts one entry in their
place: a summary with a seq of its own, that lies in the store as packets have it, with the least, mean, greatest and
the count of the good values of each point. Rounds keep half of the room, minutes a quarter, tens of minutes an eighth;
what has more than its share is folded first, the finest first. When all have their share, the coarsest go on, so that
recent detail lives longest.

Folded are rounds whose time is known, in windows that are over, and that are not on their way to the province. A window
far ahead of now is over: a clock that was wrong gave it. Those
adopted from another store are folded too, where the present sheet describes their points alike. Not folded: rounds
without a time, and of a site that looked otherwise.

A step is one transaction: a cut leaves what was before, or the summary. It is bounded (FOLD_READINGS, FOLD_CELLS: some
tens of milliseconds) and runs on the store's thread, between commits. May not evict: that is the outbox's last resort.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge.contract import Kind
from edge.entries import Commit, Held, NewEntry
from edge.errors import Unpackable
from edge.outbox import Outbox
from edge.packing import row_of, summaries_of
from edge.ranges import RangeSet
from edge.retell import same_points
from edge.wire.basics import WireError
from edge.wire.packet import Window, pack_summaries, summarise
from edge.wire.seal import MAX_BODY_BYTES
from edge.wire.sheet import MAX_TIME_MS, Sheet

FOLD_AT = 0.85  # of the quota; between it and the reserve for alarms, a commit always finds room
MINUTE_S, TEN_S, HOUR_S = 60, 600, 3600
COARSER = {MINUTE_S: TEN_S, TEN_S: HOUR_S}
STRETCH_S = {MINUTE_S: 600, TEN_S: 3600, HOUR_S: 21_600}  # of one entry: its head costs some 35 bytes, a window 80
SHARES = {0: 1 / 2, MINUTE_S: 1 / 4, TEN_S: 1 / 8}  # of what rounds and summaries take
AHEAD_MS = 2 * HOUR_S * 1000  # longer than any window: such a time was given by a wrong clock that is right again
PASSED_OVER = 2000  # entries of an earlier time after what is ahead: some milliseconds
FOLD_READINGS = 20_000  # in one step: 20 to 50 ms on two cores of a server, three times that on a Pi
FOLD_CELLS = 1500  # points times windows that are decoded in one step: about as long
FOLD_BODY_BYTES = 900  # fits a packet of any wide link, and a page of the store


@dataclass(frozen=True, slots=True)
class _Run:
    """Entries of one group in seq order, and what they are to become: windows of `window_s`, under a sheet."""

    sheet_row: int
    sheet: Sheet
    group: int
    window_s: int
    held: Sequence[Held]


class Folder:
    """Folds one store. `sheet_row`: the row of the present sheet."""

    def __init__(self, sheet_row: int) -> None:
        self._sheet_row = sheet_row
        self._sheets: dict[int, Sheet | None] = {}

    def step(self, outbox: Outbox, on_way: RangeSet) -> Commit | None:
        """One step, if the store is fuller than FOLD_AT. None: it is not, or nothing can be folded now. `on_way`: seqs
        that wait for their receipt. Raises StoreBroken."""
        if outbox.used_bytes() <= FOLD_AT * outbox.quota_bytes:
            return None
        try:
            for run in self._runs(outbox, on_way):
                done = self._fold(outbox, run)
                if done is not None:
                    return done
        except Unpackable as damage:
            outbox.discard(damage.seq)
            return Commit(freed=[(damage.seq, damage.seq)], used_bytes=outbox.used_bytes())
        return None

    # -- what is to be folded ------------------------------------------------------------------------------------

    def _runs(self, outbox: Outbox, on_way: RangeSet) -> Iterator[_Run]:
        """What may be folded, what is to go first in front."""
        span = outbox.span()
        newest_ms = span[3] if span and isinstance(span[3], int) else 0
        newest_ms = newest_ms if outbox.now_ms is None else outbox.now_ms
        for level in _order(outbox.levels()):
            yield from self._summaries(outbox, level, on_way) if level else self._rounds(outbox, on_way, newest_ms)

    def _rounds(self, outbox: Outbox, on_way: RangeSet, newest_ms: int) -> Iterator[_Run]:
        """The oldest rounds of each group. `newest_ms`: windows that end by then are over."""
        fronts, _ = outbox.fronts(on_way)
        for (row, group), (seq, at_ms) in fronts.items():
            target, sheet = self._target(outbox, row, group)
            if sheet is None:
                continue
            every_ms = max(1, sheet.groups[group].every_ms)
            window_s = _first_window_s(every_ms)
            window_ms = window_s * 1000
            end_ms = _end_ms(at_ms, STRETCH_S[window_s])
            if not _ahead(outbox, at_ms):
                end_ms = min(end_ms, newest_ms // window_ms * window_ms)
            most = FOLD_READINGS // max(1, len(sheet.groups[group].points))
            held = _whole(outbox.run_of(0, row, group, seq, end_ms), on_way, at_ms, end_ms, window_ms, most)
            if held:
                yield _Run(target, sheet, group, window_s, held)

    def _summaries(self, outbox: Outbox, level: int, on_way: RangeSet) -> Iterator[_Run]:
        """The oldest summaries of a level, of each group, in whose windows nothing finer is left."""
        window_ms = COARSER[level] * 1000
        for seq, at_ms, row, group in outbox.summary_fronts(level):
            target, sheet = self._target(outbox, row, group)
            if sheet is None:
                continue
            finer_ms = self._finer_ms(outbox, level, group)
            end_ms = _end_ms(at_ms, STRETCH_S[COARSER[level]])
            if not _ahead(outbox, at_ms, finer_ms):
                end_ms = min(end_ms, finer_ms // window_ms * window_ms)
            cells = max(1, len(sheet.groups[group].points)) * (STRETCH_S[level] // level)
            most = max(1, FOLD_CELLS // cells)
            held = _whole(outbox.run_of(level, row, group, seq, end_ms), on_way, at_ms, end_ms, window_ms, most)
            if held:
                yield _Run(target, sheet, group, COARSER[level], held)

    def _finer_ms(self, outbox: Outbox, level: int, group: int) -> int:
        """Up to when nothing finer than a level is left of a group."""
        fronts, looked_ms = outbox.fronts(RangeSet())
        times_ms = [at_ms for (_, other), (_, at_ms) in fronts.items() if other == group]
        if not times_ms:
            times_ms = [MAX_TIME_MS if looked_ms is None else looked_ms]
        for finer in COARSER:
            if finer < level:
                times_ms += [at_ms for _, at_ms, _, other in outbox.summary_fronts(finer) if other == group]
        return min(times_ms)

    def _target(self, outbox: Outbox, row: int, group: int) -> tuple[int, Sheet | None]:
        """The sheet (its row, and itself) under which entries of another's row may be told; None: there is none.

        A summary is a new entry of this store, so it needs a sheet of this store's epoch.
        """
        sheet, target = self._sheet(outbox, row), row
        if sheet is not None and sheet.epoch != outbox.epoch:
            present, target = self._sheet(outbox, self._sheet_row), self._sheet_row
            sheet = present if present is not None and same_points(sheet, present) else None
        return target, sheet if sheet is not None and 0 <= group < len(sheet.groups) else None

    def _sheet(self, outbox: Outbox, row: int) -> Sheet | None:
        """None for one that can not be read: what is of it is not folded."""
        if row not in self._sheets:
            self._sheets[row] = None
            with contextlib.suppress(WireError, TypeError, KeyError):
                self._sheets[row] = Sheet.decode(outbox.sheet(row)[1])
        return self._sheets[row]

    # -- folding -------------------------------------------------------------------------------------------------

    def _fold(self, outbox: Outbox, run: _Run) -> Commit | None:
        """One entry instead of a run, or of its oldest windows, as many as fit; None when not even one does."""
        windows = self._windows(outbox, run)
        seq = outbox.last_seq() + 1
        while True:
            room_bytes = FOLD_BODY_BYTES if len(windows) > 1 else MAX_BODY_BYTES
            body, taken = pack_summaries(run.sheet, run.group, run.window_s, windows[::-1], room_bytes, seq=seq)
            if taken == len(windows):
                break
            if len(windows) == 1:
                return None
            windows = windows[: max(1, taken)]
        end_ms = windows[-1].start_ms + run.window_s * 1000
        gone = [held for held in run.held if held.at_ms < end_ms]
        clock = max(held.clock for held in gone)
        at_ms = windows[0].start_ms
        made = NewEntry(Kind.SUMMARY, run.group, at_ms, clock, 0, body, run.sheet_row, run.window_s)
        return outbox.fold([held.seq for held in gone], made, seq)

    def _windows(self, outbox: Outbox, run: _Run) -> list[Window]:
        """The windows that a run comes to, oldest first, without a gap."""
        window_ms = run.window_s * 1000
        width = len(run.sheet.groups[run.group].points)
        parts: dict[int, list[Window]] = {}
        if run.held[0].kind is Kind.ROUNDS:
            rounds: dict[int, list[Held]] = {}
            for held in run.held:
                rounds.setdefault(held.at_ms // window_ms, []).append(held)
            for number, inside in rounds.items():
                parts[number] = [summarise(number * window_ms, width, [row_of(held, width) for held in inside])]
        else:
            for held in run.held:
                told_under = self._sheet(outbox, held.body_sheet or held.sheet) or run.sheet
                for window in summaries_of(held, told_under).windows:
                    parts.setdefault(window.start_ms // window_ms, []).append(window)
        empty = (None,) * width
        return [
            merged(number * window_ms, parts[number])
            if number in parts
            else Window(number * window_ms, empty, empty, empty, (0,) * width)
            for number in range(min(parts), max(parts) + 1)
        ]


def merged(start_ms: int, windows: Sequence[Window]) -> Window:
    """What windows of the same points come to together: the least, the mean by their counts, the greatest, all."""
    if len(windows) == 1 and windows[0].start_ms == start_ms:
        return windows[0]
    columns = [_merged_point(cells) for cells in zip(*(_cells(window) for window in windows), strict=True)]
    low, mean, high, counts = zip(*columns, strict=True) if columns else ((), (), (), ())
    return Window(start_ms, low, mean, high, counts)


Cell = tuple[int | None, int | None, int | None, int]


def _cells(window: Window) -> list[Cell]:
    return list(zip(window.minimum, window.mean, window.maximum, window.counts, strict=True))


def _merged_point(cells: Sequence[Cell]) -> Cell:
    known = [(low or 0, mean or 0, high or 0, count) for low, mean, high, count in cells if count]
    if not known:
        return None, None, None, 0
    count = sum(cell[3] for cell in known)
    mean = half_even(sum(cell[1] * cell[3] for cell in known), count)
    return min(cell[0] for cell in known), mean, max(cell[2] for cell in known), count


def half_even(total: int, count: int) -> int:
    """`total` / `count`, the nearest whole number, half to even."""
    whole, part = divmod(2 * total + count, 2 * count)
    return whole - (part == 0 and whole & 1)


def _order(levels: dict[int, int]) -> list[int]:
    """What is folded first: the finest level that has more than its share; then the coarsest."""
    total = sum(size for level, size in levels.items() if level >= 0)
    above = [level for level in SHARES if levels.get(level, 0) > SHARES[level] * total]
    return above + [level for level in reversed(SHARES) if level not in above]


def _first_window_s(every_ms: int) -> int:
    """The shortest windows in which there are several rounds."""
    if every_ms < MINUTE_S * 1000:
        return MINUTE_S
    return TEN_S if every_ms < TEN_S * 1000 else HOUR_S


def _ahead(outbox: Outbox, at_ms: int, *others_ms: int) -> bool:
    """Whether a time lies so far ahead of now (and of others) that a wrong clock gave it: its window is over."""
    return outbox.now_ms is not None and at_ms > max(outbox.now_ms, *others_ms, 0) + AHEAD_MS


def _end_ms(at_ms: int, stretch_s: int) -> int:
    return (at_ms // (stretch_s * 1000) + 1) * stretch_s * 1000


def _whole(
    found: Iterator[Held], on_way: RangeSet, first_ms: int, end_ms: int, window_ms: int, most: int
) -> list[Held]:
    """Of entries by seq, those in whole windows from that of `first_ms` on: about `most`, one window at least, and none
    in a window in which something is on its way."""
    held: list[Held] = []
    first = first_ms // window_ms
    passed_over = 0
    for entry in found:
        window = entry.at_ms // window_ms
        if window < first:
            passed_over += 1
            if passed_over > PASSED_OVER:
                break
            continue  # the clock was set back: it has its turn
        if (len(held) >= most and window > first) or entry.seq in on_way:
            end_ms = min(end_ms, window * window_ms)
            break
        held.append(entry)
    return [entry for entry in held if entry.at_ms < end_ms]
