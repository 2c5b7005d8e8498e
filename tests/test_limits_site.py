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
    "doubted rate": (
        point("z", more="rate_max = 1") + limit("a", "z", 'of = "rate"\nwindow = "1h"\nabove = { red = 50 }'),
        "rate_max: found 1.0, but limit “a” is red at 50 mm an hour",
    ),
    "doubted speed": (
        point("z", more="spike = 1")
        + limit("a", "z", 'of = "rate"\nwindow = "1h"\nper = "1min"\noutside = { red = [-5, 5] }'),
        "spike: found 1.0, but limit “a” is red at 5 mm in 1min",
    ),
    "doubted rain": (
        point("z", more="rate_max = 30")
        + limit("a", "z", 'of = "sum"\ncounter = true\nabove = { blue = { 12h = 50 }, red = { 3h = 100 } }'),
        "rate_max: found 30.0, but limit “a” is red at 33.3 mm an hour",
    ),
    "doubted angle": (
        point("z", more="rate_max = 1")
        + limit("a", "z", 'of = "tangent_angle"\nwindow = "1d"\nuniform = 0.1\nabove = { red = 85 }'),
        "rate_max: found 1.0, but limit “a” is red at 1.14 mm an hour",
    ),
    "doubted difference": (
        point("z", more='twin = "x"\ntwin_differs = 1')
        + limit("a", "x", 'of = "difference"\nminus = "z"\nabove = { red = 2 }'),
        "twin_differs: found 1, but limit “a” judges their difference up to 2 mm",
    ),
    "stuck before it is held": (
        point("z", more='stuck = "30min"') + limit("a", "z", 'above = { red = 5 }\nhold = "1h"'),
        "stuck: must be longer than 1h, the `hold` of limit “a”",
    ),
    "too low at once": (
        limit("a", "r", 'of = "sum"\nwindow = "1d"\nbelow = { red = 5 }'),
        "below: a sum begins at nothing",
    ),
    "outside at once": (
        limit("a", "r", 'of = "sum"\nwindow = "1d"\noutside = { red = [5, 50] }'),
        "outside: a sum begins at nothing",
    ),
    "far from failing": (
        limit("a", "x", 'of = "time_to_failure"\nwindow = "1d"\nabove = { red = 5 }'),
        "above: the hours until a failure are dangerous when few",
    ),
    "blue hidden by red": (
        limit("a", "r", 'of = "sum"\ncounter = true\nabove = { blue = { 1h = 50 }, red = { 24h = 50 } }'),
        "above: red at 50.0 in 1d is reached before blue at 50.0 in 1h",
    ),
    "outside for ever": (
        limit("a", "x", "outside = { red = [0.5, 4] }\nhysteresis = 2.5"),
        "hysteresis: with 2.5 the level red .0.5 to 4.0. can never be left",
    ),
    "inside for ever": (
        limit("a", "r", "inside = { red = [40, 60] }\nhysteresis = 40"),
        "hysteresis: with 40.0 the level red .40.0 to 60.0. can never be left",
    ),
    "start of nowhere": (
        limit("a", "x", 'of = "total"\nstart = 1e308\nabove = { red = 1 }'),
        "start: 1E.308 is beyond all numbers",
    ),
    "clear of nowhere": (
        limit("a", "x", "above = { red = 1 }\nclear = { red = -1e300 }"),
        "clear → red: .* is beyond all",
    ),
    "more than there are": (
        f'{BASE}[[limit]]\nid = "a"\namong = ["base"]\nrollup = {{ red = "9 orange" }}\n',
        "rollup: `among` names only 1: none of these counts",
    ),
    "total beyond the gauge": (
        point("z", more="range = [0, 655]")
        + limit("a", "z", 'of = "total"\nstart = 12.5\nabove = { orange = 600, red = 650 }'),
        "red: 650.0 can never be reached: z less 12.5 measures -12.5 to 642.5 mm",
    ),
    "band beyond the gauge": (
        point("z", more="range = [0, 655]")
        + limit("a", "z", 'of = "total"\nstart = 300\noutside = { red = [-350, 370] }'),
        "red: can never be reached: z less 300.0 measures -300.0 to 355.0 mm",
    ),
    "total without its sign": (
        limit("a", "x", 'of = "total"\nbelow = { orange = 150 }'),
        "below → orange: 150.0 is reached where the total begins, at 0; write less than 0",
    ),
    "total with a sign": (
        limit("a", "x", 'of = "total"\nabove = { red = -5 }'),
        "above → red: -5.0 is reached where the total begins, at 0; write more than 0",
    ),
    "sum of nothing": (
        limit("a", "r", 'of = "sum"\ncounter = true\nwindow = "1h"\nabove = { red = 0 }'),
        "red: 0.0 is reached by every value: r measures 0 and more mm$",
    ),
    "another quantity": (point("z", more='twin = "t"\ntwin_differs = 1'), "twin: “t” is no second instrument"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_has_a_sentence(name: str, tmp_path: Path) -> None:
    text, sentence = WRONG[name]
    found = problems_of(tmp_path, HEAD + POINTS + text)
    assert [problem for problem in found if re.search(sentence, problem)], found


@pytest.mark.parametrize("gauge", ["", "range = [400, 424]"])
def test_a_total_from_a_written_start_may_begin_anywhere(tmp_path: Path, gauge: str) -> None:
    crest = 'of = "total"\nstart = 424\nabove = { yellow = -2, red = -1 }'
    foot = 'of = "total"\nstart = 400\nbelow = { yellow = 5, red = 2 }'
    found = problems_of(
        tmp_path, HEAD + POINTS + point("z", more=gauge) + limit("a", "z", crest) + limit("b", "z", foot)
    )
    assert not [problem for problem in found if "total" in problem or "limit" in problem], found


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
