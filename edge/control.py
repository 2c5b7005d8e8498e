"""The technician's socket, both ends: a Unix socket, one JSON object a line each way (`nc -U` can use it).

Request: {"ask": "status", ...}. Answer: {"ok": true, "answer": ...} or {"ok": false, "why": "..."}; a stream (`watch`)
sends many. The daemon's end never lets a client slow it down: bounded lines, bounded clients, a slow reader is dropped,
and who asks nothing for long is hung up.

A path where another daemon answers is left to it: who would take it away makes that one deaf. The other, which has a
store and limits of its own, judges and sends without a socket, says so, and takes the path when it is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
import socket
import stat
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
LOOK_S = 10.0  # a socket that somebody has deleted or replaced is made again
SLOW_READER_S = 5.0
IDLE_S = 60.0  # who is connected and asks nothing keeps others out: a person with `nc -U` needs less
ANSWER_S = 10.0  # the client's patience: all but `read` is answered from memory, or from the store in a second or two
READ_S = 30.0  # a read of a slow bus takes seconds
PROBE = "links"  # answered at once: asked before a stream, which may be silent for good reasons
TEST_WAIT_LEAST_S, TEST_WAIT_MOST_S = 1.0, 600.0  # for the receipt of a test packet: longer nobody looks at a screen

SIGNED_MOST_CHARS = 200  # of a name or a reason: they go to the province
STEERS = frozenset(
    {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
)  # Unicode's categories of what is not seen, or ends a line

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
        """Serves until cancelled, then hangs up on all. Raises OSError when the socket can not be made (EADDRINUSE:
        another daemon answers there), or has been deleted or replaced."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _make_way(self.path)
        server = await asyncio.start_unix_server(self._connected, self.path, limit=LINE_MOST_BYTES)
        ours = _file_at(self.path)
        async with server:
            try:
                self.path.chmod(0o660)
                # Where there is no such group, root and the daemon's own user may still ask.
                with contextlib.suppress(KeyError, PermissionError):
                    os.chown(self.path, -1, grp.getgrnam(GROUP).gr_gid)
                while ours is not None and _file_at(self.path) == ours:  # noqa: ASYNC110 nothing else tells of its end
                    await asyncio.sleep(LOOK_S)
            finally:
                await self._hang_up()
        raise FileNotFoundError(errno.ENOENT, "it was deleted or replaced, and is made again")

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of our own for each client: asyncio's own would be cancelled last, and with a traceback."""
        if len(self._serving) >= CLIENTS_MOST:
            why = f"{CLIENTS_MOST} are connected already: ask again in a minute, or end a `fengsui watch`"
            writer.write(msgspec.json.encode({"ok": False, "why": why}) + b"\n")
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
            while line := await _question(reader):
                async for answer in self._answers(line):
                    writer.write(msgspec.json.encode(answer) + b"\n")
                    async with asyncio.timeout(SLOW_READER_S):
                        await writer.drain()
        except (ConnectionError, TimeoutError, ValueError):
            pass  # gone, too slow, idle, or a line without end
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


async def _question(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE_S):
        return await reader.readline()


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to; the number of one that is open is given to no other."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_way(path: Path) -> None:
    """Removes a socket that nobody listens at. Raises OSError: somebody does, or what is there is no socket."""
    from edge.process import is_dying, peer_pid  # brings in the store, which a client need not wait for

    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        path.unlink(missing_ok=True)  # a link that leads nowhere
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "what has this name is no socket; move it away")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except BlockingIOError:
            pass  # its queue is full: it is there
        except OSError:
            path.unlink(missing_ok=True)  # of one that has ended
            return
        pid = peer_pid(asking)
    if is_dying(pid):
        path.unlink(missing_ok=True)  # killed, and held by a dead disk: it answers no more
        return
    who = f"another daemon (process {pid})" if pid else "another daemon"
    raise OSError(
        errno.EADDRINUSE,
        f"{who} answers there, and who asks there speaks with that one. This one judges and sends all the same; to "
        "ask it, give it a path of its own ([gateway] socket = ...) and restart it, or stop the other",
    )


def signed(request: Mapping[str, Any]) -> tuple[str, str]:
    """Who asks for what is recorded, and why. Raises FengsuiError: a line of the journal must not be made to look like
    two, nor a screen be steered by it."""
    from unicodedata import category  # a megabyte, for the few who sign something

    told = []
    for key, what in (("by", "the name"), ("reason", "the reason")):
        text = str(request.get(key) or "").strip()
        if not text:
            raise FengsuiError("who says so, and why? Both a name and a reason are needed (--by, --reason)")
        if len(text) > SIGNED_MOST_CHARS:
            raise FengsuiError(f"{what} is longer than {SIGNED_MOST_CHARS} characters: say it shorter")
        if steering := [char for char in text if category(char) in STEERS]:
            raise FengsuiError(f"{what} holds {steering[0]!a}, which is no writing: one line of plain text, please")
        told.append(text)
    return told[0], told[1]


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
