"""A way that takes one packet in so many seconds: a Beidou card's 77 bytes a minute. What goes into the slot?

Each packet is chosen and packed when its slot has come. Alarms first. Rounds and the sheet go by it only while no wide
link is up; status and account wait for a wide link. Rounds go newest first, and the room that is left in a packet
holds rounds that went before and have no receipt yet: a lost message is made good by the next one, long before its
receipt is missed. What does not fit one packet goes in pieces (`edge.parcel`).

The province answers this way once in a dozen packets, so patience here is RECEIPT_SLOTS slots; but a receipt names the
packets that have not arrived, and those go again at once.

A message costs the same however full it is. So what fits goes in the long form, and alarms speak for themselves where
there is room for it. Else they go as small as can be, until it is to be feared that nobody knows us (`edge.slotdoubt`).

What slots can carry is measured (edge/slotrate.py): all rounds, those that come in, or summaries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import inf
from typing import Any

from edge.contract import Kind, Link, Sent
from edge.errors import DoesNotFit
from edge.packing import STALE_TRIES, Packed
from edge.parcel import MOST_BACK, REORDER_S, Parcel
from edge.plan import Send, SlotQueue, Wait, What, next_in_slot
from edge.slotdoubt import Doubt
from edge.slotpack import MOST_ROWS, PIECE, Due, Rows, pack_alarms, pack_rows
from edge.slotrate import FULL, LIVE, SUMMARIES, SlotRate
from edge.slotstate import SlotState, Told, closed, newest_of
from edge.summaries import pack_summary
from edge.transit import Flight
from edge.ways import SHEETS, TEST_BODY, Cargo, Shared, Way, Work
from edge.wire import seal
from edge.wire.fragment import MOST_FRAGMENTS, PARCEL_HEAD_BYTES
from edge.wire.packet import FRAGMENT_HEAD_BYTES, Receipt, cut

RECEIPT_SLOTS = 30  # the province answers each dozen packets, and an answer may be lost: twice that, and some
NOW_EVERY_S = 600.0
MOST_PROBES = 3  # one in 400 messages and answers is lost twice; then rounds go all the same
MOST_AGAIN = 32  # rounds looked at to fill a packet with
MOST_PIECES = 16  # of a parcel of rounds: it is complete at the province after so many slots, the newest with it
MOST_PARCELS = 32  # begun, or waiting for their receipt: two lost receipts at one packet a parcel
MOST_WINDOWS_TOLD = 20_000
MARGIN_S = 3.0  # of a slot beyond its period: the driver's margin, and the time until the feedback


class SlotWay(Way):
    """A way with slots."""

    slots = True

    def __init__(self, name: str, link: Link, batch_s: float, shared: Shared) -> None:
        super().__init__(name, link, batch_s, shared)
        self.slot = SlotState()
        self._rate = SlotRate()
        self._doubt = Doubt()

    # -- how it stands -------------------------------------------------------------------------------------------

    @property
    def long(self) -> bool:
        """A province that does not know our epoch yet, or has lost what it knew, can not open the short form."""
        return self.shared.transit.sheet_unsettled() and not self.shared.known

    def is_long(self, body: bytes) -> bool:
        return len(body) <= self._long_bytes

    @property
    def _long_bytes(self) -> int:
        """The room in the long form."""
        return self.link.state().mtu_bytes - seal.LONG_OVERHEAD_BYTES

    @property
    def slot_s(self) -> float:
        return self.link.state().slot_s

    @property
    def patience_s(self) -> float:
        return RECEIPT_SLOTS * self.slot_s

    @property
    def unsigned_s(self) -> float:
        return 2 * self.patience_s

    @property
    def wide(self) -> bool:
        """Whether a wide link is up, which carries all but alarms."""
        return any(way.usable for way in self.shared.ways.values() if not way.slots)

    @property
    def mode(self) -> str:
        """full, live or summaries: edge/slotrate.py."""
        return self._rate.mode(self.shared.sheet, self.room_bytes, self.slot_s, self.shared.held_readings)

    def reset(self) -> None:
        super().reset()
        self.slot = SlotState()
        self._doubt.renew()

    @property
    def _probed(self) -> bool:
        """Whether this store is known to be what the province knows: an older copy of it would give seqs again, and
        its rounds be taken for repeats. A receipt tells; here it takes its time, so a packet asks for one first."""
        return self.shared.probed or self.slot.probes >= MOST_PROBES or self.shared.transit.sheet_unsettled()

    def rounds_came(self) -> None:
        """Rounds were committed, or wait again."""
        self.slot.rounds_wait = self.slot.summaries_wait = True

    def wide_is_back(self) -> None:
        """What was begun in pieces and is not all out goes by the wide link, whole; the sheet in any case, as nothing
        there can be read without it."""
        for parcel in [p for p in self.slot.parcels if p.unsent() or p.packed.kind is Kind.SHEET]:
            self._forget(parcel)

    # -- what is next --------------------------------------------------------------------------------------------

    def next(self, now_s: float) -> Send | Wait:
        self._sweep(now_s)
        transit, slot = self.shared.transit, self.slot
        mode = LIVE if self.wide else self.mode  # it matters only where rounds go by slots
        alarm_due_s = transit.next_alarm_s(self.dues)
        begun = [parcel for parcel in slot.parcels if parcel.packed.kind is Kind.ALARM]
        room = len(slot.parcels) - len(begun) < MOST_PARCELS
        queue = SlotQueue(
            alarms=alarm_due_s <= now_s,
            alarm_due_s=alarm_due_s,
            alarms_rest=slot.stale_alarms_went and self._stale(transit.due_alarms(self.dues, now_s)),
            alarm_piece_due_s=min((parcel.due_s() for parcel in begun), default=inf),
            test=self.test is not None and self.test.counter is None,
            wide=self.wide,
            sheet=room and transit.waiting(SHEETS, self.unfit) is not None,
            piece_due_s=min((parcel.due_s() for parcel in slot.parcels), default=inf),
            rounds=room and slot.rounds_wait and mode != SUMMARIES,
            summaries=room and slot.summaries_wait and mode != FULL,
            newest_due_s=slot.newest_s + NOW_EVERY_S if mode == SUMMARIES and room and slot.rounds_wait else inf,
            summary_turn=slot.summary_turn,
        )
        step = next_in_slot(self.link_now(), queue, now_s)
        if step in (Send(What.LIVE), Send(What.NEWEST)) and not self._probed:
            return Send(What.PROBE)
        urgent = queue.alarms or queue.alarm_piece_due_s <= now_s or step == Send(What.TEST)
        asks = isinstance(step, Send) and not urgent and self._doubt.asks(now_s, self.slot_s)
        return Send(What.PROBE) if asks else step

    def work(self, what: What, now_s: float) -> Work:
        transit, packer = self.shared.transit, self.shared.packer
        due = self._due_alarms = transit.due_alarms(self.dues, now_s) if what is What.ALARMS else []
        room_bytes = self.room_bytes
        if what is What.PIECE:
            return lambda _outbox: PIECE
        if what is What.PROBE:
            return lambda _outbox: Packed(Kind.TEST, TEST_BODY, None, (), 0)
        if what is What.ALARMS:
            alarms = self._alarms(due, now_s)
            return lambda outbox: pack_alarms(packer, outbox, alarms, room_bytes)
        if what is What.SHEET:
            seq = transit.waiting(SHEETS, self.unfit) or 0
            most_bytes = self._pieces_bytes(MOST_FRAGMENTS)
            return lambda outbox: packer.small(outbox, seq, most_bytes)
        if what in (What.LIVE, What.NEWEST):
            rows = self._rows(what)
            return lambda outbox: pack_rows(packer, outbox, rows, room_bytes)
        if what is What.SUMMARY and self.shared.sheet is not None:
            row, sheet, told = self.shared.sheet_row, self.shared.sheet, frozenset(self.slot.told)
            return lambda outbox: pack_summary(outbox, row, sheet, told, room_bytes)
        return super().work(what, now_s)

    def _alarms(self, due: Sequence[int], now_s: float) -> Due:
        """How the alarms that are due are to go."""
        shared, long_bytes = self.shared, self._long_bytes
        begun = self.slot.next_parcel(now_s) if self.slot.alarms_went else None
        plain = {seq for seq in due if self._doubt.speaks_plain(seq, now_s, self.slot_s)}
        how = (dict(self.dues.tries), shared.transit.sheet_unsettled(), shared.sheet_row, long_bytes)
        pieces_bytes = self._pieces_bytes(MOST_FRAGMENTS, long_bytes)
        return Due(due, *how, plain, pieces_bytes, begun.packed.level if begun else -1)

    def _room_for(self, packed: Packed) -> int:
        return self._long_bytes if packed.plain else self.room_bytes

    def _pieces_bytes(self, pieces: int, room_bytes: int | None = None) -> int:
        """How long a body may be that goes in so many pieces."""
        room_bytes = self.room_bytes if room_bytes is None else room_bytes
        return max(0, pieces * (room_bytes - FRAGMENT_HEAD_BYTES) - PARCEL_HEAD_BYTES)

    def _rows(self, what: What) -> Rows:
        """Which rounds may go now."""
        transit, slot = self.shared.transit, self.slot
        return Rows(
            transit.skip(),
            transit.live_mark + 1 if self.mode == LIVE else 1,
            transit.last_seq,
            newest_of(transit.told(self.id), MOST_AGAIN),
            dict(slot.served_s),
            dict(slot.fitted),
            self._pieces_bytes(MOST_PIECES),
            1 if what is What.NEWEST else MOST_ROWS,
        )

    def nothing(self, what: What, now_s: float) -> None:
        if what in (What.LIVE, What.NEWEST):
            self.slot.rounds_wait = False
        elif what is What.SUMMARY:
            self.slot.summaries_wait = self.slot.summary_turn = False
        else:
            super().nothing(what, now_s)

    def does_not_fit(self, what: What, unfit: DoesNotFit, now_s: float) -> None:
        if what in (What.SUMMARY, What.LIVE, What.NEWEST):
            self.nothing(what, now_s)
        else:
            super().does_not_fit(what, unfit, now_s)

    # -- what leaves ---------------------------------------------------------------------------------------------

    def take_off(self, packed: Packed, what: What, counter: int, now_s: float) -> Cargo | None:
        slot = self.slot
        slot.alarms_went = slot.stale_alarms_went = False
        if packed.kind is Kind.FRAGMENT:
            parcel = slot.next_parcel(now_s)
            return None if parcel is None else self._piece(parcel, counter, now_s)
        if what is What.PROBE:
            slot.probes += 1
            self._doubt.asked(now_s)
            return Cargo(None, TEST_BODY)
        if packed.kind is Kind.ROUNDS:
            self._note(packed, what, now_s)
        elif packed.kind is Kind.SUMMARY:
            slot.told.update(packed.windows)
            slot.summary_turn = False
            self._rate.summary()
            if not packed.body:
                return None
        if len(packed.body) > self._room_for(packed):
            return self._begin(packed, counter, now_s)
        if packed.kind is Kind.SUMMARY:
            slot.summaries[counter] = Told(packed.windows, now_s)
            return Cargo(packed.sheet, packed.body, packed, counter=counter)
        if packed.kind in (Kind.ROUNDS, Kind.SHEET):
            flight = self._off(packed, counter, now_s)
            return Cargo(packed.sheet, packed.body, packed, flight)
        if packed.kind is Kind.ALARM:
            self._told(packed, counter)
        return super().take_off(packed, what, counter, now_s)

    def _told(self, packed: Packed, counter: int) -> None:
        """Alarms leave."""
        seqs = [seq for span in packed.ranges for seq in closed(span)]
        self.slot.alarms_went, self.slot.stale_alarms_went = True, self._stale(self._due_alarms)
        self._doubt.told(counter, seqs, plain=packed.plain or (packed.sheet is None and self.is_long(packed.body)))
        if packed.sheet is not None:
            self._rate.alarms(len(packed.body), len(seqs))

    def _note(self, packed: Packed, what: What, now_s: float) -> None:
        """What is learnt from packing rounds."""
        slot = self.slot
        slot.served_s[packed.sheet_row, packed.group] = now_s
        slot.fitted[packed.group] = packed.rows
        slot.summary_turn = True
        if what is What.NEWEST:  # a single round: it says nothing of many
            slot.newest_s = now_s
            return
        self._rate.rounds(len(packed.body), packed.readings)

    def _off(self, packed: Packed, counter: int, now_s: float) -> Flight:
        transit = self.shared.transit
        for low, high in packed.ranges:
            transit.sent.add(low, high)
        fresh = packed.fresh or packed.ranges
        return transit.off(fresh, 0, now_s, packed.kind is Kind.ROUNDS, self.id, counter, self.patience_s)

    def _begin(self, packed: Packed, counter: int, now_s: float) -> Cargo | None:
        """A body that goes in pieces: the first of them."""
        if len(packed.body) > self._pieces_bytes(MOST_FRAGMENTS):
            raise DoesNotFit(packed.ranges[0][0] if packed.ranges else 0, packed.kind.name.lower())
        begun = (parcel for parcel in self.slot.parcels if packed.kind is Kind.ALARM)  # one nobody has answered
        parcel = next((it for it in begun if (it.packed.body, it.packed.plain) == (packed.body, packed.plain)), None)
        if parcel is None:
            chunk_bytes = self._room_for(packed) - FRAGMENT_HEAD_BYTES
            parcel = Parcel(packed, cut(packed.sheet, packed.body, chunk_bytes), self.patience_s)
            self.slot.parcels.append(parcel)
        parcel.again()
        if packed.ranges and packed.kind is not Kind.ALARM:
            parcel.flight = self._off(packed, -1, now_s)
        cargo = self._piece(parcel, counter, now_s)
        if cargo is not None and packed.kind is Kind.ALARM:
            self._told(packed, counter)
            self._alarms_leave(packed, now_s)
            self.dues.due_s[packed.first] += len(parcel.pieces) * self.slot_s  # not before all can have arrived
        return cargo

    def _piece(self, parcel: Parcel, counter: int, now_s: float) -> Cargo | None:
        if parcel.first_counter is not None and counter - parcel.first_counter >= MOST_BACK:
            self._forget(parcel)
            return None
        which, body = parcel.take(counter, now_s)
        if parcel.flight is not None:
            parcel.flight.due_s = now_s + self.patience_s
        return Cargo(None, body, piece=(parcel, which))

    def _stale(self, seqs: Sequence[int]) -> bool:
        """Whether alarms have all been said again and again here without an answer."""
        return bool(seqs) and all(self.dues.tries.get(seq, 0) >= STALE_TRIES for seq in seqs)

    def handed(self, cargo: Cargo, sent: Sent, now_s: float) -> None:
        super().handed(cargo, sent, now_s)
        if sent is not Sent.NOT_SENT:
            self._doubt.sent(now_s)
            return
        if self.slot.alarms_went and cargo.piece is None:
            self._doubt.not_told()
        self.slot.alarms_went = self.slot.stale_alarms_went = False
        if cargo.piece is not None:
            parcel, which = cargo.piece
            parcel.not_sent(which)
        elif cargo.counter is not None:
            self._not_told(cargo.counter)
        elif cargo.packed is None:
            self.slot.probes -= 1
            self._doubt.not_asked()
        self.rounds_came()

    # -- what comes back -----------------------------------------------------------------------------------------

    def receipt(self, receipt: Receipt, now_s: float) -> None:
        super().receipt(receipt, now_s)
        self._doubt.answered(receipt.echo, self.shared.transit.alarms)
        transit = self.shared.transit
        # What stands right before a range is surely not there, else the range would begin earlier.
        absent = [low - 1 for low, _ in receipt.ranges] if receipt.epoch is None else []
        for flight in [flight for flight in transit.flights if flight.way == self.id]:
            lost = receipt.missing(flight.counter) or any(
                seq in span for span in map(closed, flight.ranges) for seq in absent
            )
            if lost and flight.counter >= 0 and now_s - (flight.due_s - self.patience_s) > REORDER_S:
                transit.taken_back(flight)
                self.rounds_came()
        for counter, told in list(self.slot.summaries.items()):
            missing = receipt.missing(counter)
            if missing is False:
                del self.slot.summaries[counter]
            elif missing and now_s - told.sent_s > REORDER_S:
                self._not_told(counter)
        for parcel in self.slot.parcels:
            parcel.receipt(receipt, now_s)

    def _sweep(self, now_s: float) -> None:
        """Lets go of parcels that are over, and of what nobody has answered."""
        slot, transit = self.slot, self.shared.transit
        for counter, told in list(slot.summaries.items()):
            if now_s - told.sent_s > self.patience_s:
                self._not_told(counter)
        if self.wide and any(parcel.packed.kind is Kind.SHEET for parcel in slot.parcels):
            self.wide_is_back()  # it came up while the first piece was being packed
        for parcel in list(slot.parcels):
            if parcel.flight is not None:
                over = parcel.flight not in transit.flights
            elif parcel.packed.kind is Kind.ALARM:
                over = parcel.done or not any(low in transit.alarms for low, _ in parcel.packed.ranges)
            else:
                over = parcel.done
            if over:
                slot.parcels.remove(parcel)
            elif self.usable and not parcel.fits(self.room_bytes):
                self._forget(parcel)
        if len(slot.told) > MOST_WINDOWS_TOLD:
            slot.told.clear()

    def _not_told(self, counter: int) -> None:
        told = self.slot.summaries.pop(counter, None)
        if told is not None:
            self.slot.told.difference_update(told.windows)
            self.slot.summaries_wait = True

    def _forget(self, parcel: Parcel) -> None:
        self.slot.parcels.remove(parcel)
        self.slot.told.difference_update(parcel.packed.windows)
        if parcel.flight is not None:
            self.shared.transit.taken_back(parcel.flight)

    def health(self, now_s: float) -> dict[str, Any]:
        return {**super().health(now_s), "queue": self._queue(now_s)}

    def _queue(self, now_s: float) -> dict[str, Any]:
        """What waits here, in messages and minutes."""
        transit, room_bytes = self.shared.transit, max(1, self.room_bytes)
        readings = 0 if self.wide else self.shared.held_readings
        pieces = sum(not piece.arrived for parcel in self.slot.parcels for piece in parcel.pieces)
        alarms = len(transit.alarms)
        mode = "alarms only" if self.wide else self.mode
        messages = pieces + self._rate.messages(alarms, readings if mode == FULL else 0, room_bytes)
        ready_s = max(0.0, self.link.state().ready_s - now_s)
        wait_s = ready_s + (messages - 1) * (self.slot_s + MARGIN_S) if messages else 0.0
        minutes = math.ceil(wait_s / 60) if self.usable else None  # nobody knows how long it is down
        return {"mode": mode, "alarms": alarms, "readings": readings, "messages": messages, "minutes": minutes}
