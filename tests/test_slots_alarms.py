"""A link of one small packet a minute: an alarm takes the next slot, and leaves slots to readings."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from edge.contract import Alarm, Basis, Change, ClockQuality, Input, Kind, Level, Of, Rule, Sent
from edge.errors import StoreBroken
from edge.packing import alarm_entry
from edge.slotdoubt import SILENT_SLOTS
from sim.ground_beidou import RECEIPT_EVERY
from sim.province import Province
from tests.bench.coding import real10
from tests.slot_world import (
    ROOT,
    SLOT_S,
    START_MS,
    Air,
    Gateway,
    SlotLink,
    WideLink,
    alarm_ages_s,
    now_ms,
    p95,
    play,
    rows_at,
)

REAL = [row.values for row in real10()]


def test_a_red_alarm_takes_the_next_slot_past_any_backlog(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        gateway.pile_up(19_000)
        await gateway.read_for(900)
        for pause_s in range(20):
            await gateway.read_for(130 + 7 * pause_s)
            at_ms = await gateway.alarm()
            await asyncio.sleep(SLOT_S + 1)
            sent_s = [sent_s for sent_s, _ in slot.sent if sent_s * 1000 >= at_ms - START_MS]
            assert sent_s[0] * 1000 - (at_ms - START_MS) <= SLOT_S * 1000
        await gateway.read_for(120)
        ages = alarm_ages_s(air)
        assert len(ages) == 20
        assert p95(ages) <= SLOT_S + 10

    play(tmp_path, story, REAL)


def test_a_red_alarm_gets_through_where_messages_are_lost(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(900)
        for pause_s in range(60):
            await gateway.read_for(130 + 7 * pause_s % 61)
            await gateway.alarm()
        await gateway.read_for(600)
        ages = alarm_ages_s(air)
        assert len(ages) == 60
        assert p95(ages) <= 3 * SLOT_S

    play(tmp_path, story, REAL, lost=0.05)


def test_before_the_province_knows_the_site_an_alarm_speaks_for_itself(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await asyncio.sleep(1)
        await gateway.alarm()
        await asyncio.sleep(2 * SLOT_S)
        assert len(alarm_ages_s(air)) == 1
        assert not list(air.province._store.sheets())

    play(tmp_path, story, REAL)


def test_without_any_receipt_nothing_leaves_the_store_and_alarms_do_not_take_all_slots(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        air.receipts_reach_us = False
        await gateway.alarm()
        await gateway.read_for(4 * 3600)
        assert gateway.held() == 10 * len(gateway.taken)
        assert rows_at(air).keys() >= set(list(gateway.taken)[:-5])
        air.receipts_reach_us = True
        await gateway.read_for(2 * 3600)
        await asyncio.sleep(1800)
        assert gateway.held() == 0
        assert rows_at(air) == gateway.taken

    play(tmp_path, story, REAL)


def test_an_alarm_that_stands_when_the_province_loses_its_memory_is_there_soon(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        air.forget(Province(tmp_path / "another.db", lambda _gateway: ROOT, durable=False))
        await gateway.alarm()
        await gateway.read_for(1800)
        assert alarm_ages_s(air)[0] <= SLOT_S + 10
        air.province.close()

    play(tmp_path, story, REAL)


def test_alarms_one_after_the_other_get_through_to_a_province_that_has_lost_its_memory(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        air.forget(Province(tmp_path / "another.db", lambda _gateway: ROOT, durable=False))
        for _ in range(8):
            for _ in range(3):
                await gateway.alarm()
            await gateway.read_for(3 * SLOT_S)
        await gateway.read_for(1800)
        assert len(alarm_ages_s(air)) == 24
        assert max(alarm_ages_s(air)) <= 3 * SLOT_S + 10, "three fit together; two that speak for themselves"
        air.province.close()

    play(tmp_path, story, REAL)


def test_alarms_to_a_province_that_has_been_silent_speak_for_themselves_at_once(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        air.receipts_reach_us = False
        await gateway.read_for((SILENT_SLOTS + RECEIPT_EVERY + 2) * SLOT_S)
        air.forget(Province(tmp_path / "another.db", lambda _gateway: ROOT, durable=False))
        for _ in range(3):
            await gateway.alarm()
        await gateway.read_for(SLOT_S + 10)
        assert len(alarm_ages_s(air)) >= 2
        air.province.close()

    play(tmp_path, story, REAL)


def test_an_alarm_in_pieces_does_not_wait_for_the_end_of_all_others(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        inputs = tuple(Input(f"a-member-with-quite-a-name-{n}", 3) for n in range(5))
        basis = Basis(Of.MEMBERS, 0, "", Decimal(1), inputs)
        red = (Level.RED, Change.RAISED, Rule.COMBINED, 3, 3, now_ms(), ClockQuality.TRUSTED, basis)
        await gateway.keeper.take_now([alarm_entry(Alarm("all-together", "p0", *red))])
        for _ in range(30):
            await gateway.alarm(Level.YELLOW)
            await gateway.read_for(50)
        query = "SELECT (received_at_ms - at_ms) / 1000.0 FROM alarms WHERE limit_id = 'all-together'"
        ((age_s,),) = air.province._store._db.execute(query)
        assert age_s <= 7 * SLOT_S, "four pieces, and another alarm's message before each"
        assert max(alarm_ages_s(air)) <= 8 * SLOT_S

    play(tmp_path, story, REAL)


@pytest.mark.parametrize("times", [1, 4])
def test_an_alarm_raised_while_the_disk_fails_is_readable_at_the_next_slot(tmp_path: Path, times: int) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)

        def broken(*_: object, **__: object) -> None:
            raise StoreBroken("card", "input/output error")

        for _ in range(times):
            gateway.keeper.outbox.commit = broken  # type: ignore[method-assign, assignment]
            await gateway.alarm()
            await gateway.read_for(200)
        await gateway.read_for(1800)
        ages = alarm_ages_s(air)
        assert len(ages) == times
        assert max(ages) <= 2 * SLOT_S + 10
        await gateway.read_for(3600)
        assert rows_at(air).keys() >= set(list(gateway.taken)[:-10])

    play(tmp_path, story, REAL)


def test_a_site_too_large_for_any_number_of_pieces_still_sends_its_alarms(tmp_path: Path) -> None:
    rows = [tuple(range(k, k + 1500)) for k in range(50)]

    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        slot.mtu_bytes = 40
        await gateway.read_for(1800)
        await gateway.alarm()
        await gateway.read_for(600)
        assert len(alarm_ages_s(air)) == 1
        assert sum("does not fit" in text for text in gateway.said) <= 2

    play(tmp_path, story, rows)


def test_alarms_that_nobody_answers_leave_slots_to_readings(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(1200)
        air.receipts_reach_us = False
        for _ in range(200):
            await gateway.alarm()
        await gateway.read_for(8 * 3600)
        assert len(alarm_ages_s(air)) == 200
        assert len(rows_at(air)) > 0.55 * len(gateway.taken)

    play(tmp_path, story, REAL)


def test_an_alarm_in_pieces_that_nobody_answers_is_one_parcel_and_leaves_slots_to_readings(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(1800)
        air.receipts_reach_us = False
        slot.mtu_bytes = 50
        gateway.relay.transit.small[10**9] = Kind.SHEET  # as long as the sheet waits, an alarm must speak for itself
        gateway.relay.ways["beidou"].unfit.add(10**9)
        await gateway.alarm()
        before = len(rows_at(air))
        await gateway.read_for(5 * 3600)
        parcels = gateway.relay.ways["beidou"].slot.parcels  # type: ignore[attr-defined]
        assert sum(parcel.packed.kind is Kind.ALARM for parcel in parcels) <= 1
        assert len(rows_at(air)) > before + 100
        assert len(alarm_ages_s(air)) == 1

    play(tmp_path, story, REAL)


def large(level: Level) -> Alarm:
    """An alarm that is too large for one message."""
    basis = Basis(Of.MEMBERS, 0, "", Decimal(1), tuple(Input(f"a-member-with-quite-a-name-{n}", 3) for n in range(5)))
    said = (level, Change.RAISED, Rule.COMBINED, 3, 3, now_ms(), ClockQuality.TRUSTED, basis)
    return Alarm("all-together", "p0", *said)


def age_of_s(air: Air, limit: str) -> float:
    query = "SELECT (received_at_ms - at_ms) / 1000.0 FROM alarms WHERE limit_id = ?"
    ((age_s,),) = air.province._store._db.execute(query, (limit,))
    return float(age_s)


def numbers() -> Alarm:
    """51 bytes with the sheet, of the short form's 65; 62 alone, of the long form's 58."""
    basis = Basis(Of.SUM, 10800, "mm", Decimal("0.1"), tuple(Input(f"p{n}", 1043 + n) for n in range(6)))
    said = (Level.RED, Change.RAISED, Rule.ABOVE, 1043, 400, now_ms(), ClockQuality.TRUSTED, basis)
    return Alarm("high", "p0", *said)


@pytest.mark.parametrize("pause_s", [62, 80, 100])
def test_a_graver_alarm_does_not_wait_for_a_piece_of_another(tmp_path: Path, pause_s: float) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        await gateway.keeper.take_now([alarm_entry(large(Level.BLUE))])
        await gateway.read_for(pause_s)
        await gateway.alarm()
        await gateway.read_for(900)
        assert age_of_s(air, "high") <= SLOT_S + 10
        assert age_of_s(air, "all-together") <= 6 * SLOT_S

    play(tmp_path, story, REAL)


def test_what_is_too_large_alone_goes_as_small_as_can_be_where_the_province_is_well(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        slot.mtu_bytes = 50
        for _ in range(10):
            await gateway.keeper.take_now([alarm_entry(numbers())])
            await gateway.read_for(900)
        ages = alarm_ages_s(air)
        assert len(ages) == 10
        assert max(ages) <= 2 * SLOT_S + 10, "two pieces; three if it spoke for itself"

    play(tmp_path, story, REAL)


def test_an_answer_that_is_late_makes_no_alarm_late(tmp_path: Path) -> None:
    """The province's card takes one message a minute too."""

    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        air.room_s = 62.0
        await gateway.read_for(3600)
        for _ in range(6):
            for _ in range(4):
                await gateway.keeper.take_now([alarm_entry(numbers())])
            await gateway.read_for(1500)
        ages = alarm_ages_s(air)
        assert len(ages) == 24
        assert max(ages) <= 4 * SLOT_S + 10

    play(tmp_path, story, REAL)


def test_what_is_too_large_alone_is_there_after_some_slots_where_the_province_has_lost_its_memory(
    tmp_path: Path,
) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        air.forget(Province(tmp_path / "another.db", lambda _gateway: ROOT, durable=False))
        await gateway.keeper.take_now([alarm_entry(numbers())])
        await gateway.read_for(1200)
        assert alarm_ages_s(air)[0] <= 4 * SLOT_S + 10, "twice in vain, then two pieces"
        air.province.close()

    play(tmp_path, story, REAL)


def test_an_alarm_that_did_not_leave_was_not_told(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        slot.outcomes = [Sent.NOT_SENT, Sent.NOT_SENT]
        await gateway.keeper.take_now([alarm_entry(numbers())])
        await asyncio.sleep(3 * SLOT_S + 10)
        way = gateway.relay.ways["beidou"]
        assert not slot.outcomes
        assert all(said.short <= 1 for said in way._doubt._said.values())  # type: ignore[attr-defined]
        assert alarm_ages_s(air)[0] <= 3 * SLOT_S + 10, "whole, as it never left before"

    play(tmp_path, story, REAL)


def test_the_end_of_an_alarm_goes_after_a_piece_of_one_that_lasts(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        await gateway.alarm(Level.NONE)
        await gateway.keeper.take_now([alarm_entry(large(Level.RED))])
        await gateway.read_for(900)
        assert age_of_s(air, "high") <= 3 * SLOT_S + 10, "by turns"
        assert age_of_s(air, "all-together") <= 6 * SLOT_S

    play(tmp_path, story, REAL)
