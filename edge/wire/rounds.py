"""Rounds of one group in one body: a row a round, each with seq, time, clock quality, qualities and values.

Rows stand in sending order. Everything predictable costs next to nothing: the time one period on, the seq that the
sheet's groups make expected by then, the same qualities as before. The whole body is one range-coded stream. Packing
fills the room exactly: a row is coded, and taken back when it does not fit. FORMAT.md section 5 is the contract. The
coding runs the same code both ways (`rangecoder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.contract import MAX_STEPS
from edge.wire.basics import WireError
from edge.wire.columns import Columns, code_signed, signed_cells
from edge.wire.rangecoder import BitCoder, Decoder, Encoder, cell
from edge.wire.sheet import MAX_SEQ, MAX_TIME_MS, Sheet

ROUNDS_FROM = 0x20  # first bytes from here on are rounds, lower ones other bodies:
OTHER_BODIES = 0x2001  # a stream of rounds starts with a no to this probability, so that its first byte is not lower
MAX_READINGS = 1 << 16  # in one body: bounds what decoding may cost (about 1 s); one row may always be sent
QUALITY_BITS = 4
NO_VALUE = 1 << QUALITY_BITS  # state of a reading: quality | NO_VALUE
USUAL_LENGTHS = range(
    8, 24
)  # bits of a base time in periods: a minute for hours to years, a second for minutes to months
USUAL_BITS = 4
LENGTH_BITS = 6  # of any other
END_BYTES = 3  # what the end mark (at most 12 bits) and the last byte may add
OTHERS_EVERY_MS = 600_000  # entries that are no rounds take about one seq in this time (the daemon's status)

MORE, ALIGNED, EARLIER, SAME_CLOCK, SAME_STATES, SAME_STATE, MARKED, USUAL = range(8)
# Another row; time on the grid, before the sheet; clock, states, one state as before; rows have marks; usual length
FLAGS = ((61000, 8), (65000, 8), (300, 8), (65000, 8), (64000, 8), (50000, 0), (1000, 0), (60000, 0))

FLAG_CELLS = tuple(cell(p, uses) for p, uses in FLAGS)
TIME_CELLS, LATER_SEQ_CELLS = tuple(signed_cells(64000, 40000)), tuple(signed_cells(62000, 30000))


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round as packets hold it. `values` whole steps or None; `qualities` one `contract.Quality` each, b"": all
    GOOD.
    """

    seq: int
    at_ms: int
    values: tuple[int | None, ...]
    qualities: bytes = b""
    clock: int = 0


class _Rows:
    """The state of one packet, both ways: `code(coder, row)` codes a row and returns it."""

    def __init__(self, sheet: Sheet, group: int) -> None:
        self.sheet = sheet
        self.group = group
        self.every_ms = sheet.groups[group].every_ms
        self.width = len(sheet.groups[group].points)
        self.columns = Columns(sheet.groups[group].points)
        self.most = max(1, MAX_READINGS // max(1, self.width))
        self.blank = RoundRow(0, 0, (None,) * self.width)
        self.flags = list(FLAG_CELLS)
        self.time_cells = list(TIME_CELLS)
        self.seq_cells: list[int] | None = None
        self.later_seq_cells = list(LATER_SEQ_CELLS)
        self.at_ms: int | None = None
        self.step_ms = self.every_ms
        self.drift = 0  # of the seqs from what rounds alone would make of them
        self.clock = 0
        self.marked = False
        self.states = [0] * self.width

    def code(self, coder: BitCoder, row: RoundRow) -> RoundRow:
        at_ms = self._time(coder, row.at_ms)
        seq = self._seq(coder, row.seq, at_ms)
        if not coder.bit(self.flags, SAME_CLOCK, row.clock == self.clock):
            self.clock = coder.raw(row.clock, 2)
            if self.clock > 2:
                raise WireError("clock quality 3 is not used")
        self._states(coder, row)
        found = self.columns.code(coder, row.values, [state & NO_VALUE for state in self.states])
        qualities = bytes(state & NO_VALUE - 1 for state in self.states)
        return RoundRow(seq, at_ms, found, qualities if any(qualities) else b"", self.clock)

    def _time(self, coder: BitCoder, at_ms: int) -> int:
        every = self.every_ms
        if self.at_ms is None:
            if coder.bit(self.flags, ALIGNED, at_ms % every == 0):
                at_ms = every * self._long(coder, at_ms // every, self.sheet.t0_ms // every)
            else:
                at_ms = self._long(coder, at_ms, self.sheet.t0_ms)
        else:
            due = self.at_ms + self.step_ms
            if coder.bit(self.flags, ALIGNED, (at_ms - due) % every == 0):
                at_ms = due + every * code_signed(coder, self.time_cells, 0, (at_ms - due) // every)
            else:
                at_ms = due + code_signed(coder, self.time_cells, 0, at_ms - due)
            self.step_ms = at_ms - self.at_ms
        if not 0 <= at_ms <= MAX_TIME_MS:
            raise WireError(f"time {at_ms} ms out of range")
        self.at_ms = at_ms
        return at_ms

    def _long(self, coder: BitCoder, value: int, base: int) -> int:
        value -= base
        earlier = coder.bit(self.flags, EARLIER, value < 0)
        size = abs(value).bit_length()
        if coder.bit(self.flags, USUAL, size in USUAL_LENGTHS):
            size = USUAL_LENGTHS.start + coder.raw(size - USUAL_LENGTHS.start, USUAL_BITS)
        else:
            size = coder.raw(size, LENGTH_BITS)
        highest = 1 << size >> 1
        value = highest | coder.raw(abs(value) & highest - 1, size - 1) if size else 0
        return base - value if earlier else base + value

    def _seq(self, coder: BitCoder, seq: int, at_ms: int) -> int:
        due = _expected(self.sheet, self.group, at_ms) + self.drift
        cells = self.seq_cells or _first_seq_cells(max(0, at_ms - self.sheet.t0_ms) // OTHERS_EVERY_MS)
        seq = due + code_signed(coder, cells, 0, seq - due)
        if not 0 <= seq <= MAX_SEQ:
            raise WireError(f"seq {seq} out of range")
        self.drift += seq - due
        self.seq_cells = self.later_seq_cells
        return seq

    def _states(self, coder: BitCoder, row: RoundRow) -> None:
        states = _row_states(row)
        if coder.bit(self.flags, SAME_STATES, states == self.states):
            return
        for i, state in enumerate(states):
            if not coder.bit(self.flags, SAME_STATE, state == self.states[i]):
                self.states[i] = coder.raw(state, QUALITY_BITS + 1)


def _first_seq_cells(others: int) -> list[int]:
    """For how many seqs the first row is ahead of rounds alone, when `others` more are likely."""
    usual = others.bit_length()
    cells = signed_cells(3000 if usual > 1 else 30000, 14000, 3000)
    for length in range(1, usual + 1):
        cells[1 + length] = cell(40000 if length >= usual - 4 else 63000)
    return cells


def _row_states(row: RoundRow) -> list[int]:
    if row.qualities:
        return [q | NO_VALUE if v is None else q for v, q in zip(row.values, row.qualities, strict=True)]
    return [NO_VALUE if v is None else 0 for v in row.values]


def _expected(sheet: Sheet, group: int, at_ms: int) -> int:
    """The seq this group's round of `at_ms` would have, were there nothing but rounds, groups in their order."""
    seq = sheet.seq0 - 1
    for index, other in enumerate(sheet.groups):
        end_ms = at_ms if index <= group else at_ms - 1
        seq += end_ms // other.every_ms - sheet.t0_ms // other.every_ms
    return seq


def _check(row: RoundRow, width: int) -> None:
    if len(row.values) != width or len(row.qualities) not in (0, width):
        raise WireError(f"row {row.seq}: {len(row.values)} values, the group has {width} points")
    if any(v is not None and not -MAX_STEPS <= v <= MAX_STEPS for v in row.values):
        raise WireError(f"row {row.seq}: a value beyond 2**53 steps")
    if row.qualities and max(row.qualities) >= NO_VALUE:
        raise WireError(f"row {row.seq}: a quality above {NO_VALUE - 1}")
    if not 0 <= row.seq <= MAX_SEQ or not 0 <= row.at_ms <= MAX_TIME_MS or not 0 <= row.clock <= 2:
        raise WireError(f"row {row.seq}: seq, time or clock quality out of range")


def pack_rounds(sheet: Sheet, group: int, rows: Sequence[RoundRow], room_bytes: int) -> tuple[bytes, int]:
    """(body, rows taken from the front): as many as fit into `room_bytes`; (b"", 0) if not even one does.

    Rows may be in any order of time; regular ones, oldest first, are smallest. Raises WireError for a row that does not
    fit the group (number of values, numbers out of range).
    """
    body, taken, left = _pack_bare(sheet, group, rows, room_bytes)
    if left:
        marked, more = _pack_marked(sheet, group, rows, room_bytes)
        if more > taken:
            return marked, more
    return body, taken


def _pack_bare(sheet: Sheet, group: int, rows: Sequence[RoundRow], room: int) -> tuple[bytes, int, bool]:
    """Body, rows taken, whether rows that would fit were left out: the rows end with the bytes, so the last one must
    have brought the coder on by a byte.
    """
    encoder = Encoder()
    state = _start(encoder, sheet, group, marked=False)
    best, taken, count, length = encoder.mark(), 0, 0, -1
    for row in rows[: state.most]:
        _check(row, state.width)
        state.code(encoder, row)
        encoder.commit()
        before, length = length, encoder.moved_bytes() + 1
        if length > room:
            break
        count += 1
        if length > before:
            best, taken = encoder.mark(), count
    if not taken:
        return b"", 0, False
    encoder.back(best)
    return encoder.finish(encoder.moved_bytes() + 1), taken, taken < count


def _pack_marked(sheet: Sheet, group: int, rows: Sequence[RoundRow], room: int) -> tuple[bytes, int]:
    """After each row a mark says whether another follows: for rows that take next to nothing."""
    encoder = Encoder()
    state = _start(encoder, sheet, group, marked=True)
    best, best_more, taken = encoder.mark(), 0, 0
    for count, row in enumerate(rows[: state.most], 1):
        _check(row, state.width)
        if count > 1:
            encoder.bit(state.flags, MORE, 1)
        state.code(encoder, row)
        encoder.commit()
        moved, more = encoder.moved_bytes(), state.flags[MORE]
        if moved > room:
            break
        # not broken off when the ended rows do not fit: with one row more they may end a byte shorter
        if moved + END_BYTES <= room or len(_ended(encoder.fork(), more)) <= room:
            best, best_more, taken = encoder.mark(), more, count
    if not taken:
        return b"", 0
    encoder.back(best)
    return _ended(encoder, best_more), taken


def _ended(encoder: Encoder, more: int) -> bytes:
    """The coded rows with the mark that no more follow."""
    encoder.bit([more], 0, 0)
    encoder.commit()
    return encoder.finish()


def _start(coder: BitCoder, sheet: Sheet, group: int, *, marked: bool) -> _Rows:
    """What stands before the rows: that these are rounds, of which group, and how they end."""
    if coder.bit([cell(OTHER_BODIES)], 0, 0):
        raise WireError("no rounds")
    group = coder.raw(group, (len(sheet.groups) - 1).bit_length())
    if group >= len(sheet.groups):
        raise WireError(f"group {group}, the sheet has {len(sheet.groups)}")
    state = _Rows(sheet, group)
    state.marked = bool(coder.bit(state.flags, MARKED, marked))
    return state


def unpack_rounds(sheet: Sheet, body: bytes) -> tuple[int, tuple[RoundRow, ...]]:
    """(group, rows) of a body of rounds made with the same sheet. Raises WireError."""
    decoder = Decoder(body)
    state = _start(decoder, sheet, 0, marked=False)
    rows = [state.code(decoder, state.blank)]
    while decoder.bit(state.flags, MORE) if state.marked else decoder.moved_bytes() + 1 < len(body):
        if len(rows) == state.most:
            raise WireError(f"more than {state.most} rows")
        rows.append(state.code(decoder, state.blank))
    if not state.marked and decoder.moved_bytes() + 1 > len(body):
        raise WireError("coded rounds end too early")
    decoder.finish()
    return state.group, tuple(rows)
