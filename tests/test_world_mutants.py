"""The world must see each deliberate fault of the daemon, and none where there is none (world_mutants.py).

Here each mutant is played in the short story that was written to show it. `make soak` plays each in a random story that
is known to show it too; `python -m tests.world_hunt` looks for one. The table in sim/README.md has both.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world_changes import Gone, Mutant, const, edit
from tests.world_hunt import BY_NAME, GROUNDS, HONEST, Try, best, catches, known, table, try_one
from tests.world_mutants import MUTANTS
from tests.world_stories import STORIES, played

README = Path(__file__).parents[1] / "sim" / "README.md"


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


# -- through random misfortune -----------------------------------------------------------------------------------------


def test_the_table_says_what_is_known() -> None:
    assert table() in README.read_text("utf-8"), "python -m tests.world_hunt --table, into sim/README.md"


def test_what_is_known_is_of_faults_that_are_there() -> None:
    assert {it.mutant for it in known()} <= set(BY_NAME)
    assert all(mutant.ground in GROUNDS or mutant.why for mutant in MUTANTS)


def test_a_seed_counts_only_where_the_daemon_keeps_its_promises() -> None:
    mutant = MUTANTS[0]
    other, own = (
        Try(mutant.name, mutant.ground, seed, hour, "0.1", "2 custody", "1") for seed, hour in ((1, ""), (2, "1"))
    )
    kept, broken = (Try(HONEST, mutant.ground, 2, "", "", first, "9") for first in ("", "3 alarms"))
    assert catches(mutant, [other, own, kept]) == [own]
    assert not catches(mutant, [other, own])
    assert not catches(mutant, [other, own, broken])
    assert best(mutant, [own, broken]) is None
    elsewhere = Try(mutant.name, mutant.ground, 2, "", "0.1", "1 kept", "1")
    assert best(mutant, [elsewhere, kept]) == elsewhere


def test_a_hunt_ends_with_the_own_promise() -> None:
    found = try_one("values are cut, not rounded", "standard", 1)
    assert found.own_h == found.first_h == "0.00"


TRIES = known()
BEST = {mutant.name: found for mutant in MUTANTS if (found := best(mutant, TRIES))}


@pytest.mark.soak
@pytest.mark.parametrize("name", BEST)
def test_random_misfortune_shows_it(name: str) -> None:
    """With the seed that is known to do it, by the promise that is known to be broken (world_mutants_seeds.csv)."""
    before = BEST[name]
    now = try_one(name, before.ground, before.seed)
    assert now.own_h if before.own_h else now.first == before.first


@pytest.mark.soak
@pytest.mark.parametrize(("ground", "seed"), sorted({(it.ground, it.seed) for it in BEST.values()}))
def test_the_daemon_keeps_its_promises_where_faults_are_hunted(ground: str, seed: int) -> None:
    assert not try_one(HONEST, ground, seed).first
