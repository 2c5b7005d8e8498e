"""Where a stranger starts: the whole way of a reading, with real processes.

Modbus slaves on a TCP port, the installed gateway, a real Mosquitto, the province. See `sim.rig` for how they are run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.broker import mosquitto_path
from sim.rig import GATEWAY_SCRIPT, Rig, point_table, port_table, until

pytestmark = pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")

LIMITS = """
[[limit]]
id = "high"
point = "plc.3"
above = { yellow = 2000, red = 3000 }
"""


def fengsui(rig: Rig, *words: str) -> subprocess.CompletedProcess[str]:
    """One command of the technician."""
    return subprocess.run(
        [sys.executable, "-c", GATEWAY_SCRIPT, *words],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "FENGSUI_SOCKET": str(rig.socket)},
        check=False,
    )


def test_from_the_wire_to_the_province_and_what_a_technician_sees(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "10")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 10, "500ms") + LIMITS, batch="1s")

        # A reading: from the register to the province's table, exact, with its time.
        rig.start_gateway()
        until("readings at the province", lambda: rig.one("SELECT COUNT(*) FROM readings") >= 30)
        rows = dict(rig.province("SELECT point, value FROM readings WHERE seq = (SELECT MIN(seq) FROM readings)"))
        assert rows == {f"plc.{i}": 1000.0 + i for i in range(10)}

        # A limit: yellow, then red, at the province within a second, each once.
        slaves.command("set 1 holding 3 2500")
        until("yellow", lambda: rig.one("SELECT COUNT(*) FROM alarms") == 1)
        slaves.command("set 1 holding 3 3500")
        until("red", lambda: rig.one("SELECT COUNT(*) FROM alarms") == 2)
        assert rig.province("SELECT level, change, value, threshold FROM alarms ORDER BY seq") == [
            (2, "raised", 2500.0, 2000.0),
            (4, "changed", 3500.0, 3000.0),
        ]
        assert rig.one("SELECT MAX(received_at_ms - at_ms) FROM alarms") < 1000

        # The technician's page, for people and for programs.
        page = fengsui(rig, "status")
        assert page.returncode == 0
        assert "10 of 10 good" in page.stdout
        assert "high red" in page.stdout
        status = json.loads(fengsui(rig, "status", "--json").stdout)
        assert status["links"]["fibre"]["up"] is True
        assert status["store"]["broken"] is None
        assert json.loads(fengsui(rig, "read", "plc.3", "--json").stdout)[0]["value"] == "3500"
        assert "RED changed: plc.3 3500" in fengsui(rig, "alarms").stdout
        assert fengsui(rig, "read", "nothing").returncode == 5
        second = fengsui(rig, "run", str(rig.site_file))
        assert (second.returncode, "already runs" in second.stderr) == (5, True)

        # The end: what was taken is with the province or still held, each reading once, and a restart repeats no alarm.
        assert rig.stop("gateway") == 0
        assert fengsui(rig, "status").returncode == 4
        rig.start_gateway()
        until("it has caught up", rig.caught_up)
        assert rig.account()["balanced"]
        assert rig.stop("gateway") == 0
        assert rig.missing() == set()
        assert rig.repeated() == 0
        assert rig.one("SELECT COUNT(*) FROM alarms") == 2
