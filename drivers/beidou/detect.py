"""Finds the terminal: at which baud rate it speaks, and in which dialect. Nothing sent here radiates.

The rate and dialect that worked last are asked first, at once. Else at each rate in turn, the port's own `baud` first:
listen (a terminal that prints its beams, or the GNSS receiver in it, shows that the rate is right), then ask for the
card in every dialect, one after the other; the first answer names the dialect. A dual module answers twice: then it is
BDS-3. A rate at which only noise is heard is the wrong one and is left at once, when `eager`: not each time, a silent
terminal on a noisy line would else never be found. `tcp:` ports have the one rate of the converter at their far end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from drivers.beidou.line import Line, card_query
from drivers.beidou.wire import Beams, Card, Dialect, Feedback, Health, Message, Report
from edge.contract import OpenPort, PortSettings
from edge.errors import PortLost

BAUDS = (115200, 19200, 9600, 38400, 57600, 4800)  # by how common they are
DIALECTS = (Dialect.BDS3, Dialect.TEXT21, Dialect.BINARY40)  # asked in this order
FIRST_BYTE_S = 1.2  # terminals that speak by themselves do so every second
LISTEN_S = 2.5  # where something is heard: a terminal prints a whole line in that time
ASK_APART_S = 1.0  # between queries; an answer that comes later is still heard
ANSWER_S = 2.0  # for the last query (an ESP32 driver of BDS-3 terminals waits as long)
DUAL_S = 1.0  # the other answer of a dual module is not later
MOST_HEARD = 1000  # reports kept of one search: a terminal at 115200 baud prints fewer in the 9 s of a rate
ENOUGH_NOISE_BYTES = 24  # a first line cut in two has some, too


@dataclass(frozen=True, slots=True)
class Found:
    """A terminal that answered, or at least names its dialect. `heard`: all it said meanwhile, in order."""

    line: Line
    dialect: Dialect
    heard: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class _At:
    """`contract.PortSettings` of the site's port at another baud rate."""

    id: str
    open: str
    baud: int
    parity: str
    stop_bits: int
    data_bits: int


@dataclass(slots=True)
class _Trace:
    """What a search has come across, for the sentence when it ends with nothing."""

    noisy: list[int] = field(default_factory=list)
    gnss: list[int] = field(default_factory=list)
    echo: list[int] = field(default_factory=list)


async def find(
    settings: PortSettings,
    open_port: OpenPort,
    known: tuple[int, Dialect] | None,
    eager: bool,
    say: Callable[[str], None],
) -> Found | str:
    """The terminal on a port, or a sentence why there is none. Raises PortLost when no rate can be opened.

    `known`: rate and dialect that worked last. `say` is told where it looks.
    """
    trace, lost = _Trace(), None
    opened = False
    fixed = settings.open.startswith("tcp:")
    if known is not None and (fixed or known[0] in (settings.baud, *BAUDS)):
        say(f"asking the terminal at {known[0]} baud, where it was last")
        try:
            found = await _visit(settings, open_port, known[0], (known[1],), False, trace)
        except PortLost as error:
            lost = error
        else:
            opened = True
            if found is not None:
                return found
    for baud in [settings.baud] if fixed else _in_order(settings.baud):
        say("looking for the terminal" + ("" if fixed else f" at {baud} baud"))
        try:
            found = await _visit(settings, open_port, baud, DIALECTS, eager, trace)
        except PortLost as error:
            lost = error
            continue
        opened = True
        if found is not None:
            return found
    if lost is not None and not opened:
        raise lost
    return _why_not(trace, settings.baud, fixed)


def _in_order(first: int) -> list[int]:
    return list(dict.fromkeys((first, *BAUDS)))


async def _visit(
    settings: PortSettings, open_port: OpenPort, baud: int, dialects: Sequence[Dialect], eager: bool, trace: _Trace
) -> Found | None:
    """One rate: opens the port, listens (unless one dialect is expected), asks. The port stays open when found."""
    at = _At(settings.id, settings.open, baud, settings.parity, settings.stop_bits, settings.data_bits)
    line = Line(await open_port(at), settings.id, baud)
    dialect = None
    heard: list[Report] = []
    try:
        if len(dialects) > 1:
            await _listen(line, heard)
        if heard or not eager or line.heard_bytes < ENOUGH_NOISE_BYTES:
            await _ask(line, dialects, heard)
        dialect = _named(heard)
    finally:
        if dialect is None:
            line.close()
    if dialect is not None:
        return Found(line, dialect, tuple(heard))
    places = trace.gnss if heard else trace.echo if line.echoes else trace.noisy if line.heard_bytes else []
    places.append(baud)
    return None


async def _listen(line: Line, heard: list[Report]) -> None:
    """Hears what the terminal says by itself, until one sentence of it has shown that the rate is right."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not heard:
        patience_s = began_s + (LISTEN_S if line.heard_bytes else FIRST_BYTE_S) - loop.time()
        if patience_s <= 0:
            return
        _add(heard, await line.hear(patience_s))


def _add(heard: list[Report], reports: Sequence[Report]) -> None:
    """Keeps the newest MOST_HEARD."""
    heard += reports
    del heard[:-MOST_HEARD]


async def _ask(line: Line, dialects: Sequence[Dialect], heard: list[Report]) -> None:
    """Asks for the card in each dialect until one answers; then waits for a dual module's other answer."""
    for dialect in dialects:
        await line.say(card_query(dialect))
        last = dialect is dialects[-1]
        if await _card(line, heard, ANSWER_S if last else ASK_APART_S):
            break
    if len(dialects) > 1 and _named(heard) not in (None, Dialect.BDS3):
        await _card(line, heard, DUAL_S, Dialect.BDS3)


async def _card(line: Line, heard: list[Report], patience_s: float, dialect: Dialect | None = None) -> bool:
    """Hears until a card report comes (of `dialect`, if given). Whether one came."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + patience_s
    while True:
        if any(isinstance(one, Card) and dialect in (None, one.dialect) for one in heard):
            return True
        left_s = until_s - loop.time()
        if left_s <= 0:
            return False
        _add(heard, await line.hear(left_s))


def _named(heard: Sequence[Report]) -> Dialect | None:
    """The dialect that reports give away: the card's first, else any. None: GNSS sentences or nothing."""
    cards = {report.dialect for report in heard if isinstance(report, Card)}
    hints = {report.dialect for report in heard if isinstance(report, Beams | Health | Message | Feedback)}
    for among in (cards, hints):
        for dialect in DIALECTS:
            if dialect in among:
                return dialect
    return None


def _why_not(trace: _Trace, first_baud: int, fixed: bool) -> str:
    def at(bauds: Sequence[int]) -> str:
        return "" if fixed else f" at {', '.join(str(baud) for baud in dict.fromkeys(bauds))} baud"

    if trace.gnss:
        rdss = "is this the terminal's RDSS port?"
        return f"GNSS sentences are heard{at(trace.gnss)}, but no card query is answered: {rdss}"
    if trace.echo:
        return f"only our own queries come back{at(trace.echo)}: are TX and RX joined, or is nothing attached?"
    if fixed:
        other = "Does the converter have the terminal's baud rate?"
    else:
        tried = ", ".join(map(str, _in_order(first_baud)))
        other = (
            f"Tried: {tried} baud. At another rate? Set the terminal to 115200, or write its rate into the port's baud"
        )
    if trace.noisy:
        return (
            f"something is heard{at(trace.noisy)}, but no Beidou terminal answers: is it another device, or a line "
            f"without ground? {other}"
        )
    return (
        "nothing is heard"
        + ("" if fixed else " at any baud rate")
        + ": is the terminal powered, are TX and RX crossed, "
        f"is it the right port? {other}"
    )
