"""Values, plans and settings of Modbus points: tables and properties, no wire."""

from __future__ import annotations

import itertools
import math
import random
import struct
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.duration import parse_duration_s
from drivers.modbus import DRIVER, ModbusDevice, ModbusPoint
from drivers.modbus.plan import Span, plan
from drivers.modbus.values import is_marked, raw_value, scaler
from edge.contract import DeviceSpec
from sim.modbus_slave import encode_words
from tests.modbus_site import PortSettings, device

SERIAL = PortSettings("serial:/dev/serial/by-id/x")
TCP = PortSettings("tcp:10.0.0.7:502")


@pytest.mark.parametrize(
    ("kind", "order", "words", "value"),
    [
        ("u16", "ABCD", [0x1234], 0x1234),
        ("u16", "CDAB", [0x1234], 0x1234),
        ("u16", "BADC", [0x1234], 0x3412),
        ("u16", "DCBA", [0x1234], 0x3412),
        ("i16", "ABCD", [0xFFFE], -2),
        ("u32", "ABCD", [0x1234, 0x5678], 0x12345678),
        ("u32", "CDAB", [0x5678, 0x1234], 0x12345678),
        ("u32", "BADC", [0x3412, 0x7856], 0x12345678),
        ("u32", "DCBA", [0x7856, 0x3412], 0x12345678),
        ("i32", "CDAB", [0xFFFE, 0xFFFF], -2),
        ("u64", "ABCD", [0x0102, 0x0304, 0x0506, 0x0708], 0x0102030405060708),
        ("u64", "CDAB", [0x0708, 0x0506, 0x0304, 0x0102], 0x0102030405060708),
        ("u64", "BADC", [0x0201, 0x0403, 0x0605, 0x0807], 0x0102030405060708),
        ("u64", "DCBA", [0x0807, 0x0605, 0x0403, 0x0201], 0x0102030405060708),
        ("i64", "ABCD", [0xFFFF] * 4, -1),
        ("f32", "ABCD", [0x3F80, 0x0000], 1.0),
        ("f32", "CDAB", [0x0000, 0x3F80], 1.0),
        ("f32", "BADC", [0x803F, 0x0000], 1.0),
        ("f32", "DCBA", [0x0000, 0x803F], 1.0),
        ("f64", "ABCD", [0x3FF8, 0, 0, 0], 1.5),
        ("bcd16", "ABCD", [0x1234], 1234),
        ("bcd32", "CDAB", [0x5678, 0x1234], 12345678),
        ("bool", "ABCD", [0], 0),
        ("bool", "ABCD", [0x0100], 1),
        ("f32", "ABCD", [0x7FC0, 0], None),
        ("f32", "ABCD", [0x7F80, 0], None),
        ("f64", "ABCD", [0xFFF0, 0, 0, 0], None),
        ("bcd16", "ABCD", [0xFFFF], None),
        ("bcd16", "ABCD", [0x12A4], None),
    ],
)
def test_types_and_orders(kind: str, order: str, words: list[int], value: float | None) -> None:
    assert raw_value(words, kind, order) == value


@pytest.mark.parametrize("bit", range(16))
def test_bits_of_a_register(bit: int) -> None:
    assert raw_value([1 << bit], "u16", "ABCD", bit) == 1
    assert raw_value([0xFFFF ^ 1 << bit], "u16", "ABCD", bit) == 0


@given(
    st.sampled_from(["u16", "i16", "u32", "i32", "u64", "i64", "f64"]),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
    st.data(),
)
def test_what_the_simulated_slave_encodes_is_decoded(kind: str, order: str, data: st.DataObject) -> None:
    bits = int(kind[1:])
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)
    value = data.draw(st.floats(allow_nan=False, allow_infinity=False) if kind == "f64" else st.integers(low, high))
    assert raw_value(encode_words(value, kind, order), kind, order) == value


@given(st.lists(st.integers(0, 65535), min_size=4, max_size=4), st.sampled_from(["f32", "f64", "bcd16", "bcd32"]))
def test_no_registers_raise(words: list[int], kind: str) -> None:
    size = {"f32": 2, "f64": 4, "bcd16": 1, "bcd32": 2}[kind]
    value = raw_value(words[:size], kind, "ABCD")
    assert value is None or math.isfinite(value)


@given(
    st.integers(-(2**31), 2**32),
    st.integers(1, 99999),
    st.integers(0, 6),
    st.integers(-10000, 10000),
    st.integers(0, 4),
)
def test_scaling_is_the_nearest_float_to_the_decimal_result(
    raw: int, up: int, digits: int, add: int, places: int
) -> None:
    scale, offset = float(f"{up}e-{digits}"), float(f"{add}e-{places}")
    exact = raw * Fraction(up, 10**digits) + Fraction(add, 10**places)
    assert scaler(scale, offset)(raw) == float(exact)


def test_scaling_examples() -> None:
    assert scaler(0.01, 0.0)(1234) == 12.34
    assert scaler(0.1, -40.0)(655) == 25.5
    whole = scaler(5.0, 1.0)(7)
    assert (whole, type(whole)) == (36, int)


def test_marks_for_no_value() -> None:
    assert is_marked(-1, "i16", (65535,))
    assert is_marked(-1, "i16", (-1,))
    assert is_marked(65535, "u16", (65535,))
    assert is_marked(9999, "f32", (9999,))
    assert not is_marked(-2, "i16", (65535, -1))
    assert not is_marked(0, "u16", ())


SPANS = st.lists(
    st.builds(lambda f, a, q: (f, a, q), st.sampled_from([1, 3, 4]), st.integers(0, 400), st.sampled_from([1, 2, 4])),
    max_size=40,
)


@given(SPANS, st.integers(0, 20), st.integers(4, 125), st.randoms(use_true_random=False))
def test_plans_hold_every_point_whole_and_once(
    spans: list[tuple[int, int, int]], gap: int, most: int, rng: random.Random
) -> None:
    points = [Span(f, a, 1 if f == 1 else q, f"p{i}") for i, (f, a, q) in enumerate(spans)]
    reads = plan(points, gap, most)
    where = {span.point: span for span in points}
    assert sorted(point for read in reads for point in read.points) == sorted(where)
    for read in reads:
        assert read.quantity <= (most if read.function != 1 else 16 * most)
        used = {
            read.address + offset + k
            for p, offset in zip(read.points, read.offsets, strict=True)
            for k in range(where[p].quantity)
        }
        for point, offset in zip(read.points, read.offsets, strict=True):
            span = where[point]
            assert (read.function, read.address + offset) == (span.function, span.address)
            assert offset + span.quantity <= read.quantity
        ordered = sorted(used)
        assert all(b - a <= gap + 1 for a, b in itertools.pairwise(ordered))
        assert (ordered[0], ordered[-1]) == (read.address, read.address + read.quantity - 1)
    rng.shuffle(points)
    assert plan(points, gap, most) == reads


def test_neighbours_share_a_read_up_to_the_limits() -> None:
    row = [Span(3, i, 1, f"p{i:03}") for i in range(300)]
    assert [read.quantity for read in plan(row, 8, 125)] == [125, 125, 50]
    far = [Span(3, 0, 1, "a"), Span(3, 9, 1, "b"), Span(3, 19, 1, "c")]
    assert [read.points for read in plan(far, 8, 125)] == [("a", "b"), ("c",)]
    assert [read.points for read in plan(far, 8, 125, frozenset("b"))] == [("a",), ("b",), ("c",)]
    wide = [Span(3, 0, 2, "a"), Span(3, 2, 4, "b")]
    assert [read.quantity for read in plan(wide, 8, 4)] == [2, 4]


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10.0), ("5min", 300.0), ("1.5 h", 5400.0), ("2d", 172800.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 m", "-1s", "1e3s", "５s", "1s 2s", "nan s", "5S"])
def test_what_is_no_duration_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    "keys",
    [
        {"register": -1},
        {"register": 65536},
        {"register": 1, "table": "coils"},
        {"register": 1, "order": "DCAB"},
        {"register": 1, "type": "int16"},
        {"register": 1, "bit": 16},
        {"register": 1, "registr": 2},
        {},
    ],
)
def test_wrong_point_settings_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(keys, ModbusPoint)


def problems(port: PortSettings, *devices: object) -> list[str]:
    return list(DRIVER.check(port, devices))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("port", "settings", "point", "says"),
    [
        (SERIAL, {"unit": 0}, {}, "d0: unit 0"),
        (SERIAL, {"unit": 248}, {}, "d248: unit 248"),
        (SERIAL, {"mode": "tcp"}, {}, "d1: mode tcp"),
        (SERIAL, {"timeout": "5"}, {}, "is not a duration"),
        (SERIAL, {"timeout": "2min"}, {}, "d1: timeout 2min"),
        (PortSettings("serial:/dev/x", data_bits=7), {}, {}, "8 data bits"),
        (TCP, {}, {"register": 65535, "type": "u32"}, "p: a u32 at register 65535"),
        (TCP, {"max_registers": 2}, {"type": "f64"}, "p: a f64 takes 4"),
        (TCP, {}, {"table": "coil", "type": "u16"}, "p: a coil is one bit"),
        (TCP, {}, {"table": "coil", "bit": 1}, "p: a coil is one bit already"),
        (TCP, {}, {"type": "u32", "bit": 1}, "p: `bit` picks"),
        (TCP, {}, {"scale": 0.0}, "p: scale"),
        (TCP, {}, {"offset": math.inf}, "p: scale"),
    ],
)
def test_settings_wrong_together_are_said(
    port: PortSettings, settings: dict[str, object], point: dict[str, object], says: str
) -> None:
    unit = settings.pop("unit", 1)
    spec = device(int(str(unit)), {"p": ModbusPoint(**{"register": 0, **point})}, **settings)  # type: ignore[arg-type]
    found = problems(port, spec)
    assert len(found) == 1
    assert says in found[0]


def test_two_devices_with_one_unit_or_two_framings() -> None:
    first = device(3, {})
    assert problems(SERIAL, first, DeviceSpec("twin", ModbusDevice(unit=3), {})) == [
        "twin: unit 3 is d3's already: both would answer at once"
    ]
    other = device(4, {}, mode="rtu")
    assert any("mode rtu differs" in problem for problem in problems(TCP, first, other))
    assert problems(TCP, first, device(4, {})) == []


def test_settings_have_a_json_schema_with_descriptions() -> None:
    for struct_type in (ModbusDevice, ModbusPoint):
        properties = msgspec.json.schema(struct_type)["$defs"][struct_type.__name__]["properties"]
        assert all(keys.get("description") for keys in properties.values())


def test_word_layout_is_the_standards() -> None:
    assert encode_words(1.0, "f32") == list(struct.unpack(">2H", struct.pack(">f", 1.0)))
