"""A story as a JSON file, its troubles and its site: what the shrinker leaves is replayed from one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge.errors import FengsuiError, SiteFileError
from sim.world.nouns import Story
from sim.world.scenario_check import problems_of
from sim.world.stage import read

SUFFIX = ".json"


class StoryFileError(FengsuiError):
    """The file holds no story, or one that can not be played."""


def save(story: Story, path: Path) -> None:
    """Writes a story, one key a line. Raises OSError."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(story), indent=1))


def load(path: Path) -> Story:
    """The story that `save` wrote, or a person has changed. Raises StoryFileError with all that is wrong."""
    try:
        story = msgspec.json.decode(path.read_bytes(), type=Story)
    except OSError as error:
        raise StoryFileError(f"{path}: can not be read: {error.strerror}") from error
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoryFileError(f"{path}: holds no story: {error}") from error
    try:
        with tempfile.TemporaryDirectory(prefix="fengsui-story-") as folder:
            problems: Sequence[str] = problems_of(story, read(story.site, Path(folder)))
    except SiteFileError as error:
        problems = [f"site: {problem}" for problem in error.problems]
    if problems:
        raise StoryFileError(f"{path}: {len(problems)} problem(s)\n" + "\n".join(f"  {it}" for it in problems))
    return story
