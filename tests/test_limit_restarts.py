"""What limits know over power cuts at any moment, slow and spoilt disks, clocks nobody trusts."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import BUILT_MS, Clock
from edge.contract import Alarm, Level, Of, Quality, Rule
from edge.entries import Before, Standing
from edge.limit_memory import FILE, HEARD_MOST, LimitMemory
from edge.limit_note import born
from edge.limit_nouns import Limit
from edge.limit_state import load, save
from edge.limits import Limits
from edge.measure_nouns import Spec
from sim.virtual import run
from tests.test_limits_rules import EVERY_KIND

NONE, YELLOW, RED = Level.NONE, Level.YELLOW, Level.RED
START_MS = BUILT_MS + 86_400_000
COUNTER = Spec(Of.SUM, 60.0, "mm", Decimal(1), 86_400, counter=True)
STORM = Limit("storm", "p", Rule.ABOVE, ((RED, 100),), spec=COUNTER)
RATE = Limit("rate", "p", Rule.ABOVE, ((RED, 50),), spec=Spec(Of.RATE, 60.0, "mm", Decimal(1), 86_400, factor=3600.0))
TOTAL = Limit("moved", "p", Rule.ABOVE, ((RED, 100),), spec=Spec(Of.TOTAL, 60.0, "mm", Decimal(1)))
QUIET = Limit("quiet", "p", Rule.STALE, ((RED, 12 * 3600),))


class Box:
    """A gateway's limits through several lives: its disk, its store (rows, standings), its wall clock."""

    def __init__(self, folder: Path, *limits: Limit, boot: int = 0) -> None:
        self.folder, self.plan = folder, limits
        self.rows: dict[int, bytes] = {}
        self.standings: dict[str, Standing] = {}
        self.told: list[Alarm] = []
        self.said: list[str] = []
        self.boot = boot
        self.read_s = 0.0  # how long the disk takes for a call
        self.wall_ms, self.trusted, self.durable = START_MS, True, True
        self.note = born()
        self._known: set[str] = set()  # limits of which something has been told

    @property
    def identity(self) -> bytes:
        return self.note.identity

    async def _blocking(self, work: Callable[[], Any]) -> Any:
        await asyncio.sleep(self.read_s)
        return work()

    async def start(self, *, stepped_ms: int = 0, boot: bool = True) -> int:
        """A new life: of the same boot, or with a wall clock that is `stepped_ms` from the true time."""
        loop = asyncio.get_running_loop()
        self.boot += boot
        self.limits = Limits(self.plan, loop.time())
        wall = lambda: self.wall_ms + stepped_ms + round(loop.time() * 1000)  # noqa: E731
        self.clock = Clock(wall, loop.time, lambda: self.trusted, self.boot)
        self._known = set()
        self.memory = LimitMemory(
            *(self.limits, self.folder, self.clock, self._blocking, lambda: self),
            *(lambda about, text: self.said.append(text), None, lambda: self._known, self.raised, "mine"),
        )
        restored = await self.memory.load(*(self._before() if self.durable else (None, ())))
        self.raised(self.limits.tick(loop.time()))
        return restored

    def come(self) -> None:
        """The store was opened after all."""
        self.durable = True
        self.memory.came(*self._before())
        self.raised(self.limits.tick(asyncio.get_running_loop().time()))

    def _before(self) -> tuple[Before, list[Standing]]:
        late = [standing for limit, standing in self.standings.items() if limit not in self._known]
        self._known |= self.standings.keys()
        return Before(late, sorted(self.rows.items()), self.note), late

    def raised(self, alarms: Any) -> None:
        self.told += alarms
        self._known |= {alarm.limit for alarm in alarms}
        self.standings |= {a.limit: Standing(a.limit, a.level, a.value, 0) for a in alarms}

    def read(self, point: str, value: int | None, quality: Quality = Quality.GOOD) -> list[Level]:
        """A reading, and its commit."""
        now_s = asyncio.get_running_loop().time()
        changed = self.limits.judge(point, value, quality, now_s)
        self.memory.note(point, value, quality, now_s)
        self.raised(changed)
        self.commit()
        return [alarm.level for alarm in changed]

    def commit(self) -> None:
        rows = self.memory.tail.rows()
        if self.durable:
            self.rows |= dict(rows.add)
            self.rows = {number: row for number, row in self.rows.items() if number >= rows.saved}
            if rows.unknown is not None:
                self.note = self.note._replace(lost=False, unknown=frozenset(rows.unknown))
        self.memory.tail.written(rows)

    async def climb(self, first: int, readings: int, by: int) -> list[Level]:
        """A reading each minute."""
        told = []
        for index in range(readings):
            told += self.read("p", first + by * index)
            await asyncio.sleep(60)
        return told


# -- at any moment -----------------------------------------------------------------------------------------------------

MORE = [
    Limit(
        *("angle", "q", Rule.ABOVE, ((YELLOW, 600), (RED, 800)), 0, 4.0),
        spec=Spec(Of.TANGENT_ANGLE, 2.0, "deg", Decimal("0.1"), 24, 10.0, uniform=1.0),
    ),
    Limit(
        *("ahead", "q", Rule.BELOW, ((YELLOW, 600), (RED, 100))),
        spec=Spec(Of.TIME_TO_FAILURE, 2.0, "s", Decimal("0.1"), 32, 10.0),
    ),
    Limit("count", "q", Rule.ABOVE, ((RED, 60),), spec=Spec(Of.SUM, 2.0, "mm", Decimal(1), 30, counter=True)),
    Limit("dies", "q", Rule.ABOVE, ((RED, 20),), hold_s=6.0, every_s=2.0),
]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 2, 2, 7]),
        st.sampled_from("ppqq"),
        st.integers(0, 45),
        st.sampled_from([Quality.GOOD] * 8 + [Quality.SUSPECT, Quality.NO_ANSWER, Quality.OVER_RANGE]),
        st.sampled_from(["", "", "", "", "", "save", "cut", "stop"]),
    ),
    max_size=80,
)


async def _played(folder: Path, events: list[Any], seed: int | None) -> list[tuple[str, Any]]:
    """What is told; with a seed over restarts, in the middle of any pause, each on a clock of its own."""
    chance = random.Random(seed)
    box = Box(folder, *EVERY_KIND, *MORE)
    await box.start()
    for pause_s, point, value, quality, what in events:
        before_s = 0.0
        if seed is not None and what:
            if what in ("save", "stop"):
                await box.memory.save(last=what == "stop")
            if what in ("cut", "stop"):
                box.commit()
                before_s = chance.randrange(8) / 8  # of which UTC in ms tells all
                await asyncio.sleep(before_s)
                await box.start(boot=chance.random() < 0.5)
        await asyncio.sleep(pause_s - before_s)
        box.raised(box.limits.tick(asyncio.get_running_loop().time()))
        box.read(point, value if quality is not Quality.NO_ANSWER else None, quality)
    return [(alarm.limit, (alarm.level, alarm.change, alarm.value)) for alarm in box.told]


@given(EVENTS, st.integers(0, 10**6))
@settings(max_examples=120, deadline=None)
def test_power_cuts_and_stops_at_any_moment_change_no_alarm(events: list[Any], seed: int) -> None:
    """Silence counts only while somebody listens: what it raises comes later, and is looked at by itself below."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        without = run(_played(Path(one), events, None))
        told = run(_played(Path(other), events, seed))
    silent = ("quiet", "dies")
    heard, expected = ([one for one in run_ if one[0] not in silent] for run_ in (told, without))
    assert [(limit, how[:2]) for limit, how in heard] == [(limit, how[:2]) for limit, how in expected]
    for (_, (_, _, value)), (_, (_, _, other)) in zip(heard, expected, strict=True):
        assert abs((value or 0) - (other or 0)) <= 1, "a rate of just a half may be rounded either way"


@given(
    st.lists(st.tuples(st.integers(0, 45), st.booleans(), st.booleans()), min_size=30, max_size=90),
    st.sampled_from([limit for limit in [*EVERY_KIND, *MORE] if limit.rule is Rule.ABOVE]),
)
@settings(max_examples=150, deadline=None)
def test_an_older_file_alone_never_ends_what_stands_and_in_the_end_all_is_as_without(
    steps: list[tuple[int, bool, bool]], limit: Limit
) -> None:
    """The store's rows are gone, the file is some readings old: levels are the store's."""
    whole, box, now_s, saved = Limits([limit], 0.0), Limits([limit], 0.0), 0.0, b""
    for value, keep, cut in steps:
        now_s += 2.0
        if cut and saved:
            anew = Limits([limit], now_s)
            load(anew, saved[0], now_s, now_s - saved[1])  # type: ignore[arg-type]
            anew.restore({limit.id: (box.levels()[limit.id], None)})
            assert anew.levels() == box.levels()
            box = anew
        for engine in (whole, box):
            engine.judge(limit.point, value, Quality.GOOD, now_s)
            if limit.spec and limit.spec.other:
                engine.judge(limit.spec.other, 0, Quality.GOOD, now_s)
        if keep:
            saved = (save(box, now_s), now_s)  # type: ignore[assignment]
    for _ in range(80):
        now_s += 2.0
        for engine in (whole, box):
            engine.judge(limit.point, 5, Quality.GOOD, now_s)
            if limit.spec and limit.spec.other:
                engine.judge(limit.spec.other, 0, Quality.GOOD, now_s)
    if limit.spec is None or limit.spec.of is not Of.TOTAL:  # a zero that was lost is lost
        assert box.levels() == whole.levels()


# -- the file is late, or spoilt ---------------------------------------------------------------------------------------


def test_a_file_that_takes_long_is_no_missing_file(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, STORM)
        await box.start()
        assert await box.climb(0, 20, 10) == [RED]
        await box.memory.save()
        box.rows.clear()
        file = (tmp_path / FILE).read_bytes()
        box.read_s = 30.0
        assert await box.start() == 0
        assert box.read("p", 191) == []  # no cleared
        await box.memory.save()
        assert (tmp_path / FILE).read_bytes() == file
        running = asyncio.ensure_future(box.memory.run())
        assert await box.climb(192, 5, 1) == []
        assert "takes long to read" in box.said[0]
        assert "has been read" in box.said[1]
        assert box.limits.judged["storm"].parts[0].value == 196
        assert await box.climb(197, 23 * 60, 0) == []
        assert await box.climb(197, 60, 0) == [NONE]  # 24 h after the rain
        assert (tmp_path / FILE).read_bytes() != file
        running.cancel()

    run(story())


def test_what_was_missed_while_the_file_was_awaited_is_told_when_it_is_there(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, STORM, Limit("any", "p", Rule.COMBINED, (), members=("storm",)))
        await box.start()
        assert await box.climb(0, 10, 10) == []
        await box.memory.save()
        box.read_s = 90.0
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        assert await box.climb(95, 1, 10) == []
        assert box.read("p", 105) == []
        assert box.told == []
        await asyncio.sleep(40)
        assert [(alarm.limit, alarm.level, alarm.value) for alarm in box.told] == [("storm", RED, 105), ("any", RED, 1)]
        running.cancel()

    run(story())


def test_what_came_while_the_file_was_awaited_outlives_the_next_cut(tmp_path: Path) -> None:
    async def story() -> None:
        assert STORM.spec is not None
        box = Box(tmp_path, replace(STORM, spec=replace(STORM.spec, counter=False)))
        await box.start()
        assert await box.climb(5, 10, 0) == []
        await box.memory.save(last=True)
        box.commit()
        assert sorted(box.rows) == [10]  # the file has them, under their numbers
        box.read_s = 90.0
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        assert await box.climb(5, 2, 0) == []
        running.cancel()
        await box.start()  # and again, before the file was there
        running = asyncio.ensure_future(box.memory.run())
        assert await box.climb(5, 3, 0) == []
        running.cancel()
        box.read_s = 0.0
        await box.start()
        assert box.read("p", 5) == []
        assert box.limits.judged["storm"].parts[0].value == 5 * 16

    run(story())


def test_a_file_on_a_disk_that_comes_later_is_awaited(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, STORM)
        await box.start()
        await box.climb(0, 10, 10)
        await box.memory.save()
        file = (tmp_path / FILE).rename(tmp_path / "elsewhere")
        box.durable = False
        await box.start()
        assert await box.climb(91, 3, 1) == []
        await box.memory.save()
        assert not (tmp_path / FILE).exists()
        file.rename(tmp_path / FILE)
        box.come()
        running = asyncio.ensure_future(box.memory.run())
        await asyncio.sleep(30)
        assert box.read("p", 101) == [RED]
        running.cancel()

    run(story())


@pytest.mark.parametrize("spoilt", [b"", b"x" * 100, None])
def test_without_its_window_a_level_stands_until_that_has_been_seen_again(spoilt: bytes | None, tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, STORM, RATE, TOTAL)
        await box.start()
        await box.climb(0, 60 * 15, 2)
        assert {alarm.limit for alarm in box.told} == {"storm", "rate", "moved"}
        await box.memory.save()
        box.rows.clear()
        (tmp_path / FILE).unlink()
        if spoilt is not None:
            (tmp_path / FILE).write_bytes(spoilt)
        await box.start()
        assert ["damaged" in said for said in box.said] == [True] * (spoilt is not None)
        box.told.clear()
        await box.climb(3000, 60 * 30, 0)
        ended = [(alarm.limit, alarm.level) for alarm in box.told]
        assert ended == [("storm", NONE), ("rate", NONE)]  # whose zero is lost stands on: nobody knows from where

    run(story())


def test_thresholds_that_are_others_do_not_hold_a_level_over_a_window_that_is_there() -> None:
    limits = Limits([STORM], 0.0)
    for at in range(0, 100_000, 1000):
        limits.judge("p", at // 500, Quality.GOOD, float(at))
    other = Limits([replace(STORM, thresholds=((RED, 500),))], 100_000.0)
    load(other, save(limits, 100_000.0), 100_000.0, 0.0)
    other.restore({"storm": (RED, 150)})
    assert [alarm.level for alarm in other.judge("p", 200, Quality.GOOD, 100_060.0)] == [NONE]


# -- clocks ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_nobody_confirmed_makes_no_sum_older_and_no_rate_faster(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, STORM)
        box.trusted = False
        await box.start(stepped_ms=-60 * 86_400_000 + 86_000_000)  # months behind: nobody has confirmed it
        assert await box.climb(0, 20, 10) == [RED]
        await box.memory.save()
        box.trusted = True  # and right after the start
        await box.start()
        assert box.read("p", 191) == []
        assert box.limits.judged["storm"].parts[0].value == 191

    run(story())


def test_twelve_hours_in_the_dark_that_look_like_seconds_are_no_creep(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, RATE)
        await box.start()
        assert await box.climb(0, 24 * 60, 0) == []
        await box.memory.save()
        await asyncio.sleep(12 * 3600)
        box.trusted = False
        await box.start(stepped_ms=-12 * 3_600_000 + 15_000)  # the clock stood still meanwhile
        assert await box.climb(360, 24 * 60, 0) == []  # 30 an hour in the dark, of 50 allowed

    run(story())


def test_the_time_in_the_dark_that_is_learnt_later_counts_from_the_start(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, RATE, STORM)
        await box.start()
        assert await box.climb(0, 12 * 60, 0) == []
        assert await box.climb(0, 30, 3) == []  # 87 mm
        await box.memory.save()
        await asyncio.sleep(23.9 * 3600)
        box.trusted = False
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        assert await box.climb(88, 30, 1) == [RED]  # nobody knows how old the 87 are: all of them count
        assert len(box.memory._heard or ()) == 30 < HEARD_MOST
        box.trusted = True
        box.clock.update()
        await asyncio.sleep(20)
        assert [alarm.level for alarm in box.told] == [RED, NONE]
        assert box.limits.judged["storm"].parts[0].value == 30  # the 87 are more than a day old
        assert box.memory._heard is None
        running.cancel()

    run(story())
