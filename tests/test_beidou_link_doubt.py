"""What a terminal says and cannot be so: misprints, feedback of another request, texts that look like its sentences."""

from __future__ import annotations

import asyncio

import pytest

from drivers.beidou.wire import Card as WireCard
from drivers.beidou.wire import Dialect, Feedback, Outcome, Report, build_report
from drivers.beidou.wire.fields import xor
from edge.contract import Sent
from sim.beidou.card import Card
from sim.virtual import run
from tests.beidou_rig import CARD, PACKET, UTC_MS_AT_0, Site, now, site


def says(here: Site, report: Report) -> None:
    """The terminal says something by itself."""
    here.terminal._say(build_report(report), now())
    here.touch()


@pytest.mark.parametrize(
    ("dialect", "period_s"),
    [(Dialect.BDS3, 999_999_999.0), (Dialect.TEXT21, 9999.0), (Dialect.BINARY40, 65535.0)],
    ids=lambda value: getattr(value, "value", value),
)
def test_a_period_that_cannot_be_printed_once_costs_nothing(dialect: Dialect, period_s: float) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        assert await here.send() is Sent.SENT
        says(here, WireCard(dialect, CARD, period_s=period_s, level=3))
        await asyncio.sleep(2.0)
        assert f"{period_s:.0f} s" in here.state.trouble
        assert here.state.up is True
        await here.stop()
        here.start()
        assert await here.send() is Sent.SENT
        assert now() < 4 * 62.0
        assert here.state.trouble == ""
        await here.stop()

    run(story())


def says_as_text(here: Site, sentence: bytes) -> None:
    """A stranger's text message, so made that its content is read as a sentence of the terminal."""
    head = b"BDTXR,1,0123456,0,,hi"
    end = sentence.rpartition(b"$")[2]
    text = head + b"*%02X\r\n" % xor(head) + b"$" + sentence + b"*%02X\r\n" % xor(end)
    here.terminal._say(b"$" + text + b"*%02X\r\n" % xor(text), now())
    here.touch()


@pytest.mark.parametrize("sentence", [b"BDFKI,TXA,N,Y,0,6000", b"BDFKI,010203,TCQ,N,1,99999", b"BDFKI,TXA,Y,Y,0,6000"])
def test_a_text_message_that_looks_like_a_feedback_costs_one_slot_at_most(sentence: bytes) -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        await here.ready()
        says_as_text(here, sentence)
        await asyncio.sleep(1.0)
        assert here.link.health()["unmatched"] == 1, "else this shows nothing"
        assert now() < here.state.ready_s < now() + 77.0
        await here.stop()

    run(story())


def test_a_text_message_that_looks_like_the_time_of_a_receiver_is_not_told() -> None:
    async def story() -> None:
        here = site(reports={})
        here.start()
        await here.up()
        false = b"GNZDA,000000.00,01,01,2040,00,00"
        for _ in range(30):
            await asyncio.sleep(61.0)
            says_as_text(here, false + b"*%02X\r\n$" % xor(false) + false)
        assert len(here.times) >= 2
        assert all(utc_ms < 1.1 * UTC_MS_AT_0 for utc_ms, _, _ in here.times)
        await here.stop()

    run(story())


def test_an_order_against_a_card_is_not_held_against_the_next() -> None:
    async def story() -> None:
        here = site(Dialect.BDS3)
        here.start()
        here.terminal.inhibited = True
        assert await here.send() is Sent.NOT_SENT
        assert here.state.up is False
        here.terminal.inhibited = False
        here.terminal.card = Card(123_456)
        await here.until(lambda: here.state.up is True, 60.0)
        assert "inhibited" not in here.state.trouble
        assert here.state.ready_s < now() + 80.0
        assert await here.send() is Sent.SENT
        await here.stop()

    run(story())


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.TOO_EARLY])
def test_a_refusal_that_may_be_of_the_request_before_gives_no_slot_back(outcome: Outcome) -> None:
    async def story() -> None:
        here = site(Dialect.BDS3)
        here.start()
        here.terminal.trouble.no_feedback = 1.0
        assert await here.send() is Sent.UNKNOWN
        await here.ready()
        sending = asyncio.create_task(here.link.send(PACKET))
        await asyncio.sleep(5.0)
        assert len(here.terminal.radiated) == 2
        wait_s = 3.0 if outcome is Outcome.TOO_EARLY else None
        says(here, Feedback(Dialect.BDS3, "TCQ", outcome, wait_s, time_s_of_day=1.0))
        assert await sending is Sent.UNKNOWN
        assert await here.send() is Sent.UNKNOWN
        assert here.terminal.over_rate == 0
        assert len(here.terminal.radiated) == 3
        await here.stop()

    run(story())
