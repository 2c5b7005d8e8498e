"""Listens to a port for the lines of one instrument and yields what they say, as they come.

A line that starts or ends in silence is told from one cut short by time: after HALF_LINE_S without a byte an unfinished
line is thrown away, so that half a line and the next one never make one number together. Everything thrown away is
counted by kind. No caching, no repeats: who listens decides what silence means.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal
from typing import Any

from drivers.serial_line import LineDevice, LinePoint
from drivers.serial_line.wire import (
    Line,
    Noise,
    Sentence,
    Splitter,
    read_nmea,
    read_number,
    read_pattern,
    read_separated,
)
from edge.contract import DeviceSpec, OpenPort, Port, PortSettings, Quality, Reading

# Longer than any pause inside a line (terminal servers hold bytes up to 0.2 s), shorter than an instrument takes to
# restart in the middle of one.
HALF_LINE_S = 1.0
SHOWN_CHARACTERS = 120  # of the last line, for the technician


class LineSensor:
    """contract.ListenedSensor of one device."""

    def __init__(self, device: DeviceSpec, port: PortSettings, open_port: OpenPort) -> None:
        settings: LineDevice = device.settings
        self._settings = settings
        self._points: Mapping[str, LinePoint] = device.points
        self._pattern = re.compile(settings.pattern, re.ASCII)
        self._port, self._open_port = port, open_port
        self._counts: Counter[str] = Counter(lines=0, used=0, other=0, unreadable=0, bytes=0)
        self._noise: Counter[str] = Counter()
        self._last_line = ""

    def health(self) -> Mapping[str, Any]:
        """`lines` whole, of these `used`, or `other` (not ours); `unreadable` fields; `noise` by kind."""
        return {**self._counts, "noise": dict(self._noise), "last_line": self._last_line}

    async def listen(self) -> AsyncGenerator[list[Reading], None]:
        """Opens the port and yields the readings of each line that has any. Raises PortLost."""
        port = await self._open_port(self._port)
        splitter = Splitter()
        try:
            while True:
                for item in await self._next(port, splitter):
                    readings = self._read(item)
                    if readings:
                        yield readings
        finally:
            port.close()

    async def _next(self, port: Port, splitter: Splitter) -> list[Line | Noise]:
        """The lines completed by the next bytes, with silence before them taken into account."""
        try:
            async with asyncio.timeout(HALF_LINE_S):
                data = await port.read()
        except TimeoutError:
            half = splitter.begin()
            if half is not None:
                return [half]
            data = await port.read()
        self._counts["bytes"] += len(data)
        return splitter.feed(data)

    def _read(self, item: Line | Noise) -> list[Reading]:
        self._last_line = item.raw[:SHOWN_CHARACTERS].decode("latin-1")
        if isinstance(item, Noise):
            self._noise[item.why] += 1
            return []
        self._counts["lines"] += 1
        if not item.raw.startswith(self._settings.starts_with.encode("latin-1", "replace")):
            self._counts["other"] += 1
            return []
        texts = self._texts(item.raw)
        if isinstance(texts, Noise):
            self._noise[texts.why] += 1
            return []
        self._counts["used" if texts else "other"] += 1
        return [self._reading(point, text) for point, text in texts.items()]

    def _texts(self, raw: bytes) -> dict[str, str | None] | Noise:
        """Point id -> its text in this line; None where the line has no such field or calls itself invalid."""
        if self._settings.format == "nmea":
            sentence = read_nmea(raw)
            return sentence if isinstance(sentence, Noise) else self._sentence_texts(sentence)
        if self._settings.format == "pattern":
            groups = read_pattern(raw, self._pattern)
            return groups if isinstance(groups, Noise) else {p: groups.get(s.group) for p, s in self._points.items()}
        fields = read_separated(raw, self._settings.separator)
        if self._settings.fields not in (None, len(fields)):
            return Noise(raw, "wrong number of fields")
        return {point: _field(fields, settings) for point, settings in self._points.items()}

    def _sentence_texts(self, sentence: Sentence) -> dict[str, str | None]:
        return {
            point: _field(sentence.fields, settings) if sentence.valid else None
            for point, settings in self._points.items()
            if sentence.answers(settings.sentence)
        }

    def _reading(self, point: str, text: str | None) -> Reading:
        settings = self._points[point]
        if text is not None and text.strip() not in settings.invalid:
            number = read_number(text)
            if number is not None:
                return Reading(point, _scaled(number, settings))
        self._counts["unreadable"] += 1
        return Reading(point, None, Quality.REFUSED)


def _field(fields: tuple[str, ...], settings: LinePoint) -> str | None:
    place = settings.field
    return fields[place] if place is not None and place < len(fields) else None


def _scaled(number: Decimal, settings: LinePoint) -> float:
    """number * scale + offset in decimal, so that 1234 at scale 0.01 is 12.34 and not 12.340000000000002."""
    return float(number * Decimal(repr(settings.scale)) + Decimal(repr(settings.offset)))
