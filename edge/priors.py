"""The priors file: what `fengsui fit` has learnt of a site, and how much of it the sheet may carry.

TOML, one table `[priors]`: point id = a prior (`edge.wire.prior`) in hexadecimal. A prior only changes how small a
reading is packed, so a file that is missing, torn or of another site costs bytes and nothing else: reading it never
raises, what can not be used is left out and said. Writing leaves the old file or the new one, whatever happens.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from edge.contract import MAX_STEPS
from edge.wire.basics import WireError
from edge.wire.prior import Prior
from edge.wire.seal import MAX_BODY_BYTES
from edge.wire.sheet import MAX_PRIOR_BYTES, Sheet

FILE_MOST_BYTES = 1_000_000  # 2000 points (edge/config) with ids and priors of the greatest length take half of it
SEALING_BYTES = 64  # header, tag, kind and seq of a sheet's packet: 30; the rest for what deflating may differ by
NAMED_MOST = 5  # points named in one sentence

Priors = dict[str, bytes]


def read_priors(path: Path, known: Collection[str]) -> tuple[Priors, list[str]]:
    """Priors by point id, of the points in `known` only, and a sentence for each thing that is wrong with the file."""
    try:
        table = _table(path)
    except FileNotFoundError:
        return {}, [f"{path} is not there; readings are packed larger without it. It is made by: fengsui fit"]
    except OSError as error:
        return {}, [f"{path} can not be read: {error.strerror or error}; readings are packed larger without it"]
    except ValueError as error:  # text that is not UTF-8 or not TOML
        return {}, [f"{path} is no file of priors ({error}); make it anew with: fengsui fit"]
    priors: Priors = {}
    said = []
    for point in sorted(set(known) & table.keys()):
        prior, why = _prior(table[point])
        if why:
            said.append(f"{path}: the prior of {point} is left out: {why}")
        elif prior:
            priors[point] = prior
    strangers = sorted(table.keys() - set(known))
    if strangers:
        said.append(f"{path}: no such point in the site: {_some(strangers)}. Is the file of another site?")
    return priors, said


def _table(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        raw = file.read(FILE_MOST_BYTES + 1)
    if len(raw) > FILE_MOST_BYTES:
        raise ValueError(f"larger than {FILE_MOST_BYTES} bytes")
    try:
        table = tomllib.loads(raw.decode()).get("priors")
    except RecursionError:
        raise ValueError("brackets nested too deep") from None
    if not isinstance(table, dict):
        raise ValueError("without a table [priors]")
    return table


def _prior(given: object) -> tuple[bytes, str]:
    """The prior, or why it can not be one."""
    try:
        raw = bytes.fromhex(given) if isinstance(given, str) else None
    except ValueError:
        raw = None
    if raw is None:
        return b"", "it is not hexadecimal"
    if len(raw) > MAX_PRIOR_BYTES:
        return b"", f"it has {len(raw)} bytes, {MAX_PRIOR_BYTES} at most"
    try:
        prior = Prior.decode(raw)
    except WireError as error:
        return b"", str(error)
    if abs(prior.centre) > MAX_STEPS:  # the distance of a value from there might not be codable
        return b"", f"its centre {prior.centre} is beyond all values"
    return raw, ""


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:NAMED_MOST])
    return f"{shown} and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else shown


def write_priors(path: Path, priors: Mapping[str, bytes], origin: str) -> None:
    """Writes the file: whole and on the disk when this returns. `origin`: a line that says what it was learnt from.

    Raises OSError, and then the old file is still there.
    """
    lines = [f"# Made by fengsui fit. {' '.join(origin.split())}", "[priors]"]
    lines += [f'"{point}" = "{prior.hex()}"' for point, prior in priors.items()]
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, 0o644)  # nothing secret: the service, which is another user, must read it
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(handle)
        Path(name).rename(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def priors_for(path: Path, bare: Sheet, mtus_bytes: Iterable[int]) -> tuple[Priors, list[str]]:
    """The priors of `path` that the site's sheet can carry, and what is to be said. `bare`: the sheet without any."""
    found, said = read_priors(path, {point.id for group in bare.groups for point in group.points})
    kept = affordable(bare, found, mtus_bytes)
    left = [point for point in found if point not in kept]
    if left:
        said.append(f"the sheet would not fit a packet of every link with the priors of {_some(left)}: left out")
    return kept, said


def affordable(bare: Sheet, priors: Mapping[str, bytes], mtus_bytes: Iterable[int]) -> Priors:
    """As many of `priors` as leave the sheet sendable in one packet on each link that can carry `bare`.

    Points read most often come first. A link too narrow for `bare` has no say: it never carries the sheet.
    """
    size_bytes = len(bare.encode()) + SEALING_BYTES
    room_bytes = min((mtu for mtu in (*mtus_bytes, MAX_BODY_BYTES) if mtu >= size_bytes), default=0)
    points = [point.id for group in bare.groups for point in group.points if point.id in priors]
    fit, too_many = 0, len(points) + 1
    count = len(points)  # nearly always all of them
    while too_many - fit > 1:
        if _sealed_bytes(bare, {point: priors[point] for point in points[:count]}) <= room_bytes:
            fit = count
        else:
            too_many = count
        count = (fit + too_many) // 2
    return {point: priors[point] for point in points[:fit]}


def _sealed_bytes(bare: Sheet, priors: Mapping[str, bytes]) -> float:
    """At most how long the packet of the sheet is with these priors."""
    try:
        return len(_with(bare, priors).encode()) + SEALING_BYTES
    except WireError:  # larger than any sheet may be
        return inf


def _with(sheet: Sheet, priors: Mapping[str, bytes]) -> Sheet:
    groups = (
        replace(group, points=tuple(replace(p, prior=priors.get(p.id, p.prior)) for p in group.points))
        for group in sheet.groups
    )
    return replace(sheet, groups=tuple(groups))
