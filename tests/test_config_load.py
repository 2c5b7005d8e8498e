"""A right site file gives exactly these settings; each wrong one gives a sentence with its place and a way out."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from edge.config import load
from edge.config.text import MAX_FILE_BYTES
from edge.config.walk import MAX_POINTS
from edge.contract import Driver, Level, Rule
from edge.errors import SiteFileError
from tests.config_sites import DRIVERS, FAKE, GOOD, OUT, FakeDevice, FakePoint, changed, load_text, problems_of


def test_a_right_file_gives_its_settings(tmp_path: Path) -> None:
    site = load_text(tmp_path, GOOD)
    assert (site.gateway.id, site.gateway.name, site.gateway.key) == ("gw-1", "一号站", tmp_path / "gateway.key")
    assert site.gateway.socket == Path("/run/fengsui/control.sock")
    assert (site.store.folder, site.store.quota_bytes, site.store.commit_every_s) == (
        tmp_path / "store",
        200_000_000,
        1,
    )
    assert [(port.id, port.baud, port.parity, port.stop_bits, port.data_bits) for port in site.ports] == [
        ("bus", 9600, "N", 1, 8),
        ("net", 9600, "N", 1, 8),
    ]
    assert [point.id for point in site.points] == ["depth", "temp", "level"]
    assert site.points[0].step == Decimal("0.01")
    assert (site.points[0].minimum, site.points[0].maximum) == (Decimal(0), Decimal(30))
    assert (site.points[1].minimum, site.points[1].maximum) == (None, None)
    assert {every: [point.id for point in points] for every, points in site.groups.items()} == {
        10_000: ["temp", "level"],
        60_000: ["depth"],
    }
    assert list(site.groups) == [10_000, 60_000]


def test_a_wire_is_what_a_driver_is_called_with(tmp_path: Path) -> None:
    site = load_text(tmp_path, GOOD)
    assert [(wire.port.id, wire.driver, [spec.id for spec in wire.devices]) for wire in site.wires] == [
        ("bus", FAKE, ["piezo"]),
        ("net", FAKE, ["radar"]),
    ]
    spec = site.wires[0].devices[0]
    assert spec.settings == FakeDevice(unit=1)
    assert spec.points == {"depth": FakePoint(register=7), "temp": FakePoint(register=8)}


def test_limits_are_in_whole_steps_that_change_no_verdict(tmp_path: Path) -> None:
    high, shallow, silent = load_text(tmp_path, GOOD).limits
    assert (high.rule, high.thresholds) == (Rule.ABOVE, ((Level.BLUE, 419_000), (Level.RED, 420_500)))
    assert (high.hysteresis_steps, high.hold_s, high.clear_hold_s) == (50, 30, 600)
    assert (shallow.rule, shallow.thresholds) == (Rule.BELOW, ((Level.ORANGE, 440), (Level.RED, 400)))
    assert (silent.rule, silent.thresholds) == (Rule.STALE, ((Level.YELLOW, 300), (Level.RED, 3600)))


def test_paths_of_a_drivers_settings_are_beside_the_site_file(tmp_path: Path) -> None:
    [link] = load_text(tmp_path, GOOD).links
    assert (link.id, link.driver, link.batch_s) == ("main", OUT, 10)
    assert (link.settings.host, link.settings.ca) == ("example", tmp_path / "ca.pem")


def test_the_key_file_is_asked_for_only_when_told(tmp_path: Path) -> None:
    load_text(tmp_path, GOOD)
    with pytest.raises(SiteFileError, match=r"gateway → key: .*does not exist.*fengsui keygen"):
        load_text(tmp_path, GOOD, check_files=True)
    (tmp_path / "gateway.key").write_text("00" * 32)
    load_text(tmp_path, GOOD, check_files=True)


def test_a_mark_of_windows_editors_in_front_is_no_mistake(tmp_path: Path) -> None:
    assert load_text(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).gateway.id == "gw-1"


UNIT = 'unit = "m"\nstep = 0.01\n'
HIGH = "above = { blue = 419, red = 420.5 }"

MISTAKES = {
    # unknown, missing, of the wrong type
    "unknown key, near": (
        "register = 7",
        "registr = 7",
        'device[0] "piezo" → point[0] "depth" → registr: .*`register`',
    ),
    "unknown key, far": (
        'name = "一号站"',
        "colour = 3",
        "gateway → colour: no such key; allowed here: id, name, key, socket, priors",
    ),
    "unknown table": ("[gateway]", "[gatewy]\n[gateway]", "^gatewy: no such key"),
    "unknown key of a limit": ('hold = "30s"', 'holt = "30s"', 'limit[0] "high" → holt: .*`hold`'),
    "unknown key of a port": ('id = "bus"', 'id = "bus"\nbaut = 1', 'port[0] "bus" → baut: .*`baud`'),
    "unknown key of a link": (
        'host = "example"',
        'host = "x"\nmqtt_topic = 1',
        'link[0] "main" → mqtt_topic: no such key',
    ),
    "missing key": (UNIT, "step = 0.01\n", 'device[0] "piezo" → point[0] "depth": the key `unit` is missing: '),
    "missing key of the driver": (
        "register = 7",
        "",
        'point[0] "depth": the key `register` is missing: a whole number',
    ),
    "missing gateway": ('[gateway]\nid = "gw-1"\nname = "一号站"', "", "^the key `gateway` is missing"),
    "wrong type": ("step = 0.01", 'step = "fine"', "step: found “fine”; allowed: .*resolution"),
    "bool is no number": ("step = 0.01", "step = true", "step: found true; allowed: a number"),
    "wrong type of a driver": ("register = 7", "register = 7.5", "register: found 7.5; allowed: a whole number"),
    "out of a driver's bounds": (
        'port = "net"\nunit = 1',
        'port = "net"\nunit = 248',
        'device[1] "radar" → unit: found 248; allowed: a whole number from 1 to 247',
    ),
    "infinite": ("step = 0.01", "step = inf", "step: found inf; a number must be finite"),
    "infinite inside": (HIGH, "above = { red = nan }", "above → red: found nan; allowed: a number"),
    "a driver's own check of one table": (
        "register = 7",
        "register = 7\neven = true",
        '"depth": register must be even',
    ),
    "no path": ('ca = "ca.pem"', "ca = 3", 'link[0] "main" → ca: found 3; allowed: a path in "quotes"'),
    "single brackets": ('[[link]]\nid = "main"', '[link]\nid = "main"', r"^link: found one table.*\[\[\.\.\.\]\]"),
    # ids and references
    "Chinese id": ('id = "gw-1"', 'id = "一号"', "gateway → id: found “一号”; allowed: .*names go into `name`"),
    "control characters": ('name = "一号站"', '"\\u001b[2J" = 1', r"gateway → \\x1b\[2J: no such key"),
    "long socket": (
        'id = "gw-1"',
        f'id = "gw"\nsocket = "/{"x" * 107}"',
        "gateway → socket: .* longer than the 107 bytes",
    ),
    "long id": ('id = "gw-1"', f'id = "{"x" * 41}"', "gateway → id: .*at most 40"),
    "port twice": ('id = "net"', 'id = "bus"', 'port[1] "bus" → id: .*taken by port[0] "bus"'),
    "device twice": ('id = "radar"', 'id = "piezo"', 'device[1] "piezo" → id: .*taken by device[0]'),
    "point twice": (
        'id = "level"',
        'id = "temp"',
        'device[1] "radar" → point[0] "temp" → id: .*taken by device[0] "piezo"',
    ),
    "limit twice": ('id = "shallow"', 'id = "high"', 'limit[1] "high" → id: .*taken by limit[0]'),
    "unknown port": (
        'port = "net"',
        'port = "nett"',
        'device[1] "radar" → port: there is no port “nett”; did you mean “net”',
    ),
    "unused port": ('port = "net"', 'port = "bus"', 'port[1] "net": no device uses this port'),
    "unknown point": ('point = "depth"', 'point = "dept"', 'limit[1] "shallow" → point: .*did you mean “depth”'),
    "two ports, one wire": (
        "tcp:[fe80::1]:502",
        "serial:/dev/serial/by-id/usb-x",
        'port[1] "net" → open: .*port[0] "bus"',
    ),
    "unknown driver": (
        'driver = "out"',
        'driver = "ot"',
        'link[0] "main" → driver: no driver “ot”.*“out”.*installed: fake, out, radio',
    ),
    "a driver without a link": ('driver = "out"', 'driver = "fake"', 'link[0] "main" → driver: .*“fake” has no link'),
    "no such port form": (
        "tcp:[fe80::1]:502",
        "/dev/ttyS0",
        'port[1] "net" → open: found “/dev/ttyS0”; allowed: serial:',
    ),
    "no such TCP port": ("tcp:[fe80::1]:502", "tcp:plc:70000", "open: found “tcp:plc:70000”"),
    "parity": ('id = "bus"', 'id = "bus"\nparity = "even"', "parity: found “even”; allowed: .*even or odd"),
    # durations and sizes
    "no unit": ('every = "1min"', "every = 60", r"every: found 60; allowed: .*10s"),
    "unknown unit": ('every = "1min"', 'every = "1 minute"', "every: “1 minute” is not a duration; write for example"),
    "too often": ('every = "1min"', 'every = "5ms"', "every: found “5ms”; allowed: 10ms to 1d"),
    "off the grid of a day": ('every = "1min"', 'every = "7s"', "every: .*whole number of them: 6912ms or 7200ms"),
    "small quota": (
        '[[port]]\nid = "bus"',
        '[store]\nquota = "1MB"\n[[port]]\nid = "bus"',
        "store → quota: found “1MB”",
    ),
    "slow commit": (
        '[[port]]\nid = "bus"',
        '[store]\ncommit_every = "2min"\n[[port]]\nid = "bus"',
        "store → commit_every: found “2min”; allowed: 10ms to 1min",
    ),
    "long hold": ('hold = "30s"', 'hold = "2d"', 'limit[0] "high" → hold: found “2d”; allowed: 0s to 1d'),
    # points
    "no step": ("step = 0.01", "step = 0", "step: found 0; allowed: 0.000000001 to 1000000000"),
    "range the wrong way": ("range = [0, 30]", "range = [30, 0]", "range: from 30 to 0 is not even one step"),
    "three ends": ("range = [0, 30]", "range = [0, 15, 30]", "range: found .0, 15, 30.; allowed: two numbers"),
    "beyond whole steps": ("range = [0, 30]", "range = [0, 1e20]", "range: .*2.53 steps"),
    # limits
    "no rule": (HIGH, "", 'limit[0] "high": exactly one of `above`, `below`, .*`inside` is allowed; found none'),
    "two rules": (HIGH, HIGH + "\nbelow = { red = 410 }", "exactly one of .*found `above`, `below`"),
    "no level": (HIGH, "above = {}", "above: names no level"),
    "unknown level": (HIGH, "above = { yelow = 419 }", "above → yelow: no such level; did you mean `yellow`"),
    "text for a threshold": (HIGH, 'above = { red = "420" }', "above → red: found “420”; allowed: a number"),
    "not rising": (HIGH, "above = { blue = 420, red = 419 }", "above: red .419.000. must lie above blue .420.000."),
    "not falling": ("orange = 4.405, red = 4.0", "orange = 4.0, red = 4.5", "below: red .4.50. must lie below orange"),
    "closer than a step": (
        "orange = 4.405, red = 4.0",
        "orange = 4.009, red = 4.002",
        "below: red .* at least one step",
    ),
    "stale not rising": ('red = "1h"', 'red = "5min"', "stale: red must be longer than yellow"),
    "stale shorter than the period": ('yellow = "5min"', 'yellow = "10s"', "stale → yellow: .*level is read every 10s"),
    "stale with fractions": ('yellow = "5min"', 'yellow = "90.5s"', "stale → yellow: .*whole seconds"),
    "stale with hysteresis": ("stale = {", "hysteresis = 1\nstale = {", "hysteresis: has no meaning for `stale`"),
    "never reached": (
        "red = 420.5",
        "red = 425",
        "above → red: 425.000 can never be reached: level measures 408 to 424 m",
    ),
    "never reached below": (
        "orange = 4.405, red = 4.0",
        "orange = 4.4, red = -1",
        "below → red: -1.00 can never be reached",
    ),
    "always reached": ("blue = 419", "blue = 408", "above → blue: 408.000 is reached by every value"),
    "never left": ("blue = 419", "blue = 408.04", "hysteresis: with 0.050 the level blue can never be left again"),
    "negative hysteresis": (
        "hysteresis = 0.05",
        "hysteresis = -0.05",
        "hysteresis: found -0.05; allowed: 0 or a positive",
    ),
    "wide hysteresis": (
        "hysteresis = 0.05",
        "hysteresis = 2",
        "hysteresis: 2.000 is more than the 1.500 m between blue and red",
    ),
    # drivers' own sentences
    "a driver's check of a link": ('host = "example"', 'host = "x"\nport = 22', '"main": port 22 is not for this'),
}


# The other end of the mistake is a mistake too: a port nobody uses, a reference to what was renamed.
TOLD_TWICE = {"unknown port", "port twice", "point twice", "unused port"}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_has_a_sentence(name: str, tmp_path: Path) -> None:
    old, new, sentence = MISTAKES[name]
    found = problems_of(tmp_path, changed(old, new))
    pattern = sentence.replace("[0]", r"\[0\]").replace("[1]", r"\[1\]")
    assert [problem for problem in found if re.search(pattern, problem)], found


@pytest.mark.parametrize("name", sorted(set(MISTAKES) - TOLD_TWICE))
def test_one_mistake_is_told_once(name: str, tmp_path: Path) -> None:
    old, new, _ = MISTAKES[name]
    assert len(problems_of(tmp_path, changed(old, new))) == 1


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD
    for old, new in (
        ("register = 7", "registr = 7"),
        ("step = 0.001", "step = 0"),
        ('every = "10s"', 'every = "7s"'),
        ('point = "depth"', 'point = "dept"'),
        ('stale = { yellow = "5min", red = "1h" }', ""),
        ('host = "example"', "host = 3"),
    ):
        text = changed(old, new, text)
    assert len(problems_of(tmp_path, text)) == 6


def test_the_message_names_the_file_and_the_number_of_problems(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError) as caught:
        load_text(tmp_path, changed("register = 7", ""))
    assert str(caught.value).startswith(f"{tmp_path / 'site.toml'}: 1 problem(s)\n  device[0]")


def test_a_driver_that_is_wrong_itself_is_said_so(tmp_path: Path) -> None:
    class Wrong(msgspec.Struct):
        bit: Annotated[int | None, msgspec.Meta(ge=0)] = None  # msgspec refuses such a type when it is used

    drivers = {**DRIVERS, "out": Driver(name="out", link=Wrong)}
    text = changed('host = "example"\nca = "ca.pem"', "bit = 1")
    assert "the driver itself declares this key wrongly" in str(problems_of(tmp_path, text, drivers))


def test_a_port_is_for_one_driver(tmp_path: Path) -> None:
    other = Driver(name="other", device=FakeDevice, point=FakePoint, sensors=FAKE.sensors)
    text = changed('port = "net"\nunit = 1', 'port = "bus"\nunit = 2').replace(
        'id = "radar"\ndriver = "fake"', 'id = "radar"\ndriver = "other"'
    )
    found = problems_of(tmp_path, text, {**DRIVERS, "other": other})
    assert any('device[0] "piezo" (fake), device[1] "radar" (other)' in problem for problem in found), found


def test_two_devices_are_checked_by_their_driver(tmp_path: Path) -> None:
    found = problems_of(tmp_path, changed('port = "net"\nunit = 1', 'port = "bus"\nunit = 1'))
    assert 'port[0] "bus": radar: unit used twice' in found


@pytest.mark.parametrize(("part", "sentence"), [("device", "nothing would be read"), ("link", "leave the site")])
def test_a_gateway_that_could_do_nothing_is_refused(part: str, sentence: str, tmp_path: Path) -> None:
    lines = GOOD.split("\n\n")
    text = "\n\n".join(block for block in lines if f"[[{part}" not in block)
    assert any(sentence in problem for problem in problems_of(tmp_path, text))


def test_a_device_without_points_is_refused(tmp_path: Path) -> None:
    text = GOOD + '\n[[device]]\nid = "empty"\ndriver = "fake"\nport = "bus"\nunit = 9\n'
    assert [problem for problem in problems_of(tmp_path, text) if 'device[2] "empty": has no point' in problem]


def test_too_many_points_are_refused(tmp_path: Path) -> None:
    device = '\n[[device]]\nid = "many"\ndriver = "fake"\nport = "bus"\nunit = 9\n'
    points = "".join(
        f'[[device.point]]\nid = "p{number}"\nunit = ""\nstep = 1\nregister = {number}\n'
        for number in range(MAX_POINTS - 2)
    )
    assert problems_of(tmp_path, GOOD + device + points) == [
        f"{MAX_POINTS + 1} points are more than the {MAX_POINTS} one gateway carries; use two"
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"[gateway\n", r"not TOML: .*line 1.*: \[gateway"),
        ("id ＝ “gw”\n".encode(), r"line 1.*full-width “ ” ＝ found"),
        ('name = "尾矿库"\n'.encode("gbk"), r"line 1 is not UTF-8 .*not GBK"),
        (b'a = "x\n', r"not TOML: .*line 1"),
        (b"a = " + b"9" * 5000, r"not TOML"),
        (b"a = " + b"[" * 100_000, r"nested too deep"),
        (b"#" * (MAX_FILE_BYTES + 1), r"larger than"),
        (b"a = 1\na = 2\n", r"not TOML: .*line 2.*: a = 2"),
        (
            b"[output]\n[[output]]\n",
            r"^line 2: \[output\] has single .* line 1 .* with \[\[output\]\],",
        ),
        (
            b"[[output]]\na = 1\n [ output ] # x\n",
            r"^line 3: \[output\] has single brackets here .* in line 1:",
        ),
        (b"[[device]]\n[device.point]\n[[device.point]]\n", r"^line 3: \[device.point\] has single brackets in line 2"),
        (b"[[device]]\n[[device.point]]\n[device.point]\n", r"^line 3: \[device.point\] has single brackets here"),
        (b"[gateway]\n[gateway]\n", r"^line 2: \[gateway\] is there already, in line 1: .* one \[gateway\]$"),
        (b"a = 1\n[a]\n", r"not TOML: .*line 2.*: \[a\]"),
        (b"", r"the key `gateway` is missing"),
    ],
)
def test_what_is_no_site_file_at_all(text: bytes, sentence: str, tmp_path: Path) -> None:
    [problem] = [problem for problem in problems_of(tmp_path, text) if re.search(sentence, problem)]
    assert "\n" not in problem


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError, match="can not be read: No such file"):
        load(tmp_path / "none.toml", DRIVERS)
    with pytest.raises(SiteFileError, match="can not be read: it is not a file"):
        load(tmp_path, DRIVERS)
