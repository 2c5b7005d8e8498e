"""Connections that do not come about: every way in which they fail is a sentence for the person at the box."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.mqtt import MqttLink
from drivers.mqtt import connect as connecting
from drivers.mqtt import session as sessions
from edge.contract import Sent
from sim.broker import HOST, Broker, free_port, mosquitto_path
from tests.mqtt_certificates import Authority
from tests.mqtt_running import make_settings, run, settings_for

pytestmark = pytest.mark.skipif(
    mosquitto_path() is None, reason="NOT TESTED: mosquitto is missing (apt install mosquitto)"
)

VERSIONS = ["5", "3.1.1"]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


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
        none = tmp_path / "none.pem"
        assert f"the ca file {none} cannot be used: No such file" in await why(broker, ca=str(none))
        wrong = await why(broker, ca=str(ours.ca), cert=str(mine), key=str(key))
        assert f"the cert file {mine} with the key file {key} cannot be used" in wrong

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
        if answer[:4] in (b"", b"HTTP"):
            writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(serve, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with run(make_settings(port=port, version=version), wait_up=False) as near:
                why = await near.lost()
                assert len(why) > 20
                if answer[:4] in (b"", b"HTTP"):
                    assert "is an MQTT broker listening on that port, does it want tls = true" in why
                    assert ("3.1.1" in why) is (version == "5")

    asyncio.run(scenario())
