"""What there is to measure at every point of a site, from one seed: `source_of(point)` for `sim.models.models_of`.

A point listens to a channel of the climate (`channel_of`: by its unit and the words in its id and name) or, where none
fits, to a walk of its own. The channel's course between usual and extreme is laid over the point: its limits are
crossed when the channel is some way towards its extreme, now and then and not all the time; a point without limits
stays within its range. Each point has its own gain, offset and noise. Pure, and the same whatever is asked first.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from edge.config.site import Limit
from edge.contract import Point, Rule
from sim.instrument import Source
from sim.world.bend import Signal
from sim.world.climate import CHANNELS, MINUTES, Climate
from sim.world.nouns import Trouble

# The first row of which a unit and a word (of id or name) fit; "" fits all. Units as people write them, lower case.
WORDS: Sequence[tuple[str, tuple[str, ...], tuple[str, ...]]] = (
    ("rain_24h", ("mm",), ("24h", "24小时", "日雨量")),
    ("rain_total", ("mm",), ("count", "累计")),
    ("rain_10min", ("mm",), ("10min", "10分钟")),
    ("rain_1h", ("mm",), ("rain", "雨", "precip")),
    ("rain", ("mm/h",), ("",)),
    ("displacement", ("mm", "cm"), ("",)),
    ("level", ("m",), ("level", "水位", "标高")),
    ("pore", ("m",), ("phreatic", "浸润", "depth", "埋深", "beach", "干滩", "distance")),
    ("pressure", ("kpa", "hpa"), ("baro", "气压", "air")),
    ("pore", ("kpa", "pa", "mpa"), ("",)),
    ("gas", ("%", "%ch4", "%lel", "%vol", "ppm"), ("ch4", "gas", "methane", "瓦斯", "甲烷", ".co", "-co", "一氧化碳")),
    ("humidity", ("%", "%rh"), ("hum", "rh", "湿度")),
    ("direction", ("deg", "°"), ("dir", "风向", "wind")),
    ("displacement", ("deg", "°", "mm/m", "mrad"), ("",)),
    ("wind", ("m/s", "km/h", "kn"), ("",)),
    ("temperature", ("degc", "°c", "℃"), ("",)),
    ("battery", ("v", "mv"), ("",)),
    ("sun", ("w/m2", "w/m²", "lx"), ("",)),
    ("flow", ("l/s", "m3/s", "m3/h", "m³/s", "m³/h"), ("",)),
    ("fan", ("",), ("fan", "风机")),
    ("mains", ("",), ("mains", "市电", "power", "供电")),
)
COUNTED = "rain_total"
COUNT_STEPS = 200  # a counter has counted before
CROSSED_AT = 0.6  # of the way from usual to extreme the first threshold is reached
TOP_AT = 1.0  # and the last
CALM_SHARE = 0.4  # of the way from the first threshold to the far end of the range a usual value lies
NOISE_STEPS = 0.8
GAINS, OFFSETS = (0.88, 1.12), (-0.04, 0.04)
WALK_PULL, WALK_STEP = 0.004, 0.02
UNITED = frozenset({"temperature", "humidity", "wind", "direction", "pressure", "battery", "sun", "flow"})


def channel_of(point: Point) -> str:
    """The channel a point measures; "" for a walk of its own."""
    unit, words = point.unit.lower(), f"{point.id} {point.name}".lower()
    for channel, units, said in WORDS:
        if unit in units and any(word in words for word in said):
            return channel
    return ""


class Lay(NamedTuple):
    """Danger (0 usual, 1 extreme) to a value: two straight lines that meet at `knee`."""

    knee: float
    first: tuple[float, float]  # value = a + b * danger
    second: tuple[float, float]


class Weather:
    """`limits` of the site: where its points cross them."""

    def __init__(self, seed: int, knobs: Mapping[str, float] | None = None, limits: Iterable[Limit] = ()) -> None:
        """Raises ValueError for a knob that is none."""
        self._seed = seed
        self._climate = Climate(seed, knobs or {})
        self._limits: dict[str, list[Limit]] = {}
        for limit in (each for each in limits if each.plain):
            self._limits.setdefault(limit.point, []).append(limit)
        self._signals: dict[str, Signal] = {}

    def value(self, channel: str, at_s: float) -> float:
        """What a channel is at a time, in its own unit. Raises KeyError."""
        minute = at_s / 60
        place = int(minute)
        self._climate.reach(place + 1)
        series = self._climate.series[channel]
        return series[place] + (series[place + 1] - series[place]) * (minute - place)

    def source_of(self, point: Point) -> Source:
        """What there is to measure at a point; always the same object for the same id."""
        if point.id not in self._signals:
            self._signals[point.id] = Signal(self._truth(point))
        return self._signals[point.id].at

    def bend(self, point: str, now: Sequence[Trouble], at_s: float) -> None:
        """These are all the `point.*` troubles of a point from now on. Points without an instrument have none."""
        if point in self._signals:
            self._signals[point].bend(now, at_s)

    def _truth(self, point: Point) -> Source:
        own = random.Random(f"{self._seed}/point/{point.id}")
        channel = channel_of(point)
        if channel:
            series, usual, extreme = self._climate.series[channel], CHANNELS[channel].usual, CHANNELS[channel].extreme
            reach = self._climate.reach
        else:
            walk = _Walk(f"{self._seed}/walk/{point.id}")
            series, usual, extreme, reach = walk.series, 0.0, 1.0, walk.reach
        if channel == COUNTED:
            return _counter(point, series, reach, own.uniform(*GAINS))
        gain, offset = own.uniform(*GAINS) / (extreme - usual), own.uniform(*OFFSETS)
        limits = self._limits.get(point.id, [])
        if _is_switch(point):
            return _switch(point, series, reach, usual, (extreme - usual), limits)
        if not limits and channel in UNITED and point.unit.lower() == CHANNELS[channel].unit.lower():
            lay = Lay(2.0, (usual, extreme - usual), (usual, extreme - usual))
        else:
            lay = _lay(point, limits)
        return _course(point, series, reach, (usual, gain, offset), lay, own.getrandbits(32))


def _counter(point: Point, series: array[float], reach: Callable[[int], None], gain: float) -> Source:
    """Tips of a bucket: it only rises, a step at a time."""
    step = float(point.step)

    def at(at_s: float) -> float:
        minute = at_s / 60
        place = int(minute)
        if place + 1 >= len(series):
            reach(place + 1)
        total = series[place] + (series[place + 1] - series[place]) * (minute - place)
        return int(total * gain / step + COUNT_STEPS) * step

    return at


def _is_switch(point: Point) -> bool:
    return point.minimum is not None and point.maximum is not None and point.maximum - point.minimum == point.step


def _switch(
    point: Point,
    series: array[float],
    reach: Callable[[int], None],
    usual: float,
    span: float,
    limits: Sequence[Limit],
) -> Source:
    """Off is danger where its limit is below, or where it is mains; on where its limit is above."""
    assert point.minimum is not None
    assert point.maximum is not None
    ends = float(point.maximum), float(point.minimum)
    if any(limit.rule is Rule.ABOVE for limit in limits):
        ends = ends[1], ends[0]

    def at(at_s: float) -> float:
        place = int(at_s / 60)
        if place >= len(series):
            reach(place)
        return ends[(series[place] - usual) / span > CROSSED_AT]

    return at


def _course(
    point: Point,
    series: array[float],
    reach: Callable[[int], None],
    danger: tuple[float, float, float],
    lay: Lay,
    salt: int,
) -> Source:
    usual, gain, offset = danger
    knee, (first, per_first), (second, per_second) = lay
    noise = float(point.step) * NOISE_STEPS / 2**31
    low = float("-inf") if point.minimum is None else float(point.minimum)
    high = float("inf") if point.maximum is None else float(point.maximum)

    def at(at_s: float) -> float:
        minute = at_s / 60
        place = int(minute)
        if place + 1 >= len(series):
            reach(place + 1)
        now = series[place]
        towards = (now + (series[place + 1] - now) * (minute - place) - usual) * gain + offset
        value = first + per_first * towards if towards <= knee else second + per_second * towards
        mixed = (int(at_s * 10) * 2654435761 ^ salt) & 0xFFFFFFFF  # noise that is the same whenever it is asked for
        mixed = (mixed ^ mixed >> 15) * 2246822519 & 0xFFFFFFFF
        value += ((mixed ^ mixed >> 13) - 0x80000000) * noise
        return low if value < low else high if value > high else value

    return at


def _lay(point: Point, limits: Sequence[Limit]) -> Lay:
    """Where usual, the first and the last threshold lie."""
    step = float(point.step)
    above = [steps * step for it in limits if it.rule is Rule.ABOVE for _, steps in it.thresholds]
    below = [steps * step for it in limits if it.rule is Rule.BELOW for _, steps in it.thresholds]
    if above and below:
        calm = (min(above) + max(below)) / 2
        return Lay(0.0, (calm, (calm - max(below)) / CROSSED_AT), (calm, (min(above) - calm) / CROSSED_AT))
    if above:
        first, last = min(above), max(above)
        far = first - 0.5 * abs(first) - 50 * step if point.minimum is None else float(point.minimum)
    elif below:
        first, last = max(below), min(below)
        far = first + 0.5 * abs(first) + 50 * step if point.maximum is None else float(point.maximum)
    else:
        low = 0.0 if point.minimum is None else float(point.minimum)
        high = low + 1000 * step if point.maximum is None else float(point.maximum)
        return Lay(2.0, (low + 0.3 * (high - low), 0.4 * (high - low)), (high, 0.0))
    calm = first + (far - first) * CALM_SHARE
    beyond = (last - first) or 0.2 * (first - calm)
    slope = beyond / (TOP_AT - CROSSED_AT)
    return Lay(CROSSED_AT, (calm, (first - calm) / CROSSED_AT), (first - slope * CROSSED_AT, slope))


class _Walk:
    """A bounded random walk, a day at a time: mostly about 0.2, rarely beyond 0.6."""

    def __init__(self, seed: str) -> None:
        self.series = array("d")
        self._seed = seed
        self._now = 0.2

    def reach(self, minute: int) -> None:
        while len(self.series) <= minute:
            chance = random.Random(f"{self._seed}/{len(self.series) // MINUTES}")
            for _ in range(MINUTES):
                self._now += chance.gauss(0, WALK_STEP) - (self._now - 0.2) * WALK_PULL
                self._now = min(1.0, max(-0.3, self._now))
                self.series.append(self._now)
