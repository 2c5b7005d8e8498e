"""What limits know over restarts that go wrong: damaged rows, a file that can not be read, lives of seconds,
a past that is learnt late while an instrument is dead."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from typing import Any

import cbor2
import pytest

from edge import limit_memory, limit_past, limit_tail
from edge.contract import Of, Quality, Rule
from edge.entries import TAIL_ROWS, Rows
from edge.limit_memory import FILE
from edge.limit_nouns import Limit
from edge.limit_state import load, save
from edge.limit_tail import read
from edge.limits import Limits
from edge.measure_nouns import Spec
from sim.virtual import run
from tests.test_limit_restarts import NONE, RATE, RED, STORM, Box
from tests.test_outbox import opened

DEAD = Limit("dead", "gas", Rule.STALE, ((RED, 60),), every_s=10.0)
HELD = Limit("held", "level", Rule.ABOVE, ((RED, 100),), 50, hold_s=60.0, every_s=10.0)
BOTH = Limit("both", "", Rule.COMBINED, (), members=("dead", "held"))
RAIN = replace(STORM, spec=Spec(Of.SUM, 60.0, "mm", Decimal(1), 86_400))
MEAN = Limit("mean", "p", Rule.ABOVE, ((RED, 50),), spec=Spec(Of.MEAN, 60.0, "mm", Decimal(1), 600))


def now() -> float:
    return asyncio.get_running_loop().time()


# -- a past that is learnt late ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("what", ["the file", "the time"])
def test_what_silence_has_raised_stands_when_the_past_is_learnt(what: str, answers: bool, tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, replace(STORM, point="rain"), DEAD, HELD, BOTH)
        await box.start()
        for point in ("gas", "level", "rain"):
            box.read(point, 20)
        await box.memory.save(last=True)
        box.commit()
        await asyncio.sleep(60)
        if what == "the file":
            box.read_s = 400.0
        else:
            box.trusted = False
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        for turn in range(60):
            await asyncio.sleep(10)
            if turn < 3:
                box.read("level", 120)
            if answers and turn == 30:
                box.read("level", 80)  # which ends nothing that stands
            if turn == 40:
                box.trusted = True
                box.clock.update()
            box.raised(box.limits.tick(now()))
        assert box.memory._heard is None, "it has been learnt"
        assert [(alarm.limit, alarm.level) for alarm in box.told] == [("dead", RED), ("both", RED), ("held", RED)]
        running.cancel()

    run(story())


def test_more_than_can_be_judged_once_more_is_said_and_the_past_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_memory, "HEARD_MOST", 20)

    async def story() -> None:
        box = Box(tmp_path, RAIN)
        await box.start()
        assert await box.climb(10, 11, 0) == [RED]
        await box.memory.save()
        box.read_s = 3600.0
        await box.start()
        assert await box.climb(5, 21, 0) == []
        assert "awaited for too long" in box.said[-1]
        box.read_s = 0.0
        await box.memory.save()  # a new one
        await asyncio.sleep(7200)
        assert await box.climb(0, 60 * 20, 0) == []
        await box.start()
        assert box.limits.judged["storm"].parts[0].value is not None
        assert box.limits.levels()["storm"] is RED, "its whole window has not been seen again"

    run(story())


# -- damaged rows ------------------------------------------------------------------------------------------------------


def rows_of(tmp_path: Path) -> list[tuple[int, bytes]]:
    async def story() -> list[tuple[int, bytes]]:
        box = Box(tmp_path, RAIN, RATE, MEAN)
        await box.start()
        await box.climb(10, 4, 1)
        return sorted(box.rows.items())

    return run(story())


def test_each_flipped_bit_of_a_row_is_found_and_told(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    number, body = rows[1]
    for place in range(8 * len(body)):
        flipped = bytearray(body)
        flipped[place // 8] ^= 1 << place % 8
        assert read([(number, bytes(flipped))]) == ([], 1)
    assert read([(number ^ 1 << 40, body)]) == ([], 1)
    for spoilt in (None, "text", 5, 2.5, b"", bytearray(3)):
        assert read([(number, spoilt), rows[2]])[1] == 1
    assert [row.number for row in read(rows)[0]] == [1, 2, 3, 4]

    async def story() -> None:
        box = Box(tmp_path, RAIN, RATE, MEAN)
        box.rows = dict(rows) | {number: bytes(flipped)}
        await box.start()
        assert "1 of 4 rows of what limits were told before the start are damaged" in box.said[0]
        box.read("p", 0)
        assert box.limits.judged["storm"].parts[0].value == 10 + 12 + 13

    run(story())


def changes(stamp: list[Any], groups: list[Any]) -> dict[str, dict[int, Any]]:
    """Places of a row's list, and what stands there."""
    at_s, flat = groups[0]
    return {
        "an instant of text": {4: ["a", "b", "c", "d", stamp[-1]]},
        "an instant that is none": {4: [1, nan, 5, 0, stamp[-1]]},
        "an instant one short": {4: [*stamp[:3], stamp[-1]]},
        "the end of all time": {4: [*stamp[:4], inf]},
        "no life": {2: None},
        "what is to come": {5: [[at_s + 1e9, flat]]},
        "never": {5: [[inf, flat]]},
        "no time": {5: [[None, flat]]},
        "out of order": {5: [[at_s, flat], [at_s - 5.0, flat]]},
        "a value of 400 digits": {5: [[at_s, [0, 10**400]]]},
        "a value without a place": {5: [[at_s, [0]]]},
        "a silence of ever": {6: [["dead", inf]]},
        "another row's number": {1: 77},
        "another version": {0: 99},
    }


@pytest.mark.parametrize("name", list(changes([1], [[0, 0]])))
def test_a_row_of_nonsense_stops_no_start_and_blinds_no_window(name: str, tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    number, body = rows[-1]
    plain = cbor2.loads(body[4:])
    for place, value in changes(plain[4], plain[5])[name].items():
        plain[place] = value
    spoilt = cbor2.dumps(plain)
    assert read([(number, zlib.crc32(spoilt).to_bytes(4, "big") + spoilt)]) == ([], 1)

    async def story() -> None:
        box = Box(tmp_path, RAIN, RATE, MEAN)
        box.rows = dict(rows) | {number: zlib.crc32(spoilt).to_bytes(4, "big") + spoilt}
        await box.start()
        assert "damaged" in box.said[0]
        box.rows.clear()
        await box.climb(0, 15, 60)
        assert {alarm.limit for alarm in box.told} == {"storm", "rate", "mean"} - {"rate"}

    run(story())


def test_a_window_that_has_seen_what_is_to_come_begins_anew() -> None:
    for limit in (RAIN, RATE, MEAN):
        ahead = Limits([limit], 0.0)
        ahead.judge("p", 5, Quality.GOOD, 0.0)
        ahead.judge("p", 5, Quality.GOOD, 1e9)
        new = Limits([limit], 100.0)
        assert load(new, save(ahead, 100.0), 100.0, 0.0) == 0
        assert load(new, save(ahead, 1e9), 1e9, 0.0) == 1


def test_what_can_not_be_judged_again_for_a_fault_of_ours_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        box = Box(tmp_path, RAIN)
        await box.start()
        await box.climb(10, 4, 1)
        monkeypatch.setattr(limit_past, "play", lambda *_: [][1])
        assert await box.start() == 0
        assert "can not be judged again (IndexError" in box.said[-1]
        assert box.read("p", 101) == [RED]

    run(story())


# -- a file that can not be read, many lives ---------------------------------------------------------------------------


def test_a_file_that_can_not_be_read_is_given_up_after_a_minute(tmp_path: Path) -> None:
    async def story() -> None:
        (tmp_path / FILE).mkdir()
        box = Box(tmp_path, RAIN)
        box.note = box.note._replace(lost=False)
        await box.start()
        running = asyncio.ensure_future(box.memory.run())
        await box.climb(10, 5, 0)
        assert ["tried again" in said or "limits.bad" in said for said in box.said] == [True, True]
        assert (tmp_path / FILE).is_file()
        assert (tmp_path / (FILE + ".bad")).is_dir()
        running.cancel()
        await box.start()
        box.read("p", 10)
        assert box.limits.judged["storm"].parts[0].value == 60

    run(story())


def test_a_start_that_judged_rows_once_more_writes_them_away(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, STORM)
        for life in range(31):
            await box.start()
            running = asyncio.ensure_future(box.memory.run())
            await asyncio.sleep(5)
            box.read("p", life)
            assert len(box.rows) <= 2, "those of before are in the file, but for the last"
            running.cancel()
        assert box.limits.judged["storm"].parts[0].value == 30

    run(story())


def test_of_rows_of_many_lives_the_last_ones_are_judged(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, RAIN)
        for _ in range(30):
            await box.start()
            await box.climb(1, 1, 0)
        assert box.limits.judged["storm"].parts[0].value == limit_past.MOST_LIVES + 1

    run(story())


def test_rows_are_bounded_over_lives_and_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_tail, "TAIL_ROWS", 10)

    async def story() -> None:
        box = Box(tmp_path, RAIN)
        for _ in range(3):
            await box.start()
            await box.climb(1, 6, 0)
        assert sorted(box.rows) == list(range(8, 19)), "the last ones, also of lives before"
        assert box.limits.judged["storm"].parts[0].value == 17, "what is left of them"

    run(story())
    store, _ = opened(tmp_path)
    store.commit([], tail=Rows([(number, b"x" * 100) for number in range(TAIL_ROWS + 500)]))
    assert [number for number, _ in store.tail()] == list(range(500, TAIL_ROWS + 500))
    store.commit([], tail=Rows([(number, b"x" * 1000) for number in range(TAIL_ROWS + 500)]))
    assert len(store.tail()) == 1000


# -- silences ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_s", "off_s", "stale_s", "clean", "lives"),
    [
        (3600, 82_800, 12 * 3600, True, 13),  # an hour a day
        (3600, 82_800, 12 * 3600, False, 14),
        (50, 1, 300, True, 7),
        (20, 1, 300, True, 16),
        (50, 1, 300, False, 12),  # 30 s of each are told
    ],
)
def test_silence_is_found_however_short_lives_are(
    on_s: int, off_s: int, stale_s: int, clean: bool, lives: int, tmp_path: Path
) -> None:
    async def story() -> None:
        box = Box(tmp_path, replace(DEAD, thresholds=((RED, stale_s),)))
        life = 0
        while not box.told and life < 2 * lives:
            life += 1
            await box.start()
            running = asyncio.ensure_future(box.memory.run())
            for _ in range(on_s // 5):
                await asyncio.sleep(5)
                box.raised(box.limits.tick(now()))
                box.commit()
            running.cancel()
            if clean:
                await box.memory.save(last=True)
            await asyncio.sleep(off_s)
        assert [alarm.level for alarm in box.told] == [RED]
        assert stale_s // on_s <= life <= lives

    run(story())


def test_an_instrument_that_answers_costs_no_rows_and_one_that_answers_again_is_not_silent(tmp_path: Path) -> None:
    async def story() -> None:
        box = Box(tmp_path, DEAD)
        await box.start()
        for _ in range(100):
            box.read("gas", 5)
            for _ in range(10):
                await asyncio.sleep(1)
                box.commit()
        assert not box.rows
        await asyncio.sleep(50)
        box.commit()
        assert len(box.rows) == 1
        box.read("gas", 5)
        await box.start()
        await asyncio.sleep(59)
        assert box.limits.tick(now()) == []

    run(story())


@pytest.mark.parametrize("forgotten", [True, False])
def test_silences_are_sure_after_a_lost_or_late_store_when_a_value_comes(forgotten: bool) -> None:
    odd = Limit("odd", "gas", Rule.SUSPECT, ((RED, 30),), every_s=10.0)
    limits = Limits([DEAD, odd], 0.0)
    limits.restore({"dead": (NONE, None), "odd": (NONE, None)})
    if forgotten:
        limits.forget(limits.judged)
    else:
        limits.doubt(["dead", "odd"])
    assert not limits.sure("dead")
    limits.judge("gas", 20, Quality.GOOD, 1.0)
    assert limits.sure("dead")
    assert limits.sure("odd")


def test_an_instrument_whose_readings_are_not_believed_is_not_dead() -> None:
    for doubted, raised in ((True, []), (False, [RED])):
        limits, told = Limits([HELD], 0.0), []
        for turn in range(60):
            quality = Quality.SUSPECT if turn >= 2 else Quality.GOOD
            if turn < 2 or doubted:
                limits.judge("level", 180, quality, 10.0 * turn)
            told += [alarm.level for alarm in limits.tick(10.0 * turn)]
        assert told == raised
    assert [alarm.level for alarm in limits.tick(630.0)] == []
    limits = Limits([HELD], 0.0)
    for turn in range(10):
        limits.judge("level", 180, Quality.SUSPECT if turn >= 2 else Quality.GOOD, 10.0 * turn)
    assert limits.tick(119.0) == []
    assert [alarm.level for alarm in limits.tick(121.0)] == [RED], "three periods after its last word of any kind"
