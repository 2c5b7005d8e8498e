"""What is known of the terminal and its card, from its reports alone. Pure: reports in, with their instants.

Nothing here writes or waits. What is older than FRESH_S is not told as a value. Beams that were never reported, and
weak ones, hinder nothing: the terminal's own feedback decides then (an alarm is rather tried than held).
"""

from __future__ import annotations

from enum import Enum
from math import inf

from drivers.beidou.settings import LEAST_BITS, SERVICE_MAXIMUM_BITS
from drivers.beidou.size import SizeLimit
from drivers.beidou.wire import (
    LEVEL_BITS,
    UNKNOWN_BITS,
    Beam,
    Beams,
    BitLimit,
    Card,
    Dialect,
    Health,
    Position,
    Report,
    Version,
    mixed_bytes,
)

FRESH_S = 60.0  # reports come every 5 s, the position every 20 s: what is older is not the present
CARD_FRESH_S = 75.0  # the card is asked for every 30 s; two queries unanswered, and a request (15 s) between them
GOOD_STEP = 2.0  # 2.1 and 4.0: power step of a beam that surely carries a message (a rule of thumb)
GOOD_DBHZ = 40.0  # BDS-3: C/N0 of such a beam, a threshold found in firmware
BEAMS_LOST_S = 15.0  # three reports: a beam that flickers at the threshold is no loss
LEAST_PACKET_BYTES = 16  # 12 of seal and a body that says something: level 1 (110 bit, 12 bytes) has no room for it


class Sight(Enum):
    """How the satellite is seen."""

    GOOD = "good"  # or not reported
    WEAK = "weak"  # thresholds are rules of thumb: some terminals send by such beams
    NONE = "none"


class Terminal:
    """One terminal that was found. `limit_bits`: of one message, by the site file, which counts more than the word of
    the terminal, but not more than the card's level; `size`: what refusals have taught of the card, which can only make
    it less."""

    def __init__(self, dialect: Dialect, limit_bits: int | None, now_s: float, size: SizeLimit | None = None) -> None:
        self.dialect = dialect
        self.card: Card | None = None  # the last word about it; `address` None: the terminal says there is none
        self.version: str | None = None
        self.heard_s = now_s  # anything valid
        self.status_s = now_s  # a status report: beams or health
        self.beams: tuple[Beam, ...] = ()
        self.size = size or SizeLimit()
        self._limit_bits = limit_bits
        self._told_bits: int | None = None
        self._beams_s = -inf
        self._good_beam_s = self._any_beam_s = -inf
        self._card_s = -inf
        self._battery: tuple[float, int] = (-inf, 0)
        self._position: tuple[float, Position] | None = None

    def hear(self, report: Report, now_s: float) -> None:
        """Notes what a report says. Feedback and messages are not for here."""
        self.heard_s = now_s
        if isinstance(report, Card):
            if report.dialect is self.dialect:  # a dual module has a second word on its card: not ours
                self._hear_card(report, now_s)
        elif isinstance(report, Beams):
            self._hear_beams(report.beams, report.dialect, now_s)
        elif isinstance(report, Health):
            self.status_s = now_s
            if report.beams:
                self._hear_beams(report.beams, report.dialect, now_s)
            self._hear_battery(report.battery_percent, now_s)
        elif isinstance(report, BitLimit):
            if LEAST_BITS <= report.bits <= SERVICE_MAXIMUM_BITS:  # else it is no limit of any card
                self._told_bits = report.bits
            self._hear_battery(report.battery_percent, now_s)
        elif isinstance(report, Position):
            self._hear_position(report, now_s)
        elif isinstance(report, Version):
            self.version = report.text

    def card_gone(self, now_s: float) -> None:
        """The terminal says in another way that it has no card."""
        self._hear_card(Card(self.dialect, None), now_s)

    def _hear_card(self, card: Card, now_s: float) -> None:
        if self.card is not None and card.address != self.card.address:
            self._told_bits = None  # of the card before
        self.card, self._card_s = card, now_s

    def _hear_beams(self, beams: tuple[Beam, ...], dialect: Dialect, now_s: float) -> None:
        """A dual module also reports the beams of its other half, on another scale: those are not ours."""
        if dialect is not self.dialect:
            return
        self.beams = beams
        self._beams_s = self.status_s = now_s
        if self.good_beams:
            self._good_beam_s = now_s
        if any(beam.strength > 0 for beam in beams):
            self._any_beam_s = now_s

    def _hear_battery(self, percent: int | None, now_s: float) -> None:
        if percent is not None:
            self._battery = (now_s, percent)

    def _hear_position(self, position: Position, now_s: float) -> None:
        """GGA has height and satellites, RMC and GLL have not: they do not take its place."""
        if position.valid and (position.source == "GGA" or self.position(now_s) is None):
            self._position = (now_s, position)

    # -- what follows --------------------------------------------------------------------------------------------

    @property
    def address(self) -> int | None:
        """Of the card; None: no card, or none was told of."""
        return self.card.address if self.card is not None else None

    @property
    def bits(self) -> int:
        """Of one message on this card."""
        return self.size.within(self.said_bits)

    @property
    def said_bits(self) -> int:
        """The same by the word of the site file or the terminal alone."""
        most = self._level_bits
        if self._limit_bits is not None:
            return self._limit_bits if most is None else min(self._limit_bits, most)
        if self.dialect is Dialect.BDS3:
            return self._told_bits or UNKNOWN_BITS
        return most or UNKNOWN_BITS

    @property
    def _level_bits(self) -> int | None:
        """What the card's level allows; None where no table says it (BDS-3, a level of no table)."""
        if self.dialect is Dialect.BDS3 or self.card is None:
            return None
        return LEVEL_BITS.get((self.card.level, self.card.encrypted))

    @property
    def trouble(self) -> str:
        """What a person must know of the size of messages; "" for nothing."""
        most = self._level_bits
        if self._limit_bits is None or most is None or self._limit_bits <= most or self.card is None:
            return self.size.trouble(self.said_bits)
        return (
            f"limit_bits = {self._limit_bits} is more than card {self.card.address} (level {self.card.level}) takes: "
            f"{self.bits} bit are used; take limit_bits out of the site file"
        )

    @property
    def mtu_bytes(self) -> int:
        """The largest packet: one byte of each message is the mark A4."""
        return mixed_bytes(self.bits)

    @property
    def good_beams(self) -> int:
        """How many of the beams last reported surely carry a message."""
        least = GOOD_DBHZ if self.dialect is Dialect.BDS3 else GOOD_STEP
        return sum(beam.strength >= least for beam in self.beams)

    def sight(self, now_s: float) -> Sight:
        """Whether the satellite can be reached, for all that was reported."""
        reported = now_s - self._beams_s < BEAMS_LOST_S
        if not reported or now_s - self._good_beam_s < BEAMS_LOST_S:
            return Sight.GOOD
        return Sight.WEAK if now_s - self._any_beam_s < BEAMS_LOST_S else Sight.NONE

    def card_there(self, now_s: float) -> bool | None:
        """None: card queries are not answered (any more)."""
        return self.address is not None if now_s - self._card_s < CARD_FRESH_S else None

    def beams_known(self, now_s: float) -> bool:
        """Whether the terminal has reported its beams lately."""
        return now_s - self._beams_s < FRESH_S

    def battery_percent(self, now_s: float) -> int | None:
        """None: not told, or too long ago."""
        heard_s, percent = self._battery
        return percent if now_s - heard_s < FRESH_S else None

    def position(self, now_s: float) -> Position | None:
        """The last valid one, None when it is too old."""
        if self._position is None or now_s - self._position[0] >= FRESH_S:
            return None
        return self._position[1]
