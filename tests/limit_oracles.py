"""Slow, obvious oracles of the measures: each looks at the whole history anew, and is written from the words of the
measures' docstrings, not from their code. A history is a list of (instant, value); instants never run back."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, degrees
from statistics import mean, median

from edge.contract import Level
from edge.limit_nouns import Limit, bands
from edge.measure_nouns import Spec

History = Sequence[tuple[float, int]]


def forward(series: Sequence[tuple[float, int | None]]) -> list[tuple[float, int]]:
    """What is evidence; what comes late is judged when it comes."""
    found: list[tuple[float, int]] = []
    for at, value in series:
        if value is not None:
            found.append((max(at, found[-1][0]) if found else at, value))
    return found


def sum_of_amounts(spec: Spec, history: History, now: float) -> int:
    counted: list[list[float]] = []
    for at, value in history:
        if counted and at - counted[-1][0] < spec.every_s / 2:
            counted[-1][1] = max(counted[-1][1], value)
        else:
            counted.append([at, value])
    return round(sum(amount for at, amount in counted if at > now - spec.window_s + spec.every_s / 2))


def mean_of(spec: Spec, history: History, now: float) -> float | None:
    span = spec.window_s - spec.every_s / 2
    since = full = 0.0
    for index, (at, _) in enumerate(history):
        before = [earlier for earlier, _ in history[:index] if earlier > at - span]
        if not before or at - before[-1] - spec.every_s > spec.window_s / 2:
            since = at
        if not before or at - since >= spec.window_s / 2 - spec.every_s:
            full = at
    if now - since < spec.window_s / 2 - spec.every_s and now - full < 1.5 * spec.window_s:
        return None
    return mean(value for at, value in history if at > now - span)


def medians_of(spec: Spec, history: History, buckets: int, held: int) -> list[tuple[float, float]]:
    start, width = history[0][0], spec.window_s / buckets
    by_bucket: dict[int, list[tuple[float, int]]] = {}
    for at, value in history:
        by_bucket.setdefault(int((at - start) / width), []).append((at - start, value))
    newest = int((history[-1][0] - start) / width)
    found = []
    for number in sorted(by_bucket):
        if number > newest - buckets:
            readings, stride = by_bucket[number], 1
            while -(-len(readings) // stride) > held:
                stride *= 2
            kept = readings[::stride]
            found.append((median(at for at, _ in kept), median(value for _, value in kept)))
    return found


def rate_of(spec: Spec, history: History) -> float | None:
    dots = medians_of(spec, history, 12, 15)
    if len(dots) < 3 or dots[-1][0] - dots[0][0] < spec.window_s / 2:
        return None
    return median((v1 - v0) / (t1 - t0) for i, (t0, v0) in enumerate(dots) for t1, v1 in dots[i + 1 :])


def angle_of(spec: Spec, history: History) -> float | None:
    rate = rate_of(spec, history)
    if rate is None:
        return None
    angle = degrees(atan2(rate if spec.uniform > 0 else -rate, abs(spec.uniform)))
    dots = medians_of(spec, history, 12, 15)
    return min(angle, 45.0) if abs(dots[-1][1] - dots[0][1]) < spec.noise else angle


def held(limit: Limit) -> float:
    """The hold time, let off a quarter of it or of a round, but a second at most or two of a hundred of it."""
    quarter = min(limit.hold_s, limit.every_s) / 4
    return limit.hold_s - min(quarter, 1 if limit.hold_s < 50 else limit.hold_s * 2 / 100)


def level_of(limit: Limit, history: History) -> Level:
    """The highest level that is set after a history of numbers, each level walked by itself."""
    worst = Level.NONE
    clear = dict(limit.clear)
    rows: list[tuple[Level, str, int, int]] = []
    if limit.rule.name in ("OUTSIDE", "INSIDE"):
        for level, low, high in bands(limit.thresholds):
            rows += [
                (level, side, low, high) for side in (("LOW", "HIGH") if limit.rule.name == "OUTSIDE" else ("IN",))
            ]
    else:
        rows = [(level, limit.rule.name, at, at) for level, at in limit.thresholds]
    for level, side, low, high in rows:
        standing, since = False, None
        for now, value in history:
            back = limit.hysteresis
            if side == "ABOVE":
                enter, leave = value >= low, value < clear.get(level, low - back)
            elif side == "BELOW":
                enter, leave = value <= low, value > clear.get(level, low + back)
            elif side == "LOW":
                enter, leave = value < low, value >= low + back
            elif side == "HIGH":
                enter, leave = value > high, value <= high - back
            else:
                enter, leave = low <= value <= high, value < low - back or value > high + back
            due = leave if standing else enter
            since = (now if since is None else since) if due else None
            if since is not None and now - since >= (limit.clear_hold_s if standing else held(limit)):
                standing, since = not standing, None
        if standing:
            worst = max(worst, level)
    return worst
