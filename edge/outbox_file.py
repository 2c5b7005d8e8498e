"""The outbox on its disk: made whole, put aside when broken, told apart from a disk that is. See edge/outbox.py."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge import limit_note
from edge.errors import StoreBroken

# Read at import: when the store must move into memory, the card it lies on may be dead.
SCHEMA = Path(__file__).with_name("outbox_v1.sql").read_text()
# What a store of an earlier program lacks, statement by statement.
LATER = [text for text in SCHEMA[SCHEMA.index("CREATE TABLE IF NOT EXISTS") :].split(";\n") if text.strip()]
VERSION = 1
FRESH_NAME = "outbox.new"  # while it is made
# Measured on ext4 with 100 readings in a commit each second (tests/bench): a commit touches three or four pages, and
# small pages let them share the disk's own: 1024 writes half of what 4096 does.
PAGE_BYTES = 1024
QUICK_CHECK_S = 1.0  # start-up must not wait for a scan of a full disk; a damaged page found later is handled then
QUARANTINE_KEPT = 3  # dated files of broken stores; older ones are deleted, the disk is not ours to fill
QUARANTINE_SHARE = 0.5  # of the disk's room beside the store: what is kept as evidence must not keep readings out


class Unreadable(Exception):
    """The file is there, but it is not a sound store."""


def quick_check(connection: sqlite3.Connection) -> None:
    until_s = time.monotonic() + QUICK_CHECK_S
    connection.set_progress_handler(lambda: int(time.monotonic() > until_s), 20_000)
    try:
        row = connection.execute("PRAGMA quick_check(1)").fetchone()
        if row and row[0] != "ok":
            raise Unreadable(str(row[0]))
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
    finally:
        connection.set_progress_handler(None, 0)


def readable_text(raw: bytes) -> str:
    """For `text_factory`: a value whose type was damaged into text is wrong, but no reason to stop."""
    return raw.decode("utf-8", "replace")


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the error speaks of the file's content; otherwise of the disk under it."""
    text = str(error)
    if isinstance(error, sqlite3.ProgrammingError):
        return False  # a closed connection says nothing of its file
    return not isinstance(error, sqlite3.OperationalError) or "no such table" in text or "malformed" in text


def advice(error: sqlite3.Error) -> str:
    text = str(error)
    hints = {
        "disk is full": "free space on that disk (df -h)",
        "readonly": "is the disk mounted read-only, or the folder owned by another user?",
        "unable to open": "does the folder exist, and may this user write there?",
        "disk I/O": "the card may be dying: look at dmesg",
        "locked": "another program has the store open: is a second daemon running?",
    }
    hint = next((advice for part, advice in hints.items() if part in text), "")
    return f"{text}: {hint}" if hint else text


@contextmanager
def disk(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreBroken(path, f"{error.strerror or error}: is the disk full, or the folder not ours?") from error
    except sqlite3.Error as error:
        raise StoreBroken(path, advice(error)) from error


def make_folder(folder: Path) -> None:
    """The folder is there and so, after a power cut, is its name. Who made it may have been killed before that was so,
    and the same is true of what lies in it: so both are made sure of at every start."""
    missing = [it for it in (folder, *folder.parents) if not it.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)
    if not missing:
        with contextlib.suppress(PermissionError):  # one that we may not read: it was made by somebody else
            sync_folder(folder.parent)
    sync_folder(folder)


def create(path: Path) -> None:
    """A new store: made whole under another name, synced, then named. A cut leaves the old state or the new."""
    fresh = path.with_name(FRESH_NAME)
    for leftover in (fresh, Path(f"{fresh}-wal"), Path(f"{fresh}-shm"), Path(f"{fresh}-journal")):
        leftover.unlink(missing_ok=True)
    connection = sqlite3.connect(fresh, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # it counts when it has its name: one sync before that will do
        fill_new(connection)
    finally:
        connection.close()
    with fresh.open("rb+") as file:
        os.fsync(file.fileno())
    for stale in ("-wal", "-shm", "-journal"):  # of a file that was deleted without them: its log is not ours
        Path(f"{path}{stale}").unlink(missing_ok=True)
    fresh.rename(path)
    sync_folder(path.parent)


def fill_new(connection: sqlite3.Connection) -> None:
    connection.executescript(SCHEMA)
    connection.execute("INSERT INTO store (one, epoch, counter_high) VALUES (1, ?, 0)", (secrets.randbits(32),))
    limit_note.write(connection, limit_note.born())
    connection.execute(f"PRAGMA user_version = {VERSION}")


def put_aside(path: Path, aside: Path) -> None:
    """Gives a store file, with its log, another name: the file first, its log when that is durable (see `finish_move`).
    The log's index (-shm) is made anew by who opens it."""
    for stale in (f"{aside}-wal", f"{aside}-shm", f"{path}-shm"):
        Path(stale).unlink(missing_ok=True)
    sync_folder(path.parent)  # another file's log must not become this one's
    if path.exists():
        path.replace(aside)
        sync_folder(path.parent)
    log = Path(f"{path}-wal")
    if log.exists():
        log.replace(f"{aside}-wal")
        sync_folder(path.parent)


def copy(connection: sqlite3.Connection, aside: Path) -> None:
    """Writes all that an open store holds into a file of its own: synced first, then named. (Linux gives a file that
    was deleted no name again.)"""
    fresh = aside.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    target = sqlite3.connect(fresh, isolation_level=None)
    try:
        target.execute("PRAGMA synchronous = OFF")
        connection.backup(target)
    finally:
        target.close()
    with fresh.open("rb+") as file:
        os.fsync(file.fileno())
    fresh.rename(aside)
    sync_folder(aside.parent)


def finish_move(path: Path, aside: Path) -> None:
    """After a cut in the middle of `put_aside`: the log, with all that was committed last, follows its file."""
    log, followed = Path(f"{path}-wal"), Path(f"{aside}-wal")
    if aside.exists() and log.exists() and not path.exists() and not followed.exists():
        log.replace(followed)
        sync_folder(path.parent)


def forget_old(folder: Path) -> None:
    """Deletes broken files, the oldest first, until few are left and they leave room for the store; the newest stays.
    By their change, not their names: the clock may have been wrong."""
    newest_first = sorted(folder.glob("outbox.broken-*.db"), key=lambda file: -file.stat().st_mtime_ns)
    files = [[Path(f"{broken}{suffix}") for suffix in ("", "-wal", "-shm")] for broken in newest_first]
    sizes_bytes = [sum(file.stat().st_size for file in each if file.exists()) for each in files]
    room = os.statvfs(folder)
    most_bytes = QUARANTINE_SHARE * (room.f_bavail * room.f_frsize + sum(sizes_bytes))
    for place, each in enumerate(files):
        if place >= QUARANTINE_KEPT or (place and sum(sizes_bytes[: place + 1]) > most_bytes):
            for file in each:
                file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
