"""Registers to numbers: types, byte orders, marks for "no value", scale and offset. Pure.

Orders are named by where the bytes A (most significant) to D of a 32-bit value stand on the wire: ABCD, CDAB (words
swapped), BADC (bytes swapped in each word), DCBA (both); 64-bit values likewise, and 16-bit ones have only the byte
swap. Scaling is done in whole numbers and one division, so that 1234 at scale 0.01 is exactly the float 12.34.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

Type = Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "bool"]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]

REGISTERS: dict[str, int] = {
    "u16": 1,
    "i16": 1,
    "bcd16": 1,
    "bool": 1,
    "u32": 2,
    "i32": 2,
    "f32": 2,
    "bcd32": 2,
    "u64": 4,
    "i64": 4,
    "f64": 4,
}
_FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "u64": ">Q", "i64": ">q", "f32": ">f", "f64": ">d"}


def raw_bytes(registers: Sequence[int], order: str) -> bytes:
    """The value's bytes, most significant first. `registers` as received, 0..65535."""
    words = registers if order in ("ABCD", "BADC") else registers[::-1]
    return struct.pack(f"{'>' if order in ('ABCD', 'CDAB') else '<'}{len(words)}H", *words)


def raw_value(registers: Sequence[int], kind: str, order: str, bit: int | None = None) -> int | float | None:
    """What the registers say, unscaled; None: not a number (NaN, infinite, a BCD digit above 9)."""
    data = raw_bytes(registers, order)
    if bit is not None:
        return int.from_bytes(data, "big") >> bit & 1
    if kind == "bool":
        return int(any(data))
    if kind in ("bcd16", "bcd32"):
        digits = data.hex()
        return int(digits) if digits.isdecimal() else None
    value: int | float = struct.unpack(_FORMATS[kind], data)[0]
    return value if math.isfinite(value) else None


Scaler = Callable[[int | float], int | float]


def scaler(scale: float, offset: float) -> Scaler:
    """raw -> raw * scale + offset, with `scale` and `offset` meant as the decimals that the site file shows."""
    if scale == 1 and offset == 0:
        return lambda raw: raw
    scale_up, scale_down = Decimal(repr(scale)).as_integer_ratio()
    offset_up, offset_down = Decimal(repr(offset)).as_integer_ratio()
    down = math.lcm(scale_down, offset_down)
    factor, add = scale_up * (down // scale_down), offset_up * (down // offset_down)
    if down == 1:
        return lambda raw: raw * factor + add

    def scaled(raw: int | float) -> int | float:
        return (raw * factor + add) / down

    return scaled


def is_marked(raw: int | float, kind: str, invalid: Sequence[int]) -> bool:
    """Whether `raw` is one of the device's marks for "no value", written signed or as the bare bits (-1 or 65535)."""
    if raw in invalid:
        return True
    signed = kind in ("i16", "i32", "i64")
    return signed and raw < 0 and raw + (1 << 16 * REGISTERS[kind]) in invalid
