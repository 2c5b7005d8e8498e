"""Where limits stood before this life, as far as anybody knows: over an edited site file, of a new box. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from edge.contract import Level
from edge.entries import Standing
from edge.limit_nouns import Limit
from edge.limit_past import Kept
from edge.limit_state import parsed, renamed
from edge.limits import UNSURE, Limits


def stood(limits: Limits | None, standings: Iterable[Standing]) -> dict[str, tuple[Level, int | None]]:
    """For `Limits.restore`: where limits stood in the store; none where it knows of no alarm of one of `limits`."""
    known = {standing.id: standing.stands for standing in standings}
    return dict.fromkeys(limits.judged if limits else (), (Level.NONE, None)) | known


def forgotten(limits: Limits, unknown: Iterable[str] | None, told: Iterable[str]) -> set[str]:
    """For `Limits.forget`: of what a store and its file say is `unknown` all but what has been told since the start;
    of a lost one (None) all but what anybody has `told` of."""
    if unknown is None:
        return limits.judged.keys() - set(told)
    return {limit for limit in unknown if limit not in limits.judged or not limits.judged[limit].has_told}


def is_nobodys(standings: Iterable[Standing], limits: Limits) -> bool:
    """Whether one stood that is in the site file no more."""
    return any(one.id not in limits.judged for one in _standing(standings))


def dead_bands(limits: Limits, told: Collection[str]) -> frozenset[str]:
    """For `Limits.forget`: limits on values alone of which no alarm is known (`told` are the others): nobody knows on
    which side of a dead band they begin. Of windows the number is of what has been seen since."""
    untold = [state for limit_id, state in limits.judged.items() if limit_id not in told and state.parts]
    return frozenset(UNSURE + it.limit.id for it in untold if not any(part.memory_s for part in it.parts))


def under_other_names(
    limits: Limits, kept: Kept, standings: Sequence[Standing], told: Collection[str]
) -> list[Standing]:
    """Of limits that have got another name since they were `kept`: they stand as they did under the old one, as far as
    what that told last lets a level stand by what is written now. A new limit at other numbers does not."""
    stands, found = {one.id: one for one in _standing(standings)}, []
    for limit_id, old in renamed(limits, parsed(kept.state)[0]).items():
        if old in stands and limit_id not in told:
            one, state = stands[old], limits.judged[limit_id]
            level, value = one.stands
            value = value if one.scale in ("", _scale(state.limit)) else None
            found.append(replace(one, id=limit_id, level=state.stays(level, value), true=None, value=value))
    return found


def _standing(standings: Iterable[Standing]) -> list[Standing]:
    return [one for one in standings if one.stands[0] is not Level.NONE]


def _scale(limit: Limit) -> str:
    """What its numbers count, as a standing has it."""
    if limit.spec is None:
        return dict(limit.counts).get(limit.point, "")
    return f"{limit.spec.step.normalize()} {limit.spec.unit}"
