"""The outbox as the running daemon sees it: takes entries as they come, commits them together, survives its disk.

Rounds wait for the next commit, `commit_every_s` at most; alarms are committed at once, with everything that waits.
Receipts ride along. All disk work is done by `run_blocking`, one call at a time, and no call is long: who has an alarm
waits for the one that is being made, and is next.

When the disk can not be written, entries go to a store in memory (bounded), and every RETRY_DISK_S the disk is tried
again; what memory held is then brought home with its own epoch and seq, so nothing arrives twice (edge/housing.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from edge.alarm_past import AlarmPast
from edge.contract import Kind
from edge.entries import Account, Before, NewEntry, Rows, SheetNow, Standing
from edge.errors import StoreBroken
from edge.homecoming import ALARMS_MOST, OLDER, Alarms, MakeSheet, Opened, Overtaken, newest_alarms, prepare, renamed
from edge.housing import Housing
from edge.limit_tail import Tail
from edge.outbox import FILE_NAME, Outbox
from edge.outbox_home import Doubt
from edge.salvage import peek
from edge.salvage_steps import Salvaged
from edge.turns import until

P = ParamSpec("P")
T = TypeVar("T")
RunBlocking = Callable[[Callable[[], T]], Awaitable[T]]

START_PATIENCE_S = 3.0  # for the disk at the start: nobody judges limits meanwhile; it may come later
PEEK_PATIENCE_S = 2.0
STOP_PATIENCE_S = 5.0  # for bringing home what memory still holds; who is stopped is killed some time after
SAVE_PATIENCE_S = 8.0  # for writing out a deleted file; with the others within the 20 s of the service
RIDE_WAIT_S = 5.0  # a receipt lost with the power costs one repeat, which is dropped; a commit wears the card
FOLD_STEPS = 8  # after one commit: 160 000 readings, more than a second brings; an alarm waits for one at most
MISSED_MOST = 1000  # receipts; what is forgotten is sent once more, and dropped
PENDING_MOST = 20_000  # rounds waiting for a commit while the disk is slow or gone; beyond it the oldest are dropped


class Keeper(Housing):
    """The one owner of the store."""

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
        super().__init__(folder, quota_bytes, run_blocking, make_sheet, say, stamp, boot, abandon)
        self._commit_every_s = commit_every_s
        self._pending: list[NewEntry] = []
        self._receipts: list[tuple[int, int, int]] = []
        self._standings: list[Standing] = []
        self._missed: list[tuple[int, int, int]] = []  # receipts for what lies on the disk, heard while it is away
        self._last_flush_s = -inf
        self._riding: list[NewEntry] = []
        self._riding_since_s = inf
        self._short = False  # room, for what is salvaged
        self._settling = False  # a receipt names more than one commit settles
        self._waits = ""  # why what is to be salvaged can not be read now
        self.before: Before | None = None  # what limits go on from, when the store could be read
        self.standings: Sequence[Standing] = ()  # where they stood in it, or in one that could be read later
        self.newest_ms = 0  # the newest time it knew then
        self.past = AlarmPast()  # the last alarms, as they were told
        self.tail: Tail | None = None  # what they are told, to be committed with the readings
        self.learnt: Callable[[], None] = lambda: None  # told when both are known after all, the disk being slow
        self.dropped = 0  # rounds that could not even wait for a commit

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens the store, in memory if it must be; a disk that takes long is gone over to when it is there. Never
        raises for what is wrong with a disk."""
        self.opened = self._restore
        self._open()
        if self._opening is not None:
            await asyncio.wait({self._opening}, timeout=START_PATIENCE_S)
            if not self._opening.done():
                where = f"the disk has not answered for {START_PATIENCE_S:.0f} s"
                await self._fall_back(StoreBroken(str(self._folder), where))
            elif (error := await self._arrive()) is not None:
                await self._fall_back(error)
                with contextlib.suppress(StoreBroken):
                    path = self._folder / FILE_NAME
                    self.before, self.newest_ms = await self._disk.do(lambda: peek(path), patience_s=PEEK_PATIENCE_S)
                    self.standings = self.before.standings if self.before else ()
                    self.stood.found(self.standings)

    def _restore(self, opened: Opened) -> None:
        """The store was opened for the first time in this run."""
        self.opened = lambda _opened: None
        self.before, self.newest_ms, self.standings = opened.before, opened.newest_ms, opened.before.standings
        self.past.recall(opened.past)
        self.learnt()

    async def run(self) -> None:
        """Commits what waits; tries the disk again while it is broken. Runs until cancelled.

        An entry is committed at once if the last commit is `commit_every_s` ago, else when it is: commits are that
        far apart, and no entry waits longer. What can wait for company (receipts, status) does so for RIDE_WAIT_S.
        """
        loop = asyncio.get_running_loop()
        self._retry_at_s = loop.time() + self._retry_s
        more = False
        while True:
            await until(self._woken, -inf if more else min(self._due_s(), self._retry_at_s))
            if loop.time() >= self._due_s():
                await self._flush()
            await self._fold()
            if self._opening is not None and self._opening.done() and await self._arrive() is None:
                missed, self._missed = self._missed, []
                for receipt in missed:
                    self.settle(*receipt)
            if loop.time() >= self._retry_at_s:
                await self._look_at_disk()
            more = await self._bring()
            more = await self._salvage() or more

    def _due_s(self) -> float:
        """When the next commit is due. At once where a receipt names more than one settles: others come between."""
        if self._settling:
            return -inf
        next_s = self._last_flush_s + self._commit_every_s
        return next_s if self._pending else max(next_s, self._riding_since_s + RIDE_WAIT_S)

    async def stop(self) -> None:
        """Commits what waits, brings home what there is time for, and closes the file. What a deleted file holds is
        written out, as it is gone when that is closed."""
        await self._flush()
        await self._last_look()
        until_s = asyncio.get_running_loop().time() + STOP_PATIENCE_S
        while asyncio.get_running_loop().time() < until_s and (self._settling or await self._bring()):
            await self._flush()
        async with self._lock:
            left = [leaving.box for leaving in self._leaving] + [box for box in (self._outbox,) if box is not None]
            for box in left:
                if box.durable and (box is not self._outbox or self._displaced):
                    await self._save(box)
            lost = sum(box.account().held_entries for box in left if not box.durable)
            if lost:
                self._say("store", f"{lost} entries were in memory only and are lost")
            if self._outbox is not None:
                with contextlib.suppress(StoreBroken):
                    await self._disk.do(self._outbox.close)

    async def _last_look(self) -> None:
        """The disk is tried once more where the store is in memory, or in a file that has lost its name."""
        box = self._outbox
        with contextlib.suppress(StoreBroken):
            if box is None or (box.durable and await self._disk.do(box.is_in_place, box)):
                return
        if self._opening is None:
            await self._look_at_disk()
        if self._opening is not None:
            await asyncio.wait({self._opening}, timeout=START_PATIENCE_S)
            if self._opening.done():
                await self._arrive()

    async def _save(self, box: Outbox) -> None:
        try:
            stamp = self._stamp()
            file = await self._disk.do(lambda: box.save(stamp), box, patience_s=SAVE_PATIENCE_S)
        except StoreBroken as error:
            held: int | str = "the"
            with contextlib.suppress(StoreBroken):
                held = box.account().held_entries
            self._say("store", f"{held} entries were in a deleted file only and are lost: {error}")
            return
        self._say("store", f"what the deleted file still held was written to {file.name}")

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
        with self._disk.hurried():
            await self._flush(hurry=True)

    def ride(self, entry: NewEntry) -> None:
        """Takes an entry that has time: it goes with the next commit, or after RIDE_WAIT_S."""
        self._riding.append(entry)
        self._ride()

    def settle(self, epoch: int, low: int, high: int) -> None:
        """The province has stored `low`..`high` of `epoch`: they leave with the next commit, or after RIDE_WAIT_S.

        Of a store that must begin a new epoch nothing is believed of this run: what was stored is another's.
        """
        if epoch in self._overtaken:
            high = min(high, self._overtaken[epoch].seq)
        if low > high:
            return
        self._receipts.append((epoch, low, high))
        self._ride()

    async def renew(self, epoch: int) -> None:
        """The province has entries of store `epoch` that it never gave: it is an older copy (a restored card).

        Seqs, and packet counters, would be given twice and readings dropped as repeats: a new epoch begins. Should it
        fail, it is made up for before the store is used again (`open_store`).
        """
        async with self._lock:
            old = self.outbox
            if old.epoch != epoch or not old.durable:
                return
            seq = min(old.opened_seq, self._first_seqs.get(epoch, old.opened_seq))
            over = self._overtaken.setdefault(epoch, Overtaken.above(seq))
            self._receipts = [one for one in self._receipts if one[0] != epoch]
            self.overtaken()  # what that tells waits for the lock, and so is the new epoch's
            try:
                kept = await self._disk.do(lambda: old.renew(self._make_sheet, over.epoch, over.seq), old)
                self.renewed_s = asyncio.get_running_loop().time()
                self._alarms = Alarms(renamed(self._alarms.all(), self._overtaken, self._make_sheet))
                del self._overtaken[epoch]
                sheet = await self._disk.do(lambda: prepare(old, self._make_sheet, self._boot), old)
                alarms = await self._disk.do(lambda: newest_alarms(old, self._boot), old)
            except StoreBroken as error:
                await self._fall_back(error, old)
                return
            self._alarms = Alarms(alarms)
            self._switch(old, sheet)
            self._say("store", OLDER.format(kept))
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
                await self._fall_back(error, outbox)
                raise

    def account(self) -> Account:
        """The account as of the last commit (blocking, but a single row)."""
        return self.outbox.account()

    def _switch(self, box: Outbox, sheet: SheetNow) -> None:
        if box is not self._outbox:  # rows of sheets mean nothing in another store: the present one stands for them
            self._pending = [entry._replace(sheet=0) if entry.sheet else entry for entry in self._pending]
            self.past.anew = True
        super()._switch(box, sheet)

    # -- inside --------------------------------------------------------------------------------------------------

    async def _flush(self, *, hurry: bool = False) -> None:
        """Commits what waits. Once begun it goes to its end, also when who asked for it is cancelled: what the thread
        is committing must not be taken for uncommitted."""
        task = asyncio.ensure_future(self._flush_now(hurry))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise

    async def _flush_now(self, hurry: bool) -> None:
        async with self._lock.at_once() if hurry else self._lock:
            self._last_flush_s = asyncio.get_running_loop().time()
            self._riding_since_s, self._settling = inf, False
            self._pending += self._riding
            self._riding = []
            if self._pending or self._receipts:
                await self._write()

    async def _write(self) -> None:
        entries, receipts, standings = self._pending, self._receipts, self._standings
        self._pending, self._receipts, self._standings = [], [], []
        outbox, tail, past = self.outbox, self.tail.rows() if self.tail else Rows(), self.past.rows()
        every = entries, receipts, standings, self.sheet.id, tail, past
        self.stood.tried(standings, durable=outbox.durable)
        try:
            done = await self._disk.do(lambda: outbox.commit(*every), outbox)
        except StoreBroken as error:
            # As far as anybody was told, nothing has happened. Sheet rows mean nothing in another store: not theirs.
            self._put_back([entry._replace(sheet=0) for entry in entries], receipts, standings)
            doubt = self._in_doubt(outbox, len(entries))
            await self._fall_back(error, outbox)
            if outbox.durable:
                first_seq = self.outbox.good_seq + 1
                self._doubted = doubt and (doubt, first_seq, first_seq + len(entries) - 1)
                await self._write()
            return
        except BaseException:
            self._put_back(entries, receipts, standings)
            raise
        if self.tail:
            self.tail.written(tail)
        self.past.written(past)
        self.stood.told(standings, durable=outbox.durable)
        self._say_evicted(done)
        self._note(done, outbox)
        for receipt in receipts:
            self._alarms.settled(*receipt)
        if outbox.durable:
            self._alarms.taken(outbox.epoch, self.sheet, self._boot, zip(done.seqs, entries, strict=True))
        else:
            missed = (one for one in receipts if one[0] != outbox.epoch and one not in done.left)
            self._missed = [*self._missed, *missed][-MISSED_MOST:]
        self.committed(list(zip(done.seqs, entries, strict=True)), done)
        self._note_doubt()
        if receipts:
            left = dict.fromkeys([*done.left, *await self._settle_left(receipts)])
            self._receipts, self._settling = [*left, *self._receipts], bool(left)

    def _in_doubt(self, failed: Outbox, count: int) -> Doubt | None:
        """A commit that failed may have happened: its entries are there twice."""
        if not count or not failed.durable:
            return None
        doubt = self._doubts[failed.epoch] = Doubt(failed.epoch, failed.good_seq, failed.good_seq + count)
        return doubt

    async def _fold(self) -> None:
        """Folds the oldest, a bounded number of steps, while the store is nearly full. Each step lets others in."""
        for _ in range(FOLD_STEPS):
            if not self._full or asyncio.get_running_loop().time() < self._fold_at_s:
                return
            async with self._lock:
                await self._fold_once(self.outbox, self.on_way())

    async def _salvage(self) -> bool:
        """Takes over a little of what a broken store held. Whether there is more to do at once."""
        async with self._lock:
            box = self.outbox
            if not box.salvaging:
                return False
            if self._short and await self._fold_once(box, self.on_way()):
                self._short = self._full
                return True
            if self.outbox is not box:
                return False  # its disk failed while folding
            squeeze = self._short  # nothing can be folded
            try:
                step = await self._disk.do(lambda: box.salvage_step(doubtful=self._doubtful, squeeze=squeeze), box)
                things = step.commit.things if step.commit is not None else []
                seqs = [seq for seq, kind in things if kind is Kind.ALARM][-ALARMS_MOST:]
                if seqs:
                    self._alarms.moved((await self._disk.do(lambda: box.batch(seqs, 0, self._boot), box))[0], old=True)
            except StoreBroken as error:
                await self._fall_back(error, box)
                return False
            if step.commit is not None:
                self._note(step.commit, box)
                self._say_evicted(step.commit)
                self.committed([], step.commit)
            self._short = step.short
            self._heed(step)
            return box.salvaging and (step.commit is not None or bool(step.done))

    def _heed(self, step: Salvaged) -> None:
        """What is to be said of a step, and where limits stood in a file that could not be read before."""
        if step.done:
            self._say("store", step.done)
        if step.waits and not self._waits:
            self._say("store", f"what a broken store held can not be taken over yet: {step.waits}")
        self._waits = step.waits
        if step.standings:
            self.standings = step.standings
            self.stood.found(step.standings)
            self.learnt()

    def _put_back(
        self, entries: list[NewEntry], receipts: list[tuple[int, int, int]], standings: list[Standing]
    ) -> None:
        self._pending = entries + self._pending
        self._receipts = receipts + self._receipts
        self._standings = standings + self._standings
