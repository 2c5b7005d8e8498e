"""A binary range coder with adaptive cells, the same calls for both ways.

Model code is written once: `coder.bit(cells, i, bit)` codes a yes or no with the adaptive cell `cells[i]` and returns
it; an Encoder takes `bit`, a Decoder ignores it and returns what it read. `unary(cells, at, size, last)` codes a size
(1 or more) as one such bit for each "still longer?"; `raw(value, bits)` codes even bits. Only whole numbers decide
anything, so every machine decodes alike. FORMAT.md section 5 is the contract; carries are handled as in LZMA.

A cell is one int: probability of a 1 in 1/65536 times 32, plus how often it was used (which sets how fast it learns).
"""

from __future__ import annotations

from typing import Protocol

from edge.wire.basics import WireError

TOP = 1 << 24  # below this the range is widened by one byte
MASK32 = 0xFFFF_FFFF
OVERREAD_BYTES = 4  # a decoder holds 32 bits: it may look that far past the end, where zeros stand

USES_BITS = 5
USES_MASK = (1 << USES_BITS) - 1
P_MIN, P_MAX = 24, 65536 - 24
# step = error * RATE[uses] / 65536: after n uses a plain average of what was seen, at last a slow exponential one
RATE = tuple(65536 * 2 // (2 * n + 3) for n in range(USES_MASK + 1))
MAX_SIZE = 64  # of what `unary` codes, bit lengths: seqs have 63 bits, residuals of values 55
TOO_LONG = "a coded number is too long"
LIMIT = 30  # uses are counted up to here: the last rate is 1/31.5


def cell(probability: int, uses: int = 0) -> int:
    """A fresh cell: `probability` of a 1 in 1/65536 (P_MIN..P_MAX), trusted as if `uses` bits had been seen."""
    return min(max(probability, P_MIN), P_MAX) << USES_BITS | uses


def learn(state: int, bit: int) -> int:
    """The cell after `bit`."""
    uses = state & USES_MASK
    p = state >> USES_BITS
    p += ((65536 - p if bit else -p) * RATE[uses]) >> 16
    p = P_MIN if p < P_MIN else P_MAX if p > P_MAX else p
    return p << USES_BITS | (uses + 1 if uses < LIMIT else uses)


class BitCoder(Protocol):
    """What model code needs: Encoder, Decoder, and the meters of `fit`."""

    def bit(self, cells: list[int], index: int, bit: int | bool, /) -> int: ...
    def unary(self, cells: list[int], at: int, size: int, last: int, /) -> int: ...
    def raw(self, value: int, bits: int, /) -> int: ...


class BitByBit:
    """`unary` by `bit`: what it is. Encoder and Decoder spell it out, for it is most of what coding takes."""

    def bit(self, _cells: list[int], _index: int, _bit: int | bool, /) -> int:
        raise NotImplementedError

    def unary(self, cells: list[int], at: int, size: int, last: int) -> int:
        """The size, by a bit for each length: is it longer than k? at `cells[at + k]`, from `last` on always the same.
        Raises WireError beyond MAX_SIZE."""
        count = 1
        while self.bit(cells, at + min(count, last), size > count):
            count += 1
            if count > MAX_SIZE:
                raise WireError(TOO_LONG)
        return count


class Encoder:
    """Collects one row's decisions, then `commit()` turns them into bytes. `mark`/`back` undo whole rows."""

    def __init__(self) -> None:
        self.low = 0
        self.range = MASK32
        self.cache = -1
        self.pending = 0
        self.out = bytearray()
        self.todo: list[int] = []  # p << 1 | bit, or -1 - (value << 5 | bits)

    def bit(self, cells: list[int], index: int, bit: int | bool) -> int:
        state = cells[index]
        self.todo.append((state >> USES_BITS) << 1 | bit)
        cells[index] = learn(state, bit)
        return bit

    def unary(self, cells: list[int], at: int, size: int, last: int) -> int:
        """As BitByBit, with `bit` written out. Raises WireError."""
        if size > MAX_SIZE:
            raise WireError(TOO_LONG)
        note = self.todo.append
        for count in range(1, size):
            index = at + (count if count < last else last)
            uses, p = cells[index] & USES_MASK, cells[index] >> USES_BITS
            note(p << 1 | 1)
            p += (65536 - p) * RATE[uses] >> 16  # from here as in `learn`
            cells[index] = (p if p < P_MAX else P_MAX) << USES_BITS | (uses + 1 if uses < LIMIT else uses)
        self.bit(cells, at + (size if size < last else last), 0)
        return size

    def raw(self, value: int, bits: int) -> int:
        """`bits` (0..64) even bits of `value`, highest first, at most 16 at a time."""
        while bits > 0:
            width = (bits - 1) % 16 + 1
            bits -= width
            self.todo.append(-1 - ((value >> bits & (1 << width) - 1) << 5 | width))
        return value

    def commit(self) -> None:
        """Codes what has been collected since the last commit."""
        low, span = self.low, self.range
        for item in self.todo:
            if item >= 0:
                bound = (span >> 16) * (item >> 1)
                if item & 1:
                    span = bound
                else:
                    low += bound
                    span -= bound
            else:
                item = -1 - item
                span >>= item & 31
                low += span * (item >> 5)
            while span < TOP:
                span <<= 8
                if low < 0xFF00_0000 or low > MASK32:
                    self._emit(low >> 32)
                    self.cache = low >> 24 & 0xFF
                else:
                    self.pending += 1
                low = (low & 0xFF_FFFF) << 8
        self.low, self.range = low, span
        self.todo.clear()

    def _emit(self, carry: int) -> None:
        if self.cache >= 0:
            self.out.append(self.cache + carry & 0xFF)
        if self.pending:
            self.out += bytes([0xFF + carry & 0xFF]) * self.pending
            self.pending = 0

    def mark(self) -> tuple[int, int, int, int, int]:
        return self.low, self.range, self.cache, self.pending, len(self.out)

    def back(self, mark: tuple[int, int, int, int, int]) -> None:
        """Returns to a `mark`: what was coded since is undone (cells are not)."""
        self.low, self.range, self.cache, self.pending, length = mark
        del self.out[length:]
        self.todo.clear()

    def fork(self) -> Encoder:
        """A copy that can be ended without ending this one."""
        other = Encoder()
        other.low, other.range, other.cache, other.pending = self.low, self.range, self.cache, self.pending
        other.out = bytearray(self.out)
        return other

    def moved_bytes(self) -> int:
        """By how many bytes the coder has been widened; `finish()` gives at most one more than these."""
        return len(self.out) + (self.cache >= 0) + self.pending

    def finish(self, length: int = 0) -> bytes:
        """The shortest bytes of at least `length` that decode to all that was committed, zeros standing after them."""
        for count in range(5):
            mask = (1 << 32 - 8 * count) - 1
            value = (self.low + mask) & ~mask
            if value < self.low + self.range:
                break
        self._emit(value >> 32)
        return (bytes(self.out) + (value & MASK32).to_bytes(4, "big")[:count]).ljust(length, b"\0")


class Decoder:
    """Reads what an Encoder wrote. Raises WireError once it would have to look too far past the
    end.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 4
        self.range = MASK32
        self.code = int.from_bytes((data[:4] + b"\0\0\0\0")[:4], "big")
        self.end = len(data)

    def bit(self, cells: list[int], index: int, _bit: int | bool = 0) -> int:
        state = cells[index]
        bound = (self.range >> 16) * (state >> USES_BITS)
        if self.code < bound:
            self.range = bound
            bit = 1
        else:
            self.code -= bound
            self.range -= bound
            bit = 0
        cells[index] = learn(state, bit)
        if self.range < TOP:
            self._widen()
        return bit

    def unary(self, cells: list[int], at: int, _size: int, last: int) -> int:
        """As BitByBit, with `bit` written out. Raises WireError."""
        for count in range(1, MAX_SIZE + 1):
            index = at + (count if count < last else last)
            uses, p = cells[index] & USES_MASK, cells[index] >> USES_BITS
            bound = (self.range >> 16) * p
            if self.code >= bound:
                self.bit(cells, index)
                return count
            self.range = bound
            p += (65536 - p) * RATE[uses] >> 16  # from here as in `learn`
            cells[index] = (p if p < P_MAX else P_MAX) << USES_BITS | (uses + 1 if uses < LIMIT else uses)
            if bound < TOP:
                self._widen()
        raise WireError(TOO_LONG)

    def raw(self, _value: int, bits: int) -> int:
        value = 0
        while bits > 0:
            width = (bits - 1) % 16 + 1
            self.range >>= width
            part = min(self.code // self.range, (1 << width) - 1)
            self.code -= part * self.range
            value = value << width | part
            bits -= width
            if self.range < TOP:
                self._widen()
        return value

    def _widen(self) -> None:
        while self.range < TOP:
            byte = self.data[self.at] if self.at < self.end else 0
            self.at += 1
            if self.at > self.end + OVERREAD_BYTES:
                raise WireError("coded rounds end too early")
            self.code = (self.code << 8 | byte) & MASK32
            self.range <<= 8

    def moved_bytes(self) -> int:
        """By how many bytes the coder has been widened, as the encoder counts them."""
        return self.at - 4

    def finish(self) -> None:
        """Raises WireError when bytes are left that nothing has read."""
        if self.at < self.end:
            raise WireError(f"{self.end - self.at} bytes too many after the coded rounds")
