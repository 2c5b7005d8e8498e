"""Byte pipes: the only place that opens a serial port or a TCP connection to an instrument.

`serial:/dev/...` is opened by pyserial (line settings, lock) and then read and written as a plain non-blocking file
descriptor; `tcp:host:port` is a plain non-blocking socket. Both wait with the event loop's add_reader/add_writer, and
hold no bytes themselves: what was not read stays in the kernel's buffer, which is the bound. One task may read and one
may write at a time. No retries, no back-off here. What vanishes, floods or cannot be opened is a PortLost that says
what to check. However much arrives, every read gives all other tasks a turn first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.contract import Port, PortSettings
from edge.errors import PortLost

READ_BYTES = 4096  # the kernel's tty buffer holds no more (N_TTY_BUF_SIZE)
FLUSH_READS_MAX = 16  # a flush is bounded even against a line that never stops talking
FLOOD_BYTES_S = 64_000  # the fastest terminals and instruments (115200 baud) say 11 500; `tcp:` has no baud to end it
FLOOD_S = 3.0  # for so long: what a converter had kept for us comes at once, and is no flood
CONNECT_TIMEOUT_S = 5.0  # a converter on the site's own network answers in ms, one behind a satellite hop in under 2 s
USER_TIMEOUT_MS = 10_000  # bytes not acknowledged for so long: the peer is gone (promise 10: noticed within 10 s)
KEEPALIVE_IDLE_S = 10  # a peer we only listen to is probed when silent for so long,
KEEPALIVE_EVERY_S = 5  # then so often,
KEEPALIVE_PROBES = 3  # and is gone after so many unanswered probes (25 s in all)

_ours: dict[str, str] = {}  # serial devices this process has open now: real path -> port id; for a message only
_BY_ID = Path("/dev/serial/by-id")
_MOVING_NAME = re.compile(r"/dev/tty(USB|ACM)\d+")


async def open_port(settings: PortSettings) -> Port:
    """Opens `settings.open`. Raises PortLost with a sentence that says what to check."""
    kind, _, target = settings.open.partition(":")
    if kind == "serial" and target:
        return _open_serial(settings, target)
    if kind == "tcp" and target:
        return await _open_tcp(settings.id, target)
    raise PortLost(settings.id, f'"{settings.open}" is neither serial:/dev/... nor tcp:host:port')


def advice(settings: PortSettings) -> list[str]:
    """Sentences about settings that work today and may not tomorrow: a tty number moves when plugs or boots change."""
    kind, _, device = settings.open.partition(":")
    if kind != "serial" or not _MOVING_NAME.fullmatch(device):
        return []
    stable = [str(link) for link in _stable_names() if os.path.realpath(link) == device]
    hint = (
        f"write serial:{stable[0]} instead" if stable else "write its name under /dev/serial/by-id or by-path instead"
    )
    return [f"{settings.id}: {device} may name another adapter after the next plug or boot: {hint}"]


def split_host_port(target: str) -> tuple[str, int]:
    """`host:port` or `[v6 address]:port`. Raises ValueError with a sentence."""
    host, _, number = target.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 65535:
        raise ValueError(f'"tcp:{target}" is not tcp:host:port with a port from 1 to 65535')
    return host, int(number)


class Flood:
    """Whether a port says more than anything useful can: `rate_bytes_s` and more, for FLOOD_S. Pure."""

    def __init__(self, rate_bytes_s: float) -> None:
        self._most_bytes = rate_bytes_s * FLOOD_S
        self._bytes = 0
        self._since_s = -math.inf

    def heard(self, size_bytes: int, now_s: float) -> str:
        """Counts what was read at `now_s` (monotonic). A sentence when it is too much, else ""."""
        if now_s - self._since_s >= FLOOD_S:
            self._bytes, self._since_s = 0, now_s
        self._bytes += size_bytes
        if self._bytes <= self._most_bytes:
            return ""
        rate = self._bytes / max(now_s - self._since_s, 1.0) / 1000
        return f"floods: {rate:.0f} kB/s and more, no instrument or terminal says so much; is it the right port?"


class _FdPort:
    """An open, non-blocking file descriptor as a `contract.Port`."""

    def __init__(self, port_id: str, fd: int, gone: str, close: Callable[[], None], baud: int = 0) -> None:
        self._id = port_id
        self._fd = fd
        self._gone = gone  # what to check when it vanishes
        self._close = close
        self._flood = Flood(max(FLOOD_BYTES_S, baud / 8))  # a line at the rate it is set to is never one
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # before bytes are taken: a read that is cancelled here loses none
        while True:
            data = self._take()
            if data:
                flood = self._flood.heard(len(data), loop.time())
                if flood:
                    raise PortLost(self._id, flood)
                return data
            await self._ready(loop.add_reader, loop.remove_reader)

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._open_fd(), rest) :]
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await self._ready(loop.add_writer, loop.remove_writer)
            except OSError as error:
                raise self._lost(error.strerror) from error

    def flush_input(self) -> bytes:
        thrown = bytearray()
        for _ in range(FLUSH_READS_MAX):
            data = self._take()
            if not data:
                break
            thrown += data
        return bytes(thrown)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for future in self._waiting:
            if not future.done():
                future.set_exception(self._lost("closed here"))
        if self._waiting:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)
            loop.remove_writer(self._fd)
        self._close()

    def _take(self) -> bytes:
        """What has arrived, b"" when nothing has."""
        try:
            data = os.read(self._open_fd(), READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error.strerror) from error
        if not data:
            raise self._lost("the other end closed it")
        return data

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], object]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        add(self._fd, _wake, future)
        try:
            await future
        finally:
            self._waiting.discard(future)
            if not self._closed:
                remove(self._fd)

    def _open_fd(self) -> int:
        if self._closed:
            raise self._lost("closed here")
        return self._fd

    def _lost(self, what: str | None) -> PortLost:
        return PortLost(self._id, f"lost ({what or 'unknown error'}): {self._gone}")


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# ---- serial


def _open_serial(settings: PortSettings, device: str) -> Port:
    import termios  # both here, because only a site with a serial port pays for them

    import serial  # type: ignore[import-untyped]

    try:
        line = serial.Serial(
            device,
            baudrate=settings.baud,
            bytesize=settings.data_bits,
            parity=settings.parity,
            stopbits=settings.stop_bits,
            timeout=0,
            exclusive=True,
        )
        _tune(line)
    except (OSError, ValueError, termios.error) as error:  # pyserial's own exception is an OSError
        raise PortLost(settings.id, _why_not_open(device, error)) from error
    gone = f"is {device} still plugged in? Look for a pulled plug or a loose USB hub, then `dmesg | tail`"
    real = os.path.realpath(device)
    _ours[real] = settings.id

    def close() -> None:
        _ours.pop(real, None)
        _close_serial(line)

    return _FdPort(settings.id, line.fileno(), gone, close, settings.baud)


def _tune(line: Any) -> None:
    """VMIN 1, so that an empty line is EAGAIN and only a vanished one reads as 0 bytes; no 16 ms wait in FTDI chips."""
    import termios

    attributes = termios.tcgetattr(line.fileno())
    attributes[6][termios.VMIN] = 1
    attributes[6][termios.VTIME] = 0
    termios.tcsetattr(line.fileno(), termios.TCSANOW, attributes)
    with contextlib.suppress(OSError, ValueError):  # not every adapter can: it then answers later, not wrongly
        line.set_low_latency_mode(True)


def _close_serial(line: Any) -> None:
    """Drops what was not sent first: the kernel would else hold up the close by up to 30 s (closing_wait)."""
    import termios

    with contextlib.suppress(OSError, termios.error):
        termios.tcflush(line.fileno(), termios.TCIOFLUSH)
    with contextlib.suppress(OSError):
        line.close()


def _why_not_open(device: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return f"{device} does not exist; {_what_exists()}"
    if number in (errno.EACCES, errno.EPERM):
        return f"no permission for {device}: put this user into the group dialout (sudo usermod -aG dialout $USER)"
    if number in (errno.EBUSY, errno.EAGAIN):
        own = _ours.get(os.path.realpath(device))
        if own is not None:
            return (
                f"{device}: this gateway has it open itself, as port {own}; one wire is one [[port]] of the site file"
            )
        return f"{device} is in use by {_holders(device) or 'another program'}: stop that one first"
    if number is None:  # so far it was opened: pyserial and termios fail without a number only while setting it up
        return f"{device} is not a serial port, or cannot do these line settings ({error})"
    return f"{device} could not be opened ({error})"


def _stable_names() -> list[Path]:
    try:
        return sorted(_BY_ID.iterdir())
    except OSError:
        return []


def _what_exists() -> str:
    names = ", ".join(f"serial:{name}" for name in _stable_names())
    return (
        f"plugged in now: {names}" if names else "no USB serial adapter is plugged in now (/dev/serial/by-id is empty)"
    )


def _holders(device: str) -> str:
    """The other processes that have `device` open, as far as this user may see; for a message only."""
    real = os.path.realpath(device)
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            process = link.parent.parent
            if str(link.readlink()) == real and process.name != str(os.getpid()):
                found.add(f"{(process / 'comm').read_text().strip()} (process {process.name})")
    return ", ".join(sorted(found))


# ---- TCP


async def _open_tcp(port_id: str, target: str) -> Port:
    try:
        host, number = split_host_port(target)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await _connect(host, number)
    except ValueError as error:
        raise PortLost(port_id, str(error)) from error
    except TimeoutError as error:
        why = f"{target} did not answer in {CONNECT_TIMEOUT_S:g} s: is it powered, is the address right (ping it)?"
        raise PortLost(port_id, why) from error
    except OSError as error:
        raise PortLost(port_id, _why_not_connected(target, error)) from error
    gone = f"is {target} powered, and does it allow this connection? Some take only one client at a time"
    return _FdPort(port_id, connection.fileno(), gone, connection.close)


async def _connect(host: str, number: int) -> socket.socket:
    """The first address of `host` that takes the connection. Raises OSError of the last one."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError(errno.EHOSTUNREACH, "no address")
    for family, kind, protocol, _, address in await _addresses(host, number):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
            _set_options(connection)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


async def _addresses(host: str, number: int) -> list[Any]:
    """A literal address needs no resolver, so no resolver's thread."""
    literal = socket.AI_NUMERICHOST
    with contextlib.suppress(socket.gaierror):
        return socket.getaddrinfo(host, number, type=socket.SOCK_STREAM, flags=literal)
    return list(await asyncio.get_running_loop().getaddrinfo(host, number, type=socket.SOCK_STREAM))


def _set_options(connection: socket.socket) -> None:
    tcp = socket.IPPROTO_TCP
    connection.setsockopt(tcp, socket.TCP_NODELAY, 1)
    connection.setsockopt(tcp, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(tcp, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    connection.setsockopt(tcp, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_S)
    connection.setsockopt(tcp, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def _why_not_connected(target: str, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name in tcp:{target} could not be resolved ({error.strerror}): write the address instead"
    if error.errno == errno.ECONNREFUSED:
        return f"{target} refused the connection: is the port number right, is its Modbus or serial server switched on?"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return f"{target} cannot be reached ({error.strerror}): check the cable and this box's address (ip addr)"
    return f"{target} could not be connected ({error.strerror})"
