"""Whether the province may know nothing of us: how alarms are said, and when it is asked."""

from __future__ import annotations

import pytest

from edge.slotdoubt import MOST_DOUBLINGS, SILENT_S, SILENT_SLOTS, Doubt

SLOT_S = 62.0
SILENCE_S = SILENT_SLOTS * SLOT_S


def told(*plain: bool) -> Doubt:
    """An alarm was said so, one time after the other."""
    doubt = Doubt()
    for counter, was_plain in enumerate(plain, 1):
        doubt.told(counter, [5], plain=was_plain)
    return doubt


@pytest.mark.parametrize(
    ("said", "plain_next"),
    [
        ((), False),
        ((False,), False),
        ((False, False), True),
        ((False, False, True), False),
        ((False, False, True, False), False),
        ((False, False, True, False, False), True),
        ((True,), False),
        ((True, False), False),
    ],
)
def test_what_is_said_twice_without_an_answer_is_said_so_that_anybody_can_read_it_by_turns(
    said: tuple[bool, ...], plain_next: bool
) -> None:
    doubt = told(*said)
    assert doubt.speaks_plain(5, 60.0, SLOT_S) is plain_next
    assert not doubt.speaks_plain(6, 60.0, SLOT_S), "another alarm"


def test_an_answer_to_what_was_said_begins_anew() -> None:
    doubt = told(False, False)
    doubt.answered(1, {5})  # it speaks of what went before
    assert doubt.speaks_plain(5, 180.0, SLOT_S)
    doubt.answered(2, {5})
    assert not doubt.speaks_plain(5, 180.0, SLOT_S)


def test_of_alarms_that_are_there_nothing_is_remembered() -> None:
    doubt = told(False, False)
    doubt.answered(1, set())
    assert not doubt.speaks_plain(5, 180.0, SLOT_S)


def test_alarms_that_did_not_leave_change_nothing() -> None:
    doubt = told(False, False)
    doubt.told(3, [5], plain=True)
    doubt.not_told()
    assert doubt.speaks_plain(5, 60.0, SLOT_S)
    doubt.renew()
    assert not doubt.speaks_plain(5, 60.0, SLOT_S)


def test_after_a_silence_the_first_alarms_speak_for_themselves_and_by_turns() -> None:
    doubt = Doubt()
    doubt.sent(0.0)
    assert not doubt.speaks_plain(5, SILENCE_S, SLOT_S)
    assert doubt.speaks_plain(5, SILENCE_S + 1, SLOT_S)
    doubt.told(1, [5], plain=True)
    assert not doubt.speaks_plain(5, SILENCE_S + 62, SLOT_S)
    for counter in (2, 3):
        doubt.told(counter, [5], plain=False)
    assert doubt.speaks_plain(5, SILENCE_S + 186, SLOT_S)
    doubt.answered(None, {5})
    assert not doubt.speaks_plain(6, SILENCE_S + 125, SLOT_S)


def test_an_answer_is_asked_for_after_a_silence_and_after_pauses_that_grow() -> None:
    doubt = Doubt()
    assert not doubt.asks(1e6, SLOT_S), "nothing has left: nothing is to be answered"
    doubt.sent(0.0)
    doubt.sent(SILENCE_S)
    now_s = 0.0
    for pause_s in (SILENCE_S, 2 * SILENCE_S, 4 * SILENCE_S, 4 * SILENCE_S):
        assert not doubt.asks(now_s + pause_s, SLOT_S)
        now_s += pause_s + 1
        assert doubt.asks(now_s, SLOT_S)
        doubt.asked(now_s)
        doubt.not_asked()
        assert doubt.asks(now_s, SLOT_S), "it did not leave"
        doubt.asked(now_s)
    assert 2**MOST_DOUBLINGS == 4
    doubt.answered(None, ())
    assert not doubt.asks(9 * now_s, SLOT_S)
    doubt.sent(9 * now_s)
    assert doubt.asks(9 * now_s + SILENCE_S + 1, SLOT_S), "as at first"


def test_a_card_with_short_slots_is_silent_only_after_the_time_in_which_the_province_answers() -> None:
    doubt = Doubt()
    doubt.sent(0.0)
    assert not doubt.asks(SILENT_S, 10.0)
    assert doubt.asks(SILENT_S + 1, 10.0)
