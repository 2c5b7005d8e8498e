"""Reads a site file: `load(path)` gives a `Site`, or `SiteFileError` with every mistake found.

The walk: text -> TOML -> tables -> structs, each table by itself, then what must fit together. A reference to
something that is there but wrong itself is no second mistake. Opens nothing but the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge.config.plugs import Drivers
from edge.config.reader import Reader
from edge.config.site import Site
from edge.config.text import read_toml
from edge.config.walk import Walk
from edge.contract import Driver
from edge.errors import SiteFileError


def load(
    path: Path,
    drivers: Mapping[str, Driver] | None = None,
    *,
    check_files: bool = False,
    folder: Path | None = None,
) -> Site:
    """The site of the file at `path`. `drivers` replaces the installed ones; `check_files`: the key file must exist;
    `folder`: where relative paths in it start, its own by default.

    Raises SiteFileError with all problems.
    """
    raw = read_toml(path)
    reader = Reader((folder or path.parent).absolute())
    site = Walk(reader, Drivers(drivers)).site(path.absolute(), raw)
    if site is not None and check_files and not site.gateway.key.is_file():
        key = site.gateway.key
        reader.problem(("gateway", "key"), f"{key} does not exist; make it with: fengsui keygen {key}")
    if reader.problems or site is None:
        raise SiteFileError(str(path), reader.problems)
    return site
