"""The models of a round's values: each point is predicted from its own past in the packet, the rest is range coded.

One `Columns` lives as long as one packet. FORMAT.md section 6 is the contract. Whole numbers only; nothing here knows
seqs, times or qualities.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from edge.contract import MAX_STEPS
from edge.wire.basics import WireError
from edge.wire.prior import (
    ACTIVITIES,
    CLASSES,
    FIRST,
    GRID,
    GRID_UNIT,
    MANTISSA,
    OFF_MORE,
    OFF_SIGN,
    SIGN,
    SIGNS,
    STRIDE,
    UNKNOWN,
    Prior,
)
from edge.wire.rangecoder import MAX_SIZE, BitCoder, cell
from edge.wire.sheet import SheetPoint

MAX_OFF_GRID = 256  # steps: half the widest grid pitch, and to spare
DOUBT_UNIT = GRID_UNIT // 64
HALF = GRID_UNIT // 2
EIGHTH = GRID_UNIT // 8


def signed_cells(zero: int, more: int, negative: int = 32768) -> list[int]:
    """Cells for `code_signed`, probabilities in 1/65536: zero, negative, then longer than 1, 2 ... bits."""
    return [cell(zero), cell(negative)] + [cell(more)] * (MAX_SIZE + 1)


def code_signed(coder: BitCoder, cells: list[int], at: int, value: int) -> int:
    """Zero?, sign, bit length in unary, then the bits below the highest as they are (exp-Golomb, adaptive)."""
    if coder.bit(cells, at, value == 0):
        return 0
    negative = coder.bit(cells, at + 1, value < 0)
    count = coder.unary(cells, at + 1, abs(value).bit_length(), MAX_SIZE)
    number = 1 << count - 1 | coder.raw(abs(value) & (1 << count - 1) - 1, count - 1)
    return -number if negative else number


class Columns:
    """Codes the values of rows, one after the other; both ways."""

    def __init__(self, points: Sequence[SheetPoint]) -> None:
        self.points = [PointModel(prior_of(point.prior)) for point in points]

    def code(self, coder: BitCoder, values: Sequence[int | None], absent: Sequence[int]) -> tuple[int | None, ...]:
        """The values of a row: given (encoding) or found (decoding; then `values` are ignored). None where `absent` is
        not 0."""
        found: list[int | None] = []
        for model, value, is_absent in zip(self.points, values, absent, strict=True):
            if is_absent:
                found.append(None)
                continue
            coded = model.code(coder, value or 0)
            if not -MAX_STEPS <= coded <= MAX_STEPS:
                raise WireError(f"value {coded} is beyond 2**53 steps")
            found.append(coded)
        return tuple(found)


class PointModel:
    """One point's past in this packet: last value, last two changes, last residual, activity (1/16 step a row); with a
    grid its phase, known to +- doubt (1/65536 step).
    """

    __slots__ = (
        *("activity", "before", "cells", "change", "doubt", "drift", "known"),
        *("last", "phase", "pitch", "prior", "rest", "slopes"),
    )

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self.cells = prior.cells()
        self.pitch, self.phase = prior.pitch, prior.phase
        self.doubt, self.drift = prior.doubt * DOUBT_UNIT, prior.drift * DOUBT_UNIT
        self.slopes = prior.slopes
        self.activity = prior.start_activity()
        self.known = False  # how much it moves
        self.last: int | None = None
        self.change = self.before = self.rest = 0

    def code(self, coder: BitCoder, value: int) -> int:
        pitch = self.pitch
        if not pitch:
            return self._code(coder, value)
        phase = self.phase
        place = self._code(coder, (value * GRID_UNIT - phase + pitch // 2) // pitch) * pitch + phase + HALF
        line, part = divmod(place, GRID_UNIT)
        edge, doubt = min(part, GRID_UNIT - part), self.doubt
        near = 0 if 2 * edge < doubt else 1 if edge < doubt else 2 if edge < doubt + EIGHTH else 3
        value = line + self._off_grid(coder, value - line, near, part >= HALF)
        self._learn_phase(value * GRID_UNIT - place)
        return value

    def _learn_phase(self, least: int) -> None:
        """The phase is at least `least` and less than `least` + one step above what it was taken for: this cuts the
        doubt.
        """
        low, high = max(-self.doubt, least), min(self.doubt, least + GRID_UNIT - 1)
        if low > high:  # the grid has moved more than thought possible: just so far
            low = high = least if least > 0 else least + GRID_UNIT - 1
        self.phase += low + high >> 1
        self.doubt = (high - low >> 1) + self.drift

    def _code(self, coder: BitCoder, value: int) -> int:
        last = self.last
        if last is None:
            centre = self.prior.centre
            value = centre + code_signed(coder, self.cells, FIRST, value - centre)
            if value == centre:  # often where a point rests: no rain, night, a full gauge
                self.known, self.activity = True, 0
        else:
            a, b = self.slopes
            guess = last + (a * self.change + b * self.before + 8 >> 4)
            rest = self._residual(coder, value - guess)
            value = guess + rest
            self.before, self.change, self.rest = self.change, value - last, rest
            self.activity = self.activity + 16 * abs(rest) >> 1
        self.last = value
        return value

    def _residual(self, coder: BitCoder, rest: int) -> int:
        """Zero?, same sign as the residual before?, bit length in unary, then the bits below the highest."""
        cells, bit = self.cells, coder.bit
        at = min((self.activity >> 2).bit_length(), ACTIVITIES - 1) * STRIDE if self.known else UNKNOWN
        self.known = True
        if bit(cells, at, rest == 0):
            return 0
        size = abs(rest)
        before = self.rest
        if before:
            same = bit(cells, SIGN + min(abs(before).bit_length(), SIGNS - 1), (rest < 0) == (before < 0))
            negative = (before < 0) == bool(same)
        else:
            negative = bool(bit(cells, SIGN, rest < 0))
        count = coder.unary(cells, at, size.bit_length(), CLASSES)
        size = self._mantissa(coder, size, count)
        return -size if negative else size

    def _mantissa(self, coder: BitCoder, size: int, count: int) -> int:
        """The `count` bits of a number whose highest is 1; the next two are modelled."""
        if count == 1:
            return 1
        number = 2 | coder.bit(self.cells, MANTISSA + min(count, 4) - 2, size >> count - 2 & 1)
        if count == 2:
            return number
        number = number << 1 | coder.bit(self.cells, MANTISSA + 1 + number, size >> count - 3 & 1)
        left = count - 3
        return number << left | coder.raw(size & (1 << left) - 1, left) if left else number

    def _off_grid(self, coder: BitCoder, off: int, near: int, upper: bool) -> int:
        """How far the value is from where its grid line rounds to: mostly 0."""
        cells, bit = self.cells, coder.bit
        if not bit(cells, GRID + near, off != 0):
            return 0
        negative = bit(cells, OFF_SIGN + upper, off < 0)
        size = 1
        while bit(cells, OFF_MORE, abs(off) > size):
            size += 1
            if size > MAX_OFF_GRID:
                raise WireError("a coded number is too far off its grid")
        return -size if negative else size


@functools.lru_cache(maxsize=1024)
def prior_of(raw: bytes) -> Prior:
    """The prior of a point on the sheet, read once."""
    return Prior.decode(raw)
