"""From a register's change to the relay that switches: how long, over many changes. Real processes, real time.

A gateway at its full work (100 registers at 1 Hz) also polls eight registers every 100 ms, each with a limit, and each
limit switches a coil of its own: of the same slave that is polled (on one wire with all its questions), or of one on
a wire of its own; and of one on a wire of its own with an instrument that has fallen silent, at 500 ms a question. The
bench moves a register over its limit or back, at random instants, and notes the time before it
gives the command; the slave notes when a coil has changed. One machine, one monotonic clock. In between: the wait for
the poll, the poll, the judgement, the write.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator

from sim.modbus import Running
from sim.rig import Rig, point_table, port_table, until
from tests.bench.alarm import CHANGES, HIGH, LOW, PAUSE_S, POLL, SEED, THRESHOLD, WATCHED
from tests.bench.figure import Figure, at_most, percentile
from tests.bench.scratch import folder
from tests.bench.workload import site_text, write_slave

P99_MS = 150.0
P99_DEAD_MS = (
    P99_MS + 500.0
)  # the default timeout of a question, and it is rarely asked: the intake pauses for the dead


def run() -> Iterator[Figure]:
    """p99 on the same wire and on another."""
    places = (("a wire of its own", "relays", False), ("the wire that is polled", "fast", False))
    for where, port, is_beside_a_dead_one in (*places, ("a wire with a silent instrument", "relays", True)):
        took_ms = _play(port, is_beside_a_dead_one)
        most_ms = P99_DEAD_MS if is_beside_a_dead_one else P99_MS
        how = (
            f"{len(took_ms)} changes of {WATCHED} registers polled each {POLL}, beside 100 registers at 1 Hz; from "
            f"before the command to the slave until the coil has changed, on {where}"
        )
        note = f" (median {statistics.median(took_ms):.0f}, worst {max(took_ms):.0f})"
        yield at_most(f"alarm -> output switched, {where}, p99", percentile(took_ms, 0.99), most_ms, "ms", how, note)


def _play(port: str, is_beside_a_dead_one: bool) -> list[float]:
    with folder("slaves") as slaves, folder("output") as path, Rig(path) as rig:
        rig.start_broker()
        rig.start_province()
        full = rig.start_slaves(str(write_slave(slaves)), "--tcp", "127.0.0.1:0")
        fast = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", str(WATCHED))
        relays = rig.start_slaves("--tcp", "127.0.0.1:0", "--units", "1-2", "--registers", str(WATCHED))
        relays.command("fault 2 silence")
        switched = relays if port == "relays" else fast
        for register in range(WATCHED):
            fast.command(f"set 1 holding {register} {LOW}")
            switched.command(f"set 1 coil {register} 0")
        text = _fast_text(fast.address, port)
        if port == "relays":
            text += port_table("relays", relays.address)
        if is_beside_a_dead_one:
            text += point_table("dead", "relays", 1, POLL, unit=2)
        rig.write_site(site_text(full.address) + text)
        rig.start_gateway()
        until("the province has readings", lambda: rig.one("SELECT count(*) FROM readings"))
        time.sleep(2.0)
        return _measure(fast, switched)


def _fast_text(address: str, port: str) -> str:
    text = port_table("fast", address) + point_table("fast", "fast", WATCHED, POLL)
    for i in range(WATCHED):
        text += f'[[limit]]\nid = "trip.{i}"\npoint = "fast.{i}"\nabove = {{ red = {THRESHOLD} }}\n'
        text += f'[[output]]\nid = "relay.{i}"\ndriver = "modbus"\nport = "{port}"\nregister = {i}\n'
        text += f'[[action]]\nid = "act.{i}"\non = ["trip.{i}"]\noutput = "relay.{i}"\nmax_on = "1h"\n'
    return text


def _measure(fast: Running, switched: Running) -> list[float]:
    """Milliseconds of each change."""
    chance = random.Random(SEED)
    changed_s: dict[int, list[float]] = {register: [] for register in range(WATCHED)}
    for n in range(CHANGES):
        register, value = n % WATCHED, LOW if n // WATCHED % 2 else HIGH
        changed_s[register].append(time.monotonic())
        fast.command(f"set 1 holding {register} {value}")
        time.sleep(chance.uniform(*PAUSE_S))
    time.sleep(1.0)
    seen: dict[int, list[float]] = {register: [] for register in range(WATCHED)}
    for at_s, coil, _ in json.loads(switched.command("log 1")):
        seen[coil].append(at_s)
    took_ms: list[float] = []
    for register, sent_s in changed_s.items():
        if len(seen[register]) != len(sent_s):
            raise RuntimeError(f"coil {register}: {len(sent_s)} changes switched it {len(seen[register])} times")
        took_ms += [(at_s - sent) * 1000 for at_s, sent in zip(seen[register], sent_s, strict=True)]
    return took_ms
