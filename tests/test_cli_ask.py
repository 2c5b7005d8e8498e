"""The verbs that ask the daemon, before a stand-in at a real socket: what a technician sees, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge.cli import EXIT_NO_DAEMON, EXIT_REFUSED
from edge.cli.show import width
from edge.cli.verbs import fengsui
from edge.control import ANSWER_S, READ_S, Handler, Server
from edge.errors import FengsuiError

START_S = 20.0
AT_MS = 1_795_000_020_000
POINTS: list[dict[str, Any]] = [
    {
        "id": "depth",
        "name": "埋深",
        "value": "12.30",
        "unit": "m",
        "quality": "good",
        "at_ms": AT_MS,
        "good": 9,
        "failed": 1,
    },
    {
        "id": "rain-24h",
        "name": "雨",
        "value": "-",
        "unit": "毫米",
        "quality": "no answer",
        "at_ms": AT_MS,
        "good": 9,
        "failed": 1,
    },
    {
        "id": "new",
        "name": "",
        "value": "-",
        "unit": "m",
        "quality": "not read yet",
        "at_ms": None,
        "good": 9,
        "failed": 1,
    },
]
ALARM = {"at_ms": AT_MS, "limit": "high", "point": "depth", "level": "red", "change": "raised", "text": "RED raised"}
LINKS = {
    "cellular": {"up": True, "why": "", "last_receipt_age_s": 3, "mtu_bytes": 16384},
    "satellite": {"up": False, "why": "no answer\x1b[2J", "last_receipt_age_s": None, "mtu_bytes": 2048},
}
STORE = {
    "path": "/s/outbox.db",
    "broken": None,
    "used_bytes": 1_500_000,
    "quota_bytes": 200_000_000,
    "commits": 7,
    "account": {"taken": 9, "settled": 4, "held": 5, "evicted": 0, "balanced": True},
}
STATUS = {
    "gateway": "gw",
    "name": "一号站",
    "version": "1",
    "site_file": {"path": "/e/site.toml.good", "wrong": "/e/site.toml is wrong: running on the last good copy"},
    "up_s": 5,
    "clock": {"at_ms": AT_MS, "quality": "trusted", "source": "NTP"},
    "points": {"all": 3, "without_good_value": ["rain-24h"]},
    "ports": {"bus": "unplugged"},
    "devices": {"gauge": "answers"},
    "levels": {"high": "red"},
    "links": {},
    "store": STORE,
    "events": [{"at_ms": AT_MS, "about": "port bus", "text": "unplugged\x07"}],
}
ALARMS: dict[str, Any] = {
    "limits": [
        {"id": "high", "name": "水位", "point": "depth", "level": "red", "since_ms": AT_MS},
        {"id": "a-long-name", "name": "", "point": "rain-24h", "level": "none", "since_ms": None},
    ],
    "recent": [ALARM],
}


def says(answer: Any) -> Handler:
    async def handler(_request: Mapping[str, Any]) -> Any:
        return answer

    return handler


async def read(request: Mapping[str, Any]) -> Any:
    if request["what"] != "depth":
        raise FengsuiError(f"{request['what']} is neither a point nor a device")
    return POINTS[:1]


async def two_things(_request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield {"round": {"at_ms": AT_MS, "values": {"depth": "12.30"}}}
    yield {"alarm": ALARM}
    await asyncio.sleep(3600)


HANDLERS: dict[str, Handler] = {
    "status": says(STATUS),
    "points": says(POINTS),
    "alarms": says(ALARMS),
    "links": says(LINKS),
    "outbox": says(STORE),
    "read": read,
    "watch": two_things,
}


@contextmanager
def daemon(path: Path, handlers: Mapping[str, Handler]) -> Iterator[None]:
    """A control socket in a thread of its own."""
    loop = asyncio.new_event_loop()
    served = threading.Thread(target=loop.run_forever)
    served.start()
    task = asyncio.run_coroutine_threadsafe(Server(path, handlers).run(), loop)
    try:
        for _ in range(int(START_S / 0.01)):
            if listens(path):
                break
            threading.Event().wait(0.01)
        else:
            raise AssertionError(f"nothing listens at {path}")
        yield
    finally:
        task.cancel()
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        served.join(START_S)
        loop.close()


def listens(path: Path) -> bool:
    """A socket is there from its binding on, and refuses who comes before it listens."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(os.fspath(path)) == 0


async def _end_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with daemon(tmp_path / "s", HANDLERS):
        yield tmp_path / "s"


def ask(path: Path, *words: str) -> Result:
    return CliRunner().invoke(fengsui, [*words, "--socket", str(path)])


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


def hear_ctrl_c() -> None:
    """Who runs the tests may ignore it, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def watching(path: Path, *words: str) -> subprocess.Popen[str]:
    code = "from edge.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "watch", "--socket", str(path), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        preexec_fn=hear_ctrl_c,
    )


def test_watch_follows_until_ctrl_c(path: Path) -> None:
    with watching(path) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "2026-11-18 11:07:00Z  depth 12.30\n"
        assert running.stdout.readline() == "2026-11-18 11:07:00Z  red     RED raised\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(START_S) == 0
        assert running.stderr.read().strip() == ""


def test_watch_into_a_pipe_that_closes_ends_quietly(tmp_path: Path) -> None:
    async def endless(_request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield {"alarm": ALARM}
            await asyncio.sleep(0.01)

    with daemon(tmp_path / "s", {"watch": endless}), watching(tmp_path / "s", "--json") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline()) == {"alarm": ALARM}
        running.stdout.close()
        running.wait(START_S)
        assert running.stderr.read() == ""


def test_watch_says_when_the_daemon_is_gone(tmp_path: Path) -> None:
    async def short(_request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"event": {"at_ms": AT_MS, "about": "clock", "text": "known"}}
        raise ConnectionError

    with daemon(tmp_path / "s", {"watch": short}):
        done = ask(tmp_path / "s", "watch")
    assert done.stdout == "2026-11-18 11:07:00Z  clock: known\n"
    assert done.exit_code == EXIT_NO_DAEMON
    assert "hung up" in done.stderr


def test_watch_is_patient_where_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(_request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        await asyncio.sleep(0.5)
        yield {"alarm": ALARM}
        raise ConnectionError

    waited: list[float | None] = []
    patient = socket.socket.settimeout

    def settimeout(connection: socket.socket, timeout_s: float | None) -> None:
        waited.append(timeout_s)
        patient(connection, timeout_s)

    with daemon(tmp_path / "s", {"watch": slow}):
        monkeypatch.setattr(socket.socket, "settimeout", settimeout)
        assert "RED raised" in ask(tmp_path / "s", "watch").stdout
    assert waited == [ANSWER_S, None]


@pytest.mark.parametrize(
    ("words", "patience_s"),
    [
        (["status"], ANSWER_S),
        (["outbox", "--account"], ANSWER_S),
        (["read", "depth"], READ_S),
        (["watch"], ANSWER_S),
        (["send-test", "--link", "fibre"], ANSWER_S),
    ],
)
def test_a_daemon_that_is_stopped_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], patience_s: float
) -> None:
    waited: list[float | None] = []
    patient = socket.socket.settimeout

    def settimeout(connection: socket.socket, timeout_s: float | None) -> None:
        waited.append(timeout_s)
        patient(connection, 0.05)

    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(tmp_path / "s"))
        stopped.listen()  # the kernel takes the question, nobody reads it
        monkeypatch.setattr(socket.socket, "settimeout", settimeout)
        done = ask(tmp_path / "s", *words)
    assert done.exit_code == EXIT_NO_DAEMON
    assert f"has not answered in {patience_s:g} s" in done.stderr
    assert "systemctl restart fengsui" in done.stderr
    assert waited == [patience_s]


def test_the_daemon_ends_without_a_traceback_while_somebody_watches(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        serving = asyncio.ensure_future(Server(tmp_path / "s", HANDLERS).run())
        while not (tmp_path / "s").exists():  # noqa: ASYNC110 it is made when it is made
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"ask": "watch"}\n')
        assert b"round" in await reader.readline()
        serving.cancel()
        await asyncio.wait([serving])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                assert b"alarm" in await reader.read(), "and then it hung up"
        writer.close()

    asyncio.run(story())
    assert [record.getMessage() for record in caplog.records] == []
