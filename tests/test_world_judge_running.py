"""Promises 7, 8 and 10, without a daemon: it starts, within its bounds, and uses its links."""

from __future__ import annotations

from math import inf
from pathlib import Path

from edge.contract import Kind
from sim.world.nouns import Span
from tests.judged_cases import (
    BOUNDED,
    KEPT,
    LINKS,
    SOME,
    STARTS,
    Cases,
    Distort,
    check,
    check_now_and_then,
    cut_off,
    renumber,
    restarted,
)
from tests.judged_play import SHOWS, Play

CASES = Cases()
breaks = CASES.breaks


@breaks(STARTS)
def it_ended_by_itself(play: Play) -> None:
    restarted(play, 5000.0, 5000.5, "MemoryError")
    play.trouble("power.kill", 4999.0, 1.0)


@breaks(STARTS)
def one_start_too_many(play: Play) -> None:
    restarted(play, 5000.0, 5000.5, "power.kill")
    play.record.troubles.clear()


@breaks(STARTS, KEPT)
def nobody_is_asked_after_a_start(play: Play) -> None:
    restarted(play, 5002.0, 5100.0, "power.cut")
    for point in SHOWS:
        play.record.shown[point] = [it for it in play.record.shown[point] if not 5100 <= it.at_s < 5112]
    play.rounds = [one for one in play.rounds if not 5100 <= one.at_s < 5120]
    next(one for one in play.rounds if one.at_s >= 5100).steps.update(direction=None, wind=None)
    renumber(play)


@breaks(STARTS)
def no_word_on_the_link_after_a_start(play: Play) -> None:
    restarted(play, 5002.0, 5100.0, "power.cut")
    play.record.used["fibre"] = [0.5]


def only_a_card(play: Play, from_s: float, to_s: float) -> None:
    """The sky is open all the time, the fibre gone for a while: a card's packets come in its slots."""
    cut_off(play, from_s, to_s)
    play.record.usable["beidou"] = [Span(0.0, inf)]
    slots = range(round(from_s) + 180, round(to_s), 65)
    play.packets += [(95_000 + n, int(Kind.ROUNDS), 70, "beidou", float(at_s)) for n, at_s in enumerate(slots)]


@breaks()
def a_card_takes_over_when_the_road_is_gone(play: Play) -> None:
    only_a_card(play, 5000.0, 6200.0)


@breaks()
def a_card_rests_while_a_wide_road_may_be_up(play: Play) -> None:
    """Slow is up, and so is one that has been dead for less than it takes to find out."""
    play.record.usable["beidou"] = [Span(0.0, 3000.0), Span(3100.0, inf)]
    play.trouble("road.slow", 3050.0, 1200.0, "fibre", 400.0)


@breaks(LINKS)
def a_card_that_rests_though_it_is_the_only_way(play: Play) -> None:
    only_a_card(play, 5000.0, 6200.0)
    play.packets = [it for it in play.packets if it[3] != "beidou"]


@breaks(BOUNDED)
def a_store_beyond_its_quota(play: Play) -> None:
    play.record.sizes = [(100.0, 5_000_000), (200.0, 25_000_000)]


@breaks(BOUNDED)
def a_message_before_its_slot(play: Play) -> None:
    play.record.used["beidou"] = [3000.0, 3030.0]
    play.record.early = [3030.0]


def asked_early_after_a_kill(play: Play, asked_s: float) -> None:
    """Killed at 3010 s, some time after a request at `asked_s`; the disk is bad from 2990 to 3020 s."""
    play.record.running[-1].to_s, play.record.running[-1].why = 3010.0, "power.kill"
    play.record.running.append(Span(3011.0, inf))
    play.trouble("power.kill", 3010.0, 1.0)
    play.trouble("disk.error", 2990.0, 30.0, value=0.5)
    play.record.used = {"fibre": [0.5, 3011.5], "beidou": [2900.0, asked_s, 3014.0]}
    play.record.early = [3014.0]


@breaks()
def a_slot_that_a_bad_disk_did_not_take(play: Play) -> None:
    asked_early_after_a_kill(play, 3000.0)


@breaks(BOUNDED)
def a_slot_that_was_saved_before_the_disk_was_bad(play: Play) -> None:
    asked_early_after_a_kill(play, 2980.0)


@breaks(BOUNDED)
def a_card_that_is_asked_early_twice_in_one_life(play: Play) -> None:
    asked_early_after_a_kill(play, 3000.0)
    play.record.used["beidou"].append(3020.0)
    play.record.early.append(3020.0)


@breaks(LINKS)
def a_road_that_is_back_and_not_used(play: Play) -> None:
    cut_off(play, 5000.0, 5600.0)
    play.record.used["fibre"] = [0.5, 5625.0]
    for it in play.rounds:
        it.received_s += 25.0 if 5600 <= it.received_s < 5625 else 0.0
    play.packets = [it for it in play.packets if not 5600 <= it[4] < 5625]
    renumber(play)


@breaks(LINKS)
def a_dead_road_that_is_fed(play: Play) -> None:
    cut_off(play, 5000.0, 5600.0)
    play.record.used["fibre"] = [0.5, *(5000.0 + n for n in range(600)), 5601.0]


@CASES.each()
def test_each_distortion_breaks_just_its_promise(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check(distort, promises, tmp_path)


@CASES.each(SOME)
def test_looking_now_and_then_says_the_same(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check_now_and_then(distort, promises, tmp_path)
