"""Rain, and what becomes of it; wind, air, gas, sun, battery: one value a minute, made a day at a time from one seed.

    rain -> catchment -> pond level (a reservoir that runs out) -> pore pressure (lagged) -> displacement
    shifts and a fan that stops now and then -> methane; sun and clouds -> battery; outages -> mains

Each day has a generator of its own and begins where the day before ended, so that a day is the same whatever is asked
first. The figures are of the order that real sites show; none of them is a measurement. Pure.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

MINUTES = 1440
FIRST_HOUR = 22.22  # local time (UTC+8) when every world begins, nouns.START_MS
# What a story may set, and what it is when it does not. Factors, but for: storms (a day), storm_at_h and storm_h (one
# more storm, and how long), storm_mm_h (its rain, 0 for none), fan_off_h (0: never) and fan_for_h, temperature (degC).
KNOBS: Mapping[str, float] = {
    "rain": 1.0,
    "storms": 0.7,
    "storm_at_h": 0.0,
    "storm_h": 6.0,
    "storm_mm_h": 0.0,
    "wind": 1.0,
    "gas": 1.0,
    "fans": 1.0,
    "fan_off_h": 0.0,
    "fan_for_h": 1.0,
    "sun": 1.0,
    "outages": 1.0,
    "temperature": 16.0,
}
STORM_H = (0.7, 6.0)
STORM_MM_H = (1.5, 30.0)
CATCHMENT_MIN = 150.0  # 1/e of the rain is in the pond
RISE_M_PER_MM = 0.03  # a catchment some thirty times the pond
OUTFLOW_MIN = 700.0
SOAK_MIN = 200.0  # from the pond into the dam
KPA_PER_M = 6.0
SLIDE_MM = 6.0  # elastic, at 10 kPa above the usual
CREEP_MM_PER_DAY = 0.015
GAS_USUAL, GAS_MIXED_MIN = 0.35, 12.0  # % CH4 with the fan on; how soon the air is changed
FAN_STOPS_A_DAY, FAN_STOP_MIN = 0.6, (8.0, 35.0)
OUTAGES_A_DAY, OUTAGE_MIN = 0.5, (3.0, 90.0)
BATTERY_FULL_V, BATTERY_EMPTY_V = 13.2, 11.2
LOAD_PER_MIN = 1 / (3.5 * MINUTES)  # of the battery: three and a half dark days
CHARGE_PER_MIN = 1 / (0.3 * MINUTES)  # at noon
CLOUD_MIN = 45.0


@dataclass(slots=True)
class _State:
    """What one minute leaves to the next."""

    gust: float = 0.0
    cloud: float = 0.3
    mild: float = 0.0
    baro: float = 0.0
    breeze: float = 0.0
    catchment_mm: float = 0.0
    level_m: float = 0.15
    pore_kpa: float = 0.9
    creep_mm: float = 0.0
    gas: float = GAS_USUAL
    charge: float = 0.9
    rain_mm: float = 0.0  # of all time


class Climate:
    """`series[channel][minute]` in the channel's unit; `reach(minute)` makes as many days as needed."""

    def __init__(self, seed: int, knobs: Mapping[str, float]) -> None:
        """Raises ValueError for a knob that is none."""
        unknown = sorted(set(knobs) - set(KNOBS))
        if unknown:
            raise ValueError(f"the weather has no {', '.join(unknown)}; it has {', '.join(KNOBS)}")
        self._knobs = {**KNOBS, **knobs}
        self._seed = seed
        self._state = _State()
        self._storms: list[tuple[float, float, float]] = []  # from and to (minutes), mm/h
        self._fan_stops: list[tuple[float, float]] = []
        self._outages: list[tuple[float, float]] = []
        self.series: dict[str, array[float]] = {name: array("d") for name in CHANNELS}
        self._plan_once()

    def reach(self, minute: int) -> None:
        """Makes the days up to and with this minute."""
        rain = self.series["rain"]
        while len(rain) <= minute:
            self._make_day(len(rain) // MINUTES)

    def _plan_once(self) -> None:
        knobs = self._knobs
        if knobs["storm_mm_h"] > 0:
            start = knobs["storm_at_h"] * 60
            self._storms.append((start, start + knobs["storm_h"] * 60, knobs["storm_mm_h"]))
        if knobs["fan_off_h"] > 0:
            self._fan_stops.append((knobs["fan_off_h"] * 60, (knobs["fan_off_h"] + knobs["fan_for_h"]) * 60))

    def _make_day(self, day: int) -> None:
        chance = random.Random(f"{self._seed}/weather/{day}")
        first = day * MINUTES
        for _ in range(_count(self._knobs["storms"], chance)):
            start, lasts_h = first + chance.uniform(0, MINUTES), chance.uniform(*STORM_H)
            low, high = STORM_MM_H
            self._storms.append((start, start + lasts_h * 60, low * (high / low) ** chance.random()))
        for _ in range(_count(FAN_STOPS_A_DAY * self._knobs["fans"], chance)):
            start = first + chance.uniform(0, MINUTES)
            self._fan_stops.append((start, start + chance.uniform(*FAN_STOP_MIN)))
        for _ in range(_count(OUTAGES_A_DAY * self._knobs["outages"], chance)):
            start = first + chance.uniform(0, MINUTES)
            self._outages.append((start, start + chance.uniform(*OUTAGE_MIN)))
        for spans in (self._fan_stops, self._outages):
            spans[:] = [span for span in spans if span[1] > first]
        self._storms = [storm for storm in self._storms if storm[1] > first]
        for minute in range(first, first + MINUTES):
            self._make_minute(minute, chance)

    def _make_minute(self, minute: int, chance: random.Random) -> None:
        state, series = self._state, self.series
        hour = (FIRST_HOUR + minute / 60) % 24
        rain = self._rain(minute, chance)
        self._air(minute, hour, rain, chance)
        self._water(rain)
        self._gas(minute, hour, chance)
        self._power(minute, hour)
        state.rain_mm += rain / 60
        total = series["rain_total"]
        total.append(state.rain_mm)
        series["rain"].append(rain)
        for name, minutes in (("rain_10min", 10), ("rain_1h", 60), ("rain_24h", MINUTES)):
            series[name].append(state.rain_mm - (total[minute - minutes] if minute >= minutes else 0.0))

    def _rain(self, minute: int, chance: random.Random) -> float:
        """mm/h: steady while a storm begins and ends, in gusts between."""
        state = self._state
        state.gust += chance.gauss(0, 0.12) - state.gust * 0.06
        rain = 0.0
        for start, end, mm_h in self._storms:
            if start <= minute < end:
                rain += mm_h * math.sin(math.pi * (minute - start) / (end - start)) ** 0.5 * math.exp(state.gust)
        return rain * self._knobs["rain"]

    def _air(self, minute: int, hour: float, rain: float, chance: random.Random) -> None:
        state, series = self._state, self.series
        wet = 1.0 if rain > 0.3 else 0.0
        state.cloud += (0.25 + 0.7 * wet - state.cloud) / CLOUD_MIN + chance.gauss(0, 0.01)
        state.mild += chance.gauss(0, 0.03) - state.mild * 0.0008
        state.baro += chance.gauss(0, 0.004) - state.baro * 0.0006
        state.breeze += chance.gauss(0, 0.25) - state.breeze * 0.03
        course = math.cos(2 * math.pi * (hour - 15) / 24) * (6 - 4 * min(1.0, max(0.0, state.cloud)))
        series["temperature"].append(self._knobs["temperature"] + course + state.mild - 2.5 * state.cloud)
        series["humidity"].append(min(100.0, max(15.0, 68 - 3.2 * course + 22 * state.cloud)))
        series["pressure"].append(100.9 + state.baro - 0.6 * state.cloud)
        wind = abs(2.2 + state.breeze + course * 0.15) * (1 + 1.6 * state.cloud * wet)
        series["wind"].append(wind * self._knobs["wind"])
        series["direction"].append(180 + 60 * math.atan(state.breeze) + 40 * math.sin(minute / 900))

    def _water(self, rain: float) -> None:
        state, series = self._state, self.series
        state.catchment_mm += rain / 60
        arrives_mm = state.catchment_mm / CATCHMENT_MIN
        state.catchment_mm -= arrives_mm
        state.level_m += arrives_mm * RISE_M_PER_MM - state.level_m / OUTFLOW_MIN
        state.pore_kpa += (state.level_m * KPA_PER_M - state.pore_kpa) / SOAK_MIN
        strain = state.pore_kpa / 10
        state.creep_mm += CREEP_MM_PER_DAY / MINUTES * (1 + 4 * strain * strain)
        series["level"].append(state.level_m)
        series["pore"].append(state.pore_kpa)
        series["displacement"].append(state.creep_mm + SLIDE_MM * strain * strain)
        series["flow"].append(1.0 + 4 * state.pore_kpa / 10 + 0.05 * rain)

    def _gas(self, minute: int, hour: float, chance: random.Random) -> None:
        state = self._state
        shift = 0.5 * max(0.0, math.sin(math.pi * hour / 4)) ** 2  # they cut coal, and blast
        emission = (GAS_USUAL + 0.4 * shift) * self._knobs["gas"] * (1 + chance.gauss(0, 0.05))
        stands = any(start <= minute < end for start, end in self._fan_stops)
        if stands:
            state.gas += (6 * emission - state.gas) / (3 * GAS_MIXED_MIN)
        else:
            state.gas += (emission - state.gas) / GAS_MIXED_MIN
        self.series["gas"].append(state.gas)
        self.series["fan"].append(0.0 if stands else 1.0)

    def _power(self, minute: int, hour: float) -> None:
        state, series = self._state, self.series
        height = max(0.0, math.cos(2 * math.pi * (hour - 12) / 24))
        sun = height * (1 - 0.85 * min(1.0, max(0.0, state.cloud))) * self._knobs["sun"]
        state.charge = min(1.0, max(0.0, state.charge + sun * CHARGE_PER_MIN - LOAD_PER_MIN))
        volts = BATTERY_EMPTY_V + (BATTERY_FULL_V - BATTERY_EMPTY_V) * state.charge + 1.1 * sun
        series["sun"].append(1000 * sun)
        series["battery"].append(volts)
        series["mains"].append(0.0 if any(start <= minute < end for start, end in self._outages) else 1.0)


def _count(mean: float, chance: random.Random) -> int:
    """How many there are of what is `mean` a day on average (Poisson)."""
    left, count = chance.random(), 0
    share = math.exp(-mean)
    while left > share and count < 50:
        left -= share
        count += 1
        share *= mean / count
    return count


@dataclass(frozen=True, slots=True)
class Channel:
    """`unit`, and what is usual and what is extreme in it: extreme may be below (a battery)."""

    unit: str
    usual: float
    extreme: float


CHANNELS: Mapping[str, Channel] = {
    "rain": Channel("mm/h", 0.0, 30.0),
    "rain_10min": Channel("mm", 0.0, 6.0),
    "rain_1h": Channel("mm", 0.0, 25.0),
    "rain_24h": Channel("mm", 0.0, 90.0),
    "rain_total": Channel("mm", 0.0, 500.0),
    "level": Channel("m", 0.0, 1.5),
    "pore": Channel("kPa", 0.5, 7.0),
    "displacement": Channel("mm", 0.0, 5.0),
    "flow": Channel("l/s", 1.0, 5.0),
    "gas": Channel("%", 0.35, 1.4),
    "wind": Channel("m/s", 2.0, 9.5),
    "direction": Channel("deg", 180.0, 330.0),
    "temperature": Channel("degC", 14.0, 24.0),
    "humidity": Channel("%", 65.0, 110.0),
    "pressure": Channel("kPa", 100.9, 100.2),
    "sun": Channel("W/m2", 100.0, 1200.0),
    "battery": Channel("V", 13.2, 11.4),
    "fan": Channel("", 1.0, 0.0),
    "mains": Channel("", 1.0, 0.0),
}
