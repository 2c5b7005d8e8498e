"""Scripted devices under an intake in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any

from edge.clock import BUILT_MS, Clock
from edge.contract import Point, Quality, Reading, Round, Sensor
from edge.errors import PortLost
from edge.intake import Intake
from sim.virtual import run

START_MS = BUILT_MS + 86_400_000


class Polled:
    """A device whose answers a test scripts: `answer(now_s)` returns a value, or raises."""

    def __init__(self, answer: Callable[[float], float | None], takes_s: float = 0.01) -> None:
        self.answer = answer
        self.takes_s = takes_s
        self.asked_s: list[float] = []

    async def read(self, points: Sequence[str]) -> list[Reading]:
        self.asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)
        value = self.answer(self.asked_s[-1])
        return [Reading(point, value, Quality.GOOD if value is not None else Quality.REFUSED) for point in points]

    def health(self) -> dict[str, Any]:
        return {}


class Speaking:
    """A device that says its value every `every_s` until `until_s`, then its port is lost for good, or it just dies."""

    def __init__(self, every_s: float, until_s: float, dies: bool = False) -> None:
        self.every_s = every_s
        self.until_s = until_s
        self.dies = dies

    async def listen(self) -> AsyncIterator[list[Reading]]:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.every_s)
            if loop.time() > self.until_s and self.dies:
                await asyncio.Event().wait()
            if loop.time() > self.until_s:
                raise PortLost("com", "unplugged")
            yield [Reading("s.1", loop.time())]

    def health(self) -> dict[str, Any]:
        return {}


class Site:
    """Runs an intake over scripted devices; keeps what it gives."""

    def __init__(self, *, every_ms: int = 10_000, ports: dict[str, str] | None = None, **devices: Sensor) -> None:
        self.devices = devices
        self.ports = ports or dict.fromkeys(devices, "com")
        self.every_ms = every_ms
        self.rounds: list[Round] = []
        self.said: list[str] = []
        self.judged: list[tuple[str, int | None, Quality, float]] = []
        self.wall_offset_ms = START_MS

    def play(self, seconds: float, meanwhile: Callable[[Site], None] | None = None, at_s: float = 0.0) -> Intake:
        return run(self._play(seconds, meanwhile, at_s))

    async def _play(self, seconds: float, meanwhile: Callable[[Site], None] | None, at_s: float) -> Intake:
        loop = asyncio.get_running_loop()
        self.clock = Clock(lambda: self.wall_offset_ms + round(loop.time() * 1000), loop.time, lambda: False, 1)
        points = [Point(f"{d}.1", "m", Decimal("0.01"), None, Decimal(100), self.every_ms, d) for d in self.devices]
        intake = Intake(
            *({self.every_ms: points}, self.devices, self.ports, self.clock),
            judge=lambda *reading: self.judged.append(reading),
            keep=self.rounds.append,
            say=lambda about, text: self.said.append(f"{about}: {text}"),
        )
        task = asyncio.ensure_future(intake.run())
        await asyncio.sleep(at_s)
        if meanwhile:
            meanwhile(self)
            self.clock.update()
        await asyncio.sleep(seconds - at_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return intake


def raising(error: Exception) -> Callable[[float], float]:
    def answer(_now_s: float) -> float:
        raise error

    return answer
