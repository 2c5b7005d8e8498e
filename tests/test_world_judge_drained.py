"""From when on all must be there: what the judges reckon from the roads that were open, without a daemon."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from edge.contract import Kind
from sim.world.judge import Watch
from sim.world.nouns import Broken, Span
from tests.judged_cases import KEPT, cut_off, renumber, unit_of
from tests.judged_play import SHOWS, Play, faultless, site_of

SHORT_S = 180.0
WINDOW_S = 600


def ended(play: Play, folder: Path) -> tuple[list[Broken], float]:
    """What the judges say, and at how many instants they demanded a round."""
    watch = Watch(play.record, play.site, [play.write(folder / "province.db")], play.story())
    return list(watch.end(play.lasts_s)), watch.sums()["judged"]


def without(play: Play, from_s: float, to_s: float) -> None:
    play.rounds = [one for one in play.rounds if not from_s <= one.at_s < to_s]
    renumber(play)


def test_three_minutes_are_judged(tmp_path: Path) -> None:
    broken, judged = ended(faultless(tmp_path, SHORT_S), tmp_path)
    assert broken == []
    assert judged >= 6


def test_a_round_that_is_lost_in_three_minutes_is_missed(tmp_path: Path) -> None:
    play = faultless(tmp_path, SHORT_S)
    without(play, 40.0, 50.0)
    broken, _ = ended(play, tmp_path)
    assert [it.promise for it in broken] == [KEPT]


def test_what_has_just_been_taken_may_be_on_its_way(tmp_path: Path) -> None:
    play = faultless(tmp_path, SHORT_S)
    without(play, 150.0, 180.0)
    assert ended(play, tmp_path)[0] == []


@pytest.mark.parametrize(("open_s", "promises"), [(150.0, set()), (400.0, {KEPT})])
def test_what_has_piled_up_needs_time(open_s: float, promises: set[str], tmp_path: Path) -> None:
    """The road is back for so long, and of what was taken before it went a round is not there."""
    play = faultless(tmp_path)
    cut_off(play, 3500.0, play.lasts_s - open_s)
    without(play, 6000.0, 6010.0)
    broken, _ = ended(play, tmp_path)
    assert {it.promise for it in broken} == promises


# -- a site that has a card only


def summed_up(play: Play) -> None:
    """No road but the card's: one round in ten minutes, and windows that count them all."""
    gone = [one for one in play.rounds if one.at_s % WINDOW_S]
    starts = range(-200, round(play.lasts_s) - WINDOW_S, WINDOW_S)  # the world begins 200 s after a window does
    for point in SHOWS:
        for from_s in starts:
            mine = [one for one in gone if from_s <= one.at_s < from_s + WINDOW_S]
            steps = [it for one in mine if (it := one.steps[point]) is not None]
            if steps:
                unit = unit_of(point)
                three = (min(steps) * unit, round(sum(steps) / len(steps)) * unit, max(steps) * unit)
                play.windows.append((point, WINDOW_S, float(from_s), *three, len(steps)))
    play.rounds = [one for one in play.rounds if not one.at_s % WINDOW_S]
    renumber(play)


def by_card(folder: Path, distort: Callable[[Play], None]) -> tuple[set[str], float]:
    play = faultless(folder)
    play.site = site_of(folder, only_card=True)
    play.record.usable = {"beidou": [Span(0.0, inf)]}
    play.record.used = {"beidou": [0.5]}
    play.packets = [(n, int(Kind.ROUNDS), 70, "beidou", 180.0 + 65.0 * n) for n in range(108)]
    summed_up(play)
    distort(play)
    broken, judged = ended(play, folder)
    return {it.promise for it in broken}, judged


def test_windows_that_count_all_rounds_are_enough(tmp_path: Path) -> None:
    promises, judged = by_card(tmp_path, lambda _: None)
    assert promises == set()
    assert judged > 400


def test_a_window_that_never_came_is_missed(tmp_path: Path) -> None:
    def distort(play: Play) -> None:
        play.windows = [it for it in play.windows if (it[0], it[2]) != ("calm", 2200.0)]

    assert by_card(tmp_path, distort)[0] == {KEPT}


def test_a_window_that_counts_too_few_is_missed(tmp_path: Path) -> None:
    def distort(play: Play) -> None:
        play.windows = [(*it[:6], it[6] - 5) if (it[0], it[2]) == ("calm", 2200.0) else it for it in play.windows]

    assert by_card(tmp_path, distort)[0] == {KEPT}


def test_a_window_that_has_just_ended_may_be_on_its_way(tmp_path: Path) -> None:
    def distort(play: Play) -> None:
        play.windows = [it for it in play.windows if it[2] < 5800]

    assert by_card(tmp_path, distort)[0] == set()
