"""What is on the way, told as short stories."""

from __future__ import annotations

import itertools
from math import inf

from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.transit import FIRST_RESEND_S, LONGEST_ALARM_RESEND_S, LONGEST_RESEND_S, AlarmDues, Transit

SMALL = {Kind.STATUS, Kind.ACCOUNT}


def entry(kind: Kind = Kind.ROUNDS, group: int = 0, clock: ClockQuality = ClockQuality.FREE) -> NewEntry:
    return NewEntry(kind, group, 0, clock, 10, b"")


def with_rounds(count: int) -> Transit:
    transit = Transit()
    transit.taken((seq, entry()) for seq in range(1, count + 1))
    return transit


def test_a_packet_is_on_the_way_until_its_receipt() -> None:
    transit = with_rounds(6)
    transit.off(((1, 4),), 40, 0.0, rounds=True)
    assert list(transit.skip()) == [(1, 4)]
    transit.receipted(1, 2)
    assert transit.rounds_in_flight() == 1
    transit.receipted(3, 4)
    assert transit.rounds_in_flight() == 0
    assert list(transit.skip()) == [(1, 4)], "receipted, but not yet deleted: not to be sent again"
    transit.freed([(1, 4)])
    assert list(transit.skip()) == []


def test_a_receipt_beyond_what_was_ever_taken_is_cut() -> None:
    transit = with_rounds(3)
    transit.receipted(0, 2**62)
    assert list(transit.skip()) == [(0, 3)]


def test_when_the_next_packet_is_overdue_is_known() -> None:
    transit = with_rounds(6)
    assert transit.next_overdue_s() == inf
    transit.off(((1, 2),), 20, 5.0, rounds=True, patience_s=90.0)
    transit.off(((3, 6),), 40, 7.0, rounds=True)
    assert transit.next_overdue_s() == 7.0 + FIRST_RESEND_S
    transit.overdue(transit.next_overdue_s(), heard=True)
    assert transit.next_overdue_s() == 95.0


def test_an_overdue_packet_waits_again_and_patience_grows_while_nothing_comes_back() -> None:
    transit = with_rounds(4)
    transit.all_backlog()
    transit.backlog = False
    transit.off(((1, 4),), 40, 0.0, rounds=True)
    assert not transit.overdue(FIRST_RESEND_S - 0.1, heard=False)
    assert transit.overdue(FIRST_RESEND_S, heard=False)
    assert transit.backlog
    assert list(transit.skip()) == []
    now_s = FIRST_RESEND_S
    for _ in range(10):
        flight = transit.off(((1, 4),), 40, now_s, rounds=True)
        now_s = flight.due_s
        transit.overdue(now_s, heard=False)
    assert transit.resend_s == LONGEST_RESEND_S
    transit.trip(2.0)
    assert transit.resend_s == FIRST_RESEND_S


def test_an_alarm_is_due_at_once_on_every_link_then_again_with_growing_pauses_until_its_receipt() -> None:
    transit, fibre, satellite = Transit(), AlarmDues(), AlarmDues()
    transit.taken([(1, entry(Kind.ALARM))])
    assert transit.due_alarms(fibre, 0.0) == transit.due_alarms(satellite, 0.0) == [1]
    said_s = [0.0]
    for _ in range(12):
        fibre.said(1, said_s[-1], 0.0)
        assert transit.due_alarms(fibre, said_s[-1]) == []
        said_s.append(transit.next_alarm_s(fibre))
    pauses = [b - a for a, b in itertools.pairwise(said_s)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_ALARM_RESEND_S
    assert transit.due_alarms(satellite, 0.0) == [1]
    transit.receipted(1, 1)
    assert transit.due_alarms(satellite, 1e9) == []


def test_where_we_are_is_the_newest_dated_round_of_each_group() -> None:
    transit = Transit()
    unknown = entry(clock=ClockQuality.UNKNOWN)
    transit.taken([(1, entry()), (2, entry(group=1)), (3, entry()), (4, unknown)])
    assert transit.newest_waiting() == [3, 2]
    transit.off(((3, 3),), 10, 0.0, rounds=True)
    assert transit.newest_waiting() == [2]


def test_small_things_are_sent_once_and_wait_again_when_taken_back() -> None:
    transit = Transit()
    transit.found([(5, Kind.SHEET), (6, Kind.STATUS), (7, Kind.ALARM)], 9)
    assert transit.waiting({Kind.SHEET}) == 5
    assert transit.waiting(SMALL) == 6
    flight = transit.off(((6, 6),), 0, 0.0, rounds=False)
    assert transit.waiting(SMALL) is None
    transit.taken_back(flight)
    assert transit.waiting(SMALL) == 6
    assert transit.live_readings == 0
