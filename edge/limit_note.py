"""What a store notes of itself for the limits: which one it is, and of which limits nobody knows whether they stand.

A store is born not knowing: it may be the first one of its box, or stand in for one that was lost. edge/limit_memory.py
finds out which, by the file that it keeps beside the store, and has it noted. `?limit`: of that there is nothing to
tell, but it is not sure on which side of a dead band it is. The identity outlives a new epoch: that
is about what the province knows, and this is about what lies on the disk. A row of the table under_way.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import cbor2

NAME = "limits"
IDENTITY_BYTES = 8
DAMAGED = (ValueError, TypeError, OverflowError, cbor2.CBORError)


class Note(NamedTuple):
    """`lost`: True where another store was lost, with where limits stood; None where nobody has found out; else
    `unknown` are those of which nobody knows how they stand."""

    identity: bytes
    lost: bool | None
    unknown: frozenset[str] = frozenset()

    def encode(self) -> bytes:
        return cbor2.dumps([self.identity, self.lost, sorted(self.unknown)])


EVERY = "*"  # in place of limits' names: of each of them
NOTHING_NOTED = Note(b"", False)
DAMAGED_NOTE = Note(b"", True)


def born(*, lost: bool | None = None) -> Note:
    """Of a new store."""
    return Note(secrets.randbits(8 * IDENTITY_BYTES).to_bytes(IDENTITY_BYTES, "big"), lost)


def read(db: sqlite3.Connection) -> Note | None:
    """None where there is none: the store is of an earlier program. One that was damaged is of nobody knows what.
    Raises sqlite3.Error."""
    row = db.execute("SELECT body FROM under_way WHERE name = ?", (NAME,)).fetchone()
    if row is None:
        return None
    try:
        identity, lost, unknown = cbor2.loads(row[0])
        sound = isinstance(identity, bytes) and lost in (True, False, None) and isinstance(unknown, list)
        return Note(identity, lost, frozenset(map(str, unknown))) if sound else DAMAGED_NOTE
    except DAMAGED:
        return DAMAGED_NOTE


def write(db: sqlite3.Connection, note: Note) -> None:
    """Within a transaction. Raises sqlite3.Error."""
    db.execute("INSERT OR REPLACE INTO under_way VALUES (?, ?)", (NAME, note.encode()))


def made_sure(db: sqlite3.Connection) -> Note:
    """The note of a store that is being opened; one without a sound one gets it. Raises sqlite3.Error."""
    found = read(db)
    if found is None or not found.identity:
        found = born(lost=found is not None)
        write(db, found)
    return found


def told(db: sqlite3.Connection, unknown: Iterable[str]) -> None:
    """It is known of which limits nobody knows how they stand. Within a transaction. Raises sqlite3.Error."""
    write(db, made_sure(db)._replace(lost=False, unknown=frozenset(unknown)))


def was_copied(db: sqlite3.Connection) -> None:
    """It is an older copy of itself: what was told after it was made stands in none. Within a transaction. Raises
    sqlite3.Error."""
    found = made_sure(db)
    write(db, found._replace(unknown=found.unknown | {EVERY}))


def was_lost(db: sqlite3.Connection) -> None:
    """It stands in for another one. Within a transaction. Raises sqlite3.Error."""
    found = made_sure(db)
    if found.lost is None:
        write(db, found._replace(lost=True))
