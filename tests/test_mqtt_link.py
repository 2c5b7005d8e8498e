"""The link against a real Mosquitto: delivery, loss, refusal, resumption; every failure a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest

from drivers.mqtt import DRIVER, MqttLink, open_link
from drivers.mqtt import connect as connecting
from drivers.mqtt import link as linking
from drivers.mqtt import session as sessions
from edge.contract import Link, LinkState, Sent
from edge.errors import LinkLost
from sim.broker import HOST, Broker, free_port, mosquitto_path
from tests.mqtt_certificates import Authority

pytestmark = pytest.mark.skipif(
    mosquitto_path() is None, reason="NOT TESTED: mosquitto is missing (apt install mosquitto)"
)

VERSIONS = ["5", "3.1.1"]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


def make_settings(**keys: Any) -> MqttLink:
    return msgspec.convert({"host": HOST} | keys, MqttLink, dec_hook=lambda kind, value: kind(value))


def settings_for(broker: Broker, **keys: Any) -> MqttLink:
    return make_settings(**({"port": broker.port} | keys))


@dataclass
class Running:
    """A link being run, and what came of it."""

    link: Link
    task: asyncio.Task[None]
    received: list[bytes] = field(default_factory=list)
    states: list[LinkState] = field(default_factory=list)

    async def lost(self, timeout_s: float = 10.0) -> str:
        with pytest.raises(LinkLost) as caught:
            await asyncio.wait_for(asyncio.shield(self.task), timeout_s)
        assert self.link.state().up is False
        assert self.link.state().why == caught.value.why
        return caught.value.why


@contextlib.asynccontextmanager
async def run(settings: MqttLink, *, wait_up: bool = True) -> AsyncIterator[Running]:
    link = open_link("fibre", "gw-1", settings)
    received: list[bytes] = []
    states: list[LinkState] = []
    changed = asyncio.Event()

    def note() -> None:
        states.append(link.state())
        changed.set()

    task = asyncio.create_task(link.run(received.append, note))
    try:
        async with asyncio.timeout(10):
            while wait_up and link.state().up is not True and not task.done():
                changed.clear()
                await asyncio.wait({asyncio.create_task(changed.wait()), task}, return_when=asyncio.FIRST_COMPLETED)
        yield Running(link, task, received, states)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LinkLost):
            await task


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def province(broker: Broker) -> AsyncIterator[aiomqtt.Client]:
    """The far side, by a client that is not ours."""
    async with aiomqtt.Client(HOST, broker.port) as client:
        await client.subscribe("fengsui/+/up", qos=1)
        yield client


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
        link = open_link("fibre", "gw-1", settings_for(broker))
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


@pytest.mark.parametrize("version", VERSIONS)
def test_wrong_password_missing_password_and_right_password(tmp_path: Path, version: str) -> None:
    users, password = tmp_path / "users", tmp_path / "password"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(users), "gw", "right"], check=True)
    password.touch(0o600)

    async def why(broker: Broker, **keys: Any) -> str:
        async with run(settings_for(broker, version=version, **keys), wait_up=False) as near:
            return await near.lost()

    async def scenario(broker: Broker) -> None:
        password.write_text("wrong\n", "utf-8")
        for keys in ({}, {"username": "gw", "password_file": str(password)}):
            sentence = await why(broker, **keys)
            assert "does not let us in" in sentence
            assert "password_file" in sentence
        password.write_text("right\n", "utf-8")
        async with run(settings_for(broker, version=version, username="gw", password_file=str(password))) as near:
            assert near.link.state().up
        password.chmod(0o644)
        assert f"chmod 600 {password}" in await why(broker, username="gw", password_file=str(password))
        password.unlink()
        assert "cannot be read" in await why(broker, username="gw", password_file=str(password))

    with Broker(extra=["allow_anonymous false", f"password_file {users}"]) as broker:
        asyncio.run(scenario(broker))


def test_a_publish_the_access_list_forbids_is_not_sent_and_said(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic read fengsui/gw-1/down\n", "utf-8")
    rules.chmod(0o600)

    async def scenario(broker: Broker) -> None:
        async with run(settings_for(broker)) as near:
            assert await near.link.send(b"x") is Sent.NOT_SENT
            assert "access list" in near.link.state().why
            assert near.link.state().up
            assert near.link.health()["refused"] == 1

    with Broker(extra=[f"acl_file {rules}"]) as broker:
        asyncio.run(scenario(broker))


def test_tls_good_wrong_authority_wrong_name_plain_port_and_client_certificate(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    cert, key = ours.issue("broker", "127.0.0.1")
    mine, my_key = ours.issue("gw-1", "gw-1")

    async def why(broker: Broker, **keys: Any) -> str:
        async with run(settings_for(broker, tls=True, **keys), wait_up=False) as near:
            return await near.lost()

    async def scenario(broker: Broker) -> None:
        both = {"cert": str(mine), "key": str(my_key)}
        async with run(settings_for(broker, tls=True, ca=str(ours.ca), **both)) as near:
            sent = await asyncio.gather(*(near.link.send(bytes(16000)) for _ in range(20)))
            assert set(sent) == {Sent.SENT}
        assert "certificate" in await why(broker, ca=str(other.ca), **both)
        assert "hostname" in (await why(broker, ca=str(ours.ca), host="localhost", **both)).lower()
        assert await why(
            broker, ca=str(ours.ca)
        )  # no certificate of ours: the broker hangs up, by TLS 1.3 after the handshake
        assert "TLS files" in await why(broker, ca=str(tmp_path / "none.pem"))

    extra = [f"cafile {ours.ca}", f"certfile {cert}", f"keyfile {key}", "require_certificate true"]
    with Broker(extra=extra) as broker:
        asyncio.run(scenario(broker))
    with Broker() as plain:
        assert "TLS" in asyncio.run(why(plain, ca=str(ours.ca)))


def test_refused_unresolved_and_wrong_interface_or_source() -> None:
    async def why(**keys: Any) -> str:
        async with run(make_settings(**({"port": free_port()} | keys)), wait_up=False) as near:
            return await near.lost(15)

    async def scenario() -> None:
        assert "refused the connection" in await why()
        assert "not resolved" in await why(host="no-such-host.invalid")
        assert "fengsui9" in await why(interface="fengsui9")
        assert "192.0.2.7" in await why(source="192.0.2.7")

    asyncio.run(scenario())


def test_leaving_by_a_named_interface_and_source_works(broker: Broker) -> None:
    async def scenario() -> None:
        async with run(settings_for(broker, interface="lo", source="127.0.0.1")) as near:
            assert await near.link.send(b"x") is Sent.SENT

    asyncio.run(scenario())


@contextlib.contextmanager
def listener(backlog: int = 5) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        sock.listen(backlog)
        yield sock


@pytest.mark.parametrize("tls", [False, True])
def test_a_port_that_accepts_and_says_nothing(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(connecting, "TLS_TIMEOUT_S", 0.3)

    async def scenario(port: int) -> None:
        async with run(MqttLink(host=HOST, port=port, tls=tls), wait_up=False) as near:
            why = await near.lost()
            assert ("TLS handshake" if tls else "no answer to CONNECT") in why

    with listener() as sock:
        asyncio.run(scenario(sock.getsockname()[1]))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\xff\xff\xff\xff\xff",
        b"\x20\x02\x00\x01",
        b"\x20\x03\x00\x00\x05",
        b"\x20\x03\x00\xfe\x00",
        b"\x20\x01\x00",
        b"\x90\x00",
        b"\x40\x01\x00",
        b"\x30\x02\xff\xff",
        b"\x00\x00",
        b"\xe0\x00",
        b"",
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_whatever_the_far_end_says_is_an_answer_or_a_sentence(
    answer: bytes, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ANSWER_TIMEOUT_S", 0.3)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if not answer:
            writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(serve, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with run(make_settings(port=port, version=version), wait_up=False) as near:
                assert len(await near.lost()) > 20

    asyncio.run(scenario())


def test_cancelling_a_run_says_disconnect_and_leaves_no_socket(broker: Broker) -> None:
    async def scenario() -> None:
        async with run(settings_for(broker)) as near:
            assert near.link.state().up
        assert asyncio.all_tasks() == {asyncio.current_task()}
        broker.stop()  # Mosquitto writes its log when it ends
        assert "Client gw-1.fibre disconnected" in broker.log

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
        links = [open_link(name, "gw-1", settings_for(broker)) for name in ("fibre", "satellite")]
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
