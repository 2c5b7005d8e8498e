"""The keys of the gateways, and what a packet that no key opens shows in clear."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from edge.wire.seal import (
    EPOCH_MASK,
    LONG,
    LONG_HEAD_BYTES,
    SHORT_HEAD_BYTES,
    SUITE_SM4,
    VERSION_BITS,
    VERSION_MASK,
    parse_key_file,
)

GATEWAY_ID = re.compile(r"[a-z0-9._-]{1,40}")  # as in a site file; also keeps a topic from naming a path

KeyOf = Callable[[str], bytes | None]


class KeyFolder:
    """Root keys by gateway id: `<id>.key` in a folder, looked up when first needed, or one file for all gateways."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, bytes] = {}

    def __call__(self, gateway: str) -> bytes | None:
        if gateway not in self._known and GATEWAY_ID.fullmatch(gateway):
            path = self._path / f"{gateway}.key" if self._path.is_dir() else self._path
            try:
                self._known[gateway] = parse_key_file(path.read_text("utf-8"))
            except (OSError, ValueError):  # WireError and UnicodeDecodeError are ValueErrors
                return None
        return self._known.get(gateway)


def named_in_clear(raw: bytes, epochs: Iterable[int]) -> tuple[int | None, int]:
    """(epoch, short byte of its sheet) as the clear head of an unopened packet says; None, 0 where it does not.

    `epochs`: those of its gateway, the latest last.
    """
    if len(raw) < LONG_HEAD_BYTES or raw[0] & (VERSION_MASK | SUITE_SM4) != VERSION_BITS:
        return None, 0
    if raw[0] & LONG:
        return int.from_bytes(raw[1:5], "big"), raw[LONG_HEAD_BYTES - 1]
    fitting = [epoch for epoch in epochs if not (epoch ^ raw[0]) & EPOCH_MASK]
    return (fitting[-1] if fitting else None), raw[SHORT_HEAD_BYTES - 1]
