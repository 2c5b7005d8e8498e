"""How many packets may be on the way at once, learnt from how long their acknowledgements take. Pure: no clock, no I/O.

An alarm cannot overtake what TCP already holds, so the bytes ahead of it must stay few. Latency above the lowest seen
is time spent queueing behind our own bulk: past a bound the window shrinks by a quarter (once a round trip), far past
it by half, and when a full window comes back promptly it grows by one. Starts small, because the first packets on an
unknown link may be the ones in an alarm's way.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 2  # keeps the link busy while the first latency is measured, and no more
QUEUE_HIGH_S = 0.5  # our own bulk may hold an alarm up this long; the promise is a minute from limit to province
QUEUE_FAR_S = 2.0  # the link got slower by far, as in rain: a quarter at a time would take minutes
QUEUE_LOW_S = 0.25  # below this the link is not the limit: the window is
FLOOR_AGE_S = 300.0  # a route may change to a longer one: the lowest latency is forgotten after one to two of these


@dataclass(frozen=True, slots=True)
class Flight:
    """One packet on the way: when it left (monotonic seconds), and whether it filled the window."""

    at_s: float
    full: bool


class Window:
    """`size` packets may be on the way, 1..`most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.restart()

    def restart(self) -> None:
        """A new connection: what was learnt of the old path no longer holds."""
        self.size = min(START, self.most)
        self.in_flight = 0
        self._floors = [float("inf"), float("inf")]  # lowest latency of the present and of the last period
        self._period_end_s: float | None = None
        self._shrunk_at_s = float("-inf")

    @property
    def floor_s(self) -> float:
        """The lowest latency seen lately: the path without our own queue."""
        return min(self._floors)

    def sent(self, now_s: float) -> Flight:
        """A packet leaves."""
        self.in_flight += 1
        return Flight(now_s, full=self.in_flight >= self.size)

    def lost(self, _flight: Flight) -> None:
        """Its outcome is not known and no longer awaited: nothing is learnt."""
        self.in_flight -= 1

    def timed_out(self, flight: Flight, now_s: float) -> None:
        """No acknowledgement in the longest time allowed: the slowest answer there is."""
        self.in_flight -= 1
        self._shrink(flight, now_s, 2)

    def acknowledged(self, flight: Flight, now_s: float) -> None:
        """Its acknowledgement came."""
        self.in_flight -= 1
        latency_s = now_s - flight.at_s
        self._remember(latency_s, now_s)
        queue_s = latency_s - self.floor_s
        if queue_s > QUEUE_HIGH_S:
            self._shrink(flight, now_s, 2 if queue_s > QUEUE_FAR_S else 4)
        elif queue_s < QUEUE_LOW_S and flight.full:
            self.size = min(self.size + 1, self.most)

    def _shrink(self, flight: Flight, now_s: float, part: int) -> None:
        if flight.at_s <= self._shrunk_at_s:
            return  # it left before the window last shrank, and says nothing of the smaller window
        self._shrunk_at_s = now_s
        self.size = max(self.size - max(self.size // part, 1), 1)

    def _remember(self, latency_s: float, now_s: float) -> None:
        if self._period_end_s is None or now_s >= self._period_end_s:
            self._period_end_s = now_s + FLOOR_AGE_S
            self._floors = [float("inf"), self._floors[0]]
        self._floors[0] = min(self._floors[0], latency_s)
