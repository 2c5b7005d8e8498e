"""The Beidou link against the simulated terminal, in virtual time: sending, feedback, cards, downlink, points."""

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
from tests.beidou_rig import CARD, PACKET, PROVINCE, UTC_MS_AT_0, Site, now, site

DIALECTS = list(Dialect)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.value)


def down(here: Site, content: bytes, form: Form = Form.MIXED) -> None:
    """A message from the province arrives at the terminal."""
    here.terminal.hear(Message(PROVINCE, CARD, content, form, now()), now())
    here.touch()


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


# -- the card --------------------------------------------------------------------------------------------------------


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


# -- the terminal comes and goes -------------------------------------------------------------------------------------


@each_dialect
def test_a_silent_terminal_is_lost_within_half_a_minute_and_found_again(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        here.terminal.muted = True
        muted_s = now()
        await here.until(lambda: here.lost)
        assert now() - muted_s < 40.0
        assert "said nothing" in here.lost[0]
        assert here.state.up is False
        here.terminal.muted = False
        await here.until(lambda: here.state.up is True, 90.0)
        await here.stop()

    run(story())


@each_dialect
def test_a_reset_terminal_is_asked_for_its_reports_again(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        here.terminal.reset(now())
        here.touch()
        await asyncio.sleep(60.0)
        assert here.lost == []
        here.terminal.sky.shaded = True
        await here.until(lambda: here.state.up is False, 25.0)  # its beams are reported
        await here.stop()

    run(story())


def test_a_pulled_plug_leaves_the_packet_unknown() -> None:
    async def story() -> None:
        here = site()
        here.terminal.trouble.no_feedback = 1.0
        here.start()
        await here.up()
        await here.ready()
        sending = asyncio.create_task(here.link.send(PACKET))
        await asyncio.sleep(5.0)
        here.plugs.unplug("bd")
        assert await sending is Sent.UNKNOWN
        await here.until(lambda: here.lost)
        assert "unplugged" in here.lost[0]
        here.plugs.plug("bd")
        await here.until(lambda: here.state.up is True, 30.0)
        assert await here.send() is Sent.UNKNOWN
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_a_port_that_does_not_exist_is_a_lost_link() -> None:
    async def story() -> None:
        here = site()
        here.plugs.unplug("bd")
        here.start()
        await here.until(lambda: len(here.lost) >= 2)
        assert "does not exist" in here.lost[0]
        await here.stop()

    run(story())


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
