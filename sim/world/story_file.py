"""A story as a JSON file, its troubles and its site: what the shrinker leaves is replayed from one."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge.errors import FengsuiError
from sim.world.nouns import Story

SUFFIX = ".json"


class StoryFileError(FengsuiError):
    """The file holds no story."""


def save(story: Story, path: Path) -> None:
    """Writes a story, one key a line. Raises OSError."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(story), indent=1))


def load(path: Path) -> Story:
    """The story that `save` wrote. Raises StoryFileError, OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Story)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise StoryFileError(f"{path}: holds no story: {error}") from error
