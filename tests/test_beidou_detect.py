"""Finding a terminal in virtual time: dual modules, silent and noisy lines, wrong devices; only queries are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.beidou.detect import BAUDS, Found, find
from drivers.beidou.wire import Dialect, QueryCard, Stream
from edge.contract import Port, PortSettings
from edge.errors import PortLost
from sim.beidou.card import Card
from sim.beidou.port import Plugs
from sim.beidou.satellite import Air, Satellite
from sim.beidou.terminal import Terminal
from sim.virtual import run
from tests.beidou_rig import CARD, now


class Scripted:
    """A port on which `answer(written)` comes back after `delay_s`, and `noise` every so often."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _data: b"", noise: bytes = b"", every_s: float = 0.2):
        self.written = bytearray()
        self._answer, self._noise, self._every_s = answer, noise, every_s
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = False

    async def read(self) -> bytes:
        if self._noise and self._out.empty():
            await asyncio.sleep(self._every_s)
            return self._noise
        return await self._out.get()

    async def write(self, data: bytes) -> None:
        self.written += data
        answer = self._answer(data)
        if answer:
            self._out.put_nowait(answer)

    def flush_input(self) -> bytes:
        return b""

    def close(self) -> None:
        self.closed = True


def settings(baud: int = 115_200, opened: str = "serial:/dev/bd") -> PortSettings:
    return SimpleNamespace(id="bd", open=opened, baud=baud, parity="N", stop_bits=1, data_bits=8)


async def search(make: Callable[[int], Port], *, eager: bool = True, **more: Any) -> tuple[Found | str, list[int]]:
    opened = []

    async def open_port(at: PortSettings) -> Port:
        opened.append(at.baud)
        return make(at.baud)

    known = more.pop("known", None)
    said: list[str] = []
    return await find(settings(**more), open_port, known, eager, said.append), opened


def simulated(terminal: Terminal) -> Plugs:
    return Plugs(Air(Satellite(1), {"bd": terminal}))


def test_a_dual_module_is_bds3() -> None:
    async def story() -> None:
        talking: list[dict[str, float] | None] = [None, {}]
        for reports in talking:
            plugs = simulated(Terminal(Dialect.BDS3, Card(CARD), dual=True, reports=reports))
            found = await find(settings(), plugs.open_port, None, True, lambda _why: None)
            assert isinstance(found, Found)
            assert found.dialect is Dialect.BDS3

    run(story())


def test_a_dual_module_that_answers_the_old_query_first_is_bds3() -> None:
    icp = b"$BDICP,4216930,0,0,3,0,N,2,N,1,0,0,3,1,60,2,0,0,1,1,21,0,0,0*4E\r\n"
    ici = b"$BDICI,4207733,0,0,3,60,2,N,22*3A\r\n"

    async def story() -> None:
        def answer(data: bytes) -> bytes:
            return ici + icp if data.startswith(b"$CCICA") else b""

        found, _ = await search(lambda _baud: Scripted(answer))
        assert isinstance(found, Found)
        assert found.dialect is Dialect.BDS3

    run(story())


@pytest.mark.parametrize("baud", BAUDS)
def test_only_card_queries_are_sent(baud: int) -> None:
    """To the very last rate, everything written is a query that does not radiate."""
    ports: dict[int, Scripted] = {}

    async def story() -> None:
        found, opened = await search(lambda at: ports.setdefault(at, Scripted()), baud=baud)
        assert isinstance(found, str)
        assert opened == [baud, *(other for other in BAUDS if other != baud)]

    run(story())
    for port in ports.values():
        assert port.closed
        stream = Stream()
        heard = [*stream.feed(bytes(port.written)), *stream.flush()]
        assert [type(value) for value in heard] == [QueryCard] * 3
        assert {value.dialect for value in heard if isinstance(value, QueryCard)} == set(Dialect)


def test_the_whole_search_is_bounded() -> None:
    async def story() -> None:
        await search(lambda _baud: Scripted())
        assert now() < 35.0
        before_s = now()
        await search(lambda _baud: Scripted(noise=b"\xfe\x81" * 10), eager=False)
        assert now() - before_s < 45.0

    run(story())


def test_rates_with_noise_only_are_left_at_once_every_other_time() -> None:
    async def story() -> None:
        began_s = now()
        ports = [Scripted(noise=b"\xfe\x81" * 10) for _ in BAUDS]
        left = iter(ports)
        why, _ = await search(lambda _baud: next(left))
        assert now() - began_s < 16.0
        assert all(not port.written for port in ports)
        assert "115200, 19200" in str(why)
        assert "something is heard" in str(why)

    run(story())


def test_a_silent_terminal_on_a_noisy_line_is_found_the_other_time() -> None:
    ici = b"$BDICI,4207733,0,0,3,60,2,N,22*3A\r\n"

    class Noisy(Scripted):
        async def read(self) -> bytes:
            await asyncio.sleep(0.2)
            return b"\xfe\x81" * 10 if self._out.empty() else self._out.get_nowait()

    async def story() -> None:
        def make(_baud: int) -> Port:
            return Noisy(lambda data: ici if data.startswith(b"$CCICA") else b"")

        assert isinstance((await search(make))[0], str)
        found, _ = await search(make, eager=False)
        assert isinstance(found, Found)
        assert found.dialect is Dialect.TEXT21

    run(story())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Scripted(), "nothing is heard at any baud rate"),
        (lambda: Scripted(lambda data: data), "only our own queries come back"),
        (lambda: Scripted(noise=b"$GNZDA,070728.00,07,03,2024,00,00*72\r\n", every_s=1.0), "GNSS sentences are heard"),
        (lambda: Scripted(noise=b"hello\r\n", every_s=1.0), "something is heard"),
    ],
    ids=["silent", "echo", "gnss", "other"],
)
def test_what_is_not_a_terminal_is_said_in_a_sentence(make: Callable[[], Port], words: str) -> None:
    async def story() -> None:
        why, _ = await search(lambda _baud: make())
        assert isinstance(why, str)
        assert words in why

    run(story())


@pytest.mark.parametrize("noise", [b"", b"\xfe\x81" * 10])
def test_a_rate_that_is_not_tried_is_answered_with_what_to_do(noise: bytes) -> None:
    async def story() -> None:
        why, opened = await search(lambda _baud: Scripted(noise=noise), baud=1200)
        assert opened == [1200, *BAUDS]
        assert "Tried: 1200, 115200, 19200, 9600, 38400, 57600, 4800 baud" in str(why)
        assert "Set the terminal to 115200, or write its rate into the port's baud" in str(why)
        why, _ = await search(lambda _baud: Scripted(noise=noise), opened="tcp:10.0.0.7:4001")
        assert "115200" not in str(why), "the rate of a converter is not ours"
        assert "Does the converter have the terminal's baud rate?" in str(why)

    run(story())


def test_a_terminal_at_an_unusual_rate_is_found_by_the_baud_of_its_port() -> None:
    async def story() -> None:
        plugs = simulated(Terminal(Dialect.BDS3, Card(CARD), baud=230_400))
        assert isinstance(await find(settings(), plugs.open_port, None, True, lambda _why: None), str)
        found = await find(settings(baud=230_400), plugs.open_port, None, True, lambda _why: None)
        assert isinstance(found, Found)
        assert found.line.baud == 230_400

    run(story())


def test_a_port_that_cannot_be_opened_is_lost_and_one_bad_rate_is_not() -> None:
    async def story() -> None:
        def never(_baud: int) -> Port:
            raise PortLost("bd", "does not exist")

        with pytest.raises(PortLost):
            await search(never)

        ici = b"$BDICI,4207733,0,0,3,60,2,N,22*3A\r\n"

        def picky(baud: int) -> Port:
            if baud != 9600:
                raise PortLost("bd", "cannot do this rate")
            return Scripted(lambda data: ici if data.startswith(b"$CCICA") else b"")

        found, _ = await search(picky)
        assert isinstance(found, Found)
        assert found.line.baud == 9600

    run(story())


def test_a_network_port_has_one_rate() -> None:
    async def story() -> None:
        why, opened = await search(lambda _baud: Scripted(), opened="tcp:10.0.0.7:4001", known=(9600, Dialect.TEXT21))
        assert isinstance(why, str)
        assert set(opened) <= {9600, 115_200}
        assert opened.count(115_200) == 1

    run(story())


def test_what_worked_last_is_asked_first_and_found_in_a_moment() -> None:
    async def story() -> None:
        for dialect in Dialect:
            plugs = simulated(Terminal(dialect, Card(CARD), baud=4800))
            began_s = now()
            found = await find(settings(), plugs.open_port, (4800, dialect), True, lambda _why: None)
            assert isinstance(found, Found)
            assert (found.line.baud, found.dialect) == (4800, dialect)
            assert now() - began_s < 3.0

    run(story())


def test_a_terminal_that_was_changed_is_found_elsewhere() -> None:
    async def story() -> None:
        plugs = simulated(Terminal(Dialect.BINARY40, Card(CARD), baud=19_200))
        found = await find(settings(), plugs.open_port, (9600, Dialect.TEXT21), True, lambda _why: None)
        assert isinstance(found, Found)
        assert (found.line.baud, found.dialect) == (19_200, Dialect.BINARY40)

    run(story())


def test_a_terminal_that_reports_but_answers_no_query_is_found_without_card() -> None:
    bsi = b"$BDBSI,02,08,0,3,0,0,0,0,0,3,0,0*54\r\n"

    async def story() -> None:
        found, _ = await search(lambda _baud: Scripted(noise=bsi, every_s=1.0))
        assert isinstance(found, Found)
        assert found.dialect is Dialect.TEXT21

    run(story())
