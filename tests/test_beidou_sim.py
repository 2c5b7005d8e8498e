"""The simulated terminal and its card are honest: period and level enforced, losses as said."""

from __future__ import annotations

import pytest

from drivers.beidou import wire
from drivers.beidou.wire import Dialect, Feedback, Outcome
from sim.beidou.card import Card
from sim.beidou.cli import parse_terminal
from sim.beidou.satellite import Air
from sim.beidou.terminal import BANNER, Terminal
from sim.beidou.trouble import Trouble
from tests.beidou_host import PACKET, PROVINCE, SITE, Host

DEFAULTS = {"dialect": "2.1", "period": "60", "level": "3", "baud": "115200"}
ALL = pytest.mark.parametrize("dialect", list(Dialect))


@ALL
def test_a_packet_goes_from_terminal_to_terminal_and_back(dialect: Dialect) -> None:
    host = Host(dialect)
    host.say(wire.QueryCard(dialect))
    host.send()
    host.run(10)
    (card,) = [heard for _, heard in host.heard if isinstance(heard, wire.Card)]
    assert (card.address, card.period_s, card.level) == (SITE, 60, 3)
    assert [f.outcome for f in host.feedback()] == [Outcome.SENT]
    (up,) = host.far_heard
    assert isinstance(up, wire.Message)
    assert (up.sender, up.content, up.form) == (SITE, PACKET, wire.Form.MIXED)
    host.far.feed(wire.build(wire.Send(Dialect.TEXT21, SITE, PACKET[::-1])), host.now_s)
    host.run(10)
    ((_, down),) = host.heard
    assert isinstance(down, wire.Message)
    assert (down.sender, down.content) == (PROVINCE, PACKET[::-1])


@ALL
def test_a_second_request_within_the_period_is_refused_with_its_wait_and_counted(dialect: Dialect) -> None:
    host = Host(dialect)
    host.send()
    host.run(0)
    host.send()  # while the first is not yet out
    host.run(20)
    host.send()
    host.run(5)
    outcomes = [(f.outcome, f.wait_s) for f in host.feedback()]
    assert (Outcome.SENT, None) in outcomes
    assert (Outcome.TOO_EARLY, 60) in outcomes
    (wait_s,) = [wait for outcome, wait in outcomes if outcome is Outcome.TOO_EARLY and wait != 60]
    assert wait_s is not None
    assert 40 <= wait_s <= 42
    assert (host.terminal.over_rate, len(host.terminal.radiated)) == (2, 1)
    host.run(host.card.wait_s(host.now_s))
    host.send()
    host.run(3)
    assert [f.outcome for f in host.feedback()] == [Outcome.SENT]
    assert host.terminal.over_rate == 2


@ALL
@pytest.mark.parametrize(("level", "room_bytes"), [(1, 12), (2, 50), (3, 77), (4, 105)])
def test_content_longer_than_the_card_s_level_is_refused(dialect: Dialect, level: int, room_bytes: int) -> None:
    bits = wire.LEVEL_BITS[level, False] if dialect is Dialect.BDS3 else None  # has no table of its own
    host = Host(dialect, Card(SITE, level=level, bits=bits))
    host.send(bytes(range(65, 65 + room_bytes + 1)))
    host.run(3)
    assert [(f.outcome, f.wait_s) for f in host.feedback()] == [(Outcome.REFUSED, None)]
    host.send(bytes(range(65, 65 + room_bytes)))
    host.run(3)
    assert [f.outcome for f in host.feedback()] == [Outcome.SENT]
    assert host.terminal.over_rate == 0


STATES = {
    "inhibited": (Outcome.SUPPRESSED, Outcome.SUPPRESSED, Outcome.SUPPRESSED),
    "silenced": (Outcome.SILENT, Outcome.SILENT, Outcome.SUPPRESSED),
    "low_battery": (Outcome.REFUSED, Outcome.LOW_BATTERY, Outcome.LOW_BATTERY),
}


@ALL
@pytest.mark.parametrize("state", list(STATES))
def test_a_terminal_that_may_not_send_says_so_as_its_dialect_can(dialect: Dialect, state: str) -> None:
    host = Host(dialect)
    setattr(host.terminal, state, True)
    host.send()
    host.run(3)
    assert [f.outcome for f in host.feedback()] == [STATES[state][list(Dialect).index(dialect)]]
    assert host.terminal.radiated == []
    setattr(host.terminal, state, False)
    host.send()
    host.run(3)
    assert [f.outcome for f in host.feedback()] == [Outcome.SENT]


@ALL
@pytest.mark.parametrize("missing", ["card", "beam"])
def test_without_a_card_or_a_beam_nothing_goes_and_nothing_comes(dialect: Dialect, missing: str) -> None:
    host = Host(dialect)
    host.terminal.card = None if missing == "card" else host.card
    host.terminal.sky.shaded = missing == "beam"
    host.send()
    host.far.feed(wire.build(wire.Send(Dialect.TEXT21, SITE, PACKET)), host.now_s)
    host.run(20)
    assert len(host.far.radiated) == 1
    assert host.terminal.radiated == []
    ((_, feedback),) = host.heard
    assert isinstance(feedback, Feedback)
    assert feedback.outcome in (Outcome.NO_CARD if missing == "card" else Outcome.NO_SIGNAL, Outcome.REFUSED)


def test_the_card_keeps_its_period_through_a_reset_and_into_another_terminal() -> None:
    host = Host(Dialect.TEXT21)
    host.say(wire.SetReport("BSI", 5))
    host.send()
    host.run(10)
    host.terminal.reset(host.now_s)
    host.run(2)
    host.heard.clear()
    host.run(20)
    assert not any(isinstance(heard, wire.Beams) for _, heard in host.heard)  # forgotten
    assert any(isinstance(heard, wire.Noise) and BANNER.strip() in heard.raw for _, heard in host.heard)
    other = Terminal(Dialect.BDS3, host.card, reports={})
    other.feed(wire.build(wire.Send(Dialect.BDS3, PROVINCE, PACKET)), host.now_s)
    assert (host.terminal.over_rate, other.over_rate) == (0, 1)


@pytest.mark.parametrize(("kind", "feedbacks", "radiated"), [("no_feedback", 0, 1), ("twice", 2, 1), ("lies", 1, 0)])
def test_troubles_befall_a_request(kind: str, feedbacks: int, radiated: int) -> None:
    host = Host(Dialect.BDS3, trouble=Trouble(**{kind: 1.0}))  # type: ignore[arg-type]
    host.send()
    host.run(60)
    assert (len(host.feedback()), len(host.terminal.radiated)) == (feedbacks, radiated)


def test_a_request_that_is_not_heard_is_counted_and_nothing_follows() -> None:
    host = Host(Dialect.BINARY40, trouble=Trouble(deaf=1.0))
    host.send()
    host.run(60)
    assert not host.heard
    assert not host.terminal.radiated
    assert [request.outcome for request in host.terminal.requests] == [None]


def test_noise_stands_before_sentences_and_hides_none() -> None:
    host = Host(Dialect.BDS3, trouble=Trouble(noise=0.3))
    host.say(wire.SetReport("PWI", 5))
    host.run(1000)
    kinds = [type(heard).__name__ for _, heard in host.heard]
    assert kinds.count("Beams") >= 195  # stray bytes may look like the beginning of a sentence
    assert kinds.count("Noise") > 30


@ALL
def test_a_success_may_tell_its_wait_and_a_wait_may_be_short(dialect: Dialect) -> None:
    host = Host(dialect)
    host.terminal.tells_wait, host.terminal.wait_error_s = True, 2.0
    host.send()
    host.run(20)
    host.send()
    host.run(5)
    sent, early = host.feedback()
    assert sent.outcome is Outcome.SENT
    assert sent.wait_s == (None if dialect is Dialect.BINARY40 else 60)  # 4.0 has no place for it
    assert early.wait_s is not None
    assert 20 + early.wait_s < host.card.free_s - 1


def test_a_dual_terminal_takes_both_dialects_and_answers_as_bds3() -> None:
    host = Host(Dialect.BDS3)
    host.terminal.dual = True
    for dialect in (Dialect.BDS3, Dialect.TEXT21):
        host.say(wire.QueryCard(dialect))
    host.say(wire.Send(Dialect.TEXT21, PROVINCE, PACKET))
    host.run(5)
    cards = [heard.dialect for _, heard in host.heard if isinstance(heard, wire.Card)]
    assert cards == [Dialect.BDS3, Dialect.TEXT21]
    assert [(f.dialect, f.command, f.outcome) for f in host.feedback()] == [(Dialect.BDS3, "TCQ", Outcome.SENT)]


@ALL
def test_a_terminal_of_one_dialect_does_not_hear_the_others(dialect: Dialect) -> None:
    host = Host(dialect)
    for other in set(Dialect) - {dialect}:
        host.say(wire.QueryCard(other))
        host.say(wire.Send(other, PROVINCE, PACKET))
    host.run(60)
    assert not host.heard
    assert not host.terminal.requests


def test_late_feedback_and_a_slow_burst_come_when_they_say() -> None:
    host = Host(Dialect.BDS3, trouble=Trouble(late=1.0))
    host.send()
    host.run(60)
    ((said_s, _),) = host.heard
    assert host.terminal.radiated[0].radiated_s < 2 < 15 < said_s
    slow = Host(Dialect.BDS3, trouble=Trouble(slow=1.0))
    slow.send()
    slow.run(60)
    assert 8 <= slow.terminal.radiated[0].radiated_s <= 14


def test_a_reset_in_mid_send_comes_before_or_after_the_burst() -> None:
    seen = set()
    for seed in range(1, 30):
        host = Host(Dialect.TEXT21, trouble=Trouble(seed, reset=1.0))
        host.send()
        host.run(30)
        assert host.terminal.resets == 1
        seen.add((len(host.terminal.radiated), len(host.feedback())))
    assert seen == {(0, 0), (1, 0)}


def test_beams_fade_now_and_then() -> None:
    host = Host(Dialect.BDS3, trouble=Trouble(fade_every_s=600, fade_s=60))
    host.say(wire.SetReport("PWI", 5))
    host.run(20_000)
    told = [bool(heard.beams) for _, heard in host.heard if isinstance(heard, wire.Beams)]
    assert 0.05 < told.count(False) / len(told) < 0.2


@ALL
def test_status_comes_as_often_as_asked_and_gnss_lines_between(dialect: Dialect) -> None:
    host = Host(dialect)
    host.terminal = Terminal(dialect, host.card, reports={"GGA": 1, "RMC": 1})
    host.air = Air(host.satellite, {"site": host.terminal})
    ask = {Dialect.BDS3: wire.SetReport("PWI", 5), Dialect.TEXT21: wire.SetReport("BSI", 5)}
    host.say(ask.get(dialect, wire.QueryStatus(5)))
    host.run(60)
    kinds = [type(heard).__name__ for _, heard in host.heard]
    assert kinds.count("Position") in range(118, 124)
    assert kinds.count("Health" if dialect is Dialect.BINARY40 else "Beams") in (12, 13)
    assert "Noise" not in kinds


def test_stored_messages_and_receipts_can_be_polled_and_use_the_slot() -> None:
    host = Host(Dialect.TEXT21)
    host.terminal.muted = True
    host.far.feed(wire.build(wire.Send(Dialect.TEXT21, SITE, PACKET)), host.now_s)
    host.terminal.sky.shaded = True
    host.run(20)
    host.terminal.muted = host.terminal.sky.shaded = False
    host.say(wire.QueryStored())
    host.run(15)
    (message,) = [heard for _, heard in host.heard if isinstance(heard, wire.Message)]
    assert (message.stored, message.content, message.sender) == (True, PACKET, PROVINCE)
    host.send()
    host.run(5)
    assert [f.outcome for f in host.feedback()] == [Outcome.SENT, Outcome.TOO_EARLY]
    host.run(60)
    host.send()
    host.run(70)
    host.heard.clear()
    host.say(wire.QueryReceipts(PROVINCE))
    host.run(15)
    (receipts,) = [heard for _, heard in host.heard if isinstance(heard, wire.Receipts)]
    assert (receipts.receiver, len(receipts.receipts)) == (PROVINCE, 1)


def test_a_bds3_terminal_that_does_not_tell_what_its_card_takes() -> None:
    host = Host(Dialect.BDS3, Card(SITE, bits=408))
    host.say(wire.SetReport("ZDX", 30))
    host.run(5)
    ((_, told),) = host.heard
    assert isinstance(told, wire.BitLimit)
    assert told.bits == 408
    host.heard.clear()
    host.terminal.tells_bits = False
    host.run(100)
    assert not host.heard
    host.send(bytes(range(65, 65 + 51)))
    host.run(3)
    assert [feedback.outcome for feedback in host.feedback()] == [Outcome.REFUSED]


def test_a_terminal_of_the_command_line_keeps_what_its_card_takes_to_itself() -> None:
    _, plug = parse_terminal("site:1207733,dialect=bds3,bits=408", DEFAULTS, 1)
    _, other = parse_terminal("site:1207733,dialect=bds3", DEFAULTS, 1)
    plug.unplug()
    other.unplug()
    assert plug.terminal.card is not None
    assert (plug.terminal.card.bits, plug.terminal.tells_bits, other.terminal.tells_bits) == (408, False, True)
