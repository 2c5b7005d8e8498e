"""A way out as the relay sees it: a link, what is on the way by it, what it is to carry next. No I/O.

`Way` is a wide link (MQTT over fibre, 4G, VSAT). `slotways.SlotWay` is one that takes a packet now and then (a Beidou
card). All ways of a relay share one tally of what waits (`Shared`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from edge.contract import Kind, Link, Sent
from edge.errors import DoesNotFit, Unpackable
from edge.outbox import Outbox
from edge.packing import MOST_READINGS, SUMMARY, Packed, Packer
from edge.parcel import Parcel
from edge.plan import LinkNow, Queue, Send, Wait, What, next_step
from edge.ranges import RangeSet
from edge.transit import AlarmDues, Flight, Transit
from edge.wire import seal
from edge.wire.packet import Receipt
from edge.wire.sheet import Sheet

MOST_UNSETTLED = 32  # packets of rounds waiting for a receipt: bounds memory, and the repeats when the province is dumb
UNFIT_PAUSE_S = 60.0  # an alarm that does not fit a packet of this link is tried again, but not in a loop
REFUSED_PAUSE_S = 5.0  # a link that refused a packet though it is up (broker's quota, rights): do not hammer
UNSIGNED_S = 60.0  # a link that takes packets while the province signs for none is said
SHEETS = frozenset({Kind.SHEET})
SMALL = frozenset({Kind.STATUS, Kind.ACCOUNT})
TEST_BODY = bytes([Kind.TEST])

Work = Callable[[Outbox], Packed | None]


@dataclass(eq=False, slots=True)
class Test:
    """A packet that asks for nothing but a receipt. `steps`: what has become of it, for who asked."""

    steps: asyncio.Queue[dict[str, Any]] = field(default_factory=lambda: asyncio.Queue(16))
    counter: int | None = None
    sent_s: float = 0.0

    async def follow(self, step: dict[str, Any], wait_s: float) -> AsyncGenerator[dict[str, Any], None]:
        """`step`, then what becomes of it, until it has come to its end or `wait_s` are over."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            yield step
            if step["step"] in ("receipt", "no receipt") or step.get("outcome") == Sent.NOT_SENT.value:
                return
            try:
                step = await asyncio.wait_for(self.steps.get(), max(0.0, began_s + wait_s - loop.time()))
            except TimeoutError:
                step = {"step": "no receipt", "after_s": round(loop.time() - began_s, 1)}


@dataclass(slots=True)
class Cargo:
    """What a packet carries, until its outcome is known."""

    sheet: Sheet | None
    body: bytes
    packed: Packed | None = None
    flight: Flight | None = None
    test: Test | None = None
    piece: tuple[Parcel, int] | None = None  # and which of it
    counter: int | None = None  # of a summary


class Shared:
    """What all ways know together; renewed when the store changes."""

    def __init__(self, sent: RangeSet) -> None:
        self.ways: dict[str, Way] = {}
        self.renew(sent)

    def renew(self, sent: RangeSet) -> None:
        self.transit = Transit(sent)
        self.packer = Packer()  # its sheets are rows of the store that was changed
        self.sheet: Sheet | None = None  # the present one
        self.sheet_row = 0  # where the store has it
        self.held_readings = 0  # as of the last look
        self.probed = False  # it has answered about entries of the present epoch
        self.known = False  # the province has answered under the present epoch: it can open the short form


class Way:
    """A link and what is known of it. Instants are monotonic seconds."""

    slots = False

    def __init__(self, name: str, link: Link, batch_s: float, shared: Shared) -> None:
        self.id = name
        self.link = link
        self.batch_s = batch_s
        self.shared = shared
        self.on_way = 0
        self.not_before_s = 0.0
        self.greeted = False
        self.up: bool | None = None
        self.tried = False  # `up` only to see whether it is again
        self.trouble = ""
        self.last_live_s = -inf
        self.losses = 0  # running, for the ladder
        self.trip_s = 0.0
        self.receipt_s: float | None = None
        self.packets = 0
        self.payload_bytes = 0
        self.dues = AlarmDues()
        self.unfit: set[int] = set()  # small entries larger than a packet here
        self.unfit_summaries: set[int] = set()
        self.rounds_fit = True
        self.test: Test | None = None  # waiting to be sent, or for its receipt
        self.wake = asyncio.Event()
        self._due_alarms: list[int] = []  # when packing began
        self._said_unfit: set[What] = set()

    # -- how it stands -------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        return self.up is True and self.link.state().up is not False

    @property
    def long(self) -> bool:
        """Whether its packets have the long form."""
        return True

    def is_long(self, body: bytes) -> bool:
        """Whether the packet of this body has the long form."""
        return self.long

    @property
    def room_bytes(self) -> int:
        overhead = seal.LONG_OVERHEAD_BYTES if self.long else seal.SHORT_OVERHEAD_BYTES
        return self.link.state().mtu_bytes - overhead

    @property
    def unsigned_s(self) -> float:
        """For how long a packet without any answer is nothing to speak of."""
        return UNSIGNED_S

    def came_up(self) -> None:
        self.up, self.tried, self.greeted, self.not_before_s, self.rounds_fit = True, False, False, 0.0, True
        self._said_unfit.clear()
        self.dues.clear()
        self.unfit.clear()
        self.unfit_summaries.clear()

    def reset(self) -> None:
        """The store has changed: nothing of it is on the way."""
        self.dues.clear()
        self.unfit.clear()
        self.unfit_summaries.clear()
        self.rounds_fit = True
        self.wake.set()

    def link_now(self) -> LinkNow:
        return LinkNow(
            *(self.usable, self.link.window, self.on_way, self.not_before_s, self.batch_s, self.greeted),
            *(self.last_live_s, self.link.state().ready_s),
        )

    # -- what is next --------------------------------------------------------------------------------------------

    def next(self, now_s: float) -> Send | Wait:
        transit = self.shared.transit
        alarm_due_s = transit.next_alarm_s(self.dues)
        queue = Queue(
            sheet=transit.waiting(SHEETS, self.unfit) is not None,
            alarms=alarm_due_s <= now_s,
            alarm_due_s=alarm_due_s,
            small=transit.waiting(SMALL, self.unfit) is not None,
            newest=bool(transit.newest),
            live_readings=transit.live_readings,
            backlog=transit.backlog,
            room=self.rounds_fit and transit.rounds_in_flight(self.id) < MOST_UNSETTLED,
            most_readings=MOST_READINGS,
            test=self.test is not None and self.test.counter is None,
        )
        return next_step(self.link_now(), queue, now_s)

    def work(self, what: What, now_s: float) -> Work:
        """The packing of one packet, to be done on the store's thread; all it needs is taken here and now."""
        transit, packer, room_bytes = self.shared.transit, self.shared.packer, self.room_bytes
        if what in (What.TEST, What.PROBE):
            return lambda _outbox: Packed(Kind.TEST, TEST_BODY, None, (), 0)
        if what is What.ALARMS:
            due = self._due_alarms = transit.due_alarms(self.dues, now_s)
            # Until the province has our sheet, an alarm must speak for itself.
            alone = transit.sheet_unsettled()
            tries = dict(self.dues.tries)
            return lambda outbox: packer.alarms(outbox, due, tries, alone, room_bytes)
        if what in (What.SHEET, What.SMALL):
            seq = transit.waiting(SHEETS if what is What.SHEET else SMALL, self.unfit) or 0
            return lambda outbox: packer.small(outbox, seq, room_bytes)
        if what is What.NEWEST:
            newest = transit.newest_waiting()
            return lambda outbox: packer.newest(outbox, newest, room_bytes)
        skip = transit.skip()
        for seq in self.unfit_summaries:
            skip.add(seq, seq)
        low, high = (transit.live_mark + 1, transit.last_seq) if what is What.LIVE else (1, transit.live_mark)
        return lambda outbox: packer.rounds(outbox, skip, low, high, room_bytes)

    def nothing(self, what: What, now_s: float) -> None:
        """There was nothing to pack after all: the store is right, not the tally."""
        transit = self.shared.transit
        if what is What.NEWEST:
            self.greeted = True
        elif what is What.LIVE:
            transit.live_readings = 0
        elif what is What.BACKLOG:
            transit.backlog = False
        elif what is What.ALARMS:
            for seq in self._due_alarms:  # those looked for, not one that has come meanwhile
                self.dues.due_s[seq] = now_s + UNFIT_PAUSE_S
        else:
            gone = transit.waiting(SHEETS if what is What.SHEET else SMALL, self.unfit)
            if gone is not None:
                del transit.small[gone]

    def unfit_is_news(self, what: What) -> bool:
        """Whether that something does not fit is to be said: once for each kind of thing while the link is up."""
        news = what not in self._said_unfit
        self._said_unfit.add(what)
        return news

    def does_not_fit(self, what: What, unfit: DoesNotFit, now_s: float) -> None:
        """It waits for another link; this one goes on with the rest."""
        if what is What.ALARMS:
            self.dues.due_s[unfit.seq] = now_s + UNFIT_PAUSE_S
        elif what in (What.SHEET, What.SMALL):
            self.unfit.add(unfit.seq)
        elif unfit.what == SUMMARY:
            self.unfit_summaries.add(unfit.seq)
        else:
            self.rounds_fit = False

    # -- what leaves ---------------------------------------------------------------------------------------------

    def take_off(self, packed: Packed, what: What, counter: int, now_s: float) -> Cargo | None:
        """Notes that a packet leaves. None: after all there is none."""
        transit = self.shared.transit
        cargo = Cargo(packed.sheet, packed.body, packed)
        if packed.kind is Kind.TEST:
            self._test_leaves(cargo, counter, now_s)
        elif packed.kind is Kind.ALARM:
            self._alarms_leave(packed, now_s)
        else:
            bulk = packed.kind in (Kind.ROUNDS, Kind.SUMMARY)
            cargo.flight = transit.off(packed.ranges, packed.readings, now_s, bulk, self.id, counter)
            if what is What.LIVE:
                transit.live_readings = max(0, transit.live_readings - packed.readings)
                if transit.live_readings < MOST_READINGS:
                    self.last_live_s = now_s
            elif what is What.NEWEST:
                self.greeted = not transit.newest_waiting()
        return cargo

    def _test_leaves(self, cargo: Cargo, counter: int, now_s: float) -> None:
        cargo.test = self.test
        if self.test is not None:
            self.test.counter, self.test.sent_s = counter, now_s

    def _alarms_leave(self, packed: Packed, now_s: float) -> None:
        for low, high in packed.ranges:
            self.shared.transit.sent.add(low, high)
            for seq in range(low, high + 1):
                self.dues.said(seq, now_s, self.trip_s, self.link.state().slot_s)

    def handed(self, cargo: Cargo, sent: Sent, now_s: float) -> None:
        """The outcome of a packet."""
        if cargo.test is not None:
            cargo.test.steps.put_nowait({"step": "sent", "outcome": sent.value, "why": self.link.state().why})
            if sent is Sent.NOT_SENT:
                self.test = None
        if sent is not Sent.NOT_SENT:
            return
        if self.link.state().up:
            self.not_before_s = now_s + REFUSED_PAUSE_S
        if cargo.flight is not None:
            self.shared.transit.taken_back(cargo.flight)
        elif cargo.packed is not None and cargo.packed.kind is Kind.ALARM:
            for low, high in cargo.packed.ranges:
                for seq in range(low, high + 1):
                    self.dues.forget(seq)

    def receipt(self, receipt: Receipt, now_s: float) -> None:
        """The province has answered."""
        for seq in [seq for seq in self.dues.due_s if seq not in self.shared.transit.alarms]:
            self.dues.forget(seq)
        test = self.test
        if test is not None and test.counter is not None and receipt.missing(test.counter) is False:
            test.steps.put_nowait({"step": "receipt", "after_s": round(now_s - test.sent_s, 2)})
            self.test = None

    def health(self, now_s: float) -> dict[str, Any]:
        """As a technician may ask for it. JSON types only."""
        state = self.link.state()
        return {
            "up": self.usable,
            "why": state.why,
            "trouble": state.trouble,
            "mtu_bytes": state.mtu_bytes,
            "slot_s": state.slot_s,
            "window": self.link.window,
            "on_way": self.on_way,
            "packets": self.packets,
            "payload_bytes": self.payload_bytes,
            "round_trip_ms": round(self.trip_s * 1000, 1),
            "last_receipt_age_s": None if self.receipt_s is None else round(now_s - self.receipt_s, 1),
            **self.link.health(),
        }


def dropping(work: Work) -> Work:
    """Packing that lets go, in the very same store, of an entry that makes no sense: it must not stand in the way of
    all others. Raises Unpackable for it."""

    def pack(outbox: Outbox) -> Packed | None:
        try:
            return work(outbox)
        except Unpackable as damage:
            outbox.discard(damage.seq)
            raise

    return pack
