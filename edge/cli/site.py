"""`fengsui check`, `schema`, `keygen`: a site before its gateway runs. Talks to no daemon, opens no port."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from edge.cli import EXIT_REFUSED, EXIT_SITE_FILE
from edge.cli.show import printable, table
from edge.cli.site_notes import forgotten, link_files, too_much
from edge.cli.verbs import json_option, stop
from edge.config.load import load
from edge.config.site import Limit, Link, Port, Site
from edge.config.units import show_bytes, show_ms
from edge.contract import Point
from edge.errors import SiteFileError
from edge.limit_words import explain

KEY_BYTES = 32  # a root key for HKDF-SHA256: as long as its hash
FINGERPRINT_BYTES = 8  # 16 hex digits are read over a telephone without mistakes, and cannot be guessed


@click.command()
@click.argument("site", type=click.Path(path_type=Path))
@json_option
def check(site: Path, as_json: bool) -> None:
    """Check the site file SITE; list what would run, and what is allowed but looks forgotten."""
    try:
        found = load(site)
    except SiteFileError as error:
        if not as_json:
            raise
        _print_json({"ok": False, "file": error.file, "problems": error.problems})
        raise click.exceptions.Exit(EXIT_SITE_FILE) from None
    stops, notes = _disk_findings(found)
    lacking, perhaps = link_files(found)
    stops += [*_lacks(found), *lacking]
    warnings = [*forgotten(found), *_key_warnings(found.gateway.key), *perhaps, *too_much(found), *notes]
    if as_json:
        _print_json({"ok": not stops, "file": str(site), "problems": stops, "warnings": warnings, **_as_json(found)})
    else:
        click.echo(_as_text(found))
        for warning in warnings:
            click.echo(printable(f"note: {warning}"))
        click.echo(f"{site} is right{', but on this machine:' if stops else '.'}")
        for problem in stops:
            click.echo(f"error: {problem}", err=True)
    if stops:
        raise click.exceptions.Exit(EXIT_SITE_FILE)


@click.command()
@json_option
def schema(as_json: bool) -> None:
    """Print the JSON schema of site files, keys of all installed drivers included (JSON either way)."""
    from edge.config.schema import schema as site_schema

    _print_json(site_schema())


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def keygen(file: Path, as_json: bool) -> None:
    """Make the secret key that this gateway and the province share, in the new file FILE."""
    key = secrets.token_bytes(KEY_BYTES)
    try:
        _write_new(file, key.hex().encode() + b"\n")
    except FileExistsError:
        stop(
            EXIT_REFUSED,
            f"{file} exists already and is not overwritten: the province could not open what was sealed with it.\n"
            f"To really replace it: mv {file} {file}.old",
        )
    except FileNotFoundError:
        stop(EXIT_REFUSED, f"there is no folder {file.parent}; make it first: mkdir -p {file.parent}")
    except OSError as error:
        stop(EXIT_REFUSED, f"{file} can not be written: {error.strerror}; check the folder's owner and free space")
    print_ = fingerprint(key)
    if as_json:
        _print_json({"file": str(file), "fingerprint": print_})
        return
    owner = "" if os.geteuid() else f"It belongs to root; if the service is another user: chown fengsui {file}\n"
    click.echo(
        f"New key in {file}\nfingerprint: {print_}\n\n{owner}"
        "The file is secret: whoever has it can give this gateway orders. Carry a copy to the province by hand\n"
        "(a USB stick, not mail or chat), and compare the fingerprint by telephone; only that may be said aloud."
    )


def fingerprint(key: bytes) -> str:
    """The first bytes of SHA-256 of a key, in groups of four hex digits: tells keys apart and gives nothing away."""
    digits = hashlib.sha256(key).digest()[:FINGERPRINT_BYTES].hex()
    return "-".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _write_new(file: Path, content: bytes) -> None:
    """A file that only its owner may read, on the disk before this returns, or none at all. Raises OSError."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            os.fchmod(handle, 0o600)  # whatever the umask says
            out.write(content)
            out.flush()
            os.fsync(handle)
    except OSError:
        file.unlink()
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lacks(site: Site) -> list[str]:
    if not site.outputs:
        return []
    from edge.cli.outputs_check import lacks  # brings in drivers that a site without outputs need not wait for

    return lacks(site)


def _disk_findings(site: Site) -> tuple[list[str], list[str]]:
    """What keeps the store from working on this machine, and what may harm it."""
    from sqlite3 import sqlite_version_info

    from edge.preflight import look, sqlite_note

    found = look(site.store.folder, site.store.quota_bytes).findings
    notes = [finding.text for finding in found if not finding.stops]
    bug = sqlite_note(sqlite_version_info)
    return [finding.text for finding in found if finding.stops], notes + ([bug] if bug else [])


def _key_warnings(key: Path) -> list[str]:
    try:
        mode = key.stat().st_mode
    except FileNotFoundError:
        return [f"there is no key yet, and the gateway will not send without: fengsui keygen {key}"]
    except OSError as error:
        return [f"the key {key} can not be looked at: {error.strerror}"]
    if not stat.S_ISREG(mode):
        return [f"the key {key} is not a file"]
    warnings = [f"others may read the key: chmod 600 {key}"] if mode & (stat.S_IRWXG | stat.S_IRWXO) else []
    return warnings + [why for why in (_key_text(key)[1],) if why]


def _key_text(key: Path) -> tuple[bytes | None, str]:
    """The key in a file, or None and why not."""
    from edge.wire.basics import WireError  # 40 ms that a site without a key need not wait for
    from edge.wire.seal import parse_key_file

    try:
        return parse_key_file(key.read_text("ascii")), ""
    except OSError as error:
        return None, f"the key {key} can not be read by you: {error.strerror} (by the service it may be)"
    except (WireError, UnicodeDecodeError) as error:
        return None, f"the key {key} is no key: {error}"


def _line(port: Port) -> str:
    return f"{port.baud} {port.data_bits}{port.parity}{port.stop_bits}" if port.open.startswith("serial:") else "-"


def _range(point: Point) -> str:
    return "-" if point.minimum is None else f"{point.minimum} to {point.maximum}"


def _sentences(site: Site) -> list[str]:
    """Every rule as it runs: with its clear values and hold times, which no column has room for."""
    lines = (printable(f"  {limit.id}: {explain(limit.judged, limit.scale)}") for limit in site.limits)
    return ["\n".join(["rules", *lines])] if site.limits else []


def _batch(site: Site, link: Link) -> str:
    """How long rounds wait for a packet; "-" where the link's slots decide that."""
    if link.port is not None:  # only such a link has slots, and only then are its parts worth the time to load
        from edge.links import closed_links

        if any(closed.state().slot_s > 0 for closed in closed_links(replace(site, links=(link,)))):
            return "-"
    return show_ms(round(link.batch_s * 1000))


def _as_text(site: Site) -> str:
    gateway, store = site.gateway, site.store
    key, _ = _key_text(gateway.key)
    mark = f", fingerprint {fingerprint(key)}" if key else ""
    parts = [
        f"gateway {gateway.id} {printable(gateway.name)}\n  key    {gateway.key}{mark}\n  socket {gateway.socket}\n"
        f"  store  {store.folder}, at most {show_bytes(store.quota_bytes)}, "
        f"committed every {show_ms(round(store.commit_every_s * 1000))}",
        table("ports", ("id", "opens", "line"), [(port.id, port.open, _line(port)) for port in site.ports]),
        table(
            "devices",
            ("id", "driver", "port", "points", "name"),
            [(device.id, device.driver, device.port, str(len(device.points)), device.name) for device in site.devices],
        ),
        table(
            "points",
            ("id", "device", "every", "step", "unit", "range", "name"),
            [
                (
                    point.id,
                    point.device,
                    show_ms(point.every_ms),
                    str(point.step),
                    point.unit,
                    _range(point),
                    point.name,
                )
                for point in site.points
            ],
        ),
        table(
            "limits",
            ("id", "point", "name"),
            [(limit.id, limit.point, limit.name) for limit in site.limits],
        ),
        *_sentences(site),
        *_outputs(site)[0],
        table(
            "links",
            ("id", "driver", "port", "points", "batch"),
            [
                (
                    link.id,
                    link.driver.name,
                    link.port or "-",
                    str(len(link.points)),
                    _batch(site, link),
                )
                for link in site.links
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _as_json(site: Site) -> dict[str, Any]:
    return {
        "gateway": {
            "id": site.gateway.id,
            "name": site.gateway.name,
            "key": str(site.gateway.key),
            "socket": str(site.gateway.socket),
        },
        "store": {
            "folder": str(site.store.folder),
            "quota_bytes": site.store.quota_bytes,
            "commit_every_s": site.store.commit_every_s,
            "power_fail": site.store.power_fail or None,
        },
        "ports": [{"id": port.id, "open": port.open, "line": _line(port)} for port in site.ports],
        "devices": [
            {"id": device.id, "name": device.name, "driver": device.driver, "port": device.port}
            for device in site.devices
        ],
        "points": [_point_json(point) for point in site.points],
        "limits": [_limit_json(limit) for limit in site.limits],
        **_outputs(site)[1],
        "links": [
            {"id": link.id, "driver": link.driver.name, "port": link.port, "batch_s": link.batch_s}
            for link in site.links
        ],
    }


def _point_json(point: Point) -> dict[str, Any]:
    """Decimals as texts: JSON numbers are binary and would not give 0.1 back."""
    return {
        "id": point.id,
        "name": point.name,
        "device": point.device,
        "unit": point.unit,
        "step": str(point.step),
        "range": None if point.minimum is None else [str(point.minimum), str(point.maximum)],
        "every_ms": point.every_ms,
    }


def _limit_json(limit: Limit) -> dict[str, Any]:
    """`thresholds` in whole steps of the point, for `stale` in seconds."""
    return {
        "id": limit.id,
        "name": limit.name,
        "point": limit.point,
        "rule": limit.rule.name.lower(),
        "thresholds": {level.name.lower(): value for level, value in limit.thresholds},
        "sentence": explain(limit.judged, limit.scale),
        "sentence_zh": explain(limit.judged, limit.scale, chinese=True),
        "hysteresis_steps": limit.hysteresis_steps,
        "hold_s": limit.hold_s,
        "clear_hold_s": limit.clear_hold_s,
    }


def _outputs(site: Site) -> tuple[list[str], dict[str, Any]]:
    """As text and as JSON."""
    if not site.outputs:
        return [], {"outputs": [], "actions": []}
    from edge.cli.outputs_check import as_json, as_text

    return as_text(site), as_json(site)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
