"""Against foreign code: mbpoll as master of the simulated slaves, libmodbus as slave of our driver."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drivers.modbus import ModbusPoint
from drivers.modbus.bus import Bus, Outcome
from drivers.modbus.wire import Answer, Refusal, Request
from drivers.port import open_port
from sim.modbus import Running, start
from sim.pty import Pty
from tests.modbus_libmodbus import library
from tests.modbus_site import PortSettings, device, sensors

TIMEOUT_S = 5.0  # patience for a busy machine

needs_mbpoll = pytest.mark.skipif(
    shutil.which("mbpoll") is None,
    reason="MBPOLL IS MISSING (apt-get install mbpoll): no foreign master was tried",
)
needs_libmodbus = pytest.mark.skipif(
    library() is None, reason="LIBMODBUS IS MISSING (apt-get install libmodbus5): no foreign slave was tried"
)


# ---- a foreign master, our simulated slave


def mbpoll(simulator: Running, *options: str) -> list[str]:
    """One poll; the lines `[address]: value`, addresses from 1."""
    kind, _, target = simulator.address.partition(":")
    host, _, port = target.partition(":")
    where = ["-m", "tcp", "-p", port] if kind == "tcp" else ["-m", "rtu", "-b", "9600", "-P", "none"]
    values = [option for option in options if not option.startswith("=")]
    written = [option[1:] for option in options if option.startswith("=")]
    command = ["mbpoll", "-1", "-q", "-o", "5", *where, *values, host, *written]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [line.split(None, 1)[1].strip() for line in done.stdout.splitlines() if line.startswith("[")] or [
        done.stdout + done.stderr
    ]


@needs_mbpoll
@pytest.mark.parametrize("where", [(), ("--tcp", "127.0.0.1:0")])
def test_a_foreign_master_reads_and_writes_the_simulated_slave(where: tuple[str, ...]) -> None:
    with start("--units", "1-3", *where) as simulator:
        words = [str(2000 + i) for i in range(10)]
        assert mbpoll(simulator, "-a", "2", "-t", "4", "-r", "1", "-c", "10") == words
        assert mbpoll(simulator, "-a", "2", "-t", "3", "-r", "1", "-c", "10") == words
        assert mbpoll(simulator, "-a", "1", "-t", "0", "-r", "1", "-c", "9") == [str(i & 1) for i in range(9)]
        assert mbpoll(simulator, "-a", "1", "-t", "1", "-r", "1", "-c", "9") == [str(i & 1) for i in range(9)]
        for function, options in {6: ["=77"], 16: ["=78", "=79", "=80"]}.items():
            assert "Written" in mbpoll(simulator, "-a", "3", "-t", "4", "-r", "5", *options)[0], function
        assert mbpoll(simulator, "-a", "3", "-t", "4", "-r", "4", "-c", "4") == ["3003", "78", "79", "80"]
        for function, options in {5: ["=1"], 15: ["=1", "=1", "=0"]}.items():
            assert "Written" in mbpoll(simulator, "-a", "3", "-t", "0", "-r", "1", *options)[0], function
        assert mbpoll(simulator, "-a", "3", "-t", "0", "-r", "1", "-c", "4") == ["1", "1", "0", "1"]
        assert "Illegal data address" in mbpoll(simulator, "-a", "1", "-t", "4", "-r", "96", "-c", "10")[0]


# ---- our driver, a foreign slave


@contextmanager
def foreign_slave(*arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.modbus_libmodbus", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("ready").strip()
        finally:
            process.kill()


@contextmanager
def null_modem() -> Iterator[tuple[str, str]]:
    """Two pseudo-terminals, wired to each other."""
    ends = Pty(), Pty()
    stop_reading, stop_writing = os.pipe()

    def carry() -> None:
        while True:
            ready = select.select([ends[0].fd, ends[1].fd, stop_reading], [], [])[0]
            if stop_reading in ready:
                return
            for here, there in (ends, ends[::-1]):
                if here.fd in ready:
                    there.write(here.read())

    carrier = threading.Thread(target=carry)
    carrier.start()
    try:
        yield ends[0].path, ends[1].path
    finally:
        os.write(stop_writing, b"x")
        carrier.join()
        for end in ends:
            end.close()
        os.close(stop_reading)
        os.close(stop_writing)


@contextmanager
def foreign_port(way: str) -> Iterator[PortSettings]:
    if way == "tcp":
        with foreign_slave("tcp") as port:
            yield PortSettings(f"tcp:127.0.0.1:{port}")
    else:
        with null_modem() as (ours, theirs), foreign_slave("rtu", theirs, "17"):
            yield PortSettings(f"serial:{ours}")


@needs_libmodbus
@pytest.mark.parametrize("way", ["tcp", "rtu"])
def test_a_foreign_slave_is_read(way: str) -> None:
    points = {
        **{f"h{i}": ModbusPoint(register=i) for i in range(120)},
        **{f"i{i}": ModbusPoint(register=i, table="input") for i in (0, 9, 199)},
        **{f"c{i}": ModbusPoint(register=i, table="coil") for i in (0, 1, 3, 150)},
        **{f"d{i}": ModbusPoint(register=i, table="discrete") for i in (0, 1, 63)},
        "beyond": ModbusPoint(register=250),
    }
    rules = {"h": lambda a: 3 * a + 1, "i": lambda a: 5 * a + 2, "c": lambda a: a % 3 == 0, "d": lambda a: a & 1}

    async def main(port: PortSettings) -> None:
        sensor = sensors(port, device(17, points, timeout="5s"))["d17"]
        for _ in range(3):
            for reading in await sensor.read(list(points)):
                expected = None if reading.point == "beyond" else rules[reading.point[0]](int(reading.point[1:]))
                assert reading.value == expected, reading
        assert sensor.health()["garbled"] == 0

    with foreign_port(way) as port:
        asyncio.run(main(port))


@needs_libmodbus
@pytest.mark.parametrize("way", ["tcp", "rtu"])
def test_a_foreign_slave_is_written(way: str) -> None:
    writes = [
        Request(17, 6, 10, 1, (4242,)),
        Request(17, 16, 20, 3, (1, 2, 65535)),
        Request(17, 5, 30, 1, (1,)),
        Request(17, 5, 33, 1, (0,)),
        Request(17, 15, 40, 10, (1, 0, 1, 1, 0, 0, 1, 0, 1, 1)),
    ]

    async def main(port: PortSettings) -> None:
        bus = Bus(port, open_port, is_rtu=way == "rtu")
        for write in writes:
            assert (await bus.write(write, TIMEOUT_S)).outcome is Outcome.DONE
            function = 1 if write.function in (5, 15) else 3
            read = Request(17, function, write.address, write.quantity)
            assert await bus.ask(read, TIMEOUT_S) == Answer(write.values)
        written = await bus.write(Request(17, 6, 5000, 1, (1,)), TIMEOUT_S)
        assert written.outcome is Outcome.NOT_DONE
        assert await bus.ask(Request(17, 3, 5000, 1), TIMEOUT_S) == Refusal(2)
        bus.close()

    with foreign_port(way) as port:
        asyncio.run(main(port))
