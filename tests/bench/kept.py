"""The store itself: a month without any link, intake, a million entries held, bytes to the disk.

The store, its folding and its keeper are the real ones, fed with recorded series; nothing is sent. The month is driven
with commits of ten minutes and without waiting for the disk; everything else waits for it (synchronous FULL). Disk
bytes are those that reach a loop device with ext4 on it, the journal included, where this machine lets root make one;
else write_bytes of /proc/self/io, without the journal.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Of, Quality, Round, Rule
from edge.entries import Commit, NewEntry, Rows
from edge.fold import FOLD_AT, Folder
from edge.limit_memory import FILE, SAVE_EVERY_S
from edge.limit_state import save
from edge.limit_tail import Tail
from edge.limits import Limit, Limits
from edge.measure_nouns import Spec
from edge.outbox import Outbox
from edge.packing import alarm_entry, round_entry, row_of, summaries_of
from edge.ranges import RangeSet
from edge.wire.sheet import Sheet, SheetGroup, SheetPoint
from sim.series import load
from tests.bench.figure import Figure, at_most, percentile, plain
from tests.bench.scratch import folder, say
from tests.bench.workload import REAL10, SERIES

WIDTH = 40
EVERY_MS = 10_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
T0_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
DAYS = 30
QUOTAS_MB = (64, 8)
A_COMMIT = 60
MILLION = 1_000_000
INGEST_WIDTH, INGEST_ROUNDS, INGEST_S = 100, 500, 40
INGEST_EVERY_MS = 240  # windows are over, so that it can be folded
INGEST_QUOTA_BYTES = 3_000_000  # full after a third of them
DISK_ROUNDS, WARM_UP = 3000, 600
OPEN_S, RSS_MB, PLAN_MS = 1.5, 10.0, 5.0
INGEST_READINGS_S = 50_000.0
DISK_BYTES, DISK_60S_BYTES = 500.0, 100.0
LOOP_MB = 128
BLOCK_BYTES = 4096  # as on a card of any size; mkfs would take 1024 for so small an image
SECTOR_BYTES = 512  # in /sys/block, whatever the disk's own (kernel, Documentation/block/stat)


def run() -> Iterator[Figure]:
    """The figures of this part."""
    for quota_mb in QUOTAS_MB:
        with folder("month") as path:
            yield from _month(path, quota_mb * 1_000_000)
    with folder("ingest") as path:
        yield _ingest(path)
    with folder("million") as path:
        yield from _million(path)
    yield _disk(1, "one commit a round", DISK_BYTES)
    yield _disk(1, "one commit a round, each point judged over a day", DISK_BYTES, judged=True)
    yield _disk(6, 'commit_every = "60s"', DISK_60S_BYTES)


# -- a month in the dark ---------------------------------------------------------------------------------------------


class Month:
    """A store that is fed and folds, and what was fed to it."""

    def __init__(self, path: Path, quota_bytes: int, width: int = WIDTH, every_ms: int = EVERY_MS) -> None:
        self.box, _ = Outbox.open(path, quota_bytes, "bench")
        self.file = path / "outbox.db"
        points = tuple(SheetPoint(f"p{i}", "m", Decimal("0.01"), None, None) for i in range(width))
        self.sheet = Sheet("bench", self.box.epoch, 1, T0_MS, (SheetGroup(every_ms, points),))
        self.row, _ = self.box.sheet_id(self.sheet.digest, self.box.epoch, self.sheet.encode())
        self.folder = Folder(self.row)
        self.series = [load(SERIES / f"{name}.csv") for name in REAL10]
        self.every_ms, self.width = every_ms, width
        self.steps_s: list[float] = []
        self.most_bytes = 0
        self.hours: dict[int, list[tuple[int, int, int]]] = {}  # hour -> (least, greatest, how many) of each point

    def values(self, number: int) -> tuple[int, ...]:
        return tuple(self.series[i % len(self.series)].count(number + 1171 * i) for i in range(self.width))

    def round(self, number: int) -> NewEntry:
        at_ms = T0_MS + number * self.every_ms
        values = self.values(number)
        before = self.hours.get(at_ms // HOUR_MS)
        cells = (
            [(v, v, 1) for v in values]
            if before is None
            else [_with(c, v) for c, v in zip(before, values, strict=True)]
        )
        self.hours[at_ms // HOUR_MS] = cells
        return round_entry(Round(0, at_ms, values, b"", ClockQuality.TRUSTED))

    def fold(self, done: Commit | None) -> None:
        while done is not None and done.used_bytes > FOLD_AT * self.box.quota_bytes:
            began_s = time.perf_counter()
            done = self.folder.step(self.box, RangeSet())
            self.steps_s.append(time.perf_counter() - began_s)
        self.most_bytes = max(self.most_bytes, self.file.stat().st_size)

    def told(self) -> dict[int, list[tuple[int, int, int]]]:
        """The same as `hours`, of what is held."""
        found: dict[int, list[tuple[int, int, int]]] = {}
        for held in self.box.scan():
            if held.kind is Kind.ROUNDS:
                cells = [(v or 0, v or 0, 1) for v in row_of(held, self.width).values]
                _join(found, held.at_ms // HOUR_MS, cells)
            elif held.kind is Kind.SUMMARY:
                for window in summaries_of(held, self.sheet).windows:
                    three = zip(window.minimum, window.maximum, window.counts, strict=True)
                    _join(found, window.start_ms // HOUR_MS, [(low or 0, high or 0, n) for low, high, n in three])
        return found


def _with(cell: tuple[int, int, int], value: int) -> tuple[int, int, int]:
    low, high, count = cell
    return min(low, value), max(high, value), count + 1


def _join(found: dict[int, list[tuple[int, int, int]]], hour: int, cells: list[tuple[int, int, int]]) -> None:
    before = found.get(hour)
    if before is not None:
        both = zip(before, cells, strict=True)
        cells = [b if not c[2] else c if not b[2] else (min(b[0], c[0]), max(b[1], c[1]), b[2] + c[2]) for b, c in both]
    found[hour] = cells


def _month(path: Path, quota_bytes: int) -> Iterator[Figure]:
    month = Month(path, quota_bytes)
    month.box._db.execute("PRAGMA synchronous = OFF")
    alarm = Alarm("high", "p0", Level.RED, Change.RAISED, Rule.ABOVE, 5, 4, T0_MS, ClockQuality.TRUSTED)
    raised = 0
    for start in range(0, DAYS * DAY_MS // EVERY_MS, A_COMMIT):
        entries = [month.round(number) for number in range(start, start + A_COMMIT)]
        if start * EVERY_MS % HOUR_MS == 0:
            raised += 1
            entries.append(alarm_entry(alarm))
        month.fold(month.box.commit(entries, sheet=month.row))
    account = month.box.account(count_rows=True)
    held = sum(tally.held for tally in month.box.ledger().values())
    rounds = sum(held.kind is Kind.ROUNDS for held in month.box.scan())
    told = month.told()
    wrong = [hour for hour, cells in month.hours.items() if told.get(hour) != cells]
    quota = f"{quota_bytes / 1e6:.0f} MB"
    what = f"{DAYS} days without a link, {WIDTH} points every {EVERY_MS // 1000} s, quota {quota}"
    alarms = sum(kind is Kind.ALARM for _, kind in month.box.first_things())
    lost = len(wrong) + (raised - alarms) + (not account.balanced) + abs(held - rounds) + account.evicted_entries
    levels = ", ".join(f"{size / 1e6:.1f} MB of {level or 'raw'}" for level, size in sorted(month.box.levels().items()))
    how = f"hours of {WIDTH} points compared with what was fed; {alarms} alarms; {account.folded_readings} of "
    how += f"{account.taken_readings} readings folded; held: {levels}"
    yield Figure(f"{what}: wrong", str(lost), "0", lost == 0, how)
    yield at_most(
        f"... file, quota {quota}", month.most_bytes / 1e6, quota_bytes / 1e6, "MB", "the largest it ever was"
    )
    if month.steps_s:
        steps_ms = [step * 1000 for step in month.steps_s]
        words = f"{percentile(steps_ms, 0.5):.0f} ms, p99 {percentile(steps_ms, 0.99):.0f} ms"
        yield plain(f"... one step of folding, quota {quota}", words, f"{len(steps_ms)} steps")
    month.box.close()


# -- intake, a million entries, the disk -----------------------------------------------------------------------------


def _ingest(path: Path) -> Figure:
    """Rounds as the daemon makes them, a second's worth in one durable commit, until the store has to fold as well."""
    month = Month(path, INGEST_QUOTA_BYTES, INGEST_WIDTH, INGEST_EVERY_MS)
    spent_s = 0.0
    for second in range(INGEST_S):
        numbers = range(second * INGEST_ROUNDS, (second + 1) * INGEST_ROUNDS)
        rounds = [Round(0, T0_MS + INGEST_EVERY_MS * n, month.values(n), b"") for n in numbers]
        began_s = time.perf_counter()
        month.fold(month.box.commit([round_entry(one) for one in rounds], sheet=month.row))
        spent_s += time.perf_counter() - began_s
    rate = INGEST_S * INGEST_ROUNDS * INGEST_WIDTH / spent_s
    account = month.box.account()
    how = f"{INGEST_S} commits of {INGEST_ROUNDS} rounds of {INGEST_WIDTH}, each on the disk; "
    how += f"{account.folded_readings} readings of them folded in the same time, {account.evicted_readings} evicted"
    met = rate >= INGEST_READINGS_S and not account.evicted_entries
    return Figure("intake, durable", f"{rate:.0f} readings/s", f">= {INGEST_READINGS_S:.0f}", met, how)


def _million(path: Path) -> Iterator[Figure]:
    month = Month(path, 1_000_000_000, 10, 1000)
    for start in range(0, MILLION, 5000):
        entries = [round_entry(Round(0, T0_MS + 1000 * n, month.values(n), b"")) for n in range(start, start + 5000)]
        month.box.commit(entries, sheet=month.row)
    month.box.close()
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(path)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    open_s, rss_mb, plan_ms, packed_ms = map(float, done.stdout.split())
    how = f"a store of {MILLION} rounds of 10 points, opened by a process of its own, as the keeper does at its start"
    yield at_most("open a store of 10^6 entries", open_s, OPEN_S, "s", how)
    how = "RSS of that process, before and after: opened, the first 20 packets packed"
    yield at_most("... memory it takes", rss_mb, RSS_MB, "MB", how)
    how = f"which rounds are next, with 16 packets on the way: worst of 20; packing them takes {packed_ms:.0f} ms more"
    yield at_most("... next packet planned", plan_ms, PLAN_MS, "ms", how)


OPENED = """
import sys, time
from pathlib import Path
from edge.outbox import Outbox
from edge.packing import MOST_READINGS, MOST_ROWS, Packer
from edge.ranges import RangeSet
from tests.bench.kept import rss_mb
before = rss_mb()
began_s = time.perf_counter()
box, said = Outbox.open(Path(sys.argv[1]), 1_000_000_000, "bench")
assert not said
box.limit_levels(), box.newest_ms(), box.sheet_bodies(), box.forget_sheets(1), box.first_things(), box.last_seq()
box.account(), box.span(), box.oldest_ms(), box.undated()
open_s = time.perf_counter() - began_s
packer, on_way, plan_s, pack_s = Packer(), RangeSet(), 0.0, 0.0
for _ in range(20):
    began_s = time.perf_counter()
    box.rounds(on_way, 1, box.last_seq(), MOST_ROWS, MOST_READINGS)
    plan_s = max(plan_s, time.perf_counter() - began_s)
    began_s = time.perf_counter()
    packed = packer.rounds(box, on_way, 1, box.last_seq(), 4096)
    pack_s = max(pack_s, time.perf_counter() - began_s)
    for low, high in packed.ranges:
        on_way.add(low, high)
print(open_s, rss_mb() - before, plan_s * 1000, pack_s * 1000)
"""


def rss_mb() -> float:
    """Of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _disk(rounds_a_commit: int, words: str, target: float, *, judged: bool = False) -> Figure:
    """Bytes that reach the disk, for each reading of WIDTH points every 10 s."""
    with folder("disk") as path, _ext4(path) as disk:
        month = Month(disk.path / "store", 200_000_000)
        told = Told(disk.path / "store") if judged else None
        number = 0
        for rounds, measured in ((WARM_UP, False), (DISK_ROUNDS, True)):
            disk.begin()
            for start in range(number, number + rounds, rounds_a_commit):
                tail = told.of(month.values(start), start * EVERY_MS / 1000) if told else Rows()
                entries = [month.round(n) for n in range(start, start + rounds_a_commit)]
                month.box.commit(entries, sheet=month.row, tail=tail)
            number += rounds
            if measured:
                written = disk.written()
        month.box.close()
    per = written / DISK_ROUNDS / WIDTH
    how = f"{DISK_ROUNDS} rounds of {WIDTH} points; {disk.how}"
    return at_most(f"disk bytes per reading, {WIDTH} points every 10 s, {words}", per, target, "bytes", how)


class Told:
    """What limits are told, and the file of all that they know, as edge/limit_memory.py keeps both."""

    def __init__(self, path: Path) -> None:
        mean = Spec(Of.MEAN, EVERY_MS / 1000, "m", Decimal("0.01"), DAY_MS // 1000)
        never = ((Level.RED, 10**9),)
        self.limits = Limits([Limit(f"m{i}", f"p{i}", Rule.ABOVE, never, spec=mean) for i in range(WIDTH)], 0.0)
        self.tail = Tail(self.limits, lambda: [1, 0.0, T0_MS, 0, 0.0])
        self.file = path / FILE
        self.saved_s = 0.0

    def of(self, values: tuple[int, ...], now_s: float) -> Rows:
        for number, value in enumerate(values):
            self.limits.judge(f"p{number}", value, Quality.GOOD, now_s)
            self.tail.note(f"p{number}", value, Quality.GOOD, now_s)
        if now_s >= self.saved_s + SAVE_EVERY_S:
            self.tail.in_file(self.tail.close(), now_s)
            self.saved_s = now_s
            with self.file.open("wb") as file:
                file.write(zlib.compress(save(self.limits, now_s), 1))
                file.flush()
                os.fsync(file.fileno())
        rows = self.tail.rows()
        self.tail.written(rows)
        return rows


class Disk:
    """Where a store may lie, and what is written there. `device`: its statistics in /sys; "" for the process's own."""

    def __init__(self, path: Path, device: str) -> None:
        self.path = path
        self._device = device
        self._before = 0

    @property
    def how(self) -> str:
        if self._device:
            return "sectors written to a loop device with ext4 (data=ordered, 4096), its journal and metadata included"
        return "write_bytes of /proc/self/io: WITHOUT the journal of the file system"

    def begin(self) -> None:
        self._before = self._now()

    def written(self) -> int:
        return self._now() - self._before

    def _now(self) -> int:
        if self._device:
            os.sync()
            return int(Path(f"/sys/block/{self._device}/stat").read_text().split()[6]) * SECTOR_BYTES
        io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(io["write_bytes"])


@contextlib.contextmanager
def _ext4(path: Path) -> Iterator[Disk]:
    """An ext4 file system in a file, mounted; the folder itself where that is not allowed."""
    image, mount = path / "image", path / "mount"
    device = ""
    try:
        with image.open("wb") as file:
            file.truncate(LOOP_MB << 20)
        mount.mkdir()
        _tool("mkfs.ext4", "-q", "-b", str(BLOCK_BYTES), str(image))
        device = _tool("losetup", "-f", "--show", str(image)).strip()
        _tool("mount", device, str(mount))
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"no loop device ({error}): measured without the journal")
        if device:
            subprocess.run(["losetup", "-d", device], check=False)
        yield Disk(path, "")
        return
    try:
        yield Disk(mount, Path(device).name)
    finally:
        subprocess.run(["umount", str(mount)], check=False)
        subprocess.run(["losetup", "-d", device], check=False)


def _tool(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
