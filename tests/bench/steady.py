"""The gateway at its daily work, and at rest: CPU, memory, uplink bytes, disk bytes.

Real processes on this machine (sim.rig): Mosquitto, the province, the slaves of tests.bench.workload, `fengsui run`.
Three gateways run one beside the other: one that commits each second, one each 10 s, one with nothing to poll. CPU time
is the process's own (user and system, all threads), so what else runs on the machine shifts it little.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sim.rig import Rig, point_table, port_table, until
from tests.bench.figure import Figure, at_most, plain
from tests.bench.proc import Cost, cost
from tests.bench.scratch import folder
from tests.bench.workload import REGISTERS, site_text, write_slave

WARM_UP_S = 10.0  # imports, the sheet and the first receipts are over by then
WINDOW_S = 60.0
CPU_S_PER_1000 = 0.05
RSS_MB = 48.0
IDLE_PERCENT = 1.0
BYTES_PER_READING = 1.0
DISK_1S_BYTES = 100.0
DISK_10S_BYTES = 12.0
WORK = f"{REGISTERS} registers of real series at 1 Hz over Modbus TCP, 5 limits, Mosquitto, batch 10 s"


class Look(NamedTuple):
    """A gateway at one instant: readings committed, cost so far, and what the province has of it."""

    at_s: float
    readings: int
    cost: Cost
    uplink_bytes: int
    arrived: int


@dataclass(frozen=True, slots=True)
class Window:
    """What one gateway did between two instants."""

    seconds: float
    readings: int
    cpu_s: float
    rss_mb: float
    written_bytes: int
    uplink_bytes: int
    arrived: int

    @property
    def cpu_s_per_1000(self) -> float:
        return self.cpu_s / self.readings * 1000


def run() -> Iterator[Figure]:
    """All figures of this part."""
    with contextlib.ExitStack() as stack:
        slave_file = write_slave(stack.enter_context(folder("slaves")))
        busy = stack.enter_context(site("1s", slave_file))
        slow = stack.enter_context(site("10s", slave_file))
        idle = stack.enter_context(site("1s", None))
        time.sleep(WARM_UP_S)
        first = [_look(rig) for rig in (busy, slow, idle)]
        time.sleep(WINDOW_S)
        second = [_look(rig) for rig in (busy, slow, idle)]
        windows = [_between(one, two) for one, two in zip(first, second, strict=True)]
        whole = _uplink(busy)
    yield from _busy_figures(windows[0], whole)
    yield _disk_figure(windows[1], "10 s", DISK_10S_BYTES)
    yield _idle_figure(windows[2])


@contextlib.contextmanager
def site(commit_every: str, slave_file: Path | None) -> Iterator[Rig]:
    """A running site with the workload; without a slave file one point, read once an hour."""
    with folder(f"site-{commit_every}-{'busy' if slave_file else 'idle'}") as path, Rig(path) as rig:
        rig.start_broker()
        rig.start_province()
        if slave_file is not None:
            body = site_text(rig.start_slaves(str(slave_file), "--tcp", "127.0.0.1:0").address)
        else:
            address = rig.start_slaves("--tcp", "127.0.0.1:0").address
            body = port_table("tcp", address) + point_table("plc", "tcp", 1, "1h")
        rig.write_site(body, commit_every=commit_every)
        rig.start_gateway()
        until("the province hears of the gateway", lambda: rig.one("SELECT count(*) FROM packets"))
        yield rig


def readings_taken(rig: Rig) -> int:
    """How many readings the gateway has committed so far."""
    account = rig.account()
    return int(account["taken"])


def _look(rig: Rig) -> Look:
    readings = readings_taken(rig)
    return Look(time.monotonic(), readings, cost(rig.pid("gateway")), *_uplink(rig))


def _between(one: Look, two: Look) -> Window:
    return Window(
        two.at_s - one.at_s,
        two.readings - one.readings,
        two.cost.cpu_s - one.cost.cpu_s,
        two.cost.rss_mb,
        two.cost.written_bytes - one.cost.written_bytes,
        two.uplink_bytes - one.uplink_bytes,
        two.arrived - one.arrived,
    )


def _uplink(rig: Rig) -> tuple[int, int]:
    """(bytes of all packets, readings) at the province."""
    return int(rig.one("SELECT sum(bytes) FROM packets")), int(rig.one("SELECT count(*) FROM readings"))


def _busy_figures(busy: Window, whole: tuple[int, int]) -> Iterator[Figure]:
    over = f"{busy.readings} readings in {busy.seconds:.0f} s, after {WARM_UP_S:.0f} s of warming up"
    how = f"{WORK}; /proc/PID/stat of the gateway, {over}"
    yield at_most("CPU per 1000 readings, stored durably", busy.cpu_s_per_1000, CPU_S_PER_1000, "s", how)
    yield at_most("memory (RSS)", busy.rss_mb, RSS_MB, "MB", f"the same run, {WARM_UP_S + WINDOW_S:.0f} s after start")
    per = busy.uplink_bytes / busy.arrived
    what = "uplink payload per reading"
    how = "MQTT payloads of all packets (header, tag, status) in the same window over the readings in them"
    yield at_most(what, per, BYTES_PER_READING, "bytes", how)
    how = f"the same from the start on, with the sheet that names all points: {whole[0]} bytes, {whole[1]} readings"
    yield plain("... with the sheet, which is sent once", f"{whole[0] / whole[1]:.4g} bytes", how)
    yield _disk_figure(busy, "1 s", DISK_1S_BYTES)


def _disk_figure(window: Window, commits: str, target: float) -> Figure:
    per = window.written_bytes / window.readings
    how = f"write_bytes of /proc/PID/io, commits each {commits} (fsynced), {window.readings} readings"
    return at_most(f"disk bytes per reading, {commits} commits", per, target, "bytes", how)


def _idle_figure(window: Window) -> Figure:
    percent = window.cpu_s / window.seconds * 100
    how = f"a gateway whose one point is read once an hour, its link up, {window.seconds:.0f} s"
    return at_most("CPU with nothing to poll", percent, IDLE_PERCENT, "% of a core", how)
