"""The driver against the simulator as a process of its own, on a real pseudo-terminal and over TCP, in real time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from pathlib import Path

import pytest

from drivers.modbus import ModbusPoint
from edge.contract import PolledSensor, Reading
from edge.errors import DeviceSilent, PortLost
from sim.modbus import obey, parse_fault, parse_units, plain_slaves, start
from sim.modbus_port import opener
from sim.modbus_slave import Line, Live, Slave
from sim.series import load
from tests.bench.modbus import wire_minimum_s
from tests.modbus_site import PortSettings, device, row_of, run_virtual, sensors

SERIES = Path(__file__).parent / "data/series"
WAYS = {
    "serial": ["--baud", "9600"],
    "tcp": ["--tcp", "127.0.0.1:0"],
    "rtu over tcp": ["--tcp", "127.0.0.1:0", "--rtu", "--baud", "0"],
}
PATIENT = {"timeout": "5s"}  # where speed is not what is tested, a busy machine must not matter


def mode(way: str) -> dict[str, str]:
    return {"mode": "rtu"} if way == "rtu over tcp" else {}


@pytest.mark.parametrize("way", WAYS)
def test_every_table_of_every_unit_is_read(way: str) -> None:
    tables = {"h": "holding", "i": "input", "c": "coil", "d": "discrete"}
    points = {
        f"{key}{i}": ModbusPoint(register=i, table=table)  # type: ignore[arg-type]
        for key, table in tables.items()
        for i in (0, 1, 17)
    }

    async def main(address: str) -> None:
        devices = [device(unit, points, **PATIENT, **mode(way)) for unit in (1, 2, 3)]
        for unit, sensor in enumerate(sensors(PortSettings(address), *devices).values(), 1):
            readings = {reading.point: reading.value for reading in await sensor.read(list(points))}
            for key, name in tables.items():
                wanted = [0, 1, 1] if name in ("coil", "discrete") else [unit * 1000 + i for i in (0, 1, 17)]
                assert [readings[f"{key}{i}"] for i in (0, 1, 17)] == wanted

    with start("--units", "1-3", *WAYS[way]) as simulator:
        asyncio.run(main(simulator.address))


@pytest.mark.parametrize("way", WAYS)
def test_faults_give_silence_and_never_a_wrong_value(way: str) -> None:
    faults = ["silence", "unit", "short", "noise", "split", "twice", "late value=0.15", "exception value=4"]
    if way != "tcp":  # where TCP's own checksum would have caught it
        faults.append("crc")

    async def main() -> int:
        spec = row_of(1, 4, timeout="100ms", **mode(way))
        sensor = sensors(PortSettings(simulator.address), spec)["d1"]
        good = 0
        for n in range(60):
            if n % 5 == 0:
                simulator.command("clear all")
                simulator.command(f"fault 1 {faults[n // 5 % len(faults)]} p=0.7")
            good += await _good(sensor, [1000, 1001, 1002, 1003])
        return good

    with start("--units", "1-2", "--seed", "3", *WAYS[way]) as simulator:
        assert asyncio.run(main()) > 10


async def _good(sensor: PolledSensor, wanted: list[int]) -> bool:
    """Reads once; whether values came. Wrong ones fail the test."""
    with contextlib.suppress(DeviceSilent):
        found = [reading.value for reading in await sensor.read([f"r{i}" for i in range(len(wanted))])]
        if found != [None] * len(wanted):
            assert found == wanted
            return True
    return False


@pytest.mark.parametrize("way", ["serial", "tcp"])
def test_an_unplugged_port_is_lost_and_found_again(way: str, tmp_path: Path) -> None:
    where = ["--pty", str(tmp_path / "bus")] if way == "serial" else ["--tcp", "127.0.0.1:0"]

    async def main() -> None:
        sensor = sensors(PortSettings(simulator.address), row_of(1, 2, **PATIENT))["d1"]
        assert await _good(sensor, [1000, 1001])
        simulator.command("unplug")
        with pytest.raises(PortLost):
            await sensor.read(["r0"])
        simulator.command("plug")
        deadline_s = time.monotonic() + 10
        while True:
            try:
                assert await _good(sensor, [1000, 1001])
                return
            except PortLost:
                assert time.monotonic() < deadline_s
                await asyncio.sleep(0.1)

    with start(*where) as simulator:
        asyncio.run(main())


def test_a_read_at_9600_baud_takes_hardly_longer_than_the_wire() -> None:
    """The best of many, for a busy machine; tests/bench/modbus.py measures whole cycles."""

    async def main(address: str) -> float:
        sensor = sensors(PortSettings(address), row_of(1, 8, **PATIENT))["d1"]
        names = [f"r{i}" for i in range(8)]
        took = []
        for _ in range(30):
            begun_s = time.perf_counter()
            assert len(await sensor.read(names)) == 8
            took.append(time.perf_counter() - begun_s)
        return min(took[1:])

    minimum_s = wire_minimum_s(slaves=1, registers=8, baud=9600)
    with start() as simulator:
        assert minimum_s * 0.98 < asyncio.run(main(simulator.address)) < minimum_s * 1.25


def test_the_driver_adds_nothing_to_the_wires_time() -> None:
    """In virtual time only the driver's own waiting counts, not the machine's."""
    line = Line(plain_slaves(range(1, 11), 8), baud=9600)
    devices = [row_of(unit, 8) for unit in range(1, 11)]
    names = [f"r{i}" for i in range(8)]

    async def main() -> float:
        polled = sensors(PortSettings("serial:/dev/simulated"), *devices, opener=opener({"bus": line})).values()
        begun_s = asyncio.get_running_loop().time()
        for sensor in polled:
            assert len(await sensor.read(names)) == 8
        return asyncio.get_running_loop().time() - begun_s

    assert run_virtual(main()) < wire_minimum_s(slaves=10, registers=8, baud=9600) * 1.01


def test_a_slave_file_with_a_recorded_series(tmp_path: Path) -> None:
    (tmp_path / "slaves.toml").write_text(
        f"""
[[slave]]
unit = 7
[[slave.register]]
address = 2
type = "f32"
order = "CDAB"
value = 21.5
[[slave.register]]
address = 10
table = "input"
type = "i16"
series = "{SERIES}/airtemp_1min.csv"
every_s = 3600
scale = 0.1
[[slave.register]]
address = 1
table = "coil"
value = 1
"""
    )
    points = {
        "f": ModbusPoint(register=2, type="f32", order="CDAB"),
        "t": ModbusPoint(register=10, table="input", type="i16", scale=0.1),
        "c": ModbusPoint(register=1, table="coil"),
    }

    async def main(address: str) -> list[Reading]:
        return await sensors(PortSettings(address), device(7, points, **PATIENT))["d7"].read(list(points))

    with start(str(tmp_path / "slaves.toml")) as simulator:
        assert asyncio.run(main(simulator.address)) == [Reading("f", 21.5), Reading("t", 9.3), Reading("c", 1)]
        simulator.command("set 7 coil 1 0")
        assert asyncio.run(main(simulator.address))[2] == Reading("c", 0)


# ---- the simulator itself


def test_live_registers_follow_their_series_and_loop() -> None:
    series = load(SERIES / "seismic_10hz.csv")
    slave = Slave(1, live=[Live("holding", 0, series, 0.1, kind="i32")])
    for seconds in (0.0, 0.05, 0.1, 7.25, 900.05):
        slave.refresh(seconds)
        words = slave.holding[0] << 16 | slave.holding[1]
        assert words - (words >> 31 << 32) == series.count(math.floor(seconds / 0.1 + 1e-9))


def test_all_series_of_the_repository_load() -> None:
    files = sorted(SERIES.glob("*.csv"))
    assert len(files) == 13
    for file in files:
        series = load(file)
        assert series.name == file.stem
        assert len(series.counts) > 500
        assert series.value(len(series.counts)) == series.value(0)


def test_a_wrong_series_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("# name=x;quantum=1;dt_s=1\n0,1\n1,one\n")
    with pytest.raises(ValueError, match="line 3"):
        load(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text("seconds,count\n0,1\n")
    with pytest.raises(ValueError, match="first line"):
        load(tmp_path / "y.csv")


@pytest.fixture
def slave() -> Slave:
    return plain_slaves([1], 10)[0]


@pytest.mark.parametrize(
    "text", ["jump", "set 1 holdings 0 1", "set 9 holding 0 1", "set 1 holding x 1", "fault 1 fire", "fault 1", "clear"]
)
def test_wrong_commands_are_answered_with_an_error(slave: Slave, text: str) -> None:
    assert obey({1: slave}, text).startswith("error")


def test_commands_and_options() -> None:
    assert parse_units("1-3,7") == [1, 2, 3, 7]
    fault = parse_fault(["late", "p=0.5", "value=2", "times=3"])
    assert (fault.kind, fault.probability, fault.value, fault.times) == ("late", 0.5, 2.0, 3)


def test_the_same_seed_gives_the_same_faults() -> None:
    def heard(seed: int) -> list[list[tuple[float, bytes]]]:
        slave = plain_slaves([1], 10)[0]
        slave.faults = [parse_fault([kind, "p=0.5"]) for kind in ("noise", "crc", "silence")]
        line = Line([slave], baud=9600, seed=seed)
        return [line.feed(bytes.fromhex("010300000001840A"), float(n)) for n in range(50)]

    assert heard(1) == heard(1) != heard(2)


def test_the_slave_ignores_every_disturbed_question(slave: Slave) -> None:
    question = bytes.fromhex("010300000001840A")
    for bit in range(8 * len(question)):
        flipped = bytearray(question)
        flipped[bit // 8] ^= 1 << bit % 8
        assert Line([slave], baud=9600).feed(bytes(flipped), 0.0) == []
    assert slave.requests == 0


@pytest.mark.parametrize("length", [0, 1])
def test_a_tcp_header_without_room_for_a_request_is_dropped(slave: Slave, length: int) -> None:
    line = Line([slave], is_rtu=False)
    assert line.feed(b"\0\1\0\0\0" + bytes([length]) + b"\1\3", 0.0) == []
    assert len(line.feed(bytes.fromhex("000200000006010300000001"), 1.0)) == 1


def test_arbitrary_bytes_do_not_stop_the_slave(slave: Slave) -> None:
    for is_rtu in (True, False):
        line = Line([slave], is_rtu=is_rtu)
        for n in range(2000):
            line.feed(os.urandom(n % 40), n / 1000)
