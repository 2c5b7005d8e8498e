"""Whether a time from the terminal's GNSS receiver may be told to the gateway. Pure.

A receiver without a fix prints whatever its own clock holds. So a time is told only when it and the one before differ
by what the monotonic clock says, and when it is no date before this program (a receiver that counts weeks wrongly is
19.6 years off). The gateway's clock judges once more.
"""

from __future__ import annotations

from math import inf

TELL_EVERY_S = 60.0
UNCERTAINTY_MS = 1000.0  # of a sentence: printed some 100 ms after its second, read in some 100 ms more
EARLIEST_MS = 1_704_067_200_000  # 2024-01-01


class TimeCheck:
    """One receiver's times."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._told_s = -inf

    def tells(self, utc_ms: int | None, now_s: float) -> bool:
        """Whether this time is to be told. `utc_ms` None: the receiver has none."""
        before, self._last = self._last, None if utc_ms is None else (utc_ms, now_s)
        if before is None or utc_ms is None or utc_ms < EARLIEST_MS or now_s - self._told_s < TELL_EVERY_S:
            return False
        if abs((utc_ms - before[0]) - (now_s - before[1]) * 1000) > UNCERTAINTY_MS:
            return False
        self._told_s = now_s
        return True
