"""Promise 3, on the spot: a siren is on while its red stands, and at no other time.

What an action's limits were told at the province, against when the relay really was on, by its own record. From
edge/ACTIONS.md: on within SOON_S of an alarm while the daemon runs; for `max_on` at most after the alarm that began or
worsened it; off when the level is left, when the daemon ends, and by the relay's own timer when it was killed. Only
outputs that rest off, with steady actions that end with their level, are judged; no others are known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf

from edge.config.site import Output
from edge.config.units import duration_ms
from edge.contract import ClockQuality, Level
from sim.world.judge_books import AlarmRow
from sim.world.judge_roads import Roads
from sim.world.judge_spans import Stretches, both, merged, without
from sim.world.judge_truth import DISK_START_S, DISK_TROUBLES, Truth
from sim.world.nouns import Broken

SOON_S = 10.0  # from an alarm, or from a start at which it stood, until the siren is on: the promise
OFF_S = 10.0  # after the level is left, or `max_on`: as soon, or by the relay's own timer
EARLY_S = 5.0  # before the alarm's own stamp: what a stamp may be off, and a reading's way
ENDED_S = 0.5  # a daemon that has ended in order has switched it off before
YOUNG_S = 30.0  # an alarm of a life that died so soon after may have died with it, and its siren was right
SEEN_S = 1.0  # shorter than that nothing is told

Rows = Mapping[str, Sequence[AlarmRow]]


class Outputs:
    """All outputs of a site. `count`: how often one went on."""

    def __init__(self, truth: Truth, roads: Roads, rows: Callable[[], Rows]) -> None:
        self._truth = truth
        self._roads = roads
        self._rows = rows
        self._judged_s: dict[str, float] = {}
        self._outputs = [it for it in truth.site.outputs if self._is_known(it, rows())]

    @property
    def count(self) -> int:
        return sum(on for changes in self._truth.record.switched.values() for _, on in changes)

    def _is_known(self, output: Output, rows: Rows) -> bool:
        actions = [it for it in self._truth.site.actions if it.output == output.id]
        plain = all(it.only_while_raised and not it.pattern_s and not it.only for it in actions)
        played = output.id in self._truth.record.switched  # no speech, no relay on an instruments' wire
        return played and not output.rest_on and plain and all(limit in rows for it in actions for limit in it.limits)

    def check(self, *, ended: bool = False) -> Iterator[Broken]:
        until_s = self._roads.settled_until(self._truth.now_s) - SOON_S
        for output in self._outputs:
            after_s = self._judged_s.get(output.id, 0.0)
            really = self._really(output.id)
            if ended and really and really[-1][1] == inf and self._is_stopped():
                yield _broken(self._truth.now_s, f"{output.id} is left on by a daemon that has ended")
            if until_s <= after_s:
                continue
            self._judged_s[output.id] = until_s
            wanted = self._wanted(output.id)
            look = [(after_s, until_s)]
            for low, high in both(without(self._must(output, wanted), really), look):
                if high - low > SEEN_S:
                    yield Broken(
                        "3 alarms", low, f"{output.id} is off from {low:.1f} to {high:.1f} s, against its alarms"
                    )
            for low, high in both(without(really, self._may(output, wanted)), look):
                if high - low > SEEN_S:
                    yield Broken(
                        "3 alarms", low, f"{output.id} is on from {low:.1f} to {high:.1f} s, with no alarm for it"
                    )

    def _is_stopped(self) -> bool:
        return bool(self._truth.lives) and self._truth.lives[-1][2] == "power.stop"

    def _really(self, output: str) -> Stretches:
        changes = self._truth.record.switched.get(output, [])
        ends = [*(at_s for at_s, _ in changes[1:]), inf] if changes else []
        return merged((at_s, end_s) for (at_s, on), end_s in zip(changes, ends, strict=True) if on)

    def _wanted(self, output: str) -> Stretches:
        """From an alarm that begins or worsens one of its actions to its end, or `max_on` later."""
        found: Stretches = []
        for action in (it for it in self._truth.site.actions if it.output == output):
            rows = [row for limit in action.limits for row in self._rows()[limit] if row.clock == ClockQuality.TRUSTED]
            levels: dict[str, int] = dict.fromkeys(action.limits, Level.NONE)
            until_s = -inf
            for row in sorted(rows, key=lambda it: (it.at_s, it.epoch, it.seq)):
                worse = row.level > levels[row.limit] and row.level >= action.level
                levels[row.limit] = row.level
                stands = max(levels.values()) >= action.level
                if stands and worse:
                    until_s = row.at_s + action.max_on_s
                    found.append((row.at_s, until_s))
                elif not stands and row.at_s < until_s:
                    found[:] = [(low, min(high, row.at_s)) for low, high in found]
                    until_s = -inf
        return merged(found)

    def _must(self, output: Output, wanted: Stretches) -> Stretches:
        """Where it has to be on: not at once, not while nobody runs, nor what nobody can be sure of."""
        truth = self._truth
        bad = truth.during(*DISK_TROUBLES, after_s=DISK_START_S)
        lives = []
        for low, high, _ in truth.lives:
            late_s = SOON_S + (DISK_START_S if any(a <= low <= b for a, b in bad) else 0.0)
            lives.append((low + late_s, high - SEEN_S))
        spans = [(low + SOON_S, high - EARLY_S) for low, high in wanted]
        wire = truth.during("port.unplug", "port.flip", "port.drop", on=output.port or "", after_s=2 * SOON_S)
        return without(both(merged(spans), merged(lives)), merged([*self._doubtful(output.id), *wire]))

    def _may(self, output: Output, wanted: Stretches) -> Stretches:
        """Where it may be on."""
        truth = self._truth
        hold_s = duration_ms(getattr(output.spec.settings, "hold", "0s")) / 1000  # a pin of the world falls at once
        found: Stretches = []
        for low, high, why in truth.lives:
            after_s = ENDED_S if why == "power.stop" else hold_s + SEEN_S
            for a, b in wanted:
                start_s, end_s = max(a - EARLY_S, low), min(b + OFF_S, high + after_s)
                found.append((start_s, end_s))
            if why:  # an alarm that was not on the disk yet died, and its siren has sounded
                found.append((high - YOUNG_S, high + after_s))
        return merged([*found, *self._doubtful(output.id)])

    def _doubtful(self, output: str) -> Stretches:
        """An alarm may be lost with the disk, or its time not be known: for as long as it may sound, and stand."""
        truth = self._truth
        most_s = max((it.max_on_s for it in truth.site.actions if it.output == output), default=0.0)
        ill = [*truth.may_be_lost(), *truth.clock_doubt(), *truth.times().unsure]
        return merged((low - SOON_S, high + most_s + SOON_S) for low, high in ill)


def _broken(at_s: float, what: str) -> Broken:
    return Broken("3 alarms", at_s, what)
