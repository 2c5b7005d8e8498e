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
        self._scale, self._offset = Fraction(repr(settings.scale)), Fraction(repr(settings.offset))
        self._step = Fraction(point.step)
        self._per_step = float(1 / point.step)
        self._per_raw = self._step / self._scale
        self._first_raw = -self._offset / self._scale
        self._kept: dict[int, Carried] = {}

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
            found = (words, float(exact))
            if not self._is_tie(exact):
                return found
        return found if found[0] is not None else self._nothing()

    def _is_tie(self, exact: Fraction) -> bool:
        steps = exact / self._step
        return abs(abs(steps - round(steps)) - Fraction(1, 2)) < max(TIE, abs(steps) * 2**-50)

    def _words(self, steps: int) -> tuple[int, ...]:
        raw = steps * self._per_raw + self._first_raw
        if self.is_bit or self.bit is not None or self.kind == "bool":
            is_on = raw * 2 > 1
            return (self.mask if is_on and self.bit is not None else int(is_on),)
        if self.kind in FLOATS:
            most = Fraction(FLOATS[self.kind][1])
            return tuple(encode_words(float(min(most, max(-most, raw))), self.kind, self.order))
        if self.kind.startswith("bcd"):
            raw = Fraction(min(round(raw), 10 ** (self.bits // 4) - 1))
        return tuple(encode_words(round(raw), self.kind, self.order))

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
        return None if exact is None else float(exact)

    def _exact(self, words: Sequence[int]) -> Fraction | None:
        raw = self._raw(words)
        if raw is None or raw in self._marks:
            return None
        if self.kind[0] == "i" and raw < 0 and raw + (1 << self.bits) in self._marks:
            return None
        exact = Fraction(raw) * self._scale + self._offset
        return exact if abs(exact) < LARGEST else None

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
