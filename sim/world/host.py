"""The province in the world: one database behind the broker and behind a commanding Beidou card.

The broker keeps messages for it while it is away, as many as Mosquitto would; a terminal that nobody listens to keeps
none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from pathlib import Path
from types import SimpleNamespace

from edge.turns import until
from sim.beidou.port import Plugs
from sim.beidou.station import Station
from sim.ground_beidou import BeidouDesk
from sim.province import Province
from sim.world.mqtt_broker import QUEUED_MOST
from sim.world.nouns import true_ms
from sim.world.roads import Roads

BATCH_AFTER_S = 0.02  # what comes together is stored together
STATION_PORT = "province"


class Host:
    """`away`: it hears nothing. `forget`: its database is lost; `books` are all it ever had, the present one last."""

    def __init__(self, folder: Path, gateway: str, key: bytes, roads: Roads) -> None:
        self.away = False
        self.books: list[Path] = []
        self._folder = folder
        self._gateway = gateway
        self._key = key
        self._roads = roads
        self._arrived: deque[tuple[str, bytes]] = deque()
        self._woken = asyncio.Event()
        self._spoken_to = asyncio.Event()  # its card's terminal has said something
        self._desk: BeidouDesk | None = None
        self.station: Station | None = None
        roads.arrived = self._take
        self._province = self._open()

    def _open(self) -> Province:
        book = self._folder / f"province-{len(self.books) + 1}.db"
        self.books.append(book)
        return Province(book, {self._gateway: self._key}.get, durable=False)

    def forget(self) -> None:
        """An empty database from now on."""
        self._province.close()
        self._province = self._open()
        if self._desk is not None:
            self._desk.province = self._province

    def close(self) -> None:
        self._province.close()

    def _take(self, road: str, topic: str, payload: bytes) -> None:
        if topic == f"fengsui/{self._gateway}/up" and len(self._arrived) < QUEUED_MOST:
            self._arrived.append((road, payload))
            self._woken.set()

    async def run(self) -> None:
        """Stores what comes over the broker and answers. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._woken.wait()
            await asyncio.sleep(BATCH_AFTER_S)
            self._woken.clear()
            while self._arrived and not self.away:
                road = self._arrived[0][0]
                batch = []
                while self._arrived and self._arrived[0][0] == road:
                    batch.append((self._gateway, self._arrived.popleft()[1]))
                size = sum(len(packet) for _, packet in batch)
                self._roads.record.note(
                    loop.time(), f"the province takes {len(batch)} packets, {size} bytes, by {road}"
                )
                for _, answer in self._province.receive_batch(batch, true_ms(loop.time()), road):
                    self._roads.broker.publish(f"fengsui/{self._gateway}/down", answer)

    def back(self) -> None:
        """It is there again: what the broker has kept for it is taken."""
        self.away = False
        self._woken.set()
        self._spoken_to.set()

    async def serve_beidou(self, plugs: Plugs, card: int) -> None:
        """Hears and answers short messages. Runs until cancelled."""
        self._desk = BeidouDesk(self._province, {card: self._gateway})
        station = self.station = Station(self._desk)
        settings = SimpleNamespace(id=STATION_PORT, open="", baud=115_200, parity="N", stop_bits=1, data_bits=8)
        port = await plugs.open_port(settings)
        loop = asyncio.get_running_loop()

        async def hear() -> None:
            while True:
                data = await port.read()
                if not self.away:
                    station.feed(data, loop.time(), true_ms(loop.time()))
                    self._spoken_to.set()

        hearing = asyncio.ensure_future(hear())
        try:
            while True:
                said = b"" if self.away else station.step(loop.time(), true_ms(loop.time()))
                if said:
                    await port.write(said)
                await until(self._spoken_to, inf if self.away else station.wake_s(loop.time()))
        finally:
            hearing.cancel()
