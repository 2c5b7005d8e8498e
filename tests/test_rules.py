"""`fengsui rules`, `fengsui alarms`: what is said to trip a level trips it; an alarm tells the numbers that decided."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.alarm_past import numbers_of
from edge.answers import Answers, Journal
from edge.cli import EXIT_REFUSED
from edge.clock import Clock
from edge.config.load import load
from edge.config.site import Site
from edge.contract import Alarm, Level, Quality
from edge.errors import FengsuiError
from edge.intake_nouns import PointNow
from edge.limits import Limits
from edge.rules_now import rule_now
from tests.cli_daemon import ask, daemon, says
from tests.test_what_if import SITE

MORE = """
[[limit]]
id = "low"
point = "level"
below = { blue = 3, orange = 2 }

[[limit]]
id = "band"
point = "level"
outside = { yellow = [4, 9] }

[[limit]]
id = "two"
votes = 2
among = ["low", "band", "high"]

[[limit]]
id = "whole"
rollup = { yellow = "2 blue" }
among = ["low", "storm"]
"""


def site_of(folder: Path, text: str = SITE + MORE) -> Site:
    file = folder / "site.toml"
    file.write_text(text, "utf-8")
    return load(file)


class Box:
    """A site's limits with readings as they come, and the alarms."""

    def __init__(self, folder: Path, text: str = SITE + MORE) -> None:
        self.site = site_of(folder, text)
        self.limits = Limits([limit.judged for limit in self.site.limits], 0.0)
        self.points = {point.id: PointNow(point) for point in self.site.points}
        self.alarms: list[Alarm] = []
        self.now_s = 0.0

    def read(self, point: str, value: float, now_s: float) -> None:
        self.now_s = now_s
        self.points[point].take(value, Quality.GOOD, round(now_s * 1000) + 1)
        now = self.points[point]
        self.alarms += self.limits.judge(point, now.value, now.quality, now_s)

    def rule(self, limit: str) -> dict[str, Any]:
        [found] = [limit_ for limit_ in self.site.limits if limit_.id == limit]
        return rule_now(found, self.limits, self.points, self.now_s)

    def rules(self) -> list[dict[str, Any]]:
        last = {alarm.limit: alarm for alarm in self.alarms}
        points = {point.id: point for point in self.site.points}
        return [
            {
                **self.rule(limit.id),
                "since_ms": None,
                "last_alarm": {
                    "at_ms": 1_795_000_020_000,
                    "limit": limit.id,
                    "level": last[limit.id].level.name.lower(),
                    "text": last[limit.id].words(points[last[limit.id].point]),
                    "why": numbers_of(last[limit.id], points),
                }
                if limit.id in last
                else None,
            }
            for limit in self.site.limits
        ]


def test_nothing_read_yet_says_where_levels_begin(tmp_path: Path) -> None:
    box = Box(tmp_path)
    high = box.rule("high")
    assert high["inputs"] == [{"name": "level", "value": "-", "unit": "m", "quality": "not read yet"}]
    assert high["trips"] == ["yellow at 10.00 m or more", "red at 12.00 m or more"]
    assert high["trips_zh"] == ["黄色：10.00 m及以上", "红色：12.00 m及以上"]


def test_it_says_how_far_it_is_to_each_level_both_ways(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.read("level", 8.75, 60)
    assert box.rule("high")["trips"][0] == "yellow at 10.00 m or more: 1.25 m more than now"
    assert box.rule("low")["trips"] == [
        "blue at 3.00 m or less: 5.75 m less than now",
        "orange at 2.00 m or less: 6.75 m less than now",
    ]
    assert box.rule("band")["trips"] == [
        "yellow at 3.99 m or less: 4.76 m less than now",
        "yellow at 9.01 m or more: 0.26 m more than now",
    ]
    assert box.rule("low")["trips_zh"][0] == "蓝色：3.00 m及以下，再降 5.75 m"


def test_a_running_hold_time_and_what_leaves_a_level_are_said(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.read("level", 10.5, 0)
    box.read("level", 10.5, 60)
    assert box.rule("high")["trips"][0] == "yellow is reached and raised if it lasts 1 min longer"
    box.read("level", 10.5, 120)
    assert box.rule("high")["level"] == "yellow"
    assert box.rule("high")["trips"] == ["yellow is left below 9.50 m", "red at 12.00 m or more: 1.50 m more than now"]
    box.read("level", 9, 180)
    box.read("level", 9, 240)
    assert box.rule("high")["trips"][0] == "yellow is left if it stays so 2 min longer"


def test_windows_members_and_silence(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.read("level", 8.0, 10)
    for minute in range(5):
        box.read("rain", minute * 1.2, 60 * minute)
    storm = box.rule("storm")
    assert [(item["window_s"], item["value"]) for item in storm["judged"]] == [(600, "4.8"), (3600, "4.8")]
    assert storm["trips"] == [
        "over 10 min: red at 20.0 mm or more: 15.2 mm more than now",
        "over 1 h: blue at 10.0 mm or more: 5.2 mm more than now",
    ]
    assert box.rule("silent")["trips"] == [
        "blue after 70 s more without a good value",
        "yellow after 16 min more without a good value",
    ]
    box.read("level", 2.5, 300)
    assert box.rule("low")["level"] == "blue"
    assert "yellow when 2 of 3 stand there or higher, now 1" in box.rule("two")["trips"]
    assert "yellow when 2 stand at blue or higher, now 1" in box.rule("whole")["trips"]
    assert box.rule("two")["inputs"][1] == {"name": "band", "value": "yellow", "unit": "", "quality": None}
    box.alarms += box.limits.tick(1600)
    box.now_s = 1600
    assert box.rule("silent")["trips"] == ["it ends with the next good value"]


TRIP = re.compile(r"(blue|yellow|orange|red) at ([\d.]+) m or (more|less)")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(100, 1500), min_size=1, max_size=8))
def test_what_is_said_to_trip_a_level_does_and_one_step_less_does_not(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("r")
    text = (SITE + MORE).replace('hold = "2min"\n', "").replace('clear_hold = "3min"\n', "")
    for limit in ("high", "low", "band"):
        boxes = [Box(folder, text) for _ in range(2)]
        for at, step in enumerate(steps):
            for box in boxes:
                box.read("level", step / 100, 60.0 * at)
        for trip in boxes[0].rule(limit)["trips"]:
            if (match := TRIP.match(trip)) is None:
                continue
            level, at, sign = Level[match[1].upper()], round(float(match[2]) * 100), 1 if match[3] == "more" else -1
            for beyond, trips in ((at - sign, False), (at, True)):
                tried = Box(folder, text)
                for minute, step in enumerate(steps):
                    tried.read("level", step / 100, 60.0 * minute)
                tried.read("level", beyond / 100, 60.0 * len(steps))
                assert (tried.limits.levels()[limit] >= level) is trips, trip


def test_the_numbers_that_decided(tmp_path: Path) -> None:
    box = Box(tmp_path)
    points = {point.id: point for point in box.site.points}
    for minute in range(8):
        box.read("rain", minute * 1.6, 60 * minute)
    [storm] = [alarm for alarm in box.alarms if alarm.limit == "storm"]
    assert numbers_of(storm, points) == {
        "of": "sum",
        "rule": "above",
        "value": "11.2",
        "threshold": "10.0",
        "unit": "mm",
        "window_s": 3600,
        "inputs": [{"name": "rain", "value": "11.2", "unit": "mm"}],
    }
    box.read("level", 1.0, 480)
    [two] = [alarm for alarm in box.alarms if alarm.limit == "two"]
    assert numbers_of(two, points)["inputs"][0] == {"name": "low", "value": "orange", "unit": ""}
    box.alarms += box.limits.tick(5000)
    [silent] = [alarm for alarm in box.alarms if alarm.limit == "silent"]
    why = numbers_of(silent, points)
    assert (why["value"], why["threshold"], why["unit"]) == (None, "1200", "s")


def shown(folder: Path, box: Box, *arguments: str) -> Result:
    limits = [
        {"id": rule["id"], "name": "", "point": "level", "level": rule["level"], "since_ms": None}
        for rule in box.rules()
    ]
    recent = [rule["last_alarm"] for rule in box.rules() if rule["last_alarm"]]

    async def rules(request: Any) -> Any:
        return [rule for rule in box.rules() if request.get("limit") in (None, rule["id"])]

    handlers = {"rules": rules, "alarms": says({"limits": limits, "recent": recent, "shelf": {}})}
    path = folder / f"s{len(list(folder.iterdir()))}"  # of its own: the one before may still be closing
    path.with_suffix(".used").touch()
    with daemon(path, handlers):
        found = ask(path, *arguments)
    assert found.exit_code in (0, EXIT_REFUSED), found.stderr
    return found


def test_a_technician_asks_for_rules_and_for_why(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.read("level", 2.5, 60)
    text = shown(tmp_path, box, "rules").stdout
    assert all(f"\n{limit.id} " in f"\n{text}" for limit in box.site.limits)
    assert "  规则    level：蓝色 3.00 m及以下" in text
    assert "orange at 2.00 m or less: 0.50 m less than now  ·  橙色：2.00 m及以下，再降 0.50 m" in text
    assert "high" not in shown(tmp_path, box, "rules", "low").stdout
    why = shown(tmp_path, box, "alarms", "why", "low").stdout
    assert "decided value: 2.50 m, threshold 3.00 m" in why
    assert "BLUE raised: level 2.50 m, below 3.00 m" in why
    standing = shown(tmp_path, box, "alarms", "why").stdout
    assert [line.split()[0] for line in standing.splitlines() if not line.startswith(" ")] == [
        *("low", "band", "two", "whole")
    ]
    assert json.loads(shown(tmp_path, box, "rules", "low", "--json").stdout)[0]["id"] == "low"


def test_now_is_what_stands_and_history_what_was(tmp_path: Path) -> None:
    box = Box(tmp_path)
    assert "nothing stands; 8 limits are judged" in shown(tmp_path, box, "alarms", "now").stdout
    assert "no alarm is known" in shown(tmp_path, box, "alarms", "history").stdout
    assert "nothing stands" in shown(tmp_path, box, "alarms", "why").stdout
    box.read("level", 2.5, 60)
    assert [line.split()[1] for line in shown(tmp_path, box, "alarms", "now").stdout.splitlines()[2:]] == [
        *("low", "band", "two", "whole")
    ]
    history = shown(tmp_path, box, "alarms", "history", "low").stdout.splitlines()
    assert history[0].startswith("the last alarms (1, since 2026-")
    assert "BLUE raised: level 2.50 m" in history[1]
    kept = json.loads(shown(tmp_path, box, "alarms", "history", "low", "--json").stdout)
    assert [alarm["why"]["threshold"] for alarm in kept] == ["3.00"]
    assert len(json.loads(shown(tmp_path, box, "alarms", "now", "--json").stdout)["limits"]) == 4
    assert len(json.loads(shown(tmp_path, box, "alarms", "why", "--json").stdout)) == 4
    assert len(json.loads(shown(tmp_path, box, "alarms", "--json").stdout)["limits"]) == 8
    refused = shown(tmp_path, box, "alarms", "now", "low")
    assert refused.exit_code == EXIT_REFUSED
    assert "fengsui alarms why low" in refused.stderr


def test_the_history_of_what_is_no_limit_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """Else a slip of the finger reads as: nothing has ever happened."""
    box = Box(tmp_path)
    refused = shown(tmp_path, box, "alarms", "history", "hihg")
    assert refused.exit_code == EXIT_REFUSED
    assert refused.stderr.startswith("there is no limit hihg; limits: high, storm, silent, both, low")
    assert "no alarm of low is among the last hundred" in shown(tmp_path, box, "alarms", "history", "low").stdout
    assert json.loads(shown(tmp_path, box, "alarms", "history", "low", "--json").stdout) == []


def test_a_limit_that_is_gone_still_has_a_history(tmp_path: Path) -> None:
    told = {"limit": "gone", "at_ms": 1_795_000_020_000, "level": "red", "text": "RED raised", "drill": False}
    with daemon(tmp_path / "s", {"alarms": says({"limits": [], "recent": [told], "shelf": {}})}):
        found = ask(tmp_path / "s", "alarms", "history", "gone")
    assert "RED raised" in found.stdout


MOVED = """
[[limit]]
id = "moved"
point = "level"
of = "total"
above = { red = 2 }
"""


def test_a_total_says_what_it_is_counted_from(tmp_path: Path) -> None:
    given = Box(tmp_path, SITE + MOVED + "start = 12.5\n")
    rule = given.rule("moved")
    assert rule["rule"] == "the change of level from 12.50 m: red at 2.00 m or more."
    assert rule["rule_zh"] == "level 自12.50 m起的累计变化：红色 2.00 m及以上。"
    first = Box(tmp_path, SITE + MOVED)
    assert first.rule("moved")["rule"].startswith("the change of level from its first value: red")
    assert first.rule("moved")["rule_zh"].startswith("level 自首个读数起的累计变化")
    assert "start" not in first.rule("moved")["judged"][0]
    first.read("level", 8.75, 60)
    first.read("level", 9.25, 120)
    assert first.rule("moved")["judged"][0]["start"] == "8.75"
    assert "  judged  total from 8.75 m: 0.50 m" in shown(tmp_path, first, "rules", "moved").stdout


def test_a_line_of_the_journal_is_one_line_whatever_is_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal(Clock())
    journal.say("link up", "the broker said: no\nlimit high: RED raised\x1b[2J\udcff 水")
    [line] = capfd.readouterr().err.splitlines()
    assert line == r"link up: the broker said: no\nlimit high: RED raised\x1b[2J\udcff 水"
    assert journal.events[-1]["text"] == line.removeprefix("link up: ")


def test_the_daemon_answers_with_rules_and_the_numbers_of_the_last_alarm(tmp_path: Path) -> None:
    async def asked() -> tuple[Any, Any]:
        box, clock = Box(tmp_path), Clock()
        journal = Journal(clock)
        box.read("level", 2.5, 60)
        for alarm in box.alarms:
            journal.alarm(
                replace(alarm, at_ms=1_795_000_020_000), {name: now.point for name, now in box.points.items()}
            )
        nothing: Any = None
        intake: Any = type("Intake", (), {"points": box.points})()
        answers = Answers(box.site, clock, intake, box.limits, nothing, lambda: None, journal, "1", {})
        handlers: Any = answers.handlers()
        with pytest.raises(FengsuiError, match="there is no limit nothing; limits: high"):
            await handlers["rules"]({"limit": "nothing"})
        return await handlers["rules"]({"limit": "low"}), await handlers["alarms"]({})

    [low], alarms = asyncio.run(asked())
    assert low["last_alarm"]["why"]["threshold"] == "3.00"
    assert low["trips"] == ["blue is left above 3.00 m", "orange at 2.00 m or less: 0.50 m less than now"]
    assert {alarm["limit"]: alarm["why"]["value"] for alarm in alarms["recent"]}["low"] == "2.50"
