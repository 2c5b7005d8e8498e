"""The tables of a site file with their keys as written, in the order a person meets them. Nothing is computed here.

A key is described where it stands: the descriptions are what an editor shows (`fengsui schema`). Drivers add keys of
their own to `[[device]]`, `[[device.point]]`, `[[link]]` and `[[link.point]]`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from edge.contract import Driver

ID_PATTERN = r"^[a-z0-9._-]{1,40}$"  # goes into MQTT topics, file names and commands: no spaces, no slashes

Id = Annotated[str, Meta(pattern=ID_PATTERN, description="a-z 0-9 . _ - only, at most 40; names go into `name`")]
Name = Annotated[str, Meta(max_length=80, description="What people call it, any language")]
Duration = Annotated[str, Meta(description='A duration: "100ms", "10s", "5min", "1h", "2d"', examples=["10s"])]
Size = Annotated[str, Meta(description='A size: "200MB" is 200 × 1000 × 1000 bytes, "200MiB" 200 × 1024 × 1024')]
_LEVEL_KEYS = {
    "properties": {
        level: {"type": ["number", "string", "array", "object"]} for level in ("blue", "yellow", "orange", "red")
    },
    "additionalProperties": False,
    "minProperties": 1,
}
Levels = Annotated[
    dict[str, Any],
    Meta(description="Any of blue, yellow, orange, red; at least one", extra_json_schema=_LEVEL_KEYS),
]


class GatewayTable(Struct, kw_only=True):
    """[gateway]: who this box is."""

    id: Id
    name: Name = ""
    key: Annotated[str, Meta(min_length=1, description="Root key file (fengsui keygen), relative to this file")] = (
        "gateway.key"
    )
    socket: Annotated[str, Meta(min_length=1, description="Where `fengsui status` and the others ask the gateway")] = (
        "/run/fengsui/control.sock"
    )
    priors: (
        Annotated[str, Meta(min_length=1, description="What `fengsui fit` learnt, to pack readings smaller")] | None
    ) = None


class StoreTable(Struct, kw_only=True):
    """[store]: where readings wait for the province's receipt."""

    path: Annotated[str, Meta(min_length=1, description="Folder, relative to this file")] = "store"
    quota: Size = "200MB"
    commit_every: Duration = "1s"
    power_fail: (
        Annotated[
            str,
            Meta(
                description="What warns of a power cut: file:/run/power-fail (there, and not 0: failing), "
                "gpio:gpiochip0/17 (high: failing) or gpio:gpiochip0/17/low"
            ),
        ]
        | None
    ) = None


class PortTable(Struct, kw_only=True):
    """[[port]]: a wire to instruments, or to the terminal of one link."""

    id: Id
    open: Annotated[str, Meta(description='"serial:/dev/serial/by-id/..." or "tcp:host:port"')]
    baud: Annotated[int, Meta(ge=50, le=4_000_000, description="Bits per second (serial)")] = 9600
    parity: Annotated[Literal["N", "E", "O"], Meta(description="None, even or odd (serial)")] = "N"
    stop_bits: Annotated[Literal[1, 2], Meta(description="(serial)")] = 1
    data_bits: Annotated[Literal[7, 8], Meta(description="(serial)")] = 8


class DeviceTable(Struct, kw_only=True):
    """[[device]]: an instrument; its driver adds keys."""

    id: Id
    driver: str
    port: str
    name: Name = ""
    point: Annotated[list[dict[str, Any]], Meta(description="[[device.point]]: what is read from it")] = []


class PointTable(Struct, kw_only=True):
    """[[device.point]], [[link.point]]: one measured quantity; the driver adds keys that say where it is found."""

    id: Id
    name: Name = ""
    unit: Annotated[str, Meta(max_length=20, description="As printed, e.g. m, mm, kPa, degC; may be empty")]
    step: Annotated[Decimal, Meta(description="The instrument's resolution in `unit`: 0.01")]
    range: Annotated[
        list[Decimal] | None, Meta(description="[lowest, highest] the instrument can measure, in `unit`")
    ] = None
    every: Duration = "10s"


class DevicePointTable(PointTable, kw_only=True):
    """[[device.point]]: and when a reading of it is not to be believed."""

    stuck: Annotated[Duration, Meta(description="Doubtful when it has not changed at all for so long")] | None = None
    spike: Annotated[Decimal, Meta(description="The largest believable step between two readings")] | None = None
    rate_max: Annotated[Decimal, Meta(description="The largest believable change in an hour")] | None = None
    twin: Annotated[str, Meta(description="The point of another instrument that measures the same")] | None = None
    twin_differs: Annotated[Decimal, Meta(description="From its twin by more than this: both doubtful")] | None = None


Measured = Literal["value", "rate", "sum", "mean", "total", "difference", "ratio", "tangent_angle", "time_to_failure"]
Members = Annotated[list[str], Meta(min_length=1, max_length=200, description="Ids of other limits")]


class LimitTable(Struct, kw_only=True):
    """[[limit]]: one rule about one point: exactly one of above, below, outside, inside, stale, suspect; or one about
    other limits: exactly one of any, all, votes, rollup."""

    id: Id
    name: Name = ""
    point: str | None = None
    of: Annotated[Measured, Meta(description="What of the point is judged")] = "value"
    window: Annotated[Duration, Meta(description="Of rate, sum, mean, tangent_angle, time_to_failure")] | None = None
    per: Annotated[Duration, Meta(description="Of a rate, and of `uniform`: mm per 1h, per 1d")] = "1h"
    counter: Annotated[bool, Meta(description="Of a sum: the point is a running total, not amounts")] = False
    start: Annotated[Decimal, Meta(description="Of a total: where it counts from, else the first value")] | None = None
    minus: Annotated[str, Meta(description="Of a difference: the point taken away")] | None = None
    to: Annotated[Decimal, Meta(description="Of a ratio: the design value")] | None = None
    uniform: Annotated[Decimal, Meta(description="Of tangent_angle: velocity of uniform creep, a `per`")] | None = None
    noise: (
        Annotated[Decimal, Meta(description="Of tangent_angle, time_to_failure: a movement not told from none")] | None
    ) = None
    above: Levels | None = None
    below: Levels | None = None
    outside: Annotated[Levels, Meta(description="Of a band [low, high] for each level")] | None = None
    inside: Annotated[Levels, Meta(description="Of a band [low, high] for each level")] | None = None
    stale: Levels | None = None
    suspect: Annotated[Levels, Meta(description="How long nothing but doubtful values may come")] | None = None
    clear: Annotated[Levels, Meta(description="Of above, below: the value that leaves a level")] | None = None
    hysteresis: Annotated[Decimal, Meta(description="In the point's unit: how far back before a level is left")] = (
        Decimal(0)
    )
    hold: Duration = "0s"
    clear_hold: Duration = "0s"
    while_raised: Annotated[Duration, Meta(description="How often it is read while a level stands")] | None = None
    any: Annotated[Members, Meta(description="Other limits: the highest of them")] | None = None
    all: Annotated[Members, Meta(description="Other limits: the lowest of them")] | None = None
    votes: Annotated[int, Meta(ge=1, description="So many of `among` must stand")] | None = None
    rollup: (
        Annotated[dict[str, str], Meta(description='Several of `among` make a level: { yellow = "4 blue" }')] | None
    ) = None
    among: Annotated[Members, Meta(description="Of votes and rollup: other limits")] | None = None


class OutputTable(Struct, kw_only=True):
    """[[output]]: what can be switched; its driver adds keys."""

    id: Id
    driver: str
    name: Name = ""
    rest: Annotated[
        Literal["off", "on"],
        Meta(description="While nothing is wrong; its safe state is always off: at start, at the end, without us"),
    ] = "off"


class OutputPortTable(Struct, kw_only=True):
    """Further keys of an [[output]] that talks through a wire (`Driver.output_port`)."""

    port: Annotated[str, Meta(description="The [[port]] it is on")]


class ActionTable(Struct, kw_only=True):
    """[[action]]: which limits switch what."""

    id: Id
    name: Name = ""
    on: Annotated[list[str], Meta(min_length=1, max_length=200, description="Ids of limits: the highest of them")]
    level: Annotated[
        Literal["blue", "yellow", "orange", "red"], Meta(description="From this level up; not with `column`")
    ] = "blue"
    output: Annotated[str, Meta(description="The [[output]] that is switched")] | None = None
    column: (
        Annotated[dict[str, str], Meta(description='A lamp for each level, one lit: { red = "lamp-red" }')] | None
    ) = None
    pattern: (
        Annotated[list[Duration], Meta(min_length=2, max_length=16, description="On, off, on, off ..., over and over")]
        | None
    ) = None
    max_on: (
        Annotated[Duration, Meta(description="No longer than this after an alarm; required unless `rest` is on")] | None
    ) = None
    only_while_raised: Annotated[bool, Meta(description="Ends with the level; false: only with max_on")] = True
    text: Annotated[str, Meta(max_length=100, description="What a speaking output says")] = ""


class LinkTable(Struct, kw_only=True):
    """[[link]]: a way out; its driver adds keys."""

    id: Id
    driver: str
    batch: Duration = "10s"


class LinkPortTable(Struct, kw_only=True):
    """Further keys of a [[link]] that talks through a wire of its own (`Driver.link_port`)."""

    port: Annotated[str, Meta(description="The [[port]] of its terminal, which nothing else may use")]


class LinkPointsTable(Struct, kw_only=True):
    """Further keys of a [[link]] that can be watched like an instrument (`Driver.link_point`)."""

    point: Annotated[list[dict[str, Any]], Meta(description="[[link.point]]: what of the link itself is read")] = []


def link_tables(driver: Driver) -> list[type[Struct]]:
    """The gateway's own keys of a [[link]] of this driver, the common ones first."""
    port = [LinkPortTable] if driver.link_port else []
    return [LinkTable, *port, *([LinkPointsTable] if driver.link_point else [])]


def output_tables(driver: Driver) -> list[type[Struct]]:
    """The gateway's own keys of an [[output]] of this driver, the common ones first."""
    return [OutputTable, *([OutputPortTable] if driver.output_port else [])]


class SiteTable(Struct, kw_only=True):
    """The top of the file."""

    gateway: dict[str, Any]
    store: dict[str, Any] = {}
    port: list[dict[str, Any]] = []
    device: list[dict[str, Any]] = []
    limit: list[dict[str, Any]] = []
    link: list[dict[str, Any]] = []
    output: list[dict[str, Any]] = []
    action: list[dict[str, Any]] = []
