r"""A line that a regular expression matches, with numbers in its named groups: the inverse of a site file's `pattern`.

    PatternLine(r"Q=\s*(?P<flow>[0-9.]+) l/s", ["flow"]).text({"flow": "12.34"}) == "Q=12.34 l/s"

The pattern is walked once: what it says literally is printed, of a class one character, of a repeat as few as it
allows, of a choice the first way. How a group wants its number (decimals, leading zeros, a sign) is found by trying.
Reads the parser's own tree, which Python does not promise to keep; only used in simulations.
"""

from __future__ import annotations

import re
import re._compiler as compiler  # type: ignore[import-not-found]
import re._constants as kinds  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

FILLERS = "0ax ,-_.:Z\t"  # what stands where a pattern takes many characters


class Form(NamedTuple):
    """How a number is printed: `decimals` None: as many as it has; zeros in front up to `width`; a plus sign."""

    decimals: int | None = None
    width: int = 0
    plus: bool = False

    def show(self, whole: int, decimals: int) -> str:
        """`whole` / 10 ** `decimals` in this form; digits that do not fit are rounded."""
        if self.decimals is not None and self.decimals != decimals:
            away = decimals - self.decimals
            whole = whole * 10**-away if away < 0 else (whole + 10**away // 2) // 10**away
            decimals = self.decimals
        digits = f"{abs(whole):0{decimals + 1}d}"
        text = digits if decimals == 0 else f"{digits[:-decimals]}.{digits[-decimals:]}"
        return ("-" if whole < 0 else "+" if self.plus else "") + text.zfill(self.width)


# Tried in this order: as the value is, then with other decimals, then as fixed-width printers do.
FORMS = tuple(
    Form(decimals, width, plus)
    for width in (0, *range(2, 11))
    for plus in (False, True)
    for decimals in (None, *range(7))
)


class PatternLine:
    """Raises ValueError when no line can be made that the pattern matches."""

    def __init__(self, pattern: str, groups: Iterable[str]) -> None:
        self._whole = re.compile(pattern, re.ASCII)
        tree = parser.parse(pattern, re.ASCII)
        self._numbers = {self._whole.groupindex[name]: name for name in groups}
        self._subs: dict[str, Any] = {}
        self._pieces = list(self._walk(tree))

    def fits(self, group: str, text: str) -> bool:
        """Whether a group takes this text."""
        sub = self._subs.get(group)
        return sub is not None and sub.fullmatch(text) is not None

    def text(self, numbers: dict[str, str]) -> str | None:
        """The line with these texts in its groups; None: the pattern does not match it, or takes it otherwise."""
        said: dict[int, str] = {}
        line = ""
        for piece in self._pieces:
            if isinstance(piece, str):
                line += piece
            elif piece in self._numbers:
                said[piece] = numbers[self._numbers[piece]]
                line += said[piece]
            else:
                line += said.get(piece, "")
        match = self._whole.fullmatch(line.strip())
        if match is None or any(match[name] != text for name, text in numbers.items()):
            return None
        return line

    def _walk(self, tree: Iterable[Any]) -> Iterator[str | int]:
        """Pieces of a line: text, or the number of a group."""
        for operator, argument in tree:
            if operator is kinds.SUBPATTERN and argument[0] in self._numbers:
                self._subs[self._numbers[argument[0]]] = compiler.compile(argument[3], re.ASCII)
                yield argument[0]
            elif operator is kinds.SUBPATTERN:
                yield from self._walk(argument[3])
            elif operator in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
                low, _, item = argument
                yield from [*self._walk(item)] * (low or int(self._holds_number(item)))
            elif operator is kinds.BRANCH:
                ways: Sequence[Any] = argument[1]
                yield from self._walk(next((way for way in ways if self._holds_number(way)), ways[0]))
            elif operator is kinds.ATOMIC_GROUP:
                yield from self._walk(argument)
            elif operator is kinds.GROUPREF:
                yield argument
            else:
                yield _character(operator, argument)

    def _holds_number(self, tree: Iterable[Any]) -> bool:
        return any(isinstance(piece, int) for piece in self._walk(tree))


def _character(operator: Any, argument: Any) -> str:
    """What stands for one part of a pattern that is one character, or nothing (the end, what only looks ahead)."""
    if operator is kinds.LITERAL:
        return chr(argument)
    if operator not in (kinds.IN, kinds.ANY, kinds.NOT_LITERAL):
        return ""
    tree = parser.SubPattern(parser.State(), [(operator, argument)])
    one = compiler.compile(tree, re.ASCII)
    printable = FILLERS + "".join(chr(code) for code in range(32, 127))
    return next((character for character in printable if one.fullmatch(character)), "")
