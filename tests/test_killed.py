"""kill -9 at random moments while the network is gone: nothing committed is lost, nothing arrives twice."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from sim.broker import mosquitto_path
from sim.rig import Rig, cut, point_table, port_table, until

pytestmark = pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")

KILLS = 20
SEED = int(os.environ.get("FENGSUI_SEED", "1"))


def test_killed_at_random_moments_during_an_outage(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with Rig(tmp_path) as rig:
        broker = rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "20")
        rig.write_site(
            port_table("bus", slaves.address) + point_table("plc", "bus", 20, "100ms"), commit_every="200ms", batch="1s"
        )
        rig.start_gateway()
        until("first readings", lambda: rig.one("SELECT COUNT(*) FROM readings"))
        seen_taken = 0
        with cut(broker):
            for _ in range(KILLS):
                time.sleep(chance.uniform(0.3, 0.9))
                answer = rig.asked("outbox")
                if answer is not None:
                    assert answer["account"]["balanced"]
                    assert answer["account"]["taken"] >= seen_taken, "what was committed is gone"
                    seen_taken = answer["account"]["taken"]
                time.sleep(chance.uniform(0.0, 0.1))
                rig.kill("gateway")
                rig.start_gateway()
            until("the gateway runs", lambda: rig.asked("status"))
        until("it has caught up", rig.caught_up, 60)
        account = rig.account()
        rig.stop("gateway")
        assert account["balanced"]
        assert account["taken"] >= seen_taken > 0
        assert account["evicted"] == 0
        assert rig.missing() == set(), f"lost (seed {SEED})"
        assert rig.repeated() == 0, f"repeated at the province (seed {SEED})"
