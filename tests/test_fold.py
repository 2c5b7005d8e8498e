"""The ladder: what a store does that fills. Nothing of it may lose an extreme, an alarm, or the balance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Quality, Round, Rule
from edge.entries import Commit, Held, NewEntry
from edge.fold import FOLD_AT, Folder, half_even, merged
from edge.ledger import ROW_BYTES, Books, Why
from edge.outbox import Outbox
from edge.outbox_eras import Mark
from edge.packing import Packer, alarm_entry, round_entry, row_of, summaries_of
from edge.ranges import RangeSet
from edge.retell import retold
from edge.wire.packet import RoundRow, Window, summarise
from edge.wire.seal import LONG_OVERHEAD_BYTES
from edge.wire.sheet import Sheet, SheetGroup, SheetPoint
from edge.wire.summary import unpack_summaries
from sim.series import load
from tests.bench.workload import REAL10, SERIES
from tests.relay_world import Gateway, Network, alarms, drained, world
from tests.test_outbox import saved_whole

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


@pytest.mark.parametrize(("days", "quota_bytes", "levels"), [(2, 400_000, {60, 600}), (6, 200_000, {60, 600, 3600})])
def test_a_store_that_fills_keeps_every_extreme_and_the_balance(
    tmp_path: Path, days: int, quota_bytes: int, levels: set[int]
) -> None:
    site = Site(tmp_path, quota_bytes)
    site.live(T0_MS, T0_MS + days * 24 * HOUR_MS)
    account = site.box.account(count_rows=True)
    assert account.evicted_entries == 0
    assert account.folded_readings > account.taken_readings // 2
    assert hours(site) == expected(site.truth), "every hour of every point: least, greatest, how many"
    assert balanced(site.box)
    assert {entry.window_s for entry in site.folded} >= levels
    assert site.most_file_bytes <= quota_bytes
    newest = [entry for entry in site.box.scan() if entry.kind is Kind.ROUNDS]
    assert max(entry.at_ms for entry in newest) >= T0_MS + days * 24 * HOUR_MS - 10_000, "the newest stays as it was"
    # No window of a group is told by two entries.
    windows = [
        (held.group, held.window_s, window.start_ms)
        for held in site.box.scan()
        if held.kind is Kind.SUMMARY
        for window in summaries_of(held, site.sheet).windows
    ]
    assert len(windows) == len(set(windows))


def test_what_lies_in_the_store_is_what_a_packet_needs(tmp_path: Path) -> None:
    site = Site(tmp_path, 250_000)
    site.live(T0_MS, T0_MS + 36 * HOUR_MS)
    packer = Packer()
    on_way = RangeSet()
    kinds = set()
    for _ in range(5000):
        packed = packer.rounds(site.box, on_way, 1, site.box.last_seq(), 1000)
        if packed is None:
            break
        kinds.add(packed.kind)
        for low, high in packed.ranges:
            on_way.add(low, high)
    assert kinds == {Kind.ROUNDS, Kind.SUMMARY}
    assert [tuple(r) for r in on_way] == list(_runs(entry.seq for entry in site.box.scan()))
    site.box.commit([], [(site.box.epoch, 1, site.box.last_seq())])
    assert site.box.account(count_rows=True).held_entries == 0
    assert balanced(site.box)
    site.live(T0_MS + 40 * HOUR_MS, T0_MS + 41 * HOUR_MS)
    assert {entry.kind for entry in site.box.scan()} == {Kind.ROUNDS}, "back to raw"


def _runs(seqs: Iterator[int]) -> RangeSet:
    found = RangeSet()
    for seq in seqs:
        found.add(seq, seq)
    return found


def test_only_windows_that_are_over_and_not_on_their_way_are_folded(tmp_path: Path) -> None:
    site = Site(tmp_path, 1_000_000)
    site.live(T0_MS, T0_MS + HOUR_MS // 2 + 90_000)
    site.box.quota_bytes = 1000  # far too full from now on
    on_way = RangeSet([(1, 20)])
    while (done := site.folder.step(site.box, on_way)) is not None:
        assert done.freed[0][0] > 20
    left = [entry for entry in site.box.scan() if entry.kind is Kind.ROUNDS and entry.seq > 20 and entry.group == 0]
    newest_ms = max(entry.at_ms for entry in left)
    on_way_until_ms = max(entry.at_ms for entry in site.box.held(range(1, 21)))
    assert all(
        entry.at_ms // 60_000 == newest_ms // 60_000 or entry.at_ms // 60_000 <= on_way_until_ms // 60_000
        for entry in left
    )
    assert hours(site) == expected(site.truth)


def test_what_cannot_be_folded_goes_oldest_first_and_alarms_last(tmp_path: Path) -> None:
    site = Site(tmp_path, 150_000)
    site.box.set_boot(1)
    alarm = Alarm("high", "g0.0", Level.RED, Change.RAISED, Rule.ABOVE, 5, 4, T0_MS, ClockQuality.UNKNOWN)
    for minute in range(400):
        undated = [
            round_entry(Round(0, minute * 60_000 + i, tuple(range(10)), b"", ClockQuality.UNKNOWN)) for i in range(6)
        ]
        done = site.box.commit([*undated, alarm_entry(alarm)], sheet=site.row)
        site.fold(done)
    account = site.box.account(count_rows=True)
    assert account.evicted_by["quota"][0] == account.evicted_entries > 0
    assert balanced(site.box)
    assert site.most_file_bytes <= 150_000
    assert sum(kind is Kind.ALARM for _, kind in site.box.first_things()) == 400
    assert max(entry.seq for entry in site.box.scan() if entry.kind is Kind.ROUNDS) == site.box.last_seq() - 1
    assert sum(tally.evicted.get(Why.QUOTA, 0) for tally in site.box.ledger().values()) == account.evicted_entries
    for _ in range(3000):  # and now nothing but alarms
        site.box.commit([alarm_entry(alarm)], sheet=site.row)
    assert site.file.stat().st_size <= 150_000
    assert site.box.last_seq() in {seq for seq, _ in site.box.first_things()}
    assert balanced(site.box)


def test_a_cut_in_the_middle_of_a_step_leaves_the_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, 1_000_000)
    site.live(T0_MS, T0_MS + HOUR_MS)
    before = list(site.box.scan())
    site.box.quota_bytes = 1000

    def cut(_books: Books) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Books, "close", cut)
        with pytest.raises(KeyboardInterrupt):
            site.folder.step(site.box, NOTHING)
    assert list(site.box.scan()) == before
    assert site.folder.step(site.box, NOTHING) is not None
    assert balanced(site.box)


def test_rounds_saved_from_another_store_are_folded_under_the_present_sheet(tmp_path: Path) -> None:
    old = Site(tmp_path / "old", 1_000_000)
    old.live(T0_MS, T0_MS + 2 * HOUR_MS)
    old.box.close()
    (tmp_path / "new").mkdir()
    old.file.rename(tmp_path / "new" / "outbox.salvage.db")
    site = Site(tmp_path / "new", 1_000_000)
    saved_whole(site.box)
    assert len([entry for entry in site.box.scan() if entry.origin_seq is not None]) > 800
    site.truth = old.truth
    site.live(T0_MS + 2 * HOUR_MS, T0_MS + 3 * HOUR_MS)
    site.box.quota_bytes = 1000
    while site.folder.step(site.box, NOTHING) is not None:
        pass
    assert not [entry for entry in site.box.scan() if entry.origin_seq is not None and entry.group < 2]
    assert {entry.sheet for entry in site.box.scan() if entry.kind is Kind.SUMMARY} == {site.row}
    assert hours(site) == expected(site.truth)
    assert balanced(site.box)


@pytest.mark.parametrize(
    "damage",
    [
        "body = x'6161' || substr(body, 3)",  # text, not even UTF-8
        "body = x'00'",
        "body = NULL, readings = 10",
        "at_ms = 'x'",
        "clock = 7",
    ],
)
@pytest.mark.parametrize("seq", [1, 30, "(SELECT MAX(seq) FROM entry)"])
def test_a_round_that_makes_no_sense_does_not_stop_the_rest(tmp_path: Path, damage: str, seq: int | str) -> None:
    site = Site(tmp_path, 1_000_000)
    site.live(T0_MS, T0_MS + HOUR_MS)
    site.box._db.execute(f"UPDATE entry SET {damage.replace('NULL', 'zeroblob(3)')} WHERE seq = {seq}")
    site.box.quota_bytes = 1000
    steps = 0
    while site.folder.step(site.box, NOTHING) is not None:
        steps += 1
    assert 7 < steps < 60
    account = site.box.account(count_rows=True)
    assert account.folded_entries > 350
    assert account.evicted_entries <= 1
    assert account.balanced


def test_an_hour_without_readings_and_a_clock_set_back(tmp_path: Path) -> None:
    site = Site(tmp_path, 1_000_000)
    site.live(T0_MS, T0_MS + HOUR_MS)
    site.live(T0_MS + 5 * HOUR_MS, T0_MS + 6 * HOUR_MS)
    site.live(T0_MS + 3 * HOUR_MS, T0_MS + 8 * HOUR_MS)  # two hours a second time
    truth = expected(site.truth)
    site.box.quota_bytes = 1000
    while site.folder.step(site.box, NOTHING) is not None:
        pass
    assert hours(site) == truth
    assert balanced(site.box)


values = st.lists(st.integers(-(2**40), 2**40) | st.none(), min_size=1, max_size=30)


@given(st.lists(values, min_size=1, max_size=6))
@settings(deadline=None, max_examples=200)
def test_windows_together_say_what_their_rounds_would(parts: list[list[int | None]]) -> None:
    rows = [[RoundRow(1, T0_MS, (value,)) for value in part] for part in parts]
    together = merged(T0_MS, [summarise(T0_MS, 1, part) for part in rows])
    known = [value for part in parts for value in part if value is not None]
    assert together.counts == (len(known),)
    assert (together.minimum, together.maximum) == ((min(known, default=None),), (max(known, default=None),))
    if known:
        # Means are whole numbers, so the mean of means is off by half a step and the rounding of its own at most.
        assert together.mean[0] is not None
        assert abs(together.mean[0] - Fraction(sum(known), len(known))) <= 1


@given(st.integers(-(10**6), 10**6), st.integers(1, 1000))
def test_halves_go_to_the_even_number(total: int, count: int) -> None:
    assert half_even(total, count) == round(Fraction(total, count))


def test_windows_of_no_points_merge() -> None:
    none = Window(T0_MS, (), (), (), ())
    assert merged(T0_MS, [none, none]) == none


def small(gateway: Gateway, quota_bytes: int) -> None:
    gateway.keeper.outbox.quota_bytes = quota_bytes
    gateway.keeper.outbox._db.execute("PRAGMA synchronous = OFF")


def test_after_a_blackout_the_store_drains_completely_and_returns_to_raw(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        small(gateway, 200_000)
        for minute in range(400):
            for _ in range(20):
                gateway.round()
                await asyncio.sleep(3)
            if minute % 100 == 50:
                await gateway.alarm()
        account = gateway.keeper.account()
        assert account.folded_entries > 1000
        assert account.evicted_entries == 0
        assert "store: is nearly full: the oldest readings become summaries (least, mean, greatest)" in gateway.said
        network.up = True
        await drained(gateway, 600)
        db = network.province._store._db
        good = gateway.taken  # of the first point: 1, 2, 3 ...
        raw = db.execute("SELECT steps FROM readings WHERE point = 'p0'").fetchall()
        (count,) = db.execute("SELECT SUM(count) FROM summaries WHERE point = 'p0'").fetchone()
        assert len(raw) == len(set(raw))
        assert len(raw) + count == good
        assert network.province.counts["repeated"] == 0
        assert network.province.counts["noise"] == 0
        assert len(alarms(network)) == 4
        assert db.execute("SELECT COUNT(*) FROM entries WHERE kind = 5").fetchone()[0] > 10
        assert balanced(gateway.keeper.outbox)
        before = gateway.keeper.account().folded_entries
        for _ in range(100):
            gateway.round()
            await asyncio.sleep(1)
        await drained(gateway, 60)
        assert gateway.keeper.account().folded_entries == before
        assert len(db.execute("SELECT 1 FROM readings WHERE point = 'p0'").fetchall()) == len(raw) + 100

    world(tmp_path, story)


def test_what_is_folded_while_it_is_packed_arrives_once(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await drained(gateway, 60)  # the sheet
        gateway.keeper.on_way = lambda: gateway.relay.transit.skip()
        network.up = False
        for _ in range(900):
            gateway.round()
            await asyncio.sleep(1)
        sealing, box = gateway.relay._sealing, gateway.keeper.outbox
        number = sealing.number
        folds: list[int] = []

        async def slow() -> Any:
            """While the counters of a packet of rounds are reserved, the keeper has its turn."""
            quota_bytes, box.quota_bytes = box.quota_bytes, 1000
            async with gateway.keeper._lock:
                folds.append(await gateway.keeper._fold_once(box, gateway.keeper.on_way()))
            box.quota_bytes = quota_bytes
            return await number()

        sealing.number = slow  # type: ignore[method-assign]
        network.up = True
        await asyncio.sleep(60)
        sealing.number = number  # type: ignore[method-assign]
        await drained(gateway, 600)
        db = network.province._store._db
        raw = db.execute("SELECT steps FROM readings WHERE point = 'p0'").fetchall()
        (count,) = db.execute("SELECT SUM(count) FROM summaries WHERE point = 'p0'").fetchone()
        assert sum(folds) > 2
        assert len(raw) + count == gateway.taken

    world(tmp_path, story)


def stamped_ahead(site: Site, ahead_ms: int) -> None:
    """An hour under a clock that is ahead, then two under the right one."""
    site.live(T0_MS + ahead_ms, T0_MS + ahead_ms + HOUR_MS)
    site.live(T0_MS, T0_MS + 2 * HOUR_MS)


@pytest.mark.parametrize("ahead_h", [24, 24 * 365])
def test_rounds_stamped_ahead_by_a_wrong_clock_are_folded_too(tmp_path: Path, ahead_h: int) -> None:
    site = Site(tmp_path, 1_000_000)
    stamped_ahead(site, ahead_h * HOUR_MS)
    site.box.quota_bytes = 1000
    while site.folder.step(site.box, NOTHING) is not None:
        pass
    left = [held for held in site.box.scan() if held.kind is Kind.ROUNDS and held.group < 2]
    assert max(held.at_ms for held in left) < T0_MS + 3 * HOUR_MS, "what is ahead is folded"
    assert max(held.at_ms for held in left) >= T0_MS + 2 * HOUR_MS - 10_000, "the window that runs is not"
    ahead = [held for held in site.box.scan() if held.window_s and held.at_ms >= T0_MS + ahead_h * HOUR_MS]
    assert {held.window_s for held in ahead} == {3600}, "to the last"
    assert hours(site) == expected(site.truth)
    assert balanced(site.box)


def test_what_comes_from_an_old_store_does_not_make_the_present_look_ahead(tmp_path: Path) -> None:
    old = Site(tmp_path / "old", 1_000_000)
    old.live(T0_MS - 24 * HOUR_MS, T0_MS - 22 * HOUR_MS)
    old.box.close()
    (tmp_path / "new").mkdir()
    old.file.rename(tmp_path / "new" / "outbox.salvage.db")
    site = Site(tmp_path / "new", 1_000_000)
    site.live(T0_MS, T0_MS + HOUR_MS + 30_000)
    saved_whole(site.box)
    site.box.quota_bytes = 1000
    while site.folder.step(site.box, NOTHING) is not None:
        pass
    newest_ms = max(held.at_ms for held in site.box.scan() if held.kind is Kind.ROUNDS and held.group == 0)
    assert newest_ms == T0_MS + HOUR_MS + 20_000, "its minute is not over"


def test_a_summary_that_fits_no_packet_of_a_link_stands_in_nobodys_way(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await drained(gateway, 60)  # the sheet
        network.up = False
        small(gateway, 250_000)
        for _ in range(6000):
            gateway.round()
            await asyncio.sleep(1)
        assert gateway.keeper.account().folded_entries > 500
        summaries = [held for held in gateway.keeper.outbox.scan() if held.kind is Kind.SUMMARY]
        large = max(len(held.body) for held in summaries)
        network.links[0].mtu_bytes = large + LONG_OVERHEAD_BYTES - 1
        network.up = True
        await asyncio.sleep(900)
        left: list[Held] = [held for held in gateway.keeper.outbox.scan() if held.kind is not Kind.STATUS]
        assert {held.kind for held in left} == {Kind.SUMMARY}
        network.up = False
        await asyncio.sleep(20)
        network.links[0].mtu_bytes = 4096
        network.up = True
        await drained(gateway, 200)

    world(tmp_path, story)


def test_a_restored_card_tells_its_young_summaries_under_the_new_epoch(tmp_path: Path) -> None:
    site = Site(tmp_path, 1_000_000)
    site.live(T0_MS, T0_MS + HOUR_MS)
    box = site.box
    with box._transaction():
        box._set_mark(Mark(box.last_seq(), 0))
    site.live(T0_MS + HOUR_MS, T0_MS + 2 * HOUR_MS)
    box.quota_bytes = 1000
    while site.folder.step(box, NOTHING) is not None:
        pass

    def later(epoch: int, next_seq: int, _bodies: list[bytes]) -> tuple[bytes, bytes]:
        sheet = replace(site_sheet(epoch), seq0=next_seq, t0_ms=T0_MS + 5 * HOUR_MS)
        return sheet.digest, sheet.encode()

    opened_seq = box.sure_seq
    box.renew(later)
    packer, skip, found = Packer(), RangeSet(), 0
    while (packed := packer.rounds(box, skip, opened_seq + 1, box.last_seq(), 1000)) is not None:
        for low, high in packed.ranges:
            skip.add(low, high)
        assert packed.sheet is not None
        assert packed.sheet.epoch == box.epoch
        if packed.kind is Kind.SUMMARY:
            found += 1
            assert unpack_summaries(packed.sheet, packed.body).seq == packed.ranges[0][0]
    assert found > 3
    told = next(held for held in box.scan() if held.kind is Kind.SUMMARY)
    body = retold(told.body, box.sheet(told.body_sheet)[1], box.sheet(told.sheet)[1])
    assert unpack_summaries(Sheet.decode(box.sheet(told.sheet)[1]), body).seq == told.wire_seq
    site.sheet = Sheet.decode(box.sheet(told.body_sheet)[1])
    assert hours(site) == expected(site.truth)
    assert balanced(box)
    # And they are folded on as if nothing had been.
    present = next(row for row, digest in box.sheets() if box.sheet(row)[0] == box.epoch)
    on = Folder(present)
    while on.step(box, NOTHING) is not None:
        pass
    assert balanced(box)
    box.commit([], [(box.epoch, opened_seq + 1, box.last_seq())])
    assert all(held.seq <= opened_seq for held in box.scan()), "a receipt of the new epoch settles what is of it"


def summaries_of_all(box: Outbox) -> list[tuple[int, int, int, list[Window]]]:
    """(epoch, seq, group, windows) of the summaries held, as the province is told them."""
    found = []
    for held in box.scan():
        if held.kind is Kind.SUMMARY:
            epoch, sheet = box.sheet(held.sheet)
            body = retold(held.body, box.sheet(held.body_sheet)[1], sheet) if held.body_sheet else held.body
            told = unpack_summaries(Sheet.decode(sheet), body)
            assert told.seq == held.wire_seq
            found.append((epoch, held.wire_seq, told.group, list(told.windows)))
    return found


@pytest.mark.parametrize("salvaged", [False, True])
def test_young_summaries_of_a_restored_card_keep_their_time_in_another_store(tmp_path: Path, salvaged: bool) -> None:
    site = Site(tmp_path, 1_000_000)
    box = site.box
    site.live(T0_MS, T0_MS + 2 * HOUR_MS)
    box.quota_bytes = 1000
    while site.folder.step(box, NOTHING) is not None:
        pass
    sheet = replace(site_sheet(1), t0_ms=T0_MS + 5 * HOUR_MS)

    def later(epoch: int, next_seq: int, _bodies: list[bytes]) -> tuple[bytes, bytes]:
        told = replace(sheet, epoch=epoch, seq0=next_seq)
        return told.digest, told.encode()

    box.opened_seq = 0
    box.renew(later)
    wanted = summaries_of_all(box)
    assert {epoch for epoch, *_ in wanted} == {box.epoch}
    if salvaged:
        box.close()
        other, _ = Outbox.open(tmp_path, 50_000_000, "now", distrust=True)
        saved_whole(other)
    else:
        other = Outbox.in_memory()
        other.adopt(box, 1)
    assert summaries_of_all(other) == wanted
    assert all(not held.body_sheet for held in other.scan())


def test_a_summary_that_can_not_be_told_again_stays_where_it_is(tmp_path: Path) -> None:
    site = Site(tmp_path, 1_000_000)
    site.live(T0_MS, T0_MS + 2 * HOUR_MS)
    site.box.quota_bytes = 1000
    while site.folder.step(site.box, NOTHING) is not None:
        pass
    site.box.renew(lambda _epoch, _seq, _bodies: (b"other", b"no sheet"))
    saved, last_seq = site.box.batch((), 0, 1)
    assert last_seq == site.box.last_seq()
    assert all(one.entry.kind is not Kind.SUMMARY for one in saved)
