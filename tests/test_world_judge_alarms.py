"""Promise 3, without a daemon: alarms in time, before the rest, and no others."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Quality, Rule
from sim.world.nouns import Expect, Shown, Span, true_ms
from tests.judged_cases import (
    ALARMS,
    SOME,
    Cases,
    Distort,
    check,
    check_now_and_then,
    cut_off,
    renumber,
    restarted,
    unshow,
)
from tests.judged_play import ANSWER_S, EPOCH, Play, Told, in_steps, moved, slope

CASES = Cases()
breaks = CASES.breaks


@breaks()
def alarms_after_a_loss_come_first(play: Play) -> None:
    cut_off(play, 900.0, 1800.0)


def nothing_in_its_register(play: Play, at_s: float) -> None:
    """655.35 m, kept and sent as doubtful."""
    unshow(play.record, "level", at_s, at_s + 10.0, Shown(at_s + 0.3, 655.35, True))
    play.of(at_s).steps["level"] = 65_535
    play.of(at_s).quality["level"] = Quality.SUSPECT


@breaks()
def a_register_with_nothing_in_it_is_no_alarm(play: Play) -> None:
    nothing_in_its_register(play, 500.0)


@breaks(ALARMS)
def an_alarm_of_a_register_with_nothing_in_it(play: Play) -> None:
    nothing_in_its_register(play, 1200.0)
    told = play.alarm("pond-high", Level.RED)
    told.alarm = replace(told.alarm, value=65_535)


@breaks()
def an_alarm_without_a_time_keeps_its_place_among_the_others(play: Play) -> None:
    play.trouble("clock.1970", 1090.0, 2000.0)
    restarted(play, 1104.0, 1130.0, "power.cut")
    cut_off(play, 1104.0, 2100.0)  # nobody can tell it the time
    told = play.alarm("pond-high", Level.NONE)
    since_s = (told.alarm.at_ms - true_ms(0.0)) / 1000
    undated = moved(told, at_ms=round(since_s * 1000))
    play.alarms[play.alarms.index(told)] = replace(undated, alarm=replace(undated.alarm, clock=ClockQuality.UNKNOWN))


@breaks()
def what_is_expected_is_seen(play: Play) -> None:
    play.expects = (Expect("pond-high", "red", 1200.0, 1210.0), Expect("pressure-low", "orange", 0, 7200, never=True))


@breaks(ALARMS)
def an_alarm_that_is_late(play: Play) -> None:
    play.alarm("pond-high", Level.RED).received_s += 15.0


@breaks(ALARMS)
def an_alarm_that_is_late_by_seconds(play: Play) -> None:
    play.alarm("pond-high", Level.RED).received_s += 4.0


@breaks(ALARMS)
def an_alarm_that_one_of_the_open_roads_never_heard(play: Play) -> None:
    """It is at the province; who brought it says another name than that of the road that was open."""
    play.alarm("pond-high", Level.RED).links = ("usb",)


def told_by_the_card(play: Play, asked_s: float) -> None:
    """The fibre is dead and not known to be; the card is free."""
    cut_off(play, 1150.0, 1250.0)
    play.record.usable["beidou"] = [Span(0.0, inf)]
    play.record.used["beidou"] = [asked_s]
    red = play.alarm("pond-high", Level.RED)
    red.received_s, red.links = asked_s + 5.0, ("beidou",)
    renumber(play)


@breaks()
def an_alarm_in_the_slot_that_is_free(play: Play) -> None:
    told_by_the_card(play, 1200.5)


@breaks(ALARMS)
def an_alarm_for_which_a_free_card_is_not_asked(play: Play) -> None:
    told_by_the_card(play, 1230.0)


@breaks(ALARMS)
def an_alarm_that_is_lost(play: Play) -> None:
    play.alarms.remove(play.alarm("slope-fast", Level.RED))
    renumber(play)


@breaks(ALARMS)
def an_alarm_of_the_wrong_level(play: Play) -> None:
    told = play.alarm("pond-high", Level.RED)
    play.alarms[play.alarms.index(told)] = moved(told, level=Level.ORANGE, threshold=1500)


@breaks(ALARMS)
def an_alarm_of_another_threshold(play: Play) -> None:
    told = play.alarm("pond-high", Level.RED)
    play.alarms[play.alarms.index(told)] = moved(told, threshold=1900)


@breaks(ALARMS)
def an_alarm_with_a_value_that_was_not_shown(play: Play) -> None:
    told = play.alarm("pond-high", Level.RED)
    play.alarms[play.alarms.index(told)] = moved(told, value=3333)


@breaks(ALARMS)
def an_alarm_that_was_raised_too_late(play: Play) -> None:
    told = play.alarm("pond-high", Level.RED)
    later = moved(told, at_ms=told.alarm.at_ms + 30_000, value=in_steps("level", 1230.0))
    play.alarms[play.alarms.index(told)] = replace(later, received_s=told.received_s + 30)


@breaks(ALARMS)
def an_alarm_too_many(play: Play) -> None:
    value = in_steps("pressure", 5000.0)
    about = "pressure-low", "pressure", Level.ORANGE, Change.RAISED, Rule.BELOW, value, 800
    play.alarms.append(Told(5000, 5000.8, Alarm(*about, true_ms(5000.3)), epoch=EPOCH + 1))


@breaks(ALARMS)
def hold_is_not_minded(play: Play) -> None:
    told = play.alarm("slope-fast", Level.RED)
    early = moved(told, at_ms=true_ms(3000.3), value=in_steps("slope", 3000.0))
    play.alarms[play.alarms.index(told)] = replace(early, received_s=3000.8)


def held_until(play: Play, at_s: float, first_at_s: float) -> None:
    """The slope's red is raised then; the first value beyond came at another moment than usual."""
    unshow(play.record, "slope", 3000.0, 3010.0, Shown(first_at_s, slope(3000.0), True))
    told = play.alarm("slope-fast", Level.RED)
    late = moved(told, at_ms=true_ms(at_s), value=in_steps("slope", at_s - ANSWER_S))
    play.alarms[play.alarms.index(told)] = replace(late, received_s=at_s + 0.5)


@breaks()
def a_hold_of_six_rounds_is_over_at_the_sixth_though_the_first_value_came_late(play: Play) -> None:
    held_until(play, 3060.3, 3000.8)


@breaks(ALARMS)
def a_hold_that_is_over_a_round_late_because_the_first_value_came_late(play: Play) -> None:
    held_until(play, 3070.3, 3000.8)


@breaks(ALARMS)
def a_hold_that_is_over_a_round_early(play: Play) -> None:
    held_until(play, 3050.3, 3000.3)


@breaks(ALARMS)
def clear_hold_is_not_minded(play: Play) -> None:
    told = play.alarm("slope-fast", Level.NONE)
    early = moved(told, at_ms=true_ms(3400.3), value=in_steps("slope", 3400.0))
    play.alarms[play.alarms.index(told)] = replace(early, received_s=3400.8)


@breaks(ALARMS)
def an_alarm_that_is_never_cleared(play: Play) -> None:
    play.alarms.remove(play.alarm("pond-high", Level.NONE))
    renumber(play)


@breaks(ALARMS)
def an_alarm_that_is_told_twice(play: Play) -> None:
    told = play.alarm("pond-high", Level.RED)
    again = moved(told, at_ms=true_ms(1300.3), value=in_steps("level", 1300.0))
    play.alarms.append(replace(again, received_s=1300.8, seq=7, epoch=EPOCH + 1))


def killed_and_told_again(play: Play, killed_s: float) -> None:
    restarted(play, killed_s, killed_s + 5.0, "power.kill")
    at_s = killed_s // 10 * 10 + 20
    again = moved(play.alarm("pond-high", Level.RED), at_ms=true_ms(at_s + 0.3), value=in_steps("level", at_s))
    play.alarms.append(Told(7, at_s + 0.8, again.alarm, epoch=EPOCH + 1))


@breaks()
def an_alarm_that_is_told_again_when_the_first_telling_died(play: Play) -> None:
    killed_and_told_again(play, 1202.0)


@breaks(ALARMS)
def an_alarm_that_is_told_again_after_a_death_long_after(play: Play) -> None:
    killed_and_told_again(play, 1252.0)


@breaks(ALARMS)
def a_level_is_left_before_its_hysteresis(play: Play) -> None:
    """19.5 m: red begins at 20 and ends below 19."""
    shown = play.record.shown["level"]
    shown[:] = [one._replace(value=19.5) if 1500 <= one.at_s < 1600 else one for one in shown]
    for one in play.rounds:
        if 1500 <= one.at_s < 1600:
            one.steps["level"] = 1950
    told = play.alarm("pond-high", Level.ORANGE)
    play.alarms[play.alarms.index(told)] = moved(told, value=1950)


@breaks(ALARMS)
def silence_that_is_not_told(play: Play) -> None:
    play.alarms = [told for told in play.alarms if told.alarm.limit != "wind-quiet"]
    renumber(play)


@breaks(ALARMS)
def silence_that_was_none(play: Play) -> None:
    told = play.alarm("wind-quiet", Level.YELLOW)
    play.alarms[play.alarms.index(told)] = replace(moved(told, at_ms=true_ms(4060.0)), received_s=4060.5)


@breaks(ALARMS)
def an_alarm_behind_the_backlog(play: Play) -> None:
    cut_off(play, 900.0, 1800.0)
    play.alarm("pond-high", Level.RED).received_s = 1825.0


def kept_by_the_broker(play: Play, from_s: float, to_s: float, told_s: float) -> None:
    """The province is away for a while; what the broker has kept comes at once when it is back. RED comes last."""
    play.trouble("province.away", from_s, to_s - from_s)
    for one in play.rounds:
        one.received_s = to_s + 0.1 if from_s <= one.received_s < to_s else one.received_s
    for told in play.alarms:
        told.received_s = to_s + 0.1 if from_s <= told.received_s < to_s else told.received_s
    play.packets = [(*it[:4], to_s + 0.1 if from_s <= it[4] < to_s else it[4]) for it in play.packets]
    play.alarm("pond-high", Level.RED).received_s = told_s
    renumber(play)


@breaks()
def rounds_that_the_broker_kept_were_sent_before_the_alarm(play: Play) -> None:
    """The fibre was gone when it was raised, what it had carried before comes in before it is back."""
    cut_off(play, 1150.0, 1250.0)
    kept_by_the_broker(play, 1100.0, 1220.0, 1252.0)
    play.packets.append((90_001, int(Kind.ROUNDS), 90, "fibre", 1220.1))


@breaks(ALARMS)
def rounds_that_the_broker_kept_were_sent_after_the_alarm(play: Play) -> None:
    """It was raised before the province went away, over a road that is back so shortly that only the order counts."""
    cut_off(play, 1150.0, 1195.0)
    kept_by_the_broker(play, 1204.0, 1240.0, 1255.0)


@breaks(ALARMS)
def an_alarm_that_waits_on_when_the_province_is_back(play: Play) -> None:
    kept_by_the_broker(play, 1150.0, 1220.0, 1245.0)


@breaks()
def a_clearing_that_comes_after_what_was_raised_next(play: Play) -> None:
    """12 m, none, 12 m; the fibre is back just before a look, and the clearing comes just after it."""
    record = play.record.shown["level"]
    record[:] = [one._replace(value=5.0) if 1100 <= one.at_s < 1150 else one for one in record]
    for one in play.rounds:
        one.steps["level"] = 500 if 1100 <= one.at_s < 1150 else one.steps["level"]
    raised = play.alarm("pond-high", Level.YELLOW)
    cleared = moved(raised, level=Level.NONE, change=Change.CLEARED, value=500, at_ms=true_ms(1100.3))
    again = moved(raised, value=in_steps("level", 1150.0), at_ms=true_ms(1150.3))
    play.alarms += [replace(cleared, received_s=1100.8), replace(again, received_s=1150.8)]
    cut_off(play, 1090.0, 1790.0)
    play.alarms[-2].received_s = 1800.6
    renumber(play)


@breaks(ALARMS)
def alarms_in_the_wrong_order(play: Play) -> None:
    red, none = play.alarm("pond-high", Level.RED), play.alarm("pond-high", Level.NONE)
    times = red.alarm.at_ms, none.alarm.at_ms
    red.alarm, none.alarm = replace(red.alarm, at_ms=times[1]), replace(none.alarm, at_ms=times[0])
    red.received_s, none.received_s = none.received_s, red.received_s


@breaks(ALARMS)
def an_alarm_of_a_strange_limit(play: Play) -> None:
    told = play.alarm("pond-high", Level.RED)
    play.alarms.append(replace(moved(told, limit="who"), epoch=EPOCH + 1))


@breaks(ALARMS)
def what_is_expected_is_not_seen(play: Play) -> None:
    play.expects = (Expect("pond-high", "red", 1000.0, 1100.0),)


@breaks(ALARMS)
def what_must_not_be_seen_is(play: Play) -> None:
    play.expects = (Expect("slope-fast", "red", 0.0, 7200.0, never=True),)


@breaks(ALARMS)
def what_is_expected_came_another_way(play: Play) -> None:
    play.packets.append((80_000, int(Kind.ALARM), 40, "fibre", 1200.8))
    play.expects = (Expect("pond-high", "red", 1200.0, 1210.0, "beidou"),)


@CASES.each()
def test_each_distortion_breaks_just_its_promise(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check(distort, promises, tmp_path)


@CASES.each(SOME)
def test_looking_now_and_then_says_the_same(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check_now_and_then(distort, promises, tmp_path)


def test_a_clearing_that_is_still_on_its_way_when_somebody_looks(tmp_path: Path) -> None:
    check_now_and_then(a_clearing_that_comes_after_what_was_raised_next, set(), tmp_path)
