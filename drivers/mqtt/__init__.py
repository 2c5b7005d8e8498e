"""Packets over MQTT: settings of a `[[link]]` with `driver = "mqtt"`, and the driver object.

Imports neither paho nor ssl: those are loaded when a link is run, so that checking a site file stays quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.duration import parse_duration_s
from edge.contract import Driver, Link, LinkSpec

PLAIN_PORT = 1883  # IANA "mqtt"
TLS_PORT = 8883  # IANA "secure-mqtt"
OTHERS_MAY_READ = 0o077  # permission bits a password file must not have

# One packet is 2 s of a 64 kbit/s satellite carrier at this size; the range is what CBOR status and brokers can do.
DEFAULT_MTU_BYTES = 16384
DEFAULT_WINDOW = 16  # 256 kB on the way: 2 Mbit/s at 600 ms needs 150 kB (facts: storage_links 3.2, rate x RTT)
MIN_KEEPALIVE_S, MAX_KEEPALIVE_S = 5, 3600
MAX_SESSION_EXPIRY_S = 0xFFFF_FFFE  # MQTT 5.0, 3.1.2.11.2: the value above means "never"


class MqttLink(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Keys of `[[link]]` beside `id`, `driver` and `batch`."""

    host: Annotated[str, Meta(min_length=1, max_length=253, description="name or address of the province's broker")]
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port; 1883, or 8883 with tls, when left out")] | None = (
        None
    )
    version: Annotated[
        Literal["5", "3.1.1"], Meta(description='MQTT version; "3.1.1" for old brokers, which refuse silently')
    ] = "5"
    client_id: Annotated[
        str,
        Meta(max_length=256, description="MQTT client id, ours alone at the broker; <gateway id>.<link id> when empty"),
    ] = ""
    username: Annotated[str, Meta(description="user name at the broker; empty for none")] = ""
    password_file: Annotated[Path, Meta(description="file with the password, readable by its owner only")] | None = None
    tls: Annotated[bool, Meta(description="encrypt, and check the broker's certificate and name")] = False
    ca: (
        Annotated[Path, Meta(description="PEM file of the authority that signed the broker; the system's if left out")]
        | None
    ) = None
    cert: Annotated[Path, Meta(description="PEM file of our own certificate, if the broker asks for one")] | None = None
    key: Annotated[Path, Meta(description="PEM file of the private key that belongs to `cert`")] | None = None
    interface: Annotated[str, Meta(max_length=15, description='network interface to leave by, as "eth1"')] = ""
    source: Annotated[str, Meta(description="local IP address to leave from")] = ""
    keepalive: Annotated[
        str, Meta(description='idle time before a ping, 5 s to 1 h; 60 s costs 270 kB a day, "300s" on satellite 50 kB')
    ] = "60s"
    session_expiry: Annotated[
        str, Meta(description="how long the broker keeps downlink packets for us while we are away (MQTT 5)")
    ] = "7d"
    mtu: Annotated[
        int, Meta(ge=256, le=262144, description="largest packet in bytes; 2048 on links slower than 64 kbit/s")
    ] = DEFAULT_MTU_BYTES
    window: Annotated[int, Meta(ge=1, le=256, description="most packets unacknowledged at once")] = DEFAULT_WINDOW


def tcp_port(settings: MqttLink) -> int:
    """The TCP port to connect to."""
    return settings.port or (TLS_PORT if settings.tls else PLAIN_PORT)


def _duration_problems(settings: MqttLink) -> list[str]:
    problems = []
    for key, text, low_s, high_s in (
        ("keepalive", settings.keepalive, MIN_KEEPALIVE_S, MAX_KEEPALIVE_S),
        ("session_expiry", settings.session_expiry, 0, MAX_SESSION_EXPIRY_S),
    ):
        try:
            seconds = parse_duration_s(text)
        except ValueError as error:
            problems.append(f"{key}: {error}")
            continue
        if not low_s <= seconds <= high_s:
            problems.append(f"{key} = {text!r}: allowed are {low_s} s to {high_s} s")
    return problems


def check_link(settings: MqttLink) -> Sequence[str]:
    """Sentences about keys that are wrong together. A missing file is not: the gateway starts, the link says so."""
    problems = _duration_problems(settings)
    if not settings.tls and (settings.ca or settings.cert or settings.key):
        problems.append("ca, cert and key are only used with tls = true: add that, or take them out")
    if bool(settings.cert) != bool(settings.key):
        problems.append("cert and key belong together: give both or neither")
    if settings.password_file and not settings.username:
        problems.append("password_file without username: MQTT has no password without a user name")
    if any(mark in settings.client_id for mark in "+#/\0"):
        problems.append(f"client_id = {settings.client_id!r}: must not hold + # / or NUL")
    return problems


def link_lacks(settings: MqttLink) -> Sequence[tuple[str, bool]]:
    """Files that are named and can not be used: a sentence each, and whether that is sure (who runs it may read it)."""
    named = {key: getattr(settings, key) for key in ("ca", "cert", "key", "password_file")}
    found = [(f"{key}: {why}", sure) for key, path in named.items() if path for why, sure in _look(path)]
    if settings.password_file and not found and settings.password_file.stat().st_mode & OTHERS_MAY_READ:
        path = settings.password_file
        found.append((f"password_file: others may read {path}, so it is not used; type: chmod 600 {path}", True))
    if settings.tls and not found:
        from drivers.mqtt.connect import NoConnection, tls_context

        try:
            tls_context(settings)
        except NoConnection as error:
            found.append((str(error), True))
    return found


def _look(path: Path) -> list[tuple[str, bool]]:
    """Why a file can not be read, nothing if it can."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except PermissionError:
        return [(f"{path} can not be read by you (by the service it may be)", False)]
    except OSError as error:
        return [(f"{path} can not be read: {error.strerror}", True)]
    return []


def open_link(spec: LinkSpec) -> Link:
    """Makes the link; connects nothing yet."""
    from drivers.mqtt.link import PacketsOverMqtt

    return PacketsOverMqtt(spec.id, spec.gateway, spec.settings)


DRIVER = Driver(name="mqtt", link=MqttLink, open_link=open_link, check_link=check_link, link_lacks=link_lacks)
