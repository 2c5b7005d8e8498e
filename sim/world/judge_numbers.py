"""Between which bounds a number that is made of readings surely lies: sums of a counter, rates, differences.

Written from edge/LIMITS.md, not from the engine: what was surely taken gives the one bound, what may have been taken
the other. Where nothing is known the bounds are infinite, and nothing is judged. Pure numpy over what was shown.

    sum         at least the rises between readings surely taken that lie wholly in the window, less what may have been
                taken for a glitch and been taken out again; at most all rises that were shown since the window's edge,
                and what a counter that fell while nobody heard it has counted since. Where the edge lies in a silence,
                what came over it is spread evenly; of readings that may have been taken, whichever make it most
    rate        all readings of the window lie within `e` of a straight line: then a median of slopes between parts that
                are mostly four and more apart is within 8 e / window of the line's own
    difference  of the last two that each of the two points showed, of one turn where both are read equally often
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
SPREAD = 1.4  # periods: what came in a longer silence is spread over it,
ROUNDED = 2.0  # steps: in whole ones


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
    gains = np.maximum(np.diff(shows.steps, prepend=shows.steps[0]), 0.0)
    edge = when - spec.window_s
    for place in np.flatnonzero(np.diff(shows.steps) < 0) + 1:
        undone, until_s, gains[place] = _at_fall(spec, shows, int(place))
        least = least - undone * ((until_s > edge - _behind_s(spec)) & (shows.at[place] <= when + JITTER_S))
    return least, _most(spec, shows, np.cumsum(gains), edge, when)


def _between(at: Floats, steps: Floats, from_s: Floats, to_s: Floats) -> Floats:
    """Of a counter, what it rose between readings both of which lie within."""
    total = np.concatenate(([0.0], np.cumsum(np.maximum(np.diff(steps), 0.0)))) if len(at) else np.zeros(1)
    first = np.searchsorted(at, from_s)
    last = np.searchsorted(at, to_s, "right") - 1
    found: Floats = np.where(
        last > first, total[np.clip(last, 0, None)] - total[np.clip(first, 0, len(total) - 1)], 0.0
    )
    return found


def _most(spec: Spec, shows: Shows, total: Floats, edge: Floats, when: Floats) -> Floats:
    """All that came since a window's edge. Between two readings surely taken any of those between them may have been
    taken: what came over a silence is spread evenly over it, so what had come by the edge is at least what the lower
    hull of all of them says."""
    from_s = edge - _behind_s(spec)
    places = np.unique(np.concatenate(([0], np.flatnonzero(shows.sure), [len(total) - 1])))
    if len(places) < 2:
        return np.zeros(len(when))
    after = np.clip(np.searchsorted(shows.at[places], from_s, "right"), 1, len(places) - 1)
    corners: list[int] = []
    for first, last in zip(places[np.unique(after) - 1].tolist(), places[np.unique(after)].tolist(), strict=True):
        corners += _lower(shows.at, total, first, last)
    corners = np.unique(np.concatenate((places, corners))).astype(int).tolist()
    come = total[np.clip(np.searchsorted(shows.at, when + JITTER_S, "right") - 1, 0, None)]
    most = np.maximum(come - np.interp(from_s, shows.at[corners], total[corners]), 0.0)
    spread = shows.at[places[after]] - shows.at[places[after - 1]] > SPREAD * spec.every_s
    found: Floats = most + ROUNDED * spread
    return found


def _lower(at: Floats, total: Floats, first: int, last: int) -> list[int]:
    """The corners of the lower hull of a curve, from one place to another."""
    hull: list[int] = []
    for place in range(first, last + 1):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (total[b] - total[a]) * (at[place] - at[a]) < (total[place] - total[a]) * (at[b] - at[a]):
                break
            hull.pop()
        hull.append(place)
    return hull


def _behind_s(spec: Spec) -> float:
    """How far behind a window's edge what is still in it may have come: up to two periods (or of a long window two
    pieces) are one share of a silence, and a piece goes as a whole."""
    piece_s = spec.window_s / PIECES
    return 2 * max(spec.every_s, piece_s) + piece_s + JITTER_S


def _at_fall(spec: Spec, shows: Shows, place: int) -> tuple[float, float, float]:
    """What a fall may have undone, of what was taken up to when, and what the counter may have been taken to have
    counted since it was zero."""
    sure = np.flatnonzero(shows.sure)
    near = int(np.searchsorted(sure, place))
    first = int(sure[near - GLITCH]) if near >= GLITCH else 0
    last = int(sure[near + GLITCH - 1]) if near + GLITCH <= len(sure) else len(shows.at) - 1
    undone = float(np.maximum(np.diff(shows.steps[first : last + 1]), 0.0).sum())
    before = shows.at[sure[near - 1]] if near else -np.inf
    after = shows.at[sure[near]] if near < len(sure) else np.inf
    since = float(shows.steps[place]) if after - before > HEARD * spec.every_s else 0.0
    return undone, float(shows.at[last]), since


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
    """Of the last two readings of each, of points read equally often those of one turn."""
    low, high = np.full(len(when), -np.inf), np.full(len(when), np.inf)
    if len(mine.at) < 2 or len(other.at) < 2:
        return low, high
    one, one_at, known = _last_two(mine, when, 2.5 * spec.every_s)
    two, two_at, other_known = _last_two(other, when, 2.5 * spec.other_every_s)
    apart = one[:, None] * spec.factor - two[None] * spec.other_factor
    alike = np.abs(one_at[:, None] - two_at[None]) <= spec.every_s / 2
    alike |= spec.every_s != spec.other_every_s
    known &= other_known & alike.any(axis=(0, 1))
    low[known] = np.where(alike, apart, np.inf).min(axis=(0, 1))[known] - 0.5
    high[known] = np.where(alike, apart, -np.inf).max(axis=(0, 1))[known] + 0.5
    return low, high


def _last_two(shows: Shows, when: Floats, most_s: float) -> tuple[Floats, Floats, Bools]:
    """The last two readings at each instant, when they were shown, and whether both were surely taken and are young."""
    last = np.searchsorted(shows.at, when + 0.01, "right") - 1
    known = last >= 1
    last = np.clip(last, 1, None)
    two = np.stack((last - 1, last))
    known &= shows.sure[two].all(axis=0) & (when - shows.at[last - 1] < most_s)
    return shows.steps[two], shows.at[two], known
