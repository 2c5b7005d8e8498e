"""The simulated satellite and the line to the terminal are honest: losses as said, bytes take their time."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

import pytest

from drivers.beidou import wire
from drivers.beidou.wire import Dialect, Stream
from edge.errors import PortLost
from sim.beidou.card import Card
from sim.beidou.port import Plugs
from sim.beidou.satellite import Air, Satellite
from sim.beidou.terminal import Terminal
from sim.beidou.traffic import Message
from sim.beidou.uart import as_heard
from sim.virtual import run
from tests.beidou_host import PROVINCE, SITE


@dataclass
class Flown:
    sent: int
    arrived: list[int]
    delays_s: list[float]


def fly(satellite: Satellite, count: int, every_s: float) -> Flown:
    down: list[tuple[float, Message]] = []
    for number in range(count):
        now_s = number * every_s
        while satellite.wake_s() <= now_s:
            at_s = satellite.wake_s()
            down += [(at_s, message) for message in satellite.due(at_s)]
        content = number.to_bytes(4, "big")
        satellite.carry(Message(SITE, PROVINCE, content, wire.Form.MIXED, now_s), now_s)
    while satellite.wake_s() < math.inf:
        at_s = satellite.wake_s()
        down += [(at_s, message) for message in satellite.due(at_s)]
    numbers = [int.from_bytes(message.content, "big") for _, message in down]
    return Flown(count, numbers, [at_s - message.radiated_s for at_s, message in down])


def test_the_satellite_loses_doubles_and_reorders_as_often_as_it_says() -> None:
    flown = fly(Satellite(11, loss=0.05, duplicate=0.01, reorder=0.02), 20_000, 60.0)
    arrived = set(flown.arrived)
    assert 0.044 < 1 - len(arrived) / flown.sent < 0.056
    assert 0.007 < (len(flown.arrived) - len(arrived)) / flown.sent < 0.013
    overtaken = sum(later < earlier for earlier, later in zip(flown.arrived, flown.arrived[1:], strict=False))
    assert 0.005 < overtaken / flown.sent < 0.03
    usual = sorted(flown.delays_s)[: int(0.97 * len(flown.delays_s))]
    assert usual[0] >= 2
    assert usual[-1] <= 8
    assert fly(Satellite(11), 500, 60.0) == fly(Satellite(11), 500, 60.0)  # the seed decides all


def test_without_trouble_all_arrives_once_and_in_order() -> None:
    flown = fly(Satellite(2, loss=0, duplicate=0, reorder=0), 2000, 60.0)
    assert flown.arrived == list(range(2000))


def test_a_wrong_baud_rate_is_never_read_as_the_right_one() -> None:
    said = wire.build_report(wire.Card(Dialect.TEXT21, SITE, 0, 60, 3, 3)) * 3
    rates = (115_200, 19_200, 9600, 38_400, 57_600, 4800)
    for sent in rates:
        for heard in rates:
            values = [*(stream := Stream()).feed(as_heard(said, sent, heard)), *stream.flush()]
            good = [value for value in values if not isinstance(value, wire.Noise)]
            assert len(good) == (3 if sent == heard else 0)
            assert sent == heard or len(as_heard(said, sent, heard)) <= len(said) * max(heard / sent, 1)


# -- ports in memory


@dataclass(frozen=True)
class Settings:
    id: str = "site"
    open: str = "serial:/dev/simulated"
    baud: int = 115_200
    parity: str = "N"
    stop_bits: int = 1
    data_bits: int = 8


def site() -> Plugs:
    return Plugs(Air(Satellite(1, loss=0), {"site": Terminal(Dialect.BDS3, Card(SITE), reports={}, baud=9600)}))


def test_a_port_in_memory_answers_after_the_time_on_the_wire_and_only_at_its_rate() -> None:
    async def ask(baud: int) -> tuple[list[wire.Heard], float]:
        port = await site().open_port(Settings(baud=baud))
        await port.write(wire.build(wire.QueryCard(Dialect.BDS3)))
        try:
            async with asyncio.timeout(5):
                return Stream().feed(await port.read()), asyncio.get_running_loop().time()
        except TimeoutError:
            return [], 5.0

    heard, took_s = run(ask(9600))
    assert isinstance(heard[0], wire.Card)
    assert 0.05 < took_s < 0.15  # some 70 characters
    assert run(ask(19_200))[0] == []


def test_a_line_too_slow_for_what_is_said_loses_some_and_holds_little() -> None:
    async def story() -> int:
        terminal = Terminal(Dialect.BDS3, Card(SITE), baud=1200)  # some 200 bytes a second, 120 go
        port = await Plugs(Air(Satellite(1), {"site": terminal})).open_port(Settings(baud=1200))
        stream, count = Stream(), 0
        while asyncio.get_running_loop().time() < 500:
            count += len(stream.feed(await port.read()))
        return count

    assert 300 < run(story()) < 1100


def test_an_unplugged_port_is_lost_until_it_is_plugged_in() -> None:
    async def story() -> None:
        plugs = site()
        port = await plugs.open_port(Settings())
        with pytest.raises(PortLost, match="in use"):
            await plugs.open_port(Settings())
        reading = asyncio.ensure_future(port.read())
        await asyncio.sleep(1)
        plugs.unplug("site")
        with pytest.raises(PortLost):
            await reading
        with pytest.raises(PortLost):
            await plugs.open_port(Settings())
        plugs.plug("site")
        (await plugs.open_port(Settings())).close()
        with pytest.raises(PortLost):
            await plugs.open_port(Settings(id="other"))

    run(story())
