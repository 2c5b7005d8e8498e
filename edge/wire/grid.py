"""Finds the grid of an instrument whose own resolution is coarser than the step its values are kept in.

A logger that converts counts of 2.34 steps to engineering units gives only values near multiples of 2.34 steps:
naming the multiple saves about a bit a reading. Found in the changes first (they do not depend on the phase), then
sharpened on the values over wider and wider spans. Only proposes: `fit` keeps a grid when it makes packets smaller.
Floats are fine here.
"""

from __future__ import annotations

import cmath
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from edge.wire.prior import GRID_UNIT

MAX_PITCH = 64  # steps; coarser grids hardly occur and the search is linear in it
MIN_PITCH = 2.02  # whole steps cannot tell a closer grid from its mirror image (frequency f from 1 - f)
MIN_CHANGES = 50  # fewer changes say nothing
CHANGE_STEP = 1 / (8 * MAX_PITCH)  # of the frequency searched: an eighth of a turn over the largest change looked at
MOVED = 0.9  # of the changes must lead from one line to another
ENOUGH = 0.7  # of the coherence that a perfect grid has after rounding
ALIKE = 0.9  # of the best coherence: a multiple of the frequency fits as well
SAMPLE = 1500  # values looked at when sharpening
TURN = 2 * math.pi


def propose(values: Sequence[int]) -> tuple[int, int] | None:
    """(pitch, phase) in steps / 65536 for `values` in steps, or None when they lie on no grid."""
    frequency = _from_changes(values)
    if frequency is None:
        return None
    middle = sorted(values)[len(values) // 2]
    sample = sorted(set(values), key=lambda value: abs(value - middle))[:SAMPLE]
    frequency = _sharpen(sample, middle, frequency)
    turn = sum(cmath.exp(1j * TURN * frequency * (value - middle)) for value in sample)
    pitch = round(GRID_UNIT / frequency)
    phase = round(middle * GRID_UNIT + cmath.phase(turn) / TURN * GRID_UNIT / frequency) % pitch
    return pitch, phase


def _from_changes(values: Sequence[int]) -> float | None:
    changes = Counter(abs(b - a) for a, b in pairwise(values) if 0 < abs(b - a) <= MAX_PITCH)
    total = sum(changes.values())
    if total < MIN_CHANGES:
        return None
    coherent = []
    for step in range(math.ceil(1 / MAX_PITCH / CHANGE_STEP), int(1 / MIN_PITCH / CHANGE_STEP)):
        frequency = step * CHANGE_STEP
        moved = sum(n for change, n in changes.items() if change * frequency > 0.5)
        if moved < MOVED * total:  # lines wider apart than the changes: no grid, only slow
            continue
        found = sum(n * math.cos(TURN * frequency * change) for change, n in changes.items()) / total
        rounded = (math.sin(math.pi * frequency) / (math.pi * frequency)) ** 2  # two roundings in a change
        coherent.append((found / rounded, frequency))
    best, _ = max(coherent, default=(0.0, 0.0))
    if best < ENOUGH:
        return None
    # the widest pitch of several that fit alike, at its own summit
    start = next(i for i, (c, _) in enumerate(coherent) if c >= ALIKE * best)
    while start + 1 < len(coherent) and coherent[start + 1][0] > coherent[start][0]:
        start += 1
    return coherent[start][1]


def _sharpen(sample: Sequence[int], middle: int, frequency: float) -> float:
    """`sample` nearest to `middle` first. Each round doubles the span, and halves the step of the frequency."""
    span = MAX_PITCH
    while True:
        near = [value - middle for value in sample if abs(value - middle) <= span]
        step = 1 / (16 * span)
        candidates = [frequency + k * step for k in range(-4, 5)]
        frequency = max(candidates, key=lambda f: abs(sum(cmath.exp(1j * TURN * f * value) for value in near)))
        if len(near) == len(sample):
            return frequency
        span *= 2
