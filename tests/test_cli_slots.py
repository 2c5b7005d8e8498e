"""A narrow link as a technician sees it: card, beams, slot, feedback, queue; and what is missing in it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.cli.show import span, width
from edge.cli.slots import BARS, BEAMS_IN_ROW, slot_lines
from tests.cli_daemon import LINKS, STATUS, ask, daemon, says

BDS3 = {
    "up": True,
    "why": "",
    "last_receipt_age_s": 41.3,
    "mtu_bytes": 77,
    "window": 1,
    "slot_s": 60.0,
    "trouble": "",
    "queue": {"alarms": 1, "readings": 1440, "messages": 14, "minutes": 15, "mode": "full"},
    "dialect": "bds3",
    "baud": 115200,
    "terminal": None,
    "card": {"address": 4207733, "level": 3, "period_s": 60.0, "class": 1},
    "beams": [[1, 0.0], [3, 48.2], [9, 30.0], [12, 41.0]],
    "next_slot_s": 22.6,
    "last_feedback": {"what": "sent", "age_s": 37.4},
    "sent": 12,
    "too_early": 0,
}
LOST = {
    **BDS3,
    "up": False,
    "why": "looking for the terminal at 19200 baud",
    "last_receipt_age_s": None,
    "trouble": "the card was pulled out\x1b[2J",
    "queue": {"alarms": 0, "readings": 0, "messages": 0, "minutes": 0, "mode": "full"},
    "dialect": None,
    "card": None,
    "beams": [],
    "next_slot_s": None,
    "last_feedback": None,
}


def lines(**changes: Any) -> dict[str, str]:
    """Label -> words of the link's block."""
    return {line[:9].strip(): line[11:] for line in slot_lines({**BDS3, **changes})}


def test_the_block_of_a_narrow_link() -> None:
    assert lines() == {
        "card": "4207733, level 3, 77 bytes a message, one in 60 s",
        "terminal": "bds3 at 115200 baud",
        "beams": "3 ▇48  9 ▁30  12 ▅41  and 1 without signal",
        "next slot": "in 23 s",
        "feedback": "sent, 37 s ago",
        "queue": "14 messages, about 15 min: 1 alarm, 1440 readings",
    }


def test_links_shows_the_block_between_the_headline_and_the_counters(tmp_path: Path) -> None:
    answer = {**LINKS, "beidou": BDS3}
    with daemon(tmp_path / "s", {"links": says(answer)}):
        text = ask(tmp_path / "s", "links").stdout
        assert json.loads(ask(tmp_path / "s", "links", "--json").stdout) == answer
    block = text.partition("beidou: up, last receipt 41 s ago\n")[2].splitlines()
    assert block[0] == "  card       4207733, level 3, 77 bytes a message, one in 60 s"
    assert block[-1] == "  mtu_bytes 77  window 1  sent 12  too_early 0"
    assert len(block) == 7
    assert all(width(line) <= 80 for line in block)
    assert "cellular: up, last receipt 3 s ago\n  mtu_bytes 16384\n" in text


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with daemon(tmp_path / "s", {"links": says({"beidou": LOST})}):
        text = ask(tmp_path / "s", "links").stdout
    for part in (
        "beidou: down: looking for the terminal at 19200 baud, no receipt yet",
        r"trouble    the card was pulled out\x1b[2J",
        *("terminal   not found yet", "feedback   none since the gateway started", "queue      empty"),
    ):
        assert part in text
    assert not any(part in text for part in ("card   ", "beams", "next slot"))


def test_a_terminal_without_card_and_sky() -> None:
    block = lines(card=None, beams=[], next_slot_s=None)
    assert (block["card"], block["next slot"]) == ("none seen", "not known")
    assert block["beams"].startswith("no signal; is the antenna connected")


def test_trouble_that_is_why_it_is_down_is_said_once(tmp_path: Path) -> None:
    handlers = {"links": says({"beidou": {**LOST, "why": LOST["trouble"]}})}
    with daemon(tmp_path / "s", handlers):
        text = ask(tmp_path / "s", "links").stdout
    assert text.startswith("beidou: down, no receipt yet\n  trouble    the card was pulled out")
    assert text.count("pulled out") == 1


def test_status_shows_trouble(tmp_path: Path) -> None:
    status = {**STATUS, "links": {"cellular": LINKS["cellular"], "beidou": LOST}}
    with daemon(tmp_path / "s", {"status": says(status)}):
        text = ask(tmp_path / "s", "status").stdout
    assert "link     beidou: down: looking for the terminal" in text
    assert [line for line in text.splitlines() if line.startswith("trouble")] == [
        r"trouble  beidou: the card was pulled out\x1b[2J"
    ]


@pytest.mark.parametrize(
    ("beams", "shown"),
    [
        ([[1, 4], [2, 3], [3, 2], [4, 1], [5, 0]], ["1 █4  2 ▆3  3 ▅2  4 ▃1  and 1 without signal"]),
        ([[1, 99.0]], ["1 █99"]),
        ([[1, 12.0]], ["1 ▁12"]),
        ([[1, 0], [2, 0]], ["no signal; is the antenna connected, and the sky free towards the south?"]),
    ],
)
def test_beams_have_bars_by_what_their_terminal_measures(beams: list[list[float]], shown: list[str]) -> None:
    assert [line[11:] for line in slot_lines({"beams": beams})] == shown


def test_21_beams_fit_a_serial_console() -> None:
    rows = list(slot_lines({"beams": [[number, 30.0 + number] for number in range(1, 22)]}))
    assert len(rows) == -(-21 // BEAMS_IN_ROW)
    assert all(width(f"  {row}") <= 80 for row in rows)
    assert sum(row.count(bar) for row in rows for bar in BARS) == 21


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"mode": "summaries"}, "14 messages, about 15 min: 1 alarm, 1440 readings; more than the slots carry: summar"),
        ({"mode": "alarms only"}, "14 messages, about 15 min: 1 alarm, 1440 readings; alarms only, all else goes by"),
        ({"messages": 1, "minutes": 1, "alarms": 2, "readings": 0}, "1 message, about 1 min: 2 alarms"),
        ({"messages": 9000, "minutes": 9000, "alarms": 0, "readings": 1}, "9000 messages, about 6 days: 1 reading"),
    ],
)
def test_the_queue_in_messages_and_time(changes: dict[str, Any], shown: str) -> None:
    assert lines(queue={**BDS3["queue"], **changes})["queue"].startswith(shown)  # type: ignore[dict-item]


def test_a_slot_that_is_free_and_a_terminal_behind_tcp() -> None:
    block = lines(next_slot_s=0, baud=None, terminal="TD3050 1.2")
    assert (block["next slot"], block["terminal"]) == ("now", "bds3, TD3050 1.2")


@pytest.mark.parametrize(
    ("amount_s", "text"),
    [
        (0, "0 s"),
        (9.3, "9 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (7199, "2 h"),
        (172_799, "2 days"),
        (3e6, "35 days"),
    ],
)
def test_spans_in_the_unit_a_person_would_take(amount_s: float, text: str) -> None:
    assert span(amount_s) == text
