"""The daemon as a process among others: no second one on its store, and systemd is told how it is."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from edge.errors import FengsuiError
from edge.outbox_file import make_folder

LOCK_NAME = "lock"


class AlreadyRunning(FengsuiError):
    """Another daemon holds this store."""


def lock_folder(folder: Path) -> IO[str] | None:
    """Holds the store's folder against a second daemon. A folder that can not be written is no reason not to run."""
    try:
        make_folder(folder)
        lock = (folder / LOCK_NAME).open("w")
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise AlreadyRunning(f"another daemon already runs on {folder}: systemctl status fengsui") from None
    except OSError:
        pass  # a file system without locks
    return lock


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
