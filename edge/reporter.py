"""What the province is told of the gateway itself: a status at the start and now and then, the account each hour.
Entries like any other; they ride with the next commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from edge.answers import Answers
from edge.contract import Kind
from edge.errors import StoreBroken
from edge.wear import Wear

STATUS_EVERY_S = 600.0
ACCOUNT_FIRST_S = 60.0
ACCOUNT_EVERY_S = 3600.0


async def report(answers: Answers, wear: Wear, tell: Callable[[dict[str, Any], Kind], None]) -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    account_s = loop.time() + ACCOUNT_FIRST_S
    status_s = loop.time()
    while True:
        if loop.time() >= status_s:
            tell(answers.short_status(), Kind.STATUS)
            status_s += STATUS_EVERY_S
        if loop.time() >= account_s:
            with contextlib.suppress(StoreBroken):
                account = {**await answers.account(), "days": await answers.daily(), "wear": wear.short()}
                tell(account, Kind.ACCOUNT)
            account_s += ACCOUNT_EVERY_S
        await asyncio.sleep(max(0.0, min(status_s, account_s) - loop.time()))
