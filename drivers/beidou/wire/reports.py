"""Reports of text terminals (2.1 and BDS-3): the fields of a sentence whose checksum is right, read into a value.

Sources: 2.1 as in yufei2207/learn pt_bd2_rdss.c, Sealike/xxxsvr Rdss2_1SearchExp.cpp, fenyunxing protocal2_1.java;
BDS-3 as in LXTTTTTT/BDSDK ProtocolParser.java, an ESP32 header and an RT-Thread driver. Where they differ, every
variant is read. A reader gets the fields after the head and the raw line; it raises Unreadable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from drivers.beidou.wire.fields import (
    Unreadable,
    angle,
    at,
    hours_minutes,
    number,
    number_or_none,
    one_of,
    seconds_of_day,
    whole,
)
from drivers.beidou.wire.values import (
    Beam,
    Beams,
    BitLimit,
    Card,
    DeliveryReceipt,
    Dialect,
    Feedback,
    Fix,
    Health,
    Outcome,
    Receipts,
    Report,
    Version,
)

ALL_ONES = 0x1FFFFF  # 21 bits set: how some terminals say that there is no card
LEVEL_FOR_ZERO = 5  # what 0 means as a level, on terminals of both systems
BDS3_BEAMS = 21  # ids above have been seen in print and mean nothing known: stepped over
MAX_RECEIPTS = 5

# Reason numbers. 2.1: field "inhibit" of FKI; BDS-3: field "reason". 0 and what is not here: REFUSED.
REASONS_21: Final[Mapping[int, Outcome]] = {1: Outcome.SUPPRESSED, 2: Outcome.LOW_BATTERY, 3: Outcome.SILENT}
REASONS_BDS3: Final[Mapping[int, Outcome]] = {
    1: Outcome.TOO_EARLY,
    2: Outcome.SUPPRESSED,
    3: Outcome.SILENT,
    4: Outcome.NO_SIGNAL,
    5: Outcome.NO_CARD,
    6: Outcome.NO_PERMISSION,
    11: Outcome.BAD_CHECK,
}


def card_address(text: str) -> int | None:
    """A card number, None for the two numbers that mean "no card"."""
    address = whole(text, "card number")
    return None if address in (0, ALL_ONES) else address


def _level(text: str, address: int | None) -> int:
    level = whole(text, "message level")
    return LEVEL_FOR_ZERO if level == 0 and address is not None else level


def _read_ici(f: Sequence[str], raw: bytes) -> Card:
    if len(f) < 7:
        raise Unreadable(f"ICI has {len(f)} fields, 8 belong there")
    address = card_address(at(f, 1))
    return Card(
        Dialect.TEXT21,
        address,
        broadcast=whole(at(f, 3), "broadcast number"),
        period_s=number(at(f, 5), "period"),
        level=_level(at(f, 6), address),
        user_class=whole(at(f, 4), "user class"),
        encrypted=one_of(at(f, 7), "EN", "encryption") == "E",
        serial=at(f, 2),
        subordinates=whole(at(f, 8) or "0", "number of subordinates"),
        raw=raw,
    )


def _read_icp(f: Sequence[str], raw: bytes) -> Card:
    if len(f) < 15:
        raise Unreadable(f"ICP has {len(f)} fields, 23 belong there")
    address = card_address(at(f, 1))
    return Card(
        Dialect.BDS3,
        address,
        broadcast=whole(at(f, 2), "broadcast number"),
        period_s=number(at(f, 14), "period"),
        level=_level(at(f, 15), address),
        user_class=whole(at(f, 4), "user identity"),
        encrypted=one_of(at(f, 6), "EN", "encryption") == "E",
        subordinates=whole(at(f, 20) or "0", "number of subordinates"),
        raw=raw,
    )


def _read_bsi(f: Sequence[str], raw: bytes) -> Beams:
    if len(f) < 3:
        raise Unreadable(f"BSI has {len(f)} fields, two beam numbers and the powers belong there")
    steps = [number(text.strip(), f"power of beam {place}") for place, text in enumerate(f[2:], 1)]
    return Beams(
        Dialect.TEXT21,
        tuple(Beam(place, step) for place, step in enumerate(steps, 1)),
        response_beam=whole(at(f, 1), "response beam") or None,
        difference_beam=whole(at(f, 2), "time-difference beam") or None,
        raw=raw,
    )


def _read_pwi(f: Sequence[str], raw: bytes) -> Beams:
    """Time, number of old beams with 3 fields each, number of BDS-3 beams with 3 or 4 fields each."""
    old_count = whole(at(f, 2), "number of BDS-1/2 beams")
    place = 2 + 3 * old_count
    count = whole(at(f, place + 1), "number of BDS-3 beams")
    old = tuple(_beam(f[at_field : at_field + 3]) for at_field in range(2, place, 3))
    second = seconds_of_day(at(f, 1), "time")
    return Beams(
        Dialect.BDS3,
        _bds3_beams(f[place + 1 :], count),
        time_s_of_day=second or None,
        old_beams=old,
        raw=raw,
    )


def _bds3_beams(f: Sequence[str], count: int) -> tuple[Beam, ...]:
    """Three fields for each beam, or four of which the last is 0 or empty: whichever divides, else beam by beam."""
    if len(f) < 3 * count:
        raise Unreadable(f"PWI names {count} BDS-3 beams and has {len(f)} fields for them")
    even = len(f) // count if count and len(f) % count == 0 else 0
    found, place = [], 0
    for _ in range(count):
        found.append(_beam(f[place : place + 3]))
        four = even == 4 if even in (3, 4) else place + 3 < len(f) and f[place + 3].strip() in ("", "0")
        place += 4 if four else 3
    return tuple(beam for beam in found if 1 <= beam.id <= BDS3_BEAMS)


def _beam(f: Sequence[str]) -> Beam:
    if len(f) < 3:
        raise Unreadable("PWI ends in the middle of a beam")
    pilot = number_or_none(f[2].strip(), "C/N0 of the pilot channel")
    return Beam(whole(f[0].strip(), "beam"), number(f[1].strip(), "C/N0"), pilot)


def _read_fki(f: Sequence[str], raw: bytes) -> Feedback:
    """A first field of digits is the time of the send: BDS-3. One of letters is the command: 2.1."""
    return _read_fki_bds3(f, raw) if at(f, 1)[:1].isdigit() else _read_fki_21(f, raw)


def _read_fki_21(f: Sequence[str], raw: bytes) -> Feedback:
    done = one_of(at(f, 2), "YN", "executed") == "Y"
    code = whole(at(f, 4) or "0", "inhibit state")
    wait = at(f, 5)
    seconds = float(whole(wait or "0", "wait"))
    if len(wait) == 4:
        seconds = int(wait[:2]) * 60 + seconds % 100
    return Feedback(Dialect.TEXT21, at(f, 1), _outcome(done, code, REASONS_21, seconds), seconds or None, code, raw=raw)


def _read_fki_bds3(f: Sequence[str], raw: bytes) -> Feedback:
    done = one_of(at(f, 3), "YN", "result") == "Y"
    code = whole(at(f, 4) or "0", "reason")
    seconds = number(at(f, 5) or "0", "seconds left")
    outcome = _outcome(done, code, REASONS_BDS3, seconds)
    second = seconds_of_day(at(f, 1), "time of the send")
    return Feedback(Dialect.BDS3, at(f, 2), outcome, seconds or None, code, second, raw=raw)


def _outcome(done: bool, code: int, reasons: Mapping[int, Outcome], wait_s: float) -> Outcome:
    if done:
        return Outcome.SENT
    if code == 0 and wait_s > 0:
        return Outcome.TOO_EARLY
    return reasons.get(code, Outcome.REFUSED)


def _read_zti(f: Sequence[str], raw: bytes) -> Health:
    """Flags 0 good, 1 bad, of which an empty one says nothing. Plain cards show the crypto part as bad."""
    if len(f) < 5:
        raise Unreadable(f"ZTI has {len(f)} fields, 8 belong there")
    names = ("prm", "crypto", "antenna", "channel", "power")
    bad = tuple(name for place, name in enumerate(names, 1) if at(f, place) not in ("", "0"))
    battery = at(f, 7)
    return Health(
        Dialect.TEXT21,
        card_ok=None,
        hardware_ok=not set(bad) - {"crypto"},
        battery_percent=whole(battery, "battery") if battery else None,
        faults=bad,
        raw=raw,
    )


def _read_hzr(f: Sequence[str], raw: bytes) -> Receipts:
    count = whole(at(f, 2), "number of receipts")
    if count > MAX_RECEIPTS or len(f) < 2 + 2 * count:
        raise Unreadable(f"HZR names {count} receipts and has {len(f) - 2} fields for them")
    times = [hours_minutes(text.strip(), "time of a receipt") for text in f[2 : 2 + 2 * count]]
    pairs = tuple(DeliveryReceipt(sent, got) for sent, got in zip(times[::2], times[1::2], strict=True))
    return Receipts(Dialect.TEXT21, whole(at(f, 1), "receiver"), pairs, raw=raw)


def _read_dwr(f: Sequence[str], raw: bytes) -> Fix:
    if len(f) < 8:
        raise Unreadable(f"DWR has {len(f)} fields, 15 belong there")
    return _fix(at(f, 2), f[2:], raw)


def _read_waa(f: Sequence[str], raw: bytes) -> Fix:
    if len(f) < 9:
        raise Unreadable(f"WAA has {len(f)} fields, 10 belong there")
    return _fix(at(f, 3), f[3:], raw)


def _fix(address: str, f: Sequence[str], raw: bytes) -> Fix:
    """Time, latitude, N/S, longitude, E/W, height."""
    lat = angle(at(f, 2), at(f, 3), "NS", "latitude")
    lon = angle(at(f, 4), at(f, 5), "EW", "longitude")
    if lat is None or lon is None:
        raise Unreadable("a fix without a place")
    height = number_or_none(at(f, 6), "height")
    return Fix(Dialect.TEXT21, whole(address, "card number"), seconds_of_day(at(f, 1), "time"), lat, lon, height, raw)


def _read_zdx(f: Sequence[str], raw: bytes) -> BitLimit:
    """Card, battery, 21 strengths, period, level, bits (LXTTTTTT/BDSDK)."""
    if len(f) < 26:
        raise Unreadable(f"ZDX has {len(f)} fields, 26 or more belong there")
    address = card_address(at(f, 1))
    return BitLimit(
        address,
        bits=whole(at(f, 26), "bit limit"),
        period_s=number(at(f, 24), "period"),
        level=_level(at(f, 25), address),
        battery_percent=whole(at(f, 2), "battery"),
        strengths=tuple(number(text.strip(), "strength of a beam") for text in f[2:23]),
        raw=raw,
    )


def _read_vrx(f: Sequence[str], raw: bytes) -> Version:
    return Version(Dialect.BDS3, ",".join(f), raw)


READERS: Final[Mapping[str, Callable[[Sequence[str], bytes], Report]]] = {
    "BDICI": _read_ici,
    "BDICP": _read_icp,
    "BDBSI": _read_bsi,
    "BDPWI": _read_pwi,
    "BDFKI": _read_fki,
    "BDZTI": _read_zti,
    "BDHZR": _read_hzr,
    "BDDWR": _read_dwr,
    "BDWAA": _read_waa,
    "BDZDX": _read_zdx,
    "BDVRX": _read_vrx,
}
