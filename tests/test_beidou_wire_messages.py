"""Messages in every shape that terminals give them, and raw text, which may hold anything."""

from __future__ import annotations

import pytest

from drivers.beidou.wire import Card, Dialect, Feedback, Form, Message, Noise, Send, Stream
from tests.test_beidou_wire_variants import frame, line, noise, one

B3, T21, B40 = Dialect.BDS3, Dialect.TEXT21, Dialect.BINARY40


@pytest.mark.parametrize(
    ("text", "form", "content", "at"),
    [
        ("4204986,4204990,2,142204,3,0,A45001", Form.MIXED, b"\x50\x01", (14, 22, 4)),
        ("04207733,4207733,2,023242,3,A45001", Form.MIXED, b"\x50\x01", (2, 32, 42)),
        ("4204986,4204990,2,142204,3,,A45001", Form.MIXED, b"\x50\x01", (14, 22, 4)),
        ("4204986,4204990,142204,3,0,3,A45001", Form.MIXED, b"\x50\x01", (14, 22, 4)),  # the older order
        ("4204986,4204990,2,142204,2,0,A45001", Form.MIXED, b"\x50\x01", (14, 22, 4)),  # A4 decides
        ("4204986,4204990,2,142204,2,0,123", Form.CODE, b"\x12\x3f", (14, 22, 4)),
        ("4204986,4204990,2,142204,2,0,A001", Form.POSITION, b"\xa0\x01", (14, 22, 4)),
        ("4204986,,2,,5,0,zz", Form.COMPRESSED, b"zz", None),
        ("4204986,4204990,2,142204,1,0,a,b*c", Form.TEXT, b"a,b*c", (14, 22, 4)),
    ],
)
def test_tci(text: str, form: Form, content: bytes, at: tuple[int, ...] | None) -> None:
    message = one(line(f"BDTCI,{text}"))
    assert isinstance(message, Message)
    assert (message.dialect, message.form, message.content, message.sent_at) == (B3, form, content, at)
    assert message.sender in (4204986, 4207733)


@pytest.mark.parametrize(
    ("text", "form", "content", "stored", "at"),
    [
        ("4,0139311,2,1439,A45001", Form.MIXED, b"\x50\x01", True, (14, 39)),
        ("5,139311,2,,A45001", Form.MIXED, b"\x50\x01", True, None),
        ("2,0139311,1,,A45001", Form.MIXED, b"\x50\x01", False, None),
        ("1,0139311,2,,,A45001", Form.MIXED, b"\x50\x01", False, None),  # an empty field before the content
        ("1,0139311,2,,5001", Form.CODE, b"\x50\x01", False, None),
        ("1,0139311,3,,A0500102", Form.POSITION, b"\xa0\x50\x01\x02", False, None),
        ("1,0139311,0,,$BDFKI,TXA,N,Y,3,0000*07 * , 你好", Form.TEXT, None, False, None),
        ("3,0139311,2,,来了 a*b, c", Form.RAW, None, False, None),
    ],
)
def test_txr(text: str, form: Form, content: bytes | None, stored: bool, at: tuple[int, int] | None) -> None:
    content = text.split(",", 4)[4].encode("gbk") if content is None else content
    assert one(line(f"BDTXR,{text}")) == Message(T21, 139311, None, form, content, stored, at)


@pytest.mark.parametrize("inner", ["\r\n", "\n\n", "a\r\nb\r\nc", "\r\n$BDFKI,TXA,N,Y,3,0000*07\r\n", "\r"])
def test_line_ends_inside_raw_text(inner: str) -> None:
    content = f"水位{inner}报警".encode("gbk")
    data = line(b"BDTXR,1,0139311,0,," + content) + line("BDICI,4207733,0,0,3,60,2,N,22")
    message, card = Stream().feed(data)
    assert message == Message(T21, 139311, None, Form.TEXT, content)
    assert isinstance(card, Card)
    stream = Stream()
    assert [found for byte in data for found in stream.feed(bytes([byte]))] == [message, card]


def test_a_damaged_message_of_digits_keeps_nothing_waiting() -> None:
    damaged = line("BDTXR,1,0139311,2,,A45001").replace(b"5", b"6", 1)
    assert noise(damaged).startswith("checksum")


def test_a_damaged_raw_text_lets_the_third_line_through() -> None:
    damaged = line("BDTXR,1,0139311,0,,abc").replace(b"abc", b"abd")
    feedback = line("BDFKI,TXA,Y,Y,0,0000")
    stream = Stream()
    assert stream.feed(damaged + feedback) == []
    heard = stream.feed(feedback)
    assert [type(found) for found in heard] == [Noise, Feedback, Feedback]
    assert stream.feed(damaged) == []
    assert [type(found) for found in stream.flush()] == [Noise]  # and a quiet wire ends it at once
    assert stream.held_bytes == 0


@pytest.mark.parametrize(
    ("text", "to", "form", "content"),
    [
        ("CCTXA,0242407,1,2,,A45001", 242407, Form.MIXED, b"\x50\x01"),
        ("CCTCQ,4238473,2,1,2,,5001", 4238473, Form.CODE, b"\x50\x01"),  # no period
        ("CCTCQ,15950044,2,2,3,A45001,0", 15950044, Form.MIXED, b"\x50\x01"),
        ("CCTCQ,4238473,2,1,1,a,b,0", 4238473, Form.TEXT, b"a,b"),
    ],
)
def test_commands_to_send(text: str, to: int, form: Form, content: bytes) -> None:
    send = one(line(text))
    assert isinstance(send, Send)
    assert (send.to, send.form, send.content) == (to, form, content)


def test_bits_on_the_air() -> None:
    bits = [
        getattr(one(line(text)), "bits", None)
        for text in (
            "BDTXR,1,0139311,2,,A4" + "00" * 77,
            "BDTXR,1,0139311,1,,123",
            "BDTXR,1,0139311,0,,水位5",
            "BDTCI,1,2,2,142204,1,0,水位",
        )
    ]
    assert bits == [624, 12, 42, 32]


@pytest.mark.parametrize(("info", "form"), [(0x40, Form.TEXT), (0x60, Form.CODE), (0x63, Form.CODE), (0x78, Form.CODE)])
def test_info_byte_by_its_bits(info: int, form: Form) -> None:
    body = bytes([info]) + b"\x02\x2a\xc3\x17\x3b\x00\x10\x7e\x7e\x01"
    message = one(frame(b"TXXX", body))
    assert message == Message(B40, 142019, 142020, form, b"~~", bool(info & 8), (23, 59), intact=False)


def test_an_odd_number_of_digits_ends_in_f() -> None:
    body = b"\x60\x02\x2a\xc3\x00\x00\x00\x0c\x12\x3f\x00"
    message = one(frame(b"TXXX", body))
    assert isinstance(message, Message)
    assert (message.content, message.bits) == (b"\x12\x3f", 12)
