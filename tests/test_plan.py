"""The plan as a table: how a link stands, what waits, and what is next."""

from __future__ import annotations

from math import inf

import pytest

from edge.plan import LinkNow, Queue, Send, SlotQueue, Wait, What, next_in_slot, next_step

UP = LinkNow(usable=True, window=4, on_way=0, last_live_s=100.0)
ALL = Queue(sheet=True, alarms=True, small=True, newest=True, live_readings=50, backlog=True)


def link(**more: object) -> LinkNow:
    return LinkNow(**{"usable": True, "window": 4, "on_way": 0, "last_live_s": 100.0, **more})  # type: ignore[arg-type]


def queue(**more: object) -> Queue:
    return Queue(**more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("why", "now", "waits", "now_s", "expected"),
    [
        ("nothing on a dead link", link(usable=False), ALL, 105.0, Wait(inf)),
        ("nothing when the window is full", link(on_way=4), ALL, 105.0, Wait(inf)),
        ("a link that refused is left alone", link(not_before_s=107.0), ALL, 105.0, Wait(107.0)),
        ("the sheet before all", UP, ALL, 105.0, Send(What.SHEET)),
        ("then alarms", UP, queue(alarms=True, small=True, backlog=True), 105.0, Send(What.ALARMS)),
        ("then small things", UP, queue(small=True, backlog=True), 105.0, Send(What.SMALL)),
        ("where we are, once", link(greeted=False), queue(newest=True, backlog=True), 105.0, Send(What.NEWEST)),
        ("rounds wait to be packed together", UP, queue(live_readings=50), 105.0, Wait(110.0)),
        ("and meanwhile the backlog drains", UP, queue(live_readings=50, backlog=True), 105.0, Send(What.BACKLOG)),
        ("until they are due", UP, queue(live_readings=50, backlog=True), 110.0, Send(What.LIVE)),
        ("or fill a packet", UP, queue(live_readings=1000, backlog=True), 105.0, Send(What.LIVE)),
        ("bulk leaves the last place free", link(on_way=3), queue(backlog=True), 105.0, Wait(inf)),
        ("which an alarm takes", link(on_way=3), queue(alarms=True, backlog=True), 105.0, Send(What.ALARMS)),
        ("a window of one serves bulk too", link(window=1), queue(backlog=True), 105.0, Send(What.BACKLOG)),
        ("no more rounds while too many are unsettled", UP, queue(backlog=True, room=False), 105.0, Wait(inf)),
        ("an alarm is repeated in time", UP, queue(alarm_due_s=106.0, live_readings=5), 105.0, Wait(106.0)),
    ],
)
def test_next(why: str, now: LinkNow, waits: Queue, now_s: float, expected: Send | Wait) -> None:
    assert next_step(now, waits, now_s) == expected, why


READY = LinkNow(usable=True, window=1, on_way=0, ready_s=100.0)
FULL_SLOT = SlotQueue(alarms=True, test=True, sheet=True, piece_due_s=0.0, rounds=True, summaries=True)


def slot(**more: object) -> SlotQueue:
    return SlotQueue(**more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("why", "now", "waits", "now_s", "expected"),
    [
        ("nothing before the slot", READY, FULL_SLOT, 99.0, Wait(100.0)),
        ("nothing while a message is on its way", READY._replace(on_way=1), FULL_SLOT, 105.0, Wait(inf)),
        ("alarms before all", READY, FULL_SLOT, 105.0, Send(What.ALARMS)),
        ("then who waits at the terminal", READY, FULL_SLOT._replace(alarms=False), 105.0, Send(What.TEST)),
        ("then what was begun", READY, slot(piece_due_s=0.0, sheet=True, rounds=True), 105.0, Send(What.PIECE)),
        ("then the sheet", READY, slot(sheet=True, rounds=True), 105.0, Send(What.SHEET)),
        ("then rounds", READY, slot(rounds=True, summaries=True), 105.0, Send(What.LIVE)),
        (
            "and summaries by turns",
            READY,
            slot(rounds=True, summaries=True, summary_turn=True),
            105.0,
            Send(What.SUMMARY),
        ),
        ("where we are, in time", READY, slot(newest_due_s=105.0, summaries=True), 105.0, Send(What.NEWEST)),
        ("a wide link carries the rest", READY, slot(wide=True, sheet=True, rounds=True), 105.0, Wait(inf)),
        ("but alarms go here too", READY, slot(wide=True, alarms=True), 105.0, Send(What.ALARMS)),
        (
            "stale alarms let others between",
            READY,
            slot(alarms=True, alarms_rest=True, rounds=True),
            105.0,
            Send(What.LIVE),
        ),
        (
            "an alarm in pieces is packed, or waits, with other alarms",
            READY,
            slot(alarms=True, alarm_piece_due_s=0.0),
            105.0,
            Send(What.ALARMS),
        ),
        (
            "but not for stale ones",
            READY,
            slot(alarms=True, alarms_rest=True, alarm_piece_due_s=0.0),
            105.0,
            Send(What.PIECE),
        ),
        (
            "and for nothing else",
            READY,
            slot(alarm_piece_due_s=0.0, piece_due_s=0.0, test=True, wide=True),
            105.0,
            Send(What.PIECE),
        ),
        (
            "woken for its next piece",
            READY,
            slot(wide=True, alarm_due_s=140.0, alarm_piece_due_s=130.0, rounds=True),
            105.0,
            Wait(130.0),
        ),
        ("if there are any", READY, slot(alarms=True, alarms_rest=True), 105.0, Send(What.ALARMS)),
        ("woken for the next repetition", READY, slot(alarm_due_s=140.0, piece_due_s=130.0), 105.0, Wait(130.0)),
    ],
)
def test_next_in_slot(why: str, now: LinkNow, waits: SlotQueue, now_s: float, expected: Send | Wait) -> None:
    assert next_in_slot(now, waits, now_s) == expected, why
