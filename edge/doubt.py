"""A commit in doubt outlives the process: a small file beside the store says which seqs, and is looked at when the
store is opened again.

A commit that failed (an fsync did) may be in the file all the same. Its entries were taken again, in memory. While the
process lives the keeper knows and takes them back. Killed before that, the next start would send them a second time,
under other names. So, once what memory had of them was handed to a link, the file is written; nobody waits for it, and
what can not be written is not. At the start the rounds it names are taken back; alarms stay: twice is better than not
at all. The seqs are never given again (`Outbox.take_back`), so a file that is left over does no harm.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from edge.outbox_home import Doubt

NAME = "outbox.doubt"
END = "."  # one that was cut off in the middle says nothing


def note(folder: Path, doubt: Doubt) -> None:
    """Writes it, where it can be written. Blocking; raises nothing."""
    with contextlib.suppress(OSError):
        (folder / NAME).write_text(f"{doubt.epoch} {doubt.low} {doubt.high} {END}", "ascii")


def noted(folder: Path) -> Doubt | None:
    """What was written, if it makes sense. Blocking; raises nothing."""
    try:
        *numbers, end = (folder / NAME).read_text("ascii").split()
        found = Doubt(*map(int, numbers))
    except (OSError, ValueError, TypeError):
        return None
    return found if end == END and 0 <= found.low < found.high else None


def forget(folder: Path) -> None:
    """It has been seen to."""
    with contextlib.suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)
