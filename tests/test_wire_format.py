"""A second decoder of rounds and summaries, written from edge/wire/FORMAT.md alone, reads what this program writes.

It takes nothing from the program's coder, so a mistake in either the page or the code shows here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge.wire.packet import RoundRow, Rounds, Summaries, Window, pack_rounds, pack_summaries, summarise
from edge.wire.sheet import Sheet
from tests import test_wire_golden as golden
from tests.bench.coding import HOUR_ROWS, make_sheet, real10

LOGISTIC = [
    *(
        22,
        36,
        60,
        98,
        162,
        267,
        439,
        720,
        1179,
        1921,
        3108,
        4971,
        7812,
        11955,
        17625,
        24743,
        32768,
        40793,
        47911,
        53581,
    ),
    *(57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514),
]
DEFAULT = [
    *(1, 6, 0, 0, 12, 172, 136, 126, 114, 104, 92, 81, 66, 1, *[128] * 12, 180, 163, 148, 131, 117, 112, 110, 110),
    *(
        120,
        *[145] * 12,
        128,
        128,
        128,
        129,
        132,
        132,
        131,
        130,
        130,
        119,
        122,
        122,
        125,
        126,
        100,
        100,
        *[166] * 8,
        6,
        0,
    ),
]
Cell = list[int]


def fresh(p: int, uses: int) -> Cell:
    return [min(max(p, 24), 65512), uses]


def scaled(byte: int, uses: int) -> Cell:
    low = LOGISTIC[byte >> 3]
    return fresh(low + ((LOGISTIC[(byte >> 3) + 1] - low) * (byte & 7) >> 3), uses)


def held(number: int, low: int, high: int) -> int:
    return max(low, min(high, number))


class Stream:
    def __init__(self, data: bytes) -> None:
        self.data = list(data) + [0] * 4
        self.range = 0xFFFFFFFF
        self.code = self.moved = 0
        for _ in range(4):
            self.code = self.code << 8 | self.data.pop(0)

    def widen(self) -> None:
        while self.range < 1 << 24:
            self.code = self.code << 8 | self.data.pop(0)
            self.range <<= 8
            self.moved += 1

    def bit(self, cell: Cell) -> int:
        bound = (self.range >> 16) * cell[0]
        found = int(self.code < bound)
        if found:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        rate = 131072 // (2 * cell[1] + 3)
        cell[0] = held(cell[0] + ((65536 - cell[0] if found else -cell[0]) * rate >> 16), 24, 65512)
        cell[1] = min(cell[1] + 1, 30)
        self.widen()
        return found

    def raw(self, count: int) -> int:
        value = 0
        while count:
            width = (count - 1) % 16 + 1
            self.range >>= width
            part = min(self.code // self.range, 2**width - 1)
            self.code -= part * self.range
            self.widen()
            value = value << width | part
            count -= width
        return value

    def number(self, zero: Cell, negative: Cell, longer: Callable[[int], Cell]) -> int:
        if self.bit(zero):
            return 0
        sign = self.bit(negative)
        n = 1
        while self.bit(longer(n)):
            n += 1
        size = 1 << n - 1 | self.raw(n - 1)
        return -size if sign else size


def many(p: int, negative: int, longer: int) -> tuple[Cell, Cell, Callable[[int], Cell]]:
    cells = [fresh(longer, 0) for _ in range(70)]
    return fresh(p, 0), fresh(negative, 0), cells.__getitem__


class Point:
    def __init__(self, prior: bytes) -> None:
        data = list(prior) or DEFAULT
        take: Callable[[int], list[int]] = lambda count: [data.pop(0) for _ in range(count)]  # noqa: E731
        data = data[:]
        _, self.uses, a, b, start = take(5)
        self.slopes = [(x + 128) % 256 - 128 for x in (a, b)]
        zero, (first_length,), length, shift = take(8), take(1), take(12), take(8)
        (unknown_zero,), unknown, sign, mantissa = take(1), take(12), take(9), take(5)
        first, first_longer, (first_class,) = take(2), take(8), take(1)
        make = self.make
        self.zero = [make(zero[min(x, 7)]) for x in range(16)] + [make(unknown_zero)]
        at = [held(n - first_length, 0, 11) for n in range(21)]
        self.longer = [
            [make(held(length[at[n]] + shift[held(n - x + 5, 0, 7)] - 128, 0, 255)) for n in range(21)]
            for x in range(16)
        ] + [[make(unknown[at[n]]) for n in range(21)]]
        self.sign, self.mantissa = [make(x) for x in sign], [make(x) for x in mantissa]
        tail = [make(first_longer[min(n - first_class, 7)] if n >= first_class else 250) for n in range(70)]
        self.first = (make(first[0]), make(first[1]), tail.__getitem__)
        centre = self.varint(data)
        self.centre = -(centre + 1 >> 1) if centre & 1 else centre >> 1
        self.pitch = self.phase = 0
        if data:
            self.pitch, self.phase = self.varint(data), self.varint(data)
            self.doubt, self.drift = (1024 * data.pop(0) for _ in range(2))
            self.off = [scaled(byte, 4) for byte in data]
            self.off_negative, self.off_more = [fresh(60000, 4), fresh(5500, 4)], fresh(3000, 0)
        self.activity = ((2 + (start & 1)) << (start >> 1)) >> 2
        self.last: int | None = None
        self.change = self.before = self.residual = 0
        self.rows = 0

    def make(self, byte: int) -> Cell:
        return scaled(byte, self.uses)

    @staticmethod
    def varint(data: list[int]) -> int:
        number = shift = 0
        while True:
            byte = data.pop(0)
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def read(self, stream: Stream) -> int:
        number = self.read_number(stream)
        if not self.pitch:
            return number
        place = number * self.pitch + self.phase + 32768
        line, part = divmod(place, 65536)
        edge = min(part, 65536 - part)
        q = next((i for i, far in enumerate((self.doubt / 2, self.doubt, self.doubt + 8192)) if edge < far), 3)
        if stream.bit(self.off[q]):
            negative = stream.bit(self.off_negative[part >= 32768])
            m = 1
            while stream.bit(self.off_more):
                m += 1
            line += -m if negative else m
        least = line * 65536 - place
        low, high = max(-self.doubt, least), min(self.doubt, least + 65535)
        if low > high:
            low = high = least if least > 0 else least + 65535
        self.phase += (low + high) >> 1
        self.doubt = ((high - low) >> 1) + self.drift
        return line

    def read_number(self, stream: Stream) -> int:
        if self.last is None:
            self.last = self.centre + stream.number(*self.first)
            if self.last == self.centre:
                self.rows, self.activity = 1, 0
            return self.last
        guess = self.last + ((self.slopes[0] * self.change + self.slopes[1] * self.before + 8) >> 4)
        residual = self.read_residual(stream)
        self.before, self.change = self.change, guess + residual - self.last
        self.last += self.change
        self.residual = residual
        self.activity = (self.activity + 16 * abs(residual)) >> 1
        return self.last

    def read_residual(self, stream: Stream) -> int:
        context = min((self.activity >> 2).bit_length(), 15) if self.rows else 16
        self.rows += 1
        if stream.bit(self.zero[context]):
            return 0
        old = self.residual
        bit = stream.bit(self.sign[min(old.bit_length(), 8)])
        negative = (old < 0) == (bit == 1) if old else bit == 1
        n = 1
        while stream.bit(self.longer[context][min(n, 20)]):
            n += 1
        size = 1
        if n > 1:
            digit = stream.bit(self.mantissa[min(n, 4) - 2])
            size = 2 + digit
            if n > 2:
                size = size * 2 + stream.bit(self.mantissa[3 + digit])
                size = size << n - 3 | stream.raw(n - 3)
        return -size if negative else size


def read_rows(sheet: Sheet, body: bytes) -> list[RoundRow]:
    stream = Stream(body)
    assert not stream.bit(fresh(8193, 0))
    group = stream.raw((len(sheet.groups) - 1).bit_length())
    marked = stream.bit(fresh(1000, 0))
    every, points = sheet.groups[group].every_ms, [Point(p.prior) for p in sheet.groups[group].points]
    more, grid, earlier, clock_cell = fresh(61000, 8), fresh(65000, 8), fresh(300, 8), fresh(65000, 8)
    states_cell, state_cell, times = fresh(64000, 8), fresh(50000, 0), many(64000, 32768, 40000)
    later = many(62000, 32768, 30000)
    rows: list[RoundRow] = []
    drift = clock = 0
    states = [0] * len(points)
    while not rows or (stream.bit(more) if marked else stream.moved + 1 < len(body)):
        at = _time(stream, sheet, every, rows, grid, earlier, times)
        due = sheet.seq0 - 1 + drift
        for i, other in enumerate(sheet.groups):
            due += (at if i <= group else at - 1) // other.every_ms - sheet.t0_ms // other.every_ms
        off = stream.number(*(later if rows else first_seq(max(0, at - sheet.t0_ms) // 600_000)))
        drift += off
        clock = clock if stream.bit(clock_cell) else stream.raw(2)
        if not stream.bit(states_cell):
            states = [old if stream.bit(state_cell) else stream.raw(5) for old in states]
        values = tuple(None if state & 16 else p.read(stream) for p, state in zip(points, states, strict=True))
        qualities = bytes(state & 15 for state in states)
        rows.append(RoundRow(due + off, at, values, qualities if any(qualities) else b"", clock))
    assert marked or stream.moved + 1 == len(body)
    return rows


def first_seq(others: int) -> tuple[Cell, Cell, Callable[[int], Cell]]:
    u = others.bit_length()
    longer = [fresh(63000 if n < u - 4 else 40000 if n <= u else 14000, 0) for n in range(70)]
    return fresh(3000 if u > 1 else 30000, 0), fresh(3000, 0), longer.__getitem__


def _time(stream: Stream, sheet: Sheet, every: int, rows: list[RoundRow], grid: Cell, earlier: Cell, times: Any) -> int:
    on_grid = stream.bit(grid)
    if rows:
        step = rows[-1].at_ms - rows[-2].at_ms if len(rows) > 1 else every
        return rows[-1].at_ms + step + stream.number(*times) * (every if on_grid else 1)
    negative = stream.bit(earlier)
    n = 8 + stream.raw(4) if stream.bit(fresh(60000, 0)) else stream.raw(6)
    base = 1 << n - 1 | stream.raw(n - 1) if n else 0
    base = -base if negative else base
    return every * (sheet.t0_ms // every + base) if on_grid else sheet.t0_ms + base


def read_summaries(sheet: Sheet, body: bytes) -> Summaries:
    assert body[0] == 5
    stream = Stream(body[1:])
    seq = 0 if stream.bit(fresh(65000, 8)) else stream.raw(63)
    group = stream.raw((len(sheet.groups) - 1).bit_length())
    window_s = (600, 3600)[stream.raw(1)] if stream.bit(fresh(60000, 0)) else stream.raw(24)
    window_ms = 1000 * window_s
    negative = stream.bit(fresh(300, 8))
    n = stream.raw(6)
    base = 1 << n - 1 | stream.raw(n - 1) if n else 0
    at = window_ms * (sheet.t0_ms // window_ms + (-base if negative else base))
    same, more, middle = fresh(60000, 2), fresh(56000, 2), [fresh(p, 2) for p in (0, 32768, 40000, 25536)]
    count_cells, spread_cells = many(30000, 60000, 40000), (many(12000, 32768, 40000), many(30000, 32768, 15000))
    points = [Point(p.prior) for p in sheet.groups[group].points]
    lengths = [(4 * point.activity >> 4).bit_length() for point in points]
    told = [0] * len(points)
    full = window_ms // sheet.groups[group].every_ms
    counts = [full] * len(points)
    windows: list[Window] = []
    while not windows or stream.bit(more):
        if not stream.bit(same):
            counts = [full + stream.number(*count_cells) for _ in points]
        found: list[tuple[int | None, int | None, int | None]] = []
        for i, point in enumerate(points):
            if not counts[i]:
                found.append((None, None, None))
                continue
            least = point.read(stream)
            lengths[i] = n = lengths[i] + stream.number(*spread_cells[told[i]])
            told[i] = 1
            spread = 1 << n - 1 | stream.raw(n - 1) if n else 0
            point.activity, point.rows = 16 * spread, max(point.rows, 1)
            low, high, k = 0, spread, 1
            while low < high:
                m = (low + high) // 2
                b = stream.bit(middle[k]) if k < 4 else stream.raw(1)
                k = 2 * k + b
                low, high = (m + 1, high) if b else (low, m)
            found.append((least, least + low, least + spread))
        minimum, mean, maximum = zip(*found, strict=True)
        windows.append(Window(at - window_ms * len(windows), minimum, mean, maximum, tuple(counts)))
    return Summaries(seq, group, window_s, tuple(windows))


@pytest.mark.parametrize("name", ["summary", "summary-entry"])
def test_golden_summaries(name: str) -> None:
    assert read_summaries(golden.SHEET, golden.golden()[name]) == golden.BODIES[name][0]


@pytest.mark.parametrize("minutes", [10, 45])
def test_summaries_of_a_real_site(minutes: int) -> None:
    sheet = make_sheet((golden.GRIDDED.encode(), *[b""] * 9))
    rows, window_ms = real10()[:600], 60_000 * minutes
    starts = range(rows[-1].at_ms // window_ms * window_ms, rows[0].at_ms - window_ms, -window_ms)
    windows = [summarise(at, 10, [row for row in rows if 0 <= row.at_ms - at < window_ms]) for at in starts]
    body, taken = pack_summaries(sheet, 0, 60 * minutes, windows, 10_000)
    assert taken == len(windows) > 12
    assert read_summaries(sheet, body) == Summaries(0, 0, 60 * minutes, tuple(windows))


@pytest.mark.parametrize("name", [name for name in golden.golden() if name.startswith("rounds")])
def test_golden_rounds(name: str) -> None:
    body = golden.STILL if name == "rounds-still" else golden.BODIES[name][0]
    assert isinstance(body, Rounds)
    assert read_rows(golden.SHEET, golden.golden()[name]) == list(body.rows)


@pytest.mark.parametrize("start", [0, 3000, 6000])
def test_hours_of_a_real_site(start: int) -> None:
    sheet = make_sheet((golden.GRIDDED.encode(), *[b""] * 9))
    rows = real10()[start : start + HOUR_ROWS]
    body, _ = pack_rounds(sheet, 0, rows, 10_000)
    assert read_rows(sheet, body) == rows
