"""Where a story is played in virtual time: in a folder in memory that is gone afterwards; and the site it is played at.

What a scenario expects is looked for in the province's databases before they go.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edge.config import Site
from edge.config import load as load_site
from sim.world import expects
from sim.world.expects import Arrival, Verdict
from sim.world.nouns import Outcome, Story

MEMORY = Path("/dev/shm")  # the disk's model is in the world; a real disk below it only takes time
BOOKS = "province*.db"


@dataclass(frozen=True, slots=True)
class Played:
    """An outcome, what the province saw, and what that means for what was expected."""

    outcome: Outcome
    seen: tuple[Arrival, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether every promise was kept and all that was expected was seen."""
        return not self.outcome.broken and not any(it.broken for it in self.verdicts)


def standard() -> tuple[str, Site]:
    """The world's own site: its file's text, and as read."""
    text = _standard_text()
    with _folder() as folder:
        return text, read(text, Path(folder))


@lru_cache(1)
def _standard_text() -> str:
    from sim.world.sites import standard_site

    return standard_site()


def read(text: str, folder: Path) -> Site:
    """A site file's text as read. Raises SiteFileError."""
    path = folder / "site.toml"
    path.write_text(text, "utf-8", "replace")  # a story made by hand may hold what is no character
    return load_site(path)


def play_in_memory(
    story: Story, *, keep_lines: bool = False, on_hour: Callable[[float], None] = lambda _at_s: None
) -> Played:
    """Plays a story in virtual time. Raises what `sim.world.world.play` does."""
    from sim.world.world import play

    with _folder() as folder:
        outcome = play(story, Path(folder), keep_lines=keep_lines, on_hour=on_hour)
        return judged(outcome, expects.arrivals(sorted(Path(folder).glob(BOOKS))), story)


def judged(outcome: Outcome, seen: list[Arrival], story: Story) -> Played:
    """With what was expected, one by one, for a person to read."""
    return Played(outcome, tuple(seen), tuple(expects.verdicts(story.expects, seen, story.lasts_s)))


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fengsui-world-", dir=MEMORY if MEMORY.is_dir() else None)
