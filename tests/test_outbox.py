"""The durable store: what it promises, and what it does about a broken file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract import ClockQuality, Kind, Level
from edge.entries import NewEntry, Standing
from edge.errors import StoreBroken
from edge.outbox import Outbox
from edge.outbox_file import QUARANTINE_KEPT
from edge.ranges import RangeSet

QUOTA = 50_000_000
EVERYTHING = 2**62


def round_(
    at_ms: int = 1000, *, readings: int = 10, group: int = 0, clock: ClockQuality = ClockQuality.FREE
) -> NewEntry:
    return NewEntry(Kind.ROUNDS, group, at_ms, clock, readings, b"body")


def alarm() -> NewEntry:
    return NewEntry(Kind.ALARM, 0, 5, ClockQuality.FREE, 0, b"alarm")


def opened(folder: Path, quota: int = QUOTA, stamp: str = "now") -> tuple[Outbox, list[str]]:
    return Outbox.open(folder, quota, stamp)


def ready(folder: Path, quota: int = QUOTA) -> Outbox:
    box, _ = opened(folder, quota)
    box.sheet_id(b"d" * 16, box.epoch, b"sheet")
    return box


def saved_whole(box: Outbox) -> list[str]:
    """Takes over all that waits to be salvaged; what was said."""
    said = []
    while box.salvaging:
        step = box.salvage_step(1.0)
        said += [step.done] if step.done else []
    return said


def dated(box: Outbox, boot: int, offset_ms: int, quality: ClockQuality = ClockQuality.TRUSTED) -> int:
    """Dates what has no time yet; how many entries."""
    before = box.undated()
    while box.backdate_step(boot, offset_ms, quality):
        pass
    return before - box.undated()


def seqs(box: Outbox) -> list[int]:
    return [entry.seq for entry in box.scan()]


def test_what_is_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    box = ready(tmp_path / "new" / "store")
    box.commit([round_(), alarm()], sheet=1)
    epoch = box.epoch
    box.close()
    again, said = opened(tmp_path / "new" / "store")
    assert (said, again.epoch, seqs(again)) == ([], epoch, [1, 2])
    assert again.first_things() == [(2, Kind.ALARM)]


def test_a_seq_is_never_used_again_when_the_queue_empties(tmp_path: Path) -> None:
    box = ready(tmp_path)
    for expected in (1, 2, 3):
        assert box.commit([round_()], [(box.epoch, 0, EVERYTHING)], sheet=1).seqs == [expected]
        box.commit([], [(box.epoch, 0, EVERYTHING)])
    box.close()
    assert ready(tmp_path).commit([round_()], sheet=1).seqs == [4]


def test_a_receipt_of_another_epoch_settles_nothing_of_ours(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([round_()], sheet=1)
    box.commit([], [(box.epoch ^ 1, 0, EVERYTHING)])
    assert seqs(box) == [1]


def test_counters_never_repeat_over_restarts(tmp_path: Path) -> None:
    seen: list[int] = []
    for _ in range(3):
        box = ready(tmp_path)
        seen += [box.reserve_counters(10), box.reserve_counters(10)]
        box.close()
    assert seen == [0, 10, 20, 30, 40, 50]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30), st.integers(0, 10))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_the_account_balances_whatever_happens(tmp_path: Path, steps: list[tuple[int, int, int]]) -> None:
    box = Outbox.in_memory()
    box.sheet_id(b"d" * 16, box.epoch, b"sheet")
    for new, low, length in steps:
        box.commit([round_(readings=new + 1)] * new, [(box.epoch, low, low + length)], sheet=1)
        counted = box.account(count_rows=True)
        assert counted.balanced
        assert counted == box.account()


def test_the_oldest_rounds_go_when_the_quota_is_reached_alarms_stay_and_all_is_counted(tmp_path: Path) -> None:
    box = ready(tmp_path, quota=400_000)
    big = round_()._replace(body=bytes(1000))
    box.commit([alarm()], sheet=1)
    for _ in range(30):
        box.commit([big] * 50, sheet=1)
    account = box.account(count_rows=True)
    assert account.evicted_entries > 500
    assert account.balanced
    assert box.used_bytes() < 700_000
    assert box.first_things() == [(1, Kind.ALARM)]
    assert max(seqs(box)) == 1501


def test_rounds_come_oldest_first_of_one_group_within_bounds(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([round_(group=i % 2) for i in range(20)], sheet=1)
    skip = RangeSet([(1, 4)])
    assert [e.seq for e in box.rounds(skip, 1, 100, 3, 1000)] == [5, 7, 9]
    assert [e.seq for e in box.rounds(skip, 1, 100, 99, 25)] == [5, 7]
    assert [e.seq for e in box.rounds(skip, 8, 10, 99, 1000)] == [8, 10]
    assert box.rounds(RangeSet([(1, 20)]), 1, 100, 9, 99) == []


def test_rounds_without_a_time_wait_and_get_it_later(tmp_path: Path) -> None:
    box = ready(tmp_path)
    unknown = ClockQuality.UNKNOWN
    box.set_boot(1)
    box.commit([round_(10_000, clock=unknown), round_(20_000, clock=unknown)], sheet=1)
    box.set_boot(2)
    box.commit([round_(3_000, clock=unknown)], sheet=1)
    assert box.rounds(RangeSet(), 1, 9, 9, 99) == []
    assert dated(box, 2, 1_000_000) == 3
    # This boot exactly; the one before is laid to end where this one began, and marked as not so sure.
    assert [(e.at_ms, e.clock) for e in box.scan()] == [
        (990_000, ClockQuality.FREE),
        (1_000_000, ClockQuality.FREE),
        (1_003_000, ClockQuality.TRUSTED),
    ]


def test_where_limits_stand_is_kept(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([alarm()], limits=[Standing("high", Level.RED, 45, 5)], sheet=1)
    box.close()
    assert ready(tmp_path).limit_levels() == {"high": (Level.RED, 45, 5)}


@pytest.mark.parametrize(
    "damage", ["zeros at the front", "cut short", "not a database", "empty", "bytes in the middle"]
)
def test_a_broken_file_is_put_aside_what_can_be_read_is_saved_and_work_goes_on(tmp_path: Path, damage: str) -> None:
    box = ready(tmp_path)
    bodies = [os.urandom(600) for _ in range(300)]
    box.commit([round_(i)._replace(body=body) for i, body in enumerate(bodies)], sheet=1)
    box.commit([alarm()], limits=[Standing("high", Level.RED, 45, 5)], sheet=1)
    epoch = box.epoch
    box.close()
    file = tmp_path / "outbox.db"
    data = bytearray(file.read_bytes())
    if damage == "zeros at the front":
        data[:1024] = bytes(1024)
    elif damage == "cut short":
        del data[len(data) // 2 :]
    elif damage == "not a database":
        data = bytearray(b"hello" * 1000)
    elif damage == "empty":
        data = bytearray()
    else:
        page = data.index(bodies[150]) // 1024 * 1024
        data[page : page + 1024] = os.urandom(1024)
    file.write_bytes(data)

    again, said = opened(tmp_path, stamp="20260101T000000Z")
    assert "was put aside" in said[0]
    assert "kept as outbox.broken-20260101T000000Z.db" in saved_whole(again)[0]
    assert (tmp_path / "outbox.broken-20260101T000000Z.db").exists()
    assert again.epoch != epoch
    assert again.account(count_rows=True).balanced
    again.sheet_id(b"e" * 16, again.epoch, b"new")
    again.commit([round_()], sheet=again.sheet_id(b"e" * 16, again.epoch, b"new")[0])
    saved = [entry for entry in again.scan() if entry.origin_seq is not None]
    if damage in ("bytes in the middle", "zeros at the front"):
        assert len(saved) > 250
        assert Kind.ALARM in {entry.kind for entry in saved}
        assert again.sheet(saved[0].sheet)[0] == epoch
        assert again.limit_levels() == {"high": (Level.RED, 45, 5)}
    # The province's receipts for what was saved speak of the old epoch and seq.
    again.commit([], [(epoch, 0, EVERYTHING)])
    assert all(entry.origin_seq is None for entry in again.scan())


def test_old_broken_files_do_not_fill_the_disk(tmp_path: Path) -> None:
    for number in range(QUARANTINE_KEPT + 3):
        (tmp_path / "outbox.db").write_bytes(b"broken")
        box, _ = opened(tmp_path, stamp=f"2026010{number}")
        saved_whole(box)
        box.close()
    assert len(list(tmp_path.glob("outbox.broken-*.db"))) == QUARANTINE_KEPT


def test_what_memory_held_is_brought_home_once_with_its_own_identity(tmp_path: Path) -> None:
    memory = Outbox.in_memory()
    memory.sheet_id(b"m" * 16, memory.epoch, b"memory sheet")
    memory.commit([round_(), alarm()], limits=[Standing("high", Level.RED, 45, 5)], sheet=1)
    disk = ready(tmp_path)
    disk.commit([round_()], sheet=1)
    assert disk.adopt(memory, boot=1) == 2
    assert [(e.wire_seq, disk.sheet(e.sheet)[0]) for e in disk.scan()] == [
        (1, disk.epoch),
        (1, memory.epoch),
        (2, memory.epoch),
    ]
    assert disk.account(count_rows=True).balanced
    disk.commit([], [(disk.epoch, 2, 3)])
    assert seqs(disk) == [1, 2, 3], "a receipt of our own epoch does not reach what only lies under those numbers"
    assert disk.adopt(memory, boot=1) == 0, "what was taken over once is not taken over again"
    disk.commit([], [(memory.epoch, 1, 2)])
    assert seqs(disk) == [1]
    assert disk.limit_levels() == {"high": (Level.RED, 45, 5)}


def test_a_folder_that_cannot_be_is_said_with_what_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreBroken, match="is the disk full, or the folder not ours"):
        opened(tmp_path / "file" / "store")


WRITER = """
import sys
from pathlib import Path
from tests.test_outbox import ready, round_
box = ready(Path(sys.argv[1]))
while True:
    done = box.commit([round_()] * 3, sheet=1)
    print(done.seqs[-1], flush=True)
"""


def test_a_process_killed_while_it_writes_loses_nothing_it_had_told(tmp_path: Path) -> None:
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(50)]
        process.kill()
        told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        box = ready(tmp_path)
        assert set(range(1, told[-1] + 1)) <= set(seqs(box))
        assert box.account(count_rows=True).balanced
        box.close()


def test_the_file_is_opened_as_the_promise_needs_it_and_made_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        synced.append(os.path.realpath(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    box = ready(tmp_path / "store")
    settings = {name: box._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")}
    assert settings == {"synchronous": 2, "journal_mode": "wal"}
    store = tmp_path / "store"
    assert synced == [str(it) for it in (tmp_path, store, store / "outbox.new", store)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE limit_now SET level = 9",
        "UPDATE entry SET kind = 77 WHERE seq = 2",
        "UPDATE entry SET clock = 9 WHERE seq = 2",
        "UPDATE entry SET at_ms = 'x', body = 7 WHERE seq = 2",
    ],
)
def test_a_value_that_makes_no_sense_keeps_nothing_from_opening(tmp_path: Path, damage: str) -> None:
    box = ready(tmp_path)
    box.commit([round_(), round_(), alarm()], limits=[Standing("high", Level.RED, 45, 5)], sheet=1)
    box._db.execute(damage)
    box.close()
    again, _ = opened(tmp_path)
    again.limit_levels()
    again.first_things()
    again.newest_ms()
    assert again.account(count_rows=True).balanced
