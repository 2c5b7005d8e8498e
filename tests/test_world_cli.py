"""fengsui-sim world and play: what they print, and that a failure can be played again."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.config import Site
from sim.cli import group
from sim.world import cli, scenario, story_file
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
    assert f"  trace:  {tmp_path / 'seed-2-000000000000.trace'}" in said
    assert "it did not start" in (tmp_path / "seed-2-000000000000.trace").read_text()
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
    path = tmp_path / "seed-1-000000000000-shrunk.json"
    assert f"replay: fengsui-sim play {path} --trace" in said
    small = story_file.load(path)
    assert [trouble.kind for trouble in small.troubles] == ["power.kill"]
    code, said = run("play", str(path), "--trace")
    assert (code, fails_on_kills[-1]) == (1, small)


def dies_at_two(seed: int, days: float, trace: bool = False) -> Played:
    """A play that no seed but the second survives without."""
    if seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 3:
        raise KeyError("three")
    return Played(Outcome(Story(f"seed {seed}", "", seed, days * 86_400), (), "0" * 64, 0.5))


def test_a_play_whose_process_dies_loses_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "play_seed", dies_at_two)
    code, said = run("world", "--seeds", "1..5", "--days", "1")
    assert code == 1
    lines = [line for line in said.splitlines() if line.startswith("seed ")]
    assert [line.rpartition(": ")[2] for line in lines] == ["kept", "1 BROKEN", "1 BROKEN", "kept", "kept"]
    assert "the simulator, at 0:00:00.0: the process that played it was killed: SIGKILL" in said
    assert "the process that played it ended with exit code 1" in said
    for seed in (2, 3):
        assert f"  replay: fengsui-sim world --seed {seed} --days 1 --trace" in said
    assert "stories with broken promises: 2" in said


def sleeps(seed: int) -> int:
    time.sleep(30.0)
    return seed


def test_lanes_end_with_who_made_them() -> None:
    """Also one that is killed: nothing plays on unseen."""
    script = "from sim.world.crowd import plays; from tests.test_world_cli import sleeps; list(plays(sleeps, [1, 2]))"
    parent = subprocess.Popen([sys.executable, "-c", script])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    found: list[str] = []
    while len([child for child in found if Path(f"/proc/{child}/stat").exists()]) < 2:
        found = children.read_text().split()
        time.sleep(0.05)
    time.sleep(2.0)  # they import
    parent.kill()
    parent.wait()
    until_s = time.monotonic() + 20.0
    while any(is_alive(child) for child in found):
        assert time.monotonic() < until_s
        time.sleep(0.05)


def is_alive(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_play_that_is_told_to_end_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    script = (
        f"import signal, sys, pathlib; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from sim.world import stage; stage.MEMORY = pathlib.Path({str(tmp_path)!r})\n"
        f"from sim.cli import group; group(['world', '--days', '5'])"
    )
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as playing:
        until_s = time.monotonic() + 30.0
        while not list(tmp_path.glob("fengsui-world-*/store/outbox.db")):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        playing.send_signal(number)
        assert playing.wait(20) != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", ["nan", "-1", "1e9", "inf", "0", "400.1"])
def test_lengths_that_no_story_has(days: str) -> None:
    code, said = run("world", "--days", days)
    assert code == 2
    assert f"{float(days):g} is no number of days from 0.01 to 400" in said


@pytest.mark.parametrize("seeds", ["abc", "1-1000000000", "1...3", "", "..", "1..", "9" * 30, "1..9223372036854775808"])
def test_seeds_that_are_none(seeds: str) -> None:
    code, said = run("world", "--seeds", seeds)
    assert (code, "write it like 1..20" in said) == (2, True)


def test_too_many_seeds_and_too_large_a_one() -> None:
    assert "10000 at most at a time" in run("world", "--seeds", "1..1000000000")[1]
    assert run("world", "--seed", "9" * 30)[0] == 2


@pytest.mark.usefixtures("fails_on_kills")
def test_a_file_name_with_spaces_and_quotes_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "it's a story.toml"
    path.write_text((scenario.FOLDER / "quick.toml").read_text("utf-8"), "utf-8")
    said = run("play", str(path))[1]
    replay = next(line for line in said.splitlines() if "replay:" in line).partition("replay: ")[2]
    assert shlex.split(replay) == ["fengsui-sim", "play", str(path), "--trace"]
    assert (tmp_path / "it-s-a-story-000000000000.trace").is_file()


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
