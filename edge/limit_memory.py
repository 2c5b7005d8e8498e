"""Keeps what the limits know (edge/limit_state.py) in one small file beside the store, and judges how old it is.

Written each SAVE_EVERY_S, at a clean end and when the supply fails; read once, before the first reading. A power cut
without a warning costs what came since the last time: a minute of a 24 h sum, and nothing of a sum from a counter. The
levels themselves are not here but in the store, committed with their alarms. Limits of values alone are written while a
hold time runs, and limits without one never: the card is spared. A disk that hangs holds nothing up (link_memory.py).
"""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path
from typing import NamedTuple

import cbor2

from edge.clock import Clock
from edge.contract import ClockQuality
from edge.limit_state import MOST_BYTES, UNREADABLE, load, save
from edge.limits import Limits
from edge.link_memory import FileMemory, RunBlocking

FILE = "limits"
SAVE_EVERY_S = 60.0
FILE_BYTES = 20_000_000
BACK_MS = 60_000  # a clock that was set back by less since: no time has passed


class _Instant(NamedTuple):
    """When something was saved, by every clock there is."""

    boot: int
    monotonic_s: float
    at_ms: int
    quality: int


class LimitMemory:
    """Of the limits of one site."""

    def __init__(self, limits: Limits, folder: Path, clock: Clock, run_blocking: RunBlocking) -> None:
        self._limits = limits
        self._clock = clock
        self._run_blocking = run_blocking
        self._file = FileMemory(folder / FILE, run_blocking, FILE_BYTES)
        parts = [part for state in limits.judged.values() for part in state.parts]
        self._measures = any(part.measure is not None for part in parts)
        self._needed = self._measures or any(m.limit.hold_s or m.limit.clear_hold_s for m in limits.judged.values())
        self._timed = False  # whether a hold time was running when it was saved last

    async def load(self) -> int:
        """How many parts of limits go on from before. To be followed by `Limits.restore`."""
        packed = await self._file.load() if self._needed else b""
        if not packed:
            return 0
        try:
            inflater = zlib.decompressobj()
            plain = inflater.decompress(packed, MOST_BYTES)
            instant, state = cbor2.loads(plain if inflater.eof else b"")
            gap_s = self._gap_s(_Instant(*instant))
        except UNREADABLE:
            return 0
        return load(self._limits, state, asyncio.get_running_loop().time(), gap_s)

    async def run(self) -> None:
        """Saves now and then, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Now."""
        timing = any(
            latch.since_s is not None
            for state in self._limits.judged.values()
            for part in state.parts
            for latch in part.latches
        )
        if not (self._measures or timing or self._timed):
            return
        self._timed = timing  # once more when the last hold time has ended, so that it does not go on after a restart
        now = self._clock.now()
        instant = _Instant(self._clock.boot, self._clock.monotonic_s(), now.at_ms, int(now.quality))
        plain = cbor2.dumps([list(instant), save(self._limits, asyncio.get_running_loop().time())])
        await self._file.save(await self._run_blocking(lambda: zlib.compress(plain, 1)))

    def _gap_s(self, saved: _Instant) -> float | None:
        """The time since it was saved: by the monotonic clock within one boot, else by UTC where both times were known
        and do not contradict each other; None: nobody knows."""
        if saved.boot and saved.boot == self._clock.boot and self._clock.monotonic_s() >= saved.monotonic_s:
            return self._clock.monotonic_s() - float(saved.monotonic_s)
        now = self._clock.now()
        if ClockQuality.UNKNOWN in (now.quality, ClockQuality(saved.quality)):
            return None
        passed_ms = now.at_ms - int(saved.at_ms)
        return max(0, passed_ms) / 1000 if passed_ms >= -BACK_MS else None
