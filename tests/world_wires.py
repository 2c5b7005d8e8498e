"""What the tests of the world's instruments share: a site's real sensors on modelled wires, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from edge.config import Site, load
from edge.contract import ListenedSensor, Point, PolledSensor, Quality, Reading, Sensor
from edge.errors import DeviceSilent, PortLost
from sim.models import models_of
from sim.world.nouns import Record
from sim.world.wire import Wires

SourceOf = Callable[[Point], Callable[[float], float]]


class Bench:
    """The sensors of a site and the wires they are on. To be made within the loop."""

    def __init__(self, site: Site, source_of: SourceOf, seed: int = 1) -> None:
        self.site = site
        self.record = Record()
        self.wires = Wires(models_of(site, source_of, seed), random.Random(seed), self.record)
        self.sensors: dict[str, Sensor] = {}
        for wire in site.wires:
            if wire.driver.sensors is not None:
                self.sensors.update(wire.driver.sensors(wire.port, self.wires.open_port, wire.devices))

    async def ask(self, device: str) -> list[Reading]:
        """All points of a device that answers; without values where it was silent."""
        sensor = self.sensors[device]
        assert isinstance(sensor, PolledSensor)
        points = [point.id for point in self.site.points if point.device == device]
        try:
            return await sensor.read(points)
        except (DeviceSilent, PortLost):
            return [Reading(point, None, Quality.NO_ANSWER) for point in points]

    async def listen(self, device: str, until_s: float) -> list[Reading]:
        """What a device that speaks by itself has said until then."""
        sensor = self.sensors[device]
        assert isinstance(sensor, ListenedSensor)
        heard: list[Reading] = []

        async def collect() -> None:
            async for readings in sensor.listen():
                heard.extend(readings)

        task = asyncio.ensure_future(collect())
        await asyncio.sleep(until_s - asyncio.get_running_loop().time())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return heard


def site_of(folder: Path, text: str) -> Site:
    (folder / "site.toml").write_text(text, "utf-8")
    return load(folder / "site.toml")


def steps(point: Point, value: float) -> int:
    """As the gateway rounds."""
    return round(value * float(1 / point.step))
