"""Intake in virtual time: rounds, the ladder, and what is said of it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise

import pytest

from edge.clock import Clock
from edge.contract import ClockQuality, Doubt, Point, Quality
from edge.errors import DeviceSilent, PortLost
from edge.intake import CLOCK_JUMP_MS, Intake
from edge.intake_nouns import PointNow
from sim.virtual import run
from tests.intake_site import START_MS, Polled, Site, Speaking, raising


def test_the_first_round_is_at_once_the_others_on_the_grid() -> None:
    site = Site(a=Polled(lambda _: 12.34), b=Polled(lambda _: 5))
    site.wall_offset_ms = START_MS + 3_300
    site.play(25)
    assert [(r.at_ms - START_MS, r.values, r.qualities) for r in site.rounds] == [
        (3_300, (1234, 500), b""),
        (10_000, (1234, 500), b""),
        (20_000, (1234, 500), b""),
    ]


def test_values_become_whole_steps_and_are_checked() -> None:
    for value, expected in [
        (0.29, (29, Quality.GOOD)),
        (100.01, (10001, Quality.OVER_RANGE)),
        (float("nan"), (None, Quality.SUSPECT)),
        (float("inf"), (None, Quality.SUSPECT)),
        (1e300, (None, Quality.SUSPECT)),
        (None, (None, Quality.REFUSED)),
    ]:
        site = Site(a=Polled(lambda _, value=value: value))  # type: ignore[misc]
        site.play(1)
        assert site.judged[0][1:3] == expected


@pytest.mark.parametrize(
    ("most", "value", "quality"),
    [
        *((1, value, Quality.OVER_RANGE) for value in (-1, 2, 3, 255, 256, 65280, 65535)),
        (8, 65535, Quality.OVER_RANGE),
        (9, 18, Quality.OVER_RANGE),
        (9, 19, Quality.SUSPECT),
        (9, -10, Quality.SUSPECT),
    ],
)
def test_far_beyond_a_measures_range_is_doubted_and_beyond_a_switch_s_is_judged(
    most: int, value: int, quality: Quality
) -> None:
    now = PointNow(Point("spark", "", Decimal(1), Decimal(0), Decimal(most), 1000, "d"))
    now.take(value, Quality.GOOD, 0)
    assert (now.value, now.quality) == (value, quality)


def test_a_silent_device_costs_its_neighbours_nothing_and_is_said_once() -> None:
    dead = Polled(raising(DeviceSilent("a", "no answer in 0.5 s")), takes_s=0.5)
    site = Site(every_ms=1000, a=dead, b=Polled(lambda _: 1))
    site.play(600.5)
    assert len(site.rounds) == 601
    assert all(r.values == (None, 100) and r.qualities == bytes([Quality.NO_ANSWER, 0]) for r in site.rounds)
    assert 9 < len(dead.asked_s) < 30
    assert len(dead.asked_s) * dead.takes_s < 0.05 * 600
    assert len(site.said) == 1
    assert "device a: does not answer" in site.said[0]


def test_a_device_that_answers_again_is_back_within_a_minute() -> None:
    def answer(now_s: float) -> float:
        if now_s < 1000:
            raise DeviceSilent("a", "no answer")
        return 1

    site = Site(every_ms=1000, a=Polled(answer))
    site.play(1100)
    assert next(r.at_ms for r in site.rounds if r.values[0] is not None) - START_MS <= 1_061_000
    assert [text.split(":")[1].strip() for text in site.said] == ["does not answer", "answers again"]


def test_one_lost_answer_is_no_quarantine() -> None:
    def answer(now_s: float) -> float:
        if 4.5 < now_s < 5.5:
            raise DeviceSilent("a", "no answer")
        return 1

    site = Site(every_ms=1000, a=Polled(answer))
    site.play(10.5)
    assert [r.values[0] for r in site.rounds].count(None) == 1
    assert site.said == []


def test_a_lost_port_is_said_once_for_all_its_devices_and_comes_back_in_seconds() -> None:
    def answer(now_s: float) -> float:
        if 10 <= now_s < 100:
            raise PortLost("com", "the adapter was pulled")
        return 1

    site = Site(every_ms=1000, a=Polled(answer), b=Polled(answer))
    site.play(120)
    assert site.said == ["port com: lost: the adapter was pulled", "port com: is back"]
    back = next(r.at_ms for r in site.rounds if r.at_ms > START_MS + 100_000 and None not in r.values)
    assert back - START_MS <= 107_000


def test_a_slow_device_does_not_hold_back_a_round_for_longer_than_a_period() -> None:
    site = Site(every_ms=1000, slow=Polled(lambda _: 1, takes_s=2.5), quick=Polled(lambda _: 2))
    site.play(10)
    instants = [r.at_ms - START_MS for r in site.rounds]
    assert instants[:9] == list(range(0, 9000, 1000))
    assert all(r.values[1] == 200 for r in site.rounds)


def test_a_device_that_speaks_by_itself_gives_its_last_word_or_none() -> None:
    site = Site(every_ms=10_000, s=Speaking(every_s=3, until_s=25))
    site.play(51)
    assert [r.values[0] for r in site.rounds] == [None, 900, 1800, 2400, None, None]
    assert [Quality(r.qualities[0]) for r in site.rounds if r.values[0] is None] == [Quality.NO_ANSWER] * 3
    assert site.said == ["port com: lost: unplugged"]


def test_readings_taken_before_the_time_was_known_say_so() -> None:
    site = Site(every_ms=10_000, a=Polled(lambda _: 1))
    site.wall_offset_ms = 0

    def set_clock(site: Site) -> None:
        site.wall_offset_ms = START_MS

    site.play(65, meanwhile=set_clock, at_s=25)
    unknown = [r for r in site.rounds if r.clock is ClockQuality.UNKNOWN]
    assert [r.at_ms for r in unknown] == [0, 10_000, 20_000]
    known = [r.at_ms - START_MS for r in site.rounds if r.clock is not ClockQuality.UNKNOWN]
    assert known == [30_000, 40_000, 50_000, 60_000]


def test_a_clock_that_is_set_back_a_little_gives_no_instant_twice() -> None:
    for back_ms in (300, 700, 1900):
        site = Site(every_ms=1000, a=Polled(lambda _: 1), b=Polled(lambda _: 2))

        def set_back(site: Site, back_ms: int = back_ms) -> None:
            site.wall_offset_ms -= back_ms

        site.play(12, meanwhile=set_back, at_s=5.2)
        instants = [r.at_ms - START_MS for r in site.rounds]
        assert instants == sorted(set(instants)), (back_ms, instants)
        assert len(instants) >= 12 - 2, instants
        assert all(None not in r.values for r in site.rounds)


@pytest.mark.parametrize("every_ms", [100, 1000, 2000, 5000])
@pytest.mark.parametrize("back_ms", [2001, 3000, 4990, 5500])
def test_a_learnt_time_that_sets_the_clock_back_gives_no_instant_twice_and_all_is_judged(
    every_ms: int, back_ms: int
) -> None:
    """A satellite's word was good for 5 s, one over fibre is better."""
    for at_s in (20.23, 20.99, 21.0):
        site = Site(every_ms=every_ms, a=Polled(lambda _: 1, takes_s=0.001), b=Polled(lambda _: 2, takes_s=0.001))

        def learn(site: Site, back_ms: int = back_ms) -> None:
            assert site.clock.learn(site.clock.now().at_ms - back_ms, 5000, "the province") is None
            assert site.clock.quality is ClockQuality.TRUSTED

        site.play(40, meanwhile=learn, at_s=at_s)
        instants = [r.at_ms - START_MS for r in site.rounds]
        assert instants == sorted(set(instants)), (at_s, instants)
        # On the grid, but for the one at which it found out; and no instant of it is missing.
        assert {at_ms for at_ms in instants if at_ms % every_ms == 0} >= set(range(0, 40_000 - back_ms, every_ms))
        judged_s = [now_s for point, _, _, now_s in site.judged if point == "a.1"]
        assert max(b - a for a, b in pairwise(judged_s)) <= every_ms / 1000 + CLOCK_JUMP_MS / 1000 + 0.01


def test_a_clock_that_was_an_hour_ahead_is_no_reason_to_keep_nothing_for_an_hour() -> None:
    site = Site(every_ms=1000, a=Polled(lambda _: 1))

    def set_back(site: Site) -> None:
        site.wall_offset_ms -= 3_600_000

    site.play(60, meanwhile=set_back, at_s=20.5)
    assert len(site.rounds) >= 59


def test_a_group_that_is_hurried_is_read_faster_at_once_and_as_before_afterwards() -> None:
    site = Site(every_ms=60_000, a=Polled(lambda _: 1), b=Polled(lambda _: 2))

    async def story() -> None:
        loop = asyncio.get_running_loop()
        site.clock = Clock(lambda: START_MS + round(loop.time() * 1000), loop.time, lambda: False, 1)
        points = [Point(f"{d}.1", "m", Decimal("0.01"), None, None, 60_000, d) for d in site.devices]
        intake = Intake(
            *({60_000: points}, site.devices, site.ports, site.clock),
            judge=lambda *_: None,
            keep=site.rounds.append,
            say=lambda *_: None,
        )
        intake.may_pace()
        task = asyncio.ensure_future(intake.run())
        await asyncio.sleep(130.5)
        intake.pace({60_000: 1000})
        await asyncio.sleep(10)
        intake.pace({})
        await asyncio.sleep(110)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(story())
    seconds = [(r.at_ms - START_MS) // 1000 for r in site.rounds]
    assert seconds == [0, 60, 120, *range(131, 142), 180, 240]
    assert all(r.values == (100, 200) for r in site.rounds)


def test_a_doubtful_reading_is_kept_and_judged_as_such() -> None:
    site = Site(a=Polled(lambda now_s: 50 if 18 < now_s < 22 else 1))
    doubt = Doubt(spike=100)

    async def story() -> None:
        loop = asyncio.get_running_loop()
        site.clock = Clock(lambda: START_MS + round(loop.time() * 1000), loop.time, lambda: False, 1)
        points = [Point("a.1", "m", Decimal("0.01"), None, None, 10_000, "a", doubt=doubt)]
        intake = Intake(
            *({10_000: points}, site.devices, site.ports, site.clock),
            judge=lambda *reading: site.judged.append(reading),
            keep=site.rounds.append,
            say=lambda *_: None,
        )
        task = asyncio.ensure_future(intake.run())
        await asyncio.sleep(35)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(story())
    assert [reading[1:3] for reading in site.judged] == [
        *((100, Quality.GOOD), (100, Quality.GOOD), (5000, Quality.SUSPECT), (100, Quality.GOOD)),
    ]
    assert site.rounds[2].values == (5000,)
    assert site.rounds[2].qualities == bytes([Quality.SUSPECT])
