"""`fengsui what-if`: the same alarms as the engine in the field, and everything that is wrong with a record is said."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cli import EXIT_FAILED
from edge.cli.past import Names, read_past
from edge.cli.verbs import fengsui
from edge.config.load import load
from edge.contract import Level, Quality
from edge.intake_nouns import PointNow
from edge.limits import Limits
from edge.replay import Reading, replay

START_MS = 1_767_225_600_000  # 2026-01-01
MINUTE_MS = 60_000
SITE = """
[gateway]
id = "g"

[[link]]
id = "up"
driver = "mqtt"
host = "localhost"

[[port]]
id = "bus"
open = "tcp:127.0.0.1:502"

[[device]]
id = "d"
driver = "modbus"
port = "bus"

[[device.point]]
id = "level"
unit = "m"
step = 0.01
every = "1min"
register = 0

[[device.point]]
id = "rain"
unit = "mm"
step = 0.2
every = "1min"
register = 1

[[limit]]
id = "high"
name = "水位高"
point = "level"
above = { yellow = 10, red = 12 }
hysteresis = 0.5
hold = "2min"
clear_hold = "3min"

[[limit]]
id = "storm"
point = "rain"
of = "sum"
counter = true
above = { blue = { 1h = 10 }, red = { 10min = 20 } }

[[limit]]
id = "silent"
point = "level"
stale = { blue = "5min", yellow = "20min" }

[[limit]]
id = "both"
all = ["high", "storm"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(SITE, "utf-8")
    return file


def invoke(site: Path, text: str, *arguments: str) -> Result:
    record = site.parent / "record.csv"
    record.write_text(text, "utf-8")
    return CliRunner().invoke(
        fengsui, ["what-if", str(record), "--site", str(site), *arguments], catch_exceptions=False
    )


def wide(rows: list[tuple[int, str, str]]) -> str:
    return "time,level,rain\n" + "".join(f"{START_MS + at * MINUTE_MS},{level},{rain}\n" for at, level, rain in rows)


def shown(site: Path, text: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(invoke(site, text, "--json").stdout)
    return answer


def changes(answer: dict[str, Any], limit: str) -> list[tuple[float, str]]:
    """(minute, level) of each alarm."""
    [story] = [story for story in answer["limits"] if story["id"] == limit]
    return [((alarm["at_ms"] - START_MS) / MINUTE_MS, alarm["level"]) for alarm in story["alarms"]]


def flood() -> str:
    levels = [9.0] * 10 + [10.2] * 10 + [12.5] * 10 + [9.0] * 10
    return wide([(at, str(level), "0") for at, level in enumerate(levels)])


def test_each_level_is_told_at_the_minute_it_would_have_been_raised(site: Path) -> None:
    answer = shown(site, flood())
    assert changes(answer, "high") == [(12, "yellow"), (22, "red"), (33, "none")]  # hold 2 min, clear_hold 3 min
    [high] = [story for story in answer["limits"] if story["id"] == "high"]
    assert high["levels"]["yellow"] == {"times": 1, "lasted_s": 21 * 60, "first_ms": START_MS + 12 * MINUTE_MS}
    assert high["levels"]["red"] == {"times": 1, "lasted_s": 11 * 60, "first_ms": START_MS + 22 * MINUTE_MS}
    assert "level 12.50 m, above 12.00 m" in high["alarms"][1]["text"]
    assert "红色" in high["rule_zh"]


def test_windows_are_summed_and_limits_about_limits_follow(site: Path) -> None:
    rows = [(at, "12.5" if at >= 15 else "9", str(max(0, at - 10) * 2.4)) for at in range(60)]
    answer = shown(site, wide(rows))
    assert changes(answer, "storm")[0] == (15, "blue")  # 12 mm after five minutes
    assert changes(answer, "storm")[1] == (19, "red")  # 21.6 mm in ten minutes
    assert changes(answer, "both") == [(17, "blue"), (19, "red")]


def test_silence_is_seen_between_the_rows(site: Path) -> None:
    rows = [(at, "" if 10 <= at < 40 else "9", "0") for at in range(60)]
    found = changes(shown(site, wide(rows)), "silent")
    assert [level for _, level in found] == ["blue", "yellow", "none"]
    assert [math.floor(at) for at, _ in found] == [14, 29, 40]  # the last good one is of minute 9


def test_it_is_drawn_on_the_terminal(site: Path) -> None:
    text = invoke(site, flood()).stdout
    [lane] = [line for line in text.splitlines() if line.startswith("  high ") and "·" in line]
    marks = lane.split()[-1]
    assert set(marks) == set("·yR")
    assert marks[0] == marks[-1] == "·"
    assert abs(marks.index("y") / len(marks) - 12 / 39) < 0.03
    assert abs(marks.index("R") / len(marks) - 22 / 39) < 0.03
    assert "RED changed: level 12.50 m" in text
    assert "1 x, 11 min" in text
    assert "never" in text


def test_the_svg_is_one_and_draws_every_rule(site: Path, tmp_path: Path) -> None:
    picture = tmp_path / "o.svg"
    assert invoke(site, flood(), "--svg", str(picture)).exit_code == 0
    root = ElementTree.parse(picture).getroot()
    assert root.tag.endswith("svg")
    texts = " ".join(node.text or "" for node in root.iter() if node.tag.endswith("text"))
    assert all(limit in texts for limit in ("high 水位高", "storm", "silent", "both"))
    assert "Drawn: 10 min." in texts  # of two windows
    red = [node for node in root.iter() if node.get("fill") == "#c8201d"]
    [band] = [node for node in red if node.tag.endswith("rect")]
    assert abs(float(band.get("width", 0)) - 900 * 11 / 39) < 3
    refused = invoke(site, flood(), "--svg", str(tmp_path / "no" / "o.svg"))
    assert refused.exit_code == EXIT_FAILED
    assert "can not be written" in refused.stderr


def test_bad_rows_are_said_and_counted_and_the_rest_is_judged(site: Path) -> None:
    lines = flood().splitlines()
    lines[3] = "yesterday,9,0"
    lines[5] = lines[5].replace("9.0", "nine")
    lines.insert(8, "1,2")
    lines.insert(9, "")
    answer = shown(site, "\n".join(lines) + "\n")
    assert (answer["bad_rows"], answer["rows"]) == (3, 41)
    assert [sentence.split(":")[0] for sentence in answer["bad"]] == ["line 4", "line 6", "line 9"]
    assert "(level)" in answer["bad"][1]
    assert changes(answer, "high") == [(12, "yellow"), (22, "red"), (33, "none")]
    plain = invoke(site, "\n".join(lines) + "\n").stdout
    assert "note: 3 of 41 rows with something wrong, left out; the first: line 4" in plain


def test_a_quotation_mark_left_open_takes_no_other_row_with_it(site: Path) -> None:
    lines = flood().splitlines()
    lines[3] = '"' + lines[3]
    lines[5] = ",".join(f'"{cell}"' for cell in lines[5].split(","))
    answer = shown(site, "\n".join(lines) + "\n")
    assert (answer["bad_rows"], answer["rows"]) == (1, 40)
    assert "line 4: unexpected end of data; is a quotation mark left open?" in answer["bad"][0]
    assert changes(answer, "high") == [(12, "yellow"), (22, "red"), (33, "none")]


def test_only_the_first_bad_rows_are_said_all_are_counted(site: Path) -> None:
    answer = shown(site, flood() + "x,1,1\n" * 500)
    assert (answer["bad_rows"], len(answer["bad"])) == (500, 5)


def test_rows_in_any_order_and_times_as_spreadsheets_write_them(site: Path) -> None:
    head, *rows = flood().splitlines()
    newest_first = shown(site, "\n".join([head, *reversed(rows)]))
    assert newest_first["out_of_order"] == 39
    assert changes(newest_first, "high") == [(12, "yellow"), (22, "red"), (33, "none")]
    excel = [f"2026/1/1 8:{at:02d},{row.split(',', 1)[1]}" for at, row in enumerate(rows)]
    assert changes(shown(site, "\n".join(["\ufeff" + head, *excel])), "high") == changes(newest_first, "high")


def test_the_long_form_and_strangers(site: Path) -> None:
    rows = [f"2026-01-01T08:{at:02d}:00+08:00,level,{12.5 if at > 5 else 9}\n" for at in range(20)]
    answer = shown(site, "at,point,value\n" + "".join(rows) + f"{START_MS},other,3\n")
    assert changes(answer, "high") == [(8, "red")]
    assert answer["strangers"] == ["other"]


def test_what_the_record_lacks_is_said_and_not_taken_for_silence(site: Path) -> None:
    rows = "".join(f"{START_MS + at * MINUTE_MS},{at}\n" for at in range(60))
    answer = shown(site, "time,rain\n" + rows)
    judged = {story["id"]: story["judged"] for story in answer["limits"]}
    assert judged == {"high": False, "storm": True, "silent": False, "both": True}
    assert not changes(answer, "silent")
    assert any("high, silent" in note for note in answer["notes"])
    assert any("both (without high)" in note for note in answer["notes"])


def test_a_wild_reading_is_doubted_as_in_the_field(site: Path) -> None:
    site.write_text(SITE.replace("register = 0", "register = 0\nspike = 1").replace('hold = "2min"\n', ""), "utf-8")
    rows = [(at, "50" if at == 20 else "9", "0") for at in range(40)]
    answer = shown(site, wide(rows))
    assert answer["doubted"] == {"level": 1}
    assert not changes(answer, "high")
    assert any("1 readings of level were not believed" in note for note in answer["notes"])


def test_one_reading_is_a_record_too(site: Path) -> None:
    plain = invoke(site, f"time,level\n{START_MS},20\n", "--svg", str(site.parent / "o.svg"))
    assert plain.exit_code == 0
    assert "alarms: none would have been raised" in plain.stdout  # it must last two minutes


@pytest.mark.parametrize(
    ("record", "note"),
    [
        ("time,level\n{0},\n{1},--\n", "not one number that can be judged, so no level says anything of it: level"),
        ("time,level\n{0},65535\n{1},65535\n", "2 readings of level were not believed"),
        ("time,spare\n{0},1\n{1},2\n", "not judged, the file lacks what they are about: high, storm"),
    ],
)
def test_a_record_of_which_nothing_can_be_judged_is_no_good_news(site: Path, record: str, note: str) -> None:
    spare = '[[device.point]]\nid = "spare"\nunit = "m"\nstep = 0.01\nregister = 9\n\n[[limit]]\n'
    ranged = SITE.replace("register = 0\n", "register = 0\nrange = [0, 30]\n")
    site.write_text(ranged.replace("[[limit]]\n", spare, 1), "utf-8")
    plain = invoke(site, record.format(START_MS, START_MS + MINUTE_MS))
    assert plain.exit_code == EXIT_FAILED
    assert note in plain.stdout
    assert "alarms: nothing was judged" in plain.stdout
    assert "nothing was judged" in plain.stderr
    assert "none would have been raised" not in plain.output


def test_a_coarse_record_is_said(site: Path) -> None:
    answer = shown(site, wide([(10 * at, "9", "0") for at in range(20)]))
    assert any("level is read every 1min at the site, here every 10 min" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "has no header"),
        ("time,foo\n1767225600000,2\n", "has no reading of any point of this site; it has foo, the site level, rain"),
        ("time,level\nx,2\n", "the first trouble: line 2"),
        ('"time,level\n1767225600000,2\n', "is a quotation mark left open?"),
        ("time,level,level\n1767225600000,2,6\n", "the header names level more than once"),
        (
            "time,level\n2026-01-01T08:00:00+08:00,2\n1767225600000,2\n2026-01-01 00:02,6\n",
            "line 4: “2026-01-01 00:02” has no time zone, but line 2: “2026-01-01T08:00:00+08:00” has one",
        ),
    ],
)
def test_a_file_of_no_use_is_refused_with_a_sentence(site: Path, text: str, said: str) -> None:
    refused = invoke(site, text)
    assert refused.exit_code == EXIT_FAILED
    assert said in refused.stderr


def test_a_missing_file_is_said(site: Path) -> None:
    refused = CliRunner().invoke(fengsui, ["what-if", "no.csv", "--site", str(site)])
    assert refused.exit_code == EXIT_FAILED
    assert "can not be read" in refused.stderr


def field(file: Path, readings: list[Reading]) -> list[tuple[str, Level, float]]:
    """What the daemon's engine says of the same readings, ticked each second."""
    site = load(file)
    limits = Limits([limit.judged for limit in site.limits], 0.0)
    points = {point.id: PointNow(point) for point in site.points}
    found: list[tuple[str, Level, float]] = []
    at_s = 0
    for at_ms, point, value in readings:
        now_s = (at_ms - START_MS) / 1000
        while at_s + 1 <= now_s:
            at_s += 1
            found += [(alarm.limit, alarm.level, at_s) for alarm in limits.tick(at_s)]
        now = points[point]
        now.take(None if math.isnan(value) else value, Quality.GOOD, at_ms)
        judged = limits.judge(point, now.value, now.quality, now_s)
        found += [(alarm.limit, alarm.level, now_s) for alarm in judged]
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_it_says_what_the_engine_says_when_ticked_each_second(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    file = tmp_path_factory.mktemp("w") / "site.toml"
    file.write_text(SITE, "utf-8")
    dice = random.Random(seed)
    readings: list[Reading] = [(START_MS, "level", 9.0)]
    at_ms, rain = START_MS, 0.0
    for _ in range(200):
        at_ms += dice.choice([0, 500, 60_000, 60_000, 61_234, 400_000, 1_500_000])
        rain += dice.choice([0, 0, 0.2, 4])
        level = dice.choice([9, 9.6, 10, 11.4, 12, 13, math.nan])
        readings.append((at_ms, "rain", rain) if dice.random() < 0.4 else (at_ms, "level", level))
    played = replay(load(file), readings, ["level", "rain"], (START_MS, at_ms), 100)
    told = [
        (alarm.limit, alarm.level, (alarm.at_ms - START_MS) / 1000)
        for story in played.stories
        for alarm in story.alarms
    ]
    assert sorted(told) == sorted(field(file, readings))


def test_a_year_of_minutes_takes_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    with file.open("w") as out:
        out.write("time,level\n")
        out.writelines(f"{START_MS + at * MINUTE_MS},9\n" for at in range(20_000))
    past = read_past(file, Names({"level": "level"}, {}))
    each = past.at_ms.itemsize + past.point.itemsize + past.value.itemsize
    assert (len(past.at_ms), each) == (20_000, 18)
