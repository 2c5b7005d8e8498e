"""The pins of the world's box: relays of a site that hang on a GPIO line. This machine's own chips are never touched.

They are read and switched as a Raspberry Pi's with dtparam=strict_gpiod: off when whoever holds them dies. A line that
is no output (a power-fail line) shows nothing wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self
from unittest import mock

from edge import gpio
from edge.config.site import Site
from sim.world.nouns import Record


class Pins(contextlib.ExitStack):
    """All pins of a site, while it is entered."""

    def __init__(self, site: Site, record: Record) -> None:
        super().__init__()
        self._record = record
        self._on: set[str] = set()
        self._output: dict[tuple[str, int], str] = {}
        for output in site.outputs:
            if place := gpio.place_of(getattr(output.spec.settings, "line", "")):
                self._output[place.chip, place.offset] = output.id
                record.switched[output.id] = []

    def __enter__(self) -> Self:
        self.enter_context(mock.patch.object(gpio.Line, "get", lambda line: self._id(line.place) in self._on))
        self.enter_context(mock.patch.object(gpio.Line, "set", lambda line, on: self._set(self._id(line.place), on)))
        return self

    def fall(self) -> None:
        """Who holds them is dead."""
        for output in sorted(self._on):
            self._set(output, False)

    def _id(self, place: gpio.Place) -> str:
        return self._output.get((place.chip, place.offset), "")

    def _set(self, output: str, on: bool) -> None:
        if on == (output in self._on):
            return
        self._on ^= {output}
        at_s = asyncio.get_running_loop().time()
        self._record.switched[output].append((at_s, on))
        self._record.note(at_s, f"{output} is {'on' if on else 'off'}")
