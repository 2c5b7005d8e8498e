"""Runs a `Station` on a port for ever: opens it, carries bytes, opens it again when it is lost. No decisions here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from edge.errors import PortLost
from sim.beidou.station import Station

RETRY_S = 1.0


class Pipe(Protocol):
    """What is used of a `contract.Port`."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


async def run_station(
    station: Station, open_port: Callable[[], Awaitable[Pipe]], utc_ms: Callable[[], int], say: Callable[[str], None]
) -> None:
    """Until cancelled. A port that is not there, or goes, is said once and tried again every second."""
    was = ""
    while True:
        try:
            port = await open_port()
            was = ""
            try:
                await _carry(station, port, utc_ms)
            finally:
                port.close()
        except PortLost as error:
            if str(error) != was:
                was = str(error)
                say(f"{error}; trying again every second")
            await asyncio.sleep(RETRY_S)


async def _carry(station: Station, port: Pipe, utc_ms: Callable[[], int]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        if said := station.step(loop.time(), utc_ms()):
            await port.write(said)
        try:
            async with asyncio.timeout_at(station.wake_s(loop.time())):
                data = await port.read()
        except TimeoutError:
            continue
        station.feed(data, loop.time(), utc_ms())
