"""What the link tells of its terminal: points to watch (`read` of the site file -> a value of now), health. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drivers.beidou.terminal import Terminal
from drivers.beidou.wire import Outcome, Position

BEAM = "beam-"
NO_ANSWER_CODE = 20  # "feedback" of a message that got none
FEEDBACK_CODES = {
    Outcome.SENT: 0,
    Outcome.TOO_EARLY: 1,
    Outcome.SUPPRESSED: 2,
    Outcome.SILENT: 3,
    Outcome.LOW_BATTERY: 4,
    Outcome.NO_CARD: 5,
    Outcome.NO_SIGNAL: 6,
    Outcome.NO_PERMISSION: 7,
    Outcome.BAD_CHECK: 8,
    Outcome.CRYPTO: 9,
    Outcome.REFUSED: 10,
    Outcome.RELEASED: 11,
}

_POSITION: dict[str, Callable[[Position], float | None]] = {
    "latitude": lambda position: position.lat_deg,
    "longitude": lambda position: position.lon_deg,
    "height": lambda position: position.height_m,
    "satellites": lambda position: position.satellites,
}


def value(read: str, terminal: Terminal, now_s: float) -> float | None:
    """A value no older than the terminal's reports may be; None: not told (lately). Units: README, points."""
    if read == "card":
        there = terminal.card_there(now_s)
        return None if there is None else float(there)
    if read == "battery":
        return terminal.battery_percent(now_s)
    if read in _POSITION:
        position = terminal.position(now_s)
        return None if position is None else _POSITION[read](position)
    if not terminal.beams_known(now_s):
        return None
    if read == "signal":
        return max((beam.strength for beam in terminal.beams), default=0.0)
    if read == "beams":
        return terminal.good_beams
    wanted = int(read.removeprefix(BEAM))
    return next((beam.strength for beam in terminal.beams if beam.id == wanted), 0.0)


def told(terminal: Terminal | None, period_s: float) -> Mapping[str, Any]:
    """What the terminal is, for `health`; JSON types only."""
    if terminal is None:
        return {"dialect": None, "terminal": None, "card": None, "beams": []}
    card = None
    if terminal.card is not None and terminal.address is not None:
        card = {
            "address": terminal.address,
            "level": terminal.card.level,
            "period_s": period_s,
            "class": terminal.card.user_class,
            "bits": terminal.bits,
        }
    return {
        "dialect": terminal.dialect.value,
        "terminal": terminal.version,
        "card": card,
        "beams": [[beam.id, beam.strength] for beam in terminal.beams],
    }


def code(outcome: Outcome | None) -> int:
    """The last feedback as a value to watch; None: a message got none."""
    return NO_ANSWER_CODE if outcome is None else FEEDBACK_CODES[outcome]


def words(outcome: Outcome | None) -> str:
    """The last feedback in words."""
    return "no answer" if outcome is None else outcome.value
