"""An open port with the grammar on it, and what is said to a terminal in each dialect. No judgement lives here.

The grammar hands back values; bytes that are no frame are counted. One task reads, one may write at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from drivers.beidou.wire import (
    Command,
    Dialect,
    Form,
    Heard,
    Message,
    Noise,
    QueryCard,
    QueryStatus,
    QueryVersion,
    Report,
    Send,
    SetReport,
    Stream,
    build,
)
from edge.contract import Port
from edge.errors import PortLost

STATUS_EVERY_S = 5  # beams: often enough to know of a lost one before the next slot
SUPPLY_EVERY_S = 30  # battery, and on some BDS-3 terminals what the card may send at once
GNSS_EVERY_S = 20  # time and position: 160 bytes in 20 s are little, even at 4800 baud
OWN_BITS = 0x1FFFFF
FIRST_PACKET_BYTE, LAST_PACKET_BYTE = 0x40, 0x5F  # our packets; no maker's header begins so (Pancoit, Sealike)
QUIET_S = 0.5  # so long without a byte: what the grammar holds is no beginning of anything
WRITE_S = 5.0  # 300 bytes at 1200 baud take 2.5 s: a port that takes them no faster is stuck


class Line:
    """A port, and what was heard on it. Every call raises PortLost when the port is gone."""

    def __init__(self, port: Port, name: str, baud: int) -> None:
        self.baud = baud
        self.heard_bytes = 0
        self.noise_bytes = 0
        self.noise = ""  # why the last of them were none
        self.echoes = 0  # commands heard: ours, coming back
        self._port = port
        self._name = name
        self._stream = Stream()
        self._writing = asyncio.Lock()
        self._byte_s = asyncio.get_running_loop().time()

    async def hear(self, patience_s: float) -> list[Report]:
        """What comes within `patience_s`, as soon as there is something; [] for nothing (of use)."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(patience_s, QUIET_S) if self._stream.held_bytes else patience_s):
                data = await self._port.read()
        except TimeoutError:
            quiet = loop.time() - self._byte_s >= QUIET_S
            return self._sort(self._stream.flush()) if quiet else []
        self._byte_s = loop.time()
        self.heard_bytes += len(data)
        return self._sort(self._stream.feed(data))

    def _sort(self, heard: Sequence[Heard]) -> list[Report]:
        reports = []
        for value in heard:
            if isinstance(value, Noise):
                self.noise_bytes += len(value.raw)
                self.noise = value.why
            elif isinstance(value, Report):
                reports.append(value)
            else:
                self.echoes += 1
        return reports

    async def say(self, *commands: Command) -> None:
        """Writes commands. Raises PortLost, also when the port does not take them in time."""
        await self.write(b"".join(build(command) for command in commands))

    async def write(self, data: bytes) -> None:
        """Writes bytes. Raises PortLost, also when the port does not take them in time."""
        try:
            async with asyncio.timeout(WRITE_S):
                async with self._writing:
                    await self._port.write(data)
        except TimeoutError:
            raise PortLost(
                self._name, f"takes no bytes (waited {WRITE_S:g} s): is it stuck? Unplug and plug it"
            ) from None

    def close(self) -> None:
        self._port.close()


def subscriptions(dialect: Dialect, own: int) -> tuple[Command, ...]:
    """What makes a terminal tell its beams, and the time and position it may know. None of it radiates."""
    if dialect is Dialect.BINARY40:
        return QueryStatus(STATUS_EVERY_S, _own(own)), QueryVersion(_own(own))
    beams, supply = ("PWI", "ZDX") if dialect is Dialect.BDS3 else ("BSI", "ZTI")
    return (
        SetReport(beams, STATUS_EVERY_S),
        SetReport(supply, SUPPLY_EVERY_S),
        SetReport("GGA", GNSS_EVERY_S),
        SetReport("ZDA", GNSS_EVERY_S),
    )


def card_query(dialect: Dialect) -> Command:
    """Asks which card is in."""
    return QueryCard(dialect)


def message(dialect: Dialect, to: int, packet: bytes, own: int, code: bool) -> bytes:
    """The command that sends a packet: behind A4 as mixed content, or (`code`, BDS-3 only) as plain hex digits."""
    form = Form.CODE if code and dialect is Dialect.BDS3 else Form.MIXED
    return build(Send(dialect, to, packet, form, own=_own(own)))


def may_be_packet(heard: Message) -> bool:
    """Whether a message may hold a packet of ours."""
    begin = heard.content[:1]
    return heard.form in (Form.MIXED, Form.CODE) and begin != b"" and FIRST_PACKET_BYTE <= begin[0] <= LAST_PACKET_BYTE


def _own(number: int) -> int:
    """Our card's number in a 4.0 frame: 21 bits; 0 is taken too."""
    return number if number <= OWN_BITS else 0
