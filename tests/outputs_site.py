"""What the tests of outputs share: a site with polled registers, limits and relays; the daemon in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.config import load
from edge.contract import Port, PortSettings
from edge.daemon import Daemon, build
from sim.modbus import plain_slaves
from sim.modbus_port import opener
from sim.modbus_slave import Line, Slave

T0_MS = 1_795_323_000_000
HEAD = """
[gateway]
id = "g"
socket = "s"
[[port]]
id = "bus"
open = "tcp:127.0.0.1:1"
[[port]]
id = "relays"
open = "tcp:127.0.0.1:2"
[[device]]
id = "d"
driver = "modbus"
port = "bus"
[[device.point]]
id = "level"
unit = "m"
step = 0.01
every = "100ms"
register = 0
scale = 0.01
[[device.point]]
id = "gas"
unit = "%"
step = 0.01
every = "100ms"
register = 1
scale = 0.01
[[limit]]
id = "high"
point = "level"
above = { yellow = 3, red = 5 }
[[limit]]
id = "gas-high"
point = "gas"
above = { red = 1.5 }
clear = { red = 1.0 }
[[link]]
id = "fibre"
driver = "mqtt"
host = "127.0.0.1"
port = 1
"""


def output(id_: str, register: int, more: str = "") -> str:
    return f'[[output]]\nid = "{id_}"\ndriver = "modbus"\nport = "relays"\nregister = {register}\n{more}\n'


def action(id_: str, limit: str, more: str) -> str:
    return f'[[action]]\nid = "{id_}"\non = ["{limit}"]\n{more}\n'


SIREN = output("siren", 0) + action("wail", "high", 'output = "siren"\nlevel = "red"\nmax_on = "20s"')


class Rig:
    """The daemon beside its slaves, in virtual time. `relays`, `sensors`: the slaves."""

    def __init__(self, folder: Path, outputs: str) -> None:
        (folder / "site.toml").write_text(HEAD + outputs)
        self.site = load(folder / "site.toml")
        self.relays: Slave = plain_slaves([1], 8)[0]
        self.relays.put("coil", 0, [0] * 8)
        self.sensors: Slave = plain_slaves([1], 8)[0]
        self.sensors.put("holding", 0, [0] * 8)
        self.lines = {"bus": Line([self.sensors], is_rtu=False), "relays": Line([self.relays], is_rtu=False)}
        self.daemon: Daemon | None = None
        self.told: list[dict[str, Any]] = []
        self.later_ms = 0  # how much later than T0_MS the story begins
        self.disk_hangs_s = 0.0

    async def play(self, story: Callable[[Rig], Awaitable[None]]) -> None:
        """Runs the daemon while `story` runs, and ends it cleanly."""
        known = opener(self.lines)

        async def open_port(settings: PortSettings) -> Port:
            return await known(settings)

        async def on_disk(work: Callable[[], Any]) -> Any:
            await asyncio.sleep(max(0.0, self.disk_hangs_s - loop.time()))
            return work()

        loop = asyncio.get_running_loop()
        clock = Clock(lambda: T0_MS + self.later_ms + round(loop.time() * 1000), loop.time, lambda: True, 1)
        self.daemon = build(self.site, open_port, clock, on_disk)
        tell = self.daemon.outputs.switchers
        for switcher in tell.values():
            switcher._tell = self.told.append
        running = asyncio.ensure_future(self.daemon.run())
        try:
            await asyncio.sleep(1.0)
            await story(self)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def on(self, coil: int = 0) -> bool:
        self.relays.refresh(self.now_s)
        return bool(self.relays.coil[coil])

    def set(self, register: int, value: float) -> None:
        self.sensors.put("holding", register, [round(value * 100)])
