"""The memory card under the daemon's store: what a power cut drops, what a dying card does, what a kill leaves.

The real files in the folder are what the running system sees (the page cache). Beside each that SQLite writes stands
its image, what is surely on the card, and the writes since its last sync (sim/world/card.py). SQLite's own calls come
by sim/world/vfs.py, os.fsync is wrapped; neither waits for the machine's real disk.

A kill or a cut gives all files new inodes: what the dead daemon still has open, locked or mapped is then nobody's.
Names are simple: a file made, renamed or deleted is so at once, also after a cut, and so is the content of one written
by plain Python, synced or not (tests/powercut sees what is wrong there). Not seen: SQLite's shared index (-shm).

May not: draw from any chance but its own; touch a file outside its folder.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from sim.world import vfs
from sim.world.card import File, load

T = TypeVar("T")

_fsync = os.fsync


class Hangs(BaseException):
    """What is being done would now wait for the card. Caught by Blocking, which does it once more when it can be."""


class PowerOff(BaseException):
    """The daemon that asks is dead. Not an Exception: nothing in the daemon may answer it."""


class Disk:
    """The card under `folder`. Faults may be set at any time: they hold for what SQLite does from then on."""

    def __init__(self, folder: Path, random: Random) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = Path(os.path.realpath(folder))
        self.prefix = os.fsencode(self.folder) + b"/"
        self.full = False  # a write that makes a file longer fails
        self.error = 0.0  # chance that a write or a sync fails
        self.read_only = False  # files open for reading only; what is open already can not be written
        self.lies = False  # syncs do nothing: for proving the world
        self.slow_s = 0.0  # that each piece of work takes which syncs anything
        self.cut_at_write: int | None = None  # the power goes in the n-th write, truncate or sync from now
        self.struck: Callable[[], None] = lambda: None  # told when it has
        self.counts: Counter[str] = Counter()  # writes, syncs, bytes, cuts, torn
        self._random = random
        self._files: dict[tuple[int, int], File] = {}  # by (device, inode)
        self._waiting: list[asyncio.Future[None]] = []
        self._hang = False
        self.met_hang = False  # since somebody last looked
        self.blocking = Blocking(self)

    # -- life ----------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """From now on this process's SQLite and os.fsync come here for what lies in the folder."""
        vfs.front().add(self)
        _installed.append(self)
        os.fsync = _sync_or_pass

    def uninstall(self) -> None:
        """What is still open in the folder goes dead; the files stay as the system sees them."""
        self.blocking.die()
        vfs.front().remove(self)
        _installed.remove(self)
        if not _installed:
            os.fsync = _fsync
        self._renew(lambda _: None)
        self._forget(self._files.values())
        self._files = {}

    def __enter__(self) -> Disk:
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    @property
    def is_on(self) -> bool:
        """Whether a daemon may work on it."""
        return self.blocking.alive

    def kill(self) -> None:
        """kill -9: nothing that is open, or waits, can change anything any more. The files stay as the system sees
        them, and what was not synced is still not."""
        if not self.is_on:
            return
        self.blocking.die()
        self._wake()
        vfs.front().deaden(self)
        self._renew(lambda _: None)

    def cut(self) -> None:
        """The power goes: what was not synced survives in part. May follow a kill; another cut changes nothing more."""
        if not self.is_on and not self._files:
            return
        self.blocking.die()
        self._wake()
        vfs.front().deaden(self)
        self.counts["cuts"] += 1
        self.cut_at_write = None
        self._renew(self._left)

    def revive(self) -> None:
        """The next daemon may begin, with the `blocking` of now."""
        if not self.is_on:
            self.blocking = Blocking(self)

    @property
    def hang(self) -> bool:
        """While it is so, nothing that SQLite or a sync wants of the card comes to an end; reading does."""
        return self._hang

    @hang.setter
    def hang(self, hangs: bool) -> None:
        self._hang = hangs
        if not hangs:
            self._wake()

    def damage(self, name: str, most_bytes: int) -> None:
        """Overwrites up to so many bytes in one place of a file that nobody has open; none if there is no such file."""
        path = self.folder / name
        if not path.is_file() or not path.stat().st_size:
            return
        size = path.stat().st_size
        length = self._random.randint(1, min(most_bytes, size))
        offset = self._random.randrange(size - length + 1)
        data = self._random.randbytes(length)
        with path.open("rb+") as content:
            content.seek(offset)
            content.write(data)
        file = self._files.get(_key(path.stat()))
        if file is not None:
            file.overwrite(offset, data)

    async def hung(self) -> None:
        """Returns when it hangs no more, or its daemon is dead."""
        if self._hang:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    # -- what SQLite does (vfs.Card) -----------------------------------------------------------------------------

    def allow(self, path: bytes, flags: int) -> int | None:
        if not self.is_on or self._hangs():
            return None
        if not self.read_only or not flags & vfs.OPEN_READWRITE:
            return flags
        if not os.path.exists(path):  # noqa: PTH110 (bytes)
            return None
        return flags & ~(vfs.OPEN_READWRITE | vfs.OPEN_CREATE) | vfs.OPEN_READONLY  # as SQLite itself then tries

    def opened(self, path: bytes) -> File:
        key = _key(os.stat(path))  # noqa: PTH116 (bytes)
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = load(path)
        file.users += 1
        return file

    def closed(self, file: File) -> None:
        file.users -= 1
        self._tidy()

    def refuses(self, file: File, end: int, code: int) -> int:
        if self._hangs():
            return code
        if self.full and end > file.size:
            return vfs.FULL
        return code if self.read_only or (self.error and self._random.random() < self.error) else vfs.OK

    def wrote(self, file: File, offset: int, data: bytes) -> int:
        file.note(offset, data)
        counts = self.counts
        counts["writes"] += 1
        counts["bytes"] += len(data)
        return vfs.IOERR_WRITE if self.cut_at_write is not None and self._strikes() else vfs.OK

    def truncated(self, file: File, size: int) -> int:
        file.note(size, None)
        return vfs.IOERR_TRUNCATE if self._strikes() else vfs.OK

    def synced(self, file: File) -> int:
        if self._hangs():
            return vfs.IOERR_FSYNC
        self.counts["syncs"] += 1
        if self._strikes():
            return vfs.IOERR_FSYNC
        if self.error and self._random.random() < self.error:
            file.stray(self._random)
            return vfs.IOERR_FSYNC
        if not self.lies:
            file.sync()
        return vfs.OK

    def may_delete(self) -> bool:
        return self.is_on and not self._hangs() and not self.read_only

    def deleted(self) -> None:
        self._tidy()

    def entropy(self, size: int) -> bytes:
        return self._random.randbytes(size)

    # -- inside --------------------------------------------------------------------------------------------------

    def holds(self, handle: int) -> bool:
        """Whether a file descriptor is of a file, or the folder, that this disk answers for."""
        path = os.fsencode(os.readlink(f"/proc/self/fd/{handle}"))  # noqa: PTH115 (no file there)
        return (path + b"/").startswith(self.prefix)

    def sync_plain(self, handle: int) -> None:
        """os.fsync of what lies here. Raises OSError as a dying card does, PowerOff, Hangs."""
        if not self.is_on:
            raise PowerOff
        if self._hangs():
            raise Hangs
        self.counts["syncs"] += 1
        if self._strikes():
            raise PowerOff
        file = self._files.get(_key(os.fstat(handle)))
        if self.error and self._random.random() < self.error:
            if file is not None:
                file.stray(self._random)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if file is not None and not self.lies:
            file.sync()
            self._tidy()

    def _hangs(self) -> bool:
        self.met_hang = self.met_hang or self._hang
        return self._hang

    def _strikes(self) -> bool:
        """Counts on to the cut that was asked for; whether it has just come."""
        if self.cut_at_write is None:
            return False
        self.cut_at_write -= 1
        if self.cut_at_write > 0:
            return False
        self.cut()
        self.struck()
        return True

    def _left(self, file: File) -> bytes:
        self.counts["torn"] += file.stray(self._random)
        return bytes(file.image)

    def _renew(self, left: Callable[[File], bytes | None]) -> None:
        """Every file becomes another of the same name: what is `left` of one that SQLite wrote, else the same."""
        before, self._files = self._files, {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            status = path.stat()
            file = before.get(_key(status))
            content = left(file) if file is not None and not file.is_plain else None
            fresh = path.with_name(path.name + ".fresh")
            if content is None:
                shutil.copyfile(path, fresh)
            else:
                fresh.write_bytes(content)
            fresh.chmod(status.st_mode)
            os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
            fresh.replace(path)
            if content is None and file is not None and not file.is_plain:
                self._take_over(path, file)
        self._forget(before.values())

    def _take_over(self, path: Path, file: File) -> None:
        """What was not synced before a kill is not synced after it."""
        fresh = File(os.open(path, os.O_RDONLY), file.image, file.size)
        fresh.unsynced, fresh.strayed = file.unsynced, file.strayed
        self._files[_key(os.fstat(fresh.handle))] = fresh

    def _tidy(self) -> None:
        """Forgets files that nobody has open and that are gone, or of which there is nothing to say."""
        idle = {key: file for key, file in self._files.items() if not file.users}
        for key, file in idle.items():
            if file.is_plain or not os.fstat(file.handle).st_nlink:
                self._forget([self._files.pop(key)])

    def _forget(self, files: Any) -> None:
        for file in files:
            os.close(file.handle)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done() and not one.get_loop().is_closed():
                one.set_result(None)


class Blocking:
    """What a daemon gets as `run_blocking` (edge.daemon.OneThread is the real one), good for one life of it: work is
    done on the loop's own thread, at once, a piece at a time. A dead one's work ends in PowerOff.

    Work that meets a card that hangs fails on the way, unheard, and is done again from its beginning when the card
    hangs no more: nothing of it has reached the card. Work on a store in memory never meets it.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._turn = asyncio.Lock()
        self.alive = True

    def die(self) -> None:
        self.alive = False

    def abandon(self) -> None:
        """The thread hangs: what comes next does not wait for it."""
        self._turn = asyncio.Lock()

    def __call__(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Finished already, unless the card is slow or hangs."""
        if self._disk.hang or self._disk.slow_s > 0 or self._turn.locked():
            # As on a thread: what has begun goes on when nobody waits for it any more.
            return asyncio.shield(asyncio.ensure_future(self._do(work, self._turn)))
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            done.set_result(self._try(work))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 (an executor: what work raises is for who waits for it)
            done.set_exception(error)
        return done

    async def _do(self, work: Callable[[], T], turn: asyncio.Lock) -> T:
        disk = self._disk
        async with turn:
            syncs = disk.counts["syncs"]
            done = await self._to_its_end(work)
            if disk.slow_s > 0 and disk.counts["syncs"] > syncs:
                await asyncio.sleep(disk.slow_s)
                if not self.alive:
                    raise PowerOff  # it is done, and nobody will know
            return done

    async def _to_its_end(self, work: Callable[[], T]) -> T:
        while True:
            try:
                return self._try(work)
            except Hangs:
                await self._disk.hung()

    def _try(self, work: Callable[[], T]) -> T:
        if not self.alive:
            raise PowerOff
        self._disk.met_hang = False
        try:
            return work()
        finally:  # whatever else came of it
            if not self.alive:
                raise PowerOff
            if self._disk.met_hang:
                raise Hangs


_installed: list[Disk] = []


def _sync_or_pass(fd: Any) -> None:
    """os.fsync while a disk is installed."""
    handle = fd if isinstance(fd, int) else fd.fileno()
    for disk in _installed:
        if disk.holds(handle):
            disk.sync_plain(handle)
            return
    _fsync(handle)


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
