"""The stream: nothing raises, nothing is lost, nothing grows, and a good frame after any noise is found."""

from __future__ import annotations

import random
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.beidou.wire import Heard, Noise, Stream
from drivers.beidou.wire.stream import MAX_CONTENT_LINE
from tests.test_beidou_wire_vectors import GOOD, on_the_wire

STREAMS = 100_000
FRAMES = [on_the_wire(row) for row in GOOD]
# What a stream may wait for after noise: the rest of a 4.0 frame, or the lines that raw text may have.
CONTINUES = b" " * 280 + b"\r\n" * 4
FOLLOWERS = [b"$BDFKI,TXA,N,Y,0,0058*09\r\n", bytes.fromhex("24464B58580010022AC40054585351DB")]
GRAMMAR = [
    b"$",
    b"!",
    b"*",
    b",",
    b"\r\n",
    b"\n",
    b"\0",
    b"A4",
    b"0",
    b"7F",
    b"$BDTXR,1,0139311,0,,",
    b"\xc4\xe3",
    b"N",
]
GRAMMAR += [b"$BDTCI,1,2,2,101010,1,0,", b"$TXXX\0", b"$FKXX\0\x10", b"$ICXX\0\x16", b"$BDPWI", b"*4B", b"$CCTXA,"]


def noise_of(rng: random.Random) -> bytes:
    """Random bytes, pieces of the grammar, or good frames that were damaged."""
    kind = rng.random()
    if kind < 0.2:
        return rng.randbytes(rng.randrange(40))
    if kind < 0.5:
        return b"".join(rng.choices(GRAMMAR, k=rng.randrange(1, 12)))
    data = bytearray(b"".join(rng.choices(FRAMES, k=rng.randrange(1, 3))))
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(data) + 1)
        what = rng.randrange(4)
        if what == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif what == 1:
            del data[place : place + rng.randrange(1, 30)]
        elif what == 2:
            data[place:place] = rng.randbytes(rng.randrange(1, 6))
        else:
            data[place:place] = data[: rng.randrange(20)]
    return bytes(data)


def ends_dropped(data: bytes) -> bytes:
    return data.replace(b"\r", b"").replace(b"\n", b"")


def test_a_hundred_thousand_streams() -> None:
    rng = random.Random(20261122)
    wanted = [Stream().feed(follower)[0] for follower in FOLLOWERS]
    assert not any(isinstance(value, Noise) for value in wanted)
    for number in range(STREAMS):
        noise, which = noise_of(rng), number % 2
        data = noise + FOLLOWERS[which] + CONTINUES
        stream = Stream()
        heard = stream.feed(data[: len(noise) // 2])
        heard += stream.feed(data[len(noise) // 2 :])
        assert wanted[which] in heard, noise  # as the bytes go on, without the help of a flush
        heard += stream.flush()
        assert ends_dropped(b"".join(one.raw for one in heard)) == ends_dropped(data)
        assert stream.held_bytes == 0


def test_after_a_pause_a_good_frame_is_found_at_once() -> None:
    rng = random.Random(7)
    for number in range(5000):
        stream = Stream()
        stream.feed(noise_of(rng))
        stream.flush()
        heard = stream.feed(FOLLOWERS[number % 2])
        assert len(heard) == 1
        assert not isinstance(heard[0], Noise)


@given(st.lists(st.one_of(st.sampled_from(GRAMMAR), st.sampled_from(FRAMES), st.binary(max_size=12)), max_size=12))
def test_chunks_make_no_difference(parts: list[bytes]) -> None:
    data = b"".join(parts)
    whole, single = Stream(), Stream()
    at_once = whole.feed(data)
    one_by_one: list[Heard] = [found for byte in data for found in single.feed(bytes([byte]))]
    assert [(repr(a), a.raw) for a in at_once] == [(repr(b), b.raw) for b in one_by_one]
    assert whole.held_bytes == single.held_bytes
    assert list(map(repr, whole.flush())) == list(map(repr, single.flush()))


@pytest.mark.parametrize(
    "unit",
    [
        b"a",
        b"$",
        b"!A",
        b"$BDTXR,1,0139311,0,,",
        b"$BDTXR,1,0139311,2,,A4",
        b"$BDTCI,1,2,2,101010,1,0,x",
        b"$TXXX\x01\x10",
        b"$BDBSI,",
        b"\r\n",
        b"$CCTCQ,1,2,1,3,*00\r",
        b"$BDTXR,1,0139311,0,,*00\r",
        b"$BDTXR,1,0139311,0,,*00\n",
    ],
)
def test_floods_are_bounded_and_quick(unit: bytes) -> None:
    data = unit * (200_000 // len(unit))
    stream, chunk_bytes, out_bytes = Stream(), 256, 0
    began_s = process_time()
    for place in range(0, len(data), chunk_bytes):
        heard = stream.feed(data[place : place + chunk_bytes])
        out_bytes += sum(len(one.raw) for one in heard)
        assert stream.held_bytes <= MAX_CONTENT_LINE + chunk_bytes
    out_bytes += sum(len(one.raw) for one in stream.flush())
    assert out_bytes >= len(ends_dropped(data))
    assert process_time() - began_s < 17  # 200 kB are 17 s of a port at 115200 baud


def test_a_frame_is_given_out_with_its_last_byte() -> None:
    """A 4.0 frame with its check, a sentence with the first byte of its line end: nothing waits for the next one."""
    for frame in FRAMES:
        stream = Stream()
        cut = len(frame.rstrip(b"\r\n")) if frame.endswith(b"\r\n") else len(frame) - 1
        assert stream.feed(frame[:cut]) == []
        assert len(stream.feed(frame[cut : cut + 1])) == 1
