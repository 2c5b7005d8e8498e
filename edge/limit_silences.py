"""What grows while nothing comes, of limits (`stale`) and of points whose value stands still: when to save it."""

from __future__ import annotations

from collections.abc import Iterable

from edge.belief import Beliefs
from edge.contract import Rule
from edge.limits import Limits

STEP_S = 60.0  # it is saved each minute,
GROWN = 10  # or each tenth of the time that it may last


class Silences:
    """Of one site. `saved`: they are known as they are at an instant."""

    def __init__(self, limits: Limits, beliefs: Beliefs) -> None:
        self._stale = [state for state in limits.judged.values() if state.limit.rule is Rule.STALE]
        self._beliefs = beliefs
        self._ages: dict[tuple[str, str], float] = {}
        self.are_there = bool(self._stale or beliefs.same(0.0))

    def ages(self, now_s: float) -> dict[tuple[str, str], float]:
        return {key: age for key, age, _ in self._now(now_s)}

    def saved(self, ages: dict[tuple[str, str], float]) -> None:
        self._ages = ages

    def have_aged(self, now_s: float, *, last: bool = False) -> bool:
        """Whether one has grown by much since it was saved, or has ended that was saved; `last`: or is there at all."""
        for key, age, most_s in self._now(now_s):
            saved, step_s = self._ages.get(key, 0.0), max(STEP_S, most_s / GROWN)
            if age - saved >= step_s or age < saved >= step_s or (last and age > 0):
                return True
        return False

    def _now(self, now_s: float) -> Iterable[tuple[tuple[str, str], float, float]]:
        """Name, age, and how old it may become."""
        for state in self._stale:
            yield ("limit", state.limit.id), now_s - state.last_evidence_s, state.limit.thresholds[0][1]
        for point, (_, age_s, most_s) in self._beliefs.same(now_s).items():
            yield ("point", point), age_s, most_s
