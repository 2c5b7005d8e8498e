"""What a terminal says, by dialect: the sky it sees, its card, its messages, what became of a command. No dialect has
words for everything: what it has none for is said as it would be. Pure; bytes are made by the wire's `build_report`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.beidou import wire
from drivers.beidou.wire import Dialect, Form, Outcome
from sim.beidou.card import Card
from sim.beidou.traffic import Message

DAY_MS = 86_400_000
BITS_21 = 0x1FFFFF  # all that a 4.0 terminal knows of a card's number
MARK_BITS = 8  # A4 in front of mixed content
TEXT_BITS = {Dialect.BDS3: 16, Dialect.TEXT21: 14, Dialect.BINARY40: 14}  # a character of two GBK bytes

# What each kind prints unasked: BDS-3 ones a PWI every second, 4.0 ones nothing but what they are asked for.
UNASKED = {
    Dialect.BDS3: {"PWI": 1.0, "GGA": 1.0, "RMC": 1.0},
    Dialect.TEXT21: {"GGA": 1.0, "RMC": 1.0},
    Dialect.BINARY40: {},
}
SENTENCES = {
    Dialect.BDS3: ("PWI", "ZDX", "GGA", "RMC", "ZDA", "GLL"),
    Dialect.TEXT21: ("BSI", "ZTI", "GGA", "RMC", "ZDA", "GLL"),
    Dialect.BINARY40: ("ZJXX", "GLZK", "SJXX", "GGA", "RMC", "ZDA", "GLL"),
}

_USUAL_BEAMS = {  # BDS-3: C/N0 in dBHz; else power steps 0..4
    Dialect.BDS3: {2: 51.0, 4: 50.0, 11: 43.0, 16: 45.0},
    Dialect.TEXT21: {1: 1.0, 2: 3.0, 3: 4.0, 6: 2.0},
    Dialect.BINARY40: {1: 2.0, 2: 4.0, 3: 3.0},
}
_LISTED_BEAMS = {Dialect.BDS3: 0, Dialect.TEXT21: 10, Dialect.BINARY40: 6}  # always all, or (0) only those heard
_LOCKED = {Dialect.BDS3: 38.0, Dialect.TEXT21: 1.0, Dialect.BINARY40: 1.0}  # the weakest beam it can still use

_SAYABLE = {  # what there is a number for; any other refusal comes without a reason
    Dialect.BDS3: {Outcome.TOO_EARLY, Outcome.SUPPRESSED, Outcome.SILENT, Outcome.NO_SIGNAL, Outcome.NO_CARD},
    Dialect.TEXT21: {Outcome.TOO_EARLY, Outcome.SUPPRESSED, Outcome.SILENT, Outcome.LOW_BATTERY},
    Dialect.BINARY40: {Outcome.TOO_EARLY, Outcome.SUPPRESSED, Outcome.NO_SIGNAL, Outcome.LOW_BATTERY},
}


@dataclass
class Sky:
    """What a terminal sees of the sky; may be changed at any time. `beams`: id -> strength.

    `shaded`: something stands between it and every satellite. `faded`: the same, by chance. `has_fix`: of its GNSS
    receiver, whose time the terminal needs too.
    """

    dialect: Dialect
    utc_ms_at_0: int
    beams: dict[int, float] = field(init=False)
    shaded: bool = False
    faded: bool = False
    has_fix: bool = True
    lat_deg: float = 27.5043
    lon_deg: float = 109.9561
    height_m: float = 318.4

    def __post_init__(self) -> None:
        self.beams = dict(_USUAL_BEAMS[self.dialect])

    @property
    def locked(self) -> bool:
        """Whether a beam is good enough to send and receive."""
        return any(beam.strength >= _LOCKED[self.dialect] for beam in self.heard())

    def heard(self) -> tuple[wire.Beam, ...]:
        """The beams as a status report lists them."""
        beams = {} if self.shaded or self.faded else self.beams
        if count := _LISTED_BEAMS[self.dialect]:
            return tuple(wire.Beam(id_, beams.get(id_, 0.0)) for id_ in range(1, count + 1))
        return tuple(wire.Beam(id_, strength, strength - 7) for id_, strength in sorted(beams.items()))

    def utc_ms(self, now_s: float) -> int:
        return self.utc_ms_at_0 + int(now_s * 1000)

    def time_s_of_day(self, now_s: float) -> float:
        return self.utc_ms(now_s) % DAY_MS // 10 / 100

    def hour_minute_second(self, at_s: float) -> tuple[int, int, int]:
        second = int(self.time_s_of_day(at_s))
        return second // 3600, second // 60 % 60, second % 60


def report(what: str, sky: Sky, card: Card | None, battery_percent: int, now_s: float) -> bytes:
    """One sentence or frame that is printed now and then; b"" for one this kind does not have."""
    dialect = sky.dialect
    if what not in SENTENCES[dialect]:
        return b""
    if what in ("GGA", "RMC", "GLL", "ZDA", "SJXX"):
        return wire.build_report(_gnss(what, sky, now_s))
    if what == "ZDX":
        return b"" if card is None else wire.build_report(_bit_limit(sky, card, battery_percent))
    if what in ("ZTI", "ZJXX"):
        beams = sky.heard() if what == "ZJXX" else ()
        return wire.build_report(wire.Health(dialect, card is not None, True, battery_percent, beams=beams))
    heard = sky.heard()
    best = max(heard, key=lambda beam: beam.strength, default=None)
    response = best.id if best is not None and best.strength else 0
    time_s = sky.time_s_of_day(now_s) if sky.has_fix else None
    return wire.build_report(wire.Beams(dialect, heard, time_s, response, response))


def _gnss(what: str, sky: Sky, now_s: float) -> wire.Report:
    utc_ms = sky.utc_ms(now_s) // 10 * 10  # the time of printing, not of the last whole second: up to 1 s less
    if what in ("ZDA", "SJXX"):
        return wire.UtcTime(utc_ms if sky.has_fix else None, what)
    lat_deg, lon_deg = (sky.lat_deg, sky.lon_deg) if sky.has_fix else (None, None)
    if what == "GGA":
        return wire.Position(what, sky.has_fix, lat_deg, lon_deg, sky.height_m, 12 if sky.has_fix else 0, 0.9, utc_ms)
    return wire.Position(what, sky.has_fix, lat_deg, lon_deg, utc_ms=utc_ms)


def _bit_limit(sky: Sky, card: Card, battery_percent: int) -> wire.BitLimit:
    heard = {beam.id: beam.strength for beam in sky.heard()}
    strengths = tuple(heard.get(id_, 0.0) for id_ in range(1, 22))
    limit_bits = card.limit_bits(sky.dialect)
    return wire.BitLimit(card.address, limit_bits, card.period_s, card.level, battery_percent, strengths)


def card_report(dialect: Dialect, card: Card | None) -> bytes:
    """The answer to a card query."""
    if card is None:
        return wire.build_report(wire.Card(dialect, None))
    known = (card.address, card.broadcast, card.period_s, card.level, card.user_class, card.encrypted)
    return wire.build_report(wire.Card(dialect, *known))


def feedback(dialect: Dialect, command: str, outcome: Outcome, wait_s: float | None, time_s_of_day: float) -> bytes:
    """What became of a command, as far as the dialect has words for it."""
    if outcome is not Outcome.SENT and outcome not in _SAYABLE[dialect]:
        # 4.0 has one number for radio silence that others use for its end: it says "inhibited" instead.
        inhibited = dialect is Dialect.BINARY40 and outcome is Outcome.SILENT
        outcome = Outcome.SUPPRESSED if inhibited else Outcome.REFUSED
    time = time_s_of_day // 1 if dialect is Dialect.BDS3 else None
    return wire.build_report(wire.Feedback(dialect, command, outcome, wait_s, time_s_of_day=time))


def received(sky: Sky, message: Message) -> bytes:
    """A message that came down."""
    dialect, sent_at = sky.dialect, sky.hour_minute_second(message.radiated_s)
    if message.receipts is not None:
        notes = [
            (sky.hour_minute_second(r.sent_s)[:2], sky.hour_minute_second(r.received_s)[:2]) for r in message.receipts
        ]
        return wire.build_report(
            wire.Receipts(dialect, message.sender, tuple(wire.DeliveryReceipt(*note) for note in notes))
        )
    stored = message.stored is not None
    at = sent_at if dialect is Dialect.BDS3 else sent_at[:2] if stored or dialect is Dialect.BINARY40 else None
    bits = content_bits(dialect, message.form, message.content)
    sender = message.sender & BITS_21 if dialect is Dialect.BINARY40 else message.sender
    return wire.build_report(
        wire.Message(dialect, sender, message.to, message.form, message.content, stored, at, bits=bits)
    )


def content_bits(dialect: Dialect, form: Form, content: bytes) -> int:
    """What content takes on the air."""
    if form is Form.TEXT:
        return len(content) * TEXT_BITS[dialect] // 2
    return 8 * len(content) + (MARK_BITS if form is Form.MIXED else 0)


def fix(sky: Sky, address: int, now_s: float) -> bytes:
    """The answer to a fix through the satellite."""
    place = (sky.lat_deg, sky.lon_deg, sky.height_m)
    return wire.build_report(wire.Fix(sky.dialect, address, sky.time_s_of_day(now_s), *place))
