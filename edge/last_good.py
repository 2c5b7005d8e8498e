"""The last site file that was right: a copy from which the gateway starts when the file has been spoilt.

A technician's slip, or a power cut in the middle of an editor's save, must not leave a site blind. The copy is made
whole, synced and then named, so a cut leaves the old one or the new.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edge.config.load import load
from edge.config.site import Site
from edge.errors import SiteFileError

PROBLEMS_SAID = 3
STATE = "STATE_DIRECTORY"  # systemd's: /etc may be read-only for the service


def copy_path(site_file: Path) -> Path:
    """Where the copy lies: in the service's state folder, else beside the site file."""
    state = os.environ.get(STATE, "").split(":")[0]
    return (Path(state) if state else site_file.absolute().parent) / f"{site_file.name}.good"


def load_or_last_good(site_file: Path) -> tuple[Site, list[str]]:
    """The site, and what is to be said about it. Raises SiteFileError when neither file nor copy is right."""
    copy = copy_path(site_file)
    try:
        site = load(site_file)
    except SiteFileError as error:
        try:
            site = load(copy, folder=site_file.absolute().parent)
        except SiteFileError:
            raise error from None
        said = [f"{site_file}: {problem}" for problem in error.problems[:PROBLEMS_SAID]]
        return site, [*said, f"{site_file} is wrong (fengsui check lists all): running on the last good copy, {copy}"]
    with contextlib.suppress(OSError):  # no room or no right to keep a copy: no reason not to run
        _keep(site_file, copy)
    return site, []


def _keep(site_file: Path, copy: Path) -> None:
    text = site_file.read_bytes()
    if copy.exists() and copy.read_bytes() == text:
        return
    fresh = copy.with_name(f"{copy.name}.new")
    with fresh.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(copy)
    handle = os.open(copy.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
