"""A store that can not even be closed keeps its file locked: nothing is opened in its place until it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.errors import StoreBroken
from edge.keeper import Keeper
from sim.virtual import run
from tests.relay_world import make_sheet
from tests.test_outbox import QUOTA, alarm


def test_no_store_is_opened_while_the_last_one_is_being_closed(tmp_path: Path) -> None:
    async def story() -> None:
        answers, opened = asyncio.Event(), []

        async def blocking(work: Callable[[], Any]) -> Any:
            if work.__qualname__ == "Outbox.close":
                await answers.wait()
            if "_open" in work.__qualname__:
                opened.append(asyncio.get_running_loop().time())
            return work()

        keeper = Keeper(tmp_path, QUOTA, 1.0, blocking, make_sheet, lambda _about, _text: None, lambda: "now", 1)
        await keeper.start()
        running = asyncio.ensure_future(keeper.run())
        async with keeper._lock:
            await keeper._fall_back(StoreBroken("store", "disk I/O error"))
        await asyncio.sleep(200)
        assert len(opened) == 1, "the first time"
        assert keeper.hangs
        await keeper.take_now([alarm()])
        answers.set()
        await asyncio.sleep(200)
        assert len(opened) == 2
        assert keeper.outbox.durable
        assert not keeper.hangs
        running.cancel()
        await keeper.stop()

    run(story())
