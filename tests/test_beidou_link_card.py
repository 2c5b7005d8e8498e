"""The Beidou link and its card: pulled out, put back, exchanged for another, and what it lets through."""

from __future__ import annotations

import asyncio

import pytest

from drivers.beidou.wire import Dialect, Form
from edge.contract import Sent
from sim.beidou.card import Card
from sim.beidou.traffic import Message
from sim.virtual import run
from tests.beidou_rig import CARD, PACKET, PROVINCE, each_dialect, now, site


@each_dialect
def test_a_card_pulled_out_and_put_back(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        assert await here.send() is Sent.SENT
        card, here.terminal.card = here.terminal.card, None
        await here.until(lambda: here.state.up is False, 40.0)
        assert "no card" in here.state.why
        assert "no card" in here.state.trouble
        here.terminal.card = card
        await here.until(lambda: here.state.up is True, 15.0)
        assert here.state.trouble == ""
        assert await here.send() is Sent.SENT
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_a_card_pulled_out_since_the_last_look_is_learnt_from_the_refusal() -> None:
    async def story() -> None:
        here = site(Dialect.BDS3)
        here.start()
        await here.up()
        await here.ready()
        here.terminal.card = None
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        assert here.state.up is False
        assert "no card" in here.state.trouble
        await here.stop()

    run(story())


def test_another_card_is_said_and_its_own_slot_is_waited_for() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        assert await here.send() is Sent.SENT
        other = Card(123_456, period_s=120.0)
        other.free_s = now() + 110.0
        here.terminal.card = other
        await here.until(lambda: "123456" in here.state.trouble, 60.0)
        assert str(CARD) in here.state.trouble
        assert here.state.up is True
        assert here.state.slot_s == 120.0
        assert await here.send() is Sent.SENT
        assert here.terminal.over_rate == 0
        for sender, first in ((PROVINCE + 1, b"\x42"), (PROVINCE, b"\x3f")):
            here.terminal.hear(Message(sender, 123_456, first + bytes(20), Form.MIXED, now()), now())
        here.touch()
        await asyncio.sleep(5.0)
        assert str(CARD) in here.state.trouble, "a stranger's message, or no packet, is no word of the province"
        here.terminal.hear(Message(PROVINCE, 123_456, b"\x42" + bytes(20), Form.MIXED, now()), now())
        here.touch()
        await here.until(lambda: here.state.trouble == "", 5.0)  # the province has answered this card
        await here.stop()

    run(story())


def test_another_card_is_noticed_after_a_restart_too() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        await here.until(lambda: here.memory.saves > 0)
        await here.stop()
        here.terminal.card = Card(123_456)
        here.start()
        await here.up()
        assert "123456" in here.state.trouble
        await here.stop()

    run(story())


@pytest.mark.parametrize(
    ("level", "encrypted", "mtu_bytes"),
    [(1, False, 12), (2, False, 50), (3, False, 77), (4, False, 105), (4, True, 209)],
)
def test_level_decides_what_fits(level: int, encrypted: bool, mtu_bytes: int) -> None:
    async def story() -> None:
        here = site(card=Card(CARD, level=level, encrypted=encrypted))
        here.start()
        await here.until(lambda: here.state.mtu_bytes == mtu_bytes)
        if level == 1:
            await asyncio.sleep(200.0)
            assert here.state.up is False
            assert "level 3" in here.state.trouble
            assert "110 bit" in here.state.why
            assert await here.link.send(b"\x41" * 12) is Sent.NOT_SENT
            assert here.terminal.requests == []
        else:
            assert await here.send(b"\x41" * mtu_bytes) is Sent.SENT
        await here.stop()

    run(story())


def test_a_bds3_card_takes_what_the_terminal_says() -> None:
    async def story() -> None:
        here = site(Dialect.BDS3, Card(CARD, bits=1835))
        here.start()
        await here.until(lambda: here.state.mtu_bytes == 228)
        assert await here.send(b"\x41" * 228) is Sent.SENT
        await here.stop()

    run(story())


def test_a_province_that_the_dialect_cannot_address_is_said() -> None:
    async def story() -> None:
        from drivers.beidou.settings import BeidouLink

        here = site(Dialect.BINARY40, settings=BeidouLink(province=15_950_001))
        here.start()
        await here.until(lambda: "15950001" in here.state.trouble)
        assert here.state.up is False
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        await here.stop()

    run(story())
