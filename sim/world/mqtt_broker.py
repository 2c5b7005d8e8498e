"""An MQTT 5 broker in memory, as far as a gateway and its province need one: QoS 1, persistent sessions, take-over.

Written from the text of MQTT 5.0; it shares no code with the driver's library. `Broker` is plain state; a `Connection`
is fed bytes and writes bytes, both by its owner, which is the road the bytes travel on. What a client that is away is
owed waits in its session, bounded and with an age limit like Mosquitto's.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

QUEUED_MOST = 1000  # Mosquitto's max_queued_messages
EXPIRY_S = 600.0  # of what waits for a client: what sim/ground.py asks of a real broker
LARGEST_BYTES = 1_000_000  # a packet beyond it is nothing a gateway sends
RECEIVE_MAXIMUM_DEFAULT = 65_535
TAKEN_OVER, PROTOCOL_ERROR = 0x8E, 0x82

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 12, 14

# Bytes of the value of each property of CONNECT we skip or read (2.2.2.2); the others do not occur there.
_PROPERTY_SIZES = {0x11: 4, 0x21: 2, 0x27: 4, 0x22: 2, 0x19: 1, 0x17: 1}


class Garbled(Exception):
    """Not MQTT."""


@dataclass
class Session:
    """What the broker keeps of one client id."""

    client: str
    connection: Connection | None = None
    topics: list[str] = field(default_factory=list)
    waiting: deque[tuple[float, str, bytes]] = field(default_factory=lambda: deque(maxlen=QUEUED_MOST))
    unacked: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    next_id: int = 1
    receive_maximum: int = RECEIVE_MAXIMUM_DEFAULT


class Broker:
    """`published(connection, topic, payload)` is called for each message that comes in, before its PUBACK goes out."""

    def __init__(self, now_s: Callable[[], float], published: Callable[[Connection, str, bytes], None]) -> None:
        self.now_s = now_s
        self.published = published
        self.sessions: dict[str, Session] = {}

    def publish(self, topic: str, payload: bytes) -> None:
        """To everybody who has subscribed to `topic`, now or when they are back."""
        for session in self.sessions.values():
            if topic in session.topics:
                session.waiting.append((self.now_s(), topic, payload))
                self.push(session)

    def push(self, session: Session) -> None:
        """Sends what waits, as far as the client takes it."""
        connection = session.connection
        while connection is not None and session.waiting and len(session.unacked) < session.receive_maximum:
            since_s, topic, payload = session.waiting.popleft()
            if self.now_s() - since_s > EXPIRY_S:
                continue
            number, session.next_id = session.next_id, session.next_id % 65_535 + 1
            session.unacked[number] = (topic, payload)
            connection.write(_publish(topic, payload, number))

    def restart(self) -> None:
        """A broker that kept nothing: sessions are gone, connections reset."""
        for session in self.sessions.values():
            if session.connection is not None:
                session.connection.drop()
        self.sessions.clear()


class Connection:
    """One client's connection. `write` takes bytes for the client, `drop` ends it."""

    def __init__(self, broker: Broker, write: Callable[[bytes], None], drop: Callable[[], None], road: str) -> None:
        self.write = write
        self.drop = drop
        self.road = road
        self.session: Session | None = None
        self.keepalive_s = 0.0
        self._broker = broker
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        """Bytes of the client have arrived."""
        self._held += data
        try:
            for head, body in self._packets():
                self._take(head, body)
        except (Garbled, IndexError, struct.error, UnicodeDecodeError):
            self.end(PROTOCOL_ERROR)

    def end(self, reason: int) -> None:
        """The broker says DISCONNECT and closes."""
        self.write(bytes((DISCONNECT << 4, 2, reason, 0)))
        self.lost()
        self.drop()

    def lost(self) -> None:
        """The connection is gone; the session stays."""
        if self.session is not None and self.session.connection is self:
            self.session.connection = None
        self.session = None

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        while len(self._held) >= 2:
            size, start = _variable(self._held, 1)
            if start == 0 or len(self._held) < start + size:
                return
            head, body = self._held[0], bytes(self._held[start : start + size])
            del self._held[: start + size]
            yield head, body

    def _take(self, head: int, body: bytes) -> None:
        kind = head >> 4
        if kind == CONNECT:
            self._connect(body)
        elif self.session is None:
            raise Garbled
        elif kind == PUBLISH:
            self._published(head, body)
        elif kind == PUBACK:
            self.session.unacked.pop(int.from_bytes(body[:2], "big"), None)
            self._broker.push(self.session)
        elif kind == SUBSCRIBE:
            self._subscribe(body)
        elif kind == PINGREQ:
            self.write(b"\xd0\x00")
        elif kind == DISCONNECT:
            self.lost()
            self.drop()
        else:
            raise Garbled

    def _connect(self, body: bytes) -> None:
        name, place = _string(body, 0)
        if name != "MQTT" or body[place] != 5:
            raise Garbled
        flags, self.keepalive_s = body[place + 1], float(int.from_bytes(body[place + 2 : place + 4], "big"))
        size, place = _variable(body, place + 4)
        properties, place = body[place : place + size], place + size
        client, _ = _string(body, place)
        old = self._broker.sessions.get(client)
        present = old is not None and not flags & 0x02
        session = old if old is not None and present else Session(client)
        if old is not None and old.connection is not None:
            old.connection.end(TAKEN_OVER)  # 3.1.4-3
        session.receive_maximum = _receive_maximum(properties)
        session.connection, self.session = self, session
        self._broker.sessions[client] = session
        self.write(bytes((0x20, 3, int(present), 0, 0)))
        for number, (topic, payload) in session.unacked.items():
            self.write(_publish(topic, payload, number, again=True))
        self._broker.push(session)

    def _published(self, head: int, body: bytes) -> None:
        topic, place = _string(body, 0)
        number = b""
        if head & 0x06:
            number, place = body[place : place + 2], place + 2
        size, place = _variable(body, place)
        self._broker.published(self, topic, body[place + size :])
        if number:
            self.write(b"\x40\x02" + number)

    def _subscribe(self, body: bytes) -> None:
        assert self.session is not None
        size, place = _variable(body, 2)
        place += size
        codes = bytearray()
        while place < len(body):
            topic, place = _string(body, place)
            place += 1
            codes.append(1)
            if topic not in self.session.topics:
                self.session.topics.append(topic)
        self.write(bytes((0x90, 3 + len(codes))) + body[:2] + b"\x00" + codes)


def _publish(topic: str, payload: bytes, number: int, *, again: bool = False) -> bytes:
    name = topic.encode()
    body = struct.pack(">H", len(name)) + name + struct.pack(">H", number) + b"\x00" + payload
    return bytes((0x3A if again else 0x32,)) + _length(len(body)) + body


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, digit = size >> 7, size & 0x7F
        out.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(out)


def _variable(data: bytes | bytearray, place: int) -> tuple[int, int]:
    """A variable byte integer (1.5.5): (value, place behind it); place 0 while it is not whole."""
    value = shift = 0
    while place < len(data):
        value |= (data[place] & 0x7F) << shift
        if value > LARGEST_BYTES or shift > 21:
            raise Garbled
        if not data[place] & 0x80:
            return value, place + 1
        place, shift = place + 1, shift + 7
    return 0, 0


def _string(data: bytes, place: int) -> tuple[str, int]:
    size = int.from_bytes(data[place : place + 2], "big")
    if place + 2 + size > len(data):
        raise Garbled
    return data[place + 2 : place + 2 + size].decode(), place + 2 + size


def _receive_maximum(properties: bytes) -> int:
    place = 0
    while place < len(properties):
        code, place = properties[place], place + 1
        if code not in _PROPERTY_SIZES:
            raise Garbled
        if code == 0x21:
            return int.from_bytes(properties[place : place + 2], "big")
        place += _PROPERTY_SIZES[code]
    return RECEIVE_MAXIMUM_DEFAULT
