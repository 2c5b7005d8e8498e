"""Promises 7, 8 and 9: it starts, within its bounds, and writes to nobody."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np

from sim.world.judge_roads import ON_WAY_S
from sim.world.judge_spans import both, holds, without
from sim.world.judge_truth import DISK_START_S, DISK_TROUBLES, Truth
from sim.world.nouns import Broken

ASKED_S = 10.0  # from a start to the first question: the promise
SPOKEN_S = 10.0 + ON_WAY_S  # from a start to the first word on a link that is open: the promise, and its ladder
ASKED_AGAIN_S = 90.0  # beyond its period: the longest pause of 60 s, and what others on its wire take
ENDS = ("power.cut", "power.kill", "power.stop", "")  # what may end a life
STORE_SLACK_BYTES = 2_000_000  # its write-ahead log (400 pages and what one transaction adds) and a page half full


class Running:
    """What is known of each life by now is judged once."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._asked_s: dict[str, float] = {}  # when each device was asked last
        self._begun = 0
        self._ended = 0
        self._sizes = 0
        self._early = 0

    def check(self) -> Iterator[Broken]:
        yield from self._starts()
        yield from self._endings()
        yield from self._asked()
        yield from self._bounds()
        yield from self._writes()

    def _starts(self) -> Iterator[Broken]:
        truth = self._truth
        lives = truth.lives
        while self._begun < len(lives):
            low, high, _ = lives[self._begun]
            bad = holds(truth.during(*DISK_TROUBLES, after_s=DISK_START_S), low)
            more_s = DISK_START_S if bad else 0.0
            longest_s = SPOKEN_S + more_s
            if truth.now_s < low + longest_s and high > truth.now_s:
                return
            self._begun += 1
            if high - low >= longest_s:
                yield from self._start(low, more_s)

    def _start(self, low: float, more_s: float) -> Iterator[Broken]:
        truth = self._truth
        by_s = low + ASKED_S + more_s
        unplugged = [
            port.id
            for port in truth.site.ports
            if any(a <= by_s and b >= low for a, b in truth.during("port.unplug", on=port.id))
        ]
        ports = {seen.port for seen in truth.points.values()}
        if ports - set(unplugged) and not self._heard(low, by_s):
            yield Broken("7 starts", by_s, f"started at {low:.1f} s, no instrument was asked by {by_s:.1f} s")
        for link in truth.wide:
            by_s = low + SPOKEN_S + more_s
            if not any(a <= low and b >= by_s for a, b in truth.open_roads(link)):
                continue
            used = truth.record.used.get(link, [])
            place = bisect_left(used, low)
            if place == len(used) or used[place] > by_s:
                yield Broken("7 starts", by_s, f"started at {low:.1f} s, no word on {link} by {by_s:.1f} s")

    def _heard(self, low: float, high: float) -> bool:
        for name, seen in self._truth.points.items():
            shown, failed = seen.at.all, self._truth.record.failed.get(name, [])
            place = int(shown.searchsorted(low))
            if place < len(shown) and shown[place] <= high:
                return True
            place = bisect_left(failed, low)
            if place < len(failed) and failed[place] <= high:
                return True
        return False

    def _endings(self) -> Iterator[Broken]:
        """A life ends by somebody's hand, and there are no more lives than that."""
        truth = self._truth
        lives = truth.lives
        for low, high, why in lives[self._ended :]:
            if high > truth.now_s:
                break
            self._ended += 1
            if why not in ENDS:
                yield Broken("7 starts", high, f"what began at {low:.1f} s ended by itself: {why}")
        hands = len(truth.troubles("power.cut", "power.kill", "power.stop", "disk.damage"))
        if len(lives) > 1 + hands:
            yield Broken("7 starts", truth.now_s, f"{len(lives)} starts, {hands} troubles that ended a life")

    def _asked(self) -> Iterator[Broken]:
        """A device that is asked is asked again, however long it was silent, while it is plugged in."""
        truth = self._truth
        for device in truth.site.devices:
            mine = [truth.points[point.id] for point in device.points]
            if not mine or mine[0].listened:
                continue
            since_s = self._asked_s.get(device.id, 0.0)
            failed = [self._failed_since(seen.point.id, since_s) for seen in mine]
            shown = [seen.at.all[seen.at.all.searchsorted(since_s, "right") :] for seen in mine]
            asked = np.unique(np.concatenate([*failed, *shown]))
            wait_s = ASKED_AGAIN_S + min(seen.every_s for seen in mine)
            edges = np.concatenate(([since_s], asked, [truth.now_s]))
            wide = np.flatnonzero(np.diff(edges) > wait_s).tolist()
            gaps = [(float(edges[place]), float(edges[place + 1])) for place in wide]
            plugged = without(both(gaps, truth.running), truth.during("port.unplug", on=mine[0].port))
            for low, high in plugged:
                if high - low > wait_s:
                    yield Broken("1 kept", low + wait_s, f"{device.id} was not asked from {low:.1f} to {high:.1f} s")
            self._asked_s[device.id] = float(asked[-1]) if len(asked) else since_s

    def _failed_since(self, point: str, since_s: float) -> list[float]:
        failed = self._truth.record.failed.get(point, [])
        return failed[bisect_right(failed, since_s) :]

    def _bounds(self) -> Iterator[Broken]:
        sizes = self._truth.record.sizes
        most = self._truth.site.store.quota_bytes + STORE_SLACK_BYTES
        for at_s, size in sizes[self._sizes :]:
            if size > most:
                yield Broken("8 bounded", at_s, f"the store has {size} bytes, its quota is {most - STORE_SLACK_BYTES}")
                break
        self._sizes = len(sizes)
        early = self._truth.record.early
        for at_s in early[self._early :]:
            if not self._truth.slot_forgotten(at_s):
                what = f"a Beidou request at {at_s:.1f} s, before the card's period was over"
                yield Broken("8 bounded", at_s, what)
        self._early = len(early)

    def _writes(self) -> Iterator[Broken]:
        """No orders are given in any story: what reaches an output was commanded by nobody."""
        writes = getattr(self._truth.record, "writes", ())
        if writes:
            yield Broken("9 commands", self._truth.now_s, f"{len(writes)} writes reached an instrument: {writes[0]}")
