"""Gateway and province face to face in virtual time, over a link that loses, repeats, delays and breaks.

Real are the store (a file), the packets, the relay and the province's core; the network is a few lines here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from edge.clock import BUILT_MS
from edge.contract import Alarm, Change, ClockQuality, Kind, Level, LinkState, Round, Rule, Sent
from edge.errors import LinkLost
from edge.keeper import Keeper
from edge.packing import alarm_entry, round_entry
from edge.relay import Relay
from edge.wire.sheet import Sheet, SheetGroup, SheetLimit, SheetPoint
from sim.province import Province
from sim.virtual import run

ROOT = bytes(range(32))
START_MS = BUILT_MS + 86_400_000
POINTS = tuple(SheetPoint(f"p{i}", "m", Decimal("0.01"), None, None) for i in range(3))


class Network:
    """Carries packets to a province and its receipts back. Each fault is a chance; all from one seed."""

    def __init__(self, province: Province, *, seed: int = 1, lost: float = 0.0, repeated: float = 0.0) -> None:
        self.province = province
        self.up = True
        self.delay_s = 0.05
        self.lost = lost
        self.repeated = repeated
        self.refusing = False
        self.receipts_reach_us = True
        self.random = random.Random(seed)
        self.links: list[MemoryLink] = []
        self.sent: list[tuple[float, str, bytes]] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def link(self, name: str, mtu_bytes: int = 4096) -> MemoryLink:
        link = MemoryLink(self, name, mtu_bytes)
        self.links.append(link)
        return link

    def carry(self, work: Callable[[], None]) -> None:
        async def later() -> None:
            await asyncio.sleep(self.delay_s * self.random.uniform(0.5, 2))
            work()

        copies = 2 if self.random.random() < self.repeated else 1
        for _ in range(0 if self.random.random() < self.lost else copies):
            task = asyncio.ensure_future(later())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def arrive(self, packet: bytes) -> None:
        now_ms = START_MS + round(asyncio.get_running_loop().time() * 1000)
        for answer in self.province.receive("g-1", packet, now_ms):
            if self.receipts_reach_us:
                self.carry(partial(self.links[0].receive, answer))


class MemoryLink:
    window = 8

    def __init__(self, network: Network, name: str, mtu_bytes: int) -> None:
        self.network = network
        self.name = name
        self.mtu_bytes = mtu_bytes
        self.is_up = False
        self.receive: Callable[[bytes], None] = lambda _packet: None

    def state(self) -> LinkState:
        return LinkState(self.is_up, "" if self.is_up else "cut", self.mtu_bytes)

    async def run(self, receive: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        self.receive = receive
        try:
            while True:
                if not self.network.up:
                    raise LinkLost(self.name, "cut")
                if not self.is_up:
                    self.is_up = True
                    changed()
                await asyncio.sleep(0.2)
        finally:
            self.is_up = False

    async def send(self, packet: bytes) -> Sent:
        loop = asyncio.get_running_loop()
        if self.network.refusing:
            return Sent.NOT_SENT
        self.network.sent.append((loop.time(), self.name, packet))
        await asyncio.sleep(0.02)
        if not self.network.up:
            return Sent.UNKNOWN
        self.network.carry(lambda: self.network.arrive(packet))
        return Sent.SENT

    def health(self) -> dict[str, Any]:
        return {}


class Gateway:
    """Keeper and relay on a folder, without sensors."""

    def __init__(self, folder: Path, network: Network, links: int = 1, batch_s: float = 10.0) -> None:
        self.said: list[str] = []
        self.times: list[tuple[float, float]] = []
        say = lambda about, text: self.said.append(f"{about}: {text}")  # noqa: E731
        self.keeper = Keeper(folder, 50_000_000, 1.0, call_at_once, make_sheet, say, lambda: "now", 1)
        ways = {f"link{i}": (network.link(f"link{i}"), batch_s) for i in range(links)}
        self.relay = Relay("g-1", ROOT, ways, self.keeper, say, lambda *time: self.times.append(time))
        self.taken = 0

    async def start(self) -> None:
        await self.keeper.start()
        self.tasks = [asyncio.ensure_future(self.keeper.run()), asyncio.ensure_future(self.relay.run())]

    async def die(self) -> None:
        """As with kill -9: nothing is flushed."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.keeper._outbox is not None:
            self.keeper._outbox.close()

    def round(self) -> None:
        at_ms = START_MS + round(asyncio.get_running_loop().time() * 1000)
        self.taken += 1
        values = (self.taken, self.taken * 2, None)
        self.keeper.take(round_entry(Round(0, at_ms, values, b"\0\0\4", ClockQuality.TRUSTED)))

    async def alarm(self, level: Level = Level.RED) -> None:
        at_ms = START_MS + round(asyncio.get_running_loop().time() * 1000)
        alarm = Alarm("high", "p0", level, Change.RAISED, Rule.ABOVE, 500, 400, at_ms, ClockQuality.TRUSTED)
        await self.keeper.take_now([alarm_entry(alarm)])

    def held(self) -> int:
        return self.keeper.account().held_entries


async def call_at_once(work: Callable[[], Any]) -> Any:
    return work()


def make_sheet(epoch: int, next_seq: int, bodies: list[bytes]) -> tuple[bytes, bytes]:
    if bodies:
        return Sheet.decode(bodies[0]).digest, bodies[0]
    limits = (SheetLimit("high", "p0", 0, ((4, 400),)),)
    sheet = Sheet("g-1", epoch, next_seq, START_MS, (SheetGroup(1000, POINTS),), limits)
    return sheet.digest, sheet.encode()


def world(folder: Path, story: Callable[[Network, Gateway], Awaitable[None]], links: int = 1, **faults: float) -> None:
    province = Province(folder / "province.db", lambda _gateway: ROOT, durable=False)

    async def play() -> None:
        network = Network(province, **faults)  # type: ignore[arg-type]
        gateway = Gateway(folder / "store", network, links)
        await gateway.start()
        await story(network, gateway)
        await gateway.die()

    try:
        run(play())
    finally:
        province.close()


def stored(network: Network) -> list[tuple[int, Any]]:
    """(seq, first value) of each round at the province; a repeat would show as two."""
    return network.province._store._db.execute(
        "SELECT seq, steps FROM readings WHERE point = 'p0' ORDER BY seq"
    ).fetchall()


def alarms(network: Network) -> list[tuple[int, int]]:
    """(taken, received) of each alarm, ms."""
    return network.province._store._db.execute("SELECT at_ms, received_at_ms FROM alarms ORDER BY seq").fetchall()


async def rounds(gateway: Gateway, count: int) -> None:
    for _ in range(count):
        gateway.round()
        await asyncio.sleep(1)


async def drained(gateway: Gateway, within_s: float = 900.0) -> None:
    for _ in range(int(within_s)):
        if not gateway.held():
            return
        await asyncio.sleep(1)
    raise AssertionError(f"{gateway.held()} entries are still held after {within_s} s")


def values(network: Network) -> list[Any]:
    return sorted(value for _, value in stored(network))


def held(gateway: Gateway, kind: Kind) -> int:
    return sum(entry.kind is kind for entry in gateway.keeper.outbox.scan())
