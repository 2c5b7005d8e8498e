"""Fits the priors of a group's points to rows of its history (pure Python, well under a minute for 6000 rows of 10
points).

For each point: the prediction whose residuals cost least, the probabilities the coder would have met (counted by
running the coder's own model over the history), centre and spread of the values, the grid of the instrument if it has
one coarser than the step. What is fitted only changes sizes: any prior decodes any values. Floats are used here, the
result is bytes.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from edge.wire import grid
from edge.wire.columns import PointModel
from edge.wire.prior import (
    ACTIVITIES,
    CELLS,
    DEFAULT,
    DEFAULT_OFF,
    FIRST_LONGER,
    GRID,
    LENGTHS,
    MANTISSA,
    MANTISSAS,
    OFFS,
    SIGN,
    SIGNS,
    STRIDE,
    UNKNOWN,
    ZEROS,
    Prior,
    length_places,
    probability,
)
from edge.wire.rangecoder import USES_BITS, BitByBit, BitCoder, learn

PACKET_ROWS = 60  # history is cut into packets of this many rows, as an hour of minutes would be
MIN_VALUES = 30  # with fewer, a point keeps the default
SEARCH_VALUES = 2400  # of the newest history: enough to choose a prediction by
SLOPES = range(-8, 36, 4)
SLOPES_BEFORE = range(-16, 20, 4)
DOUBTS = (2, 8, 16, 32, 64, 96)  # of a grid's phase, in 1/64 steps,
DRIFTS = (0, 1, 3, 6, 12)  # and its movement in a row
USES = (6, 12, 20, 30)
MAX_START = 40  # half octaves above a sixteenth of a step: up to some 50 000 steps a row
START_ROWS = 12  # the start matters in short packets: it is chosen on packets of a Beidou message
GAIN = 0.995  # a choice must save half a percent, or the simpler one stays
TAIL = 0.02  # of the history is added to each side of a first value's lengths: tomorrow may lie outside
RESTING = 0.1  # of the history at one value: that is where a point rests, and the centre is put there
TRUST = 3.0  # bits of the default that stand beside what was counted

ASCENTS = 30  # rounds over lengths and shifts; it has settled after some ten
HOLD = 0.02  # bits that pull a length or a shift towards none: holds those that were never met
STEPS = 16  # of a prior's byte to a unit of logit

COSTS = tuple(-math.log2(max(p, 1) / 65536) for p in range(65537))
BYTES = tuple(probability(byte) for byte in range(256))

Counts = list[list[float]]


def fit(width: int, rows: Sequence[Sequence[int | None]]) -> tuple[bytes, ...]:
    """Priors for `SheetPoint.prior`, one for each of `width` points, from rows of values in whole steps, oldest
    first.
    """
    return tuple(_fit_point([row[i] for row in rows]) for i in range(width))


def _fit_point(column: Sequence[int | None]) -> bytes:
    values = [value for value in column if value is not None]
    if len(values) < MIN_VALUES:
        return b""
    recent = values[-SEARCH_VALUES:]
    prior = _fitted(DEFAULT, values)
    proposed = grid.propose(values)
    if proposed:
        gridded = _gridded(replace(prior, pitch=proposed[0], phase=proposed[1]), values)
        prior = _cheapest([prior, gridded], recent)
    prior = _cheapest([prior, *(_fitted(replace(prior, slopes=(a, 0)), recent) for a in SLOPES)], recent)
    a = prior.slopes[0]
    prior = _cheapest([prior, *(_fitted(replace(prior, slopes=(a, b)), recent) for b in SLOPES_BEFORE)], recent)
    prior = _opening(_fitted(prior, values), values)
    prior = _cheapest([replace(prior, uses=uses) for uses in USES], values)
    starts = (replace(prior, start=start) for start in range(MAX_START))
    return min(starts, key=lambda p: _cost(p, recent, START_ROWS)).encode()


def _gridded(prior: Prior, values: Sequence[int]) -> Prior:
    """With the doubt and drift that the older half's grid needs on the newer half, as today's will need tomorrow."""
    half = len(values) // 2
    pitch, phase = grid.propose(values[:half]) or (prior.pitch, prior.phase)
    later = values[half:][:SEARCH_VALUES]
    trials = (
        _fitted(replace(prior, pitch=pitch, phase=phase, doubt=doubt, drift=drift), later)
        for doubt in DOUBTS
        for drift in DRIFTS
    )
    best = min(trials, key=lambda trial: _cost(trial, later, START_ROWS))
    return _fitted(replace(prior, doubt=best.doubt, drift=best.drift), values)


def _cheapest(priors: Iterable[Prior], values: Sequence[int]) -> Prior:
    """The one that codes `values` smallest; an earlier one wins unless a later one saves clearly."""
    best, least = None, math.inf
    for prior in priors:
        cost = _cost(prior, values)
        if best is None or cost < least * GAIN:
            best, least = prior, cost
    assert best is not None
    return best


class _Meter(BitByBit):
    """A coder that only adds up what coding would cost, in bits, learning as the real one does."""

    def __init__(self) -> None:
        self.bits = 0.0

    def bit(self, cells: list[int], index: int, bit: int | bool) -> int:
        state = cells[index]
        p = state >> USES_BITS
        self.bits += COSTS[p if bit else 65536 - p]
        cells[index] = learn(state, bit)
        return bit

    def raw(self, value: int, bits: int) -> int:
        self.bits += bits
        return value


class _Counter(BitByBit):
    """A coder that counts what each cell meets."""

    def __init__(self) -> None:
        self.counts: Counts = [[0.0, 0.0] for _ in range(CELLS)]

    def bit(self, _cells: list[int], index: int, bit: int | bool) -> int:
        self.counts[index][bit] += 1
        return bit

    def raw(self, value: int, _bits: int) -> int:
        return value


def _cost(prior: Prior, values: Sequence[int], packet_rows: int = PACKET_ROWS) -> float:
    meter = _Meter()
    _run(prior, values, meter, packet_rows)
    return meter.bits


def _run(prior: Prior, values: Sequence[int], coder: BitCoder, packet_rows: int = PACKET_ROWS) -> None:
    for start in range(0, len(values), packet_rows):
        model = PointModel(prior)
        for value in values[start : start + packet_rows]:
            model.code(coder, value)


def _fitted(prior: Prior, values: Sequence[int]) -> Prior:
    """`prior` with its probabilities, centre and spread from `values`; slopes and grid stay."""
    counter = _Counter()
    _run(prior, values, counter)
    counts = counter.counts
    places = [prior.place(value) for value in values]
    zero = _sums((min(a, ZEROS - 1), counts[a * STRIDE]) for a in range(ACTIVITIES))
    prior = _lengths(prior, counts)
    return replace(
        _first(prior, places),
        uses=30,
        off=_bytes(dict(enumerate(counts[GRID : GRID + OFFS])), DEFAULT_OFF),
        zero=_bytes(zero, DEFAULT.zero),
        sign=_bytes(dict(enumerate(counts[SIGN : SIGN + SIGNS])), DEFAULT.sign),
        mantissa=_bytes(dict(enumerate(counts[MANTISSA : MANTISSA + MANTISSAS])), DEFAULT.mantissa),
    )


def _lengths(prior: Prior, counts: Counts) -> Prior:
    """Bytes for the lengths and their shifts that make the counted lengths likely: ascent on the logistic scale, in
    turn.
    """
    used = [k for k in range(1, STRIDE) if any(sum(counts[a * STRIDE + k]) for a in range(ACTIVITIES))]
    prior = replace(prior, first_length=max(1, max(used, default=1) - LENGTHS + 1))
    length, shift = [0.0] * LENGTHS, [(byte - 128) / STEPS for byte in DEFAULT.shift]
    cells = [
        ((i, j), zeros, ones)
        for a in range(ACTIVITIES)
        for (i, j), (zeros, ones) in zip(length_places(prior, a), counts[a * STRIDE + 1 :], strict=False)
        if zeros + ones
    ]
    for _ in range(ASCENTS):
        for values, which in ((length, 0), (shift, 1)):
            slope, bend = [0.0] * len(values), [HOLD] * len(values)
            for places, zeros, ones in cells:
                i, j = places
                p = 1 / (1 + math.exp(-length[i] - shift[j]))
                slope[places[which]] += ones - (zeros + ones) * p
                bend[places[which]] += (zeros + ones) * p * (1 - p)
            for at in range(len(values)):
                values[at] += max(-1.0, min(1.0, (slope[at] - HOLD * values[at]) / bend[at]))
    return replace(prior, length=_logits(length), shift=_logits(shift))


def _opening(prior: Prior, values: Sequence[int]) -> Prior:
    """What a packet's second value meets, from every two neighbours of the history as if they began one."""
    counter = _Counter()
    for pair in pairwise(values):
        _run(prior, pair, counter)
    cells = counter.counts[UNKNOWN:SIGN]
    length = _sums((place, pair) for (place, _), pair in zip(length_places(prior, 0), cells[1:], strict=True))
    return replace(
        prior,
        unknown_zero=_bytes({0: cells[0]}, bytes([DEFAULT.unknown_zero]))[0],
        unknown_length=_bytes(length, DEFAULT.unknown_length),
    )


def _logits(values: Sequence[float]) -> bytes:
    return bytes(min(max(round(128 + STEPS * value), 0), 255) for value in values)


def _first(prior: Prior, places: Sequence[int]) -> Prior:
    """Centre, and how far from it a packet's first value lies."""
    centre, count = Counter(places).most_common(1)[0]
    if count < RESTING * len(places):
        centre = sorted(places)[len(places) // 2]
    lengths = sorted(abs(place - centre).bit_length() for place in places)
    first_class = max(1, lengths[-1] - FIRST_LONGER + 2)
    tail = TAIL * len(lengths)
    longer = {}
    for index in range(FIRST_LONGER):
        k = first_class + index
        beyond = len(lengths) - bisect.bisect_right(lengths, k)
        within = len(lengths) - bisect.bisect_right(lengths, max(k - 1, 0)) - beyond
        longer[index] = [within + tail, beyond + tail]
    zeros = places.count(centre)
    below = sum(place < centre for place in places)
    first = {0: [len(places) - zeros, zeros], 1: [len(places) - zeros - below, below]}
    return replace(
        prior,
        centre=centre,
        first_class=first_class,
        first=_bytes(first, DEFAULT.first),
        first_longer=_bytes(longer, DEFAULT.first_longer),
    )


def _total(counts: Counts) -> list[float]:
    return [sum(pair[0] for pair in counts), sum(pair[1] for pair in counts)]


def _sums(parts: Iterable[tuple[int, Sequence[float]]]) -> dict[int, list[float]]:
    sums: dict[int, list[float]] = {}
    for index, (zeros, ones) in parts:
        both = sums.setdefault(index, [0.0, 0.0])
        both[0] += zeros
        both[1] += ones
    return sums


def _bytes(counts: Mapping[int, Sequence[float]], default: bytes) -> bytes:
    """The byte whose probability is nearest to what was counted, the default standing for a few bits."""
    out = bytearray()
    for index, byte in enumerate(default):
        zeros, ones = counts.get(index, (0.0, 0.0))
        p = (ones * 65536 + TRUST * probability(byte)) / (zeros + ones + TRUST)
        at = min(bisect.bisect_left(BYTES, p), 255)
        out.append(at - 1 if at and p - BYTES[at - 1] < BYTES[at] - p else at)
    return bytes(out)
