"""Models of instruments made from a site file: what they put on the wire is what the real drivers read from it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus import ModbusPoint
from drivers.modbus.sensor import _Decoder
from drivers.modbus.settings import registers_of
from drivers.serial_line import DRIVER as LINES
from drivers.serial_line import LineDevice, LinePoint
from edge.contract import DeviceSpec, ListenedSensor, Point, PolledSensor
from sim.model_lines import LineModel
from sim.model_registers import Register
from sim.rig import port_table
from sim.virtual import run
from sim.world.sites import standard_site
from sim.world.weather import Weather
from tests.modbus_site import PortSettings
from tests.world_wires import Bench, site_of, steps

ROOT = Path(__file__).parents[1]
TYPES = ["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "bool"]
SCALES = [1.0, 0.1, 0.01, 0.001, -0.001, 0.2, 0.25, 3.0, 1e-6, 250.0, 0.0625]
OFFSETS = [0.0, 424.0, -50.0, 0.05, 273.15]
STEPS = ["1", "0.1", "0.01", "0.001", "0.2", "0.5", "5"]


def point_of(step: str = "0.01", every_ms: int = 10_000, name: str = "p", unit: str = "m") -> Point:
    return Point(name, unit, Decimal(step), None, None, every_ms, "d")


@st.composite
def modbus_points(draw: st.DrawFn) -> ModbusPoint:
    table = draw(st.sampled_from(["holding", "input", "coil", "discrete"]))
    scale, offset = draw(st.sampled_from(SCALES)), draw(st.sampled_from(OFFSETS))
    marks = draw(st.lists(st.sampled_from([-32768, 65535, 0, 9999, 0xFFFFFFFF, -1, 1]), max_size=2))
    common: dict[str, Any] = {"register": 7, "table": table, "scale": scale, "offset": offset, "invalid": tuple(marks)}
    if table in ("coil", "discrete"):
        return ModbusPoint(**common)
    order = draw(st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]))
    bit = draw(st.none() | st.integers(0, 15))
    kind = draw(st.sampled_from(["u16", "bool"] if bit is not None else TYPES))
    return ModbusPoint(**common, type=kind, order=order, bit=bit)  # type: ignore[arg-type]


@given(modbus_points(), st.sampled_from(STEPS), st.floats(-1e7, 1e7) | st.floats(-100, 500))
@settings(max_examples=800, deadline=None)
def test_what_registers_show_is_what_the_driver_reads(point: ModbusPoint, step: str, truth: float) -> None:
    noun = point_of(step)
    register = Register(noun, point, lambda _at_s: truth)
    words, shown = register.carry(truth)
    assert register.count == registers_of(point)
    if words is None:
        assert shown is None
        return
    read = _Decoder(point).value(words)
    assert (read is None) == (shown is None)
    if read is not None and shown is not None:
        assert steps(noun, read) == steps(noun, shown)
        exact = Decimal(repr(shown)) / noun.step
        if abs(abs(exact - round(exact)) - Decimal("0.5")) > Decimal("1e-5"):  # else scale and offset allow no other
            assert steps(noun, read) == round(exact)


@given(st.sampled_from(TYPES[:9]), st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]), st.integers(0, 999))
def test_a_value_the_registers_can_hold_is_shown_as_it_is(kind: str, order: str, count: int) -> None:
    noun = point_of("0.1")
    settings_ = ModbusPoint(register=0, type=kind, order=order, scale=0.1, offset=-20)  # type: ignore[arg-type]
    _, shown = Register(noun, settings_, lambda _at_s: 0.0).carry(count / 10)
    assert shown is not None
    assert steps(noun, shown) == count


@pytest.mark.parametrize(
    "point",
    [
        ModbusPoint(register=0, invalid=(65535,)),
        ModbusPoint(register=0, type="i16", invalid=(0x8000,)),
        ModbusPoint(register=0, type="f32", order="CDAB"),
        ModbusPoint(register=0, type="bcd32"),
    ],
)
def test_nothing_to_measure_is_said_as_the_site_file_knows_it(point: ModbusPoint) -> None:
    words, shown = Register(point_of(), point, lambda _at_s: math.nan).carry(math.nan)
    assert shown is None
    assert words is not None
    assert _Decoder(point).value(words) is None


def all_read_back(folder: Path, text: str, seconds: float = 4000.0) -> dict[str, int]:
    """Reads all of a site's instruments with its real sensors; how many values of each point were compared."""
    site = site_of(folder, text)
    compared = dict.fromkeys((point.id for device in site.devices for point in device.points), 0)

    async def main() -> None:
        weather = Weather(5, {"storms": 3.0}, site.limits)
        bench = Bench(site, weather.source_of)
        polled = [device for device, sensor in bench.sensors.items() if isinstance(sensor, PolledSensor)]
        listened = [device for device, sensor in bench.sensors.items() if isinstance(sensor, ListenedSensor)]
        hearing = [asyncio.ensure_future(bench.listen(device, seconds)) for device in listened]
        points = {point.id: point for point in site.points}
        while asyncio.get_running_loop().time() < seconds - 60:
            await asyncio.sleep(61.3)
            for device in polled:
                for reading in await bench.ask(device):
                    shown = bench.record.shown[reading.point][-1]
                    assert reading.value is not None
                    assert shown.clean
                    point = points[reading.point]
                    assert steps(point, reading.value) == steps(point, shown.value)
                    compared[point.id] += 1
        for heard in await asyncio.gather(*hearing):
            for reading in heard:
                values = {steps(points[reading.point], it.value) for it in bench.record.shown[reading.point]}
                assert reading.value is not None
                assert steps(points[reading.point], reading.value) in values
                compared[reading.point] += 1
        assert not bench.record.failed

    run(main())
    return compared


FILES = [*sorted((ROOT / "deploy/sites").glob("*.toml")), ROOT / "sim/demo/pond.toml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_point_of_an_example_site_is_read_back(file: Path, tmp_path: Path) -> None:
    text = file.read_text("utf-8").replace("@PORT@", "serial:/dev/x").replace("@SIREN@", "serial:/dev/z")
    if file.parent.name == "demo":
        bd = port_table("bd", "serial:/dev/y") + '[[link]]\nid = "bd"\ndriver = "beidou"\nport = "bd"\nprovince = 7\n'
        text = f'[gateway]\nid = "g"\n{bd}{text}'
    assert min(all_read_back(tmp_path, text).values()) >= 6


def test_every_point_of_the_standard_site_is_read_back(tmp_path: Path) -> None:
    counts = all_read_back(tmp_path, standard_site())
    assert len(counts) == 40
    assert min(counts.values()) > 60


SHARED = """
[gateway]
id = "g"
[[link]]
id = "fibre"
driver = "mqtt"
host = "10.0.0.1"
[[port]]
id = "bus"
open = "serial:/dev/x"
[[device]]
id = "d"
driver = "modbus"
port = "bus"
"""


def test_points_that_share_registers_tell_of_the_same_bits(tmp_path: Path) -> None:
    points: Mapping[str, str] = {
        "word": "register = 3",
        "scaled": "register = 3\nscale = 0.5",
        "low": "register = 4\nbit = 0",
        "high": "register = 4\nbit = 8",
        "swapped": 'register = 4\nbit = 0\norder = "BADC"',  # the same as `high`
        "wide": 'register = 10\ntype = "u32"',
        "half": "register = 11",
    }
    text = SHARED + "".join(
        f'[[device.point]]\nid = "{name}"\nunit = ""\nstep = 0.5\n{keys}\n' for name, keys in points.items()
    )
    site = site_of(tmp_path, text)
    truths = {"word": 40.0, "low": 1.0, "high": 1.0, "wide": 70_000.0}

    async def main() -> dict[str, float]:
        bench = Bench(site, lambda point: lambda _at_s: truths.get(point.id, 0.0))
        readings = {reading.point: reading.value for reading in await bench.ask("d")}
        assert readings == {name: shown[-1].value for name, shown in bench.record.shown.items()}
        return {name: value for name, value in readings.items() if value is not None}

    assert run(main()) == {
        **truths,
        "scaled": 20.0,
        "swapped": 1.0,
        "half": 70_000 - 65_536,
    }


LINE_DEVICES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"format": "nmea"}, {"a": {"sentence": "MWV", "field": 1}, "b": {"sentence": "WIMWV", "field": 3}}),
    (
        {"format": "nmea", "starts_with": "$II"},
        {"a": {"sentence": "XDR", "field": 2}, "b": {"sentence": "MTW", "field": 1}},
    ),
    ({"format": "nmea"}, {"a": {"sentence": "PRDID", "field": 1}, "b": {"sentence": "RMC", "field": 7}}),
    ({"format": "separated"}, {"a": {"field": 0}, "b": {"field": 4}}),
    ({"format": "separated", "starts_with": "DB,", "fields": 6}, {"a": {"field": 1}, "b": {"field": 3}}),
    ({"format": "separated", "separator": " ", "starts_with": "T R"}, {"a": {"field": 2}, "b": {"field": 3}}),
    ({"format": "separated", "separator": ";"}, {"a": {"field": 2, "scale": 0.1, "offset": 4}, "b": {"field": 2}}),
    (
        {"format": "pattern", "pattern": r"Q=\s*(?P<q>[0-9.]+) l/s(,(?P<t>-?\d+))?"},
        {"a": {"group": "q"}, "b": {"group": "t", "scale": 0.1}},
    ),
    (
        {"format": "pattern", "pattern": r"(?P<x>[+-]\d{3}\.\d{2})[ ;](?P<y>\d{5})(?:OK|BAD)\S+[^0-9]"},
        {"a": {"group": "x"}, "b": {"group": "y"}},
    ),
    (
        {"format": "pattern", "pattern": r"(?:A|B(?P<x>\d+\.\d{3}))\s+.*?(?P<y>\d+\.\d)!"},
        {"a": {"group": "x"}, "b": {"group": "y"}},
    ),
]


@pytest.mark.parametrize(("device", "points"), LINE_DEVICES)
@pytest.mark.parametrize("step", ["0.1", "1"])
def test_lines_are_read_as_they_were_meant(device: Any, points: Mapping[str, Any], step: str) -> None:
    nouns = {name: point_of(step, 10_000, name) for name in points}
    spec = DeviceSpec("d", LineDevice(**device), {name: LinePoint(**keys) for name, keys in points.items()})
    assert list(LINES.check(PortSettings("serial:/x"), [spec])) == []

    async def main() -> None:
        sources = {"a": lambda at_s: 20 + at_s / 7, "b": lambda at_s: 300 - at_s / 9}
        model = LineModel(PortSettings("serial:/x"), spec, [(nouns[name], sources[name]) for name in points], "1")
        from drivers.serial_line.sensor import LineSensor

        sensor = LineSensor(spec, PortSettings("serial:/x"), None)  # type: ignore[arg-type]
        from drivers.serial_line.wire import Splitter

        splitter, seen = Splitter(), 0
        splitter.begin()
        for turn in range(100):
            for said in model.say(turn * 10 + 5.0):
                assert said.clean
                (line,) = splitter.feed(said.data)
                readings = {reading.point: reading.value for reading in sensor._read(line)}
                assert not said.failed, line
                for name, shown in said.values:
                    value = readings[name]
                    assert value is not None
                    assert steps(nouns[name], value) == steps(nouns[name], shown)
                    if nouns[name].id == "a":
                        assert abs(shown - sources["a"](turn * 10 + 5.0)) <= 1.0
                    seen += 1
        assert seen >= 200

    run(main())


def test_what_a_separator_breaks_is_refused() -> None:
    spec = DeviceSpec("d", LineDevice(format="separated", separator="."), {"p": LinePoint(field=0)})
    with pytest.raises(ValueError, match="stands in numbers too"):
        LineModel(PortSettings("serial:/x"), spec, [(point_of(), lambda _at_s: 1.0)], "1")
