"""What goes wrong with a terminal, by chance: everything from one seed, each chance settable at any time."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, fields

CHANCES = ("deaf", "no_feedback", "late", "twice", "lies", "reset", "noise", "slow")


@dataclass
class Trouble:
    """Chances that something befalls one send request, except where said.

    `deaf`: not heard at all · `no_feedback`: sent, but no FKI · `late`: the FKI comes `late_s` later · `twice`: it
    comes twice · `lies`: FKI says sent, nothing was radiated · `reset`: the terminal starts again in the middle,
    before or after the burst, and forgets what it was asked to report · `slow`: the burst itself comes `slow_s` after
    the request · `noise`: of each thing it says, that stray bytes stand before it.
    `fade_every_s`: mean time between losses of all beams (inf for never), which last `fade_s` on average.
    """

    seed: int = 1
    deaf: float = 0.0
    no_feedback: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    lies: float = 0.0
    reset: float = 0.0
    noise: float = 0.0
    slow: float = 0.0
    late_s: tuple[float, float] = (16.0, 45.0)  # later than the 15 s a host waits
    slow_s: tuple[float, float] = (8.0, 14.0)  # the slowest FKI known from manuals takes 15 s
    fade_every_s: float = math.inf
    fade_s: float = 90.0
    random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def happens(self, kind: str) -> bool:
        """Whether it befalls this time."""
        chance: float = getattr(self, kind)
        return chance > 0 and self.random.random() < chance

    def fade_after_s(self, faded: bool) -> float:
        """How long the present state of the beams lasts."""
        mean_s = self.fade_s if faded else self.fade_every_s
        return self.random.expovariate(1 / mean_s) if mean_s < math.inf else math.inf

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        for entry in fields(self):
            if entry.name in CHANCES:
                setattr(self, entry.name, 0.0)
        self.fade_every_s = math.inf
