"""Every state that a cut may leave, from a recording: which there are, and which of them break a promise.

At each event that changed something, cuts are made after a number of recipes (see `recipes`), each a choice of what
survives of the pending changes; those chosen by chance come from (seed, event) alone. A state has a name made of these,
so a failure can be built again: `rebuild`. States that are the same bytes under the same promises are asked once.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.powercut.disk import Data, Disk, Keep, Kept, Names, Pending, Rule, Tree
from tests.powercut.record import Event, Sync, Told

MEMORY_DISK = Path("/dev/shm")
SAMPLED = 2  # of each kind of recipe whose number grows with what is pending
SUBSETS = 2
BAD_SHOWN = 5  # more do not help
DROPPED_MOST_EVENTS = 400  # how far on a sync left out is followed, if it makes a difference for so long

How = Kept | frozenset[int]


class State(NamedTuple):
    """`point`: the cut is after this event. `told`: how many promises had been told by then."""

    point: int
    recipe: str
    tree: Tree
    told: int


Check = Callable[[Path, int], list[str]]
"""(folder with what a cut has left, how many promises were told) -> what is broken, in words."""

Key = tuple[bytes, int]


@dataclass
class Report:
    """`seen`: every state asked, so that another exploration needs not ask it again."""

    states: int = 0
    points: int = 0
    bad: list[str] = field(default_factory=list)
    seen: set[Key] = field(default_factory=set)


def recipes(pending: Sequence[Pending], rule: Rule, chance: random.Random) -> Iterator[tuple[str, Keep]]:
    """Names and choices of what survives."""
    count = len(pending)
    whole: dict[int, How] = dict.fromkeys(range(count), Kept.WHOLE)
    yield "everything", whole
    if not count:
        return
    yield "nothing", {}
    for last in sorted(chance.sample(range(1, count), min(SAMPLED, count - 1))):
        first = {place: how for place, how in whole.items() if place < last}
        yield f"the first {last} of {count}", first
        yield f"the first {last}, the last of them torn", {**first, last - 1: _torn(pending[last - 1], chance)}
    yield "only the last", {count - 1: Kept.WHOLE}
    yield "everything, the last torn", {**whole, count - 1: _torn(pending[-1], chance)}
    for lost in sorted(chance.sample(range(count), min(SAMPLED, count))):
        yield f"all but number {lost}", {place: how for place, how in whole.items() if place != lost}
    if rule is Rule.POSIX:
        yield (
            "names and sizes, no data",
            {place: Kept.WHOLE if isinstance(it, Names) else Kept.SIZE_ONLY for place, it in enumerate(pending)},
        )
        yield "data, no names", {place: how for place, how in whole.items() if not isinstance(pending[place], Names)}
    for number in range(SUBSETS):
        yield f"by chance, number {number}", _some(pending, chance)


def _torn(it: Pending, chance: random.Random) -> How:
    if not isinstance(it, Data) or len(it.sectors) < 2:
        return frozenset[int]() if isinstance(it, Data) else Kept.WHOLE
    return frozenset(chance.sample(it.sectors, chance.randrange(1, len(it.sectors))))


def _some(pending: Sequence[Pending], chance: random.Random) -> Keep:
    some: dict[int, How] = {}
    for place, it in enumerate(pending):
        if chance.random() < 0.5:
            some[place] = _torn(it, chance) if chance.random() < 0.3 else Kept.WHOLE
    return some


def cuts(disk: Disk, point: int, told: int, seed: int) -> Iterator[State]:
    """The states that a cut now may leave."""
    for name, keep in recipes(disk.pending, disk.rule, random.Random(f"{seed}/{point}")):
        yield State(point, name, disk.cut(keep), told)


def states(events: Sequence[Event], rule: Rule, start: Tree | None = None, seed: int = 1) -> Iterator[State]:
    """All of them, in the order of the recording."""
    disk = Disk(rule, start)
    told = 0
    for point, event in enumerate(events):
        told += isinstance(event, Told)
        if disk.apply(event) or isinstance(event, Told):
            yield from cuts(disk, point, told, seed)


def rebuild(
    events: Sequence[Event], rule: Rule, point: int, recipe: str, start: Tree | None = None, seed: int = 1
) -> State:
    """The state of a failure's name."""
    return next(s for s in states(events[: point + 1], rule, start, seed) if (s.point, s.recipe) == (point, recipe))


def explore(found: Iterator[State], check: Check, *, known: set[Key] | None = None, enough: int = BAD_SHOWN) -> Report:
    """Asks each state that is not `known`; ends after `enough` bad ones."""
    report = Report()
    points = set()
    with scratch() as folder:
        for state in found:
            key = _key(state)
            if key in report.seen or (known is not None and key in known):
                continue
            report.seen.add(key)
            points.add(state.point)
            problems = ask(state, check, folder)
            if problems:
                report.bad.append(f"cut after event {state.point}, {state.recipe!r}: {'; '.join(problems)}")
                if len(report.bad) >= enough:
                    break
    report.states, report.points = len(report.seen), len(points)
    return report


def ask(state: State, check: Check, folder: Path) -> list[str]:
    """What is broken in one state, which is built in `folder` and taken away again."""
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        state.tree.write(place)
        return check(place, state.told)
    finally:
        shutil.rmtree(place)


def without(
    events: Sequence[Event], left_out: int, rule: Rule, start: Tree | None = None, seed: int = 1
) -> Iterator[State]:
    """The states of a program that lacks one sync (an event's number), for as long as that makes a difference."""
    disk, honest = Disk(rule, start), Disk(rule, start)
    told = 0
    for point, event in enumerate(events[: left_out + DROPPED_MOST_EVENTS]):
        told += isinstance(event, Told)
        honest.apply(event)
        changed = disk.apply(event) if point != left_out else False
        if point <= left_out:
            continue
        if isinstance(event, Sync) and disk.same(honest):
            return
        if changed or isinstance(event, Told):
            yield from cuts(disk, point, told, seed)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on a disk that is memory, where there is one: thousands of states are written, and none is to stay."""
    at = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(dir=at, prefix="powercut-") as folder:
        yield Path(folder)


def _key(state: State) -> Key:
    digest = hashlib.blake2b(digest_size=16)
    for folder in sorted(state.tree.folders):
        digest.update(folder.encode() + b"\0")
    for path, data in sorted(state.tree.files.items()):
        digest.update(path.encode() + b"\0" + len(data).to_bytes(8, "big") + data)
    return digest.digest(), state.told
