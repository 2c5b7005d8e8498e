"""What tells that the power is failing: a file, or a GPIO line through its character device. See edge/powerfail.py.

Looking never waits: a file is to lie in /run or /sys, which are no disks. edge/gpio.py has the calls of a GPIO line.
"""

from __future__ import annotations

import os
import re
from typing import Protocol

from edge import gpio

FILE_HEAD_BYTES = 16
FILE_LINE = re.compile(r"file:(/\S+)")


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
        self._line = gpio.Line(gpio.Place(chip, offset, low))

    def failing(self) -> bool:
        """What the line says now."""
        return self._line.get()


def line_of(setting: str) -> Line | None:
    """The line of a `power_fail` setting (`file:/path`, `gpio:gpiochipN/LINE` or `.../low`); None for anything else.

    Opens nothing yet.
    """
    if file := FILE_LINE.fullmatch(setting):
        return FileLine(file[1])
    place = gpio.place_of(setting)
    return GpioLine(*place) if place else None
