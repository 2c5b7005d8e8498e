"""What the watcher of the demonstration sees: one line an event, seconds since the start, who, what.

Plain text for any terminal and any log; colour only where the output is a terminal. Knows nothing of processes.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

CHINESE = {"none": "解除", "blue": "蓝", "yellow": "黄", "orange": "橙", "red": "红"}
COLOURS = {"blue": "blue", "yellow": "yellow", "orange": "bright_red", "red": "red", "none": "green"}
WIDTH = 112
WHO_WIDTH = 9
GAUGE_CELLS = 24
GAUGE_LOW_M, GAUGE_HIGH_M = 418.6, 421.0
GAUGE_MARKS = {"Y": 419.5, "O": 420.0, "R": 420.5}  # as in pond.toml
CLOCKS_AGREE_MS = 10  # the gateway sets its clock by the province's receipts: within half a round trip
LINE_START = 20  # columns before the text of a line


def level_words(level: str) -> str:
    """`RED 红`, in its colour."""
    words = f"{'cleared' if level == 'none' else level.upper()} {CHINESE[level]}"
    return click.style(words, fg=COLOURS[level], bold=True)


def took_words(milliseconds: int) -> str:
    """A duration between two clocks as people say it: `under 10 ms`, `80 ms`, `2.3 s`."""
    if milliseconds < CLOCKS_AGREE_MS:
        return f"under {CLOCKS_AGREE_MS} ms"
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def gauge(level_m: float) -> str:
    """The pond as a bar with its thresholds: `[======Y==  O    R    ]`."""
    share = (level_m - GAUGE_LOW_M) / (GAUGE_HIGH_M - GAUGE_LOW_M)
    filled = round(min(1.0, max(0.0, share)) * GAUGE_CELLS)
    cells = ["="] * filled + [" "] * (GAUGE_CELLS - filled)
    for mark, at_m in GAUGE_MARKS.items():
        cells[round((at_m - GAUGE_LOW_M) / (GAUGE_HIGH_M - GAUGE_LOW_M) * GAUGE_CELLS)] = mark
    return f"[{''.join(cells)}]"


class Screen:
    """Prints. `start` is when this was made."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()
        self._acts = 0
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # a terminal without Chinese shows question marks rather than end the story

    def title(self, lines: Sequence[str]) -> None:
        for line in lines:
            click.echo(line)

    def act(self, english: str, chinese: str, *text: str) -> None:
        """The heading of an act, with what is going to happen."""
        self._acts += 1
        head = f"--- {self._acts}. {english} · {chinese} "
        wide = sum(1 for letter in head if letter > "⺀")  # a Chinese character takes two columns
        click.echo("\n" + click.style(head + "-" * (WIDTH - len(head) - wide), bold=True))
        for line in text:
            click.echo(" " * LINE_START + click.style(line, dim=True))

    def line(self, who: str, text: str) -> None:
        """One event. A long one goes on below itself."""
        first, *more = textwrap.wrap(click.unstyle(text), WIDTH - LINE_START) or [""]
        click.echo(f"{self._seconds()}  {who:<{WHO_WIDTH}} {first if more else text}")
        for part in more:
            click.echo(" " * LINE_START + part)

    def alarm(self, who: str, level: str, text: str) -> None:
        """One event of an alarm."""
        self.line(who, f"{level_words(level)}  {text}")

    def output(self, command: str, text: str) -> None:
        """What a command typed now has printed, as it stands; long lines go on below themselves."""
        click.echo(" " * LINE_START + click.style(f"$ {command}", bold=True))
        for line in text.splitlines():
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            for part in textwrap.wrap(line, WIDTH - LINE_START, subsequent_indent=indent, break_on_hyphens=False):
                click.echo(" " * LINE_START + part)

    def paragraph(self, text: str, colour: str | None = None) -> None:
        """Text outside the timeline."""
        for part in textwrap.wrap(text, WIDTH - 2):
            click.echo("  " + (click.style(part, fg=colour, bold=True) if colour else part))

    def status(self, values: Mapping[str, str], state: Mapping[str, Any] | None) -> None:
        """Where everything stands, on one line; `state` is the gateway's own status, None while it is dead."""
        click.echo(click.style(f"{self._seconds()}  · {self._standing(values, state)}", dim=True))

    def _standing(self, values: Mapping[str, str], state: Mapping[str, Any] | None) -> str:
        if state is None:
            return "gateway off: nobody measures, nobody judges"
        level = values.get("pond-level", "-")
        drawn = gauge(float(level)) if level != "-" else ""
        rain, pore = values.get("rain-24h", "-"), values.get("pore-2", "-")
        shown = f"rain {rain:>5} mm  pond {level} m {drawn}  pore {pore} kPa"
        account = state["store"]["account"]
        up = state["links"].get("fibre", {}).get("up")
        return f"{shown}  held {account['held']:>3} settled {account['settled']:>3}  fibre {'up' if up else 'DOWN'}"

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._start_s:6.1f} s"
