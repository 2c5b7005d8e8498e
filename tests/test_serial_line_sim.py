"""The sensor against the simulated instrument: on a real pseudo-terminal, and 20 000 faulty lines in memory."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.port import open_port
from drivers.serial_line import DRIVER, LineDevice, LinePoint
from drivers.serial_line.wire import Line, Sentence, Splitter, read_nmea
from edge.contract import DeviceSpec, Reading
from edge.errors import PortLost
from sim.lines import FAULTS, Instrument, Running, start
from sim.series import Series, load

SERIES = Path(__file__).parent / "data" / "series"
LINES = 20_000


def wind() -> tuple[Series, Series]:
    return load(SERIES / "wind_1min.csv"), load(SERIES / "airtemp_1min.csv")


def test_of_20000_faulty_lines_only_true_ones_are_read() -> None:
    """Each line carries its row, so a value that was not printed cannot pass for one that was."""
    chance = random.Random(3)
    splitter, read, wrong = Splitter(), 0, 0
    splitter.begin()
    for row in range(LINES):
        instrument = Instrument("$WIMWV,{0},R,{1},M,A", (float(row), row * 7 % 1000 / 10), decimals=1, seed=row)
        instrument.faults = {kind: 0.1 for kind in FAULTS if kind != "long"} | {"long": 0.01}
        data = instrument.say(row)
        while data:
            size = chance.randrange(1, 200)
            for item in splitter.feed(data[:size]):
                found = read_nmea(item.raw) if isinstance(item, Line) else None
                if isinstance(found, Sentence):
                    read += 1
                    text = ",".join(found.fields).encode()
                    wrong += not instrument.line(row).startswith(b"$" + text + b"*")
            data = data[size:]
    assert wrong == 0
    assert read > LINES * 0.5


def test_the_model_prints_what_it_measures_and_repeats_by_seed() -> None:
    instrument = Instrument("$WIMWV,{0},R,1.3,M,A", (39.0,), decimals=0)
    assert instrument.line(0) == b"$WIMWV,39,R,1.3,M,A*06\r\n"  # Vaisala M210822EN-F, NMEA MWV
    said = []
    for _ in range(2):
        again = Instrument("D,{0}", (1.0,), seed=9)
        again.faults = dict.fromkeys(FAULTS, 0.3)
        said.append([again.say(row) for row in range(200)])
    assert said[0] == said[1]
    assert Instrument("D,{0},{1}", wind()).line(5) == b"D,%.2f,%.2f\r\n" % tuple(s.value(5) for s in wind())


@pytest.fixture
def instrument(tmp_path: Path) -> Iterator[Running]:
    counting = tmp_path / "counting.csv"
    counting.write_text("# name=counting;unit=1;quantum=0.1;dt_s=1\n" + "".join(f"{n},{n}\n" for n in range(5000)))
    options = ["--series", str(counting), "--series", "11.63", "--every", "0.02", "--baud", "115200"]
    running = start(*options, "--pty", str(tmp_path / "tty"))
    try:
        yield running
    finally:
        running.stop()


class Port:
    """Settings of a port, as a site file gives them."""

    id, baud, parity, stop_bits, data_bits = "mast", 115200, "N", 1, 8

    def __init__(self, path: str) -> None:
        self.open = f"serial:{path}"


def make(path: str) -> Any:
    points = {"a": LinePoint(sentence="MWV", field=1), "b": LinePoint(sentence="MWV", field=3)}
    spec = DeviceSpec("wind", msgspec.convert({"format": "nmea"}, LineDevice), points)
    assert DRIVER.sensors is not None
    return DRIVER.sensors(Port(path), open_port, [spec])["wind"]


def test_a_pty_instrument_is_heard_row_by_row_through_faults_and_its_loss_is_said(instrument: Running) -> None:
    async def scenario() -> dict[str, Any]:
        sensor, heard = make(instrument.address), []
        with contextlib.suppress(PortLost):
            async with asyncio.timeout(30):
                async for readings in sensor.listen():
                    heard.append(readings)
                    if len(heard) == 20:
                        for kind in ("noise", "half", "damage"):
                            instrument.command(f"fault {kind} 0.2")
                    if len(heard) == 60:
                        instrument.stop()
            raise AssertionError("the listener ended without saying that the port is lost")
        rows = [float(readings[0].value or 0) for readings in heard]
        assert rows == sorted(set(rows))
        assert heard == [[Reading("a", row), Reading("b", 11.6)] for row in rows]
        return dict(sensor.health())

    health = asyncio.run(scenario())
    assert health["used"] >= 60  # lines that came together with the last one count too
    assert health["noise"].get("wrong checksum", 0) > 0


def test_unknown_commands_are_refused(instrument: Running) -> None:
    with pytest.raises(RuntimeError, match="not understood"):
        instrument.command("fault everything 1")
