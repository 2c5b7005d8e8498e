"""A named story as a TOML file that a person reads and writes: sim/scenarios/*.toml. sim/README.md says how.

    title, title_zh, about, about_zh, lasts = "6h", links = ["fibre", "beidou"]; seed, batch, quota where they matter
    [start]      what points show from the beginning on, so that all that follows is known exactly
    [weather]    knobs of the weather, for points that are not told what to show
    [[port]] [[device]] [[device.point]] [[limit]]    the site, as in a site file; the rest of it is written here
    [[trouble]]  at, for, kind, on, value             nouns.KINDS has the kinds
    [[expect]]   limit, level, from, by, link, never  what must be seen at the province

Reads the file and checks it against its own site. Every mistake is a sentence naming file, table and key.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge.config import Site
from edge.config import load as load_site
from edge.config.units import DURATION_UNITS_MS
from edge.errors import FengsuiError, SiteFileError
from sim.world.nouns import Expect, Story, Trouble
from sim.world.scenario_check import problems_of
from sim.world.scenario_site import BATCH, PROFILES, QUOTA, Ends, whole_site, with_ports

FOLDER = Path(__file__).parent.parent / "scenarios"
SITE_TABLES = ("port", "device", "limit")
TEXTS = ("title", "title_zh", "about", "about_zh", "lasts")
OPTIONAL = {"seed": int, "batch": str, "quota": str}
TROUBLE_KEYS = {"at": str, "for": str, "kind": str, "on": str, "value": float}
EXPECT_KEYS = {"limit": str, "level": str, "from": str, "by": str, "link": str, "never": bool}
BEYOND_S = 1e12  # longer than any bound, which is told by whoever knows it
MOST_NUMBER = 1e15  # of any key; what each may be is scenario_check's
START = "point.ramp"  # it stays
START_S = 1e-6  # so long is what has no length: it is over after it has begun, and before anything is asked

NOT_TOML = (ValueError, RecursionError)  # TOMLDecodeError, numbers beyond all measure, tables nested without end

_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h|d)\b")
_HEADER = re.compile(r"\[\[?\s*([a-z_]+)(?:\s*\.\s*[a-z_]+)*\s*\]\]?\s*(?:#.*)?")


class ScenarioError(FengsuiError):
    """The scenario file is wrong. `problems`: one sentence for each mistake."""

    def __init__(self, file: str, problems: Sequence[str]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__(f"{file}: {len(self.problems)} problem(s)\n" + "\n".join(f"  {p}" for p in self.problems))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario file as read. `body`: the text of its ports, devices and limits; `story.site` is the whole site."""

    title: str
    title_zh: str
    about: str
    about_zh: str
    body: str
    links: tuple[str, ...]
    batch: str
    quota: str
    story: Story

    def real_site(self, ends: Ends, opens: dict[str, str]) -> str:
        """The site file with these ends of links and ports: for a play with real processes."""
        body = with_ports(self.body, opens)
        return whole_site(self.story.name, self.links, body, ends, batch=self.batch, quota=self.quota)


def load(path: Path) -> Scenario:
    """Reads a scenario. Raises ScenarioError with all problems."""
    try:
        text = path.read_text("utf-8-sig")
        raw = tomllib.loads(text)
    except OSError as error:
        raise ScenarioError(str(path), [f"can not be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ScenarioError(str(path), [f"is not UTF-8 text: byte {error.start} is wrong"]) from error
    except NOT_TOML as error:
        raise ScenarioError(str(path), [f"is not TOML: {error}"]) from error
    return _Reader(path, text, raw).scenario()


def all_files() -> list[Path]:
    """The scenarios that come with the project, by name."""
    return sorted(FOLDER.glob("*.toml"))


def seconds(text: str) -> float:
    """`1h 20min` -> 4800.0. Raises ValueError for anything else, with what to write."""
    total_ms, place = Decimal(0), 0
    while match := _DURATION.match(text, place):
        total_ms += Decimal(match[1]) * DURATION_UNITS_MS[match[2]]
        place = match.end()
    if place == 0 or text[place:].strip():
        raise ValueError(f'write it like "90s", "5min" or "1h 20min", not {text!r}')
    return min(float(total_ms / 1000), BEYOND_S)


class _Reader:
    """One file on its way to a Scenario. Problems are collected, so that all are told at once."""

    def __init__(self, path: Path, text: str, raw: Mapping[str, Any]) -> None:
        self._path = path
        self._text = text
        self._raw = raw
        self._problems: list[str] = []

    def scenario(self) -> Scenario:
        known = {*TEXTS, *OPTIONAL, *SITE_TABLES, "links", "start", "weather", "trouble", "expect"}
        self._unknown("", self._raw, known)
        texts = {key: self._text_of(key) for key in TEXTS}
        lasts_s = self._seconds("", self._raw, "lasts")
        links, (seed, batch, quota) = self._links(), self._settings()
        body = self._body()
        troubles = (*self._start(), *self._troubles())
        expects = tuple(self._expects(lasts_s))
        weather = self._numbers("weather")
        self._stop()
        name = self._path.stem
        site_text = whole_site(name, links, body, batch=batch, quota=quota)
        site = self._site(site_text)
        story = Story(name, site_text, seed, lasts_s, troubles, expects, weather, texts["title"])
        self._problems += problems_of(story, site)
        self._stop()
        titles, abouts = (texts["title"], texts["title_zh"]), (texts["about"], texts["about_zh"])
        return Scenario(*titles, *abouts, body, links, batch, quota, story)

    # -- the head

    def _text_of(self, key: str) -> str:
        value = self._raw.get(key)
        if not isinstance(value, str) or not value.strip():
            self._problems.append(f'{key}: is missing; write {key} = "..."')
            return ""
        return value.strip()

    def _links(self) -> tuple[str, ...]:
        value = self._raw.get("links")
        names = ", ".join(PROFILES)
        if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
            self._problems.append(f'links: name each way out once, of {names}, like links = ["fibre", "beidou"]')
            return ()
        self._problems += [
            f"links: {link!r} is not known; there are {names}" for link in value if link not in [*PROFILES]
        ]
        return tuple(map(str, value))

    def _settings(self) -> tuple[int, str, str]:
        found: dict[str, Any] = {"seed": 1, "batch": BATCH, "quota": QUOTA}
        for key, kind in OPTIONAL.items():
            if key in self._raw and type(self._raw[key]) is kind:
                found[key] = self._raw[key]
            elif key in self._raw:
                self._problems.append(f"{key}: {self._raw[key]!r} is not {_kind_words(kind)}")
        return found["seed"], found["batch"], found["quota"]

    def _numbers(self, table: str) -> dict[str, float]:
        values = self._raw.get(table, {})
        if not isinstance(values, dict):
            self._problems.append(f"{table}: is a table: [{table}], then a line for each, like name = 12.5")
            return {}
        wrong = [key for key, value in values.items() if not _is(value, float)]
        self._problems += [f"[{table}] {key}: {values[key]!r} is not a number" for key in wrong]
        return {key: float(value) for key, value in values.items() if key not in wrong}

    # -- the site

    def _body(self) -> str:
        """The lines of the site's own tables, comments and all."""
        kept: list[str] = []
        mine = False
        for line in self._text.splitlines():
            if header := _HEADER.fullmatch(line.strip()):
                mine = header[1] in SITE_TABLES
            if mine:
                kept.append(line)
        body = "\n".join(kept) + "\n"
        wanted = {key: self._raw[key] for key in SITE_TABLES if key in self._raw}
        try:
            found: Mapping[str, Any] = tomllib.loads(body)
        except NOT_TOML:
            found = {}
        if found != wanted:
            self._problems.append("port, device, limit: write each as [[port]], [[device]], [[limit]] on a line alone")
        return body

    def _site(self, text: str) -> Site:
        with tempfile.TemporaryDirectory(prefix="fengsui-scenario-") as folder:
            path = Path(folder) / "site.toml"
            path.write_text(text, "utf-8")
            try:
                return load_site(path)
            except SiteFileError as error:
                raise ScenarioError(str(self._path), error.problems) from error

    # -- what happens, and what must be seen

    def _start(self) -> list[Trouble]:
        return [Trouble(START, 0.0, START_S, point, value) for point, value in self._numbers("start").items()]

    def _troubles(self) -> list[Trouble]:
        found = []
        for where, table in self._tables("trouble", TROUBLE_KEYS, needed=("at", "kind")):
            at_s, for_s = self._seconds(where, table, "at"), self._seconds(where, table, "for") or START_S
            found.append(Trouble(table["kind"], at_s, for_s, table.get("on", ""), float(table.get("value", 0.0))))
        return sorted(found, key=lambda trouble: trouble.at_s)

    def _expects(self, lasts_s: float) -> list[Expect]:
        found = []
        for where, table in self._tables("expect", EXPECT_KEYS, needed=("limit", "level")):
            from_s = self._seconds(where, table, "from")
            by_s = self._seconds(where, table, "by") if "by" in table else lasts_s
            link, never = table.get("link", ""), table.get("never", False)
            found.append(Expect(table["limit"], table["level"], from_s, by_s, link, never))
        return found

    def _tables(
        self, key: str, kinds: Mapping[str, type], needed: Sequence[str]
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """Those of [[key]] that can be used, with what to call them."""
        tables = self._raw.get(key, [])
        if not isinstance(tables, list):
            self._problems.append(f"{key}: write [[{key}]] with two brackets: there may be several")
            return []
        usable: list[tuple[str, Mapping[str, Any]]] = []
        for number, table in enumerate(tables, 1):
            where = f"[[{key}]] {number}"
            if not isinstance(table, dict):
                self._problems.append(
                    f"{where}: {table!r} is not a table: write [[{key}]] on a line alone, its keys below"
                )
                continue
            before = len(self._problems)
            self._unknown(where, table, set(kinds))
            self._problems += [f"{where}: {name} is missing" for name in needed if name not in table]
            for name, kind in kinds.items():
                if name in table and not _is(table[name], kind):
                    self._problems.append(f"{where} {name}: {table[name]!r} is not {_kind_words(kind)}")
            if len(self._problems) == before:
                usable.append((where, table))
        return usable

    # -- mistakes

    def _seconds(self, where: str, table: Mapping[str, Any], key: str) -> float:
        """0 where the key is not there."""
        value = table.get(key, "0s")
        try:
            return seconds(value if isinstance(value, str) else f"{value!r:.30}")
        except ValueError as error:
            self._problems.append(f"{where} {key}: {error}".lstrip())
            return 0.0

    def _unknown(self, where: str, table: Mapping[str, Any], known: set[str]) -> None:
        for key in table.keys() - known:
            self._problems.append(f"{where} {key}: no such key; there are {', '.join(sorted(known))}".lstrip())

    def _stop(self) -> None:
        if self._problems:
            raise ScenarioError(str(self._path), self._problems)


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST_NUMBER
    return type(value) is kind


def _kind_words(kind: type) -> str:
    return {
        int: "a whole number",
        float: f"a number (up to {MOST_NUMBER:g})",
        str: 'a text in quotes, "..."',
        bool: "true or false",
    }[kind]
