"""What was taken before the time was known gets it when it is learnt: entries of the store, the last alarms, and since
when levels stand.

Waits for the disk step by step; an alarm waits for one of them at most. Never raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from edge.alarm_past import dated
from edge.clock import Clock
from edge.entries import Standing
from edge.errors import StoreBroken
from edge.keeper import Keeper
from edge.outbox import Outbox


async def date_all(clock: Clock, keeper: Keeper, alarms: Iterable[dict[str, Any]], since: dict[str, Standing]) -> int:
    """How many entries were dated, in whichever store holds them by then. `alarms`: the last ones, as shown; `since`:
    how limits took their levels."""
    offset_ms, quality = clock.offset_ms, clock.quality
    if offset_ms is None:
        return 0
    await _date_standings(clock, keeper, since)
    if dated(alarms, clock.boot, offset_ms):
        keeper.past.date(clock.boot, offset_ms)
    with contextlib.suppress(StoreBroken):
        before = await keeper.call(Outbox.undated)
        while before and await keeper.call(Outbox.backdate_step, clock.boot, offset_ms, quality):
            pass
        return before and before - await keeper.call(Outbox.undated)
    return 0


async def _date_standings(clock: Clock, keeper: Keeper, since: dict[str, Standing]) -> None:
    """What began in this boot by a clock that was unknown or unconfirmed, and is better known now: the store gets the
    right time too, for the next boot has another monotonic clock. Once for each."""
    better = [it for it in since.values() if it.boot == clock.boot and clock.quality < it.clock]
    if clock.boot and better:
        known = [replace(it, at_ms=clock.at_ms(it.monotonic_s), clock=clock.quality) for it in better]
        since.update({it.id: it for it in known})
        await keeper.take_now([], known)
