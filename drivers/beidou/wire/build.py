"""Commands to a terminal, written: `build(command)` gives the bytes that go out, with check and line end.

There is no command here that a terminal cannot take back: in particular none that destroys its card, in any dialect.
Raises ValueError for what cannot be said (a number too large for the dialect, content of a form that is not sent).
"""

from __future__ import annotations

from typing import Final

from drivers.beidou.wire.content import to_digits
from drivers.beidou.wire.fields import angle_text, plain, xor
from drivers.beidou.wire.levels import MIXED_MARK
from drivers.beidou.wire.values import (
    Command,
    Dialect,
    Form,
    Locate,
    PositionInject,
    QueryCard,
    QueryPower,
    QueryReceipts,
    QueryStatus,
    QueryStored,
    QueryTime,
    QueryVersion,
    Send,
    SetBeams,
    SetReport,
)

MAX_CARD: Final = 99_999_999  # eight digits, as BDS-3 platforms have them
MAX_CARD_40: Final = 0x1FFFFE  # 21 bits; all ones are no card
FREQUENCY_POINT: Final = 2  # of TCQ: Lf1, what everybody sends on
NO_CONFIRMATION: Final = 1  # of TCQ: the receipt of the packet inside is what counts


def sentence(*fields: str | bytes) -> bytes:
    """A text sentence of head and fields, with checksum and line end."""
    body = b",".join(field.encode("gbk", "replace") if isinstance(field, str) else field for field in fields)
    return b"$" + body + b"*%02X\r\n" % xor(body)


def frame(name: bytes, address: int, body: bytes) -> bytes:
    """A frame of 4.0 with its check."""
    most = MAX_CARD_40 + 1  # a terminal without a card names itself so
    if not 0 <= address <= most:
        raise ValueError(f"card {address} is too large for the 4.0 dialect (at most {most})")
    head = b"$" + name + (11 + len(body)).to_bytes(2, "big") + address.to_bytes(3, "big")
    return head + body + bytes([xor(head + body)])


def card_text(address: int) -> str:
    """A card number with at least seven digits."""
    if not 0 < address <= MAX_CARD:
        raise ValueError(f"{address} is no card number (1 to {MAX_CARD})")
    return f"{address:07d}"


def build(command: Command) -> bytes:
    """The bytes of a command."""
    match command:
        case Send():
            return _send(command)
        case QueryCard(dialect, kind):
            if dialect is Dialect.BINARY40:
                return frame(b"ICJC", 0, b"\0")
            return sentence("CCICR" if dialect is Dialect.BDS3 else "CCICA", str(kind), "00")
        case SetReport():
            return _set_report(command)
        case QueryStored(sender):
            if sender is None:
                return sentence("CCCXA", "1", "1", "")
            return sentence("CCCXA", "1", "2", card_text(sender))
        case QueryReceipts(receiver):
            return sentence("CCCXA", "1", "3", card_text(receiver))
        case SetBeams(response, difference):
            return sentence("CCBSS", *("" if beam is None else f"{beam:02d}" for beam in (response, difference)))
        case QueryStatus(period_s, own):
            return frame(b"XTZJ", own, period_s.to_bytes(2, "big"))
        case QueryPower(period_s, own):
            return frame(b"GLJC", own, period_s.to_bytes(1, "big"))
        case QueryTime(period_s, own):
            return frame(b"SJSC", own, period_s.to_bytes(2, "big"))
        case QueryVersion(own):
            return frame(b"BBDQ", own, b"")
        case Locate():
            return _locate(command)
        case PositionInject(second, lat, lon, height):
            return sentence("CCNPS", str(second), *angle_text(lon, "EW"), *angle_text(lat, "NS"), f"{height:.1f}", "M")


def _set_report(command: SetReport) -> bytes:
    """Mode 1 off, 2 on, 3 all off, 4 all on."""
    period = "" if command.period_s is None else plain(command.period_s)
    mode = (1 if command.what else 3) + (command.period_s is not None)
    return sentence("CCRMO", command.what, str(mode), period)


def _send(send: Send) -> bytes:
    if send.dialect is Dialect.BINARY40:
        return _txsq(send)
    content = send.content
    if not content:
        raise ValueError("a message without content is not sent")
    if send.form is not Form.TEXT:
        content = to_digits(send.form, content, send.bits).encode("ascii")
    to = card_text(send.to)
    if send.dialect is Dialect.TEXT21:
        number = {Form.TEXT: "0", Form.CODE: "1"}.get(send.form, "2")
        return sentence("CCTXA", to, "0" if send.urgent else "1", number, content)
    if send.urgent:
        raise ValueError("BDS-3 has no urgent messages")
    number = {Form.TEXT: "1", Form.CODE: "2"}.get(send.form, "3")
    return sentence("CCTCQ", to, str(FREQUENCY_POINT), str(NO_CONFIRMATION), number, content, "0")


def content_40(form: Form, content: bytes, bits: int) -> tuple[bytes, int, bool]:
    """Bytes and bits of content in a 4.0 frame, and whether it is digits."""
    if form is Form.TEXT:
        return content, bits or 8 * len(content), False
    if form is Form.MIXED:
        return bytes([MIXED_MARK]) + content, 8 + 8 * len(content), True
    if form not in (Form.CODE, Form.POSITION):
        raise ValueError(f"content of the form {form.value} cannot be sent")
    odd = form is Form.CODE and bits == 8 * len(content) - 4
    return content, bits if odd else 8 * len(content), True


def _txsq(send: Send) -> bytes:
    """Info: 0x44 text, 0x46 digits and mixed, bit 2 off when urgent."""
    if not 0 < send.to <= MAX_CARD_40:
        raise ValueError(f"{send.to} is no card number of the 4.0 dialect (1 to {MAX_CARD_40})")
    content, bits, digits = content_40(send.form, send.content, send.bits)
    info = 0x40 | (0 if send.urgent else 0x04) | (0x02 if digits else 0)
    body = bytes([info]) + send.to.to_bytes(3, "big") + bits.to_bytes(2, "big") + b"\0" + content
    return frame(b"TXSQ", send.own, body)


def _locate(locate: Locate) -> bytes:
    if locate.dialect is Dialect.BINARY40:
        flags = (0x20 if locate.urgent else 0) | locate.height_mode << 2
        return frame(b"DWSQ", locate.own, bytes([flags]) + bytes(8) + int(locate.period_s).to_bytes(2, "big"))
    if locate.dialect is Dialect.BDS3:
        raise ValueError("BDS-3 terminals have no DWA")
    urgency = "A" if locate.urgent else "V"
    own = f"{locate.own:07d}"
    return sentence("CCDWA", own, urgency, str(locate.height_mode), *locate.figures, plain(locate.period_s))
