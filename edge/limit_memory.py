"""Keeps what the limits know over restarts and power cuts: a file now and then, and with each commit what came since.

The file holds everything (edge/limit_state.py), written each SAVE_EVERY_S, at the start, at a clean end and when the
supply fails. What limits were told since lies in the store, committed with the readings (edge/limit_tail.py), and is
judged once more at the start (edge/limit_past.py): a power cut costs what had not been committed, as it does of the
readings. Levels are in the store too, and have the last word. Sites of limits on values alone write while a hold time,
a silence or a value that stands still grows, and once when it has ended. A disk that hangs holds nothing up
(link_memory.py).

A file that has not been read yet is not one that is not there. Who waits longer than START_PATIENCE_S for it begins to
judge without; what is heard meanwhile is remembered, and when the file has been read it is as if it had been read at
the start (`_take_late`): what then stands elsewhere than was told is told. Nothing is written before that. The same is
done when the time that passed in the dark is learnt after the start. What can not be read at all within READ_TRIES, or
comes after more than HEARD_MOST readings, is done without, in words.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import cbor2

from edge.belief import Beliefs
from edge.clock import Clock
from edge.contract import Alarm, ClockQuality, Level, Quality, Rule
from edge.entries import TAIL_ROWS, Standing
from edge.limit_past import Instant, Kept, before, hear, limits_of, passed_s, unpacked
from edge.limit_state import UNREADABLE, load, save
from edge.limit_tail import Tail, Told, read
from edge.limits import Limits
from edge.link_memory import FileMemory, RunBlocking

FILE = "limits"
START_PATIENCE_S = 2.0  # for the file at the start: nobody judges limits meanwhile
SAVE_EVERY_S = 300.0  # what lies in the store until then is judged again in a tenth of a second
SAVE_SOON_S = 60.0
LOOK_S = 10.0
TAIL_BYTES = 100_000  # of the store's room; then it is written sooner
FILE_BYTES = 20_000_000
GROWN = 10  # a silence is written each tenth of the time that it may last
HEARD_MOST = 20_000  # readings remembered while something of before is awaited: some 4 MB
LAST_ROW = 1 << 62  # a number beyond it is damage, and no row could follow
READ_TRIES = 6  # a minute of errors of the disk: a name that can not be read by then is moved aside
UNKNOWN_ROWS = 1_000_000_000  # rows are numbered from here where nobody knows yet up to which number the file has them


ANEW = "sums and rates begin anew; a level that stands ends when its whole window has been seen again"
SPOILT = "{} of {} rows of what limits were told before the start are damaged: sums, rates and hold times lack them"
UNWRITTEN = "{} can not be written: what limits are told lies in the store alone, which has room for {} rows of it"
IN_MEMORY = "{} can not be written, and the store is in memory: a power cut costs what limits are told since"
ZERO_LOST = (
    "the store was lost and with it the zero of {}: whether a level stood nobody knows. It counts from what is there"
    " now, and is told in a day as it stands then, with what hangs on it; write its `start`"
)


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
        self._plan = [state.limit for state in states]
        self._judged = frozenset(limits.points())
        self._measures = any(part.measure is not None for state in states for part in state.parts)
        self._stale = [state for state in states if state.limit.rule is Rule.STALE]
        self._needed = bool(self.tail.points or self._stale or self._beliefs.same(0.0))
        self._timed = False  # whether a hold time was running when it was saved last
        self._ages: dict[tuple[str, str], float] = {}  # of silences, as they were saved last
        self._reading: asyncio.Future[bytes | None] | None = None  # the file, while it is awaited
        self._disk_there = True  # when that began
        self._said = ""
        self._past: Kept | None = None  # of a time in the dark that nobody knows yet
        self._rows: list[Told] = []
        self._errors = 0  # of the disk, while reading
        self._begun: tuple[Instant, float] = (Instant(0, 0.0, 0, ClockQuality.UNKNOWN), 0.0)
        self._heard: deque[tuple[str, int | None, Quality, float]] | None = None
        self._standings = standings
        self._changed = changed

    # -- reading -------------------------------------------------------------------------------------------------

    async def load(self, told: Iterable[tuple[Any, Any]] = ()) -> int:
        """How many parts of limits go on from before. `told`: the rows of the store. To be followed by
        `Limits.restore`."""
        self._begun = self._instant(), asyncio.get_running_loop().time()
        self._limits.begin(self._begun[1])
        self._read_rows(list(told))
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

    def _read_rows(self, told: Sequence[tuple[Any, Any]]) -> None:
        self._rows, spoilt = read(told[-TAIL_ROWS:])
        if spoilt:
            self._say("limits", SPOILT.format(spoilt, len(told)))
        numbers = [number for number, _ in told if isinstance(number, int) and number < LAST_ROW]
        self.tail.last = max([self.tail.last, *numbers])
        self.tail.held(sum(len(body) for _, body in told if isinstance(body, bytes)), len(told))

    def came(self, told: Iterable[tuple[Any, Any]]) -> None:
        """The store was opened after all: its rows, and the file beside it is worth a look."""
        if self._reading is not None:
            self._read_rows(list(told))
            self._look()

    def note(self, point: str, value: int | None, quality: Quality, now_s: float) -> None:
        """A reading, just judged."""
        self.tail.note(point, value, quality, now_s)
        if self._heard is None or point not in self._judged:
            return
        if len(self._heard) == HEARD_MOST:
            self._forgo()
        else:
            self._heard.append((point, value, quality, now_s))

    def _forgo(self) -> None:
        """More was heard than can be judged once more: what is awaited is of no use any more."""
        if self._reading is not None:
            self._reading.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            self._say("limits", f"{self._path} was awaited for too long: {ANEW}")
        else:
            self._say("limits", "the time is still not known: for how long the gateway was off is left out of sums")
        self._reading = self._heard = self._past = None

    def _arrived(self) -> Kept | None:
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
            self._errors += self._disk_there
            self._say_once(f"{self._path} can not be read: {error.strerror or error}. It is tried again")
            return None
        if packed is None and not self._disk_there:
            return None
        self._reading = None
        if packed is None:
            return self._nothing()
        try:
            kept = unpacked(packed)
        except UNREADABLE as error:
            self._say("limits", f"{self._path} is damaged or of another version ({error}): {ANEW}")
            return self._nothing()
        if self._heard is not None:
            self._say("limits", f"{self._path} has been read: limits go on from what they knew")
        return kept

    def _read(self) -> None:
        self._disk_there = getattr(self._store(), "durable", True)
        self._reading = asyncio.ensure_future(self._file.look() if self._errors < READ_TRIES else self._set_aside())

    async def _set_aside(self) -> None:
        """The name is wanted for a new file: as if there were none."""
        aside = self._path.with_name(FILE + ".bad")
        now = f"and is called {aside.name} now"
        try:
            await self._run_blocking(lambda: self._path.replace(aside))
        except OSError as error:
            now = f"nor be moved aside ({error.strerror or error})"
        self._say("limits", f"{self._path} can still not be read {now}: {ANEW}")

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._say("limits", text)
        self._said = text

    def _nothing(self) -> Kept | None:
        """As if the file were empty: what was told since is all there is."""
        if not self._rows:
            return None
        return Kept(self._begun[0], b"", 0, [], 0.0, self.tail.points, {})

    def _take(self, kept: Kept) -> int:
        """At the start."""
        instant, now_s = self._begun
        try:
            past, then, then_s = self._before(kept)
            gap_s = passed_s(then, instant, self._battery_boot)
            restored = load(self._limits, save(past, then_s), asyncio.get_running_loop().time(), gap_s)
            self._beliefs.go_on(kept.same, now_s)
        except UNREADABLE as error:
            self._say("limits", f"what limits knew can not be judged again ({error!r}), a fault of ours: {ANEW}")
            return 0
        if gap_s is None and then.quality == ClockQuality.TRUSTED:
            self._past, self._heard = kept, deque()  # the time may be learnt yet
        now_s = asyncio.get_running_loop().time()
        self._ages = {key: age for key, age, _ in self._silences(now_s)}
        self.tail.told_silences(now_s)
        return restored

    def _take_late(self, kept: Kept, began: Instant) -> None:
        """As if it had been read at the start, which was at `began`: what was heard since is judged once more, and time
        passes meanwhile, so that what silence has raised stands."""
        heard, _, begun_s = self._heard or (), *self._begun
        self._heard = self._past = None
        now_s, told = asyncio.get_running_loop().time(), self._limits.levels()
        try:
            past, then, then_s = self._before(kept)
            gap_s = passed_s(then, began, self._battery_boot)
            anew = limits_of(self._plan, save(past, then_s), begun_s, gap_s)
            anew.restore(stood(anew, self._standings()))
            hear(anew, heard, now_s)
            load(self._limits, save(anew, now_s), now_s, 0.0)
            self._beliefs.go_on(kept.same, begun_s)
        except UNREADABLE as error:
            self._say("limits", f"what limits knew can not be judged again ({error!r}), a fault of ours: {ANEW}")
        self._changed(self._limits.moved(told))

    def _before(self, kept: Kept) -> tuple[Limits, Instant, float]:
        self.tail.saved, self.tail.last = max(kept.number, self.tail.saved), max(kept.number, self.tail.last)
        return before(self._plan, kept, self._rows, self._battery_boot)

    def _look(self) -> None:
        """For what is awaited: the file, or the time."""
        if self._reading is not None and self._reading.done():
            kept = self._arrived()
            if self._reading is not None:
                self._read()
            elif kept is not None:
                self._take_late(kept, self._begun[0])
            else:
                self._heard = None
        elif self._past is not None and self._heard is not None:
            now, began = self._instant(), self._begun[0]
            if now.quality == ClockQuality.TRUSTED:
                at_ms = now.at_ms - round((now.monotonic_s - began.monotonic_s) * 1000)
                self._take_late(self._past, began._replace(at_ms=at_ms, quality=now.quality))

    def ago_s(self, standing: Standing) -> float:
        """For how long it has stood, at least: none where nobody knows. A siren may sound for too long, not be silent
        because a clock was behind when it began."""
        saved = Instant(standing.boot, standing.monotonic_s, standing.at_ms, standing.clock)
        return passed_s(saved, self._instant(), self._battery_boot) or 0.0

    def forget(self, known: Collection[str]) -> None:
        """`Limits.forget`; and it is said of which limits nobody will ever know."""
        self._limits.forget(known)
        lost = [state.limit.id for state in self._limits.judged.values() if state.unknown and state.zero_is_lost]
        if lost:
            self._say("limits", ZERO_LOST.format(", ".join(lost)))

    # -- writing -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Saves now and then, until cancelled."""
        if self._rows:
            await self.save()  # or each start that ends early would have more of them to judge
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
        aged = self._have_aged(now_s) or (last and any(age > 0 for _, age, _ in self._silences(now_s)))
        if not (self._measures or timing or self._timed or self.tail.size_bytes or aged):
            return
        self._timed = timing  # once more when the last hold time has ended, so that it does not go on after a restart
        held = self.tail.close(), self.tail.size_bytes, self.tail.count
        ages = {key: age for key, age, _ in self._silences(now_s)}
        state, same = save(self._limits, now_s), self._beliefs.same(now_s)
        plain = cbor2.dumps([list(self._instant()), state, held[0], self.tail.life, now_s, self.tail.points, same])
        if await self._file.save(await self._run_blocking(lambda: zlib.compress(plain, 1))):
            self._ages = ages
            self.tail.in_file(*held, now_s)
        else:
            durable = getattr(self._store(), "durable", True)
            self._say_once((UNWRITTEN if durable else IN_MEMORY).format(self._path, TAIL_ROWS))

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

    def _instant(self) -> Instant:
        now = self._clock.now()
        return Instant(self._clock.boot, self._clock.monotonic_s(), now.at_ms, int(now.quality))

    @property
    def _battery_boot(self) -> int | None:
        return self._clock.boot if self._clock.on_battery else None


def stood(limits: Limits, standings: Iterable[Standing]) -> dict[str, tuple[Level, int | None]]:
    """For `Limits.restore`: where limits stood in the store; none where it knows of no alarm."""
    known = {standing.id: standing.stands for standing in standings}
    return dict.fromkeys(limits.judged, (Level.NONE, None)) | known
