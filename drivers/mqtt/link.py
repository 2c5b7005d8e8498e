"""Packets out to a broker and back: one `run` is one connection, the relay's ladder decides when to try again.

Uplink `fengsui/<gateway id>/up`, downlink `fengsui/<gateway id>/down`, one sealed packet a message, QoS 1. A PUBACK is
the broker's word, not the province's: nothing is settled here. The client id is fixed, one for each link (two links to
one broker would else throw each other out), and the session kept by the broker: downlink packets published while we
were away arrive on return.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from paho.mqtt.reasoncodes import ReasonCode

from drivers.mqtt import OTHERS_MAY_READ, MqttLink, tcp_port
from drivers.mqtt.connect import NoConnection, connect
from drivers.mqtt.session import PUBLISH_OVERHEAD_BYTES, Refused, Session
from drivers.mqtt.window import Flight, Window
from edge.contract import LinkState, Sent
from edge.errors import LinkLost

# 16 kB take 2 s at 64 kbit/s; TCP_USER_TIMEOUT (25 s) ends a dead path first, except behind a satellite terminal that
# acknowledges TCP for the far side (RFC 3135): there this is what notices.
PUBACK_TIMEOUT_S = 30.0


class PacketsOverMqtt:
    """contract.Link over one broker."""

    def __init__(self, link_id: str, gateway_id: str, settings: MqttLink) -> None:
        self._id = link_id
        self._client_id = settings.client_id or f"{gateway_id}.{link_id}"
        self._up, self._down = f"fengsui/{gateway_id}/up", f"fengsui/{gateway_id}/down"
        self._settings = settings
        self._broker = f"{settings.host}:{tcp_port(settings)}"
        self._session: Session | None = None
        self._window = Window(settings.window)
        self._state = LinkState(False, "not started", settings.mtu)
        self._changed: Callable[[], None] = lambda: None
        self._counts = dict.fromkeys(
            ("connects", "lost", "sent", "unknown", "refused", "received", "bytes_up", "bytes_down"), 0
        )
        self._last_puback_ms: int | None = None

    @property
    def window(self) -> int:
        """Packets that may be on the way at once; follows what the link can carry."""
        return self._window.size

    @window.setter
    def window(self, size: int) -> None:
        self._window.most = self._window.size = size

    def state(self) -> LinkState:
        """Up, down, and why."""
        return self._state

    def health(self) -> Mapping[str, Any]:
        """Counters since the start; `bytes_*` are packets handed over, without MQTT's and TCP's own bytes."""
        return {
            **self._counts,
            "in_flight": self._window.in_flight,
            "window": self._window.size,
            "last_puback_ms": self._last_puback_ms,
        }

    async def run(self, receive: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        """Connects and serves. Ends only by LinkLost (or by being cancelled)."""
        self._changed = changed
        self._say(False, f"connecting to {self._broker}")
        try:
            password = self._password()
            sock = await connect(self._settings)
        except NoConnection as error:
            self._lost(str(error))
        session = Session(self._settings, self._client_id, sock, lambda packet: self._deliver(packet, receive))
        try:
            await session.open(self._down, self._settings.username, password)
            self._opened(session)
            why = await session.serve()
        except Refused as error:
            why = str(error)
        finally:
            self._session = None
            await session.close()
        self._lost(f"{self._broker}: {why}")

    async def send(self, packet: bytes) -> Sent:
        """Publishes one packet; SENT is the broker's PUBACK. Never raises."""
        session = self._session
        if session is None or len(packet) > self._state.mtu_bytes:
            return Sent.NOT_SENT
        ack = session.publish(self._up, packet)
        if ack is None:
            return Sent.NOT_SENT
        self._counts["bytes_up"] += len(packet)
        loop = asyncio.get_running_loop()
        flight = self._window.sent(loop.time())
        try:
            await asyncio.wait({ack}, timeout=PUBACK_TIMEOUT_S)
        finally:
            outcome = self._judge(session, ack, flight, loop.time())
        return outcome

    def _judge(self, session: Session, ack: asyncio.Future[ReasonCode | None], flight: Flight, now_s: float) -> Sent:
        if not ack.done():
            self._unanswered(session, flight, now_s)
            return self._count("unknown", Sent.UNKNOWN)
        reason = ack.result()
        if reason is None:
            self._window.lost(flight)
            return self._count("unknown", Sent.UNKNOWN)
        self._window.acknowledged(flight, now_s)
        self._last_puback_ms = round((now_s - flight.at_s) * 1000)
        good = f"connected to {self._broker}"
        bad = f"{self._broker} refuses our packets ({reason}): check its access list for {self._up}"
        if self._session is session:  # not if it ended while its last PUBACK was on the way to us
            self._say(True, bad if reason.is_failure else good)
        if reason.is_failure:
            return self._count("refused", Sent.NOT_SENT)
        return self._count("sent", Sent.SENT)

    def _unanswered(self, session: Session, flight: Flight, now_s: float) -> None:
        if now_s - flight.at_s < PUBACK_TIMEOUT_S:  # cancelled, not timed out
            self._window.lost(flight)
            return
        self._window.timed_out(flight, now_s)
        if session.heard_at_s < flight.at_s:
            session.end(f"nothing was heard for {PUBACK_TIMEOUT_S:.0f} s while a packet waited for its PUBACK")

    def _count(self, name: str, outcome: Sent) -> Sent:
        self._counts[name] += 1
        return outcome

    def _deliver(self, packet: bytes, receive: Callable[[bytes], None]) -> None:
        self._counts["received"] += 1
        self._counts["bytes_down"] += len(packet)
        receive(packet)

    def _opened(self, session: Session) -> None:
        self._counts["connects"] += 1
        self._window.restart()
        self._window.most = min(self._settings.window, session.receive_maximum)
        self._session = session
        room = session.largest_packet_bytes
        mtu = self._settings.mtu
        if room is not None:
            mtu = min(mtu, room - PUBLISH_OVERHEAD_BYTES - len(self._up.encode()))
        self._say(True, f"connected to {self._broker}", mtu)

    def _say(self, up: bool, why: str, mtu_bytes: int | None = None) -> None:
        state = LinkState(up, why, mtu_bytes or self._state.mtu_bytes)
        if state != self._state:
            self._state = state
            self._changed()

    def _lost(self, why: str) -> NoReturn:
        self._counts["lost"] += 1
        self._say(False, why, self._settings.mtu)
        raise LinkLost(self._id, why)

    def _password(self) -> str | None:
        path = self._settings.password_file
        if path is None:
            return None
        try:
            if path.stat().st_mode & OTHERS_MAY_READ:
                raise NoConnection(f"others may read {path}; type: chmod 600 {path}")
            return path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NoConnection(f"the password file {path} cannot be read: {error}") from None
