"""Writes: done once, confirmed by more than an echo, read back when in doubt, never repeated. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from drivers.modbus.bus import Bus, Outcome
from drivers.modbus.wire import Request
from sim.modbus import plain_slaves
from sim.modbus_port import opener
from sim.modbus_slave import Fault, Line, Slave
from tests.modbus_site import PortSettings, run_virtual

TIMEOUT_S = 0.5


def bus_on(slave: Slave, echo: bool = False) -> Bus:
    line = Line([slave], baud=9600, echo=echo)
    return Bus(PortSettings("serial:/dev/simulated"), opener({"bus": line}), is_rtu=True)


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("write", [Request(1, 6, 3, 1, (42,)), Request(1, 16, 3, 2, (4, 5)), Request(1, 5, 3, 1, (1,))])
def test_a_write_is_done_once_whatever_the_adapter_echoes(echo: bool, warm: bool, write: Request) -> None:
    slave = plain_slaves([1], 10)[0]
    slave.put("coil", 0, [0] * 10)

    async def main() -> Outcome:
        bus = bus_on(slave, echo)
        if warm:
            await bus.ask(Request(1, 3, 0, 1), TIMEOUT_S)
        return (await bus.write(write, TIMEOUT_S)).outcome

    assert run_virtual(main()) is Outcome.DONE
    assert slave.writes == 1


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("warm", [True, False])
def test_an_echo_alone_confirms_no_write(echo: bool, warm: bool) -> None:
    slave = plain_slaves([1], 10)[0]

    async def main() -> Outcome:
        bus = bus_on(slave, echo)
        if warm:
            await bus.ask(Request(1, 3, 0, 1), TIMEOUT_S)
        slave.unit = 2
        slave.faults.append(Fault("silence"))
        return (await bus.write(Request(1, 6, 3, 1, (42,)), TIMEOUT_S)).outcome

    assert run_virtual(main()) is Outcome.UNKNOWN


def test_a_write_without_confirmation_is_read_back_and_never_repeated() -> None:
    slave = plain_slaves([1], 10)[0]

    async def main(fault: Fault, number: int) -> Outcome:
        bus = bus_on(slave)
        await bus.ask(Request(1, 3, 0, 1), TIMEOUT_S)
        slave.faults = [fault]
        return (await bus.write(Request(1, 6, 3, 1, (number,)), TIMEOUT_S)).outcome

    assert run_virtual(main(Fault("crc", times=1), 77)) is Outcome.DONE
    assert run_virtual(main(Fault("late", value=0.8, times=1), 78)) is Outcome.DONE
    assert run_virtual(main(Fault("exception", value=4, times=1), 79)) is Outcome.NOT_DONE
    assert run_virtual(main(Fault("silence"), 80)) is Outcome.UNKNOWN
    assert slave.writes == 3
    assert slave.holding[3] == 80  # the last was done, though nobody could know


def test_a_write_that_did_not_take_is_said() -> None:
    slave = plain_slaves([1], 10)[0]

    async def main() -> Outcome:
        bus = bus_on(slave)
        await bus.ask(Request(1, 3, 0, 1), TIMEOUT_S)
        slave.faults = [Fault("crc", times=1)]
        asyncio.get_running_loop().call_later(0.3, slave.put, "holding", 3, [1003])  # it falls back by itself
        return (await bus.write(Request(1, 6, 3, 1, (77,)), TIMEOUT_S)).outcome

    assert run_virtual(main()) is Outcome.NOT_DONE
