"""How large a message may be where nobody says it, or says it wrong: learnt from refusals, remembered for the card."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from drivers.beidou.settings import BeidouLink
from drivers.beidou.size import AGAIN_S, ENOUGH, TRIAL_S, SizeLimit
from drivers.beidou.wire import SIZES_BITS, BitLimit, Dialect, build_report, mixed_bytes
from edge.contract import Sent
from sim.beidou.card import Card
from sim.beidou.voice import _LOCKED
from sim.virtual import run
from tests.beidou_rig import CARD, PROVINCE, Site, now, site
from tests.beidou_world import World, play


def refuse(size: SizeLimit, packet_bytes: int, times: int = ENOUGH, now_s: float = 0.0) -> list[bool]:
    return [size.refused(packet_bytes, now_s) for _ in range(times)]


def test_three_refusals_of_a_size_make_the_next_smaller_one_be_tried() -> None:
    size = SizeLimit()
    refuse(size, 105)
    assert size.bits == 628
    assert refuse(size, 77) == [False, False, True]
    assert (size.bits, size.known) == (408, None), "not known before one has gone out"
    size.sent(50, 0.0)
    assert (size.bits, size.known) == (408, 408)


def test_if_smaller_ones_are_refused_as_well_the_size_was_not_the_reason() -> None:
    size = SizeLimit()
    refuse(size, 77)
    assert refuse(size, 50) == [False] * ENOUGH
    assert (size.bits, size.known) == (None, None)
    assert refuse(size, 77) == [False, False, True], "and it goes on like that: it never ends in silence"


def test_a_trial_for_which_there_is_no_packet_ends() -> None:
    size = SizeLimit()
    refuse(size, 77)
    size.passes(TRIAL_S - 1)
    assert size.bits == 408
    size.passes(TRIAL_S)
    assert size.bits is None


def test_refusals_of_which_the_size_is_not_the_reason_teach_nothing() -> None:
    size = SizeLimit()
    for _ in range(20):
        refuse(size, 77, ENOUGH - 1)
        size.sent(77, 0.0)
    assert size.bits is None


def test_small_packets_that_go_out_between_large_ones_that_do_not_say_the_same() -> None:
    size = SizeLimit()
    taught = []
    for _ in range(ENOUGH):
        size.sent(30, 0.0)
        taught += refuse(size, 77, 1)
    assert taught == [False, False, True]


def test_what_is_known_is_tried_once_more_each_hour() -> None:
    size = SizeLimit(408, 0.0)
    size.passes(AGAIN_S - 1)
    assert size.bits == 408
    size.passes(AGAIN_S)
    assert size.bits == 628
    assert size.refused(60, AGAIN_S) is True
    assert (size.bits, size.known) == (408, 408), "one refusal is enough then"
    size.passes(2 * AGAIN_S)
    size.sent(50, 2 * AGAIN_S)
    assert size.known == 408, "a packet that always fitted shows nothing"
    size.sent(77, 2 * AGAIN_S)
    assert size.known == 628
    size.passes(3 * AGAIN_S)
    size.sent(89, 3 * AGAIN_S)
    assert size.bits is None
    assert size.trouble(720) == ""


def bds3(bits: int, **more: Any) -> Site:
    here = site(Dialect.BDS3, Card(CARD, bits=bits), **more)
    here.terminal.tells_bits = False
    return here


async def fill(here: Site) -> Sent:
    """As the relay with a backlog does."""
    await here.ready()
    return await here.link.send(b"\x41" * here.state.mtu_bytes)


@pytest.mark.parametrize(("bits", "mtu_bytes"), [(720, 77), (628, 77), (408, 50)])
def test_a_bds3_card_of_which_nothing_is_told(bits: int, mtu_bytes: int) -> None:
    async def story() -> None:
        here = bds3(bits)
        here.start()
        await here.ready()
        began_s = now()
        while await fill(here) is not Sent.SENT:
            pass
        assert now() - began_s < 150.0
        assert here.state.mtu_bytes == mtu_bytes
        assert ("limit_bits" in here.state.trouble) is (bits < 628)
        assert here.terminal.over_rate == 0
        await asyncio.sleep(2.0)
        await here.stop()
        here.start()
        await here.up()
        assert here.state.mtu_bytes == mtu_bytes, "remembered"
        assert await fill(here) is Sent.SENT
        await here.stop()
        here.terminal.card = Card(123_456)
        here.start()
        await here.up()
        assert here.state.mtu_bytes == 77, "of another card nothing is known"
        await here.stop()

    run(story())


@pytest.mark.parametrize("dialect", [Dialect.TEXT21, Dialect.BINARY40])
@pytest.mark.parametrize(("level", "mtu_bytes"), [(2, 50), (3, 77), (4, 105)])
def test_a_limit_above_the_level_of_the_card_is_not_tried_and_is_said(
    dialect: Dialect, level: int, mtu_bytes: int
) -> None:
    async def story() -> None:
        here = site(dialect, Card(CARD, level=level), settings=BeidouLink(province=PROVINCE, limit_bits=1835))
        here.start()
        await here.up()
        assert here.state.mtu_bytes == mtu_bytes
        assert f"limit_bits = 1835 is more than card {CARD} (level {level}) takes" in here.state.trouble
        assert await fill(here) is Sent.SENT, "the first one already"
        assert here.link.health()["refused"] == 0
        await here.stop()
        here.settings = BeidouLink(province=PROVINCE, limit_bits=360)
        here.start()
        await here.up()
        assert (here.state.mtu_bytes, here.state.trouble) == (44, ""), "less is what the contract says"
        await here.stop()

    run(story())


def test_the_site_file_ends_the_trouble() -> None:
    async def story() -> None:
        here = bds3(408, settings=BeidouLink(province=PROVINCE, limit_bits=720))
        here.start()
        while await fill(here) is not Sent.SENT:
            pass
        assert "limit_bits = 408" in here.state.trouble
        await asyncio.sleep(2.0)
        await here.stop()
        here.settings = BeidouLink(province=PROVINCE, limit_bits=408)
        here.start()
        await here.up()
        assert (here.state.mtu_bytes, here.state.trouble) == (50, "")
        await here.stop()

    run(story())


def test_refusals_under_weak_beams_say_nothing_of_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """2.1 has no word for "no signal": such a refusal comes without a reason."""
    monkeypatch.setitem(_LOCKED, Dialect.TEXT21, 2.0)

    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        here.terminal.sky.beams = {2: 1.0}
        await here.until(lambda: here.state.up is None, 30.0)
        for _ in range(8):
            assert await fill(here) is Sent.NOT_SENT
        assert here.state.mtu_bytes == 77
        assert "no beam is locked" in here.state.trouble
        await here.stop()

    run(story())


@pytest.mark.parametrize("bits", [0, 100, 167, 14_001, 99_999_999])
def test_a_limit_that_no_card_has_is_not_believed(bits: int) -> None:
    async def story() -> None:
        here = bds3(628)
        here.start()
        await here.up()
        here.terminal._say(build_report(BitLimit(CARD, bits, 60.0, 3, 100, (0.0,) * 21)), now())
        here.touch()
        await asyncio.sleep(2.0)
        assert (here.state.up, here.state.mtu_bytes) == (True, 77)
        await here.stop()

    run(story())


@pytest.mark.parametrize("bits", SIZES_BITS)
def test_alarms_go_out_by_a_bds3_card_of_which_nothing_is_told(tmp_path: Path, bits: int) -> None:
    async def story(world: World) -> None:
        world.terminal.tells_bits = False
        assert world.terminal.card is not None
        world.terminal.card.bits = bits
        await world.gateway.read_for(1800)
        for _ in range(12):
            await world.gateway.alarm()
        await world.gateway.read_for(3600)
        ages = [age for (age,) in world.province._store._db.execute("SELECT received_at_ms - at_ms FROM alarms")]
        assert len(ages) == 12
        assert min(ages) < 90_000
        assert world.terminal.over_rate == 0
        assert max(len(message.content) for message in world.terminal.radiated) <= mixed_bytes(bits)

    rows = [tuple(minute * point % 50 for point in range(1, 11)) for minute in range(60)]
    play(tmp_path, story, rows, dialect=Dialect.BDS3)
