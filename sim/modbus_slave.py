"""Modbus slaves on one wire as a pure model: bytes in; (delay, bytes) out. No clock, no I/O, no driver code.

Written from the standard (MODBUS Application Protocol V1.1b3, MODBUS over Serial Line V1.02) with its own CRC and PDU
handling, so that a mistake in the driver is not repeated here. Time is given by the caller; with a baud rate the delays
hold the request's and the reply's time on the wire and the 3.5 silent characters before a reply. All chance comes from
one seeded generator.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sim.pty import character_s
from sim.series import Series

SILENT_CHARACTERS = 3.5
UART_BURST_BYTES = 8  # a UART hands over received bytes in bursts of about half its FIFO
HELD_BYTES = 512
TCP_LEAST_BYTES = 8  # MBAP header with the unit (7), and a function code
TABLES = ("coil", "discrete", "holding", "input")
FAULTS = ("silence", "noise", "crc", "late", "exception", "unit", "short", "twice", "split", "stuck")
PULSE_COILS = 0x200  # Waveshare's "flash on": function 5 to coil 0x200 + n with a number is n on for so many 0.1 s
PULSE_MOST = 0x7FFF
LOGGED = 10_000  # changes of coils that are kept
_FORMATS = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f", "f64": "d"}

_CRC_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ 0xA001 if _byte & 1 else _byte >> 1
    _CRC_TABLE.append(_byte)


def crc16(data: bytes) -> bytes:
    """The two CRC bytes as they stand on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return struct.pack("<H", crc)


def encode_words(value: float, kind: str = "u16", order: str = "ABCD") -> list[int]:
    """Registers that hold `value`; integers are rounded and kept within the type's range, as instruments do."""
    if kind.startswith("bcd"):
        data = bytes.fromhex(f"{max(0, round(value)):0{int(kind[3:]) // 4}d}")
    elif kind.startswith("f"):
        data = struct.pack(">" + _FORMATS[kind], value)
    else:
        bits = int(kind[1:])
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)
        data = struct.pack(">" + _FORMATS[kind], min(max(round(value), low), high))
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


@dataclass(slots=True)
class Fault:
    """`value`: seconds for late, the code for exception. `times` left; None: until cleared."""

    kind: str
    probability: float = 1.0
    value: float = 0.0
    times: int | None = None


@dataclass(slots=True)
class Live:
    """Registers that follow a series: one row lasts `every_s`; raw = (value - offset) / scale."""

    table: str
    address: int
    series: Series
    every_s: float
    kind: str = "u16"
    order: str = "ABCD"
    scale: float = 1.0
    offset: float = 0.0
    row: int = -1


@dataclass(slots=True)
class Slave:
    """One device: tables of what exists (reading or writing anything else is exception 2)."""

    unit: int
    coil: dict[int, int] = field(default_factory=dict)
    discrete: dict[int, int] = field(default_factory=dict)
    holding: dict[int, int] = field(default_factory=dict)
    input: dict[int, int] = field(default_factory=dict)
    live: list[Live] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    work_s: float = 0.0  # between the end of a request and the reply, beyond the 3.5 characters
    busy_until_s: float = 0.0  # it answers in order: a late reply holds up the next
    requests: int = 0
    writes: int = 0
    now_s: float = 0.0  # of the line, as of the last refresh
    pulses: dict[int, float] = field(default_factory=dict)  # coil -> when it falls by itself (PULSE_COILS)
    watchdog: int | None = None  # holding register: all coils fall after so many seconds without a request; 0 never
    heard_s: float = 0.0
    log: list[tuple[float, int, int]] = field(default_factory=list)  # coils that have changed: when, which, to what

    def table(self, name: str) -> dict[int, int]:
        """One of TABLES by name. Raises ValueError."""
        if name not in TABLES:
            raise ValueError(f"{name} is not a table: {', '.join(TABLES)}")
        table: dict[int, int] = getattr(self, name)
        return table

    def put(self, table: str, address: int, words: Iterable[int]) -> None:
        """Sets registers or bits, from `address` on."""
        self.table(table).update(enumerate(words, address))

    def refresh(self, now_s: float) -> None:
        """Brings the live registers and the timers to `now_s` after the start."""
        for coil, end_s in list(self.pulses.items()):
            if now_s >= end_s:
                del self.pulses[coil]
                self.turn(coil, 0, end_s)
        silence_s = self.holding.get(self.watchdog, 0) if self.watchdog is not None else 0
        if silence_s and now_s - self.heard_s >= silence_s:
            for coil in self.coil:
                self.turn(coil, 0, self.heard_s + silence_s)
        self.now_s = now_s
        for live in self.live:
            row = live.series.row_at(now_s, live.every_s)
            if row != live.row:
                live.row = row
                raw = (live.series.value(row) - live.offset) / live.scale
                self.put(live.table, live.address, encode_words(raw, live.kind, live.order))

    def turn(self, coil: int, value: int, at_s: float) -> None:
        """A coil takes a value, and it is noted when; unless the fault `stuck` holds it."""
        if self.coil[coil] != value and not any(fault.kind == "stuck" for fault in self.faults):
            self.coil[coil] = value
            self.log.append((at_s, coil, value))
            del self.log[:-LOGGED]

    def reply(self, pdu: bytes) -> bytes:
        """The reply PDU, an exception included."""
        self.heard_s = self.now_s
        self.requests += 1
        handler = _HANDLERS.get(pdu[0])
        if handler is None:
            return bytes([pdu[0] | 0x80, 1])
        try:
            return bytes([pdu[0]]) + handler(self, pdu)
        except KeyError:
            return bytes([pdu[0] | 0x80, 2])
        except (ValueError, struct.error):
            return bytes([pdu[0] | 0x80, 3])


def _read_words(slave: Slave, pdu: bytes) -> bytes:
    address, quantity = struct.unpack(">HH", pdu[1:])
    if not 1 <= quantity <= 125:
        raise ValueError(quantity)
    table = slave.holding if pdu[0] == 3 else slave.input
    return struct.pack(f">B{quantity}H", 2 * quantity, *(table[i] for i in range(address, address + quantity)))


def _read_bits(slave: Slave, pdu: bytes) -> bytes:
    address, quantity = struct.unpack(">HH", pdu[1:])
    if not 1 <= quantity <= 2000:
        raise ValueError(quantity)
    table = slave.coil if pdu[0] == 1 else slave.discrete
    packed = sum(table[address + i] << i for i in range(quantity))
    size = (quantity + 7) // 8
    return bytes([size]) + packed.to_bytes(size, "little")


def _write_bit(slave: Slave, pdu: bytes) -> bytes:
    address, value = struct.unpack(">HH", pdu[1:])
    if address - PULSE_COILS in slave.coil and 0 < value <= PULSE_MOST:
        slave.pulses[address - PULSE_COILS] = slave.now_s + value / 10
        address, value = address - PULSE_COILS, 0xFF00
    elif value not in (0, 0xFF00):
        raise ValueError(value)
    else:
        slave.pulses.pop(address, None)
    slave.turn(address, value >> 15, slave.now_s)
    slave.writes += 1
    return pdu[1:]


def _write_word(slave: Slave, pdu: bytes) -> bytes:
    address, value = struct.unpack(">HH", pdu[1:])
    _store(slave, slave.holding, address, [value])
    return pdu[1:]


def _write_bits(slave: Slave, pdu: bytes) -> bytes:
    address, quantity, size = struct.unpack(">HHB", pdu[1:6])
    if not 1 <= quantity <= 1968 or size != (quantity + 7) // 8 or len(pdu) != 6 + size:
        raise ValueError(quantity)
    packed = int.from_bytes(pdu[6:], "little")
    _store(slave, slave.coil, address, [packed >> i & 1 for i in range(quantity)])
    return pdu[1:5]


def _write_words(slave: Slave, pdu: bytes) -> bytes:
    address, quantity, size = struct.unpack(">HHB", pdu[1:6])
    if not 1 <= quantity <= 123 or size != 2 * quantity or len(pdu) != 6 + size:
        raise ValueError(quantity)
    _store(slave, slave.holding, address, struct.unpack(f">{quantity}H", pdu[6:]))
    return pdu[1:5]


def _store(slave: Slave, table: dict[int, int], address: int, values: Sequence[int]) -> None:
    for i in range(len(values)):
        table[address + i]  # all must exist before any is changed
    table.update(enumerate(values, address))
    slave.writes += 1


_HANDLERS: dict[int, Callable[[Slave, bytes], bytes]] = {
    1: _read_bits,
    2: _read_bits,
    3: _read_words,
    4: _read_words,
    5: _write_bit,
    6: _write_word,
    15: _write_bits,
    16: _write_words,
}


class Line:
    """The slaves on one wire. `is_rtu` False: Modbus TCP. `baud` None: no time on the wire. `echo`: 2-wire adapter."""

    def __init__(
        self,
        slaves: Iterable[Slave],
        *,
        is_rtu: bool = True,
        baud: int | None = None,
        bits: int = 10,
        seed: int = 1,
        echo: bool = False,
    ) -> None:
        self.slaves = {slave.unit: slave for slave in slaves}
        self.echo = echo
        self._is_rtu = is_rtu
        self._character_s = character_s(baud, bits) if baud and is_rtu else 0.0
        self._random = random.Random(seed)
        self._held = b""
        self._quiet_after_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[tuple[float, bytes]]:
        """The master sent `data` beginning at `now_s`: what comes back, each after so many seconds from then."""
        out: list[tuple[float, bytes]] = []
        sent_s = len(data) * self._character_s
        if self.echo:
            out.append((sent_s, data))
        if self._is_rtu and self._character_s and now_s > self._quiet_after_s:
            self._held = b""  # a silence ends a frame: what is incomplete by then is void
        self._quiet_after_s = now_s + sent_s + SILENT_CHARACTERS * self._character_s
        self._held = (self._held + data)[-HELD_BYTES:]
        for head, unit, pdu in self._requests():
            slave = self.slaves.get(unit)
            if slave is not None:
                slave.refresh(now_s)
                out += self._answer(slave, head, pdu, now_s, sent_s)
        return out

    def _requests(self) -> Iterable[tuple[bytes, int, bytes]]:
        """Whole requests out of what is held: (transaction id, unit, PDU)."""
        while self._held:
            size = _rtu_size(self._held) if self._is_rtu else _tcp_size(self._held)
            if size == 0 or len(self._held) < size:
                return
            frame, self._held = self._held[:size], self._held[size:]
            if not self._is_rtu and size < TCP_LEAST_BYTES:
                self._held = b""  # a length that has no room for unit and function: out of step
            elif not self._is_rtu:
                yield frame[:2], frame[6], frame[7:]
            elif crc16(frame[:-2]) == frame[-2:]:
                yield b"", frame[0], frame[1:-2]
            else:
                self._held = b""  # out of step: wait for the next silence

    def _answer(self, slave: Slave, head: bytes, pdu: bytes, now_s: float, sent_s: float) -> list[tuple[float, bytes]]:
        active = {fault.kind: fault for fault in slave.faults if self._strikes(fault)}
        slave.faults = [fault for fault in slave.faults if fault.times != 0]
        reply = bytes([pdu[0] | 0x80, int(active["exception"].value)]) if "exception" in active else slave.reply(pdu)
        if "silence" in active:
            return []
        unit = slave.unit % 247 + 1 if "unit" in active else slave.unit
        frame = self._disturb(self._frame(head, unit, reply), active)
        start_s = sent_s + SILENT_CHARACTERS * self._character_s + slave.work_s
        if "late" in active:
            start_s += active["late"].value
        out = self._paced(frame, max(start_s, slave.busy_until_s - now_s), 0.002 if "split" in active else 0.0)
        slave.busy_until_s = now_s + out[-1][0]
        return out

    def _strikes(self, fault: Fault) -> bool:
        if self._random.random() >= fault.probability:
            return False
        if fault.times is not None:
            fault.times -= 1
        return True

    def _frame(self, head: bytes, unit: int, pdu: bytes) -> bytes:
        if self._is_rtu:
            frame = bytes([unit]) + pdu
            return frame + crc16(frame)
        return head + struct.pack(">HHB", 0, len(pdu) + 1, unit) + pdu

    def _disturb(self, frame: bytes, active: dict[str, Fault]) -> bytes:
        if "crc" in active:
            flipped = bytearray(frame)
            bit = self._random.randrange(8 * len(frame))
            flipped[bit // 8] ^= 1 << bit % 8
            frame = bytes(flipped)
        if "short" in active:
            frame = frame[: self._random.randrange(1, len(frame))]
        if "twice" in active:
            frame += frame
        if "noise" in active:
            frame = self._random.randbytes(self._random.randint(1, 8)) + frame
        return frame

    def _paced(self, frame: bytes, start_s: float, pause_s: float) -> list[tuple[float, bytes]]:
        """In bursts, each due when its last character has crossed the wire; without a baud rate all at once."""
        burst = UART_BURST_BYTES if self._character_s or pause_s else len(frame)
        out = []
        for i in range(0, len(frame), burst):
            part = frame[i : i + burst]
            out.append((start_s + (i + len(part)) * self._character_s + i // burst * pause_s, part))
        return out


def _rtu_size(held: bytes) -> int:
    """How long the request at the beginning is; 0: cannot be told yet. An unknown function: all there is."""
    if len(held) < 2:
        return 0
    if held[1] in (15, 16):
        return 9 + held[6] if len(held) > 6 else 0
    return 8 if held[1] in _HANDLERS else len(held)


def _tcp_size(held: bytes) -> int:
    return 6 + int.from_bytes(held[4:6], "big") if len(held) >= TCP_LEAST_BYTES else 0
