"""Lines that instruments print: bytes in, lines, fields and numbers out. Pure; never raises on what comes in.

`Splitter` cuts a stream at CR, LF or CR LF and holds at most one line. What is not a whole line comes out as Noise, so
nothing is lost without a word. Above it three ways to read a line: NMEA 0183 (with its checksum), fields between
separators, and a regular expression with named groups.
Facts: NMEA 0183 sentence form, checksum and status as in gpsd's "NMEA Revealed" (gpsd.gitlab.io/gpsd/NMEA.html) and
Vaisala's M211095EN-K (docs.vaisala.com), which also says that missing wind is status V with empty fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

MAX_LINE_BYTES = 512  # NMEA allows 82; loggers print up to some 300. Also what a pattern may be made to look through

_ENDS = re.compile(rb"[\r\n]")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # all but tab: no instrument's text has them, bad lines do
_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?", re.ASCII)

# Talker and formatter, or P and a maker's own. Without this a comma damaged into "$" makes a new sentence of the rest,
# which one checksum in 256 confirms.
_SENTENCE_ID = re.compile(rb"[A-Z][A-Z0-9]{2,15}(,|$)")

# Field that says whether a sentence is valid ("A") or not ("V"), the sentence id being field 0.
_STATUS_FIELD = {"MWV": 5, "RMC": 2, "GLL": 6}


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line without its end."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are no usable line. `why` is one of few, for counting."""

    raw: bytes
    why: str


class Splitter:
    """Cuts a stream into lines. Starts in the middle of a line: bytes up to the first end are Noise, unless `begin`."""

    def __init__(self) -> None:
        self._rest = b""
        self._broken = "began in the middle of a line"

    @property
    def pending(self) -> bool:
        """Whether an unfinished line is held."""
        return bool(self._rest)

    def begin(self) -> Noise | None:
        """The wire has been quiet: what comes next begins a line. An unfinished one comes out as Noise."""
        rest, why = self._rest, self._broken or "half a line"
        self._rest, self._broken = b"", ""
        return Noise(rest, why) if rest else None

    def feed(self, data: bytes) -> list[Line | Noise]:
        """What is complete after these bytes. Empty lines are dropped: they are the LF of CR LF."""
        *ended, self._rest = _ENDS.split(self._rest + data)
        out: list[Line | Noise] = []
        for raw in ended:
            out += self._close(raw)
            self._broken = ""
        while len(self._rest) > MAX_LINE_BYTES:
            out.append(Noise(self._rest[:MAX_LINE_BYTES], "line too long"))
            self._rest = self._rest[MAX_LINE_BYTES:]
            self._broken = "line too long"
        return out

    def _close(self, raw: bytes) -> Iterator[Line | Noise]:
        if not raw:
            return
        if self._broken or len(raw) > MAX_LINE_BYTES:
            why = self._broken or "line too long"
            for start in range(0, len(raw), MAX_LINE_BYTES):
                yield Noise(raw[start : start + MAX_LINE_BYTES], why)
        elif _CONTROL.search(raw):
            yield Noise(raw, "control characters")
        else:
            yield Line(raw)


@dataclass(frozen=True, slots=True)
class Sentence:
    """An NMEA 0183 sentence whose checksum is right. `fields[0]` is its id, as "WIMWV"."""

    fields: tuple[str, ...]

    def answers(self, wanted: str) -> bool:
        """Whether this is the sentence `wanted`: "MWV" whatever the talker, or the whole id as "WIMWV", "PRDID"."""
        found = self.fields[0]
        return found == wanted or (len(wanted) == 3 and len(found) == 5 and found[2:] == wanted)

    @property
    def valid(self) -> bool:
        """False when the instrument itself marks the sentence's data as invalid."""
        place = _STATUS_FIELD.get(self.fields[0][2:])
        return place is None or place >= len(self.fields) or self.fields[place] != "V"


def checksum(body: bytes) -> int:
    """NMEA 0183: XOR of all bytes between `$` (or `!`) and `*`."""
    value = 0
    for byte in body:
        value ^= byte
    return value


def read_nmea(raw: bytes) -> Sentence | Noise:
    """The sentence in a line. One without a checksum is Noise: it cannot be told from a damaged one.

    Bytes before the last `$` or `!` are the remains of a sentence cut short, and do not spoil the one that follows.
    """
    start = max(raw.rfind(b"$"), raw.rfind(b"!"))
    body, star, end = raw[start + 1 :].partition(b"*")
    if start < 0 or not _SENTENCE_ID.match(body):
        return Noise(raw, "no NMEA sentence")
    if not star:
        return Noise(raw, "no checksum")
    try:
        told = int(end, 16) if len(end) == 2 and end.isalnum() else -1
    except ValueError:
        told = -1
    if told != checksum(body):
        return Noise(raw, "wrong checksum")
    return Sentence(tuple(body.decode("latin-1").split(",")))


def read_separated(raw: bytes, separator: str) -> tuple[str, ...]:
    """The fields of a line; with a blank as separator any run of blanks and tabs separates, and ends do not count."""
    text = raw.decode("latin-1")
    return tuple(text.split()) if separator == " " else tuple(text.split(separator))


def read_pattern(raw: bytes, pattern: re.Pattern[str]) -> dict[str, str] | Noise:
    """The named groups of a pattern that must match the whole line (blanks at its ends aside)."""
    match = pattern.fullmatch(raw.decode("latin-1").strip())
    if match is None:
        return Noise(raw, "pattern does not match")
    return {name: text for name, text in match.groupdict().items() if text is not None}


def read_number(text: str) -> Decimal | None:
    """A decimal number as instruments print it, or None; neither "nan" nor "inf" nor "1_000" is one."""
    text = text.strip()
    return Decimal(text) if _NUMBER.fullmatch(text) else None
