"""From a file's bytes to TOML tables, with sentences for what goes wrong before any key is read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.config.words import misplaced
from edge.errors import SiteFileError

MAX_FILE_BYTES = 4_000_000  # 2000 points written out in full take about 0.5 MB
# What a Chinese keyboard types where TOML wants = " ' , . [ ] { } # and a blank.
FULL_WIDTH = "\uff1d\u201c\u201d\u2018\u2019\uff0c\u3002\uff0e\uff3b\uff3d\u3010\u3011\uff5b\uff5d\uff03\u3000"

_TABLE = re.compile(r"\[\[\s*([\w-]+)\s*\]\]")
_HEADER = re.compile(r"\s*(\[\[?)\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*\]")
_INNER_TABLE = re.compile(r"\s*\[\[?\s*([\w-]+)\s*\.\s*([\w-]+)\s*\]")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of the file. Raises SiteFileError."""
    text = _decoded(path)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SiteFileError(str(path), ["brackets are nested too deep to be a site file"]) from None
    except ValueError as error:  # TOMLDecodeError, and a number of thousands of digits
        raise SiteFileError(str(path), [_syntax(text, error)]) from None


def _decoded(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever; a bad disk fails here already
            raise SiteFileError(str(path), ["can not be read: it is not a file"])
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SiteFileError(str(path), [f"can not be read: {error.strerror or error}"]) from None
    if len(raw) > MAX_FILE_BYTES:
        raise SiteFileError(str(path), [f"is larger than {MAX_FILE_BYTES} bytes: not a site file"])
    try:
        return raw.decode("utf-8-sig")  # Windows editors put a mark in front
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"line {line} is not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8, not GBK"
        raise SiteFileError(str(path), [problem]) from None


def _syntax(text: str, error: ValueError) -> str:
    sentence = f"not TOML: {error}"
    _, found, position = str(error).rpartition("(at line ")
    number = position.split(",")[0]
    if not found or not number.isdigit():
        return sentence
    lines = text.splitlines()
    line = lines[int(number) - 1].strip() if int(number) <= len(lines) else ""
    before = lines[: int(number) - 1]
    early = _too_early(before, line)
    if early:
        return f"{sentence}: {early}"
    again = _again(before, line)
    if again:
        return f"line {number}: {again}"
    wide = sorted({character for character in line if character in FULL_WIDTH})
    hint = f"; full-width {' '.join(wide)} found: type them in half-width (ASCII)" if wide else ""
    return f"{sentence}: {line[:80]}{hint}"


def _too_early(before: Sequence[str], line: str) -> str:
    """The sentence for a [[link.point]] before the first [[link]], of which TOML speaks in riddles; "" if none is."""
    table = _TABLE.match(line)
    inner = [found for text in before if (found := _INNER_TABLE.match(text)) and table and found[1] == table[1]]
    return misplaced(inner[0][1], inner[0][2]) if inner else ""


def _again(before: Sequence[str], line: str) -> str:
    """The sentence for a table that is there already, with single brackets here or there; "" if this is none."""
    header = _HEADER.match(line)
    if header is None:
        return ""
    brackets, name = header[1], re.sub(r"\s", "", header[2])
    found = [(number, it) for number, text in enumerate(before, 1) if (it := _HEADER.match(text))]
    known = [(number, it[1]) for number, it in found if re.sub(r"\s", "", it[2]) == name]
    if not known:
        return ""
    number, others = known[-1]
    rule = f"of several each begins with [[{name}]], of a single one all keys stand under one [{name}]"
    if others == brackets == "[":
        return f"[{name}] is there already, in line {number}: {rule}"
    single, double = ("here", f"in line {number}") if brackets == "[" else (f"in line {number}", "here")
    return f"[{name}] has single brackets {single} and double ones {double}: {rule}"
