"""Which epoch the store's own seqs are of. A store that began a new epoch (`Outbox.renew`) has entries of several.

An era is a stretch of seqs: its own entries (those without an `origin_seq`) are known to the province in `epoch`. Where
the era has a sheet, they are told under that one and not under their row's: they were taken under the old epoch, and
its seqs mean something else at the province. So a new epoch costs a few bytes, however many entries there are.

Without a renewal there is one era, which has no end. A sheet's own entry is sealed without a sheet and is always of the
present epoch, whatever era its seq lies in. Pure but for `load`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cbor2

NAME = "eras"  # its row in the table under_way
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


def renewed(eras: Sequence[Era], opened_seq: int, last_seq: int, epoch: int, sheet: int) -> list[Era]:
    """The eras after a renewal: what was there when the store was opened stays what it is, what was taken since is of
    the new epoch, told under its sheet, and so is what comes."""
    old = [era._replace(high=min(era.high, opened_seq)) for era in eras if era.low <= opened_seq]
    young = [Era(opened_seq + 1, last_seq, epoch, sheet)] if last_seq > opened_seq else []
    return [*old, *young, Era(last_seq + 1, ENDLESS, epoch)]


def since(eras: Iterable[Era], low: int) -> list[Era]:
    """Those in which something may be held, when nothing is below `low`. The last one always is."""
    return [era for era in eras if era.high >= low]


def told_under(eras: Sequence[Era], seq: int) -> int:
    """The row of the sheet that an own entry is told under, 0 for its own row's."""
    return next((era.sheet for era in eras if era.sheet and seq in era), 0)
