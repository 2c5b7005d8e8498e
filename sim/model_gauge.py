"""A vibrating wire in the registers of a logger: the frequency that a pressure makes, and what its sheet makes of that.

The logger shows a frequency; the pressure is what a reader computes, with the temperature that the logger shows beside
it. Written apart from the driver, from the sheet's own formula. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edge.contract import Point
from sim.instrument import Source
from sim.model_registers import Carried, Register


class GaugeRegister(Register):
    """`sim.model_registers.Register` of a point with `vibrating_wire`; `temperature` is the register of the point that
    corrects it, where there is one."""

    def __init__(self, point: Point, settings: Any, source: Source) -> None:
        super().__init__(point, settings, source)
        self._sheet = settings.vibrating_wire
        self._hertz_scale, self._hertz_offset = float(settings.scale), float(settings.offset)
        self.temperature: Register | None = None

    def carry(self, value: float) -> Carried:
        """The words for the frequency that means `value` at the temperature shown now, and the value they then mean."""
        hertz = self._hertz(value, self._degrees())
        if hertz is None:
            return self._nothing()
        raw = round((hertz - self._hertz_offset) / self._hertz_scale)
        words = self._words_of(raw)
        return words, self.shows(words)

    def shows(self, words: Sequence[int]) -> float | None:
        hertz = super().shows(words)
        if hertz is None:
            return None
        sheet, degrees = self._sheet, self._degrees()
        if sheet.k is not None:
            value = sheet.k * (sheet.f0 * sheet.f0 - hertz * hertz)
            zero_digits = sheet.f0 * sheet.f0 / 1000
        else:
            value = sheet.g * (sheet.r0 - hertz * hertz / 1000)
            zero_digits = sheet.r0
        value += sheet.a * ((hertz * hertz / 1000) ** 2 - zero_digits**2)
        if sheet.b:
            if degrees is None:
                return None
            value += sheet.b * (degrees - sheet.t0)
        return float(value)

    def _degrees(self) -> float | None:
        other = self.temperature
        return None if other is None else other.shows(other.words())

    def _hertz(self, value: float, degrees: float | None) -> float | None:
        """The frequency at which the sheet gives `value`; None: at none, or nothing is there to measure."""
        sheet = self._sheet
        if math.isnan(value):
            return None
        bare = value - (sheet.b * (degrees - sheet.t0) if sheet.b and degrees is not None else 0.0)
        factor = sheet.g if sheet.k is None else sheet.k * 1000
        zero = sheet.r0 if sheet.f0 is None else sheet.f0**2 / 1000
        if sheet.a:  # a · R² − factor · R + rest = 0, the root on whose side of the turning point the zero reading is
            rest = factor * zero - sheet.a * zero**2 - bare
            inner = factor**2 - 4 * sheet.a * rest
            if inner < 0:
                return None
            side = math.copysign(1.0, 2 * sheet.a * zero - factor)
            digits = (factor + side * math.sqrt(inner)) / (2 * sheet.a)
        else:
            digits = zero - bare / factor
        return math.sqrt(digits * 1000) if digits > 0 else None
