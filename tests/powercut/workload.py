"""What the recorder watches: the real store, doing everything it does, and telling its promises on the way.

    python -m tests.powercut.workload SCENARIO FOLDER

Before each step it tells {"begin": name, "how": ...}; once the step is done, {"done": what the store now holds}. From
then on that is promised. `how`:
    one    a single transaction: a cut in the middle leaves what was before, or what is after, exactly
    many   several: what is held before and after is never missing, nothing is there that is in neither, or twice
FENGSUI_SYNCHRONOUS=OFF or NORMAL spoils the store on purpose, to see that this is noticed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge import outbox as outbox_module
from edge import outbox_room, salvage_steps
from edge.contract import ClockQuality, Kind, Level
from edge.entries import NewEntry, Standing
from edge.last_good import load_or_last_good
from edge.link_memory import FileMemory
from edge.outbox import FILE_NAME, Outbox
from edge.outbox_file import PAGE_BYTES

QUOTA_BYTES = 50_000_000
SMALL_QUOTA_BYTES = 60_000
WRAP_PAGES = 24  # the log begins anew after so many pages here, so that a short recording has seen it many times
STAMP = "20261122T000000Z"
STORE = "var/store"  # neither folder is there at first
ODD_BYTES = 90  # bodies of several sizes: one page, a shared page, several pages
DIGESTS = (b"d" * 16, b"e" * 16)


def look(box: Outbox) -> dict[str, Any]:
    """Everything a store promises, as plain values. An entry is told by its body, which is given once only."""
    entries = []
    for entry in box.scan():
        epoch, _ = box.sheet(entry.sheet)
        digest = box.sheet_digest(entry.sheet)
        is_sheet = entry.kind is Kind.SHEET
        value = [int(entry.kind), entry.group, entry.readings, digest.hex() if is_sheet else "", zlib.crc32(entry.body)]
        entries.append({"value": value, "at": [entry.at_ms, int(entry.clock)], "key": [epoch, entry.wire_seq]})
    return {
        "epoch": box.epoch,
        "last_seq": box.last_seq(),
        "entries": entries,
        "limits": {limit: list(stands) for limit, stands in sorted(box.limit_levels().items())},
        "sheets": sorted(digest.hex() for _, digest in box.sheets()),
        "account": str(box.account(count_rows=True)),
        "ledger": str(sorted(box.ledger().items())),
    }


def tell(**words: object) -> None:
    """One promise, one system call."""
    os.write(1, json.dumps(words).encode() + b"\n")


class Story:
    """Does steps on a store and tells of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / STORE
        self.number = 0
        self.present = 1  # the row of the present sheet
        self.box: Outbox | None = None

    @property
    def store(self) -> Outbox:
        assert self.box is not None
        return self.box

    def step(self, name: str, work: Callable[[], object], how: str = "one", **more: object) -> None:
        tell(begin=name, how=how, **more)
        work()
        self.done()

    def done(self, **more: object) -> None:
        tell(done=self.whole() if self.store.salvaging else look(self.store), **more)

    def whole(self) -> dict[str, Any]:
        """What the store holds once all that waits is salvaged, which is promised from the beginning."""
        with tempfile.TemporaryDirectory(dir=os.environ["FENGSUI_ELSEWHERE"]) as copy:
            shutil.copytree(self.folder, copy, dirs_exist_ok=True)
            box, _ = Outbox.open(Path(copy), QUOTA_BYTES, STAMP)
            while box.salvaging:
                box.salvage_step(1.0)
            seen = look(box)
            box.close()
            return seen

    def open(self, quota_bytes: int = QUOTA_BYTES, *, distrust: bool = False) -> None:
        self.box, _ = Outbox.open(self.folder, quota_bytes, STAMP, distrust=distrust)
        spoil = os.environ.get("FENGSUI_SYNCHRONOUS")
        if spoil:
            self.box._db.execute(f"PRAGMA synchronous = {spoil}")
        self.box.set_boot(1)

    def again(self) -> None:
        self.store.close()
        self.open()

    def sheet(self, which: int = 0) -> None:
        self.present, _ = self.store.sheet_id(DIGESTS[which], self.store.epoch, b"sheet" * (1 + which))

    def entry(self, kind: Kind = Kind.ROUNDS, clock: ClockQuality = ClockQuality.FREE, size: int = 1) -> NewEntry:
        self.number += 1
        body = f"entry {self.number} ".encode() * (1 + size * (self.number % 3) * ODD_BYTES // 10)
        readings = 10 if kind is Kind.ROUNDS else 0
        return NewEntry(kind, 0, 1000 * self.number, clock, readings, body)

    def commit(self, entries: list[NewEntry], settle: int | None = None, **more: Any) -> None:
        receipts = [] if settle is None else [(self.store.epoch, 1, settle)]
        self.step("commit", lambda: self.store.commit(entries, receipts, sheet=self.present, **more))

    def fold(self) -> None:
        """The oldest rounds make room for a summary of them."""
        rounds = [entry.seq for entry in self.store.scan() if entry.kind is Kind.ROUNDS][:6]
        seq = self.store.last_seq() + 1
        summary = self.entry(Kind.SUMMARY)._replace(window_s=60, sheet=self.present)
        self.step("fold", lambda: self.store.fold(rounds, summary, seq))

    def counters(self, count: int = 100) -> None:
        """A packet counter is handed out: from its telling on it must never be handed out again."""
        first = self.store.reserve_counters(count)
        tell(counters=[self.store.epoch, first + count])


def life(folder: Path) -> None:
    """From the first start through commits, alarms, receipts, wraps of the log, a time learnt, and a second start."""
    story = Story(folder)
    story.step("open", story.open, "many")
    story.step("sheet", story.sheet)
    story.commit([NewEntry(Kind.SHEET, 0, 0, ClockQuality.FREE, 0, b"", 1)])
    for turn in range(30):
        entries = [story.entry() for _ in range(1 + turn % 4)]
        standings = []
        if turn % 5 == 2:
            entries.append(story.entry(Kind.ALARM))
            standings = [Standing("high", Level(1 + turn % 4), turn, turn)]
        settle = story.store.last_seq() - 8 if turn % 4 == 3 else None
        story.commit(entries, settle, limits=standings)
        if turn % 10 == 1:
            story.counters()
    story.step("discard", lambda: story.store.discard(story.store.last_seq()))
    story.step("second sheet", lambda: story.sheet(1))
    story.commit([story.entry(clock=ClockQuality.UNKNOWN) for _ in range(3)])
    for _ in range(3):  # step by step: a cut in between must not change what the others get
        story.step("backdate", lambda: story.store.backdate_step(1, 1_790_000_000_000, ClockQuality.TRUSTED, most=1))
    story.commit([], story.store.last_seq())
    story.step("forget sheets", lambda: story.store.forget_sheets(2))
    story.step("close", story.again)
    for _ in range(4):
        story.commit([story.entry(), story.entry(Kind.ALARM)])
        story.counters()


def quota(folder: Path) -> None:
    """A store so small that the oldest must make room all the time."""
    outbox_room.EVICT_STEP_ENTRIES = 8
    story = Story(folder)
    story.step("open", lambda: story.open(SMALL_QUOTA_BYTES), "many")
    story.step("sheet", story.sheet)
    for turn in range(28):
        entries = [story.entry(size=2) for _ in range(4)]
        story.commit([*entries, *([story.entry(Kind.ALARM)] if turn % 10 == 0 else [])])
        if turn % 7 == 6:
            story.fold()
        if turn % 15 == 14:
            story.counters()


def before(folder: Path) -> None:
    """Not recorded: a store in use, cut off without being closed."""
    story = Story(folder)
    story.folder.parent.mkdir()
    story.open()
    story.sheet()
    story.store.commit([NewEntry(Kind.SHEET, 0, 0, ClockQuality.FREE, 0, b"", 1)], sheet=1)
    for turn in range(12):
        limits = [Standing("high", Level.RED, turn, turn)]
        story.store.commit([story.entry(), story.entry(Kind.ALARM)], limits=limits, sheet=1)
    story.store.reserve_counters(100)
    tell(counters=[story.store.epoch, 100])
    os.kill(os.getpid(), 9)


def before_broken(folder: Path) -> None:
    """Not recorded: the same with a page in the middle of the file overwritten."""
    story = Story(folder)
    story.folder.parent.mkdir()
    story.open()
    story.sheet()
    for _ in range(60):
        story.store.commit([story.entry(), story.entry(Kind.ALARM)], sheet=1)
    story.store.close()
    path = story.folder / FILE_NAME
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 4 // PAGE_BYTES * PAGE_BYTES
    content[middle : middle + PAGE_BYTES] = b"\xa5" * PAGE_BYTES
    path.write_bytes(content)


def distrusted(folder: Path) -> None:
    """A store that was found damaged while it ran: put aside with its log, salvaged, and gone on with."""
    story = Story(folder)
    story.number = 1000
    story.step("put aside", lambda: story.open(distrust=True), "many")
    salvage_steps.STEP_ENTRIES = 7
    while story.store.salvaging:
        story.step("salvage", lambda: story.store.salvage_step(1.0), "many")
    story.step("sheet", lambda: story.sheet(1))
    story.commit([story.entry()])
    story.counters()


def broken(folder: Path) -> None:
    """A store that can not be read: what can be is salvaged."""
    distrusted(folder)


def restored(folder: Path) -> None:
    """A store that turns out to be an older copy of itself: a new epoch, and what is younger gets a new identity."""
    story = Story(folder)
    story.number = 1000
    story.step("open", story.open)
    story.commit([story.entry(), story.entry(Kind.ALARM), story.entry()])
    old = story.store
    young = [[old.epoch, seq] for seq in range(old.opened_seq + 1, old.last_seq() + 1)]

    def renew() -> None:
        old.renew(lambda _epoch, _seq, _bodies: (DIGESTS[1], b"sheet of the new epoch"))
        story.present = next(row for row, digest in old.sheets() if digest == DIGESTS[1])

    story.step("renew", renew, not_again=young)
    story.counters()
    story.commit([story.entry()])


def home(folder: Path) -> None:
    """What was kept in memory while the disk was broken is brought home."""
    story = Story(folder)
    story.number = 1000
    memory = Outbox.in_memory()
    memory.sheet_id(DIGESTS[1], memory.epoch, b"sheet")
    story.step("open", story.open)
    story.step("sheet", story.sheet)
    memory.commit([story.entry(), story.entry(Kind.ALARM)], limits=[Standing("low", Level.BLUE, 1, 1)], sheet=1)
    story.step("adopt", lambda: story.store.adopt(memory, 1))
    story.commit([story.entry()])


SITE = """
[gateway]
id = "g{}"
socket = "s"
[store]
path = "store"
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


def small_files(folder: Path) -> None:
    """The last good copy of the site file, changed three times, and what a link remembers."""
    state = folder / "state"
    memory = FileMemory(state / "link.beidou", _directly)
    os.environ["STATE_DIRECTORY"] = str(state)
    elsewhere = Path(os.environ["FENGSUI_ELSEWHERE"]) / "site.toml"
    for number in range(4):
        tell(saving=number)
        elsewhere.write_text(SITE.format(number))
        load_or_last_good(elsewhere).keep()
        tell(copied=number)
        asyncio.run(memory.save(f"slot {number}".encode() * (1 + 100 * (number % 2))))
        tell(saved=number)


def before_small_files(folder: Path) -> None:
    """Not recorded: the service manager has made the state folder."""
    (folder / "state").mkdir()


async def _directly(work: Callable[[], Any]) -> Any:
    return work()


SCENARIOS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None] | None]] = {
    "life": (life, None),
    "quota": (quota, None),
    "distrusted": (distrusted, before),
    "broken": (broken, before_broken),
    "restored": (restored, before),
    "home": (home, before),
    "small_files": (small_files, before_small_files),
}


def main() -> None:
    outbox_module.WAL_AUTOCHECKPOINT_PAGES = WRAP_PAGES
    name, folder, part = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    tale, earlier = SCENARIOS[name]
    if part == ["before"]:
        assert earlier is not None
        earlier(folder)
    else:
        tale(folder)


if __name__ == "__main__":
    main()
