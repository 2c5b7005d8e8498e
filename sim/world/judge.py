"""The ten promises (DESIGN 2), checked from outside: what instruments showed against what the province holds.

Knows nothing of the daemon's inside: it reads the record of what really happened, the site file and the province's
tables. One file for each family of promises:

    judge_values    4 once, 5 honest values, 6 honest time      each row, when it has come in
    judge_kept      1 kept, 2 custody                           what had time to arrive; the accounts
    judge_told      2 custody                                   the account and the status are told at all
    judge_alarms    3 alarms                                    an oracle without a state of its own
    judge_rules, judge_numbers                                  ... of sums, rates, differences, limits about limits
    judge_outputs                                               ... of what is switched on the spot
    judge_roads     10 links, and when an alarm is due
    judge_running   7 starts, 8 bounded, 9 commands
    judge_truth     what really happened, and every excuse there is...
    judge_clock     ...but those of a clock trouble
    judge_books     what came in since the last look

`Watch` looks now and then and reads only what is new; `judge` does all at once. Neither changes what it judges, but
for an index in the province's database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from edge.config.site import Site
from sim.world.expects import arrivals, verdicts
from sim.world.judge_alarms import Alarms
from sim.world.judge_books import Books, Readings, joined
from sim.world.judge_kept import Kept
from sim.world.judge_outputs import Outputs
from sim.world.judge_roads import Roads
from sim.world.judge_running import Running
from sim.world.judge_told import Told
from sim.world.judge_truth import Truth
from sim.world.judge_values import Values
from sim.world.nouns import Broken, Record, Story, true_ms

WINDOWS_EVERY_S = 6 * 3600.0  # summaries have no index by arrival: all are read
MOST_BROKEN = 20  # of one look: a fault that breaks thousands is seen in the first
BATCH_READINGS = 10_000  # looked at together: each look at a point costs some 100 us, whatever it looks at


class Watch:
    """Judges a play while it goes on. `books`: the province's databases, the present one last; the list may grow."""

    def __init__(self, record: Record, site: Site, books: Sequence[Path], story: Story) -> None:
        self._story = story
        self._truth = Truth(record, site, story)
        self._paths = books
        self._books = Books(books, site.gateway.id, list(self._truth.points))
        self._values = Values(self._truth)
        self._kept = Kept(self._truth)
        self._told = Told(self._truth)
        self._roads = Roads(self._truth)
        self._alarms = Alarms(self._truth, self._roads)
        self._outputs = Outputs(self._truth, self._roads, self._alarms.rows)
        self._running = Running(self._truth)
        self._windows_s = 0.0
        self._packets = 0
        self._held: list[Readings] = []  # not looked at yet

    def check(self, now_s: float) -> list[Broken]:
        """What is broken by now and was not told: everything but what came in at this very millisecond."""
        return self._look(now_s, true_ms(now_s))

    def end(self, now_s: float) -> list[Broken]:
        """The play is over: everything that came in, the account's numbers, and what the story expects."""
        broken = self._look(now_s, true_ms(now_s) + 1, ended=True)
        rest = [*self._kept.holes(), *self._expects(now_s)]
        return (broken + rest)[:MOST_BROKEN]

    def sums(self) -> Mapping[str, float]:
        """Figures for a report."""
        return {
            "readings": self._values.count,
            "rounds": self._kept.rounds,
            "judged": self._kept.judged,
            "alarms": self._alarms.count,
            "sirens": self._outputs.count,
            "packets": self._packets,
        }

    def _look(self, now_s: float, until_ms: int, *, ended: bool = False) -> list[Broken]:
        self._truth.look(now_s)
        return list(islice(self._all(now_s, until_ms, ended=ended), MOST_BROKEN))

    def _all(self, now_s: float, until_ms: int, *, ended: bool) -> Iterator[Broken]:
        news = self._books.look(until_ms)
        self._packets += len(news.packets)
        self._roads.take(news.packets)
        for epoch, counter, at_s in news.reused:
            what = f"packet counter {counter} of epoch {epoch:08x} was used for two different packets"
            yield Broken("4 once", at_s, what)
        yield from self._kept.take(news)
        self._told.take(news)
        self._held += news.readings
        if self._held and (ended or sum(len(rows.seq) for rows in self._held) >= BATCH_READINGS):
            rows = joined(self._held)
            self._held.clear()
            yield from self._values.check(rows)
        yield from self._alarms.take(news.alarms)
        yield from self._alarms.check()
        yield from self._outputs.check(ended=ended)
        yield from self._roads.check()
        yield from self._running.check()
        if ended or now_s >= self._windows_s + WINDOWS_EVERY_S:
            for window in self._books.windows():
                if window.received_s > self._windows_s:
                    yield from self._values.check_window(window)
            self._windows_s = now_s
        yield from self._kept.check(self._books.windows)
        yield from self._told.check()

    def _expects(self, now_s: float) -> Iterator[Broken]:
        """What the story says must be seen, and was not, or must not be, and was."""
        seen = arrivals(path for path in self._paths if path.exists()) if self._story.expects else []
        for verdict in verdicts(self._story.expects, seen, now_s):
            if verdict.broken:
                yield Broken("3 alarms", verdict.expect.by_s, verdict.broken)


def judge(record: Record, site: Site, province_db: Path, story: Story, now_s: float, ended: bool) -> list[Broken]:
    """All that is broken by `now_s`, looked at once. `ended`: the play is over, and what expects is judged too."""
    watch = Watch(record, site, [province_db], story)
    return watch.end(now_s) if ended else watch.check(now_s)
