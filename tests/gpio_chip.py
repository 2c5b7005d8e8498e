"""A GPIO chip as the kernel shows one: fcntl.ioctl on a file that stands in for /dev/gpiochip0.

What is asked of it is read by offsets as a C compiler gives them for the structs of linux/gpio.h, not by the code that
is tested.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path

import pytest

GET_INFO, GET_LINE, GET_VALUES, SET_VALUES = 0xC100B405, 0xC250B407, 0xC010B40E, 0xC010B40F
USED, LOW, INPUT, OUTPUT = 1, 2, 4, 8
LINES = 54


class Chip:
    """`levels`: line -> its pin, high or not; `log`: each change of an output's pin, and what it first showed.

    A pin whose holder lets go keeps its level, as a Raspberry Pi's own kernel has it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.levels: dict[int, bool] = {}
        self.log: list[tuple[int, bool]] = []
        self.asked: list[tuple[int, bytes]] = []  # every call, with its struct as it came in
        self.users: dict[int, str] = {}  # of lines that others hold
        self.stuck: set[int] = set()  # pins that do not follow
        self.error = 0  # of every call on a line that is held
        self.open_error = 0
        self.silent = False  # the process is dead: what it still says reaches nothing
        self._held: dict[int, tuple[int, int]] = {}  # handle -> line, flags
        self._folder = folder
        (folder / "gpiochip0").touch()
        self._open, self._ioctl = os.open, fcntl.ioctl
        monkeypatch.setattr("os.open", self._opened)
        monkeypatch.setattr("fcntl.ioctl", self._called)

    def let_go(self) -> None:
        """As the kernel does when a process has died."""
        for handle in self._held:
            with contextlib.suppress(OSError):
                os.close(handle)
        self._held.clear()

    def _opened(self, path: str, flags: int, *more: int, **named: int) -> int:
        if not str(path).startswith("/dev/gpiochip"):
            return self._open(path, flags, *more, **named)
        if self.open_error:
            raise OSError(self.open_error, os.strerror(self.open_error))
        assert flags == os.O_RDWR | os.O_CLOEXEC
        return self._open(str(path).replace("/dev", str(self._folder)), flags)

    def _called(self, handle: int, call: int, buffer: bytearray) -> int:
        if (call >> 8) & 0xFF != 0xB4:
            return int(self._ioctl(handle, call, buffer))
        assert len(buffer) == (call >> 16) & 0x3FFF
        if self.silent:
            return 0
        self.asked.append((call, bytes(buffer)))
        if call in (GET_INFO, GET_LINE):
            os.fstat(handle)  # an open one
            (self._info if call == GET_INFO else self._request)(handle, buffer)
            return 0
        line, flags = self._held[handle]
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        bits, mask = struct.unpack("=QQ", buffer)
        assert mask == 1
        if call == SET_VALUES:
            assert flags & OUTPUT
            self._drive(line, bool(bits) != bool(flags & LOW))
        else:
            struct.pack_into("=Q", buffer, 0, self.levels.get(line, False) != bool(flags & LOW))
        return 0

    def _info(self, _handle: int, buffer: bytearray) -> None:
        line = self._line(struct.unpack_from("=I", buffer, 64)[0])
        user = self._user(line)
        if user is not None:
            struct.pack_into("=32s", buffer, 32, user.encode())
            struct.pack_into("=Q", buffer, 72, USED)

    def _request(self, handle: int, buffer: bytearray) -> None:
        line = self._line(struct.unpack_from("=I", buffer, 0)[0])
        if self._user(line) is not None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        flags, attributes = struct.unpack_from("=QI", buffer, 288)
        if flags & OUTPUT:
            kind, padding, values, mask = struct.unpack_from("=IIQQ", buffer, 320)
            assert (attributes, kind, padding, mask) == (1, 2, 0, 1)
            self.levels.pop(line, None)
            self._drive(line, bool(values) != bool(flags & LOW))
        held = os.dup(handle)
        self._held[held] = line, flags
        struct.pack_into("=i", buffer, 588, held)

    def _drive(self, line: int, high: bool) -> None:
        if line not in self.stuck and self.levels.get(line) is not high:
            self.levels[line] = high
            self.log.append((line, high))

    def _user(self, line: int) -> str | None:
        for handle, (held, _) in self._held.items():
            with contextlib.suppress(OSError):
                if held == line and os.fstat(handle):
                    return "fengsui"
        return self.users.get(line)

    def _line(self, line: int) -> int:
        if line >= LINES:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return int(line)
