"""Lines out of bytes: whatever is cut, joined, damaged or endless, no wrong value and no byte lost without a word."""

from __future__ import annotations

import re
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.serial_line.pattern import pattern_problems
from drivers.serial_line.wire import (
    MAX_LINE_BYTES,
    Line,
    Noise,
    Sentence,
    Splitter,
    checksum,
    read_nmea,
    read_number,
    read_pattern,
    read_separated,
)

# Sentences with their checksums, as manuals print them.
SENTENCES = [
    b"$WIMWV,39,R,1.3,M,A*06",  # Vaisala M210822EN-F, NMEA MWV
    b"$WIMWV,045,R,011.63,N,A*09",  # Vaisala M212995EN-A (WM80), NMEA MWV
    b"$GPGGA,092750.000,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,*76",  # Wikipedia, NMEA 0183, sample file
    b"$GPRMC,092750.000,A,5321.6802,N,00630.3372,W,0.02,31.66,280511,,,A*43",  # the same
    b"$GPGSA,A,3,10,07,05,02,29,04,08,13,,,,,1.72,1.03,1.38*0A",  # the same
]


def started() -> Splitter:
    splitter = Splitter()
    splitter.begin()
    return splitter


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60)), st.data())
def test_lines_come_out_whole_however_they_are_cut(lines: list[str], data: st.DataObject) -> None:
    end = data.draw(st.sampled_from(["\r", "\n", "\r\n"]))
    stream = "".join(line + end for line in lines).encode()
    splitter, out = started(), []
    while stream:
        size = data.draw(st.integers(1, 30))
        out += splitter.feed(stream[:size])
        stream = stream[size:]
    assert out == [Line(line.encode()) for line in lines]
    assert not splitter.pending


@given(st.lists(st.one_of(st.binary(max_size=1500), st.none()), max_size=12))
def test_no_byte_is_lost_and_little_is_held(chunks: list[bytes | None]) -> None:
    splitter, kept = Splitter(), b""
    for chunk in chunks:
        items = [splitter.begin()] if chunk is None else splitter.feed(chunk)
        for item in items:
            if item is not None:
                assert len(item.raw) <= MAX_LINE_BYTES
                kept += item.raw
    last = splitter.begin()
    kept += last.raw if last else b""
    assert len(last.raw if last else b"") <= MAX_LINE_BYTES
    assert kept == re.sub(rb"[\r\n]", b"", b"".join(chunk or b"" for chunk in chunks))


def test_the_first_line_after_opening_is_not_trusted_unless_silence_came_before() -> None:
    splitter = Splitter()
    assert splitter.feed(b"2.5\r\n112.5\r\n") == [Noise(b"2.5", "began in the middle of a line"), Line(b"112.5")]
    assert started().feed(b"2.5\r\n") == [Line(b"2.5")]


def test_half_a_line_and_the_next_never_make_one() -> None:
    splitter = started()
    assert splitter.feed(b"1") == []
    assert splitter.pending
    assert splitter.begin() == Noise(b"1", "half a line")
    assert splitter.feed(b"12.5\n") == [Line(b"12.5")]


def test_an_endless_line_is_noise_to_its_end() -> None:
    splitter = started()
    out = splitter.feed(b"x" * 2000)
    out += splitter.feed(b"y\nnext\n")
    assert [item.raw for item in out] == [b"x" * 512] * 3 + [b"x" * 464 + b"y", b"next"]
    assert [type(item) for item in out] == [Noise] * 4 + [Line]
    assert {item.why for item in out if isinstance(item, Noise)} == {"line too long"}


def test_a_line_exactly_as_long_as_allowed_is_a_line() -> None:
    assert started().feed(b"x" * MAX_LINE_BYTES + b"\n") == [Line(b"x" * MAX_LINE_BYTES)]
    over = started().feed(b"x" * (MAX_LINE_BYTES + 1) + b"\n")
    assert [item.raw for item in over] == [b"x" * MAX_LINE_BYTES, b"x"]
    assert all(isinstance(item, Noise) for item in over)


@pytest.mark.parametrize("byte", [0x00, 0x07, 0x1B, 0x7F])
def test_control_characters_spoil_a_line(byte: int) -> None:
    assert started().feed(b"1" + bytes([byte]) + b"2\n") == [Noise(b"1" + bytes([byte]) + b"2", "control characters")]


@pytest.mark.parametrize("raw", SENTENCES)
def test_sentences_of_manuals_read_whole_and_never_damaged(raw: bytes) -> None:
    good = read_nmea(raw)
    assert isinstance(good, Sentence)
    assert ",".join(good.fields) == raw[1:-3].decode()
    for place in range(len(raw)):
        assert isinstance(read_nmea(raw[:place]), Noise)
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[place] ^= 1 << bit
            found = read_nmea(bytes(flipped))
            # the case of the checksum's own digits is free: 0x20 turns "A" into "a", the same number
            assert isinstance(found, Noise) or found == good


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"hello", "no NMEA sentence"),
        (b"$WIMWV,214.8,R,0.1,K,A", "no checksum"),
        (b"$WIMWV,214.8,R,0.1,K,A*29", "wrong checksum"),
        (b"$WIMWV,214.8,R,0.1,K,A*2", "wrong checksum"),
        (b"$WIMWV,214.8,R,0.1,K,A*28x", "wrong checksum"),
        (b"$WIMWV,214.8,R,0.1,K,A*+8", "wrong checksum"),
        (b"$*00", "no NMEA sentence"),
        (
            b"$WIMWV,16764.0,R$34.8,M,A*1D",
            "no NMEA sentence",
        ),  # a comma damaged into "$", the checksum agrees by chance
    ],
)
def test_what_is_no_sentence_says_why(raw: bytes, why: str) -> None:
    assert read_nmea(raw) == Noise(raw, why)


def test_remains_of_a_cut_sentence_do_not_spoil_the_next() -> None:
    found = read_nmea(b"$WIMWV,21" + SENTENCES[1])
    assert isinstance(found, Sentence)
    assert found.fields[1] == "045"


@pytest.mark.parametrize(
    ("wanted", "answers"), [("MWV", True), ("WIMWV", True), ("IIMWV", False), ("MWD", False), ("WV", False)]
)
def test_a_sentence_is_known_by_three_letters_or_its_whole_id(wanted: str, answers: bool) -> None:
    found = read_nmea(SENTENCES[0])
    assert isinstance(found, Sentence)
    assert found.answers(wanted) is answers


def test_a_sentence_that_calls_itself_invalid_is_known() -> None:
    body = b"WIMWV,214.8,R,0.1,K,V"
    found = read_nmea(b"$%b*%02X" % (body, checksum(body)))
    assert isinstance(found, Sentence)
    assert not found.valid


@given(st.binary(max_size=200))
def test_reading_never_raises(raw: bytes) -> None:
    read_nmea(raw)
    read_separated(raw, ",")
    read_separated(raw, " ")
    read_number(raw.decode("latin-1"))
    read_pattern(raw, re.compile(r"(?P<a>\d+)"))


@pytest.mark.parametrize(
    ("text", "number"),
    [("12.34", "12.34"), (" -0.5 ", "-0.5"), ("+7", "7"), (".5", "0.5"), ("5.", "5"), ("1.2E-3", "0.0012")],
)
def test_numbers(text: str, number: str) -> None:
    assert read_number(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "1,5", "0x10", "1.2.3", "--1", "1e999", "٣", "1 2"])
def test_what_is_no_number(text: str) -> None:
    assert read_number(text) is None


def test_blank_as_separator_takes_runs() -> None:
    assert read_separated(b"  1.0   2.0\t3.0 ", " ") == ("1.0", "2.0", "3.0")
    assert read_separated(b"1.0,,3.0", ",") == ("1.0", "", "3.0")


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+",
        r"(\d*)*x",
        r"(?:[^,]+,?)*",
        r"((ab)*c)*",
        r"(\d{1,30}){1,30}",
        r".*,.*,.*",
        r"(.)*,.+,.*?x",
        r"(",
        r"*",
    ],
)
def test_dangerous_patterns_are_refused(pattern: str) -> None:
    assert pattern_problems(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"T=(?P<t>-?\d+\.\d+) RH=(?P<rh>\d+)%",
        r".*level (?P<l>\d+(?:\.\d+)?) m.*",
        r"(?:[^,]*,){3}(?P<x>[^,]*)",
        r"(a|b)*c",
    ],
)
def test_ordinary_patterns_are_allowed_and_quick_on_noise(pattern: str) -> None:
    assert pattern_problems(pattern) == []
    compiled = re.compile(pattern, re.ASCII)
    started_s = time.perf_counter()
    for noise in (b"1" * 512, b"," * 512, b"a" * 512, b"T=1.1" * 100, b"level 1" * 70):
        assert isinstance(read_pattern(noise, compiled), Noise | dict)
    assert time.perf_counter() - started_s < 2.0
