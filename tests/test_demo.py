"""The demonstration runs from beginning to end, with both brokers; and its verdict can not be talked into a yes."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract import Kind
from sim.broker import mosquitto_path
from sim.demo.ledger import ARRIVALS, BEIDOU, FIBRE, UNCOMMITTED_MS, Arrival, Ledger, Moments, Window, verdict
from sim.demo.road import Road
from sim.demo.screen import gauge, took_words
from sim.demo.world import Pond
from sim.province_store import SCHEMA

PACKET_COLUMNS = "gateway, epoch, counter, kind, bytes, link, received_at_ms, entries, repeated"
PACE = 0.3  # of the story's pauses; what the gateway itself needs (a silent instrument, a lost link) stays as long
PLAY = "import sys, pathlib; from sim.demo import play; sys.exit(play(pathlib.Path(sys.argv[1]), pace={pace}))"
WITHOUT_MOSQUITTO = "import sim.broker; sim.broker.mosquitto_path = lambda: None; " + PLAY
PATIENCE_S = 240.0  # it takes some 45 s

POND = ("pond-level-high", "red", "changed", 15_000)
DAM = ("pore-2-high", "red", "raised", 20_500)
BY_BEIDOU, BY_FIBRE = Arrival(25_300, BEIDOU, 22), Arrival(31_500, FIBRE, 57)
BALANCED = Ledger(
    *(4210, 4210, 0, 0, 4210, 4210, 4210),
    seen={(1_000, "pond-level"): 418.6, (2_000, "pond-level"): None},
    arrived={(1_000, "pond-level"): 418.6, (2_000, "pond-level"): None, (3_000, "pond-level"): 418.7},
    raised=frozenset({POND, DAM}),
    alarms={POND: BY_BEIDOU, DAM: BY_FIBRE},
    moments=Moments(cut_ms=10_000, killed_ms=20_000, mended_ms=30_000),
    order=(Kind.ALARM, Kind.ROUNDS),
    by_beidou=("pond-level-high",),
    waited=("pore-2-high",),
)

FOLDED: dict[str, object] = {"folded": 210, "windows": (Window("pore-2", 0, 60_000),)}

# ---- the whole story


@pytest.fixture
def stories(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The story with each broker there is, at the same time."""
    scripts = {"amqtt": WITHOUT_MOSQUITTO} | ({"Mosquitto": PLAY} if mosquitto_path() else {})
    running = {name: start(script.format(pace=PACE), str(tmp_path / name)) for name, script in scripts.items()}
    yield running
    for process in running.values():
        end(process)


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.Popen(
        [sys.executable, "-c", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_the_whole_story(stories: dict[str, subprocess.Popen[str]]) -> None:
    for broker, process in stories.items():
        text, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, text
        assert f"broker: {broker}" in text
        account = re.search(
            r"taken ([\d ]+) = settled ([\d ]+); lost 0; repeated 0; red alarm at the province by B", text
        )
        assert account is not None, text
        assert account[1] == account[2]
        assert int(account[1].replace(" ", "")) > 200
        assert "RED 红  pore-2-high: raised in the dark" in text
        sounds = re.search(r"siren     SOUNDS 鸣响, (under 10 ms|\d+ ms) after the reading that is red", text)
        assert sounds is not None, text
        killed = text.index("KILLED (-9)")
        assert sounds.start() < killed < text.index("the relay has fallen") < text.index("SOUNDS 鸣响 again")
        message = re.search(
            r"RED 红  pond-level-high: BY BEIDOU, here [\d.]+ s after .* one short message of (\d+)", text
        )
        assert message is not None, text
        assert int(message[1]) <= 77
        assert re.search(r"card +4207733, level 3, 77 bytes a message, one in 3 s", text)
        assert re.search(r"next slot +(now|in \d+ s)", text)
        assert re.search(r"first came: alarm ×\d+", text)
        assert "WRONG" not in text


def test_an_interrupted_story_leaves_no_process(tmp_path: Path) -> None:
    script = f"import sys; from sim.demo import command; command(['--keep', {str(tmp_path / 'kept')!r}])"
    process = start(script)
    try:
        assert process.stdout is not None
        while "the first readings are here" not in (line := process.stdout.readline()):
            assert line, "it ended by itself"
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=30)
    finally:
        end(process)
    assert process.returncode == 130
    assert "every process of the demonstration has been ended" in text
    assert_no_process_of(str(tmp_path))


def assert_no_process_of(word: str) -> None:
    """No command line on this machine holds `word`."""
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in lines if word.encode() in line]


def test_keep_refuses_a_folder_that_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    script = f"from sim.demo import command; command(['--keep', {str(tmp_path)!r}])"
    process = start(script)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "is not empty" in text


# ---- the verdict


def test_what_is_folded_is_told_by_the_summaries() -> None:
    seen = {**BALANCED.seen, (9_000, "pore-2"): 1.0, (9_000, "pond-level"): None}
    told = replace(BALANCED, settled=4000, stored=4000, keys=4000, instants=4000, seen=seen, **FOLDED)  # type: ignore[arg-type]
    found = verdict(told)
    assert found.problems == ()
    assert "taken 4 210 = settled 4 000 + folded 210; lost 0" in found.line


def test_a_balanced_account_in_plain_words() -> None:
    found = verdict(BALANCED)
    assert found.problems == ()
    assert found.line == (
        "taken 4 210 = settled 4 210; lost 0; repeated 0; "
        "red alarm at the province by Beidou in 10.3 s, and 1.5 s after the fibre came back"
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stored": 4209, "keys": 4209, "instants": 4209}, "1 reading is lost"),
        ({"seen": {**BALANCED.seen, (9_000, "pore-2"): 1.0}}, "1 reading is lost"),
        ({"seen": {**BALANCED.seen, (60_000, "pore-2"): 1.0}, **FOLDED}, "1 reading is lost"),
        ({"settled": 4001, **FOLDED}, "does not balance"),
        ({"stored": 4211, "keys": 4210, "instants": 4210}, "1 reading is at the province twice"),
        ({"stored": 4211, "keys": 4211, "instants": 4210}, "1 reading is at the province twice"),
        ({"stored": 4211, "keys": 4211, "instants": 4211}, "1 reading is at the province that nobody took"),
        ({"arrived": {**BALANCED.arrived, (2_000, "pond-level"): 0.0}}, "was None and arrived as 0.0"),
        ({"alarms": {POND: BY_BEIDOU}}, "an alarm is lost: pore-2-high red raised at 20500"),
        ({"alarms": {DAM: BY_FIBRE}, "raised": frozenset({DAM})}, "no red alarm of pond-level-high came by Beidou"),
        ({"alarms": {POND: Arrival(25_300, FIBRE, 30), DAM: BY_FIBRE}}, "of pond-level-high came by Beidou"),
        ({"alarms": {POND: Arrival(30_900, BEIDOU, 22), DAM: BY_FIBRE}}, "of pond-level-high came by Beidou"),
        ({"moments": Moments(16_000, 20_000, 30_000)}, "of pond-level-high came by Beidou"),
        ({"alarms": {POND: BY_BEIDOU, DAM: BY_BEIDOU}}, "of pore-2-high came by the mended fibre"),
        ({"over_rate": 2}, "asked too early for its card, 2 times"),
        ({"raised": frozenset({POND})}, "an alarm nobody saw raised: pore-2-high"),
        ({"settled": 4200, "held": 10}, "10 readings are still held"),
        ({"settled": 4200, "evicted": 10}, "10 readings are given up"),
        ({"taken": 4211}, "own account does not balance"),
        ({"order": (Kind.ROUNDS, Kind.ALARM)}, "readings overtook the alarm"),
        ({"order": (Kind.ROUNDS,)}, "readings overtook the alarm"),
        ({"seen": {}}, "nothing was proven"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, object], words: str) -> None:
    problems = verdict(replace(BALANCED, **wrong)).problems  # type: ignore[arg-type]
    assert any(words in problem for problem in problems), problems


def test_only_readings_just_before_the_kill_may_be_uncommitted() -> None:
    killed_ms = BALANCED.moments.killed_ms
    for at_ms, may in [(killed_ms - 500, True), (killed_ms - UNCOMMITTED_MS - 1, False), (killed_ms + 1, False)]:
        found = verdict(replace(BALANCED, seen={**BALANCED.seen, (at_ms, "pore-2"): 130.0}))
        assert (found.problems == ()) is may, at_ms
        assert any("not committed yet" in note for note in found.notes) is may


# ---- the parts


def test_an_alarm_came_by_the_link_whose_packet_was_first() -> None:
    """In one transaction with it, and with an entry that was new."""
    packets = [
        (Kind.ROUNDS, BEIDOU, 70, 1000, 3, 0),
        (Kind.ALARM, FIBRE, 57, 2000, 4, 4),  # all repeated
        (Kind.ALARM, BEIDOU, 22, 2000, 1, 0),
        (Kind.ALARM, FIBRE, 57, 2100, 1, 1),
    ]
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        for kind, link, size, at_ms, entries, repeated in packets:
            row = ("g", 1, 0, int(kind), size, link, at_ms, entries, repeated)
            db.execute(f"INSERT INTO packets ({PACKET_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        alarm = ("g", 1, 7, 1500, "high", "p", 4, "raised", "above", 1.0, 1.0, "m", 0, 2000, "", 0)
        db.execute(f"INSERT INTO alarms VALUES ({', '.join('?' * len(alarm))})", alarm)
        found = db.execute(ARRIVALS, (Kind.ALARM, Kind.FRAGMENT)).fetchall()
    assert found == [("high", 4, "raised", 1500, 2000, BEIDOU, 22)]


def test_the_water_makes_the_story_possible() -> None:
    """Each limit is crossed in the act that speaks of it."""
    from sim.demo import story

    pond = Pond()
    assert pond.level_m(story.BEFORE_STORM_HOURS) < 419.0
    assert 420.05 < pond.level_m(story.POND_ORANGE_HOURS) < 420.45
    assert pond.level_m(story.POND_RED_HOURS) > 420.55
    assert pond.pore_kpa(story.DARK_HOURS) < 137.0
    assert pond.pore_kpa(story.PORE_RED_HOURS) > 139.0
    assert pond.rain_24h_mm(story.POND_RED_HOURS) > 100.0
    assert pond.beach_m(story.PORE_RED_HOURS) > 0.0


def test_a_cut_road_refuses_and_a_mended_one_carries() -> None:
    with socket.create_server(("127.0.0.1", 0)) as far:
        far.settimeout(10)
        road = Road(far.getsockname()[1])
        try:
            near = socket.create_connection(("127.0.0.1", road.port), timeout=10)
            end_ = far.accept()[0]
            near.sendall(b"up")
            assert end_.recv(10) == b"up"
            end_.sendall(b"down")
            assert near.recv(10) == b"down"
            road.cut()
            assert near.recv(10) == b""
            assert end_.recv(10) == b""
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", road.port), timeout=1).recv(1)
            road.mend()
            with socket.create_connection(("127.0.0.1", road.port), timeout=10) as again:
                again.sendall(b"again")
                assert far.accept()[0].recv(10) == b"again"
        finally:
            road.close()


def test_the_screens_words() -> None:
    assert took_words(-3) == took_words(8) == "under 10 ms"
    assert took_words(80) == "80 ms"
    assert took_words(2345) == "2.3 s"
    assert gauge(418.0) == "[         Y    O    R    ]"
    assert gauge(420.6).count("=") == 17
    assert len(gauge(500.0)) == len(gauge(0.0))
