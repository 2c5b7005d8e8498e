"""How much one message takes: marks before its content, bits by the card's level."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

MIXED_MARK: Final = 0xA4  # first byte of "mixed" content: plain bytes follow. It costs its 8 bits on the air
POSITION_MARK: Final = 0xA0  # first byte of a position report sent as content

# Bits of one message by (level, encrypted card), A4 included: Sealike/xxxsvr Tool.h; 628 confirmed by two more drivers.
# BDS-3 cards have no published table: BitLimit when the terminal sends one, else UNKNOWN_BITS.
LEVEL_BITS: Final = MappingProxyType(
    {
        (1, False): 110,
        (2, False): 408,
        (3, False): 628,
        (4, False): 848,
        (1, True): 140,
        (2, True): 360,
        (3, True): 580,
        (4, True): 1680,
    }
)
URGENT_BITS: Final = 188  # urgent messages, any level (same source)
UNKNOWN_BITS: Final = LEVEL_BITS[3, False]  # nothing tells it (BDS-3; a level of no table): a civil card's, mostly
# Tried where more is refused. Nothing smaller: 188 bits (urgent) have no room for an alarm that speaks for itself.
SIZES_BITS: Final = (UNKNOWN_BITS, LEVEL_BITS[2, False])


def mixed_bytes(bits: int) -> int:
    """Whole bytes that fit behind the A4 mark of a message of `bits` (628 -> 77)."""
    return max(0, bits // 8 - 1)


def smaller_bits(packet_bytes: int) -> int | None:
    """The largest of SIZES_BITS into which a packet of this size does not fit; None: it fits into all of them."""
    return next((bits for bits in SIZES_BITS if mixed_bytes(bits) < packet_bytes), None)
