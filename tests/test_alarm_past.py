"""What was told before a restart: the last alarms stay known, and what nobody judges any more is told as ended."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from edge.alarm_past import AlarmPast, body_of, dated
from edge.config import load
from edge.contract import Alarm, Change, Kind, Level, Rule
from edge.daemon import Daemon
from edge.entries import PAST_KEPT, Past
from edge.outbox import Outbox
from edge.packing import alarm_of
from tests.modbus_site import run_virtual
from tests.outputs_site import HEAD, SIREN, T0_MS, Rig

HIGH = '[[limit]]\nid = "high"\npoint = "level"\nabove = { yellow = 3, red = 5 }\n'
LEVEL = HEAD[HEAD.index("[[device.point]]") : HEAD.index('[[device.point]]\nid = "gas"')]
SITE = HEAD + SIREN.replace('"high"', '"gas-high"')
GONE = "cleared: the limit high is in the site file no more; nobody judges it from now on"

Story = Callable[[Rig], Awaitable[None]]


def life(folder: Path, story: Story, text: str = SITE) -> Daemon:
    """One run of the gateway with the site file `text`, ten minutes after the last one at the earliest."""
    folder.mkdir(exist_ok=True)
    rig = Rig(folder, SIREN)
    (folder / "site.toml").write_text(text)
    rig.site = load(folder / "site.toml")
    rig.later_ms = 600_000 * len(list(folder.glob("life*")))
    (folder / f"life{rig.later_ms}").touch()
    run_virtual(rig.play(story))
    assert rig.daemon is not None
    return rig.daemon


def alarms_in(folder: Path) -> list[Alarm]:
    """Those that the province has not got yet, oldest first."""
    box, _ = Outbox.open(folder / "store", 10**7, "now")
    held = box.held([seq for seq, kind in box.first_things() if kind is Kind.ALARM])
    box.close()
    return [alarm_of(entry) for entry in held]


def texts(daemon: Daemon) -> list[str]:
    return [alarm["text"] for alarm in daemon.journal.alarms]


async def red(rig: Rig) -> None:
    rig.set(0, 6)
    await asyncio.sleep(1)


async def quiet(rig: Rig) -> None:
    await asyncio.sleep(2)


# -- limits that are gone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [HIGH, HIGH + LEVEL])
def test_a_limit_taken_out_of_the_site_file_while_it_stood_is_told_as_ended_once(tmp_path: Path, gone: str) -> None:
    """Else the province has its alarm for ever. Its point may be gone too."""
    life(tmp_path, red)
    rest = SITE.replace(HIGH, "")
    for part in gone.split("[[")[1:] if gone is not HIGH else []:
        rest = rest.replace(f"[[{part}", "")
    told = life(tmp_path, quiet, rest)
    assert texts(told)[1:] == [GONE]
    assert texts(life(tmp_path, quiet, rest))[1:] == [GONE], "not a second time"
    raised, ended = alarms_in(tmp_path)
    assert (raised.limit, raised.level) == ("high", Level.RED)
    assert ended == Alarm(
        *("high", "level", Level.NONE, Change.CLEARED, Rule.REMOVED, None, 0, ended.at_ms), ended.clock
    )
    assert ended.at_ms > raised.at_ms


def test_its_end_outlives_a_power_cut_and_is_told_where_no_past_is_left(tmp_path: Path) -> None:
    life(tmp_path, red)
    box, _ = Outbox.open(tmp_path / "store", 10**7, "now")
    with box._transaction():
        box._db.execute("DELETE FROM alarm_past")
    box.close()

    async def cut(rig: Rig) -> None:
        await asyncio.sleep(0.5)
        shutil.copytree(tmp_path / "store", tmp_path / "after" / "store")

    assert texts(life(tmp_path, cut, SITE.replace(HIGH, ""))) == [GONE]
    [_, ended] = alarms_in(tmp_path / "after")
    assert (ended.limit, ended.point, ended.rule) == ("high", "", Rule.REMOVED)


def test_what_did_not_stand_is_not_told_as_ended_and_a_drill_only_as_a_drill(tmp_path: Path) -> None:
    async def tried(rig: Rig) -> None:
        rig.set(1, 2)
        await asyncio.sleep(0.5)
        rig.set(1, 0)
        assert rig.daemon is not None
        ask: Any = rig.daemon.drills.handlers()["drill"]
        await ask({"name": "high", "by": "Li", "reason": "each month", "for_s": 60})
        await asyncio.sleep(1)
        shutil.copytree(tmp_path / "box" / "store", tmp_path / "cut" / "store")

    life(tmp_path / "box", tried)
    limits = HEAD[HEAD.index("[[limit]]") : HEAD.index("[[link]]")]
    other = '[[limit]]\nid = "other"\npoint = "gas"\nabove = { red = 9 }\n'
    daemon = life(tmp_path / "cut", quiet, SITE.replace(limits, other).replace('"gas-high"', '"other"'))
    assert [text for text in texts(daemon) if "no more" in text and not text.startswith("DRILL, ")] == []
    assert len(texts(daemon)) == 4  # one that came and went, and a drill that was cut off and is ended as a drill


def test_a_siren_whose_limit_is_gone_is_silent(tmp_path: Path) -> None:
    async def silent(rig: Rig) -> None:
        await asyncio.sleep(2)
        assert not rig.on()

    life(tmp_path, red, HEAD + SIREN)
    life(tmp_path, silent, SITE.replace(HIGH, ""))


# -- the last alarms ---------------------------------------------------------------------------------------------------


def test_the_last_alarms_are_known_after_a_power_cut_with_their_numbers(tmp_path: Path) -> None:
    async def cut(rig: Rig) -> None:
        await red(rig)
        shutil.copytree(tmp_path / "box" / "store", tmp_path / "cut" / "store")

    before = list(life(tmp_path / "box", cut).journal.alarms)
    daemon = life(tmp_path / "cut", quiet)
    after = list(daemon.journal.alarms)
    assert after[: len(before)] == before
    assert before[0]["text"] == "RED raised: level 6.00 m, above 5.00 m"
    assert before[0]["why"]["threshold"] == "5.00"
    assert before[0]["at_ms"] // 10_000 == T0_MS // 10_000


def test_what_was_told_does_not_change_with_the_site_file(tmp_path: Path) -> None:
    [told] = life(tmp_path, red).journal.alarms
    [again, *_] = life(tmp_path, quiet, SITE.replace('"m"\nstep = 0.01', '"cm"\nstep = 1')).journal.alarms
    assert again == told


def test_a_hundred_are_kept(tmp_path: Path) -> None:
    async def flaps(rig: Rig) -> None:
        for _ in range(PAST_KEPT // 2 + 5):
            for value in (6, 0):
                rig.set(0, value)
                await asyncio.sleep(0.3)

    told = texts(life(tmp_path, flaps))
    box, _ = Outbox.open(tmp_path / "store", 10**7, "now")
    kept = [cbor2.loads(body)["text"] for body in box.past()]
    assert len(kept) == PAST_KEPT
    assert kept == told
    size_bytes = sum(len(body) for body in box.past())
    assert size_bytes < 50_000
    box.close()


def test_a_disk_that_comes_late_brings_what_was_before_and_takes_what_came_since(tmp_path: Path) -> None:
    """Alarms of memory are known after the next start, behind those of before."""
    life(tmp_path, red)

    async def late(rig: Rig) -> None:
        rig.set(1, 2)
        await asyncio.sleep(60)

    rig = Rig(tmp_path, SIREN)
    rig.later_ms, rig.disk_hangs_s = 3_600_000, 20.0
    run_virtual(rig.play(late))
    assert rig.daemon is not None
    first, *others = texts(rig.daemon)
    assert first.startswith("RED raised: level")
    assert any(text.startswith("RED raised: gas") for text in others)
    again = texts(life(tmp_path, quiet))
    assert again[: 1 + len(others)] == [first, *others]


def test_a_lost_store_begins_with_none_and_says_so(tmp_path: Path) -> None:
    life(tmp_path, red)
    (tmp_path / "store" / "outbox.db").write_bytes(b"nothing that SQLite knows" * 1000)
    for file in (tmp_path / "store").glob("outbox.db-*"):
        file.unlink()
    daemon = life(tmp_path, quiet)
    said = [event["text"] for event in daemon.journal.events if event["about"] == "alarms"]
    assert said == ["their history was lost with the store and begins anew"]
    again = life(tmp_path, quiet)
    assert [event for event in again.journal.events if event["about"] == "alarms"] == []


def _shown(text: str, **more: Any) -> dict[str, Any]:
    words = dict.fromkeys(("limit", "point", "level", "change"), "")
    return {"at_ms": 5, "text": text, "drill": False, "why": {}, **words, **more}


def test_an_alarm_of_an_unknown_time_gets_it_in_the_store_too() -> None:
    past = AlarmPast()
    past.recall([body_of(_shown("old", boot=1)), body_of(_shown("new", boot=2)), body_of(_shown("known"))])
    past.date(2, 1000)
    rows = past.rows()
    assert rows.anew
    assert [cbor2.loads(body)["at_ms"] for body in rows.add] == [5, 1005, 5]
    past.written(rows)
    past.date(2, 1000)
    assert past.rows() == Past([])
    told = [_shown("new", boot=2)]
    assert dated(told, 2, 1000)
    assert not dated(told, 2, 1000)


def test_what_can_not_be_read_is_left_out() -> None:
    past = AlarmPast()
    past.recall([b"", b"\xff", cbor2.dumps(7), cbor2.dumps({"text": "x"}), body_of(_shown("good"))])
    assert [shown["text"] for shown in past.before()] == ["good"]
    assert past.before() == []


def test_each_goes_to_the_store_once_and_to_another_store_whole() -> None:
    past = AlarmPast()
    past.recall([b"a"])
    assert past.rows() == Past([])
    past.add([b"b", b"c"])
    rows = past.rows()
    assert rows == Past([b"b", b"c"])
    past.add([b"d"])  # while it is written
    past.written(rows)
    assert past.rows() == Past([b"d"])
    past.anew = True
    rows = past.rows()
    assert rows == Past([b"a", b"b", b"c", b"d"], True)
    past.written(rows)
    assert past.rows() == Past([])
