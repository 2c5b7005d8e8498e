"""What is installed, read without importlib.metadata: the same answers."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from edge.contract import ENTRY_POINT_GROUP, Driver
from edge.installed import entries, version

LIST = """# a comment
[console_scripts]
x = elsewhere:main

[fengsui.drivers]
mine = colours.deep:Palette.blue
 spaced=colours [extra]
; another
[fengsui.ports]
mine = other:thing
"""


@pytest.mark.parametrize("group", [ENTRY_POINT_GROUP, "fengsui.ports", "console_scripts", "no.such.group"])
def test_it_tells_what_importlib_metadata_tells(group: str) -> None:
    told = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=group)}
    assert {entry.name: entry.value for entry in entries(group).values()} == told
    assert version("fengsui") == importlib.metadata.version("fengsui")


def test_our_drivers_load() -> None:
    found = entries(ENTRY_POINT_GROUP)
    assert {"modbus", "mqtt"} <= set(found)
    assert all(isinstance(entry.load(), Driver) for entry in found.values())


def test_a_third_partys_list_is_read_and_the_first_folder_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, text in (("one", LIST), ("two", LIST.replace("blue", "red"))):
        folder = tmp_path / place / "colours-1.2.dist-info"
        folder.mkdir(parents=True)
        (folder / "entry_points.txt").write_text(text)
        (tmp_path / place / "broken-1.dist-info").mkdir()
        (tmp_path / place / "broken-1.dist-info" / "entry_points.txt").write_bytes(b"\xff[fengsui.drivers]\nx = y")
    (tmp_path / "one" / "colours").mkdir()
    (tmp_path / "one" / "colours" / "__init__.py").write_text("")
    (tmp_path / "one" / "colours" / "deep.py").write_text("class Palette:\n    blue = 7\n")
    monkeypatch.setattr(
        sys, "path", [str(tmp_path / "none.zip"), str(tmp_path / "one"), str(tmp_path / "two"), *sys.path]
    )
    found = entries(ENTRY_POINT_GROUP)
    assert found["mine"].load() == 7
    assert found["spaced"].load().__name__ == "colours"
    assert "x" not in found
    assert version("colours") == "1.2"


def test_what_is_not_in_folders_is_asked_for_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        version("fengsui")
