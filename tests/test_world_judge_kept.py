"""Promises 1 and 2, without a daemon: a faultless play breaks nothing, each distortion just what it should."""

from __future__ import annotations

from pathlib import Path

from tests.judged_cases import (
    CUSTODY,
    KEPT,
    SOME,
    Cases,
    Distort,
    check,
    check_now_and_then,
    cut_off,
    fold,
    renumber,
    restarted,
    unshow,
)
from tests.judged_play import Play

CASES = Cases()
breaks = CASES.breaks


@breaks()
def nothing_is_wrong(_play: Play) -> None: ...


@breaks()
def a_short_loss_of_the_road(play: Play) -> None:
    cut_off(play, 5000.0, 5600.0)


@breaks()
@breaks()
def a_power_cut_loses_what_was_not_committed(play: Play) -> None:
    restarted(play, 5005.0, 5100.0, "power.cut")
    play.rounds = [one for one in play.rounds if not 4990 <= one.at_s < 5005]
    renumber(play)


@breaks()
def a_disk_in_trouble_and_a_cut_lose_what_memory_held(play: Play) -> None:
    play.trouble("disk.full", 5000.0, 300.0)
    restarted(play, 5200.0, 5300.0, "power.cut")
    play.rounds = [one for one in play.rounds if not 5010 <= one.at_s < 5200]
    renumber(play)


@breaks()
def a_packet_that_comes_twice(play: Play) -> None:
    play.packets.append(play.packets[100])


@breaks()
def a_line_just_after_the_plug_is_in_again(play: Play) -> None:
    lost_line(play, 5993.0)


@breaks(KEPT)
def a_line_long_after_the_plug_is_in_again(play: Play) -> None:
    lost_line(play, 5991.0)


def lost_line(play: Play, back_s: float) -> None:
    """The mast's plug was out until then, and what was said until 5998.7 s is in no round."""
    play.trouble("port.unplug", 5980.1, back_s - 5980.1, "mast")
    for name in ("wind", "direction"):
        unshow(play.record, name, 5980.1, back_s)
        play.record.failed.clear()
        play.of(5990.0).steps[name] = play.of(6000.0).steps[name] = None


@breaks()
def folded_rounds(play: Play) -> None:
    fold(play, 5400.0, 600)


@breaks()
def evicted_rounds_that_are_told(play: Play) -> None:
    play.rounds = [one for one in play.rounds if not 5400 <= one.at_s < 5500]
    renumber(play)
    last = play.accounts[-1][2]
    last.update(evicted=60, taken=last["taken"] + 60, evicted_by={"quota": [0, 60]})


@breaks(KEPT)
def a_round_that_was_never_taken(play: Play) -> None:
    play.rounds.remove(play.of(5000.0))
    renumber(play)


@breaks(KEPT, CUSTODY)
def a_round_that_is_lost_after_it_was_taken(play: Play) -> None:
    play.rounds.remove(play.of(3000.0))


@breaks(KEPT)
def a_cut_that_loses_too_much(play: Play) -> None:
    restarted(play, 5005.0, 5100.0, "power.cut")
    play.rounds = [one for one in play.rounds if not 4940 <= one.at_s < 5005]
    renumber(play)


@breaks(KEPT)
def a_round_without_one_of_its_points(play: Play) -> None:
    del play.of(6000.0).steps["calm"]


@breaks(KEPT)
def failed_though_it_was_given(play: Play) -> None:
    play.of(6000.0).steps["calm"] = None


@breaks(KEPT)
def folded_and_not_all_counted(play: Play) -> None:
    fold(play, 5400.0, 600)
    play.windows[0] = (*play.windows[0][:6], 50)


@breaks(KEPT)
def a_window_that_counts_too_many(play: Play) -> None:
    fold(play, 5400.0, 600)
    play.windows[0] = (*play.windows[0][:6], 70)


def skip_numbers(play: Play, from_s: float) -> None:
    """Seven numbers are given to nothing."""
    for one in play.rounds:
        one.seq += 7 if one.received_s >= from_s else 0
    for told in play.alarms:
        told.seq += 7 if told.received_s >= from_s else 0
    play.accounts = [(seq + (7 if at_s >= from_s else 0), at_s, body) for seq, at_s, body in play.accounts]
    play.statuses = [(seq + (7 if at_s >= from_s else 0), at_s) for seq, at_s in play.statuses]


@breaks()
def numbers_of_a_commit_that_was_in_doubt_are_never_given(play: Play) -> None:
    play.trouble("disk.error", 4000.0, 30.0, value=0.5)
    skip_numbers(play, 4010.0)


@breaks(CUSTODY)
def numbers_that_never_came_long_before_a_trouble_of_the_disk(play: Play) -> None:
    play.trouble("disk.error", 4000.0, 30.0, value=0.5)
    skip_numbers(play, 3000.0)


@breaks(CUSTODY)
def an_account_that_does_not_balance(play: Play) -> None:
    play.accounts[2][2]["held"] += 1


@breaks(CUSTODY)
def settled_more_than_the_province_has(play: Play) -> None:
    body = play.accounts[-1][2]
    body["taken"] = body["settled"] = 1_000_000


@breaks(CUSTODY)
def settled_more_than_the_province_had_by_then(play: Play) -> None:
    entries = play.accounts[2][2]["entries"]
    entries["taken"] = entries["settled"] = entries["settled"] + 5


@breaks(CUSTODY)
def settled_less_than_the_province_had_answered_long_before(play: Play) -> None:
    entries = play.accounts[2][2]["entries"]
    entries.update(settled=entries["settled"] - 20, held=20)


@breaks(KEPT)
def a_device_that_is_left_alone_for_minutes(play: Play) -> None:
    for name in ("level", "slope", "pressure", "calm"):
        unshow(play.record, name, 5000.0, 5300.0)
        for one in play.rounds:
            if 5000 <= one.at_s < 5300:
                one.steps[name] = None


@breaks(CUSTODY)
def evicted_without_a_reason(play: Play) -> None:
    body = play.accounts[-1][2]
    body.update(evicted=6, settled=body["settled"] - 6)


@breaks(CUSTODY)
def an_account_that_never_comes(play: Play) -> None:
    play.accounts = [it for it in play.accounts if it[1] != 3660.0]


@breaks(CUSTODY)
def a_status_that_never_comes(play: Play) -> None:
    play.statuses = [it for it in play.statuses if it[1] != 1200.0]


@breaks(CUSTODY)
def no_status_at_a_start(play: Play) -> None:
    restarted(play, 5002.0, 5100.0, "power.cut")
    play.statuses = [it for it in play.statuses if it[1] != 5100.0]


@breaks(CUSTODY)
def no_account_after_a_start(play: Play) -> None:
    restarted(play, 5002.0, 5100.0, "power.cut")
    play.accounts = [it for it in play.accounts if it[1] != 5160.0]


@breaks()
def a_full_store_folds(play: Play) -> None:
    fold(play, 3600.0, 600)
    play.record.sizes = [(60.0 * turn, 14_000_000 if turn == 70 else 400_000) for turn in range(120)]


@breaks(KEPT)
def a_store_that_is_not_full_folds(play: Play) -> None:
    fold(play, 3600.0, 600)
    play.record.sizes = [(60.0 * turn, 14_000_000 if turn == 50 else 400_000) for turn in range(120)]


@breaks()
def what_memory_holds_is_folded(play: Play) -> None:
    play.trouble("disk.full", 3500.0, 900.0)
    fold(play, 3600.0, 600)
    play.record.sizes = [(60.0 * turn, 400_000) for turn in range(120)]


@CASES.each()
def test_each_distortion_breaks_just_its_promise(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check(distort, promises, tmp_path)


@CASES.each(SOME)
def test_looking_now_and_then_says_the_same(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check_now_and_then(distort, promises, tmp_path)
