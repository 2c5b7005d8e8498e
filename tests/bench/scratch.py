"""Folders of a measurement, on the disk the project is on: /tmp may be memory, where a write costs nothing."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SCRATCH = Path(__file__).resolve().parents[2] / "build" / "bench"
SUN_PATH_MOST = 90  # a Unix socket's path is at most 107 bytes (unix(7)); the rig adds a little


@contextlib.contextmanager
def folder(name: str) -> Iterator[Path]:
    """A fresh folder, removed afterwards."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    root: Path | None = SCRATCH
    if len(str(SCRATCH)) + len(name) + 10 > SUN_PATH_MOST:
        say(f"{SCRATCH} is too long a path for a socket: using the system's temporary folder, disk bytes may be off")
        root = None
    path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def say(text: str) -> None:
    """Progress, to standard error."""
    print(text, file=sys.stderr, flush=True)
