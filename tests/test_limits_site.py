"""Limits in a site file: every mistake has its sentence, and what is right reaches the sheet."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from edge.contract import Level, Of, Rule
from edge.site_sheet import sheet_of
from edge.wire.sheet import Sheet, SheetBasis
from tests.config_sites import problems_of
from tests.limit_sites import HEAD, limit, point, site_of

POINTS = (
    point("x", "mm", "0.1")
    + point("y", "mm", "0.5", "10min")
    + point("t", "degC", "0.1")
    + point("r", "mm", "0.2", more="range = [0, 100]")
)
BASE = limit("base", "x", "above = { red = 5 }")
ROLL = 'among = ["base"]\nrollup = { yellow = "%s" }'

WRONG = {
    "window of a value": (
        limit("a", "x", 'window = "1h"\nabove = { red = 1 }'),
        "window: has no meaning for of = “value”",
    ),
    "no window": (limit("a", "x", 'of = "rate"\nabove = { red = 1 }'), "the key `window` is missing: of = “rate”"),
    "short window": (
        limit("a", "y", 'of = "rate"\nwindow = "30min"\nabove = { red = 1 }'),
        "window: found “30min”, but the point is read every 10min: at least 1h",
    ),
    "both windows": (
        limit("a", "r", 'of = "sum"\nwindow = "1h"\nabove = { red = { 1h = 5 } }'),
        "window: each level has windows of its own",
    ),
    "windows of a value": (limit("a", "x", "above = { red = { 1h = 5 } }"), "a value has no window"),
    "number and window": (
        limit("a", "r", 'of = "sum"\nabove = { blue = 4, red = { 1h = 5 } }'),
        "above → blue: found a number; here each level has windows",
    ),
    "not a window": (
        limit("a", "r", 'of = "sum"\nabove = { red = { often = 5 } }'),
        "above → often: “often” is not a dur",
    ),
    "one window twice": (
        limit("a", "r", 'of = "sum"\nabove = { blue = { 60min = 4 }, red = { 1h = 5 } }'),
        "the same window is written in two ways",
    ),
    "never with rain": (
        limit("a", "r", 'of = "sum"\nwindow = "1h"\nabove = { red = 0 }'),
        "above → red: 0.0 is reached by every value",
    ),
    "other units": (
        limit("a", "x", 'of = "difference"\nminus = "t"\nabove = { red = 1 }'),
        "minus: t is in degC, x in mm",
    ),
    "itself": (limit("a", "x", 'of = "difference"\nminus = "x"\nabove = { red = 1 }'), "minus: x is the point itself"),
    "no other": (
        limit("a", "x", 'of = "difference"\nminus = "z"\nabove = { red = 1 }'),
        "minus: there is no point “z”",
    ),
    "ratio to nothing": (
        limit("a", "x", 'of = "ratio"\nto = 0\nabove = { red = 1 }'),
        "to: found 0; allowed: a positive",
    ),
    "no creep": (
        limit("a", "x", 'of = "tangent_angle"\nwindow = "1d"\nuniform = 0\nabove = { red = 85 }'),
        "uniform: found 0; allowed: a velocity, not 0",
    ),
    "beyond the right angle": (
        limit("a", "x", 'of = "tangent_angle"\nwindow = "1d"\nuniform = 1\nabove = { red = 91 }'),
        "91.0 can never be reached",
    ),
    "other kind": (limit("a", "x", 'of = "speed"\nabove = { red = 1 }'), "of: found “speed”; allowed:"),
    "band of one": (
        limit("a", "x", "outside = { red = [5] }"),
        "outside → red: found .5.; allowed: a band .low, high.",
    ),
    "band upside down": (limit("a", "x", "outside = { red = [5, 4] }"), "the band from 5 to 4 is not even one step"),
    "narrower": (
        limit("a", "x", "outside = { blue = [1, 9], red = [2, 8] }"),
        "outside: the band of red must be wider than that of blue",
    ),
    "never outside": (
        limit("a", "r", "outside = { red = [0, 100] }"),
        "outside → red: can never be reached: r measures",
    ),
    "clear of nothing": (
        limit("a", "x", "above = { red = 5 }\nclear = { blue = 4 }"),
        "clear → blue: there is no blue in `above` to be left",
    ),
    "clear above": (
        limit("a", "x", "above = { red = 5 }\nclear = { red = 6 }"),
        "clear → red: found 6, which is above 5.0 where red begins",
    ),
    "clear never": (
        limit("a", "r", "above = { red = 5 }\nclear = { red = 0 }"),
        "with 0 the level red can never be left",
    ),
    "clear of silence": (
        limit("a", "x", 'stale = { red = "1h" }\nclear = { red = 6 }'),
        "clear: has no meaning for `stale`",
    ),
    "sum of silence": (limit("a", "x", 'of = "sum"\nstale = { red = "1h" }'), "of: has no meaning for `stale`"),
    "not faster": (
        limit("a", "x", 'above = { red = 5 }\nwhile_raised = "2min"'),
        "while_raised: found “2min”; x is read every 1min: write a part of that",
    ),
    "amounts faster": (
        limit("a", "r", 'of = "sum"\nwindow = "1h"\nabove = { red = 5 }\nwhile_raised = "1s"'),
        "this needs counter = true",
    ),
    "amounts hurried along": (
        limit("a", "r", 'of = "sum"\nwindow = "1h"\nabove = { red = 5 }')
        + limit("b", "x", 'above = { red = 5 }\nwhile_raised = "1s"'),
        "limit.1. .b. → while_raised: limit “a” sums amounts that are read with x",
    ),
    "no point": ('[[limit]]\nid = "a"\nabove = { red = 1 }\n', "the key `point` is missing"),
    "nobody votes": (f'{BASE}[[limit]]\nid = "a"\nvotes = 2\n', "`among` names the limits; it is missing"),
    "too few": (
        f'{BASE}[[limit]]\nid = "a"\nvotes = 2\namong = ["base"]\n',
        "votes: found 2, but only 1 limits may vote",
    ),
    "two ways": (f'{BASE}[[limit]]\nid = "a"\nany = ["base"]\nall = ["base"]\n', "exactly one of .*found `any`, `all`"),
    "nobody": (f'{BASE}[[limit]]\nid = "a"\nany = ["bass"]\n', "there is no limit “bass”; did you mean “base”"),
    "a ring": ('[[limit]]\nid = "a"\nany = ["b"]\n[[limit]]\nid = "b"\nany = ["a"]\n', "judge each other in a ring"),
    "point of many": (
        f'{BASE}[[limit]]\nid = "a"\npoint = "x"\nany = ["base"]\n',
        "point: has no meaning for a limit about",
    ),
    "twice": (f'{BASE}[[limit]]\nid = "a"\nany = ["base", "base"]\n', "named twice among its members"),
    "roll down": (f'{BASE}[[limit]]\nid = "a"\n{ROLL % "2 red"}\n', "yellow: found “2 red”; allowed: a level made of"),
    "roll of words": (
        f'{BASE}[[limit]]\nid = "a"\n{ROLL % "many blue"}\n',
        "found “many blue”; allowed: a level made of",
    ),
    "stuck at once": (point("z", more='stuck = "1min"'), "stuck: found “1min”; allowed: 3min to 30d"),
    "no step": (point("z", more="spike = 0"), "spike: found 0; allowed: at least one step"),
    "half a twin": (point("z", more='twin = "x"'), "`twin` and `twin_differs` belong together"),
    "no twin": (point("z", more='twin = "xx"\ntwin_differs = 1'), "twin: there is no point “xx”"),
    "another quantity": (point("z", more='twin = "t"\ntwin_differs = 1'), "twin: “t” is no second instrument"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_has_a_sentence(name: str, tmp_path: Path) -> None:
    text, sentence = WRONG[name]
    found = problems_of(tmp_path, HEAD + POINTS + text)
    assert [problem for problem in found if re.search(sentence, problem)], found


def test_what_is_judged_has_a_unit_and_a_step_of_its_own(tmp_path: Path) -> None:
    rate = limit("rate", "x", 'of = "rate"\nwindow = "1d"\nper = "1d"\nabove = { red = 2.5 }')
    windows = limit("rain", "r", 'of = "sum"\nabove = { blue = { 12h = 50 }, red = { 1h = 30, 3h = 45.1 } }')
    apart = limit("apart", "x", 'of = "difference"\nminus = "y"\nabove = { red = 1 }')
    both = '[[limit]]\nid = "both"\nall = ["rate", "rain"]\n'
    site = site_of(tmp_path, POINTS, rate, windows, apart, both)
    by_id = {each.id: each for each in site.limits}
    assert (by_id["rate"].scale.unit, by_id["rate"].scale.step, by_id["rate"].thresholds) == (
        *("mm/d", Decimal("0.001")),
        ((Level.RED, 2500),),
    )
    parts = by_id["rain"].judged.parts
    assert [(part.spec.window_s if part.spec else 0, part.thresholds) for part in parts] == [
        (3600, ((Level.RED, 150),)),
        (10_800, ((Level.RED, 226),)),  # 45.1 mm is reached at 45.2, the next whole tip
        (43_200, ((Level.BLUE, 250),)),
    ]
    spec = by_id["apart"].judged.spec
    assert spec is not None
    assert (spec.factor, spec.other_factor, by_id["apart"].scale.step) == (1.0, 5.0, Decimal("0.1"))
    assert (by_id["both"].rule, by_id["both"].point) == (Rule.COMBINED, "x")
    sheet = sheet_of(site, 1, 1, 1)
    assert Sheet.decode(sheet.encode()) == sheet
    assert [each.basis for each in sheet.limits] == [
        SheetBasis(int(Of.RATE), 86_400, "mm/d", Decimal("0.001")),
        SheetBasis(int(Of.SUM), 0, "mm", Decimal("0.2")),
        SheetBasis(int(Of.DIFFERENCE), 0, "mm", Decimal("0.1")),
        SheetBasis(int(Of.MEMBERS), 0, "", Decimal(1)),
    ]
