"""The verbs about limits: alarms (now, history, why) and rules (what each says, and what would trip it)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edge.cli import EXIT_REFUSED
from edge.cli.ask import alarm_line, answer, coloured, shelf_lines, socket_option
from edge.cli.show import clock_time, printable, table
from edge.cli.verbs import json_option, stop
from edge.limit_words import lasting

RECENT_SHOWN = 20
NOT_JUDGED = "none"  # the level of a limit that does not stand

Answer = Mapping[str, Any]


@click.command()
@click.argument("view", type=click.Choice(["now", "history", "why"]), required=False)
@click.argument("limit", required=False)
@socket_option
@json_option
def alarms(view: str | None, limit: str | None, socket_path: Path, as_json: bool) -> None:
    """Where every limit stands, and the last alarms.

    \b
    now            only what stands
    history        every alarm since the gateway started (the last hundred), of LIMIT if one is named
    why [LIMIT]    the numbers that decided, and what would end it; of all that stands if none is named
    """
    if view == "why":
        wanted: Callable[[Any], None] = _explained if limit else _explained_standing
        answer(socket_path, as_json, wanted, ask="rules", limit=limit)
        return
    if limit is not None and view != "history":
        stop(EXIT_REFUSED, f"of one limit: fengsui alarms why {limit}, or fengsui alarms history {limit}")
    shows: Mapping[str | None, Callable[[Any], None]] = {
        None: _show_alarms,
        "now": _show_now,
        "history": lambda found: _show_history(found, limit),
    }
    answer(socket_path, as_json, shows[view], ask="alarms")


@click.command()
@click.argument("limit", required=False)
@socket_option
@json_option
def rules(limit: str | None, socket_path: Path, as_json: bool) -> None:
    """Every rule (or that of LIMIT) in words, English and Chinese, with what is there now and what would trip it."""
    answer(socket_path, as_json, _show_rules, ask="rules", limit=limit)


def _standing(found: Sequence[Answer]) -> list[Answer]:
    return [rule for rule in found if rule["level"] != NOT_JUDGED]


# -- alarms -------------------------------------------------------------------------------------------------------


def _show_alarms(found: Answer) -> None:
    _limit_table(found["limits"])
    for line in shelf_lines(found.get("shelf", {})):
        click.echo(line)
    recent = found["recent"][-RECENT_SHOWN:]
    click.echo(f"recent alarms ({len(recent)})" if recent else "recent alarms: none since the gateway started")
    for alarm in recent:
        click.echo(f"  {alarm_line(alarm)}")


def _show_now(found: Answer) -> None:
    standing = _standing(found["limits"])
    if standing:
        _limit_table(standing)
    else:
        click.echo(f"nothing stands; {len(found['limits'])} limits are judged")
    for line in shelf_lines(found.get("shelf", {})):
        click.echo(line)


def _show_history(found: Answer, limit: str | None) -> None:
    kept = [alarm for alarm in found["recent"] if limit in (None, alarm["limit"])]
    about = f" of {limit}" if limit else ""
    click.echo(f"alarms{about} since the gateway started ({len(kept)})" if kept else f"no alarm{about} since the start")
    for alarm in kept:
        click.echo(f"  {alarm_line(alarm)}")


def _limit_table(limits: Sequence[Answer]) -> None:
    rows = [(m["level"], m["id"], m["point"], clock_time(m["since_ms"]), m["name"]) for m in limits]
    title, *lines = table("limits", ("level", "limit", "point", "since", "name"), rows).splitlines()
    click.echo("\n".join([title, *lines[:1]]))
    for limit, line in zip(limits, lines[1:], strict=True):
        click.echo(coloured(limit["level"], line))


def _explained(found: Sequence[Answer]) -> None:
    if not found:
        click.echo("nothing stands; of a limit that does not: fengsui alarms why LIMIT")
    for rule in found:
        for line in [*_head(rule), *_why(rule), *_present(rule)]:
            click.echo(line)


def _explained_standing(found: Sequence[Answer]) -> None:
    _explained(_standing(found))


def _why(rule: Answer) -> Iterator[str]:
    """The last alarm with its numbers."""
    alarm = rule["last_alarm"]
    if alarm is None:
        yield "  alarm   none since the gateway started" + (
            "" if rule["level"] == NOT_JUDGED else "; it stands from before"
        )
        return
    yield f"  alarm   {alarm_line(alarm)}"
    why = alarm["why"]
    window = f" over {lasting(why['window_s'])}" if why["window_s"] else ""
    what = why["rule"] if why["rule"] in ("stale", "suspect") else why["of"].replace("_", " ")
    decided = "" if why["value"] is None else f"{_number(why['value'], why['unit'])}, "
    yield printable(f"  decided {what}{window}: {decided}threshold {_number(why['threshold'], why['unit'])}")
    for item in why["inputs"]:
        yield printable(f"  of      {item['name']} {_number(item['value'], item['unit'])}")


# -- rules --------------------------------------------------------------------------------------------------------


def _show_rules(found: Sequence[Answer]) -> None:
    for rule in found:
        for line in [*_head(rule), *_present(rule)]:
            click.echo(line)
    if not found:
        click.echo("there are no limits")


def _head(rule: Answer) -> Iterator[str]:
    since = "" if rule["since_ms"] is None else f" since {clock_time(rule['since_ms'])}"
    yield coloured(rule["level"], printable(f"{rule['id']} {rule['name']}: {rule['level']}{since}"))
    yield printable(f"  rule    {rule['rule']}")
    yield printable(f"  规则    {rule['rule_zh']}")


def _present(rule: Answer) -> Iterator[str]:
    for item in rule["inputs"]:
        quality = f" ({item['quality']})" if item["quality"] not in (None, "good") else ""
        yield printable(f"  now     {item['name']} {_number(item['value'], item['unit'])}{quality}")
    for item in rule["judged"]:
        window = f" over {lasting(item['window_s'])}" if item["window_s"] else ""
        yield printable(f"  judged  {item['of'].replace('_', ' ')}{window}: {_number(item['value'], item['unit'])}")
    for english, chinese in zip(rule["trips"], rule["trips_zh"], strict=True):
        yield printable(f"  trips   {english}  ·  {chinese}")


def _number(value: str | None, unit: str) -> str:
    return f"{'-' if value is None else value} {unit}".rstrip()
