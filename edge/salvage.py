"""What can still be read of a broken store file. See edge/outbox.py."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edge.contract import Level
from edge.entries import Held, Standing
from edge.outbox_read import ENTRY_COLUMNS, held_of

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
    """Reads a store file from both ends towards the damage, for SALVAGE_S at most. Never raises."""
    until_s = time.monotonic() + SALVAGE_S
    found: dict[int, Saved] = {}
    try:
        db = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error:
        return Salvage()
    try:
        sheets = {row[0]: row[1:] for row in _readable(db, "SELECT id, epoch, body, digest FROM sheet", until_s)}
        for order in ("ASC", "DESC"):
            for row in _readable(db, f"SELECT {ENTRY_COLUMNS}, boot FROM entry ORDER BY seq {order}", until_s):
                if row[0] in found:
                    break
                with contextlib.suppress(ValueError, TypeError, KeyError):  # damage need not look like damage
                    epoch, body, digest = sheets[row[2]]
                    found[row[0]] = Saved(held_of(row[:-1]), epoch, body, digest, row[-1])
        standings = []
        for limit, level, value, at_ms in _readable(db, "SELECT id, level, value, at_ms FROM limit_now", until_s):
            with contextlib.suppress(ValueError, TypeError):
                standings.append(Standing(str(limit), Level(level), value, int(at_ms)))
    finally:
        db.close()
    return Salvage([found[seq] for seq in sorted(found)], standings)


def _readable(db: sqlite3.Connection, query: str, until_s: float) -> Iterator[tuple[Any, ...]]:
    """Rows until the first that can not be read."""
    try:
        for row in db.execute(query):
            if time.monotonic() > until_s:
                return
            yield row
    except (sqlite3.Error, OverflowError):
        return
