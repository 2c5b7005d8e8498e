"""One civil card in place of all other roads: days of it in virtual time, with the real driver, store and packets.

Terminal, card, satellite and the province's own card are `sim.beidou`'s: 2.1 dialect, level 3 (628 bits), 60 s, seconds
of delay, doubled and overtaking messages, loss as said. The rounds are REAL10 once a minute, with the priors that fifty
hours of it gave; sixty points are six such sites, each at another time of its record.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from edge.wire.fit import fit
from edge.wire.seal import SHORT_OVERHEAD_BYTES
from sim.beidou.trouble import Trouble
from tests.beidou_world import World, play
from tests.bench.coding import real10
from tests.bench.figure import Figure, at_most, percentile
from tests.bench.scratch import say
from tests.slot_world import Values, ages_s, rows_at

DAY_S = 86_400.0
AFTER_S = 3600.0  # for what is on the way when the day ends
LOSS = 0.05
SITES = 6  # of ten points, in the site of sixty
SLOT_S = (
    63.2  # the card's 60 s from its feedback on (0.4 to 2 s after the request) and 2 s of margin: facts, beidou 1.5
)
BACKLOG_ROUNDS = 1_000_000
PILE_ROUNDS = 10_000  # taken at once, a commit
PILES = 18  # before the fibre comes back
ALARMS = 100
TEN_AGE_S, SIXTY_AGE_S = 180.0, 1800.0
RECEIPTS_A_PACKET = 0.1
ON_AIR_S, ALARM_S, LOSSY_ALARM_S = SLOT_S + 2.0, SLOT_S + 10.0, 3 * SLOT_S
USED, DRAIN_READINGS_S = 0.95, 10_000.0


@cache
def ten() -> tuple[list[Values], tuple[bytes, ...]]:
    """Rounds of ten points and their priors."""
    rows: list[Values] = [row.values for row in real10()]
    half = len(rows) // 2
    return rows[half:], fit(len(rows[0]), rows[:half])


@cache
def sixty() -> tuple[list[Values], tuple[bytes, ...]]:
    """Rounds of sixty points and their priors."""
    rows, priors = ten()
    step = len(rows) // SITES
    wide = [sum((rows[(i + k * step) % len(rows)] for k in range(SITES)), ()) for i in range(len(rows))]
    return wide, priors * SITES


def run() -> Iterator[Figure]:
    """All figures of this part."""
    yield Figure(
        "overhead in a 77-byte message", f"{SHORT_OVERHEAD_BYTES} B", "<= 12 B", SHORT_OVERHEAD_BYTES <= 12, ""
    )
    yield from day("ten points a minute", *ten(), TEN_AGE_S)
    yield from day("sixty points a minute", *sixty(), SIXTY_AGE_S)
    yield from bad_day()
    yield from alarms(0.0)
    yield from alarms(LOSS)
    yield from fibre_back()


def played(story: Callable[[World], Awaitable[Any]], rows: list[Values], priors: Any, **more: Any) -> None:
    """One world on a scratch folder, and how long it took."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fengsui-bench-") as folder:
        play(Path(folder), story, rows, priors=priors, **more)
    say(f"  a world of {time.monotonic() - began_s:.0f} s")


def day(name: str, rows: list[Values], priors: tuple[bytes, ...], most_age_s: float) -> Iterator[Figure]:
    """A day by nothing but the card, 5 % of the messages lost each way."""
    found: dict[str, Any] = {}

    async def story(world: World) -> None:
        await world.gateway.read_for(DAY_S)
        found["up"], found["down"] = len(world.terminal.radiated), len(world.station_terminal.radiated)
        await asyncio.sleep(AFTER_S)
        there = rows_at(world.air)
        found["missing"] = sum(there.get(at_ms) != values for at_ms, values in world.taken.items())
        found["taken"], found["ages"] = len(world.taken), list(ages_s(world.air).values())

    played(story, rows, priors, lost=LOSS)
    how = f"24 h, {found['taken']} rounds, level 3 card of 60 s, {LOSS:.0%} lost each way, no other link, one seed"
    yield at_most(f"{name}: rounds missing or wrong", found["missing"], 0, "", f"{how}; compared value by value")
    age_s = percentile(found["ages"], 0.95)
    note = f" (median {statistics.median(found['ages']):.0f}, worst {max(found['ages']):.0f})"
    yield at_most(f"{name}: age at the province, p95", age_s, most_age_s, "s", how, note)
    share = found["down"] / found["up"]
    note = f" ({found['down']} for {found['up']})"
    yield at_most(f"{name}: receipts for each packet", share, RECEIPTS_A_PACKET, "", how, note)


def bad_day() -> Iterator[Figure]:
    """Backlog, processes killed, power cut, feedback lost, late and doubled: the card's rule and its slots."""
    found: dict[str, Any] = {}
    chance = random.Random(3)

    async def story(world: World) -> None:
        world.gateway.pile_up(19_000)
        end_s, restarts = DAY_S, 0
        loop = asyncio.get_running_loop()
        while loop.time() < end_s:
            await world.gateway.read_for(min(chance.expovariate(1 / 5400), end_s - loop.time()))
            restarts += 1
            await world.restart(dark_s=chance.uniform(5, 30) if chance.random() < 0.5 else 0.0)
        radiated = [message.radiated_s for message in world.terminal.radiated]
        found.update(over=world.terminal.over_rate, used=len(radiated) / (loop.time() / SLOT_S), restarts=restarts)

    trouble = Trouble(5, no_feedback=0.05, twice=0.05, late=0.02, noise=0.01, reset=0.01)
    played(story, *ten(), lost=LOSS, trouble=trouble)
    how = (
        f"24 h with a backlog, {found['restarts']} restarts (half of them power cuts), 5 % of feedback lost, 5 % "
        "doubled, 2 % late, 1 % of sends reset the terminal; counted by the simulated terminal"
    )
    yield at_most("requests before the card's period was over", found["over"], 0, "", how)
    used = found["used"]
    yield Figure("legal slots used", f"{used:.1%}", f">= {USED:.0%}", used >= USED, f"{how}; a slot is {SLOT_S} s")


def alarms(lost: float) -> Iterator[Figure]:
    """Red alarms at random instants past a million entries."""
    on_air_s: list[float] = []
    came_s: list[float] = []
    chance = random.Random(9)

    async def story(world: World) -> None:

        for _ in range(BACKLOG_ROUNDS // PILE_ROUNDS):
            world.gateway.pile_up(PILE_ROUNDS)
            await asyncio.sleep(1.5)
        await world.restart()
        await world.gateway.read_for(1800)
        for _ in range(ALARMS):
            await world.gateway.read_for(chance.uniform(100, 200))
            await world.gateway.alarm()
            raised_s = asyncio.get_running_loop().time()
            await world.gateway.read_for(130)
            first = next(m.radiated_s for m in world.terminal.radiated if m.radiated_s >= raised_s)
            on_air_s.append(first - raised_s)

        await world.gateway.read_for(900)
        query = "SELECT received_at_ms - at_ms FROM alarms"
        came_s.extend(row[0] / 1000 for row in world.province._store._db.execute(query))
        assert len(came_s) == ALARMS, "every alarm arrived"

    played(story, *ten(), lost=lost)
    how = f"{ALARMS} red alarms at random instants, {BACKLOG_ROUNDS} entries queued, {lost:.0%} lost each way"
    if not lost:
        note = f" (median {statistics.median(on_air_s):.0f})"
        yield at_most("red alarm on the air, worst", max(on_air_s), ON_AIR_S, "s", f"{how}; the next slot", note)
    most_s = LOSSY_ALARM_S if lost else ALARM_S
    note = f" (median {statistics.median(came_s):.0f}, worst {max(came_s):.0f})"
    yield at_most(f"red alarm at the province, {lost:.0%} lost, p95", percentile(came_s, 0.95), most_s, "s", how, note)


def fibre_back() -> Iterator[Figure]:
    """A day by the card, then the fibre: what it still carries, and how fast."""
    found: dict[str, Any] = {}

    async def story(world: World) -> None:
        for pile in range(PILES, 0, -1):
            world.gateway.pile_up(PILE_ROUNDS, pile * PILE_ROUNDS)
            await asyncio.sleep(1.5)
        await world.gateway.read_for(DAY_S)
        counts, before = world.province.counts, len(rows_at(world.air))
        repeated = counts["repeated"]
        world.wide.working = True
        began_s = time.perf_counter()
        await world.gateway.drained()
        found["took_s"] = time.perf_counter() - began_s
        there = rows_at(world.air)
        found["missing"] = sum(there.get(at_ms) != values for at_ms, values in world.taken.items())
        found["repeated"] = counts["repeated"] - repeated
        found["drained"] = 10 * (len(there) - before)

    played(story, *ten(), lost=LOSS)
    how = (
        f"after 24 h by the card and {PILES * PILE_ROUNDS} rounds of before; gateway and province in one process here, "
        "the link in memory, the disk of the province without fsync"
    )
    yield at_most("fibre back: rounds missing or wrong", found["missing"], 0, "", how)
    yield at_most("fibre back: rounds sent again", found["repeated"], 0, "", how)
    rate = found["drained"] / found["took_s"]
    shown = f"{rate:.0f} readings/s"
    yield Figure("fibre back: drained", shown, f">= {DRAIN_READINGS_S:.0f}", rate >= DRAIN_READINGS_S, how)
