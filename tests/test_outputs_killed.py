"""With real processes: kill -9 while the siren is on, and a drill all the way to the province."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sim.broker import mosquitto_path
from sim.rig import Rig, point_table, port_table, until

pytestmark = pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")

HOLD_S = 4.0
OUTPUTS = """
[[limit]]
id = "high"
point = "plc.3"
above = { red = 3000 }
[[output]]
id = "siren"
driver = "modbus"
port = "bus"
register = 0
timer = "pulse"
timer_register = 512
timer_unit = "100ms"
hold = "4s"
[[output]]
id = "lamp"
driver = "modbus"
port = "bus"
register = 2
[[action]]
id = "wail"
on = ["high"]
output = "siren"
max_on = "1min"
[[action]]
id = "shine"
on = ["high"]
output = "lamp"
max_on = "1min"
"""


def test_killed_while_the_siren_is_on_and_a_drill_at_the_province(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "8")
        slaves.command("set 1 coil 0 0 0 0")
        slaves.command("set 1 holding 3 100")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "100ms") + OUTPUTS)
        rig.start_gateway()

        def coils() -> dict[int, tuple[float, int]]:
            return {coil: (at_s, value) for at_s, coil, value in json.loads(slaves.command("log 1"))}

        until("it answers", lambda: rig.asked("outputs"))
        rig.ask("drill", name="high", for_s=1, by="wang", reason="monthly")
        until("the drill at the province", lambda: rig.one("SELECT count(*) FROM alarms") == 2)
        words = [row[0] for row in rig.province("SELECT words FROM alarms ORDER BY seq")]
        assert words[0].startswith("DRILL, RED raised: high")
        assert words[1].startswith("DRILL, cleared: high")
        until("its end", lambda: coils()[0][1] == 0 and coils()[2][1] == 0)

        slaves.command("set 1 holding 3 4000")
        until("both on", lambda: coils()[0][1] == 1 and coils()[2][1] == 1)
        time.sleep(HOLD_S)  # it must have been told again by now
        assert coils()[0][1] == 1
        rig.kill("gateway")
        killed_s = time.monotonic()
        time.sleep(HOLD_S + 0.5)
        off_s, value = coils()[0]
        assert value == 0
        assert off_s - killed_s <= HOLD_S + 0.1
        assert coils()[2][1] == 1, "no timer: it stays, as fengsui check says"
        rig.start_gateway()
        until("the siren goes on for the rest of its minute", lambda: coils()[0][1] == 1)
        rig.stop("gateway")
        assert [coils()[coil][1] for coil in (0, 2)] == [0, 0]
        assert not [line for line in rig.log("gateway").splitlines() if "fault of ours" in line]
