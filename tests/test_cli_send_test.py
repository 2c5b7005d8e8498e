"""fengsui send-test from both ends: each step in words, the exit code, and no endless wait."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edge.answers import Answers
from edge.cli import EXIT_FAILED, EXIT_NO_DAEMON, EXIT_REFUSED
from edge.control import TEST_WAIT_MOST_S, Handler
from edge.errors import FengsuiError
from sim.virtual import run
from tests.cli_daemon import START_S, ask, daemon

WAITING = {"step": "waiting", "ready_in_s": 41.2}
HANDED = {"step": "handed over", "bytes": 13}
SENT = {"step": "sent", "outcome": "sent", "why": "card 4207733, level 3"}  # how the link is, not why
RECEIPT = {"step": "receipt", "after_s": 9.3}
NO_RECEIPT = {"step": "no receipt", "after_s": 300}


def steps(*given: dict[str, Any]) -> Handler:
    async def handler(request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        assert request["link"] == "beidou"
        for step in given:
            yield step
        await asyncio.sleep(3600)  # who asked must not need the end

    return handler


def send_test(path: Path, handler: Handler, *words: str) -> Any:
    with daemon(path / "s", {"send-test": handler}):
        return ask(path / "s", "send-test", "--link", "beidou", *words)


def test_a_receipt(tmp_path: Path) -> None:
    done = send_test(tmp_path, steps(WAITING, HANDED, SENT, RECEIPT))
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "waiting 41 s for the next slot of beidou",
        "handed over to beidou: 13 bytes",
        "sent: it has left, now the province's receipt must come",
        "receipt after 9 s: beidou reaches the province and back",
    ]


def test_each_step_for_programs(tmp_path: Path) -> None:
    done = send_test(tmp_path, steps(WAITING, HANDED, SENT, RECEIPT), "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [WAITING, HANDED, SENT, RECEIPT]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((HANDED, SENT, NO_RECEIPT), "no receipt in 5 min"),
        (
            (HANDED, {**SENT, "outcome": "unknown", "why": "no feedback"}, NO_RECEIPT),
            "no answer; the packet may have le",
        ),
        ((HANDED, {**SENT, "outcome": "not sent", "why": "no card\x1b[2J"}), r"not sent: no card\x1b[2J"),
        (
            ({"step": "waiting", "ready_in_s": 0, "why": "no beam"}, NO_RECEIPT),
            "waiting for beidou to take it: no beam",
        ),
        (({"step": "sung", "why": "new"}, NO_RECEIPT), '{"step": "sung", "why": "new"}'),
    ],
)
def test_no_receipt_or_nothing_sent_ends_with_1(given: tuple[dict[str, Any], ...], said: str, tmp_path: Path) -> None:
    done = send_test(tmp_path, steps(*given))
    assert done.exit_code == EXIT_FAILED
    assert said in done.stdout


def test_refused_and_not_there(tmp_path: Path) -> None:
    async def refuse(_request: Mapping[str, Any]) -> Any:
        raise FengsuiError("there is no link beidou; links: cellular")

    done = send_test(tmp_path, refuse)
    assert (done.exit_code, done.stdout) == (EXIT_REFUSED, "")
    assert "links: cellular" in done.stderr
    assert ask(tmp_path / "none", "send-test", "--link", "beidou").exit_code == EXIT_NO_DAEMON


def test_a_daemon_that_stops_meanwhile(tmp_path: Path) -> None:
    async def short(_request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield HANDED
        raise ConnectionError

    done = send_test(tmp_path, short)
    assert done.exit_code == EXIT_NO_DAEMON
    assert "hung up before the test was over" in done.stderr


@pytest.mark.parametrize(
    "words",
    [[], ["--link", "x", "--wait", "5"], ["--link", "x", "--wait", "1h"], ["--link", "x", "--wait", "0s"], ["beidou"]],
)
def test_wrong_usage_ends_with_2(words: list[str], tmp_path: Path) -> None:
    done = ask(tmp_path / "none", "send-test", *words)
    assert (done.exit_code, done.stdout) == (2, "")


def test_ctrl_c_says_that_the_packet_may_still_go(tmp_path: Path) -> None:
    code = "from edge.cli import main; main()"
    words = ["send-test", "--link", "beidou", "--socket", str(tmp_path / "s")]
    with (
        daemon(tmp_path / "s", {"send-test": steps(WAITING)}),
        subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as running,
    ):
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith("waiting 41 s")
        running.send_signal(signal.SIGINT)
        assert running.wait(START_S) == EXIT_FAILED
        assert "may still go out" in running.stderr.read()


# -- the daemon's end --------------------------------------------------------------------------------------------------


class Relay:
    """Stands for the relay: waits for a slot, sends, and hears a receipt after `trip_s`."""

    def __init__(self, trip_s: float) -> None:
        self.trip_s = trip_s
        self.wait_s = 0.0
        self.ended = False

    async def send_test(self, _link: str, wait_s: float) -> AsyncIterator[dict[str, Any]]:
        self.wait_s = wait_s
        try:
            yield WAITING
            await asyncio.sleep(1000)
            yield SENT
            await asyncio.sleep(self.trip_s)
            yield {"step": "receipt", "after_s": self.trip_s}
        finally:
            self.ended = True


async def asked(relay: Relay | None, **request: Any) -> list[dict[str, Any]]:
    site = SimpleNamespace(links=[SimpleNamespace(id="beidou"), SimpleNamespace(id="cellular")])
    answers = cast(Answers, SimpleNamespace(site=site, relay=lambda: relay))
    return [step async for step in Answers._ask_send_test(answers, {"ask": "send-test", **request})]


def test_the_daemon_gives_each_step() -> None:
    relay = Relay(9.3)
    found = run(asked(relay, link="beidou", wait_s=10))
    assert [step["step"] for step in found] == ["waiting", "sent", "receipt"]
    assert (relay.wait_s, relay.ended) == (10, True)


def test_who_goes_away_ends_the_test() -> None:
    relay = Relay(9.3)

    async def go_away() -> None:
        asking = asyncio.ensure_future(asked(relay, link="beidou"))
        await asyncio.sleep(1)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking

    run(go_away())
    assert relay.ended


@pytest.mark.parametrize(
    ("relay", "request_", "said"),
    [
        (Relay(1), {"link": "beidu"}, "there is no link beidu; links: beidou, cellular"),
        (Relay(1), {}, "there is no link None"),
        (Relay(1), {"link": ["beidou"]}, "there is no link"),
        (Relay(1), {"link": "beidou", "wait_s": "1"}, "wait_s must be a number from 1 to 600"),
        (Relay(1), {"link": "beidou", "wait_s": TEST_WAIT_MOST_S + 1}, "wait_s must be"),
        (Relay(1), {"link": "beidou", "wait_s": float("nan")}, "wait_s must be"),
        (None, {"link": "beidou"}, "waits for its key"),
    ],
)
def test_what_the_daemon_refuses(relay: Relay | None, request_: dict[str, Any], said: str) -> None:
    with pytest.raises(FengsuiError, match=said):
        run(asked(relay, **request_))
