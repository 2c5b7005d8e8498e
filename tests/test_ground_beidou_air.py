"""The province's Beidou side with a terminal and a satellite, in virtual time: how receipts fare on the air."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.beidou import wire
from drivers.beidou.wire import Dialect, Outcome, Stream
from edge.wire import packet as packets
from sim.beidou.card import Card, commanding
from sim.beidou.port import Plugs
from sim.beidou.satellite import Air, Satellite
from sim.beidou.shell import run_station
from sim.beidou.station import Station
from sim.beidou.terminal import Terminal
from sim.beidou.trouble import Trouble
from sim.virtual import run
from tests.ground_desk import CARD, PROVINCE, Gateway, known, open_desk
from tests.test_ground_province import T0_MS


@dataclass(frozen=True)
class Settings:
    id: str
    open: str = "serial:/dev/simulated"
    baud: int = 115_200
    parity: str = "N"
    stop_bits: int = 1
    data_bits: int = 8


class World:
    """A site's terminal, spoken to directly, and the province with its own, in memory."""

    def __init__(
        self,
        dialect: Dialect,
        db: Path | str = ":memory:",
        *,
        period_s: float = 1.0,
        loss: float = 0.0,
        trouble: Trouble | None = None,
    ) -> None:
        self.gateway = Gateway()
        self.lines: list[str] = []
        self.desk = known(self.gateway, open_desk(db, self.lines))
        self.site = Terminal(Dialect.TEXT21, Card(CARD), reports={})
        self.province = Terminal(dialect, commanding(PROVINCE, period_s), trouble=trouble, reports={"GGA": 60})
        self.satellite = Satellite(3, loss=loss)
        self.plugs = Plugs(Air(self.satellite, {"site": self.site, "province": self.province}))
        self.station = Station(self.desk, self.lines.append)
        self.receipts: list[packets.Receipt] = []

    def utc_ms(self) -> int:
        return T0_MS + int(asyncio.get_running_loop().time() * 1000)

    async def live(self, story: Callable[[World], object]) -> None:
        station = asyncio.create_task(
            run_station(
                self.station, lambda: self.plugs.open_port(Settings("province")), self.utc_ms, self.lines.append
            )
        )
        self.site_port = await self.plugs.open_port(Settings("site"))
        hearing = asyncio.create_task(self._hear())
        result = story(self)
        assert asyncio.iscoroutine(result)
        await result
        for task in (station, hearing):
            task.cancel()

    async def send(self, packet: bytes, form: wire.Form = wire.Form.MIXED) -> None:
        await self.site_port.write(wire.build(wire.Send(Dialect.TEXT21, PROVINCE, packet, form)))

    async def _hear(self) -> None:
        stream = Stream()
        while True:
            for heard in stream.feed(await self.site_port.read()):
                if isinstance(heard, wire.Message):
                    self.receipts.append(self.gateway.receipt(heard.content))


@pytest.mark.parametrize("dialect", list(Dialect))
def test_an_alarm_is_answered_in_some_seconds_whatever_the_terminal_speaks(dialect: Dialect) -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(30)
        await world.send(world.gateway.alarm(2))
        await asyncio.sleep(22)  # twice the satellite's 8 s, the card's second, two feedbacks
        assert [receipt.ranges for receipt in world.receipts] == [((1, 2),)]

    world = World(dialect)
    world.satellite.reorder = 0
    run(world.live(story))
    assert world.province.over_rate == 0
    assert world.station.card is not None
    assert world.station.card.dialect is dialect


def test_packets_sent_as_code_are_taken_and_other_messages_are_not() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(30)
        for packet, form in (
            (world.gateway.test(), wire.Form.CODE),
            (b"HELLO", wire.Form.TEXT),
            (b"\xfb1", wire.Form.MIXED),
        ):
            await world.send(packet, form)
            await asyncio.sleep(62)

    world = World(Dialect.TEXT21)
    world.satellite.duplicate = 0
    run(world.live(story))
    assert (world.desk.counts["arrived"], world.station.counts["foreign"], len(world.receipts)) == (1, 2, 1)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_day_costs_one_receipt_in_twelve_packets_and_all_are_answered(dialect: Dialect, tmp_path: Path) -> None:
    """5 % lost each way, doubled, late; the province's terminal answers late or never, resets, loses its beams."""
    trouble = Trouble(9, no_feedback=0.1, late=0.1, twice=0.1, reset=0.05, slow=0.05, noise=0.02, fade_every_s=7200)
    count = 600

    async def story(world: World) -> None:
        await asyncio.sleep(30)
        for seq in range(2, count):
            await world.send(world.gateway.round(seq))
            await asyncio.sleep(62)
        world.satellite.loss = 0
        trouble.clear()
        await asyncio.sleep(200)
        await world.send(world.gateway.test())
        await asyncio.sleep(200)

    world = World(dialect, tmp_path / "p.db", period_s=5.0, loss=0.05, trouble=trouble)
    run(world.live(story))
    world.desk.province.close()
    with sqlite3.connect(tmp_path / "p.db") as db:
        stored = {seq for (seq,) in db.execute("SELECT seq FROM entries")}
    uplink = len(world.site.radiated)
    assert world.site.over_rate == world.province.over_rate == 0
    assert world.province.resets > 0
    assert len(world.province.radiated) <= uplink / 10
    last = world.receipts[-1]
    arrived = world.desk.counts["arrived"]
    assert 0.9 * uplink < arrived
    told = {seq for receipt in world.receipts for low, high in receipt.ranges for seq in range(low, high + 1)}
    assert last.echo == world.gateway.counter
    assert told == stored


def test_receipts_of_many_gateways_keep_the_period_of_the_one_card() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(100)
        for number in range(20):
            world.desk.arrived(CARD, world.gateway.test(), world.utc_ms())
            await asyncio.sleep(random.Random(number).uniform(0, 50))
        await asyncio.sleep(3600)
        sent_s = [message.radiated_s for message in world.province.radiated]
        assert len(sent_s) >= 5
        assert all(later - earlier >= 60 for earlier, later in pairwise(sent_s))

    world = World(Dialect.TEXT21, period_s=60.0)
    run(world.live(story))
    assert world.province.over_rate == 0


def test_feedback_that_comes_late_is_not_taken_for_the_next_message_s() -> None:
    """Every FKI late or lost, every burst slow: what could make a host send again too early."""

    async def story(world: World) -> None:
        await asyncio.sleep(30)
        for _ in range(300):
            world.desk.arrived(CARD, world.gateway.test(), world.utc_ms())
            await asyncio.sleep(29)

    trouble = Trouble(4, late=0.5, no_feedback=0.2, slow=0.5, twice=0.3)
    world = World(Dialect.TEXT21, period_s=5.0, trouble=trouble)
    run(world.live(story))
    assert world.province.over_rate == 0
    assert world.station.counts["unknown"] > 50
    assert len(world.receipts) > 100


def test_a_commanding_card_that_takes_less_than_anybody_says_gets_smaller_receipts() -> None:
    async def story(world: World) -> None:
        world.province.tells_bits = False
        assert world.province.card is not None
        world.province.card.bits = 408
        await asyncio.sleep(30)
        for seq in range(1000, 20_000, 1000):
            world.desk.arrived(CARD, world.gateway.alarm(seq), world.utc_ms())
        await asyncio.sleep(120)
        assert world.province.radiated == [], "the receipt was too large"
        world.desk.arrived(CARD, world.gateway.test(), world.utc_ms())
        await asyncio.sleep(60)
        assert len(world.receipts) == 1

    world = World(Dialect.BDS3)
    world.satellite.reorder = 0
    run(world.live(story))
    assert sum("50 bytes" in line for line in world.lines) == 1


def test_a_terminal_that_may_not_send_is_said_once_and_tried_on() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(30)
        world.province.inhibited = True
        for _ in range(5):
            world.desk.arrived(CARD, world.gateway.test(), world.utc_ms())
            await asyncio.sleep(100)
        assert world.receipts == []
        world.province.inhibited = False
        world.desk.arrived(CARD, world.gateway.test(), world.utc_ms())
        await asyncio.sleep(120)
        assert len(world.receipts) >= 1

    world = World(Dialect.BDS3)
    world.satellite.reorder = 0
    run(world.live(story))
    assert sum("does not send" in line for line in world.lines) == 1
    assert [request.outcome for request in world.province.requests][-1] is Outcome.SENT


def test_a_pulled_plug_and_a_pulled_card_are_waited_for() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(30)
        world.plugs.unplug("province")
        card, world.province.card = world.province.card, None
        await asyncio.sleep(30)
        world.plugs.plug("province")
        await asyncio.sleep(60)
        world.province.card = card
        await asyncio.sleep(60)
        world.desk.arrived(CARD, world.gateway.test(), world.utc_ms())
        await asyncio.sleep(60)
        assert len(world.receipts) == 1

    world = World(Dialect.BINARY40)
    world.satellite.reorder = 0
    run(world.live(story))
    assert sum("without a card" in line for line in world.lines) == 1
    assert sum("does not exist" in line for line in world.lines) == 1
