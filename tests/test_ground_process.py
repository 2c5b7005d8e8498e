"""The province as a process on a real broker, killed again and again: what has a receipt is stored, once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import pytest

from edge.wire.packet import Receipt
from sim.broker import HOST, Broker, mosquitto_path
from sim.ground import NO_DELAY
from tests.test_ground_province import ALARM, GATEWAY, ROOT, Gateway

pytestmark = pytest.mark.skipif(
    mosquitto_path() is None, reason="NOT TESTED: mosquitto is missing (apt install mosquitto)"
)

KILLS = 4
ENTRIES_EACH = 120
IN_FLIGHT = 8


class Ground:
    """The process, with its database and key folder."""

    def __init__(self, folder: Path, port: int) -> None:
        (folder / "keys").mkdir()
        (folder / "keys" / f"{GATEWAY}.key").write_text(ROOT.hex(), "utf-8")
        self.db = folder / "province.db"
        self.log = folder / "log"
        self._command = [sys.executable, "-u", "-m", "sim.ground", "--port", str(port), "--db", str(self.db)]
        self._command += ["--keys", str(folder / "keys")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        return self.log.read_text("utf-8") if self.log.exists() else ""


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def ground(tmp_path: Path, broker: Broker) -> Iterator[Ground]:
    process = Ground(tmp_path, broker.port)
    try:
        yield process
    finally:
        process.kill()


@contextlib.asynccontextmanager
async def near_end(broker: Broker) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client(HOST, broker.port, identifier="gw-1", socket_options=NO_DELAY) as client:
        await client.subscribe(f"fengsui/{GATEWAY}/down", qos=1)
        yield client


async def next_receipt(client: aiomqtt.Client, gateway: Gateway, timeout_s: float) -> Receipt | None:
    try:
        async with asyncio.timeout(timeout_s):
            message = await anext(client.messages)
    except TimeoutError:
        return None
    assert isinstance(message.payload, bytes)
    return gateway.receipt(message.payload)


async def settle_all(client: aiomqtt.Client, gateway: Gateway, wanted: set[int], settled: set[int]) -> None:
    """Sends what is not settled, again and again, until all of `wanted` is."""
    async with asyncio.timeout(60):
        while wanted - settled:
            for seq in sorted(wanted - settled)[:IN_FLIGHT]:
                packet = gateway.sheet_packet() if seq == 1 else gateway.rounds(seq, seq)
                await client.publish(f"fengsui/{GATEWAY}/up", packet, qos=1)
            while (receipt := await next_receipt(client, gateway, 0.2)) is not None:
                for low, high in receipt.ranges:
                    settled.update(range(low, high + 1))


def test_killed_between_commits_it_loses_and_doubles_nothing_it_receipted(broker: Broker, ground: Ground) -> None:
    chance = random.Random(5)

    async def killer(stop: asyncio.Event) -> None:
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.5, 0.9))
            ground.kill()
            ground.start()
        stop.set()

    async def scenario() -> None:
        gateway, settled, last = Gateway(), set[int](), 1
        stop = asyncio.Event()
        async with near_end(broker) as client:
            ground.start()
            await settle_all(client, gateway, {1}, settled)
            killing = asyncio.create_task(killer(stop))
            while not stop.is_set():
                last += ENTRIES_EACH
                await settle_all(client, gateway, set(range(2, last + 1)), settled)
            await killing
            await settle_all(client, gateway, set(range(2, last + 1)), settled)
        ground.kill()
        with sqlite3.connect(ground.db) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            stored = {seq for (seq,) in db.execute("SELECT seq FROM entries")}
            assert stored == settled == set(range(1, last + 1))
            assert db.execute("SELECT count(*) FROM readings").fetchone() == (2 * (last - 1),)

    asyncio.run(scenario())
    assert "Traceback" not in ground.said()


def test_an_alarm_is_receipted_at_once_and_shown_in_words(broker: Broker, ground: Ground) -> None:
    async def scenario() -> float:
        gateway = Gateway()
        async with near_end(broker) as client:
            ground.start()
            await settle_all(client, gateway, {1}, set())
            took_s = []
            for seq in range(2, 22):
                started_s = time.perf_counter()
                await client.publish(f"fengsui/{GATEWAY}/up", gateway.alarm(seq, ALARM), qos=1)
                assert await next_receipt(client, gateway, 5) is not None
                took_s.append(time.perf_counter() - started_s)
            return sorted(took_s)[len(took_s) // 2]

    assert asyncio.run(scenario()) < 0.2  # some 10 ms on an idle machine
    assert "gw-1: ALARM RED raised: 尾矿库水位" in ground.said()


def test_it_waits_for_a_broker_that_is_not_there_yet_and_says_so_once(ground: Ground, broker: Broker) -> None:
    broker.stop()
    ground.start()

    def wait_for(part: str) -> None:
        give_up_s = time.monotonic() + 15
        while part not in ground.said():
            assert time.monotonic() < give_up_s, ground.said()
            time.sleep(0.02)

    wait_for("trying again")
    broker.start()
    wait_for("listening on")
    assert ground.said().count("trying again") == 1
