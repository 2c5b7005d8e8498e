"""A day with a backlog on every dialect: processes killed, boxes powered off, feedback lost, late, doubled, resets.

No request is ever made before the card's period is over, and nearly all slots are used.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from drivers.beidou.wire import Dialect
from edge.contract import Sent
from sim.beidou.trouble import Trouble
from sim.virtual import run
from tests.beidou_rig import PACKET, Site, now, site

DAY_S = 86_400.0
SLOT_S = 63.2  # feedback comes 0.4 to 2 s after the request, and then period and margin: what the card's rule allows


async def keep_sending(here: Site, outcomes: dict[Sent, int]) -> None:
    """The relay with a backlog: a packet whenever the slot has come."""
    while True:
        state = here.state
        if state.up is not False and now() >= state.ready_s:
            outcomes[await here.link.send(PACKET)] += 1
        await asyncio.sleep(max(0.2, min(5.0, here.state.ready_s - now())))


async def restarts(here: Site, chance: random.Random, mean_s: float, until_s: float) -> int:
    """Kills the process again and again; half of the time the whole box has lost its power."""
    begun = 0
    while now() < until_s:
        await asyncio.sleep(min(chance.expovariate(1 / mean_s), until_s - now()))
        await here.stop()
        if chance.random() < 0.5:
            here.boot += 1
            here.utc_known = chance.random() < 0.5
            await asyncio.sleep(chance.uniform(5.0, 30.0))
        here.start()
        begun += 1
    return begun


@pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.value)
def test_over_rate_never_and_slots_used(dialect: Dialect) -> None:
    async def story() -> float:
        here = site(dialect, reports={})
        here.terminal.trouble = Trouble(7, no_feedback=0.05, twice=0.05, late=0.02, noise=0.01, reset=0.01)
        here.start()
        outcomes = dict.fromkeys(Sent, 0)
        sending = asyncio.create_task(keep_sending(here, outcomes))
        begun = await restarts(here, random.Random(11), 7200.0, DAY_S)
        sending.cancel()
        await here.stop()
        assert here.terminal.over_rate == 0
        assert begun > 5
        return len(here.terminal.radiated) / (now() / SLOT_S)

    used = run(story())
    assert used > 0.95


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_day(seed: int) -> None:
    """Restarts every ten minutes, everything wrong that can be: still no request too early."""

    async def story() -> None:
        chance = random.Random(seed)
        here = site(list(Dialect)[seed % 3], reports={})
        here.terminal.trouble = Trouble(
            seed, deaf=0.05, no_feedback=0.2, twice=0.1, late=0.1, lies=0.05, noise=0.05, reset=0.1, slow=0.2
        )
        here.terminal.trouble.fade_every_s = 3600.0
        here.start()
        outcomes = dict.fromkeys(Sent, 0)
        sending = asyncio.create_task(keep_sending(here, outcomes))
        await restarts(here, chance, 600.0, DAY_S / 4)
        sending.cancel()
        await here.stop()
        assert here.terminal.over_rate == 0
        assert len(here.terminal.radiated) > 150
        assert min(outcomes[Sent.SENT], outcomes[Sent.UNKNOWN]) > 20

    run(story())
