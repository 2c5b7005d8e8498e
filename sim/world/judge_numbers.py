"""Between which bounds a number that is made of readings surely lies: sums of a counter, rates, differences.

Written from edge/LIMITS.md, not from the engine: what was surely taken gives the one bound, what may have been taken
the other. Where nothing is known the bounds are infinite, and nothing is judged. Pure numpy over what was shown.

    sum         at least the rises between readings surely taken that lie wholly in the window, less what may have been
                taken for a glitch and been taken out again; at most all rises that were shown, and what a counter
                that fell while nobody heard it has counted since
    rate        all readings of the window lie within `e` of a straight line: then a median of slopes between parts that
                are mostly four and more apart is within 8 e / window of the line's own
    difference  of the last two that each of the two points showed
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.contract import Of
from edge.measure_nouns import Spec
from sim.world.judge_spans import Bools, Floats

PART = 12  # a rate is made of so many parts of its window, and each must have been seen
JITTER_S = 3.0  # from the moment a value left its instrument until it is judged
PIECES = 720  # a window lets go of what it holds in so many pieces
GLITCH = 5  # readings: a fall, or a return, may undo what was counted in so many before and after
HEARD = 2.0  # periods: in a longer silence a counter that fell has counted since


class Shows(NamedTuple):
    """What a point showed, within its range: instants, whole steps, which were surely taken and are on the disk."""

    at: Floats
    steps: Floats
    sure: Bools


Bounds = tuple[Floats, Floats]


def bounds(spec: Spec, mine: Shows, other: Shows | None, when: Floats) -> Bounds:
    """Least and greatest, in steps of the limit, at the instants `when` (ascending)."""
    if not len(when) or not len(mine.at):
        return np.full(len(when), -np.inf), np.full(len(when), np.inf)
    if spec.of is Of.SUM:
        return _sum(spec, mine, when)
    if spec.of is Of.RATE:
        found = np.array([_rate(spec, mine, float(at_s)) for at_s in when])
        return found[:, 0], found[:, 1]
    assert other is not None
    return _difference(spec, mine, other, when)


def _sum(spec: Spec, shows: Shows, when: Floats) -> Bounds:
    least = _between(
        shows.at[shows.sure], shows.steps[shows.sure], when - spec.window_s + spec.every_s + JITTER_S, when
    )
    from_s = when - spec.window_s - spec.window_s / PIECES - spec.every_s - JITTER_S
    most = _touching(shows.at, shows.steps, from_s, when + JITTER_S)
    falls = np.flatnonzero(np.diff(shows.steps) < 0) + 1
    for place in falls.tolist():
        undone, since = _at_fall(spec, shows, place)
        inside = (shows.at[place] > from_s) & (shows.at[place] <= when + JITTER_S)
        least = least - undone * inside
        most = most + since * inside
    return least, most


def _between(at: Floats, steps: Floats, from_s: Floats, to_s: Floats) -> Floats:
    """Of a counter, what it rose between readings both of which lie within."""
    total = np.concatenate(([0.0], np.cumsum(np.maximum(np.diff(steps), 0.0)))) if len(at) else np.zeros(1)
    first = np.searchsorted(at, from_s)
    last = np.searchsorted(at, to_s, "right") - 1
    found: Floats = np.where(
        last > first, total[np.clip(last, 0, None)] - total[np.clip(first, 0, len(total) - 1)], 0.0
    )
    return found


def _touching(at: Floats, steps: Floats, from_s: Floats, to_s: Floats) -> Floats:
    """The same between readings the later of which lies within."""
    total = np.concatenate(([0.0], np.cumsum(np.maximum(np.diff(steps), 0.0))))
    first = np.clip(np.searchsorted(at, from_s) - 1, 0, None)
    last = np.searchsorted(at, to_s, "right") - 1
    found: Floats = np.where(last > first, total[np.clip(last, 0, None)] - total[first], 0.0)
    return found


def _at_fall(spec: Spec, shows: Shows, place: int) -> tuple[float, float]:
    """What a fall may have undone, and what the counter may have been taken to have counted since it was zero."""
    sure = np.flatnonzero(shows.sure)
    near = int(np.searchsorted(sure, place))
    first = int(sure[near - GLITCH]) if near >= GLITCH else 0
    last = int(sure[near + GLITCH - 1]) if near + GLITCH <= len(sure) else len(shows.at) - 1
    undone = float(np.maximum(np.diff(shows.steps[first : last + 1]), 0.0).sum())
    before = shows.at[sure[near - 1]] if near else -np.inf
    after = shows.at[sure[near]] if near < len(sure) else np.inf
    return undone, float(shows.steps[place]) if after - before > HEARD * spec.every_s else 0.0


def _rate(spec: Spec, shows: Shows, at_s: float) -> tuple[float, float]:
    first, last = np.searchsorted(shows.at, (at_s - spec.window_s - JITTER_S, at_s + JITTER_S))
    at, steps = shows.at[first:last], shows.steps[first:last]
    sure = at[shows.sure[first:last]]
    edges = np.concatenate(([at_s - spec.window_s], sure, [at_s]))
    if len(sure) < PART or np.diff(edges).max() > spec.window_s / PART - 2 * JITTER_S - spec.every_s:
        return -np.inf, np.inf
    slope, start = np.polyfit(at - at_s, steps, 1)
    off = float(np.abs(steps - start - slope * (at - at_s)).max()) * 8 / spec.window_s
    return (slope - off) * spec.factor, (slope + off) * spec.factor


def _difference(spec: Spec, mine: Shows, other: Shows, when: Floats) -> Bounds:
    """Whichever of the last two readings of each went in."""
    low, high = np.full(len(when), -np.inf), np.full(len(when), np.inf)
    found = []
    for shows, factor in ((mine, spec.factor), (other, spec.other_factor)):
        last = np.searchsorted(shows.at, when + 0.01, "right") - 1
        known = last >= 1
        last = np.clip(last, 1, None)
        if len(shows.at) < 2:
            return low, high
        pair = np.stack((shows.steps[last - 1], shows.steps[last])) * factor
        known &= shows.sure[last] & shows.sure[last - 1] & (when - shows.at[last - 1] < 2.5 * spec.every_s)
        found.append((pair, known))
    (one, one_known), (two, two_known) = found
    both = one_known & two_known
    low[both] = (one.min(axis=0) - two.max(axis=0))[both] - 0.5
    high[both] = (one.max(axis=0) - two.min(axis=0))[both] + 0.5
    return low, high
