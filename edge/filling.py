"""How long the store still has room: hours until folding starts, and until readings would be lost. Pure.

By the growth of the last hour, from a sample each few minutes. Once folding has begun, what grows without end are the
summaries of an hour: loss is as far away as the quota holds of these.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edge.fold import FOLD_AT
from edge.outbox_room import ALARM_RESERVE

SAMPLE_EVERY_S = 300.0
SAMPLES = 13  # an hour of them
LEAST_S = 600.0  # of growth before anything is said of it
HOUR_BYTES_A_POINT = 6.0  # of an hour's summary in the store: 5.5 measured with recorded series, the rows included
H_S = 3600.0


@dataclass(frozen=True, slots=True)
class Room:
    """Hours at the present rate; None: the store does not fill, or not long enough is known. `folding`: it is full
    enough for that now."""

    folding: bool
    folding_in_h: float | None
    loss_in_h: float | None


@dataclass(slots=True)
class Filling:
    """Fed with the bytes used after each commit."""

    _samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    _last: tuple[float, int] = (0.0, 0)

    def note(self, now_s: float, used_bytes: int) -> None:
        self._last = now_s, used_bytes
        if not self._samples or now_s - self._samples[-1][0] >= SAMPLE_EVERY_S:
            self._samples.append((now_s, used_bytes))

    def room(self, used_bytes: int, quota_bytes: int, points: int) -> Room:
        """`points`: of the site."""
        to_fold_bytes = FOLD_AT * quota_bytes - used_bytes
        first_s, first_bytes = self._samples[0] if self._samples else self._last
        over_s = self._last[0] - first_s
        grown_bytes = self._last[1] - first_bytes
        if to_fold_bytes > 0 and (over_s < LEAST_S or grown_bytes <= 0):
            return Room(False, None, None)
        hours_bytes = quota_bytes * (1 - ALARM_RESERVE) / max(1.0, points * HOUR_BYTES_A_POINT)
        if to_fold_bytes <= 0:
            return Room(True, 0.0, hours_bytes)
        folding_in_h = to_fold_bytes / (grown_bytes / over_s) / H_S
        return Room(False, round(folding_in_h, 1), round(folding_in_h + hours_bytes))
