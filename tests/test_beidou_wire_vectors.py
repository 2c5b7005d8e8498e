"""Sentences and frames from outside (tests/vectors/beidou.txt: row, source, whether its check is right).

Every row marked `yes` means what is written here, by the published layouts; every `no` is refused. Chinese text in a
row is GBK on the wire. Whole, byte by byte, among each other and among noise, cut short, and with every bit flipped.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.beidou.wire import (
    Beam,
    Beams,
    Card,
    Dialect,
    Feedback,
    Fix,
    Form,
    Health,
    Heard,
    Locate,
    Message,
    Noise,
    Other,
    Outcome,
    Position,
    QueryCard,
    QueryStatus,
    Send,
    SetBeams,
    SetReport,
    Stream,
    UtcTime,
)

B3, T21, B40 = Dialect.BDS3, Dialect.TEXT21, Dialect.BINARY40
h = bytes.fromhex
FILE = Path(__file__).parent / "vectors" / "beidou.txt"
ROWS = [line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines()]


def steps(*powers: int) -> tuple[Beam, ...]:
    return tuple(Beam(place, float(power)) for place, power in enumerate(powers, 1))


def other(sentence: str, fields: str) -> Other:
    return Other(sentence, tuple(fields.split(",")))


DIGITS_78 = b"303132333435363738393031323334353637383930313233343536373839303132333435363738"
SL651 = h(
    "7E7E000015000001123430002B020013150504155214F1F100150000014BF0F00000000000"
    "201900017226190001723C230000000038120000038A2E"
)

# By the beginning of the row: long enough to name one row only.
MEANINGS: dict[str, Heard] = {
    "$CCICA,0,0*4B": QueryCard(T21),
    "$CCICA,0,00*7B": QueryCard(T21),
    "$CCICI,0,00*73": other("CCICI", "0,00"),
    "$CCRMO,,3,*4F": SetReport("", None),
    "$CCRMO,,4,1.5*62": SetReport("", 1.5),
    "$CCRMO,BSI,2,0*26": SetReport("BSI", 0.0),
    "$CCRMO,BSI,2,10*17": SetReport("BSI", 10.0),
    "$CCRMO,BSI,2,1*27": SetReport("BSI", 1.0),
    "$CCRMO,GSA,2,1*2A": SetReport("GSA", 1.0),
    "$CCDWA,0000000": Locate(T21, 0, False, 1, 0.0, ("L", "", "0", "", "")),
    "$CCDWA,0456094": Locate(T21, 456094, False, 1, 0.0, ("L", "0", "0", "0", "0")),
    "$CCBSS,,*42": SetBeams(None, None),
    "$CCBSS,05,03*44": SetBeams(5, 3),
    "$CCTXA,0967760": Send(T21, 967760, b"123_ABC" + "汉字".encode("gbk"), Form.MIXED),
    "$CCTXA,0166166,1,1,3132": Send(T21, 166166, b"12343335", Form.CODE),
    "$CCTXA,0242407": Send(T21, 242407, "广州海聊科技有限公司".encode("gbk"), Form.MIXED),
    "$CCTXA,0179773": Send(T21, 179773, b"hello", Form.MIXED),
    "$CCTXA,0166166,1,1,3330": Send(T21, 166166, DIGITS_78, Form.CODE),
    "$BDFKI,TXA,Y,Y,0,0040": Feedback(T21, "TXA", Outcome.SENT, 40.0, 0),
    "$BDFKI,082920,TCQ,Y,0,0*70": Feedback(B3, "TCQ", Outcome.SENT, None, 0, 8 * 3600 + 29 * 60 + 20),
    "$BDFKI,DWA,N,Y,0,0058": Feedback(T21, "DWA", Outcome.TOO_EARLY, 58.0, 0),
    "$BDFKI,TXA,Y,Y,0,0000": Feedback(T21, "TXA", Outcome.SENT, None, 0),
    "$BDICI,0000000": Card(T21, None, serial="00000000"),
    "$BDICI,4207733": Card(T21, 4207733, 0, 60.0, 2, 3, False, "0", 22),
    "$BDICI,0241636": Card(T21, 241636, 1933442, 60.0, 3, 6, False, "24000000", 0),
    "$BDICI,0166166": Card(T21, 166166, 11, 40.0, 3, 6, False, "02097151", 0),
    "$BDBSI,01,03": Beams(T21, steps(3, 2, 2, 0, 3, 0, 0, 3, 0, 0), None, 1, 3),
    "$BDBSI,02,08": Beams(T21, steps(0, 3, 0, 0, 0, 0, 0, 3, 0, 0), None, 2, 8),
    "$BDTXR,1,0139311": Message(T21, 139311, None, Form.MIXED, h("FB00003535383736306566")),
    "$BDTXR,1,0139312": Message(
        T21, 139312, None, Form.MIXED, h("FB200018667864646473") + "来肉手说切让".encode("gbk")
    ),
    "$BDTXR,1,0179773": Message(T21, 179773, None, Form.MIXED, b"hello"),
    "$BDTXR,1,0166166": Message(T21, 166166, None, Form.CODE, b"12343335"),
    "$BDTXR,1,195817": Message(T21, 195817, None, Form.RAW, b"A4BF0113ECCB13ECCBHELLO", sent_at=(14, 39)),
    "$BDWAA,0,,0312194,072236.37": Fix(T21, 312194, 26556.37, 38 + 2.69 / 60, 114 + 26.16 / 60, 61.0),
    "$BDWAA,0,,0312194,072236.40": Fix(T21, 312194, 26556.4, 38 + 2.69 / 60, 115 + 26.16 / 60, 61.0),
    "$BDDWR,1,0242407": Fix(T21, 242407, 31776.5, 23 + 2.2434 / 60, 113 + 23.6667 / 60, 14.0),
    "$BDZDA,3,000329.00": UtcTime(None, "ZDA"),  # N at its end: the time is not held
    "$BDZDA,121852.00": UtcTime(1763813932000, "ZDA"),
    "$BDZTI,0,1,0,0,0": Health(T21, None, True, None, None, (), ("crypto",)),
    "$CCICR,0,00*68": QueryCard(B3),
    "$BDICP,4216930": Card(B3, 4216930, 0, 60.0, 2, 3, False, "", 21),
    "$BDICP,4238473": Card(B3, 4238473, 0, 60.0, 2, 3, False, "", 21),
    "$BDICP,0,0": Card(B3, None),
    "$BDPWI,000000.00": Beams(B3, ()),  # beam 51 is none
    "$BDPWI,023628.00": Beams(
        B3, (Beam(2, 51, 44), Beam(4, 50, 43), Beam(11, 43, 36), Beam(16, 51, 44)), 2 * 3600 + 36 * 60 + 28
    ),
    "$CCTCQ,4238473": Send(B3, 4238473, h("1234567890" * 24), Form.CODE),
    "$BDTCI,4204986,4204990,2,142204": Message(
        B3, 4204986, 4204990, Form.CODE, h("3A642B500000000000000A01F35B41EC036542EE74F5"), sent_at=(14, 22, 4)
    ),
    "$BDTCI,4204986,4204990,2,111143": Message(
        B3, 4204986, 4204990, Form.CODE, h("FE24003100000000000006006E5141F0DF0242F3FBDC"), sent_at=(11, 11, 43)
    ),
    "$BDSNR": other("BDSNR", "0,0,0,0,0,0,48,0,0,0,0,0,41,0,0,0,44,44,0,0,0"),
    "$BDRNX": other("BDRNX", "5,5,5,5,5,5,8"),
    "$BDCOV": other("BDCOV", "1036,286176.000,00"),
    "$BDCNO": other("BDCNO", "B3I,11,6,34,60,34,37,32,56,33,16,32,39,35,23,40,40,36,32,35,11,32,59,32"),
    "$GNRMC,070723": Position("RMC", True, 23 + 9.30979 / 60, 113 + 30.00659 / 60, utc_ms=1709795243000),
    "$GNRMC,133806": Position("RMC", True, 26 + 3.2273 / 60, 119 + 11.8064 / 60, utc_ms=1488461886000),
    "$GNZDA": UtcTime(1709795248000, "ZDA"),
    "$GNGGA,063846": Position("GGA", True, 29 + 14.96875 / 60, 104 + 44.57129 / 60, 316.47, 12, 1.07),
    "$GNGGA,070728": Position("GGA", True, 23 + 9.30954 / 60, 113 + 30.00637 / 60, 12.91, 19, 0.7),
    "$GNGLL": Position("GLL", True, 23 + 9.3096 / 60, 113 + 30.00645 / 60),
    "24 49 43 4A 43": QueryCard(B40),
    "24 49 43 58 58": Card(B40, 142020, 1931028, 60.0, 4, 6, False, "", 0),
    "24 54 58 58 58 00 1A": Message(B40, 175607, 175607, Form.TEXT, "我爱你".encode("gbk"), sent_at=(0, 0)),
    "24 54 58 53 51 00 1F": Send(B40, 2096137, h("F1011EAB9172140B92161E1E53"), Form.CODE, False, 2096137),
    "24 54 58 53 51 00 16": Send(B40, 2095718, b"123 ", Form.CODE, True, 0),
    "24 54 58 53 51 00 1B": Send(B40, 2095719, b"123456789", Form.CODE, False, 0),
    "24 54 58 58 58 00 1F": Message(B40, 142019, 142019, Form.MIXED, "你好中国人".encode("gbk"), sent_at=(0, 0)),
    "24 58 54 5A 4A": QueryStatus(0, 142020),
    "24 5A 4A 58 58 00 15 02 2A C4": Health(B40, False, True, 100, 2, steps(2, 4, 2, 0, 4, 2), ("card",)),
    "24 5A 4A 58 58 00 15 02 2A C3": Health(B40, False, True, 100, 2, steps(1, 4, 1, 0, 1, 0), ("card",)),
    "24 46 4B 58 58": Feedback(B40, "TXSQ", Outcome.SENT, None, 0),
    "2454585858": Message(B40, 142020, 142019, Form.CODE, SL651, sent_at=(0, 0)),
    "24 44 57 58 58": Fix(
        B40,
        2095718,
        3 * 3600 + 28 * 60 + 50.71,  # printed in UTC+8
        24 + 34 / 60 + 53.6 / 3600,
        118 + 5 / 60 + 47.7 / 3600,
        20.0,
    ),
    "24 44 57 53 51": Locate(B40, 0, False, 1),
    "24 47 50 53 50": other("GPSP", "00000001000000"),
}


def on_the_wire(row: str) -> bytes:
    return row.encode("gbk") + b"\r\n" if row.startswith("$") else bytes.fromhex(row)


def meaning(row: str) -> Heard:
    found = [value for begin, value in MEANINGS.items() if row.startswith(begin)]
    assert len(found) == 1, row
    return found[0]


GOOD = [row[0] for row in ROWS if row[-1] == "yes"]
BAD = [row[0] for row in ROWS if row[-1] == "no"]


def values(heard: list[Heard]) -> list[Heard]:
    return [one for one in heard if not isinstance(one, Noise)]


def almost(found: Heard, wanted: Heard) -> bool:
    """Equal, degrees to a millionth of a metre."""
    if not isinstance(found, Position | Fix) or type(found) is not type(wanted):
        return found == wanted
    near = pytest.approx((wanted.lat_deg, wanted.lon_deg), rel=1e-12)
    return (found.lat_deg, found.lon_deg) == near and replace(found, lat_deg=0, lon_deg=0) == replace(
        wanted, lat_deg=0, lon_deg=0
    )


def same(found: list[Heard], wanted: list[Heard]) -> bool:
    return len(found) == len(wanted) and all(map(almost, found, wanted))


def test_the_file_is_whole() -> None:
    assert len(ROWS) == len(MEANINGS) + len(BAD)
    assert {row[-1] for row in ROWS} == {"yes", "no"}
    assert len(BAD) == 4


@pytest.mark.parametrize("row", GOOD)
def test_every_good_row_means_what_it_says(row: str) -> None:
    data = on_the_wire(row)
    heard = Stream().feed(data)
    assert same(heard, [meaning(row)]), heard
    assert heard[0].raw == data.removesuffix(b"\r\n")


@pytest.mark.parametrize("row", GOOD)
def test_byte_by_byte(row: str) -> None:
    stream = Stream()
    heard = [one for byte in on_the_wire(row) for one in stream.feed(bytes([byte]))]
    assert same(heard, [meaning(row)])


@pytest.mark.parametrize("row", BAD)
def test_every_bad_row_is_refused(row: str) -> None:
    stream = Stream()
    heard = stream.feed(on_the_wire(row)) + stream.flush()
    assert values(heard) == []
    assert heard[0].raw.rstrip() == row.encode("gbk")
    assert "expected" in getattr(heard[0], "why", "")


def test_all_among_each_other_and_noise_in_any_chunks() -> None:
    rng = random.Random(20261122)
    for _ in range(20):
        rows = rng.sample(GOOD + BAD, len(GOOD) + len(BAD))
        data, wanted = b"", []
        for row in rows:
            data += on_the_wire(row)
            wanted += [] if row in BAD else [meaning(row)]
            data += rng.choice([b"", b"", b"\r\n", b"\x00\xff*,7E", b"$", b"$$!", b"boot v1.2\r\n", b"$BDBSI,01"])
        stream, heard = Stream(), []
        while data:
            cut = rng.choice([1, 2, 7, 40, 300])
            heard += stream.feed(data[:cut])
            data = data[cut:]
        assert same(values(heard + stream.flush()), wanted)


@pytest.mark.parametrize("row", GOOD)
def test_cut_short_anywhere_it_is_noise(row: str) -> None:
    data = on_the_wire(row).removesuffix(b"\r\n")
    for cut in range(1, len(data)):
        stream = Stream()
        heard = stream.feed(data[:cut]) + stream.flush()
        assert values(heard) == []
        assert b"".join(one.raw for one in heard) == data[:cut]


@pytest.mark.parametrize("row", GOOD)
def test_no_flipped_bit_gives_another_value(row: str) -> None:
    """Lower-case digits in a checksum are the only flip that leaves it right, and then the value is the same."""
    data = on_the_wire(row)
    follower = b"$BDFKI,TXA,Y,Y,0,0040*17\r\n"
    known = Feedback(T21, "TXA", Outcome.SENT, 40.0, 0)
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            stream = Stream()
            heard = values(stream.feed(bytes(flipped)) + stream.flush() + stream.feed(follower))
            assert heard[-1] == known
            assert heard[:-1] == [] or same(heard[:-1], [meaning(row)]), (place, bit)
