"""Turns tables of a site file into structs field by field, so that every mistake is found, not only the first.

A problem is one sentence: where (the key's path), what was found, what is allowed. Knows msgspec and no meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from edge.config.units import DURATIONS, duration_ms, show_bytes, show_ms, size_bytes
from edge.config.words import about, did_you_mean, explain, listing, show

Where = tuple[str, ...]
Table = dict[str, Any]
T = TypeVar("T", bound=Struct)

HINTED_PROBLEMS = 50  # looking for what was meant among 2000 ids takes 3 ms each, on a Pi 15


def label(kind: str, index: int, table: Mapping[str, Any]) -> str:
    """`device[2] "piezo-1"`: counted from 0, with the id where there is one."""
    given = table.get("id")
    return f'{kind}[{index}] "{given}"' if isinstance(given, str) else f"{kind}[{index}]"


class Reader:
    """Collects problems while tables are turned into structs. `folder`: what relative paths are relative to.

    `problems`: what can not be built. `useless`: what can, and is of no use or surely not meant.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.useless: list[str] = []

    def problem(self, where: Where, message: str) -> None:
        """Notes one mistake, on one line and without what would steer a terminal, whatever the file holds."""
        self.problems.append(_sentence(where, message))

    def of_no_use(self, where: Where, message: str) -> None:
        """Notes a mistake that keeps nothing from being built: a site that runs with it runs on."""
        self.useless.append(_sentence(where, message))

    def struct(self, where: Where, table: Table, kind: type[T], missing_ok: Collection[str] = ()) -> T | None:
        """`kind` made of its own keys in `table`; None when one of them is wrong. Other keys are not looked at.

        A required key in `missing_ok` is not complained about (an unknown key that means it already was).
        """
        before = len(self.problems)
        values: Table = {}
        complete = True
        for field in _fields(kind):
            if field.encode_name in table:
                self._field((*where, field.encode_name), field, table[field.encode_name], values)
            elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
                complete = False
                if field.encode_name not in missing_ok:
                    self.problem(where, f"the key `{field.encode_name}` is missing: {about(field.type)}")
        if not complete or len(self.problems) > before:
            return None
        try:
            return kind(**values)
        except (ValueError, TypeError) as error:  # the struct's own __post_init__
            self.problem(where, str(error))
            return None

    def _field(self, where: Where, field: FieldInfo, value: object, values: Table) -> None:
        if not _finite(value):
            self.problem(where, f"found {show(value)}; a number must be finite")
            return
        try:
            if isinstance(value, str) and "\0" in value:
                self.problem(where, f"{value!r} holds a NUL character")
                return
            values[field.name] = msgspec.convert(value, field.type, dec_hook=self._path)
        except msgspec.ValidationError as error:
            self.problem(where, explain(field.encode_name, value, field.type, str(error)))
        except TypeError as error:
            self.problem(where, f"the driver itself declares this key wrongly, tell its author: {error}")

    def _path(self, kind: type[Any], value: object) -> object:
        if kind is Path and isinstance(value, str):
            return self.folder / value
        raise ValueError(f"a site file can not hold this as a {kind.__name__}")

    def unknown_keys(self, where: Where, table: Table, kinds: Sequence[type[Struct]]) -> set[str]:
        """Complains of every key of `table` that none of `kinds` has. Returns the keys that were probably meant."""
        allowed = [field.encode_name for kind in kinds for field in _fields(kind)]
        meant = set()
        for key in table:
            if key in allowed:
                continue
            near = did_you_mean(key, [name for name in allowed if name not in table])
            if near:
                meant.add(near)
                self.problem((*where, key), f"no such key; did you mean `{near}`?")
            else:
                self.problem((*where, key), f"no such key; allowed here: {listing(allowed)}")
        return meant

    def reference(self, where: Where, kind: str, given: str, known: Collection[str]) -> bool:
        """Whether `given` is one of the `known` ids of a `kind`; complains when not."""
        if given in known:
            return True
        near = did_you_mean(given, known) if len(self.problems) < HINTED_PROBLEMS else None
        hint = f"did you mean “{near}”?" if near else f"there are: {listing(known)}"
        self.problem(where, f"there is no {kind} “{given}”; {hint}")
        return False

    def duration_ms(self, where: Where, text: object, least_ms: int, most_ms: int) -> int | None:
        """Whole milliseconds within bounds, or None after a problem was noted."""
        if not isinstance(text, str):
            self.problem(where, f"found {show(text)}; a duration has quotes and a unit: {DURATIONS}")
            return None
        return self._amount(where, text, duration_ms, least_ms, most_ms, show_ms)

    def size_bytes(self, where: Where, text: str, least_bytes: int, most_bytes: int) -> int | None:
        """Whole bytes within bounds, or None after a problem was noted."""
        return self._amount(where, text, size_bytes, least_bytes, most_bytes, show_bytes)

    def _amount(
        self, where: Where, text: str, parse: Callable[[str], int], least: int, most: int, write: Callable[[int], str]
    ) -> int | None:
        try:
            amount = parse(text)
        except ValueError as error:
            self.problem(where, str(error))
            return None
        if least <= amount <= most:
            return amount
        self.problem(where, f"found “{text}”; allowed: {write(least)} to {write(most)}")
        return None


def _sentence(where: Where, message: str) -> str:
    sentence = f"{' → '.join(where)}: {message}" if where else message
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in sentence)


@cache
def _fields(kind: type[Struct]) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(kind)  # 50 us each time, and a site has thousands of tables


def _finite(value: object) -> bool:
    """Whether a value or a list of values is free of inf and nan (tables are looked at key by key, in their turn)."""
    items = value if isinstance(value, list) else [value]
    return all(math.isfinite(item) for item in items if isinstance(item, float))
