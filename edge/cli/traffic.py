"""What has gone over a link since the gateway started, in words. A key of its health that is not there is no line.

packets    412, 1.2 MB in all, 16384 bytes at most in one; 1 on the way, 16 at most
receipts   the province's takes 80 ms
broker     connected 3 times, lost 2 times; 410 packets taken, in 12 ms; 0 refused, 2 without an answer
received   398 packets, 9.1 kB
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

OF_ALL = frozenset({"packets", "payload_bytes", "mtu_bytes", "on_way", "window"})
OF_BROKER = frozenset({"connects", "lost", "sent", "refused", "unknown", "last_puback_ms", "in_flight", "bytes_up"})
RECEIVED = frozenset({"received", "bytes_down"})
LABEL_WIDTH = 9


def traffic(link: Mapping[str, Any]) -> tuple[list[str], frozenset[str]]:
    """The lines of one link, and the keys that they tell. `link`: its part of the daemon's answer to `links`."""
    lines: list[str] = []
    told = frozenset({"round_trip_ms"})
    for keys, words in ((OF_ALL, _packets), (OF_BROKER, _broker), (RECEIVED, _received)):
        if keys <= link.keys():
            lines += words(link)
            told |= keys
    return lines, told


def _packets(link: Mapping[str, Any]) -> Iterator[str]:
    carried = f"{link['packets']}, {_size(link['payload_bytes'])} in all, {link['mtu_bytes']} bytes at most in one"
    yield _line("packets", f"{carried}; {link['on_way']} on the way, {link['window']} at most")
    if link.get("round_trip_ms"):
        yield _line("receipts", f"the province's takes {link['round_trip_ms']:.0f} ms")


def _broker(link: Mapping[str, Any]) -> Iterator[str]:
    soon = "" if link["last_puback_ms"] is None else f", the last in {link['last_puback_ms']} ms"
    taken = f"{link['sent']} packets taken{soon}; {link['refused']} refused, {link['unknown']} without an answer"
    yield _line("broker", f"connected {link['connects']} times, lost {link['lost']} times; {taken}")


def _received(link: Mapping[str, Any]) -> Iterator[str]:
    yield _line("received", f"{link['received']} packets, {_size(link['bytes_down'])}")


def _size(count: int) -> str:
    for name, unit in (("MB", 1_000_000), ("kB", 1000)):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def _line(label: str, words: str) -> str:
    return f"{label:{LABEL_WIDTH}}  {words}"
