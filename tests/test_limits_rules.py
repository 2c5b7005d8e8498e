"""Levels, bands, clear values, votes, roll-ups and doubt, against oracles; and restarts that nobody notices."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Alarm, Change, Level, Of, Point, Quality, Rule
from edge.limit_members import verdict
from edge.limit_state import load, save
from edge.limit_words import explain
from edge.limits import EVIDENCE, Limit, Limits, Part
from edge.measure_nouns import Spec
from tests import limit_oracles as oracles

BLUE, YELLOW, ORANGE, RED = Level.BLUE, Level.YELLOW, Level.ORANGE, Level.RED
RISING = ((BLUE, 10), (YELLOW, 20), (ORANGE, 30), (RED, 40))
FALLING = ((BLUE, 40), (YELLOW, 30), (ORANGE, 20), (RED, 10))
OUTER = ((BLUE, 20), (BLUE, 30), (YELLOW, 15), (YELLOW, 35), (RED, 10), (RED, 40))
INNER = ((BLUE, 10), (BLUE, 40), (YELLOW, 15), (YELLOW, 35), (RED, 20), (RED, 30))


def spec(of: Of, window_s: int = 0, **more: object) -> Spec:
    return Spec(of, 2.0, "mm", Decimal(1), window_s, **more)  # type: ignore[arg-type]


@st.composite
def plain_limits(draw: st.DrawFn) -> Limit:
    rule = draw(st.sampled_from([Rule.ABOVE, Rule.BELOW, Rule.OUTSIDE, Rule.INSIDE]))
    thresholds = {Rule.ABOVE: RISING, Rule.BELOW: FALLING, Rule.OUTSIDE: OUTER, Rule.INSIDE: INNER}[rule]
    clear: tuple[tuple[Level, int], ...] = ()
    if rule in (Rule.ABOVE, Rule.BELOW) and draw(st.booleans()):
        back = draw(st.integers(0, 25)) * (-1 if rule is Rule.ABOVE else 1)
        clear = tuple((level, at + back) for level, at in thresholds if draw(st.booleans()))
    numbers = [draw(st.integers(0, 5)) for _ in range(3)]
    return Limit("x", "p", rule, thresholds, numbers[0], float(numbers[1]), float(numbers[2]), clear)


READINGS = st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 50), st.sampled_from(Quality)), max_size=60)


@given(plain_limits(), READINGS)
@settings(max_examples=300, deadline=None)
def test_levels_are_those_of_the_oracle(limit: Limit, steps: list[tuple[int, int | None, Quality]]) -> None:
    limits, now_s, level = Limits([limit], 0.0), 0.0, Level.NONE
    history: list[tuple[float, int]] = []
    for pause_s, value, quality in steps:
        now_s += pause_s
        if value is not None and quality in EVIDENCE:
            history.append((now_s, value))
        changed = limits.judge("p", value, quality, now_s)
        expected = oracles.level_of(limit, history)
        assert limits.levels()["x"] is expected
        assert [alarm.level for alarm in changed] == ([] if expected is level else [expected])
        level = expected


# -- after a standing was lost with a broken store ---------------------------------------------------------------------

QUIET = {Rule.ABOVE: -100, Rule.BELOW: 200, Rule.OUTSIDE: 25, Rule.INSIDE: 200}  # beyond every way back


@given(plain_limits(), READINGS, READINGS)
@settings(max_examples=300, deadline=None)
def test_a_lost_standing_is_told_once_and_never_as_over_while_it_stands(
    limit: Limit, before: list[tuple[int, int | None, Quality]], after: list[tuple[int, int | None, Quality]]
) -> None:
    remembers, lost, now_s = Limits([limit], 0.0), Limits([limit], 0.0), 0.0
    for pause_s, value, quality in before:
        now_s += pause_s
        remembers.judge("p", value, quality, now_s)
    lost.forget(lost.judged)
    told: list[Alarm] = []
    tail = [(1, QUIET[limit.rule], Quality.GOOD)] * (int(limit.clear_hold_s) + 2)
    for pause_s, value, quality in [*after, *tail]:
        now_s += pause_s
        remembers.judge("p", value, quality, now_s)
        changed = lost.judge("p", value, quality, now_s)
        if changed and not told and changed[0].change is Change.CLEARED:
            assert remembers.levels()["x"] is Level.NONE
        told += changed
    assert told[-1].change is Change.CLEARED
    assert all(one.level is not two.level for one, two in itertools.pairwise(told))


def test_a_lost_window_is_told_over_when_all_its_windows_are() -> None:
    more = (Part(spec(Of.SUM, 100), ((RED, 30),)),)
    limits = Limits([Limit("x", "p", Rule.ABOVE, ((YELLOW, 10),), spec=spec(Of.SUM, 10), more=more)], 0.0)
    limits.forget(limits.judged)
    assert limits.judge("p", 12, Quality.GOOD, 0.0)[0].level is YELLOW
    assert [alarm.change for alarm in limits.judge("p", 0, Quality.GOOD, 50.0)] == [Change.CLEARED]
    limits.forget(limits.judged)
    assert [alarm.change for alarm in limits.judge("p", 0, Quality.GOOD, 60.0)] == []
    assert [alarm.change for alarm in limits.judge("p", 0, Quality.GOOD, 100.0)] == [Change.CLEARED]
    assert limits.judge("p", 0, Quality.GOOD, 110.0) == []


MORE = tuple(
    Part(spec(Of.SUM, window_s, counter=True), ((level, at),))
    for window_s, level, at in ((3600, YELLOW, 20), (7200, BLUE, 15))
)
WINDOWS = Limit("x", "p", Rule.ABOVE, ((RED, 25),), spec=spec(Of.SUM, 1800, counter=True), more=MORE)


@pytest.mark.parametrize(("last_s", "level", "number"), [(3700.0, YELLOW, 40), (5200.0, BLUE, 100)])
def test_of_several_windows_all_have_taken_a_reading_before_it_is_told(
    last_s: float, level: Level, number: int
) -> None:
    """Over a silence the shortest is left first: neither another one's number from before it is told, nor a level
    that the same reading ends."""
    limits = Limits([WINDOWS], 0.0)
    for count, now_s in ((0, 0.0), (60, 2.0), (60, 1500.0), (100, 1502.0)):
        limits.judge("p", count, Quality.GOOD, now_s)
    assert limits.levels() == {"x": RED}
    assert [(it.level, it.value) for it in limits.judge("p", 100, Quality.GOOD, last_s)] == [(level, number)]


def combined() -> list[Limit]:
    members = [Limit(name, name, Rule.ABOVE, ((YELLOW, 10), (RED, 20))) for name in "ab"]
    return [*members, Limit("both", "a", Rule.COMBINED, (), members=("a", "b"), votes=2)]


def test_a_lost_combined_limit_waits_until_its_members_are_known() -> None:
    limits = Limits(combined(), 0.0)
    limits.forget(limits.judged)
    assert [alarm.limit for alarm in limits.judge("a", 0, Quality.GOOD, 1.0)] == ["a"]
    assert limits.tick(1.0) == []
    limits.judge("b", 0, Quality.GOOD, 2.0)
    assert [(alarm.limit, alarm.change) for alarm in limits.tick(2.0)] == [("both", Change.CLEARED)]
    assert limits.tick(3.0) == []


def test_a_limit_that_is_new_in_the_site_file_follows_members_that_stand_already() -> None:
    limits = Limits(combined(), 0.0)
    limits.restore({"a": (RED, 22), "b": (YELLOW, 12), "both": (Level.NONE, None)})
    [alarm] = limits.tick(1.0)
    assert (alarm.limit, alarm.level, alarm.change) == ("both", YELLOW, Change.RAISED)
    assert limits.tick(2.0) == []


# -- limits about other limits -----------------------------------------------------------------------------------------

LEVELS = st.lists(st.sampled_from(Level), min_size=1, max_size=9)


@given(LEVELS, st.integers(1, 9))
def test_votes(levels: list[Level], votes: int) -> None:
    votes = min(votes, len(levels))
    limit = Limit("x", "p", Rule.COMBINED, (), members=tuple("abcdefghi"[: len(levels)]), votes=votes)
    assert verdict(limit, levels)[0] is sorted(levels, reverse=True)[votes - 1]  # the votes-th worst


ROLLUP = ((YELLOW, 4, BLUE), (ORANGE, 3, YELLOW), (RED, 2, ORANGE))


@given(LEVELS, st.integers(0, 8), st.sampled_from(Level))
def test_a_member_that_gets_worse_never_lowers_a_roll_up(levels: list[Level], where: int, worse: Level) -> None:
    limit = Limit("x", "p", Rule.COMBINED, (), members=tuple("abcdefghi"), rollup=ROLLUP)
    before = verdict(limit, levels)[0]
    assert before >= max(levels)
    where %= len(levels)
    raised = [max(level, worse) if index == where else level for index, level in enumerate(levels)]
    assert verdict(limit, raised)[0] >= before


def test_combined_limits_follow_their_members_at_once_and_say_who_stands() -> None:
    limits = [Limit(name, name, Rule.ABOVE, RISING) for name in "abc"]
    two = Limit("two", "a", Rule.COMBINED, (), members=("a", "b", "c"), votes=2)
    above = Limit("upper", "a", Rule.COMBINED, (), members=("two",))
    engine = Limits([above, two, *limits], 0.0)
    assert [alarm.limit for alarm in engine.judge("a", 45, Quality.GOOD, 0.0)] == ["a"]
    changed = engine.judge("b", 25, Quality.GOOD, 1.0)
    assert [(alarm.limit, alarm.level) for alarm in changed] == [("b", YELLOW), ("two", YELLOW), ("upper", YELLOW)]
    assert changed[1].basis is not None
    assert changed[1].basis.inputs == (("a", 4), ("b", 2))
    point = Point("a", "mm", Decimal(1), None, None, 1000, "d")
    assert changed[1].words(point) == "YELLOW raised: 2 stand where 2 are needed: a red, b yellow"
    cleared = engine.judge("b", 0, Quality.GOOD, 2.0)
    assert [(alarm.limit, alarm.change) for alarm in cleared[1:]] == [
        ("two", Change.CLEARED),
        ("upper", Change.CLEARED),
    ]


# -- doubt -------------------------------------------------------------------------------------------------------------


def test_doubtful_readings_are_told_after_a_while_and_end_with_the_first_good_one() -> None:
    limits = Limits([Limit("odd", "p", Rule.SUSPECT, ((BLUE, 60), (YELLOW, 300)))], 0.0)
    told: list[tuple[float, Level]] = []
    for at in range(0, 700, 20):
        quality = Quality.GOOD if at in (0, 640) else Quality.NO_ANSWER if at == 100 else Quality.SUSPECT
        value = None if quality is Quality.NO_ANSWER else 5
        told += [(at, alarm.level) for alarm in limits.judge("p", value, quality, float(at))]
    assert told == [(80, BLUE), (320, YELLOW), (640, Level.NONE)]


# -- restarts ----------------------------------------------------------------------------------------------------------

EVERY_KIND = [
    Limit("above", "p", Rule.ABOVE, RISING, 2, 4.0, 6.0),
    Limit("clear", "p", Rule.ABOVE, ((YELLOW, 10), (RED, 15)), clear=((YELLOW, 10), (RED, 10))),
    Limit("band", "p", Rule.OUTSIDE, OUTER, 1, 2.0, 2.0),
    Limit("quiet", "p", Rule.STALE, ((YELLOW, 30),)),
    Limit("odd", "p", Rule.SUSPECT, ((BLUE, 6),)),
    Limit("sum", "p", Rule.ABOVE, ((BLUE, 150), (RED, 300)), spec=spec(Of.SUM, 20), more=(
        Part(spec(Of.SUM, 60), ((YELLOW, 500), (ORANGE, 700))),
    )),
    Limit("mean", "p", Rule.ABOVE, RISING, spec=spec(Of.MEAN, 20), hold_s=4.0),
    Limit("rate", "p", Rule.ABOVE, ((BLUE, 100), (RED, 500)), spec=spec(Of.RATE, 24, factor=1000.0)),
    Limit("apart", "p", Rule.ABOVE, ((BLUE, 10), (RED, 30)), spec=spec(Of.DIFFERENCE, other="q", other_every_s=2.0)),
    Limit("total", "q", Rule.ABOVE, RISING, spec=spec(Of.TOTAL)),
    Limit("two", "p", Rule.COMBINED, (), members=("above", "rate", "apart"), votes=2),
    Limit("item", "p", Rule.COMBINED, (), members=("above", "sum", "mean", "band"), rollup=ROLLUP),
]  # fmt: skip

EVENTS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 2, 2, 7]),
        st.sampled_from("ppq"),
        st.integers(0, 45),
        st.sampled_from([Quality.GOOD] * 8 + [Quality.SUSPECT, Quality.NO_ANSWER]),
    ),
    max_size=80,
)


def played(events: list[tuple[int, str, int, Quality]], seed: int | None) -> list[Alarm]:
    """All alarms; with a seed, over restarts at any moment, each on another clock, with time passing meanwhile."""
    restarts = random.Random(seed)
    limits, shift_s, now_s = Limits(EVERY_KIND, 0.0), 0.0, 0.0
    told: list[Alarm] = []
    for pause_s, point, value, quality in events:
        if seed is not None and restarts.random() < 0.15:
            saved, standing = (
                save(limits, now_s + shift_s),
                {limit_id: (state.level, None) for limit_id, state in limits.judged.items()},
            )
            shift_s += restarts.randrange(-50, 100_000)
            gap_s = float(restarts.randrange(0, pause_s + 1))  # what is left of the pause passes after the start
            limits = Limits(EVERY_KIND, now_s + gap_s + shift_s)
            assert load(limits, saved, now_s + gap_s + shift_s, gap_s) > 5
            limits.restore(standing)
        now_s += pause_s
        told += limits.judge(point, value if quality is not Quality.NO_ANSWER else None, quality, now_s + shift_s)
    return told


@given(EVENTS, st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_a_restart_at_any_moment_changes_no_alarm(events: list[tuple[int, str, int, Quality]], seed: int) -> None:
    assert played(events, seed) == played(events, None)


def test_an_alarm_that_was_never_committed_is_raised_again_after_a_restart() -> None:
    limits = Limits(EVERY_KIND[:1], 0.0)
    for at in (0.0, 4.0):
        limits.judge("p", 45, Quality.GOOD, at)
    saved = save(limits, 5.0)
    other = Limits(EVERY_KIND[:1], 0.0)
    load(other, saved, 5.0, 0.0)
    other.restore({"above": (Level.NONE, None)})  # the store knows of no alarm: the cut came before its commit
    told = [alarm for at in (6.0, 10.0) for alarm in other.judge("p", 45, Quality.GOOD, at)]
    assert [alarm.level for alarm in told] == [RED]


def test_what_is_damaged_or_of_another_site_file_begins_anew() -> None:
    limits = Limits(EVERY_KIND, 0.0)
    for at in range(60):
        limits.judge("p", at % 50, Quality.GOOD, 2.0 * at)
    saved = save(limits, 120.0)
    assert load(Limits(EVERY_KIND, 0.0), saved[:-9], 0.0, 0.0) == 0
    assert load(Limits([Limit("sum", "p", Rule.ABOVE, RISING, spec=spec(Of.SUM, 30))], 0.0), saved, 0.0, 0.0) == 0
    chance = random.Random(3)
    for _ in range(300):
        spoilt = bytearray(saved)
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        other = Limits(EVERY_KIND, 0.0)
        load(other, bytes(spoilt), 0.0, 0.0)
        for at in range(5):
            other.judge("p", 20, Quality.GOOD, 2.0 * at)


def test_new_thresholds_keep_the_window() -> None:
    old = Limits([Limit("sum", "p", Rule.ABOVE, ((RED, 99),), spec=spec(Of.SUM, 600))], 0.0)
    for at in range(10):
        old.judge("p", 5, Quality.GOOD, 2.0 * at)
    new = Limits([Limit("sum", "p", Rule.ABOVE, ((BLUE, 50),), spec=spec(Of.SUM, 600))], 0.0)
    load(new, save(old, 20.0), 0.0, 0.0)
    assert [alarm.value for alarm in new.judge("p", 5, Quality.GOOD, 1.0)] == [55]


# -- words -------------------------------------------------------------------------------------------------------------

GAS = Limit("gas", "ch4", Rule.ABOVE, ((YELLOW, 100), (RED, 150)), clear=((YELLOW, 100), (RED, 100)), hold_s=2.0)
WIND = Limit("wind", "air", Rule.OUTSIDE, ((YELLOW, 25), (YELLOW, 400)))
RAIN = Limit("rain", "rain", Rule.ABOVE, ((BLUE, 5000),), spec=Spec(Of.SUM, 60.0, "mm", Decimal("0.01"), 43_200))


@pytest.mark.parametrize(
    ("limit", "unit", "english", "chinese"),
    [
        (
            GAS,
            "%",
            "ch4: yellow at 1.00 % or more, red at 1.50 % or more; yellow is left below 1.00 %; "
            "red is left below 1.00 %; it must last 2 s.",
            "ch4：黄色 1.00 %及以上，红色 1.50 %及以上；黄色在低于 1.00 % 时解除；"
            "红色在低于 1.00 % 时解除；须持续 2 秒。",
        ),
        (WIND, "m/s", "air: yellow outside 0.25 m/s to 4.00 m/s.", "air：黄色 超出 0.25 m/s 至 4.00 m/s。"),
        (
            RAIN,
            "mm",
            "the sum of rain over 12 h: blue at 50.00 mm or more.",
            "rain 在 12 小时内的累计值：蓝色 50.00 mm及以上。",
        ),
    ],
)
def test_a_rule_explains_itself(limit: Limit, unit: str, english: str, chinese: str) -> None:
    scale = Point(limit.point, unit, Decimal("0.01"), None, None, 60_000, "d")
    assert explain(limit, scale) == english
    assert explain(limit, scale, chinese=True) == chinese


def test_every_kind_explains_itself_in_both_languages() -> None:
    scale = Point("p", "mm", Decimal(1), None, None, 2000, "d")
    for limit in EVERY_KIND:
        assert explain(limit, scale).endswith(".")
        assert explain(limit, scale, chinese=True).endswith("。")


def test_an_alarm_says_what_was_judged_and_the_numbers_that_went_in() -> None:
    limits = Limits([RAIN], 0.0)
    limits.judge("rain", 4990, Quality.GOOD, 0.0)
    [alarm] = limits.judge("rain", 20, Quality.GOOD, 60.0)
    assert alarm.basis is not None
    assert (alarm.value, alarm.threshold, alarm.basis.window_s, alarm.basis.inputs) == (
        5010,
        5000,
        43_200,
        (("rain", 20),),
    )
    point = Point("rain", "mm", Decimal("0.01"), None, None, 60_000, "d")
    assert alarm.words(point) == "BLUE raised: sum of rain in 43200 s 50.10 mm, above 50.00 mm"
