"""`fengsui what-if`: a site's rules over its own recorded data, before they are trusted. Asks no daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli import EXIT_FAILED
from edge.cli.show import printable
from edge.cli.verbs import json_option, stop

if TYPE_CHECKING:  # all that plays is loaded when it plays: --help is to come at once
    from edge.cli.past import Past
    from edge.replay import Reading


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--site", "site_file", type=click.Path(path_type=Path), required=True, help="Whose rules.")
@click.option("--svg", type=click.Path(path_type=Path), help="Draw it into this file too, with the numbers judged.")
@json_option
def what_if(file: Path, site_file: Path, svg: Path | None, as_json: bool) -> None:
    """Run a site's rules over recorded data, FILE (CSV), through the engine that judges in the field.

    FILE has a header "time,POINT,POINT ..." with the ids or names of points, or "time,point,value". Times:
    2026-11-21T22:00:00Z, 2026/11/21 22:00, or milliseconds since 1970; local time (UTC+8) where there is no zone. What
    Excel and WPS save is read: commas, semicolons or tabs, UTF-8, "Unicode text" or GB18030. Rows that can not be
    understood are left out and counted.
    """
    from edge.cli.history import BadHistory
    from edge.cli.past import names_of, read_past
    from edge.cli.what_if_show import NOTHING, notes_of, text
    from edge.cli.what_if_show import as_json as shown
    from edge.cli.what_if_svg import COLUMNS, drawing
    from edge.config.load import load
    from edge.replay import replay

    site = load(site_file)
    try:
        past = read_past(file, names_of(site.points))
    except BadHistory as error:
        stop(EXIT_FAILED, printable(str(error)))
    played = replay(site, _readings(past), past.points, (past.at_ms[0], past.at_ms[-1]), COLUMNS)
    notes = list(notes_of(site, past, played))
    if svg is not None:
        _write(svg, drawing(played, f"{site_file.name}: {file.name}", past.clock))
    if as_json:
        click.echo(json.dumps(shown(site, past, played, notes), ensure_ascii=False, indent=2))
    else:
        for line in text(site, file, past, played, notes):
            click.echo(line)
        if svg is not None:
            click.echo(f"drawn in {svg}")
    if played.empty:
        stop(EXIT_FAILED, printable(f"{file}: {NOTHING}: no point with a limit has a number in it (notes: why)"))


def _readings(past: Past) -> Iterator[Reading]:
    points = past.points
    for at_ms, place, value in zip(past.at_ms, past.point, past.value, strict=True):
        yield at_ms, points[place], value


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        stop(EXIT_FAILED, f"{file} can not be written: {error.strerror}; is the folder there, and yours?")
