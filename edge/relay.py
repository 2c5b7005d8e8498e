"""Carries the plan out: one pump for each link, packs, seals, hands over, awaits the province's receipt, settles.

What is on the way is not sent again before its receipt is overdue (four times the usual round trip, growing while the
province is silent). Alarms are the exception: each goes out on every usable link at once and is repeated on each until
a receipt (see `edge.transit`). The word of a link (PUBACK) frees only its window. What one link can carry next is
decided in `edge.ways` and, for those with slots, `edge.slotways`.

How a link is kept up, and taken up again: `edge.ladder`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from math import inf
from typing import Any

from edge.contract import ClockQuality, Kind, Link, Sent
from edge.entries import Commit, NewEntry
from edge.errors import DoesNotFit, FengsuiError, StoreBroken, Unpackable
from edge.keeper import Keeper
from edge.ladder import Ladder
from edge.outbox import Outbox
from edge.plan import Send, Wait, What
from edge.sealing import Sealing
from edge.slotways import SlotWay
from edge.transit import ALARM_RESEND_S, Transit
from edge.turns import until
from edge.ways import Cargo, Shared, Test, Way, dropping
from edge.wire.basics import WireError
from edge.wire.receipt import ANY_SHEET, Receipt
from edge.wire.sheet import Sheet

WAIT_S = 1.0  # for the answer to a packet that asks for one
SWEEP_LEAST_S = 1.0  # between two looks at what is overdue
LOOK_S = 10.0  # how often what is held is counted, for links with slots that carry it
SHEET_AGAIN_S = 5.0
TEST_WAIT_S = 600.0  # a slot, a lost message, and the time of the province
PROBE_AGAIN_S = 5.0  # the packet that asks, or its answer, may be lost with its link
PROBE_S = 60.0  # how long the rounds of a run wait for its first receipt: a satellite's takes seconds, and it is lost
SLOT_AGAIN_S = 30.0  # a short message takes seconds; what has no receipt then goes by the wide link that is back
HEARD_AGAIN_S = 30.0  # a receipt after so long a silence: the province is back, or the way to it
RENEW_AGAIN_S = 3600.0  # a store found to be an older copy twice within this time: something else is wrong, say so


class Relay:
    """All links of a site. `learnt` is told the province's time: (utc_ms, uncertainty_ms)."""

    def __init__(
        self,
        gateway: str,
        root_key: bytes,
        links: Mapping[str, tuple[Link, float]],
        keeper: Keeper,
        say: Callable[[str, str], None],
        learnt: Callable[[float, float], None],
        troubled: Callable[[str, str], None] = lambda _link, _trouble: None,
    ) -> None:
        """`links`: id -> (link, batch_s). `troubled`: a link says what a person must see to ("": no more)."""
        self.gateway = gateway
        self._sealing = Sealing(gateway, root_key, keeper, self._refuse)
        self._keeper = keeper
        self._say = say
        self._learnt = learnt
        self._packing = asyncio.Lock()  # two links must not pack the same rounds
        self.shared = Shared(keeper.sent)
        self._ladder = Ladder(gateway, self.shared, self._receive, say, troubled, self._wake)
        for name, (link, batch_s) in links.items():
            kind = SlotWay if link.state().slot_s else Way
            self.ways[name] = kind(name, link, batch_s, self.shared)
        self.noise = 0
        self.receipts = 0
        self.damaged = 0
        self.disputed = False
        self._opened_seq = 0
        self._heard_s = -inf
        self.unsigned = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._reset()
        keeper.committed = self._committed
        keeper.switched = self._reset

    def _reset(self) -> None:
        """Forgets all that is on the way: at the start, and when the store has changed under us."""
        self.shared.renew(self._keeper.sent)
        self._sealing.forget()
        self._sheet_sent_s: dict[int, float] = {}
        self._loaded = False
        # The first packet of a run goes alone: its receipt tells whether this store is what the province knows.
        self._probe_until_s = inf
        self._probe_again_s = -inf
        for way in self.ways.values():
            way.reset()

    @property
    def transit(self) -> Transit:
        return self.shared.transit

    @property
    def ways(self) -> dict[str, Way]:
        return self.shared.ways

    # -- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for way in self.ways.values():
                tasks.create_task(self._ladder.climb(way), name=f"link {way.id}")
                tasks.create_task(self._pump(way), name=f"pump {way.id}")
            tasks.create_task(self._sweep(), name="sweep")

    def _wake(self) -> None:
        for way in self.ways.values():
            way.wake.set()

    async def _pump(self, way: Way) -> None:
        async with asyncio.TaskGroup() as sends:
            while True:
                until_s = await self._step(way, sends)
                if until_s is not None:
                    await until(way.wake, until_s)

    async def _step(self, way: Way, sends: asyncio.TaskGroup) -> float | None:
        """Does the next thing on a link. Returns until when there is nothing, None when there may be more."""
        loop = asyncio.get_running_loop()
        async with self._packing:
            if not self._loaded:
                await self._load()
            step = way.next(loop.time())
            if isinstance(step, Wait):
                return step.until_s
            self._probe_until_s = min(self._probe_until_s, loop.time() + PROBE_S)
            if not way.slots and self._is_early(step.what, loop.time()):
                if self.transit.flights or self.transit.alarms or loop.time() < self._probe_again_s:
                    return loop.time() + WAIT_S
                step, self._probe_again_s = Send(What.PROBE), loop.time() + PROBE_AGAIN_S
            transit = self.transit
            transit.packing()
            try:
                packed = await self._keeper.call(dropping(way.work(step.what, loop.time())))
                if packed is None:
                    way.nothing(step.what, loop.time())
                    return None
                number = await self._sealing.number()
            except StoreBroken:
                return None  # the keeper has changed to another store, and with it the queue
            except Unpackable as damage:
                self._dropped(damage, transit)
                return None
            except DoesNotFit as unfit:
                self._unfit(way, step.what, unfit)
                return None
            if transit is not self.transit or not transit.still_there(packed.ranges):
                return None
            try:
                cargo = way.take_off(packed, step.what, number.counter, loop.time())
            except DoesNotFit as unfit:
                self._unfit(way, step.what, unfit)
                return None
            if cargo is None:
                return None
        packet = self._sealing.seal(number, cargo.sheet, cargo.body, way.id, long=way.is_long(cargo.body))
        way.on_way += 1
        way.packets += 1
        way.payload_bytes += len(packet)
        sends.create_task(self._hand_over(way, cargo, packet), name=f"send {way.id}")
        return None

    def _unfit(self, way: Way, what: What, unfit: DoesNotFit) -> None:
        way.does_not_fit(what, unfit, asyncio.get_running_loop().time())
        if way.unfit_is_news(what):
            self._say(f"link {way.id}", str(unfit))

    def _is_early(self, what: What, now_s: float) -> bool:
        """Whether rounds are to wait for the first receipt of this run, which tells whether this store is what the
        province knows. It is asked for by a packet that holds nothing: nothing can be mistaken for what an older copy
        of this store has given. Alarms and small things never wait."""
        rounds = what in (What.NEWEST, What.LIVE, What.BACKLOG)
        return rounds and not self.shared.probed and now_s < self._probe_until_s

    def _dropped(self, damage: Unpackable, transit: Transit) -> None:
        """An entry that made no sense is gone from the store whose tally is `transit`."""
        if not self.damaged:
            self._say("store", f"{damage}; it is dropped, and counted as evicted, and so are others like it")
        self.damaged += 1
        transit.freed([(damage.seq, damage.seq)])

    async def _load(self) -> None:
        """What the store held before this run (or before it was changed)."""
        try:
            things, last_seq, self._opened_seq = await self._keeper.call(
                lambda outbox: (outbox.first_things(), outbox.last_seq(), outbox.opened_seq)
            )
        except StoreBroken:
            return
        self.transit.found(things, last_seq)
        self._loaded = True
        with contextlib.suppress(WireError, TypeError):  # a damaged one: packets name it, nothing else needs it here
            self.shared.sheet = Sheet.decode(self._keeper.sheet.body)
            self.shared.sheet_row = self._keeper.sheet.id
        await self._look()

    async def _look(self) -> None:
        """How much is held: links with slots choose by it."""
        with contextlib.suppress(StoreBroken):
            self.shared.held_readings = (await self._keeper.call(Outbox.account)).held_readings

    # -- sending -------------------------------------------------------------------------------------------------

    async def _hand_over(self, way: Way, cargo: Cargo, packet: bytes) -> None:
        sent = Sent.UNKNOWN
        try:
            sent = await way.link.send(packet)
        finally:
            way.on_way -= 1
            way.handed(cargo, sent, asyncio.get_running_loop().time())
            way.wake.set()

    async def send_test(self, link_id: str, wait_s: float = TEST_WAIT_S) -> AsyncGenerator[dict[str, Any], None]:
        """Sends a packet that asks for a receipt and says what becomes of it, step by step. Raises FengsuiError."""
        way = self.ways.get(link_id)
        if way is None:
            raise FengsuiError(f"there is no link {link_id}; links: {', '.join(self.ways) or 'none'}")
        test = way.test = Test()  # one that is still out is given up: who asked for it may have gone
        state = way.link.state()
        ready_in_s = round(max(0.0, state.ready_s - asyncio.get_running_loop().time()), 1)
        way.wake.set()
        step: dict[str, Any] = {"step": "waiting", "ready_in_s": ready_in_s, "why": "" if state.up else state.why}
        try:
            async for told in test.follow(step, wait_s):
                yield told
        finally:
            if way.test is test:
                way.test = None

    async def _sweep(self) -> None:
        """Takes back what is overdue, when it is: nothing that leaves while it sleeps is so before LOOK_S."""
        heard = self.receipts
        loop = asyncio.get_running_loop()
        look_s = loop.time() + LOOK_S
        while True:
            due_s = min(look_s, self.transit.next_overdue_s())
            await asyncio.sleep(max(SWEEP_LEAST_S, due_s - loop.time()))
            if self.transit.overdue(loop.time(), self.receipts != heard):
                heard = self.receipts
                self._rounds_came()
            if loop.time() < look_s:
                continue
            look_s = loop.time() + LOOK_S
            if self._loaded and any(isinstance(way, SlotWay) and not way.wide for way in self.ways.values()):
                await self._look()
            if not self.unsigned:
                self._look_for_signature()

    def _look_for_signature(self) -> None:
        """Says, once, that a link takes packets and nobody signs for them."""
        for way in self._unsigned_ways():
            self.unsigned = True
            why = f"has signed for nothing in {way.unsigned_s:.0f} s (link {way.id})"
            self._say("province", f"{why}: is it up, does it have our key?")
            return

    def _unsigned_ways(self) -> list[Way]:
        ways = self.ways.values()
        return [way for way in ways if way.up and self._sealing.unanswered_s(way.id) > way.unsigned_s]

    def _rounds_came(self) -> None:
        for way in self.ways.values():
            if isinstance(way, SlotWay):
                way.rounds_came()
        self._wake()

    # -- what comes back -----------------------------------------------------------------------------------------

    def _receive(self, packet: bytes) -> None:
        opened = self._sealing.open(packet)
        if opened is not None:
            self._receipt(*opened)

    def _refuse(self, why: str) -> None:
        if not self.noise:
            self._say("downlink", f"a packet was refused: {why}. Is the province's key ours? Counted from here on")
        self.noise += 1

    def _receipt(self, receipt: Receipt, epoch: int) -> None:
        self.receipts += 1
        self._heard()
        is_news = self._time(receipt, epoch)
        if self.unsigned and not self._unsigned_ways():
            self._say("province", "signs again")
            self.unsigned = False
        entries_epoch = epoch if receipt.epoch is None else receipt.epoch
        if epoch == self._keeper.sheet.epoch:
            # A province that asks for one has lost what it knew; for any: it could read a packet under this epoch.
            self.shared.known = not any(short != ANY_SHEET for short in receipt.need_sheets)
        if self._loaded and entries_epoch == self._keeper.sheet.epoch:
            # One that speaks of the newest alone tells nothing of those between: alarms on their way are waited for.
            self.shared.probed = self.shared.probed or not self.transit.alarms
            if any(self.transit.never_sent(low, high, self._opened_seq) for low, high in receipt.ranges):
                # It has what this run never sent: our store is an older copy, and its seqs mean something else there.
                self._renew(entries_epoch)
                return
        for low, high in receipt.ranges:
            self._keeper.settle(entries_epoch, low, high)
            if entries_epoch == self._keeper.sheet.epoch:
                self.transit.receipted(low, high)
        sheet = self.shared.sheet
        for short in receipt.need_sheets:
            if short != ANY_SHEET or (is_news and sheet is not None and sheet.epoch == epoch):
                self._need_sheet(short)
        if epoch == self._keeper.sheet.epoch:
            for way in self.ways.values():
                way.receipt(receipt, asyncio.get_running_loop().time())
        self._wake()

    def _heard(self) -> None:
        """Alarms that were said in vain have not long to wait, now that the province answers; but as long as what is
        on the way may still bring them."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._heard_s > HEARD_AGAIN_S:
            for way in self.ways.values():
                if not way.slots:
                    way.dues.sooner(now_s + ALARM_RESEND_S)
        self._heard_s = now_s

    def _renew(self, epoch: int) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._keeper.renewed_s > RENEW_AGAIN_S:
            self._start(self._keeper.renew(epoch))
        elif not self.disputed:
            self.disputed = True
            self._say("province", "signs for entries that were never sent; such receipts are not believed")

    def _time(self, receipt: Receipt, epoch: int) -> bool:
        """Whether it answers a packet of this run that was not answered before, nor a later one of its link."""
        answered = self._sealing.answered(receipt, epoch)
        if answered is None:
            return False
        name, trip_s = answered
        way = self.ways[name]
        way.trip_s = 0.8 * way.trip_s + 0.2 * trip_s if way.trip_s else trip_s
        way.receipt_s = asyncio.get_running_loop().time()
        if not way.slots:
            self.transit.trip(way.trip_s)
            for other in self.ways.values():
                if other.slots:
                    self.transit.sooner(other.id, way.receipt_s + SLOT_AGAIN_S)
        self._learnt(receipt.time_ms + trip_s * 500, trip_s * 500)
        return True

    def _need_sheet(self, short: int) -> None:
        """The province does not know a sheet (ANY_SHEET: none of ours): it is taken once more, as a new entry."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._sheet_sent_s.get(short, -inf) >= SHEET_AGAIN_S and not self.transit.sheet_unsettled():
            self._sheet_sent_s[short] = now_s
            self._start(self._take_sheet(short))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_sheet(self, short: int) -> None:
        present = [self.shared.sheet_row] if short == ANY_SHEET else []

        def find(outbox: Outbox) -> tuple[Outbox, list[NewEntry]]:
            wanted = present or [row for row, digest in outbox.sheets() if (digest[0] or 1) == short]
            return outbox, [NewEntry(Kind.SHEET, 0, 0, ClockQuality.FREE, 0, b"", row) for row in wanted]

        try:
            outbox, entries = await self._keeper.call(find)
            if outbox is self._keeper.outbox:  # rows mean nothing in another store
                await self._keeper.take_now(entries)
        except StoreBroken:
            return  # the new store has taken its own sheet

    # -- what the store tells ------------------------------------------------------------------------------------

    def _committed(self, entries: Sequence[tuple[int, NewEntry]], done: Commit) -> None:
        self.transit.taken(entries)
        self.transit.freed(done.freed)
        if done.came:  # of another store: old ones
            self.transit.found(done.things, self._keeper.outbox.good_seq)
        if done.came or any(entry.kind is Kind.ROUNDS for _, entry in entries):
            self._rounds_came()
        elif entries:  # what has but left, by a receipt that all links have heard, gives them nothing to do
            self._wake()

    def dated(self) -> None:
        """What had no time has one now: it may be sent."""
        self.transit.all_backlog()
        self._rounds_came()

    def health(self) -> dict[str, dict[str, Any]]:
        """Each link as a technician may ask for it. JSON types only."""
        now_s = asyncio.get_running_loop().time()
        return {way.id: way.health(now_s) for way in self.ways.values()}
