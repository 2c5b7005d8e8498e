"""Words for problems: a value as the file would write it, a type as a person would say it, the nearest known name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec.inspect

from edge.config.formula import SHAPES

SHOWN_VALUE_CHARS = 40  # a problem stays one line on a serial console
SHOWN_CHOICES = 12


def did_you_mean(word: str, choices: Collection[str]) -> str | None:
    """The one of `choices` that looks most like `word`, or None."""
    import difflib  # only for a mistake

    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return near[0] if near else None


def listing(choices: Iterable[str]) -> str:
    """`a, b, c`, shortened."""
    names = list(choices)
    more = f" and {len(names) - SHOWN_CHOICES} more" if len(names) > SHOWN_CHOICES else ""
    return ", ".join(names[:SHOWN_CHOICES]) + more if names else "none"


def show(value: object) -> str:
    """A value of the file as the file would write it, shortened."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = f"“{value}”"
    elif isinstance(value, dict):
        text = "a table"
    else:
        text = str(value)
    return text if len(text) <= SHOWN_VALUE_CHARS else text[: SHOWN_VALUE_CHARS - 1] + "…"


def explain(key: str, value: object, kind: Any, why: str) -> str:
    """What was found in a key and what is allowed instead."""
    if isinstance(value, dict) and _is_list_of_tables(kind):
        inner = [name for name, under in value.items() if isinstance(under, list)]
        if inner and inner == list(value):
            return misplaced(key, inner[0])
        return "found one table [...]; write it with double brackets, [[...]], once for each"
    info = msgspec.inspect.type_info(kind)
    if isinstance(value, str) and (number := _number(info)):
        said = description(info)
        if value.startswith("$"):
            return f"found {show(value)}, which is no formula; allowed: {SHAPES}; or {number}, without quotes"
        return f"found {show(value)}; allowed: {number}, without quotes{f' ({said})' if said else ''}"
    is_text = isinstance(value, str) and _takes_text(info) and not _is_choice(info) and not _is_too_long(value, info)
    allowed = description(info) if is_text else ""  # a text, but not one of those: why, not what
    allowed = allowed or describe(info)
    return f"found {show(value)}; allowed: {allowed}" if allowed else f"found {show(value)}: {why}"


def misplaced(table: str, inner: str) -> str:
    """A table of a table that comes before the one it belongs to."""
    return f"[[{table}.{inner}]] must stand after its [[{table}]]"


def about(kind: Any) -> str:
    """What belongs into a key: its description, or its type in words."""
    info = msgspec.inspect.type_info(kind)
    return description(info) or describe(info) or "see the example site file"


def description(info: msgspec.inspect.Type) -> str:
    """What a key's Meta says of it, or `""`."""
    found = ""
    while isinstance(info, msgspec.inspect.Metadata) and not found:
        found = str((info.extra_json_schema or {}).get("description", ""))
        info = info.type
    return found


def _number(info: msgspec.inspect.Type) -> str:
    """The number a key wants, in words; "" when a text or anything else may stand there."""
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    if isinstance(info, msgspec.inspect.UnionType):
        words = [_number(kind) for kind in info.types if not isinstance(kind, msgspec.inspect.NoneType)]
        return words[0] if len(words) == 1 else ""
    return describe(info) if isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType) else ""


def _is_choice(info: msgspec.inspect.Type) -> bool:
    """Whether one of some words must stand in a key: those are to be named."""
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    if isinstance(info, msgspec.inspect.UnionType):
        return any(_is_choice(kind) for kind in info.types)
    return isinstance(info, msgspec.inspect.LiteralType)


def _takes_text(info: msgspec.inspect.Type) -> bool:
    """Whether a text may stand in a key at all; otherwise its type is to be named."""
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    if isinstance(info, msgspec.inspect.UnionType):
        return any(_takes_text(kind) for kind in info.types)
    return isinstance(info, msgspec.inspect.StrType | msgspec.inspect.CustomType)


def _is_too_long(text: str, info: msgspec.inspect.Type) -> bool:
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    return isinstance(info, msgspec.inspect.StrType) and len(text) > (info.max_length or len(text))


def _is_list_of_tables(kind: Any) -> bool:
    info = msgspec.inspect.type_info(kind)
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    return isinstance(info, msgspec.inspect.ListType) and isinstance(info.item_type, msgspec.inspect.DictType)


def describe(info: msgspec.inspect.Type) -> str:
    """A type in words, `""` when there are no better words than msgspec's own."""
    if isinstance(info, msgspec.inspect.Metadata):
        said, words = description(info), describe(info.type)
        return f"{words} ({said})" if words and said else words or said
    if isinstance(info, msgspec.inspect.IntType):
        return "a whole number" + _bounds(info.ge, info.le, info.gt, info.lt)
    if isinstance(info, msgspec.inspect.FloatType):
        return "a number" + _bounds(info.ge, info.le, info.gt, info.lt)
    if isinstance(info, msgspec.inspect.LiteralType):
        return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in info.values)
    if isinstance(info, msgspec.inspect.UnionType):
        parts = [describe(kind) for kind in info.types if not isinstance(kind, msgspec.inspect.NoneType)]
        return " or ".join(parts) if all(parts) else ""
    if isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        item = describe(info.item_type)
        return f"a list [ ... ], each {item}" if item else "a list [ ... ]"
    if isinstance(info, msgspec.inspect.StrType):
        longest = f" of at most {info.max_length} characters" if info.max_length else ""
        return f'a text in "quotes"{longest}'
    return _PLAIN_WORDS.get(type(info).__name__, "")


_PLAIN_WORDS = {
    "DecimalType": "a number",
    "BoolType": "true or false",
    "DictType": "a table { key = value }",
    "CustomType": 'a path in "quotes"',
}


def _bounds(ge: float | None, le: float | None, gt: float | None, lt: float | None) -> str:
    if ge is not None and le is not None:
        return f" from {ge} to {le}"
    words = [
        f"{word} {bound}"
        for word, bound in (("at least", ge), ("at most", le), ("above", gt), ("below", lt))
        if bound is not None
    ]
    return " " + " and ".join(words) if words else ""
