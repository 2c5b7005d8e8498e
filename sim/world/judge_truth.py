"""What really happened, as the judges ask for it: what each instrument showed, in whole steps, and every leniency.

`Truth.look` takes in what is new in the record. All that excuses the daemon from something stands in this file, as a
named constant or method with its reason; the judges know no other mercy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

import numpy as np

from edge.config.site import Site
from edge.contract import Point
from sim.world.judge_clock import Doubt, Times, doubts_of, unsure_of
from sim.world.judge_spans import Bools, Column, Floats, Stretch, Stretches, both, held, holds, merged, without
from sim.world.nouns import Record, Shown, Story, Trouble

T = TypeVar("T")

LISTENED = ("serial_line",)  # drivers whose devices speak by themselves; all others are asked
UNREST_BEFORE_S = 15.0  # a late answer may come for 10 s (radio modems), and makes the next one doubtful; and a round
DISK_BACK_S = 600.0  # a disk that failed is tried again after 300 s at most, and what memory held is then brought home
DISK_START_S = 45.0  # a start on a bad disk: three calls of 15 s patience before the store is in memory
HANG_S = 20.0  # a call to a disk that hangs is left behind after 15 s, and what waited is committed again in memory
DRAIN_S = 900.0  # at the most: 16 MB at 0.2 Mbit/s take 640 s; and receipts and repeats of what a cut left on the way
DRAIN_READINGS_S = 300.0  # that go over a road in a second at the least: 0.8 bytes each, a far one's window of packets
CONNECTED_S = 20.0  # after a start or a cut: an attempt of 8 s that was begun in the dark, a pause of 10 s, a session
REPEATED_S = 30.0  # what was on the way when a road was lost is sent again after so long at the most
SUMMED_S = (
    1200.0  # a card: a window of ten minutes that is over goes in a slot of the next ten, and again if it was lost
)
SUMMARY_BYTES = 6.0  # of one point in a window: least, mean, greatest and count, and its share of the packet
SUMMED_SHARE = 0.5  # of the bytes of a card's slots; the others are for alarms, the newest rounds, what was lost
WINDOW_S = 600.0
SLOT_S = 60.0  # a civil card's
SEAL_BYTES = 12.0
SLOT_SAVE_S = 2.0  # so long before a request the save of its slot may have begun
SKY_BACK_S = 300.0  # a terminal is found at its rate, its card read, what the last life may have radiated waited for
FOUND_OUT_S = 120.0  # a dead road is known to be dead by then: unacknowledged for 25 s, keep-alive, a packet's 30 s
STATES_MOST_STEPS = 8  # a range no wider is of a switch or a code, not of a measure
FAR_DELAY_S = 1.0  # one way: twice a satellite's; a session alone then takes longer than an alarm may
LOOKED_S = 5.0  # a life this long has read its store, and put one that is damaged aside
COMMIT_SLACK_S = 1.0  # of a commit itself
WINDOW_SLACK_S = 60.0  # beyond a window: what it lets go a piece later
HEARD_AGAIN_S = 6.5  # a lost port is tried every 5 s; of a line within a second of that, nobody knows where it began

DISK_TROUBLES = ("disk.full", "disk.error", "disk.read_only", "disk.hang", "disk.slow")


@dataclass
class Seen:
    """One point: all its instrument gave. `steps` is value / step, not rounded. `listened`: it speaks by itself;
    `bare`: over a wire whose spoilt bytes nothing tells from good ones (text without a checksum)."""

    point: Point
    port: str
    listened: bool
    bare: bool
    mixed: bool  # its device has points that are read more or less often, so it may be shown when it was not asked for
    at: Column = field(default_factory=Column)
    steps: Column = field(default_factory=Column)
    clean: Column = field(default_factory=Column)
    taken: int = 0
    failed: int = 0

    @property
    def every_s(self) -> float:
        return self.point.every_ms / 1000

    def far(self, steps: Floats) -> Bools:
        """Which are further beyond the range than the range is wide: those are no evidence of anything. Of a state
        (a switch, a code) each number is."""
        point, found = self.point, np.zeros(len(steps), bool)
        if point.minimum is None or point.maximum is None:
            return found
        low, high = round(point.minimum / point.step), round(point.maximum / point.step)
        if high - low <= STATES_MOST_STEPS:
            return found
        beyond = np.maximum(low - np.rint(steps), np.rint(steps) - high)
        found |= beyond > high - low
        return found

    def window(self, at: Floats, more: Floats | float = 0.0) -> tuple[Floats, Floats]:
        """From when to when a value must have been shown that stands under the instants `at`, which are right within
        `more` seconds."""
        if self.listened:  # what was said since the instant before
            return at - self.every_s - 1.0 - more, at + 1.0 + more
        return at - 1.0 - more, at + self.every_s + more  # a round is closed when the next one is due

    def sure_window(self, at: Floats) -> tuple[Floats, Floats]:
        """A clean value shown within must stand under the instant `at`, well inside of what the round waits for."""
        if self.listened:
            return at - self.every_s + 0.5, at - 0.5
        return at - 0.05, at + self.every_s / 2

    def take(self, news: Sequence[Shown]) -> Floats:
        """Takes in what is new; the instants of what was spoilt."""
        count = len(news)
        at = np.fromiter((one.at_s for one in news), float, count)
        clean = np.fromiter((one.clean for one in news), float, count)
        values = np.fromiter((one.value for one in news), float, count)
        self.at.extend(at)
        self.steps.extend(values / float(self.point.step))
        self.clean.extend(clean)
        self.taken += count
        spoilt: Floats = at[clean == 0.0]
        return spoilt


class Truth:
    """The record as far as it has been looked at, `now_s`."""

    def __init__(self, record: Record, site: Site, story: Story) -> None:
        self.record, self.site, self.story = record, site, story
        self.now_s = 0.0
        self._known: dict[object, Any] = {}  # answers, as of `now_s`
        self.points: dict[str, Seen] = {}
        for device in site.devices:
            settings = device.spec.settings
            bare = device.driver in LISTENED and getattr(settings, "format", "") != "nmea"
            mixed = len({point.every_ms for point in device.points}) > 1
            for point in device.points:
                self.points[point.id] = Seen(point, device.port, device.driver in LISTENED, bare, mixed)
        self.unrest = {port.id: Column() for port in site.ports}
        self._devices = {device.id: device for device in site.devices}
        self.wide = [link.id for link in site.links if link.port is None]
        self.narrow = [link.id for link in site.links if link.port is not None]

    def look(self, now_s: float) -> None:
        """Takes in what the record has got since the last time."""
        self.now_s = now_s
        self._known.clear()
        unrest: dict[str, list[Floats]] = {}
        for name, seen in self.points.items():
            shown = self.record.shown.get(name, [])
            if len(shown) > seen.taken:
                unrest.setdefault(seen.port, []).append(seen.take(shown[seen.taken :]))
            failed = self.record.failed.get(name, [])
            if len(failed) > seen.failed:
                unrest.setdefault(seen.port, []).append(np.array(failed[seen.failed :], float))
                seen.failed = len(failed)
        for port, parts in unrest.items():
            self.unrest[port].extend(np.sort(np.concatenate(parts)))

    def known(self, key: object, make: Callable[[], T]) -> T:
        """What `make` says, asked once in a look."""
        if key not in self._known:
            self._known[key] = make()
        found: T = self._known[key]
        return found

    # -- when it ran -------------------------------------------------------------------------------------------------

    @property
    def lives(self) -> list[tuple[float, float, str]]:
        """(from, to, why it ended) of each life of the daemon; the present one goes to infinity."""
        return self.known("lives", lambda: [(span.from_s, span.to_s, span.why) for span in self.record.running])

    @property
    def running(self) -> Stretches:
        return self.known("running", lambda: merged((low, high) for low, high, _ in self.lives))

    def troubles(self, *kinds: str, on: str = "") -> list[Trouble]:
        """Those that have begun, with the instant they really did."""
        found = []
        for at_s, trouble in self.record.troubles:
            if trouble.kind in kinds and (not on or trouble.on == on):
                found.append(Trouble(trouble.kind, at_s, trouble.end_s - at_s, trouble.on, trouble.value))
        return found

    def during(self, *kinds: str, on: str = "", after_s: float = 0.0) -> Stretches:
        """When there was such trouble, and `after_s` longer."""
        return self.known(
            (kinds, on, after_s), lambda: merged((it.at_s, it.end_s + after_s) for it in self.troubles(*kinds, on=on))
        )

    # -- leniency ----------------------------------------------------------------------------------------------------

    def restless(self, ports: Sequence[str], at: Floats, before_s: float, after_s: float) -> Bools:
        """Whether something was spoilt or missing on all of these wires around an instant: then an answer may be
        thrown away rightly (it could be a late one), a device be left alone, or an instant be missed."""
        found = np.ones(len(at), bool)
        for port in ports:
            times = self.unrest[port].all
            low = np.searchsorted(times, at - before_s)
            found &= np.searchsorted(times, at + after_s, "right") > low
        return found

    def silent_s(self, seen: Seen, at_s: float) -> float:
        """How long before an instant nothing clean was shown."""
        at = seen.at.all[: int(np.searchsorted(seen.at.all, at_s))]
        clean = at[seen.clean.all[: len(at)] == 1.0]
        return at_s - float(clean[-1]) if len(clean) else at_s

    def unheard(self, seen: Seen, at: Floats) -> Bools:
        """What an instrument that speaks by itself may have said to nobody: its port is gone, or was just now."""
        if not seen.listened:
            return np.zeros(len(at), bool)
        return held(self.during("port.unplug", on=seen.port, after_s=HEARD_AGAIN_S), at)

    def times(self) -> Times:
        """What stamps mean, by the clock troubles there were."""
        return self.known("times", lambda: Times(doubts_of(self), unsure_of(self)))

    def clock_doubts(self) -> Sequence[Doubt]:
        return self.times().doubts

    def clock_doubt(self) -> Stretches:
        """Where a time may be no TRUSTED one."""
        return self.times().stretches

    def disk_trouble(self, after_s: float) -> Stretches:
        return self.during(*DISK_TROUBLES, after_s=after_s)

    def disk_slow_s(self) -> float:
        """How much longer a commit takes at the worst."""
        return max([0.0, *(it.value for it in self.troubles("disk.slow"))])

    def may_be_lost(self) -> Stretches:
        return self.known("may_be_lost", self._may_be_lost)

    def _may_be_lost(self) -> Stretches:
        """What may be lost by a death of the daemon while its disk was in trouble: memory held it, and memory is gone.
        And by damage to the store's file: what lay in it."""
        found = []
        disk = self.during(*DISK_TROUBLES, after_s=DISK_BACK_S)
        for low, high in disk:
            deaths = [end for _, end, why in self.lives if why and low <= end <= high]
            if deaths:
                found.append((low - self.uncommitted_s(), max(deaths)))
        for damage in self.troubles("disk.damage"):
            drained = max([0.0, *(end for end in self.drained_by() if end <= damage.at_s)])
            found.append((drained, damage.at_s + self.uncommitted_s()))
        return merged(found)

    def forgot(self, at_s: float) -> list[Stretch]:
        """Of what alarms told, the stretches that the gateway may not know of at an instant: what memory held when it
        died; all before a start whose store was damaged, or could not be read yet."""
        found = [(low, high) for low, high in self.may_be_lost() if high <= at_s]
        starts = []
        for damage in self.troubles("disk.damage"):
            for start, end, _ in (life for life in self.lives if life[0] >= damage.at_s):
                starts.append(start)
                if end - start > LOOKED_S:
                    break
        for low, high in self.disk_trouble(DISK_START_S):
            starts += [start for start, _, _ in self.lives if low <= start and at_s <= high]
        return found + [(-inf, start) for start in starts if start <= at_s]

    def windows_lost(self, window_s: float) -> Stretches:
        """Where what was in a window before may be gone, or be in it for too long (LIMITS.md, "Over restarts"): after a
        death with the disk in trouble, and after a start that did not know how long it had been away."""
        return self.known(("windows", window_s), lambda: self._windows_lost(window_s))

    def _windows_lost(self, window_s: float) -> Stretches:
        more_s = window_s + WINDOW_SLACK_S
        doubt, disk = self.clock_doubt(), self.disk_trouble(HANG_S)
        found = [(low, high + more_s) for low, high in self.may_be_lost()]
        found += [(low, high + more_s) for low, high in doubt]
        for start, _, _ in self.lives:  # a file that is read late is as if it had been there at the start, then
            found += [(start, high + DISK_START_S) for low, high in disk if low <= start <= high]
        return merged(found)

    def memories(self, at: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Which memory instants are of: one goes on over a restart, unless what it held may be lost."""
        starts = np.array([low for low, _, _ in self.lives])
        return np.searchsorted(starts[held(self.windows_lost(0.0), starts)], at, "right")

    def uncommitted(self) -> Stretches:
        """What was heard just before a death, and may not be on the disk."""
        most_s = self.uncommitted_s()
        return self.known("uncommitted", lambda: merged((end - most_s, end) for _, end, why in self.lives if why))

    def uncommitted_s(self) -> float:
        """How long a round may be uncommitted: one being filled (two periods), `commit_every`, the commit itself."""
        period_s = max((seen.every_s for seen in self.points.values()), default=0.0)
        return self.site.store.commit_every_s + 2 * period_s + COMMIT_SLACK_S + self.disk_slow_s()

    def slot_forgotten(self, at_s: float) -> bool:
        """Whether a card's request is the first of a life, and the one before it met a disk that may not have taken its
        slot: no alarm waits for that, and the next start believes the slot that was saved before (drivers/beidou)."""
        used = sorted(it for link in self.narrow for it in self.record.used.get(link, []))
        before_s = used[place - 1] if (place := bisect_left(used, at_s)) else inf
        if not any(before_s < low <= at_s for low, _, _ in self.lives):
            return False
        return holds(self.during(*DISK_TROUBLES, after_s=SLOT_SAVE_S), before_s)

    # -- roads -------------------------------------------------------------------------------------------------------

    def open_roads(self, link: str) -> Stretches:
        return self.known(("open", link), lambda: self._open_roads(link))

    def _open_roads(self, link: str) -> Stretches:
        """When a link's road carried: open, the daemon running, the province there. A road that is slow, far or
        loses messages is none: nothing is promised over it."""
        spans = merged((span.from_s, span.to_s) for span in self.record.usable.get(link, []))
        gone = merged([*self.during("province.away"), *self.during("road.slow", "sky.loss", "sky.terminal", on=link)])
        far = [(it.at_s, it.end_s) for it in self.troubles("road.delay", on=link) if it.value > FAR_DELAY_S]
        gone = merged([*gone, *far])
        ports = {it.id: it.port for it in self.site.links if it.port is not None}
        if link in ports:
            gone = merged([*gone, *self.during("port.unplug", "port.flip", "port.drop", on=ports[link])])
        found = []
        for low, high, _ in self.lives:
            found += without([(max(low, a), min(high, b)) for a, b in spans if max(low, a) < min(high, b)], gone)
        return sorted(found)

    def longest_batch_s(self) -> float:
        return max((link.batch_s for link in self.site.links if link.port is None), default=0.0)

    def drained_by(self) -> list[float]:
        return self.known("drained_by", self._drained_by)

    def _drained_by(self) -> list[float]:
        """Instants before which all that was taken must be at the province by now: a wide road was open for long enough
        after it to carry what had piled up, and the disk well."""
        ill, doubt = self.disk_trouble(DISK_BACK_S), self.clock_doubt()
        starts = {low for low, _, _ in self.lives}
        found: list[float] = []
        for low, high in sorted(road for link in self.wide for road in without(self.open_roads(link), ill)):
            high = min(high, self.now_s)
            clear_s = max((at_s for at_s in found if at_s <= low), default=0.0)
            held_s = sum(b - a for a, b in both([(clear_s, low)], self.running))
            wait_s = self.drain_s(held_s) + (0.0 if low in starts else FOUND_OUT_S)
            end_s = high - min(DRAIN_S, wait_s)
            dated_s = max((end for start, end in doubt if start < high and end > low), default=0.0)
            if end_s > low and high >= dated_s + self.live_s():  # what has no time yet waits for it
                found.append(end_s)
        return sorted(found)

    def drain_s(self, held_s: float) -> float:
        """How long a road that has just come up needs for the readings of `held_s` seconds and those that come in."""
        readings = held_s * sum(1.0 / seen.every_s for seen in self.points.values())
        return CONNECTED_S + REPEATED_S + self.live_s() + readings / DRAIN_READINGS_S

    def live_s(self) -> float:
        """From an instant until its round has left by a road that is up."""
        return self.longest_batch_s() + self.uncommitted_s()

    def summed(self) -> Stretches:
        """Where a site that has nothing but a card must have told all rounds, or summaries that count them, by now."""
        return self.known("summed", self._summed)

    def _summed(self) -> Stretches:
        bits = [getattr(it.settings, "limit_bits", 0) for it in self.site.links if it.port is not None]
        room = SUMMED_SHARE * (max(bits, default=0) / 8 - SEAL_BYTES) * WINDOW_S / SLOT_S
        if self.wide or room < SUMMARY_BYTES * len(self.points):
            return []
        ill = merged([*self.disk_trouble(DISK_BACK_S), *self.clock_doubt()])
        roads = [road for link in self.narrow for road in without(self.open_roads(link), ill)]
        ends = [(low, min(high, self.now_s) - WINDOW_S - SUMMED_S) for low, high in roads]
        return merged((low, high) for low, high in ends if high > low)
