"""The small parts that sentences and frames are made of: checks, numbers, times, angles; read and written.

Readers raise Unreadable with a reason for a person; whoever reads a whole sentence turns it into Noise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

_WHOLE = re.compile(r"[0-9]{1,11}")  # the longest are makers' 11-digit numbers
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{0,9})?")
_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})(\.[0-9]{0,3})?")
_ANGLE = re.compile(r"([0-9]{1,3})([0-9]{2}\.[0-9]{0,8}|[0-9]{2})")

DAY_MS = 86_400_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Unreadable(ValueError):
    """A sentence or frame whose check is right, and which still makes no sense. Caught in this folder."""


def xor(data: bytes) -> int:
    """XOR of all bytes. Folds one big number in halves: a Python loop costs 20 times as much on long content."""
    size = len(data)
    value = int.from_bytes(data, "big")
    while size > 1:
        half = (size + 1) // 2
        value = (value >> 8 * half) ^ (value & ((1 << 8 * half) - 1))
        size = half
    return value


def at(fields: Sequence[str], place: int) -> str:
    """Field `place`, counted from 1 as manuals do; "" when the sentence is shorter."""
    return fields[place - 1].strip() if place <= len(fields) else ""


def whole(text: str, name: str) -> int:
    """A whole number without sign."""
    if not _WHOLE.fullmatch(text):
        raise Unreadable(f"{name} is {text!r}, not a whole number")
    return int(text)


def number(text: str, name: str) -> float:
    """A decimal number."""
    if not _NUMBER.fullmatch(text):
        raise Unreadable(f"{name} is {text!r}, not a number")
    return float(text)


def number_or_none(text: str, name: str) -> float | None:
    return number(text, name) if text else None


def one_of(text: str, allowed: str, name: str) -> str:
    """`text` when it is one of the letters `allowed`."""
    if len(text) != 1 or text not in allowed:
        raise Unreadable(f"{name} is {text!r}, not one of {', '.join(allowed)}")
    return text


def seconds_of_day(text: str, name: str) -> float:
    """hhmmss with 0 to 3 decimals."""
    match = _TIME.fullmatch(text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3]) > 60:
        raise Unreadable(f"{name} is {text!r}, not a time hhmmss")
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3]) + float("0" + (match[4] or ""))


def hours_minutes(text: str, name: str) -> tuple[int, int]:
    """hhmm."""
    if len(text) != 4 or not text.isdecimal() or not text.isascii() or int(text[:2]) > 23 or int(text[2:]) > 59:
        raise Unreadable(f"{name} is {text!r}, not a time hhmm")
    return int(text[:2]), int(text[2:])


def utc_ms(year: int, month: int, day: int, second: float) -> int:
    """UTC in milliseconds since 1970."""
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise Unreadable(f"{year:04}-{month:02}-{day:02} is no date") from None
    return days * DAY_MS + round(second * 1000)


def split_utc(ms: int) -> tuple[date, int]:
    """The date and the millisecond of the day of a UTC time."""
    days, rest = divmod(ms, DAY_MS)
    return date.fromordinal(days + _EPOCH_DAY), rest


def angle(text: str, side: str, sides: str, name: str) -> float | None:
    """ddmm.mmmm (or dddmm.mmmm) with its letter, in degrees; None when both are empty."""
    if not text and not side:
        return None
    match = _ANGLE.fullmatch(text)
    if match is None or float(match[2]) >= 60:
        raise Unreadable(f"{name} is {text!r}, not degrees and minutes")
    degrees = int(match[1]) + float(match[2]) / 60
    if degrees > (90 if sides == "NS" else 180):
        raise Unreadable(f"{name} is {degrees:.4f} degrees")
    return -degrees if one_of(side, sides, f"letter of the {name}") == sides[1] else degrees


def angle_text(degrees: float, sides: str) -> tuple[str, str]:
    """Degrees as ddmm.mmmmm (dddmm.mmmmm for east and west) and its letter."""
    units = round(abs(degrees) * 60 * 100_000)  # hundred-thousandths of a minute: 2 cm
    whole_degrees, rest = divmod(units, 60 * 100_000)
    wide = 2 if sides == "NS" else 3
    return f"{whole_degrees:0{wide}d}{rest // 100_000:02d}.{rest % 100_000:05d}", sides[degrees < 0]


def time_text(second: float, decimals: int = 2) -> str:
    """Seconds of the day as hhmmss.ss."""
    scale = 10**decimals
    units = min(round(second * scale), 86_400 * scale - 1)
    s, rest = divmod(units, scale)
    text = f"{s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}"
    return f"{text}.{rest:0{decimals}d}" if decimals else text


def plain(value: float) -> str:
    """A number as terminals print it: no point where there are no decimals."""
    return str(int(value)) if value == int(value) else f"{value:.6f}".rstrip("0")
