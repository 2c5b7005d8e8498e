"""Summaries: what the rounds of whole windows of time come to, point by point: least, mean, greatest, how many good.

For when a link cannot carry the rounds themselves. The windows of a body follow each other, forwards or backwards. Of
each point the least value is coded like a value of rounds, window after window; the greatest as its distance from
there, the mean by where it lies between: no mean costs anything where the two are the same. FORMAT.md section 7 is the
contract. The coding runs the same code both ways (`rangecoder`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.contract import MAX_STEPS, Kind, Quality
from edge.wire.basics import Reader, WireError, varint, within, zigzag
from edge.wire.columns import Columns, code_signed, signed_cells
from edge.wire.rangecoder import BitCoder, Decoder, Encoder, cell
from edge.wire.rounds import RoundRow
from edge.wire.sheet import MAX_SEQ, MAX_TIME_MS, Sheet

MAX_WINDOW_S = 10_000_000  # four months; the longest in use is a day
MAX_COUNT = 1 << 40
MAX_NUMBERS = 1 << 16  # windows times points in one body: bounds what decoding may cost; one window may always be sent

MORE, AS_BEFORE, BACKWARDS = range(3)  # another window follows; all counts as in the one before; newest first
FLAGS = ((56000, 2), (60000, 2), (45000, 0))

Cells = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one group, from `start_ms` on. For each point in whole steps, None where `counts` is 0: least,
    mean (rounded to whole steps, half to even) and greatest of its GOOD values, and how many of them there were.
    """

    start_ms: int
    minimum: Cells
    mean: Cells
    maximum: Cells
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Summaries:
    """`seq` 0: derived from entries that keep their own, no entry itself."""

    seq: int
    group: int
    window_s: int
    windows: tuple[Window, ...]


def summarise(start_ms: int, width: int, rows: Iterable[RoundRow]) -> Window:
    """The window of these rounds of one group with `width` points; whoever calls has chosen them by their time."""
    columns: list[list[int]] = [[] for _ in range(width)]
    for row in rows:
        qualities = row.qualities or bytes([Quality.GOOD]) * width
        for column, value, quality in zip(columns, row.values, qualities, strict=True):
            if value is not None and quality == Quality.GOOD:
                column.append(value)
    return Window(
        start_ms,
        tuple(min(column, default=None) for column in columns),
        tuple(_mean(sum(column), len(column)) for column in columns),
        tuple(max(column, default=None) for column in columns),
        tuple(map(len, columns)),
    )


def _mean(total: int, count: int) -> int | None:
    """The nearest whole number, half to even."""
    if not count:
        return None
    whole, part = divmod(2 * total + count, 2 * count)
    return whole - (part == 0 and whole & 1)


class _Windows:
    """The state of one body, both ways: `code(coder, window)` codes a window and returns it."""

    def __init__(self, sheet: Sheet, group: int, window_ms: int, backwards: bool) -> None:
        points = sheet.groups[group].points
        self.width = len(points)
        self.most = max(1, MAX_NUMBERS // max(1, self.width))
        self.step_ms = -window_ms if backwards else window_ms
        self.columns = Columns(points)
        self.spreads = [signed_cells(20000, 40000) for _ in points]
        self.count_cells = signed_cells(30000, 40000, 60000)
        self.full = window_ms // sheet.groups[group].every_ms
        self.counts = (self.full,) * self.width
        self.blank = Window(0, (0,) * self.width, (0,) * self.width, (0,) * self.width, self.counts)
        self.flags = [cell(p, uses) for p, uses in FLAGS]

    def code(self, coder: BitCoder, window: Window, start_ms: int) -> Window:
        if not coder.bit(self.flags, AS_BEFORE, window.counts == self.counts):
            self.counts = tuple(self._count(coder, count) for count in window.counts)
        found = [
            self._point(coder, i, window.minimum[i] or 0, window.mean[i] or 0, window.maximum[i] or 0)
            if count
            else (None, None, None)
            for i, count in enumerate(self.counts)
        ]
        minimum, mean, maximum = zip(*found, strict=True) if found else ((), (), ())
        return Window(start_ms, minimum, mean, maximum, self.counts)

    def _count(self, coder: BitCoder, count: int) -> int:
        return within(self.full + code_signed(coder, self.count_cells, 0, count - self.full), MAX_COUNT, "count")

    def _point(self, coder: BitCoder, index: int, low: int, mean: int, high: int) -> tuple[int, int, int]:
        low = self.columns.code(coder, index, low)
        spread = code_signed(coder, self.spreads[index], 0, high - low)
        if spread < 0 or low + spread > MAX_STEPS:
            raise WireError("summary: greatest value out of range")
        bits = spread.bit_length()
        above = coder.raw(mean - low, bits)
        if above > spread:
            raise WireError("summary: mean above the greatest value")
        return low, low + above, low + spread


def _check(window: Window, state: _Windows) -> None:
    rows = (window.minimum, window.mean, window.maximum, window.counts)
    if any(len(row) != state.width for row in rows):
        raise WireError(f"summary: not {state.width} points, as the group has")
    for low, mean, high, count in zip(*rows, strict=True):
        within(count, MAX_COUNT, "count")
        if not count and low is mean is high is None:
            continue
        if (
            not count
            or low is None
            or mean is None
            or high is None
            or not -MAX_STEPS <= low <= mean <= high <= MAX_STEPS
        ):
            raise WireError(f"summary: {count} values from {low} to {high}, mean {mean}")


def pack_summaries(
    sheet: Sheet, group: int, window_s: int, windows: Sequence[Window], room_bytes: int, *, seq: int = 0
) -> tuple[bytes, int]:
    """(body, windows taken from the front): as many as fit into `room_bytes`; (b"", 0) if not even one does.

    `windows` follow each other without a gap, oldest or newest first; each starts at a whole multiple of `window_s`
    since 1970. Raises WireError for windows that do not, or that do not fit the group.
    """
    window_ms = within(window_s, MAX_WINDOW_S, "window") * 1000
    backwards = len(windows) > 1 and windows[1].start_ms < windows[0].start_ms
    if not window_s or not windows:
        raise WireError("summary: no window")
    state = _Windows(sheet, group, window_ms, backwards)
    head = _head(sheet, seq, group, window_s, windows[0].start_ms)
    encoder = Encoder()
    encoder.bit(state.flags, BACKWARDS, backwards)
    best, taken = b"", 0
    for count, window in enumerate(windows[: state.most]):
        _check(window, state)
        if window.start_ms != windows[0].start_ms + count * state.step_ms or window.start_ms % window_ms:
            raise WireError(f"summary: a window from {window.start_ms} ms does not follow the one before")
        if count:
            encoder.bit(state.flags, MORE, 1)
        state.code(encoder, window, window.start_ms)
        encoder.commit()
        body = _ended(encoder.fork(), state.flags[MORE])
        if len(head) + len(body) > room_bytes:
            break
        best, taken = head + body, count + 1
    return best, taken


def _head(sheet: Sheet, seq: int, group: int, window_s: int, start_ms: int) -> bytes:
    within(start_ms, MAX_TIME_MS, "time")
    number = start_ms // (window_s * 1000) - sheet.t0_ms // (window_s * 1000)
    return bytes([Kind.SUMMARY]) + b"".join(map(varint, (within(seq, MAX_SEQ, "seq"), group, window_s, zigzag(number))))


def _ended(encoder: Encoder, more: int) -> bytes:
    encoder.bit([more], 0, 0)
    encoder.commit()
    return encoder.finish()


def unpack_summaries(sheet: Sheet, body: bytes) -> Summaries:
    """The inverse of `pack_summaries`. Raises WireError."""
    reader = Reader(body)
    reader.byte()
    seq, group = within(reader.varint(), MAX_SEQ, "seq"), reader.varint()
    if group >= len(sheet.groups):
        raise WireError(f"group {group}, the sheet has {len(sheet.groups)}")
    window_s = within(reader.varint(), MAX_WINDOW_S, "window")
    if not window_s:
        raise WireError("summary: a window of no length")
    window_ms = window_s * 1000
    start_ms = (sheet.t0_ms // window_ms + reader.signed()) * window_ms
    decoder = Decoder(body[reader.at :])
    state = _Windows(sheet, group, window_ms, backwards=False)
    if decoder.bit(state.flags, BACKWARDS):
        state.step_ms = -window_ms
    windows: list[Window] = []
    while not windows or decoder.bit(state.flags, MORE):
        if len(windows) == state.most:
            raise WireError(f"more than {state.most} windows")
        at_ms = within(start_ms + len(windows) * state.step_ms, MAX_TIME_MS, "time")
        windows.append(state.code(decoder, state.blank, at_ms))
    decoder.finish()
    return Summaries(seq, group, window_s, tuple(windows))
