"""From a register's change to the alarm at the province: how long, over many changes.

A gateway at its full work (100 registers at 1 Hz) also polls eight registers every 100 ms, each with a limit. The bench
moves one of them over its limit or back, at random instants (so the phase of the poll is covered evenly), and notes the
time before it gives the command. The far end is `received_at_ms` of the alarm in the province's database. In between:
the wait for the poll, the poll, the judgement, the commit with its fsync, sealing, MQTT with QoS 1 through Mosquitto.
One machine, so one clock on both ends; it is read in whole milliseconds at the far end.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator

from sim.modbus import Running
from sim.rig import Rig, point_table, port_table, until
from tests.bench.figure import Figure, at_most, percentile
from tests.bench.scratch import folder, say
from tests.bench.workload import site_text, write_slave

WATCHED = 8
POLL = "100ms"
CHANGES = 240
PAUSE_S = (0.13, 0.25)  # between two changes: longer than most take, of no simple ratio to the poll
LOW, HIGH, THRESHOLD = 100, 9000, 5000
MEDIAN_MS, P99_MS = 60.0, 120.0
SEED = 7


def run() -> Iterator[Figure]:
    """Both figures of this part."""
    with folder("slaves") as slaves, folder("alarm") as path, Rig(path) as rig:
        rig.start_broker()
        rig.start_province()
        full = rig.start_slaves(str(write_slave(slaves)), "--tcp", "127.0.0.1:0")
        fast = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", str(WATCHED))
        for register in range(WATCHED):
            fast.command(f"set 1 holding {register} {LOW}")
        rig.write_site(site_text(full.address) + _fast_text(fast.address))
        rig.start_gateway()
        until("the province has readings", lambda: rig.one("SELECT count(*) FROM readings"))
        time.sleep(2.0)
        took_ms = _measure(rig, fast)
    how = (
        f"{len(took_ms)} changes (raised and cleared) of {WATCHED} registers polled each {POLL}, beside 100 registers "
        "at 1 Hz; from before the command to the slave until received_at_ms at the province, commit included"
    )
    yield at_most("change -> alarm at the province, median", statistics.median(took_ms), MEDIAN_MS, "ms", how)
    note = f" (worst {max(took_ms):.0f})"
    yield at_most("change -> alarm at the province, p99", percentile(took_ms, 0.99), P99_MS, "ms", how, note)


def _fast_text(address: str) -> str:
    text = port_table("fast", address) + point_table("fast", "fast", WATCHED, POLL)
    for i in range(WATCHED):
        text += f'[[limit]]\nid = "trip.{i}"\npoint = "fast.{i}"\nabove = {{ red = {THRESHOLD} }}\n'
    return text


def _measure(rig: Rig, slave: Running) -> list[float]:
    """Milliseconds of each change, in the order they were made."""
    chance = random.Random(SEED)
    changed_ms: dict[str, list[float]] = {f"trip.{i}": [] for i in range(WATCHED)}
    for n in range(CHANGES):
        register, value = n % WATCHED, LOW if n // WATCHED % 2 else HIGH
        changed_ms[f"trip.{register}"].append(time.time() * 1000)
        slave.command(f"set 1 holding {register} {value}")
        time.sleep(chance.uniform(*PAUSE_S))
    until("all alarms are at the province", lambda: rig.one("SELECT count(*) FROM alarms") >= CHANGES)
    took_ms = []
    for limit, sent_ms in changed_ms.items():
        rows = rig.province("SELECT received_at_ms FROM alarms WHERE limit_id = ? ORDER BY seq", limit)
        if len(rows) != len(sent_ms):
            say(f"  {limit}: {len(sent_ms)} changes made {len(rows)} alarms: left out")
            continue
        took_ms += [row[0] - sent for row, sent in zip(rows, sent_ms, strict=True)]
    return took_ms
