"""Sentences about a key that holds the wrong kind of thing: what was found, which kind belongs there, what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli.verbs import fengsui
from edge.errors import SiteFileError
from tests.config_sites import changed, problems_of
from tests.sensor_sites import PORT, own_template
from tests.test_cli_site import SITE
from tests.world_wires import site_of

WRONG = [
    ('any = "high"', 'any: found “high”; allowed: a list [ ... ], each a text in "quotes" (Other limits: the highest'),
    ('hysteresis = ""', "hysteresis: found “”; allowed: a number (In the point's unit"),
    ('counter = "yes"', "counter: found “yes”; allowed: true or false (Of a sum"),
    ('votes = ""', "votes: found “”; allowed: a whole number at least 1, without quotes"),
    ("while_raised = 3", 'while_raised: found 3; allowed: a text in "quotes" (How often'),
]


@pytest.mark.parametrize("formula", ["$x * 1e400", "$x / 0", "$x + $y + $z"])
def test_what_is_no_formula_is_told_what_one_is(formula: str, tmp_path: Path) -> None:
    """Not to leave out the quotes, which a formula needs. Of a device, where a text may begin with $."""
    found = problems_of(tmp_path, changed("register = 7", f'register = 7\nscale = "{formula}"'))
    [problem] = [problem for problem in found if "scale" in problem]
    assert f"found “{formula}”, which is no formula; allowed: “$x”, “$x * 2”" in problem


@pytest.mark.parametrize(("key", "said"), WRONG, ids=[key for key, _ in WRONG])
def test_the_kind_that_belongs_there_is_named(key: str, said: str, tmp_path: Path) -> None:
    found = problems_of(tmp_path, changed("below = { orange", f"{key}\nbelow = {{ orange"))
    assert any(said in problem for problem in found), found


def test_so_it_is_of_outputs_and_actions(tmp_path: Path) -> None:
    text = SITE + '[[output]]\nid = "o"\ndriver = "command"\nrun_on = ["/bin/true"]\nrun_off = true\n'
    text += '[[action]]\nid = "a"\non = ["shallow"]\noutput = "o"\nmax_on = "1min"\nonly_while_raised = ""\n'
    found = "\n".join(problems_of(tmp_path, text, None))
    assert (
        'run_off: found true; allowed: a list [ ... ], each a text in "quotes" (["/usr/local/bin/horn", "off"]' in found
    )
    assert "only_while_raised: found “”; allowed: true or false (Ends with the level" in found


@pytest.mark.parametrize("kind", ["a folder", "a pipe or a device"])
def test_a_template_that_is_no_file_is_told_as_what_it_is(kind: str, tmp_path: Path) -> None:
    own_template(tmp_path, "other", "")
    path = tmp_path / "sensors" / "odd.toml"
    path.mkdir() if kind == "a folder" else os.mkfifo(path)
    device = '[[device]]\nid = "d"\nport = "bus"\nunit = 1\ndevice = "odd"\n'
    with pytest.raises(SiteFileError) as caught:
        site_of(tmp_path, f'[gateway]\nid = "g"\n[[link]]\nid = "up"\ndriver = "mqtt"\nhost = "h"\n{PORT}{device}')
    assert f"odd.toml is {kind}, no file; a sensor template is a text file" in "\n".join(caught.value.problems)


def test_names_do_not_steer_the_terminal_of_check(tmp_path: Path) -> None:
    wild = r"\u001b[2J\u001b]0;owned\u0007\nsite.toml is right."
    text = SITE.replace('name = "一号站"', f'name = "一号站{wild}"').replace('name = "埋深"', f'name = "埋深{wild}"')
    text = text.replace('id = "shallow"', f'id = "shallow"\nname = "浅{wild}"').replace(
        'unit = "degC"', r'unit = "d\u001b"'
    )
    file = tmp_path / "site.toml"
    file.write_text(text, "utf-8")
    said = CliRunner().invoke(fengsui, ["check", str(file)], catch_exceptions=False).output
    assert "一号站" in said
    assert "埋深" in said
    assert "浅" in said
    assert all(char.isprintable() or char == "\n" for char in said)
    assert "site.toml is right." not in [line.strip() for line in said.splitlines() if not line.startswith(str(file))]
