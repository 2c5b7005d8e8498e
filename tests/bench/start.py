"""Cold start: from the creation of the gateway's process to its first reading and first packet at the province.

Each time with an empty store and a new key epoch, as after a first installation, and then on the store it has left, as
after a power cut; broker, province and slaves are up. `received_at_ms` of the province against the clock before the
process is made. The interpreter's files are in the page cache, as they are on a box that only restarts its service.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator

from sim.rig import Rig, until
from tests.bench.figure import Figure, at_most, plain, spread
from tests.bench.scratch import folder
from tests.bench.workload import site_text, write_slave

STARTS = 9
FIRST_PACKET_S = 0.6


def run() -> Iterator[Figure]:
    """All figures of this part."""
    with folder("slaves") as slaves, folder("start") as path, Rig(path) as rig:
        rig.start_broker()
        rig.start_province()
        until("the province is up", lambda: rig.database.exists())
        address = rig.start_slaves(str(write_slave(slaves)), "--tcp", "127.0.0.1:0").address
        rig.write_site(site_text(address))
        _start(rig)  # whatever is not in the page cache yet
        fresh = [_start(rig, fresh=True) for _ in range(STARTS)]
        again = [_start(rig) for _ in range(STARTS)]
    how = f"process spawn to received_at_ms at the province, 100 points, median of {STARTS}"
    yield from _figures("empty store", fresh, how)
    yield from _figures("after kill -9", again, how)


def _figures(case: str, starts: list[tuple[float, float]], how: str) -> Iterator[Figure]:
    packets, readings = zip(*starts, strict=True)
    note = f" ({min(packets):.2f}-{max(packets):.2f})"
    what = f"cold start -> first packet, {case}"
    yield at_most(what, statistics.median(packets), FIRST_PACKET_S, "s", how, note)
    yield plain(f"cold start -> first reading, {case}", spread(readings, "s"), how)


def _start(rig: Rig, *, fresh: bool = False) -> tuple[float, float]:
    """Seconds to the first packet and to the first reading taken by this process; it is killed afterwards."""
    if fresh:
        shutil.rmtree(rig.store)
    packets = rig.one("SELECT count(*) FROM packets")
    began_ms = time.time() * 1000
    rig.start_gateway()
    newer = "SELECT min(received_at_ms) FROM readings WHERE at_ms >= ?"
    reading_ms = until("a reading of this start is there", lambda: rig.one(newer, int(began_ms)))
    packet_ms = rig.one("SELECT received_at_ms FROM packets ORDER BY id LIMIT 1 OFFSET ?", packets)
    time.sleep(0.5)
    rig.kill("gateway")
    time.sleep(0.3)  # what was on the way must not count for the next start
    return (packet_ms - began_ms) / 1000, (reading_ms - began_ms) / 1000
