"""Text sentences: `$` head `,` fields `*` hh, from the first byte to the checksum. Which value they are.

hh is the XOR of all bytes between `$` and the last `*`. A sentence whose checksum is right and whose content makes no
sense is Noise too, with the reason; one that nobody here interprets is an Other.
"""

from __future__ import annotations

import re

from drivers.beidou.wire import commands, gnss, messages, reports
from drivers.beidou.wire.fields import Unreadable, xor
from drivers.beidou.wire.values import Command, Noise, Other, Report

HEAD = re.compile(rb"[A-Z]{2}[A-Z0-9]{3}")
_CHECK = re.compile(rb"\*([0-9A-Fa-f]{2})\Z")


def wrong_check(line: bytes) -> str:
    """Why `line` (from `$` to the checksum, no line end) is not to be believed; "" when its checksum is right."""
    found = _CHECK.search(line)
    if found is None:
        return "no checksum (*hh) at its end: cut off"
    told, expected = int(found[1], 16), xor(line[1 : found.start()])
    if told == expected:
        return ""
    with_start = expected ^ line[0]
    more = ": this one counts the $, which does not belong to it" if told == with_start else ""
    return f"checksum {expected:02X} expected, {told:02X} found{more}"


def read_sentence(line: bytes) -> Report | Command | Noise:
    """The value of a line whose checksum is right (from `$` to the checksum)."""
    head, rest = line[1:6].decode("ascii"), line[7:-3] if line[6:7] == b"," else b""
    try:
        return _read(head, rest, line)
    except Unreadable as unreadable:
        return Noise(line, f"{head}: {unreadable}")


def _read(head: str, rest: bytes, line: bytes) -> Report | Command:
    if head in messages.READERS:
        return messages.READERS[head](rest, line)
    fields = _decode(rest).split(",")
    if head in reports.READERS:
        return reports.READERS[head](fields, line)
    if head in commands.READERS:
        command = commands.READERS[head](fields, line)
        return command if command is not None else Other(head, tuple(fields), line)
    if head[2:] in gnss.READERS and (head[0] == "G" or head[:2] == "BD"):
        return gnss.READERS[head[2:]](fields, line)
    return Other(head, tuple(fields), line)


def _decode(rest: bytes) -> str:
    try:
        return rest.decode("gbk")  # makers print Chinese words in version and serial fields
    except UnicodeDecodeError:
        return rest.decode("latin-1")
