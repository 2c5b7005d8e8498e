"""The province's Beidou side: which receipt goes when, through a card that sends one message a period."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.beidou import wire
from drivers.beidou.wire import Dialect, Outcome, Stream
from edge.contract import Kind
from edge.wire import packet as packets
from edge.wire.seal import Direction, Opened, open_packet, seal
from edge.wire.sheet import Sheet
from sim.beidou.card import Card, commanding
from sim.beidou.port import Plugs
from sim.beidou.satellite import Air, Satellite
from sim.beidou.shell import run_station
from sim.beidou.station import Station
from sim.beidou.terminal import Terminal
from sim.beidou.trouble import Trouble
from sim.ground_beidou import RECEIPT_AGE_MS, RECEIPT_EVERY, URGENT_APART_MS, BeidouDesk, parse_card
from sim.province import Province
from sim.virtual import run
from tests.test_ground_province import ALARM, EPOCH, MINUTE_MS, ROOT, T0_MS, make_sheet

CARD, OTHER_CARD, PROVINCE = 1207733, 1207734, 1595001
GW, OTHER = "gw-1", "gw-2"
ROOM = 77


class Gateway:
    """Makes short-form packets, and reads receipts."""

    def __init__(self, name: str = GW) -> None:
        self.name = name
        self.sheet: Sheet = replace(make_sheet(), gateway=name)
        self.counter = 0

    def pack(self, body: bytes, *, sheet: bool = True, long: bool = False) -> bytes:
        self.counter += 1
        named = self.sheet if sheet else None
        return seal(ROOT, self.name, EPOCH, Direction.UP, self.counter, named, body, long=long)

    def sheet_packet(self) -> bytes:
        return self.pack(packets.encode_sheet(1, self.sheet), sheet=False, long=True)

    def round(self, seq: int) -> bytes:
        rows = [packets.RoundRow(seq, T0_MS + seq * MINUTE_MS, (seq, 7))]
        return self.pack(packets.pack_rounds(self.sheet, 0, rows, 60)[0])

    def alarm(self, seq: int) -> bytes:
        return self.pack(packets.encode_alarms(self.sheet, [(seq, ALARM)]))

    def test(self) -> bytes:
        return self.pack(bytes([Kind.TEST]), sheet=False)

    def receipt(self, packet: bytes) -> packets.Receipt:
        opened = open_packet(packet, ROOT, self.name, Direction.DOWN, {})
        assert isinstance(opened, Opened)
        body = packets.decode(opened.body, None)
        assert isinstance(body, packets.Receipt)
        return body


def open_desk(db: Path | str = ":memory:", lines: list[str] | None = None) -> BeidouDesk:
    said = lines if lines is not None else []
    province = Province(db, {GW: ROOT, OTHER: ROOT}.get, said.append, durable=False)
    return BeidouDesk(province, {CARD: GW, OTHER_CARD: OTHER}, said.append)


def known(gateway: Gateway, desk: BeidouDesk | None = None) -> BeidouDesk:
    """A desk whose province has had this gateway's sheet, entry 1, over another link."""
    desk = desk or open_desk()
    assert len(desk.province.receive(gateway.name, gateway.sheet_packet(), T0_MS)) == 1
    return desk


def test_an_alarm_and_a_test_are_answered_at_the_next_free_moment() -> None:
    gateway = Gateway()
    desk = known(gateway)
    for at_ms in (T0_MS, T0_MS + URGENT_APART_MS):
        assert desk.next_message(at_ms, ROOM) is None
        desk.arrived(CARD, gateway.alarm(2) if at_ms == T0_MS else gateway.test(), at_ms + 500)
        message = desk.next_message(at_ms + 2500, ROOM)
        assert message is not None
        receipt = gateway.receipt(message[1])
        assert (receipt.echo, receipt.held_ms, receipt.time_ms) == (gateway.counter, 2000, at_ms + 2500)
    assert desk.next_message(T0_MS + URGENT_APART_MS + 9999, ROOM) is None


def test_alarms_that_follow_each_other_closely_are_answered_together() -> None:
    gateway = Gateway()
    desk = known(gateway)
    answers = []
    for second in range(0, 60, 2):
        desk.arrived(CARD, gateway.alarm(2 + second), T0_MS + second * 1000)
        message = desk.next_message(T0_MS + second * 1000, ROOM)
        answers += [second] if message is not None else []
    assert answers == [0, 20, 40]


def test_other_packets_are_answered_twelve_at_a_time_or_after_twelve_minutes() -> None:
    gateway = Gateway()
    desk = known(gateway)
    for seq in range(2, 2 + RECEIPT_EVERY):
        assert desk.next_message(T0_MS, ROOM) is None
        desk.arrived(CARD, gateway.round(seq), T0_MS)
    message = desk.next_message(T0_MS, ROOM)
    assert message is not None
    assert len(message[1]) <= ROOM
    assert gateway.receipt(message[1]).ranges == ((1, 1 + RECEIPT_EVERY),)
    desk.arrived(CARD, gateway.round(50), T0_MS)
    assert desk.next_message(T0_MS + RECEIPT_AGE_MS - 1, ROOM) is None
    message = desk.next_message(T0_MS + RECEIPT_AGE_MS, ROOM)
    assert message is not None
    assert (50, 50) in gateway.receipt(message[1]).ranges


def test_who_has_told_an_alarm_goes_before_who_has_waited_longer() -> None:
    first, second = Gateway(), Gateway(OTHER)
    desk = known(second, known(first))
    for seq in range(2, 20):
        desk.arrived(CARD, first.round(seq), T0_MS)
    desk.arrived(OTHER_CARD, second.alarm(2), T0_MS + 1000)
    order = [desk.next_message(T0_MS + 2000, ROOM) for _ in range(3)]
    assert [message and message[0] for message in order] == [OTHER_CARD, CARD, None]


def test_whoever_has_waited_long_enough_takes_turns_with_those_who_tell_alarms() -> None:
    """Alarms of one gateway fill a slow commanding card, another gateway only has rounds."""
    loud, quiet = Gateway(), Gateway(OTHER)
    desk = known(quiet, known(loud))
    order = []
    for minute in range(40):
        now_ms = T0_MS + minute * MINUTE_MS
        desk.arrived(CARD, loud.alarm(2 + minute), now_ms)
        if minute < 3:
            desk.arrived(OTHER_CARD, quiet.round(2 + minute), now_ms)
        message = desk.next_message(now_ms, ROOM)
        assert message is not None
        order.append(message[0])
    assert order.index(OTHER_CARD) * MINUTE_MS == RECEIPT_AGE_MS
    assert order.count(OTHER_CARD) == 1


def test_a_commanding_card_too_small_for_any_receipt_is_said_once() -> None:
    lines: list[str] = []
    gateway = Gateway()
    desk = known(gateway, open_desk(lines=lines))
    for minute in range(10):
        desk.arrived(CARD, gateway.alarm(2 + minute), T0_MS + minute * MINUTE_MS)
        assert desk.next_message(T0_MS + minute * MINUTE_MS, 12) is None
    assert sum("level 3" in line for line in lines) == 1
    desk.arrived(CARD, gateway.alarm(20), T0_MS + 20 * MINUTE_MS)
    assert desk.next_message(T0_MS + 20 * MINUTE_MS, 50) is not None


def test_a_lost_receipt_is_made_good_by_the_next() -> None:
    gateway = Gateway()
    desk = known(gateway)
    for at_ms, seq in ((T0_MS, 2), (T0_MS + URGENT_APART_MS, 3), (T0_MS + 2 * URGENT_APART_MS, 10)):
        desk.arrived(CARD, gateway.alarm(seq), at_ms)
        message = desk.next_message(at_ms, ROOM)  # the first two are lost on their way
    assert message is not None
    receipt = gateway.receipt(message[1])
    assert set(receipt.ranges) == {(1, 3), (10, 10)}
    assert [receipt.missing(counter) for counter in (1, 2, 3)] == [False, False, False]


def test_what_does_not_fit_into_a_receipt_follows_in_the_next() -> None:
    gateway = Gateway()
    desk = known(gateway)
    seqs = range(1000, 31_000, 1000)
    for seq in seqs:
        desk.arrived(CARD, gateway.alarm(seq), T0_MS)
    told, now_ms = set[int](), T0_MS
    while (message := desk.next_message(now_ms, ROOM)) is not None:
        assert len(message[1]) <= ROOM
        told |= {low for low, _ in gateway.receipt(message[1]).ranges}
        now_ms += RECEIPT_AGE_MS
    assert told >= set(seqs)
    assert desk.counts["receipts"] >= 2


def test_what_comes_twice_is_not_answered_twice() -> None:
    gateway = Gateway()
    desk = known(gateway)
    packet = gateway.alarm(2)
    desk.arrived(CARD, packet, T0_MS)
    assert desk.next_message(T0_MS, ROOM) is not None
    desk.arrived(CARD, packet, T0_MS)
    assert desk.next_message(T0_MS + RECEIPT_AGE_MS, ROOM) is None


def test_a_missing_sheet_is_asked_for_at_once() -> None:
    gateway, desk = Gateway(), open_desk()
    desk.arrived(CARD, gateway.pack(packets.pack_rounds(gateway.sheet, 0, [ROW], 60)[0], long=True), T0_MS)
    message = desk.next_message(T0_MS, ROOM)
    assert message is not None
    assert gateway.receipt(message[1]).need_sheets == (gateway.sheet.short,)


ROW = packets.RoundRow(2, T0_MS, (1, 2))


def test_strangers_and_noise_are_counted_and_not_answered() -> None:
    lines: list[str] = []
    gateway, desk = Gateway(), open_desk(lines=lines)
    for _ in range(3):
        desk.arrived(4207733, gateway.test(), T0_MS)
    desk.arrived(CARD, b"\x40" * 30, T0_MS)
    desk.arrived(OTHER_CARD, gateway.alarm(2), T0_MS)  # another gateway's packet: does not open with this one's key
    assert (desk.counts["stranger"], desk.counts["noise"], desk.counts["arrived"]) == (3, 2, 0)
    assert sum("--beidou-card 4207733=ID" in line for line in lines) == 1
    assert desk.next_message(T0_MS + RECEIPT_AGE_MS, ROOM) is None


def test_a_card_of_the_command_line() -> None:
    assert parse_card("04207733=tailings-pond-3") == (4207733, "tailings-pond-3")
    assert parse_card("15950001=tailings-pond-3") == (15950001, "tailings-pond-3"), "BDS-3"
    for wrong in ("4207733", "x=pond", "=pond", "0=pond", "123456789=pond", "4207733=Pond", "4207733=", "²=pond"):
        with pytest.raises(ValueError):
            parse_card(wrong)


# -- with a terminal and a satellite, in virtual time


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


def test_packets_are_marked_with_their_link(tmp_path: Path) -> None:
    gateway, desk = Gateway(), open_desk(tmp_path / "p.db")
    known(gateway, desk).arrived(CARD, gateway.alarm(2), T0_MS)
    desk.province.close()
    with sqlite3.connect(tmp_path / "p.db") as db:
        assert db.execute("SELECT link, kind FROM packets").fetchall() == [(None, Kind.SHEET), ("beidou", Kind.ALARM)]
