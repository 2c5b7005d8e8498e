"""A keeper that nobody runs, on a disk that breaks and is mended at a word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.errors import StoreBroken
from edge.keeper import Keeper
from sim.virtual import run
from tests.relay_world import START_MS, make_sheet

ROUND = NewEntry(Kind.ROUNDS, 0, START_MS, ClockQuality.TRUSTED, 1, b"body" * 20)
ALARM = ROUND._replace(kind=Kind.ALARM, readings=0)


async def at_once(work: Callable[[], Any]) -> Any:
    return work()


def keeper_of(folder: Path, said: list[str], quota_bytes: int = 50_000_000) -> Keeper:
    return Keeper(
        folder, quota_bytes, 1.0, at_once, make_sheet, lambda _about, text: said.append(text), lambda: "now", 1
    )


def alone(folder: Path, story: Callable[[Keeper], Awaitable[None]], quota_bytes: int = 50_000_000) -> list[str]:
    """A started keeper that nobody runs; what it said."""
    said: list[str] = []

    async def play() -> None:
        keeper = keeper_of(folder, said, quota_bytes)
        await keeper.start()
        await story(keeper)

    run(play())
    return said


async def break_disk(keeper: Keeper) -> None:
    async with keeper._lock:
        await keeper._fall_back(StoreBroken("store", "disk I/O error"))


async def mend_disk(keeper: Keeper) -> None:
    keeper._open()
    assert keeper._opening is not None
    await asyncio.wait({keeper._opening})
    assert await keeper._arrive() is None
    while await keeper._bring():
        pass


def kinds(keeper: Keeper) -> list[Kind]:
    return [kind for _, kind in keeper.outbox.first_things() if kind is not Kind.SHEET]
