"""How large a message the card takes, learnt from refusals where nobody has said it right. Pure.

A terminal gives no reason when a message is too long for its card, and the limit of a BDS-3 card stands in no table. So
ENOUGH refusals without a reason of packets of one size make the next smaller size be tried: a small alarm that goes out
counts for more than a large packet that does not. What is learnt holds only when a smaller message has then gone out;
if none does, the size was not the reason, and all is as before. A larger one is tried again every AGAIN_S: one refusal
of it changes nothing.
"""

from __future__ import annotations

from math import inf

from drivers.beidou.wire import SIZES_BITS, mixed_bytes, smaller_bits

ENOUGH = 3  # one refusal may have any reason; three pause half a minute together
AGAIN_S = 3600.0  # a wrong conclusion lasts no longer; a right one costs one refusal, 10 s, in so long

TRIAL_S = 600.0  # nothing sent and nothing refused at a new size for so long: perhaps nothing fits into it


class SizeLimit:
    """What was learnt of one card. `bits`: of one message, in force now; `known`: what holds, to be remembered; None:
    nothing was learnt."""

    def __init__(self, known: int | None = None, now_s: float = -inf) -> None:
        self.bits = self.known = known
        self._refused = 0
        self._largest_bytes = 0  # of what was refused
        self._again_s = now_s + AGAIN_S
        self._lapses_s = inf  # what is tried, and can not be decided for want of packets

    def within(self, bits: int) -> int:
        """`bits`, by the word of the terminal or the site file, or less."""
        return bits if self.bits is None else min(bits, self.bits)

    def sent(self, packet_bytes: int, now_s: float) -> None:
        """A packet went out."""
        if packet_bytes >= self._largest_bytes:
            self._refused = self._largest_bytes = 0
        tried_larger = self.known is not None and (self.bits or inf) > self.known
        if self.bits != self.known and (not tried_larger or packet_bytes > mixed_bytes(self.known or 0)):
            self.known, self._again_s = self.bits, now_s + AGAIN_S

    def refused(self, packet_bytes: int, now_s: float) -> bool:
        """A packet was refused without a reason, under a good beam. Whether smaller ones are to be tried at once."""
        if self.known is not None and packet_bytes > mixed_bytes(self.known):
            self.bits, self._again_s = self.known, now_s + AGAIN_S
            return True
        self._refused += 1
        self._largest_bytes = max(self._largest_bytes, packet_bytes)
        if self._refused < ENOUGH:
            return False
        smaller = smaller_bits(self._largest_bytes)
        self._refused = self._largest_bytes = 0
        self._try(self.known if smaller is None else smaller, now_s)
        return smaller is not None

    def passes(self, now_s: float) -> None:
        """Time passes: more than what is known may be tried once more; a trial without a result ends."""
        if self.bits != self.known:
            if now_s >= self._lapses_s:
                self.bits, self._again_s = self.known, now_s + AGAIN_S
        elif self.known is not None and now_s >= self._again_s:
            larger = [bits for bits in SIZES_BITS if bits > (self.known or 0)]
            self._try(larger[-1] if larger else None, now_s)

    def _try(self, bits: int | None, now_s: float) -> None:
        self.bits, self._lapses_s = bits, now_s + TRIAL_S

    def trouble(self, bits: int) -> str:
        """What a person must know; "" for nothing. `bits`: by the word of the terminal or the site file."""
        if self.known is None or self.known >= bits:
            return ""
        return (
            f"the card takes no message of {bits} bit (refused without a reason): packets are kept to "
            f"{mixed_bytes(self.known)} bytes. If its contract says so: limit_bits = {self.known} in the site file"
        )
