"""Whether the province may know nothing of us (any more), as seen from a way with slots. Pure.

A province that has lost what it knew can read neither the short form of a packet nor an alarm that needs its sheet, and
can not say so. So of alarms that nobody has answered each second message speaks for itself; after SILENT_SLOTS without
any answer the first does, and where no alarm goes, a packet that anybody can read asks for an answer.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

SILENT_SLOTS = 15  # the province answers twelve packets, or those of twelve minutes: then an answer is overdue


class Spoken(NamedTuple):
    """A packet of alarms. `plain`: a province that knows nothing of us can read it."""

    counter: int
    plain: bool


class Doubt:
    """Instants in monotonic seconds."""

    def __init__(self) -> None:
        self._unanswered_s: float | None = None  # since when packets have left without an answer
        self._asked_s = -inf
        self._told: Spoken | None = None  # the last alarms, until they are answered
        self._told_before: Spoken | None = None

    def renew(self) -> None:
        """The store has changed: what was told of it is not waited for."""
        self._told = self._told_before = None

    # -- what happens --------------------------------------------------------------------------------------------

    def told(self, counter: int, *, plain: bool) -> None:
        """Alarms leave."""
        self._told, self._told_before = Spoken(counter, plain), self._told

    def not_told(self) -> None:
        """They did not."""
        self._told = self._told_before

    def asked(self, now_s: float) -> None:
        """A packet that asks for an answer leaves. -inf: it did not."""
        self._asked_s = now_s

    def sent(self, now_s: float) -> None:
        """Some packet has left."""
        self._unanswered_s = now_s if self._unanswered_s is None else self._unanswered_s

    def answered(self, echo: int | None) -> None:
        """A receipt has come, for packets up to this counter."""
        self._unanswered_s = None
        if self._told is not None and echo is not None and echo >= self._told.counter:
            self._told = None

    # -- what follows --------------------------------------------------------------------------------------------

    def speaks_plain(self, now_s: float, slot_s: float) -> bool:
        """Whether the next alarms are to speak for themselves."""
        return self._is_silent(-inf, now_s, slot_s) if self._told is None else not self._told.plain

    def asks(self, now_s: float, slot_s: float) -> bool:
        """Whether a packet is to ask for an answer."""
        return self._is_silent(self._asked_s, now_s, slot_s)

    def _is_silent(self, asked_s: float, now_s: float, slot_s: float) -> bool:
        since_s = self._unanswered_s
        return since_s is not None and now_s - max(asked_s, since_s) > SILENT_SLOTS * slot_s
