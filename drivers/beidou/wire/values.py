"""What Beidou RDSS terminals and their hosts say to each other, as values. Pure: no bytes are read or made here.

One frame is one value: a status frame of 4.0 that also holds beam powers is a `Health` with `beams`, an RMC sentence
is a `Position` with `utc_ms`. `raw` is the frame as it stood on the wire (without its line end), never compared.
A card number ("user address") is an int: leading zeros are the wire's. Times of day are UTC.
Dialects: the 2006 "4.0" and the 2014 "2.1" interface, BDS-3 terminals as in the field; readers name their sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Dialect(Enum):
    BDS3 = "bds3"
    TEXT21 = "2.1"
    BINARY40 = "4.0"


class Form(Enum):
    """How the content of a message is to be read."""

    TEXT = "text"  # bytes of GBK text
    CODE = "code"  # digits or plain bytes without a mark; an odd number of digits ends in a filling F
    MIXED = "mixed"  # bytes that stood behind A4 (taken off)
    POSITION = "position"  # bytes from A0 on, a position report (A0 kept)
    COMPRESSED = "compressed"  # BDS-3 encodings 4 and 5: opaque
    RAW = "raw"  # not what its form promises: the bytes as they stood on the wire


class Outcome(Enum):
    """What a terminal says became of a command."""

    SENT = "sent"  # the burst went out; nobody has to have received it
    TOO_EARLY = "too early"  # the card's period is not over
    SUPPRESSED = "suppressed"  # inhibited by the system
    SILENT = "radio silence"
    LOW_BATTERY = "low battery"
    NO_CARD = "no card"
    NO_SIGNAL = "no signal"  # no beam locked
    NO_PERMISSION = "no permission"
    BAD_CHECK = "bad checksum"  # our command arrived damaged
    CRYPTO = "crypto error"
    REFUSED = "refused"  # no reason, or one that is not known: see `code`
    RELEASED = "inhibit released"  # 4.0 flag 8; some terminals mean radio silence by it: information only


@dataclass(frozen=True, slots=True)
class Card:
    """ICP, ICI, ICXX. `address` None: no card in the terminal (0, or 2097151 which is all 21 bits set).

    `level` 5 where a terminal says 0 for it; 0 without a card. `serial` is text, "" where the dialect has none.
    """

    dialect: Dialect
    address: int | None
    broadcast: int = 0
    period_s: float = 0.0
    level: int = 0
    user_class: int = 0
    encrypted: bool = False
    serial: str = ""
    subordinates: int = 0
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Beam:
    """`strength`: C/N0 in dBHz (BDS-3, `pilot` too), else the power step 0..4 (0 below -158 dBW, 4 above -152)."""

    id: int
    strength: float
    pilot: float | None = None


@dataclass(frozen=True, slots=True)
class Beams:
    """PWI, BSI, GLZK. PWI: `time_s_of_day` None: the terminal has no time yet; `old_beams` those of BDS-1/2."""

    dialect: Dialect
    beams: tuple[Beam, ...]
    time_s_of_day: float | None = None
    response_beam: int | None = None
    difference_beam: int | None = None
    old_beams: tuple[Beam, ...] = ()
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Feedback:
    """FKI (both forms), FKXX. `command`: "TXA", "TCQ", "TXSQ" ..., "" when the frame does not say.

    `wait_s`: until the terminal takes the next one; None: it does not say (a zero says nothing: use the period).
    A SENT may carry a wait. `code`: reason number as it stood there. `time_s_of_day`: of the send (BDS-3).
    """

    dialect: Dialect
    command: str
    outcome: Outcome
    wait_s: float | None = None
    code: int | None = None
    time_s_of_day: float | None = None
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Ack:
    """`TCQ OK!`: the terminal has read a command. It has no checksum and says nothing about sending: for the log."""

    command: str
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Message:
    """TCI, TXR, TXXX: a short message that came down. `content` as `form` says. `sent_at`: (h, m) or (h, m, s).

    `bits`: what it took on the air, as told or counted. `stored`: it was waiting for us and came by QueryStored.
    `intact` False: the terminal itself says that it arrived damaged (4.0).
    """

    dialect: Dialect
    sender: int
    receiver: int | None
    form: Form
    content: bytes
    stored: bool = False
    sent_at: tuple[int, ...] | None = None
    intact: bool = True
    bits: int = field(default=0, compare=False)
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Health:
    """ZJXX (4.0, with `beams`), ZTI (2.1). None: not said. `faults` names the bad parts.

    ZTI's "crypto" is a fault in the list only: plain cards show it and work. ZJXX's card flag is set in the frames of
    a station that works, too: whether a card is there, Card says. `inbound`: ZJXX's state byte as it is.
    """

    dialect: Dialect
    card_ok: bool | None
    hardware_ok: bool
    battery_percent: int | None = None
    inbound: int | None = None
    beams: tuple[Beam, ...] = ()
    faults: tuple[str, ...] = ()
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class DeliveryReceipt:
    """When a message was sent and when its receiver got it, (h, m) each."""

    sent_at: tuple[int, int]
    received_at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Receipts:
    """HZR, TXHZ: the satellite system's own receipts for messages to `receiver`, as asked by QueryReceipts."""

    dialect: Dialect
    receiver: int
    receipts: tuple[DeliveryReceipt, ...]
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Fix:
    """DWR, DWXX, WAA: a position found through the satellites, of card `address`."""

    dialect: Dialect
    address: int
    time_s_of_day: float
    lat_deg: float
    lon_deg: float
    height_m: float | None = None
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class UtcTime:
    """ZDA (both shapes), SJXX. `utc_ms` None: the terminal says itself that it has no time. `source`: "ZDA", "SJXX"."""

    utc_ms: int | None
    source: str
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Position:
    """GGA, RMC, GLL. `valid` False: the receiver has no fix, whatever stands in the rest. South and west negative.

    `utc_ms`: only RMC has a date with its time.
    """

    source: str
    valid: bool
    lat_deg: float | None
    lon_deg: float | None
    height_m: float | None = None
    satellites: int | None = None
    hdop: float | None = None
    utc_ms: int | None = None
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class BitLimit:
    """ZDX (Pancoit BDS-3): what the card may send at once, in `bits`, with the rest of that maker's status line."""

    address: int | None
    bits: int
    period_s: float
    level: int
    battery_percent: int | None = None
    strengths: tuple[float, ...] = ()
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Version:
    """BBXX: the terminal's own words about its version."""

    dialect: Dialect
    text: str
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Other:
    """A frame whose check is right and which nobody here needs (SNR, COV, GSV, GPSP ...). `fields` as they stood; of a
    binary frame one field, all between its length and its check in hexadecimal."""

    sentence: str
    fields: tuple[str, ...]
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are no frame; `why` for a person, with the numbers."""

    raw: bytes
    why: str


# --- host -> terminal ---


@dataclass(frozen=True, slots=True)
class QueryCard:
    """ICR, ICA, ICJC: which card is in? Answered by Card. `kind` 0: this card; others as the dialect has them."""

    dialect: Dialect
    kind: int = 0
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class SetReport:
    """RMO (2.1, BDS-3): print sentence `what` every `period_s`; 0: once; None: no more. `what` "": all."""

    what: str
    period_s: float | None
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Send:
    """TCQ, TXA, TXSQ: send `content` to card `to`. Radiates, and uses the card's slot.

    `own`: the card's own number, which 4.0 frames carry (0 is taken too). `bits` as in Message.
    """

    dialect: Dialect
    to: int
    content: bytes
    form: Form = Form.MIXED
    urgent: bool = False
    own: int = 0
    bits: int = field(default=0, compare=False)
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class QueryStored:
    """CXA (2.1): give out a message that waits for us: the newest, or (`sender`) of one card. Uses the slot."""

    sender: int | None = None
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class QueryReceipts:
    """CXA (2.1): which messages to `receiver` have arrived? Answered by Receipts. Uses the slot."""

    receiver: int
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class SetBeams:
    """BSS (2.1, BDS-3): response and time-difference beam, 1..10; None both: the terminal chooses."""

    response: int | None
    difference: int | None
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """XTZJ (4.0), answered by Health every `period_s`; 0: once."""

    period_s: int = 0
    own: int = 0
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class QueryPower:
    """GLJC (4.0), answered by Beams every `period_s`; 0: once."""

    period_s: int = 0
    own: int = 0
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class QueryTime:
    """SJSC (4.0), answered by UtcTime every `period_s`; 0: once."""

    period_s: int = 0
    own: int = 0
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class QueryVersion:
    """BBDQ (4.0), answered by Version."""

    own: int = 0
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Locate:
    """DWA (2.1), DWSQ (4.0): find this card's position through the satellites. Radiates, and uses the slot.

    `height_mode` 0..3 as the dialects have it. `figures`: DWA's height flag, height, antenna, pressure, temperature
    as they stood; not in 4.0.
    """

    dialect: Dialect
    own: int = 0
    urgent: bool = False
    height_mode: int = 0
    period_s: float = 0.0
    figures: tuple[str, ...] = ("L", "", "0", "", "")
    raw: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class PositionInject:
    """NPS (BDS-3): tells a terminal that has no fix of its own where it stands (a TD3050 wants it before each send).

    `seconds_of_week` of GNSS time, whole; degrees, south and west negative.
    """

    seconds_of_week: int
    lat_deg: float
    lon_deg: float
    height_m: float
    raw: bytes = field(default=b"", compare=False)


Report = (
    Card | Beams | Feedback | Ack | Message | Health | Receipts | Fix | UtcTime | Position | BitLimit | Version | Other
)
Command = (
    QueryCard
    | SetReport
    | Send
    | QueryStored
    | QueryReceipts
    | SetBeams
    | QueryStatus
    | QueryPower
    | QueryTime
    | QueryVersion
    | Locate
    | PositionInject
)
Heard = Report | Command | Noise
