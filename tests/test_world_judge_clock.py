"""What a clock trouble excuses, without a daemon: what belongs to it, and nothing else of the story."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

from edge.contract import Alarm, Change, ClockQuality, Level, Quality, Rule
from sim.world.judge_truth import Truth
from sim.world.nouns import Span, true_ms
from tests.judged_cases import (
    ALARMS,
    CUSTODY,
    KEPT,
    ONCE,
    SOME,
    TIME,
    VALUES,
    Cases,
    Distort,
    check,
    check_now_and_then,
    cut_off,
    fold,
    renumber,
    restarted,
)
from tests.judged_play import EPOCH, Play, Round, Told, faultless, in_steps, moved

CASES = Cases()
breaks = CASES.breaks

WOKEN_S, SET_S = 2130.0, 2400.0  # a life that does not know its time begins; the kernel calls its clock synchronised


def troubled(play: Play, kind: str = "clock.unsynced", value: float = 0.0) -> list[Round]:
    """The box is off for a moment while its clock is in trouble, and no road is there to learn the time by. The rounds
    that were taken until the clock was right again."""
    play.trouble(kind, 2100.0, SET_S - 2100.0, value=value)
    restarted(play, 2105.0, WOKEN_S, "power.cut")
    cut_off(play, 2105.0, 2450.0)
    return [one for one in play.rounds if WOKEN_S <= one.at_s < SET_S]


def cut_again(play: Play) -> None:
    """The life that did not know its time ends by a second cut, just before the clock is right."""
    play.trouble("power.cut", SET_S - 5.0, 3.0)
    play.record.running[-1:] = [Span(WOKEN_S, SET_S - 5.0, "power.cut"), Span(SET_S - 2.0, inf)]


def an_hour_after(play: Play) -> list[Round]:
    return [one for one in play.rounds if 6000 <= one.at_s < 6900]


# -- what belongs to it


@breaks()
def right_and_not_confirmed(play: Play) -> None:
    for one in troubled(play):
        one.clock = ClockQuality.FREE


@breaks()
def stamped_with_a_wall_clock_that_was_wrong(play: Play) -> None:
    for one in troubled(play, "clock.step", 400.0):
        one.clock, one.at_s = ClockQuality.FREE, one.at_s + 400.0


@breaks()
def dated_by_a_time_that_was_learnt(play: Play) -> None:
    for one in troubled(play, "clock.1970"):
        one.at_s += 4.0


@breaks()
def laid_before_all_others(play: Play) -> None:
    """A second cut: of what the life between them took nothing but the order is known."""
    rounds = troubled(play, "clock.1970")
    cut_again(play)
    for one in rounds:
        one.clock, one.at_s = ClockQuality.FREE, one.at_s - SET_S


@breaks()
def an_alarm_of_a_wall_clock_that_was_wrong(play: Play) -> None:
    told = moved_fall(play, 2200.3)
    troubled(play, "clock.step", -700.0)
    stamp = replace(told.alarm, at_ms=told.alarm.at_ms - 700_000, clock=ClockQuality.FREE)
    play.alarms[play.alarms.index(told)] = replace(told, alarm=stamp)


def moved_fall(play: Play, at_s: float) -> Told:
    """The pond falls then, not at 2000 s."""
    told = play.alarm("pond-high", Level.NONE)
    shown = play.record.shown["level"]
    shown[:] = [one._replace(value=18.0) if 2000 <= one.at_s < at_s - 1 else one for one in shown]
    for one in play.rounds:
        if 2000 <= one.at_s < at_s - 1:
            one.steps["level"] = 1800
    later = replace(moved(told, at_ms=true_ms(at_s), value=in_steps("level", at_s - 0.3)), received_s=at_s + 0.5)
    play.alarms[play.alarms.index(told)] = later
    return later


@breaks()
def one_round_is_lost_when_the_clock_is_set(play: Play) -> None:
    lost = next(one for one in troubled(play, "clock.1970") if one.at_s == 2390.0)
    play.rounds.remove(lost)
    renumber(play)


# -- 1 kept, 2 custody


@breaks(KEPT)
def two_of_three_rounds_are_gone_an_hour_after(play: Play) -> None:
    troubled(play)
    gone = [one for place, one in enumerate(an_hour_after(play)) if place % 3]
    play.rounds = [one for one in play.rounds if one not in gone]
    renumber(play)


@breaks(KEPT)
def two_of_three_rounds_are_gone_while_only_the_kernel_does_not_know(play: Play) -> None:
    """It knew the time before, and does not give it up."""
    play.trouble("clock.unsynced", 2100.0, 300.0)
    gone = [one for one in play.rounds if 2150 <= one.at_s < 2300 and one.at_s % 30]
    play.rounds = [one for one in play.rounds if one not in gone]
    renumber(play)


@breaks(KEPT)
def one_round_for_two_instants(play: Play) -> None:
    """Each between two instants, and only half as many."""
    for place, one in enumerate(troubled(play, "clock.1970")):
        one.at_s += 4.0
        if place % 2:
            play.rounds.remove(one)
    renumber(play)


@breaks(KEPT)
def what_is_stamped_with_a_wrong_clock_stands_for_no_other_instant(play: Play) -> None:
    for one in troubled(play, "clock.step", 3600.0):
        one.clock, one.at_s = ClockQuality.FREE, one.at_s + 3600.0
    play.rounds = [one for one in play.rounds if not (5800 <= one.at_s < 5900 and one.clock == 0)]
    renumber(play)


@breaks(KEPT)
def failed_though_it_was_given_after_a_trouble(play: Play) -> None:
    troubled(play)
    play.of(6000.0).steps["calm"] = None


@breaks(CUSTODY)
def settled_too_many_after_a_trouble(play: Play) -> None:
    troubled(play)
    entries = play.accounts[2][2]["entries"]
    entries["taken"] = entries["settled"] = entries["settled"] + 5


# -- 3 alarms


@breaks(ALARMS)
def an_alarm_in_the_wrong_place_after_a_trouble(play: Play) -> None:
    troubled(play)
    told = play.alarm("slope-fast", Level.RED)
    play.alarms[play.alarms.index(told)] = replace(moved(told, at_ms=true_ms(3068.0)), received_s=3068.8)


@breaks(ALARMS)
def an_alarm_in_the_wrong_place_in_a_trouble(play: Play) -> None:
    """FREE, and not off by what the wall clock was."""
    told = moved_fall(play, 2200.3)
    troubled(play, "clock.step", -700.0)
    stamp = replace(told.alarm, at_ms=told.alarm.at_ms - 640_000, clock=ClockQuality.FREE)
    play.alarms[play.alarms.index(told)] = replace(told, alarm=stamp)


@breaks(ALARMS)
def an_alarm_that_is_told_again_after_a_trouble_between(play: Play) -> None:
    """Where it stood was on the disk long before."""
    troubled(play)
    told = play.alarm("pond-high", Level.NONE)
    again = moved(told, at_ms=true_ms(2700.3), value=in_steps("level", 2700.0))
    play.alarms.append(replace(again, received_s=2700.8, seq=7, epoch=EPOCH + 1))


@breaks(ALARMS)
def an_alarm_that_is_late_after_a_trouble(play: Play) -> None:
    troubled(play)
    play.alarm("slope-fast", Level.RED).received_s += 13.0


@breaks(ALARMS, TIME)
def an_alarm_without_a_time_long_after_a_trouble(play: Play) -> None:
    troubled(play)
    told = play.alarm("slope-fast", Level.RED)
    undated = moved(told, at_ms=told.alarm.at_ms - true_ms(0.0))
    play.alarms[play.alarms.index(told)] = replace(undated, alarm=replace(undated.alarm, clock=ClockQuality.UNKNOWN))


@breaks(TIME)
def an_alarm_that_is_free_after_a_trouble(play: Play) -> None:
    troubled(play)
    told = play.alarm("slope-fast", Level.RED)
    play.alarms[play.alarms.index(told)] = replace(told, alarm=replace(told.alarm, clock=ClockQuality.FREE))


# -- 5 honest values, 6 honest time


@breaks(VALUES)
def the_value_of_the_round_before_after_a_trouble(play: Play) -> None:
    troubled(play)
    play.of(6000.0).steps["calm"] = in_steps("calm", 5990.0)


@breaks(VALUES)
def what_was_said_after_its_instant_after_a_trouble(play: Play) -> None:
    troubled(play)
    play.of(6000.0).steps["wind"] = in_steps("wind", 6004.7)


@breaks(VALUES)
def a_value_that_was_never_shown_in_a_doubt(play: Play) -> None:
    rounds = troubled(play, "clock.step", 400.0)
    for one in rounds:
        one.clock, one.at_s = ClockQuality.FREE, one.at_s + 400.0
    rounds[10].steps["calm"] = 9999


@breaks(VALUES)
def no_value_called_good_in_a_doubt(play: Play) -> None:
    rounds = troubled(play)
    rounds[10].steps["calm"] = None
    rounds[10].quality["calm"] = Quality.GOOD
    rounds[10].clock = ClockQuality.FREE


@breaks(VALUES)
def a_value_that_was_never_shown_of_what_is_laid(play: Play) -> None:
    rounds = troubled(play, "clock.1970")
    cut_again(play)
    for one in rounds:
        one.clock, one.at_s = ClockQuality.FREE, one.at_s - SET_S
    rounds[10].steps["calm"] = 9999


@breaks(VALUES)
def folding_loses_the_greatest_after_a_trouble(play: Play) -> None:
    troubled(play)
    fold(play, 5400.0, 600)
    point, window_s, from_s, least, mean, most, count = play.windows[0]
    play.windows[0] = (point, window_s, from_s, least, mean, most - 0.1, count)


@breaks(TIME)
def free_for_ever(play: Play) -> None:
    troubled(play)
    for one in play.rounds:
        if one.at_s >= WOKEN_S:
            one.clock = ClockQuality.FREE


@breaks(TIME)
def free_though_the_province_could_have_told_the_time(play: Play) -> None:
    play.trouble("clock.unsynced", 2100.0, 3600.0)
    restarted(play, 2105.0, WOKEN_S, "power.cut")
    for one in play.rounds:
        if WOKEN_S <= one.at_s < 2400:
            one.clock = ClockQuality.FREE


@breaks(ONCE)
def twice_in_a_doubt(play: Play) -> None:
    rounds = troubled(play)
    for one in rounds:
        one.clock = ClockQuality.FREE
    play.rounds.append(replace(rounds[10], epoch=EPOCH + 1, seq=3))


@breaks(TIME, KEPT)
def free_with_a_time_an_hour_off(play: Play) -> None:
    for one in troubled(play):
        one.clock, one.at_s = ClockQuality.FREE, one.at_s + 3600.0


@breaks(TIME, KEPT)
def trusted_with_a_time_that_is_off(play: Play) -> None:
    """The first round of a life, with nothing of who speaks by himself, stands where it is none."""
    for one in troubled(play, "clock.step", 405.0):
        one.at_s += 405.0


@breaks(TIME)
def an_alarm_of_a_time_when_nobody_ran_after_a_trouble(play: Play) -> None:
    troubled(play)
    for seq, level, change in ((1, Level.ORANGE, Change.RAISED), (2, Level.NONE, Change.CLEARED)):
        about = "pressure-low", "pressure", level, change, Rule.BELOW, 900, 800
        play.alarms.append(Told(seq, 2451.0, Alarm(*about, true_ms(2115.0 + seq)), epoch=EPOCH + 1))


@CASES.each()
def test_each_distortion_breaks_just_its_promise(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check(distort, promises, tmp_path)


@CASES.each(SOME)
def test_looking_now_and_then_says_the_same(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check_now_and_then(distort, promises, tmp_path)


def test_a_cut_that_comes_when_the_box_runs_again_is_one_of_its_doubt(tmp_path: Path) -> None:
    play = faultless(tmp_path)
    play.trouble("clock.1970", 2100.0, 400.0)
    play.trouble("power.cut", 2110.0, 60.0)
    play.trouble("power.cut", 2130.0, 50.0)  # falls into the dark of the first
    play.record.running[:] = [Span(0.0, 2110.5, "power.cut"), Span(2150.0, 2150.4, "power.cut"), Span(2230.0, inf)]
    truth = Truth(play.record, play.site, play.story())
    truth.look(3000.0)
    short, last = truth.times().doubts
    assert (short.laid, last.laid) == (True, False)
