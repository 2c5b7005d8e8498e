"""`fengsui-sim world` and `fengsui-sim play`: the real daemon in virtual time, through random misfortune or a scenario.

Exit 0 when every promise was kept and everything expected was seen, else 1. A seed that fails is played once more with
its trace written down (the same seed gives the same trace), and one command is printed that replays it; with --shrink
that command plays the smallest story that still fails.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from edge.errors import FengsuiError
from sim.world import expects, scenario, story_file
from sim.world.blame import SIMULATOR
from sim.world.crowd import Lost, plays
from sim.world.misfortune import DAY_S, story_of
from sim.world.nouns import Broken, Outcome, Story
from sim.world.scenario_check import LONGEST_S, MOST_SEED
from sim.world.shrink import shrink
from sim.world.stage import Played, play_in_memory, standard

MOST_TRIES = 60  # of the shrinker: half an hour for a day's story
SHOWN_MOST = 8
MOST_NAME = 60  # characters: three bytes each fit into a file's name
SHORTEST_DAYS = 0.01  # a quarter of an hour: less has no time for its last calm
LONGEST_DAYS = LONGEST_S / DAY_S
MOST_SEEDS = 10_000  # of one command: some days of a processor
TRACES = Path(tempfile.gettempdir()) / f"fengsui-world-{os.getuid()}"


UNKNOWN = ""  # the hash of a play that was lost


@dataclass
class Sums:
    """Of all stories played."""

    days: float = 0.0
    took_s: float = 0.0
    failed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)

    def take(self, outcome: Outcome) -> None:
        self.days += outcome.story.lasts_s / DAY_S
        self.took_s += outcome.took_s
        self.failed += bool(outcome.broken)
        self.kinds.update(trouble.kind for trouble in outcome.story.troubles)
        self.figures.update({name: int(value) for name, value in outcome.sums.items()})

    def lines(self) -> list[str]:
        """The account at the end."""
        troubles = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kinds.items()))
        figures = ", ".join(f"{name} {value:,}" for name, value in sorted(self.figures.items()))
        speed = self.days * DAY_S / max(self.took_s, 1e-9)
        return [
            f"{self.days:g} simulated days in {self.took_s:.1f} s: {speed:,.0f} × real time",
            f"troubles: {sum(self.kinds.values())} ({troubles})",
            *([f"sums: {figures}"] if figures else []),
            f"stories with broken promises: {self.failed}",
        ]


class Progress:
    """One line that changes in place on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def show(self, text: str) -> None:
        if self._shown:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    def clear(self) -> None:
        self.show("")


def _days(_context: click.Context, _option: click.Parameter, days: float) -> float:
    """A length that a story can have."""
    if not SHORTEST_DAYS <= days <= LONGEST_DAYS:
        raise click.BadParameter(f"{days:g} is no number of days from {SHORTEST_DAYS:g} to {LONGEST_DAYS:g}")
    return days


SEED = click.IntRange(-MOST_SEED, MOST_SEED)


@click.command("world")
@click.option("--seed", default=1, show_default=True, type=SEED, help="Of all chance: the same seed is the same story.")
@click.option("--seeds", metavar="N..M", help="Several, as many at a time as there are cores.")
@click.option("--days", default=1.0, show_default=True, callback=_days, help="Of each story.")
@click.option("--trace", is_flag=True, help="Write the trace of each story, also of one that is kept.")
@click.option("--shrink", "shrinks", is_flag=True, help="Of a story that fails: look for the smallest that still does.")
def world(seed: int, seeds: str | None, days: float, trace: bool, shrinks: bool) -> None:
    """The real daemon in virtual time, through weather, cut roads, power cuts and failing disks, all from one seed."""
    sums = Sums()
    progress = Progress()
    for number, played in _played(_seeds(seeds, seed), days, trace, progress):
        outcome = played.outcome
        sums.take(outcome)
        click.echo(_line(outcome))
        if trace or outcome.broken:
            _tell(played, f"fengsui-sim world --seed {number} --days {days:g} --trace", trace)
        if outcome.broken and shrinks and outcome.hash != UNKNOWN:
            _shrunk(outcome, progress)
    click.echo("\n".join(["", *sums.lines()]))
    sys.exit(1 if sums.failed else 0)


@click.command("play")
@click.argument("file")
@click.option("--real", is_flag=True, help="The installed daemon, a real broker and terminals, in real time.")
@click.option("--trace", is_flag=True, help="Write the trace.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="With --real: leave all files here.")
def play(file: str, real: bool, trace: bool, keep: Path | None) -> None:
    """A scenario: its FILE, or the name of one of those in sim/scenarios; or a story that --shrink wrote."""
    path = _path(file)
    try:
        if path.suffix == story_file.SUFFIX:
            story = story_file.load(path)
        else:
            found = scenario.load(path)
            story = found.story
            click.echo(f"{found.title}\n{found.title_zh}\n\n{found.about}\n{found.about_zh}\n")
    except FengsuiError as error:
        raise click.UsageError(str(error)) from error
    if real:
        from sim.world.real import play_real

        if path.suffix == story_file.SUFFIX:
            raise click.UsageError("--real plays scenarios only: their site files can be given real addresses")
        played = play_real(found, keep, click.echo)
    else:
        progress = Progress()
        played = play_in_memory(story, keep_lines=trace, on_hour=_hours(progress, story))
        progress.clear()
    click.echo("\n".join(_seen(played)))
    click.echo(_line(played.outcome))
    if trace or played.outcome.broken:
        _tell(played, f"fengsui-sim play {shlex.quote(file)}{' --real' if real else ' --trace'}", trace or real)
    sys.exit(0 if played.is_kept else 1)


def _played(seeds: Sequence[int], days: float, trace: bool, progress: Progress) -> Iterator[tuple[int, Played]]:
    """The stories of these seeds in their order, as many at a time as there are cores."""
    if len(seeds) == 1:
        story = story_of(seeds[0], days, *standard())
        played = play_in_memory(story, keep_lines=trace, on_hour=_hours(progress, story))
        progress.clear()
        yield seeds[0], played
        return
    work = functools.partial(play_seed, days=days, trace=trace)
    for done, (number, found) in enumerate(plays(work, seeds), 1):
        progress.clear()
        yield number, _lost(number, days, found) if isinstance(found, Lost) else found
        progress.show(f"{done} of {len(seeds)} stories played")


def _lost(number: int, days: float, lost: Lost) -> Played:
    """What a play comes to that has no outcome: nothing of it is known but its seed."""
    story = story_of(number, days, *standard())
    return Played(Outcome(story, (Broken(SIMULATOR, 0.0, lost.why),), UNKNOWN, 0.0))


def play_seed(number: int, days: float, trace: bool = False) -> Played:
    """The random story of a seed, in this process."""
    return play_in_memory(story_of(number, days, *standard()), keep_lines=trace)


def _path(file: str) -> Path:
    """A path, or a name of those that come with the project. Raises UsageError listing them."""
    if Path(file).is_dir():
        raise click.UsageError(f"{file}: can not be read: it is a folder")
    for path in (Path(file), scenario.FOLDER / f"{file}.toml"):
        if path.is_file():
            return path
    names = ", ".join(path.stem for path in scenario.all_files())
    raise click.UsageError(f"{file}: no such file; scenarios that come with the project: {names}")


def _seeds(text: str | None, seed: int) -> Sequence[int]:
    if text is None:
        return [seed]
    match = re.fullmatch(r"\s*(-?\d{1,19})\s*(?:\.\.\s*(-?\d{1,19})\s*)?", text)
    found = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not found or max(abs(found[0]), abs(found[-1])) > MOST_SEED:
        raise click.UsageError(f"--seeds {text}: write it like 1..20")
    if found[-1] - found[0] >= MOST_SEEDS:
        raise click.UsageError(f"--seeds {text}: {MOST_SEEDS} at most at a time")
    return found


def _hours(progress: Progress, story: Story) -> Callable[[float], None]:
    return lambda at_s: progress.show(f"{story.name}: {at_s / 3600:.0f} h of {story.lasts_s / 3600:.0f}")


def _line(outcome: Outcome) -> str:
    """What came of one story."""
    story = outcome.story
    speed = story.lasts_s / max(outcome.took_s, 1e-9)
    verdict = f"{len(outcome.broken)} BROKEN" if outcome.broken else "kept"
    return (
        f"{story.name}: {story.lasts_s / DAY_S:g} days, {len(story.troubles)} troubles, {speed:,.0f} × real time, "
        f"trace {outcome.hash[:12] or 'unknown'}: {verdict}"
    )


def _seen(played: Played) -> list[str]:
    """What a scenario expects, and what came."""
    lines = []
    for verdict in played.verdicts:
        expect, seen = verdict.expect, verdict.seen
        what = f"{expect.limit} {expect.level}"
        if verdict.broken:
            lines.append(f"  BROKEN  {verdict.broken}")
        elif expect.never:
            lines.append(f"  ok      {what}: never seen")
        elif seen is not None:
            by = expects.clock(expect.by_s)
            lines.append(f"  ok      {what}: seen at {expects.clock(seen.at_s)} by {seen.link}, due by {by}")
    return [*lines, ""] if lines else []


def _broken_lines(broken: Sequence[Broken]) -> list[str]:
    lines = [f"  BROKEN  {it.promise}, at {expects.clock(it.at_s)}: {it.what}" for it in broken[:SHOWN_MOST]]
    more = len(broken) - SHOWN_MOST
    return [*lines, *([f"  and {more} more"] if more > 0 else [])]


def _tell(played: Played, replay: str, has_lines: bool) -> None:
    """The promises, the trace and the command that plays it again."""
    outcome = played.outcome
    if outcome.hash == UNKNOWN:  # it is not played again here: it might take this process with it
        click.echo("\n".join([*_broken_lines(outcome.broken), f"  replay: {replay}"]))
        return
    if not has_lines:
        again = play_in_memory(outcome.story, keep_lines=True).outcome
        if again.hash != outcome.hash:
            click.echo(f"  the same story gave another trace ({again.hash[:12]}): chance that is not the seed's")
        outcome = again
    TRACES.mkdir(parents=True, exist_ok=True)
    path = TRACES / f"{_name(outcome.story)}-{outcome.hash[:12]}.trace"  # two runs at once may have stories of one name
    broken = _broken_lines(outcome.broken)
    path.write_text("\n".join([*outcome.lines, *broken, ""]), "utf-8")
    click.echo("\n".join([*broken, f"  trace:  {path}", *([f"  replay: {replay}"] if broken else [])]))


def _name(story: Story) -> str:
    """A story's name as part of a file's."""
    return re.sub(r"[^\w.-]+", "-", story.name)[:MOST_NAME]


def _shrunk(outcome: Outcome, progress: Progress) -> None:
    """Looks for the smallest story in which the first promise is broken, and writes it to a file."""
    promise = outcome.broken[0].promise

    def fails(story: Story) -> bool:
        return any(it.promise == promise for it in play_in_memory(story).outcome.broken)

    click.echo(
        f"  shrinking: which of {len(outcome.story.troubles)} troubles break {promise!r}? {MOST_TRIES} tries at most"
    )
    small = shrink(outcome.story, fails, MOST_TRIES, lambda text: progress.show(f"  {text}"))
    progress.clear()
    TRACES.mkdir(parents=True, exist_ok=True)
    path = TRACES / f"{_name(small)}-{outcome.hash[:12]}-shrunk{story_file.SUFFIX}"
    story_file.save(small, path)
    troubles = [f"    {expects.clock(trouble.at_s)} {trouble.words()}" for trouble in small.troubles]
    head = f"  smallest: {small.lasts_s:.0f} s, {len(small.troubles)} troubles"
    click.echo("\n".join([head, *troubles, f"  replay: fengsui-sim play {shlex.quote(str(path))} --trace"]))
