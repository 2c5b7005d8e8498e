"""Promises 4, 5 and 6, without a daemon: each value once, as it was shown, at its time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Point, Quality, Rule
from sim.world.judge_truth import Seen
from sim.world.nouns import Shown, true_ms
from tests.judged_cases import (
    KEPT,
    ONCE,
    SOME,
    TIME,
    VALUES,
    Cases,
    Distort,
    check,
    check_now_and_then,
    fold,
    restarted,
    unshow,
)
from tests.judged_play import EPOCH, SHOWS, Play, Told, in_steps

CASES = Cases()
breaks = CASES.breaks


@breaks()
def over_range_and_marked(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0, Shown(6000.3, 250.0, True))
    play.of(6000.0).steps["calm"] = 25_000
    play.of(6000.0).quality["calm"] = Quality.OVER_RANGE


@breaks()
def far_beyond_the_range_and_doubted(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0, Shown(6000.3, 655.35, True))
    play.of(6000.0).steps["calm"] = 65_535
    play.of(6000.0).quality["calm"] = Quality.SUSPECT


@breaks(VALUES)
def far_beyond_the_range_and_believed(play: Play) -> None:
    far_beyond_the_range_and_doubted(play)
    play.of(6000.0).quality["calm"] = Quality.OVER_RANGE


@breaks(VALUES)
def just_beyond_the_range_and_doubted(play: Play) -> None:
    over_range_and_marked(play)
    play.of(6000.0).quality["calm"] = Quality.SUSPECT


@breaks()
def a_failed_reading_that_is_marked(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0)
    play.of(6000.0).steps["calm"] = None


@breaks()
def noise_before_a_good_answer(play: Play) -> None:
    unshow(play.record, "calm", 6000.0, 6010.0, Shown(6000.3, SHOWS["calm"](6000.0), False))


@breaks(ONCE)
def a_round_under_two_names(play: Play) -> None:
    play.rounds.append(replace(play.of(5000.0), epoch=EPOCH + 1, seq=3))


@breaks(ONCE)
def a_counter_used_for_two_packets(play: Play) -> None:
    play.packets.append((100, int(Kind.ROUNDS), 91, "fibre", 2000.0))


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
def a_clean_value_that_is_called_suspect(play: Play) -> None:
    play.of(6000.0).quality["calm"] = Quality.SUSPECT


@breaks(VALUES)
def a_mean_that_is_the_least(play: Play) -> None:
    fold(play, 5400.0, 600)
    point, window_s, from_s, least, _, most, count = play.windows[0]
    play.windows[0] = (point, window_s, from_s, least, least, most, count)


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


@breaks(TIME, KEPT)
def a_round_of_1970(play: Play) -> None:
    play.of(6000.0).at_s -= true_ms(0.0) / 1000


@breaks(TIME)
def a_round_that_is_not_trusted_though_no_clock_was_wrong(play: Play) -> None:
    play.of(6000.0).clock = ClockQuality.FREE


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


@CASES.each()
def test_each_distortion_breaks_just_its_promise(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check(distort, promises, tmp_path)


@CASES.each(SOME)
def test_looking_now_and_then_says_the_same(distort: Distort, promises: set[str], tmp_path: Path) -> None:
    check_now_and_then(distort, promises, tmp_path)


def test_far_beyond_is_of_a_measure_and_never_of_a_switch() -> None:
    def far(most: int) -> list[bool]:
        point = Point("spark", "", Decimal(1), Decimal(0), Decimal(most), 1000, "d")
        found = Seen(point, "bus", False, False, False).far(np.array([1.0, 2, 3, 18, 19, 65535]))
        return [bool(it) for it in found]

    assert far(1) == [False] * 6
    assert far(8) == [False] * 6
    assert far(9) == [False] * 4 + [True] * 2
