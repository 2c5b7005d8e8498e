"""The world must see each deliberate fault of the daemon, and none where there is none (world_mutants.py).

Here each mutant is played in the short story that is known to show it. `make soak` hunts each of them through random
misfortune too, and prints the score: the table in sim/README.md.
"""

from __future__ import annotations

import time

import pytest

from sim.world.misfortune import story_of
from sim.world.stage import play_in_memory, standard
from tests.world_changes import Gone, Mutant, const, edit
from tests.world_mutants import MUTANTS
from tests.world_stories import STORIES, played

SEEDS = range(1, 21)
DAYS = 0.25


@pytest.mark.parametrize("name", STORIES)
def test_the_daemon_keeps_its_promises_in_each_story(name: str) -> None:
    assert not played(name).outcome.broken


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_fault_is_seen(mutant: Mutant) -> None:
    with mutant.change():
        broken = played(mutant.story).outcome.broken
    assert mutant.promise in {it.promise for it in broken}


def test_nothing_is_left_of_a_fault() -> None:
    from edge.ladder import LONGEST_RETRY_S
    from edge.relay import Relay

    before = Relay._receipt
    with MUTANTS[0].change():
        assert Relay._receipt is not before
    assert Relay._receipt is before
    assert LONGEST_RETRY_S < 10


@pytest.mark.parametrize(
    "change",
    [
        edit("edge.relay:Relay._receipt", ("what was never there", "pass")),
        edit("edge.relay:Relay._receipt", ("self", "pass")),  # more than once
        edit("edge.relay:Relay.never_there", ("a", "b")),
        edit("edge.relay:never_there", ("a", "b")),
        const("edge.relay:NEVER_THERE", 1),
    ],
)
def test_a_fault_that_cannot_be_made_any_more_is_loud(change: object) -> None:
    assert callable(change)
    with pytest.raises(Gone), change():
        pass


def test_names_are_told_apart() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20


@pytest.mark.soak
def test_random_misfortune_shows_faults() -> None:
    """Prints the score: name, promise, the first seed that shows it, processor seconds."""
    text, site = standard()
    caught = 0
    for mutant in MUTANTS:
        began_s = time.process_time()
        seed, promise = hunt(mutant, text, site)
        caught += seed is not None
        print(f"| {mutant.name} | {promise or '-'} | {seed or '-'} | {time.process_time() - began_s:.0f} |", flush=True)
    print(f"{caught} of {len(MUTANTS)} are shown by one of {len(SEEDS)} seeds of {24 * DAYS:g} h")
    assert caught >= len(MUTANTS) // 2


def hunt(mutant: Mutant, text: str, site: object) -> tuple[int | None, str]:
    """The first seed whose misfortune shows a mutant, and the promise that is found broken."""
    from edge.config import Site

    assert isinstance(site, Site)
    for seed in SEEDS:
        story = story_of(seed, DAYS, text, site)
        with mutant.change():
            broken = play_in_memory(story).outcome.broken
        if broken:
            return seed, broken[0].promise
    return None, ""
