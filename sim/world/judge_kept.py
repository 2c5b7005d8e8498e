"""Promises 1 and 2: every round of the grid is at the province or in a summary that counts it; the account says so.

Judged are instants before which everything had time to arrive (`Truth.drained_by`). For each there must be a round, or
for each value its instrument surely gave, room in the count of a summary over it, or in what the account says was
evicted. Excused are the first seconds of a life, what was not committed at a death, what memory held at one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from sim.world.judge_books import AccountRow, News, Readings, Window
from sim.world.judge_spans import Floats, Stretches, held, holds, merged, without
from sim.world.judge_truth import DISK_BACK_S, DISK_START_S, DISK_TROUBLES, Seen, Truth
from sim.world.nouns import START_MS, Broken

START_GRACE_S = 10.0  # the promise itself: a start takes so long; the first round of a life is not on the grid
STOP_LOSES_S = 1.0  # of an ordered end: the round that is being filled, and two periods
MISSED_BEFORE_S = 30.0  # a device whose answers stay away holds up its wire: an instant may pass meanwhile
ACCOUNT_S = 1.0  # from its time until an account is drawn up
ANSWERED_S = 25.0  # a receipt over an open road, and the commit that it waits for
NEAR = 1.0  # period: with a clock that was learnt late, the grid is not the true one


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
        self.rounds = 0

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
        for place, count, instant in zip(first.tolist(), counts.tolist(), at_ms.tolist(), strict=True):
            point = int(rows.place[place])
            if point < 0:
                continue
            group = self._places[point]
            self._there[group].add(instant)
            if count != self._sizes[group]:
                what = f"a round of {count} readings, its group has {self._sizes[group]} points"
                yield Broken("1 kept", float(rows.received_s[place]), what)

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
        if not holds(truth.running, row.at_s) or holds(truth.clock_doubt(), row.at_s) or truth.is_clock_troubled():
            return
        settled = int(row.body.get("entries", {}).get("settled", 0))
        had = bisect_right(self._came, row.at_s + ACCOUNT_S)
        if settled > had:
            what = f"settled entries at {row.at_s:.1f} s: {settled}, of which the province had {had} by then"
            yield Broken("2 custody", row.received_s, what)
        roads = [road for link in truth.wide for road in truth.open_roads(link)]
        ill = truth.during(*DISK_TROUBLES, after_s=DISK_BACK_S)
        open_s = min((low for low, high in without(roads, ill) if low <= row.at_s <= high), default=row.at_s)
        times = self._entries.get(row.epoch, {}).values()
        late_s = row.at_s - ANSWERED_S - truth.site.store.commit_every_s
        due = sum(open_s <= came_s <= late_s for came_s in times)
        if settled < due:
            what = f"settled entries at {row.at_s:.1f} s: {settled}; the province had {due} of them long before"
            yield Broken("2 custody", row.received_s, what)

    def holes(self) -> Iterator[Broken]:
        """At the end: what of the store's own numbers never came must be folded, evicted or taken over by the account.

        Only where no store was lost: a damaged one, or one in memory, takes its numbers with it."""
        drained = self._truth.drained_by()
        rows = [row for row in self._accounts if drained and row.at_s <= drained[-1]]
        if not rows or self._truth.may_be_lost() or self._truth.troubles("disk.damage", *DISK_TROUBLES):
            return
        last = max(rows, key=lambda row: (row.received_s, row.seq))
        entries = last.body.get("entries", {})
        told = sum(int(entries.get(name, 0)) for name in ("folded", "evicted", "adopted"))
        there = sum(1 for seq in self._entries.get(last.epoch, ()) if seq < last.seq)
        missing = last.seq - 1 - there
        later = max(self._accounts, key=lambda row: (row.epoch == last.epoch, row.seq)).body.get("entries", {})
        told = max(told, sum(int(later.get(name, 0)) for name in ("folded", "evicted", "adopted")))
        if missing > told:
            what = f"{missing} entries before {last.epoch}/{last.seq} never came, {told} are accounted for"
            yield Broken("2 custody", self._truth.now_s, what)

    # -- promise 1 -----------------------------------------------------------------------------------------------------

    def check(self, windows: Callable[[], Sequence[Window]]) -> Iterator[Broken]:
        """The instants since the last check of which everything has had time to arrive; `windows`: all summaries."""
        drained = self._truth.drained_by()
        until_s = drained[-1] if drained else 0.0
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
        there = self._there[group]
        gone = [n * every_ms for n in range(first, last) if n * every_ms not in there]
        if gone and truth.is_clock_troubled():
            gone = _far(gone, sorted(there), round(NEAR * every_ms))
        missing = (np.array(gone, np.float64) - START_MS) / 1000
        missing = missing[held(self._judgeable(every_s), missing)]
        missing = missing[~held(merged([*truth.clock_doubt(), *truth.may_be_lost()]), missing)]
        ports = sorted({truth.points[point.id].port for point in points if point.id in truth.points})
        found: Floats = missing[~truth.restless(ports, missing, MISSED_BEFORE_S, every_s)] if ports else missing
        return found

    def _lost(self, group: int, missing: Floats, windows: dict[str, list[Window]]) -> tuple[Floats, int]:
        """Of missing instants, those whose values no summary counts; and how many readings that are."""
        lost: list[Floats] = []
        for point in self._groups[group][1]:
            seen = self._truth.points.get(point.id)
            mine = windows.get(point.id, [])
            # A round that is folded leaves no trace of what failed in it: then only what was surely given counts.
            need = missing[_was_shown(seen, missing)] if mine and seen is not None else missing
            lost.append(_not_counted(need, mine))
        return np.unique(np.concatenate(lost)), sum(map(len, lost))

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


def _far(instants: Sequence[int], there: Sequence[int], reach: int) -> list[int]:
    """Those with nothing within `reach`."""
    found = []
    for instant in instants:
        place = bisect_left(there, instant - reach)
        if place == len(there) or there[place] > instant + reach:
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
