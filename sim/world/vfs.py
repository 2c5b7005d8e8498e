"""SQLite's own files, seen and answered by Python: a VFS (sqlite.org/vfs.html) in front of the one that sqlite3 uses.

It is a copy of the default VFS under another name, so all but a few calls go straight to the original. A file inside a
card's folder gets a copy of its method table in which writing, cutting, syncing and closing come here first; a file
elsewhere is opened by the original and never seen again. A card that goes dead (`deaden`) swaps the tables of all
its open files for ones that refuse everything, locks too, so that whoever still holds such a file can do no harm.

Struct layouts: sqlite3.h (sqlite3_vfs, sqlite3_io_methods). May not: raise in a callback (ctypes would answer SQLITE_OK
for it), or let go of a callback or a table, ever: SQLite holds their addresses, also while the interpreter ends.
"""

from __future__ import annotations

import _sqlite3
import atexit
import ctypes
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, PYFUNCTYPE, c_char_p, c_int, c_int64, c_void_p
from typing import Any, NamedTuple, Protocol

OK = 0
FULL, CANTOPEN = 13, 14
IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_DELETE, IOERR_LOCK = (10 | kind << 8 for kind in (3, 4, 6, 10, 15))
OPEN_READONLY, OPEN_READWRITE, OPEN_CREATE = 1, 2, 4
NAME = b"fengsui-world"

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_RANDOMNESS = CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)
_SLEEP = CFUNCTYPE(c_int, c_void_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = _LOCK = CFUNCTYPE(c_int, c_void_p, c_int)
# The originals of these take no lock and call nobody back, so they may be called without letting other threads in.
_WRITE_ON = PYFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE_ON = PYFUNCTYPE(c_int, c_void_p, c_int64)


class _Methods(ctypes.Structure):
    """sqlite3_io_methods, version 3."""

    _fields_ = [
        ("version", c_int),
        *((name, c_void_p) for name in ("close", "read", "write", "truncate", "sync", "file_size", "lock", "unlock")),
        *((name, c_void_p) for name in ("check_reserved_lock", "control", "sector_size", "characteristics")),
        *((name, c_void_p) for name in ("shm_map", "shm_lock", "shm_barrier", "shm_unmap", "fetch", "unfetch")),
    ]


class _Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = [
        ("version", c_int),
        ("file_bytes", c_int),
        ("most_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("own", c_void_p),
        *((name, c_void_p) for name in ("open", "delete", "access", "full_path", "dl_open", "dl_error", "dl_sym")),
        *((name, c_void_p) for name in ("dl_close", "randomness", "sleep", "time", "last_error", "time_int64")),
        *((name, c_void_p) for name in ("set_call", "get_call", "next_call")),
    ]


class Card(Protocol):
    """What answers for the files in a folder. The int answers are SQLite result codes. A write or a truncate is asked
    about before it is done to the file (`refuses`), and told of after (`wrote`, `truncated`)."""

    prefix: bytes  # its folder, with a slash at the end and no link in it

    def allow(self, path: bytes, flags: int) -> int | None: ...  # the flags to open it with
    def opened(self, path: bytes) -> Any: ...  # the file, as it comes back in the other calls
    def closed(self, file: Any) -> None: ...
    def refuses(self, file: Any, end: int, code: int) -> int: ...  # `code`: what a failing disk gives
    def wrote(self, file: Any, offset: int, data: bytes) -> int: ...
    def truncated(self, file: Any, size: int) -> int: ...
    def synced(self, file: Any) -> int: ...
    def may_delete(self) -> bool: ...
    def deleted(self) -> None: ...
    def entropy(self, size: int) -> bytes: ...


class _Tables(NamedTuple):
    """The method tables for files that the original VFS gives the same one."""

    original: _Methods
    live: _Methods
    dead: _Methods
    write: Callable[[int, int, int, int], int]
    truncate: Callable[[int, int], int]
    close: Callable[[int], int]


class _Handle(NamedTuple):
    card: Card
    file: Any
    tables: _Tables


class _Front:
    """The VFS. One in a process, made when it is first needed."""

    def __init__(self) -> None:
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))  # the very SQLite that Python's sqlite3 uses
        library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = [c_char_p]
        library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
        library.sqlite3_randomness.argtypes = [c_int, c_void_p]
        self._library = library
        self.cards: list[Card] = []
        self._handles: dict[int, _Handle] = {}  # by the address of SQLite's file
        self._tables: dict[int, _Tables] = {}
        self._original = library.sqlite3_vfs_find(None).contents
        self._address = ctypes.addressof(self._original)
        self._open_on: Callable[..., int] = _OPEN(self._original.open)
        self._delete_on: Callable[[int, int, int], int] = _DELETE(self._original.delete)
        self._sleep_on: Callable[[int, int], int] = _SLEEP(self._original.sleep)
        self._thread = threading.get_ident()
        self._callbacks = (
            *(_CLOSE(self._close), _WRITE(self._write), _TRUNCATE(self._truncate), _SYNC(self._sync)),
            *(_OPEN(self._open), _DELETE(self._delete), _RANDOMNESS(self._randomness), _SLEEP(self._sleep)),
            *(_WRITE(_always(IOERR_WRITE)), _TRUNCATE(_always(IOERR_TRUNCATE))),
            *(_SYNC(_always(IOERR_FSYNC)), _LOCK(_always(IOERR_LOCK))),
        )
        close, write, truncate, sync, open_, delete, randomness, sleep, *refusing = map(_address, self._callbacks)
        self._live = {"close": close, "write": write, "truncate": truncate, "sync": sync}
        self._dead = dict(zip(("write", "truncate", "sync", "lock"), refusing, strict=True), close=close)
        self._vfs = _Vfs.from_buffer_copy(self._original)
        self._vfs.next, self._vfs.name = None, NAME
        self._vfs.open, self._vfs.delete, self._vfs.randomness, self._vfs.sleep = open_, delete, randomness, sleep
        atexit.register(self._let_go)

    def add(self, card: Card) -> None:
        self.cards.append(card)
        self._thread = threading.get_ident()
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        self._library.sqlite3_randomness(0, None)  # SQLite draws a new seed, from this card

    def remove(self, card: Card) -> None:
        self.deaden(card)
        self.cards.remove(card)
        if not self.cards:
            self._library.sqlite3_vfs_register(self._address, 1)
            self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._library.sqlite3_randomness(0, None)

    def deaden(self, card: Card) -> None:
        """Whoever has a file of this card open can do nothing with it any more but read and close it."""
        for address, handle in self._handles.items():
            if handle.card is card:
                c_void_p.from_address(address).value = ctypes.addressof(handle.tables.dead)

    def _let_go(self) -> None:
        """The interpreter ends: no callback that needs one may be called any more."""
        for tables in self._tables.values():
            for name in self._live:
                setattr(tables.live, name, getattr(tables.original, name))
            tables.dead.close = tables.original.close
        for name in ("open", "delete", "randomness", "sleep"):
            setattr(self._vfs, name, getattr(self._original, name))

    def _tables_of(self, address: int) -> _Tables:
        found = self._tables.get(address)
        if found is None:
            original = _Methods.from_address(address)
            live, dead = (_Methods.from_buffer_copy(original) for _ in range(2))
            for table, methods in ((live, self._live), (dead, self._dead)):
                for name, callback in methods.items():
                    setattr(table, name, callback)
            calls = (_WRITE_ON(original.write), _TRUNCATE_ON(original.truncate), _CLOSE(original.close))
            found = self._tables[address] = _Tables(original, live, dead, *calls)
        return found

    # -- what SQLite calls ---------------------------------------------------------------------------------------

    def _card_of(self, name: int | None) -> tuple[Card, bytes] | None:
        path = ctypes.string_at(name) if name else b""
        return next(((card, path) for card in self.cards if path.startswith(card.prefix)), None)

    def _open(self, _vfs: int, name: int | None, address: int, flags: int, given: int | None) -> int:
        found = self._card_of(name)
        if found is None:
            return self._open_on(self._address, name, address, flags, given)
        card, path = found
        allowed = card.allow(path, flags)
        methods = c_void_p.from_address(address)
        if allowed is None:
            methods.value = None  # not open: it is not to be closed
            return CANTOPEN
        code = self._open_on(self._address, name, address, allowed, given)
        if code == OK and methods.value:
            tables = self._tables_of(methods.value)
            self._handles[address] = _Handle(card, card.opened(path), tables)
            methods.value = ctypes.addressof(tables.live)
        return code

    def _close(self, address: int) -> int:
        handle = self._handles.pop(address)
        code = handle.tables.close(address)
        handle.card.closed(handle.file)
        return code

    def _write(self, address: int, data: int, size: int, offset: int) -> int:
        card, file, tables = self._handles[address]
        refusal = card.refuses(file, offset + size, IOERR_WRITE)
        if refusal:
            return refusal
        code = tables.write(address, data, size, offset)
        return code or card.wrote(file, offset, ctypes.string_at(data, size))

    def _truncate(self, address: int, size: int) -> int:
        card, file, tables = self._handles[address]
        code = card.refuses(file, 0, IOERR_TRUNCATE) or tables.truncate(address, size)
        return code or card.truncated(file, size)

    def _sync(self, address: int, _flags: int) -> int:
        """Not passed on: what is durable is the model's to say, and the machine's own disk need not be waited for."""
        card, file, _ = self._handles[address]
        return card.synced(file)

    def _delete(self, _vfs: int, name: int, sync: int) -> int:
        found = self._card_of(name)
        if found is None:
            return self._delete_on(self._address, name, sync)
        card, _ = found
        if not card.may_delete():
            return IOERR_DELETE
        code = self._delete_on(self._address, name, 0)
        card.deleted()
        return code

    def _sleep(self, _vfs: int, duration_us: int) -> int:
        """SQLite waits for a lock. On the world's own thread nobody else could let go of it meanwhile."""
        if threading.get_ident() == self._thread:
            return duration_us
        return self._sleep_on(self._address, duration_us)

    def _randomness(self, _vfs: int, size: int, out: int) -> int:
        ctypes.memmove(out, self.cards[-1].entropy(size), size)
        return size


def _always(code: int) -> Callable[..., int]:
    """Needs no name of this module, so it can be called to the very end of the interpreter."""
    return lambda *_: code


def _address(callback: Any) -> int:
    return ctypes.cast(callback, c_void_p).value or 0


_fronts: list[_Front] = []


def front() -> _Front:
    """The one of this process."""
    if not _fronts:
        _fronts.append(_Front())
    return _fronts[0]
