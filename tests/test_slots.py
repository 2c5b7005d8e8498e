"""A link of one small packet a minute: what goes into the slot, what is told again, and what waits for the fibre."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

from edge.contract import Sent
from tests.bench.coding import HOUR_ROWS, real10
from tests.slot_world import SLOT_S, Air, Gateway, SlotLink, WideLink, ages_s, play, rows_at

REAL = [row.values for row in real10()]


def alarm_ages_s(air: Air) -> list[float]:
    query = "SELECT (received_at_ms - at_ms) / 1000.0 FROM alarms ORDER BY seq"
    return [row[0] for row in air.province._store._db.execute(query)]


def p95(numbers: list[float]) -> float:
    return statistics.quantiles(numbers, n=20)[-1]


def test_ten_points_a_minute_all_arrive_by_one_civil_card(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(6 * 3600)
        await asyncio.sleep(1800)
        assert rows_at(air) == gateway.taken
        ages = sorted(ages_s(air).values())
        assert p95(ages) <= 180
        assert air.receipts * 10 <= len(slot.sent)
        assert gateway.held() == 0

    play(tmp_path, story, REAL, lost=0.05)


def test_sixty_points_a_minute_go_in_pieces(tmp_path: Path) -> None:
    rows = [sum(REAL[i : i + 6], ()) for i in range(len(REAL) - 6)]

    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(6 * 3600)
        await asyncio.sleep(3600)
        assert rows_at(air) == gateway.taken
        assert p95(sorted(ages_s(air).values())) <= 1800

    play(tmp_path, story, rows, lost=0.05)
