"""`"$name * 1.1"`, `"$height - $reach"`, `"$least + 0.5"`: a number made of one or two that have names. Pure.

The same in a sensor template (its `[[key]]`s) and in a site file (its `[design]`). Blanks stand around each sign:
without them it is no formula, and `meant` says how to write it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal

_NAME = r"[a-z][a-z0-9_]{0,39}"
_AMOUNT = r"[0-9]+(?:\.[0-9]+)?"
FORMULA = re.compile(
    rf"\$(?P<name>{_NAME})(?: \* (?P<times>-?{_AMOUNT}))?"
    rf"(?: (?P<sign>[+-]) (?:\$(?P<other>{_NAME})|(?P<more>{_AMOUNT})))?"
)
SHAPES = "“$x”, “$x * 2”, “$x - $y”, “$x * 2 + 5”, with a blank on both sides of a sign, and numbers like 0.001"


def names_in(match: re.Match[str]) -> Iterator[str]:
    """The names it is made of."""
    yield match["name"]
    if match["other"]:
        yield match["other"]


def computed(match: re.Match[str], number_of: Callable[[str], Decimal]) -> float:
    """Its number; `number_of` gives that of a name."""
    number = number_of(match["name"]) * Decimal(match["times"] or 1)
    if match["sign"]:
        more = number_of(match["other"]) if match["other"] else Decimal(match["more"])
        number += more if match["sign"] == "+" else -more
    return float(number)


def meant(text: str) -> str | None:
    """How a text that is nearly one was meant: `$x*2` -> `$x * 2`; None where it is one, or nothing like it."""
    spaced = re.sub(r" *([*+-]) *", r" \1 ", text.strip())
    spaced = re.sub(r"\*  - ", "* -", spaced)
    return spaced if spaced != text and FORMULA.fullmatch(spaced) else None
