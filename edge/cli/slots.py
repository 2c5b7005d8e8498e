"""A narrow link in words: card, terminal, beams, next slot, last feedback, queue. Knows keys of a link's health, no
terminal; a key that is not there is no line.

    card       1234567, level 3, 77 bytes a message, one in 60 s
    terminal   bds3 at 115200 baud
    beams      3 █48  7 ▆42  9 ▃35  and 18 without signal
    next slot  in 23 s
    feedback   sent, 37 s ago
    queue      12 messages, about 14 min: 1 alarm, 118 readings
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge.cli.show import printable, span

BARS = "▁▂▃▄▅▆▇█"
STEPS_MOST = 4  # terminals before BDS-3 give a beam's power in steps of 0 to 4 (2.1 and 4.0: BSI, ZJXX) ...
LEAST_DBHZ, MOST_DBHZ = 30.0, 50.0  # ... BDS-3 gives C/N0: below 30 nothing is heard, 40 is enough, 50 is a clear sky
BEAMS_IN_ROW = 8  # of at most 8 columns each: with the label 80
MODES = {
    "full": "",
    "summaries": "; more than the slots carry: summaries go, every reading follows on a wider link",
    "alarms only": "; alarms only, all else goes by a wider link",
}
SHOWN = frozenset(
    ("slot_s", "trouble", "queue", "card", "terminal", "dialect", "baud", "beams", "next_slot_s", "last_feedback")
)
LABEL_WIDTH = 9


def slot_lines(link: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one link; none for a link without slots. `link`: its part of the daemon's answer to `links`."""
    if "dialect" in link and not link["dialect"]:
        yield _line("terminal", "not found yet")  # so nothing is known of card, beams and slot
    else:
        yield from _terminal_lines(link)
    if "last_feedback" in link:
        feedback = link["last_feedback"]
        words = f"{feedback['what']}, {span(feedback['age_s'])} ago" if feedback else "none since the gateway started"
        yield _line("feedback", words)
    if link.get("queue"):
        yield _line("queue", _queue(link["queue"]))


def _terminal_lines(link: Mapping[str, Any]) -> Iterator[str]:
    """What the terminal says of itself."""
    if "card" in link:
        yield _line("card", _card(link))
    if "dialect" in link:
        yield _line("terminal", _terminal(link))
    if "beams" in link:
        yield from _beams(link["beams"])
    if "next_slot_s" in link:
        yield _line("next slot", _next_slot(link["next_slot_s"]))


def _line(label: str, words: str) -> str:
    return printable(f"{label:{LABEL_WIDTH}}  {words}")


def _card(link: Mapping[str, Any]) -> str:
    card = link["card"]
    if not card:
        return "none seen"
    return (
        f"{card['address']}, level {card['level']}, {link['mtu_bytes']} bytes a message, one in {card['period_s']:g} s"
    )


def _terminal(link: Mapping[str, Any]) -> str:
    baud = f" at {link['baud']} baud" if link.get("baud") else ""
    version = f", {link['terminal']}" if link.get("terminal") else ""
    return f"{link['dialect']}{baud}{version}"


def _beams(beams: list[list[float]]) -> Iterator[str]:
    heard = [(number, strength) for number, strength in beams if strength > 0]
    if not heard:
        yield _line("beams", "no signal; is the antenna connected, and the sky free towards the south?")
        return
    scale = _by_step if max(strength for _, strength in heard) <= STEPS_MOST else _by_dbhz
    shown = [f"{number} {scale(strength)}{strength:.0f}" for number, strength in heard]
    if len(heard) < len(beams):
        shown.append(f"and {len(beams) - len(heard)} without signal")
    for start in range(0, len(shown), BEAMS_IN_ROW):
        yield _line("" if start else "beams", "  ".join(shown[start : start + BEAMS_IN_ROW]))


def _by_step(strength: float) -> str:
    return BARS[round(strength / STEPS_MOST * (len(BARS) - 1))]


def _by_dbhz(strength: float) -> str:
    share = (strength - LEAST_DBHZ) / (MOST_DBHZ - LEAST_DBHZ)
    return BARS[round(min(1.0, max(0.0, share)) * (len(BARS) - 1))]


def _next_slot(next_slot_s: float | None) -> str:
    if next_slot_s is None:
        return "not known"
    return f"in {span(next_slot_s)}" if next_slot_s > 0 else "now"


def _queue(queue: Mapping[str, Any]) -> str:
    parts = [_count(queue[kind], kind[:-1]) for kind in ("alarms", "readings") if queue[kind]]
    if not parts and not queue["messages"]:
        return "empty"
    what = f": {', '.join(parts)}" if parts else ""
    messages = _count(queue["messages"], "message")
    minutes = queue["minutes"]
    if minutes is None:
        return f"{messages}, when the link is back{what}{MODES.get(queue['mode'], '')}"
    time = span(minutes * 60) if minutes > 1 else f"{minutes} min"
    return f"{messages}, about {time}{what}{MODES.get(queue['mode'], '')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
