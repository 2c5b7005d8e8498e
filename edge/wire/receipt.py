"""The receipt: what the province has stored, small enough for one short message. FORMAT.md section 3 is the contract.

Flags say which parts stand there. Where there is little room, what matters least is left out: losing a part of a
receipt is as harmless as losing all of it, for the next one says it again. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from edge.contract import Kind
from edge.wire.basics import Reader, WireError, varint, within
from edge.wire.seal import MAX_COUNTER
from edge.wire.sheet import MAX_EPOCH, MAX_SEQ

EPOCH, ECHO, BITMAP, NEEDS = 1, 2, 4, 8
ANY_SHEET = 0  # of needs: no sheet begins so
TIME_BYTES = 6  # milliseconds to the year 10889
HELD_UNIT_MS = 10
MAX_BITMAP_BYTES = 32  # 256 packets: four hours of a card that sends once a minute
LEAST_BITMAP_BYTES = 4  # that many stay when room is short: a resend of fragments lives on it
MAX_NEEDS = 255


@dataclass(frozen=True, slots=True)
class Receipt:
    """The province has stored these entries of `epoch` (`ranges` of seq, both ends inside, ascending).

    `epoch` None: the one the packet is sealed under. `time_ms`: the province's UTC clock when it wrote this. `echo`:
    counter of the last uplink packet that this answers, `held_ms`: how long the province held that one before it wrote
    this (whole 10 ms). `arrived`: counters of packets before `echo` that have arrived, complete from `lowest` on;
    `lowest` None: it speaks of no packet but `echo`. `need_sheets`: short bytes of sheets that packets named and that
    it does not have; ANY_SHEET: it has none of the epoch it is sealed under.
    """

    epoch: int | None
    ranges: tuple[tuple[int, int], ...]
    time_ms: int
    echo: int | None = None
    held_ms: int = 0
    arrived: frozenset[int] = frozenset()
    lowest: int | None = None
    need_sheets: tuple[int, ...] = ()

    def missing(self, counter: int) -> bool | None:
        """Of the packet with this counter: True, it has not arrived; False, it has; None, this does not say."""
        if self.echo is not None and counter == self.echo:
            return False
        if self.echo is None or self.lowest is None or not self.lowest <= counter < self.echo:
            return None
        return counter not in self.arrived


def encode_receipt(
    epoch: int | None,
    ranges: Iterable[tuple[int, int]],
    time_ms: int,
    *,
    echo: int | None = None,
    held_ms: int = 0,
    arrived: Collection[int] = (),
    lowest: int | None = None,
    need_sheets: Sequence[int] = (),
    room_bytes: int | None = None,
) -> bytes:
    """A RECEIPT body; see `Receipt`. `ranges`: ascending, not touching.

    The bitmap of `arrived` reaches from `echo` - 1 down to `lowest` and on to the end of that byte, 256 packets at
    most; it is to be true for all of these. With `room_bytes`, what is too much is left out: first the bitmap beyond
    32 packets, then ranges, lowest first, then the rest of the bitmap and the needs; the highest range stays longest.
    Time, epoch and echo (at most 24 bytes) always stay. Raises WireError only for what is out of range.
    """
    pairs = _pairs(ranges)
    bitmap = _bitmap(echo, arrived, lowest)
    needs = bytes(need_sheets[:MAX_NEEDS])
    head = within(time_ms, 2 ** (8 * TIME_BYTES) - 1, "time").to_bytes(TIME_BYTES, "big")
    head += b"" if epoch is None else within(epoch, MAX_EPOCH, "epoch").to_bytes(4, "big")
    if echo is not None:
        head += varint(within(echo, MAX_COUNTER, "echo")) + varint(max(held_ms, 0) // HELD_UNIT_MS)
    if room_bytes is not None:
        pairs, bitmap, needs = _fitted(pairs, bitmap, needs, room_bytes - 2 - len(head))
    flags = (epoch is not None) * EPOCH | (echo is not None) * ECHO | bool(bitmap) * BITMAP | bool(needs) * NEEDS
    parts = b"".join(bytes([len(part)]) + part for part in (bitmap, needs) if part)
    return bytes([Kind.RECEIPT, flags]) + head + parts + _coded(pairs)


def _pairs(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    pairs = list(ranges)
    end = -2
    for low, high in pairs:
        if low <= end + 1 or low < 0 or high < low or high > MAX_SEQ:
            raise WireError(f"receipt: range {low}..{high} after {end}")
        end = high
    return pairs


def _coded(pairs: Sequence[tuple[int, int]]) -> bytes:
    out, end = b"", -1
    for low, high in pairs:
        out += varint(low - end - 1) + varint(high - low)
        end = high
    return out


def _bitmap(echo: int | None, arrived: Collection[int], lowest: int | None) -> bytes:
    if echo is None or (not arrived and lowest is None):
        return b""
    down_to = min(arrived) if lowest is None else lowest
    count = min(max(echo - down_to + 7, 0) // 8, MAX_BITMAP_BYTES)
    bits = sum(1 << echo - 1 - counter for counter in set(arrived) if echo - 8 * count <= counter < echo)
    return bits.to_bytes(count, "little")


def _fitted(
    pairs: list[tuple[int, int]], bitmap: bytes, needs: bytes, room: int
) -> tuple[list[tuple[int, int]], bytes, bytes]:
    """What of these fits into `room` bytes (which may be negative: nothing)."""
    sizes = _tail_sizes(pairs)
    last = sizes[-2] if len(sizes) > 1 and sizes[-2] <= room else 0
    needs = needs[: max(room - last - 1, 0)]
    room -= len(needs) + bool(needs)
    least = min(len(bitmap), LEAST_BITMAP_BYTES, max(room - last - 1, 0))
    for_ranges = room - least - bool(least)
    first = next((i for i, size in enumerate(sizes) if size <= for_ranges), len(pairs))
    return pairs[first:], bitmap[: max(room - sizes[first] - 1, 0)], needs


def _tail_sizes(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The bytes that pairs[i:] take, for each i up to len(pairs)."""
    sizes, later = [0], 0
    for i in range(len(pairs) - 1, -1, -1):
        low, high = pairs[i]
        more = len(varint(high - low))
        sizes.append(len(varint(low)) + more + later)
        later += len(varint(low - pairs[i - 1][1] - 1)) + more if i else 0
    return sizes[::-1]


def decode_receipt(body: bytes) -> Receipt:
    """The inverse of `encode_receipt`. Raises WireError."""
    reader = Reader(body)
    reader.byte()
    flags = reader.byte()
    if flags > EPOCH | ECHO | BITMAP | NEEDS:
        raise WireError(f"receipt: flags 0x{flags:02x} are not used")
    time_ms = int.from_bytes(reader.take(TIME_BYTES), "big")
    epoch = int.from_bytes(reader.take(4), "big") if flags & EPOCH else None
    echo, held = (within(reader.varint(), MAX_COUNTER, "echo"), reader.varint()) if flags & ECHO else (None, 0)
    arrived, lowest = _arrived(reader, echo) if flags & BITMAP else (frozenset(), None)
    needs = tuple(_counted(reader, MAX_NEEDS)) if flags & NEEDS else ()
    return Receipt(epoch, _ranges(reader), time_ms, echo, held * HELD_UNIT_MS, arrived, lowest, needs)


def _counted(reader: Reader, most: int) -> bytes:
    count = reader.byte()
    if not 0 < count <= most:
        raise WireError(f"receipt: a part of {count} bytes")
    return reader.take(count)


def _arrived(reader: Reader, echo: int | None) -> tuple[frozenset[int], int]:
    if echo is None:
        raise WireError("receipt: a bitmap without echo")
    raw = _counted(reader, MAX_BITMAP_BYTES)
    bits = int.from_bytes(raw, "little")
    if bits >> echo:
        raise WireError("receipt: a packet before the first has arrived")
    count = 8 * len(raw)
    return frozenset(echo - 1 - i for i in range(count) if bits >> i & 1), max(echo - count, 0)


def _ranges(reader: Reader) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    end = -1
    while reader.at < len(reader.data):
        low = within(end + 1 + reader.varint(), MAX_SEQ, "seq")
        if ranges and low == end + 1:
            raise WireError("receipt: ranges touch")
        end = within(low + reader.varint(), MAX_SEQ, "seq")
        ranges.append((low, end))
    return tuple(ranges)
