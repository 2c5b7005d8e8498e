"""fengsui-sim world and play: what they print, and that a failure can be played again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.config import Site
from sim.cli import group
from sim.world import cli, story_file
from sim.world.nouns import Broken, Outcome, Story
from sim.world.stage import Played, standard


@pytest.fixture
def fails_on_kills(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Story]:
    """A world in which promise 7 is broken whenever the daemon is killed. What was played."""
    played: list[Story] = []

    def play(story: Story, *, keep_lines: bool = False, on_hour: Callable[[float], None] | None = None) -> Played:
        played.append(story)
        kills = [trouble for trouble in story.troubles if trouble.kind == "power.kill"]
        broken = tuple(Broken("7 starts", trouble.at_s, "it did not start") for trouble in kills[:1])
        lines = ("       0.000 the daemon starts",) if keep_lines else ()
        return Played(Outcome(story, broken, f"{story.seed:064x}", 0.5, {"readings": 10}, lines))

    monkeypatch.setattr(cli, "play_in_memory", play)
    monkeypatch.setattr(cli, "TRACES", tmp_path)
    return played


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(group, list(arguments))
    return done.exit_code, done.output


@pytest.mark.usefixtures("fails_on_kills")
def test_a_failure_names_its_replay_and_its_trace(tmp_path: Path) -> None:
    code, said = run("world", "--seed", "2", "--days", "1")
    assert code == 1
    assert "  replay: fengsui-sim world --seed 2 --days 1 --trace" in said
    assert f"  trace:  {tmp_path / 'seed-2.trace'}" in said
    assert "it did not start" in (tmp_path / "seed-2.trace").read_text()
    assert "1 simulated days in 0.5 s: 172,800 × real time" in said
    assert "sums: readings 10" in said


def test_several_seeds_are_played_in_processes_of_their_own_and_told_in_their_order() -> None:
    code, said = run("world", "--seeds", "1..3", "--days", "0.01")
    assert code == 0, said
    assert [line.partition(":")[0] for line in said.splitlines()[:3]] == ["seed 1", "seed 2", "seed 3"]
    assert "0.03 simulated days" in said


def test_the_smallest_story_is_written_and_can_be_played(fails_on_kills: list[Story], tmp_path: Path) -> None:
    code, said = run("world", "--seed", "1", "--shrink")
    assert code == 1
    path = tmp_path / "seed-1-shrunk.json"
    assert f"replay: fengsui-sim play {path} --trace" in said
    small = story_file.load(path)
    assert [trouble.kind for trouble in small.troubles] == ["power.kill"]
    code, said = run("play", str(path), "--trace")
    assert (code, fails_on_kills[-1]) == (1, small)


@pytest.mark.usefixtures("fails_on_kills")
def test_wrong_words() -> None:
    assert "scenarios that come with the project: earthquake, landslide_night" in run("play", "no_such")[1]
    assert "write it like 1..20" in run("world", "--seeds", "a..b")[1]
    assert "write it like 1..20" in run("world", "--seeds", "9..3")[1]


def test_real_plays_refuse_what_a_process_cannot_be_given() -> None:
    assert "--real can not do clock.1970, road.slow" in run("play", "seven_dark_days", "--real")[1]
    assert "two MQTT links" in run("play", "wrong_cable", "--real")[1]


def test_the_worlds_own_site_can_be_read() -> None:
    text, site = standard()
    assert isinstance(site, Site)
    assert text
    assert len([point for device in site.devices for point in device.points]) == 40


def test_a_scenario_is_played_by_the_real_daemon() -> None:
    code, said = run("play", "quick")
    assert "pond-level-high red: seen at 0:01:2" in said
    assert "BROKEN" not in said
    assert code == 0
