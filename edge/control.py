"""The technician's socket, both ends: a Unix socket, one JSON object a line each way (`nc -U` can use it).

Request: {"ask": "status", ...}. Answer: {"ok": true, "answer": ...} or {"ok": false, "why": "..."}; a stream (`watch`)
sends many. The daemon's end never lets a client slow it down: bounded lines, bounded clients, a slow reader is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge.errors import FengsuiError

DEFAULT_SOCKET = Path("/run/fengsui/control.sock")
ENVIRONMENT = "FENGSUI_SOCKET"
GROUP = "fengsui"  # who may talk to the daemon besides root and its own user
CLIENTS_MOST = 16
LINE_MOST_BYTES = 64 * 1024
LOOK_S = 10.0  # a socket that somebody has deleted is made again
SLOW_READER_S = 5.0
ANSWER_S = 10.0  # the client's patience: all but `read` is answered from memory, or from the store in a second or two
READ_S = 30.0  # a read of a slow bus takes seconds
PROBE = "links"  # answered at once: asked before a stream, which may be silent for good reasons
TEST_WAIT_LEAST_S, TEST_WAIT_MOST_S = 1.0, 600.0  # for the receipt of a test packet: longer nobody looks at a screen

Handler = Callable[[Mapping[str, Any]], Awaitable[Any] | AsyncIterator[Any]]


class NoDaemon(FengsuiError):
    """Nobody answers at the socket, or not in time."""


class Refused(FengsuiError):
    """The daemon answered: no."""


class Server:
    """The daemon's end. `handlers`: name -> a coroutine function (one answer) or an async generator function (many)."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self._handlers = handlers
        self._serving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serves until cancelled, then hangs up on all. Raises OSError when the socket can not be made, or has been
        deleted."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._connected, self.path, limit=LINE_MOST_BYTES)
        self.path.chmod(0o660)
        # Where there is no such group, root and the daemon's own user may still ask.
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(self.path, -1, grp.getgrnam(GROUP).gr_gid)
        async with server:
            try:
                while self.path.exists():  # noqa: ASYNC110 nothing else tells of a deleted file
                    await asyncio.sleep(LOOK_S)
            finally:
                await self._hang_up()
        raise FileNotFoundError(errno.ENOENT, "it was deleted, and is made again")

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of our own for each client: asyncio's own would be cancelled last, and with a traceback."""
        if len(self._serving) >= CLIENTS_MOST:
            writer.write(msgspec.json.encode({"ok": False, "why": f"{CLIENTS_MOST} are connected already"}) + b"\n")
            writer.close()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _hang_up(self) -> None:
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                async for answer in self._answers(line):
                    writer.write(msgspec.json.encode(answer) + b"\n")
                    async with asyncio.timeout(SLOW_READER_S):
                        await writer.drain()
        except (ConnectionError, TimeoutError, ValueError):
            pass  # gone, too slow, or a line without end
            writer.transport.abort()  # a reader that never reads would keep its buffer for ever
        finally:
            writer.close()

    async def _answers(self, line: bytes) -> AsyncIterator[dict[str, Any]]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError) as error:
            yield {"ok": False, "why": f"not a JSON object: {error}"}
            return
        handler = self._handlers.get(str(request.get("ask")))
        if handler is None:
            yield {"ok": False, "why": f"ask one of: {', '.join(sorted(self._handlers))}"}
            return
        try:
            answer = handler(request)
            if isinstance(answer, AsyncIterator):
                async for item in answer:
                    yield {"ok": True, "answer": item}
            else:
                yield {"ok": True, "answer": await answer}
        except FengsuiError as error:
            yield {"ok": False, "why": str(error)}


def ask(path: Path, request: Mapping[str, Any], patience_s: float | None = ANSWER_S) -> Generator[Any, None, None]:
    """The client's end: the answers to one request, until the daemon closes. Raises NoDaemon or Refused.

    `patience_s`: how long an answer may take; None for a stream, which is silent while nothing happens.
    """
    if patience_s is None:
        with contextlib.suppress(Refused):  # that is an answer too; one that is stopped would be waited for for ever
            ask_once(path, {"ask": PROBE})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience_s)
        try:
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        return  # the daemon died within a line
                    yield _answer(path, line)
        except (TimeoutError, BlockingIOError) as error:  # the latter: more wait for it than its queue holds
            raise NoDaemon(
                f"the daemon at {path} has not answered in {patience_s or ANSWER_S:g} s: it is stopped, or waits for a"
                " disk that hangs (dmesg). Ask again in half a minute; if it stays so: systemctl restart fengsui"
            ) from error
        except OSError as error:
            raise NoDaemon(
                f"no daemon answers at {path} ({error.strerror or error}). Is it running (systemctl status fengsui)?"
                f" Another socket: --socket PATH or {ENVIRONMENT}=PATH"
            ) from error


def _answer(path: Path, line: bytes) -> Any:
    try:
        answer = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        answer = {}
    if answer.get("ok") is False:
        raise Refused(str(answer.get("why")))
    if "answer" not in answer:
        raise NoDaemon(f"what answers at {path} is no fengsui daemon: {line[:80]!r}")
    return answer["answer"]


def ask_once(path: Path, request: Mapping[str, Any], patience_s: float = ANSWER_S) -> Any:
    """The one answer to a request. Raises as `ask` does."""
    with contextlib.closing(ask(path, request, patience_s)) as answers:
        for answer in answers:
            return answer
    raise NoDaemon(f"the daemon at {path} hung up without an answer")
