"""What was taken before the time was known gets it when it is learnt: entries of the store, and the last alarms.

Waits for the disk step by step; an alarm waits for one of them at most. Never raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from edge.alarm_past import dated
from edge.clock import Clock
from edge.errors import StoreBroken
from edge.keeper import Keeper
from edge.outbox import Outbox


async def date_all(clock: Clock, keeper: Keeper, alarms: Iterable[dict[str, Any]]) -> int:
    """How many entries were dated, in whichever store holds them by then. `alarms`: the last ones, as shown."""
    offset_ms, quality = clock.offset_ms, clock.quality
    if offset_ms is None:
        return 0
    if dated(alarms, clock.boot, offset_ms):
        keeper.past.date(clock.boot, offset_ms)
    with contextlib.suppress(StoreBroken):
        before = await keeper.call(Outbox.undated)
        while before and await keeper.call(Outbox.backdate_step, clock.boot, offset_ms, quality):
            pass
        return before and before - await keeper.call(Outbox.undated)
    return 0
