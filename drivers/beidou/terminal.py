"""What is known of the terminal and its card, from its reports alone. Pure: reports in, with their instants.

Nothing here writes or waits. What is older than FRESH_S is not told as a value. Beams that were never reported hinder
nothing: the terminal's own feedback decides then (an alarm is rather tried than held).
"""

from __future__ import annotations

from math import inf

from drivers.beidou.wire import (
    BDS3_BITS_UNKNOWN,
    LEVEL_BITS,
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
USABLE_STEP = 2.0  # 2.1 and 4.0: power step of a beam that carries a message (a rule of thumb)
USABLE_DBHZ = 40.0  # BDS-3: C/N0 of such a beam, a threshold found in firmware
BEAMS_LOST_S = 15.0  # three reports: a beam that flickers at the threshold is no loss
LEAST_PACKET_BYTES = 16  # 12 of seal and a body that says something: level 1 (110 bit, 12 bytes) has no room for it
UNKNOWN_LEVEL_BITS = 628  # of a level no table has (5 on dual modules): what a civil card of level 3 carries


class Terminal:
    """One terminal that was found. `limit_bits`: of one message, by the site file; it counts more than all else."""

    def __init__(self, dialect: Dialect, limit_bits: int | None, now_s: float) -> None:
        self.dialect = dialect
        self.card: Card | None = None  # the last word about it; `address` None: the terminal says there is none
        self.version: str | None = None
        self.heard_s = now_s  # anything valid
        self.status_s = now_s  # a status report: beams or health
        self.beams: tuple[Beam, ...] = ()
        self._limit_bits = limit_bits
        self._told_bits: int | None = None
        self._beams_s = -inf
        self._good_beam_s = -inf
        self._battery: tuple[float, int] = (-inf, 0)
        self._position: tuple[float, Position] | None = None

    def hear(self, report: Report, now_s: float) -> None:
        """Notes what a report says. Feedback and messages are not for here."""
        self.heard_s = now_s
        if isinstance(report, Card):
            if report.dialect is self.dialect:  # a dual module has a second word on its card: not ours
                self.card = report
        elif isinstance(report, Beams):
            self._hear_beams(report.beams, report.dialect, now_s)
        elif isinstance(report, Health):
            self.status_s = now_s
            if report.beams:
                self._hear_beams(report.beams, report.dialect, now_s)
            self._hear_battery(report.battery_percent, now_s)
        elif isinstance(report, BitLimit):
            self._told_bits = report.bits or None
            self._hear_battery(report.battery_percent, now_s)
        elif isinstance(report, Position):
            self._hear_position(report, now_s)
        elif isinstance(report, Version):
            self.version = report.text

    def card_gone(self) -> None:
        """The terminal says in another way that it has no card."""
        self.card = Card(self.dialect, None)

    def _hear_beams(self, beams: tuple[Beam, ...], dialect: Dialect, now_s: float) -> None:
        """A dual module also reports the beams of its other half, on another scale: those are not ours."""
        if dialect is not self.dialect:
            return
        self.beams = beams
        self._beams_s = self.status_s = now_s
        if self.usable_beams:
            self._good_beam_s = now_s

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
        if self._limit_bits is not None:
            return self._limit_bits
        if self.dialect is Dialect.BDS3:
            return self._told_bits or BDS3_BITS_UNKNOWN
        if self.card is None:
            return UNKNOWN_LEVEL_BITS
        return LEVEL_BITS.get((self.card.level, self.card.encrypted), UNKNOWN_LEVEL_BITS)

    @property
    def mtu_bytes(self) -> int:
        """The largest packet: one byte of each message is the mark A4."""
        return mixed_bytes(self.bits)

    @property
    def usable_beams(self) -> int:
        """How many of the beams last reported can carry a message."""
        least = USABLE_DBHZ if self.dialect is Dialect.BDS3 else USABLE_STEP
        return sum(beam.strength >= least for beam in self.beams)

    def in_sight(self, now_s: float) -> bool:
        """Whether the satellite can be reached, for all that was reported."""
        reported = now_s - self._beams_s < BEAMS_LOST_S
        return not reported or now_s - self._good_beam_s < BEAMS_LOST_S

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
