"""Promises 4, 5 and 6: each value at the province is one that its instrument showed then, once, at the right time.

A row's value must lie within half a step of something the instrument showed in the time its round stands for, and that
left it whole. What came late was the answer to another question: it is no value of this round.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.contract import ClockQuality, Quality
from sim.world.judge_books import Readings, Window
from sim.world.judge_clock import CLOCK_UNSURE_S
from sim.world.judge_spans import Bools, Floats, held, merged
from sim.world.judge_truth import HANG_S, Seen, Truth
from sim.world.nouns import Broken

HALF_STEP = 0.5 + 1e-6  # rounding to whole steps may go either way at the half
RELATIVE = 1e-12  # of a double's own
FUTURE_S = 1.0  # a reading after its own arrival; the clock is right within half a second
LIFE_S = 2.0  # before a start and after an end: a round is stamped with its grid, within a second or so of now
BEFORE_ALL_S = -200 * 86_400.0  # the year the world begins in: who wakes in 1970 and believes it is a fool
START_S = 10.0  # the first rounds of a life: instruments that speak have not spoken yet, ports are being opened
MEAN_STEPS = 1.5 + 1e-6  # of minutes, of ten of them, of an hour: rounded to half a step each time
WHOLE_ENTRY = 3  # so many values of one entry, and more than half of them: its time is wrong, not its values


class Values:
    """What comes in is checked at once; `twice` remembers which instant of which group stood in which entry."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._names = list(truth.points)
        self._seen = list(truth.points.values())
        self._instants: dict[tuple[int, int], tuple[int, int]] = {}
        groups = {point.id: place for place, points in enumerate(truth.site.groups.values()) for point in points}
        self._groups = np.array([groups[name] for name in self._names], np.int64)
        self.count = 0

    def check(self, rows: Readings) -> Iterator[Broken]:
        """Of one batch of rows."""
        self.count += len(rows.at_s)
        sure = rows.clock == ClockQuality.TRUSTED
        yield from self._once(rows, sure | self._truth.times().are_placed(rows.at_s, rows.clock))
        yield from self._times(rows, sure)
        wrong = np.zeros(len(rows.at_s), np.int8)  # 1: was not shown, 2: came late
        order = np.argsort(rows.place, kind="stable")
        edges = np.searchsorted(rows.place[order], np.arange(len(self._names) + 1))
        for place in range(len(self._names)):
            mine = order[edges[place] : edges[place + 1]]
            if len(mine):
                yield from self._marks(place, rows, mine)
                certain = mine[sure[mine]]
                wrong[certain] = self._matches(place, rows, certain, rows.at_s[certain])
                if len(certain) < len(mine):
                    doubtful = mine[~sure[mine]]
                    wrong[doubtful] = self._matches_somehow(place, rows, doubtful)
        yield from self._told(rows, wrong)

    # -- promise 4 -----------------------------------------------------------------------------------------------------

    def _once(self, rows: Readings, sure: Bools) -> Iterator[Broken]:
        """Two entries of one instant: only a commit that hung, and had happened all the same, may have made them."""
        changes = (np.diff(rows.seq) != 0) | (np.diff(rows.epoch) != 0)
        first = np.concatenate(([0], np.flatnonzero(changes) + 1))
        hung = self._truth.during("disk.hang", after_s=HANG_S)
        for place in first[sure[first] & (rows.place[first] >= 0)].tolist():
            key = int(self._groups[rows.place[place]]), round(rows.at_s[place] * 1000)
            entry = int(rows.epoch[place]), int(rows.seq[place])
            before = self._instants.setdefault(key, entry)
            if before != entry and not held(hung, rows.at_s[place : place + 1])[0]:
                what = (
                    f"the round of group {key[0]} of {key[1] / 1000:.3f} s is there twice: entries {before} and {entry}"
                )
                yield Broken("4 once", float(rows.received_s[place]), what)

    # -- promise 6 -----------------------------------------------------------------------------------------------------

    def _times(self, rows: Readings, sure: Bools) -> Iterator[Broken]:
        """No reading of the future, none of a time when nobody read, none that is not TRUSTED unless there is doubt."""
        at, received, times = rows.at_s, rows.received_s, self._truth.times()
        more = times.more(at)
        for place in np.flatnonzero(sure & (at > received + FUTURE_S + more))[:1].tolist():
            what = f"{self._name(rows, place)} stands at {at[place]:.3f} s and came in at {received[place]:.3f} s"
            yield Broken("6 honest time", float(received[place]), what)
        known = rows.clock != ClockQuality.UNKNOWN
        for place in np.flatnonzero(known & (at < BEFORE_ALL_S))[:1].tolist():
            what = f"{self._name(rows, place)} stands at {at[place]:.0f} s: no gateway ran so long ago"
            yield Broken("6 honest time", float(received[place]), what)
        lives = [(low - LIFE_S, high + LIFE_S) for low, high in self._truth.running]
        ran = held(lives, at) | held(lives, at - more) | held(lives, at + more)
        for place in np.flatnonzero(sure & ~ran)[:1].tolist():
            what = f"{self._name(rows, place)} stands at {at[place]:.3f} s, when the gateway did not run"
            yield Broken("6 honest time", float(received[place]), what)
        excused = times.is_laid(at, rows.clock)
        for meant, may in times.places(at, rows.clock):
            excused |= may & (meant <= received + FUTURE_S + CLOCK_UNSURE_S)
        for place in np.flatnonzero(~sure & ~excused)[:1].tolist():
            word = ClockQuality(int(rows.clock[place])).name
            what = f"{self._name(rows, place)} of {at[place]:.3f} s has a clock that is {word}"
            yield Broken("6 honest time", float(received[place]), f"{what}, and no doubt of that time explains it")

    def _name(self, rows: Readings, place: int) -> str:
        return self._names[rows.place[place]] if rows.place[place] >= 0 else "a strange point"

    # -- promise 5 -----------------------------------------------------------------------------------------------------

    def _marks(self, place: int, rows: Readings, mine: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[Broken]:
        """Quality and value belong together, the range is minded, and what was given is not told as missing."""
        point, steps, quality = self._seen[place].point, rows.steps[mine], rows.quality[mine]
        missing = np.isnan(steps)
        good = quality == Quality.GOOD
        beyond, far = np.zeros(len(mine), bool), self._seen[place].far(steps)
        for bound, sign in ((point.minimum, -1), (point.maximum, 1)):
            if bound is not None:
                beyond |= sign * steps > sign * round(bound / point.step)
        lost = missing & (rows.clock[mine] == ClockQuality.TRUSTED)
        if lost.any():
            lost[lost] = self._was_given(self._seen[place], rows.at_s[mine[lost]])
        value = rows.value[mine]
        other = ~missing & (np.abs(value - steps * float(point.step)) > float(point.step) / 100 + np.abs(value) * 1e-9)
        undoubted, silent = far & (quality != Quality.SUSPECT), beyond & ~far & (quality != Quality.OVER_RANGE)
        for promise, bad, why in (
            ("5 honest values", missing & good, "has no value and is called good"),
            ("5 honest values", undoubted, "is further beyond than its range is wide, not doubted"),
            ("5 honest values", silent, "is just beyond its range, not told so"),
            ("5 honest values", ~missing & ~beyond & ~good, "is a value within its range and is not called good"),
            ("5 honest values", other, "is not its own number of steps"),
            ("1 kept", lost, "has no value, though its instrument gave a clean one"),
        ):
            for spot in mine[bad][:1].tolist():
                what = f"{self._names[place]} of {rows.at_s[spot]:.3f} s {why} (steps {rows.steps[spot]}, quality "
                yield Broken(promise, float(rows.received_s[spot]), f"{what}{rows.quality[spot]})")

    def _was_given(self, seen: Seen, at: Floats) -> Bools:
        """Whether a clean value was surely there for the round, with nothing on its wire that could have spoilt it."""
        truth = self._truth
        low, high = seen.sure_window(at)
        first, last = np.searchsorted(seen.at.all, (low.min(), high.max() + 1.0)) if len(at) else (0, 0)
        clean = seen.at.all[first:last][seen.clean.all[first:last] == 1.0]
        clean = clean[~truth.unheard(seen, clean)]
        given = np.searchsorted(clean, high, "right") > np.searchsorted(clean, low)
        before_s = 15.0 + 2 * seen.every_s
        given &= ~truth.restless([seen.port], at, before_s, seen.every_s)
        starts = [(low - LIFE_S, low + START_S + seen.every_s) for low, _, _ in truth.lives]
        ends = [(high - truth.uncommitted_s(), high + LIFE_S) for _, high, why in truth.lives if why]
        given &= ~held(sorted(starts), at) & ~held(sorted(ends), at)
        given &= ~held(merged([*truth.times().unsure, *truth.clock_doubt()]), at)
        return given

    def _matches_somehow(
        self, place: int, rows: Readings, mine: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        """The same for stamps that are not TRUSTED: at one of the instants that they may mean; what is laid before all
        others, at any instant of a doubt. What no doubt explains is told by its time."""
        times, seen = self._truth.times(), self._seen[place]
        at, clock = rows.at_s[mine], rows.clock[mine]
        laid = times.is_laid(at, clock)
        anywhen = seen.steps.all[held([(it.low_s - seen.every_s, it.high_s) for it in times.laid], seen.at.all)]
        found = np.where(laid & ~_is_among(rows.steps[mine], anywhen) & (not seen.bare), 1, 0).astype(np.int8)
        placed = np.zeros(len(mine), bool)
        for instants, may in times.places(at, clock):
            if may.any():
                how = self._matches(place, rows, mine[may], instants[may])
                found[may] = np.where(placed[may] | laid[may], np.minimum(found[may], how), how)
                placed |= may
        return found

    def _matches(
        self, place: int, rows: Readings, mine: np.ndarray[tuple[int], np.dtype[np.int64]], at: Floats
    ) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        """0: a clean value of the instrument at `at`; 1: it was not shown; 2: only an answer that came late."""
        seen, truth = self._seen[place], self._truth
        steps = rows.steps[mine]
        low_s, high_s = seen.window(at, truth.times().more(at))
        shown_at, shown, clean = seen.at.all, seen.steps.all, seen.clean.all
        low = np.searchsorted(shown_at, low_s)
        high = np.searchsorted(shown_at, high_s, "right")
        right = np.isnan(steps)
        spoilt = np.zeros(len(mine), bool)  # some spoilt reply in the window
        same = np.zeros(len(mine), bool)  # a spoilt reply with this value
        most = int((high - low).max()) if len(mine) else 0
        for step in range(most):
            inside = low + step < high
            spot = np.minimum(low + step, len(shown_at) - 1)
            equal = inside & (np.abs(shown[spot] - steps) <= HALF_STEP + np.abs(steps) * RELATIVE)
            right |= equal & (clean[spot] == 1.0)
            spoilt |= inside & (clean[spot] == 0.0)
            same |= equal & (clean[spot] == 0.0)
        device = seen.point.device
        late = same & held(truth.during("device.late", on=device, after_s=60.0), at)
        right |= same & ~late  # noise before it, or a second copy: the value itself is the instrument's
        if seen.bare:
            right |= spoilt  # nothing in such a line tells a digit from a damaged one
        return np.where(right, 0, np.where(late, 2, 1)).astype(np.int8)

    def _told(self, rows: Readings, wrong: np.ndarray[tuple[int], np.dtype[np.int8]]) -> Iterator[Broken]:
        bad = np.flatnonzero(wrong)
        entries: dict[tuple[int, int], list[int]] = {}
        for spot in bad.tolist():
            entries.setdefault((int(rows.epoch[spot]), int(rows.seq[spot])), []).append(spot)
        for (epoch, seq), spots in list(entries.items())[:3]:
            valued = int(np.sum((rows.epoch == epoch) & (rows.seq == seq) & ~np.isnan(rows.steps)))
            spot = spots[0]
            if len(spots) >= WHOLE_ENTRY and 2 * len(spots) > valued:
                what = f"{len(spots)} of {valued} values of entry {epoch}/{seq} were not shown at its time"
                yield Broken("6 honest time", float(rows.received_s[spot]), f"{what}, {rows.at_s[spot]:.3f} s")
                continue
            yield self._one(rows, spot, int(wrong[spot]))

    def _one(self, rows: Readings, spot: int, how: int) -> Broken:
        seen = self._seen[rows.place[spot]]
        at = rows.at_s[spot]
        low_s, high_s = seen.window(np.array([at]), self._truth.times().more_s(at))
        first, last = np.searchsorted(seen.at.all, low_s[0]), np.searchsorted(seen.at.all, high_s[0], "right")
        shown = ", ".join(
            f"{t:.3f} s: {v:.3f}{'' if c else ' spoilt'}"
            for t, v, c in zip(
                *(column.all[first : min(last, first + 5)] for column in (seen.at, seen.steps, seen.clean)), strict=True
            )
        )
        why = "came too late for it" if how == 2 else "was not shown then"
        name = self._names[rows.place[spot]]
        what = f"{name} of {at:.3f} s is {rows.steps[spot]:.0f} steps, which {why} (shown: {shown or 'nothing'})"
        return Broken("5 honest values", float(rows.received_s[spot]), what)

    # -- summaries -----------------------------------------------------------------------------------------------------

    def _is_doubtful(self, window: Window) -> bool:
        """Whether rounds may stand in it that are not of its time: of a doubt, as their stamps say it, or laid."""
        times = self._truth.times()
        low_s, high_s = window.from_s - CLOCK_UNSURE_S, window.from_s + window.window_s + CLOCK_UNSURE_S
        moved = [(it.low_s + off, it.high_s + off) for it in times.doubts for off in it.offs]
        stretches = [*times.unsure, *moved]
        return any(low < high_s and high > low_s for low, high in stretches) or bool(times.laid and low_s < 0.0)

    def check_window(self, window: Window) -> Iterator[Broken]:
        """Least <= mean <= greatest, all of them shown; one that counts every round has the very least and most."""
        seen = self._truth.points.get(window.point)
        if seen is None or self._is_doubtful(window):
            return
        step = float(seen.point.step)
        least, mean, most = (value / step for value in (window.minimum, window.mean, window.maximum))
        end_s = window.from_s + window.window_s
        name = f"the {window.window_s} s of {window.point} from {window.from_s:.0f} s"
        if not least - 1e-6 <= mean <= most + 1e-6:
            yield Broken(
                "5 honest values", window.received_s, f"{name}: {least:.0f} <= {mean:.0f} <= {most:.0f} is wrong"
            )
            return
        if window.good > round(window.window_s / seen.every_s) + 1:  # one more: the clock was set by less than 2 s
            yield Broken("1 kept", window.received_s, f"{name} counts {window.good} values")
        low_s, high_s = seen.window(np.array([window.from_s, end_s - seen.every_s]), 0.0)
        low, high = np.searchsorted(seen.at.all, (low_s[0], high_s[1]))
        shown = seen.steps.all[low:high]
        for value, word in ((least, "least"), (most, "greatest")):
            if not seen.bare and not bool(np.any(np.abs(shown - value) <= HALF_STEP)):
                yield Broken("5 honest values", window.received_s, f"{name}: its {word} {value:.0f} was never shown")
        if window.good != round(window.window_s / seen.every_s) or seen.listened or seen.mixed:
            return
        low, high = np.searchsorted(seen.at.all, (window.from_s, end_s - seen.every_s / 2))
        core = np.rint(seen.steps.all[low:high][seen.clean.all[low:high] == 1.0])
        if len(core) != window.good:
            return
        if core.min() < least - 0.5 or core.max() > most + 0.5:
            what = f"{name} says {least:.0f} to {most:.0f}, shown were {core.min():.0f} to {core.max():.0f}"
            yield Broken("5 honest values", window.received_s, what)
        elif abs(core.mean() - mean) > MEAN_STEPS:
            what = f"{name} says {mean:.1f} in the mean, shown were {core.mean():.1f}"
            yield Broken("5 honest values", window.received_s, what)


def _is_among(steps: Floats, shown: Floats) -> Bools:
    """Whether each was shown at some time, or is none."""
    found: Bools = np.isnan(steps)
    if len(shown):
        shown = np.sort(shown)
        low = np.searchsorted(shown, steps - HALF_STEP)
        found |= np.searchsorted(shown, steps + HALF_STEP, "right") > low
    return found
