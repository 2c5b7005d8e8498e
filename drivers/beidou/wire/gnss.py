"""GNSS sentences that terminals print on the same port: GGA, RMC, GLL, ZDA; read and written.

Facts: NMEA 0183 (gpsd, "NMEA Revealed"); variants seen on Beidou terminals: RMC with 13 or 14 fields, GGA with one
value more at its end, ZDA with a mode digit in front and Y or N (time held or not) at its end in the "2.1" dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from drivers.beidou.wire.fields import (
    Unreadable,
    angle,
    angle_text,
    at,
    number_or_none,
    one_of,
    plain,
    seconds_of_day,
    split_utc,
    time_text,
    utc_ms,
    whole,
)
from drivers.beidou.wire.values import Position, UtcTime

_FIX_QUALITIES = "12345"  # of GGA; 0 none, 6 dead reckoning, 7 entered by hand, 8 simulated


def _read_gga(f: Sequence[str], raw: bytes) -> Position:
    if len(f) < 9:
        raise Unreadable(f"GGA has {len(f)} fields, 14 belong there")
    satellites = at(f, 7)
    return Position(
        "GGA",
        valid=len(at(f, 6)) == 1 and at(f, 6) in _FIX_QUALITIES and bool(at(f, 2)),
        lat_deg=angle(at(f, 2), at(f, 3), "NS", "latitude"),
        lon_deg=angle(at(f, 4), at(f, 5), "EW", "longitude"),
        height_m=number_or_none(at(f, 9), "height"),
        satellites=whole(satellites, "number of satellites") if satellites else None,
        hdop=number_or_none(at(f, 8), "HDOP"),
        raw=raw,
    )


def _read_rmc(f: Sequence[str], raw: bytes) -> Position:
    if len(f) < 9:
        raise Unreadable(f"RMC has {len(f)} fields, 11 or more belong there")
    valid = one_of(at(f, 2), "AV", "status") == "A"
    day = at(f, 9)
    known = valid and bool(day) and bool(at(f, 1))
    return Position(
        "RMC",
        valid=valid and bool(at(f, 3)),
        lat_deg=angle(at(f, 3), at(f, 4), "NS", "latitude"),
        lon_deg=angle(at(f, 5), at(f, 6), "EW", "longitude"),
        utc_ms=_date_time(day, at(f, 1)) if known else None,
        raw=raw,
    )


def _date_time(day: str, time: str) -> int:
    """ddmmyy and hhmmss.ss; the century is ours."""
    digits = whole(day, "date")
    if len(day) != 6:
        raise Unreadable(f"date is {day!r}, not ddmmyy")
    return utc_ms(2000 + digits % 100, digits // 100 % 100, digits // 10000, seconds_of_day(time, "time"))


def _read_gll(f: Sequence[str], raw: bytes) -> Position:
    if len(f) < 6:
        raise Unreadable(f"GLL has {len(f)} fields, 6 or more belong there")
    return Position(
        "GLL",
        valid=one_of(at(f, 6), "AV", "status") == "A" and bool(at(f, 1)),
        lat_deg=angle(at(f, 1), at(f, 2), "NS", "latitude"),
        lon_deg=angle(at(f, 3), at(f, 4), "EW", "longitude"),
        raw=raw,
    )


def _read_zda(f: Sequence[str], raw: bytes) -> UtcTime:
    """A first field of one digit is the mode of the 2.1 shape, whose last field N says that the time is not held."""
    held = True
    if len(at(f, 1)) == 1:
        held = f[-1].strip() != "N"
        f = f[1:]
    if len(f) < 4:
        raise Unreadable(f"ZDA has {len(f)} fields, 6 belong there")
    time, day, month, year = (at(f, place) for place in (1, 2, 3, 4))
    if not time or not day:
        return UtcTime(None, "ZDA", raw)
    ms = utc_ms(whole(year, "year"), whole(month, "month"), whole(day, "day"), seconds_of_day(time, "time"))
    return UtcTime(ms if held else None, "ZDA", raw)


READERS: Final[Mapping[str, Callable[[Sequence[str], bytes], Position | UtcTime]]] = {
    "GGA": _read_gga,
    "RMC": _read_rmc,
    "GLL": _read_gll,
    "ZDA": _read_zda,
}


def position_fields(p: Position) -> list[str]:
    """A GNSS receiver's sentence for a position, head first, by its `source`."""
    lat = angle_text(p.lat_deg, "NS") if p.lat_deg is not None else ("", "")
    lon = angle_text(p.lon_deg, "EW") if p.lon_deg is not None else ("", "")
    place = [*lat, *lon]
    day, ms = split_utc(p.utc_ms or 0)
    time = time_text(ms / 1000, 3) if p.utc_ms is not None else ""
    if p.source == "GGA":
        satellites = "" if p.satellites is None else f"{p.satellites:02d}"
        numbers = ["" if v is None else plain(v) for v in (p.hdop, p.height_m)]
        return ["GNGGA", time, *place, "1" if p.valid else "0", satellites, *numbers, "M", "0", "M", "", ""]
    status = "A" if p.valid else "V"
    if p.source == "GLL":
        return ["GNGLL", *place, time, status, "A" if p.valid else "N"]
    date_text = f"{day:%d%m%y}" if p.utc_ms is not None else ""
    return ["GNRMC", time, status, *place, "0.0", "", date_text, "", "", "A" if p.valid else "N", "V"]


def time_fields(t: UtcTime) -> list[str]:
    """A GNSS receiver's ZDA, head first."""
    if t.utc_ms is None:
        return ["GNZDA", "", "", "", "", "00", "00"]
    day, ms = split_utc(t.utc_ms)
    return ["GNZDA", time_text(ms / 1000, 3), f"{day:%d}", f"{day:%m}", f"{day.year:04d}", "00", "00"]
