"""What is wrong with one point: its truth, bent by the `point.*` troubles that last at the moment. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sim.instrument import Source
from sim.world.nouns import Trouble

STAY = ("point.ramp", "point.reset", "point.pour")  # what they have done stays when they are over
WILD = 1e9  # more than any register holds: it shows all it can


class Bend(NamedTuple):
    """A trouble, when it began here, and what the point showed then."""

    trouble: Trouble
    began_s: float
    held: float

    def of(self, truth: float, at_s: float) -> float:
        """What is shown instead of `truth`."""
        value = self.trouble.value
        match self.trouble.kind:
            case "point.stick":
                return self.held
            case "point.spike":
                return truth + value
            case "point.drift":
                return truth + value * (at_s - self.began_s) / 3600
            case "point.reset":
                return truth - self.held
            case "point.pour":
                return truth + value * min(at_s - self.began_s, self.trouble.for_s) / 3600
            case "point.wild":
                return WILD
            case "point.ramp":
                share = min(1.0, (at_s - self.began_s) / self.trouble.for_s) if self.trouble.for_s > 0 else 1.0
                return self.held + (value - self.held) * share
            case _:
                return value


class Signal:
    """What a point shows: `at` is its source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._bends: tuple[Bend, ...] = ()

    def at(self, at_s: float) -> float:
        if not self._bends:
            return self._source(at_s)
        value = self._source(at_s)
        for bend in self._bends:
            value = bend.of(value, at_s)
        return value

    def bend(self, now: Sequence[Trouble], at_s: float) -> None:
        """These troubles last from now on. What STAYs goes on when it is over; others leave the truth."""
        for trouble in now:
            if trouble.kind.partition(".")[0] != "point":
                raise ValueError(f"{trouble.kind} is no trouble of a point")
        held = self.at(at_s)
        kept = {bend.trouble: bend for bend in self._bends}
        over = [bend for bend in self._bends if bend.trouble.kind in STAY and bend.trouble not in now]
        ramps = [place for place, bend in enumerate(over) if bend.trouble.kind == "point.ramp"]
        over = over[ramps[-1] :] if ramps else over  # before the last ramp nothing is left of the truth
        self._bends = (*over, *(kept.get(trouble) or Bend(trouble, at_s, held) for trouble in now))
