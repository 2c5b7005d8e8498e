"""A store of recorded series that fills, and what must be true of it: what the tests of the ladder share."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from edge.contract import ClockQuality, Kind, Quality, Round
from edge.entries import Commit, NewEntry
from edge.fold import FOLD_AT, Folder
from edge.ledger import ROW_BYTES
from edge.outbox import Outbox
from edge.packing import round_entry, row_of, summaries_of
from edge.ranges import RangeSet
from edge.wire.sheet import Sheet, SheetGroup, SheetPoint
from sim.series import load
from tests.bench.workload import REAL10, SERIES

T0_MS = 1_800_000_000_000 // 86_400_000 * 86_400_000
HOUR_MS = 3_600_000
EVERY_MS = (10_000, 60_000, 900_000)
WIDTHS = (10, 4, 3)
NOTHING = RangeSet()
MOST_STEPS = 50

Truth = dict[tuple[int, int, int], list[int]]  # (group, place, hour) -> good values


def site_sheet(epoch: int, every_ms: Sequence[int] = EVERY_MS, widths: Sequence[int] = WIDTHS) -> Sheet:
    groups = tuple(
        SheetGroup(every, tuple(SheetPoint(f"g{g}.{i}", "m", Decimal("0.01"), None, None) for i in range(width)))
        for g, (every, width) in enumerate(zip(every_ms, widths, strict=True))
    )
    return Sheet("g-1", epoch, 1, T0_MS, groups)


class Site:
    """A store that is fed with recorded series, and folds after each commit as the keeper does."""

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self.box, _ = Outbox.open(folder, quota_bytes, "now")
        self.box._db.execute("PRAGMA synchronous = OFF")  # the power stays on here
        self.file = folder / "outbox.db"
        self.sheet = site_sheet(self.box.epoch)
        self.row, _ = self.box.sheet_id(self.sheet.digest, self.box.epoch, self.sheet.encode())
        self.folder = Folder(self.row)
        self.series = [load(SERIES / f"{name}.csv") for name in REAL10]
        self.random = random.Random(7)
        self.truth: Truth = {}
        self.folded: list[NewEntry] = []
        self.most_file_bytes = 0

    def round(self, group: int, at_ms: int) -> NewEntry:
        values: list[int | None] = []
        qualities = bytearray(WIDTHS[group])
        for place in range(WIDTHS[group]):
            series = self.series[(place + 3 * group) % len(self.series)]
            value = series.count(at_ms // EVERY_MS[group] + 1171 * place)
            failed = self.random.random() < 0.01
            values.append(None if failed else value)
            qualities[place] = Quality.NO_ANSWER if failed else Quality.GOOD
            if not failed:
                self.truth.setdefault((group, place, at_ms // HOUR_MS), []).append(value)
        bad = bytes(qualities) if any(qualities) else b""
        return round_entry(Round(group, at_ms, tuple(values), bad, ClockQuality.TRUSTED))

    def live(self, from_ms: int, to_ms: int, commit_ms: int = 600_000) -> None:
        for start_ms in range(from_ms, to_ms, commit_ms):
            due = sorted(
                (at_ms, group)
                for group, every_ms in enumerate(EVERY_MS)
                for at_ms in range(-(-start_ms // every_ms) * every_ms, min(to_ms, start_ms + commit_ms), every_ms)
            )
            done = self.box.commit([self.round(group, at_ms) for at_ms, group in due], sheet=self.row)
            self.fold(done)

    def fold(self, done: Commit | None) -> None:
        for _ in range(MOST_STEPS):
            if done is None or done.used_bytes <= FOLD_AT * self.box.quota_bytes:
                break
            done = self.folder.step(self.box, NOTHING)
            self.folded += [entry for _, entry in done.made] if done else []
        self.most_file_bytes = max(self.most_file_bytes, self.file.stat().st_size)

    def told(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """(group, place, hour, least, greatest, how many) of all that is held."""
        for held in self.box.scan():
            if held.kind is Kind.SUMMARY:
                for window in summaries_of(held, self.sheet).windows:
                    cells = zip(window.minimum, window.maximum, window.counts, strict=True)
                    for place, (low, high, count) in enumerate(cells):
                        if count:
                            assert low is not None
                            assert high is not None
                            yield held.group, place, window.start_ms // HOUR_MS, low, high, count
            elif held.kind is Kind.ROUNDS:
                for place, value in enumerate(row_of(held, WIDTHS[held.group]).values):
                    if value is not None:
                        yield held.group, place, held.at_ms // HOUR_MS, value, value, 1


def hours(site: Site) -> dict[tuple[int, int, int], tuple[int, int, int]]:
    found: dict[tuple[int, int, int], tuple[int, int, int]] = {}
    for group, place, hour, low, high, count in site.told():
        before = found.get((group, place, hour), (low, high, 0))
        found[group, place, hour] = min(before[0], low), max(before[1], high), before[2] + count
    return found


def expected(truth: Truth) -> dict[tuple[int, int, int], tuple[int, int, int]]:
    return {key: (min(values), max(values), len(values)) for key, values in truth.items()}


def balanced(box: Outbox) -> bool:
    """The account against the rows; the ledger against the rows, group by group and day by day; bytes by level."""
    held: dict[tuple[int, int, int], int] = {}
    levels: dict[int, int] = {}
    for kind, clock, at_ms, sheet, group, size_bytes, window_s in box._db.execute(
        "SELECT kind, clock, at_ms, sheet, grp, length(body), window_s FROM entry"
    ):
        level = window_s if kind in (Kind.ROUNDS, Kind.SUMMARY) else -1
        levels[level] = levels.get(level, 0) + size_bytes + ROW_BYTES
        if kind == Kind.ROUNDS:
            day = 0 if clock == ClockQuality.UNKNOWN else at_ms // 86_400_000
            held[day, sheet, group] = held.get((day, sheet, group), 0) + 1
    ledger = {tuple(key): tally.held for key, tally in box.ledger().items() if tally.held}
    counted = {level: size for level, size in box.levels().items() if size}
    return box.account(count_rows=True).balanced and ledger == held and counted == levels
