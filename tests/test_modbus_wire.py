"""The Modbus grammar against published frames, disturbed bits, noise, echoes and arbitrary bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.wire import (
    HELD_BYTES,
    Answer,
    Exchange,
    Noise,
    Refusal,
    Request,
    crc_ok,
    decode_pdu,
    decode_rtu,
    encode_pdu,
    encode_rtu,
    encode_tcp,
    explain,
    probe_for,
    shapes,
)
from sim.modbus_slave import Line, Slave, crc16

VECTORS = [
    (name, bytes.fromhex(frame))
    for name, frame, _source, valid in (
        line.split("\t") for line in (Path(__file__).parent / "vectors/modbusrtu.txt").read_text().splitlines()
    )
    if valid == "yes"
]
LASER = Request(0x50, 3, 0x34, 1)
LASER_REPLY = bytes.fromhex("500302070B067F")
QUESTIONS = {
    "radar SEN0676 read 0001h empty height": Request(1, 3, 0x0001, 1),
    "level / wind read 0000h x1": Request(2, 3, 0x0000, 1),
    "laser SEN0492 read 0034h": LASER,
    "radar SEN0676 read 0003h level": Request(1, 3, 0x0003, 1),
    "rain gauge set address (FC06 1000h=3)": Request(2, 6, 0x1000, 1, (3,)),
    "VTN416 VW logger read 0064h x20": Request(1, 3, 0x0064, 20),
    "rain gauge read 0000h x3": Request(2, 3, 0x0000, 3),
}
REQUESTS = st.builds(
    Request,
    unit=st.integers(1, 247),
    function=st.sampled_from([1, 2, 3, 4]),
    address=st.integers(0, 65000),
    quantity=st.integers(1, 125),
)


def a_slave_with_everything(unit: int) -> Slave:
    slave = Slave(unit)
    for name in ("coil", "discrete"):
        slave.put(name, 0, (i % 3 & 1 for i in range(65536)))
    for name in ("holding", "input"):
        slave.put(name, 0, (i * 7 % 65536 for i in range(65536)))
    return slave


EVERYTHING = a_slave_with_everything(9)


def replies(request: Request, is_rtu: bool = True) -> bytes:
    """What the independent slave answers."""
    EVERYTHING.unit = request.unit
    frame = encode_rtu(request) if is_rtu else encode_tcp(request, 7)
    return b"".join(part for _, part in Line([EVERYTHING], is_rtu=is_rtu).feed(frame, 0.0))


def expected(request: Request) -> tuple[int, ...]:
    table = {1: EVERYTHING.coil, 2: EVERYTHING.discrete, 3: EVERYTHING.holding, 4: EVERYTHING.input}[request.function]
    return tuple(table[request.address + i] for i in range(request.quantity))


def test_every_published_frame_is_known_here() -> None:
    known = {f"ModbusRTU {name}" for name in (*QUESTIONS, "laser SEN0492 reply 1803 mm")}
    assert {name for name, _ in VECTORS} == known


@pytest.mark.parametrize(("name", "frame"), VECTORS)
def test_published_frames(name: str, frame: bytes) -> None:
    assert crc_ok(frame)
    if "reply" in name:
        assert decode_rtu(LASER, frame) == Answer((1803,))
    else:
        assert encode_rtu(QUESTIONS[name.removeprefix("ModbusRTU ")]) == frame


@pytest.mark.parametrize(("name", "frame"), VECTORS)
def test_every_flipped_bit_and_every_missing_byte_is_refused(name: str, frame: bytes) -> None:
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not crc_ok(bytes(flipped))
        assert isinstance(decode_rtu(LASER, bytes(flipped)), Noise)
        assert Exchange(LASER).feed(bytes(flipped)) is None
    for size in range(len(frame)):
        assert isinstance(decode_rtu(LASER, frame[:size]), Noise)


@given(REQUESTS, st.booleans(), st.data())
def test_an_answer_is_found_in_pieces_behind_noise(request: Request, is_rtu: bool, data: st.DataObject) -> None:
    noise = data.draw(st.binary(max_size=HELD_BYTES))
    frame = noise + replies(request, is_rtu)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(frame)), max_size=8)))
    exchange = Exchange(request, None if is_rtu else 7)
    verdicts = [exchange.feed(frame[a:b]) for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True)]
    assert next(verdict for verdict in verdicts if verdict is not None) == Answer(expected(request))


@given(REQUESTS, st.lists(st.binary(max_size=300), max_size=6))
def test_arbitrary_bytes_never_raise_and_are_bounded(request: Request, chunks: list[bytes]) -> None:
    for exchange in (Exchange(request), Exchange(request, 7), Exchange(request, None, None)):
        for chunk in chunks:
            exchange.feed(chunk)
            assert len(exchange.heard()) <= HELD_BYTES
        assert explain(exchange)
    for chunk in chunks:
        decode_rtu(request, chunk)
        decode_pdu(request, chunk)


@given(REQUESTS, REQUESTS, st.booleans())
def test_an_answer_to_another_question_is_none(asked: Request, other: Request, is_rtu: bool) -> None:
    """On RTU as far as it can be told at all: by unit, function and length."""
    same = asked.unit == other.unit and shapes(asked) == shapes(other)
    if not same:
        assert Exchange(asked, None if is_rtu else 7).feed(replies(other, is_rtu)) is None
    assert Exchange(asked, 8).feed(replies(asked, is_rtu=False)) is None  # another transaction


@given(REQUESTS, st.integers(0, 255))
def test_exceptions_are_values(request: Request, code: int) -> None:
    pdu = bytes([request.unit, request.function | 0x80, code])
    assert Exchange(request).feed(pdu + crc16(pdu)) == Refusal(code)
    assert Exchange(request, 1).feed(b"\0\1\0\0\0\3" + pdu) == Refusal(code)


WRITES = [
    Request(1, 5, 10, 1, (1,)),
    Request(1, 5, 10, 1, (0,)),
    Request(1, 6, 300, 1, (65535,)),
    Request(1, 15, 3, 11, (1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1)),
    Request(1, 16, 7, 3, (1, 2, 65535)),
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("is_rtu", [True, False])
def test_writes_reach_the_slave_and_only_their_own_echo_confirms(write: Request, is_rtu: bool) -> None:
    reply = replies(write, is_rtu)
    table = EVERYTHING.coil if write.function in (5, 15) else EVERYTHING.holding
    assert tuple(table[write.address + i] for i in range(write.quantity)) == write.values
    transaction = None if is_rtu else 7
    assert Exchange(write, transaction).feed(reply) == Answer(())
    elsewhere = write._replace(address=write.address + 1)
    assert Exchange(elsewhere, transaction).feed(reply) is None


@given(REQUESTS, st.binary(max_size=3))
def test_the_adapters_echo_is_skipped(request: Request, glitch: bytes) -> None:
    exchange = Exchange(request, None, None)
    assert exchange.feed(glitch + exchange.frame) is None
    assert exchange.echo_heard
    assert exchange.feed(replies(request)) == Answer(expected(request))


def test_an_echo_that_looks_like_an_answer_is_none() -> None:
    """Of 2^16 addresses some make a question whose first bytes are an answer with a right CRC: search one, feed it."""
    found = 0
    for unit in range(1, 248):
        for low in range(256):
            request = Request(unit, 3, 0x0200 + low, 1)  # 0x02 stands where an answer has its byte count
            exchange = Exchange(request, None, None)
            found += crc_ok(exchange.frame[:7])
            assert exchange.feed(exchange.frame) is None
    assert found, "no such question: this test shows nothing"


def test_a_single_write_needs_its_confirmation_besides_the_echo() -> None:
    write = Request(1, 6, 5, 1, (7,))
    known_echo = Exchange(write, None, True)
    assert known_echo.feed(known_echo.frame) is None
    assert known_echo.feed(known_echo.frame) == Answer(())


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "heard nothing"),
        (LASER_REPLY[:-1] + b"\0", "CRC is wrong"),
        (bytes.fromhex("500304070B0000") + crc16(bytes.fromhex("500304070B0000")), "byte"),
        (b"\x09\x03\x02\x00\x01" + crc16(b"\x09\x03\x02\x00\x01"), "unit 9"),
        (b"\x50", "too short"),
    ],
)
def test_silence_is_explained(raw: bytes, says: str) -> None:
    exchange = Exchange(LASER)
    assert exchange.feed(raw) is None
    assert says in explain(exchange)


def test_silence_over_tcp_is_no_matter_of_wires_and_baud_rates() -> None:
    why = explain(Exchange(LASER, 7))
    assert "is it unit" in why
    assert 'mode = "rtu"' in why
    assert "baud" not in why


@given(REQUESTS)
def test_a_probe_cannot_be_confused(request: Request) -> None:
    taken = frozenset(shapes(request))
    probe = probe_for(request, taken)
    assert probe is not None
    assert shapes(probe)[0] not in taken
    encode_pdu(probe)


@pytest.mark.parametrize(
    "bad", [Request(1, 3, 0, 126), Request(1, 3, 70000, 1), Request(1, 7, 0, 1), Request(1, 16, 0, 2, (1,))]
)
def test_questions_outside_the_standard_are_not_made(bad: Request) -> None:
    with pytest.raises(ValueError):
        encode_pdu(bad)
