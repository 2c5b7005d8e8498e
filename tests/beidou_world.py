"""A gateway with the real Beidou link; simulated are terminal, satellite and the province's terminal: in virtual time.

Store, relay, driver, packets, desk and province are the real ones; instruments are left out (rounds come as they are
due). A process can be killed, a box can lose its power, in the middle of anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from drivers.beidou import DRIVER
from drivers.beidou.settings import BeidouLink
from drivers.beidou.wire import Dialect
from edge.contract import LinkSpec
from sim.beidou.card import Card
from sim.beidou.port import Plugs
from sim.beidou.satellite import Air as Sky
from sim.beidou.satellite import Satellite
from sim.beidou.station import Station
from sim.beidou.terminal import Terminal
from sim.beidou.trouble import Trouble
from sim.ground_beidou import BeidouDesk
from sim.province import Province
from sim.virtual import run
from tests.beidou_rig import Memory
from tests.slot_world import ROOT, Air, Gateway, Values, WideLink, now_ms

CARD, COMMAND_CARD = 207_733, 1_595_001
STATION_STEP_S = 1.0


class World:
    """One site by one card. `gateway` is the process that runs now; `start` after `die` is a new one."""

    def __init__(self, folder: Path, rows: Sequence[Values], every_s: int, priors: Any, dialect: Dialect, **more: Any):
        self.province = Province(folder / "province.db", lambda _gateway: ROOT, durable=False)
        self.air = Air(self.province)
        self.desk = BeidouDesk(self.province, {CARD: "g-1"})
        self.terminal = Terminal(dialect, Card(CARD), reports={}, trouble=more.get("trouble", Trouble()))
        self.station_terminal = Terminal(dialect, Card(COMMAND_CARD, period_s=1.0, user_class=0), reports={})
        loss = more.get("lost", 0.0)
        self.satellite = Satellite(more.get("seed", 1), loss=loss, duplicate=0.01, reorder=0.005)
        self.plugs = Plugs(Sky(self.satellite, {"bd": self.terminal, "province": self.station_terminal}))
        self.station = Station(self.desk)
        self.wide = WideLink(self.air)
        self.memory = Memory()
        self.boot = 1
        self.folder, self.rows, self.every_s, self.priors = folder, rows, every_s, priors
        self.gateway = self._gateway()
        self.taken: dict[int, Values] = {}

    def _gateway(self) -> Gateway:
        port = SimpleNamespace(id="bd", open="serial:/dev/bd", baud=115_200, parity="N", stop_bits=1, data_bits=8)
        spec = LinkSpec(
            *("beidou", "g-1", BeidouLink(province=COMMAND_CARD), self.plugs.open_port, self.memory),
            *(lambda *_: None, lambda: None, self.boot, port, {}),
        )
        open_link: Any = DRIVER.open_link
        self.link: Any = open_link(spec)
        self.link.name = "beidou"
        return Gateway(self.folder / "store", [self.wide, self.link], self.rows, self.every_s, self.priors)

    async def start(self) -> None:
        self.gateway.taken = self.taken
        await self.gateway.start()

    async def restart(self, dark_s: float = 0.0) -> None:
        """Kills the process; `dark_s` above 0: the box had no power for so long."""
        await self.gateway.die()
        if dark_s:
            self.boot += 1
            await asyncio.sleep(dark_s)
        self.gateway = self._gateway()
        await self.start()

    async def serve(self) -> None:
        """The province's own terminal and its host."""
        settings = SimpleNamespace(id="province", open="", baud=115_200, parity="N", stop_bits=1, data_bits=8)
        port = await self.plugs.open_port(settings)
        loop = asyncio.get_running_loop()

        async def hear() -> None:
            while True:
                self.station.feed(await port.read(), loop.time(), now_ms())

        hearing = asyncio.ensure_future(hear())
        try:
            while True:
                said = self.station.step(loop.time(), now_ms())
                if said:
                    await port.write(said)
                await asyncio.sleep(STATION_STEP_S)
        finally:
            hearing.cancel()


def play(
    folder: Path,
    story: Callable[[World], Awaitable[None]],
    rows: Sequence[Values],
    every_s: int = 60,
    priors: Any = (),
    dialect: Dialect = Dialect.TEXT21,
    **more: Any,
) -> None:
    """`more`: lost, seed, trouble."""

    async def all_of_it() -> None:
        world = World(folder, rows, every_s, priors, dialect, **more)
        serving = asyncio.ensure_future(world.serve())
        await world.start()
        try:
            await story(world)
        finally:
            await world.gateway.die()
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            world.province.close()

    run(all_of_it())
