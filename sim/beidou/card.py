"""The card in a terminal: who it is, how often it may send and how much. It keeps its period itself: that holds through
resets of the terminal, and goes with the card into another one. Pure: every instant comes from the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from drivers.beidou.wire import LEVEL_BITS, Dialect

COMMANDING_CLASS = 0
BDS3_BITS = 720  # no table by level is known; 180 hexadecimal digits are one maker's cap
HIGHEST_LISTED = 4  # level 5 exists on BDS-3 cards only; no figure for it is known


@dataclass
class Card:
    """One card. `bits`: what a message may hold, where that is not what its level says. `free_s`: the next instant at
    which it sends; -inf for a card that was never used."""

    address: int
    period_s: float = 60.0
    level: int = 3
    user_class: int = 3
    encrypted: bool = False
    bits: int | None = None
    broadcast: int = 0
    free_s: float = -math.inf

    def limit_bits(self, dialect: Dialect) -> int:
        """The most content one message may hold, the mark A4 of mixed content counted."""
        if self.bits is not None:
            return self.bits
        if dialect is Dialect.BDS3:
            return BDS3_BITS
        return LEVEL_BITS[min(self.level, HIGHEST_LISTED), self.encrypted]

    def wait_s(self, now_s: float) -> float:
        """Seconds until it sends again; 0 when it does now."""
        return max(0.0, self.free_s - now_s)

    def use(self, now_s: float) -> None:
        """It sends at this instant."""
        self.free_s = now_s + self.period_s


def commanding(address: int, period_s: float = 1.0, level: int = 3) -> Card:
    """A commanding card, as a province has one: the same with another class and a short period (by contract, 1 s)."""
    return Card(address, period_s, level, COMMANDING_CLASS)
