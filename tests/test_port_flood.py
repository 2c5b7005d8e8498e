"""A port that babbles at network speed: all other tasks go on, it is given up with a sentence, memory stays."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from drivers import serial_line
from drivers.beidou.detect import MOST_HEARD, find
from drivers.beidou.wire import Dialect
from drivers.modbus import ModbusPoint
from drivers.port import FLOOD_BYTES_S, FLOOD_S, Flood, open_port
from edge.clock import BUILT_MS, Clock
from edge.contract import DeviceSpec, Point, Port, PortSettings, Quality, Reading, Sensor
from edge.errors import LinkLost, PortLost
from edge.intake import Intake
from sim.virtual import run
from tests import modbus_site
from tests.beidou_rig import Site as BeidouSite
from tests.beidou_rig import site as beidou_site

BEAMS = b"$BDPWI,000000.00,00,01,02,50,50,0*79\r\n"
LINE = b"1,2.5\r\n"
SERVER = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
data = bytes.fromhex(sys.argv[1]) * 2000
def pour(far):
    try:
        while True:
            far.sendall(data)
    except OSError:
        pass
while True:
    threading.Thread(target=pour, args=(server.accept()[0],), daemon=True).start()
"""


@pytest.fixture(name="flood")
def _flood(request: pytest.FixtureRequest) -> Iterator[str]:
    """`tcp:` address of a server, in a process of its own, that sends a line again and again, without pause."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, request.param.hex()], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield f"tcp:127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def port_at(address: str, **more: Any) -> PortSettings:
    return SimpleNamespace(id="p", open=address, baud=115_200, parity="N", stop_bits=1, data_bits=8, **more)


def test_what_a_line_can_carry_is_no_flood_and_more_is() -> None:
    steady, flood = Flood(FLOOD_BYTES_S), Flood(FLOOD_BYTES_S)
    assert not any(steady.heard(FLOOD_BYTES_S // 10, tenth / 10) for tenth in range(600))
    said = [flood.heard(FLOOD_BYTES_S // 8, tenth / 10) for tenth in range(60)]
    assert next(at for at, sentence in enumerate(said) if sentence) <= FLOOD_S * 10
    assert any("floods: 8" in sentence and "is it the right port?" in sentence for sentence in said)


def test_what_a_converter_had_kept_for_us_is_no_flood() -> None:
    assert Flood(FLOOD_BYTES_S).heard(100_000, 5.0) == ""
    assert "floods: 200 kB/s" in Flood(FLOOD_BYTES_S).heard(200_000, 5.0)


def test_a_read_gives_the_others_a_turn_though_bytes_wait() -> None:
    async def story() -> None:
        server = socket.create_server(("127.0.0.1", 0))
        port = await open_port(port_at(f"tcp:127.0.0.1:{server.getsockname()[1]}"))
        far, _ = server.accept()
        far.sendall(b"x" * 60_000)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        reads = 0
        size = 0
        while size < 60_000:
            size += len(await port.read())
            reads += 1
        assert turns >= reads > 5
        task.cancel()
        for closing in (port, far, server):
            closing.close()

    asyncio.run(asyncio.wait_for(story(), 10))


async def drain(port: Port, sizes: list[int]) -> None:
    while True:
        sizes.append(len(await port.read()))


@pytest.mark.parametrize("flood", [LINE], indirect=True)
def test_a_flooding_port_is_lost_with_a_sentence(flood: str) -> None:
    async def story() -> None:
        port = await open_port(port_at(flood))
        reads: list[int] = []
        with pytest.raises(PortLost, match=r"^port p: floods: \d+ kB/s .*is it the right port\?"):
            await drain(port, reads)
        port.close()
        assert sum(reads) <= FLOOD_BYTES_S * FLOOD_S

    asyncio.run(asyncio.wait_for(story(), 10))


class Pond:
    """A device of another port, whose value rises."""

    value = 1.0

    async def read(self, points: Sequence[str]) -> list[Reading]:
        await asyncio.sleep(0.01)
        return [Reading(point, self.value) for point in points]

    def health(self) -> dict[str, Any]:
        return {}


def line_device(address: str) -> Sensor:
    point = msgspec.convert({"field": 1}, serial_line.LinePoint)
    spec = DeviceSpec("babble", msgspec.convert({"format": "separated"}, serial_line.LineDevice), {"babble.1": point})
    assert serial_line.DRIVER.sensors is not None
    return serial_line.DRIVER.sensors(port_at(address), open_port, [spec])["babble"]


def modbus_device(address: str, mode: str) -> Sensor:
    spec = modbus_site.device(1, {"babble.1": ModbusPoint(register=0)}, mode=mode)
    return modbus_site.sensors(modbus_site.PortSettings(address), spec)["d1"]


async def judged_beside(babble: Sensor, flood_s: float) -> tuple[list[float], list[str]]:
    """How long each change of the pond took to be judged, beside a babbling device; what intake said."""
    loop = asyncio.get_running_loop()
    pond, waits, said = Pond(), list[float](), list[str]()
    changed_s: float | None = None

    def judge(point: str, value: int | None, _quality: Quality, _at: float) -> None:
        nonlocal changed_s
        if point == "pond.1" and changed_s is not None and value == pond.value:
            waits.append(loop.time() - changed_s)
            changed_s = None

    points = [Point(f"{name}.1", "m", Decimal(1), None, None, 200, name) for name in ("babble", "pond")]
    clock = Clock(lambda: BUILT_MS + round(loop.time() * 1000), loop.time, lambda: False, 1)
    devices: dict[str, Sensor] = {"babble": babble, "pond": pond}
    intake = Intake(
        {200: points},
        devices,
        {"babble": "p", "pond": "q"},
        clock,
        judge,
        lambda _round: None,
        lambda about, text: said.append(f"{about}: {text}"),
    )
    task = asyncio.create_task(intake.run())
    end_s = loop.time() + flood_s
    while loop.time() < end_s:
        await asyncio.sleep(0.3)
        if changed_s is None:
            pond.value += 1
            changed_s = loop.time()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return waits, said


@pytest.mark.parametrize("flood", [LINE], indirect=True)
@pytest.mark.parametrize("babbler", ["serial_line", "tcp", "rtu"])
def test_another_device_is_judged_beside_a_flood(flood: str, babbler: str) -> None:
    babble = line_device(flood) if babbler == "serial_line" else modbus_device(flood, babbler)
    waits, said = asyncio.run(asyncio.wait_for(judged_beside(babble, 3.0), 30))
    assert len(waits) >= 3
    assert max(waits) < 2.0
    if babbler == "serial_line":
        assert any("floods" in sentence for sentence in said)


@pytest.mark.parametrize("flood", [BEAMS], indirect=True)
def test_a_flooding_terminal_port_ends_the_run_of_the_link_and_stops_nobody(flood: str) -> None:
    async def story() -> None:
        site: BeidouSite = beidou_site(wrap=lambda _open: lambda at: open_port(port_at(flood)))
        gaps = [0.0]

        async def other() -> None:
            loop = asyncio.get_running_loop()
            while True:
                before_s = loop.time()
                await asyncio.sleep(0.01)
                gaps.append(loop.time() - before_s)

        task = asyncio.create_task(other())
        with pytest.raises(LinkLost, match=r"floods: .*is it the right port\?"):
            await site.link.run(lambda _packet: None, lambda: None)
        task.cancel()
        assert max(gaps) < 2.0

    asyncio.run(asyncio.wait_for(story(), 60))


class Chatter:
    """A port on which beams are told a hundred times a read."""

    async def read(self) -> bytes:
        await asyncio.sleep(0.001)
        return BEAMS * 20

    async def write(self, data: bytes) -> None:
        pass

    def flush_input(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


def test_what_is_kept_of_a_search_is_bounded() -> None:
    async def story() -> None:
        async def open_chatter(_settings: PortSettings) -> Chatter:
            return Chatter()

        found = await find(port_at("tcp:h:1"), open_chatter, (115_200, Dialect.BDS3), True, lambda _why: None)
        assert not isinstance(found, str)
        assert len(found.heard) == MOST_HEARD

    run(story())
