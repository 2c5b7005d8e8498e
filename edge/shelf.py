"""Alarms that a technician has acknowledged, or put aside for a while: by name, with a reason, for a stated time.

Acknowledged: somebody has seen it. It is recorded and shown until the level rises or is over; nothing is held back.

Put aside: a limit that flaps raises no more alarms while its time runs, up to the level it stood at. What is worse than
that level goes out at once and ends it; so does the time, with an alarm if the limit then stands elsewhere than was
told last; and a fall is always told. Red is put aside for RED_MOST_S at most, other levels for MOST_S, and neither
before what was held back has been told: putting aside once more is refused while the limit stands above what was told
last, and for red until the time is over. So nothing that stands is kept from anybody for longer than those. Judging
itself goes on, and limits about this limit see its true level. A restart forgets all of it, which errs on the loud
side. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.contract import Alarm, Level
from edge.errors import FengsuiError

LEAST_S = 60.0
MOST_S = 12 * 3600.0  # a shift; the next one is to decide anew
RED_MOST_S = 1800.0  # nobody may silence what calls for an evacuation for longer than a check of the instrument takes
TIME_OVER, WORSE, TAKEN_BACK = "its time is over", "a worse alarm came", "it was taken back"


@dataclass(slots=True)
class Aside:
    """A limit put aside. `level`: up to which; `told`: where the last alarm said that it stands."""

    level: Level
    told: Level
    until_s: float
    by: str
    reason: str
    end: str = TIME_OVER


class Shelf:
    """What is put aside, and what is acknowledged."""

    def __init__(self) -> None:
        self._asides: dict[str, Aside] = {}
        self._ended: list[tuple[str, str]] = []
        self._seen: dict[str, tuple[Level, str, str]] = {}  # limit -> level, by, reason

    def put(self, limit: str, level: Level, for_s: float, by: str, reason: str, now_s: float) -> None:
        """Puts a limit aside that stands at `level`. Raises FengsuiError with what is wrong."""
        _stands(limit, level)
        most_s = RED_MOST_S if level is Level.RED else MOST_S
        if not LEAST_S <= for_s <= most_s:
            colour, allowed = level.name.lower(), f"{LEAST_S:g} s to {most_s:g} s"
            raise FengsuiError(f"{limit} is {colour}: it may be put aside for {allowed}, not for {for_s:g} s")
        before = self._asides.get(limit)
        if before is not None and (level is Level.RED or level is not before.told):
            raise FengsuiError(
                f"{limit} is put aside already, and {level.name.lower()} has to be told before it is put aside again: "
                f"wait for the end of its time, or fengsui unshelve {limit}"
            )
        self._asides[limit] = Aside(level, level, now_s + for_s, by, reason)

    def see(self, limit: str, level: Level, by: str, reason: str) -> None:
        """Acknowledges a limit that stands at `level`. Raises FengsuiError."""
        _stands(limit, level)
        self._seen[limit] = level, by, reason

    def passes(self, alarm: Alarm, now_s: float) -> bool:
        """Whether an alarm goes out."""
        seen = self._seen.get(alarm.limit)
        if seen is not None and (alarm.level > seen[0] or alarm.level is Level.NONE):
            del self._seen[alarm.limit]
        aside = self._asides.get(alarm.limit)
        if aside is None:
            return True
        if alarm.level > aside.level or now_s >= aside.until_s:
            self._end(alarm.limit, WORSE if alarm.level > aside.level else aside.end)
            return True
        if alarm.level >= aside.told:
            return False  # told already, or one that it was put aside for
        aside.told = alarm.level
        return True

    def over(self, now_s: float) -> list[tuple[str, Level]]:
        """Whose time is over: (limit, where it was last told to stand)."""
        ended = [(limit, aside.told) for limit, aside in self._asides.items() if now_s >= aside.until_s]
        for limit, _ in ended:
            self._end(limit, self._asides[limit].end)
        return ended

    def ended(self) -> list[tuple[str, str]]:
        """What is put aside no more since the last call: (limit, why)."""
        ended, self._ended = self._ended, []
        return ended

    def _end(self, limit: str, why: str) -> None:
        del self._asides[limit]
        self._ended.append((limit, why))

    def take_back(self, limit: str, now_s: float) -> None:
        """Its time is over with the next look. Raises FengsuiError."""
        if limit not in self._asides:
            raise FengsuiError(f"{limit} is not put aside")
        self._asides[limit].until_s, self._asides[limit].end = now_s, TAKEN_BACK

    def show(self, now_s: float) -> dict[str, Any]:
        """JSON types only."""
        return {
            "acknowledged": {
                limit: {"level": level.name.lower(), "by": by, "reason": reason}
                for limit, (level, by, reason) in self._seen.items()
            },
            "put_aside": {
                limit: {
                    "up_to": aside.level.name.lower(),
                    "left_s": round(aside.until_s - now_s),
                    "by": aside.by,
                    "reason": aside.reason,
                }
                for limit, aside in self._asides.items()
                if aside.until_s > now_s  # what was taken back ends with the next look
            },
        }


def _stands(limit: str, level: Level) -> None:
    """Raises FengsuiError."""
    if level is Level.NONE:
        raise FengsuiError(f"{limit} stands at no level: there is nothing to acknowledge or put aside")
