"""What lines and frames of a Beidou terminal mean, in words for whoever stands at the box (`fengsui decode beidou`).

Text lines are taken as GBK, as terminals print; lines of nothing but hexadecimal digits and blanks are bytes. What is
not valid says exactly why. Reads only; nothing here can send.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import groupby
from typing import Any, Final

from drivers.beidou.wire import (
    LEVEL_BITS,
    Ack,
    Beam,
    Beams,
    BitLimit,
    Card,
    DeliveryReceipt,
    Dialect,
    Feedback,
    Fix,
    Form,
    Health,
    Heard,
    Locate,
    Message,
    Noise,
    Other,
    Outcome,
    Position,
    PositionInject,
    QueryCard,
    QueryPower,
    QueryReceipts,
    QueryStatus,
    QueryStored,
    QueryTime,
    QueryVersion,
    Receipts,
    Send,
    SetBeams,
    SetReport,
    Stream,
    UtcTime,
    Version,
    mixed_bytes,
)

_HEX = re.compile(r"[0-9A-Fa-f \t]+")
_NO_START = re.compile(rb"(BD|CC|G[A-Z])[A-Z0-9]{3},")
_SELF_DESTRUCT = re.compile(rb"[$!]CCZHS|\$JJZH")
_SHOWN_BYTES = 48  # of noise, in a sentence; all of it stands in the fields
OURS: Final = range(0x40, 0x60)  # first byte of Fengsui's packets

DESTROYS: Final = (
    "this order destroys the card for good (self-destruct). Fengsui has no way to send it: find out who did"
)

TO_DO: Final = {
    Outcome.SENT: "the burst went out; whether anybody received it only the receiver can say",
    Outcome.TOO_EARLY: "the card's period is not over: wait, then send the same again",
    Outcome.SUPPRESSED: "the system forbids this card to transmit: stop sending, ask the service operator",
    Outcome.SILENT: "radio silence is ordered: stop sending until whoever ordered it lifts it",
    Outcome.LOW_BATTERY: "the terminal's battery is low: see to its power, then send again",
    Outcome.NO_CARD: "the terminal finds no card: push it in fully, then switch the terminal off and on",
    Outcome.NO_SIGNAL: "no beam is locked: look for what shades the antenna (south-facing sky), then send again",
    Outcome.NO_PERMISSION: "the card may not do this: ask the operator for its permissions",
    Outcome.BAD_CHECK: "the command reached the terminal damaged: check cable and baud rate",
    Outcome.CRYPTO: "the card's cryptography failed: switch the terminal off and on, then look at the card",
    Outcome.REFUSED: "refused without a known reason: check length and destination, wait one period, try once more",
    Outcome.RELEASED: "the ban is lifted, by most terminals' manuals (some mean radio silence by this flag)",
}

# Sentences that are known and not interpreted further.
OTHERS: Final = {
    "SNR": "C/N0 of the 21 BDS-3 beams, dBHz",
    "CNO": "GNSS satellites and their C/N0, dBHz",
    "COV": "BDS-3 beams that are ready, with week and second of the week",
    "RNX": "how often GNSS sentences are printed (a maker's own)",
    "EPI": "answer to an emergency call",
    "MXX": "a message (DM229 family), its layout is not known",
    "GSA": "GNSS satellites used, and DOP",
    "GSV": "GNSS satellites in view",
    "VTG": "GNSS course and speed",
    "TXT": "a GNSS receiver's own words",
    "JMS": "radio silence, on with E and off with N",
    "COM": "the serial port's settings",
    "CKSC": "the serial port's baud rate",
    "BSSZ": "choice of beams",
    "JSZL": "end of a repeated command",
}


def explain(text: str) -> list[dict[str, Any]]:
    """One item for each sentence, frame and piece of noise in `text`: `valid`, `what`, `fields`, `dialect`."""
    return [_item(heard) for data in _bytes(text) for heard in _cut(data)]


def _bytes(text: str) -> Iterator[bytes]:
    """Lines of digits that follow each other are one run of bytes, so are lines of text."""
    lines = [line for line in text.splitlines() if line.strip()]
    for is_hex, group in groupby(lines, lambda line: _HEX.fullmatch(line) is not None):
        joined = list(group)
        if is_hex:
            digits = "".join("".join(joined).split())
            yield bytes.fromhex(digits if len(digits) % 2 == 0 else digits[:-1])
        else:
            yield b"".join(_encode(line.strip()) + b"\r\n" for line in joined)


def _encode(line: str) -> bytes:
    try:
        return line.encode("gbk")
    except UnicodeEncodeError:
        return line.encode("utf-8")


def _cut(data: bytes) -> list[Heard]:
    stream = Stream()
    return stream.feed(data) + stream.flush()


def _item(heard: Heard) -> dict[str, Any]:
    destroys = _SELF_DESTRUCT.match(heard.raw) is not None
    if isinstance(heard, Noise):
        what = f"{_shown(heard.raw)}: {heard.why}{_hint(heard.raw)}"
        if destroys:
            what += f"; but mind: {DESTROYS}"
        return {"valid": False, "what": what, "fields": {"hex": heard.raw.hex()}, "dialect": None}
    dialect = getattr(heard, "dialect", None)
    what = DESTROYS if destroys else _WORDS[type(heard)](heard)
    return {
        "valid": True,
        "what": what[0].upper() + what[1:],
        "fields": _fields(heard),
        "dialect": None if dialect is None else dialect.value,
    }


def _hint(raw: bytes) -> str:
    if _NO_START.match(raw):
        return "; the $ before it is missing (a shell eats it: put the line in 'single quotes')"
    return ""


def _shown(raw: bytes) -> str:
    """Noise as text where it is, else as hexadecimal."""
    cut = raw.strip(b"\r\n")[:_SHOWN_BYTES]
    more = "..." if len(raw.strip(b"\r\n")) > _SHOWN_BYTES else ""
    text = _text(cut)
    return f"“{text}{more}”" if text is not None else f"bytes {cut.hex(' ')}{more}"


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("gbk")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _fields(heard: Any) -> dict[str, Any]:
    """All that a value holds, in JSON types."""
    found = {one.name: _json(getattr(heard, one.name)) for one in fields(heard) if one.name not in ("raw", "dialect")}
    if isinstance(heard, Message | Send):
        text = _text(heard.content)
        if text:
            found["text"] = text
    return found


def _json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Beam | DeliveryReceipt):
        return {one.name: _json(getattr(value, one.name)) for one in fields(value)}
    return [_json(one) for one in value] if isinstance(value, tuple) else value


# --- terminal -> host ---


def _card(card: Card) -> str:
    if card.address is None:
        return "no card in the terminal: push it in fully, then switch the terminal off and on"
    bits = None if card.dialect is Dialect.BDS3 else LEVEL_BITS.get((card.level, card.encrypted))
    room = "" if bits is None else f", {bits} bits a message: {mixed_bytes(bits)} bytes of packet"
    return f"card {card.address} is in, level {card.level}, one message every {card.period_s:g} s{room}"


def _beams(beams: Beams) -> str:
    heard = [beam for beam in beams.beams if beam.strength > 0]
    if not heard:
        return "no beam is received: nothing can be sent; look for what shades the antenna (south-facing sky)"
    unit = " dBHz" if any(beam.pilot is not None for beam in heard) else " of 4"
    best = max(heard, key=lambda beam: beam.strength)
    return f"{len(heard)} of {len(beams.beams)} beams received, best is beam {best.id} with {best.strength:g}{unit}"


def _feedback(feedback: Feedback) -> str:
    wait = f"; the next one in {feedback.wait_s:g} s" if feedback.wait_s else ""
    code = f" (code {feedback.code})" if feedback.outcome is Outcome.REFUSED and feedback.code else ""
    command = f"{feedback.command}: " if feedback.command else ""
    return f"{command}{feedback.outcome.value}{code}: {TO_DO[feedback.outcome]}{wait}"


def _ack(ack: Ack) -> str:
    return f"the terminal has read a {ack.command}; that is no word about sending it"


def _message(message: Message) -> str:
    when = "" if message.sent_at is None else " at " + ":".join(f"{part:02d}" for part in message.sent_at) + " UTC"
    stored = ", stored until asked for" if message.stored else ""
    damaged = "; the terminal says that it arrived damaged" if not message.intact else ""
    return f"message from card {message.sender}{when}{stored}: {_content(message.form, message.content)}{damaged}"


def _content(form: Form, content: bytes) -> str:
    if form is Form.TEXT:
        return f"text “{_text(content) or content.hex()}”"
    if form is Form.RAW:
        return f"{len(content)} bytes that are not what their form promises"
    if form is Form.MIXED and content and content[0] in OURS:
        return f"{len(content)} bytes that look like a packet of Fengsui (see `fengsui decode packet`)"
    text = _text(content)
    return f"{len(content)} bytes of {form.value} content" + (f", in GBK “{text}”" if text else "")


def _health(health: Health) -> str:
    bad = f"not good: {', '.join(health.faults)}" if health.faults else "all parts good"
    battery = "" if health.battery_percent is None else f", battery {health.battery_percent} %"
    card = ""
    if health.card_ok is False:
        card = " (terminals that work show the card so, too: ask for the card itself, $ICJC)"
    return f"the terminal's own check: {bad}{battery}{card}"


def _receipts(receipts: Receipts) -> str:
    times = ", ".join(f"{one.received_at[0]:02d}:{one.received_at[1]:02d}" for one in receipts.receipts)
    what = f"got messages at {times} UTC" if times else "has no receipt for us"
    return f"card {receipts.receiver} {what}"


def _fix(fix: Fix) -> str:
    return f"card {fix.address} stands at {_place(fix.lat_deg, fix.lon_deg)}, found through the satellites"


def _place(lat_deg: float, lon_deg: float) -> str:
    return f"{abs(lat_deg):.5f}° {'NS'[lat_deg < 0]} {abs(lon_deg):.5f}° {'EW'[lon_deg < 0]}"


def _time(time: UtcTime) -> str:
    if time.utc_ms is None:
        return "the terminal has no time yet"
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time.utc_ms)
    return f"the time is {moment:%Y-%m-%d %H:%M:%S} UTC"


def _position(position: Position) -> str:
    if not position.valid or position.lat_deg is None or position.lon_deg is None:
        return "the GNSS receiver has no fix"
    count = "" if position.satellites is None else f" from {position.satellites} satellites"
    return f"GNSS position {_place(position.lat_deg, position.lon_deg)}{count}"


def _bit_limit(limit: BitLimit) -> str:
    room = f"{mixed_bytes(limit.bits)} bytes of packet"
    return f"card {limit.address}: up to {limit.bits} bits a message ({room}), one every {limit.period_s:g} s"


def _other(other: Other) -> str:
    name = other.sentence if len(other.sentence) == 4 else other.sentence[2:]
    known = OTHERS.get(name)
    return f"{other.sentence}: {known}" if known else f"{other.sentence}: its check is right; not used here"


# --- host -> terminal ---


def _send(send: Send) -> str:
    article = "an urgent" if send.urgent else "a"
    bits = f" ({send.bits} bits on the air)" if send.bits else ""
    return f"command: send {article} message to card {send.to}: {_content(send.form, send.content)}{bits}"


def _set_report(command: SetReport) -> str:
    what = command.what or "all sentences"
    if command.period_s is None:
        return f"command: stop printing {what}"
    return f"command: print {what} " + (f"every {command.period_s:g} s" if command.period_s else "once")


def _query_stored(query: QueryStored) -> str:
    of = "the newest" if query.sender is None else f"the newest of card {query.sender}"
    return f"command: give out {of} message that waits for us (it uses the slot)"


def _set_beams(command: SetBeams) -> str:
    if command.response is None and command.difference is None:
        return "command: choose the beams yourself"
    return f"command: use response beam {command.response}, time-difference beam {command.difference}"


def _inject(command: PositionInject) -> str:
    return f"command: you stand at {_place(command.lat_deg, command.lon_deg)}"


_WORDS: Final[dict[type, Callable[[Any], str]]] = {
    Card: _card,
    Beams: _beams,
    Feedback: _feedback,
    Ack: _ack,
    Message: _message,
    Health: _health,
    Receipts: _receipts,
    Fix: _fix,
    UtcTime: _time,
    Position: _position,
    BitLimit: _bit_limit,
    Version: lambda version: f"the terminal's version: {version.text}",
    Other: _other,
    Send: _send,
    SetReport: _set_report,
    SetBeams: _set_beams,
    PositionInject: _inject,
    QueryStored: _query_stored,
    QueryCard: lambda _: "command: which card is in?",
    QueryReceipts: lambda query: f"command: which messages to card {query.receiver} have arrived? (it uses the slot)",
    QueryStatus: lambda _: "command: how are you? (answered by ZJXX)",
    QueryPower: lambda _: "command: how strong are the beams? (answered by GLZK)",
    QueryTime: lambda _: "command: what time is it? (answered by SJXX)",
    QueryVersion: lambda _: "command: which version are you? (answered by BBXX)",
    Locate: lambda locate: f"command: find where card {locate.own} stands, through the satellites (it uses the slot)",
}
