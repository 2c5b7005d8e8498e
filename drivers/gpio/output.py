"""A pin that is switched, and its level read back. A `contract.Output`.

The read-back shows the pin, where the chip can see it (a Raspberry Pi's can): one that is shorted, or driven from
outside. What the relay and its contact do nobody sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from drivers.gpio import why_not
from edge import gpio
from edge.contract import Switched

SETTLE_S = 0.001  # a pin with a flat cable and an optocoupler on it is there after some µs
WORDS = {True: "on", False: "off"}


class GpioSwitch:
    """One output."""

    hold_s: float | None = None
    readable = True

    def __init__(self, place: gpio.Place) -> None:
        self._place = place
        self._line = gpio.Line(place, output=True)
        self._counts = dict.fromkeys(("orders", "done", "wrong", "unknown", "reads"), 0)

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        self._counts["orders"] += 1
        try:
            self._line.set(on)
        except OSError as error:
            self._counts["unknown"] += 1
            return Switched(None, why_not(self._place, error))
        await asyncio.sleep(SETTLE_S)
        got = await self.read()
        if got.on is on:
            self._counts["done"] += 1
            return got
        self._counts["unknown" if got.on is None else "wrong"] += 1
        why = got.why or f"was switched {WORDS[on]}, but its pin is {WORDS[not on]}: is it shorted, or driven by more?"
        return Switched(got.on, why)

    async def read(self) -> Switched:
        self._counts["reads"] += 1
        try:
            return Switched(self._line.get())
        except OSError as error:
            return Switched(None, why_not(self._place, error))

    def health(self) -> Mapping[str, Any]:
        return dict(self._counts)
