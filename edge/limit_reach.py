"""What limits can come to, by what is written of them: levels, members down to the last, red that switches nothing.

Pure. Everything goes along the members once, never down each path: where limits share members the paths are too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from edge.contract import Level, Rule
from edge.limit_members import ASCENDING, in_order, verdict
from edge.limit_nouns import Limit

Reach = Mapping[str, frozenset[Level]]


def reach(limits: Sequence[Limit]) -> Reach:
    """Limit -> the levels at which it can stand. Members are taken to move each by itself."""
    found: dict[str, frozenset[Level]] = {
        limit.id: frozenset(level for part in limit.parts for level, _ in part.thresholds)
        for limit in limits
        if not limit.members
    }
    for limit in in_order(limits):
        found[limit.id] = _made(limit, [found.get(member, frozenset()) for member in limit.members])
    return found


def _made(limit: Limit, members: Sequence[frozenset[Level]]) -> frozenset[Level]:
    def at_least(level: Level) -> int:
        return sum(max(levels, default=Level.NONE) >= level for levels in members)

    single = frozenset().union(*members)
    if not limit.rollup:
        return frozenset(level for level in single if at_least(level) >= limit.votes)
    made = set(single)
    worst = [max(levels, default=Level.NONE) for levels in members]
    for level, _, of in limit.rollup:  # all that can stand there do
        stands = [of if it >= of else Level.BLUE if it is Level.BLUE else Level.NONE for it in worst]
        if verdict(limit, stands)[0] >= level:
            made.add(level)
    return frozenset(made)


def leaves_of(limits: Iterable[Limit], asked: Iterable[str]) -> dict[str, set[str]]:
    """Limit of `asked` -> those that it comes down to: of a combined one its members', of another itself."""
    members = {limit.id: limit.members for limit in limits}
    found = {}
    for limit in asked:
        seen, waiting = {limit}, [limit]
        while waiting:
            fresh = set(members[waiting.pop()]) - seen
            seen |= fresh
            waiting += fresh
        found[limit] = {it for it in seen if not members[it]}
    return found


def red_alone(limits: Sequence[Limit], switches: Callable[[str, Level], bool]) -> list[str]:
    """Limits that can stand at red, and switch nothing when nothing else stands: neither by themselves nor by what
    they make of those that they are members of. `switches`: whether a limit does, at a level."""
    follows, reached = _alone(limits, switches), reach(limits)
    return [limit.id for limit in limits if Level.RED in reached[limit.id] and Level.RED not in follows[limit.id]]


def unheard(limits: Sequence[Limit], asked: Iterable[str], switches: Callable[[str, Level], bool]) -> list[str]:
    """Points that limits of `asked`, or those they come down to, judge by what they show, while the silence of the
    point switches nothing by itself. `switches`: whether a limit does, at a level."""
    follows = _alone(limits, switches)
    heard = {
        limit.point
        for limit in limits
        if limit.rule is Rule.STALE and any(level in follows[limit.id] for level, _ in limit.thresholds)
    }
    leaves = set().union(*leaves_of(limits, asked).values())
    judged = [limit for limit in limits if limit.id in leaves and limit.rule not in (Rule.STALE, Rule.SUSPECT)]
    others = [part.spec.other for limit in judged for part in limit.parts if part.spec and part.spec.other]
    return [point for point in dict.fromkeys([*(limit.point for limit in judged), *others]) if point not in heard]


def _alone(limits: Sequence[Limit], switches: Callable[[str, Level], bool]) -> dict[str, set[Level]]:
    """Limit -> the levels at which it switches something when nothing else stands."""
    follows: dict[str, set[Level]] = {it.id: {at for at in ASCENDING if switches(it.id, at)} for it in limits}
    for limit in reversed(in_order(limits)):
        others = [Level.NONE] * (len(limit.members) - 1)
        for level in ASCENDING:
            if verdict(limit, [level, *others])[0] in follows[limit.id]:
                for member in limit.members:
                    follows[member].add(level)
    return follows
