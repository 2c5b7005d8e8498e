"""Commands to text terminals (2.1 and BDS-3), read: what the simulator's terminal hears. build.py writes them.

Sources as in reports.py; NPS as in a TD3050 driver. A command in a shape that nobody here builds is an Other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from drivers.beidou.wire.fields import Unreadable, angle, at, number, one_of, whole
from drivers.beidou.wire.values import (
    Command,
    Dialect,
    Locate,
    PositionInject,
    QueryCard,
    QueryReceipts,
    QueryStored,
    SetBeams,
    SetReport,
)


def _read_ica(f: Sequence[str], raw: bytes) -> QueryCard | None:
    return _query_card(Dialect.TEXT21, f, raw)


def _read_icr(f: Sequence[str], raw: bytes) -> QueryCard | None:
    return _query_card(Dialect.BDS3, f, raw)


def _query_card(dialect: Dialect, f: Sequence[str], raw: bytes) -> QueryCard | None:
    """Frames above 0 list subordinates."""
    if whole(at(f, 2) or "0", "frame"):
        return None
    return QueryCard(dialect, whole(at(f, 1), "kind of query"), raw)


def _read_rmo(f: Sequence[str], raw: bytes) -> SetReport:
    """Mode 1 off, 2 on, 3 all off, 4 all on."""
    what, mode, period = at(f, 1), one_of(at(f, 2), "1234", "mode"), at(f, 3)
    if mode in "13":
        return SetReport(what if mode == "1" else "", None, raw)
    return SetReport(what if mode == "2" else "", number(period, "period"), raw)


def _read_bss(f: Sequence[str], raw: bytes) -> SetBeams:
    response, difference = at(f, 1), at(f, 2)
    return SetBeams(
        whole(response, "response beam") if response else None,
        whole(difference, "time-difference beam") if difference else None,
        raw,
    )


def _read_cxa(f: Sequence[str], raw: bytes) -> QueryStored | QueryReceipts | None:
    """Class 1 (messages): method 1 the newest, 2 by sender, 3 receipts. Class 0 asks for positions of others."""
    kind, method, address = at(f, 1), at(f, 2), at(f, 3)
    if kind != "1":
        return None
    if method == "1":
        return QueryStored(None, raw)
    if method == "2":
        return QueryStored(whole(address, "sender"), raw)
    if method == "3":
        return QueryReceipts(whole(address, "receiver"), raw)
    raise Unreadable(f"method {method!r} of CXA is not known")


def _read_dwa(f: Sequence[str], raw: bytes) -> Locate:
    if len(f) < 9:
        raise Unreadable(f"DWA has {len(f)} fields, 9 belong there")
    return Locate(
        Dialect.TEXT21,
        own=whole(at(f, 1), "own number"),
        urgent=one_of(at(f, 2), "AV", "urgency") == "A",
        height_mode=int(one_of(at(f, 3), "0123", "height mode")),
        period_s=number(at(f, 9) or "0", "period"),
        figures=tuple(at(f, place) for place in range(4, 9)),
        raw=raw,
    )


def _read_nps(f: Sequence[str], raw: bytes) -> PositionInject:
    lon = angle(at(f, 2), at(f, 3), "EW", "longitude")
    lat = angle(at(f, 4), at(f, 5), "NS", "latitude")
    if lat is None or lon is None:
        raise Unreadable("a position without a place")
    return PositionInject(whole(at(f, 1), "seconds of the week"), lat, lon, number(at(f, 6), "height"), raw)


READERS: Final[Mapping[str, Callable[[Sequence[str], bytes], Command | None]]] = {
    "CCICA": _read_ica,
    "CCICR": _read_icr,
    "CCRMO": _read_rmo,
    "CCBSS": _read_bss,
    "CCCXA": _read_cxa,
    "CCDWA": _read_dwa,
    "CCNPS": _read_nps,
}
