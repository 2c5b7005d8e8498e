"""Bodies of packets, both ways. First byte: from 0x20 on rounds, else kind (`contract.Kind`) in the low four bits.

`decode` gives one of the dataclasses here or raises WireError, never anything else, in bounded time and memory.
Rounds are in `rounds.py`, summaries, fragments and receipts in files of their own; alarms are small fixed fields; what
is rare or still growing (status, account, sheet) is CBOR. FORMAT.md sections 3, 5 and 7 are the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Rule
from edge.wire.alarm_basis import decode_basis, encode_basis
from edge.wire.basics import Reader, WireError, read_cbor, varint, within, write_cbor, zigzag
from edge.wire.fragment import (
    FRAGMENT_HEAD_BYTES,
    Fragment,
    Joined,
    SheetMissing,
    cut,
    decode_fragment,
    encode_fragment,
    join,
)
from edge.wire.receipt import Receipt, decode_receipt, encode_receipt
from edge.wire.rounds import ROUNDS_FROM, RoundRow, pack_rounds, unpack_rounds
from edge.wire.sheet import MAX_EPOCH, MAX_SEQ, MAX_TIME_MS, Sheet, SheetLimit
from edge.wire.summary import Summaries, Window, pack_summaries, summarise, unpack_summaries

__all__ = [
    "FRAGMENT_HEAD_BYTES",
    "Account",
    "Alarms",
    "Body",
    "Fragment",
    "Joined",
    "Receipt",
    "RoundRow",
    "Rounds",
    "SheetMissing",
    "SheetPacket",
    "Status",
    "Summaries",
    "Test",
    "Window",
    "cut",
    "decode",
    "encode_alarms",
    "encode_fragment",
    "encode_map",
    "encode_receipt",
    "encode_sheet",
    "encode_test",
    "join",
    "pack_rounds",
    "pack_summaries",
    "summarise",
]

ON_SHEET = 0x10  # in the first byte of alarms: numbers count from the sheet's, limits may be named by index
ALARMS_OF = 9  # first byte of alarms of another epoch than the packet's, which follows in four bytes; without a sheet
MAX_ALARMS = 256  # in one body
MORE, DRILL = 3, 4  # of an alarm: no change but a sign that a byte follows; in that byte, behind the change


@dataclass(frozen=True, slots=True)
class Rounds:
    group: int
    rows: tuple[RoundRow, ...]


@dataclass(frozen=True, slots=True)
class Alarms:
    """Pairs (seq, alarm). `epoch` of their seqs; None: the packet's, or its sheet's."""

    alarms: tuple[tuple[int, Alarm], ...]
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    seq: int
    at_ms: int
    clock: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    seq: int
    at_ms: int
    clock: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SheetPacket:
    seq: int
    sheet: Sheet


@dataclass(frozen=True, slots=True)
class Test:
    """Asks for a receipt, holds nothing."""

    __test__ = False  # no test of pytest's


Body = Rounds | Alarms | Status | Account | SheetPacket | Summaries | Fragment | Test | Receipt


def decode(body: bytes, sheet: Sheet | None) -> Body:
    """What a body says. `sheet`: the one its packet named. Raises WireError for anything malformed."""
    if not body:
        raise WireError("empty body")
    if body[0] >= ROUNDS_FROM:
        if sheet is None:
            raise WireError("rounds without their sheet")
        return Rounds(*unpack_rounds(sheet, body))
    kind = body[0] & 15
    if kind == Kind.ALARM:
        return _decode_alarms(body, sheet)
    if body[0] == ALARMS_OF:
        epoch, alarms = body[1:5], _decode_alarms(body[:1] + body[5:], None)
        return Alarms(alarms.alarms, int.from_bytes(epoch, "big"))
    if body[0] >> 4:
        raise WireError(f"first byte 0x{body[0]:02x} is not used")
    if kind in (Kind.STATUS, Kind.ACCOUNT):
        return _decode_map(kind, body)
    if kind == Kind.SHEET:
        reader = Reader(body)
        reader.byte()
        seq = within(reader.varint(), MAX_SEQ, "seq")
        return SheetPacket(seq, Sheet.decode(body[reader.at :]))
    if kind == Kind.SUMMARY:
        if sheet is None:
            raise WireError("summaries without their sheet")
        return unpack_summaries(sheet, body)
    if kind == Kind.FRAGMENT:
        return decode_fragment(body)
    if kind == Kind.TEST and len(body) == 1:
        return Test()
    if kind == Kind.RECEIPT:
        return decode_receipt(body)
    raise WireError(f"kind {kind} is not known" if kind != Kind.TEST else "a test that holds something")


def encode_map(kind: Kind, seq: int, at_ms: int, clock: int, values: Mapping[str, Any]) -> bytes:
    """A STATUS or ACCOUNT body. `values`: text keys; None, bool, int, float, str, bytes, lists and maps of these."""
    if kind not in (Kind.STATUS, Kind.ACCOUNT):
        raise WireError(f"kind {kind!r} is no map")
    return bytes([kind]) + write_cbor([seq, at_ms, clock, dict(values)])


def _decode_map(kind: int, body: bytes) -> Status | Account:
    items = read_cbor(body[1:])
    if not isinstance(items, list) or len(items) != 4 or not isinstance(items[3], dict):
        raise WireError("status or account: not [seq, time, clock, map]")
    seq = within(items[0], MAX_SEQ, "seq")
    at_ms = within(items[1], MAX_TIME_MS, "time")
    clock = within(items[2], 2, "clock quality")
    return (Status if kind == Kind.STATUS else Account)(seq, at_ms, clock, items[3])


def encode_sheet(seq: int, sheet: Sheet) -> bytes:
    """A SHEET body: sealed without a sheet, so that who does not know it yet can open it."""
    return bytes([Kind.SHEET]) + varint(seq) + sheet.encode()


def encode_test() -> bytes:
    """A TEST body: the province answers it at once."""
    return bytes([Kind.TEST])


def encode_alarms(sheet: Sheet | None, alarms: Sequence[tuple[int, Alarm]], epoch: int | None = None) -> bytes:
    """An ALARM body of 1..256 (seq, alarm). Without a sheet it stands alone, some 20 bytes longer. `epoch`: of their
    seqs, where neither a sheet nor the packet's own epoch says it; only without a sheet."""
    if not 0 < len(alarms) <= MAX_ALARMS:
        raise WireError(f"{len(alarms)} alarms in one body, 1 to {MAX_ALARMS} fit")
    first = bytes([Kind.ALARM | (ON_SHEET if sheet else 0)])
    if epoch is not None:
        if sheet is not None or not 0 <= epoch <= MAX_EPOCH:
            raise WireError(f"alarms of epoch {epoch}: with a sheet, or out of range")
        first = bytes([ALARMS_OF]) + epoch.to_bytes(4, "big")
    return first + b"".join(_encode_alarm(sheet, seq, alarm) for seq, alarm in alarms)


# Two bytes of flags: level 3 bits, change 2, clock 2, value 1 | rule 2, limit on the sheet 1, level of the
# threshold 3, basis 1, rule 1 bit more
def _encode_alarm(sheet: Sheet | None, seq: int, alarm: Alarm) -> bytes:
    index = _limit_index(sheet, alarm)
    limit = sheet.limits[index] if sheet and index is not None else None
    graded = _graded(limit, alarm.threshold)
    change = MORE if alarm.drill else alarm.change
    flags = alarm.level | change << 3 | alarm.clock << 5 | (alarm.value is not None) << 7
    flags |= (alarm.rule & 3) << 8 | (limit is not None) << 10 | graded << 11
    flags |= (alarm.basis is not None) << 14 | alarm.rule >> 2 << 15
    seq0, t0_ms = (sheet.seq0, sheet.t0_ms) if sheet else (0, 0)
    out = flags.to_bytes(2, "little") + (bytes([alarm.change | DRILL]) if alarm.drill else b"")
    out += varint(index) if index is not None else _text(alarm.limit) + _text(alarm.point)
    out += varint(zigzag(seq - seq0)) + varint(zigzag(alarm.at_ms - t0_ms))
    if not graded:
        out += varint(zigzag(alarm.threshold))
    if alarm.value is not None:
        out += varint(zigzag(alarm.value - alarm.threshold))
    if alarm.basis is not None:
        out += encode_basis(alarm.basis, limit.basis if limit else None, alarm.point)
    return out


def _limit_index(sheet: Sheet | None, alarm: Alarm) -> int | None:
    wanted = (alarm.limit, alarm.point, alarm.rule)
    for index, limit in enumerate(sheet.limits if sheet else ()):
        if (limit.id, limit.point, limit.rule) == wanted:
            return index
    return None


def _graded(limit: SheetLimit | None, threshold: int) -> int:
    """The level whose (first) threshold on the sheet it is; 0: written out."""
    for level, steps in limit.levels if limit else ():
        if steps == threshold and 0 < level < 8 and _threshold(limit, level) == threshold:
            return level
    return 0


def _text(text: str) -> bytes:
    raw = text.encode()
    return varint(len(raw)) + raw


def _decode_alarms(body: bytes, sheet: Sheet | None) -> Alarms:
    reader = Reader(body)
    on_sheet = reader.byte() >> 4
    if on_sheet > 1:
        raise WireError(f"first byte 0x{body[0]:02x} is not used")
    if on_sheet and sheet is None:
        raise WireError("alarms without their sheet")
    alarms = []
    while True:
        alarms.append(_decode_alarm(reader, sheet if on_sheet else None))
        if reader.at == len(body):
            return Alarms(tuple(alarms))
        if len(alarms) == MAX_ALARMS:
            raise WireError(f"more than {MAX_ALARMS} alarms")


def _decode_alarm(reader: Reader, sheet: Sheet | None) -> Alarm_:
    flags = int.from_bytes(reader.take(2), "little")
    drill = flags >> 3 & 3 == MORE
    changed = reader.byte() if drill else flags >> 3 & 3
    if drill and changed not in (Change.RAISED | DRILL, Change.CHANGED | DRILL, Change.CLEARED | DRILL):
        raise WireError(f"alarm: second flags 0x{changed:02x}")
    limit = None
    if flags >> 10 & 1:
        limit = _limit_at(sheet, reader.varint())
        name, point = limit.id, limit.point
    else:
        name, point = reader.text(), reader.text()
    seq0, t0_ms = (sheet.seq0, sheet.t0_ms) if sheet else (0, 0)
    seq = within(seq0 + reader.signed(), MAX_SEQ, "seq")
    at_ms = within(t0_ms + reader.signed(), MAX_TIME_MS, "time")
    graded = flags >> 11 & 7
    threshold = _threshold(limit, graded) if graded else reader.signed()
    value = threshold + reader.signed() if flags >> 7 & 1 else None
    try:
        level, change, clock = Level(flags & 7), Change(changed & 3), ClockQuality(flags >> 5 & 3)
        rule = Rule(flags >> 8 & 3 | flags >> 15 << 2)
    except ValueError as error:
        raise WireError(f"alarm: {error}") from None
    if rule is Rule.REMOVED and change is not Change.CLEARED:
        raise WireError("alarm: a limit that was removed stands")
    basis = decode_basis(reader, limit.basis if limit else None, point) if flags >> 14 & 1 else None
    return seq, Alarm(name, point, level, change, rule, value, threshold, at_ms, clock, basis, drill)


def _limit_at(sheet: Sheet | None, index: int) -> SheetLimit:
    if sheet is None or index >= len(sheet.limits):
        raise WireError(f"alarm: limit {index} is not on the sheet")
    return sheet.limits[index]


def _threshold(limit: SheetLimit | None, graded: int) -> int:
    for level, steps in limit.levels if limit else ():
        if level == graded:
            return steps
    raise WireError(f"alarm: no threshold of level {graded} on the sheet")


Alarm_ = tuple[int, Alarm]
