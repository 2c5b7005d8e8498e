"""The grammar of Beidou RDSS terminals, three dialects, both directions: bytes in, values or Noise out. Pure.

Stream().feed(data) -> list[Heard]     what a port hears, host's or terminal's end alike
Stream().flush() -> list[Heard]        the wire has been quiet: what is held is no beginning of anything
build(command) -> bytes                a host's command
build_report(report) -> bytes          a terminal's report (for the simulator)
"""

from __future__ import annotations

from drivers.beidou.wire.build import build
from drivers.beidou.wire.build_report import build_report
from drivers.beidou.wire.levels import BDS3_BITS_UNKNOWN, LEVEL_BITS, MIXED_MARK, URGENT_BITS, mixed_bytes
from drivers.beidou.wire.stream import Stream
from drivers.beidou.wire.values import (
    Ack,
    Beam,
    Beams,
    BitLimit,
    Card,
    Command,
    DeliveryReceipt,
    Dialect,
    Feedback,
    Fix,
    Form,
    Health,
    Heard,
    Locate,
    Message,
    Noise,
    Other,
    Outcome,
    Position,
    PositionInject,
    QueryCard,
    QueryPower,
    QueryReceipts,
    QueryStatus,
    QueryStored,
    QueryTime,
    QueryVersion,
    Receipts,
    Report,
    Send,
    SetBeams,
    SetReport,
    UtcTime,
    Version,
)

__all__ = [
    "BDS3_BITS_UNKNOWN",
    "LEVEL_BITS",
    "MIXED_MARK",
    "URGENT_BITS",
    "Ack",
    "Beam",
    "Beams",
    "BitLimit",
    "Card",
    "Command",
    "DeliveryReceipt",
    "Dialect",
    "Feedback",
    "Fix",
    "Form",
    "Health",
    "Heard",
    "Locate",
    "Message",
    "Noise",
    "Other",
    "Outcome",
    "Position",
    "PositionInject",
    "QueryCard",
    "QueryPower",
    "QueryReceipts",
    "QueryStatus",
    "QueryStored",
    "QueryTime",
    "QueryVersion",
    "Receipts",
    "Report",
    "Send",
    "SetBeams",
    "SetReport",
    "Stream",
    "UtcTime",
    "Version",
    "build",
    "build_report",
    "mixed_bytes",
]
