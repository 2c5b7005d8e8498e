"""watch, and daemons that are gone, stopped or slow, as a technician meets them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.cli import EXIT_NO_DAEMON
from edge.control import ANSWER_S, READ_S, Server
from tests.cli_daemon import (
    ALARM,
    AT_MS,
    HANDLERS,
    START_S,
    ask,
    daemon,
)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with daemon(tmp_path / "s", HANDLERS):
        yield tmp_path / "s"


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
