"""A host at the simulated Beidou terminal, stepped from instant to instant: what the tests of the simulator share."""

from __future__ import annotations

from drivers.beidou import wire
from drivers.beidou.wire import Dialect, Feedback, Stream
from sim.beidou.card import Card, commanding
from sim.beidou.satellite import Air, Satellite
from sim.beidou.terminal import Terminal
from sim.beidou.trouble import Trouble

SITE, PROVINCE = 1207733, 1595001
PACKET = bytes(range(0x40, 0x5A))


class Host:
    """One terminal and another card's in the air, stepped from instant to instant; keeps what the terminal says."""

    def __init__(
        self, dialect: Dialect, card: Card | None = None, trouble: Trouble | None = None, **sky: float
    ) -> None:
        self.now_s = 0.0
        self.satellite = Satellite(5, **({"loss": 0.0, "duplicate": 0.0, "reorder": 0.0} | sky))  # type: ignore[arg-type]
        self.card = card or Card(SITE)
        self.terminal = Terminal(dialect, self.card, reports={}, trouble=trouble)
        self.far = Terminal(Dialect.TEXT21, commanding(PROVINCE), reports={})
        self.air = Air(self.satellite, {"site": self.terminal, "province": self.far})
        self.heard: list[tuple[float, wire.Heard]] = []
        self.far_heard: list[wire.Heard] = []
        self._streams = (Stream(), Stream())

    def say(self, command: wire.Command) -> None:
        self.terminal.feed(wire.build(command), self.now_s)

    def send(self, packet: bytes = PACKET) -> None:
        self.say(wire.Send(self.terminal.dialect, PROVINCE, packet, own=SITE))

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while True:
            self.air.advance(self.now_s)
            self.heard += [(self.now_s, heard) for heard in self._streams[0].feed(self.terminal.out())]
            self.far_heard += self._streams[1].feed(self.far.out())
            wake_s = self.air.wake_s()
            if wake_s > end_s:
                break
            self.now_s = max(wake_s, self.now_s)
        self.now_s = end_s

    def feedback(self) -> list[Feedback]:
        """What has come since the last call."""
        found = [heard for _, heard in self.heard if isinstance(heard, Feedback)]
        self.heard.clear()
        return found
