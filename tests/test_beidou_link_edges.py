"""The Beidou link where things are not as they should be: disks, doubtful words of the terminal, wrong settings."""

from __future__ import annotations

import asyncio
from unittest import mock

import msgspec
import pytest

from drivers.beidou import DRIVER
from drivers.beidou.gnss import EARLIEST_MS, PERSIST_S, TimeCheck
from drivers.beidou.line import Line
from drivers.beidou.settings import BeidouLink, BeidouPoint
from drivers.beidou.wire import Dialect, Feedback, Outcome, Report, build_report
from edge.contract import Sent
from sim.virtual import run
from tests.beidou_rig import CARD, PACKET, PROVINCE, Site, each_dialect, now, site


def says(here: Site, report: Report) -> None:
    """The terminal says something by itself."""
    here.terminal._say(build_report(report), now())
    here.touch()


def test_flag_8_of_40_brings_the_next_attempt_forward_and_answers_nothing() -> None:
    async def story() -> None:
        here = site(Dialect.BINARY40)
        here.start()
        await here.up()
        here.terminal.inhibited = True
        assert await here.send() is Sent.NOT_SENT
        assert here.state.ready_s > now() + 590.0
        here.terminal.inhibited = False
        says(here, Feedback(Dialect.BINARY40, "", Outcome.RELEASED))
        await asyncio.sleep(2.0)
        assert here.state.up is None
        assert await here.send() is Sent.SENT
        assert here.state.up is True
        here.terminal.trouble.deaf = 1.0
        await here.ready()
        sending = asyncio.create_task(here.link.send(PACKET))
        await asyncio.sleep(1.0)
        says(here, Feedback(Dialect.BINARY40, "", Outcome.RELEASED))
        assert await sending is Sent.UNKNOWN
        await here.stop()

    run(story())


def test_a_dual_module_is_asked_in_bds3_and_its_old_words_do_not_confuse() -> None:
    async def story() -> None:
        here = site(Dialect.BDS3)
        here.terminal.dual = True
        here.start()
        await here.up()
        here.terminal._say(b"$BDICI,0000000,00000000,0000000,0,0,0,N,0*0B\r\n", now())
        here.terminal._say(b"$BDBSI,02,08,0,0,0,0,0,0,0,0,0,0*57\r\n", now())
        here.touch()
        await asyncio.sleep(2.0)
        assert here.state.up is True
        assert here.link.health()["card"]["address"] == CARD
        assert await here.send() is Sent.SENT
        await here.stop()

    run(story())


def test_five_messages_without_any_answer_are_said() -> None:
    async def story() -> None:
        here = site()
        here.terminal.trouble.no_feedback = 1.0
        here.start()
        await here.up()
        for _ in range(5):
            assert here.state.trouble == ""
            assert await here.send() is Sent.UNKNOWN
        assert "answers no message" in here.state.trouble
        assert here.state.up is True
        here.terminal.trouble.no_feedback = 0.0
        assert await here.send() is Sent.SENT
        assert here.state.trouble == ""
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_a_wait_that_is_too_short_by_the_terminals_own_error_is_covered() -> None:
    async def story() -> None:
        here = site()
        here.terminal.wait_error_s = 1.9
        here.start()
        await here.up()
        await here.ready()
        assert here.terminal.card is not None
        here.terminal.card.free_s = now() + 30.0
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        assert await here.send() is Sent.SENT
        assert here.terminal.over_rate == 1
        await here.stop()

    run(story())


def test_noise_on_the_line_is_counted_and_stops_nothing() -> None:
    async def story() -> None:
        here = site()
        here.terminal.trouble.noise = 0.5
        here.start()
        await here.up()
        for _ in range(5):
            assert await here.send() is Sent.SENT
        assert here.link.health()["noise_bytes"] > 0
        assert here.lost == []
        await here.stop()

    run(story())


# -- time ------------------------------------------------------------------------------------------------------------


AT_MS = EARLIEST_MS + 1_000_000


def test_two_times_that_agree_are_told_and_nothing_else() -> None:
    check = TimeCheck()
    assert not check.tells(AT_MS, 10.0, None), "the first"
    assert not check.tells(AT_MS + 90_000, 20.0, None), "jumped"
    assert check.tells(AT_MS + 100_000, 30.0, None)
    assert not check.tells(AT_MS + 110_000, 40.0, None), "told within the minute"
    assert not check.tells(None, 100.0, None)
    assert not check.tells(AT_MS + 190_000, 120.0, None), "the one before had no time"
    assert check.tells(AT_MS + 200_400, 130.0, None)


def test_a_receiver_that_counts_weeks_wrongly_is_not_believed() -> None:
    check = TimeCheck()
    assert not check.tells(EARLIEST_MS - 20_000, 0.0, None)
    assert not check.tells(EARLIEST_MS - 10_000, 10.0, None)


def test_two_times_that_come_together_tell_nothing_and_ten_in_a_row_do() -> None:
    check = TimeCheck()
    assert [check.tells(AT_MS + 100 * n, n / 10, None) for n in range(50)] == [False] * 50
    assert check.tells(AT_MS + 5000, 5.0, None)


def test_a_time_that_is_not_the_trusted_one_must_stand_for_minutes() -> None:
    check = TimeCheck()
    told_s = [n for n in range(0, 400, 20) if check.tells(AT_MS + 3_600_000 + n * 1000, n, AT_MS + n * 1000)]
    assert told_s[:1] == [PERSIST_S]
    assert check.tells(AT_MS + 500_000, 500.0, None) is False
    assert check.tells(AT_MS + 520_000, 520.0, AT_MS + 523_000), "a small difference is none"


def test_a_false_time_between_true_ones_never_stands_long_enough() -> None:
    check = TimeCheck()
    for n in range(0, 3600, 20):
        trusted_ms = AT_MS + n * 1000
        assert not check.tells(trusted_ms + 3_600_000, float(n), trusted_ms)
        assert not check.tells(trusted_ms + 12_000 + 3_600_000, n + 12.0, trusted_ms + 12_000)
        check.tells(trusted_ms + 13_000, n + 13.0, trusted_ms + 13_000)


# -- settings --------------------------------------------------------------------------------------------------------


def test_keys_of_the_site_file() -> None:
    assert msgspec.convert({"province": 1595001}, BeidouLink).limit_bits is None
    assert msgspec.convert({"province": 1595001, "limit_bits": 1835, "encoding": "code"}, BeidouLink).limit_bits == 1835
    for wrong in (
        {},
        {"province": 0},
        {"province": 100_000_000},
        {"province": PROVINCE, "limit_bits": 100},
        {"province": PROVINCE, "limit_bits": 14_001},
        {"province": PROVINCE, "encoding": "hex"},
        {"province": PROVINCE, "period": "60s"},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, BeidouLink)


def test_points_of_the_site_file() -> None:
    for read in ("signal", "beams", "beam-1", "beam-9", "beam-10", "beam-21", "card", "feedback", "height"):
        assert msgspec.convert({"read": read}, BeidouPoint).read == read
    for read in ("", "beam", "beam-0", "beam-22", "beam-01", "signals", "signal ", "xsignal"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"read": read}, BeidouPoint)


def test_the_number_of_no_card_is_no_province() -> None:
    assert DRIVER.check_link(BeidouLink(province=PROVINCE)) == []
    assert "no card" in DRIVER.check_link(BeidouLink(province=2_097_151))[0]


def test_the_driver_explains() -> None:
    assert DRIVER.explain is not None
    (told,) = DRIVER.explain("$BDFKI,TXA,N,Y,0,0058*09")
    assert told["valid"] is True


@each_dialect
def test_a_link_at_rest_wakes_when_it_is_spoken_to_and_hardly_else(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect, reports={})  # it prints nothing that it was not asked for
        here.start()
        await here.up()
        with mock.patch.object(Line, "hear", autospec=True, side_effect=Line.hear) as hear:
            await asyncio.sleep(600.0)
        assert here.state.up is True
        assert 100 < hear.call_count < 300, "reports each 5, 20 and 30 s, and a card query each 30 s"
        await here.stop()

    run(story())
