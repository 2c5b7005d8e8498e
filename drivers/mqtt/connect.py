"""A socket to the broker: named, bound, connected and, if asked for, encrypted; every failure a sentence to act on.

Nothing here blocks the loop: names are resolved in the loop's executor (skipped for an address), connecting and the TLS
handshake wait on readiness. Each step is bounded. Speaks no MQTT.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

from drivers.mqtt import MqttLink, tcp_port

if TYPE_CHECKING:
    import ssl

RESOLVE_TIMEOUT_S = 10.0  # two tries of 5 s, the resolver's own default
# SYNs leave at 0, 1, 3 and 7 s; giving up before the 15 s one makes the ladder, not TCP's back-off, decide when
# the next try falls: a link that is back is used within 10 s.
CONNECT_TIMEOUT_S = 8.0
TLS_TIMEOUT_S = 20.0  # 3.3 s at 600 ms round trip without loss (facts: storage_links 3.2); room for lost segments
# Without it TCP's back-off held packets 70 s after a 120 s outage, with 20 s it was 2.7 s (facts: storage_links 3.2).
USER_TIMEOUT_MS = 25_000

Address = tuple[int, tuple[Any, ...]]


class NoConnection(Exception):
    """Could not connect; `str()` is why, and what to try."""


async def connect(settings: MqttLink) -> socket.socket:
    """A connected, non-blocking socket (an `ssl.SSLSocket` with `tls`). Raises NoConnection."""
    context = tls_context(settings) if settings.tls else None
    host, port = settings.host, tcp_port(settings)
    why = f"{host} has no address"
    for family, address in await _resolve(host, port, settings.source):
        try:
            sock = await _connect_one(family, address, settings)
        except OSError as error:
            why = _say_connect(error, address[0], port)
            continue
        return sock if context is None else await _encrypt(sock, context, host)
    raise NoConnection(why)


async def _resolve(host: str, port: int, source: str) -> list[Address]:
    loop = asyncio.get_running_loop()
    family = socket.AF_UNSPEC if not source else socket.AF_INET6 if ":" in source else socket.AF_INET
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise NoConnection(
            f"the name {host} was not resolved in {RESOLVE_TIMEOUT_S:.0f} s: is DNS reachable?"
        ) from None
    except (socket.gaierror, UnicodeError) as error:
        raise NoConnection(
            f"the name {host} was not resolved ({error}): check DNS, or put an address as host"
        ) from None
    return [(family, address) for family, _, _, _, address in found]


async def _connect_one(family: int, address: tuple[Any, ...], settings: MqttLink) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        _bind(sock, settings)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, settings: MqttLink) -> None:
    if settings.interface:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, settings.interface.encode())
        except PermissionError:
            raise NoConnection(
                f"may not bind to interface {settings.interface}: needs CAP_NET_RAW on this kernel "
                "(in the systemd unit: AmbientCapabilities=CAP_NET_RAW)"
            ) from None
        except OSError as error:
            raise NoConnection(f"no interface {settings.interface} ({error.strerror}): see `ip link`") from None
    if settings.source:
        try:
            sock.bind((settings.source, 0))
        except OSError as error:
            raise NoConnection(f"cannot leave from {settings.source} ({error.strerror}): see `ip address`") from None


def _say_connect(error: OSError, address: str, port: int) -> str:
    where = f"{address} port {port}"
    if isinstance(error, TimeoutError):
        return f"no answer from {where} in {CONNECT_TIMEOUT_S:.0f} s: no way there, or a firewall drops it"
    if isinstance(error, ConnectionRefusedError):
        return f"{where} refused the connection: is the broker running, and is it this port?"
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return f"no route to {where}: is the network up? see `ip route`"
    return f"could not connect to {where}: {error.strerror or error}"


def tls_context(settings: MqttLink) -> ssl.SSLContext:
    """Of the files that the settings name. Raises NoConnection with the one that can not be used."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        which = f"the ca file {settings.ca}" if settings.ca else "the system's certificates"
        raise NoConnection(f"{which} cannot be used: {_say_file(error)}") from None
    if settings.cert:
        try:
            # OpenSSL would ask for an encrypted key's password on a terminal nobody sits at; an empty one refuses it.
            context.load_cert_chain(settings.cert, settings.key, password="")
        except (OSError, ValueError) as error:
            files = f"the cert file {settings.cert} with the key file {settings.key}"
            raise NoConnection(f"{files} cannot be used: {_say_file(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _say_file(error: OSError | ValueError) -> str:
    import ssl

    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    return f"{error} (PEM files are wanted, a key without a password)"


async def _encrypt(sock: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
    import ssl

    try:
        wrapped = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except (OSError, ValueError) as error:
        sock.close()
        raise NoConnection(f"TLS with {host} failed: {error}") from None
    try:
        async with asyncio.timeout(TLS_TIMEOUT_S):
            await _shake_hands(wrapped)
    except TimeoutError:
        wrapped.close()
        raise NoConnection(f"{host} did not finish the TLS handshake in {TLS_TIMEOUT_S:.0f} s: a TLS port?") from None
    except ssl.SSLCertVerificationError as error:
        wrapped.close()
        raise NoConnection(_say_certificate(error, host)) from None
    except OSError as error:
        wrapped.close()
        raise NoConnection(f"TLS with {host} failed ({error}): is this its TLS port, does it want our cert?") from None
    except BaseException:
        wrapped.close()
        raise
    return wrapped


def _say_certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    hint = "is the ca file the right one, and the clock of this box right?"
    return f"the certificate of {host} is not accepted: {error.verify_message}; {hint}"


async def _shake_hands(sock: ssl.SSLSocket) -> None:
    import ssl

    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(sock, write=False)
        except ssl.SSLWantWriteError:
            await _ready(sock, write=True)
        else:
            return


async def _ready(sock: socket.socket, *, write: bool) -> None:
    loop = asyncio.get_running_loop()
    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    ready: asyncio.Future[None] = loop.create_future()
    fd = sock.fileno()
    add(fd, _settle, ready)
    try:
        await ready
    finally:
        remove(fd)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
