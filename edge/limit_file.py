"""Reads and writes the file of edge/limit_memory.py: awaited for as long as its disk takes, given up where it can not
be read at all, and never replaced before that."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from math import inf
from os.path import lexists
from pathlib import Path

from edge.entries import TAIL_ROWS
from edge.limit_past import Kept, unpacked
from edge.limit_state import UNREADABLE
from edge.link_memory import FileMemory, RunBlocking

FILE = "limits"
FILE_BYTES = 20_000_000
AGAIN_S = 10.0  # after an error of the disk
READ_TRIES = 6  # a minute of them: a name that can not be read by then is moved aside

ANEW = "sums and rates begin anew; a level that stands ends when its whole window has been seen again"
UNWRITTEN = "{} can not be written: what limits are told lies in the store alone, which has room for {} rows of it"
IN_MEMORY = "{} can not be written, and the store is in memory: a power cut costs what limits are told since"


class LimitFile:
    """`say` is told what is wrong, `woken` when there is an answer."""

    def __init__(
        self, folder: Path, run_blocking: RunBlocking, say: Callable[[str, str], None], woken: asyncio.Event
    ) -> None:
        self.path = folder / FILE
        self._aside = folder / (FILE + ".bad")
        self.kept: Kept | None = None  # what was read
        self.is_bad = False  # there is something that can not be read
        self.was_bad = False  # there is none, but one that could not be read has been moved aside
        self._file = FileMemory(self.path, run_blocking, FILE_BYTES)
        self._run_blocking = run_blocking
        self._say = say
        self._said = ""
        self._woken = woken
        self._reading: asyncio.Future[bytes | None] | None = None
        self._again_s = inf
        self._errors = 0

    @property
    def is_awaited(self) -> bool:
        return self._reading is not None

    def read(self) -> None:
        """Begins to."""
        self._reading = asyncio.ensure_future(self._look() if self._errors < READ_TRIES else self._set_aside())
        self._reading.add_done_callback(lambda _: self._woken.set())
        self._again_s = inf

    async def wait(self, patience_s: float) -> None:
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=patience_s)

    def has_answered(self) -> bool:
        """Whether it is known now what it holds: in `kept`, None for nothing. Told once."""
        if self._reading is None:
            return False
        if not self._reading.done():
            self._say_once(f"{self.path} takes long to read: until it is, no level of a sum or a rate ends")
            return False
        if self._again_s <= asyncio.get_running_loop().time():
            self.read()
            return False
        try:
            packed = self._reading.result()
            self.kept = None if packed is None else unpacked(packed)
        except OSError as error:
            if self._again_s == inf:
                self._errors += 1
                self._again_s = asyncio.get_running_loop().time() + AGAIN_S
                self._say_once(f"{self.path} can not be read: {error.strerror or error}. It is tried again")
            return False
        except UNREADABLE as error:
            self._say("limits", f"{self.path} is damaged or of another version ({error}): {ANEW}")
            self.is_bad = True
        self._reading = None
        if self.kept is not None and self._said:
            self._say("limits", f"{self.path} has been read: limits go on from what they knew")
        return True

    async def write(self, kept: Kept, *, durable: bool, quiet: bool = False) -> bool:
        """Whether it is written. `durable`: the store in use is on a disk; `quiet`: it is not said that it is not."""
        plain = kept.packed()
        written = await self._file.save(await self._run_blocking(lambda: zlib.compress(plain, 1)))
        if not written and not quiet:
            self._say_once((UNWRITTEN if durable else IN_MEMORY).format(self.path, TAIL_ROWS))
        return written

    async def _look(self) -> bytes | None:
        packed = await self._file.look()
        self.was_bad = packed is None and await self._run_blocking(lambda: lexists(self._aside))
        return packed

    async def _set_aside(self) -> None:
        """The name is wanted for a new file: as if there were none."""
        self.is_bad, now = True, f"and is called {self._aside.name} now"
        try:
            await self._run_blocking(lambda: self.path.replace(self._aside))
        except OSError as error:
            now = f"nor be moved aside ({error.strerror or error})"
        self._say("limits", f"{self.path} can still not be read {now}: {ANEW}")

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._say("limits", text)
        self._said = text
