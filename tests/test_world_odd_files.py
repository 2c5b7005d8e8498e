"""Scenario and story files that are odd: each is told in sentences that name the file; none ends in a traceback."""

from __future__ import annotations

import copy
import datetime
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import FengsuiError
from sim.cli import group
from sim.instrument import Faults
from sim.world import scenario, story_file
from sim.world.hands import parse
from sim.world.nouns import KINDS, Story, Trouble
from sim.world.scenario_check import LONGEST_S, VALUES, problems_of, value_problem
from sim.world.scenario_site import gateway_id
from sim.world.stage import standard

QUICK = (scenario.FOLDER / "quick.toml").read_text("utf-8")
GOOD = tomllib.loads(QUICK)
LASTS = f'lasts = "{GOOD["lasts"]}"'
THINGS = {"device": ["piezo-1"], "point": ["pond-level"], "port": ["rs485"]}
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 3, 10**30, -0.5, 1e308, math.nan, math.inf, "", "x", "5min", "-5s", "9" * 400 + "h", "\0\x7f"),
    *('"\n[gateway]', "pond-level", [], [[]], [1, "a"], {}, {"a": {}}, [{}], datetime.date(2026, 1, 1)),
)


def toml(value: Any) -> str:
    """A value within a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(it)}" for key, it in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime.date) else repr(value)


def table(name: str, values: dict[str, Any]) -> str:
    """One table of an array of tables, and those in it."""
    inner = {key: it for key, it in values.items() if is_tables(it)}
    lines = [f"{json.dumps(key)} = {toml(it)}" for key, it in values.items() if key not in inner]
    tables = [table(f"{name}.{key}", it) for key, many in inner.items() for it in many]
    return "\n".join([f"[[{name}]]", *lines, *tables])


def is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(it, dict) for it in value)


def whole(values: dict[str, Any]) -> str:
    plain = [f"{json.dumps(key)} = {toml(it)}" for key, it in values.items() if not is_tables(it)]
    return "\n".join(plain + [table(key, it) for key, many in values.items() if is_tables(many) for it in many])


def spoil(draw: st.DrawFn, value: Any) -> Any:
    """The same with something odd somewhere in it."""
    value = copy.deepcopy(value)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    if isinstance(value[key], dict | list) and value[key] and draw(st.integers(0, 3)):
        value[key] = spoil(draw, value[key])
        return value
    what = draw(st.sampled_from([*ODD, "gone", "renamed"]))
    if what in ("gone", "renamed") or what is None:
        old = value.pop(key)
        if what == "renamed" and isinstance(value, dict):
            value[f"{key}s"] = old
    else:
        value[key] = what
    return value


@st.composite
def spoilt(draw: st.DrawFn, good: dict[str, Any], times: int = 2) -> dict[str, Any]:
    for _ in range(draw(st.integers(1, times))):
        if good:
            good = spoil(draw, good)
    return good


def told(load: Any, path: Path) -> str:
    """What is wrong with the file, "" where nothing is. Nothing but the project's own errors may come."""
    try:
        load(path)
    except FengsuiError as error:
        said = str(error)
        assert str(path) in said
        assert "Traceback" not in said
        return said
    return ""


def test_the_writer_writes_what_is_read(tmp_path: Path) -> None:
    assert tomllib.loads(whole(GOOD)) == GOOD
    path = tmp_path / "good.toml"
    path.write_text(whole(GOOD), "utf-8")
    assert told(scenario.load, path) == ""


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=spoilt(GOOD))
def test_no_scenario_ends_in_a_traceback(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(whole(values), "utf-8")
    told(scenario.load, path)


def a_story() -> dict[str, Any]:
    found = scenario.load(scenario.FOLDER / "quick.toml").story
    return dict(json.loads(msgspec.json.encode(found)))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=spoilt(a_story()))
def test_no_story_file_ends_in_a_traceback(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(values, default=str), "utf-8")
    told(story_file.load, path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "title: is missing"),
        (b"\xff\xfe\0", "is not UTF-8 text: byte 0 is wrong"),
        (b"lasts = " + b"[" * 5000, "is not TOML"),
        (b"seed = " + b"9" * 5000, "is not TOML"),
        (b"trouble = [1]", "[[trouble]] 1: 1 is not a table"),
        (b"expect = 3", "expect: write [[expect]] with two brackets"),
        (b'links = [["fibre"]]', "links: ['fibre'] is not known; there are fibre"),
    ],
)
def test_odd_scenario_files(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_bytes(content)
    assert said in told(scenario.load, path)


@pytest.mark.parametrize(
    ("was", "is_now", "said"),
    [
        ("value = 0.3", "value = nan", "[[trouble]] 6 value: nan is not a number"),
        ("value = 0.3", "value = inf", "[[trouble]] 6 value: inf is not a number"),
        (LASTS, 'lasts = "4000d"', "lasts: 3.456e+08 s must be above 0 and up to 400 days"),
        (LASTS, f'lasts = "{"9" * 400}d"', "lasts: "),
        (LASTS, 'lasts = "0s"', "lasts: 0 s must be above 0"),
        (LASTS, LASTS + "\nseed = 9223372036854775808", "seed: 9223372036854775808 must be"),
        (LASTS, LASTS + '\nquota = "1MB\\"x"', "quota"),
        ("[start]", "[weather]\nrian = 2\n[start]", "[weather] rian: there is no such knob: did you mean rain?"),
        ("[start]", "[weather]\nrain = -2\n[start]", "[weather] rain: -2 must be from 0 to 10000"),
        ("[start]", "[weather]\nstorms = 1e9\n[start]", "[weather] storms: 1e+09 must be from 0 to 10000"),
        ("[start]", "[weather]\nrain = inf\n[start]", "[weather] rain: inf is not a number"),
    ],
)
def test_odd_values(was: str, is_now: str, said: str, tmp_path: Path) -> None:
    assert was in QUICK
    path = tmp_path / "odd.toml"
    path.write_text(QUICK.replace(was, is_now, 1), "utf-8")
    assert said in told(scenario.load, path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no story"),
        (b"\xff\xfe", "holds no story"),
        (b"[" * 100_000, "holds no story"),
        (b'{"name": "a", "site": "", "seed": 1, "lasts_s": 5}', "site: "),
        (b'{"name": "a", "site": "\\ud800", "seed": 1, "lasts_s": 5}', "s"),
    ],
)
def test_odd_story_files(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    assert said in told(story_file.load, path)


@pytest.mark.parametrize("name", ["folder.toml", "folder.json", "gone.toml", "gone.json"])
def test_a_folder_or_nothing_in_place_of_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.startswith("folder"):
        path.mkdir()
    load = story_file.load if path.suffix == ".json" else scenario.load
    assert "can not be read" in told(load, path)
    done = CliRunner().invoke(group, ["play", str(path)])
    assert done.exit_code == 2
    assert str(path) in done.output


def test_a_story_that_can_not_be_played_is_refused(tmp_path: Path) -> None:
    text, _ = standard()
    troubles = (Trouble("power.cut", -5.0), Trouble("road.slow", 1.0, 2.0, "fibre", -300.0))
    story_file.save(Story("s", text, 1, -3.0, troubles, weather={"hail": 1.0}), tmp_path / "a.json")
    said = told(story_file.load, tmp_path / "a.json")
    for part in ("lasts: -3 s", "hail: there is no such knob", "is not within the story"):
        assert part in said
    assert "value = -300 must be from 1 to 1e+09: bytes/s" in said


@pytest.mark.parametrize("kind", [kind for kind, (_, means) in KINDS.items() if means])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_no_kind_takes_what_is_no_number(kind: str, value: float) -> None:
    assert "must be" in value_problem(kind, value)


def test_each_named_range_takes_its_ends_and_nothing_beyond() -> None:
    for kind, (least, most, is_whole) in VALUES.items():
        assert value_problem(kind, least) == value_problem(kind, most) == ""
        assert value_problem(kind, most + 1 + abs(most) / 1000)
        assert value_problem(kind, least - 1)
        assert bool(value_problem(kind, min(most, least + 1.5))) == is_whole


@pytest.mark.parametrize("text", ["device.exception piezo-1 9999", "device.exception piezo-1 2.5", "port.flip rs485 5"])
@pytest.mark.parametrize("more", ["", " for 5s"])
def test_the_technicians_values_are_judged_by_the_same_rules(text: str, more: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse(text + more, 0.0, THINGS)


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e999"])
def test_the_technician_types_no_number(word: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse(f"point.is pond-level {word}", 0.0, THINGS)
    with pytest.raises(ValueError, match="is not a number"):
        parse("point.is pond-level high", 0.0, THINGS)
    with pytest.raises(ValueError, match="is too long"):
        parse(f"point.is pond-level 3 for {'9' * 400}h", 0.0, THINGS)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("exception", 9999), ("exception", 0), ("exception", math.nan), ("late", math.inf), ("late", -1), ("crc", 1.5)],
)
def test_a_model_refuses_what_it_could_not_do(kind: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{kind} = "):
        Faults().set({kind: value})


def test_a_trouble_at_no_time_is_told() -> None:
    text, site = standard()
    for at_s, for_s in ((math.nan, 1.0), (1.0, math.nan), (1.0, math.inf), (math.inf, 1.0)):
        assert "is not within the story" in str(
            problems_of(Story("s", text, 1, 5.0, (Trouble("power.cut", at_s, for_s),)), site)
        )
    assert LONGEST_S == 400 * 86_400


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("wrong_cable", "wrong-cable"), ("my story", "my-story"), ("暴雨", "gateway"), ("A" * 99, "a" * 32)],
)
def test_any_file_name_makes_a_gateway(name: str, wanted: str, tmp_path: Path) -> None:
    assert gateway_id(name) == wanted
    path = tmp_path / f"{name}.toml"
    path.write_text(QUICK, "utf-8")
    assert told(scenario.load, path) == ""
