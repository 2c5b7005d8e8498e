"""Intake where rounds are hurried, and where a wire can not carry what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from edge.clock import Clock
from edge.contract import Point, Reading
from edge.errors import DeviceSilent
from edge.intake import Intake
from sim.virtual import run
from tests.intake_site import START_MS, Polled, Site, Speaking, raising


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
