"""A few bytes of a link's own that outlive restarts and power cuts: one small file beside the store.

Written as temp file, fsync, rename, fsync of the folder, so that it holds either the old bytes or the new ones. A disk
that does not take them within SAVE_PATIENCE_S is not waited for: an alarm may stand behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

MEMORY_BYTES = 4096
SAVE_PATIENCE_S = 2.0

RunBlocking = Callable[[Callable[[], Any]], Awaitable[Any]]


class FileMemory:
    """contract.Memory in one file. `run_blocking` makes a call where it may wait for a disk."""

    def __init__(self, path: Path, run_blocking: RunBlocking, most_bytes: int = MEMORY_BYTES) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._run_blocking = run_blocking
        self._saving: asyncio.Future[bool] | None = None

    async def load(self) -> bytes:
        reading: asyncio.Future[bytes] = asyncio.ensure_future(self._run_blocking(self._read))
        return await _patiently(reading, b"")

    async def look(self) -> bytes | None:
        """What it holds, for as long as that takes; None where there is no such file. Raises OSError for one that can
        not be read, now."""
        found: bytes | None = await self._run_blocking(self._look)
        return found

    async def save(self, data: bytes) -> bool:
        if len(data) > self._most_bytes or (self._saving is not None and not self._saving.done()):
            return False  # the disk still hangs over the last one
        self._saving = asyncio.ensure_future(self._run_blocking(lambda: self._write(data)))
        return await _patiently(self._saving, False)

    def _read(self) -> bytes:
        try:
            return self._look() or b""
        except OSError:
            return b""

    def _look(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                return file.read(self._most_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write(self, data: bytes) -> bool:
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return False
        return True


class NoMemory:
    """Remembers nothing: for links that are looked at, not run."""

    async def load(self) -> bytes:
        return b""

    async def save(self, data: bytes) -> bool:
        return False


T = TypeVar("T")


async def _patiently(work: asyncio.Future[T], otherwise: T) -> T:
    """The result of `work`; `otherwise` when it takes too long (it goes on by itself) or the loop ends."""
    done, _ = await asyncio.wait({work}, timeout=SAVE_PATIENCE_S)
    if not done:
        work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return otherwise
    return work.result()
