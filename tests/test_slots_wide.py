"""A link with slots and a wide one that comes up beside it: what was begun in slots does not hold up the wide one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from edge.slotways import RECEIPT_SLOTS
from tests.bench.coding import real10
from tests.slot_world import SLOT_S, Air, Gateway, SlotLink, WideLink, play, rows_at

REAL = [row.values for row in real10()]
PACKING_S = 3.0  # a slow disk


def test_a_fibre_that_comes_up_while_the_first_piece_is_packed_carries_the_site_and_all_else(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        sealing = gateway.relay._sealing
        number = sealing.number

        async def slow() -> Any:
            sealing.number = number  # type: ignore[method-assign]
            await asyncio.sleep(PACKING_S)
            return await number()

        sealing.number = slow  # type: ignore[method-assign]
        await asyncio.sleep(0.1)
        wide.working = True
        await gateway.read_for(300)
        assert len(slot.sent) == 1, "the race is run: a piece of the sheet had been packed"
        await gateway.drained(within_s=60)
        assert rows_at(air) == gateway.taken

    play(tmp_path, story, REAL)


def test_a_sheet_whose_pieces_were_lost_is_sent_by_the_fibre_at_once(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(8 * SLOT_S)
        assert not any(parcel.unsent() for parcel in gateway.relay.ways["beidou"].slot.parcels)  # type: ignore[attr-defined]
        assert not list(air.province._store.sheets())
        wide.working = True
        back_ms = max(gateway.taken)
        await gateway.read_for(120)
        assert list(air.province._store.sheets())
        assert rows_at(air).keys() >= {at_ms for at_ms in gateway.taken if back_ms < at_ms < back_ms + 120_000}
        await gateway.drained(within_s=RECEIPT_SLOTS * SLOT_S)  # rounds that may have arrived are not sent twice before
        assert rows_at(air) == gateway.taken

    play(tmp_path, story, REAL, lost=1.0)
