"""What judging costs: microseconds a reading and rule, and the memory of 500 rules. Pure, no daemon.

Readings come each minute for several windows' length, as fast as they can be judged; the simple rules have four levels
and swing through them. Each figure is the median of ROUNDS runs, in CPU time.
"""

from __future__ import annotations

import random
import statistics
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from decimal import Decimal

from edge.contract import Level, Of, Quality, Rule
from edge.limit_state import save
from edge.limits import Limit, Limits, Part
from edge.measure_nouns import Spec
from tests.bench.figure import Figure, at_most, plain

EVERY_S = 60.0
READINGS = 6000
ROUNDS = 5
SIMPLE_US, WINDOW_US = 5.0, 20.0
RULES, RULES_MB = 500, 20.0
HOUR_S, DAY_S = 3600, 86_400
LONG_S = 4 * DAY_S  # nearly all of the readings
LEVELS = ((Level.BLUE, 10), (Level.YELLOW, 20), (Level.ORANGE, 30), (Level.RED, 40))
NEVER = ((Level.RED, 10**12),)
RAIN_WINDOWS_S = (600, HOUR_S, 3 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, DAY_S)


def spec(of: Of, window_s: int, **more: float) -> Spec:
    """A measure of a point read each minute."""
    return Spec(of, EVERY_S, "mm", Decimal(1), window_s, **more)  # type: ignore[arg-type]


def run() -> Iterator[Figure]:
    """The figures of this part."""
    chance = random.Random(1)
    calm = [chance.randrange(0, 9) for _ in range(READINGS)]
    wild = [chance.randrange(0, 50) for _ in range(READINGS)]
    how = f"{READINGS} readings, one rule, median of {ROUNDS} runs, CPU of this machine"
    simple = Limit("x", "p", Rule.ABOVE, LEVELS, 1, 120.0, 120.0)
    yield at_most("a simple rule, quiet", _cost_us([simple], calm), SIMPLE_US, "us/reading", how)
    yield at_most("a simple rule, swinging through its levels", _cost_us([simple], wild), SIMPLE_US, "us/reading", how)
    creeping = [round(0.3 * i + chance.gauss(0, 3)) for i in range(READINGS)]
    for of, values, more in (
        (Of.SUM, wild, {}),
        (Of.MEAN, wild, {}),
        (Of.RATE, creeping, {}),
        (Of.TANGENT_ANGLE, creeping, {"uniform": 0.005}),
        (Of.TIME_TO_FAILURE, creeping, {}),
    ):
        costs = [_cost_us([_windowed(of, window_s, more)], values) for window_s in (HOUR_S, DAY_S, LONG_S)]
        name = of.name.lower().replace("_", " ")
        shown = ", ".join(f"{cost:.1f}" for cost in costs)
        yield at_most(f"a {name}", max(costs), WINDOW_US, "us/reading", f"{how}; windows 1 h, 1 d, 4 d: {shown}")
    rain = Limit("x", "p", Rule.ABOVE, NEVER, spec=spec(Of.SUM, 600), more=_parts())
    yield plain(
        "six rain windows at once", f"{_cost_us([rain], wild):.1f} us/reading", f"{how}; 10 min to 24 h, raining"
    )
    yield from _memory(wild)


def _windowed(of: Of, window_s: int, more: dict[str, float]) -> Limit:
    return Limit("x", "p", Rule.ABOVE, NEVER, spec=spec(of, window_s, **more))


def _parts() -> tuple[Part, ...]:
    return tuple(Part(spec(Of.SUM, window_s), NEVER) for window_s in RAIN_WINDOWS_S[1:])


def _cost_us(limits: Sequence[Limit], values: Sequence[int]) -> float:
    costs = []
    for _ in range(ROUNDS):
        engine = Limits(limits, 0.0)
        began_s = time.process_time()
        for index, value in enumerate(values):
            engine.judge("p", value, Quality.GOOD, index * EVERY_S)
        costs.append((time.process_time() - began_s) / len(values) * 1e6)
    return statistics.median(costs)


def _memory(values: Sequence[int]) -> Iterator[Figure]:
    """A fifth of the rules each: simple, rate, mean and sum over a day, tangent angle; all windows full."""
    rules = []
    for index in range(RULES):
        kind = (None, Of.RATE, Of.MEAN, Of.SUM, Of.TANGENT_ANGLE)[index % 5]
        measured = spec(kind, DAY_S, uniform=1.0) if kind is not None else None
        rules.append(Limit(f"l{index}", f"p{index}", Rule.ABOVE, LEVELS if kind is None else NEVER, spec=measured))
    tracemalloc.start()
    engine = Limits(rules, 0.0)
    for index, value in enumerate(values[:1600]):
        for rule in rules:
            engine.judge(rule.point, value, Quality.GOOD, index * EVERY_S)
    used_mb = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    how = f"{RULES} rules of five kinds on as many points, windows of a day full, it never stops raining; tracemalloc"
    yield at_most(f"{RULES} rules", used_mb, RULES_MB, "MB", how)
    began_s = time.process_time()
    size = len(save(engine, 1600 * EVERY_S))
    took_ms = (time.process_time() - began_s) * 1000
    yield plain(
        f"what {RULES} rules know", f"{size / 1e6:.1f} MB, {took_ms:.0f} ms", "as saved each minute, not deflated"
    )
