"""When the card may send again. Pure: every instant is given by the caller; what is saved is a value.

A card takes one request (message, fix or poll) in a period, and a request before its end is refused and counts against
the site. So the next instant belongs to the card, not to this process: it is saved before each request as if that went
out, at the latest possible moment, and restored at the start:

    same boot                         exactly, the monotonic clock went on
    other boot, UTC known both times  by UTC
    else                              the whole time that was reserved then, from now on
    nothing saved, another card       one whole reserve from now on

What is restored counts for one whole reserve of the card's period at most, and a record that fails its checksum for
none: a damaged one may not hold an alarm.

The countdown starts at the terminal's feedback, with MARGIN_S on top (as in LXTTTTTT/BDSDK). A wait the terminal names
is believed, but not one much longer than the card's period: it would be a misprint, or somebody's text message that
looks like a feedback, and may not silence a site. One named with a success counts not below what is left of the period
since the request was written: a burst cannot have been before that. Periods above MOST_PERIOD_S are not believed.
"""

from __future__ import annotations

import math
import zlib

import msgspec

from drivers.beidou.wire import SIZES_BITS

MARGIN_S = 2.0  # terminals' timers are off by up to 2 s, LXTTTTTT/BDSDK waits period + 2 s
FEEDBACK_S = 15.0  # how long a terminal may take to answer (DM229 and TD3050 drivers): it may radiate as late
SAVE_S = 2.0  # so long the gateway's memory may take to be on the disk, before the request is written
MOST_PERIOD_S = (
    600.0  # civil cards have 30 to 60 s; 9999.0 and 65535 are what terminals print that have not read theirs
)
UTC_MARGIN_MS = 5000  # two trusted UTC times before and after a boot agree better than this
DEFAULT_PERIOD_S = 60.0  # of a civil card (patent CN105743616A), while none is known
LONGEST_RESERVE_S = SAVE_S + FEEDBACK_S + MOST_PERIOD_S + MARGIN_S  # nothing that was saved can be more
EPOCH_END_MS = 2**53
CHECK_BYTES = 8  # CRC-32 of the record, in hexadecimal digits before it


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives the process: the slot of `card`, the card the province knows (`home`), how the terminal was found,
    what one message on `card` may hold as refusals have taught (`bits`, None for nothing).

    `next_s` in monotonic seconds of this boot, `utc_ms` the same instant, `reserve_s` its distance when it was saved.
    """

    boot: int
    next_s: float
    utc_ms: int | None
    reserve_s: float
    card: int | None
    home: int | None
    baud: int | None
    dialect: str
    bits: int | None = None


def load(data: bytes) -> Saved | None:
    """What `dump` made; None for anything that is not."""
    record = data[CHECK_BYTES:]
    if data[:CHECK_BYTES] != _check(record):
        return None
    try:
        saved = msgspec.json.decode(record, type=Saved)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    sane = math.isfinite(saved.next_s) and 0 <= saved.reserve_s < math.inf
    sane = sane and saved.bits in (None, *SIZES_BITS)
    return saved if sane and abs(saved.utc_ms or 0) < EPOCH_END_MS else None


def dump(saved: Saved) -> bytes:
    """Bytes for `contract.Memory`."""
    record = msgspec.json.encode(saved)
    return _check(record) + record


def _check(record: bytes) -> bytes:
    return b"%08x" % zlib.crc32(record)


def remaining_s(saved: Saved, boot: int, now_s: float, utc_now_ms: int | None) -> float:
    """Seconds from now to the slot that was saved: never fewer than are truly left, never more than were reserved."""
    most_s = min(max(saved.reserve_s, 0.0), LONGEST_RESERVE_S)
    if saved.boot == boot:
        return min(max(saved.next_s - now_s, 0.0), most_s)
    if saved.utc_ms is not None and utc_now_ms is not None:
        return min(max((saved.utc_ms + UTC_MARGIN_MS - utc_now_ms) / 1000, 0.0), most_s)
    return most_s


class SlotClock:
    """The next instant at which the card in the terminal may be asked to radiate. Monotonic seconds.

    Two things hold it back: the card's period since the last burst (at the latest moment it may have been), and what
    the terminal, or an earlier process, has said.
    """

    def __init__(self, period_s: float = DEFAULT_PERIOD_S) -> None:
        self.period_s = period_s
        self.trouble = ""  # of the period, as the card tells it
        self._burst_s = -math.inf
        self._before_s = -math.inf  # `_burst_s` before the request that is on the way
        self._asked_s = -math.inf  # when the last request was written
        self._said_s = -math.inf  # not before this, whatever the period

    @property
    def next_s(self) -> float:
        """The instant; -inf when nothing holds the card back."""
        return max(self._burst_s + self.period_s + MARGIN_S, self._said_s)

    @property
    def reserve_s(self) -> float:
        """The most that may pass from the writing of a request until the next is allowed."""
        return FEEDBACK_S + self.period_s + MARGIN_S

    @property
    def longest_wait_s(self) -> float:
        """The longest wait that is believed."""
        return max(self.period_s, DEFAULT_PERIOD_S) + MARGIN_S

    def unknown(self, now_s: float) -> None:
        """Nobody knows when this card was used last: somebody may have asked it to send just now."""
        self._burst_s = self._before_s = max(self._burst_s, now_s + FEEDBACK_S)

    def restored(self, next_s: float, now_s: float) -> None:
        """Goes on where an earlier process left off. No burst and no wait of its time can hold for longer than a whole
        reserve from now, whatever was saved."""
        self._said_s = max(self._said_s, min(next_s, now_s + FEEDBACK_S + self.longest_wait_s))

    def other_card(self) -> None:
        """Its period is not that of the one before."""
        self.period_s = DEFAULT_PERIOD_S

    def card_period(self, period_s: float) -> None:
        """The card's period as it says; what was sent last counts for the new one. 0: it says none."""
        if period_s > MOST_PERIOD_S:
            self.trouble = (
                f"the card tells a period of {period_s:.0f} s, which cannot be: {self.period_s:g} s is kept "
                "(is the card well in? Switch the terminal off and on)"
            )
            return
        self.trouble = ""
        if period_s > 0:
            self.period_s = period_s

    def asked(self, now_s: float) -> None:
        """A request is about to be written. Until its feedback says otherwise, it radiates as late as can be."""
        self._asked_s, self._before_s = now_s, self._burst_s
        self._burst_s = max(self._burst_s, now_s + FEEDBACK_S)

    def sent(self, now_s: float, wait_s: float | None) -> None:
        """The terminal says the request went out, and perhaps how long the next has to wait."""
        self._burst_s = self._asked_s if wait_s else now_s
        if wait_s:
            self._say(now_s, wait_s)

    def refused(self) -> None:
        """It surely did not go out: as before."""
        self._burst_s = self._before_s

    def too_early(self, now_s: float, wait_s: float | None) -> None:
        """The terminal names the rest of the period; 0 or None: it does not say, so the whole."""
        self._burst_s = self._before_s
        self._say(now_s, wait_s or self.period_s)

    def noted(self, now_s: float, *, sent: bool, wait_s: float | None) -> None:
        """A feedback that belongs to no request on the way (late, doubled, imitated): it can only move the slot back,
        and by one reserve at most."""
        if sent or wait_s:
            self._say(now_s, min(wait_s or self.period_s, self.reserve_s - MARGIN_S))

    def _say(self, now_s: float, wait_s: float) -> None:
        self._said_s = max(self._said_s, now_s + min(wait_s, self.longest_wait_s) + MARGIN_S)

    def to_save(self, now_s: float, utc_now_ms: int | None, *, asking: bool) -> tuple[float, int | None, float]:
        """(`next_s`, the same in UTC, seconds until then). `asking`: as it will be once a request is written, which
        may be as much later as a save takes."""
        left_s = max(self.next_s - now_s, 0.0)
        if asking:
            left_s = max(left_s, SAVE_S + self.reserve_s)
        utc_ms = None if utc_now_ms is None else utc_now_ms + math.ceil(left_s * 1000)
        return now_s + left_s, utc_ms, left_s
