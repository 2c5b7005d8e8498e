"""Sensor templates: one TOML file for each instrument, `maker-model.toml`, with what its manual says.

Ours lie in the installed package (in a clone: deploy/sensors); a file of one's own lies in the folder `sensors` beside
the site file and goes before ours. Only those that a site file names are read: a dozen milliseconds for a site of ten
instruments. What a site gets of one is `edge.config.expand`'s. May not import a driver: whether a template's keys are
right is found out when what it expands to is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from edge.config.reader import Reader
from edge.config.text import read_toml
from edge.config.words import did_you_mean, listing
from edge.errors import SiteFileError

OWN_FOLDER = "sensors"  # beside the site file
SUFFIX = ".toml"
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")  # a file's name: nothing that leads out of the folder
MOST_CHANNELS = 64  # of one logger

# How far a template may be believed, the marks of the project's fact sheets.
TRUST = {
    "S": "read in the maker's own document",
    "V": "read in a document, and proved with frames whose check value was computed again",
    "I": "seen in an open implementation only",
    "P": "from a secondary page",
    "M": "common knowledge, not checked",
}

Short = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=32)]
# May name its channel: `frequency-{n}`.
ShortOfMany = Annotated[str, Meta(pattern=r"^[a-z0-9{][a-z0-9{}_-]*$", max_length=32)]


class KeyTable(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """[[key]]: a number that only the site knows (a calibration constant, a height): required in its [[device]]."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_{}]*$", max_length=32)]
    unit: str = ""
    about: Annotated[str, Meta(min_length=1, description="What it is and where it stands")]
    example: float


class PointTable(Struct, kw_only=True, frozen=True):
    """The keys of a template's [[point]] that are its own; all others are those of [[device.point]]."""

    id: ShortOfMany
    optional: Annotated[bool, Meta(description="Only read where the site file names it")] = False
    channels: Annotated[int, Meta(ge=1, le=MOST_CHANNELS, description="So many, {n} from 1")] | None = None
    stride: Annotated[int, Meta(ge=1, description="Registers from one channel to the next")] = 1


OWN_POINT_KEYS = ("optional", "channels", "stride")


class Template(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The whole file. `line`: "9600 8N1" from the factory, "" where the sources do not say. `device`: the driver's keys
    of [[device]]."""

    maker: str
    model: str
    what: str
    driver: str
    trust: Literal["S", "V", "I", "P", "M"]
    sources: Annotated[list[str], Meta(min_length=1)]
    line: Annotated[str, Meta(pattern=r"^([0-9]+ [78][NEO][12])?$")] = ""
    notes: str = ""
    device: dict[str, Any] = {}
    key: list[KeyTable] = []
    point: Annotated[list[dict[str, Any]], Meta(min_length=1)]


def shipped() -> Path:
    """The folder of our own templates: in an installed package beside this file, in a clone in deploy/."""
    installed = Path(__file__).parent / OWN_FOLDER
    return installed if installed.is_dir() else Path(__file__).parents[2] / "deploy" / OWN_FOLDER


def folders(site_folder: Path | None = None) -> tuple[Path, ...]:
    """Where templates are looked for, the first that has a file wins."""
    return (shipped(),) if site_folder is None else (site_folder / OWN_FOLDER, shipped())


def names(places: Sequence[Path]) -> list[str]:
    """All templates there are."""
    found = {path.stem for place in places if place.is_dir() for path in place.glob(f"*{SUFFIX}") if path.is_file()}
    return sorted(name for name in found if NAME.fullmatch(name))


def find(name: str, places: Sequence[Path]) -> Path | None:
    """The file of a template, None where there is none."""
    if not NAME.fullmatch(name):
        return None
    return next((path for place in places if (path := place / f"{name}{SUFFIX}").is_file()), None)


def missing(name: str, places: Sequence[Path]) -> str:
    """What to say of a template that is not there."""
    for place in places if NAME.fullmatch(name) else ():
        path = place / f"{name}{SUFFIX}"
        if path.exists():
            what = "a folder" if path.is_dir() else "a pipe or a device"
            return f"{path} is {what}, no file; a sensor template is a text file"
    known = names(places)
    near = did_you_mean(name, known)
    hint = f"did you mean “{near}”? " if near else f"there are: {listing(known)}; "
    return f"there is no sensor template “{name}”; {hint}all with: fengsui sensors"


def read_template(path: Path) -> Template:
    """The template in a file. Raises SiteFileError with every mistake in it."""
    raw = read_toml(path)
    reader = Reader(path.parent)
    meant = reader.unknown_keys((), raw, [Template])
    found = reader.struct((), raw, Template, meant)
    for problem in _problems(found) if found is not None else ():
        reader.problem((), problem)
    if found is None or reader.problems:
        raise SiteFileError(str(path), reader.problems)
    return found


def keys_of(template: Template) -> dict[str, KeyTable]:
    """The numbers that a site must give, by name, those of channels one by one."""
    many = max((channels for raw in template.point if isinstance(channels := raw.get("channels"), int)), default=1)
    return {
        key.name.replace("{n}", str(n)): key
        for key in template.key
        for n in (range(1, many + 1) if "{n}" in key.name else (1,))
    }


def _problems(template: Template) -> Iterator[str]:
    for index, raw in enumerate(template.point):
        reader = Reader(Path())
        point = reader.struct((f"point[{index}]",), raw, PointTable)
        yield from reader.problems
        if point is not None and ("{n}" in point.id) != (point.channels is not None):
            yield f"point[{index}]: `channels` and {{n}} in the id belong together"
    ids = [str(raw.get("id")) for raw in template.point]
    for twice in sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        yield f"point “{twice}” is there twice"
