"""What terminals in the field print differently, each told apart by what stands there."""

from __future__ import annotations

import pytest

from drivers.beidou.wire import (
    Ack,
    Beam,
    Beams,
    BitLimit,
    Card,
    DeliveryReceipt,
    Dialect,
    Feedback,
    Health,
    Heard,
    Noise,
    Other,
    Outcome,
    Position,
    PositionInject,
    QueryReceipts,
    QueryStored,
    Receipts,
    Stream,
    UtcTime,
    Version,
)
from drivers.beidou.wire.fields import xor

B3, T21, B40 = Dialect.BDS3, Dialect.TEXT21, Dialect.BINARY40


def line(body: str | bytes, end: bytes = b"\r\n", start: bytes = b"$") -> bytes:
    raw = body.encode("gbk") if isinstance(body, str) else body
    return start + raw + b"*%02X" % xor(raw) + end


def frame(name: bytes, body: bytes, address: int = 142020) -> bytes:
    head = b"$" + name + (11 + len(body)).to_bytes(2, "big") + address.to_bytes(3, "big") + body
    return head + bytes([xor(head)])


def one(data: bytes) -> Heard:
    heard = Stream().feed(data)
    assert len(heard) == 1, heard
    return heard[0]


def noise(data: bytes) -> str:
    found = one(data)
    assert isinstance(found, Noise)
    return found.why


# --- beams ---


@pytest.mark.parametrize(
    "tail",
    [
        "2,51,44,4,50,43",  # three fields
        "2,51,44,0,4,50,43,0",  # four, the last 0
        "2,51,44,,4,50,43,",  # four, the last empty
        "2,51,44,7,4,50,43,7",  # four, told by their number
        "2,51,44,0,4,50,43",  # mixed
    ],
)
def test_beams_have_three_or_four_fields(tail: str) -> None:
    wanted = Beams(B3, (Beam(2, 51, 44), Beam(4, 50, 43)), 9388.5)
    assert one(line(f"BDPWI,023628.50,00,02,{tail}")) == wanted


def test_old_beams_stand_before_the_new_ones() -> None:
    heard = one(line("BDPWI,000001.00,01,3,40,30,02,2,51,44,0,4,50,43,0"))
    assert heard == Beams(B3, (Beam(2, 51, 44), Beam(4, 50, 43)), 1.0, old_beams=(Beam(3, 40, 30),))


@pytest.mark.parametrize("tail", ["00", "00,"])
def test_no_beam_at_all(tail: str) -> None:
    assert one(line(f"BDPWI,023628.00,00,{tail}")) == Beams(B3, (), 9388.0)


def test_six_and_three_beams() -> None:
    assert one(line("BDBSI,00,00,0,0,0,0,0,1")) == Beams(T21, (*(Beam(n, 0) for n in range(1, 6)), Beam(6, 1)))
    assert one(line("BDBSI,01,02,4,3,2")) == Beams(T21, (Beam(1, 4), Beam(2, 3), Beam(3, 2)), None, 1, 2)


def test_a_pwi_that_names_more_beams_than_it_has_is_refused() -> None:
    assert "names 3 BDS-3 beams" in noise(line("BDPWI,023628.00,00,03,2,51,44,0,4,50,43,0"))


# --- card ---


@pytest.mark.parametrize(
    "text",
    [
        "BDICI,0000000,0,0,0,0,0,N,0",
        "BDICI,2097151,0,0,0,9999.0,0,N,0",
        "BDICP,0,0,0,0,0,N,0,N,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0",
    ],
)
def test_no_card(text: str) -> None:
    card = one(line(text))
    assert isinstance(card, Card)
    assert card.address is None
    assert card.level == 0


def test_a_level_of_zero_means_five_when_there_is_a_card() -> None:
    icp = "BDICP,15240507,2032472,1,3,0,E,1,Y,1,0,0,3,1,1,0,1,1,2,2,500,100,10,10"
    assert one(line(icp)) == Card(B3, 15240507, 2032472, 1.0, 5, 3, True, "", 500)
    assert one(line("BDICI,4207733,0,0,3,60.0,0,E,22")) == Card(T21, 4207733, 0, 60.0, 5, 3, True, "0", 22)


def test_no_card_in_a_binary_frame() -> None:
    card = one(frame(b"ICXX", bytes(11), 0x1FFFFF))
    assert card == Card(B40, None)


def test_subordinates_in_a_binary_frame_are_not_a_card() -> None:
    assert isinstance(one(frame(b"ICXX", b"\x01" + bytes(60))), Other)


# --- feedback ---


@pytest.mark.parametrize(
    ("text", "outcome", "wait_s", "code"),
    [
        ("TXA,N,Y,0,0000", Outcome.REFUSED, None, 0),
        ("TXA,N,Y,4,0000", Outcome.REFUSED, None, 4),
        ("TXA,N,Y,1,0000", Outcome.SUPPRESSED, None, 1),
        ("TXA,N,Y,2,0000", Outcome.LOW_BATTERY, None, 2),
        ("TXA,N,Y,3,0000", Outcome.SILENT, None, 3),
        ("TXA,N,Y,0,0100", Outcome.TOO_EARLY, 60.0, 0),
        ("TXA,N,N,0,0259", Outcome.TOO_EARLY, 179.0, 0),
    ],
)
def test_feedback_of_21(text: str, outcome: Outcome, wait_s: float | None, code: int) -> None:
    assert one(line(f"BDFKI,{text}")) == Feedback(T21, "TXA", outcome, wait_s, code)


@pytest.mark.parametrize(
    ("text", "outcome", "wait_s", "code"),
    [
        ("080432,TCQ,Y,0,0", Outcome.SENT, None, 0),
        ("080432.00,TCQ,Y,5", Outcome.SENT, None, 5),  # with Y the reason is unused
        ("080432,TCQ,Y,,58", Outcome.SENT, 58.0, 0),
        ("080432,TCQ,N,1,37", Outcome.TOO_EARLY, 37.0, 1),
        ("080432,TCQ,N,2,0", Outcome.SUPPRESSED, None, 2),
        ("080432,TCQ,N,3,0", Outcome.SILENT, None, 3),
        ("080432,TCQ,N,4,0", Outcome.NO_SIGNAL, None, 4),
        ("080432,TCQ,N,5,0", Outcome.NO_CARD, None, 5),
        ("080432,TCQ,N,6,0", Outcome.NO_PERMISSION, None, 6),
        ("080432,TCQ,N,11,0", Outcome.BAD_CHECK, None, 11),
        ("080432,TCQ,N,,0", Outcome.REFUSED, None, 0),
        ("080432,TCQ,N,9,0", Outcome.REFUSED, None, 9),
    ],
)
def test_feedback_of_bds3(text: str, outcome: Outcome, wait_s: float | None, code: int) -> None:
    assert one(line(f"BDFKI,{text}")) == Feedback(B3, "TCQ", outcome, wait_s, code, 29072.0)


@pytest.mark.parametrize(
    ("flag", "extra", "outcome", "command", "wait_s"),
    [
        (0, b"TXSQ", Outcome.SENT, "TXSQ", None),
        (1, b"DWSQ", Outcome.REFUSED, "DWSQ", None),
        (2, bytes(4), Outcome.NO_SIGNAL, "", None),
        (3, bytes(4), Outcome.LOW_BATTERY, "", None),
        (4, b"\x2d\0\0\0", Outcome.TOO_EARLY, "", 45.0),
        (4, b"\0\0\0\x2d", Outcome.TOO_EARLY, "", 45.0),
        (4, b"\x2c\x01\0\0", Outcome.TOO_EARLY, "", 300.0),
        (4, bytes(4), Outcome.TOO_EARLY, "", None),
        (5, bytes(4), Outcome.CRYPTO, "", None),
        (6, b"TXSQ", Outcome.BAD_CHECK, "TXSQ", None),
        (7, bytes(4), Outcome.SUPPRESSED, "", None),
        (8, bytes(4), Outcome.RELEASED, "", None),
        (9, bytes(4), Outcome.NO_CARD, "", None),
        (10, bytes(4), Outcome.REFUSED, "", None),
        (0xA1, bytes(4), Outcome.REFUSED, "", None),
    ],
)
def test_feedback_of_40(flag: int, extra: bytes, outcome: Outcome, command: str, wait_s: float | None) -> None:
    assert one(frame(b"FKXX", bytes([flag]) + extra)) == Feedback(B40, command, outcome, wait_s, flag)


# --- the rest ---


def test_lower_case_checksum_and_exclamation_mark() -> None:
    good = b"$BDICI,4207733,0,0,3,60,2,N,22*3A\r\n"
    assert isinstance(one(good), Card)
    assert one(good.replace(b"3A", b"3a")) == one(good)
    assert one(good.replace(b"$", b"!")) == one(good)


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_any_line_end(end: bytes) -> None:
    assert one(line("BDZTI,0,0,0,0,0,0,85,1200", end)) == Health(T21, None, True, 85)


def test_sentences_without_a_line_end_between_them() -> None:
    heard = Stream().feed(line("BDZTI,0,1,0,0,0,", b"") + line("BDFKI,TXA,Y,Y,0,0000", b"") + frame(b"ICJC", b"\0"))
    assert [type(found).__name__ for found in heard] == ["Health", "Feedback", "QueryCard"]


def test_both_shapes_of_zda() -> None:
    assert one(line("BDZDA,1,000329.5,01,01,2026,-08,00,00,00,00,Y")) == UtcTime(1767225809500, "ZDA")
    assert one(line("GNZDA,,,,,00,00")) == UtcTime(None, "ZDA")
    assert one(line("GNZDA,235960,31,12,2016,00,00")) == UtcTime(1483228800000, "ZDA")  # a leap second


def test_gnss_without_a_fix() -> None:
    assert one(line("GNRMC,,V,,,,,,,,,,N")) == Position("RMC", False, None, None)
    assert one(line("GNRMC,000329.00,V,,,,,,,010106,,,N")) == Position("RMC", False, None, None)
    assert one(line("GPGGA,,,,,,0,00,99.99,,,,,,")) == Position("GGA", False, None, None, None, 0, 99.99)
    assert one(line("BDGLL,,,,,,V,N")) == Position("GLL", False, None, None)


def test_south_and_west() -> None:
    heard = one(line("GNGLL,2309.30960,S,11330.00645,W,070727.00,A,A"))
    assert isinstance(heard, Position)
    assert heard.lat_deg == pytest.approx(-23.15516)
    assert heard.lon_deg == pytest.approx(-113.5001075)


@pytest.mark.parametrize(
    "text",
    [
        "GNGLL,9909.30960,N,11330.00645,E,070727.00,A,A",
        "GNGLL,2361.30960,N,11330.00645,E,070727.00,A,A",
        "GNZDA,250000.00,01,01,2026,00,00",
        "GNZDA,000000.00,31,02,2026,00,00",
        "BDFKI,TXA,X,Y,0,0000",
        "BDFKI,TXA,N,Y,0,00x0",
        "BDICI,abc,0,0,3,60,2,N,22",
        "BDICI,4207733",
        "BDICP,4207733,0,0",
        "BDBSI,01",
        "BDTXR,1,0139311,2",
        "BDTXR,1,0139311,9,,A4",
        "BDTXR,1,0139311,2,2561,A4",
        "BDTCI,4204986,4204990,2,142204,7,0,A4",
        "BDHZR,0139311,2,1200",
        "BDHZR,0139311,9,1200,1201",
        "CCRMO,BSI,5,1",
        "CCTCQ,4238473,2,1,3,A4,x",
        "CCCXA,1,7,",
    ],
)
def test_a_right_checksum_over_nonsense_is_noise(text: str) -> None:
    assert text[:5] in noise(line(text))


def test_receipts_and_what_asks_for_them() -> None:
    wanted = (DeliveryReceipt((12, 0), (12, 3)), DeliveryReceipt((23, 59), (0, 1)))
    assert one(line("BDHZR,0139311,2,1200,1203,2359,0001")) == Receipts(T21, 139311, wanted)
    assert one(line("BDHZR,0139311,0")) == Receipts(T21, 139311, ())
    body = b"\x02\x2a\xc3\x02\x0c\x00\x0c\x03\x17\x3b\x00\x01"
    assert one(frame(b"TXHZ", body)) == Receipts(B40, 142019, wanted)
    assert one(line("CCCXA,1,3,0139311")) == QueryReceipts(139311)
    assert one(line("CCCXA,1,2,0139311")) == QueryStored(139311)
    assert one(line("CCCXA,1,1,")) == QueryStored(None)


def test_bit_limit() -> None:
    text = "BDZDX,4207733,036," + "0," * 20 + "47,60,2,1835,0,68.06,52,102706"
    assert one(line(text)) == BitLimit(4207733, 1835, 60.0, 2, 36, (*(0.0,) * 20, 47.0))


def test_power_time_and_version_frames() -> None:
    assert one(frame(b"GLZK", bytes([0, 4, 3, 2, 1, 0]))) == Beams(
        B40, (Beam(1, 0), Beam(2, 4), Beam(3, 3), Beam(4, 2), Beam(5, 1), Beam(6, 0))
    )
    assert one(frame(b"SJXX", b"\x07\xea\x0b\x16\x0c\x00\x1e")) == UtcTime(1795348830000, "SJXX")
    assert one(frame(b"BBXX", b"V1.2 \x00")) == Version(B40, "V1.2")
    assert one(line("BDVRX,V2.0,b")) == Version(B3, "V2.0,b")


def test_position_for_a_terminal_without_a_fix() -> None:
    heard = one(line("CCNPS,286176,11330.0000,E,2309.0000,N,12.0,M"))
    assert heard == PositionInject(286176, 23.15, 113.5, 12.0)


def test_a_bare_word_of_a_terminal() -> None:
    assert one(b"TCQ OK!\r\n") == Ack("TCQ")
    assert Stream().feed(b"TCQ OK!" + line("BDFKI,TXA,Y,Y,0,0000"))[0] == Ack("TCQ")
    assert noise(b"TCQ OK?\r\n")


def test_damaged_lengths_do_not_make_the_stream_wait() -> None:
    good = frame(b"FKXX", b"\x00TXSQ")
    longer = good[:6] + b"\x20" + good[7:]
    assert [type(found) for found in Stream().feed(longer + good)] == [Noise, Feedback]
    message = frame(b"TXXX", b"\x60\x02\x2a\xc3\x00\x00\x00\x10\x7e\x7e\x00")
    bits = message[:16] + b"\x02" + message[17:]
    assert "bits of content" in getattr(Stream().feed(bits + good)[0], "why", "")


def test_a_short_frame_does_not_take_the_next_one_by_chance() -> None:
    """A TXSQ that lost its tail and whose check fits over the first bytes of the next frame."""
    head = b"$TXSQ" + (18 + 20).to_bytes(2, "big") + bytes(3) + b"\x46" + b"\x02\x2a\xc3" + (160).to_bytes(2, "big")
    follower = frame(b"ICXX", b"\0" + bytes(10), 142019)
    short = head + b"\0" + bytes(9)
    filler = xor(short + follower[:11]) ^ follower[11]
    short = short[:-1] + bytes([filler])
    swallowed = short + follower
    assert xor(swallowed[:38]) == 0  # the trap is set
    heard = Stream().feed(swallowed)
    assert [type(found) for found in heard] == [Noise, Card]
