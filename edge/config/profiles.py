"""Site profiles: a commented site file for each kind of site, `tailings.toml`, with what only the site knows left open.

Ours lie in the installed package (in a clone: deploy/profiles). A profile is a site file as it stands: what is open is
"" or a text under [design], and `fengsui check` asks for it by name. May not fill in anything.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from edge.config.design import DESIGN_KEY

FOLDER = "profiles"  # in the installed package; in a clone it lies in deploy/
_TITLE = re.compile(r"# (.+) \((.+)\)\.")  # the first line: `# A tailings pond (尾矿库).`


class Profile(NamedTuple):
    """`asks`: name under [design] -> what it is."""

    name: str
    title: str
    title_zh: str
    text: str
    asks: dict[str, str]


def shipped() -> Path:
    """The folder of the profiles."""
    installed = Path(__file__).parent / FOLDER
    return installed if installed.is_dir() else Path(__file__).parents[2] / "deploy" / FOLDER


def profiles() -> dict[str, Profile]:
    """All there are, by name."""
    return {path.stem: _read(path) for path in sorted(shipped().glob("*.toml"))}


def _read(path: Path) -> Profile:
    text = path.read_text("utf-8")
    title = _TITLE.match(text)
    design = tomllib.loads(text).get(DESIGN_KEY, {})
    asks = {key: value for key, value in design.items() if isinstance(value, str)}
    return Profile(path.stem, title[1] if title else path.stem, title[2] if title else "", text, asks)
