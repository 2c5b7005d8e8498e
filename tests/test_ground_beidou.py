"""The province's Beidou side: which receipt goes when, through a card that sends one message a period."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge.contract import Kind
from edge.wire import packet as packets
from sim.ground_beidou import RECEIPT_AGE_MS, RECEIPT_EVERY, URGENT_APART_MS, parse_card
from tests.ground_desk import CARD, OTHER, OTHER_CARD, ROOM, Gateway, known, open_desk
from tests.test_ground_province import MINUTE_MS, T0_MS


def test_an_alarm_and_a_test_are_answered_at_the_next_free_moment() -> None:
    gateway = Gateway()
    desk = known(gateway)
    for at_ms in (T0_MS, T0_MS + URGENT_APART_MS):
        assert desk.next_message(at_ms, ROOM) is None
        desk.arrived(CARD, gateway.alarm(2) if at_ms == T0_MS else gateway.test(), at_ms + 500)
        message = desk.next_message(at_ms + 2500, ROOM)
        assert message is not None
        receipt = gateway.receipt(message[1])
        assert (receipt.echo, receipt.held_ms, receipt.time_ms) == (gateway.counter, 2000, at_ms + 2500)
    assert desk.next_message(T0_MS + URGENT_APART_MS + 9999, ROOM) is None


def test_alarms_that_follow_each_other_closely_are_answered_together() -> None:
    gateway = Gateway()
    desk = known(gateway)
    answers = []
    for second in range(0, 60, 2):
        desk.arrived(CARD, gateway.alarm(2 + second), T0_MS + second * 1000)
        message = desk.next_message(T0_MS + second * 1000, ROOM)
        answers += [second] if message is not None else []
    assert answers == [0, 20, 40]


def test_other_packets_are_answered_twelve_at_a_time_or_after_twelve_minutes() -> None:
    gateway = Gateway()
    desk = known(gateway)
    for seq in range(2, 2 + RECEIPT_EVERY):
        assert desk.next_message(T0_MS, ROOM) is None
        desk.arrived(CARD, gateway.round(seq), T0_MS)
    message = desk.next_message(T0_MS, ROOM)
    assert message is not None
    assert len(message[1]) <= ROOM
    assert gateway.receipt(message[1]).ranges == ((1, 1 + RECEIPT_EVERY),)
    desk.arrived(CARD, gateway.round(50), T0_MS)
    assert desk.next_message(T0_MS + RECEIPT_AGE_MS - 1, ROOM) is None
    message = desk.next_message(T0_MS + RECEIPT_AGE_MS, ROOM)
    assert message is not None
    assert (50, 50) in gateway.receipt(message[1]).ranges


def test_who_has_told_an_alarm_goes_before_who_has_waited_longer() -> None:
    first, second = Gateway(), Gateway(OTHER)
    desk = known(second, known(first))
    for seq in range(2, 20):
        desk.arrived(CARD, first.round(seq), T0_MS)
    desk.arrived(OTHER_CARD, second.alarm(2), T0_MS + 1000)
    order = [desk.next_message(T0_MS + 2000, ROOM) for _ in range(3)]
    assert [message and message[0] for message in order] == [OTHER_CARD, CARD, None]


def test_whoever_has_waited_long_enough_takes_turns_with_those_who_tell_alarms() -> None:
    """Alarms of one gateway fill a slow commanding card, another gateway only has rounds."""
    loud, quiet = Gateway(), Gateway(OTHER)
    desk = known(quiet, known(loud))
    order = []
    for minute in range(40):
        now_ms = T0_MS + minute * MINUTE_MS
        desk.arrived(CARD, loud.alarm(2 + minute), now_ms)
        if minute < 3:
            desk.arrived(OTHER_CARD, quiet.round(2 + minute), now_ms)
        message = desk.next_message(now_ms, ROOM)
        assert message is not None
        order.append(message[0])
    assert order.index(OTHER_CARD) * MINUTE_MS == RECEIPT_AGE_MS
    assert order.count(OTHER_CARD) == 1


def test_a_commanding_card_too_small_for_any_receipt_is_said_once() -> None:
    lines: list[str] = []
    gateway = Gateway()
    desk = known(gateway, open_desk(lines=lines))
    for minute in range(10):
        desk.arrived(CARD, gateway.alarm(2 + minute), T0_MS + minute * MINUTE_MS)
        assert desk.next_message(T0_MS + minute * MINUTE_MS, 12) is None
    assert sum("level 3" in line for line in lines) == 1
    desk.arrived(CARD, gateway.alarm(20), T0_MS + 20 * MINUTE_MS)
    assert desk.next_message(T0_MS + 20 * MINUTE_MS, 50) is not None


def test_a_lost_receipt_is_made_good_by_the_next() -> None:
    gateway = Gateway()
    desk = known(gateway)
    for at_ms, seq in ((T0_MS, 2), (T0_MS + URGENT_APART_MS, 3), (T0_MS + 2 * URGENT_APART_MS, 10)):
        desk.arrived(CARD, gateway.alarm(seq), at_ms)
        message = desk.next_message(at_ms, ROOM)  # the first two are lost on their way
    assert message is not None
    receipt = gateway.receipt(message[1])
    assert set(receipt.ranges) == {(1, 3), (10, 10)}
    assert [receipt.missing(counter) for counter in (1, 2, 3)] == [False, False, False]


def test_what_does_not_fit_into_a_receipt_follows_in_the_next() -> None:
    gateway = Gateway()
    desk = known(gateway)
    seqs = range(1000, 31_000, 1000)
    for seq in seqs:
        desk.arrived(CARD, gateway.alarm(seq), T0_MS)
    told, now_ms = set[int](), T0_MS
    while (message := desk.next_message(now_ms, ROOM)) is not None:
        assert len(message[1]) <= ROOM
        told |= {low for low, _ in gateway.receipt(message[1]).ranges}
        now_ms += RECEIPT_AGE_MS
    assert told >= set(seqs)
    assert desk.counts["receipts"] >= 2


def test_what_comes_twice_is_not_answered_twice() -> None:
    gateway = Gateway()
    desk = known(gateway)
    packet = gateway.alarm(2)
    desk.arrived(CARD, packet, T0_MS)
    assert desk.next_message(T0_MS, ROOM) is not None
    desk.arrived(CARD, packet, T0_MS)
    assert desk.next_message(T0_MS + RECEIPT_AGE_MS, ROOM) is None


def test_a_missing_sheet_is_asked_for_at_once() -> None:
    gateway, desk = Gateway(), open_desk()
    desk.arrived(CARD, gateway.pack(packets.pack_rounds(gateway.sheet, 0, [ROW], 60)[0], long=True), T0_MS)
    message = desk.next_message(T0_MS, ROOM)
    assert message is not None
    assert gateway.receipt(message[1]).need_sheets == (gateway.sheet.short,)


ROW = packets.RoundRow(2, T0_MS, (1, 2))


def test_strangers_and_noise_are_counted_and_not_answered() -> None:
    lines: list[str] = []
    gateway, desk = Gateway(), open_desk(lines=lines)
    for _ in range(3):
        desk.arrived(4207733, gateway.test(), T0_MS)
    desk.arrived(CARD, b"\x40" * 30, T0_MS)
    desk.arrived(OTHER_CARD, gateway.alarm(2), T0_MS)  # another gateway's packet: does not open with this one's key
    assert (desk.counts["stranger"], desk.counts["noise"], desk.counts["arrived"]) == (3, 2, 0)
    assert sum("--beidou-card 4207733=ID" in line for line in lines) == 1
    assert desk.next_message(T0_MS + RECEIPT_AGE_MS, ROOM) is None


def test_a_card_of_the_command_line() -> None:
    assert parse_card("04207733=tailings-pond-3") == (4207733, "tailings-pond-3")
    assert parse_card("15950001=tailings-pond-3") == (15950001, "tailings-pond-3"), "BDS-3"
    for wrong in ("4207733", "x=pond", "=pond", "0=pond", "123456789=pond", "4207733=Pond", "4207733=", "²=pond"):
        with pytest.raises(ValueError):
            parse_card(wrong)


def test_packets_are_marked_with_their_link(tmp_path: Path) -> None:
    gateway, desk = Gateway(), open_desk(tmp_path / "p.db")
    known(gateway, desk).arrived(CARD, gateway.alarm(2), T0_MS)
    desk.province.close()
    with sqlite3.connect(tmp_path / "p.db") as db:
        assert db.execute("SELECT link, kind FROM packets").fetchall() == [(None, Kind.SHEET), ("beidou", Kind.ALARM)]
