"""What a receiver at one baud rate makes of bytes sent at another: the line as bits in time, sampled as a UART does.

8N1: start bit 0, eight bits lowest first, stop bit 1; the line idles at 1. A receiver waits for a falling edge, looks
at the middle of each of its own bits, and drops a byte whose stop bit is not 1.
"""

from __future__ import annotations

FRAME_BITS = 10


def as_heard(data: bytes, sent_baud: int, heard_baud: int) -> bytes:
    """`data` at the right rate; rubbish, shorter or longer, at any other."""
    if sent_baud == heard_baud:
        return data
    line = _line(data)
    step = sent_baud / heard_baud
    out = bytearray()
    at = _falling(line, 0.0)
    while at is not None:
        samples = [line[place] if (place := int(at + (bit + 0.5) * step)) < len(line) else 1 for bit in range(10)]
        if samples[0] == 0 and samples[9] == 1:
            out.append(sum(bit << place for place, bit in enumerate(samples[1:9])))
        at = _falling(line, at + (FRAME_BITS - 0.5) * step)
    return bytes(out)


def _line(data: bytes) -> list[int]:
    line: list[int] = []
    for byte in data:
        line += [0, *(byte >> bit & 1 for bit in range(8)), 1]
    return line


def _falling(line: list[int], since: float) -> float | None:
    for place in range(int(since + 0.999), len(line)):
        if line[place] == 0 and (place == 0 or line[place - 1] == 1):
            return float(place)
    return None
