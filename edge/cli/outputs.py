"""`fengsui outputs` and `fengsui drill`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge.actions import DRILL_MOST_S
from edge.cli.aside import by_option, reason_option, seconds
from edge.cli.ask import answer, socket_option
from edge.cli.show import table
from edge.cli.verbs import json_option


@click.command()
@socket_option
@json_option
def outputs(socket_path: Path, as_json: bool) -> None:
    """Every output: how it stands, how it has to, because of what, and what is wrong with it."""
    answer(socket_path, as_json, _show, ask="outputs")


@click.command()
@click.argument("what", metavar="OUTPUT|LIMIT")
@click.option("--for", "for_s", callback=seconds, default="10s", help=f"How long: 10s. At most {DRILL_MOST_S:g} s.")
@click.option("--level", help="Of a limit: blue, yellow, orange or red; its highest by default.")
@by_option
@reason_option
@socket_option
@json_option
def drill(what: str, for_s: float, level: str | None, by: str, reason: str, socket_path: Path, as_json: bool) -> None:
    """Switch an output, or set off what a limit would: really, for a while, marked as a drill up to the province."""
    answer(socket_path, as_json, _show_drill, ask="drill", name=what, for_s=for_s, level=level, by=by, reason=reason)


def _show_drill(found: Mapping[str, Any]) -> None:
    click.echo(f"DRILL of {found['is']} {found['drill']} for {found['for_s']:g} s; watch it: fengsui outputs")


def _show(found: Mapping[str, Any]) -> None:
    rows = []
    for id_, output in found.items():
        on = {True: "on", False: "off", None: "?"}
        by = ", ".join(output["by"])
        why = f"DRILL: {by}" if output["drill"] else by
        rows.append((id_, on[output["on"]], on[output["wanted"]], why or "-", output["wrong"] or "-"))
    click.echo(table("outputs", ("id", "is", "has to be", "by", "wrong"), rows) if rows else "this site has no outputs")
