"""[design]: the numbers that only a site's own design knows, written once and named where they are needed.

    [design]
    beach_least = "设计最小干滩长度 least dry beach by the design, m"     not filled in yet: the text is the question
    phreatic_least = 4.0                                                  filled in

    below = { orange = "$phreatic_least * 1.1", red = "$phreatic_least" }   in any [[limit]] or [[device]]

A text in the place of a number is no slip of the pen but a number that nobody has given: `fengsui check` asks for it
by name, and there is no default. Runs on plain tables before everything else; what it yields is judged there as if
the numbers had been written in place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from edge.config.reader import Reader, Table, Where, label
from edge.config.words import did_you_mean, listing, show

DESIGN_KEY = "design"
FILLED_KINDS = ("device", "limit")
STAND_IN = 1  # for a device's number that is still asked for, so that nothing else is found wrong in its place

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_USE = re.compile(r"\$([a-z][a-z0-9_]{0,39})(?: \* (-?[0-9]+(?:\.[0-9]+)?))?")

Number = int | float


class Designed(NamedTuple):
    """`raw`: the site file without [design], numbers in their places. `waiting`: beginnings of problems that only
    follow from a number that is asked for. `asked`: (label of a device, key) where a number stands in for one."""

    raw: Table
    waiting: tuple[str, ...] = ()
    asked: tuple[Where, ...] = ()

    def follows(self, problem: str) -> bool:
        """Whether a problem found later is one of those."""
        return problem.startswith(self.waiting)


def fill(reader: Reader, raw: Table) -> Designed:
    """The site file with every `$name` filled in; problems go to `reader`. A file without [design]: as it is."""
    if DESIGN_KEY not in raw:
        return Designed(raw)
    rest = {key: value for key, value in raw.items() if key != DESIGN_KEY}
    given = raw[DESIGN_KEY]
    if not isinstance(given, dict):
        reader.problem((DESIGN_KEY,), "write it with single brackets, [design], and below it: name = number")
        return Designed(rest)
    filling = _Filling(reader, given, _numbers(reader, given))
    for kind in FILLED_KINDS:
        tables = rest.get(kind)
        if isinstance(tables, list):
            rest[kind] = [filling.table(kind, index, table) for index, table in enumerate(tables)]
    for name in given:
        if name not in filling.used and _NAME.fullmatch(name):
            reader.problem(
                (DESIGN_KEY, name), f"nothing in this file uses it; write “${name}” in a limit or take it out"
            )
    return Designed(rest, tuple(filling.waiting), tuple(filling.asked))


def _numbers(reader: Reader, given: Mapping[str, Any]) -> dict[str, Number]:
    found: dict[str, Number] = {}
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            reader.problem((DESIGN_KEY, name), "a name has a-z 0-9 _ only, at most 40, a letter first")
        elif isinstance(value, str):
            reader.problem(
                (DESIGN_KEY, name), f"is asked for: {value or 'no words'}; write a number instead of the text"
            )
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            reader.problem((DESIGN_KEY, name), f"found {show(value)}; allowed: a number")
        else:
            found[name] = value
    return found


class _Filling:
    """Puts the numbers in their places, and remembers where there was none."""

    def __init__(self, reader: Reader, given: Mapping[str, Any], numbers: Mapping[str, Number]) -> None:
        self._reader = reader
        self._given = given
        self._numbers = numbers
        self.used: set[str] = set()
        self.waiting: list[str] = []
        self.asked: list[Where] = []
        self._missing = False
        self._is_device = False

    def table(self, kind: str, index: int, table: object) -> object:
        if not isinstance(table, dict):
            return table
        place, filled = label(kind, index, table), {}
        self._is_device = kind == "device"
        for key, value in table.items():
            self._missing = False
            filled[key] = self._filled((place, key), value)
            if self._missing and self._is_device:
                self.asked.append((place, key))
            elif self._missing:
                self.waiting.append(f"{place} → {key}")
        return filled

    def _filled(self, where: tuple[str, ...], value: object) -> object:
        if isinstance(value, dict):
            return {key: self._filled((*where, key), item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(where, item) for item in value]
        match = _USE.fullmatch(value) if isinstance(value, str) else None
        return value if match is None else self._number(where, match)

    def _number(self, where: tuple[str, ...], match: re.Match[str]) -> object:
        name = match[1]
        self.used.add(name)
        number = self._numbers.get(name)
        if number is not None:
            return float(Decimal(repr(number)) * Decimal(match[2])) if match[2] else number
        if name not in self._given:
            near = did_you_mean(name, list(self._given))
            hint = f"did you mean “${near}”?" if near else f"there are: {listing(list(self._given))}"
            self._reader.problem(where, f"[design] has no `{name}`; {hint}")
        self._missing = True
        return STAND_IN if self._is_device else match[0]
