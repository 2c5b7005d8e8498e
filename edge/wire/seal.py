"""Seals a body into a packet and opens it again: AES-CCM with an 8-byte tag, keys by HKDF-SHA-256.

    short form   head(1) counter(2, low bits) sheet(1) | sealed body | tag(8)            narrow links: 12 bytes in all
    long form    head(1) epoch(4) counter(5)  sheet(1) | sealed body | tag(8)            opens without remembered state

Head: 010 (version 1; outside all first bytes that Beidou vendors use, facts in Pancoit's, Sealike's and the 2.1
dialect's payload forms), suite, form, three low bits of the epoch. The key is bound to gateway, epoch and direction,
the nonce to direction, epoch and the full counter: a pair never repeats while a store never gives a counter twice.
What is authenticated besides the body: the clear head, the gateway id, the whole digest of the sheet (zeros for
none). Pure: whoever calls keeps counters and refuses repeats. FORMAT.md section 2 is the contract.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from edge.wire.basics import WireError
from edge.wire.sheet import DIGEST_BYTES, MAX_EPOCH, Sheet

VERSION_BITS = 0b010_00000
VERSION_MASK = 0b111_00000
SUITE_SM4 = 0b000_1_0000  # reserved for SM4-CCM (GB/T 32907, GB/T 17964); not built
LONG = 0b0000_1_000
EPOCH_MASK = 0b111

KEY_BYTES = 16
ROOT_BYTES = 32
TAG_BYTES = 8
SHORT_HEAD_BYTES = 4
LONG_HEAD_BYTES = 11
SHORT_OVERHEAD_BYTES = SHORT_HEAD_BYTES + TAG_BYTES
LONG_OVERHEAD_BYTES = LONG_HEAD_BYTES + TAG_BYTES
MAX_BODY_BYTES = 65535  # CCM with a 13-byte nonce counts to there (RFC 3610)
MAX_COUNTER = 2**40 - 1
MAX_TRIALS = 64  # keys tried on one short packet: the latest 8 epochs with 8 sheets of the same short byte

NO_DIGEST = bytes(DIGEST_BYTES)


class Direction(IntEnum):
    UP = 0  # gateway -> province
    DOWN = 1


@dataclass(frozen=True, slots=True)
class Opened:
    """A genuine packet. The caller still has to refuse repeats (entries by seq, orders by counter)."""

    counter: int
    epoch: int
    sheet: Sheet | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are no genuine packet for these keys. `sheet_short`: the sheet it names, when only that is missing."""

    raw: bytes
    why: str
    sheet_short: int | None = None


def parse_key_file(text: str) -> bytes:
    """The root key (32 bytes) from a key file: one line of 64 hex digits, `#` starts a comment. Raises WireError."""
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    if len(lines) != 1:
        raise WireError(f"key file: {len(lines)} lines with a key, exactly one needed (64 hex digits)")
    try:
        key = bytes.fromhex(lines[0])
    except ValueError:
        raise WireError("key file: the key is not hexadecimal") from None
    if len(key) != ROOT_BYTES:
        raise WireError(f"key file: the key has {len(key)} bytes, {ROOT_BYTES} needed (64 hex digits)")
    return key


@functools.lru_cache(maxsize=64)
def derive(root: bytes, gateway: str, epoch: int, direction: Direction) -> bytes:
    """The 16-byte sealing key of one gateway, epoch and direction (HKDF-SHA-256, RFC 5869, no salt)."""
    info = b"fengsui wire 1\0" + bytes([direction]) + epoch.to_bytes(4, "big") + gateway.encode()
    return HKDF(SHA256(), KEY_BYTES, None, info).derive(root)


@functools.lru_cache(maxsize=64)
def _cipher(key: bytes) -> AESCCM:
    return AESCCM(key, TAG_BYTES)


def _nonce(direction: Direction, epoch: int, counter: int) -> bytes:
    return bytes([direction]) + epoch.to_bytes(4, "big") + counter.to_bytes(8, "big")


def _associated(head: bytes, gateway: str, sheet: Sheet | None) -> bytes:
    name = gateway.encode()
    return head + bytes([len(name)]) + name + (sheet.digest if sheet else NO_DIGEST)


def seal(
    root: bytes,
    gateway: str,
    epoch: int,
    direction: Direction,
    counter: int,
    sheet: Sheet | None,
    body: bytes,
    *,
    long: bool,
) -> bytes:
    """One packet. `counter` (below 2**40) must never have been used before for this gateway, epoch and direction.

    `sheet` is the one `body` was made with, None for a body that needs none. Raises WireError for numbers out of range.
    """
    if not 0 <= counter <= MAX_COUNTER or not 0 <= epoch <= MAX_EPOCH:
        raise WireError(f"counter {counter} or epoch {epoch} out of range")
    if len(body) > MAX_BODY_BYTES:
        raise WireError(f"body of {len(body)} bytes, {MAX_BODY_BYTES} at most")
    first = VERSION_BITS | epoch & EPOCH_MASK
    short = sheet.short if sheet else 0
    if long:
        head = bytes([first | LONG]) + epoch.to_bytes(4, "big") + counter.to_bytes(5, "big") + bytes([short])
    else:
        head = bytes([first]) + (counter & 0xFFFF).to_bytes(2, "big") + bytes([short])
    cipher = _cipher(derive(root, gateway, epoch, direction))
    return head + cipher.encrypt(_nonce(direction, epoch, counter), body, _associated(head, gateway, sheet))


def open_packet(
    packet: bytes,
    root: bytes,
    gateway: str,
    direction: Direction,
    epochs: Mapping[int, int],
    sheets: Iterable[Sheet] = (),
) -> Opened | Noise:
    """Opens one packet from (UP) or for (DOWN) `gateway`; never raises.

    `epochs`: epoch -> highest counter seen (-1 for none), the epochs a short packet may belong to, the one heard last
    at the end. A long packet names its own epoch and needs none. `sheets`: those known of this gateway.
    """
    if not packet or packet[0] & VERSION_MASK != VERSION_BITS:
        return Noise(packet, "not a packet of this format (first byte)")
    if packet[0] & SUITE_SM4:
        return Noise(packet, "sealed with SM4-CCM, which this program cannot open")
    is_long = bool(packet[0] & LONG)
    if len(packet) <= (LONG_OVERHEAD_BYTES if is_long else SHORT_OVERHEAD_BYTES):
        return Noise(packet, f"only {len(packet)} bytes long")
    short = packet[LONG_HEAD_BYTES - 1] if is_long else packet[SHORT_HEAD_BYTES - 1]
    candidates: list[Sheet | None] = [s for s in sheets if s.short == short] if short else [None]
    if not candidates:
        return Noise(packet, f"names a sheet that is not known here (0x{short:02x})", short)
    places = _long_places(packet) if is_long else _short_places(packet, epochs)
    trials = [(place, sheet) for place in places for sheet in candidates][:MAX_TRIALS]
    for (epoch, counter), sheet in trials:
        body = _try(packet, is_long, root, gateway, direction, epoch, counter, sheet)
        if body is not None:
            return Opened(counter, epoch, sheet, body)
    why = "no key, epoch and sheet known here opens it" if trials else "short form, and no epoch known here fits it"
    return Noise(packet, why)


def _long_places(packet: bytes) -> list[tuple[int, int]]:
    epoch = int.from_bytes(packet[1:5], "big")
    return [(epoch, int.from_bytes(packet[5:10], "big"))] if (epoch ^ packet[0]) & EPOCH_MASK == 0 else []


def _short_places(packet: bytes, epochs: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """(epoch, full counter), likeliest first: the counters nearest to the highest one seen, the latest epoch first. A
    gateway that begins a new store with each broken card has more epochs than may be tried."""
    low = int.from_bytes(packet[1:3], "big")
    latest_first = [(epoch, seen) for epoch, seen in epochs.items() if not (epoch ^ packet[0]) & EPOCH_MASK][::-1]
    for away in (0, 0x10000, -0x10000):
        for epoch, seen in latest_first:
            nearest = seen + 1 + (low - seen - 1 + 0x8000) % 0x10000 - 0x8000
            if 0 <= nearest + away <= MAX_COUNTER:
                yield epoch, nearest + away


def _try(
    packet: bytes,
    is_long: bool,
    root: bytes,
    gateway: str,
    direction: Direction,
    epoch: int,
    counter: int,
    sheet: Sheet | None,
) -> bytes | None:
    size = LONG_HEAD_BYTES if is_long else SHORT_HEAD_BYTES
    head, sealed = packet[:size], packet[size:]
    cipher = _cipher(derive(root, gateway, epoch, direction))
    try:
        return cipher.decrypt(_nonce(direction, epoch, counter), sealed, _associated(head, gateway, sheet))
    except InvalidTag:
        return None
