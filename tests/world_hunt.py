"""Hunts deliberate faults of the daemon (world_mutants.py) through random misfortune, and keeps what was found.

    python -m tests.world_hunt                        # all that is not found yet, through seeds 1 to 20
    python -m tests.world_hunt --minutes 30 --jobs 2  # a part of it; what was tried is not tried again
    python -m tests.world_hunt --only "no hold" --again
    python -m tests.world_hunt --table                # the table of sim/README.md

One line for each try goes into world_mutants_seeds.csv as soon as it is known: the hour of the play in which the
mutant's own promise was found broken, if it was, and the first promise that was found broken at all. A play goes on
until its mutant's promise is found broken. A seed counts only if the daemon without the fault keeps every promise in
the same story: that is played too, once for each seed, and stands there under the name HONEST.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from edge.config import Site
from sim.world import judge
from sim.world.misfortune import story_of
from sim.world.nouns import Broken, Story
from sim.world.scenario_site import with_key
from sim.world.stage import play_in_memory, read, standard
from tests.world_changes import Mutant
from tests.world_mutants import MUTANTS
from tests.world_site import site
from tests.world_stories import SMALL_QUOTA, small_store

SEEDS = range(1, 21)
FOUND = Path(__file__).with_name("world_mutants_seeds.csv")
HONEST = "no fault"
NO_MUTANT = Mutant(HONEST, "", "", contextlib.nullcontext)
BY_NAME = {mutant.name: mutant for mutant in (NO_MUTANT, *MUTANTS)}
PLAYS_OF_A_PROCESS = 25  # then a new one: what a play leaves in memory goes with it
EVERY_BROKEN = 1_000_000
TOLD = ("own_h", "first_h", "first", "cpu_s")


@dataclass(frozen=True, slots=True)
class Ground:
    """A site that random misfortune befalls, and how long. `without`: how kinds begin that are left out."""

    about: str
    days: float
    text: Callable[[], str]
    around: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    without: str | None = None


GROUNDS: Mapping[str, Ground] = {
    "standard": Ground("the standard site, 6 h", 0.25, lambda: standard()[0]),
    "one": Ground("8 points every 5 s, one road, 6 h", 0.25, lambda: site(links=("fibre",))),
    # Of a minute that the disk and memory have folded in part each, the province keeps one part: readings are lost.
    "small": Ground(
        f"32 points every 5 s, one road, a store of {SMALL_QUOTA}, 6 h, no disk trouble",
        0.25,
        lambda: site(links=("fibre",), quota=SMALL_QUOTA, more=24),
        small_store,
        "disk.",
    ),
    "day": Ground("the standard site, 24 h", 1.0, lambda: standard()[0]),
    "lazy": Ground(
        "the standard site with a commit each 20 s, 6 h",
        0.25,
        lambda: with_key(standard()[0], "store", "commit_every", "20s"),
    ),
    "crowd": Ground(
        "32 points every 10 s, Beidou only, 6 h", 0.25, lambda: site(links=("beidou",), every="10s", more=24)
    ),
    "sky": Ground("8 points every 20 s, Beidou only, 6 h", 0.25, lambda: site(links=("beidou",), every="20s")),
}


@dataclass(frozen=True, slots=True)
class Try:
    """What became of one mutant in one story. `own_h`: when its own promise was found broken, hours of the play, or
    empty; `first`: the first promise that was found broken at all, at `first_h`, or why there is no play."""

    mutant: str
    ground: str
    seed: int
    own_h: str
    first_h: str
    first: str
    cpu_s: str


class _Patient(judge.Watch):
    """Lets a play go on until one promise is found broken; of others only the first is noted."""

    wanted = ""
    first: Broken | None = None

    def check(self, now_s: float) -> list[Broken]:
        return self._own(super().check(now_s))

    def end(self, now_s: float) -> list[Broken]:
        return self._own(super().end(now_s))

    def _own(self, broken: list[Broken]) -> list[Broken]:
        for it in broken[:1]:
            type(self).first = type(self).first or it
        return [it for it in broken if not self.wanted or it.promise == self.wanted]


@cache
def read_ground(name: str) -> tuple[str, Site]:
    """Its site file's text, and as read."""
    ground = GROUNDS[name]
    with TemporaryDirectory() as folder, ground.around():
        return ground.text(), read(ground.text(), Path(folder))


def story(ground: str, seed: int) -> Story:
    """What a seed holds for a ground."""
    whole, without = story_of(seed, GROUNDS[ground].days, *read_ground(ground)), GROUNDS[ground].without
    left = tuple(it for it in whole.troubles if without is None or not it.kind.startswith(without))
    return replace(whole, troubles=left)


def try_one(name: str, ground: str, seed: int) -> Try:
    """Plays a seed with a mutant until its promise is found broken, or to the end."""
    began_s = time.process_time()
    mutant = BY_NAME[name]
    _Patient.wanted, _Patient.first = mutant.promise, None
    with (
        mock.patch("sim.world.world.Watch", _Patient),
        mock.patch.object(judge, "MOST_BROKEN", EVERY_BROKEN),
        GROUNDS[ground].around(),
        mutant.change(),
    ):
        broken = play_in_memory(story(ground, seed)).outcome.broken
    own = [it for it in broken if it.promise == mutant.promise]
    first = _Patient.first or next(iter(broken), None)
    return Try(
        mutant.name,
        ground,
        seed,
        f"{own[0].at_s / 3600:.2f}" if own else "",
        f"{first.at_s / 3600:.2f}" if first else "",
        first.promise if first else "",
        f"{time.process_time() - began_s:.0f}",
    )


# -- what is known -----------------------------------------------------------------------------------------------------


def known(path: Path = FOUND) -> list[Try]:
    """All that was tried, the last word on each story only."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            Try(row["mutant"], row["ground"], int(row["seed"]), *(row[name] for name in TOLD))
            for row in csv.DictReader(file)
        ]
    return list({(row.mutant, row.ground, row.seed): row for row in rows}.values())


def catches(mutant: Mutant, tries: Iterable[Try]) -> list[Try]:
    """The tries in which a mutant's own promise was found broken, in a story that the daemon itself keeps."""
    return [it for it in _shown(mutant, tries) if it.own_h]


def best(mutant: Mutant, tries: Iterable[Try]) -> Try | None:
    """The first of them; if there is none, the first in which another promise was found broken."""
    return next(iter(catches(mutant, tries) or _shown(mutant, tries)), None)


def _shown(mutant: Mutant, tries: Iterable[Try]) -> list[Try]:
    tries = list(tries)
    kept = {(it.ground, it.seed) for it in tries if it.mutant == HONEST and not it.first}
    mine = [it for it in tries if (it.mutant, it.ground) == (mutant.name, mutant.ground) and it.first_h]
    return sorted((it for it in mine if (it.ground, it.seed) in kept), key=lambda it: it.seed)


def _write(row: Try) -> None:
    new = not FOUND.exists()
    with FOUND.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Try)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))
    print(", ".join(str(value) for value in asdict(row).values()), flush=True)


# -- the hunt ----------------------------------------------------------------------------------------------------------

Key = tuple[str, str, int]  # mutant, ground, seed


def hunt(mutants: list[Mutant], seeds: Iterable[int], jobs: int, until_s: float, *, again: bool) -> None:
    """Plays one after the other what `_open` names, until it is `until_s` (monotonic)."""
    tried = {(it.mutant, it.ground, it.seed) for it in known() if it.mutant == HONEST or not again}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, max_tasks_per_child=PLAYS_OF_A_PROCESS) as pool:
        playing: dict[Future[Try], Key] = {}
        for key in _open(mutants, seeds, tried):
            if time.monotonic() > until_s:
                break
            tried.add(key)
            playing[pool.submit(try_one, *key)] = key
            while len(playing) >= jobs:
                _take(playing)
        while playing:
            _take(playing)


def _open(mutants: list[Mutant], seeds: Iterable[int], tried: set[Key]) -> Iterator[Key]:
    """Each mutant with the first seed, then those not caught with the next ..; after a catch the daemon without it."""
    for seed in seeds:
        for mutant in mutants:
            if mutant.ground and not catches(mutant, known()):
                yield from _once((mutant.name, mutant.ground, seed), tried)
        for row in known():
            if row.first_h and row.mutant != HONEST and row.seed == seed:
                yield from _once((HONEST, row.ground, seed), tried)


def _once(key: Key, tried: set[Key]) -> Iterator[Key]:
    if key not in tried:
        yield key


def _take(playing: dict[Future[Try], Key]) -> None:
    """Waits for the next play that is over. One that raised is a line too."""
    done, _ = wait(playing, return_when=FIRST_COMPLETED)
    for one in done:
        key, error = playing.pop(one), one.exception()
        if isinstance(error, BrokenExecutor):
            raise error  # not the play's doing: it is not tried
        _write(one.result() if error is None else Try(*key, "", "", f"raised {type(error).__name__}: {error}", ""))


# -- the table ---------------------------------------------------------------------------------------------------------


def table() -> str:
    """What is known, as sim/README.md has it."""
    tries = known()
    rows = [f"| {it.name} | {it.promise} | `{it.story}` | {_hunted(it, tries)} |" for it in MUTANTS]
    return "\n".join(["| fault | promise | written story | random story |", "|---|---|---|---|", *rows])


def _hunted(mutant: Mutant, tries: list[Try]) -> str:
    if not mutant.ground:
        return f"none: {mutant.why}"
    at = "" if mutant.ground == "standard" else f", `{mutant.ground}`"
    seeds = [it.seed for it in tries if (it.mutant, it.ground) == (mutant.name, mutant.ground)]
    found = best(mutant, tries)
    if found:
        nth = _nth(seeds.index(found.seed) + 1)
        told = f"hour {found.own_h}" if found.own_h else f"hour {found.first_h}, by {found.first}"
        return f"seed {found.seed}{at}: {told}; {nth} tried"
    return f"not by {len(seeds)} of {len(SEEDS)} tried{at}" if seeds else f"not tried{at}"


def _nth(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="no play is begun later")
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="plays at the same time")
    parser.add_argument(
        "--only", action="append", choices=list(BY_NAME), help="one mutant; may be given more than once"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--again", action="store_true", help="also what was tried and not caught: the judges are better"
    )
    parser.add_argument("--table", action="store_true", help="print the table, play nothing")
    asked = parser.parse_args()
    if asked.table:
        sys.stdout.write(table() + "\n")
        return
    mutants = [it for it in MUTANTS if not asked.only or it.name in asked.only]
    hunt(mutants, asked.seeds, asked.jobs, time.monotonic() + asked.minutes * 60, again=asked.again)


if __name__ == "__main__":
    main()
