"""A pseudo-terminal as the far end of a serial line. Our side is `fd`; the gateway opens `path`.

A PTY carries bytes at once whatever its baud rate: who simulates an instrument adds the time on the wire itself, with
`character_s`. The far side is held open too, so that a gateway that closes and reopens is no end of file for us.
"""

from __future__ import annotations

import contextlib
import os
import tty
from pathlib import Path


def character_s(baud: int, bits: int = 10) -> float:
    """Seconds one character takes on the wire; `bits` with start, parity and stop (8N1: 10, 8E1: 11)."""
    return bits / baud


class Pty:
    """An open pseudo-terminal in raw mode, with a stable name if `link` is given."""

    def __init__(self, link: Path | None = None) -> None:
        self.fd, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self.fd, False)
        self._link = link
        self.path = os.ttyname(self._far)
        if link is not None:
            link.unlink(missing_ok=True)
            link.symlink_to(self.path)
            self.path = str(link)

    def read(self) -> bytes:
        """What the gateway has sent; b"" when nothing."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """To the gateway; what nobody reads is dropped when the kernel's buffer is full, as on a real line."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.fd, data)

    def close(self) -> None:
        """As if the plug were pulled."""
        os.close(self.fd)
        os.close(self._far)
        if self._link is not None:
            self._link.unlink(missing_ok=True)
