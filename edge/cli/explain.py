"""`fengsui decode`: what bytes and lines from a wire mean. Asks no daemon, changes nothing.

    fengsui decode packet PACKET      a sealed packet (edge/cli/decode.py)
    fengsui decode DRIVER TEXT ...    lines or hexadecimal frames of a driver's wire, in the words of its own `explain`

Knows no protocol: drivers are found by entry point, and only the one that is named is imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from edge.cli import EXIT_FAILED
from edge.cli.show import printable, width
from edge.cli.verbs import json_option
from edge.config.plugs import Drivers
from edge.config.words import did_you_mean, listing
from edge.contract import Driver

TEXT_MOST_BYTES = 256 * 1024  # an hour of a terminal that reports every second; a longer log is cut by who asks
NAME_WIDTH_MOST = 24
PACKET = "packet"
DRIVER_HELP = "Lines or frames as the driver {} meets them"
Explained = Sequence[Mapping[str, Any]]


class Kinds(click.Group):
    """`packet`, and every installed driver that explains its wire."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [PACKET, *_explaining(Drivers(None))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == PACKET:
            command: click.Command = import_module("edge.cli.decode").packet
            return command
        drivers = Drivers(None)
        driver = drivers.load(cmd_name) if cmd_name in drivers.installed() else None
        return _command(driver) if isinstance(driver, Driver) and driver.explain else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Without importing what opens packets, which takes 40 ms."""
        with formatter.section("Commands"):
            drivers = [(name, DRIVER_HELP.format(name)) for name in _explaining(Drivers(None))]
            formatter.write_dl([(PACKET, "Open a sealed packet and print what it says"), *drivers])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(_why_not(args[0]))
        return super().resolve_command(ctx, args)


@click.command(cls=Kinds)
def decode() -> None:
    """Say in words what a sealed packet, or a line from a driver's wire, means."""


def _explaining(drivers: Drivers) -> list[str]:
    found = {name: drivers.load(name) for name in drivers.installed()}
    return [name for name, driver in found.items() if isinstance(driver, Driver) and driver.explain]


def _why_not(name: str) -> str:
    """Why nothing can be decoded as `name`, and what can."""
    drivers = Drivers(None)
    known = [PACKET, *_explaining(drivers)]
    if name in drivers.installed():
        driver = drivers.load(name)
        why = driver if isinstance(driver, str) else f"the driver “{name}” explains nothing"
        return f"{why}; there are: {listing(known)}"
    near = did_you_mean(name, known)
    return f"“{name[:40]}” is nothing to decode; " + (
        f"did you mean “{near}”?" if near else f"allowed: {listing(known)}"
    )


def _command(driver: Driver) -> click.Command:
    """The command of one driver."""
    assert driver.explain is not None
    explain = driver.explain

    @click.command(driver.name, short_help=DRIVER_HELP.format(driver.name))
    @click.argument("texts", metavar="TEXT...", nargs=-1, required=True)
    @json_option
    def command(texts: tuple[str, ...], as_json: bool) -> None:
        """Say what lines or frames of this driver's wire mean.

        TEXT is a line in 'single quotes' (a shell eats $), or hexadecimal; - reads standard input. Exit code 1 when
        one of them is not valid.
        """
        _tell(explain, texts, as_json)

    return command


def _tell(explain: Callable[[str], Explained], texts: Sequence[str], as_json: bool) -> None:
    found = [item for text in texts for item in explain(_read(text))]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    for item in () if as_json else found:
        for line in _lines(item):
            click.echo(printable(line))
    if not found:
        click.echo("nothing found: no line and no frame in it", err=True)
    if any(text.startswith(",") for text in texts):
        click.echo("the shell has eaten a word that begins with $: put the text in 'single quotes'", err=True)
    if not found or not all(item["valid"] for item in found):
        raise click.exceptions.Exit(EXIT_FAILED)


def _lines(item: Mapping[str, Any]) -> Iterator[str]:
    yield item["what"] if item["valid"] else f"not valid: {item['what']}"
    fields: Mapping[str, Any] = item.get("fields") or {}
    column = min(NAME_WIDTH_MOST, max(map(width, fields), default=0))
    for name, value in fields.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"  {name}{' ' * (column - width(name))}  {shown}"


def _read(text: str) -> str:
    """What is to be explained. Bytes that are no UTF-8 (frames, lines in GBK) come as hexadecimal: none is lost."""
    raw = sys.stdin.buffer.read(TEXT_MOST_BYTES + 1) if text == "-" else os.fsencode(text)
    if len(raw) > TEXT_MOST_BYTES:
        raise click.BadParameter(f"more than {TEXT_MOST_BYTES} bytes; give it in pieces", param_hint="TEXT")
    if not raw.strip():
        raise click.BadParameter("empty: there is nothing to explain", param_hint="TEXT")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.hex()
