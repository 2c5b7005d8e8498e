"""A store that is broken in every way we know: the real daemon judges and its alarm is at the province within 10 s, it
says what is wrong, it is back on the disk when it can be, and the same fault a second time does not end worse.

One site for all: between the faults it goes on living. test_bad_days and test_bad_disks tell longer stories.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim.broker import mosquitto_path
from sim.modbus import Running
from sim.rig import Rig, point_table, port_table, until

pytestmark = pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")

ALARM_S = 10.0  # promise 7: judging and alarming again after so long, whatever the disk does
QUARANTINE_KEPT = 3
LIMIT = '[[limit]]\nid = "high"\npoint = "plc.3"\nabove = { red = 3000 }\n'

SOON = "import edge.housing; edge.housing.RETRY_DISK_S = 0.5\n"  # each 10 s is too long for a test

# Root may write whatever the mode of a file says: without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (capabilities(7),
# bits 1 and 2) it is a user like the service's.
NO_OVERRIDE = """
import ctypes
libc, head, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(head, sets) == 0
sets[0] &= ~0b110
assert libc.capset(head, sets) == 0
"""

# An fsync that fails shows as a COMMIT that fails. While `flag` is there each does, on any disk; `log` tells of each
# handle whether it was the first time, or whether somebody has tried again on a handle that had failed. `happens`: what
# was to be synced is in the file all the same, and is found there when the file is opened again.
FAILING_FSYNC = """
import pathlib, sqlite3
flag, log, connect = pathlib.Path({flag!r}), pathlib.Path({log!r}), sqlite3.connect
class Faulty(sqlite3.Connection):
    failed = False
    def execute(self, sql, *rest):
        if sql in ("BEGIN IMMEDIATE", "COMMIT") and self.failed:
            with log.open("a") as out: out.write("again\\n")
        if sql == "COMMIT" and flag.exists():
            if {happens}: super().execute(sql)
            self.failed = True
            with log.open("a") as out: out.write("first\\n")
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *rest)
def faulty(path, *rest, **more):
    return connect(path, *rest, **more, **({{}} if path == ":memory:" else {{"factory": Faulty}}))
sqlite3.connect = faulty
"""


class Site:
    """A running site: its level is low unless a test says otherwise."""

    def __init__(self, rig: Rig, slaves: Running) -> None:
        self.rig = rig
        self.slaves = slaves
        self.first = SOON
        self.file = rig.store / "outbox.db"

    def start(self) -> None:
        self.rig.start_gateway(first=self.first)

    def high(self) -> float:
        """The level rises; returns the seconds until its alarm is at the province."""
        return self._level(3500, "raised")

    def low(self) -> None:
        self._level(1, "cleared")

    def _level(self, value: int, change: str) -> float:
        alarms = f"SELECT COUNT(*) FROM alarms WHERE change = '{change}'"
        before, began_s = self.rig.one(alarms), time.monotonic()
        self.slaves.command(f"set 1 holding 3 {value}")
        if not self.rig.alive("gateway"):
            self.start()
        until(f"the alarm is {change}", lambda: self.rig.one(alarms) > before, 2 * ALARM_S)
        return time.monotonic() - began_s

    def says(self, words: str) -> bool:
        """Whether the status speaks of it: in what the store is, or in the last events about it."""
        status = self.rig.ask("status")
        texts = [event["text"] for event in status["events"] if event["about"] in ("store", "disk")]
        return any(words in text for text in (*texts, status["store"]["broken"] or ""))

    def is_on_disk(self) -> bool:
        store = self.rig.ask("outbox")
        return store["broken"] is None and store["path"] == str(self.file) and store["account"]["balanced"]

    def end(self, *, hard: bool) -> None:
        """`hard` leaves a write-ahead log behind, a stop does not."""
        if hard:
            self.rig.kill("gateway")
        else:
            self.rig.stop("gateway")

    def recovers(self, words: str, mend: Callable[[], object] = lambda: None) -> None:
        """A fault is there: the alarm comes, it is said, and after `mend` the store is on the disk again."""
        took_s = self.high()
        print(f"{words}: alarm at the province after {took_s:.2f} s")
        assert took_s <= ALARM_S
        until(f"“{words}” is said", lambda: self.says(words))
        mend()
        until("it is on the disk", self.is_on_disk)
        self.low()
        assert "a fault of ours" not in self.rig.log("gateway")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Rig(tmp_path_factory.mktemp("heal")) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "100ms") + LIMIT, batch="1s")
        yield Site(rig, slaves)


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """The site with a sound store, its gateway running; the gateway is left running if it is as it began."""
    running.first = SOON
    if not running.rig.alive("gateway"):
        running.start()
        until("it runs", lambda: running.rig.asked("status"))
    yield running
    if running.first != SOON:
        running.rig.kill("gateway")


# -- the file is broken -------------------------------------------------------------------------------------------


def scribbled(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as out:
        out.seek(size // 4)
        out.write(os.urandom(size // 2))


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def another_database(file: Path) -> None:
    file.unlink()
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.executescript("CREATE TABLE entry (seq INTEGER PRIMARY KEY, name TEXT); INSERT INTO entry VALUES (1, 'x')")


def a_text(file: Path) -> None:
    file.write_text("This card belongs to the camera.\n" * 100)


@pytest.mark.parametrize("spoil", [scribbled, cut_in_half, emptied, zeroed, another_database, a_text])
def test_a_file_that_is_no_sound_store_is_put_aside(site: Site, spoil: Callable[[Path], None]) -> None:
    for hard in (True, False):  # the first time with its write-ahead log, which hides some of the damage
        site.end(hard=hard)
        spoil(site.file)
        site.recovers("" if hard else "put aside")
    assert 1 <= len(list(site.rig.store.glob("outbox.broken-*.db"))) <= QUARANTINE_KEPT


def test_a_folder_where_the_file_should_be(site: Site) -> None:
    for _ in range(2):
        site.end(hard=False)
        site.file.unlink()
        site.file.mkdir()
        site.recovers("it was moved to outbox.db.odd-")


# -- the disk is not ours -----------------------------------------------------------------------------------------


@pytest.fixture
def as_a_user(site: Site) -> Iterator[Site]:
    site.first = SOON + (NO_OVERRIDE if os.geteuid() == 0 else "")
    yield site
    site.rig.store.chmod(0o755)


def test_a_file_that_may_only_be_read(as_a_user: Site) -> None:
    site = as_a_user
    for _ in range(2):
        site.end(hard=False)
        site.file.chmod(0o444)
        site.recovers("kept in memory", lambda: site.file.chmod(0o644))


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_is_not_ours(as_a_user: Site, mode: int) -> None:
    site = as_a_user
    for _ in range(2):
        site.end(hard=False)
        site.rig.store.chmod(mode)
        site.recovers("kept in memory", lambda: site.rig.store.chmod(0o755))


def test_a_folder_that_is_gone_and_one_that_goes_while_in_use(site: Site) -> None:
    for _ in range(2):
        site.end(hard=True)
        shutil.rmtree(site.rig.store)
        site.recovers("")
        shutil.rmtree(site.rig.store)
        site.recovers("deleted or replaced while in use")


# -- the disk fails while it is in use ----------------------------------------------------------------------------


def mounted(folder: Path, *options: str) -> bool:
    return subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(site: Site) -> Iterator[Site]:
    site.end(hard=False)
    if os.geteuid() != 0 or not mounted(site.rig.store, "-t", "tmpfs", "-o", "size=1m", "small"):
        pytest.skip("NOT ROOT: no small disk to fill (test_bad_days fills a file's limit instead)")
    site.start()
    until("it is on the disk", lambda: site.rig.asked("status") and site.is_on_disk())
    yield site
    site.rig.kill("gateway")
    subprocess.run(["umount", "--lazy", str(site.rig.store)], check=True)


def test_a_disk_that_is_full(small_disk: Site) -> None:
    site, filler = small_disk, small_disk.rig.store / "somebody.log"
    assert site.says("which is memory")  # the preflight of a store on a tmpfs
    assert site.says("the quota is 200 MB")

    def fill() -> None:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
            while True:
                out.write(bytes(1024))

    for _ in range(2):
        fill()
        site.recovers("free space on that disk", filler.unlink)
    site.end(hard=True)
    fill()
    site.recovers("", filler.unlink)  # started on a full disk


def with_failing_fsync(site: Site, folder: Path, *, happens: bool) -> tuple[Path, Path]:
    """The site with a disk whose syncs fail while the first of these files is there; the second is the log."""
    flag, log = folder / "flag", folder / "log"
    site.end(hard=False)
    site.first = SOON + FAILING_FSYNC.format(flag=str(flag), log=str(log), happens=happens)
    site.start()
    until("it is on the disk", lambda: site.rig.asked("status") and site.is_on_disk())
    return flag, log


def test_an_fsync_that_fails_is_never_tried_again_on_the_same_handle(site: Site, tmp_path: Path) -> None:
    flag, log = with_failing_fsync(site, tmp_path, happens=False)

    def mend() -> None:
        tries = log.read_text().count("first")
        until("the disk is tried again", lambda: log.read_text().count("first") > tries + 1)
        flag.unlink()

    for _ in range(2):
        flag.touch()
        site.recovers("disk I/O error: the card may be dying", mend)
    assert "again" not in log.read_text()


# -- and after all of it ------------------------------------------------------------------------------------------


def readings_twice(site: Site) -> int:
    """Readings of one instant that stand at the province under two names."""
    return int(site.rig.one("SELECT COUNT(*) - COUNT(DISTINCT at_ms) FROM readings WHERE point = 'plc.0'"))


def test_after_all_of_it_nothing_is_at_the_province_twice(site: Site) -> None:
    until("it has caught up", site.rig.caught_up)
    assert site.is_on_disk()
    assert site.rig.one("SELECT COUNT(*) FROM readings WHERE point = 'plc.0'") > 100
    assert site.rig.repeated() == 0
    assert readings_twice(site) == 0


def test_a_commit_that_failed_and_happened_all_the_same_is_taken_once(site: Site, tmp_path: Path) -> None:
    """What fdatasync failed for is still in the page cache: the write-ahead log holds a whole transaction."""
    before = readings_twice(site)
    flag, _ = with_failing_fsync(site, tmp_path, happens=True)
    flag.touch()
    site.recovers("disk I/O error", flag.unlink)
    until("it has caught up", site.rig.caught_up)
    assert readings_twice(site) == before
