"""What lies in the way of the store in its folder, and is no file: seen before anything is opened, as a FIFO would be
waited for without end. A link that leads nowhere is a disk that is not mounted: it is waited for, never replaced. All
else that is no file is moved aside, and said. See edge/outbox.py.
"""

from __future__ import annotations

import stat
from pathlib import Path

from edge.errors import StoreBroken
from edge.outbox_file import sync_folder


def must_lead_somewhere(path: Path) -> None:
    """Raises StoreBroken for a link to what is not there, and for one that leads round in a circle. Blocking."""
    if path.is_symlink() and _mode(path) is None:
        where = f"the store's disk is not there ({path.name} leads to {path.readlink()}): is it mounted?"
        raise StoreBroken(str(path), where)


def move_aside(folder: Path, names: list[str], stamp: str) -> list[str]:
    """Gives what is no file another name: what was moved where, as sentences. Blocking; raises OSError."""
    said = []
    for path in (folder / name for name in names):
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            free = (folder / f"{path.name}.odd-{stamp}{more}" for more in ("", *(f"-{n}" for n in range(2, 100))))
            aside = next(name for name in free if not name.exists() and not name.is_symlink())
            path.rename(aside)
            what = "a folder" if stat.S_ISDIR(mode) else "no file"
            said.append(f"{path} is {what}, where the store needs the name: it was moved to {aside.name}")
    if said:
        sync_folder(folder)
    return said


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if "symbolic links" in str(error):
            return None
        raise
