"""What fails on a mountain: each must leave the daemon running, be said once in the log and in `status`, and lose
nothing that was committed. The real daemon, real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.broker import mosquitto_path
from sim.rig import GATEWAY_SCRIPT, Rig, point_table, port_table, until

pytestmark = pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")

LIMIT = '[[limit]]\nid = "high"\npoint = "plc.3"\nabove = { red = 3000 }\n'


def events(rig: Rig, about: str) -> list[str]:
    answer = rig.asked("status")
    return [event["text"] for event in answer["events"] if event["about"] == about] if answer else []


def said_in_log(rig: Rig, words: str) -> int:
    return rig.log("gateway").count(words)


def settled_alarm(rig: Rig, slaves: object) -> None:
    """An alarm still goes all the way."""
    before = rig.one("SELECT COUNT(*) FROM alarms")
    slaves.command("set 1 holding 3 3500")  # type: ignore[attr-defined]
    until("the alarm at the province", lambda: rig.one("SELECT COUNT(*) FROM alarms") > before)


def test_a_port_that_is_not_there_then_is_then_vanishes_and_returns(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        wire = tmp_path / "ttyPOND"
        quiet = '[[limit]]\nid = "quiet"\npoint = "plc.0"\nstale = { yellow = "2s" }\n'
        body = port_table("bus", f"serial:{wire}") + point_table("plc", "bus", 4, "200ms") + LIMIT + quiet
        rig.write_site(body, batch="1s")
        rig.start_gateway()
        until("it is said", lambda: events(rig, "port bus"))
        assert events(rig, "port bus")[0].startswith("lost:")
        until("its silence is told", lambda: rig.one("SELECT COUNT(*) FROM alarms WHERE rule = 'stale' AND level = 2"))
        slaves = rig.start_slaves("--pty", str(wire), "--registers", "4", "--baud", "0")
        until("it is back", lambda: "is back" in events(rig, "port bus"))
        slaves.command("unplug")
        until("it is lost again", lambda: len(events(rig, "port bus")) == 3)
        slaves.command("plug")
        until("it is back again", lambda: events(rig, "port bus").count("is back") == 2)
        settled_alarm(rig, slaves)
        assert said_in_log(rig, "port bus: lost") == 2
        # While it was gone, the points had no value, and that is on record.
        assert rig.one("SELECT COUNT(*) FROM readings WHERE value IS NULL AND quality = 4") > 0


def test_no_broker_for_a_while(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        broker = rig.start_broker()
        broker.kill()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "200ms") + LIMIT, batch="1s")
        rig.start_gateway()
        until("it is said", lambda: events(rig, "link fibre"))
        slaves.command("set 1 holding 3 3500")
        until("the alarm is held", lambda: (rig.asked("alarms") or {"recent": []})["recent"])
        time.sleep(3)
        assert said_in_log(rig, "link fibre: is not usable") == 1
        broker.start()
        back_s = time.monotonic()
        rig.start_province()
        until("the alarm at the province", lambda: rig.one("SELECT COUNT(*) FROM alarms"))
        assert time.monotonic() - back_s < 10
        until("it has caught up", rig.caught_up)
        assert rig.account()["balanced"]
        rig.stop("gateway")
        assert rig.missing() == set()


def test_a_corrupt_store_is_put_aside_and_alarms_go_on(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        broker = rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "100ms") + LIMIT, batch="1s")
        rig.start_gateway()
        until("readings", lambda: rig.one("SELECT COUNT(*) FROM readings"))
        broker.kill()
        time.sleep(3)
        rig.stop("gateway")
        file = rig.store / "outbox.db"
        data = bytearray(file.read_bytes())
        data[: 2 * 1024] = os.urandom(2 * 1024)
        file.write_bytes(data)
        broker.start()
        rig.start_gateway()
        until("it is said", lambda: any("put aside" in text for text in events(rig, "store")))
        settled_alarm(rig, slaves)
        assert list(rig.store.glob("outbox.broken-*.db"))
        assert rig.account()["balanced"]


def limited(limit_bytes: int) -> str:
    """A gateway whose files may not grow beyond a size: what a full disk does, without filling one."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))"


def test_a_full_disk_does_not_stop_the_judging_and_nothing_committed_is_lost(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        broker = rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "100ms") + LIMIT, batch="1s")
        rig.start_gateway()
        until("readings", lambda: rig.one("SELECT COUNT(*) FROM readings"))
        broker.kill()
        time.sleep(2)
        committed = rig.account()["taken"]
        rig.kill("gateway")

        rig.start_gateway(first=limited(24 * 1024))
        until("it is said", lambda: any("kept in memory" in text for text in events(rig, "store")), 40)
        status = rig.ask("status")
        assert status["store"]["broken"]
        broker.start()
        settled_alarm(rig, slaves)
        assert said_in_log(rig, "kept in memory") == 1

        rig.kill("gateway")
        rig.start_gateway()
        until("the first life's readings arrive", lambda: rig.one("SELECT COUNT(*) FROM readings") >= committed, 40)
        until("it has caught up", rig.caught_up, 40)
        assert rig.account()["balanced"]
        rig.stop("gateway")
        # Everything the first life had committed has arrived, besides what memory held and sent.
        assert rig.missing() == set()
        assert rig.one("SELECT COUNT(*) FROM readings") >= committed


def test_a_disk_that_can_be_written_again_is_used_again(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "200ms") + LIMIT, batch="1s")
        rig.store.write_text("a file where the folder should be")
        rig.start_gateway()
        until("it is said", lambda: any("kept in memory" in text for text in events(rig, "store")))
        settled_alarm(rig, slaves)
        rig.store.unlink()
        until("it is back on the disk", lambda: any("the disk is back" in text for text in events(rig, "store")), 30)
        slaves.command("set 1 holding 3 1")
        until("the alarm has ended", lambda: rig.one("SELECT COUNT(*) FROM alarms") == 2)
        until("it has caught up", rig.caught_up)
        assert rig.ask("status")["store"]["path"] == str(rig.store / "outbox.db")


CLOCK_1970 = """
import edge.clock, time, pathlib
flag = pathlib.Path({flag!r})
real = edge.clock.wall_ms
began = time.monotonic()
fake = lambda: real() if flag.exists() else int((time.monotonic() - began) * 1000)
edge.clock.Clock.__init__.__defaults__ = (fake, time.monotonic, lambda: False, None)
"""


def test_a_clock_at_1970_then_the_province_tells_the_time(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        broker = rig.start_broker()
        broker.kill()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "200ms") + LIMIT, batch="1s")
        began_ms = time.time() * 1000
        rig.start_gateway(first=CLOCK_1970.format(flag=str(tmp_path / "never")))
        until("it is said", lambda: events(rig, "clock"))
        slaves.command("set 1 holding 3 3500")
        time.sleep(3)
        rig.kill("gateway")
        rig.start_gateway(first=CLOCK_1970.format(flag=str(tmp_path / "never")))
        time.sleep(2)
        broker.start()
        rig.start_province()
        until("it is said", lambda: any("known now, from the province" in text for text in events(rig, "clock")), 40)
        until("it has caught up", rig.caught_up, 40)
        # Readings of before are dated, also those of before the kill.
        oldest = "SELECT MIN(at_ms) FROM readings"
        until("the first readings arrive", lambda: abs(rig.one(oldest) - began_ms) < 3_000, 40)
        first, last = rig.province("SELECT MIN(at_ms), MAX(at_ms) FROM readings")[0]
        assert first > began_ms - 100
        assert abs(last - time.time() * 1000) < 10_000
        assert rig.one("SELECT COUNT(*) FROM alarms") >= 1
        # What still stands began before the kill, when nobody knew the time: its beginning is dated too.
        [since_ms] = [limit["since_ms"] for limit in rig.ask("alarms")["limits"] if limit["level"] != "none"]
        assert began_ms - 100 < since_ms < began_ms + 30_000


WRONG = '[gateway]\nid = "Pond 7"\nnmae = "x"\n[[port]]\nid = "bus"\nopen = "seriall:/dev/x"\n'


def test_a_wrong_site_file_says_everything_at_once(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(WRONG)
    command = [sys.executable, "-c", GATEWAY_SCRIPT, "run", str(site)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 3
    for words in ("Pond 7", "nmae", "seriall", "link"):
        assert words in done.stderr


@pytest.mark.parametrize("spoilt", [WRONG, "", None])
def test_a_site_file_that_was_spoilt_does_not_leave_the_site_blind(tmp_path: Path, spoilt: str | None) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "200ms") + LIMIT, batch="1s")
        rig.start_gateway()
        until("it runs", lambda: rig.asked("status"))
        rig.kill("gateway")
        if spoilt is None:
            rig.site_file.unlink()
        else:
            rig.site_file.write_text(spoilt)
        rig.start_gateway()
        until("it is said", lambda: any("last good copy" in text for text in events(rig, "site file")))
        assert "last good copy" in rig.asked("status")["site_file"]["wrong"]
        settled_alarm(rig, slaves)


def test_no_key_yet_everything_is_kept_and_goes_when_it_is_there(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        key = rig.key_file.read_text()
        rig.key_file.unlink()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "200ms") + LIMIT, batch="1s")
        rig.start_gateway()
        until("it is said", lambda: events(rig, "key"))
        slaves.command("set 1 holding 3 3500")
        until("the alarm is judged", lambda: rig.ask("alarms")["recent"])
        rig.key_file.write_text(key)
        rig.start_province()
        until("the alarm at the province", lambda: rig.one("SELECT COUNT(*) FROM alarms"))


def test_the_province_is_killed_and_returns(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "100ms") + LIMIT, batch="1s")
        rig.start_gateway()
        until("readings", lambda: rig.one("SELECT COUNT(*) FROM readings") > 50)
        rig.kill("province")
        time.sleep(3)
        assert rig.account()["held"] > 0, "a broker's acknowledgement settles nothing"
        rig.start_province()
        until("it has caught up", rig.caught_up, 40)
        assert rig.account()["balanced"]
        rig.stop("gateway")
        assert rig.missing() == set()
        assert rig.repeated() == 0
