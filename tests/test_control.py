"""The technician's socket at the daemon's end: whose it is, and who may keep others out of it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge import control
from edge.control import CLIENTS_MOST, Handler, Server

PATIENCE_S = 5.0


def handlers(name: str) -> dict[str, Handler]:
    async def who(_request: Mapping[str, Any]) -> str:
        return name

    async def silence(_request: Mapping[str, Any]) -> AsyncIterator[str]:
        yield name
        await asyncio.sleep(PATIENCE_S)

    return {"who": who, "silence": silence}


async def who(path: Path) -> str | None:
    """Which daemon answers; None for none."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    writer.write(b'{"ask": "who"}\n')
    line = await reader.readline()
    writer.close()
    return str(json.loads(line)["answer"]) if line else None


async def until(wanted: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await wanted():  # noqa: ASYNC110 it comes when it comes
            await asyncio.sleep(0.01)


def serving(path: Path, name: str) -> asyncio.Task[None]:
    return asyncio.ensure_future(Server(path, handlers(name)).run())


async def refused(path: Path, name: str) -> None:
    """What serving there raises, at once."""
    async with asyncio.timeout(PATIENCE_S):
        await Server(path, handlers(name)).run()


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def is_(path: Path, name: str | None) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        return await who(path) == name

    return answers


def test_a_second_daemon_leaves_the_socket_to_the_first_and_takes_it_when_that_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def story() -> None:
        first = serving(path, "first")
        await until(is_(path, "first"))
        with pytest.raises(OSError, match="answers there") as told:
            await refused(path, "second")
        for part in (f"another daemon (process {os.getpid()})", "judges and sends", "socket = "):
            assert part in str(told.value)
        assert await who(path) == "first"
        await ended(first)
        second = serving(path, "second")
        await until(is_(path, "second"))
        await ended(second)

    asyncio.run(story())


def test_a_socket_that_is_replaced_is_noticed_and_taken_again_when_the_thief_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older program does not ask whose it is; its end leaves a file where nobody answers."""
    monkeypatch.setattr(control, "LOOK_S", 0.02)
    path = tmp_path / "s"

    async def story() -> None:
        first = serving(path, "first")
        await until(is_(path, "first"))
        path.unlink()
        thief = socket.socket(socket.AF_UNIX)
        thief.bind(str(path))
        thief.listen()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(FileNotFoundError, match="replaced"):
                await first
        with pytest.raises(OSError, match="another daemon"):
            await refused(path, "first")
        thief.close()
        again = serving(path, "first")
        await until(is_(path, "first"))
        await ended(again)

    asyncio.run(story())


def test_a_file_that_is_no_socket_is_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("much work")
    with pytest.raises(FileExistsError, match="no socket; move it away"):
        asyncio.run(refused(path, "it"))
    assert path.read_text() == "much work"


def test_who_asks_nothing_does_not_keep_others_out_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_S", 0.5)
    path = tmp_path / "s"

    async def story() -> None:
        server = serving(path, "it")
        await until(is_(path, "it"))
        idle = [await asyncio.open_unix_connection(path) for _ in range(CLIENTS_MOST)]
        for reader, _ in idle:
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""
        assert await who(path) == "it"
        for _, writer in idle:
            writer.close()
        await ended(server)

    asyncio.run(story())


def test_a_stream_on_which_nothing_happens_is_not_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_S", 0.05)
    path = tmp_path / "s"

    async def story() -> None:
        server = serving(path, "it")
        await until(is_(path, "it"))
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"ask": "silence"}\n')
        assert await reader.readline()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read()
        writer.close()
        await ended(server)

    asyncio.run(story())
