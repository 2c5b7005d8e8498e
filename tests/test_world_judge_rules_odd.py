"""What a silence, a lost store or a crowded card does to an alarm, and what it does not excuse: hand-made records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from edge.contract import Level
from sim.world.judge_alarms import IN_STEPS, Alarms
from sim.world.judge_books import AlarmRow
from sim.world.judge_roads import Roads
from sim.world.judge_truth import Truth
from sim.world.nouns import Record, Shown, Span, Story, Trouble
from sim.world.stage import standard

TEXT, SITE = standard()
LIMITS = {limit.id: limit for limit in SITE.limits}
NOW_S = 20_000.0
OLD, NEW = 1, 2  # epochs


def row(limit: str, level: Level, at_s: float, value: float | None, *, epoch: int = OLD, seq: int = 1) -> AlarmRow:
    """An alarm that came at once."""
    known = LIMITS[limit]
    change = "cleared" if level is Level.NONE else "raised"
    parts = {place: steps for part in known.judged.parts for place, steps in part.thresholds}
    threshold = float({**parts, **dict(known.thresholds)}.get(level, 1) * known.scale.step)
    words = (known.point, int(level), change, "above", value, threshold)
    return AlarmRow(epoch, seq, at_s, limit, *words, 0, at_s + 0.1, "mm")


def said(record: Record, rows: Sequence[AlarmRow], word: str) -> list[str]:
    """What the judge finds in these alarms, as far as it has the word."""
    record.running = record.running or [Span(0.0, inf)]
    truth = Truth(record, SITE, Story("by hand", TEXT, 1, NOW_S))
    truth.look(NOW_S)
    alarms = Alarms(truth, Roads(truth))
    broken = [*alarms.take(list(rows)), *alarms.check()]
    return [it.what for it in broken if word in it.what]


def shows(record: Record, point: str, values: Iterable[tuple[float, float]]) -> None:
    record.shown[point] = [Shown(at_s, value, True) for at_s, value in values]


def test_rain_that_came_over_a_silence_begun_before_the_window_is_in_the_sum() -> None:
    record = Record()
    dry = [(at_s + 0.1, 0.0) for at_s in range(0, 1000, 10)]
    shows(record, "pond.rain-count", [*dry, *((at_s + 0.1, 20.0) for at_s in range(9000, 9100, 10))])
    assert not said(record, [row("rain-windows", Level.BLUE, 9020.2, 18.0)], "explains")
    assert said(record, [row("rain-windows", Level.BLUE, 9020.2, 21.0)], "explains")


def a_pour_in_a_silence(left_s: float) -> list[str]:
    """30 mm fall from 5260 to 6060 s; of what is shown from 5270 to 6460 s nobody knows what was taken."""
    counts = [(at_s + 0.1, min(max(at_s - 5260.0, 0.0), 800.0) * 30 / 800) for at_s in range(0, 12_000, 10)]
    record = Record(usable={"fibre": [Span(0.0, inf)]})
    record.shown["pond.rain-count"] = [Shown(at_s, count, not 5265 < at_s < 6465) for at_s, count in counts]
    record.failed["pond.rain-count"] = [at_s for at_s, _ in counts if 5265 < at_s < 6465]
    rows = [
        row("rain-windows", Level.RED, 6500.2, 30.0, seq=1),
        row("rain-windows", Level.YELLOW, 7430.2, 30.0, seq=2)._replace(change="changed"),
        row("rain-windows", Level.BLUE, left_s, 30.0, seq=3)._replace(change="changed"),
    ]
    return [it for it in said(record, rows, "rain-windows") if "explains" in it or "stand" in it]


def test_what_came_over_a_silence_at_the_windows_edge_fell_as_it_was_shown_or_evenly() -> None:
    """Yellow is left two minutes after the sum is below 19 mm: at 9270 s if all that was shown was taken, at 9430 s if
    nothing of it was."""
    assert not a_pour_in_a_silence(9270.2)
    assert not a_pour_in_a_silence(9430.2)
    assert any("YELLOW does not stand" in it for it in a_pour_in_a_silence(8800.2))
    assert any("YELLOW still stands" in it for it in a_pour_in_a_silence(9530.2))


def test_the_last_word_is_what_was_taken_last_not_what_was_shown_last() -> None:
    record = Record()
    shown = [(at_s + 0.1, 136.9) for at_s in range(0, 1010, 10)]
    shows(record, "dam-1.pore-1", [*shown, (1010.1, 137.05), (1020.1, 137.05), (1040.1, 137.08)])
    record.failed["dam-1.pore-1"] = [1000.1, 1030.1, 1040.1, 1040.2]  # the answer shown there was taken for a late one
    assert not said(record, [row("pore-high", Level.ORANGE, 1050.8, 137.05)], "explains")
    assert said(record, [row("pore-high", Level.ORANGE, 1050.8, 137.07)], "explains")
    record.failed.clear()  # nothing was wrong on the wire: the value of 1040 s was taken, and nothing was silent
    assert said(record, [row("pore-high", Level.ORANGE, 1050.8, 137.05)], "explains")


def a_store_is_lost(*, damaged: bool) -> list[str]:
    record = Record(running=[Span(0.0, 5000.0, "power.cut"), Span(5030.0, 5030.0, "power.kill"), Span(5060.0, inf)])
    record.usable["fibre"] = [Span(10_000.0, inf)]
    if damaged:
        record.troubles.append((5010.0, Trouble("disk.damage", 5010.0, 0.1)))
    before = [row("beach-short", Level.RED, 4000.2, 69.0), row("pond-item", Level.RED, 4000.2, None, seq=2)]
    again = [
        row("level-high", Level.BLUE, 5060.2, 419.1, epoch=NEW, seq=1),
        row("pond-item", Level.BLUE, 5060.2, None, epoch=NEW, seq=2),
        row("beach-short", Level.RED, 5060.2, 69.0, epoch=NEW, seq=3),
        row("pond-item", Level.RED, 5060.2, None, epoch=NEW, seq=4),
    ]
    return said(record, [*before, *again], "pond-item")


def test_a_roll_up_begins_anew_with_a_store_that_was_lost_and_only_then() -> None:
    assert not a_store_is_lost(damaged=True)
    assert a_store_is_lost(damaged=False)


def before_the_rest(back_s: float, *rows: AlarmRow) -> list[str]:
    """What is not explained of alarms that a card said first; the fibre is back at `back_s` and brings all others."""
    record = Record(usable={"fibre": [Span(back_s, inf)]})
    shows(record, "pond.level", [(at_s + 0.1, 421.0 if at_s < 18_000 else 419.1) for at_s in range(17_000, 19_500, 10)])
    return said(record, rows, "explains")


def test_a_whole_is_judged_when_its_members_must_be_there() -> None:
    whole = row("pond-item", Level.YELLOW, 19_000.2, None, seq=9)
    assert not before_the_rest(19_990.0, whole)
    assert before_the_rest(19_100.0, whole)
    member = row("storm", Level.YELLOW, 19_000.2, 30.6)
    assert not [it for it in before_the_rest(19_100.0, whole, member) if "pond-item" in it]


def test_a_level_is_judged_when_what_was_told_before_it_must_be_there() -> None:
    """RED, then BLUE that says it was raised: RED was left in between, and that is still to come."""
    rows = [row("level-high", Level.RED, 17_100.2, 421.0), row("level-high", Level.BLUE, 19_000.2, 419.1, seq=9)]
    assert not before_the_rest(19_990.0, *rows)
    assert before_the_rest(19_100.0, *rows)
    assert before_the_rest(19_990.0, rows[0], rows[1]._replace(value=419.2)), "a value that was never shown"


def test_alarms_that_fill_a_message_each_wait_for_their_slots() -> None:
    record = Record(usable={"beidou": [Span(0.0, inf)]}, used={"beidou": [60.0 * turn + 10 for turn in range(300)]})
    names = [name for name, limit in LIMITS.items() if limit.plain]
    rows = [
        row(name, Level.NONE, 1000.2, 5.0, seq=place)._replace(unit=IN_STEPS, received_s=1010.0 + 62.0 * (place + 1))
        for place, name in enumerate(names)
    ]
    assert not said(record, rows, "came in after")
    assert said(record, rows[-1:], "came in after")
    assert said(record, [it._replace(unit="mm") for it in rows], "came in after")


def told_to_who_forgot(forgot_s: float, came_s: float) -> list[str]:
    """Two alarms with numbers at 1000 s go together at 1030 s; nobody can read them. The second comes alone at last."""
    record = Record(usable={"beidou": [Span(0.0, inf)]}, used={"beidou": [968.0 + 62.0 * turn for turn in range(300)]})
    record.troubles.append((forgot_s, Trouble("province.forgets", forgot_s, 0.1)))
    rows = [
        row("pond-item", Level.ORANGE, 1000.2, 2.0)._replace(received_s=1164.0),
        row("rain-windows", Level.YELLOW, 1000.2, 20.0, seq=2)._replace(received_s=came_s),
    ]
    return said(record, rows, "came in after")


def test_alarms_to_a_province_that_has_lost_its_sheets_are_said_twice_in_vain_and_go_in_pieces() -> None:
    assert not told_to_who_forgot(930.0, 1288.0)
    assert told_to_who_forgot(1100.0, 1226.0), "it could read them"
    assert told_to_who_forgot(930.0 - 3000.0, 1226.0), "it has been told the sheet since"
    assert told_to_who_forgot(930.0, 1500.0)


def test_an_alarm_with_numbers_goes_in_pieces_while_the_sheet_of_a_new_store_is_on_its_way() -> None:
    used = [968.0 + 62.0 * turn for turn in range(300)]
    found = []
    for at_s in (700.0, 1500.0):
        record = Record(usable={"beidou": [Span(0.0, inf)]}, used={"beidou": used})
        record.troubles.append((at_s, Trouble("disk.error", at_s, 10.0)))
        rows = [row("pond-item", Level.ORANGE, 1000.2, 2.0)._replace(received_s=1150.0)]
        found.append(bool(said(record, rows, "came in after")))
    assert found == [False, True]


def test_plain_alarms_that_go_together_are_said_twice_in_vain_to_a_province_that_has_lost_its_sheets() -> None:
    known, steps = "mm", IN_STEPS
    for forgot_s, number, unit, late in (
        (930.0, 2, known, False),
        (930.0, 2, steps, False),
        (930.0, 1, known, True),
        (930.0, 1, steps, True),
        (1100.0, 2, known, True),
    ):
        record = Record(usable={"beidou": [Span(0.0, inf)]}, used={"beidou": [968.0 + 62.0 * n for n in range(300)]})
        record.troubles.append((forgot_s, Trouble("province.forgets", forgot_s, 0.1)))
        names = [name for name, limit in LIMITS.items() if limit.plain][:number]
        rows = [row(name, Level.NONE, 1000.2, 5.0, seq=place)._replace(unit=unit) for place, name in enumerate(names)]
        rows[-1] = rows[-1]._replace(received_s=1224.0 if number > 1 else 1162.0)
        assert bool(said(record, rows, "came in after")) is late, (forgot_s, number, unit)
