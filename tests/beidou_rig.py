"""A Beidou link in virtual time against the simulated terminal: what the tests of the link share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.beidou import DRIVER
from drivers.beidou.link import MessagesOverBeidou
from drivers.beidou.settings import BeidouLink, BeidouPoint
from drivers.beidou.wire import Dialect
from edge.contract import LinkSpec, LinkState, OpenPort, Sent
from edge.errors import LinkLost
from sim.beidou.card import Card
from sim.beidou.port import Plugs
from sim.beidou.satellite import Air, Satellite
from sim.beidou.terminal import Terminal

PROVINCE = 1_595_001
CARD = 207_733  # 4.0 has 21 bits for it
PACKET = bytes([0x41]) + bytes(range(30))
UTC_MS_AT_0 = 1_767_225_600_000  # the simulated sky's
DIALECTS = list(Dialect)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.value)


class Memory:
    """`contract.Memory` on a disk that can fail."""

    def __init__(self) -> None:
        self.data = b""
        self.saves = 0
        self.broken = False
        self.delay_s = 0.01
        self._busy = False

    async def load(self) -> bytes:
        return self.data

    async def save(self, data: bytes) -> bool:
        """As the gateway's: no second save while one is under way."""
        if self.broken or self._busy:
            return False
        self._busy = True
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self._busy = False
        self.data = data
        self.saves += 1
        return True


@dataclass
class Site:
    """One terminal, its satellite and the link to it; `start` again after `stop` is a new process."""

    terminal: Terminal
    satellite: Satellite = field(default_factory=lambda: Satellite(1, loss=0.0, duplicate=0.0, reorder=0.0))
    baud: int = 115_200
    settings: BeidouLink = field(default_factory=lambda: BeidouLink(province=PROVINCE))
    memory: Memory = field(default_factory=Memory)
    boot: int = 1
    utc_known: bool = False
    others: dict[str, Terminal] = field(default_factory=dict)
    points: dict[str, str] = field(default_factory=dict)
    wrap: Callable[[OpenPort], OpenPort] = lambda open_port: open_port

    def __post_init__(self) -> None:
        self.plugs = Plugs(Air(self.satellite, {"bd": self.terminal, **self.others}))
        self.received: list[bytes] = []
        self.times: list[tuple[float, float, str]] = []
        self.whys: list[str] = []
        self.lost: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self.link = self._make()

    def _make(self) -> MessagesOverBeidou:
        port = SimpleNamespace(id="bd", open="serial:/dev/bd", baud=self.baud, parity="N", stop_bits=1, data_bits=8)
        spec = LinkSpec(
            id="beidou",
            gateway="g",
            settings=self.settings,
            open_port=self.wrap(self.plugs.open_port),
            memory=self.memory,
            learn_time=lambda utc_ms, uncertainty_ms, source: self.times.append((utc_ms, uncertainty_ms, source)),
            utc_ms=lambda: UTC_MS_AT_0 + int(now() * 1000) if self.utc_known else None,
            boot=self.boot,
            port=port,
            points={point: BeidouPoint(read=read) for point, read in self.points.items()},
        )
        link = DRIVER.open_link and DRIVER.open_link(spec)
        assert isinstance(link, MessagesOverBeidou)
        return link

    @property
    def state(self) -> LinkState:
        return self.link.state()

    def start(self) -> None:
        """The process begins; what it knew is only what was saved."""
        self.link = self._make()
        self._task = asyncio.create_task(self._ladder())

    async def stop(self) -> None:
        """Killed, in the middle of whatever it does."""
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _ladder(self) -> None:
        while True:
            try:
                await self.link.run(self.received.append, self._note)
            except LinkLost as lost:
                self.lost.append(lost.why)
            await asyncio.sleep(2.0)

    def _note(self) -> None:
        why = self.link.state().why
        if not self.whys or self.whys[-1] != why:
            self.whys.append(why)

    async def until(self, done: Callable[[], Any], within_s: float = 300.0) -> None:
        """Waits for something to become so; raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not done():  # noqa: ASYNC110 the simulated world has nothing that could be waited for
                await asyncio.sleep(0.05)

    async def up(self, within_s: float = 120.0) -> None:
        await self.until(lambda: self.state.up is True, within_s)

    async def ready(self, within_s: float = 900.0) -> None:
        """Until the link is usable and its slot has come."""
        await self.until(lambda: self.state.up is not False and now() >= self.state.ready_s, within_s)

    async def send(self, packet: bytes = PACKET) -> Sent:
        """As the relay does: at the slot, not before."""
        await self.ready()
        return await self.link.send(packet)

    def touch(self) -> None:
        """After the world was changed."""
        self.plugs.touch()


def now() -> float:
    return asyncio.get_running_loop().time()


def site(
    dialect: Dialect = Dialect.TEXT21, card: Card | None = None, *, reports: dict[str, float] | None = None, **more: Any
) -> Site:
    """A site with one terminal of a dialect. `reports`: what it prints unasked."""
    return Site(Terminal(dialect, card or Card(CARD), reports=reports), **more)
