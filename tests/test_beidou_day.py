"""A day by one civil card, the real driver against the simulated terminal: what `make bench` measures, in short."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from drivers.beidou.wire import Dialect
from sim.beidou.trouble import Trouble
from tests.beidou_world import World, play
from tests.bench.beidou import SLOT_S, sixty, ten
from tests.bench.figure import percentile
from tests.slot_world import ages_s, rows_at


@pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.value)
def test_every_round_of_ten_points_arrives_by_one_card(tmp_path: Path, dialect: Dialect) -> None:
    async def story(world: World) -> None:
        await world.gateway.read_for(8 * 3600)
        up, down = len(world.terminal.radiated), len(world.station_terminal.radiated)
        await asyncio.sleep(3600)
        assert rows_at(world.air) == world.taken
        assert percentile(list(ages_s(world.air).values()), 0.95) <= 180
        assert down <= up / 10
        assert world.terminal.over_rate == 0
        assert world.gateway.held() == 0

    rows, priors = ten()
    play(tmp_path, story, rows, priors=priors, dialect=dialect, lost=0.05, seed=4)


def test_every_round_of_sixty_points_arrives_by_one_card(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.gateway.read_for(8 * 3600)
        await asyncio.sleep(3600)
        assert rows_at(world.air) == world.taken
        assert percentile(list(ages_s(world.air).values()), 0.95) <= 1800

    rows, priors = sixty()
    play(tmp_path, story, rows, priors=priors, lost=0.05, seed=2)


@pytest.mark.parametrize("seed", range(3))
def test_killed_and_cut_off_again_and_again_nothing_is_lost_and_no_slot_taken_twice(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def story(world: World) -> None:
        await world.gateway.read_for(1800)
        for _ in range(12):
            await world.gateway.read_for(chance.uniform(60, 2400))
            await asyncio.sleep(2)  # what waits for its commit would be lost: that is `commit_every`
            await world.restart(dark_s=chance.uniform(3, 40) if chance.random() < 0.5 else 0.0)
        await world.gateway.read_for(1800)
        await asyncio.sleep(3600)
        assert world.terminal.over_rate == 0
        assert rows_at(world.air) == world.taken

    trouble = Trouble(
        seed, deaf=0.02, no_feedback=0.1, twice=0.05, late=0.05, lies=0.05, reset=0.03, slow=0.05, noise=0.02
    )
    play(tmp_path, story, ten()[0], priors=ten()[1], lost=0.05, seed=seed, trouble=trouble)


def test_a_red_alarm_is_on_the_air_at_the_next_slot_past_any_backlog(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for pile in range(5, 0, -1):
            world.gateway.pile_up(10_000, pile * 10_000)
            await asyncio.sleep(1.5)
        await world.gateway.read_for(1800)
        for pause_s in range(100, 200, 7):
            await world.gateway.read_for(pause_s)
            await world.gateway.alarm()
            raised_s = asyncio.get_running_loop().time()
            await world.gateway.read_for(90)
            first_s = next(m.radiated_s for m in world.terminal.radiated if m.radiated_s >= raised_s)
            assert first_s - raised_s <= SLOT_S + 2
        query = "SELECT received_at_ms - at_ms FROM alarms"
        ages = [row[0] / 1000 for row in world.province._store._db.execute(query)]
        assert len(ages) == 15
        assert percentile(ages, 0.95) <= SLOT_S + 10

    play(tmp_path, story, ten()[0], priors=ten()[1])


def test_a_terminal_that_lies_about_success_costs_a_slot_not_a_reading(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.gateway.read_for(3 * 3600)
        await asyncio.sleep(5400)
        assert rows_at(world.air) == world.taken
        assert world.gateway.held() == 0

    play(tmp_path, story, ten()[0], priors=ten()[1], trouble=Trouble(3, lies=0.3))


@pytest.mark.parametrize("what", ["inhibited", "silenced", "low_battery"])
def test_after_an_order_or_a_low_battery_is_over_alarms_go_again(tmp_path: Path, what: str) -> None:
    async def story(world: World) -> None:
        await world.gateway.read_for(900)
        setattr(world.terminal, what, True)
        world.plugs.touch()
        await world.gateway.read_for(600)
        assert world.link.state().trouble
        setattr(world.terminal, what, False)
        world.plugs.touch()
        await world.gateway.alarm()
        await world.gateway.read_for(1800)
        [(age_ms,)] = world.province._store._db.execute("SELECT received_at_ms - at_ms FROM alarms").fetchall()
        assert age_ms < 720_000
        assert not world.link.state().trouble
        assert world.terminal.over_rate == 0

    play(tmp_path, story, ten()[0], priors=ten()[1])
