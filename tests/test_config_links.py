"""A link with a port and points of its own: what the daemon gets, and a sentence for each way to write it wrongly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edge.answers import Answers
from edge.clock import Clock
from edge.contract import Level
from edge.errors import FengsuiError
from edge.intake import Intake
from edge.site_sheet import longest_sheet
from sim.virtual import run
from tests.config_sites import (
    DRIVERS,
    GOOD,
    RADIO,
    WATCHED,
    RadioLink,
    RadioPoint,
    changed,
    load_text,
    problems_of,
)
from tests.intake_site import START_MS, Polled

POINT = '\n[[link.point]]\nid = "extra"\nunit = ""\nstep = 1\n'


def test_a_link_gets_its_port_and_its_points(tmp_path: Path) -> None:
    main, narrow = load_text(tmp_path, WATCHED).links
    assert (main.port, main.points, main.point_settings) == (None, (), {})
    assert (narrow.port, narrow.settings) == ("radio", RadioLink(province=7))
    assert [(point.id, point.device, point.every_ms, point.step) for point in narrow.points] == [
        ("radio.signal", "narrow", 60_000, Decimal(1)),
        ("radio.card", "narrow", 10_000, Decimal(1)),
    ]
    assert narrow.point_settings == {"radio.signal": RadioPoint(read="signal"), "radio.card": RadioPoint(read="card")}


def test_points_of_a_link_are_points_like_all_others(tmp_path: Path) -> None:
    site = load_text(tmp_path, WATCHED)
    assert [point.id for point in site.points] == ["depth", "temp", "level", "radio.signal", "radio.card"]
    assert {every: [point.id for point in points] for every, points in site.groups.items()} == {
        10_000: ["temp", "level", "radio.card"],
        60_000: ["depth", "radio.signal"],
    }
    assert next(limit for limit in site.limits if limit.id == "quiet").thresholds == ((Level.YELLOW, 40),)
    assert [point.id for group in longest_sheet(site).groups for point in group.points] == [
        "temp",
        "level",
        "radio.card",
        "depth",
        "radio.signal",
    ]


def test_the_wire_of_a_link_is_no_wire_of_instruments(tmp_path: Path) -> None:
    site = load_text(tmp_path, WATCHED)
    assert [port.id for port in site.ports] == ["bus", "net", "radio"]
    assert [wire.port.id for wire in site.wires] == ["bus", "net"]


def test_a_link_without_points_may_be_called_like_a_device(tmp_path: Path) -> None:
    assert problems_of(tmp_path, changed('id = "main"', 'id = "piezo"')) == []


MISTAKES = {
    "no port": ('port = "radio"\n', "", ['link[1] "narrow": the key `port` is missing: The [[port]] of its terminal']),
    "port of a wrong type": ('port = "radio"\n', "port = 1\n", ['link[1] "narrow" → port: found 1']),
    "unknown port": ('port = "radio"\n', 'port = "radoi"\n', ["port: there is no port “radoi”; did you mean “radio”"]),
    "port of a device": (
        'port = "radio"\n',
        'port = "bus"\n',
        ['link[1] "narrow" → port: “bus” is device[0] "piezo"\'s already; a link needs a port of its own'],
    ),
    "unused port": ('port = "radio"\n', 'port = "bus"\n', ['port[2] "radio": no device uses this port', "or link"]),
    "a device on the port of a link": ('port = "net"\nunit = 1', 'port = "radio"\nunit = 1', ["“radio” is device[1]"]),
    "unknown key": ("province = 7", "provinz = 7", ['link[1] "narrow" → provinz: no such key', "`province`"]),
    "unknown key of a point": (
        'read = "card"',
        'reed = "card"',
        ['"narrow" → point[1] "radio.card" → reed:', "`read`"],
    ),
    "missing key of a point": ('read = "card"', "", ['point[1] "radio.card": the key `read` is missing']),
    "wrong value of a point": ('read = "card"', 'read = "cart"', ['read: found “cart”; allowed: "card" or "signal"']),
    "wrong step": ('unit = "dBHz"\nstep = 1', 'unit = "dBHz"\nstep = 0', ['point[0] "radio.signal" → step: found 0']),
    "point twice": ('id = "radio.card"', 'id = "temp"', ['"narrow" → point[1] "temp" → id:', "taken by device[0]"]),
    "called like a device": ('id = "narrow"', 'id = "radar"', ['"radar" → id: device[1] "radar" is called so too']),
    "limit of no point": ('point = "radio.signal"', 'point = "radio.signl"', ["did you mean “radio.signal”"]),
    "one bracket too few": (
        '[[link.point]]\nid = "radio.card"',
        '[[link]]\nid = "radio.card"',
        ["`driver` is missing"],
    ),
    "another name": ('[[link]]\nid = "narrow"', '[[link]]\npoints = 1\nid = "narrow"', ["points: no such key"]),
}
# The other end of the mistake is a mistake too: a port nobody uses.
TOLD_TWICE = {
    "no port",
    "port of a wrong type",
    "unknown port",
    "port of a device",
    "unused port",
    "a device on the port of a link",
    "one bracket too few",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_has_a_sentence(name: str, tmp_path: Path) -> None:
    old, new, parts = MISTAKES[name]
    found = problems_of(tmp_path, changed(old, new, WATCHED))
    assert [problem for problem in found if all(part in problem for part in parts)], found
    assert len(found) == 1 or name in TOLD_TWICE, found


def test_two_links_do_not_share_a_port(tmp_path: Path) -> None:
    third = '\n[[link]]\nid = "third"\ndriver = "radio"\nport = "radio"\nprovince = 7\n'
    [problem] = problems_of(tmp_path, WATCHED + third)
    assert problem.startswith('link[2] "third" → port: “radio” is link[1] "narrow"\'s already')


def test_a_number_in_quotes_is_said(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, WATCHED.replace("province = 7", 'province = "7"'))
    assert "found “7”; allowed: a whole number" in problem
    assert ", without quotes" in problem


@pytest.mark.parametrize("bracketed", ["[[link.point]]", "[link.point]"])
def test_a_point_before_its_link_is_said(bracketed: str, tmp_path: Path) -> None:
    early = f'{bracketed}\nid = "x"\nunit = ""\nstep = 1\nread = "card"\n'
    [problem] = problems_of(tmp_path, early + GOOD)
    assert problem.endswith("[[link.point]] must stand after its [[link]]")
    assert f"line {(early + GOOD).splitlines().index('[[link]]') + 1}," in problem


def test_a_point_without_any_link_is_said(tmp_path: Path) -> None:
    without = "\n\n".join(block for block in GOOD.split("\n\n") if "[[link" not in block)
    assert "link: [[link.point]] must stand after its [[link]]" in problems_of(tmp_path, without + POINT)


def test_a_link_that_names_no_port_is_one_mistake(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, WATCHED.replace('port = "radio"\n', ""))
    assert problem.startswith('link[1] "narrow": the key `port` is missing')
    [problem] = problems_of(tmp_path, WATCHED.replace('port = "radio"\n', 'port = "radios"\n'))
    assert "did you mean “radio”?" in problem


def test_points_of_a_link_alone_are_enough_to_watch(tmp_path: Path) -> None:
    blocks = [block for block in WATCHED.split("\n\n") if "[[device" not in block and "[[limit" not in block]
    text = "\n\n".join(block for block in blocks if 'id = "bus"' not in block and 'id = "net"' not in block)
    site = load_text(tmp_path, text)
    assert (site.devices, [point.id for point in site.points]) == ((), ["radio.signal", "radio.card"])


@pytest.mark.parametrize(
    "spelling",
    ["serial:{0}/./radio", "serial:{0}//radio", "serial:{0}/x/../radio", "serial:{0}/alias", "serial:{0}/radio"],
)
def test_one_wire_under_two_names_is_said(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "radio").touch()
    (tmp_path / "alias").symlink_to(tmp_path / "radio")
    text = WATCHED.replace("serial:/dev/serial/by-id/usb-x", spelling.format(tmp_path))
    text = text.replace("serial:/dev/serial/by-id/usb-y", f"serial:{tmp_path}/radio")
    [problem] = problems_of(tmp_path, text)
    assert problem.startswith(f'port[2] "radio" → open: serial:{tmp_path}/radio')
    assert problem.endswith('is port[0] "bus" already; one wire is one port')


def test_one_server_under_two_names_is_said(tmp_path: Path) -> None:
    text = WATCHED.replace("serial:/dev/serial/by-id/usb-y", "tcp:[FE80::1]:0502")
    [problem] = problems_of(tmp_path, text)
    assert 'is port[1] "net" already' in problem


def test_a_link_that_needs_no_port_is_given_none(tmp_path: Path) -> None:
    drivers = {**DRIVERS, "radio": replace(RADIO, link_port=False)}
    [problem] = problems_of(tmp_path, WATCHED.replace("baud = 115200\n", ""), drivers)[:1]
    assert (
        problem == 'link[1] "narrow" → port: a link of the driver “radio” talks through no [[port]]; take this key out'
    )


def test_a_link_that_can_not_be_watched_has_no_points(tmp_path: Path) -> None:
    """Its points count as given: a limit that names one is no second mistake."""
    limit = '\n[[limit]]\nid = "x"\npoint = "extra"\nabove = { red = 1 }\n'
    assert problems_of(tmp_path, GOOD + POINT + 'read = "card"\n' + limit) == [
        'link[0] "main" → point: a link of the driver “out” has no points of its own; take [[link.point]] out, '
        "or put it after the [[link]] it belongs to"
    ]


def test_a_link_of_an_unknown_driver_is_one_mistake(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, changed('driver = "radio"', 'driver = "radoi"', WATCHED))
    assert "no driver “radoi” is installed; did you mean “radio”?" in problem


def test_a_drivers_own_check_of_a_link_with_a_port(tmp_path: Path) -> None:
    drivers = {**DRIVERS, "radio": replace(RADIO, check_link=lambda link: [f"card {link.province} is not ours"])}
    assert problems_of(tmp_path, WATCHED, drivers) == ['link[1] "narrow": card 7 is not ours']


@pytest.mark.parametrize(
    ("what", "found"),
    [("narrow", {"radio.signal", "radio.card"}), ("radio.card", {"radio.card"}), ("piezo", {"depth", "temp"})],
)
def test_a_technician_asks_a_link_like_a_device(what: str, found: set[str], tmp_path: Path) -> None:
    site = load_text(tmp_path, WATCHED)
    sensors = {name: Polled(lambda _now_s: 1.0) for name in ("piezo", "radar", "narrow")}

    async def asked() -> list[dict[str, Any]]:
        clock = Clock(lambda: START_MS, asyncio.get_running_loop().time, lambda: False, 1)
        ports = {name: name for name in sensors}
        intake = Intake(site.groups, sensors, ports, clock, lambda *_: None, lambda _: None, lambda *_: None)
        points = {point.id: point for point in site.points}
        answers = cast(Answers, SimpleNamespace(intake=intake, _points=points))
        with pytest.raises(FengsuiError, match="neither a point nor a device; devices: piezo, radar, narrow"):
            await Answers._ask_read(answers, {"what": "main"})
        return await Answers._ask_read(answers, {"what": what})

    shown = run(asked())
    assert {point["id"] for point in shown} == found
    assert {point["quality"] for point in shown} == {"good"}
