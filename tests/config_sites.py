"""A small right site file with fake drivers, to be broken by the tests in every way there is.

WATCHED is GOOD with a link more, which talks through a port of its own and has points of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edge.config import Site, load
from edge.contract import DeviceSpec, Driver, PortSettings
from edge.errors import SiteFileError

GOOD = """
[gateway]
id = "gw-1"
name = "一号站"

[[port]]
id = "bus"
open = "serial:/dev/serial/by-id/usb-x"

[[port]]
id = "net"
open = "tcp:[fe80::1]:502"

[[device]]
id = "piezo"
name = "渗压计"
driver = "fake"
port = "bus"
unit = 1

[[device.point]]
id = "depth"
unit = "m"
step = 0.01
range = [0, 30]
every = "1min"
register = 7

[[device.point]]
id = "temp"
unit = "degC"
step = 0.1
every = "10s"
register = 8

[[device]]
id = "radar"
driver = "fake"
port = "net"
unit = 1

[[device.point]]
id = "level"
unit = "m"
step = 0.001
range = [408, 424]
register = 1

[[limit]]
id = "high"
point = "level"
above = { blue = 419, red = 420.5 }
hysteresis = 0.05
hold = "30s"
clear_hold = "10min"

[[limit]]
id = "shallow"
point = "depth"
below = { orange = 4.405, red = 4.0 }

[[limit]]
id = "silent"
point = "level"
stale = { yellow = "5min", red = "1h" }

[[link]]
id = "main"
driver = "out"
host = "example"
ca = "ca.pem"
"""


WATCHED = (
    GOOD
    + """
[[port]]
id = "radio"
open = "serial:/dev/serial/by-id/usb-y"
baud = 115200

[[limit]]
id = "quiet"
point = "radio.signal"
below = { yellow = 40 }

[[link]]
id = "narrow"
driver = "radio"
port = "radio"
province = 7

[[link.point]]
id = "radio.signal"
name = "信号"
unit = "dBHz"
step = 1
every = "1min"
read = "signal"

[[link.point]]
id = "radio.card"
unit = ""
step = 1
read = "card"
"""
)


class FakeDevice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    unit: Annotated[int, msgspec.Meta(ge=1, le=247, description="Address on the bus")]


class FakePoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    register: int
    scale: float = 1.0
    even: bool = False

    def __post_init__(self) -> None:
        if self.even and self.register % 2:
            raise ValueError("register must be even")


class FakeLink(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    host: str
    ca: Path | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883


class RadioLink(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    province: int


class RadioPoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    read: Literal["signal", "card"]


def check(port: PortSettings, devices: Sequence[DeviceSpec]) -> list[str]:
    units = [device.settings.unit for device in devices]
    return [f"{device.id}: unit used twice" for device in devices[1:] if units.count(device.settings.unit) > 1]


def check_link(settings: FakeLink) -> list[str]:
    return ["port 22 is not for this"] if settings.port == 22 else []


FAKE = Driver(name="fake", device=FakeDevice, point=FakePoint, sensors=lambda _port, _open, _devices: {}, check=check)
OUT = Driver(name="out", link=FakeLink, check_link=check_link)
RADIO = Driver(name="radio", link=RadioLink, link_point=RadioPoint, link_port=True)
DRIVERS: Mapping[str, Driver] = {"fake": FAKE, "out": OUT, "radio": RADIO}


def load_text(folder: Path, text: str | bytes, drivers: Mapping[str, Driver] | None = DRIVERS, **options: Any) -> Site:
    file = folder / "site.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(file, drivers, **options)


def problems_of(folder: Path, text: str | bytes, drivers: Mapping[str, Driver] | None = DRIVERS) -> list[str]:
    try:
        load_text(folder, text, drivers)
    except SiteFileError as error:
        return list(error.problems)
    return []


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the file"
    return text.replace(old, new)
