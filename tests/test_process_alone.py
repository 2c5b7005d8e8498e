"""One daemon on a store: whatever becomes of the store's folder, and however the one before has ended."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.config import load
from edge.daemon import Daemon, build
from edge.process import AlreadyRunning, hold_name, lock_folder
from sim import virtual

HOLD = "import sys, time; from pathlib import Path; from edge.process import *; path = Path(sys.argv[1]); "
HOLD += "held = hold_name(path), lock_folder(path); print(flush=True); "
STAY = "time.sleep(60)"
# Its first thread has ended, as one that was killed; another stays, as if in a call to a disk that hangs.
DIE = "import ctypes, threading; threading.Thread(target=time.sleep, args=[60]).start(); "
DIE += "ctypes.CDLL(None).pthread_exit(None)"
SITE = """
[gateway]
id = "g"
[[port]]
id = "bus"
open = "tcp:127.0.0.1:1"
[[device]]
id = "d"
driver = "modbus"
port = "bus"
[[device.point]]
id = "p"
unit = "m"
step = 0.01
register = 0
[[link]]
id = "fibre"
driver = "mqtt"
host = "127.0.0.1"
port = 1
"""


@contextmanager
def other(folder: Path, how: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds a store's folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD + how, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_deleted_folder_lets_no_second_one_in(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with other(folder, STAY) as process:
        shutil.rmtree(folder)
        with pytest.raises(AlreadyRunning, match=f"process {process.pid}.*systemctl status"):
            hold_name(folder)
        (tmp_path / "again").symlink_to(folder)
        with pytest.raises(AlreadyRunning):
            hold_name(tmp_path / "again")


def test_without_a_disk_to_write_to_there_is_only_one_too() -> None:
    folder = Path("/proc/no-such-disk/store")
    assert lock_folder(folder) is None
    name, _ = hold_name(folder)
    assert name is not None
    with name, pytest.raises(AlreadyRunning):
        hold_name(folder)


def test_who_was_killed_holds_nothing(tmp_path: Path) -> None:
    with other(tmp_path, STAY) as process:
        process.kill()
        process.wait()
        name, dying = hold_name(tmp_path)
        lock = lock_folder(tmp_path)
    assert name is not None
    assert lock is not None
    assert not dying
    name.close()
    lock.close()


def test_who_was_killed_and_hangs_on_a_dead_disk_keeps_nobody_from_starting(tmp_path: Path) -> None:
    with other(tmp_path, DIE) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert process.poll() is None
        assert hold_name(tmp_path) == (None, True)
        with pytest.raises(AlreadyRunning):
            lock_folder(tmp_path)
        lock = lock_folder(tmp_path, dying=True)
        assert lock is not None
        lock.close()


def test_other_stores_are_free(tmp_path: Path) -> None:
    for name in ("one", "two"):
        held, _ = hold_name(tmp_path / name)
        assert held is not None
        held.close()
    with other(tmp_path / "one", STAY):
        held, _ = hold_name(tmp_path / "two")
        assert held is not None
        held.close()


def daemon(folder: Path, run_blocking: Callable[[Callable[[], Any]], Any]) -> Daemon:
    (folder / "site.toml").write_text(SITE + f'[store]\npath = "{folder}/store"\n')

    async def open_port(_settings: Any) -> Any:
        await asyncio.sleep(10**6)

    return build(load(folder / "site.toml"), open_port, run_blocking=run_blocking)


async def directly(work: Callable[[], Any]) -> Any:
    return work()


def test_a_second_daemon_ends_at_once_and_leaves_the_first_in_peace(tmp_path: Path) -> None:
    async def story() -> None:
        first = daemon(tmp_path, directly)
        running = asyncio.ensure_future(first.run())
        await asyncio.sleep(5)
        shutil.rmtree(tmp_path / "store")
        with pytest.raises(AlreadyRunning):
            await daemon(tmp_path, directly).run()
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
        again = asyncio.ensure_future(daemon(tmp_path, directly).run())
        await asyncio.sleep(5)
        assert not again.done(), "what has ended holds nothing"
        again.cancel()
        await asyncio.wait([again])

    virtual.run(story())


def test_a_disk_that_hangs_when_the_lock_is_taken_does_not_stop_the_start(tmp_path: Path) -> None:
    calls = 0

    async def hanging(work: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(10**6)
        return work()

    async def story() -> None:
        one = daemon(tmp_path, hanging)
        running = asyncio.ensure_future(one.run())
        await asyncio.sleep(10)
        assert one.keeper.outbox.durable
        running.cancel()
        await asyncio.wait([running])

    virtual.run(story())
