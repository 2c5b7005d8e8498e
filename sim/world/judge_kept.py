"""Promises 1 and 2: every round of the grid is at the province or in a summary that counts it; the account says so.

Judged are instants before which everything had time to arrive (`Truth.drained_by`). For each there must be a round, or
for each value its instrument surely gave, room in the count of a summary over it, or in what the account says was
evicted. Excused are the first seconds of a life, what was not committed at a death, what memory held at one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from edge.contract import ClockQuality
from sim.world.judge_books import AccountRow, Ints, News, Readings, Window
from sim.world.judge_clock import CLOCK_UNSURE_S
from sim.world.judge_spans import Bools, Floats, Stretches, held, holds, merged, without
from sim.world.judge_truth import DISK_BACK_S, DISK_START_S, DISK_TROUBLES, Seen, Truth
from sim.world.nouns import START_MS, Broken

START_GRACE_S = 10.0  # the promise itself: a start takes so long; the first round of a life is not on the grid
STOP_LOSES_S = 1.0  # of an ordered end: the round that is being filled, and two periods
MISSED_BEFORE_S = 30.0  # a device whose answers stay away holds up its wire: an instant may pass meanwhile
ACCOUNT_S = 1.0  # from its time until an account is drawn up
ANSWERED_S = 25.0  # a receipt over an open road, and the commit that it waits for
CROWDED = (
    0.5  # of the quota, by the store's files: what is beyond 0.85 may be folded, and they are looked at each minute
)
SIZED_S = 60.0  # so often
SET_S = 2.0  # a clock that is set: the round that is due then is one of that second


class Kept:
    """Which rounds have arrived, and what the gateway says became of the others."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._groups = list(truth.site.groups.items())
        self._sizes = [len(points) for _, points in self._groups]
        self._group_of = {point.id: place for place, (_, points) in enumerate(self._groups) for point in points}
        self._places = [self._group_of[name] for name in truth.points]
        self._there: list[set[int]] = [set() for _ in self._groups]  # at_ms of rounds
        self._entries: dict[int, dict[int, float]] = {}  # epoch -> seq -> when it came first
        self._came: list[float] = []  # when entries came, whatever book
        self._readings = 0
        self._accounts: list[AccountRow] = []
        self._judged_s = 0.0
        self._made: dict[int, dict[int, float]] = {}  # epoch -> seq -> of which instant a round is
        self.rounds = 0
        self.judged = 0  # instants of the grid at which a round was demanded

    def take(self, news: News) -> Iterator[Broken]:
        """Notes what has arrived; an account must balance at once, and a round be whole."""
        for epoch, seq, received_s in news.entries:
            self._entries.setdefault(epoch, {}).setdefault(seq, received_s)
            insort(self._came, received_s)
        for rows in news.readings:
            yield from self._rounds(rows)
        for name in news.strangers:
            yield Broken("5 honest values", self._truth.now_s, f"readings of {name}, which the site does not have")
        for account in news.accounts:
            self._accounts.append(account)
            yield from self._balance(account)
            yield from self._settled(account)

    def _rounds(self, rows: Readings) -> Iterator[Broken]:
        changes = (np.diff(rows.seq) != 0) | (np.diff(rows.epoch) != 0)
        first = np.concatenate(([0], np.flatnonzero(changes) + 1))
        counts = np.diff(np.concatenate((first, [len(rows.seq)])))
        self._readings += len(rows.seq)
        self.rounds += len(first)
        at_ms = np.rint(rows.at_s[first] * 1000).astype(np.int64) + START_MS
        right = self._are_right(rows, first)
        for place, count, instant, is_right in zip(
            first.tolist(), counts.tolist(), at_ms.tolist(), right.tolist(), strict=True
        ):
            point = int(rows.place[place])
            self._made.setdefault(int(rows.epoch[place]), {})[int(rows.seq[place])] = float(rows.at_s[place])
            if point < 0:
                continue
            group = self._places[point]
            if is_right:
                self._there[group].add(instant)
            if count != self._sizes[group]:
                what = f"a round of {count} readings, its group has {self._sizes[group]} points"
                yield Broken("1 kept", float(rows.received_s[place]), what)

    def _are_right(self, rows: Readings, first: Ints) -> Bools:
        """Whether they stand for their own instants. What is FREE, and was stamped with a wall clock that was wrong,
        stands for no other one."""
        times, at, clock = self._truth.times(), rows.at_s[first], rows.clock[first]
        places = times.places(at, clock)
        as_it_says, somehow = places[0][1] if places else (clock < 0), clock < 0
        for _, may in places:
            somehow = somehow | may
        return as_it_says | ~somehow

    # -- promise 2 -----------------------------------------------------------------------------------------------------

    def _balance(self, row: AccountRow) -> Iterator[Broken]:
        body, entries = row.body, row.body.get("entries", {})
        for of, name in ((body, "readings"), (entries, "entries")):
            numbers = {key: int(of.get(key, 0)) for key in ("taken", "settled", "held", "folded", "evicted")}
            gone = sum(numbers.values()) - numbers["taken"]
            if gone != numbers["taken"] or min(numbers.values()) < 0:
                yield Broken("2 custody", row.received_s, f"the account of {name} does not balance: {numbers}")
        for place, (of, name) in enumerate(((entries, "entries"), (body, "readings"))):
            told = sum(int(both[place]) for both in body.get("evicted_by", {}).values())
            if told != int(of.get("evicted", 0)):
                what = f"evicted {name} by reason are {told}, in all {of.get('evicted', 0)}"
                yield Broken("2 custody", row.received_s, what)
        # Counted are those that came in until now, a few more than when the account was drawn up; never fewer.
        have = sum(map(len, self._entries.values()))
        for number, there, name in ((entries, have, "entries"), (body, self._readings, "readings")):
            if int(number.get("settled", 0)) > there:
                what = f"settled {name}: {number['settled']}, of which the province has {there}"
                yield Broken("2 custody", row.received_s, what)

    def _settled(self, row: AccountRow) -> Iterator[Broken]:
        """What is told as settled is what the province had by then; and over a road that was open, all that it had."""
        truth = self._truth
        if not truth.times().meant(row.at_s, row.clock):
            what = (
                f"an account of {row.at_s:.1f} s has a clock that is not TRUSTED, and no doubt of that time explains it"
            )
            yield Broken("6 honest time", row.received_s, what)
        if row.clock != ClockQuality.TRUSTED or not holds(truth.running, row.at_s):
            return
        more_s = truth.times().more_s(row.at_s)
        settled = int(row.body.get("entries", {}).get("settled", 0))
        had = bisect_right(self._came, row.at_s + ACCOUNT_S + more_s)
        if settled > had:
            what = f"settled entries at {row.at_s:.1f} s: {settled}, of which the province had {had} by then"
            yield Broken("2 custody", row.received_s, what)
        roads = [road for link in truth.wide for road in truth.open_roads(link)]
        ill = truth.during(*DISK_TROUBLES, after_s=DISK_BACK_S)
        open_s = min((low for low, high in without(roads, ill) if low <= row.at_s <= high), default=row.at_s)
        times = self._entries.get(row.epoch, {}).values()
        late_s = row.at_s - ANSWERED_S - truth.site.store.commit_every_s - more_s
        due = sum(open_s <= came_s <= late_s for came_s in times)
        if settled < due:
            what = f"settled entries at {row.at_s:.1f} s: {settled}; the province had {due} of them long before"
            yield Broken("2 custody", row.received_s, what)

    def holes(self) -> Iterator[Broken]:
        """At the end: what of the store's own numbers never came must be folded, evicted or taken over by the account.

        Numbers that were given about a trouble of the disk, or are of what may be lost, need not be: a commit in doubt
        is taken back, and its numbers are never given again."""
        drained = self._truth.drained_by()
        rows = [row for row in self._accounts if drained and row.at_s <= drained[-1]]
        if not rows:
            return
        last = max(rows, key=lambda row: (row.received_s, row.seq))
        entries = last.body.get("entries", {})
        told = sum(int(entries.get(name, 0)) for name in ("folded", "evicted", "adopted"))
        missing = sum(high - low for low, high in self._gaps(last.epoch, last.seq))
        later = max(self._accounts, key=lambda row: (row.epoch == last.epoch, row.seq)).body.get("entries", {})
        told = max(told, sum(int(later.get(name, 0)) for name in ("folded", "evicted", "adopted")))
        if missing > told:
            what = f"{missing} entries before {last.epoch}/{last.seq} never came, {told} are accounted for"
            yield Broken("2 custody", self._truth.now_s, what)

    def _gaps(self, epoch: int, until: int) -> Iterator[tuple[int, int]]:
        """From which number to below which one none ever came, but for what is excused."""
        truth = self._truth
        ill = merged([*truth.disk_trouble(DISK_BACK_S), *truth.may_be_lost()])
        there = [0, *sorted(seq for seq in self._entries.get(epoch, ()) if seq < until), until]
        made = sorted(self._made.get(epoch, {}).items())
        seqs = [seq for seq, _ in made]
        for before, after in pairwise(there):
            if after - before == 1:
                continue
            low, high = bisect_right(seqs, before), bisect_left(seqs, after)
            from_s = made[low - 1][1] if low else 0.0
            to_s = made[high][1] if high < len(made) else truth.now_s
            if not any(a <= to_s and b >= from_s for a, b in ill):
                yield before + 1, after

    # -- promise 1 -----------------------------------------------------------------------------------------------------

    def check(self, windows: Callable[[], Sequence[Window]]) -> Iterator[Broken]:
        """The instants since the last check of which everything has had time to arrive; `windows`: all summaries."""
        drained, summed = self._truth.drained_by(), self._truth.summed()
        until_s = max([0.0, *drained, *(high for _, high in summed)])
        if until_s <= self._judged_s:
            return
        by_point: dict[str, list[Window]] = {}
        spare = self._evicted()
        for group in range(len(self._groups)):
            missing = self._missing(group, until_s)
            if len(missing):
                by_point = by_point or _by_point(windows())
                lost, readings = self._lost(group, missing, by_point)
                if readings > spare:
                    yield self._told(group, lost, readings, spare)
                spare = max(0, spare - readings)
        self._judged_s = until_s

    def _evicted(self) -> int:
        """Readings that the accounts say had to go, of all stores there were."""
        latest: dict[int, int] = {}
        for row in self._accounts:
            latest[row.epoch] = max(latest.get(row.epoch, 0), int(row.body.get("evicted", 0)))
        return sum(latest.values())

    def _judgeable(self, period_s: float) -> Stretches:
        """When a round must be there for each instant."""
        truth, found = self._truth, []
        bad_disk = truth.during(*DISK_TROUBLES, after_s=DISK_START_S)
        for low, high, why in truth.lives:
            low += DISK_START_S if holds(bad_disk, low) else START_GRACE_S
            if why == "power.stop":
                high -= STOP_LOSES_S + 2 * period_s
            elif why:
                high -= truth.uncommitted_s()
            found.append((low, high))
        return merged(found)

    def _missing(self, group: int, until_s: float) -> Floats:
        """Instants of the grid without a round, that nothing excuses."""
        every_ms, points = self._groups[group]
        every_s, truth = every_ms / 1000, self._truth
        first = -(-(START_MS + round(self._judged_s * 1000)) // every_ms)
        last = (START_MS + round(until_s * 1000)) // every_ms
        grid = (np.arange(first, last, dtype=np.int64) * every_ms - START_MS) / 1000
        grid = grid[held(self._judgeable(every_s), grid)]
        if not truth.wide:
            grid = grid[held(truth.summed(), grid)]
        astray = [(it.low_s - every_s, it.high_s + every_s + SET_S) for it in truth.clock_doubts() if not it.is_placed]
        grid = grid[~held(merged([*astray, *truth.may_be_lost()]), grid)]
        self.judged += len(grid)
        there = self._there[group]
        at_ms = np.rint(grid * 1000).astype(np.int64) + START_MS
        missing = grid[[instant not in there for instant in at_ms.tolist()]]
        missing = self._unmatched(group, missing) if len(missing) else missing
        ports = sorted({truth.points[point.id].port for point in points if point.id in truth.points})
        found: Floats = missing[~truth.restless(ports, missing, MISSED_BEFORE_S, every_s)] if ports else missing
        return found

    def _unmatched(self, group: int, missing: Floats) -> Floats:
        """Without those for which a round stands that is not on the grid, one for one: while the time was not known, or
        known within some seconds, the grid was not the true one. One instant is lost when the clock is set, and as many
        as it is set by."""
        every_ms, _ = self._groups[group]
        every_s, left = every_ms / 1000, missing
        for low, high in merged([*self._truth.times().unsure, *self._truth.clock_doubt()]):
            reach_s = every_s + CLOCK_UNSURE_S
            mine = (left >= low - every_s) & (left <= high + reach_s)
            if not mine.any():
                continue
            span = START_MS + round((low - 2 * reach_s) * 1000), START_MS + round((high + 2 * reach_s) * 1000)
            off = [it for it in self._there[group] if it % every_ms and span[0] <= it <= span[1]]
            strays = [(it - START_MS) / 1000 for it in sorted(off)]
            alone = _without_stray(left[mine].tolist(), strays, reach_s)
            spare = 1 + int(CLOCK_UNSURE_S / every_s)
            left = np.concatenate((left[~mine], np.array(alone[spare:], np.float64)))
            left.sort()
        return left

    def _lost(self, group: int, missing: Floats, windows: dict[str, list[Window]]) -> tuple[Floats, int]:
        """Of missing instants, those whose values no summary counts; and how many readings that are."""
        lost: list[Floats] = []
        for point in self._groups[group][1]:
            seen = self._truth.points.get(point.id)
            mine = windows.get(point.id, [])
            # A round that is folded leaves no trace of what failed in it: then only what was surely given counts.
            need = missing[_was_shown(seen, missing)] if mine and seen is not None else missing
            may = self._may_be_folded(need)
            lost.append(np.concatenate((need[~may], _not_counted(need[may], mine))))
        return np.unique(np.concatenate(lost)), sum(map(len, lost))

    def _may_be_folded(self, at: Floats) -> Bools:
        """Whether a summary may stand for a round: the store was near its quota since it was taken, or in memory, which
        is smaller. At a site that has a card only, summaries are told in place of rounds."""
        truth = self._truth
        sizes, least = truth.record.sizes, CROWDED * truth.site.store.quota_bytes
        if not sizes or not truth.wide:
            return np.ones(len(at), bool)
        last_s = next((at_s for at_s, size in reversed(sizes) if size >= least), -SIZED_S) + SIZED_S
        back_s = truth.uncommitted_s()
        ill = merged((low - back_s, high) for low, high in truth.disk_trouble(DISK_BACK_S))
        found: Bools = (at <= last_s) | held(ill, at)
        return found

    def _told(self, group: int, lost: Floats, readings: int, spare: int) -> Broken:
        what = (
            f"{len(lost)} rounds of group {group} from {lost[0]:.0f} to {lost[-1]:.0f} s ({readings} readings) are lost"
        )
        return Broken("1 kept", float(lost[0]), f"{what}; {spare} readings are told as evicted")


def _by_point(windows: Sequence[Window]) -> dict[str, list[Window]]:
    found: dict[str, list[Window]] = {}
    for window in windows:
        found.setdefault(window.point, []).append(window)
    return found


def _without_stray(instants: Sequence[float], strays: Sequence[float], reach_s: float) -> list[float]:
    """Those for which none of `strays` is left within `reach_s`; each stands for one. Both in order."""
    found, place = [], 0
    for instant in instants:
        while place < len(strays) and strays[place] < instant - reach_s:
            place += 1
        if place < len(strays) and strays[place] <= instant + reach_s:
            place += 1
        else:
            found.append(instant)
    return found


def _was_shown(seen: Seen, at: Floats) -> Any:
    low, high = seen.sure_window(at)
    clean = seen.at.all[seen.clean.all == 1.0]
    return np.searchsorted(clean, high, "right") > np.searchsorted(clean, low)


def _not_counted(need: Floats, windows: Sequence[Window]) -> Floats:
    """What is left when each summary, the finest first, has covered as many as it counts."""
    for window in sorted(windows, key=lambda it: (it.window_s, it.from_s)):
        if not len(need):
            break
        low, high = np.searchsorted(need, (window.from_s, window.from_s + window.window_s))
        need = np.delete(need, slice(low, min(high, low + window.good)))
    return need
