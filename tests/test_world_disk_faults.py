"""The world's memory card (sim/world/disk.py): its faults, what the dead leave behind, what others see of it."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.errors import StoreBroken
from edge.link_memory import FileMemory
from edge.outbox import FILE_NAME, Outbox
from sim.virtual import run
from sim.world.disk import Disk, PowerOff

QUOTA_BYTES = 50_000_000
STAMP = "20261122T000000Z"
HOME_S = 60.0  # a keeper looks for its disk more often
COST_COMMITS = 300
COST_US = 250.0  # measured 30 on a quiet machine; a busy one must not fail for that


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "card", Random(1)) as disk:
        yield disk


def opened(disk: Disk) -> Outbox:
    return Outbox.open(disk.folder, QUOTA_BYTES, STAMP)[0]


def put(box: Outbox, *bodies: bytes) -> None:
    sheet, _ = box.sheet_id(b"d" * 16, box.epoch, b"sheet")
    box.commit([NewEntry(Kind.ALARM, 0, 1, ClockQuality.FREE, 0, body) for body in bodies], sheet=sheet)


def bodies(box: Outbox) -> list[bytes]:
    return [entry.body for entry in box.scan()]


# -- a card that fails -----------------------------------------------------------------------------------------------


def test_a_full_card_takes_nothing_that_makes_a_file_longer(disk: Disk) -> None:
    box = opened(disk)
    put(box, b"one")
    disk.full = True
    with pytest.raises(StoreBroken, match="disk is full: free space"):
        put(box, bytes(100_000))
    disk.full = False
    again = opened_again(disk, box)
    put(again, b"two")
    assert bodies(again) == [b"one", b"two"]


def opened_again(disk: Disk, box: Outbox) -> Outbox:
    """As the keeper does after a failure: another handle on the same file."""
    box.close()
    return opened(disk)


def test_a_card_that_fails_is_said_to_be_dying(disk: Disk) -> None:
    box = opened(disk)
    disk.error = 1.0
    with pytest.raises(StoreBroken, match="disk I/O error: the card may be dying"):
        put(box, b"one")
    with pytest.raises(StoreBroken, match="Input/output error"):  # the folder's sync, before SQLite has its turn
        opened_again(disk, box)
    disk.error = 0.0
    put(opened(disk), b"two")


def test_a_card_that_fails_now_and_then_keeps_what_it_confirmed(tmp_path: Path) -> None:
    """A sync that failed is no promise; what comes after it, on a new handle, is one again, power cut or not."""
    failed = 0
    for seed in range(30):
        with Disk(tmp_path / str(seed), Random(seed)) as disk:
            box, kept, doubtful = opened(disk), [], []
            for number in range(40):
                disk.error = 0.02
                body = f"{seed}/{number}".encode() * 30
                try:
                    put(box, body)
                    kept.append(body)
                except StoreBroken:
                    failed += 1
                    doubtful.append(body)
                    disk.error = 1.0  # it still fails when the handle is closed: what is in its log stays in the log
                    box.close()
                    disk.error = 0.0
                    box = opened(disk)
            disk.error = 0.0
            disk.cut()
            disk.revive()
            assert [body for body in bodies(opened(disk)) if body not in doubtful] == kept
    assert failed > 30


def test_a_card_that_is_read_only_is_said_to_be(disk: Disk) -> None:
    box = opened(disk)
    put(box, b"one")
    disk.read_only = True
    with pytest.raises(StoreBroken, match="disk I/O error"):  # the kernel's word, while the file is open
        put(box, b"two")
    with pytest.raises(StoreBroken, match="disk I/O error"):  # it can not be locked: so on a real read-only mount
        opened_again(disk, box)
    disk.read_only = False
    assert bodies(opened(disk)) == [b"one"]


def test_no_store_can_be_made_on_a_card_that_is_read_only(disk: Disk) -> None:
    disk.read_only = True
    with pytest.raises(StoreBroken, match="may this user write there"):
        opened(disk)


def test_a_sync_that_fails_is_seen_by_plain_files_too(disk: Disk) -> None:
    async def save(data: bytes) -> bool:
        return await FileMemory(disk.folder / "link.sky", disk.blocking).save(data)

    assert run(save(b"one"))
    disk.error = 1.0
    assert not run(save(b"two"))
    assert (disk.folder / "link.sky").read_bytes() == b"one"


def test_damage_changes_some_bytes_in_one_place(disk: Disk) -> None:
    box = opened(disk)
    put(box, b"one" * 1000)
    box.close()
    before = (disk.folder / FILE_NAME).read_bytes()
    disk.damage(FILE_NAME, 100)
    after = (disk.folder / FILE_NAME).read_bytes()
    changed = [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert 0 < changed[-1] - changed[0] + 1 <= 100
    disk.damage("nothing.db", 100)
    disk.cut()
    assert (disk.folder / FILE_NAME).read_bytes() == after


# -- the dead --------------------------------------------------------------------------------------------------------


def test_after_a_kill_all_is_there_and_after_a_cut_only_what_was_synced(tmp_path: Path) -> None:
    lost = 0
    for seed in range(20):
        with Disk(tmp_path / str(seed), Random(seed)) as disk:
            box = opened(disk)
            box._db.execute("PRAGMA synchronous = OFF")
            put(box, b"one")
            disk.kill()
            seen = shutil.copytree(disk.folder, tmp_path / f"seen-{seed}")
            assert bodies(Outbox.open(seen, QUOTA_BYTES, STAMP)[0]) == [b"one"]  # it was not synced, and is still not
            disk.cut()
            disk.revive()
            lost += bodies(opened(disk)) != [b"one"]
    assert 0 < lost < 20


def test_the_dead_can_do_nothing_to_what_the_living_have(disk: Disk) -> None:
    dead = opened(disk)
    put(dead, b"one")
    disk.kill()
    disk.revive()
    living = opened(disk)  # the dead one's lock is gone with it
    put(living, b"two")
    with pytest.raises(StoreBroken):
        put(dead, b"three")
    dead.close()
    del dead
    gc.collect()
    put(living, b"four")
    assert (disk.folder / f"{FILE_NAME}-wal").exists()
    disk.cut()
    disk.revive()
    assert bodies(opened(disk)) == [b"one", b"two", b"four"]


def test_nothing_can_be_opened_while_there_is_no_power(disk: Disk) -> None:
    opened(disk)
    disk.cut()
    with pytest.raises((StoreBroken, PowerOff)):
        opened(disk)
    disk.revive()
    opened(disk)


def test_disks_one_after_another_and_two_at_once(tmp_path: Path) -> None:
    for turn in range(3):
        with Disk(tmp_path / f"{turn}a", Random(1)) as one, Disk(tmp_path / f"{turn}b", Random(2)) as other:
            boxes = opened(one), opened(other)
            for box in boxes:
                put(box, b"one")
            one.cut()
            put(boxes[1], b"two")
            assert bodies(boxes[1]) == [b"one", b"two"]
            one.revive()
            assert bodies(opened(one)) == [b"one"]
    assert os.fsync.__module__ == "posix"
    box, said = Outbox.open(tmp_path / "2b", QUOTA_BYTES, STAMP)
    assert bodies(box) == [b"one", b"two"]
    assert not said


def test_files_elsewhere_are_nobodys_business(tmp_path: Path, disk: Disk) -> None:
    """Also to another thread, through cuts."""
    path, failures, stop = tmp_path / "elsewhere.db", [], threading.Event()

    def work() -> None:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (n INTEGER)")
        number = 0
        while not stop.is_set():
            number += 1
            db.execute("INSERT INTO t VALUES (?)", (number,))
            if db.execute("SELECT COUNT(*) FROM t").fetchone()[0] != number:
                failures.append(number)
        db.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for turn in range(10):
            put(opened(disk), str(turn).encode())
            disk.cut()
            disk.revive()
    finally:
        stop.set()
        thread.join()
    assert not failures
    assert bodies(opened(disk)) == [str(turn).encode() for turn in range(10)]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_an_interpreter_that_ends_with_files_open_ends_well(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from random import Random
        from edge.outbox import Outbox
        from sim.world.disk import Disk
        disk = Disk(Path(sys.argv[1]), Random(1))
        disk.install()
        kept = []
        for _ in range(3):
            kept.append(Outbox.open(disk.folder, 10**7, "x")[0])
            kept[-1].reserve_counters(10)
            disk.kill()
            disk.revive()
        kept.append(Outbox.open(disk.folder, 10**7, "x")[0])
        print(kept[-1].reserve_counters(10))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "30\n", "")
    assert Outbox.open(tmp_path, QUOTA_BYTES, STAMP)[0].reserve_counters(1) == 40
