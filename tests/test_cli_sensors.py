"""`fengsui sensors` as a technician and a program meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from edge.cli.show import folded, folded_table, table, width
from edge.cli.verbs import fengsui
from edge.config.load import load
from edge.config.templates import TRUST, shipped
from edge.errors import SiteFileError
from tests.sensor_sites import GATEWAY, PORT, TEMPLATES, own_template, template

RADAR = "dfrobot-sen0676"
OWN = """
maker = "us"
model = "a bent nail"
what = "crack gauge"
driver = "modbus"
trust = "M"
sources = ["the nail"]

[[point]]
id = "crack"
unit = "mm"
step = 0.1
every = "1min"
register = 4
scale = 0.1
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(fengsui, ["sensors", *arguments], catch_exceptions=False)


def plain(shown: Result) -> str:
    """What was folded in one piece again, without spaces."""
    return "".join(shown.output.split())


def beside(folder: Path, name: str, text: str) -> str:
    own_template(folder, name, text)
    return str(folder / "site.toml")


def test_the_list_has_every_template_and_says_how_far_each_is_to_be_trusted() -> None:
    shown = invoke()
    assert shown.exit_code == 0
    rows = [line.split() for line in shown.output.splitlines()]
    first = {row[0] for row in rows if row}
    assert first >= set(TEMPLATES)
    assert all("".join(f"{mark}{means}".split()) in plain(shown) for mark, means in TRUST.items())


def test_the_list_for_a_program() -> None:
    shown = json.loads(invoke("--json").output)
    assert [entry["name"] for entry in shown] == list(TEMPLATES)
    assert all(entry["trust"] in TRUST and Path(entry["file"]).is_file() for entry in shown)


@pytest.mark.parametrize("name", TEMPLATES)
def test_one_of_them_is_explained(name: str) -> None:
    shown = invoke(name)
    assert shown.exit_code == 0
    said = template(name)
    for text in (said.maker, said.model, *said.sources, TRUST[said.trust], f'device = "{name}"'):
        assert "".join(text.split()) in plain(shown)
    as_json = json.loads(invoke(name, "--json").output)
    assert as_json["name"] == name
    assert as_json["trust_means"] == TRUST[said.trust]
    assert len(as_json["points"]) >= len(said.point)
    assert f'device = "{name}"' in as_json["example"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_its_lines_are_a_site_once_the_numbers_are_found(name: str, tmp_path: Path) -> None:
    lines = json.loads(invoke(name, "--json").output)["example"]
    path = tmp_path / "site.toml"
    asked = [line.split()[1] for line in lines.splitlines() if line.startswith("# ")]
    if asked:
        path.write_text(GATEWAY + lines.replace("serial:/dev/serial/by-id/...", "serial:/dev/ttyUSB0"), "utf-8")
        with pytest.raises(SiteFileError) as refused:
            load(path)
        assert all(f"'{key}'" in str(refused.value) or key in str(refused.value) for key in asked)
    whole = "\n".join(line.removeprefix("# ") for line in lines.splitlines())
    path.write_text(GATEWAY + whole.replace("serial:/dev/serial/by-id/...", "serial:/dev/ttyUSB0"), "utf-8")
    site = load(path)
    assert site.devices[0].points


def test_a_name_that_is_nobody_s_gets_the_nearest() -> None:
    shown = invoke("dfrobot-sen0493")
    assert shown.exit_code == 1
    assert "dfrobot-sen0492" in shown.stderr


def test_one_s_own_beside_the_site_file(tmp_path: Path) -> None:
    site = beside(tmp_path, "our-nail", OWN)
    assert "our-nail" in invoke("--site", site).output
    assert "our-nail" not in invoke().output
    shown = invoke("our-nail", "--site", site)
    assert "holding 4 u16 × 0.1" in shown.output
    assert invoke("our-nail").exit_code == 1


def test_one_s_own_goes_before_ours(tmp_path: Path) -> None:
    site = beside(tmp_path, TEMPLATES[0], OWN)
    assert "a bent nail" in invoke(TEMPLATES[0], "--site", site).output
    assert str(tmp_path) in json.loads(invoke(TEMPLATES[0], "--site", site, "--json").output)["file"]


def test_those_that_are_half_written_hide_no_other_and_are_said_in_a_line_each(tmp_path: Path) -> None:
    beside(tmp_path, "our-nail", "maker = ")
    site = beside(tmp_path, "our-screw", 'maker = "us"\n')
    shown = invoke("--site", site)
    assert shown.exit_code == 0
    nail, screw = shown.stderr.splitlines()
    assert nail.startswith(f"left out: {tmp_path / 'sensors' / 'our-nail.toml'} is wrong: not TOML: Invalid value")
    assert screw.endswith(
        'the key `model` is missing: a text in "quotes" and 5 more: fengsui sensors our-screw --site SITE'
    )
    assert all(name in shown.stdout for name in TEMPLATES)
    one = invoke("our-screw", "--site", site)
    assert one.exit_code == 3
    assert one.stderr.count("our-screw.toml") == 1
    assert "the key `driver` is missing" in one.stderr
    assert "our-screw.toml is wrong" in invoke("screw", "--site", site).stderr
    assert invoke("vtn416", "--site", site).stderr == ""


def test_parts_of_a_name_and_words_in_both_languages_find_it() -> None:
    assert invoke("vtn416").output == invoke("hebei-wenkong-vtn416").output
    assert json.loads(invoke("VTN416", "--json").output)["name"] == "hebei-wenkong-vtn416"
    wires = [entry["name"] for entry in json.loads(invoke("振弦", "--json").output)]
    assert "hebei-wenkong-vtn416" in wires
    assert 1 < len(wires) < 10
    shown = invoke("radar", "level").output
    assert shown.startswith("sensors (2 of ")
    assert all(f"  {name}  " in shown for name in ("dfrobot-sen0676", "geolux-lx80"))
    nothing = invoke("radar", "seismometer")
    assert (nothing.exit_code, "there is no sensor template “radar seismometer”" in nothing.stderr) == (1, True)


@pytest.mark.parametrize("columns", [80, 132])
@pytest.mark.parametrize("name", ["", *TEMPLATES])
def test_a_serial_console_shows_all_of_it(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown, _, _ = invoke(*filter(None, [name])).output.partition("lines for a site file")
    assert max(width(line) for line in shown.splitlines()) <= columns


@given(st.text(alphabet="ab 水位。é\u0301", max_size=200), st.integers(40, 90))
def test_folding_loses_nothing_but_spaces(text: str, columns: int) -> None:
    lines = list(folded(text, columns))
    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert lines == [text] or width(text) > columns


def test_a_wide_table_keeps_its_columns_one_below_the_other() -> None:
    rows = [("a", "x" * 30, "1"), ("bb", "y", "22")]
    assert folded_table("things", ("name", "what", "size"), rows, 80) == table("things", ("name", "what", "size"), rows)
    assert folded_table("things", ("name", "what", "size"), rows, 40).splitlines() == [
        "things (2)",
        "  name  what",
        "      size",
        "  a     " + "x" * 30,
        "      1",
        "  bb    y",
        "      22",
    ]


def test_nothing_of_one_s_own_steers_the_terminal(tmp_path: Path) -> None:
    site = beside(tmp_path, "our-nail", OWN.replace("crack gauge", "\\u001b[2Jcrack gauge"))
    shown = invoke("--site", site).output + invoke("our-nail", "--site", site).output
    assert "\x1b" not in shown
    assert "\\x1b[2Jcrack gauge" in shown


def test_the_folder_s_readme_has_every_template() -> None:
    text = (shipped() / "README.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    wanted = [
        f"| `{name}` | {said.maker}, {said.model} | {said.what} | {said.trust} |"
        for name, said in ((name, template(name)) for name in TEMPLATES)
    ]
    assert rows == wanted


def test_the_readme_s_examples_are_right(tmp_path: Path) -> None:
    text = (shipped() / "README.md").read_text("utf-8")
    device, own = (part.partition("```")[0] for part in text.split("```toml\n")[1:])
    own_template(tmp_path, "ours", own)
    more = PORT + device + '[[device]]\nid = "log"\ndevice = "ours"\nport = "bus"\n'
    path = tmp_path / "site.toml"
    path.write_text(
        GATEWAY + more + 'points = ["pressure-16"]\nk16 = 1e-4\nf0_16 = 2000\nfull_scale_16 = 350\n', "utf-8"
    )
    assert [point.id for point in load(path).points] == [
        "pond.level",
        "pond.distance",
        "pond.installed",
        "log.pressure-16",
    ]


def test_a_wrong_template_is_said_once_however_many_devices_name_it(tmp_path: Path) -> None:
    own_template(tmp_path, "our-nail", 'maker = "us"\n')
    devices = [f'[[device]]\nid = "n{n}"\ndevice = "our-nail"\nport = "bus"\n' for n in range(11)]
    ours = f'[[device]]\nid = "pond"\ndevice = "{RADAR}"\nport = "bus"\nheight = 9\n'
    (tmp_path / "site.toml").write_text("".join([GATEWAY, PORT, ours, *devices]), "utf-8")
    with pytest.raises(SiteFileError) as refused:
        load(tmp_path / "site.toml")
    assert len(refused.value.problems) == 6
    assert all('device[1] "n0" → device: the template ' in problem for problem in refused.value.problems)
