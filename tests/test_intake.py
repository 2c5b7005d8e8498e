"""Intake in virtual time: rounds, the ladder, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from edge.clock import BUILT_MS, Clock
from edge.contract import ClockQuality, Doubt, Point, Quality, Reading, Round, Sensor
from edge.errors import DeviceSilent, PortLost
from edge.intake import CLOCK_JUMP_MS, Intake
from edge.intake_nouns import PointNow
from sim.virtual import run

START_MS = BUILT_MS + 86_400_000


class Polled:
    """A device whose answers a test scripts: `answer(now_s)` returns a value, or raises."""

    def __init__(self, answer: Callable[[float], float | None], takes_s: float = 0.01) -> None:
        self.answer = answer
        self.takes_s = takes_s
        self.asked_s: list[float] = []

    async def read(self, points: Sequence[str]) -> list[Reading]:
        self.asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)
        value = self.answer(self.asked_s[-1])
        return [Reading(point, value, Quality.GOOD if value is not None else Quality.REFUSED) for point in points]

    def health(self) -> dict[str, Any]:
        return {}


class Speaking:
    """A device that says its value every `every_s` until `until_s`, then its port is lost for good, or it just dies."""

    def __init__(self, every_s: float, until_s: float, dies: bool = False) -> None:
        self.every_s = every_s
        self.until_s = until_s
        self.dies = dies

    async def listen(self) -> AsyncIterator[list[Reading]]:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.every_s)
            if loop.time() > self.until_s and self.dies:
                await asyncio.Event().wait()
            if loop.time() > self.until_s:
                raise PortLost("com", "unplugged")
            yield [Reading("s.1", loop.time())]

    def health(self) -> dict[str, Any]:
        return {}


class Site:
    """Runs an intake over scripted devices; keeps what it gives."""

    def __init__(self, *, every_ms: int = 10_000, ports: dict[str, str] | None = None, **devices: Sensor) -> None:
        self.devices = devices
        self.ports = ports or dict.fromkeys(devices, "com")
        self.every_ms = every_ms
        self.rounds: list[Round] = []
        self.said: list[str] = []
        self.judged: list[tuple[str, int | None, Quality, float]] = []
        self.wall_offset_ms = START_MS

    def play(self, seconds: float, meanwhile: Callable[[Site], None] | None = None, at_s: float = 0.0) -> Intake:
        return run(self._play(seconds, meanwhile, at_s))

    async def _play(self, seconds: float, meanwhile: Callable[[Site], None] | None, at_s: float) -> Intake:
        loop = asyncio.get_running_loop()
        self.clock = Clock(lambda: self.wall_offset_ms + round(loop.time() * 1000), loop.time, lambda: False, 1)
        points = [Point(f"{d}.1", "m", Decimal("0.01"), None, Decimal(100), self.every_ms, d) for d in self.devices]
        intake = Intake(
            *({self.every_ms: points}, self.devices, self.ports, self.clock),
            judge=lambda *reading: self.judged.append(reading),
            keep=self.rounds.append,
            say=lambda about, text: self.said.append(f"{about}: {text}"),
        )
        task = asyncio.ensure_future(intake.run())
        await asyncio.sleep(at_s)
        if meanwhile:
            meanwhile(self)
            self.clock.update()
        await asyncio.sleep(seconds - at_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return intake


def raising(error: Exception) -> Callable[[float], float]:
    def answer(_now_s: float) -> float:
        raise error

    return answer


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


class Wire:
    """Devices that share a wire: one question at a time, each of which takes so long."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.lock = asyncio.Lock()

    def device(self) -> Polled:
        it = Polled(lambda _: 1)

        async def read(points: Sequence[str]) -> list[Reading]:
            async with self.lock:
                await asyncio.sleep(self.takes_s)
            return [Reading(point, 1) for point in points]

        it.read = read  # type: ignore[method-assign]
        return it


@pytest.mark.parametrize(("takes_s", "share"), [(0.02, None), (0.09, None), (0.12, 83), (0.25, 40)])
def test_a_wire_that_can_not_carry_what_is_asked_is_said_once_with_its_share_and_when_it_is_over(
    takes_s: float, share: int | None
) -> None:
    """Ten slaves, each second: of 0.12 s a question there is room for 8.3 in a second, of 0.25 s for 4."""
    wire = Wire(takes_s)
    site = Site(every_ms=1000, **{f"d{place}": wire.device() for place in range(10)})  # type: ignore[arg-type]

    def faster(_site: Site) -> None:
        wire.takes_s = 0.02

    site.play(600, faster, at_s=300.0)
    behind = [text for text in site.said if "behind" in text]
    if share is None:
        assert site.said == []
    else:
        assert len(behind) == 1
        assert behind[0].startswith("port com: runs behind: of what is due only ")
        assert abs(int(behind[0].split(" only ")[1].split(" %")[0]) - share) <= 2
        assert [text for text in site.said if text not in behind] == ["port com: keeps up again"]


def test_a_device_that_is_slow_for_once_or_silent_is_no_wire_that_runs_behind() -> None:
    slow = Wire(0.02)
    site = Site(every_ms=1000, a=slow.device(), b=Polled(raising(DeviceSilent("b", "it did not answer in 500 ms"))))

    def stand_still(_site: Site) -> None:
        slow.takes_s = 30.0
        asyncio.get_running_loop().call_later(5, lambda: setattr(slow, "takes_s", 0.02))

    site.play(600, stand_still, at_s=100.0)
    assert not [text for text in site.said if "behind" in text]


def hurried(site: Site, paces: Sequence[tuple[float, int]]) -> None:
    """Plays a site of one polled and one speaking device; `paces`: until when (s), the group is read how often (ms)."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        site.clock = Clock(lambda: site.wall_offset_ms + round(loop.time() * 1000), loop.time, lambda: False, 1)
        points = [Point(f"{d}.1", "m", Decimal("0.01"), None, None, site.every_ms, d) for d in site.devices]
        intake = Intake(
            *({site.every_ms: points}, site.devices, {"a": "bus", "s": "com"}, site.clock),
            judge=lambda *reading: site.judged.append(reading),
            keep=site.rounds.append,
            say=lambda about, text: site.said.append(f"{about}: {text}"),
        )
        intake.may_pace()
        task = asyncio.ensure_future(intake.run())
        for until_s, pace_ms in paces:
            intake.pace({site.every_ms: pace_ms})
            await asyncio.sleep(until_s - loop.time())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(story())


def test_what_speaks_by_itself_does_not_fail_because_its_group_is_hurried() -> None:
    """The GNSS of a dam says something once a minute, as its group is read; the emergency makes that 10 s. Each word is
    in one round; silent from 250 s on: that is judged within its own minute, hurried or not."""
    site = Site(every_ms=60_000, a=Polled(lambda _: 1), s=Speaking(60.0, 250.0, dies=True))
    site.wall_offset_ms -= 25_000
    hurried(site, [(129, 60_000), (210, 10_000), (300, 60_000), (420, 10_000)])
    heard = [((r.at_ms - START_MS) // 1000 + 25, r.values[1]) for r in site.rounds]
    assert [at_s for at_s, _ in heard if at_s < 300] == [0, 25, 85, *range(135, 216, 10), 265]
    assert [it for it in heard if it[1] is not None] == [(85, 6000), (135, 12000), (185, 18000), (265, 24000)]
    judged = [(round(one[3]), one[1]) for one in site.judged if one[0] == "s.1"]
    assert [value for _, value in judged if value] == [6000, 12000, 18000, 24000], "each once"
    assert [at_s for at_s, value in judged if value is None] == [25, *range(325, 420, 10)], "after its own minute"


def test_a_port_that_is_lost_is_silence_at_once_in_a_group_that_is_hurried() -> None:
    """A group of ten minutes that is read each 10 s; what speaks in it each 7 s has said its last at 644 s."""
    site = Site(every_ms=600_000, a=Polled(lambda _: 1), s=Speaking(7.0, 650.0))
    hurried(site, [(605, 600_000), (1505, 10_000)])
    assert site.said == ["port com: lost: unplugged"]
    held = [(r.at_ms - START_MS) // 1000 for r in site.rounds if r.values[1] is not None]
    assert held == [600, 610, 620, 630, 640, 650]
    silent = [round(one[3]) for one in site.judged if one[0] == "s.1" and one[1] is None]
    assert silent == list(range(660, 1505, 10))


def test_an_amount_that_is_heard_is_in_one_round_though_its_group_is_hurried() -> None:
    """Rain since the last message, once a minute: what stands in the rounds adds up to what was said."""
    site = Site(every_ms=60_000, a=Polled(lambda _: 1), s=Speaking(60.0, 590.0))
    site.wall_offset_ms -= 25_000
    hurried(site, [(100, 60_000), (700, 10_000)])
    told = [one[1] for one in site.judged if one[0] == "s.1" and one[1] is not None]
    assert len(told) == 9
    assert [r.values[1] for r in site.rounds if r.values[1] is not None] == told


def test_a_clock_that_is_set_back_brings_no_old_word_up_again() -> None:
    """Its last word comes at 49 s; the clock is an hour ahead, and set right at 100 s: that hour comes twice."""
    site = Site(every_ms=10_000, s=Speaking(1.0, 49.0))

    def set_back(site: Site) -> None:
        site.wall_offset_ms -= 3_600_000

    site.play(3700, meanwhile=set_back, at_s=100.0)
    held = [round((r.at_ms - START_MS) / 1000) for r in site.rounds if r.values[0] is not None]
    assert held == [10, 20, 30, 40, 50]


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
