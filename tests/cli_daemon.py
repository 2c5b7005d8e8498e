"""A daemon that answers what a test says, and the CLI that asks it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from edge.cli.verbs import fengsui
from edge.control import Handler, Server
from edge.errors import FengsuiError

START_S = 20.0
AT_MS = 1_795_000_020_000
POINTS: list[dict[str, Any]] = [
    {
        "id": "depth",
        "name": "埋深",
        "value": "12.30",
        "unit": "m",
        "quality": "good",
        "at_ms": AT_MS,
        "good": 9,
        "failed": 1,
    },
    {
        "id": "rain-24h",
        "name": "雨",
        "value": "-",
        "unit": "毫米",
        "quality": "no answer",
        "at_ms": AT_MS,
        "good": 9,
        "failed": 1,
    },
    {
        "id": "new",
        "name": "",
        "value": "-",
        "unit": "m",
        "quality": "not read yet",
        "at_ms": None,
        "good": 9,
        "failed": 1,
    },
]
ALARM = {"at_ms": AT_MS, "limit": "high", "point": "depth", "level": "red", "change": "raised", "text": "RED raised"}
LINKS = {
    "cellular": {"up": True, "why": "", "last_receipt_age_s": 3, "mtu_bytes": 16384},
    "satellite": {"up": False, "why": "no answer\x1b[2J", "last_receipt_age_s": None, "mtu_bytes": 2048},
}
STORE = {
    "path": "/s/outbox.db",
    "broken": None,
    "used_bytes": 1_500_000,
    "quota_bytes": 200_000_000,
    "commits": 7,
    "account": {"taken": 9, "settled": 4, "held": 5, "evicted": 0, "balanced": True},
}
STATUS = {
    "gateway": "gw",
    "name": "一号站",
    "version": "1",
    "site_file": {"path": "/e/site.toml.good", "wrong": "/e/site.toml is wrong: running on the last good copy"},
    "up_s": 5,
    "clock": {"at_ms": AT_MS, "quality": "trusted", "source": "NTP"},
    "points": {"all": 3, "without_good_value": ["rain-24h"]},
    "ports": {"bus": "unplugged"},
    "devices": {"gauge": "answers"},
    "levels": {"high": "red"},
    "links": {},
    "store": STORE,
    "events": [{"at_ms": AT_MS, "about": "port bus", "text": "unplugged\x07"}],
}
ALARMS: dict[str, Any] = {
    "limits": [
        {"id": "high", "name": "水位", "point": "depth", "level": "red", "since_ms": AT_MS},
        {"id": "a-long-name", "name": "", "point": "rain-24h", "level": "none", "since_ms": None},
    ],
    "recent": [ALARM],
}


def says(answer: Any) -> Handler:
    async def handler(_request: Mapping[str, Any]) -> Any:
        return answer

    return handler


async def read(request: Mapping[str, Any]) -> Any:
    if request["what"] != "depth":
        raise FengsuiError(f"{request['what']} is neither a point nor a device")
    return POINTS[:1]


async def two_things(_request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield {"round": {"at_ms": AT_MS, "values": {"depth": "12.30"}}}
    yield {"alarm": ALARM}
    await asyncio.sleep(3600)


HANDLERS: dict[str, Handler] = {
    "status": says(STATUS),
    "points": says(POINTS),
    "alarms": says(ALARMS),
    "links": says(LINKS),
    "outbox": says(STORE),
    "read": read,
    "watch": two_things,
}


@contextmanager
def daemon(path: Path, handlers: Mapping[str, Handler]) -> Iterator[None]:
    """A control socket in a thread of its own."""
    loop = asyncio.new_event_loop()
    served = threading.Thread(target=loop.run_forever)
    served.start()
    task = asyncio.run_coroutine_threadsafe(Server(path, handlers).run(), loop)
    try:
        for _ in range(int(START_S / 0.01)):
            if listens(path):
                break
            threading.Event().wait(0.01)
        else:
            raise AssertionError(f"nothing listens at {path}")
        yield
    finally:
        task.cancel()
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        served.join(START_S)
        loop.close()


def listens(path: Path) -> bool:
    """A socket is there from its binding on, and refuses who comes before it listens."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(os.fspath(path)) == 0


async def _end_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def ask(path: Path, *words: str) -> Result:
    return CliRunner().invoke(fengsui, [*words, "--socket", str(path)])
