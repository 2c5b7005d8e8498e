"""The four sentences that carry content: TXR and TCI down, TXA and TCQ up. Content may be any bytes, so they are split
at as many commas as stand before it and no more.

Sources as in reports.py. Variants read: TCI with or without the flag before its content, TCI of the older order, TXA
and TXR with an empty field before the content, TCQ without its last field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from drivers.beidou.wire.content import read_21, read_bds3
from drivers.beidou.wire.fields import Unreadable, hours_minutes, seconds_of_day, whole
from drivers.beidou.wire.values import Command, Dialect, Message, Report, Send

STORED_KINDS = ("4", "5")  # of TXR: the newest message that waited, the newest of one sender

# Head and fields up to the form number, which says whether the content is text and so may hold line ends and `$`.
_PREFIXES = (
    re.compile(rb".BDTXR,[0-9]*,[0-9]*,([0-9]),"),
    re.compile(rb".CCTXA,[0-9]*,[0-9]*,([0-9]),"),
    re.compile(rb".BDTCI,[0-9]*,[0-9]*,[0-9],[0-9.]*,([0-9]),"),
    re.compile(rb".BDTCI,[0-9]*,[0-9]*,[0-9.]{2,},([0-9]),"),
    re.compile(rb".CCTCQ,[0-9]*,[0-9]*,[0-9]*,([0-9]),"),
)
_TEXT_FORM = {b"BDTXR": b"0", b"CCTXA": b"0", b"BDTCI": b"1", b"CCTCQ": b"1"}


def text_prefix(line: bytes) -> int:
    """Length of the part before text content in a line that begins with `$` and a head; 0: it carries none."""
    for prefix in _PREFIXES:
        match = prefix.match(line)
        if match is not None:
            return match.end() if match[1] == _TEXT_FORM[line[1:6]] else 0
    return 0


def _latin(parts: list[bytes]) -> list[str]:
    return [part.decode("latin-1").strip() for part in parts]


def _split(rest: bytes, commas: int, name: str) -> tuple[list[str], bytes]:
    parts = rest.split(b",", commas)
    if len(parts) <= commas:
        raise Unreadable(f"{name} has {len(parts)} fields, {commas + 1} belong there")
    return _latin(parts[:-1]), parts[-1]


def _read_txr(rest: bytes, raw: bytes) -> Message:
    (kind, sender, number, time), content = _split(rest, 4, "TXR")
    form, data, bits = read_21(number, content)
    return Message(
        Dialect.TEXT21,
        whole(sender, "sender"),
        None,
        form,
        data,
        stored=str(whole(kind, "kind")) in STORED_KINDS,
        sent_at=hours_minutes(time, "time") if time else None,
        bits=bits,
        raw=raw,
    )


def _read_tci(rest: bytes, raw: bytes) -> Message:
    """Sender, receiver, then frequency point, time, encoding, flag; or (older) time, encoding, mark, length."""
    (sender, receiver, third), tail = _split(rest, 3, "TCI")
    if len(third) == 1:
        (time, number), tail = _split(tail, 2, "TCI")
        if tail[:1] == b",":
            tail = tail[1:]
        elif tail[1:2] == b",":
            tail = tail[2:]
    else:
        time = third
        (number, _mark, _length), tail = _split(tail, 3, "TCI")
    form, data, bits = read_bds3(number, tail)
    return Message(
        Dialect.BDS3,
        whole(sender, "sender"),
        whole(receiver, "receiver") if receiver else None,
        form,
        data,
        sent_at=_clock(time) if time else None,
        bits=bits,
        raw=raw,
    )


def _clock(time: str) -> tuple[int, ...]:
    if len(time) == 4:
        return hours_minutes(time, "time")
    second = int(seconds_of_day(time, "time"))
    return second // 3600, second // 60 % 60, second % 60


def _read_txa(rest: bytes, raw: bytes) -> Send:
    (to, urgency, number), content = _split(rest, 3, "TXA")
    form, data, bits = read_21(number, content)
    urgent = whole(urgency, "class") == 0
    return Send(Dialect.TEXT21, whole(to, "destination"), data, form, urgent, bits=bits, raw=raw)


def _read_tcq(rest: bytes, raw: bytes) -> Send:
    (to, point, confirmation, number), tail = _split(rest, 4, "TCQ")
    whole(point, "frequency point")
    whole(confirmation, "confirmation")
    if tail.startswith(b",") and number != "1":  # the variant with an empty field and without a period
        content = tail[1:]
    else:
        content, comma, period = tail.rpartition(b",")
        if not comma:
            content = tail
        elif not period.isdigit():
            raise Unreadable(f"period is {period.decode('latin-1')!r}, not a whole number")
    form, data, bits = read_bds3(number, content)
    return Send(Dialect.BDS3, whole(to, "destination"), data, form, bits=bits, raw=raw)


READERS: Final[Mapping[str, Callable[[bytes, bytes], Report | Command]]] = {
    "BDTXR": _read_txr,
    "BDTCI": _read_tci,
    "CCTXA": _read_txa,
    "CCTCQ": _read_tcq,
}
