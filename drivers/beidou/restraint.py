"""What follows from the terminal's word on a request: when the next attempt is wise, and what a person must know. Pure.

This is beside the slot clock: a refused request used no slot, and trying again would be allowed, but not wise.

    sent                                   all is well again
    too early                              nothing here: the slot clock believes the wait
    suppressed, silence, no permission     HOLD_S: somebody has ordered it; one attempt, then, shows whether it is over
    low battery                            BATTERY_S
    no card, no signal, refused, damaged   a growing pause, 10 to 60 s

No report tells when an order of silence is over (4.0 flag 8 may mean either), so an attempt has to.
"""

from __future__ import annotations

from math import inf

from drivers.beidou.wire import Outcome

HOLD_S = 600.0  # six attempts an hour bother nobody, and none of them radiates
BATTERY_S = 60.0  # the refusal is the terminal's own and costs nothing
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 60.0  # beams come back within a minute, or not soon
REFUSALS_IN_A_ROW = 5  # then a person is told: something is wrong that waiting does not cure
HELD = {
    Outcome.SUPPRESSED: (HOLD_S, "the satellite system has inhibited this card from sending: ask its operator why"),
    Outcome.SILENT: (HOLD_S, "radio silence is ordered: the terminal sends nothing until it is lifted"),
    Outcome.NO_PERMISSION: (HOLD_S, "the card has no permission for this service: ask its operator"),
    Outcome.LOW_BATTERY: (BATTERY_S, "the terminal's battery is too low to send: check its supply"),
}
REFUSED_WORDS = {
    Outcome.BAD_CHECK: "our commands reach the terminal damaged: check the cable and its ground",
    Outcome.CRYPTO: "the card refuses with a crypto error: ask its operator",
    Outcome.NO_SIGNAL: "no beam is locked when sending: has the antenna a free sky to the south?",
    Outcome.NO_CARD: "the terminal finds no card when sending: does it sit well?",
    Outcome.REFUSED: "the terminal refuses every message without a reason: is limit_bits more than the card may send?",
}
UNANSWERED_WORDS = "the terminal answers no message any more: whether they go out only the province's receipts tell"


class Restraint:
    """When the next attempt is wise. Instants in monotonic seconds."""

    def __init__(self) -> None:
        self.not_before_s = -inf
        self._held: Outcome | None = None
        self._refusals = 0
        self._unanswered = 0
        self._last: Outcome | None = None

    def heard(self, outcome: Outcome, now_s: float) -> None:
        """The terminal's word on a request."""
        self._unanswered = 0
        if outcome is Outcome.TOO_EARLY:
            return
        self._last = outcome
        if outcome in HELD:
            self._held, self._refusals = outcome, 0
            self.not_before_s = now_s + HELD[outcome][0]
        elif outcome in REFUSED_WORDS:
            self.not_before_s = now_s + min(FIRST_PAUSE_S * 2 ** min(self._refusals, 10), LONGEST_PAUSE_S)
            self._refusals += 1
        else:
            self._held, self._refusals, self.not_before_s = None, 0, -inf

    def resized(self) -> None:
        """Smaller messages are tried now: the pause was for larger ones."""
        self.not_before_s = -inf

    def unanswered(self) -> None:
        """A request without any word on it."""
        self._unanswered += 1

    def released(self) -> None:
        """4.0 flag 8: perhaps the order is lifted. The next slot shows it."""
        if self._held is not None:
            self.not_before_s = -inf

    def holds(self, now_s: float) -> bool:
        """Whether an order or the battery forbids an attempt now."""
        return self._held is not None and now_s < self.not_before_s

    @property
    def probing(self) -> bool:
        """Whether it is not known if an order (or the low battery) still holds: the next attempt shows it."""
        return self._held is not None

    @property
    def trouble(self) -> str:
        """What a person must see to; "" for nothing."""
        if self._held is not None:
            return HELD[self._held][1]
        if self._refusals >= REFUSALS_IN_A_ROW and self._last in REFUSED_WORDS:
            return REFUSED_WORDS[self._last]
        return UNANSWERED_WORDS if self._unanswered >= REFUSALS_IN_A_ROW else ""
