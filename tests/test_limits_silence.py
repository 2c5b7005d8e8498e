"""Silence, doubt and roll-ups against oracles of their own words, over restarts; and what a start may not change."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Level, Quality, Rule
from edge.hurry import Hurry
from edge.limit_members import verdict
from edge.limit_state import load, save
from edge.limits import Limit, Limits
from edge.measure_creep import FAR_S, forecast

NONE, BLUE, YELLOW, ORANGE, RED = Level
WAITS = ((BLUE, 5), (ORANGE, 9), (RED, 20))
SILENT = [Limit("silent", "p", Rule.STALE, WAITS), Limit("doubtful", "p", Rule.SUSPECT, WAITS)]
MOMENTS = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from([*Quality, Quality.SUSPECT, Quality.SUSPECT])), max_size=60
)


def waited(seconds: float) -> Level:
    return max((level for level, needed in WAITS if seconds >= needed), default=NONE)


def restarted(limits: Limits, now_s: float, shift_s: float) -> Limits:
    """A clean end and a start at once, on a clock that counts from elsewhere."""
    other = Limits(SILENT, now_s + shift_s)
    other.begin(now_s + shift_s)
    load(other, save(limits, now_s), now_s + shift_s, 0.0)
    other.restore({limit_id: (state.level, None) for limit_id, state in limits.judged.items()})
    return other


@given(MOMENTS, st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_silence_and_doubt_are_what_the_history_says_over_restarts(
    moments: list[tuple[int, Quality]], seed: int
) -> None:
    chance, shift_s, now_s = random.Random(seed), 0.0, 0.0
    limits = Limits(SILENT, 0.0)
    evidence_s, doubts_s = 0.0, list[float]()
    for pause_s, quality in moments:
        now_s += pause_s
        if chance.random() < 0.2:
            more_s = float(chance.randrange(-500, 100_000))
            limits = restarted(limits, now_s + shift_s, more_s)
            shift_s += more_s
        value = 7 if quality in (Quality.GOOD, Quality.OVER_RANGE, Quality.SUSPECT) else None
        limits.tick(now_s + shift_s)
        assert limits.levels()["silent"] is waited(now_s - evidence_s)
        limits.judge("p", value, quality, now_s + shift_s)
        if quality in (Quality.GOOD, Quality.OVER_RANGE):
            evidence_s, doubts_s = now_s, []
        elif quality is Quality.SUSPECT:
            doubts_s.append(now_s)
        assert limits.levels()["silent"] is waited(now_s - evidence_s)
        assert limits.levels()["doubtful"] is (waited(doubts_s[-1] - doubts_s[0]) if doubts_s else NONE)


def test_silence_counts_from_where_the_gateway_began_to_listen() -> None:
    limits = Limits(SILENT, 0.0)
    limits.begin(30.0)  # the disk had taken its time
    assert limits.tick(34.0) == []
    assert [alarm.level for alarm in limits.tick(35.0)] == [BLUE]


ITEMS = st.lists(
    st.sampled_from([(YELLOW, BLUE), (ORANGE, BLUE), (ORANGE, YELLOW), (RED, YELLOW), (RED, ORANGE)]).flatmap(
        lambda item: st.tuples(st.just(item[0]), st.integers(1, 6), st.just(item[1]))
    ),
    max_size=5,
    unique_by=lambda item: item[0],
)


@given(ITEMS, st.lists(st.sampled_from(Level), min_size=1, max_size=14))
def test_a_roll_up_is_what_counting_heads_says(items: list[tuple[Level, int, Level]], members: list[Level]) -> None:
    """GB 51108-2015, 8.3: heads of a level or worse are counted; so many blue ones as make a yellow one are, together,
    one more head that is yellow."""
    heads = Counter(members)
    for level, needed, of in items:
        if (level, of) == (YELLOW, BLUE):
            heads["one more yellow"] = heads[BLUE] // needed  # type: ignore[index]
    expected = max(members)
    for level, needed, of in items:
        standing = sum(heads[each] for each in Level if each >= of)
        standing += heads["one more yellow"] if of is YELLOW else 0  # type: ignore[index]
        if standing >= needed:
            expected = max(expected, level)
    limit = Limit("item", "p", Rule.COMBINED, (), members=("a",), rollup=tuple(sorted(items)))
    assert verdict(limit, members)[0] is expected


@pytest.mark.parametrize(("value", "side"), [(45, 40), (5, 10)])
def test_of_a_band_the_side_that_stood_is_the_one_that_stands_after_a_start(value: int, side: int) -> None:
    """With both set, the level would outlast its end on the other side's account."""
    band = Limit("band", "p", Rule.OUTSIDE, ((RED, 10), (RED, 40)), hysteresis=3, clear_hold_s=60.0)
    limits = Limits([band], 0.0)
    limits.restore({"band": (RED, value)})
    assert [latch.set for latch in limits.judged["band"].parts[0].latches] == [value < 10, value > 40]
    assert limits.judged["band"].threshold == side


class Paced:
    def __init__(self, asked: bool = True) -> None:
        self.asked = asked
        self.paces: dict[int, int] = {}

    def hurries(self, every_ms: int) -> bool:
        return self.asked

    def may_pace(self) -> None:
        pass

    def pace(self, paces: dict[int, int]) -> None:
        self.paces = paces


class Site:
    """What `Hurry` looks at of a site."""

    def __init__(self, *faster_ms: int) -> None:
        class Named:
            def __init__(self, **what: object) -> None:
                self.__dict__.update(what)

        self.points = [Named(id="p", every_ms=60_000)]
        self.limits = [Named(id=f"x{i}", point="p", while_raised_ms=ms) for i, ms in enumerate(faster_ms)]


@pytest.mark.parametrize("faster_ms", [(1000, 5000), (5000, 1000), (5000, 1000, 20_000)])
def test_the_fastest_that_is_wanted_is_read(faster_ms: tuple[int, ...]) -> None:
    limits = Limits([Limit(f"x{i}", "p", Rule.ABOVE, ((RED, 10),)) for i in range(len(faster_ms))], 0.0)
    intake = Paced()
    hurry = Hurry(Site(*faster_ms), limits, intake)  # type: ignore[arg-type]
    hurry.look()
    assert intake.paces == {}
    limits.judge("p", 11, Quality.GOOD, 0.0)
    hurry.look()
    assert intake.paces == {60_000: 1000}


def test_what_speaks_by_itself_is_not_hurried() -> None:
    limits = Limits([Limit("x0", "p", Rule.ABOVE, ((RED, 10),))], 0.0)
    intake = Paced(asked=False)
    hurry = Hurry(Site(1000), limits, intake)  # type: ignore[arg-type]
    limits.judge("p", 11, Quality.GOOD, 0.0)
    hurry.look()
    assert intake.paces == {}


def test_a_velocity_within_the_noise_is_no_forecast() -> None:
    """Sixteen medians of a movement that accelerates: 20 steps in all, a quarter of which may be noise."""
    dots = [(3600.0 * i, 40.0 / (18 - i)) for i in range(16)]
    assert forecast(dots, 54_000.0, 0.0)[0] < FAR_S
    assert forecast(dots, 54_000.0, 2.0)[0] < FAR_S
    assert forecast(dots, 54_000.0, 4.0)[0] == FAR_S
