"""The link against a real Mosquitto: delivery, loss, limits, resumption, idling."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from drivers.mqtt import DRIVER
from drivers.mqtt import link as linking
from drivers.mqtt.link import PacketsOverMqtt
from edge.contract import Sent
from sim.broker import Broker, mosquitto_path
from tests.mqtt_running import make_settings, province, run, settings_for, until

pytestmark = pytest.mark.skipif(
    mosquitto_path() is None, reason="NOT TESTED: mosquitto is missing (apt install mosquitto)"
)

VERSIONS = ["5", "3.1.1"]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_go_out_whole_and_in_order_and_come_back(broker: Broker, version: str) -> None:
    packets = [bytes([n]) * (n * 40) for n in range(1, 21)]  # Mosquitto's Receive Maximum

    async def scenario() -> None:
        async with province(broker) as far, run(settings_for(broker, version=version)) as near:
            sent = [asyncio.create_task(near.link.send(packet)) for packet in packets]
            arrived = []
            async with asyncio.timeout(10):
                async for message in far.messages:
                    assert message.topic.value == "fengsui/gw-1/up"
                    arrived.append(message.payload)
                    if len(arrived) == len(packets):
                        break
            assert arrived == packets
            assert set(await asyncio.gather(*sent)) == {Sent.SENT}
            for packet in packets:
                await far.publish("fengsui/gw-1/down", packet, qos=1)
            await until(lambda: len(near.received) == len(packets))
            assert near.received == packets
            health = near.link.health()
            assert (health["connects"], health["sent"], health["unknown"], health["in_flight"]) == (1, 20, 0, 0)
            assert health["bytes_up"] == health["bytes_down"] == sum(map(len, packets))
            assert health["last_puback_ms"] < 5000

    asyncio.run(scenario())


def test_before_and_after_a_connection_nothing_is_sent(broker: Broker) -> None:
    async def scenario() -> None:
        link = PacketsOverMqtt("fibre", "gw-1", settings_for(broker))
        assert link.state().up is False
        assert await link.send(b"x") is Sent.NOT_SENT
        async with run(settings_for(broker)) as near:
            assert await near.link.send(b"x") is Sent.SENT
            broker.kill()
            assert "lost" in await near.lost()
            assert await near.link.send(b"x") is Sent.NOT_SENT

    asyncio.run(scenario())


def test_a_packet_larger_than_the_mtu_is_not_sent(broker: Broker) -> None:
    async def scenario() -> None:
        async with run(settings_for(broker, mtu=256)) as near:
            assert await near.link.send(bytes(256)) is Sent.SENT
            assert await near.link.send(bytes(257)) is Sent.NOT_SENT

    asyncio.run(scenario())


def test_the_brokers_own_limits_are_kept() -> None:
    async def scenario(broker: Broker) -> None:
        async with run(settings_for(broker)) as near:
            mtu_bytes = near.link.state().mtu_bytes
            assert 900 < mtu_bytes < 1000
            assert await near.link.send(bytes(mtu_bytes)) is Sent.SENT
            sent = await asyncio.gather(*(near.link.send(b"x") for _ in range(6)))
            assert sent == [Sent.SENT] * 4 + [Sent.NOT_SENT] * 2
            for _ in range(20):
                await asyncio.gather(*(near.link.send(b"x") for _ in range(near.link.window)))
            assert near.link.window == 4

    with Broker(extra=["max_packet_size 1000", "max_inflight_messages 4"]) as broker:
        asyncio.run(scenario(broker))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broker_that_freezes_leaves_the_fate_unknown_and_ends_the_run(
    broker: Broker, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "PUBACK_TIMEOUT_S", 0.5)

    async def scenario() -> None:
        async with run(settings_for(broker, version=version)) as near:
            broker.freeze()
            assert await near.link.send(b"x") is Sent.UNKNOWN
            assert "PUBACK" in await near.lost()
            broker.thaw()

    asyncio.run(scenario())


def test_a_killed_broker_leaves_the_fate_unknown_and_a_new_run_works(broker: Broker) -> None:
    async def scenario() -> None:
        async with run(settings_for(broker)) as near:
            broker.freeze()
            sending = [asyncio.create_task(near.link.send(b"x")) for _ in range(3)]
            await asyncio.sleep(0.05)
            broker.kill()
            assert set(await asyncio.gather(*sending)) == {Sent.UNKNOWN}
            await near.lost()
            broker.start()
            again = asyncio.create_task(near.link.run(near.received.append, lambda: None))
            await until(lambda: near.link.state().up)
            assert await near.link.send(b"y") is Sent.SENT
            assert near.link.health()["connects"] == 2
            assert near.link.health()["in_flight"] == 0
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)

    asyncio.run(scenario())


@pytest.mark.parametrize("version", VERSIONS)
def test_downlink_published_while_we_were_away_arrives_on_return(broker: Broker, version: str) -> None:
    async def scenario() -> None:
        settings = settings_for(broker, version=version)
        async with run(settings):
            pass
        async with province(broker) as far:
            await far.publish("fengsui/gw-1/down", b"receipt", qos=1)
        async with run(settings) as near:
            await until(lambda: near.received == [b"receipt"])

    asyncio.run(scenario())


def test_cancelling_a_run_says_disconnect_and_leaves_no_socket(broker: Broker) -> None:
    async def scenario() -> None:
        async with run(settings_for(broker)) as near:
            assert near.link.state().up
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await until(lambda: "Client gw-1.fibre disconnected" in broker.log)

    asyncio.run(scenario())


def test_a_broker_gone_mute_is_noticed_without_anything_to_send(broker: Broker) -> None:
    """TCP still acknowledges, as it does behind a satellite terminal: only the ping that stays unanswered tells."""

    async def scenario() -> None:
        async with run(settings_for(broker, keepalive="5s")) as near:
            broker.freeze()
            assert "lost" in await near.lost(20)

    asyncio.run(scenario())


def test_idle_costs_next_to_nothing(broker: Broker) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with run(settings_for(broker)):
            await asyncio.sleep(0.1)
            wakes = 0
            select = loop._selector.select  # type: ignore[attr-defined]

            def counted(timeout: float | None) -> Any:
                nonlocal wakes
                wakes += 1
                return select(timeout)

            loop._selector.select = counted  # type: ignore[attr-defined]
            await asyncio.sleep(1.5)
            assert wakes <= 3

    asyncio.run(scenario())


def test_two_links_of_a_gateway_to_one_broker_do_not_throw_each_other_out(broker: Broker) -> None:
    async def scenario() -> None:
        links = [PacketsOverMqtt(name, "gw-1", settings_for(broker)) for name in ("fibre", "satellite")]
        received: list[bytes] = []
        tasks = [asyncio.create_task(link.run(received.append, lambda: None)) for link in links]
        await until(lambda: all(link.state().up for link in links))
        await asyncio.sleep(0.2)
        assert [await link.send(b"x") for link in links] == [Sent.SENT, Sent.SENT]
        assert [link.health()["connects"] for link in links] == [1, 1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"keepalive": "soon"}, "keepalive: "),
        ({"keepalive": "2h"}, "allowed are 5 s to 3600 s"),
        ({"session_expiry": "x"}, "session_expiry: "),
        ({"ca": "ca.pem"}, "only used with tls"),
        ({"tls": True, "cert": "a.pem"}, "give both or neither"),
        ({"password_file": "p"}, "without username"),
        ({"client_id": "a/b"}, "must not hold"),
    ],
)
def test_settings_that_are_wrong_together_are_said(keys: dict[str, Any], part: str) -> None:
    problems = DRIVER.check_link(make_settings(**keys))
    assert len(problems) == 1
    assert part in problems[0]


def test_right_settings_have_no_problem_and_a_file_that_is_missing_is_none() -> None:
    keys = {"tls": True, "ca": "/none/ca.pem", "username": "a", "password_file": "/none/p", "keepalive": "300s"}
    assert list(DRIVER.check_link(make_settings(**keys))) == []
