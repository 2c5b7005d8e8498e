"""Whether the province may know nothing of us (any more), as seen from a way with slots. Pure.

A province that has lost what it knew can read neither the short form of a packet nor an alarm that needs its sheet, and
can not say so. So an alarm that was said SHORT_TRIES times so that only who knows us reads it, without an answer, is
next said so that anybody can, and so on; after a silence it begins with that, and where no alarm goes, a packet that
anybody can read asks for an answer. Counted for each alarm: one answer that is late, or a message lost, changes
nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from math import inf
from typing import NamedTuple

SHORT_TRIES = 2  # the answer to the first is often on the way yet, or the first was lost: the second is as small
# The province answers twelve packets, or those of twelve minutes (sim/ground_beidou.py): then an answer is overdue.
SILENT_SLOTS, SILENT_S = 15, 900.0
MOST_DOUBLINGS = 2  # of the pause between two questions that nobody answers: up to an hour of slots


class Said(NamedTuple):
    """How an alarm was said since the last answer: in the packet `counter` last, and so often one after the other so
    that only who knows us can read it."""

    counter: int
    short: int


class Doubt:
    """Instants in monotonic seconds; alarms by seq."""

    def __init__(self) -> None:
        self._unanswered_s: float | None = None  # since when packets have left without an answer
        self._asked_s = self._asked_before_s = -inf
        self._questions = 0  # without an answer
        self._said: dict[int, Said] = {}
        self._said_before: dict[int, Said] = {}

    def renew(self) -> None:
        """The store has changed: what was told of it is not waited for."""
        self._said, self._said_before = {}, {}

    # -- what happens --------------------------------------------------------------------------------------------

    def told(self, counter: int, seqs: Iterable[int], *, plain: bool) -> None:
        """Alarms leave."""
        self._said_before = dict(self._said)
        for seq in seqs:
            said = self._said.get(seq)
            self._said[seq] = Said(counter, 0 if plain else 1 + (said.short if said else 0))

    def not_told(self) -> None:
        """They did not."""
        self._said = self._said_before

    def asked(self, now_s: float) -> None:
        """A packet that asks for an answer leaves."""
        self._asked_s, self._asked_before_s = now_s, self._asked_s
        self._questions += 1

    def not_asked(self) -> None:
        """It did not."""
        self._asked_s = self._asked_before_s
        self._questions = max(0, self._questions - 1)

    def sent(self, now_s: float) -> None:
        """Some packet has left."""
        self._unanswered_s = now_s if self._unanswered_s is None else self._unanswered_s

    def answered(self, echo: int | None, alarms: Container[int]) -> None:
        """A receipt has come, for packets up to this counter. `alarms`: those that still wait."""
        self._unanswered_s, self._questions = None, 0
        answered = -1 if echo is None else echo
        self._said = {seq: it for seq, it in self._said.items() if seq in alarms and it.counter > answered}

    # -- what follows --------------------------------------------------------------------------------------------

    def speaks_plain(self, seq: int, now_s: float, slot_s: float) -> bool:
        """Whether this alarm is to be said so that anybody can read it."""
        said = self._said.get(seq)
        if said is not None:
            return said.short >= SHORT_TRIES
        return self._is_silent(-inf, SILENT_SLOTS, SILENT_S, now_s, slot_s)

    def asks(self, now_s: float, slot_s: float) -> bool:
        """Whether a packet is to ask for an answer."""
        times = 2 ** min(self._questions, MOST_DOUBLINGS)
        return self._is_silent(self._asked_s, times * SILENT_SLOTS, times * SILENT_S, now_s, slot_s)

    def _is_silent(self, asked_s: float, slots: int, least_s: float, now_s: float, slot_s: float) -> bool:
        since_s = self._unanswered_s
        return since_s is not None and now_s - max(asked_s, since_s) > max(slots * slot_s, least_s)
