"""Frames of the SYN6288 speech module. Pure.

    FD | length (2, high byte first: of all that follows) | command | [parameter] | [text] | XOR of all before it

Commands: 01 speak (parameter: the low three bits are the code page, 1 = GBK; the others music, 0 = none), 02 stop,
21 how is it. It answers with single bytes: 4A it has started, 41 taken, 45 not understood, 4E it speaks, 4F it is
silent. 9600 8N1 out of the box.

Facts: Beijing Yutone World "SYN6288 Chinese speech synthesis chip data sheet" of 2010-02-22 (copies at vdocuments.net,
manualzilla.com; not read whole here); the answers by CSDN's extract of it, the frames as libdriver/syn6288 sends them.
"""

from __future__ import annotations

from functools import reduce
from operator import xor

BEGIN = 0xFD
SPEAK, STOP, ASK = 0x01, 0x02, 0x21
GBK = 0x01
CODEC = "gbk"
TAKEN, NOT_TAKEN, SPEAKS, SILENT = 0x41, 0x45, 0x4E, 0x4F
TEXT_MOST_BYTES = 200  # of one frame: well below what public drivers send (256)


def frame(command: int, data: bytes = b"") -> bytes:
    """A whole frame."""
    body = bytes([command]) + data
    head = bytes([BEGIN]) + (len(body) + 1).to_bytes(2, "big")
    return head + body + bytes([reduce(xor, head + body)])


def speakable(char: str) -> bool:
    """Whether its code page has a character."""
    try:
        char.encode(CODEC)
    except UnicodeEncodeError:
        return False
    return char.isprintable()


def speak(text: str) -> bytes:
    """To be spoken. What GBK does not have becomes "?", what is too long is cut between characters."""
    raw = b""
    for char in text:
        coded = char.encode(CODEC, "replace")
        if len(raw) + len(coded) > TEXT_MOST_BYTES:
            break
        raw += coded
    return frame(SPEAK, bytes([GBK]) + raw)


def stop() -> bytes:
    """To be silent."""
    return frame(STOP)


def answer(heard: bytes) -> bool | None:
    """Whether a frame was taken; None: it has not said yet."""
    for byte in heard:
        if byte in (TAKEN, NOT_TAKEN):
            return byte == TAKEN
    return None
