"""What every part of the wire shares: the one error, variable-length whole numbers, and a strict reader of CBOR.

The CBOR read here is a small subset of RFC 8949 (definite lengths, no tags, no undefined), read with bounds on depth
and size, so that no bytes from outside can cost unbounded time or memory. Writing is cbor2's. Imports nothing of
ours.
"""

from __future__ import annotations

import struct
from typing import Any

import cbor2

MAX_DEPTH = 8  # nesting of a CBOR body: ours need four
VARINT_MAX_BYTES = 10  # 70 bits: a zigzag of any signed 64-bit number fits


class WireError(ValueError):
    """Bytes that are not what FORMAT.md says. `str(error)` says what was found."""


def zigzag(number: int) -> int:
    """0, -1, 1, -2 ... -> 0, 1, 2, 3 ..."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    return -(number + 1 >> 1) if number & 1 else number >> 1


def varint(number: int) -> bytes:
    """LEB128: seven bits a byte, lowest first, the top bit says that more follow."""
    if number < 0 or number >> 70:
        raise WireError(f"{number} does not fit a varint")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def within(number: Any, most: int, what: str) -> int:
    """`number` if it is a whole number of 0..`most`. Raises WireError, which names it as `what`."""
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
        raise WireError(f"{what} {str(number)[:40]} out of range")
    return number


class Reader:
    """Reads a body from the front; every method raises WireError when the bytes end or are not as they must be."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise WireError(f"ends at byte {len(self.data)}, {end} needed")
        part = self.data[self.at : end]
        self.at = end
        return part

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= 7 * VARINT_MAX_BYTES:
                raise WireError("varint longer than 10 bytes")
        if shift and not byte:
            raise WireError("varint with needless zeros")
        return number

    def signed(self) -> int:
        return unzigzag(self.varint())

    def text(self) -> str:
        return _utf8(self.take(self.varint()))

    def end(self) -> None:
        if self.at != len(self.data):
            raise WireError(f"{len(self.data) - self.at} bytes too many")

    def cbor(self, depth: int = 0) -> Any:
        """One CBOR item of the subset. Floats come back as floats, map keys must be text."""
        if depth > MAX_DEPTH:
            raise WireError(f"CBOR nested deeper than {MAX_DEPTH}")
        first = self.byte()
        major, info = first >> 5, first & 31
        if major == 7:
            return self._simple(info)
        argument = self._argument(info)
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major == 2:
            return self.take(argument)
        if major == 3:
            return _utf8(self.take(argument))
        if major == 6:
            raise WireError("CBOR tags are not used here")
        if argument > len(self.data) - self.at:
            raise WireError(f"CBOR says {argument} items, {len(self.data) - self.at} bytes are left")
        if major == 4:
            return [self.cbor(depth + 1) for _ in range(argument)]
        return self._map(argument, depth)

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise WireError("CBOR of indefinite length is not used here")
        return int.from_bytes(self.take(1 << info - 24), "big")

    def _simple(self, info: int) -> Any:
        if info in (20, 21, 22):
            return (False, True, None)[info - 20]
        if info not in (25, 26, 27):
            raise WireError(f"CBOR simple value {info} is not used here")
        form, size = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}[info]
        return struct.unpack(form, self.take(size))[0]

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for _ in range(count):
            key = self.cbor(depth + 1)
            if not isinstance(key, str):
                raise WireError("CBOR map key is not text")
            if key in items:
                raise WireError(f"CBOR map has {key!r} twice")
            items[key] = self.cbor(depth + 1)
        return items


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise WireError("text is not UTF-8") from None


def write_cbor(item: Any) -> bytes:
    """Deterministic CBOR (shortest forms, sorted map keys) of None, bool, int, float, str, bytes, list, dict."""
    return cbor2.dumps(item, canonical=True)


def read_cbor(data: bytes) -> Any:
    """All of `data` as one item; WireError if it is anything else."""
    reader = Reader(data)
    item = reader.cbor()
    reader.end()
    return item
