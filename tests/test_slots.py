"""A link of one small packet a minute: what goes into the slot, what is told again, and what waits for the fibre."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from edge.contract import Sent
from sim.province import Province
from tests.bench.coding import real10
from tests.slot_world import ROOT, SLOT_S, Air, Gateway, SlotLink, WideLink, ages_s, alarm_ages_s, p95, play, rows_at

REAL = [row.values for row in real10()]


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


def test_the_fibre_back_after_a_day_gets_the_rest_and_repeats_nothing(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        gateway.pile_up(19_000)
        await gateway.read_for(6 * 3600)
        before, repeated = len(rows_at(air)), air.province.counts["repeated"]
        wide.working = True
        await gateway.read_for(120)
        assert rows_at(air) == gateway.taken
        assert before < 10_000
        assert air.province.counts["repeated"] == repeated
        used = len(slot.sent)
        await gateway.read_for(900)
        assert len(slot.sent) == used, "with the fibre up, the card is kept for alarms"
        await gateway.alarm()
        await asyncio.sleep(2 * SLOT_S)
        assert len(slot.sent) > used
        assert gateway.held() == 0

    play(tmp_path, story, REAL)


def test_what_was_lost_on_the_air_follows_soon_when_the_fibre_is_back(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3 * 3600)
        air.lost = 1.0
        await gateway.read_for(700)
        air.lost = 0.0
        wide.working = True
        await gateway.read_for(240)
        assert rows_at(air) == gateway.taken

    play(tmp_path, story, REAL, lost=0.05)


def test_pieces_that_were_lost_are_not_waited_for_once_the_fibre_is_back(tmp_path: Path) -> None:
    """Nothing follows by the card that could show the gap."""
    rows = [sum(REAL[i : i + 6], ()) for i in range(len(REAL) - 6)]

    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(1800)
        await asyncio.sleep(1200)
        air.lost = 1.0
        await gateway.read_for(60)
        await asyncio.sleep(8 * SLOT_S)
        wide.working = True
        await gateway.read_for(150)
        assert rows_at(air) == gateway.taken

    play(tmp_path, story, rows)


def summaries(air: Air) -> list[tuple[str, int, int, int, float, int, int]]:
    return air.province._store._db.execute(
        "SELECT point, window_s, start_ms, minimum, mean, maximum, count FROM summaries ORDER BY start_ms, point"
    ).fetchall()


def test_what_slots_can_not_carry_goes_as_summaries_newest_first(tmp_path: Path) -> None:
    rows = [tuple(17 * i + k * k % 1000 * (i % 7) for k in range(200)) for i in range(997)]

    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3 * 3600)
        assert gateway.relay.ways["beidou"].health(0.0)["queue"]["mode"] == "summaries"
        found = summaries(air)
        assert found
        for point, window_s, start_ms, *numbers in found:
            inside = [
                values[int(point[1:])] or 0
                for at_ms, values in gateway.taken.items()
                if start_ms <= at_ms < start_ms + window_s * 1000
            ]
            least, mean, greatest = (round(number * 100) for number in numbers[:3])
            assert (least, greatest, numbers[3]) == (min(inside), max(inside), len(inside))
            assert mean == round(sum(inside) / len(inside))
        assert len(rows_at(air)) > 3, "where we are now goes too"
        wide.working = True
        await gateway.read_for(300)
        assert rows_at(air) == gateway.taken

    play(tmp_path, story, rows, every_s=10)


def test_a_backlog_that_would_take_days_goes_as_summaries_beside_full_live_rounds(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        gateway.pile_up(19_000)
        live_ms = max(gateway.taken)
        await asyncio.sleep(5)
        gateway.relay.transit.all_backlog()
        await gateway.read_for(2 * 3600)
        await asyncio.sleep(1200)
        assert summaries(air)
        there = rows_at(air)
        assert all(there[at_ms] == values for at_ms, values in gateway.taken.items() if at_ms > live_ms)
        assert len(there) < 2000

    play(tmp_path, story, REAL)


def test_a_card_that_refuses_costs_nothing_but_time(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        slot.outcomes = [Sent.NOT_SENT, Sent.UNKNOWN, Sent.SENT] * 40
        await gateway.read_for(2 * 3600)
        await asyncio.sleep(3600)
        assert rows_at(air) == gateway.taken
        assert gateway.held() == 0

    play(tmp_path, story, REAL, lost=0.05)


def test_killed_again_and_again_nothing_committed_is_lost_and_no_slot_is_asked_for_twice(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        lives = gateway
        for life in range(6):
            await lives.read_for(1500 + 377 * life)
            await asyncio.sleep(1.5)
            await lives.die()
            taken = lives.taken
            lives = Gateway(tmp_path / "store", [wide, slot], REAL, 60)
            lives.taken = taken
            await lives.start()
        await lives.read_for(1800)
        await asyncio.sleep(1800)
        assert rows_at(air) == lives.taken
        await lives.die()
        await gateway.start()

    play(tmp_path, story, REAL, lost=0.05)


def test_a_test_packet_brings_a_receipt_at_once(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(900)
        steps = [step async for step in gateway.relay.send_test("beidou", 300.0)]
        assert [step["step"] for step in steps] == ["waiting", "sent", "receipt"]
        assert steps[2]["after_s"] < 20
        air.receipts_reach_us = False
        steps = [step async for step in gateway.relay.send_test("beidou", 120.0)]
        assert [step["step"] for step in steps] == ["waiting", "sent", "no receipt"]

    play(tmp_path, story, REAL)


@pytest.mark.parametrize("points", [10, 40])
def test_a_province_that_lost_what_it_knew_is_told_the_site_again(tmp_path: Path, points: int) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        air.forget(Province(tmp_path / "another.db", lambda _gateway: ROOT, durable=False))
        before_ms = max(gateway.taken)
        await gateway.read_for(3000 if points == 10 else 5400)
        assert rows_at(air), "it asked for the sheet, and has it"
        await gateway.read_for(3 * 3600)
        await asyncio.sleep(3600)
        there = rows_at(air)
        assert all(there[at_ms] == values for at_ms, values in gateway.taken.items() if at_ms > before_ms)
        assert gateway.held() == 0
        air.province.close()

    play(tmp_path, story, [sum(REAL[i : i + points // 10], ()) for i in range(len(REAL) - 6)])


def test_a_card_exchanged_for_a_smaller_one_in_mid_parcel_goes_on(tmp_path: Path) -> None:
    rows = [sum(REAL[i : i + 6], ()) for i in range(len(REAL) - 6)]

    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(1000)
        for size_bytes in (50, 77, 50):
            slot.mtu_bytes = size_bytes
            await gateway.read_for(1000)
            await gateway.alarm()
        slot.mtu_bytes = 77
        await gateway.read_for(600)
        await asyncio.sleep(8 * 3600)
        assert len(alarm_ages_s(air)) == 3
        assert max(alarm_ages_s(air)) < 2 * SLOT_S
        assert rows_at(air) == gateway.taken

    play(tmp_path, story, rows)


@pytest.mark.parametrize("behind_s", [120, 240, 3600])
def test_an_older_copy_of_the_store_is_noticed_before_its_rounds_are_taken_for_repeats(
    tmp_path: Path, behind_s: int
) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(3600)
        store, copy = tmp_path / "store", tmp_path / "copy"
        shutil.copytree(store, copy)
        await gateway.read_for(behind_s)
        await gateway.die()
        shutil.rmtree(store)
        copy.rename(store)
        again = Gateway(store, [wide, slot], REAL, 60)
        await again.start()
        await again.read_for(3600)
        await asyncio.sleep(2400)
        there = rows_at(air)
        assert all(there[at_ms] == values for at_ms, values in again.taken.items())
        assert any("older copy" in text for text in again.said)
        assert again.held() == 0
        await again.die()
        await gateway.start()

    play(tmp_path, story, REAL)


def test_a_card_too_small_for_any_piece_stops_no_other_link(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        slot.mtu_bytes = 20
        await gateway.read_for(300)
        await gateway.alarm()
        await gateway.read_for(300)
        wide.working = True
        await gateway.read_for(300)
        assert len(alarm_ages_s(air)) == 1
        assert len(rows_at(air)) >= len(gateway.taken) - 1
        assert sum("does not fit" in text for text in gateway.said) <= 4, "each kind of thing is said once"

    play(tmp_path, story, REAL)


def test_a_link_at_rest_whose_last_packet_was_lost_is_no_reason_to_speak_of_the_province(tmp_path: Path) -> None:
    async def story(gateway: Gateway, slot: SlotLink, wide: WideLink, air: Air) -> None:
        await gateway.read_for(600)
        air.lost = 1.0
        await gateway.read_for(300)
        wide.working = True
        await gateway.read_for(2 * 3600)
        assert not [text for text in gateway.said if text.startswith("province:")]

    play(tmp_path, story, REAL)
