"""What is installed here: entry points and versions, as each package's own list has them.

importlib.metadata tells the same, with a parser for mails and a reader for zip files: 0.9 MB that the daemon would keep
for as long as it runs. So the lists (entry_points.txt beside a package's METADATA, Python Packaging User Guide,
"Entry points specification") are read here; where they are not plain files in a folder, importlib.metadata is asked
after all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

LISTS = (".dist-info", ".egg-info")
LIST_NAME = "entry_points.txt"


class Entry(NamedTuple):
    """`value`: "package.module:name"."""

    name: str
    value: str

    def load(self) -> Any:
        """Imports it. Raises what importing raises."""
        module, _, name = self.value.partition("[")[0].partition(":")
        return reduce(getattr, filter(None, name.strip().split(".")), import_module(module.strip()))


def entries(group: str) -> dict[str, Entry]:
    """The entry points of a group by name; of two with one name, that of the folder that Python looks into first."""
    found: dict[str, Entry] = {}
    for folder in _lists():
        for entry in _read(folder / LIST_NAME, group):
            found.setdefault(entry.name, entry)
    if not found:
        from importlib.metadata import entry_points

        found = {entry.name: Entry(entry.name, entry.value) for entry in entry_points(group=group)}
    return found


def version(package: str) -> str:
    """The version of an installed package. Raises importlib.metadata.PackageNotFoundError."""
    for folder in _lists():
        name, _, number = folder.stem.partition("-")
        if folder.suffix == LISTS[0] and name == package and number:
            return number
    from importlib import metadata

    return metadata.version(package)


def _lists() -> Iterator[Path]:
    for place in dict.fromkeys(sys.path):
        try:
            with os.scandir(place or ".") as inside:
                names = sorted(item.name for item in inside if item.name.endswith(LISTS))
        except OSError:
            continue  # a zip file, or nothing
        yield from (Path(place, name) for name in names)


def _read(path: Path, group: str) -> Iterator[Entry]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return  # a package without any
    here = False
    for line in map(str.strip, lines):
        if line.startswith("["):
            here = line == f"[{group}]"
        elif here and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield Entry(name.strip(), value.strip())
