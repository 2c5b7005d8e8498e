"""The ladder: what a store does that fills. Nothing of it may lose an extreme, an alarm, or the balance."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Round, Rule
from edge.fold import half_even, merged
from edge.ledger import Books, Why
from edge.packing import Packer, alarm_entry, round_entry, summaries_of
from edge.ranges import RangeSet
from edge.wire.packet import RoundRow, Window, summarise
from tests.fold_site import HOUR_MS, NOTHING, T0_MS, Site, balanced, expected, hours
from tests.test_outbox import saved_whole


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
