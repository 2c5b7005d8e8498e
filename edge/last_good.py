"""The last site file that was right: a copy from which the gateway starts when the file has been spoilt.

A technician's slip, or a power cut in the middle of an editor's save, must not leave a site blind. The copy is made
whole, synced and then named, so a cut leaves the old one or the new; and only of a file of which the gateway has been
built.

What is only of no use (a level that nothing reaches, an action that never follows) is a mistake for `fengsui check`,
and no reason not to judge all the rest: a new version that sees more must not stop a site that ran yesterday. It is a
slip like any other where the copy, read by the same version, has it not: a digit too many in a threshold is such a one.

The sensor templates that the file was written out with are kept too, in a folder beside the copy: a slip in one of
one's own, or a new version of ours, must not take the copy with it.

What an editor had written when the power went may be a right site file, with fewer limits: it ends where the copy goes
on, or in the middle of a line. Such a file is not believed. Where it may be so on purpose, what is no longer there is
said.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from edge.config.load import load, what_failed
from edge.config.site import Site
from edge.errors import SiteFileError

PROBLEMS_SAID = 3
GONE_SAID = 10  # names in one sentence
END = b"# end"  # as the last line: the file is whole, whatever it was before
TEMPLATES = ".sensors"  # the folder of the templates kept, after the copy's name
STATE = "STATE_DIRECTORY"  # systemd's: /etc may be read-only for the service

T = TypeVar("T")
_INDEX = re.compile(r"\[[0-9]+\]")  # of a table in its list: another once one before it came or went


def copy_path(site_file: Path) -> Path:
    """Where the copy lies: in the service's state folder, else beside the site file."""
    state = os.environ.get(STATE, "").split(":")[0]
    return (Path(state) if state else site_file.absolute().parent) / f"{site_file.name}.good"


class Loaded(NamedTuple):
    """The site, what is to be said about it, and what keeps its file as the last good one."""

    site: Site
    said: list[str]
    keep: Callable[[], None]


def load_or_last_good(site_file: Path) -> Loaded:
    """The site of `site_file`, or of its last good copy (`Site.stands_in`). Raises SiteFileError if none is right."""
    copy, text = copy_path(site_file), _text(site_file)
    try:
        site = load(site_file, useless_too=True)
    except SiteFileError as error:
        good = _load_copy(site_file, copy)
        if good is None:
            raise
        return _wrong(site_file, copy, good, error.problems)
    said, kept = _useless_words(site), _text(copy)
    good = _load_copy(site_file, copy) if kept != text or site.useless else None
    if good is not None:
        gone = _gone(site, good)
        if kept != text and _is_cut(text, kept, gone):
            return _instead(good, [_cut_words(site_file, copy, gone)])
        if slips := _slips(site, good):
            return _wrong(site_file, copy, good, slips)
        said += [f"{site_file} has no longer: {', '.join(gone[:GONE_SAID])}"] if gone else []
    return Loaded(site, said, partial(_keep_all, site_file, copy, text, {it.name: _text(it) for it in site.templates}))


def built_or_last_good(site_file: Path, loaded: Loaded, build: Callable[[Site], T]) -> tuple[T, Loaded]:
    """What `build` makes of the site, and of which one: where it fails on a file, for whatever reason, of the last good
    copy; where it fails on the copy, of the file, if that could be read. Raises what `build` raises if there is no
    other, or on that too."""
    try:
        return build(loaded.site), loaded
    except Exception as error:  # of a driver too, and that is anybody's code: a box that does not start is blind
        failed = what_failed(error)
        other = _own(site_file, loaded.site, failed) if loaded.site.stands_in else _good(site_file, failed)
        if other is None:
            raise
        return build(other.site), other


def _good(site_file: Path, failed: str) -> Loaded | None:
    """The copy, where no gateway can be built of the file."""
    copy = copy_path(site_file)
    good = _load_copy(site_file, copy)
    fails = (
        f"{_fails_words(site_file, failed)}: running on the last good copy, {copy}; take back what was changed last, "
        "and tell its authors"
    )
    return None if good is None else _instead(good, [fails])


def _own(site_file: Path, good: Site, failed: str) -> Loaded | None:
    """The file, where no gateway can be built of its copy: it may have had a slip only, or break off. It is kept as no
    copy. None where it is wrong."""
    try:
        site = load(site_file, useless_too=True)
    except SiteFileError:
        return None
    gone = _gone(site, good)
    lost = f" (which has no longer: {', '.join(gone[:GONE_SAID])})" if gone else ""
    fails = f"{_fails_words(good.file, failed)}: running {site_file} as it is{lost}; tell its authors"
    return Loaded(site, [*_useless_words(site), fails], lambda: None)


def _fails_words(file: Path, failed: str) -> str:
    return f"fengsui itself fails to build a gateway of {file}, a fault of ours ({failed})"


def _wrong(site_file: Path, copy: Path, good: Site, problems: Sequence[str]) -> Loaded:
    said = [f"{site_file}: {problem}" for problem in problems[:PROBLEMS_SAID]]
    wrong = f"{site_file} is wrong (fengsui check lists all): running on the last good copy, {copy}"
    return _instead(good, [*said, wrong])


def _slips(site: Site, good: Site) -> list[str]:
    """What is of no use in this site, where nothing was in the last good one (by ids: tables may have moved)."""
    before = {_place(problem) for problem in good.useless}
    return [problem for problem in site.useless if _place(problem) not in before]


def _place(problem: str) -> str:
    return _INDEX.sub("", problem.split(": ", 1)[0])


def _instead(good: Site, said: list[str]) -> Loaded:
    return Loaded(replace(good, stands_in=said[-1]), [*_useless_words(good), *said], lambda: None)


def _useless_words(site: Site) -> list[str]:
    return [f"{site.file} is run as it is (fengsui check refuses it): {problem}" for problem in site.useless]


def _keep_all(site_file: Path, copy: Path, text: bytes, templates: Mapping[str, bytes]) -> None:
    is_new = text != _text(copy) or any(_text(_kept_templates(copy) / it) != now for it, now in templates.items())
    if text and is_new and text == _text(site_file):  # what is being written now is kept the next time
        with contextlib.suppress(OSError):  # no room or no right to keep a copy: no reason not to run
            _keep_templates(templates, copy)
            _keep(text, copy)


def _kept_templates(copy: Path) -> Path:
    return copy.with_name(copy.name + TEMPLATES)


def _load_copy(site_file: Path, copy: Path) -> Site | None:
    try:
        return load(copy, folder=site_file.absolute().parent, templates=[_kept_templates(copy)], useless_too=True)
    except (SiteFileError, OSError):  # of a copy that nothing can be asked of; it stands in nobody's way
        return None


def _text(path: Path) -> bytes:
    """b"" for none that can be read."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError:
        return b""


def _gone(site: Site, good: Site) -> list[str]:
    """What the last good site had and this one has not: what is judged first."""
    has = set(_names(site))
    return [name for name in _names(good) if name not in has]


def _names(site: Site) -> list[str]:
    limits = [f"limit {limit.id}" for limit in site.limits]
    return [*limits, *(f"link {link.id}" for link in site.links), *(f"point {point.id}" for point in site.points)]


def _is_cut(text: bytes, kept: bytes, gone: Sequence[str]) -> bool:
    """Whether `text` was to be longer: what it lacks of `kept` is more than blanks, or it breaks off in a line (with
    something lost, or in one that was longer)."""
    if kept.startswith(text):
        return bool(kept[len(text) :].strip())
    if text.endswith((b"\n", END)) or not kept.endswith(b"\n"):
        return False
    last = text.splitlines()[-1]
    return bool(gone) or any(line.startswith(last) and line != last for line in kept.splitlines())


def _cut_words(site_file: Path, copy: Path, gone: Sequence[str]) -> str:
    lost = f" (without {', '.join(gone[:GONE_SAID])})" if gone else ""
    return (
        f"{site_file} breaks off{lost}, as after a power cut while it was saved: running on the last good copy, {copy}."
        f" Put back what is missing, or, if its end was taken out on purpose, add a last line: {END.decode()}"
    )


def _keep_templates(templates: Mapping[str, bytes], copy: Path) -> None:
    """Before the copy that needs them. What earlier copies needed stays: it is small, and a cut may fall in between."""
    if templates:
        _kept_templates(copy).mkdir(exist_ok=True)
    for name, text in templates.items():
        _keep(text, _kept_templates(copy) / name)


def _keep(text: bytes, copy: Path) -> None:
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
