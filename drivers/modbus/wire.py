"""The Modbus grammar: a question's bytes, and the search for its one answer in whatever arrives.

Pure: bytes in; Answer, Refusal or Noise out. Never raises on what is received. pymodbus supplies the PDU classes, the
CRC and the frames; what counts as an answer is decided here, because RTU carries no transaction id and no length: it
must have the unit, the function and exactly the length that the question implies (for a write: the very address and
value), and a right CRC; on TCP the transaction id and the protocol id too. Everything else is noise: the adapter's
echo of our own question, a neighbour's frame, a disturbed bit. At most HELD_BYTES are kept while searching.

Facts: MODBUS Application Protocol V1.1b3 (functions, exception codes, 125 registers, 2000 bits), MODBUS over Serial
Line V1.02 (frame, CRC low byte first, 256 bytes), MODBUS Messaging on TCP/IP V1.0b (MBAP header).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadCoilsResponse,
    ReadDiscreteInputsRequest,
    ReadDiscreteInputsResponse,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.pdu import ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT = 1, 2, 3, 4
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS = 5, 6, 15, 16
BIT_FUNCTIONS = frozenset({READ_COILS, READ_DISCRETE, WRITE_COIL, WRITE_COILS})
SINGLE_WRITES = frozenset({WRITE_COIL, WRITE_REGISTER})  # their answer is the question, byte for byte

MAX_REGISTERS = 125
MAX_BITS = 2000
MAX_FRAME_BYTES = 256  # RTU
PROBE_REACH = 8  # registers (of bits, bytes) a probe may ask more or fewer; each unanswered one uses up a length
HELD_BYTES = 2 * MAX_FRAME_BYTES  # the longest answer, behind as much noise

_READS: dict[int, tuple[type[ModbusPDU], type[ModbusPDU]]] = {
    READ_COILS: (ReadCoilsRequest, ReadCoilsResponse),
    READ_DISCRETE: (ReadDiscreteInputsRequest, ReadDiscreteInputsResponse),
    READ_HOLDING: (ReadHoldingRegistersRequest, ReadHoldingRegistersResponse),
    READ_INPUT: (ReadInputRegistersRequest, ReadInputRegistersResponse),
}
_RTU = FramerRTU(DecodePDU(is_server=False))
_TCP = FramerSocket(DecodePDU(is_server=False))

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, still working",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}


class Request(NamedTuple):
    """A question. `quantity` registers or bits from `address` (0-based); `values` of a write: words, or bits 0/1."""

    unit: int
    function: int
    address: int
    quantity: int = 1
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The registers (0..65535) or bits (0/1) asked for; of a write, nothing: that it is done is the answer."""

    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The device answered with an exception."""

    code: int

    def __str__(self) -> str:
        return f"exception {self.code} ({EXCEPTIONS.get(self.code, 'not in the standard')})"


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are no answer to the question, and why not."""

    raw: bytes
    why: str


def crc_ok(frame: bytes) -> bool:
    """Whether `frame` ends in its right CRC, low byte first."""
    return len(frame) >= 4 and FramerRTU.compute_CRC(frame[:-2]).to_bytes(2, "big") == frame[-2:]


@lru_cache(maxsize=1024)  # a poller asks the same few questions for ever
def encode_pdu(request: Request) -> bytes:
    """Function code and data. Raises ValueError when address, quantity or values are outside the standard, but for
    function 5 with a number of 2 or more: relays with a timer take a duration so (Waveshare: coil 0x0200 + n)."""
    if request.function == WRITE_COIL and len(request.values) == 1 and request.values[0] > 1:
        return bytes([WRITE_COIL]) + request.address.to_bytes(2, "big") + request.values[0].to_bytes(2, "big")
    return bytes([request.function]) + _message(request).encode()


def _message(request: Request) -> ModbusPDU:
    address, values = request.address, request.values
    if request.function in _READS:
        return _READS[request.function][0](address=address, count=request.quantity)
    if len(values) != request.quantity:
        raise ValueError(f"{request.quantity} values announced, {len(values)} given")
    if request.function == WRITE_COIL:
        return WriteSingleCoilRequest(address=address, bits=[bool(values[0])])
    if request.function == WRITE_REGISTER:
        return WriteSingleRegisterRequest(address=address, registers=list(values))
    if request.function == WRITE_COILS:
        return WriteMultipleCoilsRequest(address=address, bits=[bool(value) for value in values])
    if request.function == WRITE_REGISTERS:
        return WriteMultipleRegistersRequest(address=address, registers=list(values))
    raise ValueError(f"function {request.function} is not one of 1 2 3 4 5 6 15 16")


@lru_cache(maxsize=1024)
def encode_rtu(request: Request) -> bytes:
    """The question as an RTU frame."""
    return _RTU.encode(encode_pdu(request), request.unit, 0)


def encode_tcp(request: Request, transaction: int) -> bytes:
    """The question as a Modbus TCP frame; `transaction` 0..65535."""
    return _TCP.encode(encode_pdu(request), request.unit, transaction)


def answer_bytes(request: Request) -> int:
    """How many bytes of data follow the byte count in the answer to a read; 4 for the echo of a write."""
    if request.function not in _READS:
        return 4
    return (request.quantity + 7) // 8 if request.function in BIT_FUNCTIONS else 2 * request.quantity


def answer_pdu_bytes(request: Request) -> int:
    """The exact length of the answer's PDU."""
    return answer_bytes(request) + (2 if request.function in _READS else 1)


def decode_pdu(request: Request, pdu: bytes) -> Answer | Refusal | Noise:
    """Judges a whole PDU as the answer to `request`."""
    if len(pdu) == 2 and pdu[0] == request.function | 0x80:
        return Refusal(pdu[1])
    if not pdu or pdu[0] != request.function:
        return Noise(pdu, f"it answers another function, not {request.function}")
    if len(pdu) != answer_pdu_bytes(request):
        return Noise(pdu, f"its PDU is {len(pdu)} bytes long, {answer_pdu_bytes(request)} were due")
    if request.function not in _READS:
        return Answer(()) if pdu == encode_pdu(request)[:5] else Noise(pdu, "it confirms another write")
    if pdu[1] != answer_bytes(request):
        return Noise(pdu, f"its byte count is {pdu[1]}, {answer_bytes(request)} was due")
    if request.function not in BIT_FUNCTIONS:
        return Answer(struct.unpack(f">{request.quantity}H", pdu[2:]))
    message = _READS[request.function][1]()
    message.decode(pdu[1:])
    return Answer(tuple(int(bit) for bit in message.bits[: request.quantity]))


def decode_rtu(request: Request, frame: bytes) -> Answer | Refusal | Noise:
    """Judges one whole RTU frame as the answer to `request`."""
    if len(frame) < 4:
        return Noise(frame, "it is too short for a frame")
    if not crc_ok(frame):
        return Noise(frame, "its CRC is wrong")
    if frame[0] != request.unit:
        return Noise(frame, f"it comes from unit {frame[0]}, unit {request.unit} was asked")
    verdict = decode_pdu(request, frame[1:-2])
    return Noise(frame, verdict.why) if isinstance(verdict, Noise) else verdict


class Exchange:
    """One question, and the search for its answer.

    `frame` is to be sent; `feed` takes what arrives. `transaction` None: RTU. `echo`: whether the adapter gives our
    own bytes back (2-wire RS-485 without echo suppression); None: not known yet, then `echo_heard` tells afterwards.
    With an echo the confirmation of a single write must come twice, since it equals the question.
    """

    def __init__(self, request: Request, transaction: int | None = None, echo: bool | None = False) -> None:
        self.request = request
        self.echo_heard = False
        self.noise_bytes = 0
        self.is_rtu = transaction is None
        self._heard = bytearray()
        self._echo = echo if self.is_rtu else False
        if transaction is None:
            self.frame = encode_rtu(request)
        else:
            self.frame = encode_tcp(request, transaction)
        self._shapes = _answer_begins(request, transaction)

    def feed(self, data: bytes) -> Answer | Refusal | None:
        """The next reply, as soon as all of it has arrived, wherever it begins; None: not yet."""
        self._heard += data
        self._skip_echo()
        start = self._heard.find(self._shapes[0][0][0])
        while start >= 0:
            verdict = self._judge(start)
            if verdict is not None:
                return verdict
            start = self._heard.find(self._shapes[0][0][0], start + 1)
        self._bound()
        return None

    def heard(self) -> bytes:
        """What arrived and was no reply (the newest HELD_BYTES of it): evidence."""
        return bytes(self._heard)

    def doubt(self, raw: bytes) -> str:
        """What is wrong with `raw`, as far as it can be told."""
        if not self.is_rtu:
            return "another transaction, unit, function or length than asked for"
        verdict = decode_rtu(self.request, raw)
        if not isinstance(verdict, Noise):
            return "it came too late"
        if not crc_ok(raw):
            return f"{verdict.why} (a disturbed line, no termination, wrong parity, or two devices with one address)"
        return verdict.why

    def _judge(self, start: int) -> Answer | Refusal | None:
        for begin, size in self._shapes:
            if not self._heard.startswith(begin, start) or len(self._heard) < start + size:
                continue
            frame = bytes(self._heard[start : start + size])
            if self.is_rtu and (not crc_ok(frame) or self._may_be_echo(frame)):
                continue
            verdict = decode_pdu(self.request, frame[1:-2] if self.is_rtu else frame[7:])
            if not isinstance(verdict, Noise):
                self.noise_bytes += start
                del self._heard[: start + size]
                return verdict
        return None

    def _may_be_echo(self, frame: bytes) -> bool:
        """A few questions begin like an answer with a right CRC; their echo must not pass for one."""
        return self._echo is not False and len(frame) < len(self.frame) and self.frame.startswith(frame)

    def _skip_echo(self) -> None:
        """Drops our own question, once; a single write's confirmation looks the same, so there only a known echo."""
        doubtful = self.request.function in SINGLE_WRITES and self._echo is None
        if self._echo is False or self.echo_heard or doubtful:
            return
        found = self._heard.find(self.frame)
        if found >= 0:
            self.echo_heard = True
            self.noise_bytes += found
            del self._heard[: found + len(self.frame)]

    def _bound(self) -> None:
        surplus = len(self._heard) - HELD_BYTES
        if surplus > 0:
            self.noise_bytes += surplus
            del self._heard[:surplus]


def explain(exchange: Exchange) -> str:
    """Why nothing that was heard was an answer: one clause for the person at the box."""
    raw = exchange.heard()
    unit = exchange.request.unit
    if not raw and not exchange.is_rtu:
        return (
            f"heard nothing, though the connection stands: is it unit {unit}, and does the instrument behind live? "
            'A serial converter may want mode = "rtu"'
        )
    if not raw:
        echo = " but the echo of our own question" if exchange.echo_heard else ""
        return f"heard nothing{echo}: check its power, the wiring (A and B swapped?), its address {unit}, the baud rate"
    return f"heard {len(raw)} bytes that are no answer: {exchange.doubt(raw)}"


@lru_cache(maxsize=1024)
def _pdu_begins(request: Request) -> tuple[bytes, bytes, int]:
    """How the PDU of the answer begins and that of the refusal, each behind its unit, and how long the answer's is."""
    is_read = request.function in _READS
    begin = bytes([request.function, answer_bytes(request)]) if is_read else encode_pdu(request)[:5]
    unit = bytes([request.unit])
    return unit + begin, unit + bytes([request.function | 0x80]), answer_pdu_bytes(request)


def _answer_begins(request: Request, transaction: int | None) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    """(how it begins, how long it is) of the answer and of the refusal."""
    answer, refusal, size = _pdu_begins(request)
    if transaction is None:
        return (answer, size + 3), (refusal, 5)
    head = transaction.to_bytes(2, "big") + b"\0\0"
    return (head + (size + 1).to_bytes(2, "big") + answer, size + 7), (head + b"\0\3" + refusal, 9)


Shape = tuple[int, int]  # all that RTU gives to tell one reply of a unit from another: (function code, PDU length)


@lru_cache(maxsize=1024)
def shapes(request: Request) -> tuple[Shape, Shape]:
    """The shapes that the answer and the refusal of `request` have."""
    return (request.function, answer_pdu_bytes(request)), (request.function | 0x80, 2)


def probe_for(request: Request, taken: frozenset[Shape]) -> Request | None:
    """A harmless read of another length: its answer has none of the shapes `taken`; None: there is none.

    It serves to find out whether a slow device has got past an older question: devices answer in order.
    """
    is_bits = request.function in BIT_FUNCTIONS
    function = request.function if request.function in _READS else (READ_COILS if is_bits else READ_HOLDING)
    step, most = (8, MAX_BITS) if is_bits else (1, MAX_REGISTERS)
    for delta in sorted(range(-PROBE_REACH, PROBE_REACH + 1), key=abs):
        quantity = request.quantity + delta * step
        probe = Request(request.unit, function, request.address, quantity)
        fits = 1 <= quantity <= most and request.address + quantity <= 65536
        if fits and shapes(probe)[0] not in taken:
            return probe
    return None
