"""Reports of a terminal, written: what the simulator's terminal prints. The gateway does not use it.

`build_report` raises ValueError for a report that its dialect has no frame for. An outcome that a dialect has no number
for is written as refused without a reason, as such a terminal would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drivers.beidou.wire import binary, gnss, reports
from drivers.beidou.wire.build import card_text, content_40, frame, sentence
from drivers.beidou.wire.content import to_digits
from drivers.beidou.wire.fields import angle_text, plain, split_utc, time_text
from drivers.beidou.wire.values import (
    Ack,
    Beam,
    Beams,
    BitLimit,
    Card,
    Dialect,
    Feedback,
    Fix,
    Form,
    Health,
    Message,
    Other,
    Outcome,
    Position,
    Receipts,
    Report,
    UtcTime,
    Version,
)

BEAMS_21: Final = 10
MAX_WAIT_40_S: Final = 255  # one byte, where most terminals have it


def build_report(report: Report) -> bytes:
    """The bytes of a report."""
    match report:
        case Card():
            return _card(report)
        case Beams():
            return _beams(report)
        case Feedback():
            return _feedback(report)
        case Message():
            return _message(report)
        case Health():
            return _health(report)
        case Receipts():
            return _receipts(report)
        case Fix():
            return _fix(report)
        case UtcTime():
            return _time(report)
        case Position():
            return sentence(*gnss.position_fields(report))
        case BitLimit():
            return _bit_limit(report)
        case Version(dialect, text):
            if dialect is Dialect.BINARY40:
                return frame(b"BBXX", 0, text.encode("gbk", "replace"))
            return sentence("BDVRX", text)
        case Ack(command):
            return f"{command} OK!\r\n".encode("ascii")
        case Other(head, fields):
            if len(head) != 5:
                raise ValueError(f"{head} is no text sentence")
            return sentence(head, *fields)


def _card(card: Card) -> bytes:
    encrypted = "E" if card.encrypted else "N"
    if card.dialect is Dialect.BINARY40:
        body = b"\0" + card.broadcast.to_bytes(3, "big") + bytes([card.user_class])
        body += int(card.period_s).to_bytes(2, "big") + bytes([card.level, card.encrypted])
        return frame(b"ICXX", card.address or 0, body + card.subordinates.to_bytes(2, "big"))
    period, level = plain(card.period_s), str(card.level)
    if card.dialect is Dialect.TEXT21:
        address = "0000000" if card.address is None else card_text(card.address)
        broadcast, user_class = f"{card.broadcast:07d}", str(card.user_class)
        rest = (broadcast, user_class, period, level, encrypted, str(card.subordinates))
        return sentence("BDICI", address, card.serial, *rest)
    there = "0" if card.address is None else "1"
    fields = [str(card.address or 0), str(card.broadcast), "0", str(card.user_class), "0", encrypted, "2", "N"]
    fields += ["1", "0", "0", "3", there, period, level, "0", "0", "0", "0", str(card.subordinates), "0", "0", "0"]
    return sentence("BDICP", *fields)


def _beams(beams: Beams) -> bytes:
    if beams.dialect is Dialect.BINARY40:
        return frame(b"GLZK", 0, _steps(beams.beams, binary.BEAMS))
    if beams.dialect is Dialect.TEXT21:
        steps = _steps(beams.beams, max([BEAMS_21, *(beam.id for beam in beams.beams)]))
        pair = (f"{beams.response_beam or 0:02d}", f"{beams.difference_beam or 0:02d}")
        return sentence("BDBSI", *pair, *(str(step) for step in steps))
    fields = [time_text(beams.time_s_of_day or 0.0)]
    for group, width in ((beams.old_beams, 3), (beams.beams, 4)):
        fields.append(f"{len(group):02d}")
        for beam in group:
            pilot = "" if beam.pilot is None else plain(beam.pilot)
            fields += [str(beam.id), plain(beam.strength), pilot, "0"][:width]
    return sentence("BDPWI", *fields)


def _steps(beams: tuple[Beam, ...], count: int) -> bytes:
    steps = bytearray(count)
    for beam in beams:
        steps[beam.id - 1] = int(beam.strength)
    return bytes(steps)


def _code(feedback: Feedback, numbers: Mapping[int, Outcome], refused: int) -> int:
    """The dialect's number for an outcome."""
    if feedback.code is not None:
        return feedback.code
    return next((number for number, outcome in numbers.items() if outcome is feedback.outcome), refused)


def _feedback(feedback: Feedback) -> bytes:
    done = feedback.outcome is Outcome.SENT
    wait = int(feedback.wait_s or 0)
    if feedback.dialect is Dialect.BINARY40:
        flag = _code(feedback, binary.FLAGS, refused=1)
        extra = feedback.command.encode("ascii") if flag in binary.FLAGS_WITH_COMMAND else b""
        if flag == binary.FLAG_TOO_EARLY:
            extra = bytes([min(wait, MAX_WAIT_40_S)])
        return frame(b"FKXX", 0, bytes([flag]) + extra[:4].ljust(4, b"\0"))
    if feedback.dialect is Dialect.TEXT21:
        code = "0" if done else str(_code(feedback, reports.REASONS_21, refused=0))
        minutes = f"{min(wait // 60, 99):02d}{wait % 60:02d}"
        return sentence("BDFKI", feedback.command, "Y" if done else "N", "Y", code, minutes)
    code = "0" if done else str(_code(feedback, reports.REASONS_BDS3, refused=0))
    time = time_text(feedback.time_s_of_day or 0.0, 0)
    return sentence("BDFKI", time, feedback.command, "Y" if done else "N", code, str(wait))


def _message(message: Message) -> bytes:
    if message.dialect is Dialect.BINARY40:
        return _txxx(message)
    digits = message.form is not Form.TEXT
    content = to_digits(message.form, message.content, message.bits).encode("ascii") if digits else message.content
    time = message.sent_at
    if message.dialect is Dialect.TEXT21:
        number = {Form.TEXT: "0", Form.CODE: "1"}.get(message.form, "2")
        hhmm = "" if time is None else f"{time[0]:02d}{time[1]:02d}"
        return sentence("BDTXR", "4" if message.stored else "1", card_text(message.sender), number, hhmm, content)
    number = {Form.TEXT: "1", Form.CODE: "2"}.get(message.form, "3")
    hhmmss = "" if time is None else "".join(f"{part:02d}" for part in (*time, 0)[:3])
    receiver = "" if message.receiver is None else str(message.receiver)
    return sentence("BDTCI", card_text(message.sender), receiver, "2", hhmmss, number, "0", content)


def _txxx(message: Message) -> bytes:
    content, bits, digits = content_40(message.form, message.content, message.bits)
    info = 0x40 | (0x20 if digits else 0) | (0x08 if message.stored else 0)
    hour, minute = (message.sent_at or (0, 0))[:2]
    body = bytes([info]) + message.sender.to_bytes(3, "big") + bytes([hour, minute]) + bits.to_bytes(2, "big")
    return frame(b"TXXX", message.receiver or 0, body + content + bytes([not message.intact]))


def _health(health: Health) -> bytes:
    battery = health.battery_percent
    if health.dialect is Dialect.BINARY40:
        flags = bytes([health.card_ok is False, not health.hardware_ok, battery or 0, health.inbound or 0])
        return frame(b"ZJXX", 0, flags + _steps(health.beams, binary.BEAMS))
    if health.dialect is Dialect.BDS3:
        raise ValueError("BDS-3 terminals have no status sentence")
    flags_text = [str(int(name in health.faults)) for name in ("prm", "crypto", "antenna", "channel", "power")]
    return sentence("BDZTI", *flags_text, "0", "" if battery is None else str(battery), "")


def _receipts(receipts: Receipts) -> bytes:
    if receipts.dialect is Dialect.BINARY40:
        times = b"".join(bytes([*one.sent_at, *one.received_at]) for one in receipts.receipts)
        body = receipts.receiver.to_bytes(3, "big") + bytes([len(receipts.receipts)]) + times
        return frame(b"TXHZ", 0, body)
    texts = [f"{h:02d}{m:02d}" for one in receipts.receipts for h, m in (one.sent_at, one.received_at)]
    return sentence("BDHZR", card_text(receipts.receiver), str(len(receipts.receipts)), *texts)


def _fix(fix: Fix) -> bytes:
    height = fix.height_m
    if fix.dialect is Dialect.BINARY40:
        return frame(b"DWXX", fix.address, _dwxx_body(fix))
    place = [*angle_text(fix.lat_deg, "NS"), *angle_text(fix.lon_deg, "EW")]
    tail = ["" if height is None else plain(height), "M", "0", "M", "1", "V", "V", "L"]
    return sentence("BDDWR", "1", card_text(fix.address), time_text(fix.time_s_of_day), *place, *tail)


def _dwxx_body(fix: Fix) -> bytes:
    if fix.lat_deg < 0 or fix.lon_deg < 0:
        raise ValueError("the 4.0 dialect has no south and no west")
    hundredths = round(fix.time_s_of_day * 100)
    clock = [hundredths // 360_000, hundredths // 6000 % 60, hundredths // 100 % 60, hundredths % 100]
    place = []
    for degrees in (fix.lon_deg, fix.lat_deg):
        tenths = round(degrees * 36_000)
        place += [tenths // 36_000, tenths // 600 % 60, tenths // 10 % 60, tenths % 10]
    metres = int(fix.height_m or 0)
    height = abs(metres) | (binary.SIGN_BIT if metres < 0 else 0)
    return b"\0" + fix.address.to_bytes(3, "big") + bytes(clock + place) + height.to_bytes(2, "big") + b"\0\0"


def _time(time: UtcTime) -> bytes:
    if time.source != "SJXX":
        return sentence(*gnss.time_fields(time))
    if time.utc_ms is None:
        return frame(b"SJXX", 0, bytes(7))
    day, ms = split_utc(time.utc_ms)
    second = ms // 1000
    clock = [day.month, day.day, second // 3600, second // 60 % 60, second % 60]
    return frame(b"SJXX", 0, day.year.to_bytes(2, "big") + bytes(clock))


def _bit_limit(limit: BitLimit) -> bytes:
    strengths = [plain(value) for value in limit.strengths[: reports.BDS3_BEAMS]]
    strengths += ["0"] * (reports.BDS3_BEAMS - len(strengths))
    card, battery = str(limit.address or 0), f"{limit.battery_percent or 0:03d}"
    tail = [plain(limit.period_s), str(limit.level), str(limit.bits), "0", "20.0", "50", "101325"]
    return sentence("BDZDX", card, battery, *strengths, *tail)
