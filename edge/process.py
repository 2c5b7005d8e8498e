"""The daemon as a process among others: no second one on its store, and systemd is told how it is.

Two locks, both gone with the process that held them, however it ended. A name in the kernel (an abstract Unix socket,
unix(7)) needs no disk, and outlives a store's folder that somebody deletes. A lock on a file in that folder is also
seen where names are not: in another container, or by another path.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any

from edge.errors import FengsuiError
from edge.outbox_file import make_folder

LOCK_NAME = "lock"
LOCK_S = 5.0  # for the lock in the store's folder: two syncs of a slow card; who judges limits waits for it
NAME_PREFIX = "\0fengsui-"
DIGEST_CHARS = 32
WAITING_MOST = 16  # who asks for the holder of a name is never answered, and need not be
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)
DYING = "ZX"  # states of a process that runs no more (proc(5)): one thread of it still waits for a dead disk


class AlreadyRunning(FengsuiError):
    """Another daemon holds this store."""


def hold_name(folder: Path) -> tuple[socket.socket | None, bool]:
    """Holds a store's folder by name, whether it is there or not. Raises AlreadyRunning.

    None where there are no such names. True: one that was killed has it still, and no power left to do anything.
    """
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(_name(folder))
        held.listen(WAITING_MOST)
    except OSError as error:
        held.close()
        if error.errno != errno.EADDRINUSE:
            return None, False
        pid = _holder(folder)
        if is_dying(pid):
            return None, True
        who = f"another daemon (process {pid})" if pid else "another daemon"
        raise AlreadyRunning(f"{who} already runs on {folder}: systemctl status fengsui") from None
    return held, False


def _name(folder: Path) -> str:
    """The same for all paths to a folder. With its disk: containers that share a network have other disks."""
    real = Path(os.path.realpath(folder))
    there = next((path for path in real.parents if path.exists()), Path("/"))
    digest = hashlib.sha256(f"{there.stat().st_dev} {real}".encode(errors="surrogateescape")).hexdigest()
    return f"{NAME_PREFIX}{digest[:DIGEST_CHARS]}"


def _holder(folder: Path) -> int:
    """The process that holds the name; 0 where that can not be told."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(_name(folder))
        except OSError:
            return 0
        return peer_pid(asking)


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end of a Unix socket, as it began to listen; 0 where that can not be told."""
    try:
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return 0
    return int(_CREDENTIALS.unpack(told)[0])


def is_dying(pid: int) -> bool:
    """Whether it was killed, and one thread of it still waits for a dead disk."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] in DYING
    except (OSError, IndexError):
        return False  # hidden from us, so of another user


def lock_folder(folder: Path, *, dying: bool = False) -> IO[str] | None:
    """Holds the store's folder against a second daemon. A folder that can not be written is no reason not to run, nor
    is a lock held by one that is `dying`. Raises AlreadyRunning. Blocks as the disk does."""
    try:
        make_folder(folder)
        # Without waiting: the name of a FIFO that nobody reads would be waited for without end.
        lock = os.fdopen(os.open(folder / LOCK_NAME, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o666), "w")
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not dying:
            lock.close()
            raise AlreadyRunning(f"another daemon already runs on {folder}: systemctl status fengsui") from None
    except OSError:
        pass  # a file system without locks
    return lock


async def lock_in_time(
    folder: Path, run_blocking: Callable[[Callable[[], Any]], Awaitable[Any]], *, dying: bool
) -> IO[str] | None:
    """`lock_folder` where a disk that hangs is not waited for: the name holds. Raises AlreadyRunning."""
    locking: asyncio.Future[IO[str] | None] = asyncio.ensure_future(
        run_blocking(lambda: lock_folder(folder, dying=dying))
    )
    done, _ = await asyncio.wait({locking}, timeout=LOCK_S)
    if done:
        return locking.result()
    locking.add_done_callback(lambda late: late.cancelled() or late.exception())
    getattr(run_blocking, "abandon", lambda: None)()
    return None


def notify(state: str) -> None:
    """Tells systemd (sd_notify(3)), where it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        try:
            connection.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return
