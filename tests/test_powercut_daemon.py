"""The whole daemon under load, its power cut at random moments: what was committed is at the province, once, and the
daemon is up and alarming soon. See tests/powercut/world.py. FENGSUI_SEED changes the moments."""

from __future__ import annotations

import functools
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.powercut.disk import Rule
from tests.powercut.explore import State, scratch, states
from tests.powercut.record import Event, Sync, Told, record, why_not
from tests.powercut.world import Again, Past, start_again

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

SEED = int(os.environ.get("FENGSUI_SEED", "1"))
A_FEW, MANY = 8, 200
ALARMING_S = 10.0


@functools.cache
def recorded() -> list[Event]:
    with scratch() as folder:
        place = folder / "place"
        place.mkdir()
        return record(["-m", "tests.powercut.world", str(place)], place, folder / "strace.log")


def chosen(events: Sequence[Event], count: int) -> list[State]:
    """Cuts at random moments: most lose all that was not synced, some lose some of it."""
    chance = random.Random(SEED)
    by_point: dict[int, list[State]] = {}
    points = set(chance.sample(range(len(events)), 3 * count))
    for state in states(events, Rule.POSIX, None, SEED):
        if state.point in points:
            by_point.setdefault(state.point, []).append(state)
    found = []
    for point in chance.sample(sorted(by_point), count):
        dropped = [state for state in by_point[point] if state.recipe in ("nothing", "everything")][-1]
        found.append(dropped if chance.random() < 0.7 else chance.choice(by_point[point]))
    return found


def start_each(events: Sequence[Event], count: int) -> Iterator[tuple[str, Again]]:
    """Cuts and starts again: the name of the state, and what came of it."""
    told = [event.text for event in events if isinstance(event, Told)]
    with scratch() as folder:
        for state in chosen(events, count):
            place = folder / "place"
            place.mkdir()
            state.tree.write(place)
            chance = random.Random(f"{SEED}/{state.point}")
            again = start_again(place, folder / "province.db", Past.of(told[: state.told]), chance)
            yield f"seed {SEED}, cut after event {state.point}, {state.recipe!r}", again
            _forget(place, folder)


def all_well(count: int) -> list[float]:
    """The seconds until the alarm was at the province, of each."""
    took_s = []
    for name, again in start_each(recorded(), count):
        assert not again.problems, f"{name}: {again.problems}"
        took_s.append(again.alarm_s + again.took_s)
        assert took_s[-1] <= ALARMING_S, f"{name}: alarm after {again.alarm_s} s, {again.took_s} s of work"
    return took_s


def _forget(place: Path, folder: Path) -> None:
    shutil.rmtree(place)
    for path in folder.glob("province.db*"):
        path.unlink()


def test_a_daemon_cut_off_at_a_few_moments_loses_and_repeats_nothing() -> None:
    assert len(all_well(A_FEW)) == A_FEW


def test_on_a_disk_that_lies_the_loss_is_noticed() -> None:
    unsynced = [event for event in recorded() if not isinstance(event, Sync)]
    assert any("are lost" in str(again.problems) for _, again in start_each(unsynced, A_FEW))


@pytest.mark.soak
def test_a_daemon_cut_off_at_many_moments_loses_and_repeats_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    took_s = sorted(all_well(MANY))
    with capsys.disabled():
        times = f"{took_s[len(took_s) // 2]:.1f} s (median), {took_s[-1]:.1f} s (most)"
        print(f"\n{MANY} cuts: lost 0, repeated 0; alarm at the province after {times}")
