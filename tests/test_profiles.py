"""Every profile passes once what it asks for is filled in, asks for it by name, and has a source for each number."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge.cli import EXIT_FAILED, EXIT_REFUSED, EXIT_SITE_FILE
from edge.cli.verbs import fengsui
from edge.config import load
from edge.config.profiles import Profile, profiles
from edge.contract import Level, Rule
from edge.errors import SiteFileError
from tests.profile_numbers import filled_in, write

PROFILES = profiles()
WANTED = {"tailings", "coal-gas", "open-pit", "landslide", "river", "tank-farm", "dust", "forest-fire"}
every = pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
SOURCE = re.compile(r"# \[([SVIPMJD])\]")
AMOUNT = re.compile(r"[0-9]+(ms|s|min|h|d|MB|GB)|\$[a-z0-9_]+ \* .*|[0-9]+ (blue|yellow|orange|red)")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(fengsui, list(arguments), catch_exceptions=False)


def has_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_number, value.values()))
    if isinstance(value, list):
        return any(map(has_number, value))
    if isinstance(value, str):
        return AMOUNT.fullmatch(value) is not None
    return not isinstance(value, bool)


def problems(file: Path) -> list[str]:
    with pytest.raises(SiteFileError) as caught:
        load(file)
    return list(caught.value.problems)


def test_there_is_one_for_every_kind_of_site() -> None:
    assert set(PROFILES) == WANTED
    assert all(profile.title_zh and profile.title != profile.name for profile in PROFILES.values())


@every
def test_it_passes_once_what_it_asks_for_is_filled_in(profile: Profile, tmp_path: Path) -> None:
    file = write(tmp_path, profile, filled_in(profile))
    site = load(file)
    names = [point.name for point in site.points] + [limit.name for limit in site.limits]
    assert all(re.search(r"[\u4e00-\u9fff]", name) for name in names)
    judged = {limit.point for limit in site.limits if limit.rule not in (Rule.STALE, Rule.COMBINED)}
    silent = {limit.point for limit in site.limits if limit.rule is Rule.STALE}
    assert judged == silent  # `check` would note that one falls silent unheard
    assert any(level is Level.RED for limit in site.limits for level, _ in limit.thresholds)
    checked = json.loads(invoke("check", str(file), "--json").output)
    assert not [note for note in checked["warnings"] if "points judged" in note]


@every
def test_check_asks_for_all_of_it_by_name_and_for_nothing_else(profile: Profile, tmp_path: Path) -> None:
    found = problems(write(tmp_path, profile, profile.text))
    for name, what in profile.asks.items():
        [asked] = [problem for problem in found if problem.startswith(f"design → {name}: ")]
        assert "is asked for" in asked
        assert what in asked
    others = [problem for problem in found if not problem.startswith("design → ")]
    assert all(re.match(r"gateway → id|port\[\d\] \S+ → open|link\[0\] \S+ → host", problem) for problem in others)


@every
def test_one_number_that_is_missing_is_the_only_thing_it_complains_of(profile: Profile, tmp_path: Path) -> None:
    text = filled_in(profile)
    for name in profile.asks:
        without = re.sub(rf"^{name} = .*$", f'{name} = "still open"', text, flags=re.MULTILINE)
        [problem] = problems(write(tmp_path, profile, without))
        assert problem.startswith(f"design → {name}: is asked for: still open")


@every
def test_every_number_says_where_it_comes_from(profile: Profile) -> None:
    bare = []
    for number, line in enumerate(profile.text.splitlines(), 1):
        key = line.partition(" = ")[0]
        if line.startswith(("#", "[", "must = [", '    "', "]")) or not line or key in ("id", "name", "device"):
            continue
        try:
            [value] = tomllib.loads(line).values()
        except tomllib.TOMLDecodeError:
            pytest.fail(f"line {number} can not be looked at alone: {line}")
        if has_number(value) and not SOURCE.search(line):
            bare.append(f"{number}: {line}")
        if "[P]" in line or "[S]" in line or "[V]" in line:
            assert len(line.partition("# [")[2]) > 3, line
    assert not bare


@every
def test_a_level_of_a_standard_names_it(profile: Profile) -> None:
    """[P] and [S] alone are no source: behind them stands which page or standard."""
    for line in profile.text.splitlines():
        if line.startswith(("above", "below", "outside", "clear", "rollup")) and re.search(r"# \[[PS]\]", line):
            assert re.search(r"[0-9]{3,}", line.partition("#")[2]), line


def test_new_writes_a_file_that_check_then_asks_about(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    written = invoke("new", "--profile", "tailings", "--to", str(file))
    assert written.exit_code == 0
    assert f"fengsui check {file}" in written.output
    assert file.read_text("utf-8") == invoke("new", "--profile", "tailings").output == PROFILES["tailings"].text
    checked = CliRunner().invoke(fengsui, ["check", str(file)])
    assert checked.exit_code == EXIT_SITE_FILE
    assert "freeboard_least: is asked for: 最小安全超高" in checked.output


def test_new_overwrites_nothing_and_names_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("mine")
    refused = invoke("new", "--profile", "river", "--to", str(file))
    assert (refused.exit_code, file.read_text()) == (EXIT_REFUSED, "mine")
    unknown = invoke("new", "--profile", "tailing")
    assert unknown.exit_code == EXIT_FAILED
    assert "did you mean “tailings”" in unknown.output
    assert invoke("new", "--profile", "river", "--to", str(tmp_path / "no" / "f")).exit_code == EXIT_REFUSED
    assert all(name in invoke("new").output for name in WANTED)
    assert {entry["profile"] for entry in json.loads(invoke("new", "--json").output)} == WANTED
    assert set(json.loads(invoke("new", "--profile", "dust", "--json").output)["asks"]) == set(PROFILES["dust"].asks)


@every
def test_the_siren_that_is_commented_out_is_right_once_it_is_not(profile: Profile, tmp_path: Path) -> None:
    text = filled_in(profile)
    begin = text.index("# ---- What is switched on the spot")
    end = text.index("# ---- Way out")
    block = re.sub(r"^# (?=\[\[|[a-z_]+ = )", "", text[begin:end], flags=re.MULTILINE)
    assert "# on = " not in block
    site = load(write(tmp_path, profile, text[:begin] + block + text[end:]))
    reds = {limit.id for limit in site.limits if any(level is Level.RED for level, _ in limit.thresholds)}
    combined = {limit.id for limit in site.limits if limit.rule is Rule.COMBINED}
    assert site.actions
    assert all(limit in reds | combined for action in site.actions for limit in action.limits)
    bare = [line for line in block.splitlines() if re.search(r"= (\[?\"?[0-9])", line) and not SOURCE.search(line)]
    assert bare in ([], ["register = 0"], ["register = 0", "register = 1"])
    left_out = dict(re.findall(r"^#   ([a-z0-9-]+): (.+)$", block, re.MULTILINE))
    assert set(site.red_alone) == set(left_out), "a red that switches nothing has its reason beside the siren"
    checked = json.loads(invoke("check", str(tmp_path / f"{profile.name}.toml"), "--json").output)
    alone = [note for note in checked["warnings"] if "red switches nothing" in note]
    assert len(alone) == bool(left_out)
    assert not [note for note in checked["warnings"] if "故障闭锁" in note], "a failed sensor takes a release away"


POWER_STAYS = {"air-hot", "machine-room-hot"}  # heat is no gas


def test_the_mines_relay_falls_for_every_red_that_has_to_do_with_gas(tmp_path: Path) -> None:
    profile = PROFILES["coal-gas"]
    feeder = profile.text[profile.text.index('# id = "cut"') :]
    [cut] = [line for line in feeder.splitlines() if line.startswith("# on = ")]
    site = load(write(tmp_path, profile, filled_in(profile)))
    reds = {limit.id for limit in site.limits if any(level is Level.RED for level, _ in limit.thresholds)}
    assert set(tomllib.loads(cut.removeprefix("# "))["on"]) == reds - POWER_STAYS


@every
def test_what_is_read_often_is_not_missed_for_long(profile: Profile, tmp_path: Path) -> None:
    """Of a point that a red is judged of, read each minute or more often: silence is told in a quarter of an hour."""
    site = load(write(tmp_path, profile, filled_in(profile)))
    reds = {
        limit.point
        for limit in site.limits
        if limit.judged.spec is None and any(level is Level.RED for level, _ in limit.thresholds)
    }
    told_s = {limit.point: limit.thresholds[0][1] for limit in site.limits if limit.rule is Rule.STALE}
    often = {point.id for point in site.points if point.every_ms <= 60_000} & reds
    assert all(told_s[point] <= 900 for point in often), told_s


SLIPS = [
    ("tailings", "dam_total_orange", -150, "0"),
    ("tailings", "pond_level_operating", 421, "pond_level_flood"),
    ("tailings", "radar_height", 4, "pond_level_flood"),
    ("tailings", "bank_total_red", 900, "bank_span"),
    ("tailings", "freeboard_orange", 0.5, "freeboard_least"),
    ("tailings", "beach_least", 95, "beach_orange"),
    ("tailings", "phreatic_1_least", 40, "probe_depth_1"),
    ("landslide", "crack_rate_red", -20, "crack_rate_orange"),
    ("river", "rain_3h_leave", 45, "rain_1h_leave"),
    ("river", "reservoir_check_flood", 10.99, "reservoir_design_flood"),
    ("tank-farm", "tank_high", 0.1, "tank_low"),
    ("dust", "pressure_low", 4000, "pressure_high"),
    ("open-pit", "slope_height", -120, "0"),
    ("coal-gas", "ch4_scale", -0.01, "0"),
    ("forest-fire", "dry_red", 60, "dry_yellow"),
]


@pytest.mark.parametrize(("name", "design", "number", "other"), SLIPS)
def test_a_slip_of_the_pen_among_design_numbers_is_found(
    name: str, design: str, number: float, other: str, tmp_path: Path
) -> None:
    text = re.sub(rf"^{design} = .*$", f"{design} = {number}", filled_in(PROFILES[name]), flags=re.MULTILINE)
    found = [problem for problem in problems(write(tmp_path, PROFILES[name], text)) if "; must lie " in problem]
    names = [set(re.findall(r"[a-z0-9_]+", problem)) for problem in found]
    assert any({design, other} <= words for words in names), found


def test_hot_work_has_as_much_of_the_lel_as_its_gas_makes_of_it(tmp_path: Path) -> None:
    """0.2 % vol of a gas with an LEL of 0.8 % vol is 25 % of that."""
    text, count = re.subn(r"^hot_work = .*$", "hot_work = 25", filled_in(PROFILES["tank-farm"]), flags=re.MULTILINE)
    assert count == 1
    assert load(write(tmp_path, PROFILES["tank-farm"], text)).limits


def test_a_total_that_the_gauge_can_not_show_is_found(tmp_path: Path) -> None:
    """12.5 at the zero, and 300 at the end of the gauge."""
    text = filled_in(PROFILES["tailings"]).replace("bank_total_red = 100", "bank_total_red = 290")
    [problem] = problems(write(tmp_path, PROFILES["tailings"], text))
    assert "red: 290.00 can never be reached: bank.displacement less 12.50 measures -12.50 to 287.50 mm" in problem


EMERGENCY = {
    "landslide": {"crack-rate", "tilt-x-rate", "tilt-y-rate", "stream-high"},
    "open-pit": {"crack-rock-wide", "crack-top-wide"},
    "tailings": {"bank-slides", "phreatic-1-shallow", "phreatic-2-shallow", "beach-short", "freeboard-low"},
    "river": {"river-high"},
    "tank-farm": {"tank-high"},
}


@every
def test_instruments_are_read_more_often_in_an_emergency(profile: Profile, tmp_path: Path) -> None:
    """A crack station: 2 h, and 10 min in an emergency (geohazard platform, command `setworkmode`, example [P])."""
    site = load(write(tmp_path, profile, filled_in(profile)))
    every_ms = {point.id: point.every_ms for point in site.points}
    faster = {
        limit.id: (every_ms[limit.point], limit.while_raised_ms) for limit in site.limits if limit.while_raised_ms
    }
    assert set(faster) == EMERGENCY.get(profile.name, set())
    assert all(calm / hurried >= 6 for calm, hurried in faster.values() if hurried)
    assert all(level > Level.BLUE for limit in site.limits if limit.id in faster for level, _ in limit.thresholds), (
        "a level that stands for weeks would fill a narrow link"
    )


def test_gusts_and_hot_work_by_the_tables(tmp_path: Path) -> None:
    """Gale signals by gusts of force 7, 9, 11, 13 [M]; SL 651-2014 F for m/s. GB 30871-2022 for hot work [M]."""
    fire, tanks = (
        load(write(tmp_path, PROFILES[name], filled_in(PROFILES[name]))) for name in ("forest-fire", "tank-farm")
    )
    [gust] = [limit for limit in fire.limits if limit.id == "gust"]
    assert [float(steps * gust.scale.step) for _, steps in gust.thresholds] == pytest.approx([13.9, 20.8, 28.5, 37.0])
    [hot] = [limit for limit in tanks.limits if limit.id == "hot-work-barred"]
    assert [(level, float(steps * hot.scale.step)) for level, steps in hot.thresholds] == [(Level.BLUE, 10.0)]
