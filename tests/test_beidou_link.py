"""The Beidou link against the simulated terminal, in virtual time: sending, feedback, beams."""

from __future__ import annotations

import asyncio

import pytest

from drivers.beidou.wire import Dialect, Form
from edge.contract import Sent
from sim.virtual import run
from tests.beidou_rig import CARD, DIALECTS, PACKET, PROVINCE, each_dialect, now, site


@each_dialect
def test_a_packet_goes_out_as_mixed_content(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        await here.until(lambda: here.state.mtu_bytes == (89 if dialect is Dialect.BDS3 else 77), 5.0)
        assert here.state.slot_s == 60.0
        assert await here.send() is Sent.SENT
        (radiated,) = here.terminal.radiated
        assert (radiated.sender, radiated.to, radiated.content) == (CARD, PROVINCE, PACKET)
        assert here.state.ready_s == pytest.approx(now() + 62.0, abs=0.1)
        await here.stop()

    run(story())


def test_the_largest_packet_fits_and_one_more_byte_does_not() -> None:
    async def story() -> None:
        for dialect in DIALECTS:
            here = site(dialect)
            here.start()
            await here.ready()
            largest = bytes([0x5F]) * here.state.mtu_bytes
            assert await here.link.send(largest + b"x") is Sent.NOT_SENT
            assert await here.link.send(largest) is Sent.SENT
            assert here.terminal.radiated[0].content == largest
            await here.stop()

    run(story())


def test_plain_hex_for_terminals_that_refuse_mixed_content() -> None:
    async def story() -> None:
        from drivers.beidou.settings import BeidouLink

        here = site(Dialect.BDS3, settings=BeidouLink(province=PROVINCE, encoding="code", limit_bits=2000))
        here.terminal.card.bits = 2000  # type: ignore[union-attr]
        here.start()
        await here.up()
        assert here.state.mtu_bytes == 249
        assert await here.send() is Sent.SENT
        assert (here.terminal.radiated[0].form, here.terminal.radiated[0].content) == (Form.CODE, PACKET)
        await here.stop()

    run(story())


def test_nothing_is_sent_before_the_slot_and_one_at_a_time() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        assert now() < here.state.ready_s, "the card may have been used by somebody just now"
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        await here.ready()
        first = asyncio.create_task(here.link.send(PACKET))
        await asyncio.sleep(0.1)
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        assert await first is Sent.SENT
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        assert len(here.terminal.requests) == 1
        await here.stop()

    run(story())


@each_dialect
def test_too_early_is_believed_and_the_packet_was_not_sent(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        await here.ready()
        assert here.terminal.card is not None
        here.terminal.card.free_s = now() + 25.0  # somebody else has used the card
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        assert here.state.up is True
        assert here.state.ready_s == pytest.approx(now() + 27.0, abs=2.0)
        assert here.state.ready_s > here.terminal.card.free_s
        assert await here.send() is Sent.SENT
        assert here.link.health()["too_early"] == 1
        assert here.terminal.over_rate == 1  # the one that was asked for
        await here.stop()

    run(story())


@each_dialect
def test_no_feedback_is_unknown_and_uses_the_slot(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.terminal.trouble.no_feedback = 1.0
        here.start()
        await here.up()
        await here.ready()
        asked_s = now()
        assert await here.link.send(PACKET) is Sent.UNKNOWN
        assert now() == pytest.approx(asked_s + 15.0, abs=0.5)
        assert here.state.ready_s == pytest.approx(asked_s + 77.0, abs=0.5)
        assert here.state.up is True
        await here.stop()

    run(story())


@each_dialect
def test_a_late_feedback_is_not_the_answer_to_the_next_packet(dialect: Dialect) -> None:
    """The first packet's FKI comes 16 to 45 s late; the second's is lost: it must not be taken for sent."""

    async def story() -> None:
        here = site(dialect)
        here.terminal.trouble.late = 1.0
        here.start()
        await here.up()
        assert await here.send() is Sent.UNKNOWN
        here.terminal.trouble.late, here.terminal.trouble.deaf = 0.0, 1.0
        assert await here.send() is Sent.UNKNOWN
        assert here.link.health()["unmatched"] == 1
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_a_doubled_feedback_changes_nothing_much() -> None:
    async def story() -> None:
        here = site()
        here.terminal.trouble.twice = 1.0
        here.start()
        await here.up()
        for _ in range(3):
            assert await here.send() is Sent.SENT
        assert len(here.terminal.radiated) == 3
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_a_refusal_without_reason_is_tried_again_with_growing_pauses_and_said() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        assert here.terminal.card is not None
        here.terminal.card.bits = 100  # it takes less than anybody would try
        pauses = []
        for _ in range(6):
            assert await here.send(PACKET[:20]) is Sent.NOT_SENT
            pauses.append(round(here.state.ready_s - now()))
        assert pauses == [10, 20, 40, 60, 60, 60]
        assert "limit_bits" in here.state.trouble
        here.terminal.card.bits = None
        assert await here.send() is Sent.SENT
        assert here.state.trouble == ""
        await here.stop()

    run(story())


@pytest.mark.parametrize(
    ("dialect", "order", "words"),
    [
        (Dialect.BDS3, "inhibited", "inhibited"),
        (Dialect.BDS3, "silenced", "radio silence"),
        (Dialect.TEXT21, "inhibited", "inhibited"),
        (Dialect.TEXT21, "silenced", "radio silence"),
        (Dialect.BINARY40, "inhibited", "inhibited"),
    ],
    ids=lambda value: getattr(value, "value", value),
)
def test_an_order_of_silence_stops_the_sender(dialect: Dialect, order: str, words: str) -> None:
    """Said at once, one attempt in ten minutes, and the first that succeeds ends it."""

    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        setattr(here.terminal, order, True)
        assert await here.send() is Sent.NOT_SENT
        assert here.state.up is False
        assert words in here.state.why
        assert words in here.state.trouble
        asked, ordered_s = len(here.terminal.requests), now()
        while now() < ordered_s + 1500:
            if here.state.up is not False and now() >= here.state.ready_s:
                assert await here.link.send(PACKET) is Sent.NOT_SENT
            await asyncio.sleep(1.0)
        assert len(here.terminal.requests) == asked + 2
        assert words in here.state.trouble
        setattr(here.terminal, order, False)
        assert await here.send() is Sent.SENT
        assert (here.state.up, here.state.trouble) == (True, "")
        await here.stop()

    run(story())


def test_a_low_battery_holds_for_a_minute() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        here.terminal.low_battery = True
        assert await here.send() is Sent.NOT_SENT
        assert "battery" in here.state.trouble
        here.terminal.low_battery = False
        recharged_s = now()
        assert await here.send() is Sent.SENT
        assert now() - recharged_s < 65.0
        await here.stop()

    run(story())


@each_dialect
def test_without_a_beam_it_is_down_until_one_is_back(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        here.terminal.sky.shaded = True
        await here.until(lambda: here.state.up is False, 30.0)
        assert "beam" in here.state.why
        assert here.state.trouble == ""
        here.terminal.sky.shaded = False
        await here.until(lambda: here.state.up is True, 10.0)
        await here.stop()

    run(story())


WEAK = {Dialect.BDS3: {2: 39.0, 4: 38.5}, Dialect.TEXT21: {2: 1.0}, Dialect.BINARY40: {1: 1.0}}


@each_dialect
def test_by_weak_beams_an_attempt_decides(dialect: Dialect) -> None:
    """The thresholds are rules of thumb: this terminal sends by such beams."""

    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        here.terminal.sky.beams = WEAK[dialect]
        await here.until(lambda: here.state.up is None, 30.0)
        assert "weak" in here.state.why
        assert here.state.trouble == ""
        assert await here.send() is Sent.SENT
        assert len(here.terminal.radiated) == 1
        await here.stop()

    run(story())


def test_no_signal_when_sending_pauses_only() -> None:
    async def story() -> None:
        here = site(Dialect.BDS3)
        here.start()
        await here.up()
        await here.ready()
        here.terminal.sky.shaded = True  # since its last report
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        assert here.link.health()["last_feedback"]["what"] == "no signal"
        here.terminal.sky.shaded = False
        assert await here.send() is Sent.SENT
        await here.stop()

    run(story())
