"""Which store is in use: the one on the disk, or memory while there is no disk; and the ways from one to the other.

There is one store in memory for the whole run, with one epoch: the disk fails, memory takes over; the disk is back,
what memory holds is brought home batch by batch (edge/homecoming.py); it fails again in the middle, and the same memory
goes on. A file that somebody deletes or replaces while it is open is gone on with until a new one is ready, and emptied
into that. As long as it can be read nothing of it is given up, but with the power it is gone, and that is said.

May not open a store while a call to the disk hangs, nor two at a time: who wakes up later would move the files of the
one in use. The part of the keeper (edge/keeper.py) that this is holds its lock for one bounded call at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from pathlib import Path

from edge.diskwork import DiskWork
from edge.doubt import note
from edge.entries import Commit, NewEntry, SheetNow
from edge.errors import StoreBroken
from edge.filling import Filling
from edge.fold import FOLD_AT, Folder
from edge.homecoming import (
    Alarms,
    Ask,
    Given,
    Leaving,
    MakeSheet,
    Opened,
    Overtaken,
    open_store,
    prepare,
    renamed,
)
from edge.outbox import Outbox
from edge.outbox_home import LOG_GONE, Doubt
from edge.ranges import RangeSet
from edge.standings import Stood
from edge.turns import Turns

RETRY_DISK_S = 10.0
LONGEST_RETRY_DISK_S = 300.0  # a disk that fails again as soon as it is back (full to the brim) is left alone longer
STEADY_DISK_S = 120.0
LOG_AGAIN_S = 1.0  # a store whose log was deleted is opened again as soon as it is closed
FOLD_AGAIN_S = 10.0  # when nothing could be folded


class Housing:
    """See the file. `committed` is told (entries with their seq, what was done) after each commit, `switched` when
    another store is in use, `overtaken` where it is an older copy of itself."""

    def __init__(
        self,
        folder: Path,
        quota_bytes: int,
        run_blocking: Callable[[Callable[[], object]], Awaitable[object]],
        make_sheet: MakeSheet,
        say: Callable[[str, str], None],
        stamp: Callable[[], str],
        boot: int,
        abandon: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._disk = DiskWork(str(folder), run_blocking, abandon)
        self._make_sheet = make_sheet
        self._say = say
        self._stamp = stamp
        self._boot = boot
        self._lock = Turns()
        self._woken = asyncio.Event()
        self._outbox: Outbox | None = None
        self._memory: Outbox | None = None  # in use, or on its way home, or empty and at hand
        self._leaving: list[Leaving] = []
        self._opening: asyncio.Future[Opened] | None = None
        self._alarms = Alarms()
        self.stood = Stood()
        self._given: dict[int, Given] = {}
        self._first_seqs: dict[int, int] = {}  # by epoch, what had been given before this run
        self._overtaken: dict[int, Overtaken] = {}  # by epoch, stores that must begin a new one before they are used
        self._evicting = False
        self.renewed_s = -inf
        self._doubts: dict[int, Doubt] = {}
        self._doubted: tuple[Doubt, int, int] | None = None  # with the seqs that its entries got in memory
        self._retry_s = RETRY_DISK_S
        self._retry_at_s = inf
        self._home_s = -inf  # when the disk was last back
        self._damaged = False  # the file itself, not the disk: it is to be put aside when the disk is tried again
        self._displaced = False  # the file in use has lost its name
        self._no_room = False  # memory is too full for more of a displaced file
        self._full = False  # as of the last commit
        self._folding = False
        self._ladder = Folder(0)
        self._fold_at_s = -inf
        self._used_bytes = 0
        self.sheet = SheetNow(0, 0, b"")
        self.sent = RangeSet()  # what was ever handed to a link in this run, of the present store
        self.filling = Filling()
        self.broken: str | None = None  # why the disk is not used, while it is not
        self.on_way: Callable[[], RangeSet] = RangeSet  # what waits for its receipt
        self.committed: Callable[[Sequence[tuple[int, NewEntry]], Commit], None] = lambda _entries, _commit: None
        self.switched: Callable[[], None] = lambda: None
        self.overtaken: Callable[[], None] = lambda: None
        self.opened: Callable[[Opened], None] = lambda _opened: None

    @property
    def hangs(self) -> bool:
        """Whether a call to the disk has been left behind."""
        return self._disk.hanging > 0 or (self._opening is not None and not self._opening.done())

    @property
    def outbox(self) -> Outbox:
        if self._outbox is None:
            raise StoreBroken(str(self._folder), "not open yet")
        return self._outbox

    @property
    def _doubtful(self) -> Doubt | None:
        """What may not be salvaged of a file that broke: it was taken again."""
        return next(reversed(self._doubts.values()), None)

    # -- opening -------------------------------------------------------------------------------------------------

    def _open(self, left: Outbox | None = None) -> None:
        """Begins to open the store on the disk. `left`: the one in use, which has lost its name."""
        ask = Ask(
            *(self._folder, self._quota_bytes, self._stamp(), self._boot, self._make_sheet, self._damaged, left),
            *(dict(self._given), dict(self._doubts), dict(self._overtaken)),
        )
        self._opening = self._disk.aside(lambda: open_store(ask))
        self._opening.add_done_callback(lambda _: self._woken.set())

    async def _arrive(self) -> StoreBroken | None:
        """Goes over to the store that was opened, with the few things of the one in use; why not, where it can not."""
        opening, self._opening = self._opening, None
        if opening is None:
            return None
        async with self._lock:
            try:
                opened = opening.result()
            except StoreBroken as error:
                self._damaged = self._damaged or error.damaged
                self._not_home(error)
                return error
            self.stood.found(opened.before.standings)
            old, leaving = self._outbox, None
            known, self._alarms = self._alarms, Alarms(opened.alarms)
            if old is not None:
                leaving = Leaving(old)
                try:
                    await self._move(leaving, opened.box, first=True)
                except StoreBroken as error:
                    self._alarms = known
                    self._disk.close(opened.box)
                    self._not_home(error)
                    return error
            for epoch, over in list(self._overtaken.items()):
                if epoch == opened.was or over.epoch == opened.box.epoch:  # it may have happened though it failed
                    del self._overtaken[epoch]
                    self.renewed_s = asyncio.get_running_loop().time()
            self._damaged = False
            self._doubts.pop(opened.box.epoch, None)
            self._doubted = None
            if old is not None:
                self._remember(old)
            self._switch(opened.box, opened.sheet)
            self._settle_in(opened, leaving)
        return None

    def _settle_in(self, opened: Opened, leaving: Leaving | None) -> None:
        """The store on the disk is in use again."""
        for sentence in opened.said:
            self._say("store", sentence)
        if leaving is not None and leaving.box.durable:
            what = f"{leaving.box.path} was deleted or replaced while in use"
            self._say("store", f"{what}: a new store begins, what the old one held is brought over")
        self.broken, self._displaced, self._no_room = None, False, False
        self._home_s = asyncio.get_running_loop().time()
        self.opened(opened)
        self.switched()
        if leaving is not None:
            self._leaving.append(leaving)
            self._end_of(leaving)

    def _not_home(self, error: StoreBroken) -> None:
        if not self._displaced:
            self.broken = str(error)
            return
        if self.broken is None:
            self._say("store", f"goes on in a file that was deleted, which is gone when the gateway stops: {error}")
        self.broken = f"deleted or replaced while in use, and no new one can be made: {error}"

    def _switch(self, box: Outbox, sheet: SheetNow) -> None:
        self._outbox, self.sheet = box, sheet
        if box.durable:
            self._first_seqs.setdefault(box.epoch, box.opened_seq)
        self._ladder, self._folding = Folder(sheet.id), False
        self._full, self._fold_at_s = True, -inf  # to be looked at
        self.filling = Filling()
        self.sent = RangeSet()

    # -- looking after the disk ----------------------------------------------------------------------------------

    async def _look_at_disk(self) -> None:
        """Now and then: is the disk back, has the file still its name?"""
        self._retry_at_s = asyncio.get_running_loop().time() + self._retry_s
        if self._opening is not None or self._disk.hanging:
            return
        if self._outbox is None or not self._outbox.durable:
            self._open()
            return
        async with self._lock:
            box = self.outbox
            if not box.durable:
                return
            try:
                in_place, has_log = await self._disk.do(lambda: (box.is_in_place(), box.has_log()), box)
                if in_place and not has_log:
                    raise StoreBroken(box.path, LOG_GONE)
            except StoreBroken as error:
                await self._fall_back(error)
                self._retry_at_s = asyncio.get_running_loop().time() + LOG_AGAIN_S
                return
            if in_place:
                self._displaced, self.broken = False, None
                return
            self._displaced = True
            self._open(box)

    async def _fall_back(self, error: StoreBroken, failed: Outbox | None = None) -> None:
        """Memory takes over from the store that `failed`: by default the one in use. With the lock held."""
        old = self._outbox
        if failed is not None and failed is not old:
            return  # it has been let go already, and the one in use is sound
        if old is not None and not old.durable:
            # Even memory is full or broken: start it anew rather than stand still. What it held is lost, and said.
            self._say("store", f"the store in memory failed too ({error}): started anew")
            self._memory = None
        else:
            self._say("store", f"the disk can not be used, entries are kept in memory: {error}")
            soon = asyncio.get_running_loop().time() - self._home_s < STEADY_DISK_S
            self._retry_s = min(LONGEST_RETRY_DISK_S, self._retry_s * 2) if soon else RETRY_DISK_S
            self._retry_at_s = asyncio.get_running_loop().time() + self._retry_s
            self._damaged = self._damaged or error.damaged
        self.broken, self._used_bytes = str(error), 0
        memory = self._memory = self._memory or Outbox.in_memory()
        self._leaving = [leaving for leaving in self._leaving if leaving.box is not memory]
        sheet = await self._disk.do(lambda: prepare(memory, self._make_sheet, self._boot), memory)
        if old is not None and old.durable:
            along = renamed(self._alarms.all(), self._overtaken, self._make_sheet)
            await self._disk.do(lambda: memory.take_over(along), memory)
        memory.opened_seq = memory.last_seq()  # what is older may have been sent from the disk: nobody's copy
        self._switch(memory, sheet)
        self.switched()
        if old is not None:
            self._part_with(old)

    def _part_with(self, old: Outbox) -> None:
        """Lets the store go that was in use; one without a name not before it is emptied."""
        self._remember(old)
        if self._displaced and not self._disk.holds(old):
            self._leaving.append(Leaving(old))
        else:
            self._disk.close(old)
        self._displaced = False

    def _remember(self, old: Outbox) -> None:
        if old.durable:
            self._given[old.epoch] = Given(old.good_seq, old.counter_high)

    # -- from one store to the other -----------------------------------------------------------------------------

    async def _bring(self) -> bool:
        """Brings one batch of what was left into the store in use. Whether there is more to do at once."""
        if not self._leaving:
            return False
        async with self._lock:
            box = self.outbox
            leaving = self._leaving[0] if self._leaving else None
            if leaving is None:
                return False
            crowded = self._used_bytes > FOLD_AT * box.quota_bytes
            if crowded and not box.durable:
                self._say_no_room(leaving)
                return False
            if crowded and await self._fold_once(box, self.on_way()):
                return True
            if self.outbox is box:
                try:
                    await self._move(leaving, box)
                except StoreBroken as error:
                    await self._fall_back(error, box)
                self._end_of(leaving)
        return bool(self._leaving)

    async def _move(self, leaving: Leaving, box: Outbox, *, first: bool = False) -> None:
        """One batch, durably there before it goes here. `first`: with where limits stand, all that was ever told: a new
        file on the disk has lost it with the one before. Raises StoreBroken for `box`, never for what is left."""
        saved, stands = [], self.stood.all() if first else []
        try:
            saved = await self._disk.do(lambda: leaving.batch(self._boot), leaving.box)
        except StoreBroken as error:
            self._give_up(leaving, error)
            if not first:
                return
        self.stood.tried(stands, durable=box.durable)
        try:
            count, done = await self._disk.do(lambda: box.take_over(saved, stands), box)
        except StoreBroken:
            if box.durable and saved:
                self._doubts[box.epoch] = Doubt(box.epoch, box.good_seq, box.good_seq + len(saved))
            raise
        leaving.taken(count)
        self.stood.told(stands, durable=box.durable)
        if box.durable:
            self._alarms.moved(saved)
        if saved and not leaving.box.durable:
            await self._disk.do(lambda: leaving.box.give(saved), leaving.box)
        self._note(done, box)
        self._say_evicted(done)
        if not first:
            self.committed([], done)

    def _give_up(self, leaving: Leaving, error: StoreBroken) -> None:
        self._say("store", f"{leaving.box.path} can not be read any more, what it still held is lost: {error}")
        leaving.give_up()

    def _end_of(self, leaving: Leaving) -> None:
        """Says what has come of it, when all has."""
        if not leaving.done or leaving not in self._leaving:
            return
        self._leaving.remove(leaving)
        if leaving.box.durable:
            self._say("store", f"{leaving.moved} entries of the deleted file were kept")
            self._disk.close(leaving.box)
        else:
            self._say("store", f"the disk is back; {leaving.moved} entries were brought home from memory")

    def _say_no_room(self, leaving: Leaving) -> None:
        if not self._no_room:
            self._no_room = True
            left = leaving.box.account().held_entries - leaving.moved
            what = "stay in the deleted file for want of memory: they are lost if the gateway stops before the disk is"
            self._say("store", f"{left} entries {what} back")

    async def _settle_left(self, receipts: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """The province has these: they need not be brought any more. Returns those that name more than one commit
        settles."""
        return [receipt for leaving in self._leaving for receipt in await self._settle_one(leaving, receipts)]

    async def _settle_one(self, leaving: Leaving, receipts: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        try:
            return (await self._disk.do(lambda: leaving.box.commit([], receipts), leaving.box)).left
        except StoreBroken as error:
            self._give_up(leaving, error)
            return []

    def _say_evicted(self, done: Commit) -> None:
        if done.evicted and not self._evicting:
            self._say("store", "is full: the oldest readings make room (fengsui outbox counts them)")
        self._evicting = bool(done.evicted) or (self._evicting and bool(self._leaving))

    # -- folding, doubt ------------------------------------------------------------------------------------------

    def _note(self, done: Commit, outbox: Outbox) -> None:
        self._used_bytes = done.used_bytes
        self._full = done.used_bytes > FOLD_AT * outbox.quota_bytes
        self.filling.note(asyncio.get_running_loop().time(), done.used_bytes)

    async def _fold_once(self, outbox: Outbox, on_way: RangeSet) -> bool:
        """One step of folding; whether anything was."""
        try:
            done = await self._disk.do(lambda: self._ladder.step(outbox, on_way), outbox)
        except StoreBroken as error:
            await self._fall_back(error, outbox)
            return False
        if done is None:
            self._full, self._fold_at_s = False, asyncio.get_running_loop().time() + FOLD_AGAIN_S
            return False
        if not self._folding:
            self._say("store", "is nearly full: the oldest readings become summaries (least, mean, greatest)")
        self._folding = True
        self._note(done, outbox)
        self.committed(done.made, done)
        return True

    def _note_doubt(self) -> None:
        """Leaves word of a commit in doubt, once memory has handed some of its entries to a link."""
        if self._doubted is None:
            return
        doubt, low, high = self._doubted
        if next(self.sent.gaps(low, high), None) != (low, high):
            self._doubted = None
            self._disk.aside(lambda: note(self._folder, doubt))
