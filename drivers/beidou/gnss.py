"""Whether a time from the terminal's GNSS receiver may be told to the gateway. Pure.

A receiver without a fix prints whatever its own clock holds, and the text of somebody's message may look like one of
its sentences. So a time is told only when it and an earlier one, from some seconds before, differ by what the monotonic
clock says; when it is no date before this program (a receiver that counts weeks wrongly is 19.6 years off); and, while
the gateway is sure of its own time, when it is that time, or has stood against it for minutes without a break. The
gateway's clock judges once more.
"""

from __future__ import annotations

from math import inf

TELL_EVERY_S = 60.0
APART_S = 5.0  # two times that come together are one piece of evidence
UNCERTAINTY_MS = 1000.0  # of a sentence: printed some 100 ms after its second, read in some 100 ms more
JUMP_MS = 5000  # from a time that is trusted: more than that may drift and more than a leap second
PERSIST_S = 300.0  # so long without one sentence of another time: then the gateway's own may be wrong
EARLIEST_MS = 1_704_067_200_000  # 2024-01-01


class TimeCheck:
    """One receiver's times."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._since_s = -inf  # since when they have all agreed
        self._told_s = -inf

    def tells(self, utc_ms: int | None, now_s: float, trusted_ms: int | None) -> bool:
        """Whether this time is to be told. `utc_ms` None: the receiver has none; `trusted_ms`: the gateway's own time,
        None while that is not known for sure."""
        if utc_ms is None or self._last is None:
            self._begin(utc_ms, now_s)
            return False
        apart_s = now_s - self._last[1]
        if abs((utc_ms - self._last[0]) - apart_s * 1000) > UNCERTAINTY_MS:
            self._begin(utc_ms, now_s)
            return False
        if apart_s < APART_S:
            return False
        self._last = utc_ms, now_s
        if utc_ms < EARLIEST_MS or now_s - self._told_s < TELL_EVERY_S:
            return False
        jumps = trusted_ms is not None and abs(utc_ms - trusted_ms) > JUMP_MS
        if jumps and now_s - self._since_s < PERSIST_S:
            return False
        self._told_s = now_s
        return True

    def _begin(self, utc_ms: int | None, now_s: float) -> None:
        self._last = None if utc_ms is None else (utc_ms, now_s)
        self._since_s = now_s
