"""Acknowledging and putting aside: what is worse always goes out, red comes back soon, and all of it is on record."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract import Alarm, Level, Quality, Rule
from edge.errors import FengsuiError
from edge.limit_nouns import Limit
from edge.limits import Limits
from edge.shelf import MOST_S, RED_MOST_S, Shelf
from edge.shelving import Shelving
from sim.broker import mosquitto_path
from sim.rig import GATEWAY_SCRIPT, Rig, point_table, port_table, until
from sim.virtual import run

NONE, BLUE, YELLOW, ORANGE, RED = Level
HIGH = Limit("high", "p", Rule.ABOVE, ((BLUE, 10), (YELLOW, 20), (ORANGE, 30), (RED, 40)))
WHO = {"by": "Li", "reason": "the float hangs"}


def nobody(why: str) -> dict[str, str]:
    return {"by": "", "reason": why}


class Desk:
    """Limits, their shelf, and what goes out."""

    def __init__(self) -> None:
        self.limits = Limits([HIGH], 0.0)
        self.record: list[dict[str, Any]] = []
        self.shelving = Shelving(self.limits, self.record.append, lambda *_: None)

    def take(self, value: int) -> list[Level]:
        changed = self.limits.judge("p", value, Quality.GOOD, asyncio.get_running_loop().time())
        return [alarm.level for alarm in self.shelving.let_through(changed)]

    async def ask(self, what: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.shelving.handlers()[what]({"limit": "high", **WHO, **request})  # type: ignore[misc]
        return answer


def test_what_flaps_is_put_aside_and_what_is_worse_goes_out() -> None:
    async def story() -> None:
        desk = Desk()
        assert desk.take(25) == [YELLOW]
        shown = await desk.ask("shelve", for_s=3600)
        assert shown["put_aside"]["high"]["up_to"] == "yellow"
        assert [desk.take(value) for value in (5, 25, 15, 25, 5, 25)] == [[NONE], [], [], [], [], []]
        assert desk.take(35) == [ORANGE]
        assert [desk.take(value) for value in (5, 25)] == [[NONE], [YELLOW]]  # and that was its end
        shelved = {"shelved": "high", "level": "yellow", "for_s": 3600, **WHO}
        assert desk.record == [shelved, {"unshelved": "high", **nobody("a worse alarm came")}]

    run(story())


def test_when_the_time_is_over_what_stands_is_told() -> None:
    async def story() -> None:
        desk = Desk()
        desk.take(25)
        await desk.ask("shelve", for_s=600)
        desk.take(5)
        assert desk.take(25) == []
        await asyncio.sleep(599)
        assert desk.shelving.over() == []
        await asyncio.sleep(1)
        [alarm] = desk.shelving.over()
        assert (alarm.level, alarm.value, alarm.threshold) == (YELLOW, 25, 20)
        assert desk.record[1:] == [{"unshelved": "high", **nobody("its time is over")}]
        assert desk.shelving.over() == []

    run(story())


def test_an_alarm_in_the_moment_in_which_its_time_is_over_tells_that_too() -> None:
    """The reading may come before the next look at the time."""

    async def story() -> None:
        desk = Desk()
        desk.take(25)
        await desk.ask("shelve", for_s=600)
        desk.take(5)
        await asyncio.sleep(600)
        assert desk.take(25) == [YELLOW]
        assert desk.record[1:] == [{"unshelved": "high", **nobody("its time is over")}]
        assert desk.shelving.over() == []
        assert len(desk.record) == 2

    run(story())


def test_taken_back_it_ends_with_the_next_look_and_says_nothing_new() -> None:
    async def story() -> None:
        desk = Desk()
        desk.take(25)
        await desk.ask("shelve", for_s=600)
        assert (await desk.ask("unshelve"))["put_aside"] == {}
        assert desk.shelving.over() == []  # yellow was told, yellow stands
        assert desk.record[1:] == [{"unshelved": "high", **nobody("it was taken back")}]
        assert desk.take(5) == [NONE]
        assert desk.take(25) == [YELLOW]
        with pytest.raises(FengsuiError, match="not put aside"):
            await desk.ask("unshelve")

    run(story())


@pytest.mark.parametrize(
    ("value", "request_", "words"),
    [
        (45, {"for_s": RED_MOST_S + 1}, "high is red: it may be put aside for 60 s to 1800 s, not for 1801 s"),
        (25, {"for_s": MOST_S + 1}, "60 s to 43200 s"),
        (25, {"for_s": 1}, "not for 1 s"),
        (25, {"for_s": float("nan")}, "not for nan s"),
        (25, {"for_s": "1h"}, "for_s must be a number"),
        (25, {"for_s": 600, "reason": " "}, "Both a name and a reason"),
        (25, {"for_s": 600, "by": ""}, "Both a name and a reason"),
        (25, {"for_s": 600, "by": "x\nlimit high: RED"}, r"the name holds '\\n', which is no writing"),
        (25, {"for_s": 600, "reason": "\x1b[2Jnothing"}, r"the reason holds '\\x1b'"),
        (25, {"for_s": 600, "reason": "a\u202eb"}, r"the reason holds '\\u202e'"),
        (25, {"for_s": 600, "reason": "长" * 201}, "the reason is longer than 200 characters"),
        (5, {"for_s": 600}, "stands at no level"),
        (25, {"for_s": 600, "limit": "low"}, "there is no limit low; limits: high"),
    ],
)
def test_what_may_not_be_put_aside(value: int, request_: dict[str, Any], words: str) -> None:
    async def story() -> None:
        desk = Desk()
        desk.take(value)
        with pytest.raises(FengsuiError, match=words):
            await desk.ask("shelve", **request_)
        assert desk.record == []

    run(story())


def test_a_name_in_chinese_with_a_wide_space_is_a_name() -> None:
    async def story() -> None:
        desk = Desk()
        desk.take(25)
        await desk.ask("ack", by=" 李　工 ", reason="浮子卡住，已派人")
        assert [(told["by"], told["reason"]) for told in desk.record] == [("李　工", "浮子卡住，已派人")]

    run(story())


def test_an_acknowledgement_holds_nothing_back_and_ends_with_what_is_worse() -> None:
    async def story() -> None:
        desk = Desk()
        desk.take(25)
        assert (await desk.ask("ack"))["acknowledged"] == {"high": {"level": "yellow", **WHO}}
        assert desk.record == [{"acknowledged": "high", "level": "yellow", **WHO}]
        assert [desk.take(value) for value in (15, 25)] == [[BLUE], [YELLOW]]
        assert desk.shelving.show()["acknowledged"]
        assert desk.take(45) == [RED]
        assert not desk.shelving.show()["acknowledged"]

    run(story())


def test_red_that_was_held_back_is_not_put_aside_again_before_it_is_told() -> None:
    async def story() -> None:
        desk = Desk()
        assert desk.take(45) == [RED]
        await desk.ask("shelve", for_s=RED_MOST_S)
        assert desk.take(5) == [NONE]
        assert desk.take(45) == []  # the province believes that it is over
        await asyncio.sleep(RED_MOST_S - 1)
        with pytest.raises(FengsuiError, match=r"red has to be told before it is put aside again: .* unshelve high"):
            await desk.ask("shelve", for_s=RED_MOST_S)
        await asyncio.sleep(1)
        assert [alarm.level for alarm in desk.shelving.over()] == [RED]
        await desk.ask("shelve", for_s=RED_MOST_S)  # it is known now

    run(story())


def test_what_stands_as_told_may_be_put_aside_for_longer_but_red_may_not() -> None:
    async def story() -> None:
        desk = Desk()
        desk.take(25)
        await desk.ask("shelve", for_s=600)
        assert (await desk.ask("shelve", for_s=6000))["put_aside"]["high"]["left_s"] == 6000
        assert [desk.take(value) for value in (5, 25)] == [[NONE], []]
        with pytest.raises(FengsuiError, match="yellow has to be told"):
            await desk.ask("shelve", for_s=6000)
        assert desk.take(45) == [RED]
        await desk.ask("shelve", for_s=600)
        with pytest.raises(FengsuiError, match="red has to be told"):
            await desk.ask("shelve", for_s=600)

    run(story())


ORDERS = st.sampled_from(["put", "put", "put", "back", ""])


@given(st.lists(st.tuples(st.integers(1, 900), ORDERS, st.sampled_from(Level)), max_size=60), st.booleans())
def test_however_often_it_is_put_aside_what_stands_is_told_in_time(
    steps: list[tuple[int, str, Level]], longest: bool
) -> None:
    """What goes out is never above what stands, nor below it for longer than the longest time of that level."""
    shelf, now_s, level, told = Shelf(), 0.0, NONE, NONE
    hidden_s: dict[Level, float] = {}
    for pause_s, order, to in steps:
        now_s += pause_s
        for _, last in shelf.over(now_s):
            assert last is told
            told = level
        if to is not level:
            level = to
            alarm = Alarm("x", "p", to, 1, Rule.ABOVE, 1, 1, 0)  # type: ignore[arg-type]
            if shelf.passes(alarm, now_s):
                told = to
        if order == "put":
            most_s = RED_MOST_S if level is RED else MOST_S
            with contextlib.suppress(FengsuiError):
                shelf.put("x", level, most_s if longest else most_s / 3, "Li", "why", now_s)
        elif order:
            with contextlib.suppress(FengsuiError):
                shelf.take_back("x", now_s)
        assert told <= level
        for worst, most_s in ((RED, RED_MOST_S), (ORANGE, MOST_S), (YELLOW, MOST_S), (BLUE, MOST_S)):
            hidden_s[worst] = hidden_s.get(worst, now_s) if level >= worst > told else now_s
            assert now_s - hidden_s[worst] <= most_s + 900  # the next step comes 900 s later at most


@given(st.lists(st.tuples(st.integers(1, 900), st.sampled_from(Level)), max_size=40), st.sampled_from(list(Level)[1:]))
def test_whatever_happens_red_is_told_within_its_longest_time(steps: list[tuple[int, Level]], at: Level) -> None:
    """While the limit stands at red, the last word that went out is red too, RED_MOST_S later at the latest, or the
    shelf itself was put at red."""
    shelf, now_s, told = Shelf(), 0.0, at
    shelf.put("x", at, RED_MOST_S if at is RED else MOST_S, "Li", "why", now_s)
    level = at
    for pause_s, to in steps:
        now_s += pause_s
        for _, _ in shelf.over(now_s):
            told = level
        if to is not level:
            level = to
            alarm = Alarm("x", "p", to, 1, Rule.ABOVE, 1, 1, 0)  # type: ignore[arg-type]
            if shelf.passes(alarm, now_s):
                told = to
        if level is RED and told is not RED:
            assert at is RED
            assert now_s < RED_MOST_S
        assert told <= max(level, at)
        if level is NONE:
            assert told is NONE


@pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")
def test_a_technician_puts_a_limit_aside_and_the_province_knows(tmp_path: Path) -> None:
    def fengsui(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "FENGSUI_SOCKET": str(rig.socket)}
        command = [sys.executable, "-c", GATEWAY_SCRIPT, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment, check=False)

    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "4")
        limit = '[[limit]]\nid = "high"\npoint = "plc.3"\nabove = { yellow = 2000, red = 3000 }\n'
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 4, "200ms") + limit, batch="1s")
        rig.start_gateway()
        slaves.command("set 1 holding 3 2500")
        until("yellow", lambda: rig.one("SELECT COUNT(*) FROM alarms") == 1)
        told = ("--by", "李工", "--reason", "传感器检修")
        seen = fengsui("ack", "high", *told)
        assert (seen.returncode, seen.stdout.strip()) == (0, "high: yellow acknowledged by 李工: 传感器检修")
        assert fengsui("shelve", "high", "--for", "13h", *told).returncode == 5
        assert fengsui("shelve", "high", "--for", "soon", *told).returncode == 2
        assert "put aside up to yellow" in fengsui("shelve", "high", "--for", "10min", *told).stdout
        slaves.command("set 1 holding 3 1000")
        until("cleared", lambda: rig.one("SELECT COUNT(*) FROM alarms") == 2)
        slaves.command("set 1 holding 3 2500")
        until("it stands again", lambda: "high yellow" in fengsui("status").stdout)
        slaves.command("set 1 holding 3 3500")
        until("red", lambda: rig.one("SELECT COUNT(*) FROM alarms") == 3)
        assert rig.province("SELECT level, change FROM alarms ORDER BY seq") == [
            (2, "raised"),
            (0, "cleared"),
            (4, "changed"),
        ]
        until("the record", lambda: rig.one("SELECT COUNT(*) FROM statuses WHERE body LIKE '%shelved%'") == 2)
        [[body], [end]] = rig.province("SELECT body FROM statuses WHERE body LIKE '%shelved%' ORDER BY seq")
        assert json.loads(end) == {"unshelved": "high", **nobody("a worse alarm came")}
        assert json.loads(body) == {
            "shelved": "high",
            "level": "yellow",
            "for_s": 600,
            "by": "李工",
            "reason": "传感器检修",
        }
