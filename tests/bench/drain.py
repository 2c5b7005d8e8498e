"""A link that is back after a long outage: how fast what was held drains to the province, every step of it durable.

The store is filled with rounds of 100 real series as the daemon fills it, while the daemon is down; then it starts,
with Mosquitto and the province up, and goes on reading its 100 registers at 1 Hz. From its start until the province
has stored every reading (SQLite, synchronous FULL, a receipt for each batch).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from edge.contract import ClockQuality, Round
from edge.outbox import Outbox
from edge.packing import round_entry
from sim.rig import Rig, until
from tests.bench.figure import Figure
from tests.bench.scratch import folder
from tests.bench.workload import ROWS, registers, site_text, write_slave

ROUNDS = 5_000
A_COMMIT = 500
READINGS_S = 10_000.0
PATIENCE_S = 180.0


def run() -> Iterator[Figure]:
    """The figure of this part."""
    with folder("slaves") as slaves, folder("drain") as path, Rig(path) as rig:
        rig.start_broker()
        rig.start_province()
        rig.write_site(site_text(rig.start_slaves(str(write_slave(slaves)), "--tcp", "127.0.0.1:0").address))
        rig.start_gateway()
        until("the province has readings", lambda: rig.one("SELECT count(*) FROM readings"))
        rig.stop("gateway")
        last = _fill(rig)
        began_s = time.monotonic()
        rig.start_gateway()
        readings = ROUNDS * len(list(registers()))
        arrived = "SELECT count(*) FROM readings WHERE seq BETWEEN ? AND ?"
        until("all is there", lambda: rig.one(arrived, last - ROUNDS + 1, last) == readings, PATIENCE_S)
        rate = readings / (time.monotonic() - began_s)
    how = f"{readings} readings held, 100 a round; gateway, Mosquitto and province on this machine; its start included"
    yield Figure("drained after an outage", f"{rate:.0f} readings/s", f">= {READINGS_S:.0f}", rate >= READINGS_S, how)


def _fill(rig: Rig) -> int:
    """Puts rounds of the last hours into the store of the stopped gateway; the last seq."""
    box, _ = Outbox.open(rig.store, 500_000_000, "bench")
    sheet = box.sheets()[0][0]
    columns = [register.counts for register in registers()]
    now_ms = time.time_ns() // 1_000_000_000 * 1000
    for start in range(0, ROUNDS, A_COMMIT):
        rows = range(start, start + A_COMMIT)
        rounds = [
            Round(0, now_ms - (ROUNDS - row) * 1000, tuple(c[row % ROWS] for c in columns), b"", ClockQuality.FREE)
            for row in rows
        ]
        box.commit([round_entry(round_) for round_ in rounds], sheet=sheet)
    last = box.last_seq()
    box.close()
    return last
