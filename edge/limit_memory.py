"""Keeps what the limits know over restarts and power cuts: a file now and then, and with each commit what came since.

The file holds everything (edge/limit_state.py), written each SAVE_EVERY_S, at the start, at a clean end and when the
supply fails. What limits were told since lies in the store, committed with the readings (edge/limit_tail.py), and is
judged once more at the start: a power cut costs what had not been committed, as it does of the readings. Levels are in
the store too, and have the last word. Sites of limits on values alone write nothing but while a hold time runs. A disk
that hangs holds nothing up (link_memory.py).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cbor2

from edge.clock import Clock
from edge.contract import ClockQuality
from edge.limit_state import MOST_BYTES, UNREADABLE, load, save
from edge.limit_tail import Tail, play, read
from edge.limits import Limits
from edge.link_memory import FileMemory, RunBlocking

FILE = "limits"
SAVE_EVERY_S = 300.0  # what lies in the store until then is judged again in a tenth of a second
SAVE_SOON_S = 60.0
LOOK_S = 10.0
TAIL_BYTES = 100_000  # of the store's room; then it is written sooner
FILE_BYTES = 20_000_000
BACK_MS = 60_000  # a clock that was set back by less since: no time has passed


class _Instant(NamedTuple):
    """When something was saved, by every clock there is."""

    boot: int
    monotonic_s: float
    at_ms: int
    quality: int


class LimitMemory:
    """Of the limits of one site. `store`: what stands for the store in use; another one has no rows of before."""

    def __init__(
        self,
        limits: Limits,
        folder: Path,
        clock: Clock,
        run_blocking: RunBlocking,
        store: Callable[[], object] = lambda: None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._run_blocking = run_blocking
        self._file = FileMemory(folder / FILE, run_blocking, FILE_BYTES)
        self._store = store
        self._store_then: object = None
        self._saved_s = 0.0
        self.tail = Tail(limits, lambda: [*self._instant(), asyncio.get_running_loop().time()])
        parts = [part for state in limits.judged.values() for part in state.parts]
        self._measures = any(part.measure is not None for part in parts)
        self._timed = False  # whether a hold time was running when it was saved last

    async def load(self, told: Iterable[tuple[Any, Any]] = ()) -> int:
        """How many parts of limits go on from before. `told`: the rows of the store. To be followed by
        `Limits.restore`."""
        rows = list(told)
        self.tail.last = max((number for number, _ in rows if isinstance(number, int)), default=0)
        packed = await self._file.load() if self.tail.points else b""
        try:
            found = self._unpacked(packed)
            return self._go_on(*found, rows) if found[1] or rows else 0
        except UNREADABLE:
            return 0

    def _unpacked(self, packed: bytes) -> tuple[_Instant, bytes, int, list[Any], float, list[str]]:
        """What the file holds; nothing at all where it can not be read: then what was told since is all there is."""
        try:
            inflater = zlib.decompressobj()
            plain = inflater.decompress(packed, MOST_BYTES)
            instant, state, number, life, loop_s, points = cbor2.loads(plain if inflater.eof else b"")
            return _Instant(*instant), bytes(state), int(number), list(life), float(loop_s), [str(p) for p in points]
        except UNREADABLE:
            return self._instant(), b"", 0, [], 0.0, self.tail.points

    def _go_on(
        self,
        then: _Instant,
        state: bytes,
        number: int,
        life: list[Any],
        then_s: float,
        points: list[str],
        rows: Iterable[tuple[Any, Any]],
    ) -> int:
        """From what was saved at `then` over what was told since, maybe in several lives, to now. Of each life the
        loop's own time is used, as it was."""
        self.tail.saved, self.tail.last = number, max(number, self.tail.last)
        limits = self._limits_of(state, then_s, 0.0)
        for row in read(rows, number, zlib.crc32(repr(points).encode())):
            instant = _Instant(*row.instant)
            first_s = min((at_s for at_s, _ in row.groups), default=row.loop_s)
            if row.life != life:
                gap_s = self._gap_s(then, instant)
                gap_s = None if gap_s is None else max(0.0, gap_s - (row.loop_s - first_s))
                limits = self._limits_of(save(limits, then_s), first_s, gap_s)
                life = row.life
            play(limits, row, points)
            then, then_s = instant, row.loop_s
        now_s = asyncio.get_running_loop().time()
        return load(self._limits, save(limits, then_s), now_s, self._gap_s(then, self._instant()))

    def _limits_of(self, state: bytes, now_s: float, gap_s: float | None) -> Limits:
        limits = Limits([judged.limit for judged in self._limits.judged.values()], now_s)
        load(limits, state, now_s, gap_s)
        return limits

    async def run(self) -> None:
        """Saves now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            large = self.tail.size_bytes > TAIL_BYTES
            due = asyncio.get_running_loop().time() >= self._saved_s + (SAVE_SOON_S if large else SAVE_EVERY_S)
            if due or self._store() is not self._store_then:
                await self.save()

    async def save(self) -> None:
        """Now."""
        self._saved_s, self._store_then = asyncio.get_running_loop().time(), self._store()
        timing = any(
            latch.since_s is not None
            for state in self._limits.judged.values()
            for part in state.parts
            for latch in part.latches
        )
        if not (self._measures or timing or self._timed or self.tail.size_bytes):
            return
        self._timed = timing  # once more when the last hold time has ended, so that it does not go on after a restart
        number, now_s = self.tail.close(), asyncio.get_running_loop().time()
        size_bytes = self.tail.size_bytes
        state = save(self._limits, now_s)
        plain = cbor2.dumps([list(self._instant()), state, number, self.tail.life, now_s, self.tail.points])
        if await self._file.save(await self._run_blocking(lambda: zlib.compress(plain, 1))):
            self.tail.saved, self.tail.size_bytes = number, self.tail.size_bytes - size_bytes

    def _instant(self) -> _Instant:
        now = self._clock.now()
        return _Instant(self._clock.boot, self._clock.monotonic_s(), now.at_ms, int(now.quality))

    def _gap_s(self, saved: _Instant, now: _Instant) -> float | None:
        """The time between: by the monotonic clock within one boot, else by UTC where both times were known and do not
        contradict each other; None: nobody knows."""
        if saved.boot and saved.boot == now.boot and now.monotonic_s >= saved.monotonic_s:
            return now.monotonic_s - float(saved.monotonic_s)
        if ClockQuality.UNKNOWN in (ClockQuality(now.quality), ClockQuality(saved.quality)):
            return None
        passed_ms = now.at_ms - int(saved.at_ms)
        return max(0, passed_ms) / 1000 if passed_ms >= -BACK_MS else None
