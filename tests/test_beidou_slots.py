"""The slot clock of a Beidou card: never too early in any story of feedback, restarts and power cuts."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.beidou.slots import (
    FEEDBACK_S,
    LONGEST_RESERVE_S,
    MARGIN_S,
    MOST_PERIOD_S,
    SAVE_S,
    UTC_MARGIN_MS,
    Saved,
    SlotClock,
    dump,
    load,
    remaining_s,
)

SAVED = Saved(
    boot=7,
    next_s=1077.0,
    utc_ms=1_800_000_077_000,
    reserve_s=77.0,
    card=4207733,
    home=4207733,
    baud=9600,
    dialect="2.1",
)


def test_countdown_starts_at_feedback() -> None:
    clock = SlotClock(60.0)
    clock.asked(100.0)
    assert clock.next_s == 100 + FEEDBACK_S + 60 + MARGIN_S
    clock.sent(103.0, None)
    assert clock.next_s == 103 + 60 + MARGIN_S


def test_no_feedback_counts_from_the_last_instant_at_which_it_may_radiate() -> None:
    clock = SlotClock(60.0)
    clock.asked(100.0)
    assert clock.next_s == 177.0


@pytest.mark.parametrize(
    ("wait_s", "next_s"), [(40.0, 162.0), (58.0, 163.0), (120.0, 167.0), (None, 165.0), (0.0, 165.0)]
)
def test_wait_named_with_a_success(wait_s: float | None, next_s: float) -> None:
    """Believed, but never below what is left of the period since the request was written."""
    clock = SlotClock(60.0)
    clock.asked(100.0)
    clock.sent(103.0, wait_s)
    assert clock.next_s == next_s


@pytest.mark.parametrize(
    ("wait_s", "next_s"), [(5.0, 108.0), (None, 163.0), (60.0, 163.0), (90.0, 165.0), (6000.0, 165.0), (1e9, 165.0)]
)
def test_too_early_believes_a_wait_no_longer_than_a_period(wait_s: float | None, next_s: float) -> None:
    clock = SlotClock(60.0)
    clock.asked(100.0)
    clock.too_early(101.0, wait_s)
    assert clock.next_s == next_s


def test_refused_gives_the_slot_back() -> None:
    clock = SlotClock(60.0)
    clock.restored(90.0, 80.0)
    clock.asked(100.0)
    clock.refused()
    assert clock.next_s == 90.0


@pytest.mark.parametrize("period_s", [1.0, 60.0, 300.0])
def test_a_feedback_that_answers_nothing_costs_one_reserve_at_most(period_s: float) -> None:
    clock = SlotClock(period_s)
    clock.noted(100.0, sent=False, wait_s=6000.0)
    assert 100 + period_s < clock.next_s <= 100 + clock.reserve_s


def test_unmatched_feedback_only_moves_back() -> None:
    clock = SlotClock(60.0)
    clock.asked(100.0)
    clock.noted(101.0, sent=True, wait_s=None)
    assert clock.next_s == 177.0
    clock.noted(150.0, sent=True, wait_s=None)
    assert clock.next_s == 212.0
    clock.noted(151.0, sent=False, wait_s=None)
    assert clock.next_s == 212.0


def test_a_period_that_grows_counts_for_what_was_sent() -> None:
    clock = SlotClock(60.0)
    clock.asked(100.0)
    clock.sent(101.0, None)
    clock.card_period(300.0)
    assert clock.next_s == 101 + 300 + MARGIN_S
    clock.card_period(60.0)
    assert clock.next_s == 101 + 60 + MARGIN_S, "and one that shrinks too"


def test_a_shrinking_period_does_not_cut_a_wait_that_was_named_or_a_feedback_that_may_still_come() -> None:
    clock = SlotClock(300.0)
    clock.asked(100.0)
    clock.card_period(60.0)
    assert clock.next_s == 100 + FEEDBACK_S + 60 + MARGIN_S
    clock.too_early(101.0, 55.0)
    clock.card_period(30.0)
    assert clock.next_s == 101 + 55 + MARGIN_S


@pytest.mark.parametrize("printed_s", [9999.0, 65535.0, 999_999_999.0, MOST_PERIOD_S + 1])
def test_a_period_that_cannot_be_is_said_and_the_old_one_kept(printed_s: float) -> None:
    clock = SlotClock()
    clock.card_period(30.0)
    clock.asked(100.0)
    clock.sent(101.0, None)
    clock.card_period(printed_s)
    assert (clock.period_s, clock.next_s) == (30.0, 101 + 30 + MARGIN_S)
    assert f"{printed_s:.0f} s" in clock.trouble
    clock.card_period(0.0)
    assert (clock.period_s, clock.trouble) == (30.0, "")
    clock.other_card()
    clock.card_period(printed_s)
    assert clock.period_s == 60.0, "of another card the old one says nothing"


def test_restored_on_the_same_boot_exactly() -> None:
    assert remaining_s(SAVED, 7, 1030.0, None) == 47.0
    assert remaining_s(SAVED, 7, 2000.0, None) == 0.0


def test_restored_on_another_boot_by_utc() -> None:
    assert remaining_s(SAVED, 8, 5.0, 1_800_000_050_000) == 27 + UTC_MARGIN_MS / 1000
    assert remaining_s(SAVED, 8, 5.0, 1_800_009_000_000) == 0.0


def test_restored_is_never_more_than_the_longest_period() -> None:
    assert remaining_s(msgspec.structs.replace(SAVED, reserve_s=1e6), 8, 5.0, None) == LONGEST_RESERVE_S


def test_restored_without_utc_waits_all_that_was_reserved() -> None:
    assert remaining_s(SAVED, 8, 5.0, None) == 77.0


@given(st.binary(max_size=200))
def test_damaged_memory_is_none(data: bytes) -> None:
    saved = load(data)
    assert saved is None or isinstance(saved, Saved)


def test_memory_comes_back_and_any_cut_of_it_is_none() -> None:
    data = dump(SAVED)
    assert load(data) == SAVED
    assert all(load(data[:length]) is None for length in range(len(data)))


@given(st.integers(0, len(dump(SAVED)) - 1), st.integers(1, 255))
def test_any_damaged_byte_makes_the_memory_none(at: int, flipped: int) -> None:
    data = bytearray(dump(SAVED))
    data[at] ^= flipped
    assert load(bytes(data)) is None


@pytest.mark.parametrize("changed", [{"next_s": math.inf}, {"reserve_s": -7.0}, {"utc_ms": 2**60}, {"bits": 5}])
def test_what_no_process_saves_is_none(changed: dict[str, Any]) -> None:
    assert load(dump(msgspec.structs.replace(SAVED, **changed))) is None


@pytest.mark.parametrize("same_boot", [True, False])
@pytest.mark.parametrize("period_s", [5.0, 60.0, 120.0])
def test_a_restored_wait_holds_no_alarm_longer_than_a_reserve(period_s: float, same_boot: bool) -> None:
    saved = msgspec.structs.replace(SAVED, next_s=1e300, reserve_s=1e300, utc_ms=2**52)
    clock = SlotClock()
    clock.card_period(period_s)
    clock.restored(100.0 + remaining_s(saved, 7 if same_boot else 8, 100.0, 1_800_000_000_000), 100.0)
    assert clock.next_s == 100.0 + max(period_s, 60.0) + 17.0


@given(
    st.floats(0, 1e6),
    st.floats(0, 200),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 400_000)),
)
def test_never_before_what_was_saved(now_s: float, later_s: float, same_boot: bool, utc_off_ms: int | None) -> None:
    """Whatever is known after a restart, the slot is not before the one that was saved."""
    clock = SlotClock(60.0)
    utc_ms = None if utc_off_ms is None else 1_800_000_000_000 + utc_off_ms
    next_s, saved_utc_ms, reserve_s = clock.to_save(now_s, utc_ms, asking=True)
    clock.asked(now_s + SAVE_S)
    assert next_s == pytest.approx(clock.next_s)
    saved = Saved(
        boot=1, next_s=next_s, utc_ms=saved_utc_ms, reserve_s=reserve_s, card=1, home=1, baud=None, dialect=""
    )
    utc_then_ms = None if utc_ms is None else utc_ms + int(later_s * 1000)
    restarted_s = now_s + later_s
    left_s = remaining_s(saved, 1, restarted_s, utc_then_ms) if same_boot else remaining_s(saved, 2, 0.0, utc_then_ms)
    assert restarted_s + left_s >= clock.next_s - 1e-3
    assert left_s <= reserve_s


class _Card:
    """The other side: takes a request once in a period, from the burst on."""

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.free_s = -1e9
        self.over_rate = 0
        self.bursts = 0

    def ask(self, at_s: float, burst_s: float) -> bool:
        if at_s < self.free_s:
            self.over_rate += 1
            return False
        self.free_s = burst_s + self.period_s
        self.bursts += 1
        return True


@pytest.mark.parametrize("seed", range(20))
def test_a_day_of_feedback_lost_late_and_restarts(seed: int) -> None:
    """Pure model: requests never come before the card's period is over, and most slots are used."""
    chance = random.Random(seed)
    card, clock = _Card(60.0), SlotClock(60.0)
    now_s, boot = 0.0, 1
    while now_s < 86_400:
        now_s = max(now_s, clock.next_s)
        next_s, utc_ms, reserve_s = clock.to_save(now_s, _utc_ms(chance, now_s), asking=True)
        now_s += chance.uniform(0.0, SAVE_S)
        clock.asked(now_s)
        burst_s = now_s + chance.uniform(0.3, FEEDBACK_S - 0.5)
        assert card.ask(now_s, burst_s)
        if chance.random() < 0.05:  # killed, or powered off, before the feedback
            saved = Saved(
                boot=boot, next_s=next_s, utc_ms=utc_ms, reserve_s=reserve_s, card=1, home=1, baud=None, dialect=""
            )
            boot += chance.random() < 0.5
            now_s += chance.uniform(0.1, 30.0)
            clock = SlotClock(60.0)
            clock.restored(now_s + remaining_s(saved, boot, now_s, _utc_ms(chance, now_s)), now_s)
        elif chance.random() < 0.1:
            now_s += FEEDBACK_S  # the feedback is lost
        else:
            now_s = burst_s + 0.2
            clock.sent(now_s, None)
    assert card.over_rate == 0
    assert card.bursts > 86_400 / (60 + MARGIN_S + FEEDBACK_S)


def _utc_ms(chance: random.Random, now_s: float) -> int | None:
    """Known or not, and off by as much as a trusted clock may be."""
    return None if chance.random() < 0.5 else 1_800_000_000_000 + int(now_s * 1000 + chance.uniform(-1000, 1000))
