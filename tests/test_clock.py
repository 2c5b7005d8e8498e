"""The clock: cold boots, steps, and whom to believe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from edge.answers import since_ms
from edge.clock import BUILT_MS, TRUST_LASTS_S, Clock
from edge.contract import ClockQuality, Level
from edge.dating import date_all
from edge.entries import Standing
from edge.keeper import Keeper

NOON_MS = BUILT_MS + 200 * 86_400_000


class World:
    """A wall clock and a monotonic one, moved by the test."""

    def __init__(self, wall_ms: int, synchronised: bool = False) -> None:
        self.wall_ms = wall_ms
        self.mono_s = 50.0
        self.synchronised = synchronised

    def clock(self) -> Clock:
        return Clock(lambda: self.wall_ms, lambda: self.mono_s, lambda: self.synchronised, boot=7)

    def passes(self, seconds: float) -> None:
        self.mono_s += seconds
        self.wall_ms += int(seconds * 1000)


def test_a_plausible_wall_clock_is_free_a_synchronised_one_trusted() -> None:
    assert World(NOON_MS).clock().now().quality is ClockQuality.FREE
    stamp = World(NOON_MS, synchronised=True).clock().now()
    assert (stamp.at_ms, stamp.quality) == (NOON_MS, ClockQuality.TRUSTED)


def test_1970_is_not_believed_and_time_since_boot_is_given() -> None:
    clock = World(3_600_000).clock()
    assert (clock.now().at_ms, clock.now().quality) == (50_000, ClockQuality.UNKNOWN)


def test_a_clock_before_the_newest_record_is_not_believed() -> None:
    clock = World(NOON_MS - 1000).clock()
    assert clock.now().quality is ClockQuality.FREE
    clock.set_floor(NOON_MS)
    assert clock.now().quality is ClockQuality.UNKNOWN


def test_a_known_time_that_jumps_is_told_once_and_slewing_is_not() -> None:
    world = World(NOON_MS + 3 * 365 * 86_400_000)
    clock = world.clock()
    assert clock.stepped() == ""
    world.wall_ms += 50_000
    clock.update()
    assert clock.stepped() == ""
    clock.learn(NOON_MS, 40, "the province")
    said = clock.stepped()
    assert said.startswith("the time was corrected from 2029-07-19 00:00:50Z to 2026-07-20 00:00:00Z, by the province")
    assert clock.stepped() == ""


def test_a_jump_to_no_date_at_all_is_told_too() -> None:
    clock = World(NOON_MS).clock()
    clock.learn(1e18, 40, "the province")
    assert "to 9999-12-31 23:59:59Z" in clock.stepped()


def test_a_time_that_is_learnt_is_no_correction() -> None:
    clock = World(0).clock()
    clock.learn(NOON_MS, 40, "the province")
    assert clock.stepped() == ""


def test_the_provinces_time_ends_not_knowing_and_gives_the_offset() -> None:
    world = World(0)
    clock = world.clock()
    assert clock.learn(NOON_MS, 40, "the province") == NOON_MS - 50_000
    world.passes(10)
    assert (clock.now().at_ms, clock.now().quality) == (NOON_MS + 10_000, ClockQuality.TRUSTED)
    assert clock.learn(NOON_MS + 10_000, 40, "the province") is None


def test_a_wall_clock_set_by_hand_ends_not_knowing_too() -> None:
    world = World(0)
    clock = world.clock()
    world.wall_ms = NOON_MS
    assert clock.update() == NOON_MS - 50_000
    assert clock.quality is ClockQuality.FREE


def test_an_unconfirmed_step_does_not_move_a_trusted_time() -> None:
    world = World(NOON_MS)
    clock = world.clock()
    clock.learn(NOON_MS, 40, "the province")
    world.wall_ms += 10 * 365 * 86_400_000
    clock.update()
    assert clock.now().at_ms == NOON_MS


def test_a_slow_or_absurd_answer_tells_no_time() -> None:
    clock = World(0).clock()
    assert clock.learn(NOON_MS, 6_000, "a slow receipt") is None
    assert clock.learn(1000, 10, "a province in 1970") is None
    assert clock.quality is ClockQuality.UNKNOWN


def test_the_kernel_knows_better_than_a_receipt() -> None:
    clock = World(NOON_MS, synchronised=True).clock()
    clock.learn(NOON_MS + 60_000, 100, "a province that is a minute off")
    assert clock.now().at_ms == NOON_MS


def test_trust_wears_off() -> None:
    world = World(NOON_MS)
    clock = world.clock()
    clock.learn(NOON_MS, 40, "the province")
    world.passes(TRUST_LASTS_S + 1)
    clock.update()
    assert clock.quality is ClockQuality.FREE


def test_a_better_word_replaces_a_worse_one_and_a_worse_one_only_confirms() -> None:
    world = World(0)
    clock = world.clock()
    clock.learn(NOON_MS + 400, 1000, "GNSS of link beidou")
    assert clock.learn(NOON_MS, 600, "a slow receipt") is None
    assert clock.now().at_ms == NOON_MS + 400, "hardly better: not worth a step"
    assert clock.learn(NOON_MS, 50, "the province") is None, "it was known before"
    assert (clock.now().at_ms, clock.source) == (NOON_MS, "the province")
    clock.learn(NOON_MS + 400, 1000, "GNSS of link beidou")
    clock.learn(NOON_MS + 40, 40, "the province")
    assert (clock.now().at_ms, clock.source) == (NOON_MS, "the province")


def test_what_a_time_is_good_for_wears_off() -> None:
    world = World(0)
    clock = world.clock()
    clock.learn(NOON_MS, 40, "the province")
    drift_ms = 0
    for hour in range(1, 24):
        world.passes(3600)
        drift_ms = -180 * hour  # 50 ppm: our crystal is fast
        clock.learn(NOON_MS + hour * 3_600_000 + drift_ms, 40, "the province")
        assert abs(clock.now().at_ms - (NOON_MS + hour * 3_600_000 + drift_ms)) <= 100


def test_a_synchronised_kernel_is_not_refined_by_anybody() -> None:
    clock = World(NOON_MS, synchronised=True).clock()
    clock.learn(NOON_MS + 300, 1, "the province")
    assert clock.now().at_ms == NOON_MS


def test_an_alarm_began_when_it_began_whatever_the_clock_said_then() -> None:
    world = World(0)
    clock = world.clock()
    undated = Standing("high", Level.RED, 7, clock.now().at_ms, clock.boot, world.mono_s, ClockQuality.UNKNOWN)
    assert since_ms(undated, clock) == 50_000  # since boot, as everything is shown then
    world.passes(600)
    world.wall_ms = NOON_MS - 7_200_000  # somebody sets it, two hours off
    clock.update()
    world.passes(60)
    off = Standing("low", Level.BLUE, 3, clock.now().at_ms, clock.boot, world.mono_s, ClockQuality.FREE)
    world.passes(40)
    clock.learn(NOON_MS, 100, "the province")
    assert since_ms(undated, clock) == NOON_MS - 700_000
    assert since_ms(off, clock) == NOON_MS - 40_000


def test_of_another_boot_only_a_date_is_told() -> None:
    clock = World(NOON_MS, synchronised=True).clock()
    dated = Standing("high", Level.RED, 7, NOON_MS - 5_000, 6, 30.0, ClockQuality.TRUSTED)
    undated = Standing("high", Level.RED, 7, 30_000, 6, 30.0, ClockQuality.UNKNOWN)
    older_store = Standing("high", Level.RED, 7, NOON_MS - 9_000)
    found = [since_ms(standing, clock) for standing in (dated, undated, older_store, None)]
    assert found == [NOON_MS - 5_000, None, NOON_MS - 9_000, None]


class Kept:
    """A store that keeps what it is given."""

    def __init__(self) -> None:
        self.standings: list[Standing] = []

    async def take_now(self, entries: Sequence[Any], standings: Sequence[Standing]) -> None:
        assert not entries
        self.standings += standings

    async def call(self, *_what: Any) -> int:
        return 0


def test_the_store_learns_when_a_level_began_for_the_next_boot_has_another_monotonic_clock() -> None:
    world, kept = World(NOON_MS - 7_200_000), Kept()
    clock, store = world.clock(), cast(Keeper, kept)
    since = {
        "unsure": Standing("unsure", Level.RED, 7, clock.now().at_ms, clock.boot, world.mono_s, ClockQuality.FREE),
        "older": Standing("older", Level.BLUE, 1, 30_000, 6, 30.0, ClockQuality.UNKNOWN),
    }
    asyncio.run(date_all(clock, store, [], since))
    assert kept.standings == []  # nothing is better known than it was
    world.passes(100)
    clock.learn(NOON_MS, 100, "the province")
    for _ in range(2):
        asyncio.run(date_all(clock, store, [], since))
    known = Standing("unsure", Level.RED, 7, NOON_MS - 100_000, clock.boot, 50.0, ClockQuality.TRUSTED)
    assert kept.standings == [known]  # once
    world.mono_s = 9.0
    assert since_ms(since["unsure"], Clock(lambda: NOON_MS, lambda: world.mono_s, lambda: True, boot=8)) == known.at_ms
