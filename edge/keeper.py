"""The outbox as the running daemon sees it: takes entries as they come, commits them together, survives its disk.

Rounds wait for the next commit, `commit_every_s` at most; alarms are committed at once, with everything that waits.
Receipts ride along. All disk work is done by `run_blocking`, one call at a time.

When the disk can not be written, entries go to a store in memory (bounded, said once, status tells), and every
RETRY_DISK_S the disk is tried again; what memory held is then brought home with its own epoch and seq, so nothing
arrives twice. Nothing that a commit has returned is ever handed to the memory store's mercy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from edge.contract import ClockQuality, Kind
from edge.diskwork import HANGING_MOST, DiskWork
from edge.entries import Account, Commit, NewEntry, SheetNow, Standing
from edge.errors import StoreBroken
from edge.filling import Filling
from edge.fold import FOLD_AT, Folder, retold
from edge.outbox import FILE_NAME, Outbox
from edge.ranges import RangeSet
from edge.salvage import peek

P = ParamSpec("P")
T = TypeVar("T")
RunBlocking = Callable[[Callable[[], T]], Awaitable[T]]

RETRY_DISK_S = 10.0
LONGEST_RETRY_DISK_S = 300.0  # a disk that fails again as soon as it is back (full to the brim) is left alone longer
STEADY_DISK_S = 120.0
RIDE_WAIT_S = 5.0  # a receipt lost with the power costs one repeat, which is dropped; a commit wears the card
FOLD_STEPS = 8  # after one commit: 160 000 readings, more than a second brings; an alarm waits for one at most
FOLD_AGAIN_S = 10.0  # when nothing could be folded
PENDING_MOST = 20_000  # rounds waiting for a commit while the disk is slow or gone; beyond it the oldest are dropped


MakeSheet = Callable[[int, int, list[bytes]], tuple[bytes, bytes]]
"""(epoch, next seq, bodies of sheets the store has) -> (digest, body): an old one when it still says the same."""


class Keeper:
    """The one owner of the store. `committed` is told (entries with their seq, what it did) after each commit."""

    def __init__(
        self,
        folder: Path,
        quota_bytes: int,
        commit_every_s: float,
        run_blocking: Callable[[Callable[[], object]], Awaitable[object]],
        make_sheet: MakeSheet,
        say: Callable[[str, str], None],
        stamp: Callable[[], str],
        boot: int,
        abandon: Callable[[], None] = lambda: None,
    ) -> None:
        """`abandon`: the thread of `run_blocking` hangs; the next call is to be made on another."""
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._commit_every_s = commit_every_s
        self._disk = DiskWork(str(folder), run_blocking, abandon)
        self._make_sheet = make_sheet
        self._say = say
        self._stamp = stamp
        self._boot = boot
        self._pending: list[NewEntry] = []
        self._receipts: list[tuple[int, int, int]] = []
        self._standings: list[Standing] = []
        self._lock = asyncio.Lock()
        self._woken = asyncio.Event()
        self._last_flush_s = -inf
        self._riding: list[NewEntry] = []
        self._riding_since_s = inf
        self._outbox: Outbox | None = None
        self.sheet = SheetNow(0, 0, b"")
        self.standings: list[Standing] = []  # where the limits stood when the store was opened
        self.newest_ms = 0  # the newest time it knew then
        self.sent = RangeSet()  # what was ever handed to a link in this run, of the present store
        self.renewed_s = -inf
        self._retry_s = RETRY_DISK_S
        self._doubtful: tuple[int, int] | None = None  # (epoch, last seq before it) of a commit that failed
        self._home_s = -inf  # when the disk was last back
        self._damaged = False  # the file itself, not the disk: it is to be put aside when the disk is tried again
        self._evicting = self._folding = False
        self._ladder = Folder(0)
        self._fold_at_s = -inf
        self._full = False  # as of the last commit
        self.filling = Filling()
        self.on_way: Callable[[], RangeSet] = RangeSet  # what waits for its receipt
        self.broken: str | None = None  # why the disk is not used, while it is not
        self.dropped = 0  # rounds that could not even wait for a commit
        self.committed: Callable[[Sequence[tuple[int, NewEntry]], Commit], None] = lambda _entries, _commit: None
        self.switched: Callable[[], None] = lambda: None

    @property
    def hangs(self) -> bool:
        """Whether a call to the disk has been left behind."""
        return self._disk.hanging > 0

    @property
    def outbox(self) -> Outbox:
        if self._outbox is None:
            raise StoreBroken(str(self._folder), "not open yet")
        return self._outbox

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens the store, in memory if it must be. Never raises for what is wrong with a disk."""
        path = self._folder / FILE_NAME
        try:
            box = await self._open()
            levels, self.newest_ms = await self._disk.do(lambda: (box.limit_levels(), box.newest_ms()), box)
            self.standings = [Standing(limit, level, value, at_ms) for limit, (level, value, at_ms) in levels.items()]
            await self._use(box)
            self.switched()
        except StoreBroken as error:
            await self._fall_back(error)
            with contextlib.suppress(StoreBroken):
                self.standings, self.newest_ms = await self._disk.do(lambda: peek(path))

    async def run(self) -> None:
        """Commits what waits; tries the disk again while it is broken. Runs until cancelled.

        An entry is committed at once if the last commit is `commit_every_s` ago, else when it is: commits are that
        far apart, and no entry waits longer. What can wait for company (receipts, status) does so for RIDE_WAIT_S.
        """
        loop = asyncio.get_running_loop()
        retry_at_s = loop.time() + RETRY_DISK_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(self._due_s(), retry_at_s)):
                    await self._woken.wait()
            self._woken.clear()
            if loop.time() >= self._due_s():
                await self._flush()
            await self._fold()
            if loop.time() >= retry_at_s:
                if self.broken is not None and self._disk.hanging < HANGING_MOST:
                    await self._come_home()
                elif self.broken is None:
                    await self._stay_in_place()
                retry_at_s = loop.time() + self._retry_s

    def _due_s(self) -> float:
        """When the next commit is due."""
        next_s = self._last_flush_s + self._commit_every_s
        return next_s if self._pending else max(next_s, self._riding_since_s + RIDE_WAIT_S)

    async def stop(self) -> None:
        """Commits what waits and closes the file."""
        await self._flush()
        async with self._lock:
            if self._outbox is not None:
                with contextlib.suppress(StoreBroken):
                    await self._disk.do(self._outbox.close)

    # -- taking --------------------------------------------------------------------------------------------------

    def take(self, entry: NewEntry) -> None:
        """Takes an entry for the next commit."""
        if len(self._pending) >= PENDING_MOST:
            if not self.dropped:
                self._say("store", f"more than {PENDING_MOST} entries wait for the disk: the oldest are dropped")
            oldest = next((place for place, held in enumerate(self._pending) if held.kind is Kind.ROUNDS), None)
            if oldest is not None:
                self.dropped += 1
                del self._pending[oldest]
        self._pending.append(entry)
        self._woken.set()

    async def take_now(self, entries: Sequence[NewEntry], standings: Sequence[Standing] = ()) -> None:
        """Takes entries and returns when they are committed, with everything that waited."""
        self._pending.extend(entries)
        self._standings.extend(standings)
        await self._flush()

    def ride(self, entry: NewEntry) -> None:
        """Takes an entry that has time: it goes with the next commit, or after RIDE_WAIT_S."""
        self._riding.append(entry)
        self._ride()

    def settle(self, epoch: int, low: int, high: int) -> None:
        """The province has stored `low`..`high` of `epoch`: they leave with the next commit, or after RIDE_WAIT_S."""
        self._receipts.append((epoch, low, high))
        self._ride()

    async def renew(self, epoch: int) -> None:
        """The province has entries of store `epoch` that it never gave: it is an older copy (a restored card).

        Seqs, and packet counters, would be given twice and readings dropped as repeats: a new epoch begins.
        """
        async with self._lock:
            old = self.outbox
            if old.epoch != epoch or not old.durable:
                return
            try:
                kept = await self._disk.do(lambda: old.renew(self._make_sheet, retold), old)
                await self._use(old)
            except StoreBroken as error:
                await self._fall_back(error)
                return
            self._receipts.clear()
            self._say(
                "store",
                f"is an older copy of itself (a restored or cloned card?): a new epoch begins, {kept} entries are kept",
            )
            self.switched()

    def _ride(self) -> None:
        if self._riding_since_s == inf:
            self._riding_since_s = asyncio.get_running_loop().time()
            self._woken.set()

    async def call(self, work: Callable[Concatenate[Outbox, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Does `work(outbox, ...)` on the store's thread. On StoreBroken falls back to memory, then raises it."""
        async with self._lock:
            outbox = self.outbox
            try:
                return await self._disk.do(lambda: work(outbox, *args, **kwargs), outbox)
            except StoreBroken as error:
                await self._fall_back(error)
                raise

    def account(self) -> Account:
        """The account as of the last commit (blocking, but a single row)."""
        return self.outbox.account()

    # -- inside --------------------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        """Commits what waits. Once begun it goes to its end, also when who asked for it is cancelled: what the thread
        is committing must not be taken for uncommitted."""
        task = asyncio.ensure_future(self._flush_now())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise

    async def _flush_now(self) -> None:
        async with self._lock:
            self._last_flush_s = asyncio.get_running_loop().time()
            self._riding_since_s = inf
            self._pending += self._riding
            self._riding = []
            if self._pending or self._receipts:
                await self._write()

    async def _write(self) -> None:
        entries, receipts, standings = self._pending, self._receipts, self._standings
        self._pending, self._receipts, self._standings = [], [], []
        outbox = self.outbox
        try:
            done = await self._disk.do(lambda: outbox.commit(entries, receipts, standings, self.sheet.id), outbox)
        except StoreBroken as error:
            # As far as anybody was told, nothing of it has happened. Sheet rows mean nothing in another store: all
            # entries take the present one.
            if outbox.durable and entries:
                self._doubtful = (outbox.epoch, outbox.good_seq)
            self._put_back([entry._replace(sheet=0) for entry in entries], receipts, standings)
            await self._fall_back(error)
            if outbox.durable:
                await self._write()
            return
        except BaseException:
            self._put_back(entries, receipts, standings)
            raise
        if done.evicted and not self._evicting:
            self._say("store", "is full: the oldest readings make room (fengsui outbox counts them)")
        self._evicting = bool(done.evicted)
        self._note(done, outbox)
        self.committed(list(zip(done.seqs, entries, strict=True)), done)

    def _note(self, done: Commit, outbox: Outbox) -> None:
        self._full = done.used_bytes > FOLD_AT * outbox.quota_bytes
        self.filling.note(asyncio.get_running_loop().time(), done.used_bytes)

    async def _fold(self) -> None:
        """Folds the oldest, a bounded number of steps, while the store is nearly full. Each step lets others in."""
        for _ in range(FOLD_STEPS):
            if not self._full or asyncio.get_running_loop().time() < self._fold_at_s:
                return
            async with self._lock:
                await self._fold_once(self.outbox, self.on_way())

    async def _fold_once(self, outbox: Outbox, on_way: RangeSet) -> None:
        try:
            done = await self._disk.do(lambda: self._ladder.step(outbox, on_way), outbox)
        except StoreBroken as error:
            await self._fall_back(error)
            return
        if done is None:
            self._full, self._fold_at_s = False, asyncio.get_running_loop().time() + FOLD_AGAIN_S
            return
        if not self._folding:
            self._say("store", "is nearly full: the oldest readings become summaries (least, mean, greatest)")
        self._folding = True
        self._note(done, outbox)
        self.committed(done.made, done)

    def _put_back(
        self, entries: list[NewEntry], receipts: list[tuple[int, int, int]], standings: list[Standing]
    ) -> None:
        self._pending = entries + self._pending
        self._receipts = receipts + self._receipts
        self._standings = standings + self._standings

    async def _open(self) -> Outbox:
        folder, quota_bytes, stamp, distrust = self._folder, self._quota_bytes, self._stamp(), self._damaged
        try:
            box, said = await self._disk.do(lambda: Outbox.open(folder, quota_bytes, stamp, distrust=distrust))
        except (ValueError, TypeError, KeyError, OverflowError) as error:  # damage that nobody thought of
            raise StoreBroken(str(folder), f"{type(error).__name__}: {error}", damaged=True) from error
        self._damaged = False
        for sentence in said:
            self._say("store", sentence)
        return box

    async def _use(self, outbox: Outbox) -> None:
        outbox.set_boot(self._boot)

        def prepare() -> SheetNow:
            bodies = outbox.sheet_bodies()
            digest, body = self._make_sheet(outbox.epoch, outbox.last_seq() + 1, bodies)
            sheet_id, new = outbox.sheet_id(digest, outbox.epoch, body)
            if new:
                outbox.commit([NewEntry(Kind.SHEET, 0, 0, ClockQuality.FREE, 0, b"", sheet_id)])
            outbox.forget_sheets(sheet_id)
            return SheetNow(sheet_id, outbox.epoch, body)

        self.sheet = await self._disk.do(prepare, outbox)
        self._outbox = outbox
        self._ladder, self._folding = Folder(self.sheet.id), False
        self._full = True  # to be looked at
        self.filling = Filling()
        self.sent = RangeSet()

    async def _fall_back(self, error: StoreBroken) -> None:
        if self._outbox is not None and not self._outbox.durable:
            # Even memory is full or broken: start it anew rather than stand still. What it held is lost, and said.
            self._say("store", f"the store in memory failed too ({error}): started anew")
        else:
            self._say("store", f"the disk can not be used, entries are kept in memory: {error}")
        old = self._outbox
        if old is None or old.durable:
            soon = asyncio.get_running_loop().time() - self._home_s < STEADY_DISK_S
            self._retry_s = min(LONGEST_RETRY_DISK_S, self._retry_s * 2) if soon else RETRY_DISK_S
        self.broken = str(error)
        self._damaged = self._damaged or (error.damaged and (old is None or old.durable))
        await self._use(Outbox.in_memory())
        self.switched()
        if old is not None:
            self._disk.close(old)

    async def _come_home(self) -> None:
        """Tries the disk again; takes what memory held there. A failure leaves everything as it is."""
        async with self._lock:
            memory = self.outbox
            if memory.durable:
                return
            disk: Outbox | None = None
            try:
                box = disk = await self._open()
                if self._doubtful is not None and self._doubtful[0] == box.epoch:
                    above_seq = self._doubtful[1]
                    await self._disk.do(lambda: box.take_back(above_seq), box)
                moved = await self._disk.do(lambda: box.adopt(memory, self._boot), box)
                await self._use(box)
            except StoreBroken as error:
                self.broken = str(error)
                if disk is not None:
                    self._disk.close(disk)
                return
            self.broken = self._doubtful = None
            self._home_s = asyncio.get_running_loop().time()
            self._say("store", f"the disk is back; {moved} entries were brought home from memory")
            self.switched()

    async def _stay_in_place(self) -> None:
        """Somebody has deleted or renamed the file: what goes on in it would go with the power. A new one begins."""
        async with self._lock:
            old = self.outbox
            if self.broken is not None or not old.durable:
                return
            try:
                if await self._disk.do(old.is_in_place, old):
                    return
                fresh = await self._open()
                kept = await self._disk.do(lambda: fresh.adopt(old, self._boot), fresh)
                await self._use(fresh)
            except StoreBroken as error:
                await self._fall_back(error)
                return
            self._disk.close(old)
            what = f"{old.path} was deleted or replaced while in use"
            self._say("store", f"{what}: a new store begins, {kept} entries were kept")
            self.switched()
