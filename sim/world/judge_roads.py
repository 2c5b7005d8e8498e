"""When an alarm must be at the province, by the roads that were open; and promise 10: how the roads were used."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from math import inf

from sim.world.judge_books import ROUNDS, Packet
from sim.world.judge_spans import Stretches, merged, without
from sim.world.judge_truth import DISK_TROUBLES, FOUND_OUT_S, HANG_S, Truth
from sim.world.nouns import Broken

WIDE_S = 10.0  # of an alarm over a road that was open all the time: the promise
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
SKY_START_S = (
    180.0  # a terminal is found at its rate, its card read, and what the last life may have radiated waited for
)
SLOT_ALARMS = 3  # that fit one message: where more come at once, the later ones need more slots


class Roads:
    """What was open when, and what came over it."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._packets: dict[str, list[float]] = {}
        self._bulk: list[float] = []  # rounds over a wide road
        self._judged: dict[str, float] = {}
        self._narrow = {"beidou", *truth.narrow}

    def take(self, packets: list[Packet]) -> None:
        for packet in packets:
            self._packets.setdefault(packet.link, []).append(packet.received_s)
            if packet.kind == ROUNDS and packet.link not in self._narrow:
                self._bulk.append(packet.received_s)

    # -- an alarm's time -----------------------------------------------------------------------------------------------

    def ways(self) -> list[tuple[float, float, float, bool]]:
        return self._truth.known("ways", self._ways)

    def _ways(self) -> list[tuple[float, float, float, bool]]:
        """(from, to, how long an alarm may take, whether it is the sky) of each stretch in which one must get through.

        `from` is when the road must be in use: BACK_S after it opened, or after a start."""
        truth, found = self._truth, []
        for link in truth.wide:
            for low, high in self._calm(truth.open_roads(link)):
                found.append((low + BACK_S + ON_WAY_S + SESSION_S, high, WIDE_S, False))
        for link in truth.narrow:
            for low, high in self._calm(truth.open_roads(link)):
                found.append((low + SKY_START_S, high, SKY_SLOTS * SKY_SLOT_S + SKY_DELAY_S, True))
        return found

    def _calm(self, roads: Stretches) -> Stretches:
        """An alarm is committed first: where the disk hangs, that may take until memory has its place."""
        return without(roads, self._truth.during(*DISK_TROUBLES, after_s=HANG_S))

    def due(self, at_s: float, together: int) -> float:
        """The instant by which an alarm of `at_s` must be there; `together` alarms came at about this time."""
        best = inf
        for low, high, needs_s, is_sky in self.ways():
            if is_sky:
                needs_s += SKY_SLOT_S * ((together - 1) // SLOT_ALARMS)
            due = max(at_s, low) + needs_s
            if due < high:
                best = min(best, due)
        return best

    def settled_until(self, now_s: float) -> float:
        """Alarms up to this instant must all be there by now."""
        found = 0.0
        for low, high, needs_s, is_sky in self.ways():
            end = min(high, now_s)
            needs_s += 4 * SKY_SLOT_S if is_sky else 0.0
            if end - needs_s > low:
                found = max(found, end - needs_s)
        return found

    def bulk_after(self, at_s: float) -> float:
        """When the first rounds came over a wide road after an instant."""
        place = bisect_right(self._bulk, at_s)
        return self._bulk[place] if place < len(self._bulk) else inf

    # -- promise 10 ----------------------------------------------------------------------------------------------------

    def check(self) -> Iterator[Broken]:
        """Roads that have come back and should be in use by now; dead ones that are fed."""
        for link in self._truth.wide:
            spoke = sorted([*self._truth.record.used.get(link, []), *self._packets.get(link, [])])
            yield from self._back(link, spoke)
            yield from self._fed(link, self._truth.record.used.get(link, []))
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
