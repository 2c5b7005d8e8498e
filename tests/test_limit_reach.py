"""What limits can come to, and which red switches nothing; limits about limits in great numbers and depth."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cli.outputs_check import notes
from edge.cli.site_notes import forgotten
from edge.config import load
from edge.config.walk_limits import COMBINED_MOST, DEPTH_MOST
from edge.contract import Level, Rule
from edge.errors import SiteFileError
from edge.limit_members import ASCENDING, verdict
from edge.limit_nouns import Limit
from edge.limit_reach import leaves_of, reach, red_alone
from sim.modbus_port import opener
from sim.virtual import run
from tests.outputs_site import HEAD, SIREN, action, output

GB_ROLLUP = ((Level.YELLOW, 4, Level.BLUE), (Level.RED, 2, Level.YELLOW))


def plain(id_: str, levels: set[Level]) -> Limit:
    return Limit(id_, "p", Rule.ABOVE, tuple((level, int(level)) for level in sorted(levels)))


def combined(id_: str, members: list[str], votes: int = 1, rollup: tuple[tuple[Level, int, Level], ...] = ()) -> Limit:
    return Limit(id_, "p", Rule.COMBINED, (), members=tuple(members), votes=votes, rollup=rollup)


@given(
    st.lists(st.sets(st.sampled_from(ASCENDING), max_size=4), min_size=1, max_size=5),
    st.integers(1, 5),
    st.booleans(),
)
def test_the_levels_that_all_ways_its_members_can_stand_make(levels: list[set[Level]], votes: int, rolls: bool) -> None:
    members = [plain(f"m{index}", each) for index, each in enumerate(levels)]
    whole = combined("all", [it.id for it in members], min(votes, len(members)), GB_ROLLUP if rolls else ())
    ways = product(*([Level.NONE, *sorted(each)] for each in levels))
    made = {verdict(whole, way)[0] for way in ways} - {Level.NONE}
    found = reach([whole, *members])["all"]
    assert found == made if not rolls else found >= made
    assert max(found, default=None) == max(made, default=None)


def test_red_that_switches_nothing_by_itself() -> None:
    red, low = {Level.YELLOW, Level.RED}, {Level.BLUE}
    limits = [
        *(plain(name, red) for name in ("siren", "lamp", "either", "both", "deep", "none")),
        plain("low", low),
        combined("one-of", ["either", "low"]),
        combined("two-of", ["both", "either"], votes=2),
        combined("upper", ["middle"]),
        combined("middle", ["deep", "low"]),
        combined("forgotten", ["low", "none"]),
    ]
    asks = {"siren": Level.RED, "one-of": Level.ORANGE, "two-of": Level.BLUE, "upper": Level.RED}
    found = red_alone(limits, lambda limit, level: limit in asks and level >= asks[limit])
    assert found == ["lamp", "both", "none", "forgotten"]


def test_members_of_members_are_found_once() -> None:
    limits = [plain("a", {Level.RED}), plain("b", {Level.RED})]
    names = ["a", "b"]
    for depth in range(300):
        limits += [combined(f"l{depth}", names), combined(f"r{depth}", names[::-1])]
        names = [f"l{depth}", f"r{depth}"]
    assert leaves_of(limits, ["l299", "b"]) == {"l299": {"a", "b"}, "b": {"b"}}
    assert red_alone(limits, lambda limit, _: limit == "l299") == ["r299"]


COLUMN = output("one", 1) + output("two", 2)


def written(folder: Path, text: str) -> Path:
    (folder / "site.toml").write_text(HEAD + text)
    return folder / "site.toml"


def rules(count: int, *, chained: bool) -> str:
    return "".join(
        f'[[limit]]\nid = "c{index}"\nany = ["{f"c{index - 1}" if chained and index else "high"}"]\n'
        for index in range(count)
    )


LOW = '[[limit]]\nid = "low"\npoint = "level"\nbelow = { yellow = 1 }\n'
EITHER = '[[limit]]\nid = "either"\nany = ["low", "low2"]\n' + LOW + LOW.replace('"low"', '"low2"')
BOTH = '[[limit]]\nid = "both"\nall = ["low", "high"]\n' + LOW
WRONG = [
    (
        LOW + SIREN.replace('"high"', '"low"'),
        '"wail" → level: red is never reached: its limits can only stand so: “low” at yellow',
    ),
    (
        EITHER + SIREN.replace('"high"', '"either"'),
        "red is never reached: its limits can only stand so: “either” at yellow",
    ),
    (BOTH + SIREN.replace('"high"', '"both"'), "red is never reached: its limits can only stand so: “both” at yellow"),
    (
        COLUMN + action("lamps", "high", 'max_on = "9s"\ncolumn = { blue = "one", orange = "two" }'),
        '"lamps" → column: blue, orange is never reached: its limits can only stand so: “high” at yellow, red',
    ),
    (SIREN + rules(COMBINED_MOST + 1, chained=False), f"more than the {COMBINED_MOST} that one gateway follows"),
    (SIREN + rules(DEPTH_MOST + 1, chained=True), f'"c{DEPTH_MOST}": stands on limits that stand on limits, more than'),
    (SIREN + rules(900, chained=True), "name those below directly"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_can_never_be_switched_or_followed_is_a_mistake(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SiteFileError) as error:
        load(written(tmp_path, text))
    assert said in str(error.value)
    assert len(error.value.problems) == 1


def test_a_limit_named_in_vain_and_a_dark_lamp_are_noted(tmp_path: Path) -> None:
    wail = SIREN.replace('["high"]', '["high", "low"]')
    lamps = action("lamps", "high", 'max_on = "9s"\ncolumn = { red = "one", orange = "two" }')
    found = notes(load(written(tmp_path, LOW + wail + COLUMN + lamps)))
    assert [note for note in found if note.startswith("action")] == [
        "action wail: red is never reached by low",
        "action lamps.orange: orange is never reached by high",
    ]


def test_check_lists_red_that_only_a_blue_lamp_or_a_vote_follows(tmp_path: Path) -> None:
    lamps = action("lamps", "high", 'max_on = "9s"\ncolumn = { yellow = "one" }')
    vote = '[[limit]]\nid = "vote"\nall = ["high", "gas-high"]\n'
    wail = SIREN.replace('"high"', '"vote"')
    text = "\n".join(forgotten(load(written(tmp_path, vote + wail + output("one", 1) + lamps))))
    assert "nor what it makes of other limits: high, gas-high\n" in text


def test_the_deepest_allowed_is_built_at_once(tmp_path: Path) -> None:
    pairs = ["high", "gas-high"]
    text = ""
    for depth in range(DEPTH_MOST):
        text += "".join(f'[[limit]]\nid = "{it}{depth}"\nany = ["{pairs[0]}", "{pairs[1]}"]\n' for it in "lr")
        pairs = [f"l{depth}", f"r{depth}"]
    rests = output("fan", 1, 'rest = "on"') + action("cut", pairs[0], 'output = "fan"\nlevel = "red"')
    site = load(written(tmp_path, text + rests))

    async def main() -> set[str]:
        from edge.daemon import build

        return build(site, opener({})).outputs.actions.waits_for

    assert run(main()) == {"high", "gas-high"}


def test_check_names_the_points_whose_failure_leaves_a_release_on(tmp_path: Path) -> None:
    """A `stale` limit counts at the action's level only: in `on`, or alone in a combined limit there."""

    def said(on: str, more: str) -> list[str]:
        rests = output("fan", 1, 'rest = "on"') + action("cut", "X", 'output = "fan"\nlevel = "red"')
        silences = "".join(
            f'[[limit]]\nid = "{point}-silent"\npoint = "{point}"\nstale = {{ blue = "1min", {level} = "2min" }}\n'
            for point, level in (("gas", "red"), ("level", "yellow"))
        )
        text = silences + more + rests.replace('"X"', on)
        return [note for note in notes(load(written(tmp_path, text))) if "故障闭锁" in note]

    one = '[[limit]]\nid = "it"\n{} = ["high", "gas-high", "gas-silent"]\n'
    assert said('"gas-high", "gas-silent"', "") == []
    assert said('"it"', one.format("any").replace('"high", ', "")) == []
    [note] = said('"gas-high"', "")
    assert note.startswith("action cut: output fan stays released when the instrument fails")
    assert ": gas; give each a `stale` limit with red" in note
    [note] = said('"high", "level-silent", "gas-high"', "")
    assert ": level, gas; " in note, "a silence that comes to yellow switches nothing"
    [note] = said('"it"', one.format("any"))
    assert ": level; " in note
    [note] = said('"it"', one.format("all"))
    assert ": level, gas; " in note, "a silence alone makes no vote"


def test_a_release_that_one_action_takes_away_by_value_and_another_by_silence_is_locked_out(tmp_path: Path) -> None:
    def said(*silent: str) -> list[str]:
        silences = "".join(
            f'[[limit]]\nid = "{point}-silent"\npoint = "{point}"\nstale = {{ orange = "30s" }}\n' for point in silent
        )
        cut = action("cut", "gas-high", 'output = "fan"\nlevel = "red"')
        lock = "".join(
            action(f"lock-{point}", f"{point}-silent", 'output = "fan"\nlevel = "orange"') for point in silent
        )
        more = output("siren", 0) + action("wail", "gas-high", 'output = "siren"\nlevel = "red"\nmax_on = "20s"')
        text = silences + output("fan", 1, 'rest = "on"') + cut + lock + more
        return [note for note in notes(load(written(tmp_path, text))) if "故障闭锁" in note]

    assert said("gas") == []
    assert said("gas", "level") == []
    [note] = said("level")
    assert note.startswith("action cut: ")
    assert ": gas; " in note, "another's silence is none of it"


def test_a_siren_needs_no_lock_out(tmp_path: Path) -> None:
    assert not [note for note in notes(load(written(tmp_path, SIREN))) if "故障闭锁" in note]
