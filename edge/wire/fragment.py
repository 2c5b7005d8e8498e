"""Fragments: a body too large for one packet of a narrow link, cut into several. FORMAT.md section 3 is the contract.

What is cut is a parcel: the body with the short byte of its sheet and a check over both, so that pieces of two parcels
never make a third. Each fragment is a sealed packet of its own, with a counter of its own; it says how far back the
counter of the parcel's first packet lies, which names the parcel. One that is sent again is a new packet with a larger
`back`. Pure: who gathers fragments bounds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.contract import Kind
from edge.wire.basics import Reader, WireError, varint, within
from edge.wire.seal import MAX_COUNTER, NO_DIGEST
from edge.wire.sheet import Sheet

MOST_FRAGMENTS = 256  # of one parcel: its index is one byte
CHECK_BYTES = 4
PARCEL_HEAD_BYTES = 1 + CHECK_BYTES
FRAGMENT_HEAD_BYTES = 5  # with `back` below 2**14: at one packet a minute, eleven days


@dataclass(frozen=True, slots=True)
class Fragment:
    """Piece `index` of 0..`last`. The parcel is named by the counter of this packet less `back`."""

    back: int
    index: int
    last: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """A body as if it had come in one packet, and the sheet it was made with."""

    sheet: Sheet | None
    body: bytes


@dataclass(frozen=True, slots=True)
class SheetMissing:
    """The parcel names a sheet that is not known (`short`: its first byte), or two share that byte."""

    short: int


def cut(sheet: Sheet | None, body: bytes, chunk_bytes: int) -> list[bytes]:
    """The chunks of one parcel, all but the last of `chunk_bytes`: the data of its fragments, in order.

    `chunk_bytes`: the room in a packet's body less FRAGMENT_HEAD_BYTES. Raises WireError when there would be more than
    256, or for a body that is a fragment itself.
    """
    if not body or body[0] == Kind.FRAGMENT:
        raise WireError("an empty body or a fragment is not cut")
    parcel = bytes([sheet.short if sheet else 0]) + _check(sheet, body) + body
    count = -(-len(parcel) // max(chunk_bytes, 1))
    if chunk_bytes < 1 or count > MOST_FRAGMENTS:
        raise WireError(f"{len(parcel)} bytes in chunks of {chunk_bytes}: more than {MOST_FRAGMENTS} fragments")
    return [parcel[at : at + chunk_bytes] for at in range(0, len(parcel), chunk_bytes)]


def _check(sheet: Sheet | None, body: bytes) -> bytes:
    return hashlib.sha256((sheet.digest if sheet else NO_DIGEST) + body).digest()[:CHECK_BYTES]


def encode_fragment(back: int, index: int, last: int, data: bytes) -> bytes:
    """A FRAGMENT body, to be sealed without a sheet. `back`: this packet's counter less the parcel's first one's."""
    within(back, MAX_COUNTER, "back")
    if not 0 <= index <= last < MOST_FRAGMENTS or not data:
        raise WireError(f"fragment {index} of 0..{last}, {len(data)} bytes")
    return bytes([Kind.FRAGMENT]) + varint(back) + bytes([index, last]) + data


def decode_fragment(body: bytes) -> Fragment:
    """The inverse of `encode_fragment`. Raises WireError."""
    reader = Reader(body)
    reader.byte()
    back = within(reader.varint(), MAX_COUNTER, "back")
    index, last = reader.take(2)
    data = body[reader.at :]
    if index > last or not data:
        raise WireError(f"fragment {index} of 0..{last}, {len(data)} bytes")
    return Fragment(back, index, last, data)


def join(chunks: Sequence[bytes], sheets: Iterable[Sheet]) -> Joined | SheetMissing:
    """What all chunks of a parcel, in order, make. `sheets`: those known of this gateway.

    Raises WireError when they are no parcel. At least one chunk.
    """
    if any(len(chunk) != len(chunks[0]) for chunk in chunks[:-1]) or len(chunks[-1]) > len(chunks[0]):
        raise WireError("the chunks of a parcel are not of one size")
    parcel = b"".join(chunks)
    if len(parcel) <= PARCEL_HEAD_BYTES:
        raise WireError(f"a parcel of {len(parcel)} bytes")
    short, check, body = parcel[0], parcel[1:PARCEL_HEAD_BYTES], parcel[PARCEL_HEAD_BYTES:]
    if body[0] == Kind.FRAGMENT:
        raise WireError("a fragment inside a parcel")
    candidates: list[Sheet | None] = [sheet for sheet in sheets if sheet.short == short] if short else [None]
    for sheet in candidates:
        if _check(sheet, body) == check:
            return Joined(sheet, body)
    if short:
        return SheetMissing(short)
    raise WireError("the chunks of a parcel do not fit together")
