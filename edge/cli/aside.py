"""The verbs that answer an alarm: ack (seen), shelve (not again for a while); each with a name and a reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge.cli.ask import answer, shelf_lines, socket_option
from edge.cli.show import printable
from edge.cli.verbs import json_option

by_option = click.option("--by", required=True, help="Your name.")
reason_option = click.option("--reason", required=True, help="Why; the province is told.")


def seconds(_ctx: click.Context, _parameter: click.Parameter, text: str) -> float:
    """30min, 2h: in seconds."""
    from edge.config.units import duration_ms  # brings in the site file, which --help need not wait for

    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("limit")
@by_option
@reason_option
@socket_option
@json_option
def ack(limit: str, by: str, reason: str, socket_path: Path, as_json: bool) -> None:
    """Acknowledge the alarm of LIMIT: recorded, shown and told to the province; nothing is held back."""
    answer(socket_path, as_json, _show, ask="ack", limit=limit, by=by, reason=reason)


@click.command()
@click.argument("limit")
@click.option("--for", "for_s", callback=seconds, required=True, help="How long: 30min, 2h. Red: 30min at most.")
@by_option
@reason_option
@socket_option
@json_option
def shelve(limit: str, for_s: float, by: str, reason: str, socket_path: Path, as_json: bool) -> None:
    """Put LIMIT aside: no alarms up to the level it stands at. What is worse goes out at once; a restart ends it."""
    answer(socket_path, as_json, _show, ask="shelve", limit=limit, for_s=for_s, by=by, reason=reason)


@click.command()
@click.argument("limit")
@socket_option
@json_option
def unshelve(limit: str, socket_path: Path, as_json: bool) -> None:
    """LIMIT is not put aside any longer; if it stands, its alarm goes out."""

    def show(shelf: Mapping[str, Any]) -> None:
        click.echo(printable(f"{limit} is no longer put aside; if it stands above what was told, its alarm goes out"))
        for line in shelf_lines(shelf):
            click.echo(line)

    answer(socket_path, as_json, show, ask="unshelve", limit=limit)


def _show(shelf: Mapping[str, Any]) -> None:
    click.echo("\n".join(shelf_lines(shelf)) or "nothing is acknowledged or put aside")
