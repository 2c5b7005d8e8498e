"""What a way with slots remembers: parcels begun, summaries told, groups served. Nothing of it outlives the process."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from edge.packing import Window
from edge.parcel import Parcel
from edge.ranges import Range, RangeSet


@dataclass(slots=True)
class Told:
    """Windows whose summary is on the way in one packet."""

    windows: tuple[Window, ...]
    sent_s: float


@dataclass(slots=True)
class SlotState:
    """What is on the way here and what has been told. Nothing of it outlives the process or the store."""

    parcels: list[Parcel] = field(default_factory=list)
    summaries: dict[int, Told] = field(default_factory=dict)  # by packet counter
    told: set[Window] = field(default_factory=set)
    served_s: dict[tuple[int, int], float] = field(default_factory=dict)  # (sheet, group) -> when it went last
    fitted: dict[int, int] = field(default_factory=dict)  # group -> rounds that fitted last
    rounds_wait: bool = True
    summaries_wait: bool = True
    summary_turn: bool = False
    newest_s: float = -inf
    alarms_went: bool = False  # in the last slot
    stale_alarms_went: bool = False
    probes: int = 0

    def next_parcel(self, now_s: float) -> Parcel | None:
        """The one whose next piece is due, the gravest alarm first; None: what was due has arrived meanwhile, or was
        given up."""
        due = [parcel for parcel in self.parcels if parcel.due_s() <= now_s]
        return min(due, key=lambda parcel: (-parcel.packed.level, parcel.due_s()), default=None)


def newest_of(ranges: RangeSet, most: int) -> list[int]:
    """The highest `most` numbers of a set, highest first."""
    found: list[int] = []
    for low, high in reversed(list(ranges)):
        found += range(high, max(low, high - (most - len(found)) + 1) - 1, -1)
        if len(found) >= most:
            break
    return found


def closed(span: Range) -> range:
    """A closed range as Python's."""
    return range(span[0], span[1] + 1)
