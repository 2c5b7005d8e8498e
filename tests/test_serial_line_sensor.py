"""The sensor on a port: what each kind of line yields, what is counted, and what silence and loss do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from drivers.serial_line import DRIVER, LineDevice, LinePoint
from drivers.serial_line import sensor as sensors
from drivers.serial_line.wire import checksum
from edge.contract import DeviceSpec, ListenedSensor, Port, PortSettings, Quality, Reading
from edge.errors import PortLost


@dataclass
class Settings:
    id: str = "p1"
    open: str = "serial:/dev/null"
    baud: int = 9600
    parity: str = "N"
    stop_bits: int = 1
    data_bits: int = 8


class MemoryPort:
    """Gives chunks, one a read; a number is a silence of so many seconds. Then it is lost."""

    def __init__(self, chunks: Sequence[bytes | float]) -> None:
        self._chunks = list(chunks)
        self.closed = False

    async def read(self) -> bytes:
        while self._chunks and isinstance(self._chunks[0], float):
            until = asyncio.get_running_loop().time() + self._chunks[0]
            try:
                await asyncio.sleep(self._chunks[0])
            except asyncio.CancelledError:
                self._chunks[0] = max(until - asyncio.get_running_loop().time(), 0.0)
                raise
            self._chunks.pop(0)
        if not self._chunks:
            raise PortLost("p1", "gone")
        chunk = self._chunks.pop(0)
        assert isinstance(chunk, bytes)
        return chunk

    async def write(self, data: bytes) -> None:
        raise AssertionError("a listener writes nothing")

    def flush_input(self) -> bytes:
        return b""

    def close(self) -> None:
        self.closed = True


def spec(device: dict[str, Any], points: dict[str, dict[str, Any]]) -> DeviceSpec:
    settings = {name: msgspec.convert(keys, LinePoint) for name, keys in points.items()}
    return DeviceSpec("d1", msgspec.convert(device, LineDevice), settings)


def make(device: DeviceSpec, port: MemoryPort) -> ListenedSensor:
    async def open_port(_settings: PortSettings) -> Port:
        return port

    assert DRIVER.sensors is not None
    sensor = DRIVER.sensors(Settings(), open_port, [device])["d1"]
    assert not hasattr(sensor, "read")
    return sensor


def hear(device: DeviceSpec, chunks: Sequence[bytes | float]) -> tuple[list[list[Reading]], dict[str, Any]]:
    """All that is yielded until the port is lost, and the health after."""
    port = MemoryPort([0.05, *chunks])

    async def scenario() -> tuple[list[list[Reading]], dict[str, Any]]:
        sensor, heard = make(device, port), []
        with contextlib.suppress(PortLost):
            async for readings in sensor.listen():
                heard.append(readings)  # noqa: PERF401
            raise AssertionError("the listener ended without saying that the port is lost")
        return heard, dict(sensor.health())

    result = asyncio.run(scenario())
    assert port.closed
    json.dumps(result[1])
    return result


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "HALF_LINE_S", 0.02)


WIND = spec(
    {"format": "nmea"},
    {
        "direction": {"sentence": "MWV", "field": 1},
        "speed": {"sentence": "MWV", "field": 3, "scale": 0.1, "invalid": ["9999.9"]},
        "depth": {"sentence": "DPT", "field": 1},
    },
)


def nmea(body: str) -> bytes:
    return b"$%b*%02X\r\n" % (body.encode(), checksum(body.encode()))


def test_nmea_yields_the_points_of_each_sentence() -> None:
    heard, health = hear(WIND, [nmea("WIMWV,214.8,R,123,K,A"), nmea("SDDPT,7.35,0.0") + nmea("GPZDA,1")])
    assert heard == [
        [Reading("direction", 214.8), Reading("speed", 12.3)],
        [Reading("depth", 7.35)],
    ]
    assert (health["lines"], health["used"], health["other"], health["noise"]) == (3, 2, 1, {})


def test_what_the_instrument_calls_invalid_or_leaves_out_has_no_value() -> None:
    heard, health = hear(WIND, [nmea("WIMWV,214.8,R,0.1,K,V"), nmea("WIMWV,,R,9999.9,K,A"), nmea("WIMWV,12x")])
    none = [Reading("direction", None, Quality.REFUSED), Reading("speed", None, Quality.REFUSED)]
    assert heard == [none, none, none]
    assert health["unreadable"] == 6


def test_noise_half_lines_and_wrong_checksums_are_counted_and_yield_nothing() -> None:
    good = nmea("WIMWV,214.8,R,123,K,A")
    chunks: list[bytes | float] = [
        b"\x00\xff\x13",
        good,
        b"$WIMWV,2",
        0.1,
        good,
        good.replace(b"214", b"314"),
        b"x" * 3000,
    ]
    heard, health = hear(WIND, chunks)
    assert heard == [[Reading("direction", 214.8), Reading("speed", 12.3)]]
    assert health["noise"] == {
        "control characters": 1,
        "half a line": 1,
        "wrong checksum": 1,
        "line too long": 5,
    }
    assert health["bytes"] == sum(len(chunk) for chunk in chunks if isinstance(chunk, bytes))


LOGGER = spec(
    {"format": "separated", "separator": ",", "fields": 4, "starts_with": "D,"},
    {"level": {"field": 2, "scale": 0.01, "offset": -1.5}, "battery": {"field": 3}},
)


def test_separated_fields_are_scaled_in_decimal() -> None:
    heard, _ = hear(LOGGER, [b"D,2026-11-21,1234,12.6\n"])
    assert heard == [[Reading("level", 10.84), Reading("battery", 12.6)]]


def test_other_lines_and_wrong_numbers_of_fields_are_counted() -> None:
    heard, health = hear(LOGGER, [b"boot v1.2\nD,1,2\nD,1,2,3,4\nD,1,2,3D,1,2,3\nD,1,,x\n"])
    assert heard == [[Reading("level", None, Quality.REFUSED), Reading("battery", None, Quality.REFUSED)]]
    assert (health["other"], health["noise"]) == (1, {"wrong number of fields": 3})
    assert health["last_line"] == "D,1,,x"


def test_a_pattern_names_its_values() -> None:
    device = spec(
        {"format": "pattern", "pattern": r"T=(?P<t>\S+) RH=(?P<rh>\d+)%( P=(?P<p>\d+))?"},
        {"temp": {"group": "t"}, "hum": {"group": "rh"}, "press": {"group": "p"}},
    )
    heard, health = hear(device, [b"  T=-3.25 RH=81% \r\nT=err RH=80% P=1013\r\nnothing\r\n"])
    none = Quality.REFUSED
    assert heard == [
        [Reading("temp", -3.25), Reading("hum", 81.0), Reading("press", None, none)],
        [Reading("temp", None, none), Reading("hum", 80.0), Reading("press", 1013.0)],
    ]
    assert health["noise"] == {"pattern does not match": 1}


def test_closing_the_listener_closes_the_port() -> None:
    port = MemoryPort([0.05, nmea("SDDPT,7.35,0.0"), 100.0])

    async def scenario() -> None:
        listening = make(WIND, port).listen()
        assert isinstance(listening, AsyncGenerator)
        async with contextlib.aclosing(listening):
            assert await anext(listening) == [Reading("depth", 7.35)]

    asyncio.run(scenario())
    assert port.closed


@pytest.mark.parametrize(
    ("device", "point", "part"),
    [
        ({"format": "nmea"}, {"field": 1}, "sentence is missing"),
        ({"format": "nmea"}, {"sentence": "MWV"}, "field is missing"),
        ({"format": "nmea"}, {"sentence": "MWV", "field": 1, "group": "a"}, "group is for"),
        ({"format": "separated"}, {"field": 1, "sentence": "MWV"}, "sentence is for"),
        ({"format": "separated", "fields": 3}, {"field": 3}, "beyond the last of 3"),
        ({"format": "separated", "pattern": "x"}, {"field": 1}, "pattern is for"),
        ({"format": "pattern"}, {"group": "a"}, "pattern is missing"),
        ({"format": "pattern", "pattern": "(?P<a>x"}, {"group": "a"}, "not a regular expression"),
        ({"format": "pattern", "pattern": "(?P<a>(x+)+)"}, {"group": "a"}, "repeat within a repeat"),
        ({"format": "pattern", "pattern": "(?P<a>x)"}, {"group": "b"}, "not in the pattern, which has: a"),
        ({"format": "pattern", "pattern": "(?P<a>x)"}, {}, "group is missing"),
        ({"format": "pattern", "pattern": "(?P<a>x)"}, {"group": "a", "field": 1}, "a pattern has group"),
    ],
)
def test_wrong_settings_are_said(device: dict[str, Any], point: dict[str, Any], part: str) -> None:
    problems = DRIVER.check(Settings(), [spec(device, {"pt": point})])
    assert any(part in problem for problem in problems), problems
    assert all(problem.startswith(("d1: ", "pt: ")) for problem in problems)


def test_right_settings_have_no_problem_and_two_devices_on_a_port_do() -> None:
    assert list(DRIVER.check(Settings(), [WIND])) == []
    assert list(DRIVER.check(Settings(), [LOGGER])) == []
    assert "already has d1" in DRIVER.check(Settings(), [WIND, LOGGER])[0]
