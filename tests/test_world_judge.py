"""The world's judges, without a daemon: any value or stretch is missed; looks, books and what judging costs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Quality
from sim.world.judge import Watch
from tests.judged_cases import (
    KEPT,
    VALUES,
    renumber,
    unit_of,
)
from tests.judged_play import SHOWS, Play, faultless


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Play:
    return faultless(tmp_path_factory.mktemp("hour"), 3600.0)


@given(turn=st.integers(100, 340), point=st.sampled_from(sorted(SHOWS)), off=st.integers(-50, 50).filter(bool))
@settings(max_examples=40, deadline=None)
def test_any_value_that_was_not_shown_is_found(hour: Play, turn: int, point: str, off: int) -> None:
    play = hour.copy()
    one = play.of(turn * 10.0)
    wrong = (one.steps[point] or 0) + off
    low_s, high_s = (11.0, 1.0) if point in ("direction", "wind") else (1.0, 10.0)
    near = (it for it in play.record.shown[point] if -low_s <= it.at_s - one.at_s <= high_s)
    shown = {round(it.value / unit_of(point)) for it in near}
    one.steps[point] = wrong
    if point == "direction" and not 0 <= wrong <= 360:
        one.quality[point] = Quality.OVER_RANGE
    with tempfile.TemporaryDirectory() as name:
        found = {it.promise for it in play.judge(Path(name))}
    assert found == (set() if wrong in shown else {VALUES})


@given(first=st.integers(2, 200), count=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_any_stretch_that_is_lost_is_found(hour: Play, first: int, count: int) -> None:
    play = hour.copy()
    play.rounds = [one for one in play.rounds if not first * 10 <= one.at_s < (first + count) * 10]
    renumber(play)
    with tempfile.TemporaryDirectory() as name:
        found = play.judge(Path(name))
    assert [it.promise for it in found] == [KEPT]
    assert f"{count} rounds" in found[0].what


def test_a_province_that_lost_its_books_is_judged_by_all_of_them(tmp_path: Path) -> None:
    play = faultless(tmp_path)
    old, new = faultless(tmp_path), faultless(tmp_path)
    for part, is_new in ((old, False), (new, True)):
        part.rounds = [one for one in part.rounds if (one.received_s >= 3600) is is_new]
        part.alarms = [one for one in part.alarms if (one.received_s >= 3600) is is_new]
        part.accounts = [one for one in part.accounts if (one[1] >= 3600) is is_new]
    books = [old.write(tmp_path / "1.db")]
    watch = Watch(play.record, play.site, books, play.story())
    assert watch.check(3600.0) == []
    books.append(new.write(tmp_path / "2.db"))
    assert watch.end(play.lasts_s) == []


def test_a_day_costs_little(tmp_path: Path) -> None:
    """Half a day of six points."""
    play = faultless(tmp_path, 43_200.0)
    path = play.write(tmp_path / "day.db")
    watch = Watch(play.record, play.site, [path], play.story())
    began_s = time.process_time()
    for turn in range(1, 72):
        assert watch.check(turn * 600.0) == []
    assert watch.end(43_200.0) == []
    assert time.process_time() - began_s < 5.0
