"""Distortions of a play made by hand: what a test does to it, and which promises the judges must then find broken.

A test file makes `Cases`, marks each of its distortions with `@breaks(...)`, and ends with the two checks of all.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from edge.contract import Kind
from sim.world.nouns import Record, Shown, Span
from tests.judged_play import SHOWS, Play, faultless, number

Distort = Callable[[Play], None]
KEPT, CUSTODY, ALARMS, ONCE = "1 kept", "2 custody", "3 alarms", "4 once"
VALUES, TIME, STARTS, BOUNDED, LINKS = "5 honest values", "6 honest time", "7 starts", "8 bounded", "10 links"
SOME = 5  # of so many distortions one is looked at now and then too


class Cases:
    """All distortions of one file."""

    def __init__(self) -> None:
        self.all: list[tuple[Distort, set[str]]] = []

    def breaks(self, *promises: str) -> Callable[[Distort], Distort]:
        """The distortion breaks these, and nothing else."""

        def note(distort: Distort) -> Distort:
            self.all.append((distort, set(promises)))
            return distort

        return note

    def each(self, every: int = 1) -> pytest.MarkDecorator:
        """A test of `distort` and `promises` for each (of so many one)."""
        return pytest.mark.parametrize(("distort", "promises"), self.all[::every], ids=_name)


def _name(it: object) -> str | None:
    return getattr(it, "__name__", None)


def check(distort: Distort, promises: set[str], folder: Path) -> None:
    """All looked at once."""
    play = faultless(folder)
    distort(play)
    found = play.judge(folder)
    assert {it.promise for it in found} == promises, found


def check_now_and_then(distort: Distort, promises: set[str], folder: Path) -> None:
    """The same, looked at each ten minutes."""
    play = faultless(folder)
    distort(play)
    found = play.watch(folder, 600.0)
    assert {it.promise for it in found} == promises, found


def renumber(play: Play) -> None:
    """As if what is gone had never been taken: no seq is missing."""
    play.accounts.clear()
    number(play)


def unshow(record: Record, point: str, from_s: float, to_s: float, with_: Shown | None = None) -> None:
    """The instrument gave nothing then, or something else."""
    shown = record.shown[point]
    place = next(place for place, one in enumerate(shown) if one.at_s >= from_s)
    shown[:] = [one for one in shown if not from_s <= one.at_s < to_s]
    if with_ is None:
        record.failed.setdefault(point, []).append(from_s)
    else:
        shown.insert(place, with_)


def cut_off(play: Play, from_s: float, to_s: float) -> None:
    """The fibre is gone for a while and there is no sky; what was taken then arrives when it is back."""
    play.record.usable = {"fibre": [Span(0.0, from_s), Span(to_s, inf)], "beidou": [Span(0.0, 0.0)]}
    play.record.used["fibre"] = [0.5, to_s + 1.0]
    for told in play.alarms:
        if from_s <= told.received_s < to_s:
            told.received_s = to_s + 2.0
    for one in play.rounds:
        if from_s <= one.received_s < to_s:
            one.received_s = to_s + 3.0
    play.packets = [it for it in play.packets if not from_s <= it[4] < to_s]
    play.packets.append((90_000, int(Kind.ROUNDS), 900, "fibre", to_s + 3.0))
    renumber(play)


def restarted(play: Play, end_s: float, start_s: float, why: str) -> None:
    """The daemon did not run from one instant to another: nothing was asked, nothing taken."""
    play.record.running[:] = [Span(0.0, end_s, why), Span(start_s, inf)]
    if why.startswith("power."):
        play.trouble(why, end_s, start_s - end_s)
    for point in SHOWS:
        play.record.shown[point] = [it for it in play.record.shown[point] if not end_s <= it.at_s < start_s]
    play.record.used["fibre"].append(start_s + 0.5)
    play.rounds = [one for one in play.rounds if not end_s <= one.at_s < start_s]
    first = next(one for one in play.rounds if one.at_s >= start_s)
    first.steps.update(direction=None, wind=None)  # nobody has listened before
    play.packets = [it for it in play.packets if not end_s <= it[4] < start_s]
    renumber(play)


def fold(play: Play, from_s: float, window_s: int) -> None:
    """Rounds that are folded: a window of each point stands for them, and the account says so."""
    gone = [one for one in play.rounds if from_s <= one.at_s < from_s + window_s]
    play.rounds = [one for one in play.rounds if one not in gone]
    renumber(play)
    for point in ("calm", *(name for name in SHOWS if name != "calm")):
        steps = [value for one in gone if (value := one.steps[point]) is not None]
        unit = unit_of(point)
        three = (min(steps) * unit, round(sum(steps) / len(steps)) * unit, max(steps) * unit)
        play.windows.append((point, window_s, from_s, *three, len(steps)))


def unit_of(point: str) -> float:
    """The step as a double, so that values and their steps fit as the province's do."""
    return {"direction": 1.0, "calm": 0.01, "level": 0.01}.get(point, 0.1)
