"""Recordings of the workload, ready to be explored."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.outbox import Outbox
from tests.powercut.disk import Tree
from tests.powercut.explore import Check
from tests.powercut.promises import FilePromises, Look, StorePromises
from tests.powercut.record import REPOSITORY, Event, record
from tests.powercut.workload import QUOTA_BYTES, SCENARIOS, STAMP, STORE, look

MODULE = "tests.powercut.workload"


@dataclass
class Tale:
    """A recording, what lay on the disk before it, and the check of its promises."""

    name: str
    events: list[Event]
    start: Tree
    check: Check


def tale(name: str, folder: Path, environment: Mapping[str, str] | None = None) -> Tale:
    """Records a scenario of the workload in `folder`, which must be empty."""
    place, elsewhere = folder / "place", folder / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    held = None
    if SCENARIOS[name][1] is not None:
        _before(name, place)
        held = _held(place, folder / "copy") if (place / STORE).exists() else None
    start = tree_of(place)
    around = {"FENGSUI_ELSEWHERE": str(elsewhere), **(environment or {})}
    events = record(["-m", MODULE, name, str(place)], place, folder / "strace.log", around)
    check: Check = FilePromises(events) if name == "small_files" else StorePromises(events, held)
    return Tale(name, events, start, check)


def tree_of(folder: Path) -> Tree:
    """What lies in a folder."""
    paths = sorted(folder.rglob("*"))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}
    return Tree(files, frozenset(str(path.relative_to(folder)) for path in paths if path.is_dir()))


def _before(name: str, place: Path) -> None:
    """What happened before the recording, in a process of its own: it ends by kill -9 or by itself."""
    command = [sys.executable, "-m", MODULE, name, str(place), "before"]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ, stdout=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode in (0, -9), done


def _held(place: Path, copy: Path) -> Look:
    """What the store holds as the recording begins; of a broken one, what can be salvaged."""
    shutil.copytree(place, copy)
    box, _ = Outbox.open(copy / STORE, QUOTA_BYTES, STAMP)
    try:
        while box.salvaging:
            box.salvage_step(1.0)
        return look(box)
    finally:
        box.close()
