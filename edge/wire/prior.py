"""The prior of a point: the numbers its coder starts from, on the sheet: 72 fixed bytes, a varint, a grid's 8 to 14.

`fit` makes them from history; b"" stands for DEFAULT, which fits slow physical quantities. A probability is one byte
on a logistic scale (128: even, 16 steps a factor e), so rare events keep their precision. FORMAT.md section 6 is the
contract.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from edge.wire.basics import Reader, WireError, varint, zigzag
from edge.wire.rangecoder import LIMIT, cell

LAYOUT = 1
ACTIVITIES = 16  # octaves of how much the point moves: 0 still, 3 about one step a row, each more twice that
CLASSES = 20  # bit lengths with a cell of their own; longer ones share the last
STRIDE = CLASSES + 1  # for each activity: is it zero, then is it longer than 1, 2, ... bits
UNKNOWN = ACTIVITIES * STRIDE  # the same for a packet's second value: nothing is known of the activity
SIGN = UNKNOWN + STRIDE  # by bit length of the residual before (0: it was zero)
SIGNS = 9
MANTISSA = SIGN + SIGNS  # second bit; of 2 bits, of 3, of 4 and more; third bit after 0 and after 1
MANTISSAS = 5
FIRST = MANTISSA + MANTISSAS  # first value of a packet: zero, sign, then lengths
GRID = FIRST + 2 + 65  # off the grid: by how near a line is to where its rounding tips over
OFFS = 4
OFF_SIGN = GRID + OFFS  # nearer to the lower edge, to the upper
OFF_MORE = OFF_SIGN + 2
CELLS = OFF_MORE + 1

# Bytes of the prior:
ZEROS = 8  # P(zero) at activity 0..7 (the last also above)
LENGTHS = 12  # P(longer than k bits) at k = first_length .. first_length + 11 (ends also beyond) ...
SHIFTS = 8  # ... shifted on the logistic scale by k - activity = -5..2 (ends also beyond): 128 is no shift
SHIFT_FROM = -5
FIRST_LONGER = 8  # bytes: P(the first value's distance is longer than k bits) at k = first_class .. first_class + 7
GRID_UNIT = 1 << 16  # grid pitch and phase are in steps / 65536


# 65536 / (1 + exp(-x)) at x = -8, -7.5 ... 8, rounded; between them straight lines
LOGISTIC = (
    *(22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768),
    *(40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514),
)


def probability(byte: int) -> int:
    """A prior's byte as a probability in 1/65536."""
    low, part = LOGISTIC[byte >> 3], byte & 7
    return low + ((LOGISTIC[(byte >> 3) + 1] - low) * part >> 3)


DEFAULT_OFF = bytes([110, 90, 60, 30])


@dataclass(frozen=True)
class Prior:
    """All in whole numbers; the byte fields are probabilities (see `probability`)."""

    uses: int  # 0..30: how much the probabilities are trusted, in bits seen
    slopes: tuple[int, int]  # prediction: last + (slopes[0] * last change + slopes[1] * the change before + 8) // 16
    start: int  # activity at the first row, in half octaves
    zero: bytes
    first_length: int
    length: bytes
    shift: bytes
    unknown_zero: int  # the same for the second value of a packet,
    unknown_length: bytes  # at k = first_length .. first_length + 11, not shifted
    sign: bytes
    mantissa: bytes
    first: bytes  # zero, negative
    first_longer: bytes
    first_class: int
    centre: int = 0  # the first value is coded as its distance from here
    pitch: int = 0  # of the instrument's own grid, in steps / 65536; 0: none
    phase: int = 0
    doubt: int = 0  # how far the phase may be from there at first, in 1/64 steps
    drift: int = 0  # how far it may move in a row, in 1/64 steps
    off: bytes = DEFAULT_OFF  # P(a value is off the grid)

    def encode(self) -> bytes:
        a, b = self.slopes
        out = bytes([LAYOUT, self.uses, a & 0xFF, b & 0xFF, self.start]) + self.zero
        out += bytes([self.first_length]) + self.length + self.shift
        out += bytes([self.unknown_zero]) + self.unknown_length + self.sign
        out += self.mantissa + self.first + self.first_longer + bytes([self.first_class])
        out += varint(zigzag(self.centre))
        if self.pitch:
            out += varint(self.pitch) + varint(self.phase) + bytes([self.doubt, self.drift]) + self.off
        return out

    @staticmethod
    def decode(data: bytes) -> Prior:
        """DEFAULT for b"". Raises WireError for what `encode` never makes."""
        if not data:
            return DEFAULT
        reader = Reader(data)
        layout, uses, a, b, start = reader.take(5)
        if layout != LAYOUT or uses > LIMIT or start > 2 * 64:
            raise WireError(f"prior of layout {layout}, uses {uses}, start {start}")
        zero, first_length = reader.take(ZEROS), reader.byte()
        length, shift = reader.take(LENGTHS), reader.take(SHIFTS)
        unknown_zero, unknown_length = reader.byte(), reader.take(LENGTHS)
        sign, mantissa = reader.take(SIGNS), reader.take(MANTISSAS)
        first, first_longer = reader.take(2), reader.take(FIRST_LONGER)
        first_class = reader.byte()
        centre = reader.signed()
        pitch, phase, doubt, drift, off = 0, 0, 0, 0, DEFAULT_OFF
        if reader.at < len(data):
            pitch, phase, doubt, drift = reader.varint(), reader.varint(), reader.byte(), reader.byte()
            off = reader.take(OFFS)
            if not GRID_UNIT <= pitch < GRID_UNIT << 8 or phase >= pitch:
                raise WireError(f"prior: grid pitch {pitch}, phase {phase}")
        reader.end()
        slopes = (a - 256 if a > 127 else a, b - 256 if b > 127 else b)
        lengths = (first_length, length, shift, unknown_zero, unknown_length)
        firsts = (first, first_longer, first_class)
        return Prior(
            uses, slopes, start, zero, *lengths, sign, mantissa, *firsts, centre, pitch, phase, doubt, drift, off
        )

    def place(self, value: int) -> int:
        """What is coded of a value: itself, or the number of the grid line nearest to it."""
        return (value * GRID_UNIT - self.phase + self.pitch // 2) // self.pitch if self.pitch else value

    def start_activity(self) -> int:
        """In sixteenths of a step: 0 1 1.5 2 3 4 6 8 ... rounded down."""
        return (2 + (self.start & 1) << (self.start >> 1)) >> 2

    def cells(self) -> list[int]:
        """The cells a packet starts with (copy them: coding changes them)."""
        return list(self._start)

    @functools.cached_property
    def _start(self) -> tuple[int, ...]:
        return _cells(self)


def _cells(prior: Prior) -> tuple[int, ...]:
    def make(raw: bytes) -> list[int]:
        return [cell(probability(byte), prior.uses) for byte in raw]

    zero = make(prior.zero)
    cells: list[int] = []
    for activity in range(ACTIVITIES):
        cells.append(zero[min(activity, ZEROS - 1)])
        logits = (prior.length[place] + prior.shift[shift] - 128 for place, shift in length_places(prior, activity))
        cells += [cell(probability(min(max(logit, 0), 255)), prior.uses) for logit in logits]
    unknown = make(prior.unknown_length)
    cells.append(cell(probability(prior.unknown_zero), prior.uses))
    cells += [unknown[place] for place, _ in length_places(prior, 0)]
    cells += make(prior.sign) + make(prior.mantissa) + make(prior.first)
    first = make(prior.first_longer)
    for k in range(65):
        index = k + 1 - prior.first_class
        cells.append(first[min(index, FIRST_LONGER - 1)] if index >= 0 else cell(probability(250), prior.uses))
    off = [cell(probability(byte), 4) for byte in prior.off]
    return (*cells, *off, cell(60000, 4), cell(5500, 4), cell(3000))


def length_places(prior: Prior, activity: int) -> list[tuple[int, int]]:
    """For each length 1..CLASSES: which bytes of `length` and `shift` make P(longer)."""
    return [
        (min(max(k - prior.first_length, 0), LENGTHS - 1), min(max(k - activity - SHIFT_FROM, 0), SHIFTS - 1))
        for k in range(1, CLASSES + 1)
    ]


# What slow physical quantities have in common: pooled over temperatures, levels, pressures, wind, rain, light, flow
DEFAULT = Prior(
    uses=6,
    slopes=(0, 0),
    start=12,
    zero=bytes([172, 136, 126, 114, 104, 92, 81, 66]),
    first_length=1,
    length=bytes([128] * LENGTHS),
    shift=bytes([180, 163, 148, 131, 117, 112, 110, 110]),
    unknown_zero=120,
    unknown_length=bytes([145] * LENGTHS),
    sign=bytes([128, 128, 128, 129, 132, 132, 131, 130, 130]),
    mantissa=bytes([119, 122, 122, 125, 126]),
    first=bytes([100, 100]),
    first_longer=bytes([166] * 8),
    first_class=6,
)
