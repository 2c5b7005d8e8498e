"""Profiles played: movement in whatever direction, methane at every place of the table."""

from __future__ import annotations

from math import cos, radians, sin
from pathlib import Path

import pytest

from edge.config import load
from edge.config.profiles import profiles
from edge.contract import Level, Point, Quality, Rule
from edge.intake_nouns import STATES_MOST_STEPS, PointNow
from edge.limits import Limits
from tests.limit_sites import Played
from tests.profile_numbers import filled_in, write

NOTHING = 65535  # of a register of 16 bits
YELLOW, ORANGE, RED = Level.YELLOW, Level.ORANGE, Level.RED


def played(name: str, folder: Path) -> Played:
    profile = profiles()[name]
    return Played(load(write(folder, profile, filled_in(profile))))


@pytest.mark.parametrize("bearing", range(0, 360, 15))
def test_an_open_pits_slope_is_seen_in_whatever_direction_it_moves(bearing: int, tmp_path: Path) -> None:
    """More than 10 mm a day, and 5 mm an hour (jianbiaoku 100952/3178830), of the movement itself."""
    pit = played("open-pit", tmp_path)
    speeds = [10.5] * 3 * 24 + [5.1 * 24] * 6  # mm a day, by hour
    moved = 0.0
    for minute in range(len(speeds) * 60):
        moved += speeds[minute // 60] / 1440
        pit.take("slope.east", moved * sin(radians(bearing)), 60.0 * minute)
        pit.take("slope.north", moved * cos(radians(bearing)), 60.0 * minute)
    daily = [at_s for axis in ("east", "north") for at_s in pit.raised(f"slope-{axis}-daily", ORANGE)]
    hourly = [at_s for axis in ("east", "north") for at_s in pit.raised(f"slope-{axis}-hourly", RED)]
    assert daily
    assert min(daily) < 3 * 86_400
    assert hourly
    assert min(hourly) > 3 * 86_400


# AQ 1029 [P: 360docs 1b11497725]: alarm from, cut-off from, restored below, % CH4.
METHANE = {
    "t0": (1.0, 1.5, 1.0),
    "t1": (1.0, 1.5, 1.0),
    "t2": (1.0, 1.0, 1.0),
    "t3": (0.5, 0.5, 0.5),
    "t4": (0.5, 0.5, 0.5),
    "t5": (1.0, 1.5, 1.0),
    "t6": (1.0, 1.0, 1.0),
    "t7": (2.5, 2.5, 2.5),
    "t8": (1.0, 1.0, 1.0),
    "h1": (1.0, 1.5, 1.0),
    "h2": (1.0, 1.0, 1.0),
    "machine": (1.0, 1.5, 1.0),
    "series": (0.5, 0.5, 0.5),
}


@pytest.mark.parametrize("place", METHANE)
def test_methane_at_every_place_of_the_table_aq_1029(place: str, tmp_path: Path) -> None:
    alarm, cut, restore = METHANE[place]
    mine = played("coal-gas", tmp_path)
    for second in range(301):
        mine.take(f"ch4-{place}", (150 - abs(150 - second)) * 0.02, float(second))
    [up] = mine.raised(f"{place}-cut", RED)
    [down] = mine.raised(f"{place}-cut", Level.NONE)
    assert mine.raised(f"{place}-alarm", YELLOW) == [alarm / 0.02]
    assert up == cut / 0.02
    assert down == 300 - restore / 0.02 + 1
    assert mine.raised("gas-any", RED) == [up]
    if place == "series":
        assert mine.raised("series-fan-cut", RED) == [75.0], "1.5 for the fan itself"


def is_of_states(point: Point) -> bool:
    low, high = point.minimum, point.maximum
    return low is not None and high is not None and (high - low) / point.step <= STATES_MOST_STEPS


@pytest.mark.parametrize(
    ("name", "point", "limit"), [("coal-gas", "smoke", "smoke-seen"), ("dust", "spark", "spark-seen")]
)
@pytest.mark.parametrize("shown", [1, 3, 255, NOTHING])
def test_a_switch_that_is_not_at_rest_is_seen_whatever_it_shows(
    name: str, point: str, limit: str, shown: int, tmp_path: Path
) -> None:
    site = load(write(tmp_path, profiles()[name], filled_in(profiles()[name])))
    limits = Limits([limit.judged for limit in site.limits], 0.0)
    now = PointNow(next(it for it in site.points if it.id == point))
    for second in range(200):
        now.take(shown, Quality.GOOD, 0)
        limits.judge(point, now.value, now.quality, float(second))
    assert limits.levels()[limit] is RED


@pytest.mark.parametrize("ch4_scale", [0.01, 0.001])
@pytest.mark.parametrize("name", [name for name in profiles() if name != "forest-fire"])
def test_registers_with_nothing_in_them_raise_nothing(name: str, ch4_scale: float, tmp_path: Path) -> None:
    """65535 in each register of 16 bits, as often as one likes. Not of a switch: that may be its "on"."""
    profile = profiles()[name]
    text = filled_in(profile).replace("ch4_scale = 0.01", f"ch4_scale = {ch4_scale}")
    site = load(write(tmp_path, profile, text))
    limits = Limits([limit.judged for limit in site.limits], 0.0)
    registers = {
        point.id: settings
        for device in site.devices
        for point in device.points
        if getattr(settings := device.spec.points[point.id], "type", "no register") in (None, "u16")
        and not is_of_states(point)
    }
    assert len(registers) > 1
    for turn in range(10):
        for now in (PointNow(point) for point in site.points if point.id in registers):
            settings = registers[now.point.id]
            refused = NOTHING in settings.invalid
            now.take(None if refused else NOTHING * settings.scale + settings.offset, Quality.GOOD, 0)
            told = limits.judge(now.point.id, now.value, now.quality, 600.0 * turn)
            told = [alarm for alarm in told if alarm.rule not in (Rule.STALE, Rule.SUSPECT)]
            assert not told, told


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("coal-gas", "fan"),
        ("dust", "fan"),
        ("forest-fire", "fire-grade"),
        ("tailings", "beach.length"),
        ("river", "river.level"),
        ("tank-farm", "tank.level"),
    ],
)
def test_a_register_with_nothing_in_it_never_says_that_all_is_well(name: str, point: str, tmp_path: Path) -> None:
    """A fan that runs, a long beach, water far below: what is silent would be hidden by it for ever. Nor is it red."""
    profile = profiles()[name]
    site = load(write(tmp_path, profile, filled_in(profile)))
    assert any(NOTHING in device.spec.points[point].invalid for device in site.devices if point in device.spec.points)
    assert any(limit.point == point for limit in site.limits if limit.rule is Rule.STALE)


@pytest.mark.parametrize("name", profiles())
def test_a_rule_that_asks_for_little_asks_a_register_that_can_not_hide_it(name: str, tmp_path: Path) -> None:
    """`below`: 65535 that is believed, or only beyond the range, is far above, so never a level."""
    profile = profiles()[name]
    site = load(write(tmp_path, profile, filled_in(profile)))
    asked = {limit.point for limit in site.limits if limit.rule is Rule.BELOW and limit.judged.spec is None}
    for device in site.devices:
        for point in (it for it in device.points if it.id in asked):
            settings = device.spec.points[point.id]
            if getattr(settings, "type", "no register") not in (None, "u16") or NOTHING in settings.invalid:
                continue
            now = PointNow(point)
            now.take(NOTHING * settings.scale + settings.offset, Quality.GOOD, 0)
            assert now.quality is Quality.SUSPECT, f"{point.id} shows {now.value}"
