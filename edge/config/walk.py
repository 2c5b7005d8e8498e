"""The walk through the tables of one site file, and what must fit together between them.

First every table by itself, then references, then what only the whole can show. An id counts as given even when the
rest of its table is wrong, so that one mistake is told once. May not open anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from edge.config.plugs import Drivers, opinion
from edge.config.points import check_distinct, read_point
from edge.config.reader import Reader, Table, Where, label
from edge.config.site import Device, Gateway, Link, Output, Port, Site, Store, Wire
from edge.config.tables import (
    ActionTable,
    DevicePointTable,
    DeviceTable,
    GatewayTable,
    LimitTable,
    LinkTable,
    OutputTable,
    PointTable,
    PortTable,
    SiteTable,
    StoreTable,
    link_tables,
    output_tables,
)
from edge.config.walk_limits import read_limits
from edge.config.walk_outputs import read_actions, read_outputs
from edge.contract import DeviceSpec, Driver, Point
from edge.limit_reach import reach
from edge.power_line import line_of

MAX_POINTS = 2000  # what a Pi-class box and one sheet are built for
MIN_QUOTA_BYTES = 10_000_000  # a day of a small site, plus the reserve for alarms
MAX_QUOTA_BYTES = 10**12
MIN_COMMIT_MS, MAX_COMMIT_MS = 10, 60_000  # below, the card wears for nothing; above, a power cut costs too much
MAX_BATCH_MS = 3_600_000  # a reading an hour late is history
MAX_TCP_PORT = 65535
MAX_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), without its closing NUL
POINT_OF = {"device": "point", "link": "link_point"}  # part of the site file -> the driver's keys of its points
FOREIGN = {
    "port": "a link of the driver “{}” talks through no [[port]]; take this key out",
    "point": "a link of the driver “{}” has no points of its own; take [[link.point]] out, "
    "or put it after the [[link]] it belongs to",
}

_SERIAL = re.compile(r"serial:/\S+")
_TCP = re.compile(r"tcp:(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):([0-9]{1,5})")

T = TypeVar("T", bound=Struct)


class _Part(NamedTuple):
    """One table of a list: where it stands, what was written, its common keys as a struct (None: wrong)."""

    where: Where
    raw: Table
    table: Any
    driver: Driver | None = None
    settings: Any = None  # its driver's keys as the driver's struct (None: wrong)

    @property
    def whole(self) -> bool:
        return self.table is not None and self.settings is not None


class _Measured(NamedTuple):
    """A point and its driver's struct for it (None: wrong)."""

    id: object
    where: Where
    point: Point | None
    settings: Any


class Walk:
    """One walk through one file. Problems go to `reader`."""

    def __init__(self, reader: Reader, drivers: Drivers) -> None:
        self.reader = reader
        self.drivers = drivers

    def site(self, file: Path, raw: Table) -> Site | None:
        """The site; None when anything in it is wrong."""
        top = self._table((), raw, SiteTable)
        if top is None:
            return None
        gateway, store = self._gateway(top.gateway), self._store(top.store)
        ports = self._parts("port", top.port, PortTable)
        devices = [self._driven(part, "device", DeviceTable) for part in self._parts("device", top.device, None)]
        measured = [self._points(part, "device") for part in devices]
        limits = self._parts("limit", top.limit, LimitTable)
        links = [self._driven(part, "link", LinkTable) for part in self._parts("link", top.link, None)]
        watched = [self._points(part, "link") for part in links]
        outputs = [self._driven(part, "output", OutputTable) for part in self._parts("output", top.output, None)]
        actions = self._parts("action", top.action, ActionTable)
        made_ports = self._ports(ports)
        made_devices = [self._device(*pair) for pair in zip(devices, measured, strict=True)]
        wires = self._wires(made_ports, devices, made_devices)
        self._references(ports, devices, links, outputs)
        made_limits = read_limits(self.reader, limits, [item for items in (*measured, *watched) for item in items])
        made_links = [self._link(*pair) for pair in zip(links, watched, strict=True)]
        self._names(devices, links, watched)
        users = {str(part.raw.get("port")): str(part.raw.get("driver")) for part in (*links, *devices)}
        made_outputs = read_outputs(self.reader, outputs, made_ports, users)
        known_outputs: dict[str, Output | None] = dict.fromkeys(_ids(outputs))
        known_outputs |= {output.id: output for output in made_outputs}
        reached = reach([limit.judged for limit in made_limits if limit])
        made_actions = read_actions(self.reader, actions, known_outputs, _ids(limits), reached)
        self._enough(devices, [*measured, *watched], links)
        if self.reader.problems or gateway is None or store is None:
            return None
        return Site(
            file=file,
            gateway=gateway,
            store=store,
            ports=tuple(port for _, port in made_ports),
            devices=tuple(device for device in made_devices if device),
            limits=tuple(limit for limit in made_limits if limit),
            links=tuple(link for link in made_links if link),
            wires=tuple(wires),
            outputs=tuple(made_outputs),
            actions=tuple(made_actions),
        )

    def _table(self, where: Where, raw: Table, kind: type[T]) -> T | None:
        meant = self.reader.unknown_keys(where, raw, [kind])
        return self.reader.struct(where, raw, kind, meant)

    def _parts(self, kind: str, tables: Sequence[Table], struct: type[Struct] | None) -> list[_Part]:
        """Each table of a list with its place; read as `struct` unless a driver has a say in its keys."""
        parts = []
        for index, raw in enumerate(tables):
            where = (label(kind, index, raw),)
            parts.append(_Part(where, raw, self._table(where, raw, struct) if struct else None))
        check_distinct(self.reader, kind, [(part.where, part.raw.get("id")) for part in parts])
        return parts

    def _driven(self, part: _Part, end: str, common: type[Struct]) -> _Part:
        """A table whose keys are partly its driver's (`Driver.device` or `Driver.link`)."""
        where, raw = part.where, part.raw
        name = raw.get("driver")
        driver = self.drivers.get(self.reader, where, name) if isinstance(name, str) else None
        if driver is None:  # nobody knows which other keys it may have
            return part._replace(table=self.reader.struct(where, raw, common))
        own = getattr(driver, end)
        if own is None:
            self.reader.problem((*where, "driver"), f"the driver “{name}” has no {end}; use it elsewhere")
            return part._replace(table=self.reader.struct(where, raw, common))
        further = {"link": link_tables, "output": output_tables}[end](driver)[1:] if end != "device" else []
        if end == "link":
            raw = self._without_foreign(part, driver, [common, *further, own])
        table, settings = self._both(where, raw, common, own, *further)
        return part._replace(table=table, driver=driver, settings=settings)

    def _without_foreign(self, part: _Part, driver: Driver, kinds: Sequence[type[Struct]]) -> Table:
        """The keys of a link without those that only links of other drivers have, which are complained of."""
        raw = dict(part.raw)
        allowed = {field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)}
        for key, sentence in FOREIGN.items():
            if key in raw and key not in allowed:
                del raw[key]
                self.reader.problem((*part.where, key), sentence.format(driver.name))
        return raw

    def _both(
        self, where: Where, raw: Table, common: type[T], own: type[Struct], *further: type[Struct]
    ) -> tuple[T | None, Any]:
        """`further`: keys that are read as they stand; only that they are right is made sure of here."""
        meant = self.reader.unknown_keys(where, raw, [common, *further, own])
        for kind in further:
            self.reader.struct(where, raw, kind, meant)
        return self.reader.struct(where, raw, common, meant), self.reader.struct(where, raw, own, meant)

    def _gateway(self, raw: Table) -> Gateway | None:
        table = self._table(("gateway",), raw, GatewayTable)
        if table is None:
            return None
        key, socket = self.reader.folder / table.key, self.reader.folder / table.socket
        if len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
            problem = f"{socket} is longer than the {MAX_SOCKET_PATH_BYTES} bytes a socket's name may have"
            self.reader.problem(("gateway", "socket"), problem)
        priors = None if table.priors is None else self.reader.folder / table.priors
        return Gateway(table.id, table.name, key, socket, priors)

    def _store(self, raw: Table) -> Store | None:
        table = self._table(("store",), raw, StoreTable)
        if table is None:
            return None
        quota = self.reader.size_bytes(("store", "quota"), table.quota, MIN_QUOTA_BYTES, MAX_QUOTA_BYTES)
        commit = self.reader.duration_ms(("store", "commit_every"), table.commit_every, MIN_COMMIT_MS, MAX_COMMIT_MS)
        line = table.power_fail or ""
        if table.power_fail is not None and line_of(line) is None:
            allowed = "file:/run/power-fail, gpio:gpiochip0/17 or gpio:gpiochip0/17/low"
            self.reader.problem(("store", "power_fail"), f"found “{line}”; allowed: {allowed}")
        if quota is None or commit is None:
            return None
        return Store(self.reader.folder / table.path, quota, commit / 1000, line)

    def _ports(self, parts: Sequence[_Part]) -> list[tuple[Where, Port]]:
        ports = []
        opened: dict[str, Where] = {}
        for part in parts:
            table: PortTable | None = part.table
            if table is None:
                continue
            tcp = _TCP.fullmatch(table.open)
            if not _SERIAL.fullmatch(table.open) and not (tcp and 1 <= int(tcp[1]) <= MAX_TCP_PORT):
                self.reader.problem(
                    (*part.where, "open"),
                    f"found “{table.open}”; allowed: serial:/dev/serial/by-id/... or tcp:host:port",
                )
                continue
            wire = _same_wire(table.open)
            if wire in opened:
                first = opened[wire][0]
                also = "" if wire == table.open else f" ({wire})"
                self.reader.problem(
                    (*part.where, "open"), f"{table.open}{also} is {first} already; one wire is one port"
                )
            opened.setdefault(wire, part.where)
            port = Port(table.id, table.open, table.baud, table.parity, table.stop_bits, table.data_bits)
            ports.append((part.where, port))
        return ports

    def _points(self, part: _Part, end: str) -> list[_Measured]:
        given = part.raw.get("point", [])
        if not isinstance(given, list):
            return []  # already complained of
        measured = []
        for index, raw in enumerate(given):
            if not isinstance(raw, dict):
                continue
            where = (*part.where, label("point", index, raw))
            own = getattr(part.driver, POINT_OF[end], None)
            common: type[PointTable] = DevicePointTable if end == "device" else PointTable
            table: PointTable | None
            settings: Any
            if own is not None:
                table, settings = self._both(where, raw, common, own)
            elif part.driver is not None and end == "device":
                table, settings = self._table(where, raw, common), ()
            else:  # whose keys nobody knows, or which is not to be here at all
                table, settings = self.reader.struct(where, raw, common), None
            point = read_point(self.reader, where, table, str(part.raw.get("id"))) if table else None
            measured.append(_Measured(raw.get("id"), where, point, settings))
        return measured

    def _device(self, part: _Part, measured: Sequence[_Measured]) -> Device | None:
        table: DeviceTable | None = part.table
        if table is None:
            return None
        if not measured:
            self.reader.problem(part.where, "has no point; add [[device.point]], or take the device out")
        points = tuple(item.point for item in measured if item.point)
        if not part.whole or any(item.settings is None or item.point is None for item in measured):
            return None
        spec = DeviceSpec(table.id, part.settings, {str(item.id): item.settings for item in measured})
        return Device(table.id, table.name, table.driver, table.port, points, spec)

    def _wires(
        self, ports: Sequence[tuple[Where, Port]], parts: Sequence[_Part], devices: Sequence[Device | None]
    ) -> list[Wire]:
        """What is on each port, and its driver's own opinion of it."""
        wires = []
        for where, port in ports:
            on_port = [part for part in parts if part.raw.get("port") == port.id and "driver" in part.raw]
            names = sorted({str(part.raw.get("driver")) for part in on_port})
            if len(names) > 1:
                users = ", ".join(f"{part.where[0]} ({part.raw.get('driver')})" for part in on_port)
                self.reader.problem(where, f"one port speaks one driver, but these share it: {users}")
                continue
            specs = tuple(device.spec for device in devices if device and device.port == port.id)
            driver = on_port[0].driver if on_port else None
            if driver is None or not specs or driver.sensors is None:
                continue
            for sentence in opinion(driver.name, driver.check, port, specs):
                self.reader.problem(where, sentence)
            wires.append(Wire(port, driver, specs))
        return wires

    def _references(
        self, ports: Sequence[_Part], devices: Sequence[_Part], links: Sequence[_Part], outputs: Sequence[_Part]
    ) -> None:
        known = _ids(ports)
        devices = (*devices, *(part for part in outputs if part.driver is None or part.driver.output_port))
        linked = [part for part in links if part.driver and part.driver.link_port]
        guessed = [part for part in links if part.driver is None]  # of a driver nobody knows: perhaps it has a port
        used: dict[object, Where] = {}
        for part in (*devices, *linked):
            port = part.raw.get("port")
            if not isinstance(port, str):
                continue
            place = (*part.where, "port")
            is_there = self.reader.reference(place, "port", port, known)
            if is_there and port in used and part in linked:
                other = used[port][0]
                self.reader.problem(place, f"“{port}” is {other}'s already; a link needs a port of its own")
            used.setdefault(port, part.where)
        used |= {part.raw.get("port"): part.where for part in guessed if isinstance(part.raw.get("port"), str)}
        if any(part.raw.get("port") not in known for part in (*devices, *linked)):
            return  # one of them is to have a port: perhaps that which nobody uses
        for part in ports:
            if isinstance(part.raw.get("id"), str) and part.raw["id"] not in used:
                self.reader.problem(part.where, "no device uses this port; take it out, or name it in a device or link")

    def _names(self, devices: Sequence[_Part], links: Sequence[_Part], watched: Sequence[Sequence[_Measured]]) -> None:
        """A link with points is asked by its id like a device: the two must not be mistaken."""
        first = {part.raw["id"]: part.where for part in devices if isinstance(part.raw.get("id"), str)}
        for part, points in zip(links, watched, strict=True):
            given = part.raw.get("id")
            if points and isinstance(given, str) and given in first:
                other = first[given][0]
                self.reader.problem((*part.where, "id"), f"{other} is called so too; give one of them another id")

    def _link(self, part: _Part, watched: Sequence[_Measured]) -> Link | None:
        table: LinkTable | None = part.table
        if table is None:
            return None
        batch_ms = self.reader.duration_ms((*part.where, "batch"), table.batch, 0, MAX_BATCH_MS)
        if batch_ms is None or part.driver is None or part.settings is None:
            return None
        for sentence in opinion(part.driver.name, part.driver.check_link, part.settings):
            self.reader.problem(part.where, sentence)
        points = tuple(item.point for item in watched if item.point)
        settings = {point.id: item.settings for item in watched if (point := item.point)}
        port = part.raw["port"] if part.driver.link_port and isinstance(part.raw.get("port"), str) else None
        return Link(table.id, part.driver, batch_ms / 1000, part.settings, port, points, settings)

    def _enough(
        self, devices: Sequence[_Part], measured: Sequence[Sequence[_Measured]], links: Sequence[_Part]
    ) -> None:
        if not devices and not any(measured):
            self.reader.problem((), "there is no [[device]] (and no [[link.point]]): nothing would be read")
        if not links:
            self.reader.problem((), "there is no [[link]]: nothing would ever leave the site")
        points = sum(map(len, measured))
        if points > MAX_POINTS:
            self.reader.problem((), f"{points} points are more than the {MAX_POINTS} one gateway carries; use two")


def _ids(parts: Iterable[_Part]) -> list[str]:
    return [part.raw["id"] for part in parts if isinstance(part.raw.get("id"), str)]


def _same_wire(opened: str) -> str:
    """What `Port.open` leads to: the same for two names of one device, as far as the links that are there now tell."""
    tcp = _TCP.fullmatch(opened)
    if tcp:
        return f"{opened[: tcp.start(1)].lower()}{int(tcp[1])}"
    kind, _, device = opened.partition(":")
    return f"{kind}:{os.path.realpath(device)}"
