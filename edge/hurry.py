"""Points are read faster while a limit that wants it stands (`while_raised`), and as before when it is over."""

from __future__ import annotations

from edge.config.site import Site
from edge.contract import Level
from edge.intake import Intake
from edge.limits import Limits


class Hurry:
    """`look` after anything changed. With a point goes all that is read as often: a round is read together. Where all
    of it speaks by itself, nothing can be hurried: more rounds would say no more."""

    def __init__(self, site: Site, limits: Limits, intake: Intake) -> None:
        every_ms = {point.id: point.every_ms for point in site.points}
        self._limits = limits
        self._intake = intake
        self._wanted = [
            (limit.id, every_ms[limit.point], limit.while_raised_ms)
            for limit in site.limits
            if limit.while_raised_ms and intake.hurries(every_ms[limit.point])
        ]
        if self._wanted:
            intake.may_pace()

    def look(self) -> None:
        """Tells intake how often to read; the fastest that is wanted."""
        paces: dict[int, int] = {}
        for limit, every_ms, faster_ms in self._wanted:
            if self._limits.judged[limit].level is not Level.NONE:
                paces[every_ms] = min(faster_ms, paces.get(every_ms, every_ms))
        self._intake.pace(paces)
