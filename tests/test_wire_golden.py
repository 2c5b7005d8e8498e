"""Golden bytes: what this program writes today and must write and read for ever (tests/vectors/wire_v1.txt).

Each line of the file: name, hex, meaning. `python -m tests.test_wire_golden` writes the file anew: only on purpose,
when the format gets a new version.
"""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from edge.contract import Alarm, Basis, Change, ClockQuality, Input, Kind, Level, Of, Quality, Rule
from edge.wire import seal
from edge.wire.packet import (
    Account,
    Alarms,
    Body,
    Fragment,
    Joined,
    Receipt,
    RoundRow,
    Rounds,
    SheetPacket,
    Status,
    Summaries,
    Test,
    Window,
    cut,
    decode,
    encode_alarms,
    encode_fragment,
    encode_map,
    encode_receipt,
    encode_sheet,
    encode_test,
    join,
    pack_rounds,
    pack_summaries,
)
from edge.wire.prior import DEFAULT, Prior
from edge.wire.seal import Direction, Opened, open_packet
from edge.wire.sheet import Sheet, SheetGroup, SheetLimit, SheetPoint

FILE = Path(__file__).parent / "vectors/wire_v1.txt"
ROOT = bytes(range(32))
T0_MS = 1_795_000_020_000
GRIDDED = Prior(
    **{f: getattr(DEFAULT, f) for f in DEFAULT.__dataclass_fields__}
    | {"slopes": (12, -4), "centre": 8731, "pitch": 153_600, "phase": 26_000, "doubt": 8, "drift": 1, "uses": 20}
)
POND = SheetPoint("pond.level", "mm", Decimal("0.1"), Decimal(0), Decimal(5000))
SHEET = Sheet(
    "mine-7",
    0x5EED0005,
    1,
    T0_MS,
    (
        SheetGroup(
            60_000, (POND, SheetPoint("pond.temperature", "degC", Decimal("0.01"), None, None, GRIDDED.encode()))
        ),
        SheetGroup(600_000, (SheetPoint("rain", "mm", Decimal("0.1"), Decimal(0), None),)),
    ),
    (SheetLimit("pond-high", "pond.level", Rule.ABOVE, ((2, 21000), (4, 23000)), "尾矿库水位"),),
)
ALARM = Alarm("pond-high", "pond.level", Level.RED, Change.RAISED, Rule.ABOVE, 23004, 23000, T0_MS + 86_400_123)
RAINED = Alarm(
    *("rain-12h", "rain", Level.BLUE, Change.RAISED, Rule.ABOVE, 503, 500, T0_MS + 86_400_123),
    basis=Basis(Of.SUM, 43_200, "mm", Decimal("0.1"), (Input("rain", 12), Input("pond.level", None))),
)
STATUS = {"cpu": 0.25, "links": {"4g": True, "vsat": None}, "free_mb": 1210}
RANGES = ((1, 250), (252, 252), (1000, 70_000))


def _regular() -> list[RoundRow]:
    levels, temperatures = (21_004, 21_004, 21_005, 21_007), (8731, 8729, 8729, 8734)
    pairs = zip(levels, temperatures, strict=True)
    return [RoundRow(155 + i, T0_MS + 60_000 * (140 + i), pair) for i, pair in enumerate(pairs)]


def _irregular() -> list[RoundRow]:
    silent = bytes([Quality.NO_ANSWER, Quality.OVER_RANGE])
    return [
        RoundRow(9, T0_MS - 61_234, (None, 9_007_199_254_740_991), silent, ClockQuality.FREE),
        RoundRow(12, T0_MS + 1, (None, -9_007_199_254_740_991), silent, ClockQuality.FREE),
        RoundRow(11, T0_MS, (0, 8731), b"", ClockQuality.UNKNOWN),
        RoundRow(5_000_000_000, T0_MS + 86_400_000, (0, 8731), bytes([Quality.SUSPECT, 0])),
    ]


def _long() -> list[RoundRow]:
    chance, level = random.Random(1), 21_000
    rows = []
    for i in range(240):
        level += chance.choice((-2, -1, 0, 0, 0, 1, 3))
        rows.append(RoundRow(500 + i, T0_MS + 60_000 * i, (level, round(8731 + 2.34375 * (i % 7)))))
    return rows


SUMMARY = Summaries(
    0,
    0,
    600,
    (
        Window(1_795_003_800_000, (21_000, 8731), (21_003, 8734), (21_009, 8736), (10, 10)),
        Window(1_795_003_200_000, (20_994, None), (20_998, None), (21_001, None), (9, 0)),
        Window(1_795_002_600_000, (20_994, 8729), (20_994, 8729), (20_994, 8731), (9, 2)),
    ),
)
STILL = Rounds(1, tuple(RoundRow(11 * i, T0_MS + 600_000 * i, (0,)) for i in range(1, 6)))
BODIES: dict[str, tuple[Body, str]] = {
    "rounds": (Rounds(0, tuple(_regular())), "four rounds of group 0, one a minute, all good"),
    "rounds-irregular": (Rounds(0, tuple(_irregular())), "missing, over range, largest values, any times, any clock"),
    "rounds-long": (Rounds(0, tuple(_long())), "240 rounds: levels by chance, temperatures on the grid"),
    "rounds-group-1": (Rounds(1, (RoundRow(1, T0_MS + 600_000, (0,)),)), "one round of group 1"),
    "alarm": (Alarms(((70_000, ALARM),)), "red: pond.level 2300.4 above 2300.0 mm"),
    "alarm-drill": (Alarms(((70_002, replace(ALARM, drill=True)),)), "the red alarm of `alarm`, as a drill"),
    "alarm-basis": (Alarms(((70_001, RAINED),)), "blue: the sum of rain in 12 h 50.3 above 50.0 mm, and what went in"),
    "status": (Status(71, T0_MS, 0, STATUS), "a status map"),
    "account": (Account(72, T0_MS, 1, {"taken": 5}), "an account map"),
    "sheet": (SheetPacket(1, SHEET), "the sheet of all these"),
    "summary": (SUMMARY, "three windows of ten minutes of group 0, one of them without a good temperature"),
    "summary-entry": (
        Summaries(70_001, 1, 1800, (Window(1_794_999_600_000, (0,), (3,), (12,), (3,)),)),
        "an entry of its own: half an hour of group 1, from before the sheet",
    ),
    "fragment": (Fragment(300, 1, 2, bytes(range(8))), "the second of three pieces, 300 packets after the first"),
    "test": (Test(), "asks for a receipt"),
    "receipt": (
        Receipt(SHEET.epoch, RANGES, T0_MS + 5, 70_000, need_sheets=(SHEET.short,)),
        "ranges of seq of a named epoch, echo, need of a sheet",
    ),
    "receipt-narrow": (
        Receipt(None, RANGES, T0_MS + 5, 70_000, 31_250, frozenset(range(69_976, 70_000)) - {69_990}, 69_976),
        "the same ranges, echo of a packet held for 31.25 s, which of the 24 packets before have arrived",
    ),
}


def encode(body: Body) -> bytes:
    match body:
        case Rounds(group, rows):
            return pack_rounds(SHEET, group, rows, 10_000)[0]
        case Alarms(alarms):
            return encode_alarms(SHEET, alarms)
        case Status(seq, at_ms, clock, values):
            return encode_map(Kind.STATUS, seq, at_ms, clock, values)
        case Account(seq, at_ms, clock, values):
            return encode_map(Kind.ACCOUNT, seq, at_ms, clock, values)
        case SheetPacket(seq, sheet):
            return encode_sheet(seq, sheet)
        case Receipt():
            return encode_receipt(
                body.epoch,
                body.ranges,
                body.time_ms,
                echo=body.echo,
                held_ms=body.held_ms,
                arrived=body.arrived,
                lowest=body.lowest,
                need_sheets=body.need_sheets,
            )
        case Summaries(seq, group, window_s, windows):
            return pack_summaries(SHEET, group, window_s, windows, 10_000, seq=seq)[0]
        case Fragment(back, index, last, data):
            return encode_fragment(back, index, last, data)
        case Test():
            return encode_test()


PACKETS = {
    "packet-short": (Direction.UP, 70_123, "rounds", SHEET, False, "`rounds` sealed, short form"),
    "packet-long": (Direction.UP, 70_124, "rounds", SHEET, True, "`rounds` sealed, long form"),
    "packet-receipt": (Direction.DOWN, 12, "receipt", None, False, "`receipt` sealed, downlink, short form"),
}


def sealed(name: str) -> bytes:
    direction, counter, body, sheet, long, _ = PACKETS[name]
    return seal.seal(ROOT, "mine-7", SHEET.epoch, direction, counter, sheet, golden()[body], long=long)


def golden() -> dict[str, bytes]:
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return {name: bytes.fromhex(raw) for name, raw, _ in (line.split(" ", 2) for line in lines)}


def test_the_file_has_all_of_them() -> None:
    assert set(golden()) == {*BODIES, *PACKETS, "alarm-alone", "alarm-other", "rounds-still", "parcel"}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(name: str) -> None:
    raw, (body, _) = golden()[name], BODIES[name]
    assert decode(raw, SHEET) == body
    if name != "sheet":  # a deflater may choose other bytes
        assert encode(body).hex() == raw.hex()


def test_an_alarm_without_a_sheet() -> None:
    raw = golden()["alarm-alone"]
    assert decode(raw, None) == Alarms(((70_000, ALARM),))
    assert encode_alarms(None, [(70_000, ALARM)]) == raw


def test_an_alarm_of_another_epoch() -> None:
    raw = golden()["alarm-other"]
    assert decode(raw, None) == Alarms(((70_000, ALARM),), 0x5EED0004)
    assert encode_alarms(None, [(70_000, ALARM)], 0x5EED0004) == raw


def test_rounds_whose_end_is_marked() -> None:
    raw = golden()["rounds-still"]
    assert decode(raw, SHEET) == STILL
    assert encode(STILL) == raw


def test_a_parcel() -> None:
    raw, body = golden()["parcel"], golden()["rounds"]
    assert b"".join(cut(SHEET, body, 7)) == raw
    assert join([raw[:7], raw[7:14], raw[14:]], [SHEET]) == Joined(SHEET, body)


@pytest.mark.parametrize("name", PACKETS)
def test_packets(name: str) -> None:
    direction, counter, body, sheet, _, _ = PACKETS[name]
    raw = golden()[name]
    assert sealed(name) == raw
    opened = open_packet(raw, ROOT, "mine-7", direction, {SHEET.epoch: counter - 3}, [SHEET])
    assert opened == Opened(counter, SHEET.epoch, sheet, golden()[body])


def write() -> None:
    """Writes the file anew."""
    head = "# Golden bytes of edge/wire, version 1: name, hex, meaning. See tests/test_wire_golden.py.\n"
    head += f"# Root key {ROOT.hex()}, gateway mine-7, digest of the sheet {SHEET.digest.hex()}\n"
    bodies = [(name, encode(body), meaning) for name, (body, meaning) in BODIES.items()]
    bodies.append(("alarm-alone", encode_alarms(None, [(70_000, ALARM)]), "the same alarm, without a sheet"))
    bodies.append(("alarm-other", encode_alarms(None, [(70_000, ALARM)], 0x5EED0004), "the same, of epoch 5eed0004"))
    bodies.append(("rounds-still", encode(STILL), "five rounds of group 1, no rain: the end is marked"))
    bodies.append(("parcel", b"".join(cut(SHEET, bodies[0][1], 99)), "what is cut into fragments to carry `rounds`"))
    FILE.write_text(head + _lines(bodies), encoding="utf-8")
    packets = [(name, sealed(name), PACKETS[name][-1]) for name in PACKETS]
    FILE.write_text(head + _lines([*bodies, *packets]), encoding="utf-8")


def _lines(items: list[tuple[str, bytes, str]]) -> str:
    return "".join(f"{name} {raw.hex()} {meaning}\n" for name, raw, meaning in items)


if __name__ == "__main__":
    write()
