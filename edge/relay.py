"""Carries the plan out: one pump for each link, packs, seals, hands over, awaits the province's receipt, settles.

What is on the way is not sent again before its receipt is overdue (four times the usual round trip, growing while the
province is silent). Alarms are the exception: each goes out on every usable link at once and is repeated on each until
a receipt (see `edge.transit`). The word of a link (PUBACK) frees only its window.

A link's own ladder: `Link.run` until it is lost, then a pause of 1 to 8 s with jitter, so that one that is back is used
within 10 s. Losses and returns are said once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from edge.contract import ClockQuality, Kind, Link, Sent
from edge.entries import Commit, NewEntry
from edge.errors import DoesNotFit, LinkLost, StoreBroken, Unpackable
from edge.keeper import Keeper
from edge.outbox import Outbox
from edge.packing import MOST_READINGS, Packed, Packer
from edge.plan import LinkNow, Queue, Wait, What, next_step
from edge.sealing import Sealing
from edge.transit import AlarmDues, Flight, Transit
from edge.wire import seal
from edge.wire.packet import Receipt

MOST_UNSETTLED = 32  # packets of rounds waiting for a receipt: bounds memory, and the repeats when the province is dumb
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 8.0  # with jitter below the 10 s within which a link that is back must be used
REFUSED_PAUSE_S = 5.0  # a link that refused a packet though it is up (broker's quota, rights): do not hammer
STEADY_S = 60.0  # a link that held so long begins its ladder anew; one that flaps does not
UNFIT_PAUSE_S = 60.0  # an alarm that does not fit a packet of this link is tried again, but not in a loop
NARROW_BYTES = 256  # links with a smaller mtu use the short form of the packet
SWEEP_S = 1.0
SHEET_AGAIN_S = 5.0
PROBE_S = 60.0  # how long the rounds of a run wait for its first receipt: a satellite's takes seconds, and it is lost
RENEW_AGAIN_S = 3600.0  # a store found to be an older copy twice within this time: something else is wrong, say so
UNSIGNED_S = 60.0  # a link that takes packets while the province signs for none is said
SHEETS = frozenset({Kind.SHEET})
SMALL = frozenset({Kind.STATUS, Kind.ACCOUNT})


@dataclass(slots=True)
class Way:
    """A link and what the relay knows of it. Instants are monotonic seconds."""

    id: str
    link: Link
    batch_s: float
    on_way: int = 0
    not_before_s: float = 0.0
    greeted: bool = False
    up: bool | None = None
    last_live_s: float = -inf
    losses: int = 0  # running, for the ladder
    trip_s: float = 0.0
    receipt_s: float | None = None
    packets: int = 0
    payload_bytes: int = 0
    dues: AlarmDues = field(default_factory=AlarmDues)
    packing: list[int] = field(default_factory=list)  # the alarms that were due when packing began
    unfit: set[int] = field(default_factory=set)  # small entries larger than a packet here
    rounds_fit: bool = True
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def wide(self) -> bool:
        return self.link.state().mtu_bytes >= NARROW_BYTES

    @property
    def room_bytes(self) -> int:
        overhead = seal.LONG_OVERHEAD_BYTES if self.wide else seal.SHORT_OVERHEAD_BYTES
        return self.link.state().mtu_bytes - overhead


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
    ) -> None:
        """`links`: id -> (link, batch_s)."""
        self.gateway = gateway
        self._sealing = Sealing(gateway, root_key, keeper, self._refuse)
        self._keeper = keeper
        self._say = say
        self._learnt = learnt
        self._random = random.Random(gateway)
        self._packing = asyncio.Lock()  # two links must not pack the same rounds
        self.ways = {name: Way(name, link, batch_s) for name, (link, batch_s) in links.items()}
        self.noise = 0
        self.receipts = 0
        self.damaged = 0
        self.disputed = False
        self._opened_seq = 0
        self.unsigned = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._reset()
        keeper.committed = self._committed
        keeper.switched = self._reset

    def _reset(self) -> None:
        """Forgets all that is on the way: at the start, and when the store has changed under us."""
        self.transit = Transit(self._keeper.sent)
        self._packer = Packer()  # its sheets are rows of the store that is gone
        self._sealing.forget()
        self._sheet_sent_s: dict[int, float] = {}
        self._loaded = False
        # The first packet of a run goes alone: its receipt tells whether this store is what the province knows.
        self._probed = False
        self._probe_until_s = inf
        for way in self.ways.values():
            way.dues.clear()
            way.unfit.clear()
            way.rounds_fit = True
            way.wake.set()

    # -- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for way in self.ways.values():
                tasks.create_task(self._ladder(way), name=f"link {way.id}")
                tasks.create_task(self._pump(way), name=f"pump {way.id}")
            tasks.create_task(self._sweep(), name="sweep")

    async def _ladder(self, way: Way) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await way.link.run(self._receive, lambda: self._changed(way))
                why = "it ended"
            except LinkLost as lost:
                why = lost.why
            if loop.time() - began_s > STEADY_S:
                way.losses = 0
            if way.up is not False:
                self._say(f"link {way.id}", f"is not usable: {why}")
            way.up = False
            pause_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(way.losses, 10))
            way.losses += 1
            await asyncio.sleep(pause_s * self._random.uniform(0.5, 1.0))

    def _changed(self, way: Way) -> None:
        if way.link.state().up and way.up is not True:
            self._say(f"link {way.id}", "is back" if way.up is False else "is up")
            if not any(other.up for other in self.ways.values()):
                self.transit.all_backlog()
            way.up, way.greeted, way.not_before_s, way.rounds_fit = True, False, 0.0, True
            way.dues.clear()
            way.unfit.clear()
        self._wake()

    def _wake(self) -> None:
        for way in self.ways.values():
            way.wake.set()

    async def _pump(self, way: Way) -> None:
        async with asyncio.TaskGroup() as sends:
            while True:
                until_s = await self._step(way, sends)
                if until_s is not None:
                    await _wait(way.wake, until_s)

    async def _step(self, way: Way, sends: asyncio.TaskGroup) -> float | None:
        """Does the next thing on a link. Returns until when there is nothing, None when there may be more."""
        loop = asyncio.get_running_loop()
        async with self._packing:
            if not self._loaded:
                await self._load()
            step = next_step(self._link_now(way), self._queue(way, loop.time()), loop.time())
            if isinstance(step, Wait):
                return step.until_s
            self._probe_until_s = min(self._probe_until_s, loop.time() + PROBE_S)
            if self._must_wait(step.what, loop.time()):
                return loop.time() + SWEEP_S
            transit = self.transit
            try:
                packed = await self._keeper.call(self._work(way, step.what))
                if packed is None:
                    self._nothing(way, step.what)
                    return None
                number = await self._sealing.number()
            except StoreBroken:
                return None  # the keeper has changed to another store, and with it the queue
            except Unpackable as damage:
                await self._drop(damage)
                return None
            except DoesNotFit as unfit:
                self._unfit(way, step.what, unfit)
                return None
            if transit is not self.transit:
                return None
            flight = self._take_off(way, packed, step.what)
        packet = self._sealing.seal(number, packed.sheet, packed.body, way.id, long=way.wide)
        way.on_way += 1
        way.packets += 1
        way.payload_bytes += len(packet)
        sends.create_task(self._hand_over(way, packed, flight, packet), name=f"send {way.id}")
        return None

    def _must_wait(self, what: What, now_s: float) -> bool:
        """Whether rounds are to wait for the receipt of what was sent first in this run: it tells whether this store
        is what the province knows. Alarms and small things never wait, nor do rounds when nothing is on the way."""
        rounds = what in (What.NEWEST, What.LIVE, What.BACKLOG)
        asked = bool(self.transit.flights or self.transit.alarms)
        return rounds and asked and not self._probed and now_s < self._probe_until_s

    def _unfit(self, way: Way, what: What, unfit: DoesNotFit) -> None:
        """It waits for another link; this one goes on with the rest."""
        if what is What.ALARMS:
            way.dues.due_s[unfit.seq] = asyncio.get_running_loop().time() + UNFIT_PAUSE_S
        elif what in (What.SHEET, What.SMALL):
            way.unfit.add(unfit.seq)
        else:
            way.rounds_fit = False
        self._say(f"link {way.id}", str(unfit))

    async def _drop(self, damage: Unpackable) -> None:
        """An entry that makes no sense must not stand in the way of all others."""
        if not self.damaged:
            self._say("store", f"{damage}; it is dropped, and counted as evicted, and so are others like it")
        self.damaged += 1
        with contextlib.suppress(StoreBroken):
            await self._keeper.call(Outbox.discard, damage.seq)
        self.transit.freed([(damage.seq, damage.seq)])

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

    # -- what waits ----------------------------------------------------------------------------------------------

    def _link_now(self, way: Way) -> LinkNow:
        usable = way.up is True and way.link.state().up is not False
        window = way.link.window
        return LinkNow(usable, window, way.on_way, way.not_before_s, way.batch_s, way.greeted, way.last_live_s)

    def _queue(self, way: Way, now_s: float) -> Queue:
        transit = self.transit
        alarm_due_s = transit.next_alarm_s(way.dues)
        return Queue(
            sheet=transit.waiting(SHEETS, way.unfit) is not None,
            alarms=alarm_due_s <= now_s,
            alarm_due_s=alarm_due_s,
            small=transit.waiting(SMALL, way.unfit) is not None,
            newest=bool(transit.newest),
            live_readings=transit.live_readings,
            backlog=transit.backlog,
            room=way.rounds_fit and transit.rounds_in_flight() < MOST_UNSETTLED,
            most_readings=MOST_READINGS,
        )

    def _work(self, way: Way, what: What) -> Callable[[Outbox], Packed | None]:
        """The packing of one packet, to be done on the store's thread; all it needs is taken here and now."""
        transit, packer, room_bytes = self.transit, self._packer, way.room_bytes
        if what is What.ALARMS:
            due = way.packing = transit.due_alarms(way.dues, asyncio.get_running_loop().time())
            # Until the province has our sheet, an alarm must speak for itself.
            alone = transit.sheet_unsettled()
            return lambda outbox: packer.alarms(outbox, due, alone, room_bytes)
        if what in (What.SHEET, What.SMALL):
            seq = transit.waiting(SHEETS if what is What.SHEET else SMALL, way.unfit) or 0
            return lambda outbox: packer.small(outbox, seq, room_bytes)
        if what is What.NEWEST:
            newest = transit.newest_waiting()
            return lambda outbox: packer.newest(outbox, newest, room_bytes)
        skip = transit.skip()
        low, high = (transit.live_mark + 1, transit.last_seq) if what is What.LIVE else (1, transit.live_mark)
        return lambda outbox: packer.rounds(outbox, skip, low, high, room_bytes)

    def _nothing(self, way: Way, what: What) -> None:
        """There was nothing to pack after all: the store is right, not the tally."""
        transit = self.transit
        if what is What.NEWEST:
            way.greeted = True
        elif what is What.LIVE:
            transit.live_readings = 0
        elif what is What.BACKLOG:
            transit.backlog = False
        elif what is What.ALARMS:
            now_s = asyncio.get_running_loop().time()
            for seq in way.packing:  # those looked for, not one that has come meanwhile
                way.dues.due_s[seq] = now_s + UNFIT_PAUSE_S
        else:
            gone = transit.waiting(SHEETS if what is What.SHEET else SMALL, way.unfit)
            if gone is not None:
                del transit.small[gone]

    # -- sending -------------------------------------------------------------------------------------------------

    def _take_off(self, way: Way, packed: Packed, what: What) -> Flight | None:
        """Notes that a packet leaves; None for alarms, which are never waited for."""
        transit, now_s = self.transit, asyncio.get_running_loop().time()
        if packed.kind is Kind.ALARM:
            for low, high in packed.ranges:
                transit.sent.add(low, high)
                for seq in range(low, high + 1):
                    way.dues.said(seq, now_s, way.trip_s)
            return None
        flight = transit.off(packed.ranges, packed.readings, now_s, packed.kind is Kind.ROUNDS)
        if what is What.LIVE:
            transit.live_readings = max(0, transit.live_readings - packed.readings)
            if transit.live_readings < MOST_READINGS:
                way.last_live_s = now_s
        elif what is What.NEWEST:
            way.greeted = not transit.newest_waiting()
        return flight

    async def _hand_over(self, way: Way, packed: Packed, flight: Flight | None, packet: bytes) -> None:
        try:
            sent = await way.link.send(packet)
        finally:
            way.on_way -= 1
            way.wake.set()
        if sent is not Sent.NOT_SENT:
            return
        if way.link.state().up:
            way.not_before_s = asyncio.get_running_loop().time() + REFUSED_PAUSE_S
        if flight is not None:
            self.transit.taken_back(flight)
            return
        for low, high in packed.ranges:
            for seq in range(low, high + 1):
                way.dues.forget(seq)

    async def _sweep(self) -> None:
        """Takes back what is overdue."""
        heard = self.receipts
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = asyncio.get_running_loop().time()
            if self.transit.overdue(now_s, self.receipts != heard):
                heard = self.receipts
                self._wake()
            unsigned = self._sealing.unanswered_s() > UNSIGNED_S
            if unsigned and not self.unsigned and any(way.up for way in self.ways.values()):
                self.unsigned = True
                self._say("province", f"has signed for nothing in {UNSIGNED_S:.0f} s: is it up, does it have our key?")

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
        if self.unsigned:
            self._say("province", "signs again")
        self.unsigned = False
        self._time(receipt, epoch)
        entries_epoch = epoch if receipt.epoch is None else receipt.epoch
        if self._loaded and entries_epoch == self._keeper.sheet.epoch:
            self._probed = True
            if any(self.transit.never_sent(low, high, self._opened_seq) for low, high in receipt.ranges):
                # It has what this run never sent: our store is an older copy, and its seqs mean something else there.
                self._renew(entries_epoch)
                return
        for low, high in receipt.ranges:
            self._keeper.settle(entries_epoch, low, high)
            if entries_epoch == self._keeper.sheet.epoch:
                self.transit.receipted(low, high)
        for short in receipt.need_sheets:
            self._need_sheet(short)
        for way in self.ways.values():
            for seq in [seq for seq in way.dues.due_s if seq not in self.transit.alarms]:
                way.dues.forget(seq)
        self._wake()

    def _renew(self, epoch: int) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._keeper.renewed_s > RENEW_AGAIN_S:
            self._keeper.renewed_s = now_s
            self._start(self._keeper.renew(epoch))
        elif not self.disputed:
            self.disputed = True
            self._say("province", "signs for entries that were never sent; such receipts are not believed")

    def _time(self, receipt: Receipt, epoch: int) -> None:
        answered = self._sealing.answered(receipt, epoch)
        if answered is None:
            return
        name, trip_s = answered
        way = self.ways[name]
        way.trip_s = 0.8 * way.trip_s + 0.2 * trip_s if way.trip_s else trip_s
        way.receipt_s = asyncio.get_running_loop().time()
        self.transit.trip(way.trip_s)
        self._learnt(receipt.time_ms + trip_s * 500, trip_s * 500)

    def _need_sheet(self, short: int) -> None:
        """The province does not know a sheet: it is taken once more, as a new entry."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._sheet_sent_s.get(short, -inf) < SHEET_AGAIN_S or self.transit.sheet_unsettled():
            return
        self._sheet_sent_s[short] = now_s
        self._start(self._take_sheet(short))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_sheet(self, short: int) -> None:
        def find(outbox: Outbox) -> list[NewEntry]:
            wanted = [row for row, digest in outbox.sheets() if (digest[0] or 1) == short]
            return [NewEntry(Kind.SHEET, 0, 0, ClockQuality.FREE, 0, b"", row) for row in wanted]

        try:
            await self._keeper.take_now(await self._keeper.call(find))
        except StoreBroken:
            return  # the new store has taken its own sheet

    # -- what the store tells ------------------------------------------------------------------------------------

    def _committed(self, entries: Sequence[tuple[int, NewEntry]], done: Commit) -> None:
        self.transit.taken(entries)
        self.transit.freed(done.freed)
        self._wake()

    def dated(self) -> None:
        """What had no time has one now: it may be sent."""
        self.transit.all_backlog()
        self._wake()

    def health(self) -> dict[str, dict[str, Any]]:
        """Each link as a technician may ask for it. JSON types only."""
        now_s = asyncio.get_running_loop().time()
        return {
            way.id: {
                "up": way.up is True and way.link.state().up is not False,
                "why": way.link.state().why,
                "mtu_bytes": way.link.state().mtu_bytes,
                "window": way.link.window,
                "on_way": way.on_way,
                "packets": way.packets,
                "payload_bytes": way.payload_bytes,
                "round_trip_ms": round(way.trip_s * 1000, 1),
                "last_receipt_age_s": None if way.receipt_s is None else round(now_s - way.receipt_s, 1),
                **way.link.health(),
            }
            for way in self.ways.values()
        }


async def _wait(event: asyncio.Event, until_s: float) -> None:
    """Until the event (which is cleared), or the monotonic instant `until_s`."""
    try:
        async with asyncio.timeout_at(None if until_s == inf else until_s):
            await event.wait()
    except TimeoutError:
        return
    event.clear()
