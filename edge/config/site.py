"""What the daemon gets from a site file: frozen, checked, in the units of the code. Made by `edge.config.load`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from edge.actions import Action
from edge.contract import DeviceSpec, Driver, Level, OutputSpec, Point, Rule
from edge.limit_nouns import Limit as Judged
from edge.limit_reach import red_alone


class Gateway(Struct, frozen=True):
    """Who we are. `key` is the file with the root key shared with the province (it may not exist yet); `socket` is
    where a technician's commands ask the daemon; `priors` a file of `edge.priors` (it may not exist either)."""

    id: str
    name: str
    key: Path
    socket: Path
    priors: Path | None = None


class Store(Struct, frozen=True):
    """Where readings wait for the province, how much room they get, how long one may be uncommitted, and what warns of
    a power cut (a setting of `edge.powerfail`, "" for nothing)."""

    folder: Path
    quota_bytes: int
    commit_every_s: float
    power_fail: str = ""


class Port(Struct, frozen=True):
    """A wire to instruments or to a link's terminal (`contract.PortSettings`). `open`: "serial:/dev/..." or
    "tcp:host:port"."""

    id: str
    open: str
    baud: int
    parity: str
    stop_bits: int
    data_bits: int


class Device(Struct, frozen=True):
    """An instrument: its points in file order, and `spec`, which its driver understands."""

    id: str
    name: str
    driver: str
    port: str
    points: tuple[Point, ...]
    spec: DeviceSpec


class Wire(Struct, frozen=True):
    """A port with everything on it: the arguments of `driver.sensors`."""

    port: Port
    driver: Driver
    devices: tuple[DeviceSpec, ...]


class Limit(Struct, frozen=True):
    """One rule about one point, or about other limits.

    `thresholds`: (level, threshold), levels ascending. ABOVE: in whole steps, reached when value >= threshold; BELOW:
    in whole steps, reached when value <= threshold; OUTSIDE, INSIDE: pairs of each level; STALE, SUSPECT: in seconds
    without a good value. A level is left when the value is back by more than `hysteresis_steps`. The condition must
    last `hold_s` before the level rises and be gone for `clear_hold_s` before it falls.

    `judged`: the limit as the engine takes it, with what else there is to it. `scale`: what is judged, as if it were a
    point: its unit and step are those of all thresholds (of combined limits, the first member's). `while_raised_ms`:
    how often the point is read while a level stands.
    """

    id: str
    name: str
    point: str
    rule: Rule
    thresholds: tuple[tuple[Level, int], ...]
    hysteresis_steps: int
    hold_s: float
    clear_hold_s: float
    judged: Judged
    scale: Point
    while_raised_ms: int | None = None

    @property
    def plain(self) -> bool:
        """Whether it judges what its point shows, on one side, or its silence."""
        return self.judged.spec is None and not self.judged.clear and self.rule in (Rule.ABOVE, Rule.BELOW, Rule.STALE)


class Link(Struct, frozen=True):
    """A way out. `settings`: an instance of the driver's `link` struct. Rounds wait `batch_s` to be packed together.

    `port`: the id of the `[[port]]` it talks through, for a driver with `link_port`. `points`: what of the link itself
    is watched, with `point_settings` id -> the driver's `link_point` struct.
    """

    id: str
    driver: Driver
    batch_s: float
    settings: Any
    port: str | None = None
    points: tuple[Point, ...] = ()
    point_settings: Mapping[str, Any] = {}


class Output(Struct, frozen=True):
    """What can be switched. `port`: the id of its `[[port]]`, for a driver with `output_port`. `rest_on`: it is on
    while nothing is wrong, and an action takes that away."""

    id: str
    name: str
    driver: Driver
    spec: OutputSpec
    port: str | None = None
    rest_on: bool = False


class Site(Struct, frozen=True):
    """The whole site file. `templates`: the files of the sensor templates that it was written out with. `stands_in`: of
    a last good copy, why it is taken instead of the file itself, in a sentence. `useless`: what `fengsui check` refuses
    in it and a gateway runs with."""

    file: Path
    gateway: Gateway
    store: Store
    ports: tuple[Port, ...]
    devices: tuple[Device, ...]
    limits: tuple[Limit, ...]
    links: tuple[Link, ...]
    wires: tuple[Wire, ...]
    templates: tuple[Path, ...] = ()
    outputs: tuple[Output, ...] = ()
    actions: tuple[Action, ...] = ()
    stands_in: str = ""
    useless: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[Point, ...]:
        """All points in file order, those of the links behind those of the devices; `Point.device` is whose it is."""
        owners: tuple[Device | Link, ...] = (*self.devices, *self.links)
        return tuple(point for owner in owners for point in owner.points)

    @property
    def groups(self) -> dict[int, tuple[Point, ...]]:
        """every_ms, ascending -> the points read that often, in file order."""
        found: dict[int, list[Point]] = {}
        for point in self.points:
            found.setdefault(point.every_ms, []).append(point)
        return {every_ms: tuple(found[every_ms]) for every_ms in sorted(found)}

    @property
    def red_alone(self) -> list[str]:
        """Limits whose red, when nothing else stands, no action follows, nor what it makes of other limits."""

        def switches(limit: str, level: Level) -> bool:
            return any(limit in action.limits and action.follows(level) for action in self.actions)

        return red_alone([limit.judged for limit in self.limits], switches)
