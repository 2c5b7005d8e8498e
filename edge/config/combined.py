"""Limits about other limits: any, all, votes, rollup. From ids to members, and all that can be wrong with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edge.config.reader import Reader, Where
from edge.config.site import Limit
from edge.config.tables import LimitTable
from edge.config.thresholds import LEVELS
from edge.contract import Level, Rule
from edge.limit_nouns import Limit as Judged

KINDS = ("any", "all", "votes", "rollup")
OWN = (*KINDS, "among", "id", "name")
COUNTED = re.compile(r"([1-9][0-9]{0,2}) (blue|yellow|orange|red)")

Rollup = tuple[tuple[Level, int, Level], ...]


def is_combined(table: LimitTable) -> bool:
    return any(getattr(table, kind) is not None for kind in (*KINDS, "among"))


def members_of(table: LimitTable) -> Sequence[str]:
    return table.any or table.all or table.among or ()


def read_combined(reader: Reader, where: Where, table: LimitTable, made: Mapping[str, Limit]) -> Limit | None:
    """The limit, or None after problems were noted. `made`: limits that are right, its members among them."""
    before = len(reader.problems)
    given = [kind for kind in KINDS if getattr(table, kind) is not None]
    if len(given) != 1:
        names = ", ".join(f"`{kind}`" for kind in given) or "none"
        reader.problem(where, f"exactly one of `any`, `all`, `votes`, `rollup` is allowed; found {names}")
        return None
    for field, default in _defaults().items():
        if field not in OWN and getattr(table, field) != default:
            reader.problem((*where, field), "has no meaning for a limit about other limits; leave it out")
    if (table.among is None) == (given[0] in ("votes", "rollup")):
        wrong = "names the limits; it is missing" if table.among is None else "belongs to `votes` and `rollup`"
        reader.problem(where, f"`among` {wrong}")
    members = tuple(dict.fromkeys(members_of(table)))
    if len(members) != len(members_of(table)):
        reader.problem(where, "a limit is named twice among its members")
    votes = {"any": 1, "all": len(members), "votes": table.votes or 1}.get(given[0], 1)
    if votes > len(members):
        reader.problem((*where, "votes"), f"found {votes}, but only {len(members)} limits may vote")
    rollup = _rollup(reader, (*where, "rollup"), table.rollup or {}, len(members))
    if len(reader.problems) > before or any(member not in made for member in members):
        return None
    first = made[members[0]]
    judged = Judged(table.id, first.point, Rule.COMBINED, (), members=members, votes=votes, rollup=rollup)
    return Limit(table.id, table.name, first.point, Rule.COMBINED, (), 0, 0.0, 0.0, judged, first.scale)


def _defaults() -> dict[str, object]:
    empty = LimitTable(id="-")
    return {field: getattr(empty, field) for field in empty.__struct_fields__}


def _rollup(reader: Reader, where: Where, given: Mapping[str, str], members: int) -> Rollup:
    found: list[tuple[Level, int, Level]] = []
    for key, text in given.items():
        match = COUNTED.fullmatch(text)
        if key not in LEVELS or match is None or LEVELS[match[2]] >= LEVELS[key]:
            reader.problem((*where, key), f"found “{text}”; allowed: a level made of a lower one: yellow = “4 blue”")
            continue
        found.append((LEVELS[key], int(match[1]), LEVELS[match[2]]))
    if found and all(count > members for _, count, _ in found):  # some may be: the table of a standard is for all sites
        reader.problem(where, f"`among` names only {members}: none of these counts can ever be reached")
    return tuple(sorted(found))
