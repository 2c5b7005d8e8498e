"""What `fengsui check` says of a site that is right: what is allowed but looks forgotten, and what is too much."""

from __future__ import annotations

import re

from edge.config.plugs import opinion
from edge.config.site import Link, Site
from edge.contract import Of, PolledSensor, Port, PortSettings, Rule
from edge.errors import PortLost
from edge.measure_nouns import Spec

MANY = 50  # points and limits that surely fit any wide link: a sheet of them takes some 5 kB
SHOWN = 4  # registers in one note
# Manuals number holding registers from 40001 and input registers from 30001; on the wire each table begins at 0. Few
# instruments really have registers there (of our templates one, from 31001 on).
MANUALS = ((range(40001, 50000), "holding"), (range(30001, 31000), "input"))
_UNSTABLE_NAME = re.compile(r"serial:/dev/tty(USB|ACM)[0-9]+")


def forgotten(site: Site) -> list[str]:
    """What is allowed but looks forgotten."""
    watched = {limit.point for limit in site.limits if limit.rule is Rule.STALE}
    judged = {limit.point for limit in site.limits if limit.rule not in (Rule.STALE, Rule.SUSPECT, Rule.COMBINED)}
    judged |= {part.spec.other for limit in site.limits for part in limit.judged.parts if part.spec and part.spec.other}
    asked = {limit.point for limit in site.limits if limit.rule is Rule.SUSPECT}
    doubted = {point.id for point in site.points if point.doubt}
    warnings = [
        f"{what}: {', '.join(ids)}"
        for what, ids in (
            ("points that no limit judges, they never raise an alarm", _ids_not_in(site, judged | watched)),
            (
                "points judged by value, but no `stale` limit tells when they fall silent: the level they had stands, "
                "and votes",
                sorted(judged - watched),
            ),
            (
                "points whose doubtful readings raise no alarm, and no `suspect` limit tells of them",
                sorted(doubted - asked),
            ),
            (
                "limits whose red switches nothing on the spot by itself: no [[action]] follows it, nor what it makes "
                "of other limits",
                site.red_alone,
            ),
            (
                "limits on a `total` without `start`: the zero is the first value read, known to this disk alone; with "
                "it lost they count from what is there then. Write it as `start` (value less total: fengsui rules)",
                [limit.id for limit in site.limits if any(_own_zero(part.spec) for part in limit.judged.parts)],
            ),
        )
        if ids
    ]
    warnings += _without_range(site)
    warnings += _numbered_as_in_a_manual(site)
    warnings += _hurried_in_vain(site)
    warnings += [
        f"port {port.id}: {port.open.partition(':')[2]} may be another device after a restart; "
        "take its name from: ls -l /dev/serial/by-id /dev/serial/by-path"
        for port in site.ports
        if _UNSTABLE_NAME.fullmatch(port.open)
    ]
    if site.outputs:
        from edge.cli.outputs_check import notes  # brings in drivers that a site without outputs need not wait for

        warnings += notes(site)
    return warnings


def _without_range(site: Site) -> list[str]:
    """Points that are judged by numbers made of many readings, where one that no instrument shows does harm."""
    open_ended: dict[str, list[str]] = {point.id: [] for point in site.points if point.minimum is None}
    for limit in site.limits:
        for spec in (part.spec for part in limit.judged.parts if part.spec):
            if spec.of in (Of.VALUE, Of.RATIO) or spec.start is not None:
                continue  # a value that is beyond the range is judged all the same
            for name in filter(None, (limit.point, spec.other)):
                if limit.id not in open_ended.get(name, (limit.id,)):
                    open_ended[name].append(limit.id)
    return [
        f"point {name}: has no `range`, so one wild number (a register's 65535) goes into what is judged of it: "
        f"{', '.join(limits)}; write the lowest and highest that its instrument shows: range = [0, 10] / "
        f"测点 {name} 未写量程 range，一个异常数（如寄存器 65535）会进入上述判据；请按仪器铭牌写明。"
        for name, limits in open_ended.items()
        if limits
    ]


def _numbered_as_in_a_manual(site: Site) -> list[str]:
    """Modbus registers that look like the numbers of a manual, which are not what goes over the wire."""
    found = []
    for device in (device for device in site.devices if device.driver == "modbus"):
        registers = [(id_, getattr(settings, "register", None)) for id_, settings in device.spec.points.items()]
        for numbers, table in MANUALS:
            odd = [f"{register} ({id_})" for id_, register in registers if register in numbers]
            more = " ..." if odd[SHOWN:] else ""
            if odd:
                found.append(
                    f"device {device.id}: register = {', '.join(odd[:SHOWN])}{more}: {_counted(numbers, table)}"
                )
    return found


def _counted(numbers: range, table: str) -> str:
    first = numbers.start
    return (
        f'where its manual counts from {first}, that one is `register = 0` with `table = "{table}"`, {first + 1} is 1, '
        f"and so on; right only where the manual counts from 0 / 手册若从 {first} 起编号，则该号应写 register = 0。"
    )


def _hurried_in_vain(site: Site) -> list[str]:
    """Limits that would have read faster what speaks by itself."""
    groups, every_ms = site.groups, {point.id: point.every_ms for point in site.points}
    hurried = [limit for limit in site.limits if limit.while_raised_ms]
    asked = _asked(site) if hurried else set()
    in_vain = [
        limit.id for limit in hurried if asked.isdisjoint(point.device for point in groups[every_ms[limit.point]])
    ]
    if not in_vain:
        return []
    return [
        "limits whose `while_raised` does nothing, as all that is read as often as their point speaks by itself and "
        f"can not be asked: {', '.join(in_vain)} / 以下规则的 while_raised 无效：同组仪器均自行发送，不能加密采集。"
    ]


def _asked(site: Site) -> set[str]:
    """The devices and links that answer when asked."""
    made: dict[str, object] = {}
    for wire in site.wires:
        if wire.driver.sensors is not None:
            made |= wire.driver.sensors(wire.port, _no_port, wire.devices)  # opens nothing
    return {id_ for id_, sensor in made.items() if isinstance(sensor, PolledSensor)} | {link.id for link in site.links}


async def _no_port(settings: PortSettings) -> Port:
    raise PortLost(settings.id, "not opened")


def _own_zero(spec: Spec | None) -> bool:
    return spec is not None and spec.of is Of.TOTAL and spec.start is None


def _ids_not_in(site: Site, known: set[str]) -> list[str]:
    return [point.id for point in site.points if point.id not in known]


def link_files(site: Site) -> tuple[list[str], list[str]]:
    """Files that links need: what is surely wrong with them, and what only may be."""
    lacking: list[str] = []
    perhaps: list[str] = []
    for link in site.links:
        found: list[tuple[str, bool]] = []
        found += [(why, True) for why in opinion(link.driver.name, _ask_files, link, found)]
        for why, sure in found:
            (lacking if sure else perhaps).append(f"link {link.id}: {why}")
    return lacking, perhaps


def _ask_files(link: Link, found: list[tuple[str, bool]]) -> list[str]:
    found += link.driver.link_lacks(link.settings)
    return []


def too_much(site: Site) -> list[str]:
    """What is wrong with the priors, and a sheet that no link can carry."""
    return _priors_warnings(site) + _sheet_warnings(site)


def _priors_warnings(site: Site) -> list[str]:
    if site.gateway.priors is None:
        return []
    from edge.priors import read_priors  # brings in the wire, which a site without priors need not wait for

    return read_priors(site.gateway.priors, {point.id for point in site.points})[1]


def _sheet_warnings(site: Site) -> list[str]:
    if len(site.points) + len(site.limits) < MANY:
        return []
    from edge.links import closed_links
    from edge.site_sheet import carries_bytes, too_large  # brings in the wire, which a small site need not wait for

    large = too_large(site, [room for link in closed_links(site) for room in carries_bytes(link.state())])
    return [large] if large else []
