"""The smallest story that still fails: delta debugging (ddmin; Zeller and Hildebrandt, 2002) over a story's troubles.

First whole parts of the list are left out, halves, then ever smaller ones down to single troubles; then what is left is
made shorter, and the end brought nearer. The calm after the last trouble stays as long as it was: a story that ends in
the middle of a drain would fail for another reason. Pure: `fails` plays a story, and nothing is played twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from sim.world.nouns import Story, Trouble

LEAST_S = 1.0  # a trouble is not made shorter than this
HALVINGS = 3  # of the way to a nearer end


def shrink(
    story: Story,
    fails: Callable[[Story], bool],
    most_tries: int,
    say: Callable[[str], None] = lambda _text: None,
) -> Story:
    """The smallest found of `story`, which fails itself. `fails`: whether a story still shows the same failure; it is
    asked `most_tries` times at most. `say`: progress, one line after each success."""
    tries = _Tries(story, fails, most_tries, say)
    tries.fewer()
    tries.shorter()
    tries.sooner()
    return tries.best


class _Tries:
    """`best`: the smallest failing story so far."""

    def __init__(
        self, story: Story, fails: Callable[[Story], bool], most_tries: int, say: Callable[[str], None]
    ) -> None:
        self.best = story
        self._fails = fails
        self._left = most_tries
        self._say = say
        self._made = 0
        self._known: set[tuple[tuple[Trouble, ...], float]] = {(story.troubles, story.lasts_s)}
        self._calm_s = story.lasts_s - max((trouble.end_s for trouble in story.troubles), default=0.0)

    def fewer(self) -> None:
        """ddmin: leaves out ever smaller parts while the failure stays."""
        parts = 2
        while self.best.troubles and self._left:
            count = len(self.best.troubles)
            parts = min(parts, count)
            if self._without_a_part(parts):
                parts = max(parts - 1, 2)
            elif parts < count:
                parts = min(2 * parts, count)
            else:
                return

    def shorter(self) -> None:
        """Each trouble half as long, while the failure stays."""
        for place in range(len(self.best.troubles)):
            while self.best.troubles[place].for_s > LEAST_S:
                trouble = self.best.troubles[place]
                half = replace(trouble, for_s=max(LEAST_S, round(trouble.for_s / 2, 1)))
                if not self._try(self._with(_put(self.best.troubles, place, half))):
                    break

    def sooner(self) -> None:
        """The end as near as it can be, or part of the way."""
        last_s = max((trouble.end_s for trouble in self.best.troubles), default=0.0)
        nearest_s = min(self.best.lasts_s, last_s + self._calm_s)
        for _ in range(HALVINGS):
            if nearest_s >= self.best.lasts_s or self._try(replace(self.best, lasts_s=nearest_s)):
                return
            nearest_s = round((nearest_s + self.best.lasts_s) / 2, 1)

    def _without_a_part(self, parts: int) -> bool:
        troubles = self.best.troubles
        edges = [len(troubles) * number // parts for number in range(parts + 1)]
        return any(self._try(self._with(troubles[:start] + troubles[end:])) for start, end in pairwise(edges))

    def _with(self, troubles: Sequence[Trouble]) -> Story:
        return replace(self.best, troubles=tuple(troubles))

    def _try(self, smaller: Story) -> bool:
        key = (smaller.troubles, smaller.lasts_s)
        if key in self._known or not self._left:
            return False
        self._known.add(key)
        self._left -= 1
        self._made += 1
        if not self._fails(smaller):
            return False
        self.best = smaller
        self._say(f"try {self._made}: {len(smaller.troubles)} troubles, {smaller.lasts_s:.0f} s")
        return True


def _put(troubles: Sequence[Trouble], place: int, trouble: Trouble) -> tuple[Trouble, ...]:
    return (*troubles[:place], trouble, *troubles[place + 1 :])
