"""What tells that the power is failing: a file, or a GPIO line through its character device. See edge/powerfail.py.

Looking never waits: a file is to lie in /run or /sys, which are no disks. The call numbers and structs are those of
linux/gpio.h, ABI v2 (Linux 5.10 and later).
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from typing import Protocol

FILE_HEAD_BYTES = 16
GPIO_LINE = re.compile(r"gpio:(gpiochip[0-9]{1,3})/([0-9]{1,4})(/low)?")
FILE_LINE = re.compile(r"file:(/\S+)")

# struct gpio_v2_line_request (64 offsets, consumer, config: flags, number of attributes, padding, ten attributes;
# number of lines, event buffer, padding, fd), struct gpio_v2_line_values (bits, mask), and the calls that take them.
_LINE_REQUEST = struct.Struct("=64I32sQI5I240sII5Ii")
_LINE_VALUES = struct.Struct("=QQ")
_GET_LINE, _GET_VALUES = 0xC250B407, 0xC010B40E
_FLAG_ACTIVE_LOW, _FLAG_INPUT = 2, 4


class Line(Protocol):
    """Something that says whether the power is failing."""

    def failing(self) -> bool:
        """What it says now. Raises OSError when it cannot be read; is then to be asked again later."""


class FileLine:
    """A file: not there, or holding "0": the power is good. Anything else in it, or empty (touched): it is failing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._was_empty = False

    def failing(self) -> bool:
        """What the file says now. `echo 0 >` empties it for a moment: empty counts at the second look."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            self._was_empty = False
            return False
        try:
            content = os.read(handle, FILE_HEAD_BYTES).strip()
        finally:
            os.close(handle)
        was_empty, self._was_empty = self._was_empty, not content
        return content != b"0" if content else was_empty


class GpioLine:
    """A line of a GPIO chip, through its character device: active means failing."""

    def __init__(self, chip: str, offset: int, low: bool) -> None:
        """`low`: a low level means failing, else a high one."""
        self._chip, self._offset = f"/dev/{chip}", offset
        self._flags = _FLAG_INPUT | (_FLAG_ACTIVE_LOW if low else 0)
        self._line: int | None = None

    def failing(self) -> bool:
        """What the line says now."""
        if self._line is None:
            self._line = self._request()
        values = bytearray(_LINE_VALUES.pack(0, 1))
        try:
            fcntl.ioctl(self._line, _GET_VALUES, values)
        except OSError:
            os.close(self._line)
            self._line = None
            raise
        return bool(_LINE_VALUES.unpack(values)[0] & 1)

    def _request(self) -> int:
        wanted = (self._offset, *[0] * 63, b"fengsui", self._flags, 0, *[0] * 5, b"", 1, 0, *[0] * 5, 0)
        request = bytearray(_LINE_REQUEST.pack(*wanted))
        chip = os.open(self._chip, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(chip, _GET_LINE, request)
        finally:
            os.close(chip)
        return int(_LINE_REQUEST.unpack(request)[-1])


def line_of(setting: str) -> Line | None:
    """The line of a `power_fail` setting (`file:/path`, `gpio:gpiochipN/LINE` or `.../low`); None for anything else.

    Opens nothing yet.
    """
    if file := FILE_LINE.fullmatch(setting):
        return FileLine(file[1])
    if gpio := GPIO_LINE.fullmatch(setting):
        return GpioLine(gpio[1], int(gpio[2]), gpio[3] is not None)
    return None
