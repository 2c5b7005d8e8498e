"""Keeps what the limits know over restarts and power cuts: a file now and then, and with each commit what came since.

The file holds everything (edge/limit_state.py), written each SAVE_EVERY_S, at the start, at a clean end and when the
supply fails. What limits were told since lies in the store, committed with the readings (edge/limit_tail.py), and is
judged once more at the start: a power cut costs what had not been committed, as it does of the readings. Levels are in
the store too, and have the last word. Sites of limits on values alone write while a hold time, a silence or a value
that stands still grows, and once when it has ended. A disk that hangs holds nothing up (link_memory.py).

A file that has not been read yet is not one that is not there. Who waits longer than START_PATIENCE_S for it begins to
judge without; what is heard meanwhile is remembered, and when the file has been read it is as if it had been read at
the start (`_take_late`): what then stands elsewhere than was told is told. Nothing is written before that. The same is
done when the time that passed in the dark is learnt after the start.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cbor2

from edge.belief import Beliefs
from edge.clock import Clock
from edge.contract import Alarm, ClockQuality, Level, Quality, Rule
from edge.entries import Standing
from edge.limit_state import MOST_BYTES, UNREADABLE, load, parsed, save
from edge.limit_tail import Tail, play, read
from edge.limits import Limits
from edge.link_memory import FileMemory, RunBlocking

FILE = "limits"
START_PATIENCE_S = 2.0  # for the file at the start: nobody judges limits meanwhile
SAVE_EVERY_S = 300.0  # what lies in the store until then is judged again in a tenth of a second
SAVE_SOON_S = 60.0
LOOK_S = 10.0
TAIL_BYTES = 100_000  # of the store's room; then it is written sooner
FILE_BYTES = 20_000_000
BACK_MS = 60_000  # a clock that was set back by less since: no time has passed
GROWN = 10  # a silence is written each tenth of the time that it may last
HEARD_MOST = 20_000  # readings remembered while something of before is awaited: some 4 MB
UNKNOWN_ROWS = 1_000_000_000  # rows are numbered from here where nobody knows yet up to which number the file has them


class _Instant(NamedTuple):
    """When something was saved, by every clock there is."""

    boot: int
    monotonic_s: float
    at_ms: int
    quality: int


class _Kept(NamedTuple):
    """What the file holds: `state` of `life` at its loop's time `loop_s`, with all rows up to `number`, whose places
    count in `points`; `same`: what stood still."""

    instant: _Instant
    state: bytes
    number: int
    life: list[Any]
    loop_s: float
    points: list[str]
    same: dict[str, Any]


class LimitMemory:
    """Of the limits of one site. `store`: what stands for the store in use; another one has no rows of before."""

    def __init__(
        self,
        limits: Limits,
        folder: Path,
        clock: Clock,
        run_blocking: RunBlocking,
        store: Callable[[], Any] = lambda: None,
        say: Callable[[str, str], None] = lambda _about, _text: None,
        beliefs: Beliefs | None = None,
        standings: Callable[[], Iterable[Standing]] = tuple,
        changed: Callable[[Sequence[Alarm]], None] = lambda _alarms: None,
    ) -> None:
        """`standings`: of the store when it was opened; `changed` is told what comes of reading the file late."""
        self._limits = limits
        self._clock = clock
        self._run_blocking = run_blocking
        self._path = folder / FILE
        self._file = FileMemory(self._path, run_blocking, FILE_BYTES)
        self._store = store
        self._store_then: object = None
        self._say = say
        self._beliefs = beliefs or Beliefs(())
        self._saved_s = 0.0
        self.tail = Tail(limits, lambda: [*self._instant(), asyncio.get_running_loop().time()])
        states = limits.judged.values()
        self._measures = any(part.measure is not None for state in states for part in state.parts)
        self._stale = [state for state in states if state.limit.rule is Rule.STALE]
        self._needed = bool(self.tail.points or self._stale or self._beliefs.same(0.0))
        self._timed = False  # whether a hold time was running when it was saved last
        self._ages: dict[tuple[str, str], float] = {}  # of silences, as they were saved last
        self._reading: asyncio.Future[bytes | None] | None = None  # the file, while it is awaited
        self._disk_there = True  # when that began
        self._said = ""
        self._past: _Kept | None = None  # of a time in the dark that nobody knows yet
        self._rows: list[tuple[Any, Any]] = []
        self._begun: tuple[_Instant, float] = (_Instant(0, 0.0, 0, ClockQuality.UNKNOWN), 0.0)
        self._heard: deque[tuple[str, int | None, Quality, float]] | None = None
        self._standings = standings
        self._changed = changed

    # -- reading -------------------------------------------------------------------------------------------------

    async def load(self, told: Iterable[tuple[Any, Any]] = ()) -> int:
        """How many parts of limits go on from before. `told`: the rows of the store. To be followed by
        `Limits.restore`."""
        self._rows = list(told)
        self._begun = self._instant(), asyncio.get_running_loop().time()
        self._limits.begin(self._begun[1])
        numbers = [number for number, _ in self._rows if isinstance(number, int)]
        self.tail.last = max(numbers, default=0)
        if not self._needed:
            return 0
        self._read()
        assert self._reading is not None
        await asyncio.wait({self._reading}, timeout=START_PATIENCE_S)
        kept = self._arrived()
        if self._reading is not None:
            self.tail.last += UNKNOWN_ROWS
            self._heard = deque(maxlen=HEARD_MOST)
            return 0
        return self._take(kept) if kept is not None else 0

    def came(self, told: Iterable[tuple[Any, Any]]) -> None:
        """The store was opened after all: its rows, and the file beside it is worth a look."""
        if self._reading is not None:
            self._rows = list(told)
            self._look()

    def note(self, point: str, value: int | None, quality: Quality, now_s: float) -> None:
        """A reading, just judged."""
        self.tail.note(point, value, quality, now_s)
        if self._heard is not None:
            self._heard.append((point, value, quality, now_s))

    def _arrived(self) -> _Kept | None:
        """What was read; None while it is awaited, and where there is nothing. A file that is not there is awaited for
        as long as its disk may not be there either."""
        reading = self._reading
        assert reading is not None
        if not reading.done():
            self._say_once(f"{self._path} takes long to read: until it is, no level of a sum or a rate ends")
            return None
        try:
            packed = reading.result()
        except OSError as error:
            self._say_once(f"{self._path} can not be read: {error.strerror or error}. It is tried again")
            return None
        if packed is None and not self._disk_there:
            return None
        self._reading = None
        if packed is None:
            return self._nothing()
        try:
            return _unpacked(packed)
        except UNREADABLE as error:
            what = "sums and rates begin anew; a level that stands ends when its whole window has been seen again"
            self._say("limits", f"{self._path} is damaged or of another version ({error}): {what}")
            return self._nothing()

    def _read(self) -> None:
        self._disk_there = getattr(self._store(), "durable", True)
        self._reading = asyncio.ensure_future(self._file.look())

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._say("limits", text)
        self._said = text

    def _nothing(self) -> _Kept | None:
        """As if the file were empty: what was told since is all there is."""
        if not self._rows:
            return None
        return _Kept(self._begun[0], b"", 0, [], 0.0, self.tail.points, {})

    def _take(self, kept: _Kept) -> int:
        """At the start."""
        before, then, then_s = self._before(kept)
        instant, now_s = self._begun
        gap_s = self._gap_s(then, instant)
        if gap_s is None and then.quality == ClockQuality.TRUSTED:
            self._past, self._heard = kept, deque(maxlen=HEARD_MOST)  # the time may be learnt yet
        restored = load(self._limits, save(before, then_s), asyncio.get_running_loop().time(), gap_s)
        self._beliefs.go_on(kept.same, now_s)
        self._ages = {key: age for key, age, _ in self._silences(asyncio.get_running_loop().time())}
        return restored

    def _take_late(self, kept: _Kept, began: _Instant) -> None:
        """As if it had been read at the start, which was at `began`: what was heard since is judged once more."""
        before, then, then_s = self._before(kept)
        _, begun_s = self._begun
        anew = self._limits_of(save(before, then_s), begun_s, self._gap_s(then, began))
        anew.restore(stood(anew, self._standings()))
        for reading in self._heard or ():
            anew.judge(*reading)
        self._heard = self._past = None
        told = self._limits.levels()
        load(self._limits, save(anew, asyncio.get_running_loop().time()), asyncio.get_running_loop().time(), 0.0)
        self._beliefs.go_on(kept.same, begun_s)
        self._changed(self._limits.moved(told))

    def _before(self, kept: _Kept) -> tuple[Limits, _Instant, float]:
        """Limits as they were at the end of the last life, and when that was. From what was saved over what was told
        since, maybe in several lives; of each life the loop's own time is used, as it was."""
        self.tail.saved, self.tail.last = max(kept.number, self.tail.saved), max(kept.number, self.tail.last)
        then, then_s, life = kept.instant, kept.loop_s, kept.life
        limits = self._limits_of(kept.state, then_s, 0.0)
        for row in read(self._rows, kept.number, zlib.crc32(repr(kept.points).encode())):
            instant = _Instant(*row.instant)
            first_s = min((at_s for at_s, _ in row.groups), default=row.loop_s)
            if row.life != life:
                gap_s = self._gap_s(then, instant)
                gap_s = None if gap_s is None else max(0.0, gap_s - (row.loop_s - first_s))
                limits = self._limits_of(save(limits, then_s), first_s, gap_s)
                life, then_s = row.life, first_s
            silent = {id_: then_s - state.last_evidence_s for id_, state in limits.judged.items()}
            play(limits, row, kept.points)
            then, then_s = instant, row.loop_s
            for id_, age_s in silent.items():  # rows do not tell of every point: of none that it was silent
                state = limits.judged[id_]
                state.last_evidence_s = max(state.last_evidence_s, then_s - age_s)
        return limits, then, then_s

    def _limits_of(self, state: bytes, now_s: float, gap_s: float | None) -> Limits:
        limits = Limits([judged.limit for judged in self._limits.judged.values()], now_s)
        load(limits, state, now_s, gap_s)
        return limits

    def _look(self) -> None:
        """For what is awaited: the file, or the time."""
        if self._reading is not None and self._reading.done():
            kept = self._arrived()
            if self._reading is not None:
                self._read()
            elif kept is not None:
                self._say("limits", f"{self._path} has been read: limits go on from what they knew")
                self._take_late(kept, self._begun[0])
            else:
                self._heard = None
        elif self._past is not None and self._heard is not None:
            now, began = self._instant(), self._begun[0]
            if now.quality == ClockQuality.TRUSTED:
                at_ms = now.at_ms - round((now.monotonic_s - began.monotonic_s) * 1000)
                self._take_late(self._past, began._replace(at_ms=at_ms, quality=now.quality))
            elif len(self._heard) == HEARD_MOST:
                self._heard = self._past = None

    # -- writing -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Saves now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._look()
            large = self.tail.size_bytes > TAIL_BYTES
            due = asyncio.get_running_loop().time() >= self._saved_s + (SAVE_SOON_S if large else SAVE_EVERY_S)
            if due or self._store() is not self._store_then:
                await self.save()

    async def save(self, *, last: bool = False) -> None:
        """Now; `last`: also what has hardly grown."""
        now_s = asyncio.get_running_loop().time()
        if self._reading is not None or not self._needed:
            return  # it would take the place of a file that nobody has read yet
        self._saved_s, self._store_then = now_s, self._store()
        timing = any(
            latch.since_s is not None
            for state in self._limits.judged.values()
            for part in state.parts
            for latch in part.latches
        )
        aged = self._have_aged(now_s) or (last and bool(self._ages))
        if not (self._measures or timing or self._timed or self.tail.size_bytes or aged):
            return
        self._timed = timing  # once more when the last hold time has ended, so that it does not go on after a restart
        number, size_bytes = self.tail.close(), self.tail.size_bytes
        ages = {key: age for key, age, _ in self._silences(now_s)}
        state, same = save(self._limits, now_s), self._beliefs.same(now_s)
        plain = cbor2.dumps([list(self._instant()), state, number, self.tail.life, now_s, self.tail.points, same])
        if await self._file.save(await self._run_blocking(lambda: zlib.compress(plain, 1))):
            self.tail.saved, self.tail.size_bytes, self._ages = number, self.tail.size_bytes - size_bytes, ages

    def _silences(self, now_s: float) -> Iterable[tuple[tuple[str, str], float, float]]:
        """What grows while nothing comes: name, age, and how old it may become."""
        for state in self._stale:
            yield ("limit", state.limit.id), now_s - state.last_evidence_s, state.limit.thresholds[0][1]
        for point, (_, age_s, most_s) in self._beliefs.same(now_s).items():
            yield ("point", point), age_s, most_s

    def _have_aged(self, now_s: float) -> bool:
        """Whether one has grown by much since it was saved, or has ended that was saved."""
        for key, age, most_s in self._silences(now_s):
            saved, step_s = self._ages.get(key, 0.0), max(SAVE_SOON_S, most_s / GROWN)
            if age - saved >= step_s or age < saved >= step_s:
                return True
        return False

    def _instant(self) -> _Instant:
        now = self._clock.now()
        return _Instant(self._clock.boot, self._clock.monotonic_s(), now.at_ms, int(now.quality))

    def _gap_s(self, saved: _Instant, now: _Instant) -> float | None:
        """The time between: by the monotonic clock within one boot, else by UTC where both times were trusted and do
        not contradict each other; None: nobody knows. A wall clock that nobody has confirmed may stand where it was
        when the power went, or months off. One that was right then and has run on a battery is as good."""
        if saved.boot and saved.boot == now.boot and now.monotonic_s >= saved.monotonic_s:
            return now.monotonic_s - float(saved.monotonic_s)
        right_now = now.quality == ClockQuality.TRUSTED or (
            now.quality == ClockQuality.FREE and now.boot == self._clock.boot and self._clock.on_battery
        )
        if saved.quality != ClockQuality.TRUSTED or not right_now:
            return None
        passed_ms = now.at_ms - int(saved.at_ms)
        return max(0, passed_ms) / 1000 if passed_ms >= -BACK_MS else None


def stood(limits: Limits, standings: Iterable[Standing]) -> dict[str, tuple[Level, int | None]]:
    """For `Limits.restore`: where limits stood in the store; none where it knows of no alarm."""
    known = {standing.id: (standing.level, standing.value) for standing in standings}
    return dict.fromkeys(limits.judged, (Level.NONE, None)) | known


def _unpacked(packed: bytes) -> _Kept:
    """Raises one of UNREADABLE."""
    inflater = zlib.decompressobj()
    plain = inflater.decompress(packed, MOST_BYTES)
    instant, state, number, life, loop_s, points, same = cbor2.loads(plain if inflater.eof else b"")
    parsed(state)
    names = [str(point) for point in points]
    return _Kept(_Instant(*instant), bytes(state), int(number), list(life), float(loop_s), names, dict(same))
