"""Where a story is played in virtual time: in a folder in memory that is gone afterwards; and the site it is played at.

What a scenario expects is looked for in the province's databases before they go.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
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


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """A folder in memory. It goes with the process that is told to end (SIGTERM) too: else it would take memory until
    the next boot. Wherever that strikes, in a callback of SQLite's too, nothing is unwound."""
    with tempfile.TemporaryDirectory(prefix="fengsui-world-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        if (
            threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        ):
            yield folder
            return

        def end(number: int, _frame: object) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, end)
        try:
            yield folder
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
