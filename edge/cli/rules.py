"""The verbs about limits: alarms (now, history, why) and rules (what each says, and what would trip it)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edge.cli import EXIT_REFUSED
from edge.cli.ask import alarm_line, answer, coloured, quality_words, shelf_lines, socket_option
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
    """What stands, and the last alarms (every limit, standing or not: fengsui rules, or --json).

    \b
    now            only what stands
    history        every alarm of the last hundred, also of before the last start, of LIMIT if one is named
    why [LIMIT]    the numbers that decided, and what would end it; of all that stands if none is named
    """
    if limit is not None and view not in ("why", "history"):
        stop(EXIT_REFUSED, f"of one limit: fengsui alarms why {limit}, or fengsui alarms history {limit}")

    def show(found: Any) -> None:
        wanted = _narrowed(found, view, limit)
        if as_json:
            click.echo(json.dumps(wanted, ensure_ascii=False, indent=2))
        elif view == "history":
            _show_history(wanted, limit)
        else:
            SHOWS[view](wanted)

    if view == "why":
        answer(socket_path, False, show, ask="rules", limit=limit)
    else:
        answer(socket_path, False, show, ask="alarms")


def _narrowed(found: Any, view: str | None, limit: str | None) -> Any:
    """What was asked for, of all that the daemon tells."""
    if view == "now":
        return {**found, "limits": _standing(found["limits"]), "judged": len(found["limits"])}
    if view == "history":
        return _history(found, limit)
    return _standing(found) if view == "why" and limit is None else found


def _history(found: Answer, limit: str | None) -> list[Answer]:
    """Of one limit, if it is named: one of the site, or one that was."""
    kept = [alarm for alarm in found["recent"] if limit in (None, alarm["limit"])]
    known = [rule["id"] for rule in found["limits"]]
    if limit is not None and not kept and limit not in known:
        stop(EXIT_REFUSED, printable(f"there is no limit {limit}; limits: {', '.join(known) or 'none'}"))
    return kept


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
    _show_now({**found, "limits": _standing(found["limits"]), "judged": len(found["limits"])})
    recent = found["recent"][-RECENT_SHOWN:]
    click.echo(f"recent alarms ({len(recent)})" if recent else "recent alarms: none is known")
    for alarm in recent:
        click.echo(f"  {alarm_line(alarm)}")


def _show_now(found: Answer) -> None:
    if found["limits"]:
        _limit_table(found["limits"], found["judged"])
    else:
        click.echo(f"nothing stands; {found['judged']} limits are judged (each of them: fengsui rules)")
    for line in shelf_lines(found.get("shelf", {})):
        click.echo(line)


def _show_history(kept: Sequence[Answer], limit: str | None) -> None:
    since = f", since {clock_time(kept[0]['at_ms'])}" if kept else ""
    nothing = f"no alarm of {limit} is among the last hundred" if limit else "no alarm is known: none has been told yet"
    click.echo(f"the last alarms ({len(kept)}{since})" if kept else nothing)
    for alarm in kept:
        click.echo(f"  {alarm['limit']}  {alarm_line(alarm)}")


def _limit_table(limits: Sequence[Answer], judged: int) -> None:
    rows = [(m["level"], m["id"], m["point"], clock_time(m["since_ms"]), m["name"]) for m in limits]
    title, *lines = table("limits", ("level", "limit", "point", "since", "name"), rows).splitlines()
    click.echo(f"{title} of {judged} that are judged" if len(limits) < judged else title)
    click.echo(lines[0])
    for limit, line in zip(limits, lines[1:], strict=True):
        click.echo(coloured(limit["level"], line))


def _explained(found: Sequence[Answer]) -> None:
    if not found:
        click.echo("nothing stands; of a limit that does not: fengsui alarms why LIMIT")
    for rule in found:
        for line in [*_head(rule), *_why(rule), *_present(rule)]:
            click.echo(line)


def _why(rule: Answer) -> Iterator[str]:
    """The last alarm with its numbers."""
    alarm = rule["last_alarm"]
    if alarm is None:
        before = "" if rule["level"] == NOT_JUDGED else "; it stands from before"
        yield f"  alarm   none among the last hundred{before}"
        return
    yield f"  alarm   {alarm_line(alarm)}"
    why = alarm["why"]
    window = f" over {lasting(why['window_s'])}" if why["window_s"] else ""
    what = why["rule"] if why["rule"] in ("stale", "suspect", "removed") else why["of"].replace("_", " ")
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
        quality = f" ({quality_words(item['quality'])})" if item["quality"] not in (None, "good") else ""
        yield printable(f"  now     {item['name']} {_number(item['value'], item['unit'])}{quality}")
    for item in rule["judged"]:
        window = f" over {lasting(item['window_s'])}" if item["window_s"] else ""
        window += f" from {_number(item['start'], item['unit'])}" if item.get("start") else ""
        yield printable(f"  judged  {item['of'].replace('_', ' ')}{window}: {_number(item['value'], item['unit'])}")
    for english, chinese in zip(rule["trips"], rule["trips_zh"], strict=True):
        yield printable(f"  trips   {english}  ·  {chinese}")


def _number(value: str | None, unit: str) -> str:
    return f"{'-' if value is None else value} {unit}".rstrip()


SHOWS: Mapping[str | None, Callable[[Any], None]] = {
    None: _show_alarms,
    "now": _show_now,
    "why": _explained,
}
