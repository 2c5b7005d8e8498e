"""The nouns of the measures: what is measured (`Spec`), what every measure can do. edge/measures.py has the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import inf, isfinite
from typing import Any, Protocol

from edge.contract import MAX_STEPS, Of

AHEAD_S = 1.0  # what rounding over restarts may add up to, and far more
DAMAGED = (ValueError, TypeError, KeyError, IndexError, ArithmeticError, AttributeError, AssertionError)


@dataclass(frozen=True, slots=True)
class Spec:
    """What is measured, of one point, or of two.

    `every_s`: how often the point is read. `factor`: from the plain number (steps of the point; for RATE steps per
    second, for TANGENT_ANGLE degrees, for TIME_TO_FAILURE seconds) to whole steps of the measure, which are `step`
    `unit` each. `counter` (SUM): readings are a running total, not amounts. `other`, `other_factor`, `other_every_s`
    (DIFFERENCE): the point taken away. `start` (TOTAL): counted from there, in steps; None: from the first value.
    `uniform` (TANGENT_ANGLE): the uniform-creep velocity in steps per second. `noise` (TANGENT_ANGLE,
    TIME_TO_FAILURE): in steps, what of a movement cannot be told from nothing. `value_step`, `value_unit`: of the
    point; a measure remembers whole steps of it.
    """

    of: Of
    every_s: float
    unit: str
    step: Decimal
    window_s: int = 0
    factor: float = 1.0
    counter: bool = False
    other: str = ""
    other_factor: float = 1.0
    other_every_s: float = 0.0
    start: int | None = None
    uniform: float = 0.0
    noise: float = 0.0
    value_step: Decimal = Decimal(1)
    value_unit: str = ""


class Measure(Protocol):
    """A stream of numbers made of readings."""

    def take(self, value: int | None, at_s: float) -> int | None: ...

    def state(self, now_s: float) -> list[Any]: ...

    def restore(self, state: Sequence[Any], now_s: float, gap_s: float | None) -> None: ...


def seen_until(now: float, age: float | None) -> None:
    """Time does not run back in a window: one that has seen what is to come would see nothing until then. `now`: how
    far it has seen, `age`: how long it has been there. Raises ValueError."""
    if not 0.0 <= now <= (0.0 if age is None else age) + AHEAD_S < inf:
        raise ValueError("a window has seen what is to come")


def memory_s(spec: Spec | None) -> float:
    """From the first reading on: how long until nothing that came before it would count any more."""
    if spec is None:
        return 0.0
    if spec.of is Of.TOTAL:
        return inf if spec.start is None else 0.0
    return spec.window_s


def whole(number: float) -> int | None:
    """The nearest whole number, within what the wire carries; None for what is none."""
    if not isfinite(number):
        return None
    return max(-MAX_STEPS, min(MAX_STEPS, round(number)))
