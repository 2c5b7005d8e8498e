"""A gateway whose link takes one small packet a minute, and a province behind it that answers now and then: in memory
and virtual time. Real are store, relay, packets and province; the terminal and the satellite are a few lines here (the
whole terminal is in `sim.beidou`).
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from edge.clock import BUILT_MS
from edge.contract import Alarm, Change, ClockQuality, Level, Link, LinkState, Round, Rule, Sent
from edge.errors import LinkLost
from edge.keeper import Keeper
from edge.packing import alarm_entry, round_entry
from edge.relay import Relay
from edge.wire.sheet import Sheet, SheetGroup, SheetLimit, SheetPoint
from sim.ground_beidou import BeidouDesk
from sim.province import Province
from sim.virtual import run

ROOT = bytes(range(32))
START_MS = (BUILT_MS + 86_400_000) // 3_600_000 * 3_600_000
SLOT_S = 62.0  # a civil card's minute and the driver's margin
MTU_BYTES = 77
RECEIPT_BYTES = 77
CARD = 4207733
ROOM_S = 3.0  # between two messages of the province's own card


Values = tuple[int | None, ...]


def now_ms() -> int:
    return START_MS + round(asyncio.get_running_loop().time() * 1000)


class Air:
    """The satellite and the province's card. Each fault is a chance; all from one seed."""

    def __init__(self, province: Province, *, seed: int = 1, lost: float = 0.0) -> None:
        self.province = province
        self.desk = BeidouDesk(province, {CARD: "g-1"})
        self.random = random.Random(seed)
        self.lost = lost
        self.receipts_reach_us = True
        self.receipts = 0
        self.room_s = ROOM_S
        self.tasks: set[asyncio.Task[None]] = set()
        self.receivers: list[Callable[[bytes], None]] = []
        self.arrived: list[tuple[float, bytes]] = []

    def forget(self, province: Province) -> None:
        """The province begins anew, with an empty database."""
        self.province = province
        self.desk = BeidouDesk(province, {CARD: "g-1"})

    def carry(self, work: Callable[[], None]) -> None:
        async def later() -> None:
            await asyncio.sleep(self.random.uniform(2, 6))
            work()

        if self.random.random() >= self.lost:
            task = asyncio.ensure_future(later())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def arrive(self, packet: bytes) -> None:
        self.arrived.append((asyncio.get_running_loop().time(), packet))
        self.desk.arrived(CARD, packet, now_ms())

    async def answer(self) -> None:
        """Answers through a card of its own, when there is reason to."""
        while True:
            await asyncio.sleep(self.room_s)
            message = self.desk.next_message(now_ms(), RECEIPT_BYTES)
            if message is None:
                continue
            assert len(message[1]) <= RECEIPT_BYTES
            self.receipts += 1
            if self.receipts_reach_us:
                self.carry(partial(self.give, message[1]))

    def give(self, answer: bytes) -> None:
        for take in list(self.receivers):
            take(answer)


class SlotLink:
    """One packet each SLOT_S, MTU_BYTES at most; asserts that nobody asks for more."""

    window = 1

    def __init__(self, air: Air, name: str = "beidou") -> None:
        self.air = air
        self.name = name
        self.ready_s = 0.0
        self.working = True
        self.is_up = False
        self.mtu_bytes = MTU_BYTES
        self.outcomes: list[Sent] = []  # of the next sends; SENT when empty
        self.sent: list[tuple[float, bytes]] = []
        self.slots_free_s = 0.0  # that passed unused since the link came up

    def state(self) -> LinkState:
        return LinkState(self.is_up, "" if self.is_up else "no signal", self.mtu_bytes, SLOT_S, self.ready_s)

    async def run(self, receive: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        self.air.receivers.append(receive)
        try:
            while True:
                if not self.working:
                    raise LinkLost(self.name, "no signal")
                if not self.is_up:
                    self.is_up = True
                    changed()
                await asyncio.sleep(0.5)
        finally:
            self.is_up = False
            self.air.receivers.remove(receive)

    async def send(self, packet: bytes) -> Sent:
        now_s = asyncio.get_running_loop().time()
        assert now_s >= self.ready_s, "asked before the slot"
        assert len(packet) <= self.mtu_bytes
        outcome = self.outcomes.pop(0) if self.outcomes else Sent.SENT
        self.slots_free_s += now_s - self.ready_s
        self.ready_s = now_s + SLOT_S
        await asyncio.sleep(0.8)
        if outcome is not Sent.NOT_SENT:
            self.sent.append((now_s, packet))
            self.air.carry(lambda: self.air.arrive(packet))
        return outcome

    def health(self) -> dict[str, Any]:
        return {}


class WideLink:
    """A fibre: many packets, at once, straight to the province."""

    window = 8

    def __init__(self, air: Air, name: str = "fibre") -> None:
        self.air = air
        self.name = name
        self.working = False
        self.is_up = False
        self.sent: list[tuple[float, bytes]] = []
        self.receive: Callable[[bytes], None] = lambda _packet: None

    def state(self) -> LinkState:
        return LinkState(self.is_up, "" if self.is_up else "cut", 4096)

    async def run(self, receive: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        self.receive = receive
        try:
            while True:
                if not self.working:
                    raise LinkLost(self.name, "cut")
                if not self.is_up:
                    self.is_up = True
                    changed()
                await asyncio.sleep(0.2)
        finally:
            self.is_up = False

    async def send(self, packet: bytes) -> Sent:
        await asyncio.sleep(0.02)
        if not self.working:
            return Sent.UNKNOWN
        self.sent.append((asyncio.get_running_loop().time(), packet))
        for answer in self.air.province.receive("g-1", packet, now_ms()):
            self.receive(answer)
        return Sent.SENT

    def health(self) -> dict[str, Any]:
        return {}


class Gateway:
    """Keeper and relay on a folder. `rows`: the values of each round, looped; one round each `every_s`."""

    def __init__(
        self,
        folder: Path,
        links: Sequence[Link],
        rows: Sequence[Values],
        every_s: int,
        priors: Any = (),
    ) -> None:
        self.said: list[str] = []
        self.rows = rows
        self.every_s = every_s
        self.taken: dict[int, tuple[int | None, ...]] = {}  # at_ms -> values
        width = len(rows[0])
        known = list(priors) or [b""] * width

        def make_sheet(epoch: int, next_seq: int, bodies: list[bytes]) -> tuple[bytes, bytes]:
            if bodies:
                return Sheet.decode(bodies[0]).digest, bodies[0]
            points = tuple(SheetPoint(f"p{i}", "m", Decimal("0.01"), None, None, known[i]) for i in range(width))
            limits = (SheetLimit("high", "p0", 0, ((4, 400),)),)
            sheet = Sheet("g-1", epoch, next_seq, START_MS, (SheetGroup(every_s * 1000, points),), limits)
            return sheet.digest, sheet.encode()

        say = lambda about, text: self.said.append(f"{about}: {text}")  # noqa: E731
        self.keeper = Keeper(folder, 500_000_000, 1.0, call_at_once, make_sheet, say, lambda: "now", 1)
        ways = {link.name: (link, 10.0) for link in links}  # type: ignore[attr-defined]
        self.relay = Relay("g-1", ROOT, ways, self.keeper, say, lambda *_: None)

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

    def round(self, at_ms: int) -> None:
        values = self.rows[at_ms // (self.every_s * 1000) % len(self.rows)]
        self.taken[at_ms] = values
        self.keeper.take(round_entry(Round(0, at_ms, values, b"", ClockQuality.TRUSTED)))

    async def read_for(self, seconds: float) -> None:
        """Rounds as they come, on the grid."""
        end_ms = now_ms() + round(seconds * 1000)
        step_ms = self.every_s * 1000
        at_ms = -(-now_ms() // step_ms) * step_ms
        while at_ms < end_ms:
            await asyncio.sleep((at_ms - now_ms()) / 1000)
            self.round(at_ms)
            at_ms += step_ms
        await asyncio.sleep((end_ms - now_ms()) / 1000)

    def pile_up(self, rounds: int, ago: int = 0) -> None:
        """Rounds of the past, at once: the last of them `ago` rounds ago."""
        step_ms = self.every_s * 1000
        last_ms = now_ms() // step_ms * step_ms - ago * step_ms
        for back in range(rounds, 0, -1):
            self.round(last_ms - back * step_ms)

    async def alarm(self, level: Level = Level.RED) -> int:
        """Raises one; its time."""
        at_ms = now_ms()
        alarm = Alarm("high", "p0", level, Change.RAISED, Rule.ABOVE, 500, 400, at_ms, ClockQuality.TRUSTED)
        await self.keeper.take_now([alarm_entry(alarm)])
        return at_ms

    def held(self) -> int:
        return self.keeper.account().held_readings

    async def drained(self, within_s: float = 3600.0) -> None:
        """Until the province has signed for everything. Raises AssertionError."""
        for _ in range(int(within_s)):
            if not self.held():
                return
            await asyncio.sleep(1)
        raise AssertionError(f"{self.held()} readings are still held after {within_s} s")


async def call_at_once(work: Callable[[], Any]) -> Any:
    return work()


Story = Callable[[Gateway, SlotLink, WideLink, Air], Awaitable[None]]


def play(
    folder: Path,
    story: Story,
    rows: Sequence[Values],
    every_s: int = 60,
    priors: Any = (),
    **faults: float,
) -> None:
    """One gateway on one card, with a fibre that is cut to begin with."""
    province = Province(folder / "province.db", lambda _gateway: ROOT, durable=False)

    async def all_of_it() -> None:
        air = Air(province, **faults)  # type: ignore[arg-type]
        slot, wide = SlotLink(air), WideLink(air)
        gateway = Gateway(folder / "store", [wide, slot], rows, every_s, priors)
        desk = asyncio.ensure_future(air.answer())
        await gateway.start()
        await story(gateway, slot, wide, air)
        await gateway.die()
        desk.cancel()
        await asyncio.gather(desk, return_exceptions=True)

    try:
        run(all_of_it())
    finally:
        province.close()


def ages_s(air: Air) -> dict[int, float]:
    """Of each round at the province: its time -> how old it was when it was stored, s."""
    query = "SELECT at_ms, min(received_at_ms) FROM readings GROUP BY at_ms"
    return {at_ms: (came_ms - at_ms) / 1000 for at_ms, came_ms in air.province._store._db.execute(query)}


def rows_at(air: Air) -> dict[int, tuple[int | None, ...]]:
    """The rounds as the province has them: time -> values; a value that is there twice would show."""
    found: dict[int, dict[int, int | None]] = {}
    for at_ms, point, steps in air.province._store._db.execute("SELECT at_ms, point, steps FROM readings"):
        place = int(point[1:])
        assert place not in found.setdefault(at_ms, {})
        found[at_ms][place] = steps
    return {at_ms: tuple(values[place] for place in sorted(values)) for at_ms, values in found.items()}


def alarm_ages_s(air: Air) -> list[float]:
    query = "SELECT (received_at_ms - at_ms) / 1000.0 FROM alarms ORDER BY seq"
    return [row[0] for row in air.province._store._db.execute(query)]


def p95(numbers: list[float]) -> float:
    return statistics.quantiles(numbers, n=20)[-1]
