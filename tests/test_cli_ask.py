"""The verbs that ask the daemon, before a stand-in at a real socket: what a technician sees, and how it ends."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge.cli import EXIT_NO_DAEMON, EXIT_REFUSED
from edge.cli.show import width
from edge.cli.verbs import fengsui
from tests.cli_daemon import (
    ALARM,
    ALARMS,
    HANDLERS,
    POINTS,
    START_S,
    STATUS,
    ask,
    daemon,
    says,
)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with daemon(tmp_path / "s", HANDLERS):
        yield tmp_path / "s"


def test_points_stand_in_columns_that_count_chinese_as_two(path: Path) -> None:
    title, *lines = ask(path, "points").stdout.splitlines()
    assert title == "points (3)"
    columns = [
        width(line[: line.index(cell)])
        for line, cell in zip(lines, ("quality", "good", "no answer", "not read"), strict=True)
    ]
    assert len(set(columns)) == 1
    assert "2026-11-18 11:07:00Z" in lines[1]
    assert json.loads(ask(path, "points", "--json").stdout) == POINTS


def test_a_value_that_the_device_marks_as_none_is_not_called_refused_alone(tmp_path: Path) -> None:
    with daemon(tmp_path / "s", {"points": says([{**POINTS[1], "quality": "refused"}])}):
        assert "  refused, or marked as no value  " in ask(tmp_path / "s", "points").stdout


def test_alarms_show_where_limits_stand_aligned_also_in_colour(path: Path) -> None:
    plain = ask(path, "alarms").stdout
    assert "red    high" in plain
    assert "水位" in plain
    assert "2026-11-18 11:07:00Z  red     RED raised" in plain
    coloured = CliRunner().invoke(fengsui, ["alarms", "--socket", str(path)], color=True).stdout
    assert "\x1b[31m" in coloured
    assert coloured.replace("\x1b[31m", "").replace("\x1b[1m", "").replace("\x1b[0m", "") == plain


def test_links_are_up_or_say_why_and_steer_no_terminal(path: Path) -> None:
    text = ask(path, "links").stdout
    assert "cellular: up, last receipt 3 s ago\n  mtu_bytes 16384\n" in text
    assert r"satellite: down: no answer\x1b[2J, no receipt yet" in text


def test_links_say_in_words_what_has_gone_over_them(tmp_path: Path) -> None:
    told = {"up": True, "why": "", "trouble": "", "last_receipt_age_s": 1, "slot_s": 0.0, "noise": 4}
    told |= {"mtu_bytes": 16384, "window": 16, "on_way": 1, "packets": 412, "payload_bytes": 1_234_567}
    told |= {"round_trip_ms": 80.4, "in_flight": 1, "last_puback_ms": 12, "bytes_up": 1_234_000, "bytes_down": 9100}
    told |= {"connects": 3, "lost": 2, "sent": 410, "unknown": 2, "refused": 0, "received": 398}
    with daemon(tmp_path / "s", {"links": says({"fibre": told})}):
        assert ask(tmp_path / "s", "links").stdout.splitlines() == [
            "fibre: up, last receipt 1 s ago",
            "  packets    412, 1.2 MB in all, 16384 bytes at most in one; 1 on the way, 16 at most",
            "  receipts   the province's takes 80 ms",
            "  broker     connected 3 times, lost 2 times; 410 packets taken, the last in 12 ms; 0 refused, "
            "2 without an answer",
            "  received   398 packets, 9.1 kB",
            "  noise 4",
        ]


def test_alarms_name_what_stands_and_not_what_does_not(path: Path, tmp_path: Path) -> None:
    text = ask(path, "alarms").stdout
    assert "limits (1) of 2 that are judged" in text
    assert "a-long-name" not in text
    high: Any = ALARMS["limits"][0]
    calm = {"limits": [{**high, "level": "none"}], "recent": [ALARM]}
    with daemon(tmp_path / "calm", {"alarms": says(calm)}):
        lines = ask(tmp_path / "calm", "alarms").stdout.splitlines()
        assert lines[:2] == ["nothing stands; 1 limits are judged (each of them: fengsui rules)", "recent alarms (1)"]
        assert json.loads(ask(tmp_path / "calm", "alarms", "--json").stdout) == calm


def test_what_was_put_aside_and_is_taken_back_is_said_so(tmp_path: Path) -> None:
    other = {"up_to": "red", "left_s": 90, "by": "李", "reason": "检修"}
    with daemon(tmp_path / "s", {"unshelve": says({"acknowledged": {}, "put_aside": {"other": other}})}):
        assert ask(tmp_path / "s", "unshelve", "high").stdout.splitlines() == [
            "high is no longer put aside; if it stands above what was told, its alarm goes out",
            "other: put aside up to red, 90 s left, by 李: 检修",
        ]


def test_status_is_one_page(path: Path) -> None:
    text = ask(path, "status").stdout
    for part in (
        *("gw 一号站", "2 of 3 good; not: rain-24h", "port     bus: unplugged", "limits   high red"),
        "site     /e/site.toml is wrong: running on the last good copy\n",
        *("link     none works yet", "1.5 of 200 MB", "taken 9 = settled 4 + held 5", r"port bus: unplugged\x07"),
    ):
        assert part in text
    assert "gauge" not in text
    with daemon(path.with_name("right"), {"status": says({**STATUS, "site_file": {"path": "/e/x", "wrong": ""}})}):
        assert "site  " not in ask(path.with_name("right"), "status").stdout
    file = {"path": "/e/x", "wrong": "", "useless": ["limit a: can never be reached", "limit b: nor this"]}
    with daemon(path.with_name("useless"), {"status": says({**STATUS, "site_file": file})}):
        found = ask(path.with_name("useless"), "status").stdout
        assert (
            "site     fengsui check refuses limit a: can never be reached\nsite     fengsui check refuses limit b"
            in found
        )
    assert json.loads(ask(path, "status", "--json").stdout) == STATUS


def test_outbox_and_read(path: Path) -> None:
    assert "/s/outbox.db" in ask(path, "outbox").stdout
    assert "12.30" in ask(path, "read", "depth").stdout
    refused = ask(path, "read", "nothing")
    assert (refused.exit_code, refused.stdout) == (EXIT_REFUSED, "")
    assert "neither a point nor a device" in refused.stderr


def test_nothing_to_show_is_said(tmp_path: Path) -> None:
    handlers = {"alarms": says({"limits": [], "recent": []}), "links": says({}), "points": says([])}
    with daemon(tmp_path / "s", handlers):
        assert ask(tmp_path / "s", "alarms").stdout == (
            "nothing stands; 0 limits are judged (each of them: fengsui rules)\nrecent alarms: none is known\n"
        )
        assert "waits for its key" in ask(tmp_path / "s", "links").stdout
        assert ask(tmp_path / "s", "points").stdout == "points: none\n"


@pytest.mark.parametrize("words", [["status"], ["watch"]])
def test_no_daemon(tmp_path: Path, words: list[str]) -> None:
    done = ask(tmp_path / "none", *words)
    assert (done.exit_code, done.stdout) == (EXIT_NO_DAEMON, "")
    assert "systemctl status fengsui" in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"hello\n", "is no fengsui daemon"),
        (b"[1]\n", "is no fengsui daemon"),
        (b'{"ok":', "hung up"),
        (b"", "hung up"),
    ],
)
def test_strange_answers_are_no_traceback(tmp_path: Path, line: bytes, said: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(line)

        thread = threading.Thread(target=answer)
        thread.start()
        done = ask(tmp_path / "s", "status")
        thread.join(START_S)
    assert done.exit_code == EXIT_NO_DAEMON
    assert said in done.stderr
