"""Recorded series with planted events: each event is raised in time, and nothing is in the quiet parts.

The series are of instruments in the field (tests/data/series/README.md). What is planted is written beside it. The
figures that these tests assert are in edge/LIMITS.md.
"""

from __future__ import annotations

import math
from pathlib import Path

from edge.belief import Beliefs
from edge.config import Site
from edge.contract import Level, Quality
from edge.limits import Limits
from tests.limit_oracles import mean_of, sum_of_amounts
from tests.limit_sites import Played, limit, point, site_of

SERIES = Path(__file__).parent / "data/series"
HOUR_S, DAY_S = 3600.0, 86_400.0
RED = Level.RED


def recorded(name: str, rows: int) -> list[tuple[float, int]]:
    """(seconds, steps) of the first rows."""
    lines = (SERIES / f"{name}.csv").read_text().splitlines()
    pairs = [line.split(",") for line in lines if line[:1].isdigit()]
    return [(float(at), int(count)) for at, count in pairs[:rows]]


def judged(site: Site, name: str, series: list[tuple[float, int]]) -> Played:
    played = Played(site)
    for at_s, steps in series:
        played.alarms += [(at_s, alarm) for alarm in played.limits.judge(name, steps, Quality.GOOD, at_s)]
    return played


def test_a_storm_in_eight_weeks_of_rain(tmp_path: Path) -> None:
    """rain_10min, 8000 readings of amounts: no signal in it. Planted on day 30: 8 mm in each 10 min for 3 h, 144 mm."""
    rule = """of = "sum"
above = { blue = { 12h = 50 }, yellow = { 6h = 50 }, orange = { 3h = 50 }, red = { 3h = 100 } }"""
    site = site_of(tmp_path, point("rain", every="10min"), limit("storm", "rain", rule))
    series = recorded("rain_10min", 8000)
    assert judged(site, "rain", series).told() == []
    begins_s = 30 * DAY_S
    planted = [(at, v + 80 if begins_s <= at < begins_s + 3 * HOUR_S else v) for at, v in series]
    played = judged(site, "rain", planted)
    [red_s] = played.raised("storm", RED)
    assert red_s - begins_s <= 13 * 600  # the 13th reading of 8 mm makes 100 mm
    assert {level for at_s, level in played.told() if not begins_s <= at_s <= begins_s + 16 * HOUR_S} == set()


def test_a_water_level_that_rises_in_four_months_of_an_hourly_logger(tmp_path: Path) -> None:
    """piezo_pb02a, 3000 hours, steps of 0.583 mm: its own rate over a day is 14 steps an hour at most. Planted: 50
    steps an hour for a day. Red at 25: in time is half the window."""
    rule = 'of = "rate"\nwindow = "1d"\nabove = { red = 25 }'
    site = site_of(tmp_path, point("level", "u", "1", "1h"), limit("fast", "level", rule))
    series = recorded("piezo_pb02a", 3000)
    assert judged(site, "level", series).told() == []
    for hour in (400, 1500, 2600):
        ramp = [(at, v + round(50 * min(24, max(0, at / HOUR_S - hour)))) for at, v in series]
        played = judged(site, "level", ramp)
        [red_s] = played.raised("fast", RED)
        assert 0 < red_s / HOUR_S - hour <= 12
        [back_s] = played.raised("fast", Level.NONE)
        assert back_s / HOUR_S - hour <= 24 + 24


def test_wild_readings_every_day_raise_no_rate(tmp_path: Path) -> None:
    """The same series with a reading of 500 times its usual change once in every 24: least squares would say up to 260
    steps an hour; red at 25 is never raised."""
    rule = 'of = "rate"\nwindow = "1d"\nabove = { red = 25 }'
    site = site_of(tmp_path, point("level", "u", "1", "1h"), limit("fast", "level", rule))
    wild = [(at, v + (7900 if i % 24 == 12 else 0)) for i, (at, v) in enumerate(recorded("piezo_pb02a", 3000))]
    assert judged(site, "level", wild).told() == []


def test_a_slope_that_fails_under_a_real_sensors_wander(tmp_path: Path) -> None:
    """welltemp_pb01a, hourly, as the wander of a displacement in steps of 0.01 mm. Planted: creep of 1.2 steps an hour,
    from hour 1000 accelerating (1/v falling to zero, Fukuzono) to a failure at hour 1400."""
    angle = (
        'of = "tangent_angle"\nwindow = "2d"\nuniform = 1.2\nnoise = 30\nabove = { yellow = 70, orange = 80, red = 85 }'
    )
    failing = 'of = "time_to_failure"\nwindow = "4d"\nnoise = 100\nbelow = { orange = 72, red = 24 }\nclear_hold = "6h"'
    site = site_of(tmp_path, point("x", "u", "1", "1h"), limit("angle", "x", angle), limit("failure", "x", failing))
    wander = recorded("welltemp_pb01a", 3000)
    steady = [(at, v + round(1.2 * at / HOUR_S)) for at, v in wander]
    assert judged(site, "x", steady).told() == []
    start, failure = 1000, 1400
    planted = []
    for at, v in wander[:failure]:
        hour = at / HOUR_S
        left = (failure - max(start, hour)) / (failure - start)
        planted.append((at, v + round(1.2 * min(hour, start) - 1.2 * (failure - start) * math.log(left))))
    played = judged(site, "x", planted)
    assert all(at_s / HOUR_S > start for at_s, _ in played.told())
    yellow, orange, red = (failure - played.raised("angle", level)[0] / HOUR_S for level in list(Level)[2:])
    assert (yellow > 72, orange > 24, red > 12) == (True, True, True), (yellow, orange, red)
    warned, last = (failure - played.raised("failure", level)[0] / HOUR_S for level in (Level.ORANGE, RED))
    assert warned > 24, warned
    assert 8 < last < 48, last


def test_beaufort_and_rain_sums_of_real_weeks_are_those_of_the_oracle(tmp_path: Path) -> None:
    wind = 'of = "mean"\nwindow = "1h"\nabove = { blue = 10.8, yellow = 13.9, orange = 17.2, red = 20.8 }'
    rain = 'of = "sum"\nwindow = "12h"\nabove = { blue = 5 }'
    site = site_of(
        tmp_path,
        point("wind", "m/s", "0.01", "10min"),
        point("rain", "mm", "0.1", "10min"),
        limit("gale", "wind", wind),
        limit("wet", "rain", rain),
    )
    for name, file, oracle in (("wind", "wind_10min", mean_of), ("rain", "rain_10min", sum_of_amounts)):
        [spec] = [part.spec for each in site.limits if each.point == name for part in each.judged.parts]
        assert spec is not None
        limits = Limits([each.judged for each in site.limits if each.point == name], 0.0)
        [state] = limits.judged.values()
        series = recorded(file, 2500)
        for index, (at_s, steps) in enumerate(series):
            limits.judge(name, steps, Quality.GOOD, at_s)
            if index % 7 == 0 and index > 12:
                recent = series[max(0, index - 80) : index + 1]
                wanted = oracle(spec, recent, at_s)
                assert wanted is not None
                assert state.parts[0].value == round(wanted * spec.factor)


def test_spikes_in_a_real_series_are_doubted_and_a_real_step_is_believed_at_its_third_reading(tmp_path: Path) -> None:
    """airtemp_1min, 8000 readings: no reading of it is doubted at 2 degrees a minute. Planted: +30 degrees for one or
    two readings, twenty times; and once for good."""
    site = site_of(tmp_path, point("t", "degC", "0.1", more="spike = 2"), limit("hot", "t", "above = { red = 40 }"))
    series = recorded("airtemp_1min", 8000)

    def play(values: list[tuple[float, int]]) -> tuple[list[int], list[float]]:
        beliefs, limits = Beliefs(site.points), Limits([each.judged for each in site.limits], 0.0)
        doubted, red = [], []
        for index, (at_s, steps) in enumerate(values):
            quality = Quality.SUSPECT if beliefs.doubts("t", steps, at_s) else Quality.GOOD
            doubted += [index] if quality is Quality.SUSPECT else []
            red += [at_s for alarm in limits.judge("t", steps, quality, at_s) if alarm.level is RED]
        return doubted, red

    assert play(series) == ([], [])
    spikes = {i + extra for k, i in enumerate(range(200, 8000, 390)) for extra in range(1 + k % 2)}
    assert play([(at, v + 300 if i in spikes else v) for i, (at, v) in enumerate(series)]) == (sorted(spikes), [])
    doubted, red = play([(at, v + 300 if i >= 4000 else v) for i, (at, v) in enumerate(series)])
    assert (doubted, red[0]) == ([4000, 4001], series[4002][0])
