"""`fengsui-sim lines`: an instrument that prints lines on a pseudo-terminal, with faults.

`Instrument` is the pure model: row in, bytes out; all chance from one seed. A line is a template with values by number,
"$WIMWV,{0},R,{1},M,A" (a leading `$` gets its NMEA checksum) or "D,{0},{1}". Around it a real-time loop that adds the
time on the wire. While it runs it takes commands on standard input, each answered by one line on standard output:

    fault KIND CHANCE      clear      quit

Kinds: noise (bytes before the line), half (cut short, no end), damage (one bit flipped), long (no end for 600 bytes),
silence (not printed). From Python: `start("--series", ...)` runs it as a process and gives commands.
"""

from __future__ import annotations

import contextlib
import random
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from sim.pty import Pty, character_s
from sim.series import Series, load

FAULTS = ("noise", "half", "damage", "long", "silence")
NOISE_BYTES = 20
LONG_BYTES = 600  # more than the 512 a listener has to hold
UART_BURST_BYTES = 8  # a UART hands bytes over in bursts of about half its FIFO


class Instrument:
    """Prints one line a row. `faults`: kind -> chance that it befalls a line."""

    def __init__(self, template: str, sources: Sequence[Series | float], *, decimals: int = 2, seed: int = 1) -> None:
        self._template = template
        self._sources = tuple(sources)
        self._decimals = decimals
        self._random = random.Random(seed)
        self.faults: dict[str, float] = {}

    def values(self, row: int) -> tuple[float, ...]:
        """What is measured in a row."""
        return tuple(s.value(row) if isinstance(s, Series) else s for s in self._sources)

    def line(self, row: int) -> bytes:
        """The line as it ought to be, with its end."""
        text = self._template.format(*(f"{value:.{self._decimals}f}" for value in self.values(row)))
        return (_with_checksum(text) if text.startswith("$") else text).encode("latin-1") + b"\r\n"

    def say(self, row: int) -> bytes:
        """What comes out in a row, faults and all; b"" for nothing."""
        out = self.line(row)
        if self._happens("silence"):
            return b""
        if self._happens("damage"):
            place = self._random.randrange(len(out) - 2)
            out = out[:place] + bytes([out[place] ^ 1 << self._random.randrange(8)]) + out[place + 1 :]
        if self._happens("half"):
            out = out[: self._random.randrange(1, len(out) - 2)]
        if self._happens("noise"):
            out = self._random.randbytes(self._random.randrange(1, NOISE_BYTES)) + out
        if self._happens("long"):
            out = b"#" * LONG_BYTES + out
        return out

    def _happens(self, kind: str) -> bool:
        return kind in self.faults and self._random.random() < self.faults[kind]


def _with_checksum(text: str) -> str:
    total = 0
    for character in text[1:]:
        total ^= ord(character)
    return f"{text}*{total:02X}"


def obey(instrument: Instrument, text: str) -> str:
    """Carries out one command; "ok" or what is wrong with it."""
    words = text.split()
    if words == ["clear"]:
        instrument.faults.clear()
        return "ok"
    if len(words) == 3 and words[0] == "fault" and words[1] in FAULTS:
        with contextlib.suppress(ValueError):
            instrument.faults[words[1]] = float(words[2])
            return "ok"
    return f"not understood: {text.strip()!r}; fault {'|'.join(FAULTS)} CHANCE, clear, quit"


def _print_lines(instrument: Instrument, pty: Pty, every_s: float, baud: int) -> None:
    row, due_s = 0, time.monotonic() + every_s
    listening = True
    while True:
        ready = select.select([sys.stdin] if listening else [], [], [], max(due_s - time.monotonic(), 0.0))[0]
        if ready:
            text = sys.stdin.readline()
            if text.strip() == "quit":
                return
            listening = bool(text)
            if text.strip():
                click.echo(obey(instrument, text))
            continue
        _write_slowly(pty, instrument.say(row), baud)
        row, due_s = row + 1, due_s + every_s


def _write_slowly(pty: Pty, data: bytes, baud: int) -> None:
    for start_at in range(0, len(data), UART_BURST_BYTES):
        burst = data[start_at : start_at + UART_BURST_BYTES]
        time.sleep(len(burst) * character_s(baud))
        pty.write(burst)


class Running:
    """The simulator as a process; `address` is the PTY's name."""

    def __init__(self, *arguments: str) -> None:
        pipe = subprocess.PIPE
        command_line = [sys.executable, "-m", "sim.lines", *arguments]
        self._process = subprocess.Popen(command_line, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self.address = self._answer().removeprefix("ready ")

    def command(self, text: str) -> None:
        """Gives one command line. Raises RuntimeError when it is refused."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if answer != "ok":
            raise RuntimeError(answer)

    def stop(self) -> None:
        """Ends the process, as if the plug were pulled."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the simulator ended")
        return line.strip()


def start(*arguments: str) -> Running:
    """Starts the simulator with the options of `fengsui-sim lines`; ready when this returns."""
    return Running(*arguments)


def _source(text: str) -> Series | float:
    try:
        return float(text)
    except ValueError:
        return load(Path(text))


@click.command("lines")
@click.option(
    "--template", default="$WIMWV,{0},R,{1},M,A", show_default=True, help="Of a line; {0} is the first series."
)
@click.option("--series", "sources", multiple=True, required=True, help="A series file, or a number; may be repeated.")
@click.option("--every", "every_s", default=1.0, show_default=True, help="Seconds between lines.")
@click.option("--decimals", default=1, show_default=True, help="Digits after the point.")
@click.option("--baud", default=4800, show_default=True, help="Adds the time on the wire (NMEA 0183: 4800).")
@click.option("--pty", "link", type=click.Path(path_type=Path), help="Name for the pseudo-terminal.")
@click.option("--fault", "faults", multiple=True, help='"KIND CHANCE"; may be repeated.')
@click.option("--seed", default=1, show_default=True, help="Of all chance.")
def command(
    template: str,
    sources: tuple[str, ...],
    every_s: float,
    decimals: int,
    baud: int,
    link: Path | None,
    faults: tuple[str, ...],
    seed: int,
) -> None:
    """An instrument that prints lines. Commands on standard input: see the file's head."""
    try:
        instrument = Instrument(template, [_source(text) for text in sources], decimals=decimals, seed=seed)
        instrument.line(0)
    except (ValueError, OSError, LookupError) as error:
        raise click.UsageError(f"series or template: {error}") from error
    for fault in faults:
        answer = obey(instrument, f"fault {fault}")
        if answer != "ok":
            raise click.UsageError(answer)
    pty = Pty(link)
    try:
        click.echo(f"ready {pty.path}")
        _print_lines(instrument, pty, every_s, baud)
    except KeyboardInterrupt:
        click.echo("")
    finally:
        pty.close()


if __name__ == "__main__":
    command()
