"""An instrument that prints lines by itself, as a site file has it: NMEA 0183, separated fields, or a pattern.

Each line is printed as often as its most frequent point is read, in the middle between two readings, so that there is
no doubt which reading it belongs to. A number is printed such that it is the value in whole steps; what the text then
says, scaled as the site file says, is what was shown. Pure: no clock, no I/O; chance from one seeded generator.

Damage is such that it can be told: an NMEA sentence is damaged where its checksum sees it, and a line without a
checksum gets a NUL, as a UART gives for a character whose frame was broken. A digit that has become another digit
nobody could tell from the truth, so it is not in the world.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import inf
from typing import Any

from edge.contract import DeviceSpec, Point, PortSettings
from sim.instrument import Damage, Faults, Said, Source, dropped, flipped
from sim.model_text import FORMS, Form, PatternLine
from sim.pty import character_s

MOST_DECIMALS = 9
KEPT = 4096  # texts a number remembers
BACKLOG_S = 1.0  # of lines that wait for a slow wire; more are not printed
NUMBER_CHARACTERS = set("0123456789+-.eE")
TALKER = "WI"  # weather instruments
TRIED_STEPS = (0, 1, -1)
# Fields of a sentence that are not values, for those sentences where the reader looks at them.
KNOWN_FIELDS = {"MWV": {2: "R", 4: "M", 5: "A"}, "RMC": {2: "A"}, "GLL": {6: "A"}}


class Number:
    """One point in a line: its value as a text, and what that text says."""

    def __init__(self, point: Point, settings: Any, source: Source) -> None:
        self.id = point.id
        self.every_s = point.every_ms / 1000
        self.settings = settings
        self.source = source
        self._scale, self._offset = Fraction(repr(settings.scale)), Fraction(repr(settings.offset))
        self._per_step = float(1 / point.step)
        self._per_printed = Fraction(point.step) / self._scale
        self._decimals = _decimals(self._per_printed, self._offset / self._scale)
        self.form: Form = FORMS[0]
        self._kept: dict[int, tuple[str, float] | None] = {}
        self.leader: Number | None = None  # another point of the same field, whose text is ours too

    def texts(self, now_s: float, fits: Callable[[str], bool]) -> tuple[str, float] | None:
        """Its text now and the value that it says; None: there is nothing to measure, or it cannot be printed."""
        try:
            steps = round(self.source(now_s) * self._per_step)
        except (ValueError, OverflowError):
            return None
        if steps not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[steps] = self._text_near(steps, fits)
        return self._kept[steps]

    def _text_near(self, steps: int, fits: Callable[[str], bool]) -> tuple[str, float] | None:
        for form in (self.form, *FORMS):
            for away in TRIED_STEPS:
                printed = (steps + away) * self._per_printed - self._offset / self._scale
                text = form.show(round(printed * 10**self._decimals), self._decimals)
                if text not in self.settings.invalid and fits(text):
                    self.form = form
                    return text, float(Fraction(text) * self._scale + self._offset)
        return None

    def reads(self, text: str) -> float | None:
        """What another point's text says for this one."""
        if text in self.settings.invalid or not text:
            return None
        return float(Fraction(text) * self._scale + self._offset)


def _decimals(per_step: Fraction, first: Fraction) -> int:
    """Digits after the point that print every whole step exactly; where none do, a hundredth of a step."""
    for decimals in range(MOST_DECIMALS):
        if (per_step * 10**decimals).denominator == 1 and (first * 10**decimals).denominator == 1:
            return decimals
    return max(0, 2 - math.floor(math.log10(abs(float(per_step)))))


class Format:
    """One kind of line: the numbers in it, and how it is put together. `line(texts)` None: it cannot be printed."""

    def __init__(self, numbers: Sequence[Number], line: Callable[[dict[str, str]], str | None]) -> None:
        self.numbers = tuple(numbers)
        self.line = line
        self.fits: Callable[[str, str], bool] = lambda _id, _text: True
        self.every_s = min((number.every_s for number in numbers), default=inf)
        self.turn = 0

    def due_s(self, now_s: float) -> float:
        """When it is printed next, not before `now_s`."""
        if math.isinf(self.every_s):
            return inf
        if (self.turn + 0.5) * self.every_s < now_s:
            self.turn = math.ceil(now_s / self.every_s - 0.5)
        return (self.turn + 0.5) * self.every_s


class LineModel:
    """`sim.instrument.Model` of the one instrument on a port. Raises ValueError when no line can carry its points."""

    def __init__(self, port: PortSettings, spec: DeviceSpec, points: Sequence[tuple[Point, Source]], seed: str) -> None:
        self.id = spec.id
        self.devices = (spec.id,)
        self.character_s = character_s(port.baud, 1 + port.data_bits + (port.parity != "N") + port.stop_bits)
        if port.open.startswith("tcp:"):
            self.character_s = 0.0
        numbers = [Number(point, spec.points[point.id], source) for point, source in points]
        self._is_nmea = spec.settings.format == "nmea"
        self._formats = _FORMATS[spec.settings.format](spec, numbers)
        self._faults = Faults()
        self._random = random.Random(seed)
        self._free_s = 0.0

    def hear(self, data: bytes, now_s: float) -> list[Said]:
        return []

    def doubt(self, now_s: float) -> None:
        """Nobody asks it anything."""

    def set_faults(self, device: str, faults: Mapping[str, float]) -> None:
        if device != self.id:
            raise KeyError(device)
        self._faults.set(faults)

    def next_s(self, now_s: float) -> float:
        return min((form.due_s(now_s) for form in self._formats), default=inf)

    def say(self, now_s: float) -> list[Said]:
        said = []
        for form in self._formats:
            if form.due_s(now_s) <= now_s:
                form.turn += 1
                said.append(self._print(form, now_s))
        return said

    def damaged(self, data: bytes, how: Damage, chance: random.Random) -> bytes:
        if not self._is_nmea:
            place = chance.randrange(max(1, len(data) - 2))
            return data[:place] + b"\0" + data[place + 1 :]
        first, end = data.rfind(b"$") + 1, data.rfind(b"*")
        if not 0 < first < end:
            return b""
        return (flipped if how == "flip" else dropped)(data, first, end, chance)

    def _print(self, form: Format, now_s: float) -> Said:
        struck = self._faults.strike(self._random)
        ids = [number.id for number in form.numbers]
        start_s = max(0.0, self._free_s - now_s)
        line, values = self._line(form, now_s)
        if line is None or "silence" in struck or "exception" in struck or start_s > BACKLOG_S:
            return Said(0.0, b"", self.id, (), ids)
        data = self._spoil(line.encode("latin-1") + b"\r\n", struck)
        after_s = start_s + len(data) * self.character_s
        self._free_s = now_s + after_s
        clean = not {"crc", "short", "noise"} & struck.keys()
        told = {point for point, _ in values}
        failed = [point for point in ids if not clean or point not in told]
        return Said(after_s + struck.get("late", 0.0), data, self.id, values, failed, clean, "twice" not in struck)

    def _line(self, form: Format, now_s: float) -> tuple[str | None, list[tuple[str, float]]]:
        texts: dict[str, str] = {}
        values = []
        for number in form.numbers:
            texts[number.id], value = self._text(form, number, texts, now_s)
            if value is not None:
                values.append((number.id, value))
        return form.line(texts), values

    def _text(self, form: Format, number: Number, texts: Mapping[str, str], now_s: float) -> tuple[str, float | None]:
        if number.leader is not None:
            text = texts[number.leader.id]
            return text, number.reads(text)
        found = number.texts(now_s, lambda text: form.fits(number.id, text))
        return found or (next(iter(number.settings.invalid), ""), None)

    def _spoil(self, data: bytes, struck: Mapping[str, float]) -> bytes:
        if not struck:
            return data
        if "crc" in struck:
            data = self.damaged(data, "flip", self._random)
        if "short" in struck:
            cut = self._random.randrange(1, max(2, data.rfind(b"*") if self._is_nmea else len(data) - 2))
            data = data[:cut] + (b"" if self._is_nmea else b"\0\r\n")
        if "twice" in struck:
            data += data
        if "noise" in struck:
            data = self._random.randbytes(self._random.randint(1, 20)).translate(None, b"\r\n$!") + b"\0" + data
        return data


def _nmea(spec: DeviceSpec, numbers: Sequence[Number]) -> list[Format]:
    start: str = spec.settings.starts_with
    fixed = dict(enumerate(start.split(",")[1:], 1)) if "," in start else {}  # "$PTNL,VGK": two fields are as given
    sign, talker = ("!" if start.startswith("!") else "$"), (start[1:3] if len(start) >= 3 else TALKER)
    wanted = [number.settings.sentence for number in numbers]
    ids = list(dict.fromkeys(name for name in wanted if len(name) != 3))
    ids += dict.fromkeys(
        talker + name for name in wanted if len(name) == 3 and not any(_answers(whole, name) for whole in ids)
    )
    found = []
    for id_ in ids:
        mine = [number for number in numbers if _answers(id_, number.settings.sentence) and number.settings.field]
        places = {number.id: number.settings.field for number in mine}
        found.append(Format(mine, lambda texts, id_=id_, places=places: _sentence(sign, id_, fixed, places, texts)))  # type: ignore[misc]
    return _shared(found)


def _answers(found: str, wanted: str) -> bool:
    return found == wanted or (len(wanted) == 3 and len(found) == 5 and found[2:] == wanted)


def _sentence(
    sign: str, id_: str, fixed: Mapping[int, str], places: Mapping[str, int], texts: Mapping[str, str]
) -> str:
    fields = {
        0: id_,
        **KNOWN_FIELDS.get(id_[2:], {}),
        **fixed,
        **{places[point]: text for point, text in texts.items()},
    }
    body = ",".join(fields.get(place, "") for place in range(max(fields) + 1))
    total = 0
    for character in body:
        total ^= ord(character)
    return f"{sign}{body}*{total:02X}"


def _separated(spec: DeviceSpec, numbers: Sequence[Number]) -> list[Format]:
    separator: str = spec.settings.separator
    start: str = spec.settings.starts_with
    if NUMBER_CHARACTERS & set(separator):
        raise ValueError(f"{spec.id}: separator {separator!r} stands in numbers too: no line can carry them")
    is_blank = separator == " "
    first = start.split() if is_blank else start.split(separator)
    if not is_blank and first[-1] == "":
        first.pop()
    places = {number.id: number.settings.field for number in numbers if number.settings.field >= len(first)}
    count = spec.settings.fields or max([len(first), *(place + 1 for place in places.values())])
    joint = "" if not start or start.endswith(separator) else separator

    def line(texts: dict[str, str]) -> str:
        fields = {places[point]: text or ("-" if is_blank else "") for point, text in texts.items() if point in places}
        rest = [fields.get(place, "0") for place in range(len(first), count)]
        return start + (joint if rest else "") + separator.join(rest)

    return _shared([Format([number for number in numbers if number.id in places], line)])


def _pattern(spec: DeviceSpec, numbers: Sequence[Number]) -> list[Format]:
    groups = {number.id: number.settings.group for number in numbers}
    printed = PatternLine(spec.settings.pattern, set(groups.values()))
    start = spec.settings.starts_with

    def line(texts: dict[str, str]) -> str | None:
        text = printed.text({groups[point]: text for point, text in texts.items()})
        return text if text is not None and text.startswith(start) else None

    form = Format(numbers, line)
    form.fits = lambda id_, text: printed.fits(groups[id_], text)
    return _shared([form])


def _shared(formats: list[Format]) -> list[Format]:
    """Of points of one field the first says what stands there."""
    for form in formats:
        first: dict[object, Number] = {}
        for number in form.numbers:
            leader = first.setdefault(number.settings.group or number.settings.field, number)
            number.leader = None if leader is number else leader
    return formats


_FORMATS: Mapping[str, Callable[[DeviceSpec, Sequence[Number]], list[Format]]] = {
    "nmea": _nmea,
    "separated": _separated,
    "pattern": _pattern,
}
