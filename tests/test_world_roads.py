"""The roads and the broker of the world, used by the real MQTT link with paho in it, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edge.contract import Sent
from sim.world.loop import WorldLoop
from sim.world.loop import run as run_world
from sim.world.mqtt_broker import Connection
from sim.world.nouns import Record
from sim.world.roads import USER_TIMEOUT_S, Roads
from tests.mqtt_running import make_settings, run

HOSTS = {"fibre": "10.0.0.1"}
UP, DOWN = "fengsui/gw-1/up", "fengsui/gw-1/down"


def play(story: Callable[[Roads, list[bytes], Any], Awaitable[None]]) -> Record:
    record = Record()

    async def all_of_it(loop: WorldLoop) -> None:
        roads = Roads(loop, HOSTS, record, "1")
        came: list[bytes] = []
        roads.arrived = lambda _road, topic, payload: came.append(payload) if topic == UP else None
        keeping = asyncio.ensure_future(roads.run())
        await story(roads, came, make_settings(host="10.0.0.1", port=1883, keepalive="60s"))
        keeping.cancel()

    run_world(all_of_it)
    return record


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_packets_go_up_and_what_was_published_while_the_link_was_away_comes_down() -> None:
    async def story(roads: Roads, came: list[bytes], settings: Any) -> None:
        async with run(settings) as near:
            assert await near.link.send(b"one") is Sent.SENT
            assert came == [b"one"]
        roads.broker.publish(DOWN, b"later")
        async with run(settings) as near:
            await asyncio.sleep(1)
            assert near.received == [b"later"]
            assert now_s() < 5

    record = play(story)
    assert len(record.used["fibre"]) == 2
    assert [span.from_s for span in record.usable["fibre"]] == [0.0]


def test_what_is_written_on_a_cut_road_arrives_when_it_is_back_in_time_and_else_the_link_is_lost() -> None:
    async def story(roads: Roads, came: list[bytes], settings: Any) -> None:
        async with run(settings) as near:
            roads.by_link["fibre"].set("cut")
            sending = asyncio.ensure_future(near.link.send(b"patient"))
            await asyncio.sleep(10)
            assert not came
            roads.by_link["fibre"].set("open")
            assert await sending is Sent.SENT
            assert came == [b"patient"]
            roads.by_link["fibre"].set("cut")
            began_s = now_s()
            assert await near.link.send(b"in vain") is Sent.UNKNOWN
            await near.lost()
            assert now_s() - began_s == pytest.approx(USER_TIMEOUT_S, abs=0.5)
        assert came == [b"patient"]

    usable = play(story).usable["fibre"]
    assert [round(span.from_s) for span in usable] == [0, 10]
    assert usable[1].to_s - usable[1].from_s < 4


@pytest.mark.parametrize(("state", "word"), [("refused", "refused the connection"), ("cut", "no answer from")])
def test_no_connection_says_why(state: str, word: str) -> None:
    async def story(roads: Roads, _came: list[bytes], settings: Any) -> None:
        roads.by_link["fibre"].set(state)
        async with run(settings, wait_up=False) as near:
            assert word in await near.lost(20)

    play(story)


def test_a_silent_road_takes_the_connection_and_answers_nothing() -> None:
    async def story(roads: Roads, came: list[bytes], settings: Any) -> None:
        roads.by_link["fibre"].set("silent")
        async with run(settings, wait_up=False) as near:
            assert "no answer to CONNECT" in await near.lost(60)
        assert not came

    play(story)


def test_a_box_that_died_is_taken_over_by_its_next_life() -> None:
    async def story(roads: Roads, came: list[bytes], settings: Any) -> None:
        async with run(settings) as near:
            roads.power_off()
            await near.lost()
        assert next(iter(roads.broker.sessions.values())).connection is not None  # the broker does not know yet
        async with run(settings) as near:
            assert await near.link.send(b"again") is Sent.SENT
        await asyncio.sleep(200)
        assert next(iter(roads.broker.sessions.values())).connection is None

    play(story)


def test_a_slow_road_takes_its_time() -> None:
    async def story(roads: Roads, came: list[bytes], settings: Any) -> None:
        async with run(settings) as near:
            roads.by_link["fibre"].rate_bytes_s = 100.0
            began_s = now_s()
            assert await near.link.send(b"x" * 1000) is Sent.SENT
            assert 10 < now_s() - began_s < 11.5

    play(story)


def test_what_is_not_mqtt_is_shown_the_door() -> None:
    async def story(roads: Roads, _came: list[bytes], _settings: Any) -> None:
        for garbage in (b"\x00" * 40, b"\x10\xff\xff\xff\xff\xff", b"\x10\x05\x00\x04HTTP", b"\x32\x02\x00\x01"):
            said: list[bytes] = []
            ended: list[bool] = []
            connection = Connection(roads.broker, said.append, lambda ended=ended: ended.append(True), "fibre")  # type: ignore[misc]
            connection.feed(garbage)
            assert ended
            assert said[0][0] == 0xE0
        assert not roads.broker.sessions

    play(story)
