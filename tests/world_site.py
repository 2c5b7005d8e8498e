"""The small site of the short stories (world_stories.py): the text of its file; RULES may stand behind it."""

from __future__ import annotations

from sim.world.scenario_site import whole_site

BODY = """
[[port]]
id = "rs485"
open = "serial:/dev/rs485"
baud = 9600

[[port]]
id = "plc"
open = "tcp:10.9.0.2:502"

[[port]]
id = "wind"
open = "serial:/dev/wind"
baud = 4800

[[device]]
id = "dam"
driver = "modbus"
port = "rs485"
unit = 1
timeout = "300ms"
{dam}

[[device]]
id = "pond"
driver = "modbus"
port = "rs485"
unit = 2
timeout = "300ms"
{pond}

[[device]]
id = "fan"
driver = "modbus"
port = "plc"
unit = 1
timeout = "300ms"
{fan}

[[device]]
id = "mast"
driver = "serial_line"
port = "wind"
format = "nmea"
{mast}

[[limit]]
id = "level-high"
point = "pond.level"
above = {{ yellow = 420.0, orange = 421.0, red = 422.0 }}
hysteresis = 0.2

[[limit]]
id = "pore-high"
point = "dam.pore"
above = {{ orange = 200.0 }}
hold = "30s"

[[limit]]
id = "pore-silent"
point = "dam.pore"
stale = {{ yellow = "60s" }}

[[limit]]
id = "gas-high"
point = "fan.gas"
above = {{ red = 1.5 }}
hysteresis = 0.1
"""
POINT = """[[device.point]]
id = "{}"
unit = "{}"
step = {}
range = [{}, {}]
every = "{}"
{}
"""
POINTS = {
    "dam": (
        ("dam.pore", "kPa", 0.01, 0, 300, 'register = 0\ntype = "f32"\norder = "CDAB"'),
        ("dam.tilt", "deg", 0.01, -15, 15, 'register = 100\ntype = "i16"\nscale = 0.01'),
        ("dam.temp", "degC", 0.1, -20, 80, 'register = 200\ntype = "i16"\nscale = 0.1'),
    ),
    "pond": (
        ("pond.level", "m", 0.01, 400, 440, "register = 0\nscale = 0.01"),
        ("pond.beach", "m", 0.01, 0, 300, "register = 1\nscale = 0.01"),
    ),
    "fan": (
        ("fan.gas", "%CH4", 0.01, 0, 4, "register = 0\nscale = 0.01"),
        ("fan.flow", "m3/s", 0.1, 0, 200, "register = 100\nscale = 0.1"),
    ),
    "mast": (("mast.wind", "m/s", 0.1, 0, 60, 'sentence = "MWV"\nfield = 3'),),
}
ROADS = ("fibre", "cellular")


def site(
    *,
    links: tuple[str, ...] = ROADS,
    every: str = "5s",
    commit: str = "1s",
    batch: str = "10s",
    quota: str = "10MB",
    more: int = 0,
) -> str:
    """A site file: eight points at three instruments and a wind gauge, four limits; `more` points at one of them."""
    flows = [
        (f"fan.flow-{number}", "m3/s", 0.1, 0, 200, f"register = {number}\nscale = 0.1")
        for number in range(1, more + 1)
    ]
    points = {
        device: "\n".join(POINT.format(*rest[:5], every, rest[5]) for rest in its)
        for device, its in {**POINTS, "fan": (*POINTS["fan"], *flows)}.items()
    }
    text = whole_site("quarry", links, BODY.format(**points), batch=batch, quota=quota)
    return text.replace("[store]\n", f'[store]\ncommit_every = "{commit}"\n')


RULES = """
[[port]]
id = "siren"
open = "serial:/dev/siren"
baud = 9600

[[device]]
id = "gauge"
driver = "modbus"
port = "plc"
unit = 2
timeout = "300ms"
[[device.point]]
id = "gauge.rain"
name = "rain count"
unit = "mm"
step = 0.2
range = [0, 10000]
every = "5s"
register = 0
scale = 0.2

[[limit]]
id = "rain-sum"
point = "gauge.rain"
of = "sum"
counter = true
above = { yellow = { 15min = 20 }, red = { 5min = 10 } }
hysteresis = 1
hold = "20s"
clear_hold = "30s"

[[limit]]
id = "pore-fast"
point = "dam.pore"
of = "rate"
window = "5min"
per = "1h"
above = { yellow = 300 }
hysteresis = 20

[[limit]]
id = "apart"
point = "pond.level"
of = "difference"
minus = "pond.beach"
above = { yellow = 400 }
hysteresis = 1

[[limit]]
id = "whole"
rollup = { yellow = "2 blue", red = "2 orange" }
among = ["level-high", "pore-high", "rain-sum"]

[[output]]
id = "siren"
driver = "modbus"
port = "siren"
register = 0
timer = "pulse"
timer_register = 512
timer_unit = "100ms"
hold = "10s"

[[action]]
id = "evacuate"
on = ["gas-high", "rain-sum"]
level = "red"
output = "siren"
max_on = "8min"
"""
