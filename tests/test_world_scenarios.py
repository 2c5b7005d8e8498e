"""Scenario files: those of the project can be played; a mistake is told with table, key and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.province_store import SCHEMA
from sim.world import expects, scenario
from sim.world.expects import Arrival, arrivals
from sim.world.nouns import START_MS, Expect
from sim.world.scenario import ScenarioError, load, seconds
from sim.world.scenario_site import Ends

FILES = scenario.all_files()
QUICK = (scenario.FOLDER / "quick.toml").read_text("utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenarios_that_come_with_the_project(path: Path) -> None:
    found = load(path)
    assert found.title.isascii()
    assert not found.title_zh.isascii()
    assert not found.about_zh.isascii()
    story = found.story
    assert any(not expect.never for expect in story.expects)
    assert any(expect.never for expect in story.expects)
    for expect in story.expects:  # tight: a quarter of an hour where instruments are read each ten seconds or so
        if not expect.never:
            assert expect.by_s - expect.from_s <= max(1800.0, story.lasts_s / 100), expect


def test_there_are_enough() -> None:
    assert len(FILES) >= 8


def test_the_site_keeps_its_comments_and_gets_its_ends() -> None:
    found = load(scenario.FOLDER / "quick.toml")
    assert 'host = "10.0.0.1"' in found.story.site
    ends = Ends({"fibre": ("127.0.0.1", 4321)}, "serial:/dev/pts/9", "/k", "/t", "/s", "3.1.1")
    text = found.real_site(ends, {"rs485": "serial:/tmp/p"})
    for part in (
        'host = "127.0.0.1"\nport = 4321',
        'open = "serial:/dev/pts/9"',
        'open = "serial:/tmp/p"',
        'key = "/k"',
        'version = "3.1.1"',
    ):
        assert part in text
    assert "[[trouble]]" not in text


@pytest.mark.parametrize(
    ("text", "wanted_s"), [("90s", 90), ("1h 20min", 4800), ("1.5h", 5400), ("250ms", 0.25), ("2d 1s", 172_801)]
)
def test_durations(text: str, wanted_s: float) -> None:
    assert seconds(text) == wanted_s


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "h", "1h foo", "-5s", "1h,2min"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        seconds(text)


@pytest.mark.parametrize(
    ("was", "is_now", "said"),
    [
        ('title_zh = "三分钟全流程"', "", 'title_zh: is missing; write title_zh = "..."'),
        ('lasts = "3min 20s"', 'lasts = "2 mins"', "lasts: write it like"),
        ('lasts = "3min 20s"', "lasts = 120", "lasts: write it like"),
        ('["fibre", "beidou"]', '["fiber", "beidou"]', "links: 'fiber' is not known; there are fibre"),
        ('["fibre", "beidou"]', "[]", "links: name each way out once"),
        ('["fibre", "beidou"]', '["beidou"]', "on = 'fibre' is not there; this site has as a link: nothing"),
        ('"wind-speed" = 3.4', '"wind-speed" = "calm"', "[start] wind-speed: 'calm' is not a number"),
        ('"wind-speed" = 3.4', '"wind" = 3.4', "on = 'wind' is not there; this site has as a point: phreatic-1"),
        ('kind = "power.kill"', 'kind = "power.kil"', "there is no such kind: did you mean power.kill?"),
        ('kind = "power.kill"', 'kind = "power.kill"\non = "box"', "on = 'box' means nothing here"),
        ('kind = "power.kill"', 'kind = "power.kill"\nvalue = 3', "value means nothing here"),
        (
            'kind = "power.kill"',
            'kind = "power.kill"\nduring = "3s"',
            "[[trouble]] 4 during: no such key; there are at",
        ),
        ("value = 0.3", "value = 30", "value = 30 must be a chance, above 0 and up to 1"),
        ("value = 0.3", 'value = "30%"', "[[trouble]] 6 value: '30%' is not a number"),
        ('at = "90s"', 'at = "62min"', "device.silence at 3720 s: is not within the story, which lasts 200 s"),
        ('at = "90s"', "at = 62", "[[trouble]] 3 at: 62 is not a text in quotes"),
        ('limit = "phreatic-1-shallow"', 'limit = "phreatic-shallow"', "did you mean phreatic-1-shallow?"),
        ('level = "blue"', 'level = "orange"', "this limit has none, blue"),
        ('level = "blue"', 'level = "amber"', "a level is one of none, blue"),
        ('by = "1min 40s"', 'by = "19s"', "from must be before by"),
        ('link = "beidou"', 'link = "4g"', "link = '4g' is not there; this story has fibre, beidou"),
        ("never = true", 'never = "yes"', "[[expect]] 5 never: 'yes' is not true or false"),
        ("[[expect]]", "[[expected]]", "expected: no such key; there are about"),
        ('[[port]]\nid = "rs485"', '[[port]]\nid = "RS485!"', "RS485!"),
        ('driver = "modbus"', 'driver = "modbuss"', "modbuss"),
        ("# Three minutes", "Three minutes", "is not TOML"),
    ],
)
def test_a_mistake_is_told(was: str, is_now: str, said: str, tmp_path: Path) -> None:
    assert was in QUICK
    path = tmp_path / "story.toml"
    path.write_text(QUICK.replace(was, is_now, 1) if was != "[[expect]]" else QUICK.replace(was, is_now), "utf-8")
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "story.toml"
    path.write_text(QUICK.replace('kind = "power.kill"', "").replace('lasts = "3min 20s"', ""), "utf-8")
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert len(caught.value.problems) == 2


# -- what must be seen


def test_arrivals_name_the_link_that_was_first(tmp_path: Path) -> None:
    import sqlite3

    book = tmp_path / "province-1.db"
    db = sqlite3.connect(book)
    db.executescript(SCHEMA)
    at_ms = START_MS + 5_500
    packets = [(1, 1, 3, "fibre", at_ms, 0, 0), (2, 1, 4, "beidou", at_ms, 1, 0), (3, 1, 5, "fibre", at_ms + 900, 1, 1)]
    for number, epoch, counter, link, received_ms, entries, repeated in packets:
        row = (number, "g", epoch, counter, 1, 30, link, received_ms, entries, repeated)
        db.execute("INSERT INTO packets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    alarm = ("g", 1, 7, at_ms - 3000, "high", "p", 4, "raised", "above", 3.0, 2.0, "m", 0, at_ms, "RED raised", 0)
    db.execute(f"INSERT INTO alarms VALUES ({', '.join('?' * len(alarm))})", alarm)
    db.commit()
    db.close()
    assert arrivals([book]) == [Arrival("high", "red", 5.5, "beidou")]


def an_expect(**changed: object) -> Expect:
    return Expect(**{"limit": "high", "level": "red", "from_s": 10, "by_s": 20, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "seen", "said"),
    [
        ({}, [(15, "fibre")], ""),
        ({}, [(10, "x"), (30, "x")], ""),
        ({}, [], "was expected from 0:00:10.0 by 0:00:20.0, and never came"),
        ({}, [(21, "fibre")], "and came at 0:00:21.0"),
        ({}, [(9, "fibre"), (15, "fibre")], "was seen early, 0:00:09.0"),
        ({"link": "beidou"}, [(15, "fibre")], "was expected by beidou, and came by fibre"),
        ({"link": "beidou"}, [(15, "mqtt")], "was expected by beidou, and came by mqtt"),
        ({"link": "cellular"}, [(15, "mqtt")], ""),
        ({"never": True}, [(15, "fibre")], "must not be seen"),
        ({"never": True}, [(9, "fibre"), (21, "fibre")], ""),
        ({"level": "none"}, [], "never came"),
    ],
)
def test_verdicts(changed: dict[str, object], seen: list[tuple[float, str]], said: str) -> None:
    came = [Arrival("high", "red", at_s, link) for at_s, link in seen]
    (broken,) = (it.broken for it in expects.verdicts([an_expect(**changed)], came, 100.0))
    assert said in broken
    assert bool(said) == bool(broken)


def test_what_is_not_due_yet_is_not_judged() -> None:
    assert expects.verdicts([an_expect()], [], 15.0) == []


def test_a_second_time_may_be_preceded_by_the_first() -> None:
    both = [an_expect(), an_expect(from_s=50, by_s=60)]
    came = [Arrival("high", "red", 15.0, "fibre"), Arrival("high", "red", 55.0, "fibre")]
    assert [it.broken for it in expects.verdicts(both, came, 100.0)] == ["", ""]
