"""Summaries: what the rounds of whole windows of time come to, point by point: least, mean, greatest, how many good.

For when a link cannot carry the rounds themselves. The windows of a body follow each other, newest first. Of each point
the least value is coded like a value of rounds, window after window; then how far the greatest lies above it, as a bit
length near the one before; then where between them the mean lies. FORMAT.md section 7 is the contract. The coding runs
the same code both ways (`rangecoder`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from edge.contract import MAX_STEPS, Kind, Quality
from edge.wire.basics import WireError, within
from edge.wire.columns import PointModel, code_signed, prior_of, signed_cells
from edge.wire.rangecoder import BitCoder, Decoder, Encoder, cell
from edge.wire.rounds import RoundRow
from edge.wire.sheet import MAX_SEQ, MAX_TIME_MS, Sheet

USUAL_WINDOWS_S = (600, 3600)
WINDOW_BITS = 24
MAX_WINDOW_S = (1 << WINDOW_BITS) - 1  # half a year; the longest in use is a day
SEQ_BITS = 63
LENGTH_BITS = 6  # of a window's number
MAX_COUNT = 1 << 40
MAX_NUMBERS = 1 << 16  # windows times points in one body: bounds what decoding may cost; one window may always be sent
MAX_SPREAD_BITS = MAX_STEPS.bit_length() + 1
START_SPREAD = 4  # times what a point moves in a row is where its first spread is looked for

DERIVED, USUAL, EARLIER, SAME_COUNTS, MORE, MIDDLE = 0, 1, 2, 3, 4, 5
# No entry of its own; a usual window; before the sheet; counts as before; another window; the mean above the middle,
# then above the middle of the lower half, of the upper
FLAGS = ((65000, 8), (60000, 0), (300, 8), (60000, 2), (56000, 2), (32768, 2), (40000, 2), (25536, 2))

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
    """The state of one body, both ways: `code(coder, window, start_ms)` codes a window and returns it."""

    def __init__(self, sheet: Sheet, group: int, window_ms: int, flags: list[int]) -> None:
        points = sheet.groups[group].points
        self.flags = flags
        self.window_ms = window_ms
        self.width = len(points)
        self.most = max(1, MAX_NUMBERS // max(1, self.width))
        self.models = [PointModel(prior_of(point.prior)) for point in points]
        self.lengths = [(START_SPREAD * model.activity >> 4).bit_length() for model in self.models]
        self.told = [False] * self.width  # whether `lengths` is of a window before
        self.first_cells, self.later_cells = signed_cells(12000, 40000), signed_cells(30000, 15000)
        self.count_cells = signed_cells(30000, 40000, 60000)
        self.full = window_ms // sheet.groups[group].every_ms
        self.counts = (self.full,) * self.width
        zeros = (0,) * self.width
        self.blank = Window(0, zeros, zeros, zeros, zeros)

    def code(self, coder: BitCoder, window: Window, start_ms: int) -> Window:
        if not coder.bit(self.flags, SAME_COUNTS, window.counts == self.counts):
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
        model = self.models[index]
        low = model.code(coder, low)
        spread = self._spread(coder, index, high - low)
        if not -MAX_STEPS <= low <= low + spread <= MAX_STEPS:
            raise WireError("summary: a value beyond 2**53 steps")
        # From one window to the next a point moves about as far as within one.
        model.known, model.activity = True, 16 * spread
        return low, low + self._between(coder, mean - low, spread), low + spread

    def _spread(self, coder: BitCoder, index: int, spread: int) -> int:
        cells = self.later_cells if self.told[index] else self.first_cells
        usual = self.lengths[index]
        length = within(
            usual + code_signed(coder, cells, 0, spread.bit_length() - usual), MAX_SPREAD_BITS, "length of a spread"
        )
        self.lengths[index], self.told[index] = length, True
        highest = 1 << length >> 1
        return highest | coder.raw(spread & highest - 1, length - 1) if length else 0

    def _between(self, coder: BitCoder, place: int, spread: int) -> int:
        """Which of 0..`spread` it is, by halves; the first two are modelled."""
        low, high, path = 0, spread, 1
        while low < high:
            middle = (low + high) // 2
            upper = place > middle
            upper = bool(coder.bit(self.flags, MIDDLE - 1 + path, upper) if path < 4 else coder.raw(upper, 1))
            path = 2 * path + upper
            low, high = (middle + 1, high) if upper else (low, middle)
        return low


def _check(window: Window, state: _Windows) -> None:
    rows = (window.minimum, window.mean, window.maximum, window.counts)
    if any(len(row) != state.width for row in rows):
        raise WireError(f"summary: not {state.width} points, as the group has")
    for low, mean, high, count in zip(*rows, strict=True):
        within(count, MAX_COUNT, "count")
        if not count and low is mean is high is None:
            continue
        known = count and low is not None and mean is not None and high is not None
        if not known or not -MAX_STEPS <= low <= mean <= high <= MAX_STEPS:  # type: ignore[operator]
            raise WireError(f"summary: {count} values from {low} to {high}, mean {mean}")


def pack_summaries(
    sheet: Sheet, group: int, window_s: int, windows: Sequence[Window], room_bytes: int, *, seq: int = 0
) -> tuple[bytes, int]:
    """(body, windows taken from the front): as many as fit into `room_bytes`; (b"", 0) if not even one does.

    `windows` follow each other without a gap, newest first; each starts at a whole multiple of `window_s` since 1970.
    Raises WireError for windows that do not, or that do not fit the group.
    """
    if not windows or not window_s:
        raise WireError("summary: no window")
    encoder = Encoder()
    state, _, start_ms = _start(encoder, sheet, seq, group, window_s, windows[0].start_ms)
    best, taken = b"", 0
    for count, window in enumerate(windows[: state.most]):
        _check(window, state)
        if window.start_ms != start_ms - count * state.window_ms:
            raise WireError(f"summary: a window from {window.start_ms} ms does not stand where one must")
        if count:
            encoder.bit(state.flags, MORE, 1)
        state.code(encoder, window, window.start_ms)
        encoder.commit()
        body = bytes([Kind.SUMMARY]) + _ended(encoder.fork(), state.flags[MORE])
        if len(body) > room_bytes:
            break
        best, taken = body, count + 1
    return best, taken


def _ended(encoder: Encoder, more: int) -> bytes:
    encoder.bit([more], 0, 0)
    encoder.commit()
    return encoder.finish()


def _start(
    coder: BitCoder, sheet: Sheet, seq: int, group: int, window_s: int, start_ms: int
) -> tuple[_Windows, Summaries, int]:
    """What stands before the windows: their coder, what is known of them, where the first one starts."""
    flags = [cell(p, uses) for p, uses in FLAGS]
    seq = 0 if coder.bit(flags, DERIVED, seq == 0) else coder.raw(within(seq, MAX_SEQ, "seq"), SEQ_BITS)
    group = coder.raw(group, (len(sheet.groups) - 1).bit_length())
    if group >= len(sheet.groups):
        raise WireError(f"group {group}, the sheet has {len(sheet.groups)}")
    if coder.bit(flags, USUAL, window_s in USUAL_WINDOWS_S):
        window_s = USUAL_WINDOWS_S[coder.raw(window_s == USUAL_WINDOWS_S[1], 1)]
    else:
        window_s = coder.raw(within(window_s, MAX_WINDOW_S, "window"), WINDOW_BITS)
    if not window_s:
        raise WireError("summary: a window of no length")
    window_ms = window_s * 1000
    zero = sheet.t0_ms // window_ms
    start_ms = within(window_ms * (zero + _number(coder, flags, start_ms // window_ms - zero)), MAX_TIME_MS, "time")
    return _Windows(sheet, group, window_ms, flags), Summaries(seq, group, window_s, ()), start_ms


def _number(coder: BitCoder, flags: list[int], number: int) -> int:
    earlier = coder.bit(flags, EARLIER, number < 0)
    length = coder.raw(abs(number).bit_length(), LENGTH_BITS)
    highest = 1 << length >> 1
    size = highest | coder.raw(abs(number) & highest - 1, length - 1) if length else 0
    return -size if earlier else size


def unpack_summaries(sheet: Sheet, body: bytes) -> Summaries:
    """The inverse of `pack_summaries`. Raises WireError."""
    decoder = Decoder(body[1:])
    state, found, start_ms = _start(decoder, sheet, 0, 0, 0, 0)
    windows: list[Window] = []
    while not windows or decoder.bit(state.flags, MORE):
        if len(windows) == state.most:
            raise WireError(f"more than {state.most} windows")
        at_ms = within(start_ms - len(windows) * state.window_ms, MAX_TIME_MS, "time")
        windows.append(state.code(decoder, state.blank, at_ms))
    decoder.finish()
    return replace(found, windows=tuple(windows))
