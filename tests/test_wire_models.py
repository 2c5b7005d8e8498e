"""The models of the coder: any prior decodes any values, a fitted one makes packets smaller, promised sizes hold."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import MAX_STEPS, Quality
from edge.wire import grid
from edge.wire.basics import WireError
from edge.wire.fit import fit
from edge.wire.packet import RoundRow, Rounds, decode, pack_rounds
from edge.wire.prior import DEFAULT, FIRST_LONGER, LENGTHS, MANTISSAS, OFFS, SHIFTS, SIGNS, ZEROS, Prior
from edge.wire.sheet import MAX_PRIOR_BYTES, Sheet, SheetGroup, SheetPoint
from tests.bench.coding import load, make_sheet, real10

HOUR = 60
STEPS = st.one_of(st.integers(-50, 50), st.integers(-100_000, 100_000), st.integers(-MAX_STEPS, MAX_STEPS))


def sheet_of(priors: list[bytes]) -> Sheet:
    points = tuple(SheetPoint(f"p{i}", "", Decimal(1), None, None, prior) for i, prior in enumerate(priors))
    return Sheet("g", 1, 1, 0, (SheetGroup(60_000, points),))


def minutes(columns: list[list[int | None]], qualities: bytes = b"") -> list[RoundRow]:
    rows = enumerate(zip(*columns, strict=True))
    return [RoundRow(1 + i, 60_000 * (i + 1), values, qualities) for i, values in rows]


def bits(priors: list[bytes], columns: list[list[int | None]], qualities: bytes = b"") -> float:
    """Bits of a body that holds all the rows; they must come back."""
    sheet = sheet_of(priors)
    rows = minutes(columns, qualities)
    body, taken = pack_rounds(sheet, 0, rows, 1 << 20)
    assert taken == len(rows)
    assert decode(body, sheet) == Rounds(0, tuple(rows))
    return len(body) * 8


def some_bytes(count: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=count, max_size=count)


PRIORS = st.builds(
    Prior,
    uses=st.integers(0, 30),
    slopes=st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    start=st.integers(0, 128),
    zero=some_bytes(ZEROS),
    first_length=st.integers(0, 255),
    length=some_bytes(LENGTHS),
    shift=some_bytes(SHIFTS),
    unknown_zero=st.integers(0, 255),
    unknown_length=some_bytes(LENGTHS),
    sign=some_bytes(SIGNS),
    mantissa=some_bytes(MANTISSAS),
    first=some_bytes(2),
    first_longer=some_bytes(FIRST_LONGER),
    first_class=st.integers(0, 255),
    centre=st.integers(-MAX_STEPS, MAX_STEPS),
)
BYTE = st.integers(0, 255)
GRIDS = st.just((0, 0, 0, 0, DEFAULT.off)) | st.tuples(
    st.integers(1 << 16, (1 << 24) - 1), st.integers(0, (1 << 16) - 1), BYTE, BYTE, some_bytes(OFFS)
)


@given(PRIORS, GRIDS, st.lists(STEPS, min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_prior_decodes_any_values(prior: Prior, shape: tuple[int, int, int, int, bytes], values: list[int]) -> None:
    pitch, phase, doubt, drift, off = shape
    prior = replace(prior, pitch=pitch, phase=phase, doubt=doubt, drift=drift, off=off)
    assert len(prior.encode()) <= MAX_PRIOR_BYTES
    assert Prior.decode(prior.encode()) == prior
    bits([prior.encode()], [list(values)])


@given(st.binary(max_size=96))
@settings(max_examples=300)
def test_a_wrong_prior_is_refused(raw: bytes) -> None:
    try:
        assert raw in (b"", Prior.decode(raw).encode())
    except WireError:
        with pytest.raises(WireError):
            sheet_of([raw])


def test_constant_points_cost_next_to_nothing() -> None:
    still: list[list[int | None]] = [[1000 * i] * 600 for i in range(10)]
    assert bits([b""] * 10, still) < 0.15 * 6000


def test_a_point_that_stays_missing_costs_a_tenth_of_a_bit() -> None:
    there: list[int | None] = [i % 3 for i in range(600)]
    gone: list[int | None] = [None] * 600
    qualities = bytes([Quality.GOOD, Quality.NO_ANSWER])
    assert bits([b"", b""], [there, gone], qualities) - bits([b""], [there]) < 0.1 * 600


def test_bad_values_with_their_qualities_come_back() -> None:
    values: list[list[int | None]] = [[5, None, 7, 2**53 - 1], [None] * 4, [-(2**53 - 1), 0, 0, 1]]
    bits([b""] * 3, values, bytes([Quality.OVER_RANGE, Quality.REFUSED, Quality.SUSPECT]))


@pytest.mark.parametrize(
    ("name", "most"), [("waterflow_1h", 8.2), ("wind_1min", 5.4), ("seismic_10hz", 8.0), ("airtemp_1min", 3.0)]
)
def test_history_makes_packets_smaller(name: str, most: float) -> None:
    values = load(name)
    half = min(len(values) // 2, 2000)
    (prior,) = fit(1, [(value,) for value in values[:half]])
    hours = [values[i : i + HOUR] for i in range(half, min(len(values), 3 * half) - HOUR, HOUR)]
    fitted = sum(bits([prior], [list(hour)]) for hour in hours) / HOUR / len(hours)
    default = sum(bits([b""], [list(hour)]) for hour in hours) / HOUR / len(hours)
    assert fitted < default
    assert fitted < most


@pytest.fixture(scope="module")
def real_site() -> tuple[Sheet, list[RoundRow]]:
    """A sheet fitted on a short history, and the rows that came after it."""
    rows = real10()
    return make_sheet(fit(10, [row.values for row in rows[2500:4000]])), rows[4000:6400]


def test_an_hour_of_a_real_site_meets_the_target(real_site: tuple[Sheet, list[RoundRow]]) -> None:
    sheet, rows = real_site
    sizes = [len(pack_rounds(sheet, 0, rows[i : i + HOUR], 10_000)[0]) + 12 for i in range(0, len(rows), HOUR)]
    assert sum(sizes) * 8 / len(rows) / 10 < 4.7


def test_a_short_message_of_a_real_site_holds_ten_rows(real_site: tuple[Sheet, list[RoundRow]]) -> None:
    sheet, rows = real_site
    counts = [pack_rounds(sheet, 0, rows[i : i + HOUR], 77 - 12)[1] for i in range(0, len(rows), 20)]
    assert sum(counts) / len(counts) > 9.9


def test_a_point_that_rests_is_expected_to_go_on_resting() -> None:
    chance = random.Random(3)
    days = [v for _ in range(20) for v in [0] * 60 + [chance.randint(100, 900) for _ in range(60)]]
    (prior,) = fit(1, [(value,) for value in days])
    once = bits([prior] * 40, [[0] for _ in range(40)])
    assert bits([prior] * 40, [[0, 0] for _ in range(40)]) - once < 0.3 * 40


def test_a_packet_learns_where_a_drifting_grid_stands() -> None:
    chance = random.Random(8)
    values: list[int] = []
    line, phase = 1000, 0.0
    for _ in range(3000):
        line += chance.choice((-3, -2, -1, -1, 0, 0, 1, 1, 2, 3))
        phase += chance.gauss(0, 0.02)
        values.append(round(line * 2.34375 + phase))
    prior = Prior.decode(fit(1, [(value,) for value in values[:1500]])[0])
    assert prior.pitch
    assert prior.doubt > 2
    later = [list(values[i : i + HOUR]) for i in range(1500, 3000, HOUR)]
    sure = replace(prior, doubt=0, drift=0).encode()
    assert sum(bits([prior.encode()], [list(hour)]) for hour in later) < sum(
        bits([sure], [list(hour)]) for hour in later
    )


def test_fit_keeps_the_default_without_history_and_takes_gaps() -> None:
    rows: list[tuple[int | None, ...]] = [(None, None if i % 3 else i) for i in range(120)]
    assert fit(2, rows)[0] == b""
    assert Prior.decode(fit(2, rows)[1]).centre > 0


def test_the_grid_of_a_logger_is_found() -> None:
    chance = random.Random(5)
    line, values = 1000, []
    for _ in range(1500):
        line += chance.choice((-3, -2, -1, -1, 0, 0, 1, 1, 2, 3))
        values.append(round(line * 2.34375 + 0.4))
    found = grid.propose(values)
    assert found is not None
    assert abs(found[0] / 65536 - 2.34375) < 0.001
    assert grid.propose([chance.randint(0, 50) for _ in range(1500)]) is None


def test_the_default_is_what_an_empty_prior_means() -> None:
    assert Prior.decode(b"") == DEFAULT == Prior.decode(DEFAULT.encode())
