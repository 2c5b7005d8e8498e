"""Which regular expressions from a site file may run: none that some noise on the wire could make run for minutes.

Python's matcher tries every way to divide a text between repeats, and while it does nothing else runs, no alarm either.
So a varying repeat within a varying repeat is refused (exponential), and more than two of "." (a power of the line's
length). Reads the parser's own tree, which Python does not promise to keep: only used when a site file is checked.
"""

from __future__ import annotations

import re
import re._constants as kinds  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterable, Iterator
from typing import Any

MANY = 64  # a repeat that may go on so long counts as endless: lines are cut at 512
MAX_WILD_REPEATS = 2  # of ".": each multiplies the work by the length of the line, two are some ms at 512


def pattern_problems(pattern: str) -> list[str]:
    """Sentences on why a pattern must not be used; none if it may."""
    try:
        re.compile(pattern, re.ASCII)
        tree = parser.parse(pattern, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        return [f"not a regular expression: {error}"]
    problems = []
    if _nested(tree, inside=False):
        problems.append("a repeat within a repeat, as in (a+)*, can take minutes on noise: write it without")
    wild = sum(1 for low, high, item in _repeats(tree) if low != high and high > MANY and _has_any(item))
    if wild > MAX_WILD_REPEATS:
        problems.append(
            f'"." repeated {wild} times, at most {MAX_WILD_REPEATS} are quick: write [^,]* for .* between commas'
        )
    return problems


def _is_repeat(operator: Any) -> bool:
    return operator in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT)


def _repeats(tree: Iterable[Any]) -> Iterator[tuple[int, int, Any]]:
    """All repeats anywhere in a parsed pattern: at least, at most, what."""
    for operator, argument in tree:
        if _is_repeat(operator):
            yield argument
        for part in _parts(argument):
            yield from _repeats(part)


def _nested(tree: Iterable[Any], *, inside: bool) -> bool:
    """Whether a repeat that may vary, and go past one, stands inside another."""
    for operator, argument in tree:
        varies = _is_repeat(operator) and argument[0] != argument[1] and argument[1] > 1
        if varies and inside:
            return True
        if any(_nested(part, inside=inside or varies) for part in _parts(argument)):
            return True
    return False


def _has_any(tree: Iterable[Any]) -> bool:
    return any(operator is kinds.ANY or any(_has_any(part) for part in _parts(argument)) for operator, argument in tree)


def _parts(argument: Any) -> Iterator[Any]:
    """The parsed patterns inside an operator's argument."""
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, tuple | list):
        for part in argument:
            yield from _parts(part)
