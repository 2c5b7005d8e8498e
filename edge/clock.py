"""UTC and how far to trust it. The only place of the gateway that reads the wall clock.

A Pi has no clock of its own: after a power cut it may wake in 1970, or an hour off. So UTC is kept as an offset to the
monotonic clock, and the offset says where it came from:

    TRUSTED  the kernel says it is synchronised, or the province told the time in an authenticated, fresh receipt
    FREE     the wall clock is plausible: not before the newest time this gateway has already recorded
    UNKNOWN  the wall clock is before that. `now` then gives milliseconds since boot; what is stamped so is dated
             afterwards, as soon as the time is learnt (`update` returns the offset that dates it)

A wall clock that steps is believed when the kernel calls it synchronised, or while nothing better is known; a TRUSTED
time is not given up for an unconfirmed step (lessons: kura 2563, 2605; weewx 72 in the project's field notes). A word
that is clearly better than what the present time is good for (it wears off) replaces it, without a word where it is
near: a receipt over fibre what a satellite terminal has told.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import NamedTuple

from edge.contract import ClockQuality

BUILT_MS = 1_767_225_600_000  # 2026-01-01: no gateway with this code ran before
TRUST_LASTS_S = 24 * 3600.0  # see DRIFT: 4 s in a day
STEP_MS = 500  # a smaller difference between wall and own time is slewing, followed without a word
LAST_DATE_MS = 253_402_300_799_000  # 9999-12-31: the last day that has four digits
TOLD_STEP_MS = 60_000  # a known time that jumps so far is said: what was stamped before it stays as it is
DRIFT = 50e-6  # of a free-running Pi
BETTER = 2.0  # so many times less uncertain is worth a small step
NTP_UNCERTAINTY_MS = 20.0  # over the public network some 10 ms, and the kernel says less than it knows
MAX_UNCERTAINTY_MS = 5_000  # a receipt that took longer than 10 s both ways says nothing useful of the time
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit Linux; the kernel writes no more
_TIME_ERROR = 5  # ntp_adjtime(3): the clock is not synchronised


def wall_ms() -> int:
    """The wall clock, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def kernel_synchronised() -> bool:
    """Whether the kernel believes its clock is disciplined (NTP, PPS). False where it can not be asked."""
    adjtime = _ntp_adjtime()
    if adjtime is None:
        return False
    return bool(0 <= adjtime(ctypes.create_string_buffer(_TIMEX_BYTES)) < _TIME_ERROR)


@functools.cache
def _ntp_adjtime() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None).ntp_adjtime
    except (OSError, AttributeError):
        return None


def boot_number() -> int:
    """A number that is the same until the next boot, so that monotonic times of one boot can be told from another's."""
    try:
        return int(BOOT_ID.read_text().strip().replace("-", "")[:8], 16)
    except (OSError, ValueError):
        return 0


def on_battery() -> bool:
    """Whether the kernel has set its clock from one that runs on a battery. One whose battery failed is not taken."""
    for said in Path("/sys/class/rtc").glob("rtc*/hctosys"):
        with contextlib.suppress(OSError):
            if said.read_text().strip() == "1":
                return True
    return False


class Stamp(NamedTuple):
    """A time to write down: UTC in ms, or ms since boot when `quality` is UNKNOWN."""

    at_ms: int
    quality: ClockQuality


class Clock:
    """The gateway's time. Production uses the defaults; the simulator hands in its own sources."""

    def __init__(
        self,
        wall_ms: Callable[[], int] = wall_ms,
        monotonic_s: Callable[[], float] = time.monotonic,
        synchronised: Callable[[], bool] = kernel_synchronised,
        boot: int | None = None,
        *,
        on_battery: bool = False,
    ) -> None:
        """`on_battery`: the wall clock goes on while the machine is off."""
        self._wall_ms = wall_ms
        self.monotonic_s = monotonic_s
        self._synchronised = synchronised
        self.boot = boot_number() if boot is None else boot
        self.on_battery = on_battery
        self._floor_ms = BUILT_MS
        self._offset_ms: float | None = None
        self._quality = ClockQuality.UNKNOWN
        self._confirmed_s = float("-inf")
        self._set_s, self._set_uncertainty_ms = 0.0, inf  # when the offset was set, and what it was good for then
        self.source = "nothing yet"
        self._stepped = ""
        self.update()

    @property
    def quality(self) -> ClockQuality:
        return self._quality

    @property
    def offset_ms(self) -> int | None:
        """UTC minus monotonic; None while the time is not known."""
        return None if self._offset_ms is None else round(self._offset_ms)

    def set_floor(self, newest_ms: int) -> None:
        """The newest UTC time the store holds: a wall clock before it is wrong. Call before the first entry is made."""
        self._floor_ms = max(self._floor_ms, newest_ms)
        if self._quality is ClockQuality.FREE and self._now_ms() < self._floor_ms:
            self._offset_ms, self._quality, self.source = None, ClockQuality.UNKNOWN, "nothing yet"
        self.update()

    def now(self) -> Stamp:
        """The present, to stamp with."""
        return Stamp(self._now_ms(), self._quality)

    def wait_s(self, at_ms: int) -> float:
        """Seconds from now until the UTC time `at_ms` (or ms since boot, as `now` gives it); never negative."""
        return max(0.0, at_ms / 1000 - self._now_exact_ms() / 1000)

    def update(self) -> int | None:
        """Looks at the wall clock. Returns the offset (UTC minus monotonic, ms) when UNKNOWN has just ended."""
        wall, mono = self._wall_ms(), self.monotonic_s() * 1000
        if self._quality is ClockQuality.TRUSTED and self.monotonic_s() - self._confirmed_s > TRUST_LASTS_S:
            self._quality = ClockQuality.FREE
        if wall >= BUILT_MS and self._synchronised():
            self._confirmed_s = self.monotonic_s()
            return self._set(wall - mono, ClockQuality.TRUSTED, "the system clock, synchronised", NTP_UNCERTAINTY_MS)
        if wall < self._floor_ms:
            return None
        if self._quality is ClockQuality.TRUSTED:
            return None
        return self._set(wall - mono, ClockQuality.FREE, "the system clock, not confirmed", inf)

    def learn(self, utc_ms: float, uncertainty_ms: float, source: str) -> int | None:
        """An authenticated, fresh word on the time, right within `uncertainty_ms`. Returns as `update` does.

        Believed only where it can improve things: a synchronised kernel knows better than a receipt over a satellite.
        """
        if uncertainty_ms > MAX_UNCERTAINTY_MS or utc_ms < BUILT_MS:
            return None
        if self._quality is ClockQuality.TRUSTED:
            near = abs(utc_ms - self._now_exact_ms()) <= uncertainty_ms + STEP_MS
            synchronised = self._synchronised()
            if near:
                self._confirmed_s = self.monotonic_s()
            if synchronised or (near and uncertainty_ms * BETTER > self._uncertainty_ms()):
                return None
        self._confirmed_s = self.monotonic_s()
        return self._set(utc_ms - self.monotonic_s() * 1000, ClockQuality.TRUSTED, source, uncertainty_ms)

    def _uncertainty_ms(self) -> float:
        """What the present offset is good for by now."""
        return self._set_uncertainty_ms + (self.monotonic_s() - self._set_s) * 1000 * DRIFT

    def stepped(self) -> str:
        """The last jump of a known time, in a sentence for the journal; "" where there was none since the last call."""
        said, self._stepped = self._stepped, ""
        return said

    def _set(self, offset_ms: float, quality: ClockQuality, source: str, uncertainty_ms: float) -> int | None:
        learnt = self._offset_ms is None
        if self._offset_ms is not None and abs(offset_ms - self._offset_ms) >= TOLD_STEP_MS:
            before, now = (_words(self.monotonic_s() * 1000 + offset) for offset in (self._offset_ms, offset_ms))
            said = f"the time was corrected from {before} to {now}, by {source}"
            self._stepped = f"{said}; what was recorded before keeps the time it has"
        self._set_s, self._set_uncertainty_ms = self.monotonic_s(), uncertainty_ms
        self._offset_ms, self._quality, self.source = offset_ms, quality, source
        return round(offset_ms) if learnt else None

    def at_ms(self, monotonic_s: float) -> int:
        """An instant of this boot by what is known of the time now; ms since boot while nothing is."""
        return int(monotonic_s * 1000 + (self._offset_ms or 0.0))

    def _now_exact_ms(self) -> float:
        return self.monotonic_s() * 1000 + (self._offset_ms or 0.0)

    def _now_ms(self) -> int:
        return int(self._now_exact_ms())


def _words(at_ms: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(min(max(at_ms, 0), LAST_DATE_MS) / 1000))
