"""The ways from the box to the broker, one for each MQTT link, with what can be wrong with each; and who waits there.

A road is found by the address that the link names. Bytes on it take `delay_s` and their own time at its rate. A cut
road behaves as TCP does over one: what was written waits and arrives when the road is back, but after USER_TIMEOUT_S
without an acknowledgement the near end gives up. A dead box says nothing any more: its connections stay open at the
far end until their keep-alive is over or the client comes back.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Callable
from math import inf

from sim.world.loop import WorldLoop
from sim.world.mqtt_broker import Broker, Connection
from sim.world.nouns import Record, Span

USER_TIMEOUT_S = 25.0  # TCP_USER_TIMEOUT of drivers/mqtt, which no socket pair knows of
REFUSED_AFTER_S = 0.05
BACK_S = (0.2, 3.0)  # TCP finds out that a road is back at its next retransmission
SYN_AGAIN_S = (1.0, 2.0, 4.0, 8.0)  # Linux: tcp_syn_retries, at 1, 3, 7 and 15 s
READ_BYTES = 65_536
TICK_S = 20.0  # how often the broker looks for clients whose keep-alive is over


class Road:
    """`state`: open, cut, refused, silent. `rate_bytes_s` 0: without limit."""

    def __init__(self, link: str, roads: Roads) -> None:
        self.link = link
        self.state = "open"
        self.delay_s = 0.03
        self.rate_bytes_s = 0.0
        self._roads = roads
        self._lines: dict[Line, None] = {}

    def set(self, state: str) -> None:
        """What is wrong with the road from now on."""
        if state == self.state:
            return
        was, self.state = self.state, state
        loop, record = self._roads.loop, self._roads.record
        spans = record.usable.setdefault(self.link, [])
        if was == "open":
            spans[-1].to_s = loop.time()
        if state == "open":
            spans.append(Span(loop.time(), inf))
        for line in list(self._lines):
            if state == "refused":
                line.reset()
            elif state == "open":
                loop.call_later(self._roads.random.uniform(*BACK_S), line.go_on)
            else:
                line.stop()

    def opened(self, line: Line) -> None:
        self._lines[line] = None

    def closed(self, line: Line) -> None:
        self._lines.pop(line, None)


class Line:
    """One TCP connection: the far end of the box's socket, and the broker's connection to it."""

    def __init__(self, road: Road, roads: Roads, sock: socket.socket, life: int) -> None:
        self.life = life
        self.closed = False
        self.heard_s = roads.loop.time()
        self._road = road
        self._roads = roads
        self._sock: socket.socket | None = sock
        self._up: deque[bytes] = deque()  # written by the box, not acknowledged by the far end
        self._down: deque[bytes] = deque()
        self._free_up_s = self._free_down_s = 0.0
        self._timeout: asyncio.TimerHandle | None = None
        self.connection = Connection(roads.broker, self._write, self._drop, road.link)
        road.opened(self)
        roads.loop.add_reader(sock.fileno(), self._readable)

    # -- from the box

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._near_gone()
        elif self._road.state == "open" and not self._up:
            self._carry_up(data)
        else:
            self._up.append(data)
            self._wait()

    def _carry_up(self, data: bytes) -> None:
        loop = self._roads.loop
        self._free_up_s = max(self._free_up_s, loop.time()) + self._time_s(data)
        loop.call_at(self._free_up_s + self._road.delay_s, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        if self._road.state != "open":
            self._up.append(data)
            self._wait()
        elif not self.closed:
            self.heard_s = self._roads.loop.time()
            self.connection.feed(data)

    # -- to the box

    def _write(self, data: bytes) -> None:
        if self.closed:
            return
        if self._road.state == "open" and not self._down:
            self._carry_down(data)
        else:
            self._down.append(data)

    def _carry_down(self, data: bytes) -> None:
        loop = self._roads.loop
        self._free_down_s = max(self._free_down_s, loop.time()) + self._time_s(data)
        loop.call_at(self._free_down_s + self._road.delay_s, self._hand_over, data)

    def _hand_over(self, data: bytes) -> None:
        if self._road.state != "open":
            self._down.append(data)
        elif self._sock is not None:
            try:
                self._sock.send(data)
            except OSError:  # closed, or a box that does not read
                self._near_gone()

    # -- the road

    def _time_s(self, data: bytes) -> float:
        return len(data) / self._road.rate_bytes_s if self._road.rate_bytes_s else 0.0

    def stop(self) -> None:
        """The road carries nothing any more."""

    def go_on(self) -> None:
        """The road is back."""
        if self._road.state != "open" or self.closed:
            return
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        up, down = b"".join(self._up), b"".join(self._down)
        self._up.clear()
        self._down.clear()
        if up:
            self._carry_up(up)
        if down:
            self._carry_down(down)

    def _wait(self) -> None:
        if self._timeout is None:
            self._timeout = self._roads.loop.call_later(USER_TIMEOUT_S, self._near_gives_up)

    def _near_gives_up(self) -> None:
        """TCP of the box has had no acknowledgement: the box sees an error. The far end does not know."""
        self._close_near()

    def reset(self) -> None:
        """Both ends learn at once."""
        self._close_near()
        self._far_gone()

    def dead(self) -> None:
        """The box is gone without a word."""
        self._close_near()

    def _near_gone(self) -> None:
        """The box closed its end. The FIN gets through where a road is."""
        self._close_near()
        if self._road.state == "open":
            self._far_gone()

    def _close_near(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        if self._sock is not None:
            self._roads.loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
        self._up.clear()
        self._down.clear()

    def _far_gone(self) -> None:
        self.closed = True
        self.connection.lost()
        self._road.closed(self)

    def _drop(self) -> None:
        """The broker closes; what it wrote before has left."""
        self.closed = True
        self._road.closed(self)
        if self._road.state == "open":
            self._roads.loop.call_later(self._road.delay_s + 0.001, self._close_near)

    def tick(self, now_s: float) -> None:
        """Keep-alive: MQTT 5.0, 3.1.2.10, one and a half times."""
        limit_s = 1.5 * self.connection.keepalive_s
        if not self.closed and limit_s and now_s - self.heard_s > limit_s:
            self._far_gone()
            if self._road.state == "open":
                self._close_near()


class Roads:
    """All roads: `by_host` address -> road."""

    def __init__(self, loop: WorldLoop, hosts: dict[str, str], record: Record, seed: str) -> None:
        """`hosts`: link -> the address it names."""
        self.loop = loop
        self.record = record
        self.random = random.Random(f"{seed}/roads")
        self.broker = Broker(loop.time, self._published)
        self.arrived: Callable[[str, str, bytes], None] = lambda _road, _topic, _payload: None
        self.by_link = {link: Road(link, self) for link in hosts}
        self._by_host = {host: self.by_link[link] for link, host in hosts.items()}
        self._lines: list[Line] = []
        self._life = 0
        for link in hosts:
            record.usable[link] = [Span(0.0, inf)]
        loop.connect = self._connect

    async def run(self) -> None:
        """Keep-alives. Runs until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self._lines = [line for line in self._lines if not line.closed]
            for line in self._lines:
                line.tick(self.loop.time())

    def power_off(self) -> None:
        """The box is gone; its next life begins."""
        self._life += 1
        for line in self._lines:
            line.dead()

    def _published(self, connection: Connection, topic: str, payload: bytes) -> None:
        self.arrived(connection.road, topic, payload)

    async def _connect(self, address: tuple[str, int]) -> Callable[[socket.socket], None]:
        road = self._by_host.get(address[0])
        if road is None:
            raise ConnectionRefusedError
        self.record.used.setdefault(road.link, []).append(self.loop.time())
        await asyncio.sleep(REFUSED_AFTER_S + 2 * road.delay_s)
        for pause_s in SYN_AGAIN_S:
            if road.state != "cut":
                break
            await asyncio.sleep(pause_s)
        else:
            await asyncio.Event().wait()  # until who connects has had enough
        if road.state == "refused":
            raise ConnectionRefusedError

        def take(sock: socket.socket) -> None:
            self._lines.append(Line(road, self, sock, self._life))

        return take
