"""Finding the terminal on real pseudo-terminals: three dialects at six baud rates, all at once, nothing radiated.

The simulated terminals garble what is heard or said at another rate than theirs. 2.1 ones print GNSS sentences only,
BDS-3 ones their beams too, 4.0 ones nothing until they are asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from types import SimpleNamespace

from drivers.beidou import DRIVER
from drivers.beidou.detect import BAUDS
from drivers.beidou.link import MessagesOverBeidou
from drivers.beidou.settings import BeidouLink
from drivers.beidou.wire import Dialect
from drivers.port import open_port
from edge.contract import LinkSpec
from edge.errors import LinkLost
from sim.beidou.cli import start
from tests.beidou_rig import PROVINCE, Memory

MOST_S = 60.0  # the search takes 35 s at most; helpers share this machine


def link_to(path: str, memory: Memory) -> MessagesOverBeidou:
    port = SimpleNamespace(
        id="bd", open=f"serial:{path}", baud=115_200, parity="N", stop_bits=1, data_bits=8
    )  # the rate of a site file that nobody has changed
    spec = LinkSpec(
        id="beidou",
        gateway="g",
        settings=BeidouLink(province=PROVINCE),
        open_port=open_port,
        memory=memory,
        learn_time=lambda *_: None,
        utc_ms=lambda: None,
        boot=1,
        port=port,
    )
    link = DRIVER.open_link and DRIVER.open_link(spec)
    assert isinstance(link, MessagesOverBeidou)
    return link


async def found(path: str, memory: Memory) -> tuple[str, int, float]:
    """(dialect, baud, seconds) of a terminal whose link has come up."""
    link, began_s, up = link_to(path, memory), time.monotonic(), asyncio.Event()
    task = asyncio.create_task(link.run(lambda _: None, lambda: up.set() if link.state().up else None))
    try:
        async with asyncio.timeout(MOST_S):
            await asyncio.wait({task, asyncio.create_task(up.wait())}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            took_s = time.monotonic() - began_s
            async with asyncio.timeout(5.0):
                while not memory.saves:  # noqa: ASYNC110 the memory has nothing that could be waited for
                    await asyncio.sleep(0.05)
        health = link.health()
        return health["dialect"], health["baud"], took_s
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LinkLost):
            await task


def test_every_dialect_at_every_rate_and_again_at_once() -> None:
    words = []
    for number, (dialect, baud) in enumerate(itertools.product(Dialect, BAUDS)):
        words += ["--terminal", f"{dialect.name}-{baud}:{1000 + number},dialect={dialect.value},baud={baud}"]
    running = start(*words)
    memories = {name: Memory() for name in running.paths}

    async def search() -> dict[str, tuple[str, int, float]]:
        tasks = {name: asyncio.create_task(found(path, memories[name])) for name, path in running.paths.items()}
        return {name: await task for name, task in tasks.items()}

    try:
        first, again = asyncio.run(search()), asyncio.run(search())
        requests = {name: running.counts(name)["requests"] for name in running.paths}
    finally:
        running.stop()
    expected = {f"{d.name}-{baud}": (d.value, baud) for d, baud in itertools.product(Dialect, BAUDS)}
    assert {name: result[:2] for name, result in first.items()} == expected
    assert {name: result[:2] for name, result in again.items()} == expected
    assert max(result[2] for result in again.values()) < 3.0
    assert set(requests.values()) == {0}
