"""One line of a GPIO chip through its character device: what `gpio:gpiochip0/17/low` means, and the calls behind it.

A line is asked for at its first use, an output with its value in the request itself, so that it never shows another
first. It is held until the process ends, and nobody else can have it meanwhile; one that fails is let go and asked for
anew. The calls return at once where the chip is the board's own; one behind I2C or USB takes as long as its bus. What a
pin does when it is let go is the kernel's affair: edge/ACTIONS.md. Imports nothing of ours.

Numbers and structs are those of linux/gpio.h, ABI v2 (Linux 5.10 and later).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from typing import NamedTuple

CONSUMER = b"fengsui"  # what gpioinfo shows beside a line that we hold

_LINE = re.compile(r"gpio:(gpiochip[0-9]{1,3})/([0-9]{1,4})(/low)?")

# struct gpio_v2_line_request (64 offsets, consumer; config: flags, number of attributes, padding, ten attributes: the
# first is id, padding, values, mask; number of lines, event buffer, padding, fd), gpio_v2_line_values (bits, mask),
# gpio_v2_line_info (name, consumer, offset, number of attributes, flags, attributes and padding), and their calls.
_LINE_REQUEST = struct.Struct("=64I32sQI5IIIQQ216sII5Ii")
_LINE_VALUES = struct.Struct("=QQ")
_LINE_INFO = struct.Struct("=32s32sIIQ176s")
_GET_LINE, _GET_VALUES, _SET_VALUES, _GET_INFO = 0xC250B407, 0xC010B40E, 0xC010B40F, 0xC100B405
_FLAG_USED, _FLAG_ACTIVE_LOW, _FLAG_INPUT, _FLAG_OUTPUT = 1, 2, 4, 8
_ATTRIBUTE_VALUES = 2


class Place(NamedTuple):
    """Where a line is. `low`: a low level means active (failing, on), else a high one."""

    chip: str
    offset: int
    low: bool

    @property
    def device(self) -> str:
        return f"/dev/{self.chip}"


def place_of(setting: str) -> Place | None:
    """The line that `gpio:gpiochipN/LINE` or `.../low` names; None for anything else."""
    found = _LINE.fullmatch(setting)
    return Place(found[1], int(found[2]), found[3] is not None) if found else None


class Line:
    """One line. Opens nothing before its first use."""

    def __init__(self, place: Place, *, output: bool = False) -> None:
        self.place = place
        self._is_output = output
        self._flags = (_FLAG_OUTPUT if output else _FLAG_INPUT) | (_FLAG_ACTIVE_LOW if place.low else 0)
        self._handle: int | None = None

    def get(self) -> bool:
        """Whether it is active: of an output, the level of its pin where the chip can see that, else what was set.

        Raises OSError; EBADF for an output that is not held (never set, or lost): asking for it would switch it.
        """
        if self._handle is None:
            if self._is_output:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._handle = self._request(False)
        return self._call(self._handle, _GET_VALUES, False)

    def set(self, active: bool) -> None:
        """Switches an output. Raises OSError."""
        if self._handle is None:
            self._handle = self._request(active)
        else:
            self._call(self._handle, _SET_VALUES, active)

    def _call(self, handle: int, call: int, bit: bool) -> bool:
        values = bytearray(_LINE_VALUES.pack(bit, 1))
        try:
            fcntl.ioctl(handle, call, values)
        except OSError:
            os.close(handle)
            self._handle = None
            raise
        return bool(_LINE_VALUES.unpack(values)[0] & 1)

    def _request(self, active: bool) -> int:
        attribute = (_ATTRIBUTE_VALUES, 0, int(active), 1) if self._is_output else (0, 0, 0, 0)
        config = (self._flags, int(self._is_output), *[0] * 5, *attribute, b"")
        wanted = (self.place.offset, *[0] * 63, CONSUMER, *config, 1, 0, *[0] * 5, 0)
        request = bytearray(_LINE_REQUEST.pack(*wanted))
        _on_chip(self.place, _GET_LINE, request)
        return int(_LINE_REQUEST.unpack(request)[-1])


def holder(place: Place) -> str | None:
    """Who has the line: a program's word for itself, "" for the kernel or one without a word; None: nobody.

    Asks for nothing, so it changes nothing. Raises OSError.
    """
    info = bytearray(_LINE_INFO.pack(b"", b"", place.offset, 0, 0, b""))
    _on_chip(place, _GET_INFO, info)
    _, consumer, _, _, flags, _ = _LINE_INFO.unpack(info)
    return consumer.rstrip(b"\0").decode("utf-8", "replace") if flags & _FLAG_USED else None


def _on_chip(place: Place, call: int, buffer: bytearray) -> None:
    chip = os.open(place.device, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(chip, call, buffer)
    finally:
        os.close(chip)
