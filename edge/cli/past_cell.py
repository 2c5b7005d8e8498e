"""One cell of a record: a time or a number, as instruments, people and spreadsheets write them. Pure.

time     milliseconds since 1970; ISO 8601; 2026/7/1 0:05, 2026-07-01 00:05:30, 2026年7月1日 0时5分,
         2026/7/1 下午 1:05:00: the year first, for 7/1/26 is two days
number   with a point; inf, nan, 1_000 and digits that are not 0 to 9 are none
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone

from edge.cli.history import BadHistory

# A time without a zone is one as the site's clock shows it: loggers and spreadsheets write no other, and all of China
# has one zone.
LOCAL = timezone(timedelta(hours=8))
LOCAL_WORDS = "UTC+8"
YEARS = (1990, 2100)  # no site's record is older; what is later or earlier is a clock that was lost
_FROM_MS, _TO_MS = (round(datetime(year, 1, 1, tzinfo=LOCAL).timestamp() * 1000) for year in (YEARS[0], YEARS[1] + 1))
SHOWN_CHARS = 40
NOON = 12
_SPREADSHEET = re.compile(
    r"(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})日?"
    r"(?:(?:[T ] *|(?<=日)|(?=[上下]午))(上午|下午)? *(\d{1,2})"
    r"(?:[:：时](\d{1,2})(?:[:：分](?:(\d{1,2})(?:\.(\d{1,6}))?秒?)?)?|时))?",
    re.ASCII,
)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


class Refused(BadHistory):
    """The whole file is refused, not a row of it: what it says can not be known."""


def time_of(where: str, text: str) -> tuple[int, bool | None]:
    """(milliseconds since 1970, whether a zone stood there; None where none is needed). Raises BadHistory."""
    zoned: bool | None = False
    try:
        if text.isdecimal() and len(text) < 16:
            at_ms, zoned = int(text), None
        elif match := _SPREADSHEET.fullmatch(text):
            at_ms = _ms(_local(match))
        else:
            at = datetime.fromisoformat(text)
            zoned = at.tzinfo is not None
            at_ms = _ms(at if zoned else at.replace(tzinfo=LOCAL))
    except (ValueError, OverflowError) as error:
        raise BadHistory(f"{where}: “{text[:SHOWN_CHARS]}” is no time{_hint(text, error)}") from None
    if not _FROM_MS <= at_ms < _TO_MS:
        seconds = ": seconds since 1970? write milliseconds" if _FROM_MS <= at_ms * 1000 < _TO_MS else ""
        raise BadHistory(f"{where}: “{text[:SHOWN_CHARS]}” is no time of {YEARS[0]} to {YEARS[1]}{seconds}")
    return at_ms, zoned


def number_of(where: str, text: str, comma_is_free: bool) -> float:
    """nan where nothing stands. `comma_is_free`: something else separates the columns;
    a decimal comma is refused then, lest 416,027 be read as 416027. Raises BadHistory."""
    if not text or text.isspace():
        return math.nan
    try:
        value = float(text)
        if math.isfinite(value) and text.isascii() and "_" not in text:
            return value
    except ValueError:
        if comma_is_free and _DECIMAL_COMMA.fullmatch(text.strip()):
            raise Refused(
                f"{where}: “{text.strip()[:SHOWN_CHARS]}” has a decimal comma: write numbers with a point (Excel, WPS: "
                "Options, Advanced, decimal separator) and save it again"
            ) from None
    raise BadHistory(f"{where}: “{text[:SHOWN_CHARS]}” is no number; leave a value that is missing empty")


def _local(match: re.Match[str]) -> datetime:
    """Raises ValueError."""
    year, month, day, half, hour, minute, second, part = match.groups()
    of_day = int(hour or 0)
    if half and of_day > NOON:
        raise ValueError(f"{half} has no hour {of_day}")
    if half:
        of_day = of_day % NOON + (NOON if half == "下午" else 0)
    micros = int((part or "").ljust(6, "0"))
    return datetime(
        *(int(year), int(month), int(day), of_day, int(minute or 0), int(second or 0), micros), tzinfo=LOCAL
    )


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _hint(text: str, error: Exception) -> str:
    if _SPREADSHEET.fullmatch(text):
        return f": {error}"
    if re.fullmatch(r"\d{5}(\.\d+)?", text):
        return ": a spreadsheet's number of a day? give the column a date format that shows year, month, day and time"
    if re.match(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{1,4}\b", text):
        return ": day or month first? write the year first, 2026/7/1 22:00"
    return "; write 2026/7/1 22:00, 2026-11-21T22:00:00Z, or milliseconds since 1970"
