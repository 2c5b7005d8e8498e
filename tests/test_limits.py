"""The threshold engine: the plain stories, and a slow oracle that looks at the whole history each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.contract import Alarm, Change, Level, Quality, Rule
from edge.limits import EVIDENCE, Limit, Limits

LEVELS = ((Level.BLUE, 10), (Level.YELLOW, 20), (Level.ORANGE, 30), (Level.RED, 40))
Sample = tuple[float, int | None, Quality]


def above(**more: object) -> Limit:
    return Limit("high", "p", Rule.ABOVE, LEVELS, **more)  # type: ignore[arg-type]


def play(limit: Limit, samples: list[Sample]) -> list[Alarm]:
    limits = Limits([limit], 0.0)
    return [alarm for now_s, value, quality in samples for alarm in limits.judge("p", value, quality, now_s)]


def good(*values: int | None) -> list[Sample]:
    return [(float(i), v, Quality.GOOD if v is not None else Quality.NO_ANSWER) for i, v in enumerate(values)]


def told(alarms: list[Alarm]) -> list[tuple[Level, Change, int | None, int]]:
    return [(a.level, a.change, a.value, a.threshold) for a in alarms]


def test_a_rise_and_fall_is_told_step_by_step() -> None:
    assert told(play(above(), good(5, 20, 45, 30, 9))) == [
        (Level.YELLOW, Change.RAISED, 20, 20),
        (Level.RED, Change.CHANGED, 45, 40),
        (Level.ORANGE, Change.CHANGED, 30, 30),
        (Level.NONE, Change.CLEARED, 9, 30),
    ]


def test_below_is_above_upside_down() -> None:
    limit = Limit("low", "p", Rule.BELOW, ((Level.YELLOW, -20), (Level.RED, -40)))
    assert told(play(limit, good(0, -20, -41, 0))) == [
        (Level.YELLOW, Change.RAISED, -20, -20),
        (Level.RED, Change.CHANGED, -41, -40),
        (Level.NONE, Change.CLEARED, 0, -40),
    ]


def test_hysteresis_keeps_a_level_until_the_value_is_well_back() -> None:
    assert told(play(above(hysteresis=3), good(40, 38, 37, 36))) == [
        (Level.RED, Change.RAISED, 40, 40),
        (Level.ORANGE, Change.CHANGED, 36, 30),
    ]


def test_hold_raises_only_what_lasts_and_each_level_by_itself() -> None:
    assert play(above(hold_s=2), good(40, 9, 40, 9)) == []
    # It swings between orange and red: orange lasts, red does not.
    assert told(play(above(hold_s=2), good(30, 45, 31, 45, 31))) == [(Level.ORANGE, Change.RAISED, 31, 30)]


def test_a_sensor_that_gives_no_value_neither_ends_nor_starts_anything() -> None:
    assert told(play(above(hold_s=2), good(40, None, 40))) == [(Level.RED, Change.RAISED, 40, 40)]
    assert told(play(above(), good(40, None, None))) == [(Level.RED, Change.RAISED, 40, 40)]


def test_over_range_is_evidence_and_suspect_is_not() -> None:
    assert told(play(above(), [(0.0, 99, Quality.OVER_RANGE)])) == [(Level.RED, Change.RAISED, 99, 40)]
    assert play(above(), [(0.0, 99, Quality.SUSPECT)]) == []


def test_silence_is_told_and_its_end() -> None:
    limits = Limits([Limit("quiet", "p", Rule.STALE, ((Level.YELLOW, 60), (Level.RED, 300)))], 100.0)
    assert limits.tick(159.9) == []
    assert told(limits.tick(160.0)) == [(Level.YELLOW, Change.RAISED, None, 60)]
    assert limits.judge("p", None, Quality.NO_ANSWER, 170.0) == []
    assert told(limits.tick(400.0)) == [(Level.RED, Change.CHANGED, None, 300)]
    assert told(limits.judge("p", 1, Quality.GOOD, 401.0)) == [(Level.NONE, Change.CLEARED, None, 300)]


def test_a_restart_neither_repeats_an_alarm_nor_forgets_its_end() -> None:
    limits = Limits([above(clear_hold_s=2)], 0.0)
    limits.restore({"high": (Level.RED, 45), "gone": (Level.RED, 1)})
    assert limits.levels() == {"high": Level.RED}
    assert limits.judge("p", 45, Quality.GOOD, 1.0) == []
    assert limits.judge("p", 5, Quality.GOOD, 2.0) == []
    assert told(limits.judge("p", 5, Quality.GOOD, 4.0)) == [(Level.NONE, Change.CLEARED, 5, 40)]


def test_after_its_standing_was_lost_a_limit_tells_once_how_it_stands() -> None:
    """The province may hold an alarm that ended while nobody remembered it."""
    limits = Limits([above(hysteresis=2, clear_hold_s=2)], 0.0)
    limits.forget(limits.judged)
    assert limits.judge("p", 9, Quality.GOOD, 1.0) == []  # within the hysteresis: it may stand still
    assert limits.judge("p", 5, Quality.GOOD, 2.0) == []
    assert limits.judge("p", 5, Quality.GOOD, 3.0) == []
    assert told(limits.judge("p", 5, Quality.GOOD, 4.0)) == [(Level.NONE, Change.CLEARED, 5, 10)]
    assert limits.judge("p", 5, Quality.GOOD, 9.0) == []


def test_a_level_that_stands_after_its_standing_was_lost_is_told_as_raised_and_nothing_more() -> None:
    limits = Limits([above(hold_s=1)], 0.0)
    limits.forget(limits.judged)
    assert limits.judge("p", 25, Quality.GOOD, 1.0) == []
    assert told(limits.judge("p", 25, Quality.GOOD, 2.0)) == [(Level.YELLOW, Change.RAISED, 25, 20)]
    assert told(limits.judge("p", 5, Quality.GOOD, 3.0) + limits.judge("p", 5, Quality.GOOD, 4.0)) == [
        (Level.NONE, Change.CLEARED, 5, 20)
    ]


def test_what_is_known_of_a_limit_is_not_told_again_though_others_are_forgotten() -> None:
    silence = Limit("quiet", "p", Rule.STALE, ((Level.YELLOW, 60),))
    limits = Limits([above(), silence], 0.0)
    limits.restore({"high": (Level.NONE, 3)})
    limits.forget({"quiet"})
    assert [alarm.limit for alarm in limits.judge("p", 3, Quality.GOOD, 1.0)] == ["quiet"]
    assert limits.judge("p", 3, Quality.GOOD, 2.0) == []


def oracle(limit: Limit, history: list[Sample]) -> Level:
    """The level after a history, found by walking it anew for each level: what the words of the file's head say."""
    level = Level.NONE
    for wanted, threshold in limit.thresholds:
        is_set, since = False, None
        for now_s, value, quality in history:
            if value is None or quality not in EVIDENCE:
                continue
            leave = value < threshold - limit.hysteresis if is_set else value >= threshold
            since = (now_s if since is None else since) if leave else None
            hold_s = limit.clear_hold_s if is_set else limit.hold_s
            if since is not None and now_s - since >= hold_s:
                is_set, since = not is_set, None
        if is_set:
            level = max(level, wanted)
    return level


@given(
    st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 50)), st.sampled_from(Quality))),
    st.integers(0, 9),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_it_agrees_with_the_oracle_at_every_step(
    steps: list[tuple[int, int | None, Quality]], hysteresis: int, hold: int, clear_hold: int
) -> None:
    limit = above(hysteresis=hysteresis, hold_s=hold, clear_hold_s=clear_hold)
    limits = Limits([limit], 0.0)
    history: list[Sample] = []
    now_s, level = 0.0, Level.NONE
    for pause_s, value, quality in steps:
        now_s += pause_s
        history.append((now_s, value, quality))
        changed = limits.judge("p", value, quality, now_s)
        expected = oracle(limit, history)
        assert limits.levels()["high"] is expected
        assert [alarm.level for alarm in changed] == ([] if expected is level else [expected])
        level = expected
