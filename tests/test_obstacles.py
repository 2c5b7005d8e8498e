"""What lies in the way of a store and is no file: named, moved aside, or, where a disk is missing, waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge import doubt
from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.errors import StoreBroken
from edge.outbox import Outbox
from edge.outbox_home import Doubt
from edge.process import lock_folder

ENTRY = NewEntry(Kind.ROUNDS, 0, 1000, ClockQuality.TRUSTED, 1, b"x")
OUT_OF_THE_WAY = pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "FIFO"])


def opened(folder: Path) -> tuple[Outbox, list[str]]:
    return Outbox.open(folder, 10**9, "now")


def sound(folder: Path) -> int:
    """A store with an entry, closed; its epoch."""
    box, said = opened(folder)
    assert not said
    box.sheet_id(b"digest", box.epoch, b"sheet")
    box.commit([ENTRY], sheet=1)
    box.close()
    return box.epoch


@OUT_OF_THE_WAY
@pytest.mark.parametrize("name", ["outbox.new", "outbox.salvage.db", "outbox.salvage-3.db", "outbox.db-wal"])
def test_an_obstacle_beside_a_sound_store_does_not_keep_it_out(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    epoch = sound(tmp_path)
    make(tmp_path / name)
    box, said = opened(tmp_path)
    assert box.epoch == epoch
    assert len(list(box.scan())) == 1
    assert len(said) == 1
    assert f"{tmp_path / name} is" in said[0]
    assert f"moved to {name}.odd-now" in said[0]
    assert (tmp_path / f"{name}.odd-now").exists()
    assert opened(tmp_path / "other")[1] == []
    box.close()


@OUT_OF_THE_WAY
def test_an_obstacle_in_place_of_the_store_makes_room_for_a_new_one(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "outbox.db.odd-now").touch()
    make(tmp_path / "outbox.db")
    box, said = opened(tmp_path)
    assert len(said) == 1
    assert "moved to outbox.db.odd-now-2" in said[0]
    assert (tmp_path / "outbox.db").is_file()
    box.close()


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_store_whose_disk_is_not_mounted_is_waited_for(tmp_path: Path, whole_folder: bool) -> None:
    disk, store = tmp_path / "usb", tmp_path / "store"
    epoch = sound(disk)
    if whole_folder:
        store.symlink_to(disk)
    else:
        store.mkdir()
        (store / "outbox.db").symlink_to(disk / "outbox.db")
    disk.rename(tmp_path / "unplugged")
    for _ in range(2):
        with pytest.raises(StoreBroken, match=r"the store's disk is not there .* leads to .*usb.*: is it mounted\?"):
            opened(store)
    (tmp_path / "unplugged").rename(disk)
    box, said = opened(store)
    assert box.epoch == epoch
    assert not said
    box.close()


def test_a_link_that_leads_round_in_a_circle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").symlink_to("outbox.db")
    with pytest.raises(StoreBroken, match="is it mounted"):
        opened(tmp_path)
    assert (tmp_path / "outbox.db").is_symlink()


def test_nobody_waits_for_a_fifo(tmp_path: Path) -> None:
    for name in (doubt.NAME, "lock"):
        os.mkfifo(tmp_path / name)
    assert doubt.noted(tmp_path) is None
    doubt.note(tmp_path, Doubt(1, 2, 3))
    assert lock_folder(tmp_path) is None
    doubt.forget(tmp_path)
    doubt.note(tmp_path, Doubt(1, 2, 3))
    assert doubt.noted(tmp_path) == Doubt(1, 2, 3, rounds_only=True)
