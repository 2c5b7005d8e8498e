"""[design]: numbers written once, asked for by name, and every mistake with them said."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli.verbs import fengsui
from edge.contract import Level
from tests.config_sites import GOOD, changed, load_text, problems_of

LIMIT = changed("{ orange = 4.405, red = 4.0 }", '{ orange = "$least * 1.1", red = "$least" }')


def site(value: str, text: str = LIMIT) -> str:
    return f"{text}\n[design]\n{value}\n"


def test_a_number_stands_where_it_is_named(tmp_path: Path) -> None:
    by_hand = {limit.id: limit for limit in load_text(tmp_path, changed("4.405", "4.4")).limits}
    filled = {limit.id: limit for limit in load_text(tmp_path, site("least = 4.0")).limits}
    assert filled == by_hand
    assert filled["shallow"].thresholds == ((Level.ORANGE, 440), (Level.RED, 400))  # not 4.4000000000000004


def test_it_goes_into_devices_lists_and_windows_too(tmp_path: Path) -> None:
    text = changed("register = 7", 'register = "$where"')
    text = text.replace(
        "above = { blue = 419, red = 420.5 }", 'outside = { blue = ["$low", 420] }\nwhile_raised = "1s"'
    )
    text += '\n[[limit]]\nid = "w"\npoint = "temp"\nof = "mean"\nabove = { blue = { 1h = "$hot" } }\n'
    made = load_text(tmp_path, site("where = 9\nlow = 410\nhot = 30", text))
    assert made.devices[0].spec.points["depth"].register == 9
    assert made.limits[0].thresholds == ((Level.BLUE, 410_000), (Level.BLUE, 420_000))


def test_what_is_asked_for_hides_no_other_mistake_and_makes_none(tmp_path: Path) -> None:
    [only] = problems_of(tmp_path, site('least = "最小埋深 least depth by the design, m"'))
    assert only.startswith("design → least: is asked for: 最小埋深 least depth by the design, m; write a number")
    both = problems_of(tmp_path, site('least = "least depth"').replace("420.5", "430"))
    assert [problem.split(":")[0] for problem in both] == ["design → least", 'limit[0] "high" → above → red']


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("leest = 4.0", ['limit[1] "shallow" → below → orange: [design] has no `least`; did you mean “$leest”?']),
        ("least = true", ["design → least: found true; allowed: a number"]),
        ("least = inf", ["design → least: found inf"]),
        ("least = 4.0\nother = 3", ["design → other: nothing in this file uses it"]),
        ("least = 4.0\nLeast = 3", ["design → Least: a name has a-z 0-9 _ only"]),
        ('least = ""', ["design → least: is asked for"]),
        ('least = 4\nmust = ["0 < least < 5", "-1.5 < least"]', []),
        (
            'least = -4\nmust = ["0 < least"]',
            ["design → least: found -4; must lie above 0; look at both, and their signs"],
        ),
        ('least = "m"\nmust = ["0 < least < 5"]', ["design → least: is asked for"]),
        ('least = 4\nmust = ["5 < leest"]', ["“5 < leest”; [design] has no leest: take that out of `must`"]),
        ('least = 4\nmust = ["least"]', ["design → must: found “least”; allowed: texts like “0 < least < most”"]),
        ("must = 3\nleast = 4", ["design → must: nothing in this file uses it"]),
    ],
)
def test_mistakes_are_said(tmp_path: Path, value: str, said: list[str]) -> None:
    found = "\n".join(problems_of(tmp_path, site(value)))
    assert all(sentence in found for sentence in said)


def test_it_is_judged_like_a_number_written_in_place(tmp_path: Path) -> None:
    found = problems_of(tmp_path, site("least = 40"))
    assert found
    assert found == problems_of(tmp_path, changed("4.405, red = 4.0", "44.0, red = 40"))


def test_without_the_table_nothing_is_filled_in(tmp_path: Path) -> None:
    assert len(problems_of(tmp_path, LIMIT)) == 2
    assert problems_of(tmp_path, "design = 3\n" + GOOD) == [
        "design: write it with single brackets, [design], and below it: name = number"
    ]


def test_the_schema_knows_it() -> None:
    shown = json.loads(CliRunner().invoke(fengsui, ["schema"]).output)
    assert shown["properties"]["design"]["additionalProperties"]["type"] == ["number", "string"]


def test_numbers_that_changed_places_are_said_by_both_their_names(tmp_path: Path) -> None:
    must = 'must = ["least < middle < most"]'
    text = LIMIT.replace("red = 420.5", 'red = "$most"').replace("blue = 419", 'blue = "$middle"')
    assert not problems_of(tmp_path, site(f"least = 4\nmiddle = 419\nmost = 420\n{must}", text))
    [said] = problems_of(tmp_path, site(f"least = 450\nmiddle = 419\nmost = 420\n{must}", text))[:1]
    assert said.startswith("design → least: found 450; must lie below middle (419)")
    open_still = f'least = 450\nmiddle = "?"\nmost = 420\n{must}'
    assert "design → least: found 450; must lie below most (420)" in "\n".join(
        problems_of(tmp_path, site(open_still, text))
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [("$least*2", "$least * 2"), ("$least* -1", "$least * -1"), ("$least+ 5", "$least + 5")],
)
def test_a_formula_without_blanks_is_told_how_to_write_it(tmp_path: Path, written: str, meant: str) -> None:
    [said] = problems_of(tmp_path, site("least = 4.0", LIMIT.replace("$least * 1.1", written)))
    assert said == f'limit[1] "shallow" → below → orange: found “{written}”; write “{meant}”'


def test_another_sign_is_told_what_there_is(tmp_path: Path) -> None:
    [said] = problems_of(tmp_path, site("least = 4.0", LIMIT.replace("$least * 1.1", "$least / 2")))
    assert "found “$least / 2”; allowed: “$x”, “$x * 2”, “$x - $y”" in said
    text = LIMIT.replace('id = "shallow"', 'id = "shallow"\nname = "$ 5 a metre"')
    assert load_text(tmp_path, site("least = 4.0", text)).limits[1].name == "$ 5 a metre"


def test_sums_of_two_numbers_and_a_range_that_waits_for_one(tmp_path: Path) -> None:
    text = changed("range = [0, 30]", 'range = ["$zero - $reach", "$zero * 2 + 1.5"]')
    depth = {point.id: point for point in load_text(tmp_path, site("zero = 3\nreach = 10", text)).points}["depth"]
    assert (depth.minimum, depth.maximum) == (Decimal(-7), Decimal("7.5"))
    [only] = problems_of(tmp_path, site('zero = 3\nreach = "its reach"', text))
    assert only.startswith("design → reach: is asked for")
