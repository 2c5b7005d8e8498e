"""A site whose outputs run commands, played in the world: none runs on this machine, and the judges know them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.world.programs import Programs
from sim.world.stage import play_in_memory
from tests import world_site, world_stories
from tests.outputs_site import action
from tests.test_gpio_daemon import GAS


def site(folder: Path) -> str:
    """The program leaves a file behind."""
    program = folder / "run"
    program.write_text(f"#!/bin/sh\ntouch {folder}/ran\n")
    program.chmod(0o755)
    siren = f'[[output]]\nid = "siren"\ndriver = "command"\nrun_on = ["{program}"]\nrun_off = ["{program}"]\n'
    return world_site.site() + siren + action("evacuate", "gas-high", 'output = "siren"\nmax_on = "8min"')


def test_no_program_runs_and_what_it_would_have_done_is_judged(tmp_path: Path) -> None:
    played = play_in_memory(world_stories.story("programs", "12min", GAS, site(tmp_path)))
    assert played.outcome.broken == ()
    assert played.outcome.sums["sirens"] == 2, "once before the kill, once after"
    assert not (tmp_path / "ran").exists()


def test_a_siren_that_does_not_come_breaks_a_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Programs, "set", lambda *_: None)
    broken = play_in_memory(world_stories.story("programs", "12min", GAS, site(tmp_path))).outcome.broken
    assert "siren is off from" in broken[0].what
