"""The words by which a running simulation is changed: one command a line, each answered by one line, "ok" or what is
wrong with it. Pure, save that it changes the models.

    NAME beams|fix on|off       whether it sees any satellite; whether its GNSS receiver has a fix
    NAME card in|out            the card it had; a card out keeps its period
    NAME inhibit|silence|low_battery|mute on|off    by the system; radio silence; so said; its serial line is dead
    NAME reset                  it starts again, in whatever it was doing
    NAME fault KIND CHANCE      of each send request: deaf no_feedback late twice lies reset noise slow
    NAME fade MEAN_S            all beams lost for 90 s, every so often on average; 0 for never
    NAME clear                  no more faults and fading
    NAME counts                 ok requests=3 over_rate=0 radiated=3 resets=0
    loss|duplicate|reorder CHANCE        of each message, on its way between terminals
    delay FROM_S TO_S
"""

from __future__ import annotations

import math

from sim.beidou.card import Card
from sim.beidou.satellite import Air
from sim.beidou.terminal import Terminal
from sim.beidou.trouble import CHANCES

FLAGS = {"inhibit": "inhibited", "silence": "silenced", "low_battery": "low_battery", "mute": "muted"}
SKY_CHANCES = ("loss", "duplicate", "reorder")
ON = {"on": True, "off": False}


class Control:
    """Obeys commands for the terminals of `air`."""

    def __init__(self, air: Air) -> None:
        self._air = air
        self._cards_out: dict[str, Card] = {}

    def obey(self, text: str, now_s: float) -> str:
        """Carries out one command; "ok", perhaps with figures, or a sentence."""
        words = text.split()
        try:
            if words and words[0] in self._air.terminals:
                said = self._terminal(words[0], words[1], words[2:], now_s)
            else:
                said = self._satellite(words[0], [float(word) for word in words[1:]])
        except (IndexError, KeyError, ValueError):
            names = "|".join(self._air.terminals)
            return f"not understood: {text.strip()!r}; the head of sim/beidou/control.py has the words; names: {names}"
        self._air.advance(now_s)
        return said

    def _satellite(self, what: str, numbers: list[float]) -> str:
        satellite = self._air.satellite
        if what == "delay":
            from_s, to_s = numbers
            satellite.delay_s = (from_s, to_s)
        elif what in SKY_CHANCES:
            (chance,) = numbers
            setattr(satellite, what, _chance(chance))
        else:
            raise KeyError(what)
        return "ok"

    def _terminal(self, name: str, what: str, rest: list[str], now_s: float) -> str:
        terminal = self._air.terminals[name]
        if what in ("reset", "clear", "counts"):
            if rest:
                raise ValueError(rest)
            return self._bare(terminal, what, now_s)
        if what == "fault":
            kind, chance = rest
            if kind not in CHANCES:
                raise KeyError(kind)
            setattr(terminal.trouble, kind, _chance(float(chance)))
            return "ok"
        (word,) = rest
        if what == "card":
            self._move_card(name, {"in": True, "out": False}[word])
        elif what == "fade":
            terminal.trouble.fade_every_s = float(word) or math.inf
        elif what == "beams":
            terminal.sky.shaded = not ON[word]
        elif what == "fix":
            terminal.sky.has_fix = ON[word]
        else:
            setattr(terminal, FLAGS[what], ON[word])
        return "ok"

    def _bare(self, terminal: Terminal, what: str, now_s: float) -> str:
        if what == "reset":
            terminal.reset(now_s)
        elif what == "clear":
            terminal.trouble.clear()
        else:
            return _counts(terminal)
        return "ok"

    def _move_card(self, name: str, put_in: bool) -> None:
        terminal = self._air.terminals[name]
        if put_in and terminal.card is None:
            terminal.card = self._cards_out.pop(name, None)
        elif not put_in and terminal.card is not None:
            self._cards_out[name], terminal.card = terminal.card, None


def _chance(number: float) -> float:
    if not 0 <= number <= 1:
        raise ValueError(number)
    return number


def _counts(terminal: Terminal) -> str:
    return (
        f"ok requests={len(terminal.requests)} over_rate={terminal.over_rate} radiated={len(terminal.radiated)} "
        f"resets={terminal.resets}"
    )
