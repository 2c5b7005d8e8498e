"""Limits as a site file has them, played on readings: the whole way from TOML to alarms, without a daemon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edge.config import Site
from edge.contract import Alarm, Level, Quality
from edge.limits import Limits
from tests.config_sites import load_text

HEAD = """
[gateway]
id = "gw"
[[port]]
id = "bus"
open = "serial:/dev/serial/by-id/usb-x"
[[link]]
id = "main"
driver = "out"
host = "example"
[[device]]
id = "d"
driver = "fake"
port = "bus"
unit = 1
"""


def point(name: str, unit: str = "mm", step: str = "0.1", every: str = "1min", more: str = "") -> str:
    return f'[[device.point]]\nid = "{name}"\nunit = "{unit}"\nstep = {step}\nevery = "{every}"\nregister = 1\n{more}\n'


def limit(name: str, of: str, text: str) -> str:
    return f'[[limit]]\nid = "{name}"\npoint = "{of}"\n{text}\n'


def site_of(folder: Path, *parts: str) -> Site:
    return load_text(folder, HEAD + "".join(parts))


class Played:
    """The limits of a site. `take` judges a value in the point's unit; `told` is (instant, limit, level)."""

    def __init__(self, site: Site) -> None:
        self.limits = Limits([each.judged for each in site.limits], 0.0)
        self.points = {each.id: each for each in site.points}
        self.alarms: list[tuple[float, Alarm]] = []

    def take(self, point: str, value: float, at_s: float) -> list[Level]:
        steps = round(value / float(self.points[point].step))
        changed = self.limits.judge(point, steps, Quality.GOOD, at_s)
        self.alarms += [(at_s, alarm) for alarm in changed]
        return [alarm.level for alarm in changed]

    def play(self, point: str, values: Iterable[float], every_s: float, start_s: float = 0.0) -> Played:
        for index, value in enumerate(values):
            self.take(point, value, start_s + index * every_s)
        return self

    def told(self, limit: str | None = None) -> list[tuple[float, Level]]:
        return [(at_s, alarm.level) for at_s, alarm in self.alarms if limit in (None, alarm.limit)]

    def raised(self, limit: str, level: Level) -> Sequence[float]:
        """When it reached this level."""
        return [at_s for at_s, alarm in self.alarms if alarm.limit == limit and alarm.level is level]
