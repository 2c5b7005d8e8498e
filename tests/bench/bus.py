"""A serial bus at 9600 baud: how much of it is used, and what one dead slave costs the others.

The bus is a pseudo-terminal with the simulator (a process of its own) behind it, which keeps the time of every
character. The first figures are the driver alone (tests.bench.modbus). The last is the whole gateway: two of them run
side by side, ten slaves each, read each 500 ms (the wire needs 375 ms of that); in one of them a slave falls silent
when the window begins, so that finding out is part of the price. Counted are the good readings of the other nine that
have reached the province.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator

from sim.modbus import Running, start
from sim.rig import Rig, point_table, port_table, until
from tests.bench import modbus
from tests.bench.figure import Figure, at_most, plain
from tests.bench.scratch import folder

SLAVES, REGISTERS, BAUD = 10, 8, 9600
EVERY_S = 0.5
WINDOW_S = 120.0  # with the discovery of the dead one, and the pauses that follow growing
DEAD = 1
BUSY_SHARE = 0.90
DEAD_COST_PERCENT = 5.0
OTHERS_READINGS_PER_S = (SLAVES - 1) * REGISTERS / EVERY_S


def run() -> Iterator[Figure]:
    """All figures of this part."""
    yield _cycle()
    for row in (modbus.cycle_row(10, 8, 115200), modbus.cpu_row()):
        what, _, measured = row.partition(": ")
        yield plain(what, measured, "driver alone")
    yield from _dead()


def _cycle() -> Figure:
    with start("--units", f"1-{SLAVES}", "--baud", str(BAUD)) as simulator:
        cycles = asyncio.run(modbus._cycles(simulator.address, SLAVES, REGISTERS, BAUD))
    minimum_s = modbus.wire_minimum_s(SLAVES, REGISTERS, BAUD)
    busy = minimum_s / statistics.median(cycles)
    how = f"driver alone, {SLAVES} slaves x {REGISTERS} registers, the wire's minimum {minimum_s * 1e3:.0f} ms over "
    how += f"the median of {len(cycles)} cycles"
    return Figure(f"bus busy at {BAUD} baud", f"{busy:.1%}", f">= {BUSY_SHARE:.0%}", busy >= BUSY_SHARE, how)


def _dead() -> Iterator[Figure]:
    with contextlib.ExitStack() as stack:
        well, _ = stack.enter_context(_site("well"))
        ill, slaves = stack.enter_context(_site("ill"))
        time.sleep(3.0)
        slaves.command(f"fault {DEAD} silence")
        begin_ms = int(time.time() * 1000)
        time.sleep(WINDOW_S)
        end_ms = int(time.time() * 1000)
        time.sleep(3.0)  # the last batch is on the way
        counts = [_others(rig, begin_ms, end_ms) for rig in (well, ill)]
    full = OTHERS_READINGS_PER_S * WINDOW_S
    grows = (counts[0] / counts[1] - 1) * 100
    how = f"whole gateway, {SLAVES} slaves x {REGISTERS} registers at {BAUD} baud each {EVERY_S * 1000:.0f} ms; good "
    how += f"readings of the other {SLAVES - 1} in {WINDOW_S:.0f} s: {counts[0]} with all alive, {counts[1]} with one "
    how += f"dead from the first second on, {full:.0f} possible"
    yield at_most("one dead slave of ten: the others' period grows", grows, DEAD_COST_PERCENT, "%", how)


@contextlib.contextmanager
def _site(name: str) -> Iterator[tuple[Rig, Running]]:
    with folder(f"bus-{name}") as path, Rig(path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--units", f"1-{SLAVES}", "--baud", str(BAUD))
        body = port_table("bus", slaves.address, baud=BAUD)
        every = f"{EVERY_S * 1000:.0f}ms"
        body += "".join(point_table(f"d{unit}", "bus", REGISTERS, every, unit=unit) for unit in range(1, SLAVES + 1))
        rig.write_site(body, batch="1s")
        rig.start_gateway()
        until("the province has readings", lambda: rig.one("SELECT count(*) FROM readings"))
        yield rig, slaves


def _others(rig: Rig, begin_ms: int, end_ms: int) -> int:
    """Good readings of all slaves but the dead one, taken in the window."""
    query = "SELECT count(*) FROM readings WHERE quality = 0 AND at_ms >= ? AND at_ms < ? AND point NOT LIKE ?"
    return int(rig.one(query, begin_ms, end_ms, f"d{DEAD}.%"))
