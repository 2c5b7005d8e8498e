"""What was lost for ever: the zero of a total, and for how long an alarm has stood by a clock nobody trusted."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from edge import limit_file, limit_memory, limit_tail
from edge.contract import ClockQuality, Level, Rule
from edge.entries import Rows, Standing
from edge.limit_memory import FILE
from edge.limit_note import EVERY, born
from edge.limit_nouns import Limit
from edge.measure_nouns import Spec
from edge.salvage import peek
from sim.virtual import run
from tests.test_limit_restarts import NONE, RED, START_MS, STORM, TOTAL, Box
from tests.test_outbox import opened


def test_a_total_whose_zero_is_lost_with_the_store_is_told_after_a_day(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, TOTAL, Limit("any", "", Rule.COMBINED, (), members=("moved",)))
        box.note = box.note._replace(lost=True)
        await box.start()
        assert "the zero of moved" in box.said[-1]
        await box.climb(500, 60 * 24, 0)
        assert box.told == []
        assert not box.limits.sure("moved")
        await box.climb(500, 2, 0)
        box.raised(box.limits.tick(asyncio.get_running_loop().time()))
        assert [(alarm.limit, alarm.level) for alarm in box.told] == [("moved", NONE), ("any", NONE)]
        assert box.limits.sure("moved")

    run(story())


def test_for_how_long_it_has_stood_is_none_where_nobody_knows(tmp_path: Path) -> None:
    trusted, free, unknown = ClockQuality.TRUSTED, ClockQuality.FREE, ClockQuality.UNKNOWN

    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        await box.start()
        await asyncio.sleep(1000)
        at_ms = START_MS + round(asyncio.get_running_loop().time() * 1000)
        for boot, monotonic_s, behind_ms, clock, ago_s in (
            (box.boot, 400.0, 3 * 3_600_000, free, 600.0),  # the machine's own clock knows
            (box.boot, 400.0, at_ms, unknown, 600.0),
            (box.boot + 7, 400.0, 600_000, trusted, 600.0),
            (box.boot + 7, 400.0, 3 * 3_600_000, free, 0.0),
            (0, 0.0, 3 * 3_600_000, unknown, 0.0),
        ):
            standing = Standing("storm", Level.RED, 5, at_ms - behind_ms, boot, monotonic_s, clock)
            assert round(box.memory.ago_s(standing)) == ago_s
        box.trusted = False
        await box.start()
        assert box.memory.ago_s(Standing("storm", Level.RED, 5, at_ms - 600_000, box.boot + 7, 400.0, trusted)) == 0.0

    run(story())
    store, _ = opened(tmp_path)
    known = START_MS, 3, 400.5, trusted
    stands = [Standing("storm", Level.RED, 5, *known, Level.NONE, "1 mm"), Standing("old", Level.NONE, None, 1)]
    store.commit([], limits=stands)
    assert sorted(store.stands(), key=lambda one: one.at_ms)[::-1] == stands
    store.close()
    before, _ = peek(tmp_path / "outbox.db")
    salvaged = before.standings if before else ()
    assert sorted(salvaged, key=lambda one: one.at_ms)[::-1] == stands, "of a store that can not be written, too"


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_that_can_not_be_written_is_said_and_what_that_costs(durable: bool, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.new").mkdir()

    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        await box.start()
        box.durable = durable
        box.read("p", 10)
        await box.memory.save()
        assert ("lies in the store alone" if durable else "the store is in memory: a power cut costs") in box.said[-1]

    run(story())


def test_a_file_that_can_not_even_be_moved_aside_is_not_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_path: Path, _target: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(limit_file, "READ_TRIES", 1)
    (tmp_path / FILE).mkdir()

    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        monkeypatch.setattr(Path, "replace", refused)
        await asyncio.sleep(60)
        running.cancel()
        said = "\n".join(box.said)
        assert "can still not be read nor be moved aside (Operation not permitted)" in said
        assert "is called" not in said

    run(story())


def test_rows_that_are_let_go_end_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file can not be written, and the store has room for the last ones only."""
    monkeypatch.setattr(limit_tail, "TAIL_ROWS", 30)

    async def story() -> None:
        box = Box(tmp_path, replace(STORM, spec=replace(cast(Spec, STORM.spec), counter=False)))
        await box.start()
        await box.climb(0, 30, 0)
        await box.memory.save()
        (tmp_path / f"{FILE}.new").mkdir()
        assert await box.climb(40, 3, 0) == [RED]
        assert await box.climb(0, 40, 0) == []
        assert len(box.rows) <= 31
        await box.start()
        assert "something is missing" in box.said[-1]
        assert await box.climb(0, 23 * 60, 0) == []
        assert await box.climb(0, 60, 0) == [NONE]

    run(story())


def test_rows_of_a_site_file_that_was_edited_while_the_file_was_late_are_judged(tmp_path: Path) -> None:
    async def story() -> None:
        rain = replace(STORM, spec=replace(cast(Spec, STORM.spec), counter=False))
        box = Box(tmp_path, rain)
        await box.start()
        assert await box.climb(9, 5, 0) == []
        await box.memory.save()
        box.plan, box.read_s = (rain, replace(rain, id="other", point="before p")), 3600.0
        await box.start()
        assert await box.climb(10, 5, 0) == []
        box.read_s = 0.0
        await box.start()
        assert box.limits.judged["storm"].parts[0].value is not None
        assert box.read("p", 10) == [RED], "45 and 50 and 10"
        assert not [said for said in box.said if "missing" in said]

    run(story())


def test_which_store_it_is_outlives_a_new_epoch(tmp_path: Path) -> None:
    store, _ = opened(tmp_path)
    store.commit([], tail=Rows(unknown=["moved"]))
    epoch, before = store.epoch, store.before().note
    assert (before.lost, before.unknown) == (False, frozenset({"moved"}))
    store.renew(lambda epoch, _seq, _bodies: (b"%d" % epoch, b"sheet"))
    before = before._replace(unknown=before.unknown | {EVERY})  # nobody knows any more what the province was told
    assert (store.epoch != epoch, store.before().note) == (True, before)
    store.close()
    again, _ = opened(tmp_path)
    assert (again.identity, again.before().note) == (before.identity, before)
    again.close()
    for change, lost in (("UPDATE under_way SET body = x'00'", True), ("DELETE FROM under_way", False)):
        db = sqlite3.connect(tmp_path / "outbox.db")
        db.execute(f"{change} WHERE name = 'limits'")
        db.commit()
        db.close()
        again, _ = opened(tmp_path)
        assert (again.before().note.lost, again.identity != before.identity) == (lost, True)
        again.close()


@pytest.mark.parametrize("spoilt", [True, False])
def test_a_store_that_is_gone_is_no_new_box(spoilt: bool, tmp_path: Path) -> None:
    """Power goes back below 100, is cut above 150: at 120 it depends on how it stood, which nobody knows."""
    gas = Limit("gas", "p", Rule.ABOVE, ((RED, 150),), clear=((RED, 100),))

    async def story() -> None:
        box = Box(tmp_path, gas)
        await box.start()
        box.read("p", 160)
        await box.memory.save()
        if spoilt:
            (tmp_path / FILE).write_bytes(b"x" * 100)
        box.note, box.rows, box.standings = born(), {}, {}
        for _ in range(2):  # also when the next start comes
            await box.start()
            box.read("p", 120)
            assert not box.limits.sure("gas")
            await box.memory.save()
            box.commit()
        box.read("p", 99)
        assert box.limits.sure("gas")

    run(story())


def test_what_the_store_holds_counts_where_the_file_is_awaited_for_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_memory, "HEARD_MOST", 5)

    async def story() -> None:
        box = Box(tmp_path, STORM)
        box.note = box.note._replace(lost=False)
        await box.start()
        await box.climb(0, 7, 10)  # 60, in the store alone
        (tmp_path / FILE).unlink(missing_ok=True)
        box.read_s = 1e6
        await box.start()
        assert await box.climb(60, 6, 10) == []
        assert box.limits.levels()["storm"] is RED, "60 before and 50 since"
        assert [alarm.level for alarm in box.told] == [RED]

    run(story())


GAS = Limit("gas", "g", Rule.ABOVE, ((RED, 150),))
FAN = Limit("fan", "f", Rule.BELOW, ((RED, 10),), hold_s=60.0)


async def _days_later(box: Box, *plan: Limit) -> list[tuple[str, Level]]:
    """What is told at a start without the store, before anything is read."""
    box.told.clear()
    box.plan = plan
    box.rows, box.standings, box.note = {}, {}, born()
    await box.start()
    return [(alarm.limit, alarm.level) for alarm in box.told]


def test_a_lost_store_tells_no_level_that_ended_long_before(tmp_path: Path) -> None:
    """A hold time had the file written while the gas was there; nothing has had it written since but its end."""

    async def story() -> None:
        box = Box(tmp_path, GAS, FAN)
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        box.read("f", 50)
        box.read("g", 200)
        await asyncio.sleep(400)
        for _ in range(8):
            box.read("f", 5)
            await asyncio.sleep(20)
        await asyncio.sleep(700)
        box.read("f", 50)
        await asyncio.sleep(700)
        assert box.read("g", 50) == [NONE]
        await asyncio.sleep(90)
        written = (tmp_path / FILE).stat().st_mtime_ns
        for _ in range(24 * 6):
            box.read("g", 50)
            box.read("f", 50)
            await asyncio.sleep(600)
        assert (tmp_path / FILE).stat().st_mtime_ns == written, "once, no oftener than levels move"
        running.cancel()
        assert await _days_later(box, GAS, FAN) == []

    run(story())


def test_a_site_that_measures_no_more_believes_no_level_of_the_file(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, GAS, STORM)
        await box.start()
        box.read("g", 200)
        box.read("p", 0)
        await box.memory.save(last=True)
        box.commit()
        box.plan = (GAS,)
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        assert box.read("g", 50) == [NONE]
        await asyncio.sleep(90_000)
        running.cancel()
        assert await _days_later(box, GAS) == []

    run(story())


# -- too late to be judged once more -----------------------------------------------------------------------------------


async def _zeroed(box: Box) -> asyncio.Task[None]:
    """The zero is at 0, which the file alone knows."""
    await box.start()
    assert await box.climb(0, 3, 0) == []
    await box.memory.save()
    assert await box.climb(60, 3, 0) == []
    await box.memory.save(last=True)
    box.commit()
    return asyncio.ensure_future(box.memory.run())


@pytest.mark.parametrize("late", ["the store", "the file"])
def test_a_zero_is_found_again_where_all_else_begins_anew(
    late: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_memory, "HEARD_MOST", 20)

    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        (await _zeroed(box)).cancel()
        box.durable, box.read_s = late == "the file", 3000.0 if late == "the file" else 0.0
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        assert await box.climb(90, 30, 0) == []
        assert "awaited for too long" in box.said[-1]
        box.read_s = 0.0
        if late == "the store":
            box.come()
        await asyncio.sleep(3000)
        assert box.read("p", 150) == [RED]
        await asyncio.sleep(400)
        running.cancel()
        box.commit()
        await box.start()
        assert box.limits.judged["moved"].parts[0].value == 150
        assert box.read("p", 50) == [NONE]

    run(story())


def test_a_zero_that_is_not_in_the_file_either_is_said_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_memory, "HEARD_MOST", 20)

    async def story() -> None:
        box = Box(tmp_path, TOTAL)
        (await _zeroed(box)).cancel()
        assert box.read("p", 150) == [RED]
        (tmp_path / FILE).unlink()
        box.rows = {number + 7: row for number, row in box.rows.items()}
        box.durable = False
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        await box.climb(150, 30, 0)
        box.come()
        await asyncio.sleep(60)
        assert any("the zero of moved can not be found" in said for said in box.said)
        assert await box.climb(150, 60 * 30, 0) == []
        assert box.limits.levels()["moved"] is RED
        running.cancel()

    run(story())
