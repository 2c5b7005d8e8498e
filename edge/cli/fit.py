"""`fengsui fit`: learns from a site's past readings how to pack its future ones smaller. Talks to no daemon.

What is learnt on the oldest three quarters is tried on the newest one, in packets as the gateway makes them; a point
that gains nothing there keeps the gateway's own numbers. The others are then fitted once more on all of the history,
whose end is the best guess at what comes. `edge.wire.fit` does the learning, `edge.priors` keeps the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.cli import EXIT_FAILED
from edge.cli.history import BadHistory, read_history
from edge.cli.show import table
from edge.cli.verbs import json_option, stop
from edge.config.load import load
from edge.config.site import Site
from edge.config.units import show_ms

if TYPE_CHECKING:
    from edge.cli.learn import Fitted


@click.command()
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "history",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The province's database, or CSV: `at,POINT,POINT...` or `at_ms,point,value`; UTC.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: `priors` of the site file's [gateway].")
@json_option
def fit(site: Path, history: Path, output: Path | None, as_json: bool) -> None:
    """Learn from the past readings of the site SITE how to pack its readings smaller; write them to a priors file."""
    from edge.cli.learn import learn_group  # the coder and its models: who asks for help need not wait for them
    from edge.priors import write_priors

    found = load(site)
    path = output or found.gateway.priors
    if path is None:
        raise click.UsageError("where to? Add: -o site.priors")
    try:
        past = read_history(history, found.gateway.id, found.groups)
    except BadHistory as error:
        stop(EXIT_FAILED, str(error))
    groups = [
        learn_group(every_ms, points, rows)
        for (every_ms, points), rows in zip(found.groups.items(), past.groups, strict=True)
    ]
    priors = {point: prior for group in groups for point, prior in group.priors.items()}
    notes = _notes(groups, past.strangers, [point.id for point in found.points if point.id not in priors])
    if not priors:
        stop(EXIT_FAILED, "\n".join([f"nothing was learnt from {history}, nothing is written", *notes]))
    try:
        write_priors(path, priors, f"From {history.name}, {datetime.now(UTC):%Y-%m-%d}")
    except OSError as error:
        stop(EXIT_FAILED, f"{path} can not be written: {error.strerror}; check the folder's owner and free space")
    answer = _answer(path, groups, priors, notes)
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2) if as_json else _words(answer, site, found))


def _notes(groups: Sequence[Fitted], strangers: Sequence[str], default: Sequence[str]) -> list[str]:
    """What the person should know of the history."""
    notes = []
    if default:
        notes.append(f"kept at the gateway's own numbers (too little history, or nothing gained): {', '.join(default)}")
    if strangers:
        notes.append(f"in the history but not in the site, left out: {', '.join(strangers)}")
    for group in groups:
        gaps = sorted(b.at_ms - a.at_ms for a, b in pairwise(group.rows))
        if gaps and gaps[len(gaps) // 2] > group.every_ms:
            usual, every = show_ms(gaps[len(gaps) // 2]), show_ms(group.every_ms)
            notes.append(f"the history has a round every {usual}, the site reads every {every}: fit again later")
    return notes


def _answer(path: Path, groups: Sequence[Fitted], priors: Mapping[str, bytes], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "file": str(path),
        "priors": {point: prior.hex() for point, prior in priors.items()},
        "groups": [
            {
                "every_ms": group.every_ms,
                "points": group.points,
                "fitted": len(group.priors),
                "rounds": len(group.rows),
                "bits_before": round(group.before_bits, 2),
                "bits_after": round(group.after_bits, 2),
            }
            for group in groups
        ],
        "sheet_bytes_more": sum(map(len, priors.values())),
        "notes": list(notes),
    }


def _words(answer: Mapping[str, Any], file: Path, site: Site) -> str:
    header = ("every", "points", "fitted", "rounds", "bits before", "bits after")
    rows = [(show_ms(group["every_ms"]), *map(str, list(group.values())[1:])) for group in answer["groups"]]
    lines = [table("bits a reading takes, tried on the newest quarter of the history", header, rows), ""]
    lines += [f"note: {note}" for note in answer["notes"]]
    lines.append(
        f"written: {answer['file']} (the site's sheet, sent once, grows by {answer['sheet_bytes_more']} bytes)"
    )
    path = Path(answer["file"]).absolute()
    if site.gateway.priors != path:
        lines.append(f'name it in {file}: [gateway] priors = "{path}"')
    lines.append(f"then: fengsui check {file}, and restart the gateway while a wide link is up: the province can")
    lines.append("read no new rounds before it has the new sheet")
    return "\n".join(lines)
