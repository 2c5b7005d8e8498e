"""`fengsui new`: a commented site file for one kind of site. Opens no port, asks no daemon, overwrites nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import click

from edge.cli import EXIT_FAILED, EXIT_REFUSED
from edge.cli.show import table
from edge.cli.verbs import json_option, stop
from edge.config.profiles import Profile, profiles
from edge.config.words import did_you_mean, listing


@click.command()
@click.option("--profile", "name", help="Which kind of site; left out: lists them.")
@click.option("--to", "file", type=click.Path(path_type=Path), help="A new file; left out: to the screen.")
@json_option
def new(name: str | None, file: Path | None, as_json: bool) -> None:
    """Write a site file for one kind of site: its points, its rules, the source of every number."""
    known = profiles()
    if name is None:
        _list(known, as_json)
        return
    if name not in known:
        near = did_you_mean(name, known)
        stop(EXIT_FAILED, f"there is no profile “{name}”; {f'did you mean “{near}”? ' if near else ''}{listing(known)}")
    profile = known[name]
    if file is not None:
        _write(file, profile.text)
    if as_json:
        _print_json({**_head(profile), "file": str(file) if file else None, "asks": profile.asks, "text": profile.text})
    elif file is None:
        click.echo(profile.text, nl=False)
    else:
        click.echo(
            f"{file}: {profile.title} {profile.title_zh}\n"
            f"It asks for {len(profile.asks)} numbers of this site's own, where each stands in a text under [design],\n"
            "and for what is \"\": the gateway's id, the wires, the province's broker.\n"
            f"What is missing, by name: fengsui check {file}"
        )


def _list(known: Mapping[str, Profile], as_json: bool) -> None:
    if as_json:
        _print_json([_head(profile) for profile in known.values()])
        return
    rows = [(p.name, p.title, p.title_zh, str(len(p.asks))) for p in known.values()]
    click.echo(table("profiles", ("name", "what", "名称", "asks for"), rows))
    click.echo("\na site file of one: fengsui new --profile NAME --to site.toml")


def _head(profile: Profile) -> dict[str, object]:
    return {"profile": profile.name, "title": profile.title, "title_zh": profile.title_zh}


def _write(file: Path, text: str) -> None:
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        stop(EXIT_REFUSED, f"{file} exists already and is not overwritten; name another file, or: mv {file} {file}.old")
    except OSError as error:
        stop(EXIT_REFUSED, f"{file} can not be written: {error.strerror}; is the folder there, and yours?")
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
