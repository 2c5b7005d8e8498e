"""The pond of the demonstration: recorded rain, and what the water does because of it, hour by hour of the record.

Rain is a recorded storm of 39 mm in 24 h, RAIN_FACTOR times as heavy. The catchment gives it to the pond with a delay,
and the water in the pond soaks into the dam with a longer one; `pore-2` is a recorded piezometer plus that. Everything
else on the wire is played by `sim.modbus` from slaves.toml as it was recorded. `Pond` is pure; `World` lets time pass
and sets the registers of the running slaves. No chance anywhere: the same hour has the same water.
"""

from __future__ import annotations

import time
from itertools import accumulate
from pathlib import Path

from sim.modbus import Running
from sim.modbus_slave import encode_words
from sim.series import load

FOLDER = Path(__file__).parent
SLAVES_FILE = FOLDER / "slaves.toml"
SITE_FILE = FOLDER / "pond.toml"

RAIN_FACTOR = 3.0  # 39 mm in a day is a wet day; 117 mm are a storm that ponds are judged by
ROWS_AN_HOUR = 6  # of the rain record
ROWS_A_DAY = 144
CATCHMENT_HOURS = 4.0  # how long rain takes to reach the pond (1/e)
DAM_HOURS = 6.0  # how long the water takes to soak to the piezometer (1/e)
RISE_M_PER_MM = 0.022  # a catchment some twenty times as large as the pond
PORE_KPA_PER_MM = 0.1
DRY_LEVEL_M = 418.6
BEACH_AT_DRY_M = 120.0
BEACH_M_PER_M = 30.0  # a beach of 1 in 30
SPILLWAY_M_PER_HOUR = 0.3
LOWEST_LEVEL_M = 418.0
RADAR_AT_M = 424.0
CMH2O_PER_KPA = 10.197162
LEAST_TICK_S = 0.2  # five times as often as the gateway looks


class Pond:
    """The water at each hour since the beginning of the record."""

    def __init__(self) -> None:
        rain = load(FOLDER / "series" / "rain_10min.csv")
        self._piezo = load(FOLDER / "series" / "piezo_pb02a.csv")
        self._rain_mm = [rain.value(row) * RAIN_FACTOR for row in range(len(rain.counts))]
        self._sum_mm = list(accumulate(self._rain_mm))
        self._run_off_mm = _delayed(self._sum_mm, CATCHMENT_HOURS)
        self._soaked_mm = _delayed(self._run_off_mm, DAM_HOURS)
        self.drained_m = 0.0

    def rain_24h_mm(self, hours: float) -> float:
        """Rain of the last 24 hours."""
        row = self._row(hours)
        return self._sum_mm[row] - (self._sum_mm[row - ROWS_A_DAY] if row >= ROWS_A_DAY else 0.0)

    def rain_10min_mm(self, hours: float) -> float:
        return self._rain_mm[self._row(hours)]

    def level_m(self, hours: float) -> float:
        """Pond level above sea."""
        return max(LOWEST_LEVEL_M, DRY_LEVEL_M + self._run_off_mm[self._row(hours)] * RISE_M_PER_MM - self.drained_m)

    def beach_m(self, hours: float) -> float:
        """Dry beach in front of the dam: shorter as the water rises."""
        return BEACH_AT_DRY_M - (self.level_m(hours) - DRY_LEVEL_M) * BEACH_M_PER_M

    def pore_kpa(self, hours: float) -> float:
        """Absolute pressure at the second piezometer."""
        return self._piezo.value(int(hours)) / CMH2O_PER_KPA + self._soaked_mm[self._row(hours)] * PORE_KPA_PER_MM

    def _row(self, hours: float) -> int:
        return min(int(hours * ROWS_AN_HOUR), len(self._rain_mm) - 1)


def _delayed(series: list[float], hours: float) -> list[float]:
    """What comes out of a reservoir that gives away 1/`hours` of its content an hour."""
    out, held = [], 0.0
    for value in series:
        held += (value - held) / (hours * ROWS_AN_HOUR)
        out.append(held)
    return out


class World:
    """The pond in real time. `rate`: hours a second, up to `until_hours`; the story sets both."""

    def __init__(self, slaves: Running) -> None:
        self.slaves = slaves
        self.pond = Pond()
        self.hours = 0.0
        self.rate = 0.0
        self.until_hours = 0.0
        self.spillway_open = False
        self._last_s = time.monotonic()
        self._shown_s = 0.0
        self._show()

    def go(self, rate: float, until_hours: float) -> None:
        """From now on `rate` hours pass each second, until the hour `until_hours`."""
        self.rate, self.until_hours = rate, until_hours

    def tick(self) -> None:
        """Brings the instruments up to now. Raises RuntimeError when they are gone."""
        now_s = time.monotonic()
        passed = min(self.rate * (now_s - self._last_s), max(0.0, self.until_hours - self.hours))
        self._last_s = now_s
        self.hours += passed
        if self.spillway_open:
            self.pond.drained_m += SPILLWAY_M_PER_HOUR * passed
        if now_s - self._shown_s >= LEAST_TICK_S:
            self._shown_s = now_s
            self._show()

    def silence(self, unit: int, silent: bool) -> None:
        """A cable comes loose, or is plugged in again."""
        self.slaves.command(f"fault {unit} silence" if silent else f"clear {unit}")

    def _show(self) -> None:
        pond, hours = self.pond, self.hours
        self._set(2, "holding", 0, encode_words(pond.pore_kpa(hours), "f32", "CDAB"))
        rain = encode_words(pond.rain_24h_mm(hours) * 10) + encode_words(pond.rain_10min_mm(hours) * 10)
        self._set(3, "input", 4, rain)
        level = encode_words((RADAR_AT_M - pond.level_m(hours)) * 1000)
        self._set(5, "holding", 100, level + encode_words(pond.beach_m(hours) * 100))

    def _set(self, unit: int, table: str, address: int, words: list[int]) -> None:
        self.slaves.command(f"set {unit} {table} {address} {' '.join(map(str, words))}")
