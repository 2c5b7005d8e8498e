"""[design]: the numbers that only a site's own design knows, written once and named where they are needed.

    [design]
    beach_least = "设计最小干滩长度 least dry beach by the design, m"     not filled in yet: the text is the question
    phreatic_least = 4.0                                                  filled in

    below = { orange = "$phreatic_least * 1.1", red = "$phreatic_least" }   in any [[limit]] or [[device]]

    must = ["0 < phreatic_least", "operating < preflood < flood"]          what is always so of a right design

A text in the place of a number is no slip of the pen but a number that nobody has given: `fengsui check` asks for it
by name, and there is no default. Runs on plain tables before everything else; what it yields is judged there as if
the numbers had been written in place. A `range` made of a number that is still asked for is left out, so that nothing
is said to lie beyond it. `must` finds a sign that was lost and numbers that changed places: a limit with one of them is
never reached, or always.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from edge.config.formula import FORMULA, SHAPES, computed, meant, names_in
from edge.config.reader import Reader, Table, Where, label
from edge.config.words import did_you_mean, listing, show

DESIGN_KEY, MUST_KEY, RANGE_KEY = "design", "must", "range"
FILLED_KINDS = ("device", "limit")
FREE_TEXTS = ("id", "name")
STAND_IN = 1  # for a device's number that is still asked for, so that nothing else is found wrong in its place

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_AMOUNT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

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
    must = given.get(MUST_KEY)
    if isinstance(must, list):
        given = {name: value for name, value in given.items() if name != MUST_KEY}
    numbers = _numbers(reader, given)
    _check_order(reader, must if isinstance(must, list) else [], given, numbers)
    filling = _Filling(reader, given, numbers)
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


def _check_order(reader: Reader, must: list[Any], given: Mapping[str, Any], numbers: Mapping[str, Number]) -> None:
    """Each of `must`: names and numbers with `<` between them. What is still asked for is left out."""
    where = (DESIGN_KEY, MUST_KEY)
    for rule in must:
        terms = [term.strip() for term in rule.split("<")] if isinstance(rule, str) else []
        unknown = [term for term in terms if term not in given and not _AMOUNT.fullmatch(term)]
        if len(terms) < 2 or unknown:
            what = "allowed: texts like “0 < least < most”"
            if unknown and len(terms) > 1:
                what = f"[design] has no {listing(unknown)}: take that out of `{MUST_KEY}`"
            reader.of_no_use(where, f"found {show(rule)}; {what}")
            continue
        for (low, less), (high, more) in pairwise(_known(terms, given, numbers)):
            if not less < more:
                name, found, other = (low, less, high) if low in numbers else (high, more, low)
                side = "below" if name == low else "above"
                wanted = f"{other} ({show(numbers[other])})" if other in numbers else other
                reader.of_no_use(
                    (DESIGN_KEY, name), f"found {show(found)}; must lie {side} {wanted}; look at both, and their signs"
                )


def _known(terms: list[str], given: Mapping[str, Any], numbers: Mapping[str, Number]) -> Iterator[tuple[str, Number]]:
    for term in terms:
        if term in numbers:
            yield term, numbers[term]
        elif term not in given:
            yield term, float(term)


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
            return dict(self._entries(where, value))
        if isinstance(value, list):
            return [self._filled(where, item) for item in value]
        match = FORMULA.fullmatch(value) if isinstance(value, str) else None
        if match is not None:
            return self._number(where, match)
        if isinstance(value, str) and value.startswith("$"):
            self._check_formula(where, value)
        return value

    def _check_formula(self, where: tuple[str, ...], text: str) -> None:
        """A text that is none; of a device it may be the beginning of a line ("$GPGGA"), of a limit its name."""
        hint = meant(text)
        if hint is not None or not (self._is_device or where[-1] in FREE_TEXTS):
            wanted = f"write “{hint}”" if hint else f"allowed: {SHAPES}"
            self._reader.problem(where, f"found {show(text)}; {wanted}")
            self._missing = True

    def _entries(self, where: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        for key, value in table.items():
            before, self._missing = self._missing, False
            filled = self._filled((*where, key), value)
            if not (key == RANGE_KEY and self._is_device and self._missing):
                yield key, filled
            self._missing = self._missing or before

    def _number(self, where: tuple[str, ...], match: re.Match[str]) -> object:
        for name in names_in(match):
            self.used.add(name)
            if name in self._numbers:
                continue
            if name not in self._given:
                near = did_you_mean(name, list(self._given))
                hint = f"did you mean “${near}”?" if near else f"there are: {listing(list(self._given))}"
                self._reader.problem(where, f"[design] has no `{name}`; {hint}")
            self._missing = True
        if not all(name in self._numbers for name in names_in(match)):
            return STAND_IN if self._is_device else match[0]
        if match["times"] is None and match["sign"] is None:
            return self._numbers[match["name"]]
        return computed(match, lambda name: Decimal(repr(self._numbers[name])))
