"""`fengsui sensors` as a technician and a program meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli.verbs import fengsui
from edge.config.load import load
from edge.config.templates import TRUST, shipped
from edge.errors import SiteFileError
from tests.sensor_sites import GATEWAY, PORT, TEMPLATES, own_template, template

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


def beside(folder: Path, name: str, text: str) -> str:
    own_template(folder, name, text)
    return str(folder / "site.toml")


def test_the_list_has_every_template_and_says_how_far_each_is_to_be_trusted() -> None:
    shown = invoke()
    assert shown.exit_code == 0
    rows = [line.split() for line in shown.output.splitlines()]
    first = {row[0] for row in rows if row}
    assert first >= set(TEMPLATES)
    assert all(f"  {mark}  {means}" in shown.output for mark, means in TRUST.items())


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
        assert text in shown.output
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


def test_one_that_is_half_written_hides_no_other(tmp_path: Path) -> None:
    site = beside(tmp_path, "our-nail", "maker = ")
    shown = invoke("--site", site)
    assert shown.exit_code == 3
    assert "our-nail" in shown.stderr
    assert all(name in shown.stdout for name in TEMPLATES)
    one = invoke("our-nail", "--site", site)
    assert one.exit_code == 3
    assert "our-nail.toml" in one.stderr


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
    path.write_text(GATEWAY + more + 'points = ["pressure-16"]\nk16 = 1e-4\nf0_16 = 2000\nfull_scale_16 = 350\n', "utf-8")
    assert [point.id for point in load(path).points] == [
        "pond.level",
        "pond.distance",
        "pond.installed",
        "log.pressure-16",
    ]
