"""A disk that can lose its power: what is durable, what is only on its way, and what a cut may leave of it.

Rules of names (`Rule`):
    POSIX  a name (made, moved, removed) is durable once its folder is synced; before, any of them may be lost
    EXT4   data=ordered: names are kept in a journal and survive in their order; a sync that has to write the journal
           (any fsync; an fdatasync of a file that has grown) makes all earlier names durable. A file renamed over
           another has its data on the disk before the new name counts (auto_da_alloc), and no size without its data
Data, under both: durable after fsync or fdatasync of its file. Before, any write may be there or not, in any order,
whole or torn between sectors; under POSIX a file may have grown without its data, which then is zeros.

This is the worst that a disk may do which keeps its word about flushes; a disk that lies about them is another matter.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tests.powercut.record import (
    Close,
    Event,
    MakeFolder,
    Open,
    Remove,
    Rename,
    Resize,
    Sync,
    Write,
)

SECTOR_BYTES = 512
ROOT = 0


class Rule(Enum):
    POSIX = "posix"
    EXT4 = "ext4"


@dataclass(frozen=True, slots=True)
class Data:
    inode: int
    offset: int
    data: bytes

    @property
    def sectors(self) -> range:
        """The sectors of its file that it touches."""
        return range(self.offset // SECTOR_BYTES, (self.offset + len(self.data) - 1) // SECTOR_BYTES + 1)


@dataclass(frozen=True, slots=True)
class Size:
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Names:
    """One change of names, whole or not at all: (folder, name, inode or None). `over`: it replaced this file."""

    changes: tuple[tuple[int, str, int | None], ...]
    over: bool = False


Pending = Data | Size | Names


class Kept(Enum):
    WHOLE = "whole"
    SIZE_ONLY = "zeros"


Keep = Mapping[int, Kept | frozenset[int]]
"""What survives of the pending changes: place -> how. A set: the sectors that survive of a write."""


class Tree(NamedTuple):
    """What a cut has left: files by path, folders."""

    files: dict[str, bytes]
    folders: frozenset[str]

    def write(self, root: Path) -> None:
        for folder in sorted(self.folders):
            (root / folder).mkdir(exist_ok=True)
        for path, data in self.files.items():
            (root / path).write_bytes(data)


class Disk:
    """Follows a recording. `pending` is what a cut now would find on its way, oldest first."""

    def __init__(self, rule: Rule, start: Tree | None = None) -> None:
        self.rule = rule
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, int]] = {ROOT: {}}
        self.pending: list[Pending] = []
        self._next_inode = ROOT + 1
        self._descriptors: dict[int, tuple[int, bool]] = {}
        self._places: dict[int, int] = {}
        for folder in sorted(start.folders) if start else ():
            self._link(self.folders, folder, self._new(self.folders, {}))
        for path, data in (start.files if start else {}).items():
            self._link(self.folders, path, self._new(self.files, data))
        self._view = copy.deepcopy(self.folders)  # as the running program sees the names
        self._sizes = {inode: len(data) for inode, data in self.files.items()}

    def same(self, other: Disk) -> bool:
        """Whether a cut now can leave the same as on the other."""
        return self.pending == other.pending and self.folders == other.folders and self.files == other.files

    # -- what the program does -----------------------------------------------------------------------------------

    def apply(self, event: Event) -> bool:
        """Takes the next event; tells whether what a cut may leave has changed."""
        before = len(self.pending)
        match event:
            case Open():
                self._open(event)
            case Close():
                self._descriptors.pop(event.descriptor, None)
            case Write():
                self._write(event)
            case Resize():
                inode = self._descriptors[event.descriptor][0]
                self._resize(inode, event.size)
            case Sync():
                inode = self._descriptors[event.descriptor][0]
                self._sync(inode, event.data_only)
            case Rename():
                self._rename(event)
            case Remove():
                folder, name = self._at(self._view, event.path)
                self._name(((folder, name, None),))
            case MakeFolder():
                folder, name = self._at(self._view, event.path)
                inode = self._new(self.folders, {})
                self._view[inode] = {}
                self._name(((folder, name, inode),))
            case _:
                return False
        return len(self.pending) != before

    def _open(self, event: Open) -> None:
        if event.path == ".":
            self._descriptors[event.descriptor] = (ROOT, False)
            return
        folder, name = self._at(self._view, event.path)
        inode = self._view[folder].get(name)
        if inode is None:
            inode = self._new(self.files, b"")
            self._sizes[inode] = 0
            self._name(((folder, name, inode),))
        elif event.truncate and self._sizes[inode]:
            self._resize(inode, 0)
        self._descriptors[event.descriptor] = (inode, event.append)
        self._places[event.descriptor] = 0

    def _write(self, event: Write) -> None:
        inode, append = self._descriptors[event.descriptor]
        offset = event.offset
        if offset is None:
            offset = self._sizes[inode] if append else self._places[event.descriptor]
            self._places[event.descriptor] = offset + len(event.data)
        self._sizes[inode] = max(self._sizes[inode], offset + len(event.data))
        if event.data:
            self.pending.append(Data(inode, offset, event.data))

    def _resize(self, inode: int, size: int) -> None:
        self._sizes[inode] = size
        self.pending.append(Size(inode, size))

    def _rename(self, event: Rename) -> None:
        old_folder, old = self._at(self._view, event.old)
        folder, new = self._at(self._view, event.new)
        inode = self._view[old_folder][old]
        self._name(((old_folder, old, None), (folder, new, inode)), over=new in self._view[folder])

    def _name(self, changes: tuple[tuple[int, str, int | None], ...], *, over: bool = False) -> None:
        self.pending.append(Names(changes, over))
        _rename(self._view, changes)

    def _sync(self, inode: int, data_only: bool) -> None:
        if inode in self.folders and self.rule is Rule.POSIX:
            self._settle(lambda it: isinstance(it, Names) and any(change[0] == inode for change in it.changes))
            return
        journal = inode in self.folders or not data_only or self._sizes[inode] != len(self.files[inode])
        if self.rule is Rule.EXT4 and journal:
            names = [it for it in self.pending if isinstance(it, Names)]
            forced = {change[2] for it in names if it.over for change in it.changes}
            self._settle(lambda it: isinstance(it, Names) or it.inode in forced or it.inode == inode)
        else:
            self._settle(lambda it: not isinstance(it, Names) and it.inode == inode)

    def _settle(self, which: Callable[[Pending], bool]) -> None:
        keep: dict[int, Kept | frozenset[int]] = {
            place: Kept.WHOLE for place, it in enumerate(self.pending) if which(it)
        }
        self.files, self.folders = self._after(keep)
        self.pending = [it for place, it in enumerate(self.pending) if place not in keep]

    # -- what a cut leaves ---------------------------------------------------------------------------------------

    def cut(self, keep: Keep) -> Tree:
        """The files and folders after a cut that leaves `keep` of what is pending."""
        files, folders = self._after(self._lawful(keep))
        found: dict[str, bytes] = {}
        names: set[str] = set()

        def walk(folder: int, path: PurePosixPath) -> None:
            for name, inode in folders[folder].items():
                if inode in folders:
                    names.add(str(path / name))
                    walk(inode, path / name)
                else:
                    found[str(path / name)] = files[inode]

        walk(ROOT, PurePosixPath())
        return Tree(found, frozenset(names))

    def _lawful(self, keep: Keep) -> Keep:
        """`keep` as the rule allows it."""
        if self.rule is Rule.POSIX:
            return keep
        places = [place for place, it in enumerate(self.pending) if isinstance(it, Names)]
        lawful = {place: how for place, how in keep.items() if place not in places and how is not Kept.SIZE_ONLY}
        for place in places[: sum(place in keep for place in places)]:
            lawful[place] = Kept.WHOLE
            it = self.pending[place]
            moved = {change[2] for change in it.changes} if isinstance(it, Names) and it.over else set()
            for earlier, data in enumerate(self.pending[:place]):
                if not isinstance(data, Names) and data.inode in moved:
                    lawful[earlier] = Kept.WHOLE
        return lawful

    def _after(self, keep: Keep) -> tuple[dict[int, bytes], dict[int, dict[str, int]]]:
        files: dict[int, bytes | bytearray] = dict(self.files)
        folders = {inode: dict(names) for inode, names in self.folders.items()}
        for place, it in enumerate(self.pending):
            how = keep.get(place)
            if how is None:
                continue
            if isinstance(it, Names):
                _rename(folders, it.changes)
                continue
            content = files[it.inode]
            if isinstance(content, bytes):
                content = files[it.inode] = bytearray(content)
            if isinstance(it, Size):
                del content[it.size :]
                content.extend(bytes(it.size - len(content)))
            else:
                _put(content, it, how)
        return {inode: bytes(content) for inode, content in files.items()}, folders

    # -- small things --------------------------------------------------------------------------------------------

    def _new(self, table: dict[int, bytes] | dict[int, dict[str, int]], content: object) -> int:
        inode = self._next_inode
        self._next_inode += 1
        table[inode] = content  # type: ignore[assignment]
        return inode

    def _link(self, folders: dict[int, dict[str, int]], path: str, inode: int) -> None:
        folder, name = self._at(folders, path)
        folders[folder][name] = inode

    def _at(self, folders: dict[int, dict[str, int]], path: str) -> tuple[int, str]:
        """The folder (inode) and the last name of a path."""
        *parents, name = PurePosixPath(path).parts
        folder = ROOT
        for parent in parents:
            folder = folders[folder][parent]
        return folder, name


def _rename(folders: dict[int, dict[str, int]], changes: tuple[tuple[int, str, int | None], ...]) -> None:
    for folder, name, inode in changes:
        if inode is None:
            folders[folder].pop(name, None)
        else:
            folders[folder][name] = inode


def _put(content: bytearray, write: Data, how: Kept | frozenset[int]) -> None:
    end = write.offset + len(write.data)
    if how is Kept.SIZE_ONLY:
        content.extend(bytes(max(0, end - len(content))))
        return
    for sector in write.sectors if how is Kept.WHOLE else sorted(how):
        low, high = max(write.offset, sector * SECTOR_BYTES), min(end, (sector + 1) * SECTOR_BYTES)
        content.extend(bytes(max(0, high - len(content))))
        content[low:high] = write.data[low - write.offset : high - write.offset]
