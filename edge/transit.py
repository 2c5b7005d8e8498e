"""What of the outbox is on the way to the province, and what still waits: the relay's memory. Pure, without a clock.

A packet of rounds is in flight until its receipt, or until it is overdue and taken back. An alarm is never "in flight":
for each link it is due again at some instant, until a receipt ends it. Nothing here outlives the process: after a
restart all that is held waits again, and the province drops what it already has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import inf

from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.ranges import Range, RangeSet

FIRST_RESEND_S = 10.0
LONGEST_RESEND_S = 300.0
ALARM_RESEND_S = 5.0
LONGEST_ALARM_RESEND_S = 60.0
ALARM_SLOTS = 1.5  # growth of the pause between repeats of an alarm on a link with slots
LONGEST_ALARM_SLOTS = 6
RESEND_TRIPS = 4  # a receipt is overdue after so many of the usual round trips


@dataclass(eq=False, slots=True)
class Flight:
    """A packet on the way to its receipt; overdue at the monotonic instant `due_s`. `way`: the link that has it."""

    ranges: tuple[Range, ...]
    readings: int
    due_s: float
    rounds: bool
    way: str = ""
    counter: int = -1  # of the packet
    patient: bool = False  # its receipt takes its time: being late says nothing of the others


@dataclass(slots=True)
class AlarmDues:
    """When each unsettled alarm is to be said (again) on one link, by seq; absent: now."""

    due_s: dict[int, float] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)

    def said(self, seq: int, now_s: float, trip_s: float, slot_s: float = 0.0) -> None:
        """`slot_s`: the link takes one packet in so many seconds; the next one repeats what has no receipt yet, later
        ones leave every other slot and more to the rest."""
        tries = self.tries.get(seq, 0)
        self.tries[seq] = tries + 1
        wait_s = max(ALARM_RESEND_S, RESEND_TRIPS * trip_s) * 1.5 ** min(tries, 10)
        if slot_s:
            wait_s = min(slot_s * ALARM_SLOTS ** max(0, tries - 1), LONGEST_ALARM_SLOTS * slot_s) - slot_s / 2
            self.due_s[seq] = now_s + wait_s
            return
        self.due_s[seq] = now_s + min(LONGEST_ALARM_RESEND_S, wait_s)

    def sooner(self, at_s: float) -> None:
        """The province is heard again: what it has not got meanwhile (a broker keeps only so much) is said anew then,
        and its pauses grow anew."""
        for seq, due_s in self.due_s.items():
            if due_s > at_s:
                self.due_s[seq] = at_s
                self.tries.pop(seq, None)

    def forget(self, seq: int) -> None:
        self.due_s.pop(seq, None)
        self.tries.pop(seq, None)

    def clear(self) -> None:
        self.due_s.clear()
        self.tries.clear()


class Transit:
    """The tally. `seq` is the store's own everywhere."""

    def __init__(self, sent: RangeSet | None = None) -> None:
        """`sent`: what was handed to a link in this run, ever; kept by who outlives the tally."""
        self.alarms: set[int] = set()
        self.small: dict[int, Kind] = {}  # sheets, status, accounts
        self.newest: dict[int, int] = {}  # group -> seq of its newest dated round
        self.last_seq = 0
        self.live_mark = 0  # rounds above it came in while a link was up
        self.live_readings = 0  # that wait above the mark
        self.backlog = True  # whether rounds may wait at or below the mark
        self.flights: list[Flight] = []
        self.resend_s = FIRST_RESEND_S
        self.sent = RangeSet() if sent is None else sent
        self._on_way = RangeSet()
        self._settled = RangeSet()  # receipted, not yet deleted from the store
        self._gone_meanwhile: RangeSet | None = None  # has left the store since `packing`

    # -- what waits ----------------------------------------------------------------------------------------------

    def waiting(self, kinds: Collection[Kind], unfit: Collection[int] = ()) -> int | None:
        """The oldest sheet, status or account of `kinds` that is not on the way and not in `unfit`."""
        free = (s for s, kind in self.small.items() if kind in kinds and s not in self._on_way and s not in unfit)
        return min(free, default=None)

    def due_alarms(self, dues: AlarmDues, now_s: float) -> list[int]:
        return sorted(seq for seq in self.alarms if dues.due_s.get(seq, -inf) <= now_s)

    def sheet_unsettled(self) -> bool:
        """Whether the province may not have our sheet yet."""
        return Kind.SHEET in self.small.values()

    def next_alarm_s(self, dues: AlarmDues) -> float:
        return min((dues.due_s.get(seq, -inf) for seq in self.alarms), default=inf)

    def newest_waiting(self) -> list[int]:
        """The newest round of each group, unless it is on the way."""
        return [seq for seq in self.newest.values() if seq not in self._on_way and seq not in self._settled]

    def skip(self) -> RangeSet:
        """What is not to be packed now."""
        skip = RangeSet(self._on_way)
        for low, high in self._settled:
            skip.add(low, high)
        return skip

    def rounds_in_flight(self, way: str = "") -> int:
        """Packets of rounds on the way by one link."""
        return sum(flight.rounds and flight.way == way for flight in self.flights)

    def told(self, way: str) -> RangeSet:
        """The rounds that left by one link and have no receipt yet."""
        found = RangeSet()
        for flight in self.flights:
            if flight.way == way and flight.rounds:
                for low, high in flight.ranges:
                    found.add(low, high)
        for low, high in self._settled:
            found.discard(low, high)
        return found

    # -- what happens --------------------------------------------------------------------------------------------

    def found(self, things: Iterable[tuple[int, Kind]], last_seq: int) -> None:
        """What the store held already; its rounds are backlog."""
        for seq, kind in things:
            self._note(seq, kind)
        self.last_seq = max(self.last_seq, last_seq)
        self.all_backlog()

    def taken(self, entries: Iterable[tuple[int, NewEntry]]) -> None:
        """Entries just committed."""
        for seq, entry in entries:
            self.last_seq = max(self.last_seq, seq)
            if entry.kind is Kind.SUMMARY:
                self.all_backlog()  # it stands for what is old
            elif entry.kind is not Kind.ROUNDS:
                self._note(seq, entry.kind)
            elif entry.clock is not ClockQuality.UNKNOWN:
                self.newest[entry.group] = seq
                self.live_readings += entry.readings

    def all_backlog(self) -> None:
        """A link has come up, or times were learnt: what waits by now is backlog, what comes is live."""
        self.live_mark, self.live_readings, self.backlog = self.last_seq, 0, True

    def off(
        self,
        ranges: tuple[Range, ...],
        readings: int,
        now_s: float,
        rounds: bool,
        way: str = "",
        counter: int = -1,
        patience_s: float | None = None,
    ) -> Flight:
        """A packet leaves. `patience_s`: when it is overdue; by default when the usual round trip says so."""
        due_s = now_s + (self.resend_s if patience_s is None else patience_s)
        flight = Flight(ranges, readings, due_s, rounds, way, counter, patience_s is not None)
        self.flights.append(flight)
        for low, high in ranges:
            self._on_way.add(low, high)
            self.sent.add(low, high)
        return flight

    def taken_back(self, flight: Flight) -> None:
        """A packet did not leave, or is overdue: what it held waits again."""
        if flight not in self.flights:
            return
        self.flights.remove(flight)
        for low, high in flight.ranges:
            self._on_way.discard(low, high)
        if flight.ranges[0][0] <= self.live_mark:
            self.backlog = True
        if flight.ranges[-1][1] > self.live_mark:
            self.live_readings += flight.readings

    def receipted(self, low: int, high: int) -> None:
        """The province has `low`..`high`; the store deletes them with its next commit."""
        high = min(high, self.last_seq)
        if low <= high:
            self._settled.add(low, high)
            self._gone(low, high)

    def packing(self) -> None:
        """A packet is being packed: nothing of it is on the way yet, and folding may take it meanwhile."""
        self._gone_meanwhile = RangeSet()

    def still_there(self, ranges: Iterable[Range]) -> bool:
        """Whether all that was packed is what it was. What was folded meanwhile goes as its summary, and not twice."""
        gone, self._gone_meanwhile = self._gone_meanwhile, None
        return gone is None or all(next(gone.gaps(*span), None) == span for span in ranges)

    def freed(self, ranges: Iterable[Range]) -> None:
        """The store has deleted these."""
        for low, high in ranges:
            if self._gone_meanwhile is not None:
                self._gone_meanwhile.add(low, high)
            self._settled.discard(low, high)
            self._gone(low, high)

    def never_sent(self, low: int, high: int, opened_seq: int) -> bool:
        """Whether `low`..`high` holds an entry of this run (its seq above `opened_seq`) that was never sent."""
        return next(self.sent.gaps(max(low, opened_seq + 1), high), None) is not None

    def trip(self, trip_s: float) -> None:
        """A round trip to the province and back was measured."""
        self.resend_s = max(FIRST_RESEND_S, RESEND_TRIPS * trip_s)

    def sooner(self, way: str, at_s: float) -> None:
        """What one link has of rounds is overdue by then at the latest."""
        for flight in self.flights:
            if flight.rounds and flight.way == way:
                flight.due_s = min(flight.due_s, at_s)

    def next_overdue_s(self) -> float:
        """When the next packet on the way is overdue; inf for none."""
        return min((flight.due_s for flight in self.flights), default=inf)

    def overdue(self, now_s: float, heard: bool) -> bool:
        """Takes back what is overdue; whether there was any. `heard`: some receipt has come since the last time."""
        late = [flight for flight in self.flights if flight.due_s <= now_s]
        for flight in late:
            self.taken_back(flight)
        if any(not flight.patient for flight in late) and not heard:
            self.resend_s = min(LONGEST_RESEND_S, self.resend_s * 2)
        return bool(late)

    def _note(self, seq: int, kind: Kind) -> None:
        if kind is Kind.ALARM:
            self.alarms.add(seq)
        elif kind not in (Kind.ROUNDS, Kind.SUMMARY):
            self.small[seq] = kind

    def _gone(self, low: int, high: int) -> None:
        self._on_way.discard(low, high)
        self.alarms = {seq for seq in self.alarms if not low <= seq <= high}
        self.small = {seq: kind for seq, kind in self.small.items() if not low <= seq <= high}
        self.newest = {group: seq for group, seq in self.newest.items() if not low <= seq <= high}
        # A flight is over when nothing of it is on the way any more.
        self.flights = [
            flight
            for flight in self.flights
            if any(next(self._on_way.gaps(*span), None) != span for span in flight.ranges)
        ]
