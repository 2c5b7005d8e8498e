"""Sums and means over a sliding window.

A reading counts while the middle of the period it stands for is inside the window: of a rain gauge read each minute,
`window = "10min"` is ten readings, however their instants jitter. What is in the window is held as entries of (time,
sum, count). Readings less than a PIECES-th of the window apart share one, which leaves the window with its newest
reading: never more than PIECES + 2 entries whatever comes, and a sum that is right within a PIECES-th of the window,
never too small (24 h: 2 min). A window of at most PIECES readings is exact. An entry comes and goes once, so a reading
costs the same in every window.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from edge.measure_nouns import Spec, seen_until, whole

PIECES = 720  # 24 h of a gauge read every two minutes is exact
COMPACT = 64  # entries that have left the window and are still held
REPEAT = 0.5  # of a period: an amount read so soon after the last one is the same amount, read again
GAP = 1.5  # periods: what a counter gained in a longer silence fell some time during it
GLITCH_READINGS = 3  # a counter that is back where it was after so few readings had never been elsewhere
LONG = 2.5  # periods: a counter set to zero in a longer silence (or while its fall was doubted) has counted since
NEVER_FULL = 1.5  # windows: after one silence that leaves anything of a window, half of it has been seen by then

Rise = tuple[int, int, int, float | None]  # reading, where from, what was counted, when a silence before it began


class _Window:
    """Entries (time of the newest reading, sum, count), oldest first, and their sum. Times count from the first."""

    __slots__ = (
        *("_counts", "_first", "_origin", "_piece_s", "_span_s", "_start", "_sums", "_times"),
        *("count", "now", "total"),
    )

    def __init__(self, spec: Spec) -> None:
        self._span_s = spec.window_s - spec.every_s / 2
        self._piece_s = spec.window_s / PIECES
        self._origin: float | None = None
        self.now = 0.0
        self._clear()

    def _clear(self) -> None:
        self._times, self._sums, self._counts = array("d"), array("d"), array("l")
        self._start, self._first = 0, 0.0
        self.total, self.count = 0.0, 0

    def reach(self, at_s: float) -> float:
        """Lets time pass until `at_s`; the instant on the window's own scale. Time never runs back."""
        if self._origin is None:
            self._origin = at_s
        now = self.now = max(self.now, at_s - self._origin)
        times, edge, start = self._times, now - self._span_s, self._start
        while start < len(times) and times[start] <= edge:
            self.total -= self._sums[start]
            self.count -= self._counts[start]
            start += 1
        self._start = start
        if start == len(times):
            if start:
                self._clear()  # and with it what rounding may have left in the total
        elif start > COMPACT and start * 4 > len(times):
            del times[:start], self._sums[:start], self._counts[:start]
            self._start = 0
        return now

    def add(self, amount: float, at: float) -> None:
        """An amount of the instant `at` on the window's scale, not before the last one."""
        if len(self._times) > self._start and at - self._first < self._piece_s:
            self._times[-1] = at
            self._sums[-1] += amount
            self._counts[-1] += 1
        else:
            self._first = at
            self._times.append(at)
            self._sums.append(amount)
            self._counts.append(1)
        self.total += amount
        self.count += 1

    def spread(self, amount: int, since: float, until: float, piece_s: float) -> int:
        """An amount that fell at an unknown time between the two, evenly; at least a part to each whole step. How much
        of it was added."""
        start = max(since, until - self._span_s - piece_s)
        amount = round(amount * (until - start) / (until - since))  # what fell before the window is not seen
        since = start
        last = self._times[-1] if len(self._times) > self._start else since
        pieces = max(1, min(PIECES, int((until - since) / max(piece_s, self._piece_s))))
        done = 0
        for piece in range(1, pieces + 1):
            part = amount * piece // pieces - done
            if part:
                self.add(part, max(last, since + (until - since) * piece / pieces))
                done += part
        return done

    def take_back(self, amount: float) -> None:
        """Of what was added last, so much had never been."""
        for place in range(len(self._sums) - 1, self._start - 1, -1):
            part = min(self._sums[place], amount)
            self._sums[place] -= part
            self.total -= part
            amount -= part
            if amount <= 0:
                break
        while len(self._times) > self._start and not self._sums[-1]:  # what comes instead may be older
            self.count -= self._counts.pop()
            del self._sums[-1], self._times[-1]
            self._first = self._times[-1] if self._times else 0.0

    def state(self, now_s: float) -> list[Any]:
        start = self._start
        age = None if self._origin is None else now_s - self._origin
        return [
            age,
            self.now,
            self._first,
            *(part[start:].tobytes() for part in (self._times, self._sums, self._counts)),
        ]

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        """An unknown gap counts as none: what fell before it stays in the window too long, not too short."""
        age, now, first, times, sums, counts = state
        kept = array("d", times), array("d", sums), array("l", counts)
        if not len(kept[0]) == len(kept[1]) == len(kept[2]) <= PIECES + 2:
            raise ValueError("a window's state does not fit together")
        seen_until(float(now), age)
        self._clear()
        self._times, self._sums, self._counts = kept
        self._first, self.now = float(first), float(now)
        self._origin = None if age is None else now_s - (gap_s or 0.0) - float(age)
        self.total, self.count = sum(self._sums), sum(self._counts)


def _or_none(at: Any) -> float | None:
    return None if at is None else float(at)


class Sum:
    """How much came together in the window: of amounts (each reading what came since the one before), or of a counter.

    An amount read again within half a period is the same amount. A counter's rise over a silence is spread evenly over
    it (in a window shorter than the silence only its share is seen). A counter that falls was set to zero, or glitched.
    Set to zero: what it shows at that reading is not counted, but after a long silence it is all there is to be known
    of it. Glitched: it is back within GLITCH_READINGS, from above or from below, and only its true rise is left, spread
    over the silence that the glitch may have ended.
    """

    __slots__ = (
        *("_before", "_counted", "_counter", "_every_s", "_fallen_at", "_glitch", "_last", "_last_at", "_reading"),
        *("_risen", "_window"),
    )

    def __init__(self, spec: Spec) -> None:
        self._window = _Window(spec)
        self._counter = spec.counter
        self._every_s = spec.every_s
        self._last: int | None = None
        self._last_at = 0.0
        self._before = 0  # of a counter that fell: where it had been,
        self._counted = 0  # what was counted since,
        self._glitch = 0  # and readings in which it may still turn out to have been a glitch,
        self._fallen_at: float | None = None  # and when the silence began in which it fell
        self._reading = 0  # number of the last reading of a counter
        self._risen: list[Rise] = []  # the newest ones

    def take(self, value: int | None, at_s: float) -> int | None:
        if value is None:
            return None
        window = self._window
        now = window.reach(at_s)
        if self._counter:
            self._count(value, now)
        elif self._last is not None and now - self._last_at < self._every_s * REPEAT:
            if value > self._last:
                window.add(value - self._last, self._last_at)
                self._last = value
        else:
            if value:  # nothing needs no entry: it rains seldom
                window.add(value, now)
            self._last, self._last_at = value, now
        return whole(window.total)

    def _count(self, value: int, now: float) -> None:
        last, self._last = self._last, value
        since, self._last_at = self._last_at, now
        if last is None:
            return
        self._reading += 1
        rise = value - last
        if rise < 0:
            self._fall(value, last, now, since)
            return
        if self._glitch:
            self._glitch -= 1
            if value >= self._before:
                self._window.take_back(self._counted)
                rise, self._glitch = value - self._before, 0
                since = since if self._fallen_at is None else self._fallen_at
        self._add(rise, last, now, since)

    def _fall(self, value: int, last: int, now: float, since: float) -> None:
        wrong = 0
        for reading, before, counted, silent_at in reversed(self._risen):
            if self._reading - reading > GLITCH_READINGS:
                break
            wrong += counted
            if before <= value:  # back where it had risen from: it had never been up there
                self._window.take_back(wrong)
                self._risen = [rise for rise in self._risen if rise[0] < reading]
                self._add(value - before, before, now, since if silent_at is None else silent_at)
                return
        if not self._glitch:
            self._before, self._counted, self._glitch = last, 0, GLITCH_READINGS
            self._fallen_at = since if now - since > GAP * self._every_s else None
        if now - since > LONG * self._every_s:
            self._add(max(0, value), last, now, since)

    def _add(self, amount: int, before: int, now: float, since: float) -> None:
        """Counts what came between two readings."""
        if not amount:
            return
        silent_at = since if now - since > GAP * self._every_s else None
        if silent_at is None:
            self._window.add(amount, now)
        else:
            amount = self._window.spread(amount, since, now, self._every_s)
        self._counted += amount
        self._risen = [*self._risen[1 - GLITCH_READINGS :], (self._reading, before, amount, silent_at)]

    def state(self, now_s: float) -> list[Any]:
        glitch = [self._before, self._counted, self._glitch, self._reading, [list(rise) for rise in self._risen]]
        return [self._window.state(now_s), self._last, self._last_at, *glitch, self._fallen_at]

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        window, last, last_at, before, counted, glitch, reading, risen, *fallen_at = state  # the last one is newer
        numbers = float(last_at), int(before), int(counted), int(glitch), int(reading)
        fallen = _or_none([*fallen_at, None][0])
        rises = [(int(each[0]), int(each[1]), int(each[2]), _or_none([*each, None][3])) for each in risen]
        self._window.restore(window, now_s, gap_s)
        self._last = None if last is None else int(last)
        self._last_at, self._before, self._counted, self._glitch, self._reading = numbers
        self._risen, self._fallen_at = rises, fallen


class Mean:
    """The mean of the readings in the window; none before half of it has been seen, save where a reading is all it
    holds. When more than half of it has not been seen, it is seen anew: what is left of before would soon be gone, and
    a few readings are no mean. One that is silent like that again and again would have no mean for ever: NEVER_FULL
    windows after the last one what is there is the mean, until half of the window is seen in one piece again."""

    __slots__ = ("_factor", "_full_at", "_longest_s", "_needs_s", "_never_s", "_since", "_window")

    def __init__(self, spec: Spec) -> None:
        self._window = _Window(spec)
        self._factor = spec.factor
        self._needs_s = spec.window_s / 2 - spec.every_s
        self._longest_s = spec.window_s / 2 + spec.every_s  # between two readings that belong together
        self._never_s = NEVER_FULL * spec.window_s
        self._since: float | None = None
        self._full_at: float | None = None  # the last time half of it was seen, or when the first of its readings came

    def take(self, value: int | None, at_s: float) -> int | None:
        if value is None:
            return None
        window = self._window
        last = window.now
        now = window.reach(at_s)
        if not window.count or now - last > self._longest_s:
            self._since = now
        if not window.count or self._full_at is None:
            self._full_at = now
        window.add(value, now)
        if self._since is not None and now - self._since >= self._needs_s:
            self._full_at = now
        elif self._since is None or now - self._full_at < self._never_s:
            return None
        return whole(window.total / window.count * self._factor)

    def state(self, now_s: float) -> list[Any]:
        return [self._window.state(now_s), self._since, self._full_at]

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None:
        window, since, *full_at = state  # the last one is newer
        seen, full = _or_none(since), _or_none([*full_at, None][0])
        self._window.restore(window, now_s, gap_s)
        self._since, self._full_at = seen, full
