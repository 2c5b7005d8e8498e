"""One MQTT connection, from CONNECT to its end: paho's client as the grammar, driven by the running event loop.

paho is given a socket that is already connected (`connect.py`) and neither thread nor loop of its own, so nothing here
blocks and a cancelled task leaves nothing behind. A session ends once: `ended` then holds the sentence why. It never
connects again; a new session is a new object, so that paho repeats nothing by itself (the outbox decides that).
paho's reason codes are kept, which is why this does not go through aiomqtt: it drops those of PUBACK.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from drivers.duration import parse_duration_s
from drivers.mqtt import MqttLink

ANSWER_TIMEOUT_S = 20.0  # CONNACK, and then SUBACK: 0.6 s by satellite; room for a broker that has just started
TICKS_PER_KEEPALIVE = 4  # a ping is at most a quarter late; brokers wait for one and a half keepalives
FAREWELL_S = 1.0  # for DISCONNECT to leave when we are told to stop
RECEIVE_MAXIMUM = 64  # downlink packets the broker may have on the way to us at once
LARGEST_DOWNLINK_BYTES = 65536  # more than any receipt or order; bounds what a broker can make us hold
PUBLISH_OVERHEAD_BYTES = 10  # fixed header 5, topic length 2, packet id 2, no properties 1

# What paho may raise on bytes that are no MQTT; it catches its own MalformedPacket only.
GARBLED = (ValueError, LookupError, TypeError, AttributeError, struct.error, MQTTException)

_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class Refused(Exception):
    """The broker answered, and said no; `str()` is the sentence."""


class _Client(paho.Client):
    """paho's client with a socket handed in, in place of one it would connect while blocking."""

    ready: socket.socket

    def _create_socket(self) -> Any:
        return self.ready


class Session:
    """One connection. All calls in the loop it was made in. `receive` is called with each downlink payload."""

    def __init__(self, settings: MqttLink, client_id: str, sock: socket.socket, receive: Callable[[bytes], None]):
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._sock = sock
        self._arrived: list[bytes] = []
        self._acks: dict[int, asyncio.Future[ReasonCode | None]] = {}
        self._connack: asyncio.Future[tuple[ReasonCode, Properties | None]] = self._loop.create_future()
        self._suback: asyncio.Future[list[ReasonCode]] = self._loop.create_future()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.receive_maximum = 65535  # MQTT 5.0, 3.2.2.3.3: when the broker names none
        self.largest_packet_bytes: int | None = None
        self.session_present = False
        self.heard_at_s = self._loop.time()
        self._version = settings.version
        tls = "" if settings.tls else ", does it want tls = true"
        old = ', is it an old one (version = "3.1.1")' if settings.version == "5" else ""
        self._hint = f": is an MQTT broker listening on that port{tls}{old}?"
        self._keepalive_s = round(parse_duration_s(settings.keepalive))
        self._expiry_s = round(parse_duration_s(settings.session_expiry))
        self._client = self._make_client(settings, client_id)

    def _make_client(self, settings: MqttLink, client_id: str) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=_VERSIONS[settings.version],
            clean_session=None if settings.version == "5" else False,
            reconnect_on_failure=False,
        )
        client.ready = self._sock
        client.max_inflight_messages = 65535  # the window is ours to keep, a queue inside paho would hide packets
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_socket_register_write = lambda *_: self._watch_write()
        client.on_socket_unregister_write = lambda *_: self._unwatch(read=False)
        client.on_socket_close = lambda *_: self._unwatch(read=True)
        return client

    async def open(self, topic: str, username: str, password: str | None) -> None:
        """Logs in and subscribes to `topic`. Raises Refused."""
        if username:
            self._client.username_pw_set(username, password)
        properties, clean_start = None, paho.MQTT_CLEAN_START_FIRST_ONLY
        if self._version == "5":
            clean_start = False
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._expiry_s
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = LARGEST_DOWNLINK_BYTES
        self._client.connect_async(
            "handed-in", keepalive=self._keepalive_s, clean_start=clean_start, properties=properties
        )
        self._loop.add_reader(self._sock.fileno(), self._read)
        self._client.reconnect()
        reason, granted = await self._answer(self._connack, "CONNECT")
        if reason.is_failure:
            raise Refused(self._say_refused(reason))
        self._keep(granted)
        self._client.subscribe(topic, qos=1)
        codes = await self._answer(self._suback, "SUBSCRIBE")
        if not codes or codes[0].is_failure:
            raise Refused(f"the broker does not let us read {topic} ({codes and codes[0]}): check its access list")

    async def _answer(self, future: asyncio.Future[Any], asked: str) -> Any:
        await asyncio.wait({future, self.ended}, timeout=ANSWER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        if self.ended.done():
            raise Refused(f"{self.ended.result()} in answer to {asked}{self._hint if asked == 'CONNECT' else ''}")
        raise Refused(f"no answer to {asked} in {ANSWER_TIMEOUT_S:.0f} s: is an MQTT broker listening there?")

    def _say_refused(self, reason: ReasonCode) -> str:
        name = str(reason)
        if "version" in name.lower():
            return f'the broker does not speak MQTT {self._version} ({name}): set version = "3.1.1"'
        if "identifier" in name.lower():
            return f"the broker does not accept our client id ({name}): check client_id"
        if "uthori" in name or "password" in name.lower():
            return f"the broker does not let us in ({name}): check username, password_file and its access list"
        return f"the broker refused us: {name}"

    def _keep(self, granted: Properties | None) -> None:
        """Limits the broker named in its CONNACK (MQTT 5.0, 3.2.2.3)."""
        self.receive_maximum = int(getattr(granted, "ReceiveMaximum", 65535))
        largest = getattr(granted, "MaximumPacketSize", None)
        self.largest_packet_bytes = None if largest is None else int(largest)
        self._keepalive_s = int(getattr(granted, "ServerKeepAlive", self._keepalive_s))

    async def serve(self) -> str:
        """Keeps the connection alive until it ends; returns why it did."""
        tick_s = max(self._keepalive_s, TICKS_PER_KEEPALIVE) / TICKS_PER_KEEPALIVE
        while not self.ended.done():
            await asyncio.wait({self.ended}, timeout=tick_s)
            self._client.loop_misc()
        return self.ended.result()

    def publish(self, topic: str, payload: bytes) -> asyncio.Future[ReasonCode | None] | None:
        """Sends at QoS 1. The future gives PUBACK's reason code, or None when the session ended first.

        None at once: not sent, the broker's Receive Maximum is used up or the session is over.
        """
        if self.ended.done() or len(self._acks) >= self.receive_maximum:
            return None
        info = self._client.publish(topic, payload, qos=1)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return None
        ack: asyncio.Future[ReasonCode | None] = self._loop.create_future()
        self._acks[info.mid] = ack
        return ack

    def end(self, why: str) -> None:
        """Closes at once; what is unacknowledged has an unknown fate."""
        if self.ended.done():
            return
        self.ended.set_result(why)
        self._unwatch(read=True)
        self._sock.close()
        for ack in self._acks.values():
            if not ack.done():
                ack.set_result(None)
        self._acks.clear()

    async def close(self) -> None:
        """Says DISCONNECT if that can leave within a second, so that the broker need not wait for us; then closes."""
        if not self.ended.done() and self._connack.done():
            self._client.disconnect()
            await asyncio.wait({self.ended}, timeout=FAREWELL_S)
        self.end("closed by us")

    def _watch_write(self) -> None:
        """Something is to leave. Not from within paho's call: should the socket fail, nobody there expects the end."""
        self._loop.call_soon(self._write)

    def _write(self) -> None:
        """A socket nearly always takes all; the rest leaves when it takes more."""
        if self.ended.done():
            return
        self._client.loop_write()
        if not self.ended.done() and self._client.want_write():
            self._loop.add_writer(self._sock.fileno(), self._client.loop_write)

    def _unwatch(self, *, read: bool) -> None:
        fd = self._sock.fileno()
        if fd < 0:
            return  # closed already; the number may belong to another socket by now
        self._loop.remove_writer(fd)
        if read:
            self._loop.remove_reader(fd)

    def _read(self) -> None:
        self.heard_at_s = self._loop.time()
        try:
            self._client.loop_read()
            while not self.ended.done() and self._pending():
                self._client.loop_read()
        except GARBLED as error:
            self.end(f"the broker sent something that is not MQTT ({error or type(error).__name__})")
        arrived, self._arrived = self._arrived, []
        for payload in arrived:
            self._receive(payload)

    def _pending(self) -> bool:
        """Whether TLS holds decrypted bytes that no readiness of the socket will tell of."""
        pending = getattr(self._sock, "pending", None)
        return pending is not None and self._sock.fileno() >= 0 and pending() > 0

    def _on_connect(self, _c: Any, _u: Any, flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        self.session_present = bool(flags.session_present)
        if not self._connack.done():
            self._connack.set_result((reason, properties))

    def _on_subscribe(self, _c: Any, _u: Any, _mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        if not self._suback.done():
            self._suback.set_result(codes)

    def _on_publish(self, _c: Any, _u: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        ack = self._acks.pop(mid, None)
        if ack is not None and not ack.done():
            ack.set_result(reason)

    def _on_message(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        self._arrived.append(bytes(message.payload))

    def _on_disconnect(self, _c: Any, _u: Any, flags: Any, reason: ReasonCode, _properties: Any) -> None:
        by_broker = flags.is_disconnect_packet_from_server
        why = "" if str(reason) == "Unspecified error" else f" ({reason})"  # paho's word for having nothing to say
        if by_broker:
            # What a broker does to the first of two clients with one id: MQTT 5.0, 3.1.4-3.
            hint = ": does another client use our client_id?" if "taken over" in str(reason).lower() else ""
            self.end(f"the broker closed the connection{why}{hint}")
        else:
            self.end(f"the connection was lost{why}")
