"""Records what a child process does to the files below one folder, in order: `strace`, no root needed for own children.

Every system call that can change a file, a name or what is durable is recorded with all its bytes, and so is what the
child writes to standard output: that is where it tells its promises ("this is committed"), in the same total order as
its disk calls. A promise counts from the moment its write began, a disk call from the moment it returned.

What the recorder cannot follow (a shared writable mapping, io_uring, links, a descriptor it has not seen open) raises
Unseen: a recording is whole or there is none. The one mapping that is let pass is SQLite's index of its log (`-shm`):
it is never trusted by who opens the file first. Reads are not recorded. One process, with any number of threads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST_WRITE_BYTES = 4_000_000
TIMEOUT_S = 120
TOLD_DESCRIPTOR = 1

FOLLOWED = (
    "open,openat,creat,close,write,pwrite64,writev,pwritev,pwritev2,ftruncate,fsync,fdatasync,rename,renameat,renameat2,"
    "unlink,unlinkat,rmdir,mkdir,mkdirat,mmap,lseek"
)
NOT_FOLLOWED = (
    "truncate,link,linkat,symlink,symlinkat,sync,syncfs,sendfile,copy_file_range,splice,sync_file_range,fallocate,dup,"
    "dup2,dup3,io_uring_setup"
)
LINE = re.compile(r"(\d+) +(.*)", re.DOTALL)
CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)", re.DOTALL)
RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)", re.DOTALL)
UNFINISHED = " <unfinished ...>"
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Unseen(Exception):
    """Something was done to the files that this recorder cannot follow."""


@dataclass(frozen=True, slots=True)
class Open:
    """`path` is relative to the recorded folder ("." for itself)."""

    descriptor: int
    path: str
    create: bool
    truncate: bool
    append: bool


@dataclass(frozen=True, slots=True)
class Close:
    descriptor: int


@dataclass(frozen=True, slots=True)
class Write:
    """`offset` None: where the last write on this descriptor ended."""

    descriptor: int
    offset: int | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    descriptor: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """`data_only`: fdatasync."""

    descriptor: int
    data_only: bool


@dataclass(frozen=True, slots=True)
class Rename:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Remove:
    path: str


@dataclass(frozen=True, slots=True)
class MakeFolder:
    path: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the child wrote to its standard output in one call."""

    text: bytes


Event = Open | Close | Write | Resize | Sync | Rename | Remove | MakeFolder | Told


def why_not() -> str:
    """Why nothing can be recorded here; "" when it can."""
    if shutil.which("strace") is None:
        return "NO STRACE: apt-get install strace"
    tried = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return f"STRACE MAY NOT TRACE HERE: {tried.stderr.strip()}" if tried.returncode else ""


def record(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> list[Event]:
    """Runs a Python program (`-m module ...` or `-c ...`) and returns what it did below `folder` and told.

    `log` takes strace's own output. Raises CalledProcessError when the program fails, Unseen as said above.
    """
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-xx", "-s", str(LONGEST_WRITE_BYTES)]
    strace += ["-e", f"trace={FOLLOWED},{NOT_FOLLOWED}", "-e", "signal=none", "-o", str(log)]
    subprocess.run(
        [*strace, sys.executable, *command],
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        check=True,
    )
    with log.open(encoding="ascii") as lines:
        return list(_Reader(folder).events(lines))


class _Reader:
    """Reads strace's lines for one folder."""

    def __init__(self, folder: Path) -> None:
        self._root = str(folder.resolve())
        self._open: dict[int, bool] = {}  # descriptors below the folder -> whether opened for writing only
        self._index: set[int] = set()  # descriptors of `-shm` files
        self._begun: dict[str, str] = {}

    def events(self, lines: Iterator[str]) -> Iterator[Event]:
        for line in lines:
            told = self._told(line)
            if told is not None:
                yield told
            call = self._whole(line)
            if call is not None:
                yield from self._call(*call)

    def _told(self, line: str) -> Told | None:
        """At the moment the call begins: nothing that ends during it is before it."""
        found = re.match(r'\d+ +write\((\d+), "((?:\\x[0-9a-f]{2})*)"', line)
        if found is None or int(found[1]) != TOLD_DESCRIPTOR:
            return None
        return Told(_bytes(found[2]))

    def _whole(self, line: str) -> tuple[str, str, int] | None:
        """(name, arguments, result) of a call that has ended well with this line."""
        parts = LINE.match(line.rstrip("\n"))
        if parts is None:
            raise Unseen(f"not a line of strace: {line[:200]}")
        process, text = parts.groups()
        if text.endswith(UNFINISHED):
            self._begun[process] = text.removesuffix(UNFINISHED)
            return None
        resumed = RESUMED.match(text)
        if resumed is not None:
            text = self._begun.pop(process) + resumed[1]
        call = CALL.match(text)
        if call is None or call[3] == "?":
            return None
        result = int(call[3], 0)
        return None if result < 0 else (call[1], call[2], result)

    def _call(self, name: str, arguments: str, result: int) -> Iterator[Event]:
        if name in ("open", "openat", "creat"):
            yield from self._opened(name, arguments, result)
        elif name == "io_uring_setup":
            raise Unseen("io_uring is used")
        elif name in ("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"):
            yield from self._named(name, arguments)
        elif name in ("link", "linkat", "symlink", "symlinkat", "truncate"):
            if any(self._below(path) for path in _paths(arguments)):
                raise Unseen(f"{name} of {_paths(arguments)}")
        elif name in ("sync", "syncfs"):
            raise Unseen(f"{name}: everything is synced at once")
        elif name == "mmap":
            self._mapped(arguments)
        else:
            yield from self._on_descriptor(name, arguments, result)

    def _opened(self, name: str, arguments: str, result: int) -> Iterator[Event]:
        path = self._below(_paths(arguments)[0])
        if path is None:
            self._open.pop(result, None)
            return
        flags = set(re.sub(r".*\"", "", arguments).replace(" ", "").strip(",").replace(",", "|").split("|"))
        if name == "creat" or flags & {"O_SYNC", "O_DSYNC", "O_TMPFILE", "O_DIRECT"}:
            raise Unseen(f"{name}({arguments})")
        self._open[result] = "O_WRONLY" in flags
        (self._index.add if path.endswith("-shm") else self._index.discard)(result)
        yield Open(result, path, "O_CREAT" in flags, "O_TRUNC" in flags, "O_APPEND" in flags)

    def _named(self, name: str, arguments: str) -> Iterator[Event]:
        paths = [self._below(path) for path in _paths(arguments)]
        if all(path is None for path in paths):
            return
        if name.startswith("rename"):
            old, new = paths
            if old is None or new is None or "EXCHANGE" in arguments:
                raise Unseen(f"{name} of {_paths(arguments)}")
            yield Rename(old, new)
        elif paths[0] is not None:
            yield MakeFolder(paths[0]) if name.startswith("mkdir") else Remove(paths[0])

    def _mapped(self, arguments: str) -> None:
        _, _, protection, flags, descriptor, _ = arguments.split(", ")
        if int(descriptor) not in self._open or int(descriptor) in self._index:
            return
        if "PROT_WRITE" in protection and "MAP_SHARED" in flags:
            raise Unseen(f"a file is written through a mapping: mmap({arguments})")

    def _on_descriptor(self, name: str, arguments: str, result: int) -> Iterator[Event]:
        descriptor = int(arguments.partition(",")[0])
        if descriptor not in self._open:
            return
        if name == "lseek" and arguments.endswith(", 0, SEEK_CUR"):
            return  # only asked where it stands
        if name in NOT_FOLLOWED.split(",") or (name == "lseek" and self._open[descriptor]):
            raise Unseen(f"{name}({arguments[:80]})")
        if name == "close":
            del self._open[descriptor]
            yield Close(descriptor)
        elif name in ("fsync", "fdatasync"):
            yield Sync(descriptor, name == "fdatasync")
        elif name == "ftruncate":
            yield Resize(descriptor, int(arguments.split(", ")[1]))
        elif name in ("write", "writev", "pwrite64", "pwritev", "pwritev2"):
            data = b"".join(_bytes(text) for text in TEXT.findall(arguments))[:result]
            if len(data) != result:
                raise Unseen(f"{name} of {result} bytes, {len(data)} recorded")
            at = re.search(r".*[\"\]], (?:\d+, )?(\d+)", arguments, re.DOTALL) if name.startswith("p") else None
            if at is None and (name.startswith("p") or not self._open[descriptor]):
                raise Unseen(f"{name} on a descriptor open for reading too: its position is not known")
            yield Write(descriptor, int(at[1]) if at else None, data)

    def _below(self, path: str) -> str | None:
        """A path relative to the folder; None for one elsewhere."""
        if path == self._root:
            return "."
        return path[len(self._root) + 1 :] if path.startswith(self._root + "/") else None


def _paths(arguments: str) -> list[str]:
    return [os.fsdecode(_bytes(text)) for text in TEXT.findall(arguments)]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
