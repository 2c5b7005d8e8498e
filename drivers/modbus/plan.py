"""Which questions fetch a device's points: neighbouring registers in one read. Pure and deterministic.

A read costs some 40 ms at 9600 baud before its first useful byte, a register inside a read 2 ms: so points that lie at
most `max_gap` unused registers apart share a read, up to `max_registers` (of bits sixteen times as many). A value is
never split over two reads: its halves would be of two instants.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from drivers.modbus.wire import MAX_BITS, READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT

FUNCTIONS = {"coil": READ_COILS, "discrete": READ_DISCRETE, "holding": READ_HOLDING, "input": READ_INPUT}
BITS_PER_REGISTER = 16  # the standard's own proportion: 125 registers, 2000 bits


class Span(NamedTuple):
    """Where a point lies: `quantity` registers (or bits) of the read function `function`, from `address`."""

    function: int
    address: int
    quantity: int
    point: str


class Read(NamedTuple):
    """One question and the points that its answer holds; `offsets[i]` is where `points[i]` begins in it."""

    function: int
    address: int
    quantity: int
    points: tuple[str, ...]
    offsets: tuple[int, ...]


def plan(spans: Iterable[Span], max_gap: int, max_registers: int, alone: frozenset[str] = frozenset()) -> list[Read]:
    """The reads that fetch all `spans`, by function and address. Points in `alone` share their read with no other."""
    reads: list[Read] = []
    block: list[Span] = []
    for span in sorted(spans):
        if span.point in alone:
            reads.append(_read([span]))
        elif block and _joins(block, span, max_gap, max_registers):
            block.append(span)
        else:
            reads += [_read(block)] if block else []
            block = [span]
    reads += [_read(block)] if block else []
    return sorted(reads)


def _joins(block: list[Span], span: Span, max_gap: int, max_registers: int) -> bool:
    is_bits = span.function in (READ_COILS, READ_DISCRETE)
    most = min(MAX_BITS, max_registers * BITS_PER_REGISTER) if is_bits else max_registers
    end = max(other.address + other.quantity for other in block)
    near = block[0].function == span.function and span.address - end <= max_gap
    return near and max(end, span.address + span.quantity) - block[0].address <= most


def _read(block: list[Span]) -> Read:
    first = block[0].address
    end = max(span.address + span.quantity for span in block)
    points = tuple(span.point for span in block)
    return Read(block[0].function, first, end - first, points, tuple(span.address - first for span in block))
