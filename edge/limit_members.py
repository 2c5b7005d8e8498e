"""Limits that judge other limits: votes, and several of one level that make the next. Pure.

Votes: `2` of three: a level stands when two members stand there or higher; `1` is any, as many as there are is all.

Roll-up: a level stands when one member stands there, or so many stand at a lower one, or higher: a member that gets
worse never lowers the whole. Members that are blue count up once more, as GB 51108-2015, 8.3 has it for the items of a
tailings pond: where four blue ones make a yellow one, each four of them count as one more yellow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from edge.contract import Basis, Input, Level, Of
from edge.limit_nouns import Limit

MOST_INPUTS = 6  # members told in an alarm, the worst first: it is to fit a short message
ASCENDING = tuple(level for level in Level if level is not Level.NONE)

Verdict = tuple[Level, int, int]  # level, how many stand, how many are needed


def verdict(limit: Limit, levels: Sequence[Level]) -> Verdict:
    """What the members' levels make. With Level.NONE: how many would be needed for the lowest level."""
    return _rolled(limit, levels) if limit.rollup else _voted(limit.votes, levels)


def _voted(votes: int, levels: Sequence[Level]) -> Verdict:
    for level in reversed(ASCENDING):
        count = sum(member >= level for member in levels)
        if count >= votes:
            return level, count, votes
    return Level.NONE, sum(member > Level.NONE for member in levels), votes


def _rolled(limit: Limit, levels: Sequence[Level]) -> Verdict:
    worst = max(levels, default=Level.NONE)
    best: Verdict = (worst, sum(member >= worst for member in levels) if worst else 0, 1)
    blues = next((count for level, count, of in limit.rollup if (level, of) == (Level.YELLOW, Level.BLUE)), 0)
    for level, needed, of in limit.rollup:
        count = sum(member >= of for member in levels)
        if of is Level.YELLOW and blues:
            count += sum(member is Level.BLUE for member in levels) // blues
        if count >= needed and level > best[0]:
            best = level, count, needed
    return best


def members_basis(limit: Limit, levels: Mapping[str, Level]) -> Basis:
    """Who stands, the worst first."""
    standing = sorted((member for member in limit.members if levels[member]), key=lambda member: -levels[member])
    inputs = tuple(Input(member, int(levels[member])) for member in standing[:MOST_INPUTS])
    return Basis(Of.MEMBERS, 0, "", Decimal(1), inputs)


def in_order(limits: Iterable[Limit]) -> list[Limit]:
    """The combined ones, each after those of its members that are combined themselves. Of limits that go round in a
    ring, none."""
    waiting = {limit.id: limit for limit in limits if limit.members}
    ordered: list[Limit] = []
    while waiting:
        ready = [limit for limit in waiting.values() if not any(member in waiting for member in limit.members)]
        if not ready:
            break
        for limit in ready:
            ordered.append(limit)
            del waiting[limit.id]
    return ordered
