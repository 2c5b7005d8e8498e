"""`fengsui-sim beidou`: Beidou terminals on pseudo-terminals, with one satellite between them.

    fengsui-sim beidou --terminal site:4207733,link=/tmp/bd --terminal province:1595001,period=1

prints `ready site=/tmp/bd province=/dev/pts/4` and then takes commands on standard input (sim/beidou/control.py), and
`NAME unplug`, `NAME plug`, `quit`. Standard input that ends is no reason to stop. From Python: `start(...)` runs it as
a process and gives commands.
A pseudo-terminal carries bytes at once and at any rate: the time on the wire is added here, and who opens it at another
rate than the terminal's hears and says rubbish. What nobody reads is dropped, as by a UART whose port is closed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import click

from drivers.beidou.wire import Dialect
from sim.beidou.card import COMMANDING_CLASS, Card
from sim.beidou.control import Control
from sim.beidou.port import BACKLOG_S
from sim.beidou.satellite import Air, Satellite
from sim.beidou.terminal import Terminal
from sim.beidou.trouble import Trouble
from sim.beidou.tty import baud_of
from sim.beidou.uart import as_heard
from sim.pty import Pty, character_s

TTY_BYTES = 4095  # what the kernel keeps of a line that nobody reads
BURST_S = 0.005  # bytes are handed over in bursts of so long: a UART's FIFO, and few enough wake-ups
LEAST_BURST_BYTES = 8
KEYS = {"dialect", "period", "level", "bits", "baud", "link"}  # of one --terminal
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
SHORT_PERIOD_S = 10.0  # a card with a shorter one is a commanding card


class Line(Pty):
    """A pseudo-terminal at a terminal's baud rate."""

    def __init__(self, baud: int, link: Path | None) -> None:
        super().__init__(link)
        self._baud = baud
        self._queue: deque[tuple[float, bytes]] = deque()
        self._free_s = 0.0

    def heard(self) -> bytes:
        """What the host has said, as the terminal hears it."""
        return as_heard(self.read(), baud_of(self.fd) or self._baud, self._baud)

    def say(self, data: bytes, now_s: float) -> None:
        """The terminal says `data`: it goes out at its baud rate."""
        if self._free_s > now_s + BACKLOG_S:
            return
        self._free_s = max(self._free_s, now_s)
        size = max(LEAST_BURST_BYTES, int(BURST_S / character_s(self._baud)))
        for start in range(0, len(data), size):
            burst = data[start : start + size]
            self._free_s += len(burst) * character_s(self._baud)
            self._queue.append((self._free_s, burst))

    def flush(self, now_s: float) -> None:
        """Hands over what has come through by now."""
        while self._queue and self._queue[0][0] <= now_s:
            burst = as_heard(self._queue.popleft()[1], self._baud, baud_of(self.fd) or self._baud)
            (unread,) = struct.unpack("i", fcntl.ioctl(self._far, termios.FIONREAD, b"\0\0\0\0"))
            if unread + len(burst) <= TTY_BYTES:
                self.write(burst)

    def wake_s(self) -> float:
        return self._queue[0][0] if self._queue else float("inf")


@dataclass
class Plug:
    """A terminal's line; None while it is unplugged."""

    terminal: Terminal
    link: Path | None
    line: Line | None = field(init=False)

    def __post_init__(self) -> None:
        self.plug()

    def plug(self) -> None:
        self.line = Line(self.terminal.baud, self.link)

    def unplug(self) -> None:
        if self.line is not None:
            self.line.close()
            self.line = None


class Simulation:
    """Terminals, their lines and the satellite, in real time."""

    def __init__(self, satellite: Satellite, plugs: dict[str, Plug]) -> None:
        self._plugs = plugs
        self._air = Air(satellite, {name: plug.terminal for name, plug in plugs.items()})
        self._control = Control(self._air)
        self._listening = True
        self._typed = b""

    def run(self) -> None:
        """Until `quit`."""
        while True:
            self._turn(time.monotonic())
            if not self._wait():
                return

    def close(self) -> None:
        for plug in self._plugs.values():
            plug.unplug()

    def _turn(self, now_s: float) -> None:
        for plug in self._plugs.values():
            if plug.line is not None and (heard := plug.line.heard()):
                plug.terminal.feed(heard, now_s)
        self._air.advance(now_s)
        for plug in self._plugs.values():
            said = plug.terminal.out()
            if plug.line is not None:
                plug.line.say(said, now_s)
                plug.line.flush(now_s)

    def _wait(self) -> bool:
        """Until something happens; False when it is to end."""
        lines = [plug.line for plug in self._plugs.values() if plug.line is not None]
        wake_s = min([self._air.wake_s(), *(line.wake_s() for line in lines)])
        stdin = sys.stdin.fileno()
        sources = [line.fd for line in lines] + ([stdin] if self._listening else [])
        timeout_s = min(max(wake_s - time.monotonic(), 0.0), 3600.0)
        ready = select.select(sources, [], [], timeout_s)[0]
        return stdin not in ready or self._typed_in(os.read(stdin, 4096))

    def _typed_in(self, data: bytes) -> bool:
        self._listening = bool(data)
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if text == "quit":
                return False
            if text:
                click.echo(self._obey(text))
        return True

    def _obey(self, text: str) -> str:
        name, _, what = text.partition(" ")
        if name in self._plugs and what in ("plug", "unplug"):
            plug = self._plugs[name]
            if what == "unplug":
                plug.unplug()
            elif plug.line is None:
                plug.plug()
            return "ok" if plug.line is None else f"ok {plug.line.path}"
        return self._control.obey(text, time.monotonic())


class Running:
    """The simulator as a process; `paths`: terminal -> its pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        pipe = subprocess.PIPE
        command_line = [sys.executable, "-m", "sim.beidou.cli", *arguments]
        self._process = subprocess.Popen(command_line, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        words = self._answer().removeprefix("ready ").split(" ")
        self.paths = dict(word.split("=", 1) for word in words)

    def command(self, text: str) -> str:
        """Gives one command line; what is answered besides "ok". Raises RuntimeError when it is refused."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if not answer.startswith("ok"):
            raise RuntimeError(answer)
        return answer.removeprefix("ok").strip()

    def counts(self, name: str) -> dict[str, int]:
        """requests, over_rate, radiated, resets of one terminal."""
        words = self.command(f"{name} counts").split()
        return {key: int(number) for key, _, number in (word.partition("=") for word in words)}

    def stop(self) -> None:
        """Ends the process, as if the power were cut."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the simulator ended")
        return line.strip()


def start(*arguments: str) -> Running:
    """Starts the simulator with the options of `fengsui-sim beidou`; ready when this returns."""
    return Running(*arguments)


def parse_terminal(text: str, defaults: dict[str, str], seed: int) -> tuple[str, Plug]:
    """`NAME:CARD,key=value,...` with dialect, period, level, baud, link. Raises ValueError."""
    head, *pairs = text.split(",")
    name, _, number = head.partition(":")
    given = dict(pair.split("=", 1) for pair in pairs)
    if not NAME.fullmatch(name) or set(given) - KEYS:
        raise ValueError("NAME:CARD, then of dialect= period= level= bits= baud= link=")
    values = defaults | given
    period_s = float(values["period"])
    card = Card(int(number), period_s, int(values["level"]))
    if "bits" in given:
        card.bits = int(given["bits"])
    if period_s < SHORT_PERIOD_S:
        card.user_class = COMMANDING_CLASS
    utc_ms_at_0 = time.time_ns() // 1_000_000 - int(time.monotonic() * 1000)
    terminal = Terminal(
        Dialect(values["dialect"]), card, baud=int(values["baud"]), trouble=Trouble(seed), utc_ms_at_0=utc_ms_at_0
    )
    terminal.tells_bits = "bits" not in given
    return name, Plug(terminal, Path(values["link"]) if "link" in values else None)


@click.command("beidou")
@click.option("--terminal", "terminals", multiple=True, metavar="NAME:CARD,...", help="May be repeated; see below.")
@click.option("--card", default=4207733, show_default=True, help="Of the one terminal `site`, without --terminal.")
@click.option("--link", help="Name for the pseudo-terminal of `site`.")
@click.option("--dialect", type=click.Choice([d.value for d in Dialect]), default="bds3", show_default=True)
@click.option("--period", default=60.0, show_default=True, help="Seconds between messages of a card.")
@click.option("--level", default=3, show_default=True, type=click.IntRange(1, 5), help="Of a card: bits a message.")
@click.option("--baud", default=115_200, show_default=True)
@click.option("--loss", default=0.05, show_default=True, help="Chance of each message, each way.")
@click.option("--delay", nargs=2, type=float, default=(2.0, 8.0), show_default=True, help="Seconds, from and to.")
@click.option("--seed", default=1, show_default=True, help="Of all chance.")
def command(
    terminals: tuple[str, ...],
    card: int,
    link: str | None,
    dialect: str,
    period: float,
    level: int,
    baud: int,
    loss: float,
    delay: tuple[float, float],
    seed: int,
) -> None:
    """Beidou terminals on pseudo-terminals, and the satellite between them.

    NAME:CARD,dialect=2.1,period=60,level=3,baud=19200,link=/tmp/bd: what is left out is as the other options say.
    bits=408: what a message of this card may hold, which the terminal does not tell.
    Commands on standard input: see the head of sim/beidou/control.py.
    """
    texts = terminals or (f"site:{card}" + (f",link={link}" if link else ""),)
    defaults = {"dialect": dialect, "period": str(period), "level": str(level), "baud": str(baud)}
    plugs: dict[str, Plug] = {}
    for number, text in enumerate(texts):
        try:
            name, plug = parse_terminal(text, defaults, seed + number)
        except (ValueError, OSError) as error:
            raise click.UsageError(f"--terminal {text}: {error}") from error
        plugs[name] = plug
    simulation = Simulation(Satellite(seed, loss=loss, delay_s=delay), plugs)
    try:
        paths = " ".join(f"{name}={plug.line.path}" for name, plug in plugs.items() if plug.line is not None)
        click.echo(f"ready {paths}")
        with contextlib.suppress(KeyboardInterrupt):
            simulation.run()
    finally:
        simulation.close()


if __name__ == "__main__":
    command()
