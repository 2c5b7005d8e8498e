"""Serial ports on pseudo-terminals, TCP ports on loopback: bytes go through, and what vanishes is said."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from drivers.port import advice, open_port, split_host_port
from edge.contract import Port
from edge.errors import PortLost
from sim.pty import Pty
from tests.modbus_site import PortSettings

PATIENCE_S = 10.0  # far more than needed: a noisy machine must not fail a test


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await main()

    asyncio.run(bounded())


async def read_exactly(port: Port, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await port.read()
    return data


def test_bytes_go_both_ways_unchanged() -> None:
    everything = bytes(range(256)) * 4  # control characters too: no line discipline may touch them

    async def main() -> None:
        pty = Pty()
        port = await open_port(PortSettings(f"serial:{pty.path}"))
        await port.write(everything)
        heard = b""
        while len(heard) < len(everything):
            heard += pty.read()
            await asyncio.sleep(0)
        assert heard == everything
        pty.write(everything)
        assert await read_exactly(port, len(everything)) == everything
        port.close()
        pty.close()

    run(main)


def test_flush_returns_what_was_thrown_away() -> None:
    async def main() -> None:
        pty = Pty()
        port = await open_port(PortSettings(f"serial:{pty.path}"))
        assert port.flush_input() == b""
        pty.write(b"stale")
        await asyncio.sleep(0.01)
        assert port.flush_input() == b"stale"
        pty.write(b"fresh")
        assert await read_exactly(port, 5) == b"fresh"
        port.close()
        pty.close()

    run(main)


@pytest.mark.parametrize("what", ["read", "write", "flush"])
def test_a_pulled_plug_is_said(what: str) -> None:
    async def main() -> None:
        pty = Pty()
        port = await open_port(PortSettings(f"serial:{pty.path}"))
        if what == "read":
            asyncio.get_running_loop().call_later(0.02, pty.close)
        else:
            pty.close()
        with pytest.raises(PortLost, match="still plugged in"):
            await _use(port, what)
        port.close()

    run(main)


async def _use(port: Port, what: str) -> None:
    if what == "read":
        await port.read()
    elif what == "write":
        await port.write(b"x")
    else:
        port.flush_input()


def test_closing_wakes_the_reader_and_twice_does_no_harm() -> None:
    async def main() -> None:
        pty = Pty()
        port = await open_port(PortSettings(f"serial:{pty.path}"))
        reading = asyncio.create_task(port.read())
        await asyncio.sleep(0.01)
        port.close()
        port.close()
        with pytest.raises(PortLost):
            await reading
        with pytest.raises(PortLost):
            await port.write(b"x")
        pty.close()

    run(main)


def test_a_cancelled_read_loses_no_bytes() -> None:
    async def main() -> None:
        pty = Pty()
        port = await open_port(PortSettings(f"serial:{pty.path}"))
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await port.read()
        pty.write(b"all of it")
        assert await read_exactly(port, 9) == b"all of it"
        port.close()
        pty.close()

    run(main)


HOLDER = """
import fcntl, os, sys
line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
fcntl.flock(line, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_port_in_use_names_who_uses_it() -> None:
    pty = Pty()
    words = [sys.executable, "-c", HOLDER, pty.path]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        async def held() -> None:
            with pytest.raises(PortLost, match=rf"in use by .*\(process {holder.pid}\).*: stop that one first"):
                await open_port(PortSettings(f"serial:{pty.path}"))

        run(held)
        holder.communicate()

    async def free() -> None:
        (await open_port(PortSettings(f"serial:{pty.path}"))).close()

    run(free)
    pty.close()


def test_a_port_this_gateway_has_open_under_another_name_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        pty = Pty()
        alias = tmp_path / "alias"
        alias.symlink_to(pty.path)
        port = await open_port(PortSettings(f"serial:{pty.path}", id="bd"))
        with pytest.raises(PortLost, match="this gateway has it open itself, as port bd"):
            await open_port(PortSettings(f"serial:{alias}"))
        port.close()
        again = await open_port(PortSettings(f"serial:{alias}"))
        again.close()
        pty.close()

    run(main)


@pytest.mark.parametrize(
    ("open_", "says"),
    [
        ("serial:/dev/serial/by-id/nothing", "does not exist; "),
        ("serial:/dev/null", "not a serial port"),
        ("usb:/dev/x", "neither serial:/dev/... nor tcp:host:port"),
        ("serial:", "neither"),
        ("tcp:host", "is not tcp:host:port"),
        ("tcp:127.0.0.1:0", "from 1 to 65535"),
        ("tcp:no-such-host.invalid:502", "could not be resolved|did not answer"),
    ],
)
def test_what_cannot_be_opened_says_what_to_check(open_: str, says: str) -> None:
    async def main() -> None:
        with pytest.raises(PortLost, match=says):
            await open_port(PortSettings(open_))

    run(main)


def test_no_permission_says_which_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    async def main() -> None:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(PortLost, match="group dialout"):
            await open_port(PortSettings("serial:/dev/ttyS0"))

    run(main)


def test_advice_is_only_about_names_that_move() -> None:
    assert "another adapter" in advice(PortSettings("serial:/dev/ttyUSB0"))[0]
    assert advice(PortSettings("serial:/dev/ttyACM12"))
    for stable in ("serial:/dev/serial/by-id/usb-FTDI", "serial:/dev/serial0", "serial:/dev/ttyS0", "tcp:ttyUSB0:5"):
        assert advice(PortSettings(stable)) == []


def test_moving_names_are_answered_with_the_stable_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usb-FTDI_1234").symlink_to("/dev/ttyUSB7")
    monkeypatch.setattr("drivers.port._BY_ID", tmp_path)
    assert f"write serial:{tmp_path}/usb-FTDI_1234 instead" in advice(PortSettings("serial:/dev/ttyUSB7"))[0]


@pytest.mark.parametrize(
    ("target", "parts"),
    [("10.0.0.7:502", ("10.0.0.7", 502)), ("[fe80::1]:502", ("fe80::1", 502)), ("plc:1", ("plc", 1))],
)
def test_host_and_port(target: str, parts: tuple[str, int]) -> None:
    assert split_host_port(target) == parts


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_tcp_bytes_go_both_ways_and_its_end_is_said() -> None:
    async def main() -> None:
        server = listener()
        port = await open_port(PortSettings(f"tcp:127.0.0.1:{server.getsockname()[1]}"))
        far, _ = server.accept()
        assert port.flush_input() == b""
        await port.write(b"question")
        assert far.recv(100) == b"question"
        far.sendall(b"answer")
        assert await read_exactly(port, 6) == b"answer"
        far.close()
        with pytest.raises(PortLost, match=r"powered.*one client at a time"):
            await port.read()
        port.close()
        server.close()

    run(main)


def test_tcp_writes_more_than_the_kernel_takes_at_once() -> None:
    async def main() -> None:
        server = listener()
        port = await open_port(PortSettings(f"tcp:127.0.0.1:{server.getsockname()[1]}"))
        far, _ = server.accept()
        data = os.urandom(20_000_000)
        writing = asyncio.create_task(port.write(data))
        await asyncio.sleep(0.05)
        assert not writing.done()
        heard = bytearray()
        far.setblocking(False)
        while len(heard) < len(data):
            heard += await asyncio.get_running_loop().sock_recv(far, 1 << 20)
        await writing
        assert heard == data
        for closing in (port, far, server):
            closing.close()

    run(main)


def test_a_refused_connection_is_said() -> None:
    async def main() -> None:
        server = listener()
        number = server.getsockname()[1]
        server.close()
        with pytest.raises(PortLost, match="refused the connection"):
            await open_port(PortSettings(f"tcp:127.0.0.1:{number}"))

    run(main)


def test_a_host_that_does_not_answer_is_said_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.port.CONNECT_TIMEOUT_S", 0.1)

    async def main() -> None:
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:  # fill its backlog: further SYNs are ignored
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        with pytest.raises(PortLost, match=r"did not answer in 0\.1 s"):
            await open_port(PortSettings(f"tcp:127.0.0.1:{server.getsockname()[1]}"))
        for closing in (server, *waiting):
            closing.close()

    run(main)
