"""The driver against simulated slaves in memory and virtual time: refusals, silence, late answers, echoes, writes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

import pytest

from drivers.modbus import ModbusPoint
from drivers.modbus.bus import OWES_AT_MOST_S, REOPEN_PAUSE_S, Bus, Silence
from drivers.modbus.wire import Answer, Refusal, Request
from edge.contract import Port, Quality, Reading
from edge.contract import PortSettings as AnyPort
from edge.errors import DeviceSilent, PortLost
from sim.modbus import plain_slaves
from sim.modbus_port import MemoryPort, opener
from sim.modbus_slave import Fault, Line, Slave
from tests.modbus_site import PortSettings, device, row_of, run_virtual, sensors

PORT = PortSettings("serial:/dev/simulated")
TIMEOUT_S = 0.5


def line_of(slaves: Iterable[Slave], echo: bool = False) -> Line:
    return Line(slaves, baud=9600, echo=echo)


def bus_on(line: Line) -> Bus:
    return Bus(PORT, opener({"bus": line}), is_rtu=True)


def values(readings: Iterable[Reading]) -> list[float | int | None]:
    return [reading.value for reading in readings]


def test_readings_come_scaled_in_the_order_asked_and_marked() -> None:
    slave = Slave(5, coil={3: 1}, holding=dict(enumerate([1234, 0xFFFF, 0x0000, 0x4148, 0, 0, 0, 0x8000])))
    points = {
        "level": ModbusPoint(register=0, scale=0.01),
        "none": ModbusPoint(register=1, type="i16", invalid=(-1,)),
        "tilt": ModbusPoint(register=2, type="f32", order="CDAB"),
        "door": ModbusPoint(register=7, bit=15),
        "pump": ModbusPoint(register=3, table="coil"),
    }
    sensor = sensors(PORT, device(5, points), opener=opener({"bus": line_of([slave])}))["d5"]
    asked = ["pump", "tilt", "none", "level", "door"]
    assert run_virtual(_read(sensor.read, asked)) == [
        Reading("pump", 1),
        Reading("tilt", 12.5),
        Reading("none", None, Quality.REFUSED),
        Reading("level", 12.34),
        Reading("door", 1),
    ]
    assert slave.requests == 2


async def _read(read: Callable[[list[str]], Awaitable[list[Reading]]], points: list[str]) -> list[Reading]:
    return await read(points)


def test_a_register_that_does_not_exist_leaves_its_neighbours_their_values() -> None:
    slave = plain_slaves([1], 20)[0]
    del slave.holding[4]
    spec = row_of(1, 10)
    sensor = sensors(PORT, spec, opener=opener({"bus": line_of([slave])}))["d1"]
    names = list(spec.points)
    wanted = [None if i == 4 else 1000 + i for i in range(10)]

    async def main() -> None:
        for _ in range(3):
            readings = await sensor.read(names)
            assert values(readings) == wanted
            assert readings[4].quality is Quality.REFUSED
        before = slave.requests
        assert values(await sensor.read(names)) == wanted
        assert slave.requests - before == 3  # 0-3, 4, 5-9: what was learnt is kept

    run_virtual(main())
    assert sensor.health()["asked_alone"] == ["r4"]


def test_an_unused_register_that_does_not_exist_is_left_out() -> None:
    slave = Slave(1, holding={0: 10, 1: 11, 3: 13, 4: 14})
    points = {f"r{i}": ModbusPoint(register=i) for i in (0, 1, 3, 4)}
    sensor = sensors(PORT, device(1, points), opener=opener({"bus": line_of([slave])}))["d1"]

    async def main() -> None:
        for _ in range(2):
            assert values(await sensor.read(list(points))) == [10, 11, 13, 14]
        assert slave.requests == 1 + 4 + 2

    run_virtual(main())


def test_a_dead_device_is_asked_once_a_round_and_takes_one_timeout() -> None:
    spec = device(1, {f"r{i}": ModbusPoint(register=100 * i) for i in range(9)})
    slave = Slave(1, faults=[Fault("silence")])
    sensor = sensors(PORT, spec, opener=opener({"bus": line_of([slave])}))["d1"]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(DeviceSilent, match="heard nothing: check its power"):
            await sensor.read(list(spec.points))
        assert loop.time() < 2 * TIMEOUT_S

    run_virtual(main())
    assert sensor.health()["silent"] == 1


def test_one_disturbed_answer_costs_only_its_own_points() -> None:
    points = {"a": ModbusPoint(register=0), "b": ModbusPoint(register=50), "c": ModbusPoint(register=90)}
    slave = plain_slaves([1], 100)[0]
    slave.faults.append(Fault("crc", times=1))
    sensor = sensors(PORT, device(1, points), opener=opener({"bus": line_of([slave])}))["d1"]
    readings = run_virtual(_read(sensor.read, ["a", "b", "c"]))
    assert values(readings) == [None, 1050, 1090]
    assert readings[0].quality is Quality.NO_ANSWER
    assert sensor.health()["garbled"] == 1


@pytest.mark.parametrize("code", [10, 11])
def test_a_gateways_word_that_the_device_is_silent_is_silence(code: int) -> None:
    slave = Slave(1, faults=[Fault("exception", value=code)])
    sensor = sensors(PORT, row_of(1, 1), opener=opener({"bus": line_of([slave])}))["d1"]
    with pytest.raises(DeviceSilent, match=f"exception {code}"):
        run_virtual(_read(sensor.read, ["r0"]))


@pytest.mark.parametrize("late_s", [0.6, 1.0, 1.4, 3.0])
@pytest.mark.parametrize("registers", [1, 4])
def test_a_device_that_was_late_once_is_not_one_answer_behind_for_ever(late_s: float, registers: int) -> None:
    """The classic: after one timeout, each answer is taken for the next question's."""
    slave = Slave(1, holding=dict.fromkeys(range(registers), 0))
    names = [f"r{i}" for i in range(registers)]
    sensor = sensors(PORT, row_of(1, registers), opener=opener({"bus": line_of([slave])}))["d1"]

    async def main() -> int:
        good = 0
        slave.faults.append(Fault("late", value=late_s, times=1))
        for second in range(1, 30):
            slave.put("holding", 0, [second] * registers)
            with contextlib.suppress(DeviceSilent):
                assert values(await sensor.read(names)) == [second] * registers
                good += 1
            await asyncio.sleep(second - asyncio.get_running_loop().time())
        return good

    assert run_virtual(main()) >= 23  # at most the late rounds are lost, and a 1-register device is back at once too


def test_a_noisy_line_loses_little_more_than_what_is_disturbed() -> None:
    slave = plain_slaves([1], 8)[0]
    slave.faults.append(Fault("crc", probability=0.05))
    sensor = sensors(PORT, row_of(1, 8), opener=opener({"bus": line_of([slave])}))["d1"]

    async def main() -> int:
        good = 0
        for _ in range(500):
            with contextlib.suppress(DeviceSilent):
                good += values(await sensor.read(["r0", "r7"])) == [1000, 1007]
            await asyncio.sleep(1)
        return good

    assert run_virtual(main()) > 500 * 0.92


def test_a_device_that_was_away_is_read_again_with_the_first_question_after() -> None:
    slave = Slave(1, holding={0: 7})

    async def main() -> None:
        bus = bus_on(line_of([slave]))
        question = Request(1, 3, 0, 1)
        for away_s in (0.5, 3.0, 30.0):
            slave.faults = [Fault("silence")]
            until_s = asyncio.get_running_loop().time() + away_s
            while asyncio.get_running_loop().time() < until_s:
                assert isinstance(await bus.ask(question, TIMEOUT_S), Silence)
            slave.faults = []
            assert await bus.ask(question, TIMEOUT_S) == Answer((7,))

    run_virtual(main())


def test_a_device_that_answers_no_probe_is_asked_again_when_it_can_owe_nothing() -> None:
    """It knows one register and one function, and says nothing to all else."""
    slave = Slave(1, holding={0: 7})
    line = line_of([slave])

    class Curt(MemoryPort):
        async def write(self, data: bytes) -> None:
            if data.startswith(bytes.fromhex("010300000001")):
                await super().write(data)

    async def open_port(_: AnyPort) -> Port:
        return Curt("bus", line)

    async def main() -> None:
        bus = Bus(PORT, open_port, is_rtu=True)
        question = Request(1, 3, 0, 1)
        slave.faults = [Fault("silence", times=1)]
        lost_s = asyncio.get_running_loop().time()
        for _ in range(30):
            if isinstance(await bus.ask(question, TIMEOUT_S), Answer):
                break
            await asyncio.sleep(1)
        assert asyncio.get_running_loop().time() - lost_s < OWES_AT_MOST_S + 2 * TIMEOUT_S + 1

    run_virtual(main())


def test_an_echoing_adapter_is_recognised() -> None:
    slave = plain_slaves([1], 10)[0]

    async def main() -> None:
        bus = bus_on(line_of([slave], echo=True))
        for address in range(5):
            assert await bus.ask(Request(1, 3, address, 2), TIMEOUT_S) == Answer((1000 + address, 1001 + address))
        assert bus.health()["echo"] is True

    run_virtual(main())


def test_one_question_at_a_time_whoever_asks() -> None:
    slaves = plain_slaves(range(1, 9), 10)

    async def main() -> None:
        bus = bus_on(line_of(slaves))
        asked = [bus.ask(Request(unit, 3, 0, 2), TIMEOUT_S) for unit in range(1, 9)]
        answers = await asyncio.gather(*asked)
        assert answers == [Answer((unit * 1000, unit * 1000 + 1)) for unit in range(1, 9)]
        assert bus.health()["noise_bytes"] == 0

    run_virtual(main())


def test_a_cancelled_question_still_counts_as_owed() -> None:
    slave = Slave(1, holding={0: 1, 1: 1})

    async def main() -> None:
        bus = bus_on(line_of([slave]))
        slave.work_s = 0.3
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await bus.ask(Request(1, 3, 0, 2), TIMEOUT_S)
        slave.put("holding", 0, [2, 2])
        assert await bus.ask(Request(1, 3, 0, 2), TIMEOUT_S) == Answer((2, 2))
        assert bus.probes == 1

    run_virtual(main())


def test_a_lost_port_is_opened_again_and_its_failure_not_repeated_for_each_device() -> None:
    line = line_of(plain_slaves([1], 4))
    ports: list[MemoryPort] = []
    tries = 0

    async def open_port(settings: AnyPort) -> Port:
        nonlocal tries
        tries += 1
        if 2 <= tries <= 3:
            raise PortLost(settings.id, "gone")
        ports.append(MemoryPort(settings.id, line))
        return ports[-1]

    async def main() -> None:
        bus = Bus(PORT, open_port, is_rtu=True)
        question = Request(1, 3, 0, 1)
        assert isinstance(await bus.ask(question, TIMEOUT_S), Answer)
        ports[0].unplug()
        for _ in range(5):
            with pytest.raises(PortLost, match="gone"):
                await bus.ask(question, TIMEOUT_S)
        assert tries == 2
        await asyncio.sleep(REOPEN_PAUSE_S)
        with pytest.raises(PortLost, match="gone"):
            await bus.ask(question, TIMEOUT_S)
        await asyncio.sleep(REOPEN_PAUSE_S)
        assert isinstance(await bus.ask(question, TIMEOUT_S), Answer)
        ports[-1].unplug()  # while idle: nothing is sent on it, so it is opened anew at once
        assert isinstance(await bus.ask(question, TIMEOUT_S), Answer)
        asyncio.get_running_loop().call_later(0.005, ports[-1].unplug)  # while it waits for the answer
        with pytest.raises(PortLost):
            await bus.ask(question, TIMEOUT_S)

    run_virtual(main())


def test_a_line_that_never_falls_silent_is_said() -> None:
    port = MemoryPort("bus", line_of(plain_slaves([1], 4)))

    async def open_port(_: AnyPort) -> Port:
        return port

    async def babble() -> None:
        while True:
            port._receive(b"\x55")
            await asyncio.sleep(0.001)

    async def main() -> None:
        babbling = asyncio.create_task(babble())
        reply = await Bus(PORT, open_port, is_rtu=True).ask(Request(1, 3, 0, 1), TIMEOUT_S)
        assert isinstance(reply, Silence)
        assert "never falls silent" in reply.why
        babbling.cancel()

    run_virtual(main())


def test_a_refusal_is_a_value_with_its_reason() -> None:
    async def main() -> None:
        reply = await bus_on(line_of(plain_slaves([1], 4))).ask(Request(1, 3, 100, 1), TIMEOUT_S)
        assert reply == Refusal(2)
        assert str(reply) == "exception 2 (illegal data address)"

    run_virtual(main())


SILENT = [(9600, "N", 0.00365), (9600, "E", 0.00401), (115200, "N", 0.00175)]


@pytest.mark.parametrize(("baud", "parity", "silent_s"), SILENT)
def test_the_line_is_silent_for_long_enough_between_frames(baud: int, parity: str, silent_s: float) -> None:
    spaces: list[float] = []
    line = line_of(plain_slaves([1, 2], 4))

    class Watched(MemoryPort):
        last_s = 0.0

        async def read(self) -> bytes:
            data = await super().read()
            self.last_s = asyncio.get_running_loop().time()
            return data

        async def write(self, data: bytes) -> None:
            spaces.append(asyncio.get_running_loop().time() - self.last_s)
            await super().write(data)

    async def open_port(_: AnyPort) -> Port:
        return Watched("bus", line)

    async def main() -> None:
        bus = Bus(PortSettings("serial:/dev/x", baud=baud, parity=parity), open_port, is_rtu=True)
        for unit in (1, 2, 1, 3, 2):  # 3 is not there
            await bus.ask(Request(unit, 3, 0, 4), 0.1)

    run_virtual(main())
    assert len(spaces) == 5
    assert min(spaces) >= silent_s - 1e-5
