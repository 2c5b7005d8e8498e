"""When an alarm must be at the province, by the roads that were open; and promise 10: how the roads were used."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice, pairwise
from math import inf
from typing import NamedTuple

from edge.contract import Kind
from sim.world.judge_books import ROUNDS, Packet
from sim.world.judge_spans import Stretches, holds, merged, without
from sim.world.judge_truth import DISK_TROUBLES, FOUND_OUT_S, HANG_S, REPEATED_S, Truth
from sim.world.nouns import Broken

WIDE_S = 10.0  # of an alarm that waited for its road: its place among all that waited with it
PROMPT_S = 3.0  # of one raised while its road was in use: a commit, both ways of a road as far as a calm one may be
BACK_S = 10.0  # a road that is back is used within: the promise
ON_WAY_S = 8.0  # an attempt to connect that was begun in the dark is given up after 8 s; TCP may yet bring it through
SILENT_S = 20.0  # an attempt that meets a silent broker waits so long for its CONNACK
SESSION_S = 2.0  # CONNECT to SUBACK, the sheet, and a retransmission's wait
BATCH_SLACK_S = 2.0
FED_S = 3.0  # a dead road hears less than one attempt in so many seconds: 8 s each, and pauses
FED_FREE = 10  # attempts that are no feeding: the ladder begins fast
SKY_SLOT_S = 60.0  # period of a civil card
SKY_SLOTS = 3  # the promise
SKY_DELAY_S = 30.0  # on the way up and down, the terminal's feedback, the margin of each slot
SKY_MARGIN_S = 2.0  # on top of the period: terminals' timers are so far off
SKY_USE_S = 10.0  # a slot that is due is used within: the request's place is saved before, a terminal may be busy
SKY_TRIP_S = 15.0  # from a slot to the province, used late, 8 s on the way. A message in 200 is held up: the next slot
KEPT_S = 5.0  # a province that is back has taken what its broker kept by then: a process starts, connects, is told all
SAME_S = 1.0  # a request so soon after an alarm was raised may have been packed before it
NAMELESS = "mqtt"  # a province at a real broker can not tell the roads; and is on a machine with other things to do
SKY_START_S = (
    180.0  # a terminal is found at its rate, its card read, and what the last life may have radiated waited for
)
EACH_S = SKY_SLOT_S + SKY_MARGIN_S + SKY_USE_S + SAME_S  # by then an alarm has been said over each open road
SLOT_ALARMS = 3  # plain ones that fit one message: where more come at once, the later ones need more slots; with its
# numbers, or before the sheet is known, an alarm fills one
IN_VAIN = 2  # so often an alarm that needs its sheet is said before it goes in pieces that need none
FORGOTTEN_S = 2700.0  # a quarter of an hour, and the slots of a sheet and of what was begun: then it has one again


class Way(NamedTuple):
    """A stretch in which alarms must get through. `low_s`: when the road must be in use, BACK_S after it opened, or
    after a start; `needs_s`: how long one may take that waited."""

    low_s: float
    high_s: float
    needs_s: float
    is_sky: bool
    link: str


class Roads:
    """What was open when, and what came over it."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._packets: dict[str, list[float]] = {}
        self._bulk: list[float] = []  # when rounds came over a wide road
        self._alarms: dict[str, list[float]] = {}  # packets of them
        self._judged: dict[str, float] = {}
        self._narrow = {"beidou", *truth.narrow}

    def take(self, packets: list[Packet]) -> None:
        for packet in packets:
            self._packets.setdefault(packet.link, []).append(packet.received_s)
            if packet.kind in (Kind.ALARM, Kind.FRAGMENT):
                self._alarms.setdefault(packet.link, []).append(packet.received_s)
            if packet.kind == ROUNDS and packet.link not in self._narrow and self._bulk[-1:] != [packet.received_s]:
                self._bulk.append(packet.received_s)

    # -- an alarm's time -----------------------------------------------------------------------------------------------

    def ways(self) -> list[Way]:
        """All there are by now."""
        return self._truth.known("ways", self._ways)

    def _ways(self) -> list[Way]:
        truth, found = self._truth, []
        for link in truth.wide:
            for low, high in self._calm(truth.open_roads(link)):
                found.append(Way(low + BACK_S + ON_WAY_S + SESSION_S, high, WIDE_S, False, link))
        for link in truth.narrow:
            for low, high in self._calm(truth.open_roads(link)):
                found.append(Way(low + SKY_START_S, high, SKY_SLOTS * SKY_SLOT_S + SKY_DELAY_S, True, link))
        return found

    def _calm(self, roads: Stretches) -> Stretches:
        """An alarm is committed first: where the disk hangs, that may take until memory has its place."""
        return without(roads, self._truth.during(*DISK_TROUBLES, after_s=HANG_S))

    def due(self, at_s: float, together: tuple[int, int], slow_s: float) -> float:
        """The instant by which an alarm of `at_s` must be there. `together`: how many came at about this time, it
        among them, and the parts of SLOT_ALARMS that they fill. `slow_s`: a disk that is slow makes one that waited so
        much later."""
        number, parts = together
        best = inf
        for way in self.ways():
            due_s = max(at_s, way.low_s) + way.needs_s + slow_s
            if way.is_sky and at_s >= way.low_s:
                due_s = self._slot(way.link, at_s + SAME_S) + SKY_SLOT_S + SKY_MARGIN_S + SKY_TRIP_S
            elif at_s >= way.low_s and NAMELESS not in self._packets:
                due_s = at_s + PROMPT_S
            if way.is_sky:
                needs_sheet = number > 1 or parts > SLOT_ALARMS  # said twice so before anybody can read it
                in_vain = IN_VAIN if needs_sheet and self._forgot(at_s) else 0
                due_s += (SKY_SLOT_S + SKY_MARGIN_S) * ((parts - 1) // SLOT_ALARMS + in_vain)
            if due_s < way.high_s:
                best = min(best, due_s)
        return best

    def filled(self, at_s: float, *, plain: bool, known: bool) -> int:
        """How many parts of SLOT_ALARMS an alarm of `at_s` fills of a card's messages. `plain`: it carries no numbers;
        `known`: with its sheet. With numbers, and to a province that has lost its sheets or is still being told the
        newest, it may go in two pieces."""
        if plain:
            return 1 if known else SLOT_ALARMS
        new_sheet = holds(self._truth.during(*DISK_TROUBLES, after_s=FORGOTTEN_S), at_s)  # of a new store's epoch
        return 2 * SLOT_ALARMS if new_sheet or self._forgot(at_s) else SLOT_ALARMS

    def _forgot(self, at_s: float) -> bool:
        """Whether the province may have no sheet, and the gateway not know it."""
        return holds(self._truth.during("province.forgets", after_s=FORGOTTEN_S), at_s)

    def _slot(self, link: str, at_s: float) -> float:
        """When the card of a link is free for what was there at `at_s`: a period after it was asked last."""
        used = self._truth.record.used.get(link, [])
        place = bisect_right(used, at_s)
        return max(at_s, used[place - 1] + SKY_SLOT_S + SKY_MARGIN_S if place else at_s)

    def silent(self, at_s: float, received_s: float) -> str:
        """The open road by which an alarm of `at_s` was not said though no receipt could have come yet: it first came
        in at `received_s`; "" for none. Asked when EACH_S are over."""
        for way in self.ways():
            if not way.low_s <= at_s < way.high_s:
                continue
            if way.is_sky:
                slot_s = self._slot(way.link, at_s - SAME_S)
                slot_s, said = max(slot_s, at_s), self._truth.record.used.get(way.link, [])
                by_s, is_due = slot_s + SKY_USE_S, received_s > slot_s + SKY_USE_S / 2
            else:
                said, by_s, is_due = self._alarms.get(way.link, []), at_s + PROMPT_S, NAMELESS not in self._packets
            if is_due and by_s < way.high_s and bisect_right(said, by_s) == bisect_left(said, at_s - SAME_S):
                return f"{way.link}, by {by_s:.1f} s"
        return ""

    def settled_until(self, now_s: float) -> float:
        """Alarms up to this instant must all be there by now."""
        found = 0.0
        for way in self.ways():
            end = min(way.high_s, now_s)
            needs_s = way.needs_s + (4 * SKY_SLOT_S if way.is_sky else 0.0)
            if end - needs_s > way.low_s:
                found = max(found, end - needs_s)
        return found

    def bulk_after(self, at_s: float) -> float:
        """When the first rounds came over a wide road that were sent after an instant: of those that the broker may
        have kept while the province was away it is known only that they were not sent before."""
        away = self._truth.during("province.away", after_s=KEPT_S)
        for came_s in islice(self._bulk, bisect_right(self._bulk, at_s), None):
            if not any(low < at_s and low <= came_s <= high for low, high in away):
                return came_s
        return inf

    # -- promise 10 ----------------------------------------------------------------------------------------------------

    def check(self) -> Iterator[Broken]:
        """Roads that have come back and should be in use by now; dead ones that are fed."""
        for link in self._truth.wide:
            spoke = sorted([*self._truth.record.used.get(link, []), *self._packets.get(link, [])])
            yield from self._back(link, spoke)
            yield from self._fed(link, self._truth.record.used.get(link, []))
            yield from self._only(link)
        for link in self._truth.narrow:
            yield from self._sky_back(link)

    def _back(self, link: str, spoke: list[float]) -> Iterator[Broken]:
        """Only after a loss that must have been noticed: a connection that outlived a short one has nothing to say."""
        truth = self._truth
        spans = truth.record.usable.get(link, [])
        silent = truth.during("road.silent", on=link, after_s=1.0)
        for before, span in pairwise(spans):
            by_s = span.from_s + BACK_S
            if by_s > min(truth.now_s, span.to_s) or by_s <= self._judged.get(link, 0.0):
                continue
            self._judged[link] = by_s
            dark_s = span.from_s - before.to_s
            ran = any(low <= before.to_s and high >= by_s for low, high, _ in truth.lives)
            if dark_s < FOUND_OUT_S or not ran:
                continue
            early_s = SILENT_S if any(low <= span.from_s <= high for low, high in silent) else ON_WAY_S
            place = bisect_left(spoke, span.from_s - early_s)
            if place == len(spoke) or spoke[place] > by_s + SESSION_S:
                what = f"{link} is back since {span.from_s:.1f} s and not used within {BACK_S:.0f} s"
                yield Broken("10 links", by_s, what)

    def _only(self, link: str) -> Iterator[Broken]:
        """Where it is the only wide road something waits for it each period: a packet gets through in each batch."""
        truth, came = self._truth, self._packets.get(link, [])
        if NAMELESS in self._packets:
            return
        others = merged(
            (it.from_s, it.to_s + FOUND_OUT_S)
            for other in truth.wide
            if other != link
            for it in truth.record.usable.get(other, [])
        )
        most_s = truth.live_s() + REPEATED_S
        key = f"only {link}"
        for low, high in without(self._calm(truth.open_roads(link)), others):
            from_s = max(low + BACK_S + ON_WAY_S + SESSION_S, self._judged.get(key, 0.0))
            to_s = min(high, truth.now_s)
            if from_s >= to_s:
                continue
            marks = [from_s, *came[bisect_right(came, from_s) : bisect_left(came, to_s)], to_s]
            dumb = next(((one, other) for one, other in pairwise(marks) if other - one > most_s), None)
            self._judged[key] = to_s if dumb else marks[-2]
            if dumb:
                what = f"{link} is the only road, and carried nothing from {dumb[0]:.1f} s to {dumb[1]:.1f} s"
                yield Broken("10 links", dumb[1], what)

    def _fed(self, link: str, used: list[float]) -> Iterator[Broken]:
        spans = self._truth.record.usable.get(link, [])
        for before, span in pairwise(spans):
            key = f"fed {link}"
            if span.from_s <= self._judged.get(key, 0.0) or span.from_s > self._truth.now_s:
                continue
            self._judged[key] = span.from_s
            count = bisect_left(used, span.from_s) - bisect_right(used, before.to_s)
            starts = sum(1 for low, _, _ in self._truth.lives if before.to_s <= low <= span.from_s)
            if count > FED_FREE * (1 + starts) + (span.from_s - before.to_s) / FED_S:
                what = f"{link} was dead for {span.from_s - before.to_s:.0f} s and was tried {count} times"
                yield Broken("10 links", span.from_s, what)

    def _sky_back(self, link: str) -> Iterator[Broken]:
        """A card is used in the slots after the sky is back, or after the last wide road is known to be gone."""
        truth = self._truth
        came = sorted([*self._packets.get(link, []), *(self._packets.get("beidou", []) if link != "beidou" else [])])
        needs_s = SKY_START_S + SKY_SLOTS * SKY_SLOT_S + SKY_DELAY_S
        for low, high in without(self._calm(truth.open_roads(link)), self._maybe_up()):
            by_s = low + needs_s
            if by_s <= self._judged.get(link, 0.0) or by_s > min(high, truth.now_s):
                continue
            self._judged[link] = by_s
            place = bisect_left(came, low - FOUND_OUT_S)  # it may have been known earlier, and all been told by now
            if place == len(came) or came[place] > by_s:
                what = f"{link} is the only way since {low:.1f} s, nothing came over it by {by_s:.1f} s"
                yield Broken("10 links", by_s, what)

    def _maybe_up(self) -> Stretches:
        """When some wide road may be taken for up, be it slow, or dead and not known to be: the card then carries
        alarms and tests only, so that its slots are free for them."""
        usable = self._truth.record.usable
        return merged((it.from_s, it.to_s + FOUND_OUT_S) for link in self._truth.wide for it in usable.get(link, []))
