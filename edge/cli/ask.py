"""The verbs that ask the running daemon: status, points, alarms, links, outbox, read, watch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click

from edge.cli import EXIT_NO_DAEMON, EXIT_REFUSED
from edge.cli.account import account_lines, room_line, sums
from edge.cli.show import clock_time, printable, span, table
from edge.cli.slots import SHOWN, slot_lines
from edge.cli.traffic import traffic
from edge.cli.verbs import json_option, stop
from edge.control import ANSWER_S, DEFAULT_SOCKET, ENVIRONMENT, READ_S, NoDaemon, Refused, ask, ask_once

LEVEL_WIDTH = 6  # of the longest: orange, yellow
HEADLINE = frozenset({"up", "why", "last_receipt_age_s"})
COLOURS = {"blue": "blue", "yellow": "yellow", "orange": "bright_red", "red": "red"}

socket_option = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    default=lambda: Path(os.environ.get(ENVIRONMENT, DEFAULT_SOCKET)),
    show_default=str(DEFAULT_SOCKET),
    help=f"The daemon's socket (also: {ENVIRONMENT}).",
)


def answer(
    path: Path, as_json: bool, show: Callable[[Any], None], patience_s: float = ANSWER_S, **request: Any
) -> None:
    try:
        answer = ask_once(path, request, patience_s)
    except NoDaemon as error:
        stop(EXIT_NO_DAEMON, str(error))
    except Refused as error:
        stop(EXIT_REFUSED, str(error))
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        show(answer)


@click.command()
@socket_option
@json_option
def status(socket_path: Path, as_json: bool) -> None:
    """How the running gateway is, on one page."""
    answer(socket_path, as_json, _show_status, ask="status")


@click.command()
@socket_option
@json_option
def points(socket_path: Path, as_json: bool) -> None:
    """Every point with its latest value."""
    answer(socket_path, as_json, _show_points, ask="points")


@click.command()
@socket_option
@json_option
def links(socket_path: Path, as_json: bool) -> None:
    """Every way out: up or down, and why."""
    answer(socket_path, as_json, _show_links, ask="links")


@click.command()
@click.option("--account", "by_day", is_flag=True, help="By day and point, with online rate and completeness.")
@click.option(
    "--days", type=click.IntRange(1, 400), default=2, show_default=True, help="With --account: the last days."
)
@socket_option
@json_option
def outbox(by_day: bool, days: int, socket_path: Path, as_json: bool) -> None:
    """What is kept, sent, settled, and what was given up.

    With --account by day and point: "due" is what the site file asks for; "online" is how much of it the instrument
    answered, "complete" how much of it the province has signed for, reading by reading.
    """
    if by_day:
        answer(socket_path, as_json, lambda rows: click.echo(account_lines(rows)), ask="account", days=days)
    else:
        answer(socket_path, as_json, _show_store, ask="outbox")


@click.command()
@click.argument("what")
@socket_option
@json_option
def read(what: str, socket_path: Path, as_json: bool) -> None:
    """Ask the device or point WHAT now (its limits are judged, no round is kept)."""
    answer(socket_path, as_json, _show_points, READ_S, ask="read", what=what)


@click.command()
@socket_option
@json_option
def watch(socket_path: Path, as_json: bool) -> None:
    """Follow readings, alarms and events as they come; Ctrl-C ends it."""
    try:
        for item in ask(socket_path, {"ask": "watch"}, patience_s=None):
            click.echo(json.dumps(item, ensure_ascii=False) if as_json else _watch_line(item))
    except NoDaemon as error:
        stop(EXIT_NO_DAEMON, str(error))
    except Refused as error:
        stop(EXIT_REFUSED, str(error))
    except KeyboardInterrupt:
        click.echo(err=True)  # the shell's prompt on a line of its own, after ^C
        return
    stop(EXIT_NO_DAEMON, "the daemon has hung up: it was stopped, or this screen was too slow. Ask: fengsui status")


# -- for people ---------------------------------------------------------------------------------------------------


def _level(level: str, width: int = 0) -> str:
    """The level in its colour, padded before it is coloured: what colours is not seen but would be counted."""
    return coloured(level, level.ljust(width))


def coloured(level: str, text: str) -> str:
    return click.style(text, fg=COLOURS[level], bold=True) if level in COLOURS else text


def _show_status(answer: Mapping[str, Any]) -> None:
    clock, store = answer["clock"], answer["store"]
    bad = answer["points"]["without_good_value"]
    click.echo(f"{answer['gateway']} {answer['name']}  fengsui {answer['version']}, up {answer['up_s']} s")
    if wrong := answer["site_file"]["wrong"]:
        click.echo(f"site     {click.style(printable(wrong), bold=True)}")
    for useless in answer["site_file"].get("useless", ()):  # a gateway started before an upgrade has no such key
        click.echo(f"site     {click.style(printable(f'fengsui check refuses {useless}'), bold=True)}")
    click.echo(f"clock    {clock_time(clock['at_ms'])}, {clock['quality']}: {clock['source']}")
    good = answer["points"]["all"] - len(bad)
    click.echo(f"points   {good} of {answer['points']['all']} good{'; not: ' + ', '.join(bad[:10]) if bad else ''}")
    for kind in ("ports", "devices"):
        for name, state in answer[kind].items():
            if state not in ("open", "answers"):
                click.echo(f"{kind[:-1]:8} {name}: {state}")
    levels = [f"{limit} {_level(level)}" for limit, level in answer["levels"].items()]
    click.echo(f"limits   {', '.join(levels) or 'all clear'}")
    for line in _link_lines(answer["links"]):
        click.echo(f"link     {line}")
    for name, link in answer["links"].items():
        if trouble := _trouble(link):
            click.echo(f"trouble  {name}: {trouble}")
    _show_store(store)
    for line in _disk_lines(answer):
        click.echo(line)
    for event in answer["events"][-5:]:
        click.echo(f"event    {_event(event)}")


def _event(event: Mapping[str, Any]) -> str:
    return printable(f"{clock_time(event['at_ms'])}  {event['about']}: {event['text']}")


def _link_lines(links: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, link in links.items():
        why = "" if link["why"] == link.get("trouble") else f": {link['why']}"  # trouble has a line of its own
        state = "up" if link["up"] else f"{'not known' if link['up'] is None else 'down'}{why}"
        yield printable(f"{name}: {state}{_receipt(link)}")
    if not links:
        yield "none works yet: the gateway waits for its key (events in: fengsui status)"


def _receipt(link: Mapping[str, Any]) -> str:
    age_s = link["last_receipt_age_s"]
    return ", no receipt yet" if age_s is None else f", last receipt {span(age_s)} ago"


def _trouble(link: Mapping[str, Any]) -> str:
    """What a person must see to, in red; "" for nothing."""
    return click.style(printable(link["trouble"]), fg="red", bold=True) if link.get("trouble") else ""


def _show_store(store: Mapping[str, Any]) -> None:
    where = f"in memory only: {store['broken']}" if store["broken"] else store["path"]
    used_bytes, quota_bytes = store["used_bytes"], store["quota_bytes"]
    click.echo(f"store    {where}, {used_bytes / 1e6:.1f} of {quota_bytes / 1e6:.0f} MB, {store['commits']} commits")
    if room := room_line(store.get("room")):
        click.echo(f"room     {room}")
    for line in sums(store["account"]):
        click.echo(f"account  {line}")


def _disk_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """How the disk is worn, and the power-fail line, where the daemon tells of them."""
    wear, power = answer.get("wear", {}), answer.get("power", {})
    times_ms = wear.get("commit_ms", {})
    if times_ms.get("median") is not None:
        slow = f", {wear['slow_commits']} slow since the start" if wear["slow_commits"] else ""
        yield f"wear     a commit takes {times_ms['median']} ms, {times_ms['worst']} at most in the last hour{slow}"
    sizes = [
        ("this program", wear.get("process_bytes_per_day")),
        ("all, with the journal", wear.get("disk_bytes_per_day")),
    ]
    known = [f"{size / 1e6:.0f} MB ({who})" for who, size in sizes if size is not None]
    if known:
        yield f"wear     written to the disk a day, by {span(wear['over_s'])}: {', '.join(known)}"
    if power.get("unreadable"):
        yield printable(f"power    the line {power['line']} can not be read: {power['unreadable']}")
    if power.get("failing_s") is not None:
        yield click.style(f"power    is failing, for {span(power['failing_s'])}", fg="red", bold=True)


def _show_points(answer: Sequence[Mapping[str, Any]]) -> None:
    header = ("point", "value", "unit", "quality", "at", "good", "failed", "name")
    keys = ("id", "value", "unit", "quality", "at_ms", "good", "failed", "name")
    shown: Mapping[str, Callable[[Any], str]] = {"at_ms": clock_time, "quality": quality_words}
    rows = [[shown.get(key, str)(p[key]) for key in keys] for p in answer]
    click.echo(table("points", header, rows))


def quality_words(quality: str) -> str:
    """As a person reads it: the word for programs is short."""
    return "refused, or marked as no value" if quality == "refused" else quality


def shelf_lines(shelf: Mapping[str, Any]) -> Iterator[str]:
    """What is acknowledged and put aside."""
    for limit, seen in shelf.get("acknowledged", {}).items():
        yield printable(f"{limit}: {seen['level']} acknowledged by {seen['by']}: {seen['reason']}")
    for limit, aside in shelf.get("put_aside", {}).items():
        left = f"{span(aside['left_s'])} left, by {aside['by']}: {aside['reason']}"
        yield printable(f"{limit}: put aside up to {aside['up_to']}, {left}")


def alarm_line(alarm: Mapping[str, Any]) -> str:
    return f"{clock_time(alarm['at_ms'])}  {_level(alarm['level'], LEVEL_WIDTH)}  {printable(alarm['text'])}"


def _show_links(answer: Mapping[str, Mapping[str, Any]]) -> None:
    for line, link in zip_longest(_link_lines(answer), answer.values()):
        click.echo(line)
        if link is None:
            continue
        if trouble := _trouble(link):
            click.echo(f"  trouble    {trouble}")
        for words in slot_lines(link):
            click.echo(f"  {words}")
        lines, told = traffic(link)
        for words in lines:
            click.echo(f"  {words}")
        rest = {key: value for key, value in link.items() if key not in HEADLINE | SHOWN | told}
        if rest:
            click.echo(printable("  " + "  ".join(f"{key} {value}" for key, value in rest.items())))


def _watch_line(item: Mapping[str, Any]) -> str:
    if "round" in item:
        values = "  ".join(f"{point} {value}" for point, value in item["round"]["values"].items())
        return f"{clock_time(item['round']['at_ms'])}  {values}"
    return alarm_line(item["alarm"]) if "alarm" in item else _event(item["event"])
