"""The models of a round's values: each point is predicted from its own past in the packet, the rest is range coded.

One `Columns` lives as long as one packet. FORMAT.md section 6 is the contract. Whole numbers only; nothing here knows
seqs, times or qualities.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.contract import MAX_STEPS
from edge.wire.basics import WireError
from edge.wire.rangecoder import Coder, cell
from edge.wire.sheet import SheetPoint

MAX_CLASS = 64  # bit length of a coded number: seqs have 63 bits, residuals of values 55
SIGNED_CELLS = MAX_CLASS + 3


def signed_cells(small: int = 40000, more: int = 40000) -> list[int]:
    """Cells for `code_signed`: zero, sign, then one for each class."""
    return [cell(small), cell(32768)] + [cell(more)] * (MAX_CLASS + 1)


def code_signed(coder: Coder, cells: list[int], at: int, value: int) -> int:
    """Zero?, sign, bit length in unary, then the bits below the highest as they are (exp-Golomb, adaptive)."""
    if coder.bit(cells, at, value == 0):
        return 0
    negative = coder.bit(cells, at + 1, value < 0)
    size = abs(value).bit_length()
    count = 1
    while coder.bit(cells, at + 1 + count, size > count):
        count += 1
        if count > MAX_CLASS:
            raise WireError("a coded number is too long")
    number = 1 << count - 1 | coder.raw(abs(value) & (1 << count - 1) - 1, count - 1)
    return -number if negative else number


class Columns:
    """Codes the values of rows, one after the other; both ways."""

    def __init__(self, points: Sequence[SheetPoint]) -> None:
        self.points = [_Point() for _ in points]

    def code(self, coder: Coder, index: int, value: int) -> int:
        """The value of point `index` in this row: given (encoding) or found (decoding; then `value` is ignored)."""
        return self.points[index].code(coder, value)


class _Point:
    def __init__(self) -> None:
        self.first = signed_cells(1000, 60000)
        self.cells = signed_cells() * 4
        self.last: int | None = None
        self.context = 0

    def code(self, coder: Coder, value: int) -> int:
        if self.last is None:
            value = code_signed(coder, self.first, 0, value)
        else:
            rest = code_signed(coder, self.cells, self.context * SIGNED_CELLS, value - self.last)
            value = self.last + rest
            self.context = min((abs(rest).bit_length() + 1) // 2, 3)
        if not -MAX_STEPS <= value <= MAX_STEPS:
            raise WireError(f"value {value} is beyond 2**53 steps")
        self.last = value
        return value
