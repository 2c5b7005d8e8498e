"""Whether the province may know nothing of us: how alarms are said, and when it is asked."""

from __future__ import annotations

from edge.slotdoubt import SILENT_SLOTS, Doubt

SLOT_S = 60.0
SILENT_S = SILENT_SLOTS * SLOT_S


def test_what_nobody_answers_is_followed_by_what_anybody_can_read_and_so_on_by_turns() -> None:
    doubt = Doubt()
    assert not doubt.speaks_plain(0.0, SLOT_S)
    doubt.told(1, plain=False)
    assert doubt.speaks_plain(60.0, SLOT_S)
    doubt.told(2, plain=True)
    assert not doubt.speaks_plain(120.0, SLOT_S)
    doubt.told(3, plain=False)
    doubt.answered(2)  # it speaks of what went before
    assert doubt.speaks_plain(180.0, SLOT_S)
    doubt.answered(3)
    assert not doubt.speaks_plain(180.0, SLOT_S)


def test_alarms_that_did_not_leave_change_nothing() -> None:
    doubt = Doubt()
    doubt.told(1, plain=False)
    doubt.told(2, plain=True)
    doubt.not_told()
    assert doubt.speaks_plain(60.0, SLOT_S)


def test_after_a_silence_the_first_alarms_speak_for_themselves_and_an_answer_is_asked_for() -> None:
    doubt = Doubt()
    assert not doubt.asks(1e6, SLOT_S), "nothing has left: nothing is to be answered"
    doubt.sent(0.0)
    doubt.sent(SILENT_S)
    assert not doubt.asks(SILENT_S, SLOT_S)
    assert doubt.asks(SILENT_S + 1, SLOT_S)
    assert doubt.speaks_plain(SILENT_S + 1, SLOT_S)
    doubt.asked(SILENT_S + 1)
    assert not doubt.asks(2 * SILENT_S, SLOT_S)
    assert doubt.asks(2 * SILENT_S + 2, SLOT_S)
    doubt.answered(None)
    assert not doubt.asks(9 * SILENT_S, SLOT_S)
    assert not doubt.speaks_plain(9 * SILENT_S, SLOT_S)
