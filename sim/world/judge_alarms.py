"""Promise 3: the alarms that must be at the province are, in time and before the rest, and no others.

An oracle without a state of its own. For each level of each limit, what the instrument surely showed says at many
instants that the level must stand, or must not: all of it beyond for `hold`, all of it back for `clear_hold`. In
between both are right. The other way round, each alarm that came must be explained by what was shown just then.
Nothing is taken from edge.limits: it is what is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from edge.config.site import Limit
from edge.contract import ClockQuality, Level, Rule
from sim.world.judge_books import AlarmRow, EntryKey
from sim.world.judge_roads import EACH_S, Roads
from sim.world.judge_rules import Rules, is_combined, is_measured, levels_of
from sim.world.judge_spans import HOLD_S, Bools, Floats, held, held_for, holds, let_off_s, merged, must_last_s, stood
from sim.world.judge_truth import DISK_TROUBLES, HANG_S, UNREST_BEFORE_S, Seen, Truth
from sim.world.nouns import Broken

STAMP_S = 3.0  # from the moment a value left its instrument until it is judged: the other reads of its device
TICK_S = 2.0  # silence is looked at each second
COMMIT_S = 2.0  # an alarm is on the disk: what dies before that is raised again by the next life
LOOK_BACK_S = 900.0  # beyond the longest hold: where the run of a value began
IN_STEPS = "steps"  # the unit of an alarm whose point the province does not know yet
DEAD_PERIODS = 3.0  # without a reading an instrument is silent
ORDER_S = 3.0  # an alarm this much older than what came in...
OVERTAKES_S = 10.0  # ...is there at most so long after it


@dataclass
class _Limit:
    """A limit and what the province has of it. `starts`: levels from lowest, with their thresholds."""

    limit: Limit
    seen: Seen
    rows: list[AlarmRow] = field(default_factory=list)
    fresh: set[EntryKey] = field(default_factory=set)  # not looked at beside their neighbours
    judged_s: float = 0.0

    @property
    def sign(self) -> int:
        return 1 if self.limit.rule is Rule.ABOVE else -1


class Alarms:
    """All limits of a site. `count`: alarms that came."""

    def __init__(self, truth: Truth, roads: Roads) -> None:
        self._truth = truth
        self._roads = roads
        here = {it.id: it for it in truth.site.limits if it.point in truth.points}
        known = {id_: it for id_, it in here.items() if it.plain or is_measured(it)}
        known |= {id_: it for id_, it in here.items() if is_combined(it, known)}
        self._limits = {id_: _Limit(it, truth.points[it.point]) for id_, it in known.items()}
        self._rules = Rules(truth, self._calm)
        self._waiting: list[AlarmRow] = []
        self._unexplained: dict[EntryKey, AlarmRow] = {}  # what other alarms may explain that are still to come
        self._unsaid: list[AlarmRow] = []  # until each open road must have said them
        self._ids = {limit.id for limit in truth.site.limits}
        self.count = 0

    def take(self, rows: list[AlarmRow]) -> Iterator[Broken]:
        """Alarms that came in; each is judged when all that may explain it has been looked at."""
        self.count += len(rows)
        for row in rows:
            if row.limit in self._limits:
                kept, fresh = self._limits[row.limit].rows, self._limits[row.limit].fresh
                kept.append(row)
                fresh.add((row.epoch, row.seq))
                kept.sort(key=lambda it: (self._time_of(it), it.epoch, it.seq))
            elif row.limit not in self._ids:
                yield Broken("3 alarms", row.received_s, f"an alarm of {row.limit}, which the site does not have")
        self._waiting += [row for row in rows if row.limit in self._limits]

    def check(self) -> Iterator[Broken]:
        waiting, self._waiting = self._waiting, []
        again, self._unexplained = self._unexplained.values(), {}
        for row in sorted([*again, *waiting], key=lambda it: (it.at_s, it.epoch, it.seq)):
            yield from self._explained(self._limits[row.limit], row)
        for row in waiting:
            yield from self._in_time(row)
        yield from self._everywhere(waiting)
        for name in self._limits:
            yield from self._repeated(self._limits[name])
            yield from self._musts(self._limits[name])

    def _meant(self, row: AlarmRow) -> list[float]:
        """All instants that its stamp may mean; none where no doubt explains its clock."""
        return self._truth.times().meant(row.at_s, row.clock)

    def _time_of(self, row: AlarmRow) -> float:
        """When it was raised; of a doubtful clock, the first instant that it may mean."""
        return next(iter(self._meant(row)), row.at_s)

    def _slack_s(self, at_s: float) -> float:
        return STAMP_S + self._truth.times().more_s(at_s)

    # -- no alarm that must not be -------------------------------------------------------------------------------------

    def _explained(self, kept: _Limit, row: AlarmRow) -> Iterator[Broken]:
        """At one of the instants that it may mean. What is laid before all others is known in its order only."""
        meant = self._meant(row)
        if not meant:
            word = ClockQuality(row.clock).name
            what = f"{_words(row)} has a clock that is {word}, and no doubt of that time explains it"
            yield Broken("6 honest time", row.received_s, what)
        elif not self._truth.times().is_laid(np.array([row.at_s]), np.array([row.clock]))[0]:
            found = [list(self._explained_at(kept, row._replace(at_s=at_s))) for at_s in meant]
            yield from min(found, key=len)

    def _explained_at(self, kept: _Limit, row: AlarmRow) -> Iterator[Broken]:
        more_s = self._truth.times().more_s(row.at_s)
        lives = [(low - 1 - more_s, high + 1 + more_s) for low, high in self._truth.running]
        if row.at_s > row.received_s + 1.0 + more_s or not holds(lives, row.at_s):
            yield Broken("6 honest time", row.received_s, f"{_words(row)}: nobody could have raised it then")
            return
        level = Level(row.level)
        if level is not Level.NONE and level not in levels_of(kept.limit):
            yield Broken("3 alarms", row.received_s, f"{_words(row)}: the limit has no such level")
        elif (level is Level.NONE) != (row.change == "cleared"):
            yield Broken("3 alarms", row.received_s, f"{_words(row)}: its level and its change do not fit")
        elif not self._any_fits(kept, row, level):
            if self._hangs_on_others(kept, row, level):
                self._unexplained[row.epoch, row.seq] = row
            else:
                yield Broken("3 alarms", row.received_s, f"{_words(row)}: nothing that was shown explains it")

    def _hangs_on_others(self, kept: _Limit, row: AlarmRow, level: Level) -> bool:
        """Whether alarms that need not be there yet may explain it: members' of one about limits, the one before it. A
        card says the gravest and newest of many first."""
        if row.at_s + self._slack_s(row.at_s) <= self._roads.settled_until(self._truth.now_s):
            return False
        return kept.limit.rule is Rule.COMBINED or self._any_fits(replace(kept, rows=[row]), row, level)

    def _any_fits(self, kept: _Limit, row: AlarmRow, level: Level) -> bool:
        if kept.limit.rule is Rule.STALE:
            return self._stale_fits(kept, row)
        if kept.limit.rule is Rule.COMBINED:
            return self._rules.combined_fits(kept.limit, row, self.rows(), self._slack_s(row.at_s))
        if kept.limit.plain:
            return self._fits(kept, row, level)
        step = 1.0 if row.unit == IN_STEPS else float(kept.limit.scale.step)
        return self._rules.fits(kept.limit, row, step, self._slack_s(row.at_s))

    def rows(self) -> dict[str, list[AlarmRow]]:
        """Limit -> its alarms, in order."""
        return {id_: kept.rows for id_, kept in self._limits.items()}

    def _fits(self, kept: _Limit, row: AlarmRow, level: Level) -> bool:
        """Whether what was shown allows the limit to go to this level now: up to it, or down to it."""
        thresholds, sign = dict(kept.limit.thresholds), kept.sign
        # What came before its sheet is told in steps.
        step = 1.0 if row.unit == IN_STEPS else float(kept.seen.point.step)
        if level is not Level.NONE and abs(row.threshold / step - thresholds[level]) > 0.5:
            return False
        value = None if row.value is None else round(row.value / step)
        if value is None or kept.seen.far(np.array([float(value)]))[0]:
            return False
        if not (self._was_shown(kept.seen, value, row.at_s) or self._last_word(kept, value, row)):
            return False
        if row.change != "cleared" and sign * (value - thresholds[level]) >= 0 and not self._falls(kept, row):
            lasts_s = kept.limit.hold_s - let_off_s(kept.limit.hold_s, kept.seen.every_s)
            beyond = sign * (self._sure(kept.seen, row.at_s, lasts_s) - thresholds[level]) >= 0
            if bool(np.all(beyond)) and self._ran_for(row.at_s, lasts_s):
                return True
        left = min((place for place in thresholds if place > level), default=None)
        if row.change == "raised" or left is None:
            return False
        edge = thresholds[left] * sign - kept.limit.hysteresis_steps
        back = sign * self._sure(kept.seen, row.at_s, kept.limit.clear_hold_s) < edge
        return sign * value < edge and bool(np.all(back)) and self._ran_for(row.at_s, kept.limit.clear_hold_s)

    def _falls(self, kept: _Limit, row: AlarmRow) -> bool:
        """Whether it comes down from a higher level: that one must be left, which is more than this one to be met."""
        entry = row.epoch, row.seq  # its instant may be another one that it may mean
        place = next(place for place, one in enumerate(kept.rows) if (one.epoch, one.seq) == entry)
        before = kept.rows[place - 1] if place else None
        return before is not None and before.level > row.level and not self._may_be_forgotten(before, row)

    def _was_shown(self, seen: Seen, value: int, at_s: float) -> bool:
        slack_s = self._slack_s(at_s)
        low, high = np.searchsorted(seen.at.all, (at_s - slack_s, at_s + slack_s - STAMP_S + 0.5))
        if seen.bare and bool(np.any(seen.clean.all[low:high] == 0.0)):
            return True
        return bool(np.any(np.abs(seen.steps.all[low:high] - value) <= 0.5 + 1e-6))

    def _last_word(self, kept: _Limit, value: int, row: AlarmRow) -> bool:
        """An instrument that fell silent while a hold time ran: the last value that was taken stands (LIMITS.md,
        "Silence"); none after it was surely taken."""
        seen, slack_s = kept.seen, self._slack_s(row.at_s)
        if not kept.limit.hold_s:
            return False
        dead_s = DEAD_PERIODS * seen.every_s - slack_s
        back_s = kept.limit.hold_s + max(dead_s + 2 * slack_s, self._truth.silent_s(seen, row.at_s - slack_s))
        first, last, dead = np.searchsorted(seen.at.all, (row.at_s - back_s, row.at_s - slack_s, row.at_s - dead_s))
        sure = np.flatnonzero(self._calm(seen, int(first), int(last)))
        first += sure[-1] if len(sure) else 0
        return bool(np.any(np.abs(seen.steps.all[first:dead] - value) <= 0.5 + 1e-6))

    def _sure(self, seen: Seen, at_s: float, hold_s: float) -> Floats:
        """Values in whole steps that were surely judged in the hold before an instant."""
        slack_s = self._slack_s(at_s) - STAMP_S
        low, high = np.searchsorted(seen.at.all, (at_s - hold_s + HOLD_S + slack_s, at_s - 0.5 - STAMP_S - slack_s))
        if high <= low:
            return np.empty(0)
        low -= low > 0  # it stood so at the beginning of the hold
        values: Floats = np.rint(seen.steps.all[low:high])
        return values[self._calm(seen, int(low), int(high))]

    def _calm(self, seen: Seen, first: int, last: int) -> Bools:
        """Which of what was shown from one place to another was surely taken."""
        at, steps = seen.at.all[first:last], seen.steps.all[first:last]
        calm: Bools = seen.clean.all[first:last] == 1.0
        calm &= ~self._truth.restless([seen.port], at, UNREST_BEFORE_S + seen.every_s, STAMP_S)
        calm &= ~self._truth.unheard(seen, at)
        calm &= np.abs(steps - np.floor(steps) - 0.5) > 1e-6  # a tie may be rounded either way
        calm &= ~seen.far(steps)
        if seen.mixed:
            calm &= np.mod(at, seen.every_s) < seen.every_s / 2
        return calm

    def _ran_for(self, at_s: float, hold_s: float) -> bool:
        """A hold time goes on over restarts; before the first start there was none."""
        slack_s = self._slack_s(at_s)
        lives = self._truth.lives
        runs = any(low - slack_s <= at_s <= high + 1.0 + slack_s - STAMP_S for low, high, _ in lives)
        return runs and lives[0][0] <= at_s - hold_s + HOLD_S + slack_s

    def _heard_since(self, at_s: float, span_s: float) -> float | None:
        """From when on the gateway has run for so long until an instant; None: it has not run so long."""
        for low, high, _ in reversed(self._truth.lives):
            part_s = min(high, at_s) - low
            if part_s >= span_s:
                return min(high, at_s) - span_s
            span_s -= max(0.0, part_s)
        return None

    def _stale_fits(self, kept: _Limit, row: AlarmRow) -> bool:
        seen, slack_s = kept.seen, self._slack_s(row.at_s)
        if row.change == "cleared":
            low, high = np.searchsorted(seen.at.all, (row.at_s - slack_s, row.at_s + slack_s))
            return bool(high > low)
        silence_s = dict(kept.limit.thresholds)[Level(row.level)]
        since_s = self._heard_since(row.at_s, silence_s - slack_s)
        if abs(row.threshold - silence_s) > 0.5 or since_s is None:
            return False
        low, high = np.searchsorted(seen.at.all, (since_s, row.at_s - slack_s))
        return not bool(np.any(self._calm(seen, int(low), int(high))))

    # -- in time, and before the rest ----------------------------------------------------------------------------------

    def _in_time(self, row: AlarmRow) -> Iterator[Broken]:
        meant = self._meant(row)
        laid = self._truth.times().is_laid(np.array([row.at_s]), np.array([row.clock]))[0]
        at_s = max((it for it in meant if it <= row.received_s), default=row.at_s) if not laid else row.received_s
        due_s = self._roads.due(
            at_s, self._together(row, at_s), self._truth.disk_slow_s() * 4
        ) + self._truth.times().more_s(at_s)
        late_s = row.received_s - at_s
        if row.received_s > due_s:
            what = f"{_words(row)}: came in after {late_s:.1f} s; by the roads that were open, {due_s - at_s:.1f} s"
            yield Broken("3 alarms", row.received_s, what)
        bulk_s = self._roads.bulk_after(at_s + ORDER_S)
        ill = self._truth.during(*DISK_TROUBLES, after_s=HANG_S)
        if row.received_s > bulk_s + OVERTAKES_S and not any(a < row.received_s and b > at_s for a, b in ill):
            what = f"{_words(row)}: came in {row.received_s - bulk_s:.1f} s after rounds that were sent later"
            if not any(at_s <= end <= row.received_s for _, end, why in self._truth.lives if why):
                yield Broken("3 alarms", row.received_s, what)

    def _together(self, row: AlarmRow, at_s: float) -> tuple[int, int]:
        """How many alarms share a card's messages with this one: of about the same time, and those that were raised
        later, are no less grave and so went before it; and how many parts of a message they fill."""
        number, parts = 0, 0
        for kept in self._limits.values():
            for other in kept.rows:
                first = other.at_s > at_s and other.level >= row.level and other.received_s <= row.received_s
                if first or abs(other.at_s - at_s) < 120.0:
                    number += 1
                    parts += self._roads.filled(at_s, plain=kept.limit.plain, known=other.unit != IN_STEPS)
        return number, parts

    def _everywhere(self, new: list[AlarmRow]) -> Iterator[Broken]:
        """Until its first receipt an alarm is said over each road that is open and free."""
        times, now_s = self._truth.times(), self._truth.now_s
        self._unsaid += [row for row in new if row.clock == ClockQuality.TRUSTED and not times.more_s(row.at_s)]
        ripe = [row for row in self._unsaid if row.at_s + EACH_S <= now_s]
        self._unsaid = [row for row in self._unsaid if row.at_s + EACH_S > now_s]
        for row in ripe:
            if link := self._roads.silent(row.at_s, row.received_s):
                yield Broken("3 alarms", row.received_s, f"{_words(row)}: was not said over {link}")

    def _repeated(self, kept: _Limit) -> Iterator[Broken]:
        """No level is told twice in a row, unless the first telling may have died with the daemon. Asked when what was
        told in between must be there."""
        until_s, fresh = self._roads.settled_until(self._truth.now_s), kept.fresh
        if not fresh:
            return
        for before, row in pairwise(kept.rows):
            if {(before.epoch, before.seq), (row.epoch, row.seq)}.isdisjoint(fresh) or self._time_of(row) > until_s:
                continue
            if before.level == row.level and not self._may_be_forgotten(before, row):
                yield Broken("3 alarms", row.received_s, f"{_words(row)}: told before, at {before.at_s:.1f} s")
        kept.fresh = {(row.epoch, row.seq) for row in kept.rows if self._time_of(row) > until_s} & fresh

    def _may_be_forgotten(self, before: AlarmRow, row: AlarmRow) -> bool:
        """Whether what a limit stood at after `before` may have been forgotten by the time of `row`: it died with the
        daemon before it was on the disk, or with the disk."""
        low, high = self._time_of(before), self._time_of(row)
        young_s = COMMIT_S + self._truth.disk_slow_s() * 2
        if any(low <= end <= low + young_s + self._slack_s(low) for _, end, why in self._truth.lives if why):
            return True
        if holds(self._truth.clock_doubt(), low) or holds(self._truth.clock_doubt(), high):
            return True  # which came first is not known for sure
        return any(low <= end and start <= high for start, end in self._truth.may_be_lost())

    # -- each alarm that must be ---------------------------------------------------------------------------------------

    def _musts(self, kept: _Limit) -> Iterator[Broken]:
        """What must stand, and what must not, since the last time; as far as it must have arrived."""
        until_s = self._roads.settled_until(self._truth.now_s)
        until_s -= self._slack_s(until_s) + TICK_S
        if until_s <= kept.judged_s:
            return
        after_s, kept.judged_s = kept.judged_s, until_s
        times = np.array([self._time_of(row) for row in kept.rows])
        levels = np.array([0, *(row.level for row in kept.rows)])
        seen, limit = kept.seen, kept.limit
        reach_s = LOOK_BACK_S + limit.hold_s + limit.clear_hold_s
        first, last = np.searchsorted(seen.at.all, (after_s - reach_s, until_s))
        first = max(0, first - 1)  # also what was shown last before a long silence
        judge = self._stale_musts if limit.rule is Rule.STALE else self._value_musts
        if limit.rule is Rule.COMBINED:
            musts = self._rules.combined_musts(limit, self.rows(), after_s, until_s)
        elif not limit.plain:
            musts = self._rules.measured_musts(limit, after_s, until_s)
        else:
            musts = judge(kept, int(first), int(last), after_s, until_s)
        for level, at, stands in musts:
            at = at[(at > after_s) & (at <= until_s) & self._judgeable(at)]
            right = stood(times, levels, at, level, stands, self._truth.times().more(at) + STAMP_S + TICK_S)
            for place in np.flatnonzero(~right)[:1].tolist():
                word = "does not stand" if stands else "still stands"
                what = f"{limit.id}: {Level(level).name} {word} at {at[place]:.1f} s, against what {limit.point} showed"
                yield Broken("3 alarms", float(at[place]), what)

    def _judgeable(self, at: Floats) -> Bools:
        """Not where the clock may be wrong, what was raised may have died, or nobody ran to the end of it."""
        truth = self._truth
        lives = [(low + STAMP_S, high - COMMIT_S - STAMP_S) for low, high, _ in truth.lives]
        ill = merged([*truth.clock_doubt(), *truth.may_be_lost(), *truth.during("disk.hang", after_s=HANG_S)])
        return held(lives, at) & ~held(ill, at)

    def _value_musts(
        self, kept: _Limit, first: int, last: int, _after_s: float, _until_s: float
    ) -> Iterator[tuple[int, Floats, bool]]:
        seen, limit, sign = kept.seen, kept.limit, kept.sign
        at, values = seen.at.all[first:last], np.rint(seen.steps.all[first:last])
        if not len(at):
            return
        calm, clean = self._calm(seen, first, last), seen.clean.all[first:last] == 1.0
        calm &= ~held(self._truth.uncommitted(), at)
        lives = self._truth.memories(at)
        for level, threshold in limit.thresholds:
            beyond = sign * (values - threshold)
            for stands, side in ((True, beyond >= 0), (False, beyond < -limit.hysteresis_steps)):
                # A spoilt reply may have been taken all the same: one on the other side ends a run.
                run_ok = side & (clean | (not seen.bare))
                yield int(level), held_for(at, run_ok, calm & run_ok, lives, must_last_s(limit, stands)), stands

    def _stale_musts(
        self, kept: _Limit, first: int, last: int, after_s: float, until_s: float
    ) -> Iterator[tuple[int, Floats, bool]]:
        """Silence that lasts must be told, and its end."""
        seen = kept.seen
        at = seen.at.all[first:last]
        back = at[self._calm(seen, first, last)]
        known_s = float(at[0]) if first and len(at) else 0.0
        gaps = []
        for low, high, _ in self._truth.lives:
            if high > after_s:
                inside = at[(at >= low) & (at <= high)].tolist()
                gaps += list(pairwise([max(low, known_s), *inside, min(high, until_s)]))
        for level, silence_s in kept.limit.thresholds:
            yield int(level), back, False
            told = [low + silence_s for low, high in gaps if high - low >= silence_s + TICK_S + STAMP_S]
            yield int(level), np.array(sorted(told)), True


def _words(row: AlarmRow) -> str:
    value = "" if row.value is None else f" at {row.value:g}"
    return f"{row.limit} {Level(row.level).name} {row.change}{value} at {row.at_s:.1f} s"
