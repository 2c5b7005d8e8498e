"""Frames of the "4.0" dialect: `$`, four letters, length of the whole frame (u16), card number (3 bytes), body, XOR of
all bytes before it. Read into values; build_binary.py writes them. All numbers big-endian.

`size` says as early as it can how long a frame is, or that it is none: a damaged length must not make the stream wait
for bytes that never come. Sources: Sealike/xxxsvr Rdss4_0SearchExp.cpp, yufei2207/learn pt_bd1.c, fenyunxing
protocal4_0, lysssssss/BDS_4_0, icprog/BD1, cnblogs chen1880/p/11422145 (DWXX, and its time in UTC+8 by bit 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from drivers.beidou.wire.content import from_digits
from drivers.beidou.wire.fields import Unreadable, utc_ms, xor
from drivers.beidou.wire.reports import ALL_ONES, MAX_RECEIPTS
from drivers.beidou.wire.values import (
    Beam,
    Beams,
    Card,
    Command,
    DeliveryReceipt,
    Dialect,
    Feedback,
    Fix,
    Form,
    Health,
    Locate,
    Message,
    Noise,
    Other,
    Outcome,
    QueryCard,
    QueryPower,
    QueryStatus,
    QueryTime,
    QueryVersion,
    Receipts,
    Report,
    Send,
    UtcTime,
    Version,
)

D: Final = Dialect.BINARY40
BODY: Final = 10  # where it begins
ADDRESS_MASK: Final = 0x1FFFFF  # 21 bits of the three bytes count
SIGN_BIT: Final = 0x8000  # signed numbers are sign and magnitude
MAX_CONTENT_BYTES: Final = 256  # 1680 bits, the most any card sends, are 210
MAX_TEXT_BYTES: Final = 256  # of a version, and of a list of subordinates
BEAMS: Final = 6
MOST_POWER: Final = 9  # 4 is the most that the tables know
EAST8_S: Final = 8 * 3600
DAY_S: Final = 86_400

# Flags of FKXX. 0x0A "no route" and those of makers (0xA1 up): REFUSED, with the flag as code. Between them none is
# given out: a frame that has one is damaged.
FLAGS: Final[Mapping[int, Outcome]] = {
    0: Outcome.SENT,
    1: Outcome.REFUSED,
    2: Outcome.NO_SIGNAL,
    3: Outcome.LOW_BATTERY,
    4: Outcome.TOO_EARLY,
    5: Outcome.CRYPTO,
    6: Outcome.BAD_CHECK,
    7: Outcome.SUPPRESSED,
    8: Outcome.RELEASED,
    9: Outcome.NO_CARD,
}
FLAGS_WITH_COMMAND: Final = (0, 1, 6)
FLAG_TOO_EARLY: Final = 4
FLAGS_UNUSED: Final = range(0x0B, 0xA1)

# Least and most length of each frame. Those without a reader are known by name only.
SIZES: Final[Mapping[bytes, tuple[int, int]]] = {
    b"ICJC": (12, 12),
    b"ICXX": (15, 11 + MAX_TEXT_BYTES),
    b"TXSQ": (18, 18 + MAX_CONTENT_BYTES),
    b"TXXX": (20, 20 + MAX_CONTENT_BYTES),
    b"FKXX": (16, 16),
    b"XTZJ": (13, 13),
    b"ZJXX": (21, 21),
    b"GLJC": (12, 12),
    b"GLZK": (16, 17),
    b"SJSC": (13, 13),
    b"SJXX": (18, 18),
    b"DWSQ": (22, 22),
    b"DWXX": (31, 31),
    b"TXHZ": (15, 15 + 4 * MAX_RECEIPTS),
    b"BBDQ": (11, 11),
    b"BBXX": (11, 11 + MAX_TEXT_BYTES),
    b"CKSC": (12, 12),
    b"JSZL": (11, 16),
    b"BSSZ": (12, 14),
    b"JJZH": (11, 16),
    b"GPSP": (15, 15),
}
# Where frames with content say its bits, and the length of all that is not content.
_BITS_AT: Final[Mapping[bytes, tuple[int, int]]] = {b"TXSQ": (14, 18), b"TXXX": (16, 20)}


def size(data: bytes, start: int) -> int | str | None:
    """Length of the frame that begins at `start`; None: cannot be said before more bytes come; or why it is none.

    Six bytes are there at least, so that the name is whole.
    """
    name = data[start + 1 : start + 5]
    if name not in SIZES:
        return f"no 4.0 frame has the name {name.decode('latin-1')}"
    if len(data) < start + 7:
        return None
    length = u16(data, start + 5)
    least, most = SIZES[name]
    if not least <= length <= most:
        return f"{name.decode('latin-1')} of {length} bytes: {least} to {most} are possible"
    if name in _BITS_AT:
        place, overhead = _BITS_AT[name]
        if len(data) < start + place + 2:
            return None
        bits = u16(data, start + place)
        if (bits + 7) // 8 > length - overhead:
            return f"{name.decode('latin-1')} names {bits} bits of content in {length - overhead} bytes"
    return length


def wrong_check(frame: bytes) -> str:
    """Why a whole frame is not to be believed; "" when its check is right."""
    expected = xor(frame[:-1])
    return "" if expected == frame[-1] else f"check byte {expected:02X} expected, {frame[-1]:02X} found"


def u16(data: bytes, place: int) -> int:
    return data[place] << 8 | data[place + 1]


def _address(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 3], "big") & ADDRESS_MASK


def _signed(data: bytes, place: int) -> int:
    value = u16(data, place)
    return -(value & ~SIGN_BIT) if value & SIGN_BIT else value


def read_frame(frame: bytes) -> Report | Command | Noise:
    """The value of a whole frame whose check is right."""
    name = frame[1:5]
    reader = _READERS.get(name)
    try:
        value = reader(frame) if reader is not None else None
    except Unreadable as unreadable:
        return Noise(frame, f"{name.decode('ascii')}: {unreadable}")
    return value if value is not None else Other(name.decode("ascii"), (frame[7:-1].hex(),), frame)


def _read_icxx(f: bytes) -> Card | None:
    """Frames above 0 list the subordinates, three bytes each."""
    if f[BODY] and len(f) % 3 == 0:
        return None
    if len(f) != 22 or f[BODY] or f[18] > 1:
        raise Unreadable(f"frame {f[BODY]} of {len(f)} bytes, encryption {f[18]:02X}")
    address = _address(f, 7)
    return Card(
        D,
        None if address in (0, ALL_ONES) else address,
        broadcast=_address(f, 11),
        user_class=f[14],
        period_s=float(u16(f, 15)),
        level=f[17],
        encrypted=f[18] != 0,
        subordinates=u16(f, 19),
        raw=f,
    )


def _content(content: bytes, bits: int, digits: bool) -> tuple[Form, bytes]:
    """Form and bytes. Digits are packed two in a byte already, so they read as the text dialects' do."""
    data = content[: (bits + 7) // 8]
    if not digits:
        return Form.TEXT, data
    found = from_digits(data.hex().encode("ascii")[: (bits + 3) // 4])
    return (found[0], found[1]) if found is not None else (Form.RAW, data)


def _read_txxx(f: bytes) -> Message:
    """Info: bit 5 digits, bit 3 answer to a query. The byte before the check is 0 when the content arrived whole."""
    info, bits = f[BODY], u16(f, 16)
    if info >> 6 != 1:
        raise Unreadable(f"info byte {info:02X} is not a message's")
    if f[14] > 23 or f[15] > 59:
        raise Unreadable(f"time {f[14]}:{f[15]}")
    if f[-2] > 1:
        raise Unreadable(f"content check flag {f[-2]:02X}")
    form, content = _content(f[18:-2], bits, bool(info & 0x20))
    return Message(
        D,
        _address(f, 11),
        _address(f, 7),
        form,
        content,
        stored=bool(info & 0x08),
        sent_at=(f[14], f[15]),
        intact=f[-2] == 0,
        bits=bits,
        raw=f,
    )


def _read_txsq(f: bytes) -> Send | None:
    """Info: bits 7-5 are 010 for a message; bits 3-2 are 00 for an urgent one; bit 1 digits."""
    info, bits = f[BODY], u16(f, 14)
    if info >> 5 != 2:
        return None
    if f[16]:
        raise Unreadable(f"answer flag {f[16]:02X}")
    form, content = _content(f[17:-1], bits, bool(info & 0x02))
    return Send(D, _address(f, 11), content, form, not info & 0x0C, _address(f, 7), bits, f)


def _read_fkxx(f: bytes) -> Feedback:
    flag = f[BODY]
    command = f[11:15].decode("latin-1") if flag in FLAGS_WITH_COMMAND else ""
    if flag in FLAGS_UNUSED or (command and not command.isalpha() and f[11:15] != bytes(4)):
        raise Unreadable(f"flag {flag:02X} with {f[11:15].hex(' ')}")
    command = command.strip("\0")
    wait = _wait_s(f[11:15]) if flag == FLAG_TOO_EARLY else 0
    return Feedback(D, command, FLAGS.get(flag, Outcome.REFUSED), float(wait) if wait else None, flag, raw=f)


def _wait_s(extra: bytes) -> int:
    """Terminals put the seconds into the first byte (least first) or into the last (most first): whichever is said."""
    return max(extra[0] | extra[1] << 8, extra[2] << 8 | extra[3])


def _powers(data: bytes) -> tuple[Beam, ...]:
    if max(data) > MOST_POWER:
        raise Unreadable(f"power step {max(data)} of a beam")
    return tuple(Beam(place, float(step)) for place, step in enumerate(data, 1))


def _read_zjxx(f: bytes) -> Health:
    """Two frames of a working station have the card flag set: whether a card is there is for ICXX to say."""
    faults = tuple(name for name, flag in (("card", f[10]), ("hardware", f[11])) if flag)
    return Health(D, f[10] == 0, f[11] == 0, f[12], f[13], _powers(f[14:20]), faults, f)


def _read_glzk(f: bytes) -> Beams:
    return Beams(D, _powers(f[BODY:-1]), raw=f)


def _read_sjxx(f: bytes) -> UtcTime:
    year, month, day, hour, minute, second = u16(f, 10), *f[12:17]
    if hour > 23 or minute > 59 or second > 60:
        raise Unreadable(f"time {hour}:{minute}:{second}")
    return UtcTime(utc_ms(year, month, day, hour * 3600 + minute * 60 + second) if year else None, "SJXX", f)


def _read_dwxx(f: bytes) -> Fix:
    """Card at 11, h m s 1/100 s at 14, longitude and latitude as degrees, minutes, seconds, tenths, height, anomaly."""
    hour, minute, second, hundredth = f[14:18]
    if hour > 23 or minute > 59 or second > 60 or hundredth > 99:
        raise Unreadable(f"time {hour}:{minute}:{second}.{hundredth}")
    time = hour * 3600 + minute * 60 + second + hundredth / 100
    if f[BODY] & 0x08:
        time = (time - EAST8_S) % DAY_S
    lon, lat = _dms(f[18:22], 180, "longitude"), _dms(f[22:26], 90, "latitude")
    return Fix(D, _address(f, 11) or _address(f, 7), time, lat, lon, float(_signed(f, 26)), f)


def _dms(f: bytes, most: int, name: str) -> float:
    degrees = f[0] + f[1] / 60 + (f[2] + f[3] / 10) / 3600
    if f[1] > 59 or f[2] > 59 or f[3] > 9 or degrees > most:
        raise Unreadable(f"{name} {f[0]}°{f[1]}'{f[2]}.{f[3]}\"")
    return degrees


def _read_txhz(f: bytes) -> Receipts:
    count = f[13]
    if len(f) != 15 + 4 * count:
        raise Unreadable(f"{count} receipts in {len(f)} bytes")
    found = []
    for place in range(14, 14 + 4 * count, 4):
        h1, m1, h2, m2 = f[place : place + 4]
        if max(h1, h2) > 23 or max(m1, m2) > 59:
            raise Unreadable(f"times {h1}:{m1} and {h2}:{m2}")
        found.append(DeliveryReceipt((h1, m1), (h2, m2)))
    return Receipts(D, _address(f, 10), tuple(found), f)


def _read_bbxx(f: bytes) -> Version:
    return Version(D, f[BODY:-1].decode("gbk", "replace").strip("\0 "), f)


def _read_icjc(f: bytes) -> QueryCard | None:
    return None if f[BODY] else QueryCard(D, raw=f)


def _read_dwsq(f: bytes) -> Locate | None:
    """Bit 5 urgent, bits 3-2 height mode; heights and pressure that somebody fills in are not interpreted."""
    if any(f[11:19]):
        return None
    period = float(u16(f, 19))
    return Locate(D, _address(f, 7), bool(f[BODY] & 0x20), f[BODY] >> 2 & 3, period, raw=f)


_READERS: Final[Mapping[bytes, Callable[[bytes], Report | Command | None]]] = {
    b"ICJC": _read_icjc,
    b"ICXX": _read_icxx,
    b"TXSQ": _read_txsq,
    b"TXXX": _read_txxx,
    b"FKXX": _read_fkxx,
    b"XTZJ": lambda f: QueryStatus(u16(f, 10), _address(f, 7), f),
    b"ZJXX": _read_zjxx,
    b"GLJC": lambda f: QueryPower(f[BODY], _address(f, 7), f),
    b"GLZK": _read_glzk,
    b"SJSC": lambda f: QueryTime(u16(f, 10), _address(f, 7), f),
    b"SJXX": _read_sjxx,
    b"DWSQ": _read_dwsq,
    b"DWXX": _read_dwxx,
    b"TXHZ": _read_txhz,
    b"BBDQ": lambda f: QueryVersion(_address(f, 7), f),
    b"BBXX": _read_bbxx,
}
