"""One point in the registers of a Modbus device: the inverse of what its site file says, and what they then really say.

A value is rounded to the point's step, then to what the registers can hold, put in order, and read back the way the
device's manual would: raw * scale + offset in exact fractions. What is read back is what the instrument showed. Written
apart from the driver, so that a mistake there is not repeated here. Pure.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from edge.contract import Point
from sim.instrument import Source
from sim.modbus_slave import encode_words

KEPT = 4096  # values a point remembers: instruments show the same few thousand again and again
TIE = 1e-6  # steps: a value so near to half a step would be rounded one way or the other by chance
TRIED_STEPS = (0, 1, -1, 2, -2)  # beside the value that is meant: marks for "no value" and ties are walked round
ROUNDING = 2**-50  # of a value in steps: how far the gateway's own arithmetic in doubles may be off
LARGEST = 10**300  # beyond, a value is no number to anybody
BITS_OF = {"u16": 16, "i16": 16, "bool": 16, "bcd16": 16, "u32": 32, "i32": 32, "f32": 32, "bcd32": 32}
FLOATS = {"f32": ("f", 3.4028234e38), "f64": ("d", 1.7976931348623157e308)}
BIT_TABLES = ("coil", "discrete")

Carried = tuple[tuple[int, ...] | None, float | None]  # words to write (None: none say it), value they show (None: no)


class Register:
    """`point` in the device's `table` from `address`, `count` words (or bits). `mask`: which bits of a word are its."""

    def __init__(self, point: Point, settings: Any, source: Source) -> None:
        self.id = point.id
        self.source = source
        self.table: str = settings.table
        self.address: int = settings.register
        self.is_bit = self.table in BIT_TABLES
        self.kind: str = settings.type or ("bool" if self.is_bit else "u16")
        self.bits = 1 if self.is_bit else BITS_OF.get(self.kind, 64)
        self.count = max(1, self.bits // 16)
        self.order: str = settings.order
        self.bit: int | None = settings.bit
        self.mask = 0xFFFF
        if self.bit is not None:
            self.mask = 1 << (self.bit ^ 8 if self.order in ("BADC", "DCBA") else self.bit)
        self.leads = True  # False: another point's registers are the same, it only tells what they say
        self._marks = tuple(settings.invalid)
        scale, offset, step = (Fraction(it) for it in (repr(settings.scale), repr(settings.offset), point.step))
        self._per_step = float(1 / point.step)
        # All in whole numbers: raw = (steps * up + add) / down; value = (raw * scale_up + offset_up) / under
        first, each = -offset / scale, step / scale
        self._down = math.lcm(first.denominator, each.denominator)
        self._up, self._add = int(each * self._down), int(first * self._down)
        self._under = math.lcm(scale.denominator, offset.denominator)
        self._scale_up, self._offset_up = int(scale * self._under), int(offset * self._under)
        self._step = step
        self._kept: dict[int, Carried] = {}
        self.cells: dict[int, int] = {}  # the device's table
        self._is_word = self.count == 1 and self.mask == 0xFFFF

    def write(self, words: tuple[int, ...]) -> None:
        """Puts words where they belong; of a word whose bits are several points', its own."""
        if self._is_word:
            self.cells[self.address] = words[0]
        elif self.mask != 0xFFFF:
            self.cells[self.address] = self.cells[self.address] & ~self.mask | words[0]
        else:
            self.cells.update(enumerate(words, self.address))

    def words(self) -> list[int]:
        """What stands there now."""
        return [self.cells[self.address + i] for i in range(self.count)]

    def carry(self, value: float) -> Carried:
        """The words for a value, and the value they show."""
        try:
            steps = round(value * self._per_step)
        except (ValueError, OverflowError):
            return self._nothing()
        found = self._kept.get(steps)
        if found is None:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            found = self._kept[steps] = self._carry_near(steps)
        return found

    def _carry_near(self, steps: int) -> Carried:
        found: Carried = (None, None)
        for away in TRIED_STEPS:
            words = self._words(steps + away)
            exact = self._exact(words)
            if exact is None:
                continue
            found = (words, exact[0] / exact[1])
            if not self._is_tie(*exact):
                return found
        return found if found[0] is not None else self._nothing()

    def _is_tie(self, over: int, under: int) -> bool:
        """Whether over / under is half a step beside a whole one."""
        over, under = over * self._step.denominator, under * self._step.numerator
        return abs(2 * (over % under) / under - 1) < 2 * max(TIE, abs(over / under) * ROUNDING)

    def _words(self, steps: int) -> tuple[int, ...]:
        over, under = steps * self._up + self._add, self._down
        if self.is_bit or self.bit is not None or self.kind == "bool":
            is_on = over * 2 > under
            return (self.mask if is_on and self.bit is not None else int(is_on),)
        if self.kind in FLOATS:
            most = int(FLOATS[self.kind][1])
            within = min(most * under, max(-most * under, over))
            return tuple(encode_words(within / under, self.kind, self.order))
        return self._words_of((2 * over + under) // (2 * under))

    def _words_of(self, raw: int) -> tuple[int, ...]:
        if self.kind.startswith("bcd"):
            raw = min(raw, 10 ** (self.bits // 4) - 1)
        return tuple(encode_words(raw, self.kind, self.order))

    def _nothing(self) -> Carried:
        """How the device says that it has no value: by its mark, or by what is no number; None: it cannot."""
        if self.kind.startswith("bcd"):
            return (0xFFFF,) * self.count, None
        if self._marks and not self.is_bit and self.bit is None and self.kind != "bool":
            mark = self._marks[0]
            if self.kind[0] == "i" and mark >= 1 << self.bits - 1:
                mark -= 1 << self.bits
            words = tuple(encode_words(mark, self.kind, self.order))
            return (words, None) if self._exact(words) is None else (None, None)
        if self.kind in FLOATS:
            return tuple(encode_words(math.nan, self.kind, self.order)), None
        return None, None

    def shows(self, words: Sequence[int]) -> float | None:
        """What words say, whoever has written them."""
        exact = self._exact(words)
        return None if exact is None else exact[0] / exact[1]

    def _exact(self, words: Sequence[int]) -> tuple[int, int] | None:
        """What words say, as a fraction."""
        raw = self._raw(words)
        if raw is None or raw in self._marks:
            return None
        if self.kind[0] == "i" and raw < 0 and raw + (1 << self.bits) in self._marks:
            return None
        over, under = raw.as_integer_ratio()
        over, under = over * self._scale_up + self._offset_up * under, under * self._under
        return (over, under) if abs(over) < LARGEST * under else None

    def _raw(self, words: Sequence[int]) -> int | float | None:
        if self.is_bit:
            return words[0]
        if self.bit is not None:
            return int(bool(words[0] & self.mask))
        if self.kind == "bool":
            return int(words[0] != 0)
        data = self._bytes(words)
        if self.kind in FLOATS:
            number: float = struct.unpack(">" + FLOATS[self.kind][0], data)[0]
            return number if math.isfinite(number) else None
        if self.kind.startswith("bcd"):
            digits = data.hex()
            return int(digits) if digits.isdecimal() else None
        return int.from_bytes(data, "big", signed=self.kind[0] == "i")

    def _bytes(self, words: Sequence[int]) -> bytes:
        """Most significant first."""
        ordered = words if self.order in ("ABCD", "BADC") else words[::-1]
        return b"".join(word.to_bytes(2, "big" if self.order in ("ABCD", "CDAB") else "little") for word in ordered)
