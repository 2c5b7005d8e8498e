"""Promise 2, the other half: the gateway says each hour what became of everything, and now and then how it is.

Judged are words that were due before an instant by which all had time to arrive (`Truth.drained_by`), at sites with a
wide road. Excused are those of a life that began, or of a time, with a disk in trouble or a clock in doubt, what a
death took with it, and as many as the accounts say were evicted.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from sim.world.judge_books import News
from sim.world.judge_spans import both, merged
from sim.world.judge_truth import DISK_BACK_S, Truth
from sim.world.nouns import Broken

ACCOUNT_FIRST_S, ACCOUNT_EVERY_S = 60.0, 3600.0  # edge/README: an account a minute after a start, then each hour
STATUS_FIRST_S, STATUS_EVERY_S = 0.0, 600.0  # a status at the start, then each ten minutes
LATE_S = 10.0  # the promise itself: a start takes so long
EARLY_S = 1.0  # its time is whole milliseconds of a clock that may be off a little


class Told:
    """Which words came, and which were due."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._rows: dict[str, list[float]] = {"account": [], "status": []}
        self._evicted: dict[int, int] = {}  # epoch -> entries
        self._missing = 0
        self._judged_s = 0.0

    def take(self, news: News) -> None:
        for row in news.accounts:
            insort(self._rows["account"], row.at_s)
            evicted = int(row.body.get("entries", {}).get("evicted", 0))
            self._evicted[row.epoch] = max(self._evicted.get(row.epoch, 0), evicted)
        for at_s in news.statuses:
            insort(self._rows["status"], at_s)

    def check(self) -> Iterator[Broken]:
        truth = self._truth
        until_s = max(truth.drained_by(), default=0.0) - LATE_S if truth.wide else 0.0
        if until_s <= self._judged_s:
            return
        excused = merged([*truth.disk_trouble(DISK_BACK_S), *truth.clock_doubt(), *truth.may_be_lost()])
        for low, high, why in truth.lives:
            high -= truth.uncommitted_s() + LATE_S if why else 0.0
            if any(both([(low, low + LATE_S)], excused)):
                continue
            for name, first_s, every_s in (
                ("account", ACCOUNT_FIRST_S, ACCOUNT_EVERY_S),
                ("status", STATUS_FIRST_S, STATUS_EVERY_S),
            ):
                due_s = low + first_s
                while due_s < min(high, until_s):
                    if due_s >= self._judged_s and not any(both([(due_s - EARLY_S, due_s + LATE_S)], excused)):
                        yield from self._look(name, due_s)
                    due_s += every_s
        self._judged_s = until_s

    def _look(self, name: str, due_s: float) -> Iterator[Broken]:
        rows = self._rows[name]
        place = bisect_left(rows, due_s - EARLY_S)
        if place < len(rows) and rows[place] <= due_s + LATE_S:
            return
        self._missing += 1
        spare = sum(self._evicted.values())
        if self._missing > spare:
            what = f"no {name} of {due_s:.1f} s has come; {spare} entries are told as evicted"
            yield Broken("2 custody", due_s, what)
