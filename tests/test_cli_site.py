"""check and schema as a technician and a program meet them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli.show import table
from edge.cli.verbs import VERBS, fengsui
from edge.config.load import load
from edge.preflight import Look
from tests.mqtt_certificates import Authority

SITE = """
[gateway]
id = "gw"
name = "一号站"
[[port]]
id = "bus"
open = "serial:/dev/ttyUSB0"
[[device]]
id = "piezo"
name = "渗压计"
driver = "modbus"
port = "bus"
unit = 1
[[device.point]]
id = "depth"
name = "埋深"
unit = "m"
step = 0.01
range = [0, 30]
register = 7
[[device.point]]
id = "temp"
unit = "degC"
step = 0.1
register = 8
[[limit]]
id = "shallow"
point = "depth"
below = { orange = 4.4, red = 4 }
[[link]]
id = "main"
driver = "mqtt"
host = "example"
"""


BEIDOU = """
[[port]]
id = "bd"
open = "serial:/dev/serial/by-id/usb-bd"
[[link]]
id = "beidou"
driver = "beidou"
port = "bd"
province = 1595001
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(fengsui, [str(argument) for argument in arguments])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site on a disk without fault, whatever this machine has (see test_preflight)."""
    monkeypatch.setattr("edge.preflight.look", lambda _folder, _quota_bytes: Look([], ""))
    monkeypatch.setattr("edge.preflight.sqlite_note", lambda _version: None)
    file = tmp_path / "site.toml"
    file.write_text(SITE)
    return file


def test_check_lists_what_will_run_and_what_looks_forgotten(site: Path) -> None:
    done = run("check", site)
    assert done.exit_code == 0
    for part in ("gateway gw 一号站", "9600 8N1", "渗压计", "mqtt", "is right"):
        assert part in done.stdout
    notes = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    expected = (
        "no limit judges, they never raise an alarm: temp",
        "the level they had stands, and votes: depth",
        "ttyUSB0",
        "fengsui keygen",
    )
    red = "red switches nothing on the spot"
    assert len(notes) == 5
    for part in (*expected, red):
        assert any(part in note for note in notes), part


def test_check_says_every_rule_with_all_that_decides(site: Path) -> None:
    """A wrong restore value of an interlock has to be seen before it runs."""
    more = 'clear = { red = 4.5 }\nhysteresis = 0.05\nhold = "10s"\nclear_hold = "1min"\n'
    silent = '[[limit]]\nid = "silent"\npoint = "temp"\nstale = { blue = "90s" }\n'
    site.write_text(SITE.replace("red = 4 }\n", f"red = 4 }}\n{more}{silent}"))
    told = run("check", site).stdout
    assert (
        "  shallow: depth: orange at 4.40 m or less, red at 4.00 m or less; red is left above 4.50 m; "
        "a level is left more than 0.05 m back; it must last 10 s; and be gone for 1 min.\n"
    ) in told
    assert "  silent: temp without a good value: blue after 90 s.\n" in told


TLS = """
tls = true
ca = "nosuch.pem"
username = "gw"
password_file = "nosuch"
"""


def test_check_names_the_files_of_a_link_that_are_not_there(site: Path) -> None:
    site.write_text(SITE + TLS)
    done = run("check", site)
    assert done.exit_code == 3
    for key, name in (("ca", "nosuch.pem"), ("password_file", "nosuch")):
        assert (
            f"error: link main: {key}: {site.parent / name} can not be read: No such file or directory" in done.stderr
        )
    assert load(site).links[0].id == "main", "the gateway starts all the same"


def test_check_looks_into_the_files_of_a_link(site: Path) -> None:
    site.write_text(SITE + TLS)
    ca, password = site.parent / "nosuch.pem", site.parent / "nosuch"
    ca.write_text("no certificate")
    password.write_text("secret")
    password.chmod(0o644)
    told = run("check", site).stderr
    assert f"link main: password_file: others may read {password}, so it is not used; type: chmod 600" in told
    password.chmod(0o600)
    assert f"link main: the ca file {ca} cannot be used" in run("check", site).stderr
    ca.unlink()
    Authority(site.parent / "pki").ca.rename(ca)
    assert run("check", site).exit_code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_only_the_service_may_read_is_no_mistake(site: Path) -> None:
    site.write_text(SITE + TLS.replace('ca = "nosuch.pem"\n', ""))
    (site.parent / "nosuch").touch(0)
    done = run("check", site)
    assert done.exit_code == 0
    assert "can not be read by you (by the service it may be)" in done.stdout


def test_check_names_totals_whose_zero_lies_on_this_disk_alone(site: Path) -> None:
    lost, kept = (
        f'[[limit]]\nid = "{name}"\npoint = "depth"\nof = "total"\nabove = {{ red = 5 }}\n{start}'
        for name, start in (("lost", ""), ("kept", "start = 4.5\n"))
    )
    site.write_text(SITE.replace("[[link]]", f"{lost}{kept}[[link]]"))
    notes = [line for line in run("check", site).stdout.splitlines() if "`total` without `start`" in line]
    assert [note.rpartition(": ")[2] for note in notes] == ["lost"]


def test_check_names_points_whose_wild_numbers_would_be_judged(site: Path) -> None:
    """One line for each point, in both languages; what is judged as it is read needs no range."""
    limit = '[[limit]]\nid = "{0}"\npoint = "{1}"\nof = "{2}"\n{3}above = {{ red = 5 }}\n'
    limits = "".join(
        limit.format(*keys)
        for keys in (
            ("fast", "temp", "rate", 'window = "6h"\n'),
            ("warm", "temp", "mean", 'window = "6h"\n'),
            ("share", "temp", "ratio", "to = 4\n"),
            ("apart", "near", "difference", 'minus = "temp"\n'),
            ("deep", "depth", "rate", 'window = "6h"\n'),  # which has a range
            ("since", "alone", "total", "start = 2\n"),
        )
    )
    points = "".join(
        f'[[device.point]]\nid = "{id_}"\nunit = "degC"\nstep = 0.1\nregister = {register}\n'
        for register, id_ in ((20, "near"), (30, "alone"))
    )
    site.write_text(SITE.replace("[[limit]]", f"{points}[[limit]]").replace("[[link]]", f"{limits}[[link]]"))
    notes = [line for line in run("check", site).stdout.splitlines() if "has no `range`" in line]
    assert [[note.split(": ")[1], note.split(": ")[3].split(";")[0]] for note in notes] == [
        ["point temp", "fast, warm, apart"],
        ["point near", "apart"],
    ]
    assert all("测点" in note and "量程" in note for note in notes)


def test_check_asks_about_registers_numbered_as_in_a_manual(site: Path) -> None:
    assert "counts from" not in run("check", site).stdout
    site.write_text(SITE.replace("register = 7", "register = 40001").replace("register = 8", "register = 30002"))
    [holding, input_] = [line for line in run("check", site).stdout.splitlines() if "counts from" in line]
    assert "device piezo: register = 40001 (depth): where its manual counts from 40001, that one is" in holding
    assert "register = 30002 (temp): where its manual counts from 30001" in input_
    assert '`register = 0` with `table = "input"`, 30002 is 1' in input_
    assert "应写 register = 0" in holding


SPEAKS = """
[[port]]
id = "mast"
open = "tcp:127.0.0.1:4001"
[[device]]
id = "gnss"
driver = "serial_line"
port = "mast"
format = "nmea"
[[device.point]]
id = "east"
unit = "m"
step = 0.001
range = [0, 10]
every = "1min"
sentence = "GGA"
field = 9
[[limit]]
id = "moves"
point = "east"
above = { red = 5 }
while_raised = "10s"
"""


@pytest.mark.parametrize(("every", "in_vain"), [("10s", True), ("1min", False)])
def test_check_says_where_all_that_would_be_hurried_speaks_by_itself(site: Path, every: str, in_vain: bool) -> None:
    site.write_text(SITE.replace("register = 8", f'register = 8\nevery = "{every}"') + SPEAKS)
    notes = [line for line in run("check", site).stdout.splitlines() if "`while_raised` does nothing" in line]
    assert len(notes) == in_vain
    assert all("moves" in note for note in notes)


def test_check_for_programs(site: Path) -> None:
    done = run("check", site, "--json")
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["ok"], answer["problems"], len(answer["warnings"])) == (0, True, [], 5)
    assert answer["points"][0] == {
        "id": "depth",
        "name": "埋深",
        "device": "piezo",
        "unit": "m",
        "step": "0.01",
        "range": ["0", "30"],
        "every_ms": 10_000,
    }
    assert answer["limits"][0]["thresholds"] == {"orange": 440, "red": 400}


def test_check_tells_the_key_by_its_fingerprint(site: Path) -> None:
    made = json.loads(run("keygen", site.parent / "gateway.key", "--json").stdout)
    assert f"fingerprint {made['fingerprint']}" in run("check", site).stdout
    (site.parent / "gateway.key").chmod(0o644)
    assert "chmod 600" in run("check", site).stdout
    (site.parent / "gateway.key").write_text("12")
    assert "is no key" in run("check", site).stdout


def test_a_wrong_site_file_ends_with_3(site: Path) -> None:
    site.write_text(SITE.replace("register = 7", "registr = 7").replace("unit = 1", "unit = 999"))
    done = run("check", site)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "2 problem(s)" in done.stderr
    assert "did you mean `register`?" in done.stderr
    assert f"fengsui check {site}" in done.stderr
    answer = run("check", site, "--json")
    assert (answer.exit_code, json.loads(answer.stdout)["ok"], len(json.loads(answer.stdout)["problems"])) == (
        3,
        False,
        2,
    )


def test_a_site_file_that_is_not_there_ends_with_3(tmp_path: Path) -> None:
    assert run("check", tmp_path / "none.toml").exit_code == 3


def test_schema_is_json() -> None:
    done = run("schema")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["properties"]["gateway"]["required"] == ["id"]


def test_help_lists_every_verb_without_importing_one() -> None:
    program = (
        "import sys\nfrom edge.cli.verbs import fengsui\n"
        "try: fengsui(['--help'])\n"
        "finally: print('LOADED', [name for name in sys.modules if name.startswith(('edge.cli.', 'edge.config'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "LOADED ['edge.cli.verbs']" in done.stdout
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout


def test_a_misspelt_verb_is_told_and_ends_with_2() -> None:
    done = run("chek")
    assert done.exit_code == 2
    assert "did you mean “check”?" in done.stderr


def test_tables_count_chinese_as_two_columns() -> None:
    assert table("t", ("a", "b"), [("库水位", "1"), ("x", "2")]).splitlines() == [
        "t (2)",
        "  a       b",
        "  库水位  1",
        "  x       2",
    ]
    assert table("t", ("a",), []) == "t: none"


def test_a_link_with_slots_shows_no_batch(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(SITE + BEIDOU, "utf-8")
    lines = {words[0]: words for line in run("check", file).output.splitlines() if (words := line.split())}
    assert lines["beidou"] == ["beidou", "beidou", "bd", "0", "-"]
    assert lines["main"] == ["main", "mqtt", "-", "0", "10s"]


OUTPUTS = """
[[output]]
id = "siren"
driver = "modbus"
port = "{port}"
register = 0
[[output]]
id = "horn"
driver = "command"
run_on = ["{on}"]
run_off = ["/nowhere/off"]
[[action]]
id = "wail"
on = ["{limit}"]
output = "siren"
max_on = "1min"
[[action]]
id = "blow"
on = ["{limit}"]
output = "horn"
max_on = "1min"
"""


def test_check_of_outputs_on_a_wire_with_instruments_and_of_programs_that_are_not_there(site: Path) -> None:
    plain = site.parent / "on"
    plain.write_text("x")
    found = load(site)
    more = OUTPUTS.format(port=found.ports[0].id, limit=found.limits[0].id, on=plain)
    site.write_text(site.read_text() + more)
    done = run("check", site)
    assert done.exit_code == 3
    assert f"error: output horn: run_on: {plain} may not be executed" in done.stderr
    assert "error: output horn: run_off: /nowhere/off can not be looked at: No such file" in done.stderr
    assert "output siren: shares its wire with piezo" in done.stdout
    assert "red switches nothing" not in done.stdout
