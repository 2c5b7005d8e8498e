"""The verbs that ask the running daemon: status, points, alarms, links, outbox, read, watch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edge.cli import EXIT_NO_DAEMON, EXIT_REFUSED, json_option, stop
from edge.control import DEFAULT_SOCKET, ENVIRONMENT, NoDaemon, Refused, ask, ask_once

COLOURS = {"blue": "blue", "yellow": "yellow", "orange": "bright_red", "red": "red"}

_socket = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    default=lambda: Path(os.environ.get(ENVIRONMENT, DEFAULT_SOCKET)),
    show_default=str(DEFAULT_SOCKET),
    help=f"The daemon's socket (also: {ENVIRONMENT}).",
)


def _answer(path: Path, as_json: bool, show: Callable[[Any], None], **request: Any) -> None:
    try:
        answer = ask_once(path, request)
    except NoDaemon as error:
        stop(EXIT_NO_DAEMON, str(error))
    except Refused as error:
        stop(EXIT_REFUSED, str(error))
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        show(answer)


@click.command()
@_socket
@json_option
def status(socket_path: Path, as_json: bool) -> None:
    """How the running gateway is, on one page."""
    _answer(socket_path, as_json, _show_status, ask="status")


@click.command()
@_socket
@json_option
def points(socket_path: Path, as_json: bool) -> None:
    """Every point with its latest value."""
    _answer(socket_path, as_json, _show_points, ask="points")


@click.command()
@_socket
@json_option
def alarms(socket_path: Path, as_json: bool) -> None:
    """Where every limit stands, and the last alarms."""
    _answer(socket_path, as_json, _show_alarms, ask="alarms")


@click.command()
@_socket
@json_option
def links(socket_path: Path, as_json: bool) -> None:
    """Every way out: up or down, and why."""
    _answer(socket_path, as_json, _show_links, ask="links")


@click.command()
@_socket
@json_option
def outbox(socket_path: Path, as_json: bool) -> None:
    """What is kept, sent, settled, and what was given up."""
    _answer(socket_path, as_json, _show_store, ask="outbox")


@click.command()
@click.argument("what")
@_socket
@json_option
def read(what: str, socket_path: Path, as_json: bool) -> None:
    """Ask the device or point WHAT now (its limits are judged, no round is kept)."""
    _answer(socket_path, as_json, _show_points, ask="read", what=what)


@click.command()
@_socket
@json_option
def watch(socket_path: Path, as_json: bool) -> None:
    """Follow readings, alarms and events as they come; Ctrl-C ends it."""
    try:
        for item in ask(socket_path, {"ask": "watch"}):
            click.echo(json.dumps(item, ensure_ascii=False) if as_json else _watch_line(item))
    except NoDaemon as error:
        stop(EXIT_NO_DAEMON, str(error))
    except Refused as error:
        stop(EXIT_REFUSED, str(error))


# -- for people ---------------------------------------------------------------------------------------------------


def clock_time(at_ms: int | None) -> str:
    """UTC as people read it; a time that is not known is given since boot."""
    if at_ms is None:
        return "-"
    if at_ms < 10**11:
        return f"boot+{at_ms // 1000}s"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def table(rows: Sequence[Sequence[object]]) -> str:
    """Columns, the first row as the head."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in texts) for place in range(len(texts[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(r, widths, strict=True)).rstrip() for r in texts
    )


def _level(level: str) -> str:
    return click.style(level, fg=COLOURS.get(level), bold=level in COLOURS)


def _show_status(answer: Mapping[str, Any]) -> None:
    clock, store = answer["clock"], answer["store"]
    bad = answer["points"]["without_good_value"]
    click.echo(f"{answer['gateway']} {answer['name']}  fengsui {answer['version']}, up {answer['up_s']} s")
    click.echo(f"clock    {clock_time(clock['at_ms'])}, {clock['quality']}: {clock['source']}")
    good = answer["points"]["all"] - len(bad)
    click.echo(f"points   {good} of {answer['points']['all']} good{'; not: ' + ', '.join(bad[:10]) if bad else ''}")
    for kind in ("ports", "devices"):
        for name, state in answer[kind].items():
            if state not in ("open", "answers"):
                click.echo(f"{kind[:-1]:8} {name}: {state}")
    levels = [f"{limit} {_level(level)}" for limit, level in answer["levels"].items()]
    click.echo(f"limits   {', '.join(levels) or 'all clear'}")
    for name, link in answer["links"].items():
        click.echo(f"link     {name}: {'up' if link['up'] else 'down: ' + link['why']}{_receipt(link)}")
    _show_store(store)
    for event in answer["events"][-5:]:
        click.echo(f"event    {clock_time(event['at_ms'])} {event['about']}: {event['text']}")


def _receipt(link: Mapping[str, Any]) -> str:
    age_s = link["last_receipt_age_s"]
    return ", no receipt yet" if age_s is None else f", last receipt {age_s} s ago"


def _show_store(store: Mapping[str, Any]) -> None:
    where = f"in memory only: {store['broken']}" if store["broken"] else store["path"]
    used_bytes, quota_bytes = store["used_bytes"], store["quota_bytes"]
    click.echo(f"store    {where}, {used_bytes / 1e6:.1f} of {quota_bytes / 1e6:.0f} MB, {store['commits']} commits")
    account = store["account"]
    sums = f"taken {account['taken']} = settled {account['settled']} + held {account['held']}"
    click.echo(
        f"account  {sums} + evicted {account['evicted']} readings{'' if account['balanced'] else '  NOT BALANCED'}"
    )


def _show_points(answer: Sequence[Mapping[str, Any]]) -> None:
    rows = [("point", "value", "unit", "quality", "at", "good", "failed", "name")]
    rows += [
        (p["id"], p["value"], p["unit"], p["quality"], clock_time(p["at_ms"]), p["good"], p["failed"], p["name"])
        for p in answer
    ]
    click.echo(table(rows))


def _show_alarms(answer: Mapping[str, Any]) -> None:
    for limit in answer["limits"]:
        since = clock_time(limit["since_ms"])
        click.echo(f"{_level(limit['level']):8}  {limit['id']} on {limit['point']}, since {since}  {limit['name']}")
    for alarm in answer["recent"][-20:]:
        click.echo(f"{clock_time(alarm['at_ms'])}  {_level(alarm['level'])}  {alarm['text']}")


def _show_links(answer: Mapping[str, Mapping[str, Any]]) -> None:
    for name, link in answer.items():
        click.echo(f"{name}: {'up' if link['up'] else 'down: ' + link['why']}{_receipt(link)}")
        rest = {key: value for key, value in link.items() if key not in ("up", "why", "last_receipt_age_s")}
        click.echo("  " + "  ".join(f"{key} {value}" for key, value in rest.items()))


def _watch_line(item: Mapping[str, Any]) -> str:
    if "round" in item:
        values = "  ".join(f"{point} {value}" for point, value in item["round"]["values"].items())
        return f"{clock_time(item['round']['at_ms'])}  {values}"
    if "alarm" in item:
        return f"{clock_time(item['alarm']['at_ms'])}  {_level(item['alarm']['level'])}  {item['alarm']['text']}"
    return f"{clock_time(item['event']['at_ms'])}  {item['event']['about']}: {item['event']['text']}"
