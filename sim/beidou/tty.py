"""A serial line opened plainly, as a `contract.Port`: the terminal of the province's own commanding card.

One open file descriptor in raw mode, read and written by the event loop; no threads. What vanishes is a PortLost.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import termios
import tty
from collections.abc import Callable
from typing import Any

from edge.errors import PortLost

READ_BYTES = 4096
SPEEDS = {
    getattr(termios, f"B{baud}"): baud for baud in (1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400)
}


class Tty:
    """An open line. One task reads, one writes."""

    def __init__(self, path: str, baud: int) -> None:
        """Raises PortLost when it cannot be opened."""
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise PortLost(path, f"cannot be opened ({error.strerror}): is the terminal plugged in?") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as pyserial does it: two readers would share bytes
            tty.setraw(self._fd)
            set_baud(self._fd, baud)
            termios.tcflush(self._fd, termios.TCIOFLUSH)
        except (OSError, termios.error) as error:
            os.close(self._fd)
            why = f"is in use, is no serial line, or cannot do {baud} baud ({error})"
            raise PortLost(path, why) from error

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                await self._ready(loop.add_reader, loop.remove_reader)
                continue
            except OSError as error:
                raise PortLost(self._path, f"lost ({error.strerror})") from error
            if not data:
                raise PortLost(self._path, "lost (the other end closed it)")
            return data

    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                await self._ready(loop.add_writer, loop.remove_writer)
            except OSError as error:
                raise PortLost(self._path, f"lost ({error.strerror})") from error

    def close(self) -> None:
        os.close(self._fd)

    async def _ready(self, add: Callable[..., Any], remove: Callable[[int], object]) -> None:
        ready = asyncio.Event()
        add(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self._fd)


def set_baud(fd: int, baud: int) -> None:
    """Raises OSError or termios.error for a rate the line cannot do."""
    speed = next((speed for speed, known in SPEEDS.items() if known == baud), None)
    if speed is None:
        raise OSError(None, f"no such rate; one of {', '.join(map(str, sorted(SPEEDS.values())))}")
    attributes = termios.tcgetattr(fd)
    attributes[4] = attributes[5] = speed
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def baud_of(fd: int) -> int:
    """The rate a line, or the far end of a pseudo-terminal, is set to; 0 for an odd one."""
    return SPEEDS.get(termios.tcgetattr(fd)[5], 0)
