"""What the Beidou link tells the gateway: the downlink, the time, its points, its health."""

from __future__ import annotations

import asyncio
import json

import pytest

from drivers.beidou.wire import Dialect, Form
from edge.contract import Link, PolledSensor, Quality, Sent
from sim.beidou.card import Card
from sim.beidou.satellite import Satellite
from sim.beidou.terminal import Terminal
from sim.beidou.traffic import Message
from sim.virtual import run
from tests.beidou_rig import CARD, PACKET, PROVINCE, UTC_MS_AT_0, Site, each_dialect, now, site


def down(here: Site, content: bytes, form: Form = Form.MIXED) -> None:
    """A message from the province arrives at the terminal."""
    here.terminal.hear(Message(PROVINCE, CARD, content, form, now()), now())
    here.touch()


# -- downlink --------------------------------------------------------------------------------------------------------


@each_dialect
def test_our_packets_come_through_and_nothing_else(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        for content in (b"\x40abc", b"\x5f" + bytes(40), b"\xfb\x00\x18abc", b"\x21hello", b"\x60x"):
            down(here, content)
        down(here, "河水上涨".encode("gbk"), Form.TEXT)
        down(here, b"ABC", Form.TEXT)
        await asyncio.sleep(5.0)
        assert here.received == [b"\x40abc", b"\x5f" + bytes(40)]
        health = here.link.health()
        assert (health["received"], health["foreign"], health["bytes_down"]) == (2, 5, 45)
        await here.stop()

    run(story())


def test_stored_messages_are_polled_in_long_silence_when_nobody_wants_the_slot() -> None:
    async def story() -> None:
        satellite = Satellite(1, loss=0.0, duplicate=0.0, reorder=0.0)
        province = Terminal(Dialect.TEXT21, Card(PROVINCE, 1.0, user_class=0))
        here = site(satellite=satellite, others={"province": province})
        here.start()
        await here.up()
        await asyncio.sleep(1000.0)
        assert here.link.health()["polls"] == 0, "nothing was sent: nothing is waited for"
        satellite.loss = 0.0
        assert await here.send() is Sent.SENT
        sent_s = now()
        stored = Message(PROVINCE, CARD, PACKET, Form.MIXED, now())
        satellite._stored[CARD].append(stored)
        await here.until(lambda: here.received, 1100.0)
        assert here.received == [PACKET]
        assert here.link.health()["polls"] >= 1
        assert now() - sent_s > 60.0
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_no_poll_while_packets_want_every_slot() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        for _ in range(40):
            assert await here.send() is Sent.SENT
        assert here.link.health()["polls"] == 0
        await here.stop()

    run(story())


# -- time, points, health --------------------------------------------------------------------------------------------


def test_the_time_is_told_once_a_minute_when_two_agree() -> None:
    async def story() -> None:
        here = site()
        here.terminal.sky.has_fix = False
        here.start()
        await here.up()
        await asyncio.sleep(60.0)
        assert here.times == []
        here.terminal.sky.has_fix = True
        await asyncio.sleep(180.0)
        assert 2 <= len(here.times) <= 4
        utc_ms, uncertainty_ms, source = here.times[0]
        assert uncertainty_ms == 1000.0
        assert source == "GNSS of link beidou"
        assert utc_ms == pytest.approx(UTC_MS_AT_0 + (now() - 180.0) * 1000, abs=45_000)
        here.terminal.sky.utc_ms_at_0 += 3_600_000  # its clock jumps
        told = len(here.times)
        await asyncio.sleep(1.0)
        assert len(here.times) == told
        await here.stop()

    run(story())


POINTS = {
    "s": "signal",
    "n": "beams",
    "b2": "beam-2",
    "b9": "beam-9",
    "card": "card",
    "f": "feedback",
    "bat": "battery",
    "w": "wait",
    "lat": "latitude",
    "lon": "longitude",
    "h": "height",
    "sat": "satellites",
}


@pytest.mark.parametrize(
    ("dialect", "signal", "beams", "beam_2"),
    [(Dialect.BDS3, 51.0, 4, 51.0), (Dialect.TEXT21, 4.0, 3, 3.0), (Dialect.BINARY40, 4.0, 3, 4.0)],
    ids=lambda value: getattr(value, "value", value),
)
def test_points_of_the_link(dialect: Dialect, signal: float, beams: int, beam_2: float) -> None:
    async def story() -> None:
        here = site(dialect, points=POINTS)
        nothing = await here.link.read(list(POINTS))
        assert all(reading.value is None and reading.quality is Quality.NO_ANSWER for reading in nothing)
        here.start()
        await here.up()
        assert await here.send() is Sent.SENT
        await asyncio.sleep(32.0)
        read = {reading.point: reading.value for reading in await here.link.read(list(POINTS))}
        assert (read["s"], read["n"], read["b2"], read["b9"]) == (signal, beams, beam_2, 0.0)
        assert (read["card"], read["f"]) == (1, 0)
        assert read["w"] == pytest.approx(30.0, abs=0.5)
        if dialect is not Dialect.BINARY40:
            assert read["lat"] == pytest.approx(27.5043, abs=1e-4)
            assert read["lon"] == pytest.approx(109.9561, abs=1e-4)
            assert (read["h"], read["sat"]) == (318.4, 12)
        if dialect is not Dialect.TEXT21:
            assert read["bat"] == 100
        await here.stop()
        after = await here.link.read(["s", "card"])
        assert [reading.quality for reading in after] == [Quality.NO_ANSWER] * 2

    run(story())


@each_dialect
def test_a_card_of_which_nothing_is_heard_any_more_has_no_value(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Card queries go unanswered, all else goes on."""

    async def story() -> None:
        here = site(dialect, points={"card": "card"})
        here.start()
        await here.up()
        monkeypatch.setattr("sim.beidou.voice.card_report", lambda *_: b"")
        here.terminal.card = None
        await asyncio.sleep(60.0)
        (reading,) = await here.link.read(["card"])
        assert reading.value == 1
        await asyncio.sleep(50.0)
        (reading,) = await here.link.read(["card"])
        assert (reading.value, reading.quality) == (None, Quality.NO_ANSWER)
        await here.stop()

    run(story())


def test_points_say_no_card_and_no_answer() -> None:
    async def story() -> None:
        here = site(points=POINTS)
        here.terminal.trouble.no_feedback = 1.0
        here.start()
        assert await here.send() is Sent.UNKNOWN
        here.terminal.card = None
        await here.until(lambda: here.state.up is False, 40.0)
        read = {reading.point: reading.value for reading in await here.link.read(["f", "card"])}
        assert read == {"f": 20, "card": 0}
        await here.stop()

    run(story())


def test_health_is_json_and_names_what_a_technician_asks() -> None:
    async def story() -> None:
        here = site(Dialect.BINARY40)
        assert json.dumps(here.link.health())
        here.start()
        await here.up()
        assert await here.send() is Sent.SENT
        await asyncio.sleep(10.0)
        health = json.loads(json.dumps(here.link.health()))
        assert (health["dialect"], health["baud"]) == ("4.0", 115_200)
        assert "simulated" in health["terminal"]
        assert health["card"] == {"address": CARD, "level": 3, "period_s": 60.0, "class": 3, "bits": 628}
        assert [2, 4.0] in health["beams"]
        assert health["next_slot_s"] == pytest.approx(52.0, abs=0.5)
        assert health["last_feedback"] == {"what": "sent", "age_s": 10.0}
        assert (health["sent"], health["bytes_up"]) == (1, len(PACKET))
        await here.stop()

    run(story())


def test_it_is_a_link_and_a_sensor() -> None:
    async def story() -> None:
        link: Link = site().link
        assert isinstance(link, PolledSensor)
        assert link.window == 1
        assert link.state().slot_s > 0

    run(story())
