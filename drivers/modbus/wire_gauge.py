"""Vibrating wire: from a wire's frequency and its temperature to pressure, strain or load. Pure.

    value = k · (f0² − f²) + a · (R² − R0²) + b · (T − t0),   R = f² / 1000 ("digits"), R0 likewise at zero

The constants stand on the calibration sheet of the one sensor and nowhere else. Sheets have the factor either for Hz²
(then `k` and `f0`) or for digits (then `g` and `r0`: k = g / 1000, f0² = 1000 · r0). The factor is positive where the
value rises as the frequency falls. A sheet with a polynomial A·R² + B·R + C is `a` = A, `g` = −B, and C is what the
zero reading `r0` makes of it.
Fact: the linear form is common knowledge of the field, not read in a standard; the sheet decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

HZ2_PER_DIGIT = 1000.0
MOST_HZ = 1e6  # a wire sings at some kHz: beyond, the zero is surely not meant
MOST_DIGITS = MOST_HZ * MOST_HZ / HZ2_PER_DIGIT

Factor = Annotated[float, Meta(description="From the calibration sheet")]


class VibratingWire(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The key `vibrating_wire` of a point whose register holds a frequency in Hz. Exactly one pair: k and f0, or g and
    r0; `b`, `t0` and `temperature` (the id of a point of the same device, in the sheet's unit) all or none."""

    k: Factor | None = None
    f0: Annotated[float, Meta(gt=0, description="Hz at zero")] | None = None
    g: Factor | None = None
    r0: Annotated[float, Meta(gt=0, description="Digits (f² / 1000) at zero")] | None = None
    a: Factor = 0.0
    b: Factor = 0.0
    t0: Annotated[float, Meta(description="Temperature at zero")] | None = None
    temperature: str = ""


def problems(wire: VibratingWire) -> Iterator[str]:
    """Sentences about constants that are wrong together."""
    hertz, digits = (wire.k, wire.f0), (wire.g, wire.r0)
    if not (_whole(hertz) and _empty(digits)) and not (_whole(digits) and _empty(hertz)):
        yield "vibrating_wire needs k and f0 (sheets in Hz²) or g and r0 (sheets in digits), from the calibration sheet"
    elif (wire.g if wire.k is None else wire.k) == 0:
        yield "vibrating_wire: a factor of 0 would show the same value at every frequency"
    elif (wire.f0 or 0.0) > MOST_HZ or (wire.r0 or 0.0) > MOST_DIGITS:
        yield "vibrating_wire: a wire sings at some kHz at zero; f0 is in Hz, r0 in digits (f² / 1000)"
    if wire.b and (wire.t0 is None or not wire.temperature):
        yield "vibrating_wire: b needs t0 and temperature (a point of this device); without them write b = 0"


def converter(wire: VibratingWire) -> Callable[[float, float | None], float | None]:
    """(frequency in Hz, temperature) -> value; None where the temperature is needed and there is none. Never raises: of
    a frequency that is none the value is infinite or NaN."""
    g = (wire.g or 0.0) if wire.k is None else wire.k * HZ2_PER_DIGIT
    r0 = (wire.r0 or 0.0) if wire.f0 is None else wire.f0 * wire.f0 / HZ2_PER_DIGIT
    a, b, t0 = wire.a, wire.b, wire.t0 or 0.0

    def value(frequency_hz: float, temperature: float | None) -> float | None:
        if b and temperature is None:
            return None
        digits = frequency_hz * frequency_hz / HZ2_PER_DIGIT  # not **2, which raises on what a register may hold (f64)
        corrected = b * (temperature - t0) if b and temperature is not None else 0.0
        return g * (r0 - digits) + a * (digits * digits - r0 * r0) + corrected

    return value


def _whole(pair: tuple[float | None, float | None]) -> bool:
    return None not in pair


def _empty(pair: tuple[float | None, float | None]) -> bool:
    return pair == (None, None)
