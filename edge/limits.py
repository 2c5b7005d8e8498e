"""The threshold engine: pure. It is told each judged value with its monotonic instant and says what changed.

Each level of a limit is a latch of its own. It sets when the value has stood at or beyond the level's threshold for
`hold_s`; it falls when the value has stood on the safe side of threshold and hysteresis for `clear_hold_s`. The limit's
level is its highest set latch. So a value that swings between orange and red still holds orange, and a flapping sensor
that gives no value for a while neither starts, stops nor ends anything.

What counts as evidence: GOOD and OVER_RANGE values. An instrument beyond its range is judged by the value it shows: a
lost alarm is worse than a false one. SUSPECT values and missing ones are no evidence; their absence is what the
`stale` rule judges. It has no clock, no random, no I/O; `tick` lets time pass for the stale rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edge.contract import Alarm, Change, ClockQuality, Level, Quality, Rule

EVIDENCE = frozenset({Quality.GOOD, Quality.OVER_RANGE})


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of the site file. `thresholds`: (level, whole steps of the point), or (level, seconds) for STALE,
    lowest level first. `hysteresis` in steps."""

    id: str
    point: str
    rule: Rule
    thresholds: tuple[tuple[Level, int], ...]
    hysteresis: int = 0
    hold_s: float = 0.0
    clear_hold_s: float = 0.0


@dataclass(slots=True)
class _Latch:
    level: Level
    threshold: int
    set: bool = False
    since_s: float | None = None  # since when the value stands on the side that would flip the latch


@dataclass(slots=True)
class _State:
    limit: Limit
    latches: list[_Latch]
    level: Level = Level.NONE
    threshold: int = 0
    last_evidence_s: float = 0.0
    value: int | None = None
    unknown: bool = False  # what the province was told last is forgotten
    back_since_s: float | None = None  # while it is: since when the value is surely none of an alarm


class Limits:
    """All limits of a site. `start_s`: the monotonic instant from which silence counts."""

    def __init__(self, limits: Sequence[Limit], start_s: float) -> None:
        self._states = [
            _State(limit, [_Latch(level, threshold) for level, threshold in limit.thresholds], last_evidence_s=start_s)
            for limit in limits
        ]
        self._by_id = {state.limit.id: state for state in self._states}
        self._by_point: dict[str, list[_State]] = {}
        for state in self._states:
            self._by_point.setdefault(state.limit.point, []).append(state)
        self._stale = [state for state in self._states if state.limit.rule is Rule.STALE]

    def begin(self, now_s: float) -> None:
        """Silence counts from here: opening a bad disk may have taken half a minute."""
        for state in self._states:
            state.last_evidence_s = max(state.last_evidence_s, now_s)

    def restore(self, levels: Mapping[str, tuple[Level, int | None]]) -> None:
        """Sets the latches as they were before a restart: limit id -> (level, last value). Unknown ids are passed over.

        A limit that stood at red is still at red until its value says otherwise: no second alarm, no lost clearing.
        """
        for limit_id, (level, value) in levels.items():
            state = self._by_id.get(limit_id)
            if state is None:
                continue
            for latch in state.latches:
                latch.set = latch.level <= level
            state.value = value
            state.unknown = False
            self._settle(state)

    def forget(self, known: Collection[str]) -> None:
        """Where limits stood was lost with a broken store, but for the `known`: of the others the province may hold an
        alarm for ever that has long ended. So each tells once how it stands, also when that is: cleared."""
        for state in self._states:
            state.unknown = state.limit.id not in known

    def judge(self, point: str, value: int | None, quality: Quality, now_s: float) -> list[Alarm]:
        """One reading of `point` in whole steps at the monotonic instant `now_s`; what it changes.

        The alarms carry no UTC time yet (`at_ms` 0): the caller stamps them.
        """
        states = self._by_point.get(point)
        if not states or value is None or quality not in EVIDENCE:
            return []
        changed: list[Alarm] = []
        for state in states:
            state.last_evidence_s = now_s
            if state.limit.rule is Rule.STALE:
                for latch in state.latches:
                    latch.set = False
                self._report(state, None, changed)
                if state.unknown:
                    self._tell_cleared(state, None, changed)
            else:
                state.value = value
                self._judge_value(state, value, now_s, changed)
                if state.unknown:
                    self._judge_unknown(state, value, now_s, changed)
        return changed

    def tick(self, now_s: float) -> list[Alarm]:
        """Lets time pass: what silence has changed by `now_s`."""
        changed: list[Alarm] = []
        for state in self._stale:
            silence_s = now_s - state.last_evidence_s
            for latch in state.latches:
                # Only evidence ends a silence: a restart begins to count anew, but ends no alarm.
                latch.set = latch.set or silence_s >= latch.threshold
            self._report(state, None, changed)
        return changed

    def levels(self) -> dict[str, Level]:
        """The present level of each limit, by id."""
        return {state.limit.id: state.level for state in self._states}

    def _judge_value(self, state: _State, value: int, now_s: float, changed: list[Alarm]) -> None:
        limit = state.limit
        sign = 1 if limit.rule is Rule.ABOVE else -1
        for latch in state.latches:
            beyond = sign * (value - latch.threshold)
            flips = beyond < -limit.hysteresis if latch.set else beyond >= 0
            self._time(latch, flips, now_s, limit.clear_hold_s if latch.set else limit.hold_s)
        self._report(state, value, changed)

    def _judge_unknown(self, state: _State, value: int, now_s: float, changed: list[Alarm]) -> None:
        """As if it stood at its lowest level: that ends when the value is back for as long as it must be."""
        limit, lowest = state.limit, state.latches[0]
        sign = 1 if limit.rule is Rule.ABOVE else -1
        if sign * (value - lowest.threshold) >= -limit.hysteresis:
            state.back_since_s = None
            return
        if state.back_since_s is None:
            state.back_since_s = now_s
        if now_s - state.back_since_s >= limit.clear_hold_s:
            self._tell_cleared(state, value, changed)

    @staticmethod
    def _tell_cleared(state: _State, value: int | None, changed: list[Alarm]) -> None:
        state.unknown = False
        limit, threshold = state.limit, state.latches[0].threshold
        about = limit.id, limit.point, Level.NONE, Change.CLEARED, limit.rule
        changed.append(Alarm(*about, value, threshold, 0, ClockQuality.FREE))

    @staticmethod
    def _time(latch: _Latch, flips: bool, now_s: float, hold_s: float) -> None:
        if not flips:
            latch.since_s = None
            return
        if latch.since_s is None:
            latch.since_s = now_s
        if now_s - latch.since_s >= hold_s:
            latch.set = not latch.set
            latch.since_s = None

    @staticmethod
    def _settle(state: _State) -> None:
        top = max((latch for latch in state.latches if latch.set), key=lambda latch: latch.level, default=None)
        state.level = top.level if top else Level.NONE
        if top:
            state.threshold = top.threshold

    def _report(self, state: _State, value: int | None, changed: list[Alarm]) -> None:
        before = state.level
        self._settle(state)
        if state.level is before:
            return
        state.unknown = False
        limit = state.limit
        if before is Level.NONE:
            change = Change.RAISED
        elif state.level is Level.NONE:
            change = Change.CLEARED
        else:
            change = Change.CHANGED
        changed.append(
            Alarm(limit.id, limit.point, state.level, change, limit.rule, value, state.threshold, 0, ClockQuality.FREE)
        )
