"""The plan of outputs, pure: how long, because of what, in which pattern."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from edge.actions import DRILL_MOST_S, Action, Actions
from edge.contract import Alarm, Change, Level, Rule

WAIL = Action("wail", ("a", "b"), Level.ORANGE, "siren", 60.0, (2.0, 1.0))
CALL = Action("call", ("c",), Level.BLUE, "siren", 30.0)
CUT = Action("cut", ("a",), Level.RED, "feeder", inf)
LEAVES = {name: {name} for name in "abc"}


def actions(*given: Action) -> Actions:
    return Actions({"siren": False, "feeder": True}, given or (WAIL, CALL, CUT), LEAVES)


def alarm(limit: str, level: Level, *, drill: bool = False) -> Alarm:
    change = Change.RAISED if level else Change.CLEARED
    return Alarm(limit, "p", level, change, Rule.ABOVE, 1, 1, 0, drill=drill)


def test_the_highest_level_says_the_pattern_and_all_are_named() -> None:
    plan = actions()
    plan.alarm(alarm("c", Level.YELLOW), 0.0)
    assert plan.wanted("siren", 2.5)[:3] == (True, 30.0, ("call",))
    plan.alarm(alarm("a", Level.RED), 1.0)
    assert plan.wanted("siren", 3.5)[:3] == (False, 4.0, ("call", "wail"))
    assert plan.wanted("siren", 4.0)[0] is True
    assert plan.wanted("siren", 30.0).by == ("wail",)


def test_worse_begins_the_time_anew_and_less_does_not() -> None:
    plan = actions(WAIL)
    plan.alarm(alarm("a", Level.ORANGE), 0.0)
    plan.alarm(alarm("a", Level.RED), 50.0)
    plan.alarm(alarm("a", Level.ORANGE), 100.0)
    assert plan.wanted("siren", 109.9).by == ("wail",)
    assert plan.wanted("siren", 110.0) == (False, inf, (), "", False, None, inf)
    plan.alarm(alarm("b", Level.ORANGE), 120.0)
    assert plan.wanted("siren", 120.0).on, "another limit is another alarm"


def test_another_limits_lesser_alarm_begins_nothing_anew() -> None:
    plan = actions(WAIL)
    plan.alarm(alarm("a", Level.RED), 0.0)
    plan.alarm(alarm("b", Level.BLUE), 10.0)
    assert plan.wanted("siren", 59.9).by == ("wail",)
    plan.alarm(alarm("b", Level.YELLOW), 70.0)
    assert not plan.wanted("siren", 71.0).on
    plan.alarm(alarm("b", Level.ORANGE), 80.0)
    assert plan.wanted("siren", 139.9).by == ("wail",), "another limit is another alarm"


def test_a_lamp_comes_for_its_level_alone_and_again_when_a_worse_one_ends() -> None:
    lamp = Action("lamp", ("a", "b"), Level.ORANGE, "siren", 60.0, only=True)
    plan = actions(lamp)
    plan.alarm(alarm("a", Level.ORANGE), 0.0)
    plan.alarm(alarm("b", Level.YELLOW), 50.0)
    assert not plan.wanted("siren", 60.0).on, "yellow has a lamp of its own"
    plan.alarm(alarm("b", Level.ORANGE), 70.0)
    assert plan.wanted("siren", 129.0).on
    plan.alarm(alarm("b", Level.RED), 140.0)
    assert not plan.wanted("siren", 141.0).on
    plan.alarm(alarm("b", Level.NONE), 150.0)
    assert plan.wanted("siren", 209.0).on


def test_a_drill_never_lasts_and_never_hides_an_alarm() -> None:
    plan = actions(CALL)
    plan.alarm(alarm("c", Level.RED, drill=True), 0.0)
    assert plan.wanted("siren", 1.0).drill
    plan.alarm(alarm("c", Level.BLUE), 2.0)
    assert not plan.wanted("siren", 3.0).drill
    plan.alarm(alarm("c", Level.NONE, drill=True), 4.0)
    assert plan.wanted("siren", 5.0).on
    plan.drill("siren", 1e9, 100.0)
    assert not plan.wanted("siren", 100.0 + DRILL_MOST_S).on


def test_what_rests_on_waits_until_its_limits_are_sure_and_comes_back_with_the_level_alone() -> None:
    plan = actions()
    assert plan.waits_for == {"a"}
    assert not plan.wanted("feeder", 0.0).on
    assert plan.sure("a") == {"feeder"}
    assert plan.wanted("feeder", 0.0).on
    plan.judged(alarm("a", Level.RED), 1.0)
    assert plan.wanted("feeder", 1e6)[:2] == (False, inf)
    plan.judged(alarm("a", Level.ORANGE), 2e6)
    assert plan.wanted("feeder", 2e6).on


LIMITS = st.sampled_from("abc")
STEPS = st.lists(st.tuples(LIMITS, st.sampled_from(Level), st.floats(0, 40), st.booleans()), max_size=30)


@given(STEPS)
def test_never_on_longer_than_the_maximum_after_the_last_alarm_and_never_without_one(
    steps: list[tuple[str, Level, float, bool]],
) -> None:
    plan, now_s, last_s = actions(), 0.0, -inf
    for limit, level, pause_s, drill in steps:
        plan.alarm(alarm(limit, level, drill=drill), now_s)
        last_s = now_s if level else last_s
        until_s = now_s + pause_s
        while now_s < until_s:
            wanted = plan.wanted("siren", now_s)
            assert wanted.until_s > now_s
            assert not wanted.on or now_s < wanted.last_s <= last_s + WAIL.max_on_s
            now_s = min(until_s, wanted.until_s)
    assert not plan.wanted("siren", last_s + WAIL.max_on_s + 1e-6).on


@given(STEPS)
def test_on_exactly_while_an_action_asks(steps: list[tuple[str, Level, float, bool]]) -> None:
    """Against a plain account of what stands: steady actions only."""
    wail = Action("wail", ("a", "b"), Level.ORANGE, "siren", 60.0)
    plan, now_s = actions(wail), 0.0
    levels, began_s = {"a": Level.NONE, "b": Level.NONE}, -inf
    for limit, level, pause_s, _ in steps:
        plan.alarm(alarm(limit, level), now_s)
        if limit in levels:
            worse, levels[limit] = level > levels[limit], level
            began_s = now_s if worse and level >= Level.ORANGE else began_s
        stands = max(levels.values()) >= Level.ORANGE
        assert plan.wanted("siren", now_s).on == (stands and now_s < began_s + 60.0)
        now_s += pause_s


def test_after_a_restart_the_newest_alarm_counts_in_whatever_order_they_are_read() -> None:
    for standing in (
        {"a": (Level.RED, 110.0), "b": (Level.RED, 10.0)},
        {"b": (Level.RED, 10.0), "a": (Level.RED, 110.0)},
    ):
        plan = actions(Action("wail", ("a", "b"), Level.ORANGE, "siren", 60.0))
        plan.restore(standing, 110.0)
        assert plan.wanted("siren", 159.9).on
        assert not plan.wanted("siren", 160.0).on


def test_a_late_store_takes_nothing_from_an_alarm_of_this_run() -> None:
    for ago_s in (3600.0, 55.0):
        plan = actions(Action("wail", ("a", "b"), Level.ORANGE, "siren", 60.0))
        plan.alarm(alarm("a", Level.ORANGE), 100.0)
        plan.restore({"b": (Level.RED, ago_s)}, 105.0)
        assert plan.wanted("siren", 159.9).on
        assert plan.wanted("siren", 159.9).lead == ("wail", Level.RED, 100.0)
        plan.alarm(alarm("b", Level.NONE), 159.9)
        assert plan.wanted("siren", 159.9).on, "the other stands"
        assert not plan.wanted("siren", 160.0).on
