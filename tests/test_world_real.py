"""Hardware in the loop: the installed daemon, a real Mosquitto, instruments on real ports, the world's judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.broker import start_broker
from sim.world import scenario
from sim.world.real import play_real

ROUNDS_JUDGED = 100  # instants at which a round was demanded: of some two minutes, each second


def test_the_installed_daemon_keeps_its_promises_in_real_time(tmp_path: Path) -> None:
    with start_broker() as broker:
        if broker.name != "mosquitto":
            pytest.skip("NOT TESTED: mosquitto is missing (sudo apt-get install mosquitto)")
    said: list[str] = []
    played = play_real(scenario.load(scenario.FOLDER / "quick.toml"), tmp_path, said.append)
    assert not played.outcome.broken, "\n".join([*said[-40:], *map(str, played.outcome.broken)])
    assert played.outcome.sums["judged"] >= ROUNDS_JUDGED, played.outcome.sums
    assert played.is_kept, "\n".join([*said[-40:], *map(str, played.verdicts)])
