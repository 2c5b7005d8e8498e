"""Which output has to be on, and until when: pure. It is told each alarm with its monotonic instant, and asked.

An action watches some limits. While the highest of them stands at its level or above, it asks for its output, for
`max_on_s` at most after the last alarm that brought one of them to that level or made it worse there; then the output
is off whatever stands, until the next such alarm. Of several actions that ask for one output, that under which the
highest level stands says the pattern and the text, of equal ones that which was written for the higher level, then the
newest; a drill gives way to anything real.

An output that rests on (a fan's or a feeder's release) works the other way round: it is on only while nothing asks for
it, and not before each of its limits is sure of its level since the start (`Limits.sure`); what asks takes the release
away, for as long as the level stands, with no maximum: off is its safe state, and it must not come back into gas by
itself.

No clock, no I/O: edge/switching.py carries it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import NamedTuple

from edge.contract import Alarm, Level

MAX_ON_MOST_S = 24 * 3600.0  # a siren that nobody has seen to in a day is no alarm any more
DRILL_MOST_S = 60.0  # long enough to be heard from the other end of a dam; a drill must not be taken for the real thing


@dataclass(frozen=True, slots=True)
class Action:
    """From the site file. `only`: of a light column, at exactly `level`. `pattern_s`: on, off, on, off ...; () steady.
    `max_on_s` inf: of an output that rests on."""

    id: str
    limits: tuple[str, ...]
    level: Level
    output: str
    max_on_s: float
    pattern_s: tuple[float, ...] = ()
    only: bool = False
    only_while_raised: bool = True
    text: str = ""

    def follows(self, level: Level) -> bool:
        """Whether it asks for its output while its limits stand at `level`, the highest of them."""
        return level is self.level if self.only else level >= self.level


class Lane(Enum):
    """By what an action goes: what is judged, what of it is told, or a drill."""

    JUDGED = 0
    TOLD = 1
    DRILL = 2


class Wanted(NamedTuple):
    """How an output has to stand, until when that is to be asked again, and because of what. `lead`: tells one alarm
    that says how it sounds from the next. `last_s`: until when an order to be on may hold: the end of a pattern's beat,
    or of the last that asks for it, so that the end of another leaves no gap."""

    on: bool
    until_s: float
    by: tuple[str, ...] = ()
    text: str = ""
    drill: bool = False
    lead: tuple[str, Level, float] | None = None
    last_s: float = inf


@dataclass(slots=True)
class _Demand:
    """What asks for an output: from when, until when at most."""

    action: Action
    level: Level
    since_s: float
    until_s: float
    drill: bool = False

    def on_until(self, now_s: float) -> tuple[bool, float]:
        """Where its pattern is, and until when: whether it ends before is not looked at."""
        pattern = self.action.pattern_s
        if not pattern:
            return True, inf
        cycle_s = sum(pattern)
        begun_s = self.since_s + (now_s - self.since_s) // cycle_s * cycle_s
        for index, length_s in enumerate(pattern):
            begun_s += length_s
            if now_s < begun_s:
                return index % 2 == 0, begun_s
        return True, begun_s + pattern[0]  # rounding: the next cycle has just begun


@dataclass(slots=True)
class _Output:
    rest_on: bool
    demands: dict[tuple[str, bool], _Demand] = field(default_factory=dict)  # by action, and whether it is a drill


class Actions:
    """All actions of a site. `outputs`: id -> whether it rests on. `leaves`: of what switches one that rests on,
    limit -> those it comes down to: of one about other limits its members, of another itself."""

    def __init__(
        self, outputs: Mapping[str, bool], actions: Sequence[Action], leaves: Mapping[str, Iterable[str]]
    ) -> None:
        self._outputs = {output: _Output(rest_on) for output, rest_on in outputs.items()}
        self._of_limit: dict[str, list[Action]] = {}
        self._levels: dict[tuple[str, Lane], Level] = {}  # as told last
        self._leaves: dict[str, set[str]] = {}  # output that rests on -> limits that must be sure,
        for action in actions:
            for limit in action.limits:
                self._of_limit.setdefault(limit, []).append(action)
                if outputs[action.output]:
                    self._leaves.setdefault(action.output, set()).update(leaves[limit])
        self._unsure = {output: set(limits) for output, limits in self._leaves.items()}  # and are not yet
        self.waits_for = set().union(*self._unsure.values())  # limits that must be sure first

    def restore(self, standing: Mapping[str, tuple[Level, float]], now_s: float) -> None:
        """What stood before a restart: limit -> (level, seconds since its alarm). An action goes on for the rest of its
        time, counted from the newest of them, also where this run has told a newer one (a late store)."""
        for limit, (level, ago_s) in sorted(standing.items(), key=lambda it: -it[1][1]):
            for lane in (Lane.JUDGED, Lane.TOLD):
                self._take(limit, level, lane, now_s - max(0.0, ago_s))

    def judged(self, alarm: Alarm, now_s: float) -> set[str]:
        """A limit has changed, told or put aside; the outputs to look at, of those that rest on."""
        return self._take(alarm.limit, alarm.level, Lane.JUDGED, now_s)

    def alarm(self, alarm: Alarm, now_s: float) -> set[str]:
        """An alarm goes out; the outputs to look at. What a technician has put aside does not come here."""
        return self._take(alarm.limit, alarm.level, Lane.DRILL if alarm.drill else Lane.TOLD, now_s)

    def sure(self, limit: str) -> set[str]:
        """A limit of `waits_for` is sure of its level; the outputs to look at."""
        self.waits_for.discard(limit)
        ready = set()
        for output, limits in self._unsure.items():
            if limit in limits:
                limits.discard(limit)
                ready |= set() if limits else {output}
        return ready

    def doubt(self, sure: Callable[[str], bool]) -> set[str]:
        """Limits must be sure anew; the outputs to look at."""
        self._unsure = {output: {it for it in limits if not sure(it)} for output, limits in self._leaves.items()}
        self.waits_for = set().union(*self._unsure.values())
        return set(self._unsure)

    def drill(self, output: str, for_s: float, now_s: float) -> float:
        """An output is tried, with the pattern and the text of its first action, for `for_s`, and no longer than that
        action and DRILL_MOST_S allow; for how long."""
        model = next((a for actions in self._of_limit.values() for a in actions if a.output == output), None)
        for_s = min(for_s, DRILL_MOST_S, model.max_on_s if model else inf)
        pattern, text = (model.pattern_s, model.text) if model else ((), "")
        action = Action(f"drill of {output}", (), Level.NONE, output, for_s, pattern, text=text)
        self._outputs[output].demands[action.id, True] = _Demand(action, Level.NONE, now_s, now_s + for_s, True)
        return for_s

    def wanted(self, output: str, now_s: float, *, steady: bool = False) -> Wanted:
        """How an output has to stand at `now_s`. `steady`: without the pauses of a pattern."""
        state = self._outputs[output]
        for key, demand in list(state.demands.items()):
            if demand.until_s <= now_s:
                del state.demands[key]
        if state.rest_on and self._unsure.get(output):
            return Wanted(False, inf, ("not every limit is sure yet",))
        if not state.demands:
            return Wanted(state.rest_on, inf)
        first = max(state.demands.values(), key=lambda it: (not it.drill, it.level, it.action.level, it.since_s))
        until_s = min(demand.until_s for demand in state.demands.values())
        by = tuple(sorted({demand.action.id for demand in state.demands.values()}))
        lead = first.action.id, first.level, first.since_s
        if state.rest_on:
            return Wanted(False, until_s, by, drill=first.drill, lead=lead)
        on, beat_s = (True, inf) if steady else first.on_until(now_s)
        last_s = min(beat_s, max(demand.until_s for demand in state.demands.values()))
        return Wanted(on, min(beat_s, until_s), by, first.action.text, first.drill, lead, last_s)

    def _take(self, limit: str, level: Level, lane: Lane, since_s: float) -> set[str]:
        before = self._levels.get((limit, lane), Level.NONE)
        self._levels[limit, lane] = level
        touched = set()
        for action in self._of_limit.get(limit, ()):
            if lane in (Lane.DRILL, Lane.JUDGED if self._outputs[action.output].rest_on else Lane.TOLD):
                self._weigh(action, lane, since_s, limit, before)
                touched.add(action.output)
        return touched

    def _weigh(self, action: Action, lane: Lane, since_s: float, limit: str, before: Level) -> None:
        """Whether an action asks for its output now. `limit`: has moved, from `before`."""
        drill = lane is Lane.DRILL
        demands, key = self._outputs[action.output].demands, (action.id, drill)
        levels = [self._levels.get((it, lane), Level.NONE) for it in action.limits]
        level, top = self._levels[limit, lane], max(levels)
        stands = action.follows(top)
        if action.only:
            stood = max(before if it == limit else at for it, at in zip(action.limits, levels, strict=True))
            begins = stood is not top or (level is top and before is not top)
        else:
            begins = level > before and level >= action.level
        if stands and begins:
            most_s = min(action.max_on_s, DRILL_MOST_S) if drill else action.max_on_s
            if key in demands and demands[key].since_s > since_s:  # restored late, an older one than this run's
                demands[key].level = top
                return
            demands[key] = _Demand(action, top, since_s, since_s + most_s, drill)
        elif not stands and (action.only_while_raised or drill):
            demands.pop(key, None)
        elif stands and key in demands:
            demands[key].level = top
