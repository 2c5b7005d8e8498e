"""The weather is the same whatever is asked first, stays within ranges, and crosses limits now and then."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Site
from edge.contract import Point, Rule
from sim.world.bend import WILD, Signal
from sim.world.climate import CHANNELS
from sim.world.nouns import KINDS, Trouble
from sim.world.sites import standard_site
from sim.world.weather import Weather, channel_of
from tests.world_wires import site_of

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return site_of(tmp_path_factory.mktemp("pond"), standard_site())


def point_of(id_: str, unit: str, name: str = "") -> Point:
    return Point(id_, unit, Decimal("0.01"), None, None, 10_000, "d", name)


def test_the_order_of_asking_changes_nothing(pond: Site) -> None:
    times = [0.0, 5.5, 3000.0, DAY_S - 1, DAY_S * 1.5, DAY_S * 3]
    first, second = Weather(9, {}, pond.limits), Weather(9, {}, pond.limits)
    asked = {(point.id, at_s): first.source_of(point)(at_s) for point in pond.points for at_s in times}
    again = {
        (point.id, at_s): second.source_of(point)(at_s)
        for at_s, point in itertools.product(reversed(times), reversed(pond.points))
    }
    assert asked == again
    for channel in CHANNELS:
        assert second.value(channel, 1000.0) == first.value(channel, 1000.0)
    other = Weather(10, {}, pond.limits)
    assert sum(other.source_of(point)(5000.0) != asked.get((point.id, 5000.0)) for point in pond.points) > 30


def test_values_stay_in_range_and_move(pond: Site) -> None:
    for seed in range(3):
        weather = Weather(seed, {"storms": 2.0}, pond.limits)
        for point in (point for device in pond.devices for point in device.points):
            source = weather.source_of(point)
            values = [source(turn * 1000.0) for turn in range(260)]
            assert point.minimum is not None
            assert point.maximum is not None
            assert float(point.minimum) <= min(values)
            assert max(values) <= float(point.maximum)
            if channel_of(point) == "rain_total":
                assert values == sorted(values)
                assert len(set(values)) > 20
            elif point.maximum - point.minimum > point.step:
                assert len(set(values)) > 100, point.id


def test_limits_are_crossed_now_and_then(pond: Site) -> None:
    """Over forty days of different seeds: each of the usual ones on some day, none on most of the time."""
    points = {point.id: point for point in pond.points}
    limits = [limit for limit in pond.limits if limit.plain and limit.rule is not Rule.STALE]
    beyond = dict.fromkeys((limit.id for limit in limits), 0)
    asked = 0
    for seed in range(40):
        weather = Weather(seed, {}, pond.limits)
        for turn in range(144):
            asked += 1
            for limit in limits:
                steps = weather.source_of(points[limit.point])(turn * 600.0) / float(points[limit.point].step)
                first = limit.thresholds[0][1]
                beyond[limit.id] += steps >= first if limit.rule is Rule.ABOVE else steps <= first
    shares = {limit: count / asked for limit, count in beyond.items()}
    assert all(share < 0.2 for share in shares.values()), shares
    assert sum(share > 0 for share in shares.values()) >= 8, shares


def test_dark_days_empty_the_battery_and_a_story_can_order_a_storm(pond: Site) -> None:
    dark = Weather(1, {"sun": 0.0})
    assert dark.value("battery", 0.0) > 12.5
    assert dark.value("battery", 3 * DAY_S) < 11.6
    wet = Weather(1, {"storms": 0.0, "storm_mm_h": 30.0, "storm_at_h": 2.0, "storm_h": 3.0})
    assert wet.value("rain_24h", 1.9 * 3600) == 0
    assert wet.value("rain", 3.5 * 3600) > 10
    assert wet.value("rain_24h", 6 * 3600) > 40
    peak_s = max(range(0, 86_400, 600), key=lambda at_s: wet.value("level", at_s))
    soaked_s = max(range(0, 86_400, 600), key=lambda at_s: wet.value("pore", at_s))
    assert 3.5 * 3600 < peak_s < soaked_s < 16 * 3600
    level = next(point for point in pond.points if point.id == "pond.level")
    ordered = Weather(1, {"storm_mm_h": 30.0, "storm_at_h": 2.0}, pond.limits).source_of(level)
    assert ordered(0.0) < 419.0 < max(ordered(hour * 3600.0) for hour in range(24))
    fan = Weather(2, {"fans": 0.0, "fan_off_h": 5.0, "fan_for_h": 1.0})
    assert fan.value("gas", 5 * 3600) < 0.9 < fan.value("gas", 5.9 * 3600)
    with pytest.raises(ValueError, match="has no storm; it has rain, storms"):
        Weather(1, {"storm": 1.0})


@pytest.mark.parametrize(
    ("unit", "words", "channel"),
    [
        ("mm", "24小时降雨量", "rain_24h"),
        ("mm", "翻斗雨量计", "rain_1h"),
        ("mm", "裂缝", "displacement"),
        ("m", "库水位标高", "level"),
        ("m", "浸润线埋深", "pore"),
        ("kPa", "渗压", "pore"),
        ("kPa", "气压", "pressure"),
        ("%", "瓦斯", "gas"),
        ("%", "湿度", "humidity"),
        ("degC", "", "temperature"),
        ("V", "", "battery"),
        ("", "市电", "mains"),
        ("", "", ""),
        ("NTU", "浊度", ""),
    ],
)
def test_a_point_finds_its_channel(unit: str, words: str, channel: str) -> None:
    assert channel_of(point_of("p", unit, words)) == channel


def test_troubles_bend_the_truth() -> None:
    signal = Signal(lambda at_s: at_s)

    def shown(*now: Trouble, begins_s: float, at_s: float) -> float:
        signal.bend(now, begins_s)
        return signal.at(at_s)

    stick, spike = Trouble("point.stick", 10), Trouble("point.spike", 10, value=5)
    assert shown(stick, begins_s=10, at_s=30) == 10
    assert shown(stick, spike, begins_s=40, at_s=50) == 15
    assert shown(spike, begins_s=50, at_s=60) == 65
    assert shown(begins_s=70, at_s=80) == 80
    assert shown(Trouble("point.drift", 100, value=36), begins_s=100, at_s=200) == 201
    assert shown(Trouble("point.is", 0, value=-3), begins_s=200, at_s=210) == -3
    ramp = Trouble("point.ramp", 300, 100, value=400)
    assert shown(begins_s=250, at_s=300) == 300
    assert shown(ramp, begins_s=300, at_s=350) == 350
    assert shown(begins_s=400, at_s=1000) == 400  # it keeps
    down = Trouble("point.ramp", 1000, 100, value=0)
    assert shown(down, begins_s=1000, at_s=1050) == 200
    assert shown(begins_s=1100, at_s=2000) == 0
    with pytest.raises(ValueError, match="no trouble of a point"):
        signal.bend([Trouble("device.late", 0)], 0.0)


@given(st.sampled_from([kind for kind in KINDS if kind.startswith("point.")]), st.floats(-100, 100))
@settings(max_examples=50)
def test_every_trouble_of_a_point_is_known(kind: str, value: float) -> None:
    signal = Signal(lambda _at_s: 7.0)
    trouble = Trouble(kind, 100.0, 50.0, "p", value)
    signal.bend([trouble], 100.0)
    wanted = {"stick": 7.0, "spike": 7.0 + value, "drift": 7.0 + value / 72, "is": value, "ramp": value}
    wanted |= {"reset": 0.0, "pour": 7.0 + value / 72, "wild": WILD}
    assert signal.at(150.0) == pytest.approx(wanted[kind.partition(".")[2]])
