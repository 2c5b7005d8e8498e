"""How the disk under the store is doing: what is written to it, and how long it takes. Pure: fed with samples.

A card wears with what is written to it, and a commit that takes longer and longer is the first sign of one that dies.
The daemon's ticker feeds a sample each second. Of several commits between two samples only the last one's time is
known; the count is exact.

Bytes: `process` is `write_bytes` less `cancelled_write_bytes` of /proc/self/io (proc(5)): pages that this process made
the kernel write, to any disk, without the file system's own journal. `disk` is what the whole device has taken, on
all partitions, from all programs and with the journal: sectors written of /sys/dev/block/*/stat, of 512 bytes each
whatever the device's own (kernel: Documentation/block/stat.rst). `flushes` of the same line are the cache flushes the
device was asked for; a durable commit needs one at least. What the card writes inside itself nobody is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

SLOW_COMMIT_S = 0.5  # a sound card takes 2 to 50 ms; beyond this an alarm waits noticeably
SAY_AGAIN_S = 86_400.0  # a card that stays slow is said once a day
HOUR_S = 3600.0
HOURS_KEPT = 168  # a week: what is usual here
RISING_HOURS = 3  # so many in a row, that one busy hour is not taken for the end of the card
USUAL_HOURS = 6  # so many before them, to know what is usual
RISING_TIMES = 3.0
RISING_LEAST_S = 0.03  # three times of nothing is nothing
COUNT_S = 60.0
MARK_S = 600.0
MARKS_KEPT = 145  # a day
DAY_S = 86_400.0
LEAST_S = 60.0  # to speak of a day
SECTOR_BYTES = 512
SECTORS_FIELD, FLUSHES_FIELD = 6, 15
SELF_IO = Path("/proc/self/io")
SYS_BLOCK = Path("/sys/dev/block")
ADVICE = "the card may be wearing out: look at dmesg, have another one ready, replace it at the next visit"


class Counters(NamedTuple):
    """What has been written so far, since the process or the machine started; None: not known here."""

    process_bytes: int | None = None
    disk_bytes: int | None = None
    flushes: int | None = None


class Sample(NamedTuple):
    """`commits` of the store in use since it was opened, `commit_s` of its last one; `durable`: it is on a disk."""

    now_s: float
    commits: int
    commit_s: float
    durable: bool


class _Mark(NamedTuple):
    now_s: float
    commits: int
    counters: Counters


class Wear:
    """Takes samples, answers how it goes. `say(about, text)` is told of a slow or slower and slower disk."""

    def __init__(self, say: Callable[[str, str], None], counters: Callable[[], Counters]) -> None:
        """`counters` reads what has been written so far; it is asked each COUNT_S."""
        self._say = say
        self._read = counters
        self.commits = 0  # on the disk, in this run
        self.slow_commits = 0
        self._seen = 0
        self._hour: deque[tuple[float, float]] = deque(maxlen=int(HOUR_S))  # (when, how long) of the last hour
        self._hours: deque[float] = deque(maxlen=HOURS_KEPT)  # median of each full hour, in seconds
        self._hour_ends_s: float | None = None
        self._marks: deque[_Mark] = deque(maxlen=MARKS_KEPT)
        self._last = _Mark(0.0, 0, Counters())
        self._now_s = 0.0
        self._counted_s = -inf
        self._said_s: dict[str, float] = {}

    def take(self, sample: Sample) -> None:
        """One sample, about once a second."""
        self._now_s = sample.now_s
        if self._hour_ends_s is None:
            self._hour_ends_s = sample.now_s + HOUR_S
        if sample.now_s >= self._counted_s + COUNT_S:
            self._count(sample.now_s)
        if not sample.durable:
            self._seen = 0  # memory wears nothing; the next store on the disk counts from its opening
            return
        new = sample.commits - self._seen if sample.commits >= self._seen else sample.commits
        self._seen = sample.commits
        if new:
            self.commits += new
            self._hour.append((sample.now_s, sample.commit_s))
            if sample.commit_s > SLOW_COMMIT_S:
                self._slow(sample.commit_s)
        if sample.now_s >= self._hour_ends_s:
            self._hour_over()

    def show(self) -> dict[str, Any]:
        """As a technician may ask for it; `over_s`: how long the figures per day were measured. JSON types only."""
        times_ms = [commit_s * 1000 for at_s, commit_s in self._hour if at_s > self._now_s - HOUR_S]
        return {
            "commits": self.commits,
            "commits_per_day": self._per_day(lambda mark: mark.commits),
            "commit_ms": {
                "median": round(median(times_ms), 1) if times_ms else None,
                "worst": round(max(times_ms), 1) if times_ms else None,
            },
            "slow_commits": self.slow_commits,
            "process_bytes_per_day": self._per_day(lambda mark: mark.counters.process_bytes),
            "disk_bytes_per_day": self._per_day(lambda mark: mark.counters.disk_bytes),
            "disk_flushes_per_day": self._per_day(lambda mark: mark.counters.flushes),
            "over_s": round(self._last.now_s - self._marks[0].now_s) if self._marks else 0,
        }

    def short(self) -> dict[str, Any]:
        """For the province, with the account: [median, worst] commit in ms, slow commits, MB written a day."""
        shown = self.show()
        process, disk = shown["process_bytes_per_day"], shown["disk_bytes_per_day"]
        return {
            "commit_ms": [shown["commit_ms"]["median"], shown["commit_ms"]["worst"]],
            "slow": self.slow_commits,
            "mb_day": [None if size is None else round(size / 1e6, 1) for size in (process, disk)],
        }

    def _count(self, now_s: float) -> None:
        self._counted_s = now_s
        self._last = _Mark(now_s, self.commits, self._read())
        if not self._marks or now_s >= self._marks[-1].now_s + MARK_S:
            self._marks.append(self._last)

    def _per_day(self, counter: Callable[[_Mark], int | None]) -> int | None:
        """A counter's growth in a day, by the last day; None where it is not known, or not for a minute yet."""
        known = [(mark.now_s, value) for mark in (*self._marks, self._last) if (value := counter(mark)) is not None]
        if not known or known[-1][0] - known[0][0] < LEAST_S:
            return None
        return round((known[-1][1] - known[0][1]) * DAY_S / (known[-1][0] - known[0][0]))

    def _slow(self, commit_s: float) -> None:
        self.slow_commits += 1
        usual_ms = median(taken_s for _, taken_s in self._hour) * 1000
        self._say_daily("slow", f"a commit took {commit_s:.1f} s, usual are {usual_ms:.0f} ms: {ADVICE}")

    def _hour_over(self) -> None:
        self._hour_ends_s = self._now_s + HOUR_S
        times_s = [commit_s for at_s, commit_s in self._hour if at_s > self._now_s - HOUR_S]
        if not times_s:
            return
        self._hours.append(median(times_s))
        hours_s = list(self._hours)
        recent_s, before_s = hours_s[-RISING_HOURS:], hours_s[:-RISING_HOURS]
        if len(before_s) < USUAL_HOURS:
            return
        usual_s, least_s = median(before_s), min(recent_s)
        if least_s > max(RISING_LEAST_S, RISING_TIMES * usual_s):
            text = f"commits take {least_s * 1000:.0f} ms and more, for {RISING_HOURS} hours; before it was"
            self._say_daily("rising", f"{text} {usual_s * 1000:.0f} ms: {ADVICE}")

    def _say_daily(self, what: str, text: str) -> None:
        if self._now_s - self._said_s.get(what, -SAY_AGAIN_S) >= SAY_AGAIN_S:
            self._said_s[what] = self._now_s
            self._say("disk", text)


def parse_self_io(text: str) -> int | None:
    """Bytes this process made the kernel write, of /proc/self/io; None when it does not say."""
    fields = dict(line.partition(": ")[::2] for line in text.splitlines())
    try:
        return int(fields["write_bytes"]) - int(fields.get("cancelled_write_bytes", "0"))
    except (KeyError, ValueError):
        return None


def parse_block_stat(text: str) -> tuple[int | None, int | None]:
    """(bytes written, flushes) of a line of /sys/dev/block/*/stat; flushes are counted since Linux 5.5."""
    fields = text.split()
    if len(fields) <= SECTORS_FIELD or not all(field.isdecimal() for field in fields):
        return None, None
    flushes = int(fields[FLUSHES_FIELD]) if len(fields) > FLUSHES_FIELD else None
    return int(fields[SECTORS_FIELD]) * SECTOR_BYTES, flushes


def read_counters(device: str) -> Counters:
    """The counters now; `device` "major:minor" of the store's disk, "" for none. Asks the kernel, never a disk."""
    process = parse_self_io(_text(SELF_IO))
    if not device:
        return Counters(process)
    block = SYS_BLOCK / device
    whole = block / ".." if (block / "partition").exists() else block  # a card wears as a whole, and flushes so
    return Counters(process, *parse_block_stat(_text(whole / "stat")))


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""


def median(numbers: Iterable[float]) -> float:
    """Of one number at least. The module `statistics` would be loaded into the daemon for this alone."""
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
