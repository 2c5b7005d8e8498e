"""`fengsui-sim beidou` and `fengsui-sim ground --beidou` as processes, on pseudo-terminals."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from drivers.beidou import wire
from drivers.beidou.wire import Dialect, Stream
from edge.contract import Kind
from sim.beidou.cli import Running, start
from sim.beidou.tty import Tty
from sim.cli import group
from tests.ground_desk import CARD, PROVINCE, Gateway
from tests.test_ground_province import ROOT

ANSWER_S = 20.0  # some tenths of a second on an idle machine


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    process = start(
        *("--terminal", f"site:{CARD},dialect=2.1,baud=19200,link={tmp_path / 'bd'}"),
        *("--terminal", f"province:{PROVINCE},dialect=bds3,period=1,baud=115200"),
        *("--loss", "0", "--delay", "0.1", "0.2"),
    )
    try:
        yield process
    finally:
        process.stop()


async def ask(line: Tty, command: wire.Command, wanted: type, timeout_s: float = ANSWER_S) -> wire.Heard | None:
    """The first `wanted` after a command; None when there is none."""
    await line.write(wire.build(command))
    stream = Stream()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                for heard in stream.feed(await line.read()):
                    if isinstance(heard, wanted):
                        return heard
    except TimeoutError:
        return None


def on_line(
    path: str, command: wire.Command, wanted: type, baud: int, timeout_s: float = ANSWER_S
) -> wire.Heard | None:
    async def story() -> wire.Heard | None:
        line = Tty(path, baud)
        try:
            return await ask(line, command, wanted, timeout_s)
        finally:
            line.close()

    return asyncio.run(story())


def test_terminals_on_pseudo_terminals_answer_at_their_rate_only(running: Running, tmp_path: Path) -> None:
    assert running.paths["site"] == str(tmp_path / "bd")
    query = wire.QueryCard(Dialect.TEXT21)
    assert on_line(running.paths["site"], query, wire.Card, 9600, 0.5) is None
    card = on_line(running.paths["site"], query, wire.Card, 19_200)
    assert isinstance(card, wire.Card)
    assert (card.address, card.period_s) == (CARD, 60)
    card = on_line(running.paths["province"], wire.QueryCard(Dialect.BDS3), wire.Card, 115_200)
    assert isinstance(card, wire.Card)
    assert (card.address, card.period_s, card.user_class) == (PROVINCE, 1, 0)
    assert running.counts("site") == {"requests": 0, "over_rate": 0, "radiated": 0, "resets": 0}


def test_commands_change_the_world_and_wrong_ones_are_refused(running: Running) -> None:
    site = running.paths["site"]
    running.command("site card out")
    card = on_line(site, wire.QueryCard(Dialect.TEXT21), wire.Card, 19_200)
    assert isinstance(card, wire.Card)
    assert card.address is None
    for text in ("site card in", "site beams off", "site inhibit on"):
        running.command(text)
    feedback = on_line(site, wire.Send(Dialect.TEXT21, PROVINCE, b"ABC"), wire.Feedback, 19_200)
    assert isinstance(feedback, wire.Feedback)
    assert feedback.outcome is wire.Outcome.SUPPRESSED
    for text in ("site reset", "site clear", "site fault late 0.5", "site fade 600", "loss 0.1", "delay 2 8"):
        running.command(text)
    running.command("site unplug")
    assert not Path(site).exists()
    assert running.command("site plug") == site
    for wrong in ("what", "nobody card out", "site card away", "site fault late 2", "loss", "delay 1", "site counts 3"):
        with pytest.raises(RuntimeError, match="not understood"):
            running.command(wrong)
    assert running.counts("site")["resets"] == 1


def test_ground_answers_an_alarm_through_its_own_terminal(running: Running, tmp_path: Path) -> None:
    (tmp_path / "root.key").write_text(ROOT.hex(), "utf-8")
    gateway, db = Gateway(), tmp_path / "province.db"
    options = [f"--beidou=serial:{running.paths['province']}", f"--beidou-card={CARD}={gateway.name}", "--no-mqtt"]
    command = [
        sys.executable,
        "-u",
        "-m",
        "sim.ground",
        "--db",
        str(db),
        "--keys",
        str(tmp_path / "root.key"),
        *options,
    ]
    with (tmp_path / "log").open("wb") as log:
        ground = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        give_up_s = time.monotonic() + ANSWER_S
        while "every 1 s" not in (tmp_path / "log").read_text("utf-8"):
            assert time.monotonic() < give_up_s, (tmp_path / "log").read_text("utf-8")
            time.sleep(0.05)
        send = wire.Send(Dialect.TEXT21, PROVINCE, gateway.pack(bytes([Kind.TEST]), sheet=False, long=True))
        answer = on_line(running.paths["site"], send, wire.Message, 19_200)
        assert isinstance(answer, wire.Message)
        assert answer.sender == PROVINCE
        assert gateway.receipt(answer.content).echo == gateway.counter
    finally:
        ground.kill()
        ground.wait()
    assert running.counts("province") | {"requests": 1, "radiated": 1, "over_rate": 0} == running.counts("province")
    with sqlite3.connect(db) as connection:
        assert connection.execute("SELECT link FROM packets").fetchall() == [("beidou",)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["beidou", "--terminal", "site"],
        ["beidou", "--terminal", "site:4207733,colour=red"],
        ["beidou", "--card", "4207733", "--dialect", "4.0"],
        ["ground", "--keys", ".", "--no-mqtt"],
        ["ground", "--keys", ".", "--beidou", "tcp:host:1"],
        ["ground", "--keys", ".", "--beidou", "serial:/dev/ttyUSB0", "--beidou-card", "x=pond"],
    ],
)
def test_wrong_options_are_refused_with_a_word(arguments: list[str]) -> None:
    result = CliRunner().invoke(group, arguments)
    assert result.exit_code == 2
    assert "Error:" in result.output
