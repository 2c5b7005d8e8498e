"""How near the Modbus driver comes to the wire's own minimum, and what its parts cost. `python -m tests.bench.modbus`.

The minimum of a cycle: for each slave the question (8 bytes) and the answer (5 + 2 * registers bytes) at 10 bits a
character (8N1), and the 3.5 silent characters before each of the two. The simulator is a process of its own on a
pseudo-terminal and keeps exactly these times; the rest is the driver's and the machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from drivers.modbus.wire import Exchange, Request
from edge.errors import DeviceSilent
from sim.modbus import plain_slaves, start
from sim.modbus_slave import Line
from tests.modbus_site import PortSettings, row_of, sensors

CYCLES = 20
SILENT_CHARACTERS = 3.5


def wire_minimum_s(slaves: int, registers: int, baud: int, bits: int = 10) -> float:
    """The least time in which a master can read `registers` registers of each of `slaves` slaves, in one read each."""
    characters = 8 + 5 + 2 * registers + 2 * SILENT_CHARACTERS
    return slaves * characters * bits / baud


def cycle_row(slaves: int, registers: int, baud: int, dead: int = 0) -> str:
    """Measures full cycles over all slaves; `dead` of them do not answer (timeout 100 ms) and are asked each cycle."""
    with start("--units", f"1-{slaves}", "--baud", str(baud)) as simulator:
        for unit in range(1, dead + 1):
            simulator.command(f"fault {unit} silence")
        cycles = asyncio.run(_cycles(simulator.address, slaves, registers, baud))
    median_s, minimum_s = statistics.median(cycles), wire_minimum_s(slaves, registers, baud)
    what = f"modbus cycle, {slaves} slaves x {registers} registers, {baud} baud" + (f", {dead} dead" if dead else "")
    ratio = f"{median_s / minimum_s:.3f} of the wire's minimum ({minimum_s / median_s:.0%} busy)"
    return f"{what}: {median_s * 1e3:.1f} ms, {ratio}, worst {max(cycles) * 1e3:.1f} ms"


async def _cycles(address: str, slaves: int, registers: int, baud: int) -> list[float]:
    devices = [row_of(unit, registers, timeout="100ms") for unit in range(1, slaves + 1)]
    names = [f"r{i}" for i in range(registers)]
    polled = list(sensors(PortSettings(address, baud=baud), *devices).values())
    cycles = []
    for _ in range(CYCLES):
        begun_s = time.perf_counter()
        for sensor in polled:
            with contextlib.suppress(DeviceSilent):
                await sensor.read(names)
        cycles.append(time.perf_counter() - begun_s)
    return cycles


def cpu_row(registers: int = 100, rounds: int = 500) -> str:
    """CPU time of the driver alone per 1000 readings, over Modbus TCP."""

    async def main(address: str) -> float:
        sensor = sensors(PortSettings(address), row_of(1, registers))["d1"]
        names = [f"r{i}" for i in range(registers)]
        await sensor.read(names)
        begun_s = time.process_time()
        for _ in range(rounds):
            await sensor.read(names)
        return time.process_time() - begun_s

    with start("--units", "1", "--tcp", "127.0.0.1:0") as simulator:
        cpu_s = asyncio.run(main(simulator.address))
    return f"modbus tcp, {registers} registers a read: {cpu_s / rounds / registers * 1e6:.2f} ms CPU per 1000 readings"


def slave_row(registers: int = 100, rounds: int = 2000) -> str:
    """CPU time of the simulated slave, which shares the machine in other benchmarks."""
    line = Line(plain_slaves([1], registers), is_rtu=False)
    question = Exchange(Request(1, 3, 0, registers), 1).frame
    begun_s = time.process_time()
    for n in range(rounds):
        line.feed(question, n * 0.1)
    return f"simulated slave, {registers} registers: {(time.process_time() - begun_s) / rounds * 1e6:.0f} us CPU a read"


def import_row() -> str:
    """What a site with Modbus devices pays at start, beyond asyncio and msgspec, which the daemon has anyway."""
    code = "import asyncio, msgspec, time; t = time.perf_counter(); "
    code += "import drivers.modbus.sensor, drivers.port, serial; print((time.perf_counter() - t) * 1e3)"
    times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(7)]
    return f"import of drivers.modbus with pymodbus and pyserial: {statistics.median(times):.1f} ms"


def run() -> Iterator[str]:
    """One row a measurement."""
    yield cycle_row(10, 8, 9600)
    yield cycle_row(10, 8, 19200)
    yield cycle_row(10, 8, 115200)
    yield cycle_row(1, 100, 9600)
    yield cycle_row(10, 8, 9600, dead=1)
    yield cpu_row()
    yield slave_row()
    yield import_row()


if __name__ == "__main__":
    for row in run():
        print(row)
