"""From held entries to the body of a packet, and the forms in which rounds, alarms and maps lie in the store.

Runs on the store's thread (`Keeper.call`), so that packing a thousand readings never holds up the reading of sensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

import cbor2

from edge.contract import MAX_STEPS, Alarm, Basis, Change, ClockQuality, Input, Kind, Level, Of, Quality, Round, Rule
from edge.entries import Held, NewEntry
from edge.errors import DoesNotFit, Unpackable
from edge.outbox import Outbox
from edge.ranges import Range, RangeSet, to_ranges
from edge.retell import retold
from edge.wire.packet import RoundRow, encode_alarms, encode_map, encode_sheet, pack_rounds
from edge.wire.sheet import MAX_TIME_MS, Sheet
from edge.wire.summary import Summaries, unpack_summaries

MOST_READINGS = 1000  # in one packet: some 15 ms of coding here, and longer packets hardly code better
MOST_ROWS = 1000
QUALITIES = frozenset(Quality)
SENSELESS = (ValueError, ArithmeticError, TypeError, KeyError, IndexError, OverflowError, RecursionError, MemoryError)
MOST_ALARMS = 64  # in one packet
MOST_LOOKED = 500  # alarms that are due, to choose from
STALE_TRIES = 4  # an alarm said so often without an answer leaves the way to others
SHEETS_CACHED = 8
SUMMARY = "summary"  # what of DoesNotFit


class Window(NamedTuple):
    """A stretch of time of one group: `number` * `window_s` is its start in seconds since 1970."""

    group: int
    window_s: int
    number: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A body, the sheet to seal it with, and which entries (local seq) are in it.

    `fresh`: those of them that were not on the way already. `windows`: of which summaries are in it.
    """

    kind: Kind
    body: bytes
    sheet: Sheet | None
    ranges: tuple[Range, ...]
    readings: int
    fresh: tuple[Range, ...] = ()
    group: int = 0
    rows: int = 0
    windows: tuple[Window, ...] = ()
    sheet_row: int = 0  # of rounds: where the store has their sheet
    first: int = 0  # of alarms: the most urgent one's seq, and
    level: int = -1  # its level
    plain: bool = False  # of alarms: whoever knows nothing of us is to read them, also if they go in pieces


def round_entry(round_: Round) -> NewEntry:
    """A round as the store holds it: CBOR [values, qualities]."""
    body = cbor2.dumps((round_.values, round_.qualities))
    return NewEntry(Kind.ROUNDS, round_.group, round_.at_ms, round_.clock, len(round_.values), body)


def alarm_entry(alarm: Alarm) -> NewEntry:
    """An alarm as the store holds it: CBOR of its fields but the time, which is the entry's own (and may be mended)."""
    fields = (alarm.limit, alarm.point, alarm.level, alarm.change, alarm.rule, alarm.value, alarm.threshold)
    basis = None if alarm.basis is None else _basis_items(alarm.basis)
    more = [basis, True] if alarm.drill else [] if basis is None else [basis]
    return NewEntry(Kind.ALARM, 0, alarm.at_ms, alarm.clock, 0, cbor2.dumps([*map(_plain, fields), *more]))


def map_entry(kind: Kind, at_ms: int, clock: ClockQuality, values: Mapping[str, Any]) -> NewEntry:
    """A status or an account."""
    return NewEntry(kind, 0, at_ms, clock, 0, cbor2.dumps(dict(values)))


def _basis_items(basis: Basis) -> list[Any]:
    inputs = [[name, value] for name, value in basis.inputs]
    return [int(basis.of), basis.window_s, basis.unit, str(basis.step), inputs]


def _basis(items: Any) -> Basis:
    of, window_s, unit, step, inputs = items
    return Basis(Of(of), int(window_s), str(unit), Decimal(step), tuple(Input(str(n), v) for n, v in inputs))


def _epoch(outbox: Outbox, held: Held) -> int | None:
    """That of an entry's sheet; None where it is missing."""
    try:
        return outbox.sheet(held.sheet)[0]
    except KeyError:
        return None


def _plain(field: object) -> object:
    return int(field) if isinstance(field, int) else field


def alarm_of(held: Held) -> Alarm:
    """The alarm of an entry. Raises Unpackable."""
    with _sense(held):
        limit, point, level, change, rule, value, threshold, *more = cbor2.loads(held.body)
        basis = _basis(more[0]) if more and more[0] else None
        fields = (str(limit), str(point), Level(level), Change(change), Rule(rule), value, int(threshold))
        return Alarm(*fields, held.at_ms, held.clock, basis, len(more) > 1)


def summaries_of(held: Held, sheet: Sheet) -> Summaries:
    """The windows of a summary entry, newest first. Raises Unpackable."""
    with _sense(held):
        if held.body[:1] != bytes([Kind.SUMMARY]):
            raise ValueError("no summary")
        return unpack_summaries(sheet, held.body)


def row_of(held: Held, width: int) -> RoundRow:
    """The round of an entry, as the packer wants it. Raises Unpackable."""
    with _sense(held):
        values, qualities = cbor2.loads(held.body)
        known = [value for value in values if value is not None]
        if len(values) != width or not set(map(type, known)) <= {int}:
            raise ValueError(f"not {width} whole numbers")
        if (
            max(known, default=0) > MAX_STEPS
            or min(known, default=0) < -MAX_STEPS
            or not 0 <= held.at_ms <= MAX_TIME_MS
        ):
            raise ValueError("a number is out of range")
        if len(qualities) not in (0, width) or not QUALITIES.issuperset(qualities):
            raise ValueError("qualities do not fit")
        return RoundRow(held.wire_seq, held.at_ms, tuple(values), bytes(qualities), int(held.clock))


@contextmanager
def _sense(held: Held) -> Iterator[None]:
    """Whatever a damaged body makes of itself is one kind of failure."""
    try:
        yield
    except (cbor2.CBORError, *SENSELESS) as error:
        raise Unpackable(held.seq, f"{type(error).__name__}: {error}") from error


def _urgency(held: Held, tries: int) -> tuple[bool, int, int, int]:
    """To sort by. One that can not be read comes first: it is to be noticed, and dropped."""
    try:
        level = alarm_of(held).level
    except Unpackable:
        return False, -Level.RED - 1, 0, 0
    return tries >= STALE_TRIES, -level, tries, -held.seq


class Packer:
    """Makes bodies out of what an outbox holds. None: nothing fits, or nothing is there. Raises
    Unpackable, DoesNotFit."""

    def __init__(self) -> None:
        self._sheets: dict[tuple[int, int], Sheet] = {}

    def rounds(self, outbox: Outbox, skip: RangeSet, low: int, high: int, room_bytes: int) -> Packed | None:
        """The oldest rounds of seq `low`..`high` not in `skip`, as many as fit; or the oldest summary, alone."""
        held = outbox.rounds(skip, low, high, MOST_ROWS, MOST_READINGS)
        if held and held[0].kind is Kind.SUMMARY:
            return self._summary(outbox, held[0], room_bytes)
        return self._pack(outbox, held, room_bytes)

    def newest(self, outbox: Outbox, seqs: Sequence[int], room_bytes: int) -> Packed | None:
        """The first of these rounds and what fits beside it (the newest of each group: where are we now)."""
        held = [entry for entry in outbox.held(seqs) if entry.clock is not ClockQuality.UNKNOWN]
        return self._pack(outbox, held[:1], room_bytes)

    def alarms(
        self,
        outbox: Outbox,
        seqs: Sequence[int],
        tries: Mapping[int, int],
        alone: bool,
        room_bytes: int,
        *,
        pieces: bool = False,
    ) -> Packed | None:
        """The most urgent of these alarms (`seqs` ascending), as many as fit: those that were said again and again
        last, the highest level first, what was said less often first, the newest first.

        `tries`: how often each was said already. `alone`: the province may not have our sheet yet. `pieces`: one that
        is larger than the room may be returned.
        """
        held = [entry for entry in outbox.held(seqs[-MOST_LOOKED:]) if entry.kind is Kind.ALARM]
        if not held:
            return None
        held = sorted(held, key=lambda entry: _urgency(entry, tries.get(entry.seq, 0)))[:MOST_ALARMS]
        own = held[0].origin_seq is None and _epoch(outbox, held[0]) == outbox.epoch
        adopted = held[0].origin_seq is not None
        held = [it for it in held if it.sheet == held[0].sheet and (it.origin_seq is not None) == adopted]
        # What is of another store, or an older epoch, speaks for itself always: nobody may know that one's sheet.
        sheet = None if alone or not own else self.sheet_of(outbox, held[0])
        epoch = None if own else self.sheet_of(outbox, held[0]).epoch
        while held:
            with _sense(held[0]):
                body = encode_alarms(sheet, [(entry.wire_seq, alarm_of(entry)) for entry in held], epoch)
                level = alarm_of(held[0]).level
            if len(body) <= room_bytes or (pieces and len(held) == 1):
                ranges = tuple(to_ranges(entry.seq for entry in held))
                return Packed(Kind.ALARM, body, sheet, ranges, 0, first=held[0].seq, level=level)
            if len(held) == 1:
                raise DoesNotFit(held[0].seq, "alarm")
            held = held[: max(len(held) // 2, 1) if len(held) > 8 else len(held) - 1]
        return None

    def alone(self, outbox: Outbox, packed: Packed, row: int, room_bytes: int) -> Packed:
        """The same alarms so that they speak for themselves, if all of them fit into so much room. `row`: the present
        sheet; alarms of others stay as they are."""
        held = outbox.held([seq for low, high in packed.ranges for seq in range(low, high + 1)])
        if packed.sheet is None or not held or any(entry.sheet != row for entry in held):
            return packed
        with _sense(held[0]):
            body = encode_alarms(None, [(entry.wire_seq, alarm_of(entry)) for entry in held])
        return replace(packed, body=body, sheet=None, plain=True) if len(body) <= room_bytes else packed

    def small(self, outbox: Outbox, seq: int, room_bytes: int) -> Packed | None:
        """A sheet, status or account."""
        for entry in outbox.held([seq]):
            # Sealed with its sheet only where that tells the epoch: an entry adopted from another store.
            sheet = self.sheet_of(outbox, entry)
            if entry.kind is Kind.SHEET:
                body, named = encode_sheet(entry.wire_seq, sheet), None
            else:
                with _sense(entry):
                    values = cbor2.loads(entry.body)
                    body = encode_map(entry.kind, entry.wire_seq, entry.at_ms, entry.clock, values)
                named = sheet if sheet.epoch != outbox.epoch else None
            if len(body) > room_bytes:
                raise DoesNotFit(seq, entry.kind.name.lower())
            return Packed(entry.kind, body, named, ((seq, seq),), 0)
        return None

    def _summary(self, outbox: Outbox, entry: Held, room_bytes: int) -> Packed:
        """It lies in the store as packets have it, unless a new epoch has begun since."""
        sheet = self.sheet_of(outbox, entry)
        if entry.body_sheet:
            with _sense(entry):
                bodies = [outbox.sheet(row)[1] for row in (entry.body_sheet, entry.sheet)]
            entry = entry._replace(body=retold(entry.body, *bodies))
        if summaries_of(entry, sheet).seq != entry.wire_seq:
            raise Unpackable(entry.seq, "a summary of another seq")
        if len(entry.body) > room_bytes:
            raise DoesNotFit(entry.seq, SUMMARY)
        return Packed(Kind.SUMMARY, entry.body, sheet, ((entry.seq, entry.seq),), 0)

    def sheet_of(self, outbox: Outbox, entry: Held) -> Sheet:
        """The sheet that an entry belongs to. Raises Unpackable."""
        key = (outbox.epoch, entry.sheet)
        if key not in self._sheets:
            while len(self._sheets) >= SHEETS_CACHED:
                del self._sheets[next(iter(self._sheets))]
            with _sense(entry):
                self._sheets[key] = Sheet.decode(outbox.sheet(entry.sheet)[1])
        return self._sheets[key]

    def _pack(self, outbox: Outbox, held: Sequence[Held], room_bytes: int) -> Packed | None:
        if not held:
            return None
        sheet = self.sheet_of(outbox, held[0])
        with _sense(held[0]):
            width = len(sheet.groups[held[0].group].points)
        rows = [row_of(entry, width) for entry in held]
        with _sense(held[0]):
            body, taken = pack_rounds(sheet, held[0].group, rows, room_bytes)
        if not taken:
            raise DoesNotFit(held[0].seq, "round")
        ranges = tuple(to_ranges(entry.seq for entry in held[:taken]))
        return Packed(Kind.ROUNDS, body, sheet, ranges, sum(entry.readings for entry in held[:taken]))
