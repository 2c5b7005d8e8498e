"""Reads a site file: `load(path)` gives a `Site`, or `SiteFileError` with every mistake found.

The walk: text -> TOML -> tables -> structs, each table by itself, then what must fit together. The numbers of [design]
are put in their places, and devices that name a sensor template are written out, before. A reference to something that
is there but wrong itself is no second mistake. What the walk itself fails on is a mistake like any: the gateway is to
start from its last good copy, and a person to read what else was found. `__cause__` is then the exception.
Opens nothing but the file and the templates that it names.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from edge.config.design import Designed, fill
from edge.config.plugs import Drivers
from edge.config.reader import Reader, Table
from edge.config.site import Site
from edge.config.text import read_toml
from edge.config.walk import Walk
from edge.contract import Driver
from edge.errors import SiteFileError

FAULT_SAID = 200  # characters of an exception, which may hold any part of the file


def load(
    path: Path,
    drivers: Mapping[str, Driver] | None = None,
    *,
    check_files: bool = False,
    folder: Path | None = None,
    templates: Sequence[Path] = (),
    useless_too: bool = False,
) -> Site:
    """The site of the file at `path`. `drivers` replaces the installed ones; `check_files`: the key file must exist;
    `folder`: where relative paths in it start, its own by default; `templates`: folders to look for sensor templates
    in before all others; `useless_too`: a site is built too when all that is wrong with it is of no use
    (`Site.useless`), as one must that ran with it before it was found out.

    Raises SiteFileError with all problems.
    """
    reader, raw = Reader((folder or path.parent).absolute()), read_toml(path)
    try:
        designed = fill(reader, raw)
        said = len(reader.problems)
        site = _site(path, designed, reader, Drivers(drivers), templates)
    except Exception as error:  # whatever it is: a box that does not start is blind
        reader.problem((), _fault(error))
        raise SiteFileError(str(path), [*reader.problems, *reader.useless]) from error
    reader.problems[said:] = [problem for problem in reader.problems[said:] if not designed.follows(problem)]
    useless = [problem for problem in reader.useless if not designed.follows(problem)]
    if site is not None and check_files and not site.gateway.key.is_file():
        key = site.gateway.key
        reader.problem(("gateway", "key"), f"{key} does not exist; make it with: fengsui keygen {key}")
    if reader.problems or site is None or (useless and not useless_too):
        raise SiteFileError(str(path), [*reader.problems, *useless])
    return replace(site, useless=tuple(useless)) if useless else site


def _site(path: Path, designed: Designed, reader: Reader, drivers: Drivers, templates: Sequence[Path]) -> Site | None:
    if not _names_templates(designed.raw):
        return Walk(reader, drivers).site(path.absolute(), designed.raw)
    from edge.config.expand import expand, said  # which a site without templates need not wait for
    from edge.config.templates import folders

    expanded = expand(reader, designed.raw, (*templates, *folders(reader.folder)), designed.asked)
    walked = Reader(reader.folder)
    try:
        site = Walk(walked, drivers).site(path.absolute(), expanded.raw)
    finally:  # what was found is told also if the walk itself fails
        reader.problems += [text for problem in walked.problems if (text := said(problem, expanded))]
        reader.useless += [text for problem in walked.useless if (text := said(problem, expanded))]
    return replace(site, templates=expanded.files) if site is not None else None


def _fault(error: Exception) -> str:
    return (
        f"fengsui itself fails on this file, a fault of ours ({what_failed(error)}): put right what else is said here, "
        "or take back what was changed last; and tell its authors"
    )


def what_failed(error: Exception) -> str:
    """An exception that nobody foresaw, and where it was raised, for those who are to find its cause."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:FAULT_SAID]}, in {Path(at.filename).name} line {at.lineno}"


def _names_templates(raw: Table) -> bool:
    devices = raw.get("device")
    return isinstance(devices, list) and any(isinstance(it, dict) and "device" in it for it in devices)
