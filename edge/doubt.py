"""A commit in doubt outlives the process: a small file beside the store says which seqs, and is looked at when the
store is opened again.

A commit that failed (an fsync did) may be in the file all the same. Its entries were taken again, in memory. While the
process lives the keeper knows and takes them back. Killed before that, the next start would send them a second time,
under other names. So, once what memory had of them was handed to a link, the file is written; nobody waits for it, and
what can not be written is not. At the start the rounds it names are taken back; alarms stay: twice is better than not
at all. The seqs are never given again (`Outbox.take_back`), so a file that is left over does no harm. Damage to it must
not take good readings back: it carries its checksum, and names no more than can ever have waited for a commit.
"""

from __future__ import annotations

import contextlib
from binascii import crc32
from pathlib import Path

from edge.outbox_home import Doubt

NAME = "outbox.doubt"
MOST_SEQS = 30_000  # in a commit, and so ahead of what the store has given: PENDING_MOST of the keeper, and some
LONGEST_BYTES = 200


def note(folder: Path, doubt: Doubt) -> None:
    """Writes it, where it can be written. Blocking; raises nothing."""
    with contextlib.suppress(OSError):
        if (folder / NAME).exists() and not (folder / NAME).is_file():
            return  # a FIFO would be waited for without end
        said = f"{doubt.epoch} {doubt.low} {doubt.high}"
        (folder / NAME).write_text(f"{said} {crc32(said.encode()):08x}", "ascii")


def noted(folder: Path) -> Doubt | None:
    """What was written, if it is whole and makes sense. Blocking; raises nothing."""
    try:
        if not (folder / NAME).is_file():
            return None
        with (folder / NAME).open("rb") as file:
            said, check = file.read(LONGEST_BYTES).decode("ascii").rsplit(" ", 1)
        epoch, low, high = map(int, said.split())
    except (OSError, ValueError, TypeError):
        return None
    sound = check == f"{crc32(said.encode()):08x}" and 0 <= low < high <= low + MOST_SEQS
    return Doubt(epoch, low, high, rounds_only=True) if sound else None


def forget(folder: Path) -> None:
    """It has been seen to."""
    with contextlib.suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)
