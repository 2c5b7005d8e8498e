"""What leaves an MQTT session: at once while the socket takes it, the rest when it takes more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from unittest import mock

from drivers.mqtt.session import Session
from tests.mqtt_running import make_settings

CONNACK = bytes.fromhex("2003000000")
PACKET = bytes(60_000)
MANY = 20  # far more than the buffers of a socket pair hold


async def _open(near: socket.socket, far: socket.socket) -> Session:
    """A session over a socket pair, logged in and subscribed."""
    loop = asyncio.get_running_loop()
    session = Session(make_settings(), "gw-1.fibre", near, lambda _packet: None)
    opening = asyncio.create_task(session.open("down", "", None))
    assert (await loop.sock_recv(far, 4096))[0] == 0x10
    await loop.sock_sendall(far, CONNACK)
    subscribe = await loop.sock_recv(far, 4096)
    assert subscribe[0] == 0x82
    await loop.sock_sendall(far, b"\x90\x04" + subscribe[2:4] + b"\x00\x01")
    await opening
    return session


def _paired(main: Callable[[Session, socket.socket], object]) -> None:
    async def run() -> None:
        near, far = socket.socketpair()
        with far:
            for end in (near, far):
                end.setblocking(False)
            session = await _open(near, far)
            try:
                async with asyncio.timeout(10):
                    await main(session, far)  # type: ignore[misc]
            finally:
                session.end("the test is over")

    asyncio.run(run())


def test_what_the_socket_takes_leaves_without_waiting_for_it() -> None:
    async def main(session: Session, far: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with mock.patch.object(loop, "add_writer", side_effect=AssertionError("it was waited for")):
            for _ in range(3):
                assert session.publish("up", b"a packet") is not None
                assert (await loop.sock_recv(far, 4096)).endswith(b"a packet")
        assert not session.ended.done()

    _paired(main)


def test_what_the_socket_does_not_take_at_once_leaves_when_it_does() -> None:
    async def main(session: Session, far: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(MANY):
            assert session.publish("up", PACKET) is not None
        await asyncio.sleep(0.05)  # the socket is full by now
        came = 0
        while came < MANY * len(PACKET):
            came += len(await loop.sock_recv(far, 65_536))
        assert not session.ended.done()

    _paired(main)
