"""What a start costs: the box starts after every power cut, and a technician waits for every command."""

from __future__ import annotations

import resource
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from edge.cli.verbs import VERBS
from sim.broker import mosquitto_path
from sim.rig import GATEWAY_SCRIPT, Rig, point_table, port_table, until

HEAVY = ("numpy", "sqlite_utils", "rich", "textual", "hypothesis", "aiomqtt", "sim", "click")
COMMAND_STARTS_S = 0.15
BARE_S = 0.012  # of a Python that does nothing, on this kind of machine at rest
TRIES = 5

TELL_MODULES = """
import atexit, sys
atexit.register(lambda: open({path!r}, "w").write("\\n".join(sys.modules)))
"""


def _children_s() -> float:
    """CPU time of all ended children: what else this machine is doing hardly counts in it."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run_s(*what: str) -> float:
    """CPU time of a Python that does this."""
    began_s = _children_s()
    done = subprocess.run([sys.executable, "-c", *what], capture_output=True, check=False)
    assert done.returncode == 0
    return _children_s() - began_s


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_starts_quickly(verb: str) -> None:
    took_s: list[float] = []
    while len(took_s) < TRIES and min(took_s, default=inf) >= COMMAND_STARTS_S:
        took_s.append(_run_s(GATEWAY_SCRIPT, verb, "--help"))
    # The best of a few: the others measure what else this machine is doing. One that is busy all the time makes a bare
    # Python slow too.
    busy = max(1.0, min(_run_s("pass") for _ in range(TRIES)) / BARE_S) if min(took_s) >= COMMAND_STARTS_S else 1.0
    assert min(took_s) < COMMAND_STARTS_S * busy


@pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")
def test_the_running_daemon_has_loaded_nothing_it_does_not_need(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "200ms"), batch="1s")
        modules = tmp_path / "modules"
        rig.start_gateway(first=TELL_MODULES.format(path=str(modules)))
        until("readings at the province", lambda: rig.one("SELECT COUNT(*) FROM readings"))
        rig.ask("status")
        rig.stop("gateway")
        names = set(modules.read_text().split())
        assert names.isdisjoint({"importlib.metadata", "difflib", "zipfile"})
        loaded = {name.split(".")[0] for name in names}
        assert loaded.isdisjoint(HEAVY)
        assert {"edge", "drivers", "pymodbus", "paho"} <= loaded
