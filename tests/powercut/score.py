"""Would it be noticed? Leaves out each sync of a recording, one at a time, and looks for a broken promise.

A sync whose lack breaks nothing is redundant only when the reason can be shown. Either no cut can leave anything that
it could not leave anyway (an earlier sync has done it all); or all states that only its lack makes have been asked and
keep the promises, and before anything more was promised another sync covered the same file, or the file had gone. What
is neither noticed nor so shown is MISSED.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.powercut.disk import Rule, Tree
from tests.powercut.explore import Check, Key, explore, without
from tests.powercut.record import Event, Open, Remove, Sync, Told

NO_NEW_STATE = "no cut leaves anything else"
COVERED = "covered before the next promise, all states until then hold"
MISSED = "MISSED"


class Verdict(NamedTuple):
    """What leaving out the sync of `event` on `path` did. `noticed`: the broken promise, "" for none; `states`: how
    many only its lack makes; `covered`: another sync does its work before the next promise."""

    event: int
    path: str
    noticed: str
    states: int
    covered: bool

    @property
    def outcome(self) -> str:
        if self.noticed:
            return "noticed"
        if not self.states:
            return NO_NEW_STATE
        return COVERED if self.covered else MISSED


def score(
    events: Sequence[Event], rule: Rule, check: Check, known: set[Key], start: Tree | None = None, seed: int = 1
) -> list[Verdict]:
    """One verdict for each sync. `known`: the states of the whole recording, which keep the promises."""
    verdicts = []
    paths: dict[int, str] = {}
    for number, event in enumerate(events):
        if isinstance(event, Open):
            paths[event.descriptor] = event.path
        elif isinstance(event, Sync):
            report = explore(without(events, number, rule, start, seed), check, known=known, enough=1)
            noticed = report.bad[0] if report.bad else ""
            path = paths[event.descriptor]
            verdicts.append(
                Verdict(number, path, noticed, report.states, _covered(events[number + 1 :], path, dict(paths)))
            )
    return verdicts


def _covered(later: Sequence[Event], path: str, paths: dict[int, str]) -> bool:
    """Whether the file is synced again, or is gone, before anything is told. `paths`: what is open."""
    for event in later:
        match event:
            case Told():
                return False
            case Open():
                paths[event.descriptor] = event.path
            case Sync() if paths[event.descriptor] == path:
                return True
            case Remove() if event.path == path:
                return True
    return False


def lines(name: str, verdicts: Sequence[Verdict]) -> list[str]:
    """The score as a person reads it: all, then file by file."""
    total = Counter(verdict.outcome for verdict in verdicts)
    found = [f"{name}: {len(verdicts)} syncs left out one by one: {_counts(total)}"]
    by_path: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        by_path.setdefault(verdict.path, Counter())[verdict.outcome] += 1
    return found + [f"    {path:32} {_counts(counts)}" for path, counts in sorted(by_path.items())]


def _counts(counts: Counter[str]) -> str:
    return ", ".join(
        f"{count} {outcome}" for outcome, count in sorted(counts.items(), key=lambda it: it[0] != "noticed")
    )
