"""What can still be read of a broken store file. See edge/outbox.py."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from edge.contract import Level
from edge.entries import Held, Standing
from edge.errors import Unpackable
from edge.outbox_file import readable_text
from edge.outbox_read import ENTRY_COLUMNS, held_of

STEP_ENTRIES = 32
SALVAGE_S = 5.0  # start-up must not wait for a large broken file; what is left lies in it


class Saved(NamedTuple):
    """An entry of another store: with the epoch, body and digest of its sheet, and its boot while it has no time."""

    entry: Held
    epoch: int
    sheet_body: bytes
    sheet_digest: bytes
    boot: int | None


@dataclass(slots=True)
class Salvage:
    """What was read, by seq ascending."""

    saved: list[Saved] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)


def salvage(path: Path) -> Salvage:
    """Reads a store file, newest entries first, for SALVAGE_S at most. Never raises."""
    until_s = time.monotonic() + SALVAGE_S
    found: dict[int, Saved] = {}
    try:
        db = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error:
        return Salvage()
    db.text_factory = readable_text
    try:
        sheets = {row[0]: row[1:] for row in _readable(db, "SELECT id, epoch, body, digest FROM sheet", until_s)}
        for row in _rows(db, until_s):
            with contextlib.suppress(ValueError, TypeError, KeyError, Unpackable):  # damage need not look it
                epoch, body, digest = sheets[row[2]]
                numbers = (*row[:7], epoch, *(number for number in row[8:] if number is not None))
                if all(isinstance(number, int) for number in numbers) and isinstance(body, bytes):
                    found[row[0]] = Saved(held_of(row[:-1]), epoch, body, bytes(digest), row[-1])
        standings = _standings(db, until_s)
    finally:
        db.close()
    return Salvage([found[seq] for seq in sorted(found)], standings)


def _rows(db: sqlite3.Connection, until_s: float) -> Iterator[tuple[Any, ...]]:
    """Entries with their boot, newest first, in small steps: a damaged page costs what hangs on it, not all beyond."""
    highest = [row[0] for row in _readable(db, "SELECT seq FROM sqlite_sequence WHERE name = 'entry'", until_s)]
    highest += [row[0] for row in _readable(db, "SELECT seq FROM entry ORDER BY seq DESC LIMIT 1", until_s)]
    lowest = [row[0] for row in _readable(db, "SELECT seq FROM entry ORDER BY seq LIMIT 1", until_s)]
    highest = [seq for seq in highest if isinstance(seq, int)]
    high, low = max([0, *highest]), min((seq for seq in lowest if isinstance(seq, int)), default=1)
    for top in range(high, low - 1, -STEP_ENTRIES):
        if time.monotonic() > until_s:
            return
        where = f"seq BETWEEN {int(top) - STEP_ENTRIES + 1} AND {int(top)}"
        yield from _readable(db, f"SELECT {ENTRY_COLUMNS}, boot FROM entry WHERE {where} ORDER BY seq DESC", until_s)


def peek(path: Path) -> tuple[list[Standing], int]:
    """Where the limits stood and the newest known UTC time (ms), of a store that cannot be written. Never raises."""
    until_s = time.monotonic() + SALVAGE_S
    for how in ("mode=ro", "mode=ro&immutable=1"):
        try:
            db = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, isolation_level=None)
        except sqlite3.Error:
            continue
        try:
            db.execute(
                "PRAGMA locking_mode = EXCLUSIVE"
            )  # without the shared-memory file, for which there may be no room
            standings = _standings(db, until_s)
            newest = "SELECT at_ms FROM entry WHERE clock <> 2 ORDER BY seq DESC LIMIT 100"
            times_ms = [row[0] for row in _readable(db, newest, until_s) if isinstance(row[0], int)]
        except sqlite3.Error:
            continue
        finally:
            db.close()
        if standings or times_ms:
            return standings, max([0, *times_ms, *(standing.at_ms for standing in standings)])
    return [], 0


def _standings(db: sqlite3.Connection, until_s: float) -> list[Standing]:
    standings = []
    for limit, level, value, at_ms in _readable(db, "SELECT id, level, value, at_ms FROM limit_now", until_s):
        with contextlib.suppress(ValueError, TypeError):
            standings.append(Standing(str(limit), Level(level), value, int(at_ms)))
    return standings


def _readable(db: sqlite3.Connection, query: str, until_s: float) -> Iterator[tuple[Any, ...]]:
    """Rows until the first that can not be read."""
    try:
        for row in db.execute(query):
            if time.monotonic() > until_s:
                return
            yield row
    except (sqlite3.Error, OverflowError):
        return
