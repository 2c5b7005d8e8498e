"""The threshold engine: pure. It is told each judged value with its monotonic instant and says what changed.

What is judged is the value of a point, or a measure of it (edge/measures.py: rate, sum, mean, difference ...). Each
level of a limit is a latch of its own. It sets when the number has stood at or beyond the level's threshold for
`hold_s` (less `early_s`: readings come a little sooner or later than their rounds); it falls when the number has stood
on the safe side of where the level is left (threshold and hysteresis, or a clear value of its own) for `clear_hold_s`.
The limit's level is its highest set latch. So a value that swings between orange and red still holds orange, and a
flapping sensor that gives no value for a while neither starts, stops nor ends anything.

What counts as evidence: GOOD values, and OVER_RANGE ones where the value itself is judged: a lost alarm is worse than a
false one. In a sum, a mean or a rate one wild number of a register would stay for hours, and an instrument at its end
would seem to have come to rest; there OVER_RANGE neither raises nor lowers anything. SUSPECT values and missing ones
are no evidence; their absence is what the `stale` rule judges, and that nothing but SUSPECT ones come, the `suspect`
rule. Combined limits follow their members at once. It has no clock, no random, no I/O; `tick` lets time pass for the
stale rule, and for a level whose hold time ran when its instrument fell silent. edge/limit_state.py carries windows,
hold times and latches over a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from edge.contract import Alarm, Basis, Change, ClockQuality, Input, Level, Of, Quality, Rule
from edge.limit_judged import ZERO_LOST_S, Judged, JudgedPart, Watched
from edge.limit_members import in_order, members_basis, verdict
from edge.limit_nouns import EVIDENCE, Limit, Part, calm, latches_of
from edge.measure_creep import TimeToFailure
from edge.measure_nouns import memory_s
from edge.measure_plain import Difference
from edge.measures import make

__all__ = ["EVIDENCE", "Judged", "JudgedPart", "Limit", "Limits", "Part"]

SILENT_RULES = (Rule.STALE, Rule.SUSPECT)
UNSURE = "?"  # before a limit's name, which has none: see `Limits.forget`
BEYOND = (Of.VALUE, Of.RATIO)  # what is judged of a value beyond the instrument's range


class Limits:
    """All limits of a site. `start_s`: the monotonic instant from which silence counts."""

    def __init__(self, limits: Sequence[Limit], start_s: float) -> None:
        self.judged = {limit.id: Judged(limit, last_evidence_s=start_s) for limit in limits}
        self._start_s = start_s
        self._watched: dict[str, Watched] = {}
        for state in self.judged.values():
            self._watch(state)
        self._stale = [state for state in self.judged.values() if state.limit.rule is Rule.STALE]
        counts = dict(one for limit in limits for one in limit.counts)
        self.names = {point: f"{point} {counts[point]}" if point in counts else point for point in self._watched}
        self.named = {name: point for point, name in self.names.items()}
        self._combined = [self.judged[limit.id] for limit in in_order(limits)]
        self._held = [part for state in self.judged.values() if state.limit.hold_s for part in state.parts]
        self.stirred = False  # a hold time has begun, ended or been broken off since this was set back
        self._left: list[tuple[str, Level]] = []  # levels that stood and that there are no more: the province is told
        self._unsure: list[Judged] = []  # combined ones that are to be looked at though no member of them moves

    def _watch(self, state: Judged) -> None:
        limit = state.limit
        if limit.rule is Rule.COMBINED:
            return
        for part in limit.parts:
            measure = make(part.spec) if part.spec else None
            judged = JudgedPart(state, part.spec, measure, latches_of(limit.rule, part, limit.hysteresis))
            judged.memory_s = memory_s(part.spec)
            state.parts.append(judged)
            watched = self._watched.setdefault(limit.point, Watched())
            if limit.rule in SILENT_RULES:
                watched.silent.append(state)
                continue
            feed = measure.take if measure else None, judged
            watched.feeds.append(feed)
            if part.spec is None or part.spec.of in BEYOND or part.spec.start is not None:
                watched.beyond.append(feed)
            if isinstance(measure, Difference) and part.spec:
                other = self._watched.setdefault(part.spec.other, Watched())
                other.feeds.append((measure.take_other, judged))

    def begin(self, now_s: float) -> None:
        """Silence counts from here: opening a bad disk may have taken half a minute."""
        for state in self.judged.values():
            state.last_evidence_s = max(state.last_evidence_s, now_s)
        self._start_s = now_s

    def restore(self, levels: Mapping[str, tuple[Level, int | None]]) -> None:
        """Sets the latches as before a restart: limit id -> (level, last value). Unknown ids are passed over.

        A limit that stood at red is still at red until its value says otherwise: no second alarm, no lost clearing.
        What was restored of it before (edge/limit_state.py) stands where it is of the same level.
        """
        for limit_id, (level, value) in levels.items():
            state = self.judged.get(limit_id)
            if state is None:
                continue
            # Of an unknown one the zero may have been lost in a life before this one, less than a day ago.
            start_s = self._start_s - ZERO_LOST_S * state.unknown
            state.unknown = False
            for part in state.parts:
                part.believe()
            if state.level is not level:
                state.put(level, value, start_s)
            if state.level is not level:  # it is in the site file no more
                self._left.append((limit_id, level))
        self._unsure = list(self._combined)

    def forget(self, unknown: Collection[str]) -> None:
        """Where these stood was lost with a store: of them the province may hold an alarm for ever that has long ended.
        So each tells once how it stands, also when that is: cleared. Of `?limit` there is nothing to tell, it only is
        not `sure` (of a new box: nobody knows on which side of a dead band it begins). Of all others it is known."""
        for limit_id, state in self.judged.items():
            state.unknown = limit_id in unknown
            for part in state.parts:
                part.forget(self._start_s, unknown=state.unknown, doubted=UNSURE + limit_id in unknown)
        self._unsure = list(self._combined)

    def unknown(self) -> list[str]:
        """What `forget` is to be given after a restart."""
        found = [(limit_id, state) for limit_id, state in self.judged.items() if state.unknown or state.is_doubted]
        return [limit_id if state.unknown else UNSURE + limit_id for limit_id, state in found]

    def overtaken(self, now_s: float) -> list[Alarm]:
        """What was told before this life is not all that was told: somebody else has gone on from there. What stands is
        told at once, all else as it is known (`forget`)."""
        self.forget({UNSURE * state.has_told + limit_id for limit_id, state in self.judged.items()})
        standing = [state for state in self.judged.values() if state.unknown and state.level is not Level.NONE]
        changed = [alarm for state in standing if (alarm := self.again(state.limit.id, Level.NONE)) is not None]
        for part in (part for state in self.judged.values() for part in state.parts if part.at_s is not None):
            if part.whole.limit.rule in SILENT_RULES:
                part.doubted = []
            elif part.doubted and part.value is not None:
                self._judge_unknown(part, part.value, now_s, changed)
        return changed

    def doubt(self, limits: Collection[str]) -> None:
        """Nobody knows yet whether these stand: the store is late, or lost. They tell nothing of it, but are not `sure`
        before their numbers are where every level is left."""
        for limit_id in limits:
            for part in self.judged[limit_id].parts:
                part.doubted = part.as_if_set()
                part.low, part.high = 1.0, 0.0

    def owe(self, told: Mapping[str, Level]) -> None:
        """Where limits stand elsewhere than was told last (limit -> level): that is told with the next tick."""
        self._left += [(limit_id, level) for limit_id, level in told.items() if limit_id in self.judged]

    def keep(self) -> None:
        """What windows remember is not known yet: none ends a level that stands."""
        for state in self.judged.values():
            for part in state.parts:
                for latch in part.latches:
                    latch.kept = latch.set and part.memory_s > 0

    def sure(self, limit_id: str) -> bool:
        """Whether a limit's level is founded on what was seen since the start: each of its parts has a number, no hold
        time runs towards a level, and none is left that may have stood before."""
        return self.judged[limit_id].is_sure

    def judge(self, point: str, value: int | None, quality: Quality, now_s: float) -> list[Alarm]:
        """One reading of `point` in whole steps at the monotonic instant `now_s`; what it changes.

        The alarms carry no UTC time yet (`at_ms` 0): the caller stamps them.
        """
        watched = self._watched.get(point)
        if watched is None:
            return []
        changed: list[Alarm] = []
        if value is None or quality not in EVIDENCE:
            if quality is Quality.SUSPECT:
                for _, part in watched.feeds:
                    part.doubted_s = now_s
                self._doubt(watched.silent, now_s, changed)
        else:
            watched.last = value
            for state in watched.silent:
                self.stirred = self.stirred or state.suspect_s is not None
                state.last_evidence_s, state.suspect_s = now_s, None
                state.parts[0].at_s, state.parts[0].doubted = now_s, []
                if state.level is not Level.NONE:
                    for latch in state.parts[0].latches:
                        latch.set = False
                    self._report(state, state.parts[0], changed)
                if state.unknown:
                    self._tell(state, Level.BLUE, None, None, changed)
            moved: tuple[tuple[JudgedPart, int], ...] = ()
            for take, part in watched.feeds if quality is Quality.GOOD else watched.beyond:
                number = value if take is None else take(value, now_s)
                if number is not None:
                    part.value, part.at_s = number, now_s
                    if not part.low <= number <= part.high:
                        moved += ((part, number),)
                elif part.since_s is None:
                    part.since_s = now_s
            if moved:
                self._judge(moved, now_s, changed)
        if changed and self._combined:
            self._combine(changed)
        return changed

    def tick(self, now_s: float) -> list[Alarm]:
        """Lets time pass: what silence has changed by `now_s`."""
        changed: list[Alarm] = []
        for part in self._held:
            self._outlast(part, now_s, changed)
        for state in self._stale:
            # Only evidence ends a silence: a restart begins to count anew, but ends no alarm.
            self._wait(state, now_s - state.last_evidence_s, changed)
        if changed and self._combined:
            self._combine(changed)
        if self._unsure:
            self._make_sure(changed)
        for limit_id, told in self._left:
            if limit_id not in {alarm.limit for alarm in changed} and (alarm := self.again(limit_id, told)):
                changed.append(alarm)
        self._left = []
        return changed

    def are_timing(self) -> bool:
        """Whether a hold time runs."""
        parts = (part for state in self.judged.values() for part in state.parts)
        return any(latch.since_s is not None for part in parts for latch in part.latches)

    def levels(self) -> dict[str, Level]:
        """The present level of each limit, by id."""
        return {limit_id: state.level for limit_id, state in self.judged.items()}

    def last(self, point: str) -> int | None:
        """The last value of a point that was evidence, if it is judged at all."""
        watched = self._watched.get(point)
        return watched.last if watched else None

    def again(self, limit_id: str, told: Level) -> Alarm | None:
        """The alarm that is due where the last one told said another level than there is."""
        state = self.judged[limit_id]
        if state.level is told:
            return None
        changed: list[Alarm] = []
        if state.limit.rule is Rule.COMBINED:
            levels = {member: self.judged[member].level for member in state.limit.members}
            _, count, _ = verdict(state.limit, list(levels.values()))
            self._tell(state, told, count, members_basis(state.limit, levels), changed)
        else:
            part = state.part or state.parts[0]
            if state.part is None:  # the level that was told is not in the site file any more, nor its threshold
                state.threshold = part.latches[0].threshold
            self._tell(state, told, part.value, self._basis(state.limit, part), changed)
        return changed[0]

    def moved(self, told: Mapping[str, Level]) -> list[Alarm]:
        """The alarms that are due where limits stand elsewhere than was told, and what follows from that."""
        plain = [limit_id for limit_id, state in self.judged.items() if state.limit.rule is not Rule.COMBINED]
        changed = [alarm for limit_id in plain if (alarm := self.again(limit_id, told[limit_id])) is not None]
        self._combine(changed)
        return changed

    def points(self) -> Iterable[str]:
        """Whose values are judged. `names`: each with what its readings count, as far as its limits say so."""
        return self._watched

    def recall(self, lasts: Mapping[str, int]) -> None:
        """The last values of points, from before a restart."""
        for point, last in lasts.items():
            if point in self._watched:
                self._watched[point].last = last

    # -- one limit -----------------------------------------------------------------------------------------------

    def _judge(self, moved: Sequence[tuple[JudgedPart, int]], now_s: float, changed: list[Alarm]) -> None:
        """Nothing is told before all windows of a limit have taken the reading: it tells the number of another one."""
        for part, number in moved:
            limit = part.whole.limit
            self.stirred = self.stirred or limit.hold_s > 0 or limit.clear_hold_s > 0
            if part.since_s is None:
                part.since_s = now_s
            for latch in part.latches:
                part.time(latch, number, now_s)
            part.low, part.high = calm(part.latches, number)
        for part, number in moved:
            self._report(part.whole, part, changed)
            if part.whole.unknown or part.doubted:
                self._judge_unknown(part, number, now_s, changed)

    def _judge_unknown(self, part: JudgedPart, number: int, now_s: float, changed: list[Alarm]) -> None:
        """As if all its levels stood: they have ended when the number is back for as long as it must be."""
        state = part.whole
        part.low, part.high = 1.0, 0.0
        for latch in part.doubted:
            latch.kept = latch.kept and not part.waited_long(now_s)
            part.time(latch, number, now_s)
        part.doubted = [latch for latch in part.doubted if latch.set]
        if state.unknown and not any(other.doubted for other in state.parts):
            state.threshold = part.latches[0].threshold
            self._tell(state, Level.BLUE, number, self._basis(state.limit, part), changed)

    def _outlast(self, part: JudgedPart, now_s: float, changed: list[Alarm]) -> None:
        """An instrument that fell silent while a hold time ran may be what the alarm is about: what had stood in more
        than one reading is raised when its time is over."""
        due = [latch for latch in part.latches if part.last_word_s(latch, self._start_s) <= now_s]
        for latch in due:
            latch.set, latch.since_s = True, None
        if due:
            part.low, part.high = 1.0, 0.0
            self._report(part.whole, part, changed)

    def _doubt(self, states: Iterable[Judged], now_s: float, changed: list[Alarm]) -> None:
        for state in states:
            if state.limit.rule is Rule.SUSPECT:
                if state.suspect_s is None:
                    state.suspect_s = now_s
                self._wait(state, now_s - state.suspect_s, changed)

    def _wait(self, state: Judged, waited_s: float, changed: list[Alarm]) -> None:
        part = state.parts[0]
        for latch in part.latches:
            latch.set = latch.set or waited_s >= latch.threshold
        self._report(state, part, changed)

    def _report(self, state: Judged, part: JudgedPart, changed: list[Alarm]) -> None:
        before = state.level
        state.settle()
        if state.level is before:
            return
        decided = state.part or part
        self._tell(state, before, decided.value, self._basis(state.limit, decided), changed)

    @staticmethod
    def _tell(state: Judged, before: Level, value: int | None, basis: Basis | None, changed: list[Alarm]) -> None:
        limit = state.limit
        state.unknown, state.has_told = False, True
        if before is Level.NONE:
            change = Change.RAISED
        elif state.level is Level.NONE:
            change = Change.CLEARED
        else:
            change = Change.CHANGED
        told = (limit.id, limit.point, state.level, change, limit.rule, value, state.threshold, 0, ClockQuality.FREE)
        changed.append(Alarm(*told, basis))

    def _basis(self, limit: Limit, part: JudgedPart) -> Basis | None:
        spec = part.spec
        if spec is None:
            return None
        inputs = [Input(point, self.last(point)) for point in (limit.point, spec.other) if point]
        if isinstance(part.measure, TimeToFailure):
            inputs += part.measure.inputs()
        return Basis(spec.of, spec.window_s, spec.unit, spec.step, tuple(inputs))

    # -- combined ones -------------------------------------------------------------------------------------------

    def _combine(self, changed: list[Alarm]) -> None:
        moved = {alarm.limit for alarm in changed}
        for state in self._combined:
            if not moved.isdisjoint(state.limit.members) and self._follow(state, changed):
                moved.add(state.limit.id)

    def _make_sure(self, changed: list[Alarm]) -> None:
        """After a start members stand that do not move: of a limit that is new in the site file, or whose standing was
        lost. Those with a member of which nothing is known yet wait for it."""
        waiting = []
        for state in self._unsure:
            if any(self.judged[member].unknown for member in state.limit.members):
                waiting.append(state)
            elif not self._follow(state, changed) and state.unknown:
                levels = dict.fromkeys(state.limit.members, Level.NONE)
                self._tell(state, Level.BLUE, 0, members_basis(state.limit, levels), changed)
        self._unsure = waiting

    def _follow(self, state: Judged, changed: list[Alarm]) -> bool:
        """Whether its members have moved it."""
        before = state.level
        levels = {member: self.judged[member].level for member in state.limit.members}
        state.level, count, state.threshold = verdict(state.limit, list(levels.values()))
        if state.level is before:
            return False
        self._tell(state, before, count, members_basis(state.limit, levels), changed)
        return True
