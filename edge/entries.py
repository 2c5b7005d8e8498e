"""The nouns of the store: what is taken, what is held, what a commit did, and the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.contract import ClockQuality, Kind, Level
from edge.limit_note import NOTHING_NOTED, Note
from edge.ranges import Range

PAST_KEPT = 100  # last alarms: a bad night of them, and some 50 kB of the store
TAIL_ROWS = 5000  # what limits were told since they were saved (edge/limit_tail.py): an hour of commits each second
TAIL_BYTES = 1_000_000  # played at a start in seconds


class NewEntry(NamedTuple):
    """An entry to be taken. `at_ms`: UTC, or ms since boot when `clock` is UNKNOWN. `sheet`: 0 for the present one.
    `window_s`: of a summary, the length of its windows."""

    kind: Kind
    group: int
    at_ms: int
    clock: ClockQuality
    readings: int
    body: bytes
    sheet: int = 0
    window_s: int = 0


class Rows(NamedTuple):
    """What limits were told (edge/limit_tail.py), for one commit: numbered rows to be added, and up to which number
    rows are needed no more. `unknown`: limits of which nobody knows whether they stand; None: as it was."""

    add: Sequence[tuple[int, bytes]] = ()
    saved: int = 0
    unknown: Sequence[str] | None = None


class Past(NamedTuple):
    """The last alarms as they were told (edge/alarm_past.py), for one commit: bodies to be added; `anew`: they are all
    there are, the store is another one or had others."""

    add: Sequence[bytes] = ()
    anew: bool = False


class Held(NamedTuple):
    """An entry as the store holds it. `wire_seq` is what the province knows it by (in the epoch of its sheet).
    `body_sheet`: of a summary, the row of the sheet its body is coded under where that is another one, else 0."""

    seq: int
    kind: Kind
    sheet: int
    group: int
    at_ms: int
    clock: ClockQuality
    readings: int
    body: bytes
    origin_seq: int | None
    window_s: int = 0
    body_sheet: int = 0

    @property
    def wire_seq(self) -> int:
        return self.seq if self.origin_seq is None else self.origin_seq


@dataclass(frozen=True, slots=True)
class Account:
    """What became of everything ever taken by this store. A folded reading is one for which a summary stands: an entry
    of its own, without readings. `evicted_by`: reason -> (entries, readings)."""

    taken_entries: int
    taken_readings: int
    settled_entries: int
    settled_readings: int
    folded_entries: int
    folded_readings: int
    evicted_entries: int
    evicted_readings: int
    held_entries: int
    held_readings: int
    adopted_entries: int
    evicted_by: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        gone_entries = self.settled_entries + self.folded_entries + self.evicted_entries
        gone_readings = self.settled_readings + self.folded_readings + self.evicted_readings
        return (
            self.taken_entries == gone_entries + self.held_entries
            and self.taken_readings == gone_readings + self.held_readings
            and self.evicted_entries == sum(entries for entries, _ in self.evicted_by.values())
            and self.evicted_readings == sum(readings for _, readings in self.evicted_by.values())
        )


@dataclass(slots=True)
class Commit:
    """What one commit did: the seq given to each new entry (in order), the seqs that are gone, what was evicted for
    want of room, and the bytes then used. `made`: summaries that were taken, with their seq. `came`: whether entries of
    another store were taken, up to seq `last_seq` here; `things`: those that are neither rounds nor summaries.
    `left`: receipts that name more than one commit settles: they are to be given to the next one."""

    seqs: list[int] = field(default_factory=list)
    freed: list[Range] = field(default_factory=list)
    evicted: int = 0
    used_bytes: int = 0
    made: list[tuple[int, NewEntry]] = field(default_factory=list)
    came: bool = False
    last_seq: int = 0
    things: list[tuple[int, Kind]] = field(default_factory=list)
    left: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Standing:
    """A limit's standing to be written with the alarm that changed it. `boot`, `monotonic_s`, `clock`: by which clocks
    `at_ms` was taken; none is known where it comes from an older store. `true`: the level that stands, where the shelf
    keeps from the province that it is another one than was told. `scale`: step and unit of the value; "": not known."""

    id: str
    level: Level
    value: int | None
    at_ms: int
    boot: int = 0
    monotonic_s: float = 0.0
    clock: int = ClockQuality.UNKNOWN
    true: Level | None = None
    scale: str = ""

    @property
    def stands(self) -> tuple[Level, int | None]:
        """For `Limits.restore`."""
        return self.level if self.true is None else self.true, self.value


class Before(NamedTuple):
    """What a store says of limits when it is opened: where they stood, what they were told since they were saved, and
    what edge/limit_note.py notes of it."""

    standings: Sequence[Standing] = ()
    rows: Sequence[tuple[int, bytes]] = ()
    note: Note = NOTHING_NOTED


@dataclass(frozen=True, slots=True)
class SheetNow:
    """The present sheet: its row in the store, its epoch, what it is in bytes."""

    id: int
    epoch: int
    body: bytes
