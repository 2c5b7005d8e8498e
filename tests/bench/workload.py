"""The workload of the measurements: 100 registers of real series over Modbus TCP, one row a second.

The ten series of REAL10 (tests/data/series/README.md), ten registers of each, every register beginning some thousand
rows further on than the one before, so that no two run alike. A register holds the recorder's own count (u16, or i16
where it goes below zero), a point's step is the recorder's quantum: nothing is rounded on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sim.series import Series, load

SERIES = Path(__file__).resolve().parents[1] / "data" / "series"
REAL10 = (
    "piezo_pb01a",
    "piezo_pb02a",
    "welltemp_pb01a",
    "baro",
    "airtemp_1min",
    "humidity_1min",
    "irradiance_1min",
    "wind_10min",
    "rain_10min",
    "airtemp_10min",
)
OF_EACH = 10
REGISTERS = OF_EACH * len(REAL10)
SHIFT_ROWS = 1171  # no divisor of a day in any of the intervals
ROWS = 900  # longer than any measurement lasts in seconds
LIMITS = (0, 12, 24, 36, 48)  # registers that a limit watches; far enough away never to trip
U16_MOST = 65535


@dataclass(frozen=True, slots=True)
class Register:
    """One register and the point that is read from it."""

    address: int
    name: str
    unit: str
    step: str
    kind: str
    counts: list[int]


def registers() -> Iterator[Register]:
    """All REGISTERS of them, by address."""
    for place, name in enumerate(REAL10):
        series = load(SERIES / f"{name}.csv")
        kind = "i16" if min(series.counts) < 0 else "u16"
        for copy in range(OF_EACH):
            first = (place * OF_EACH + copy) * SHIFT_ROWS
            counts = [series.count(first + row) for row in range(ROWS)]
            yield Register(place * OF_EACH + copy, f"{name}.{copy}", series.unit, quantum(series), kind, counts)


def quantum(series: Series) -> str:
    """A series' quantum as a plain decimal."""
    return f"{series.quantum:.9f}".rstrip("0").rstrip(".")


def write_slave(folder: Path) -> Path:
    """A slave file of `fengsui-sim modbus` and the series it names; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["[[slave]]", "unit = 1"]
    for register in registers():
        file = folder / f"{register.address}.csv"
        rows = "".join(f"{row},{count}\n" for row, count in enumerate(register.counts))
        file.write_text(f"# name={register.name};unit={register.unit};quantum=1;dt_s=1\n{rows}")
        lines += ["[[slave.register]]", f"address = {register.address}", f'type = "{register.kind}"']
        lines += [f'series = "{file.name}"', "every_s = 1.0"]
    path = folder / "slave.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def site_text(address: str, every: str = "1s") -> str:
    """Site file text: the port, the device with its 100 points, limits on five of them."""
    lines = ["[[port]]", 'id = "tcp"', f'open = "{address}"']
    lines += ["[[device]]", 'id = "plc"', 'driver = "modbus"', 'port = "tcp"', "unit = 1"]
    limits: list[str] = []
    for register in registers():
        lines += ["[[device.point]]", f'id = "{register.name}"', f'unit = "{register.unit}"', f"step = {register.step}"]
        lines += [f'every = "{every}"', f"register = {register.address}", f'type = "{register.kind}"']
        lines += [f"scale = {register.step}"]
        if register.address in LIMITS:
            never = U16_MOST * float(register.step)
            limits += ["[[limit]]", f'id = "high.{register.name}"', f'point = "{register.name}"']
            limits += [f"above = {{ red = {never:.0f} }}"]
    return "\n".join([*lines, *limits]) + "\n"
