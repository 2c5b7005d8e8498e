"""`fengsui sensors`: the sensor templates there are, and what one of them reads. Opens no port, asks no daemon."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from edge.cli import EXIT_FAILED, EXIT_SITE_FILE
from edge.cli.show import folded, folded_table, printable, terminal_columns
from edge.cli.verbs import json_option, stop
from edge.config.expand import offered
from edge.config.templates import TRUST, Template, find, folders, keys_of, missing, names, read_template
from edge.errors import SiteFileError

HEAD_HANG = 10  # where what is said of a template begins
EXAMPLE_POINTS = 2  # of a logger that reads nothing by itself


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME | WORDS]")
@click.option(
    "--site",
    type=click.Path(path_type=Path),
    help="Also those of one's own, in the folder sensors beside this site file.",
)
@json_option
def sensors(words: tuple[str, ...], site: Path | None, as_json: bool) -> None:
    """List the instruments that a [[device]] can name, or explain one: registers, wire, source, lines to paste.

    WORDS: parts of its name, its maker, its model or what it measures, in English or Chinese (vtn416, 振弦, radar
    level): one that has them all is explained, several are listed.
    """
    places = folders(site.absolute().parent if site else None)
    wanted = " ".join(words)
    if (path := find(wanted, places)) is not None:
        try:
            template = read_template(path)
        except SiteFileError as error:
            stop(EXIT_SITE_FILE, f"{error}\nput that right, then: fengsui sensors {wanted} --site SITE")
        _explain(wanted, path, template, as_json)
        return
    found, broken = _read_all(places)
    matching = [one for one in found if _has(one, words)]
    if words and not matching:
        about = [said for name, said in broken if all(word.casefold() in name for word in words)]
        stop(EXIT_FAILED, "\n".join(about) or missing(wanted, places))
    if words and len(matching) == 1:
        _explain(*matching[0], as_json)
    elif as_json:
        _print_json([_head(*one) for one in matching])
    else:
        _list(matching, f"{len(matching)} of {len(found)} with {wanted}" if words else str(len(found)))
    for _, said in () if words else broken:
        click.echo(printable(said), err=True)


Found = tuple[str, Path, Template]


def _read_all(places: Sequence[Path]) -> tuple[list[Found], list[tuple[str, str]]]:
    """All there are, and of those of one's own that are half written the name and a line about it."""
    found: list[Found] = []
    broken: list[tuple[str, str]] = []
    for name in names(places):
        path = find(name, places)
        if path is None:
            continue
        try:
            found.append((name, path, read_template(path)))
        except SiteFileError as error:
            count = len(error.problems)
            more = f" and {count - 1} more: fengsui sensors {name} --site SITE" if count > 1 else ""
            broken.append((name, f"left out: {path} is wrong: {error.problems[0]}{more}"))
    return found, broken


def _has(one: Found, words: Sequence[str]) -> bool:
    name, _, template = one
    text = "\n".join((name, template.maker, template.model, template.what, wire(template))).casefold()
    return all(word.casefold() in text for word in words)


def _list(found: Sequence[Found], count: str) -> None:
    """Two lines each: what a serial console shows."""
    columns = terminal_columns()
    lines = [f"sensors ({count})"]
    for name, _, template in found:
        lines += folded(f"  {name}  {template.what}", columns)
        lines += folded(f"      {template.maker}, {template.model}; {wire(template)}; {template.trust}", columns)
    lines += ["", "the last letter is how far it may be believed"]
    for mark, means in TRUST.items():
        lines += folded(f"  {mark}  {means}", columns)
    lines += ["", "more of one: fengsui sensors NAME; of some: fengsui sensors radar level"]
    for line in lines:
        click.echo(printable(line))


def _explain(name: str, path: Path, template: Template, as_json: bool) -> None:
    if as_json:
        _print_json(_as_json(name, path, template))
        return
    for line in _explained(name, path, template, terminal_columns()):
        click.echo(printable(line))


def wire(template: Template) -> str:
    """What it speaks: `modbus 9600 8N1`, `serial_line nmea`."""
    return " ".join(filter(None, (template.driver, str(template.device.get("format", "")), template.line)))


def example(name: str, template: Template) -> str:
    """Lines for a site file. What only the site knows stands there as a comment: `fengsui check` asks for it, where an
    example's number would be taken for the sensor's own."""
    shorts = [str(point["id"]) for point in offered(template)]
    optional = all(point.get("optional") for point in template.point)
    chosen = shorts[:: max(1, len(shorts) // EXAMPLE_POINTS)][:EXAMPLE_POINTS] if optional else []
    needed = _needed(template, chosen) if optional else keys_of(template)
    lines = [*_port_lines(template), "[[device]]", 'id = "s1"', f'device = "{name}"', 'port = "wire-1"']
    if template.driver == "modbus":
        lines.append(f"unit = {template.device.get('unit', 1)}")
    if chosen:
        lines.append("points = [" + ", ".join(f'"{short}"' for short in chosen) + "]")
    for key, said in keys_of(template).items():
        if key in needed:
            unit = f"{said.unit}: " if said.unit else ""
            lines.append(f"# {key} = {said.example}    # {unit}{said.about}")
    return "\n".join(lines)


def _port_lines(template: Template) -> Iterator[str]:
    yield "[[port]]"
    yield 'id = "wire-1"'
    yield 'open = "serial:/dev/serial/by-id/..."    # ls -l /dev/serial/by-id; or tcp:host:port'
    if template.line:
        baud, frame = template.line.split()
        yield f"baud = {baud}"
        yield f'parity = "{frame[1]}"'
        yield f"stop_bits = {frame[2]}"
    yield ""


def _needed(template: Template, chosen: Sequence[str]) -> set[str]:
    """The numbers that the chosen points are made with."""
    text = str([point for point in offered(template) if point["id"] in chosen])
    return {key for key in keys_of(template) if re.search(rf"\${key}\b", text)}


def _explained(name: str, path: Path, template: Template, columns: int) -> Iterator[str]:
    """Folded, but for the lines to paste."""
    notes = template.notes.strip().splitlines()
    head = [
        f"{name}: {template.maker}, {template.model}",
        f"  what    {template.what}",
        f"  wire    {wire(template)}{' (from the factory)' if template.line else ', line not told by the sources'}",
        f"  trust   {template.trust}: {TRUST[template.trust]}",
        *(f"  source  {source}" for source in template.sources),
        *(f"  {'notes ' if index == 0 else '      '}  {line}" for index, line in enumerate(notes)),
        f"  file    {path}",
    ]
    for line in head:
        yield from folded(line, columns, HEAD_HANG)
    header = ("id", "unit", "step", "range", "every", "where", "read", "name")
    yield ""
    yield from folded_table("points", header, list(_rows(template)), columns).splitlines()
    more = " (every number behind a # is yours to find)" if template.key else ""
    yield from ("", f"lines for a site file{more}:", "", *example(name, template).splitlines())


def _rows(template: Template) -> Iterator[tuple[str, ...]]:
    for point in offered(template):
        span = point.get("range")
        yield (
            str(point["id"]),
            str(point.get("unit", "")),
            str(point.get("step", "")),
            f"{span[0]} to {span[1]}" if isinstance(span, list) and len(span) == 2 else "-",
            str(point.get("every", "")),
            _where(point),
            "if named" if point.get("optional") else "yes",
            str(point.get("name", "")),
        )


def _where(point: dict[str, Any]) -> str:
    """Where the value is found: register and how it is meant, or field of a line."""
    if "register" in point:
        kind = f"{point.get('table', 'holding')} {point['register']} {point.get('type', 'u16')}"
        order = point.get("order", "ABCD")
        parts = [kind, order if order != "ABCD" else "", f"bit {point['bit']}" if "bit" in point else ""]
    else:
        field = f"field {point['field']}" if "field" in point else f"group {point.get('group', '')}"
        parts = [str(point.get("sentence", "")), field]
    parts += [f"× {point['scale']}" if "scale" in point else "", f"+ {point['offset']}" if "offset" in point else ""]
    if point.get("invalid"):
        parts.append(f"none: {', '.join(map(str, point['invalid']))}")
    if "vibrating_wire" in point:
        parts.append("Hz to " + str(point.get("unit")) + " by the sheet")
    return " ".join(filter(None, parts))


def _head(name: str, path: Path, template: Template) -> dict[str, Any]:
    return {
        "name": name,
        "maker": template.maker,
        "model": template.model,
        "what": template.what,
        "wire": wire(template),
        "trust": template.trust,
        "file": str(path),
    }


def _as_json(name: str, path: Path, template: Template) -> dict[str, Any]:
    return {
        **_head(name, path, template),
        "driver": template.driver,
        "line": template.line or None,
        "trust_means": TRUST[template.trust],
        "sources": template.sources,
        "notes": template.notes.strip(),
        "device": template.device,
        "keys": [
            {"name": key, "unit": said.unit, "about": said.about, "example": said.example}
            for key, said in keys_of(template).items()
        ],
        "points": list(offered(template)),
        "example": example(name, template),
    }


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
