"""The world's judges, without a daemon: a faultless play breaks nothing, each distortion just what it should."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Quality, Rule
from sim.world.judge import Watch
from sim.world.nouns import Expect, Record, Shown, Span, true_ms
from tests.judged_play import EPOCH, SHOWS, Play, Told, faultless, in_steps, moved, number

Distort = Callable[[Play], None]
CASES: list[tuple[Distort, set[str]]] = []
KEPT, CUSTODY, ALARMS, ONCE = "1 kept", "2 custody", "3 alarms", "4 once"
VALUES, TIME, STARTS, BOUNDED, LINKS = "5 honest values", "6 honest time", "7 starts", "8 bounded", "10 links"


def breaks(*promises: str) -> Callable[[Distort], Distort]:
    """The distortion breaks these, and nothing else."""

    def note(distort: Distort) -> Distort:
        CASES.append((distort, set(promises)))
        return distort

    return note


def renumber(play: Play) -> None:
    """As if what is gone had never been taken: no seq is missing."""
    play.accounts.clear()
    number(play)


def unshow(record: Record, point: str, from_s: float, to_s: float, with_: Shown | None = None) -> None:
    """The instrument gave nothing then, or something else."""
    shown = record.shown[point]
    place = next(place for place, one in enumerate(shown) if one.at_s >= from_s)
    shown[:] = [one for one in shown if not from_s <= one.at_s < to_s]
    if with_ is None:
        record.failed.setdefault(point, []).append(from_s)
    else:
        shown.insert(place, with_)


def cut_off(play: Play, from_s: float, to_s: float) -> None:
    """The fibre is gone for a while and there is no sky; what was taken then arrives when it is back."""
    play.record.usable = {"fibre": [Span(0.0, from_s), Span(to_s, inf)], "beidou": [Span(0.0, 0.0)]}
    play.record.used["fibre"] = [0.5, to_s + 1.0]
    for told in play.alarms:
        if from_s <= told.received_s < to_s:
            told.received_s = to_s + 2.0
    for one in play.rounds:
        if from_s <= one.received_s < to_s:
            one.received_s = to_s + 3.0
    play.packets = [it for it in play.packets if not from_s <= it[4] < to_s]
    play.packets.append((90_000, int(Kind.ROUNDS), 900, "fibre", to_s + 3.0))
    renumber(play)


def restarted(play: Play, end_s: float, start_s: float, why: str) -> None:
    """The daemon did not run from one instant to another: nothing was asked, nothing taken."""
    play.record.running[:] = [Span(0.0, end_s, why), Span(start_s, inf)]
    if why.startswith("power."):
        play.trouble(why, end_s, start_s - end_s)
    for point in SHOWS:
        play.record.shown[point] = [it for it in play.record.shown[point] if not end_s <= it.at_s < start_s]
    play.record.used["fibre"].append(start_s + 0.5)
    play.rounds = [one for one in play.rounds if not end_s <= one.at_s < start_s]
    first = next(one for one in play.rounds if one.at_s >= start_s)
    first.steps.update(direction=None, wind=None)  # nobody has listened before
    play.packets = [it for it in play.packets if not end_s <= it[4] < start_s]
    renumber(play)


# -- nothing is wrong --------------------------------------------------------------------------------------------------


@breaks()
def nothing_is_wrong(_play: Play) -> None: ...


@breaks()
def a_short_loss_of_the_road(play: Play) -> None:
    cut_off(play, 5000.0, 5600.0)


@breaks()
def alarms_after_a_loss_come_first(play: Play) -> None:
    cut_off(play, 900.0, 1800.0)


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
def an_alarm_without_a_time_keeps_its_place_among_the_others(play: Play) -> None:
    play.trouble("clock.1970", 1090.0, 2000.0)
    restarted(play, 1104.0, 1130.0, "power.cut")
    told = play.alarm("pond-high", Level.NONE)
    since_s = (told.alarm.at_ms - true_ms(0.0)) / 1000
    undated = moved(told, at_ms=round(since_s * 1000))
    play.alarms[play.alarms.index(told)] = replace(undated, alarm=replace(undated.alarm, clock=ClockQuality.UNKNOWN))


@breaks()
def a_packet_that_comes_twice(play: Play) -> None:
    play.packets.append(play.packets[100])


@breaks()
def over_range_and_marked(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0, Shown(6000.3, 250.0, True))
    play.of(6000.0).steps["calm"] = 25_000
    play.of(6000.0).quality["calm"] = Quality.OVER_RANGE


@breaks()
def a_failed_reading_that_is_marked(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0)
    play.of(6000.0).steps["calm"] = None


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
def noise_before_a_good_answer(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0, Shown(6000.3, SHOWS["calm"](6000.0), False))


@breaks()
def folded_rounds(play: Play) -> None:
    fold(play, 5400.0, 600)


@breaks()
def evicted_rounds_that_are_told(play: Play) -> None:
    play.rounds = [one for one in play.rounds if not 5400 <= one.at_s < 5500]
    renumber(play)
    last = play.accounts[-1][2]
    last.update(evicted=60, taken=last["taken"] + 60, evicted_by={"quota": [0, 60]})


@breaks()
def what_is_expected_is_seen(play: Play) -> None:
    play.expects = (Expect("pond-high", "red", 1200.0, 1210.0), Expect("pressure-low", "orange", 0, 7200, never=True))


# -- 1 kept, 2 custody -------------------------------------------------------------------------------------------------


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


@breaks(CUSTODY)
def an_account_that_does_not_balance(play: Play) -> None:
    play.accounts[2][2]["held"] += 1


@breaks(CUSTODY)
def settled_more_than_the_province_has(play: Play) -> None:
    body = play.accounts[-1][2]
    body["taken"] = body["settled"] = 1_000_000


@breaks(CUSTODY)
def evicted_without_a_reason(play: Play) -> None:
    body = play.accounts[-1][2]
    body.update(evicted=6, settled=body["settled"] - 6)


# -- 3 alarms ----------------------------------------------------------------------------------------------------------


@breaks(ALARMS)
def an_alarm_that_is_late(play: Play) -> None:
    play.alarm("pond-high", Level.RED).received_s += 15.0


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


# -- 4 once ------------------------------------------------------------------------------------------------------------


@breaks(ONCE)
def a_round_under_two_names(play: Play) -> None:
    play.rounds.append(replace(play.of(5000.0), epoch=EPOCH + 1, seq=3))


@breaks(ONCE)
def a_counter_used_for_two_packets(play: Play) -> None:
    play.packets.append((100, int(Kind.ROUNDS), 91, "fibre", 2000.0))


# -- 5 honest values, 6 honest time ------------------------------------------------------------------------------------


@breaks(VALUES)
def a_value_off_by_a_step(play: Play) -> None:
    play.of(6000.0).steps["calm"] = in_steps("calm", 6000.0) + 1


@breaks(VALUES)
def the_value_of_the_round_before(play: Play) -> None:
    play.of(6000.0).steps["calm"] = in_steps("calm", 5990.0)


@breaks(VALUES)
def what_was_said_after_its_instant(play: Play) -> None:
    play.of(6000.0).steps["wind"] = in_steps("wind", 6004.7)


@breaks(VALUES)
def a_value_though_nothing_was_given(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0)


@breaks(VALUES)
def zero_for_failed(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0)
    play.of(6000.0).steps["calm"] = 0


@breaks(VALUES)
def a_late_answer_taken_for_the_next(play: Play) -> None:
    play.trouble("device.late", 5990.0, 30.0, "plc", 8.0)
    unshow(play.record, "calm", 6000.0, 6010.0, Shown(6000.3, SHOWS["calm"](5990.0), False))
    play.of(6000.0).steps["calm"] = in_steps("calm", 5990.0)


@breaks(VALUES)
def what_was_spoilt_on_a_wire_with_a_checksum(play: Play) -> None:
    unshow(play.record, "wind", 5990.0, 6000.0, Shown(5998.7, 7.7, False))
    play.of(6000.0).steps["wind"] = 78


@breaks(VALUES)
def no_value_called_good(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0)
    play.of(6000.0).steps["calm"] = None
    play.of(6000.0).quality["calm"] = Quality.GOOD


@breaks(VALUES)
def beyond_its_range_called_good(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0, Shown(6000.3, 250.0, True))
    play.of(6000.0).steps["calm"] = 25_000


@breaks(VALUES)
def folding_loses_the_greatest(play: Play) -> None:
    fold(play, 5400.0, 600)
    point, window_s, from_s, least, mean, most, count = play.windows[0]
    play.windows[0] = (point, window_s, from_s, least, mean, most - 0.1, count)


@breaks(VALUES)
def a_mean_that_is_none(play: Play) -> None:
    fold(play, 5400.0, 600)
    point, window_s, from_s, least, _, most, count = play.windows[0]
    play.windows[0] = (point, window_s, from_s, least, most + 1, most, count)


@breaks(TIME, KEPT)
def a_round_at_the_wrong_time(play: Play) -> None:
    play.of(6000.0).at_s = 6005.0


@breaks(TIME)
def a_reading_of_the_future(play: Play) -> None:
    play.of(6000.0).received_s = 5990.0


@breaks(TIME)
def a_time_that_nobody_knew(play: Play) -> None:
    play.of(6000.0).clock = ClockQuality.UNKNOWN


@breaks(TIME)
def an_alarm_of_a_time_when_nobody_ran(play: Play) -> None:
    restarted(play, 5005.0, 5100.0, "power.cut")
    for seq, level, change in ((1, Level.ORANGE, Change.RAISED), (2, Level.NONE, Change.CLEARED)):
        about = "pressure-low", "pressure", level, change, Rule.BELOW, 900, 800
        play.alarms.append(Told(seq, 5101.0, Alarm(*about, true_ms(5050.0 + seq)), epoch=EPOCH + 1))


# -- 7 starts, 8 bounded, 10 links -------------------------------------------------------------------------------------


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
    play.record.overrate = 1


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


def fold(play: Play, from_s: float, window_s: int) -> None:
    """Rounds that are folded: a window of each point stands for them, and the account says so."""
    gone = [one for one in play.rounds if from_s <= one.at_s < from_s + window_s]
    play.rounds = [one for one in play.rounds if one not in gone]
    renumber(play)
    for point in ("calm", *(name for name in SHOWS if name != "calm")):
        steps = [value for one in gone if (value := one.steps[point]) is not None]
        unit = unit_of(point)
        three = (min(steps) * unit, round(sum(steps) / len(steps)) * unit, max(steps) * unit)
        play.windows.append((point, window_s, from_s, *three, len(steps)))


def _name(it: object) -> str | None:
    return getattr(it, "__name__", None)


@pytest.mark.parametrize(("distort", "promises"), CASES, ids=_name)
def test_each_distortion_breaks_just_its_promise(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    play = faultless(tmp_path)
    distort(play)
    found = play.judge(tmp_path)
    assert {it.promise for it in found} == promises, found


@pytest.mark.parametrize(("distort", "promises"), CASES[:: max(1, len(CASES) // 12)], ids=_name)
def test_looking_now_and_then_says_the_same(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    play = faultless(tmp_path)
    distort(play)
    assert {it.promise for it in play.watch(tmp_path, 600.0)} == promises


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Play:
    return faultless(tmp_path_factory.mktemp("hour"), 3600.0)


@given(turn=st.integers(100, 340), point=st.sampled_from(sorted(SHOWS)), off=st.integers(-50, 50).filter(bool))
@settings(max_examples=40, deadline=None)
def test_any_value_that_was_not_shown_is_found(hour: Play, turn: int, point: str, off: int) -> None:
    play = hour.copy()
    one = play.of(turn * 10.0)
    wrong = (one.steps[point] or 0) + off
    low_s, high_s = (11.0, 1.0) if point in ("direction", "wind") else (1.0, 10.0)
    near = (it for it in play.record.shown[point] if -low_s <= it.at_s - one.at_s <= high_s)
    shown = {round(it.value / unit_of(point)) for it in near}
    one.steps[point] = wrong
    if point == "direction" and not 0 <= wrong <= 360:
        one.quality[point] = Quality.OVER_RANGE
    with tempfile.TemporaryDirectory() as name:
        found = {it.promise for it in play.judge(Path(name))}
    assert found == (set() if wrong in shown else {VALUES})


@given(first=st.integers(2, 200), count=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_any_stretch_that_is_lost_is_found(hour: Play, first: int, count: int) -> None:
    play = hour.copy()
    play.rounds = [one for one in play.rounds if not first * 10 <= one.at_s < (first + count) * 10]
    renumber(play)
    with tempfile.TemporaryDirectory() as name:
        found = play.judge(Path(name))
    assert [it.promise for it in found] == [KEPT]
    assert f"{count} rounds" in found[0].what


def unit_of(point: str) -> float:
    """The step as a double, so that values and their steps fit as the province's do."""
    return {"direction": 1.0, "calm": 0.01, "level": 0.01}.get(point, 0.1)


def test_a_province_that_lost_its_books_is_judged_by_all_of_them(tmp_path: Path) -> None:
    play = faultless(tmp_path)
    old, new = faultless(tmp_path), faultless(tmp_path)
    for part, is_new in ((old, False), (new, True)):
        part.rounds = [one for one in part.rounds if (one.received_s >= 3600) is is_new]
        part.alarms = [one for one in part.alarms if (one.received_s >= 3600) is is_new]
        part.accounts = [one for one in part.accounts if (one[1] >= 3600) is is_new]
    books = [old.write(tmp_path / "1.db")]
    watch = Watch(play.record, play.site, books, play.story())
    assert watch.check(3600.0) == []
    books.append(new.write(tmp_path / "2.db"))
    assert watch.end(play.lasts_s) == []


def test_a_day_costs_little(tmp_path: Path) -> None:
    """Half a day of six points."""
    play = faultless(tmp_path, 43_200.0)
    path = play.write(tmp_path / "day.db")
    watch = Watch(play.record, play.site, [path], play.story())
    began_s = time.process_time()
    for turn in range(1, 72):
        assert watch.check(turn * 600.0) == []
    assert watch.end(43_200.0) == []
    assert time.process_time() - began_s < 5.0
