"""What stands in a message, in the text dialects: a form number and characters, read into bytes and written back.

2.1 and BDS-3 number their forms differently and mean the same. What decides is the number, then the first byte: A4 in
a form of digits is mixed content all the same, A0 a position report (as receivers in the field do it).
"""

from __future__ import annotations

import re

from drivers.beidou.wire.fields import Unreadable
from drivers.beidou.wire.levels import MIXED_MARK, POSITION_MARK
from drivers.beidou.wire.values import Form

_DIGITS = re.compile(rb"[0-9A-Fa-f]*")

TEXT_BITS_21 = 14  # bits of one character of text, by dialect
TEXT_BITS_BDS3 = 16


def from_digits(digits: bytes) -> tuple[Form, bytes, int] | None:
    """Form, bytes and bits on the air of hexadecimal digits; None when they are none. An odd one is filled with F."""
    if not _DIGITS.fullmatch(digits):
        return None
    data = bytes.fromhex((digits + b"F" * (len(digits) % 2)).decode("ascii"))
    bits = 4 * len(digits)
    if len(digits) % 2 == 0 and data:
        if data[0] == MIXED_MARK:
            return Form.MIXED, data[1:], bits
        if data[0] == POSITION_MARK:
            return Form.POSITION, data, bits
    return Form.CODE, data, bits


def to_digits(form: Form, content: bytes, bits: int) -> str:
    """The hexadecimal digits of content that is no text; raises ValueError for a form that cannot be sent."""
    if form is Form.MIXED:
        return f"{MIXED_MARK:02X}{content.hex().upper()}"
    if form not in (Form.CODE, Form.POSITION):
        raise ValueError(f"content of the form {form.value} cannot be sent")
    digits = content.hex().upper()
    return digits[:-1] if bits == 4 * len(digits) - 4 else digits


def text_bits(content: bytes, per_character: int) -> int:
    """Bits on the air of GBK text; what is no GBK counts as characters of two bytes."""
    try:
        return per_character * len(content.decode("gbk"))
    except UnicodeDecodeError:
        return per_character * ((len(content) + 1) // 2)


def read_21(number: str, content: bytes) -> tuple[Form, bytes, int]:
    """Form, bytes, bits of TXA and TXR content. `number` 0 text, 1 code, 2 mixed, 3 position (a maker's value)."""
    if number not in ("0", "1", "2", "3"):
        raise Unreadable(f"form {number!r} of the content is not known")
    if number == "0":
        return Form.TEXT, content, text_bits(content, TEXT_BITS_21)
    return _digits_or_raw(content)


def read_bds3(number: str, content: bytes) -> tuple[Form, bytes, int]:
    """Form, bytes, bits of TCQ and TCI content. `number` 1 text, 2 code, 3 mixed, 4 and 5 compressed."""
    if number not in ("1", "2", "3", "4", "5"):
        raise Unreadable(f"encoding {number!r} of the content is not known")
    if number == "1":
        return Form.TEXT, content, text_bits(content, TEXT_BITS_BDS3)
    if number in ("4", "5"):
        return Form.COMPRESSED, content, 8 * len(content)
    return _digits_or_raw(content)


def _digits_or_raw(content: bytes) -> tuple[Form, bytes, int]:
    """Some terminals put an empty field before the content; some print raw text where digits belong."""
    inner = content[1:] if content.startswith(b",") else content
    found = from_digits(inner)
    return found if found is not None else (Form.RAW, content, 8 * len(content))
