"""What only the daemon as a whole can keep: its end, its watchdog, its clock's floor, the modes of its files."""

from __future__ import annotations

import asyncio
import socket
import stat
import time
from pathlib import Path

import pytest

from edge.config import load
from edge.contract import Alarm, Change, Kind, Level, Quality, Rule
from edge.daemon import Daemon, build
from edge.outbox import Outbox
from sim.broker import mosquitto_path
from sim.rig import Rig, point_table, port_table, until

pytestmark = pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")

SITE = """
[gateway]
id = "g"
socket = "s"
[[port]]
id = "bus"
open = "tcp:127.0.0.1:1"
[[device]]
id = "d"
driver = "modbus"
port = "bus"
[[device.point]]
id = "p"
unit = "m"
step = 0.01
register = 0
[[limit]]
id = "high"
point = "p"
above = { red = 5 }
[[link]]
id = "fibre"
driver = "mqtt"
host = "127.0.0.1"
port = 1
"""


def daemon_of(folder: Path) -> Daemon:
    (folder / "site.toml").write_text(SITE)
    from drivers.port import open_port

    return build(load(folder / "site.toml"), open_port)


def test_an_alarm_raised_in_the_very_moment_of_the_end_is_committed(tmp_path: Path) -> None:
    async def story() -> None:
        daemon = daemon_of(tmp_path)
        task = asyncio.ensure_future(daemon.run())
        await asyncio.sleep(1)
        daemon._raise([Alarm("high", "p", Level.RED, Change.RAISED, Rule.ABOVE, 600, 500, 0)])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    box, _ = Outbox.open(tmp_path / "store", 10**7, "now")
    assert Kind.ALARM in {kind for _, kind in box.first_things()}
    assert box.limit_levels()["high"][0] is Level.RED


@pytest.mark.parametrize("broken", [True, False])
def test_a_limit_whose_standing_was_lost_with_the_store_tells_how_it_stands(tmp_path: Path, broken: bool) -> None:
    """Else an alarm that the province was told before stands there for ever."""

    async def story() -> None:
        daemon = daemon_of(tmp_path)
        if broken:
            (tmp_path / "store").mkdir()
            (tmp_path / "store" / "outbox.db").write_bytes(b"nothing that SQLite knows" * 1000)
        task = asyncio.ensure_future(daemon.run())
        await asyncio.sleep(0.5)
        for _ in range(2):
            daemon._judge("p", 100, Quality.GOOD, asyncio.get_running_loop().time())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    box, _ = Outbox.open(tmp_path / "store", 10**7, "now")
    assert [kind for _, kind in box.first_things()].count(Kind.ALARM) == broken
    assert ("high" in box.limit_levels()) is broken


def test_the_service_manager_hears_that_it_lives(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(15)
        rig.start_broker()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "1s"))
        rig.start_gateway(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        heard = [manager.recv(100) for _ in range(2)]
        assert heard == [b"READY=1", b"WATCHDOG=1"]
        until("its socket", rig.socket.exists)
        assert stat.S_IMODE(rig.socket.stat().st_mode) == 0o660
        rig.stop("gateway")
        assert manager.recv(100) == b"STOPPING=1"


HOUR_BACK = """
import edge.clock, time
fake = lambda: time.time_ns() // 1_000_000 - 3_600_000
edge.clock.Clock.__init__.__defaults__ = (fake, time.monotonic, lambda: False, None)
"""


def test_a_clock_behind_what_was_recorded_is_not_believed(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        broker = rig.start_broker()
        broker.kill()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "200ms"), batch="1s")
        rig.start_gateway()
        until("readings", lambda: (rig.asked("outbox") or {"commits": 0})["commits"] > 2)
        rig.kill("gateway")
        rig.start_gateway(first=HOUR_BACK)
        status = until("it runs", lambda: rig.asked("status"))
        assert status["clock"]["quality"] == "unknown"
        # The province's receipt is what ends it.
        broker.start()
        rig.start_province()
        until("the time is known", lambda: rig.ask("status")["clock"]["quality"] == "trusted")
        until("readings at the province", lambda: rig.one("SELECT COUNT(*) FROM readings"))
        until("it has caught up", rig.caught_up)
        first, last = rig.province("SELECT MIN(at_ms), MAX(at_ms) FROM readings")[0]
        assert last - first < 60_000
        assert abs(last - time.time() * 1000) < 20_000


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    full = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 2)"
    stuck = "import os; r, w = os.pipe(); os.dup2(w, 2); os.set_inheritable(r, True)"
    for number, first in enumerate((full, stuck)):
        with Rig(tmp_path / str(number)) as rig:
            rig.start_broker()
            rig.start_province()
            slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
            limit = '[[limit]]\nid = "high"\npoint = "plc.3"\nabove = { red = 3000 }\n'
            rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "100ms") + limit)
            fill = "" if number == 0 else "\nos.set_blocking(2, False)\ntry:\n    while True: os.write(2, bytes(4096))"
            fill += "" if number == 0 else "\nexcept BlockingIOError: pass\nos.set_blocking(2, True)"
            rig.start_gateway(first=first + fill)
            until("it runs", lambda rig=rig: rig.asked("status"))  # type: ignore[misc]
            slaves.command("set 1 holding 3 3500")
            until("the alarm", lambda rig=rig: rig.one("SELECT COUNT(*) FROM alarms"))  # type: ignore[misc]
            assert rig.alive("gateway")
