"""Keeps what the limits know over restarts and power cuts: a file now and then, and with each commit what came since.

The file holds everything (edge/limit_state.py), written each SAVE_EVERY_S, at the start, at a clean end and when the
supply fails. What limits were told since lies in the store, committed with the readings (edge/limit_tail.py), and is
judged once more at the start (edge/limit_past.py): a power cut costs what had not been committed, as it does of the
readings. Levels are in the store too, and have the last word; but while memory stands in for the store on the disk, the
file says at once what that one has not been told: at the start it counts, and is told again, unless the store has been
told since. Sites of limits on values alone write that; while a hold time, a silence or a value that stands still grows,
and once when it has ended; and which store and limits there are: a store that is gone is no new box.

There is one order: first the store, then the file, then both are taken together. Who waits longer than START_PATIENCE_S
begins to judge without; what is heard meanwhile is remembered, and when both are there it is as if they had been there
at the start (`_take`): what then stands elsewhere than was told is told. Until then no window ends a level and nothing
is written. The same is done when the time that passed in the dark is learnt after the start. What can not be read at
all, or comes after more than HEARD_MOST readings, is done without, in words, but for where totals began. Whether the
two belong together is by what the store notes of itself (edge/limit_note.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from edge.belief import Beliefs
from edge.clock import Clock
from edge.contract import Alarm, ClockQuality, Quality
from edge.entries import TAIL_ROWS, Before, Standing
from edge.limit_file import ANEW, FILE, LimitFile
from edge.limit_note import EVERY
from edge.limit_past import Instant, Kept, before, hear, limits_of, miss, nothing, passed_s, take_zeros
from edge.limit_said import COPIED, FOREIGN, HOLES, KNEW, LOST, NO_ZERO, SPOILT, ZERO_LOST
from edge.limit_silences import Silences
from edge.limit_state import UNREADABLE, load, outline, parsed, save
from edge.limit_stood import dead_bands, forgotten, is_nobodys, stood, under_other_names
from edge.limit_tail import UNREAD_ROWS, Tail, Told, read
from edge.limits import Limits
from edge.link_memory import RunBlocking
from edge.standings import Lack, newer
from edge.turns import until

__all__ = ["FILE", "LimitMemory"]

START_PATIENCE_S = 2.0  # for the file at the start: nobody judges limits meanwhile
SAVE_EVERY_S = 300.0  # what lies in the store until then is judged again in a tenth of a second
SAVE_SOON_S = 60.0
LOOK_S = 10.0
TAIL_BYTES = 100_000  # of the store's room; then it is written sooner
HEARD_MOST = 20_000  # readings remembered while something of before is awaited: some 4 MB
LAST_ROW = 1 << 62  # a number beyond it is damage, and no row could follow


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
        told: Callable[[], Collection[str]] = tuple,
        changed: Callable[[Sequence[Alarm]], None] = lambda _alarms: None,
        gateway: str = "",
    ) -> None:
        """`told`: the limits of which something is known, by the store or since the start; `changed` is told what comes
        of the past when it is known."""
        self._limits = limits
        self._clock = clock
        self._woken = asyncio.Event()
        self._file = LimitFile(folder, run_blocking, say, self._woken)
        self._store = store
        self._store_then: object = None
        self._identity = b""  # of the store on the disk
        # Which gateway, store and limits the file names, and what that store lacks.
        self._in_file: tuple[str, bytes, int, list[Lack]] | None = None
        self._gateway = gateway
        self._say = say
        self._beliefs = beliefs or Beliefs(())
        self._saved_s = 0.0
        self.tail = Tail(limits, lambda: [*self._instant(), asyncio.get_running_loop().time()])
        states = limits.judged.values()
        self._plan = [state.limit for state in states]
        self._outline = outline(parsed(save(Limits(self._plan, 0.0), 0.0))[0])
        self._judged = frozenset(limits.points())
        self._measures = any(part.measure is not None for state in states for part in state.parts)
        self._silences = Silences(limits, self._beliefs)
        self._needed = bool(self.tail.points or self._silences.are_there)
        self._levels = limits.levels()  # as they were saved last: all there is of them should the store be lost
        self._timed = False  # whether a hold time was running when it was saved last
        self._before: Before | None = None  # what the store says; None while it is awaited
        self._stands: list[Standing] = []  # where limits stood in it
        self._rows: list[Told] = []
        self._end = 0  # the number of its last row
        self._excused = False  # why something is missing has been said
        self.lost = False  # a store, with where limits stood
        self._is_copy = self._is_known = False  # the store, of an older state; what there is of before
        self.lacks: Callable[[], list[Lack]] = list  # what the store on the disk has not been told
        self._past: Kept | None = None  # of a time in the dark that nobody knows yet
        self._begun: tuple[Instant, float] = (Instant(0, 0.0, 0, ClockQuality.UNKNOWN), 0.0)
        self._heard: deque[tuple[str, int | None, Quality, float]] | None = None
        self._told = told
        self._changed = changed

    # -- reading -------------------------------------------------------------------------------------------------

    async def load(self, before: Before | None = None, standings: Iterable[Standing] = ()) -> int:
        """At the start. How many parts of limits go on from before. `before`: what the store says, None while it is
        awaited; `standings`: where limits stood in it."""
        self._begun = self._instant(), asyncio.get_running_loop().time()
        self._limits.begin(self._begun[1])
        self._heard = deque()
        if before is None:
            self._limits.doubt(self._limits.judged)
            return 0
        self.came(before, standings)
        await self._file.wait(START_PATIENCE_S)
        self._woken.clear()
        return self._look()

    def came(self, before: Before, standings: Iterable[Standing]) -> None:
        """The store says where limits stood that have told nothing since the start; or a broken one does, later."""
        stands = list(standings)
        self._stands += stands
        self._limits.restore({one.id: one.stands for one in stands})
        if self._before is not None:
            return
        self._limits.keep()
        self._before, self._identity = before, before.note.identity
        self._read_rows(before.rows)
        # Where too much was heard to be remembered there is a hole, whatever the file has.
        self.tail.follow(self._end + UNREAD_ROWS * (self._heard is None))
        for reading in self._heard or ():
            self._limits.stirred = True
            self.tail.note(*reading)
        # Nobody knows what it stands in for, nor what it was not told, before the file is read.
        told = frozenset(self._told()) - {one.id for one in stands}
        self._limits.doubt(self._limits.judged.keys() - told)
        self._file.read()

    def _read_rows(self, told: Sequence[tuple[Any, Any]]) -> None:
        self._rows, spoilt = read(told[-TAIL_ROWS:])
        if spoilt:
            self._say("limits", SPOILT.format(spoilt, len(told)))
            self._excused = True
        numbers = [number for number, _ in told if isinstance(number, int) and 0 < number < LAST_ROW]
        # A row whose number is damage may have been the last one.
        self._end = max([0, *numbers]) + (len(numbers) < len(told))
        for number, body in told:
            if isinstance(number, int) and number < LAST_ROW:
                self.tail.held(number, len(body) if isinstance(body, bytes) else 0)

    def note(self, point: str, value: int | None, quality: Quality, now_s: float) -> None:
        """A reading, just judged."""
        if self._before is not None:
            self.tail.note(point, value, quality, now_s)
        if self._heard is None or point not in self._judged:
            return
        self._heard.append((point, value, quality, now_s))
        if len(self._heard) > HEARD_MOST:
            self._forgo()

    def _forgo(self) -> None:
        """More was heard than can be judged once more: what is awaited is of no use any more."""
        if self._past is not None:
            self._say("limits", "the time is still not known: for how long the gateway was off is left out of sums")
        else:
            what = "the store" if self._before is None else str(self._file.path)
            self._say("limits", f"{what} was awaited for too long: {ANEW}")
            if self._before is not None:  # as if the file were damaged
                self._file.is_bad = True
                self._meet(None)
        self._heard = self._past = None

    def _look(self) -> int:
        """For what is awaited: the file, or the time. How many parts go on from before."""
        if self._file.has_answered():
            return self._meet(self._file.kept)
        if self._past is not None and self._began().quality == ClockQuality.TRUSTED:
            told = self._limits.levels()
            self._take(self._past, whole=not self.lost)
            self._heard = self._past = None
            self._changed(self._limits.moved(told))
            self._save_soon()
        return 0

    def _meet(self, kept: Kept | None) -> int:
        """The store and the file have both spoken, or the file is done without; then that may speak later."""
        assert self._before is not None
        self._in_file = kept and (kept.gateway, kept.store, outline(parsed(kept.state)[0]), kept.lacks)
        note, was_heard, there = self._before.note, bool(self._heard), kept is not None
        unknown, is_lost, is_ours = note.unknown, False, kept is not None and kept.store == note.identity
        if kept is not None and not is_ours and (note.lost is False or kept.gateway != self._gateway):
            if self._needed:
                self._say("limits", f"{FOREIGN.format(self._file.path)}: {ANEW}")
            kept, self._excused = None, True
        self._stands += (owed := newer(kept.lacks if kept else (), self._before.standings))
        if kept is not None and is_ours:
            unknown = unknown if note.lost is False else unknown | kept.unknown.difference(self._told())
            self._stands += under_other_names(self._limits, kept, self._stands, self._told())
        else:
            was_here = kept is not None or self._file.is_bad or self._file.was_bad
            is_lost = note.lost is True or (note.lost is None and was_here)
            if (note.lost is None and not is_lost) or is_nobodys(self._stands, self._limits):
                unknown |= dead_bands(self._limits, self._told())
        self._excused = self._excused or self._file.is_bad or is_lost
        file = kept or nothing(self._begun[0])
        file = file._replace(number=-1) if is_lost else file
        if not self._file.is_awaited and self._heard is not None:
            self.tail.follow(self._end, up_to=max(0, file.number))
        told, restored = self._limits.levels(), 0
        if kept is not None or self._end:
            restored = self._take(file, whole=not is_lost) if self._heard is not None else self._take_late(file, owed)
        if not self._is_known:
            self._know(unknown, lost=is_lost, has_file=kept is not None)
        if self._past is None:
            self._heard = None
        self._changed([*self._limits.moved(told), *self._again()])
        if was_heard or self._rows or is_lost or not there:
            self._save_soon()
        return restored

    def _know(self, unknown: Iterable[str], *, lost: bool, has_file: bool = False) -> None:
        """Of which limits nobody knows how they stand: where a store was lost, of all that it had not told of."""
        self.lost, self._is_known = lost, True
        self._is_copy = self._is_copy or EVERY in unknown
        found = forgotten(self._limits, None if lost else unknown, self._told())
        self._limits.forget(found)
        if lost and found:
            self._say("limits", LOST.format(KNEW.format(self._file.path) if has_file else "Each limit"))
            states, start_s = self._limits.judged.values(), self._begun[1]
            zeros = [state.limit.id for state in states if state.unknown and state.zero_is_lost(start_s)]
            if zeros:
                self._say("limits", ZERO_LOST.format(", ".join(zeros)))
        if not self._needed:
            self.tail.settle(anew=True)

    # -- an older copy -------------------------------------------------------------------------------------------

    def overtaken(self) -> None:
        """The store is an older copy of itself: what was told, and came to windows, after it was made is lost."""
        self._is_copy = True
        if self._is_known:
            self._changed(self._again())

    def _again(self) -> list[Alarm]:
        """As after a lost store each limit tells how it stands; what stands, at once."""
        if not self._is_copy:
            return []
        self._is_copy = False
        self._say("limits", COPIED)
        miss(self._limits)
        if self.tail.is_settled:
            self.tail.settle(anew=True)
        self._save_soon()
        return self._limits.overtaken(asyncio.get_running_loop().time())

    def _take(self, file: Kept, *, whole: bool) -> int:
        """As if both had been there at the start: what was heard since is judged once more, and time passes meanwhile,
        so that what silence has raised stands. `whole`: no store was lost."""
        (_, begun_s), now_s = self._begun, asyncio.get_running_loop().time()
        try:
            past = before(self._plan, self.tail.points, file, self._rows, self._end, self._battery_boot)
            gap_s = passed_s(past.then, self._began(), self._battery_boot)
            anew = limits_of(self._plan, save(past.limits, past.then_s), begun_s, gap_s)
            anew.restore(stood(anew if whole else None, self._stands))
            hear(anew, self._heard or (), now_s)
            restored = load(self._limits, save(anew, now_s), now_s, 0.0)
            self._beliefs.go_on(file.same, begun_s)
        except UNREADABLE as error:
            self._say("limits", f"what limits knew can not be judged again ({error!r}), a fault of ours: {ANEW}")
            return 0
        if not past.whole and not self._excused:
            self._say("limits", HOLES)
            self._excused = True
        if gap_s is None and past.then.quality == ClockQuality.TRUSTED:
            self._past = file  # the time may be learnt yet
        self._silences.saved(self._silences.ages(now_s))
        self.tail.told_silences(now_s)
        return restored

    def _take_late(self, file: Kept, owed: Sequence[Standing]) -> int:
        """More was heard by now than can be judged once more: all begins anew but where totals began, and where limits
        stood that have told nothing since."""
        now_s, judged = asyncio.get_running_loop().time(), self._limits.judged
        with contextlib.suppress(*UNREADABLE):
            past = before(self._plan, self.tail.points, file, self._rows, self._end, self._battery_boot)
            if lost := take_zeros(self._limits, past, now_s):
                self._say("limits", NO_ZERO.format(", ".join(lost)))
        self._limits.restore({it.id: it.stands for it in owed if it.id in judged and not judged[it.id].has_told})
        self._save_soon()
        return 0

    def _save_soon(self) -> None:
        """A cut before it is saved would have all of it to do again, or differently."""
        self._saved_s = -SAVE_EVERY_S
        self._woken.set()

    def _began(self) -> Instant:
        """When this life began, by what the clock knows now."""
        now, began = self._instant(), self._begun[0]
        if now.quality != ClockQuality.TRUSTED:
            return began
        at_ms = now.at_ms - round((now.monotonic_s - began.monotonic_s) * 1000)
        return began._replace(at_ms=at_ms, quality=now.quality)

    def ago_s(self, standing: Standing) -> float:
        """For how long it has stood, at least: none where nobody knows. A siren may sound for too long, not be silent
        because a clock was behind when it began."""
        saved = Instant(standing.boot, standing.monotonic_s, standing.at_ms, standing.clock)
        return passed_s(saved, self._instant(), self._battery_boot) or 0.0

    # -- writing -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Saves now and then, until cancelled."""
        while True:
            self._look()
            soon = self.tail.size_bytes > TAIL_BYTES or self._limits.levels() != self._levels
            soonest_s = SAVE_SOON_S if soon else SAVE_EVERY_S
            if (self._in_file[-1] if self._in_file else []) != self._lacking():
                soonest_s = LOOK_S
            due = asyncio.get_running_loop().time() >= self._saved_s + soonest_s
            if due or self._store() is not self._store_then:
                await self.save()
            await until(self._woken, asyncio.get_running_loop().time() + LOOK_S)

    def stir(self) -> None:
        """Limits have been told. A store in memory forgets that with the power: the file is to know it at once."""
        if not getattr(self._store(), "durable", True):
            self._woken.set()

    async def save(self, *, last: bool = False) -> None:
        """Now; `last`: also what has hardly grown."""
        now_s, store = asyncio.get_running_loop().time(), self._store()
        if self._before is None or self._file.is_awaited:
            return  # it would take the place of a file that nobody has read yet
        is_anew, self._saved_s, self._store_then = store is not self._store_then, now_s, store
        moved, self._levels = self._limits.levels() != self._levels, self._limits.levels()
        if getattr(store, "durable", False):
            self._identity = store.identity
        if not self._needed:
            self.tail.settle(anew=is_anew)
            await self._name_store(now_s)
            return
        timing, aged = self._limits.are_timing(), self._silences.have_aged(now_s, last=last)
        due = timing or self._timed or moved or self.tail.size_bytes or aged or self._is_unnamed
        if not (self._measures or due or self.lost):
            self.tail.settle(anew=is_anew)
            return
        self._timed = timing  # once more when the last hold time has ended, so that it does not go on after a restart
        ages, kept = self._silences.ages(now_s), self._now(now_s)
        if await self._file.write(kept, durable=getattr(store, "durable", True)):
            self._silences.saved(ages)
            self._in_file = self._named(kept.lacks)
            self.tail.in_file(kept.number, now_s)
            self.tail.settle(anew=is_anew)
        else:
            self._levels = {}  # again soon

    @property
    def _is_unnamed(self) -> bool:
        """Whether the file does not say that there is this store, with these limits, and what that lacks."""
        return bool(self._identity) and self._in_file != self._named(self._lacking())

    def _named(self, lacks: list[Lack]) -> tuple[str, bytes, int, list[Lack]]:
        return self._gateway, self._identity, self._outline, lacks

    def _lacking(self) -> list[Lack]:
        """Where limits stand, of which the store on the disk has not been told."""
        return [] if self._before is None or getattr(self._store(), "durable", True) else self.lacks()

    async def _name_store(self, now_s: float) -> None:
        """Of limits on values alone the file says no more, but what it lacks. Other levels would be old."""
        if self._is_unnamed:
            kept = self._now(now_s)._replace(state=save(Limits(self._plan, now_s), now_s))
            if await self._file.write(kept, durable=True, quiet=True):
                self._in_file = self._named(kept.lacks)

    def _now(self, now_s: float) -> Kept:
        """What is known at this instant."""
        state, same = save(self._limits, now_s), self._beliefs.same(now_s)
        unknown = frozenset(self._limits.unknown())
        tail = self.tail.close(), self.tail.life, now_s, self.tail.points
        return Kept(self._instant(), state, *tail, same, self._gateway, self._identity, unknown, self._lacking())

    def _instant(self) -> Instant:
        now = self._clock.now()
        return Instant(self._clock.boot, self._clock.monotonic_s(), now.at_ms, int(now.quality))

    @property
    def _battery_boot(self) -> int | None:
        return self._clock.boot if self._clock.on_battery else None
