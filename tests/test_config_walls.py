"""Every key of every site file we ship taken out, misspelt or wrong in kind: a site or sentences. And, should the walk
fail all the same, or the building of a gateway, the one behind it: sentences, and the last good copy."""

from __future__ import annotations

import asyncio
import copy
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from edge.cli import EXIT_SITE_FILE
from edge.cli.gateway import gateway
from edge.config import load
from edge.config.plugs import _entry_points
from edge.config.profiles import profiles
from edge.config.site import Site
from edge.config.walk import Walk
from edge.errors import SiteFileError
from edge.last_good import built_or_last_good, load_or_last_good
from tests.outputs_site import HEAD, SIREN
from tests.profile_numbers import filled_in
from tests.test_config_example import SITES, all_keys_used

Place = tuple[str | int, ...]
LOAD = import_module("edge.config.load")  # the module: its package has a function of that name
TREES: dict[str, dict[str, Any]] = {
    "outputs": tomllib.loads(HEAD + SIREN),
    "all-keys": tomllib.loads(all_keys_used()),
    **{path.stem: tomllib.loads(path.read_text()) for path in sorted(SITES.glob("*.toml"))},
    **{name: tomllib.loads(filled_in(profile)) for name, profile in profiles().items()},
}
WRONG: tuple[Any, ...] = ("x", 10**30, [{}], {"red": "x"}, float("nan"), True, [[1]], {}, "", -1, ["$x"], 0)


def places(value: Any, at: Place = (), shape: Place = ()) -> Iterator[tuple[Place, Place]]:
    """Each value's path, and what it has in common with others of its kind: the keys on the way, and the drivers."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    kind = (*shape, str(value.get("driver", ""))) if isinstance(value, dict) else shape
    for key, child in items:
        alike = (*kind, "*" if isinstance(key, int) else key)
        yield (*at, key), alike
        yield from places(child, (*at, key), alike)


def first_of_a_kind() -> dict[str, list[Place]]:
    seen: set[Place] = set()
    found: dict[str, list[Place]] = {}
    for name, tree in TREES.items():
        fresh = {shape: place for place, shape in places(tree) if shape not in seen}
        seen |= fresh.keys()
        found[name] = list(fresh.values())
    return found


PLACES = first_of_a_kind()


def spoilt(tree: dict[str, Any], place: Place, at: int) -> Iterator[dict[str, Any]]:
    """Without the value, with its key misspelt, and with another in its place."""
    for how in ("without", "misspelt", WRONG[at % len(WRONG)]):
        made = copy.deepcopy(tree)
        node: Any = made
        for key in place[:-1]:
            node = node[key]
        last: Any = place[-1]
        if how == "without":
            del node[last]
        elif how != "misspelt":
            node[last] = how
        elif isinstance(last, str):
            node[f"{last}e"] = node.pop(last)
        yield made


def problems_of(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setattr(LOAD, "read_toml", lambda _: tree)
    try:
        load(Path("/etc/fengsui/site.toml"))
    except SiteFileError as error:
        found = error
    else:
        return ()
    assert found.__cause__ is None, f"{found.__cause__!r} of {tree}"
    return found.problems


@pytest.mark.parametrize("name", TREES)
def test_whatever_is_missing_or_wrong_is_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.config.plugs._entry_points", cache(_entry_points))  # two thirds of the time
    refused = 0
    for at, place in enumerate(PLACES[name]):
        for tree in spoilt(TREES[name], place, at):
            problems = problems_of(tree, monkeypatch)
            assert all(problem.isprintable() and len(problem) < 1000 for problem in problems)
            refused += bool(problems)
    assert refused >= len(PLACES[name])


@pytest.mark.parametrize(("there", "wrong"), [("", "the key `port` is missing"), ('prot = "relays"', "no such key")])
def test_an_output_without_its_port_is_a_sentence_and_the_copy_runs(tmp_path: Path, there: str, wrong: str) -> None:
    file = written(tmp_path)
    file.write_text((HEAD + SIREN).replace('port = "relays"', there))
    with pytest.raises(SiteFileError) as caught:
        load(file)
    assert caught.value.__cause__ is None
    [problem] = caught.value.problems
    assert problem.startswith('output[0] "siren"')
    assert wrong in problem
    loaded = load_or_last_good(file)
    assert "running on the last good copy" in loaded.site.stands_in
    assert [output.id for output in loaded.site.outputs] == ["siren"]


def written(folder: Path) -> Path:
    """A site file from which the gateway has started once."""
    file = folder / "site.toml"
    file.write_text(HEAD + SIREN)
    load_or_last_good(file).keep()
    return file


@pytest.fixture
def walk_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file that holds the word WRECK."""
    walk = Walk.site

    def site(self: Walk, file: Path, raw: dict[str, Any]) -> Site | None:
        made = walk(self, file, raw)
        if "WRECK" in file.read_text():
            raise KeyError("po\nrt" * 1000)
        return made

    monkeypatch.setattr(Walk, "site", site)


@pytest.mark.usefixtures("walk_fails")
def test_a_walk_that_fails_says_what_it_has_found_and_the_copy_runs(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text("# WRECK\n" + (HEAD + SIREN).replace('unit = "m"', "").replace("gas", "gas\\u0020"))
    with pytest.raises(SiteFileError) as caught:
        load(file)
    assert isinstance(caught.value.__cause__, KeyError)
    assert any("the key `unit` is missing" in problem for problem in caught.value.problems)
    [fault] = [problem for problem in caught.value.problems if "a fault of ours" in problem]
    assert "KeyError" in fault
    assert "in test_config_walls.py line" in fault
    assert fault.isprintable()
    assert len(fault) < 1000
    loaded = load_or_last_good(file)
    assert "running on the last good copy" in loaded.site.stands_in
    loaded.keep()
    assert file.with_name("site.toml.good").read_text() == HEAD + SIREN


@pytest.mark.usefixtures("walk_fails")
def test_a_copy_on_which_the_walk_fails_stands_in_nobodys_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path)
    file.with_name("site.toml.good").write_text(f"# WRECK\n{HEAD}{SIREN}")
    assert load_or_last_good(file).site.stands_in == ""
    file.write_text(f"# WRECK\n{HEAD}{SIREN}")
    assert gateway(file) == EXIT_SITE_FILE, "where there is no other it ends with a sentence"
    assert "fengsui itself fails on this file" in capsys.readouterr().err


def test_a_template_site_on_which_the_walk_fails_says_what_it_has_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr("edge.config.walk.read_actions", fail)
    file = tmp_path / "site.toml"
    pond = '[[device]]\nid = "pond"\ndevice = "dfrobot-sen0676"\nport = "bus"\nheight = 12.5\n'
    file.write_text(f'{HEAD}{pond}[[limit]]\nid = "l"\npoint = "pond.level"\nabove = {{ red = "x" }}\n')
    with pytest.raises(SiteFileError) as caught:
        load(file)
    [red, fault] = [problem for problem in caught.value.problems if "red" in problem or "LookupError" in problem]
    assert red.startswith('limit[2] "l"')
    assert "a fault of ours" in fault


def test_a_site_of_which_no_gateway_can_be_built_leaves_that_to_the_copy(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text((HEAD + SIREN).replace("red = 5", "red = 6"))

    def build(site: Site) -> Site:
        if site.limits[0].thresholds[-1][1] == 600:
            raise ZeroDivisionError
        return site

    site, used = built_or_last_good(file, load_or_last_good(file), build)
    assert site.limits[0].thresholds[-1][1] == 500
    assert site.stands_in == used.said[-1]
    assert "running on the last good copy" in site.stands_in
    assert "ZeroDivisionError" in site.stands_in
    used.keep()
    assert file.with_name("site.toml.good").read_text() == HEAD + SIREN
    file.with_name("site.toml.good").unlink()
    with pytest.raises(ZeroDivisionError):
        built_or_last_good(file, load_or_last_good(file), build)


def test_the_gateway_starts_from_the_copy_where_a_driver_fails_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Site] = []

    class Daemon:
        keeper = type("Keeper", (), {"hangs": False})

        def __init__(self, site: Site, *_: object, **__: object) -> None:
            if site.limits[0].thresholds[-1][1] == 600:
                raise ZeroDivisionError
            self.site = site
            self.told: list[str] = []

        def say(self, _who: str, what: str) -> None:
            self.told.append(what)

        async def run(self) -> None:
            assert self.told == [self.site.stands_in]
            started.append(self.site)
            await asyncio.sleep(0)

    monkeypatch.setattr("edge.daemon.build", Daemon)
    file = written(tmp_path)
    file.write_text((HEAD + SIREN).replace("red = 5", "red = 6"))
    assert gateway(file) == 0
    assert [site.limits[0].thresholds[-1][1] for site in started] == [500]
