"""Which epoch the store's own seqs are of. A store that began a new epoch (`Outbox.renew`) has entries of several.

An era is a stretch of seqs: its own entries (those without an `origin_seq`) are known to the province in `epoch`. Where
the era has a sheet, they are told under that one and not under their row's: they were taken under the old epoch, and
its seqs mean something else at the province. So a new epoch costs a few bytes, however many entries there are.

From where on a store may have given what means something else is a mark in it: a copy that runs in the dark may be
started, or lose its disk for a moment, many times before the province can answer.

Without a renewal there is one era, which has no end. A sheet's own entry is sealed without a sheet and is always of the
present epoch, whatever era its seq lies in. Pure but for what takes a connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

import cbor2

from edge.contract import Kind

NAME = "eras"  # its row in the table under_way
MARK = "unsure"  # as well
ENDLESS = 2**62
DAMAGED = (ValueError, TypeError, OverflowError, cbor2.CBORError)


class Era(NamedTuple):
    """Seqs `low`..`high`. `sheet`: the row of the sheet they are told under; 0: that of their own row."""

    low: int
    high: int
    epoch: int
    sheet: int = 0

    def __contains__(self, seq: object) -> bool:
        return isinstance(seq, int) and self.low <= seq <= self.high


class Mark(NamedTuple):
    """The last seq and the packet counter at the first opening since the province last confirmed something that was
    given after one. A store in which the counter is the same has sent nothing since."""

    seq: int
    counter: int

    def encode(self) -> bytes:
        return cbor2.dumps(list(self))


def mark(db: sqlite3.Connection) -> Mark | None:
    """The mark of a store; None where there is none, or where it makes no sense. Raises sqlite3.Error."""
    row = db.execute("SELECT body FROM under_way WHERE name = ?", (MARK,)).fetchone()
    if row is None:
        return None
    try:
        found = Mark(*cbor2.loads(row[0]))
    except DAMAGED:
        return None
    return found if all(isinstance(number, int) and number >= 0 for number in found) else None


def mark_opening(db: sqlite3.Connection) -> None:
    """Sets the mark where there is none. Within the transaction of the opening. Raises sqlite3.Error, ValueError."""
    if mark(db) is None:
        given = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()
        found = Mark(int(given[0]) if given else 0, int(db.execute("SELECT counter_high FROM store").fetchone()[0]))
        db.execute("INSERT OR REPLACE INTO under_way VALUES (?, ?)", (MARK, found.encode()))


def load(db: sqlite3.Connection, epoch: int) -> list[Era]:
    """The eras of a store of this epoch, by seq. What makes no sense counts as none. Raises sqlite3.Error."""
    row = db.execute("SELECT body FROM under_way WHERE name = ?", (NAME,)).fetchone()
    whole = [Era(1, ENDLESS, epoch)]
    if row is None:
        return whole
    try:
        found = [Era(*item) for item in cbor2.loads(row[0])]
    except DAMAGED:
        return whole
    sound = found and all(isinstance(number, int) for era in found for number in era) and found[-1].epoch == epoch
    return found if sound else whole


def dumps(eras: Sequence[Era]) -> bytes:
    return cbor2.dumps([list(era) for era in eras])


def renewed(eras: Sequence[Era], sure_seq: int, young: Sequence[Era], last_seq: int, epoch: int) -> list[Era]:
    """The eras after a renewal: what is surely known by its names stays what it is, what was taken since (`young`) is
    of the new epoch, told under its sheets, and so is what comes."""
    old = [era._replace(high=min(era.high, sure_seq)) for era in eras if era.low <= sure_seq]
    return [*old, *young, Era(last_seq + 1, ENDLESS, epoch)]


def stretches(db: sqlite3.Connection, above_seq: int, strange: Container[int]) -> list[tuple[int, int]]:
    """(the first seq, the sheet's row or 0) of each stretch of own entries above a seq; 0: of none of the `strange`
    sheets. Walks them all. Raises sqlite3.Error."""
    query = "SELECT seq, sheet FROM entry WHERE seq > ? AND origin_seq IS NULL AND kind <> ? ORDER BY seq"
    found = [(above_seq + 1, 0)]
    for seq, sheet in db.execute(query, (above_seq, int(Kind.SHEET))):
        told = sheet if sheet in strange else 0
        if told != found[-1][1]:
            found.append((seq, told))
    return found


def since(eras: Iterable[Era], low: int) -> list[Era]:
    """Those in which something may be held, when nothing is below `low`. The last one always is."""
    return [era for era in eras if era.high >= low]


def told_under(eras: Sequence[Era], seq: int) -> int:
    """The row of the sheet that an own entry is told under, 0 for its own row's."""
    return next((era.sheet for era in eras if era.sheet and seq in era), 0)
