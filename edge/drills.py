"""Drills: a person tries an output, or what a limit would set off. Everything that follows says that it is a drill, in
the journal, in the alarms and at the province; it ends by itself.

A drill of a limit is an alarm that nothing stands behind: it goes the way of every alarm (outputs, store, links), but
the limit itself knows nothing of it, and a real alarm goes before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge.actions import DRILL_MOST_S
from edge.config.site import Limit, Site
from edge.contract import Alarm, Change, Level, Rule
from edge.control import Handler, signed
from edge.errors import FengsuiError
from edge.limit_reach import reach
from edge.switching import Outputs

DRILL_S = 10.0
DRILL_LEAST_S = 1.0
LEVELS = {level.name.lower(): level for level in Level if level is not Level.NONE}


class Drills:
    """`send` takes alarms, `tell` a STATUS for the province, `say` a line for the journal."""

    def __init__(
        self,
        site: Site,
        outputs: Outputs,
        send: Callable[[Sequence[Alarm]], None],
        tell: Callable[[dict[str, Any]], None],
        say: Callable[[str, str], None],
    ) -> None:
        self._limits = {limit.id: limit for limit in site.limits}
        self._reach = reach([limit.judged for limit in site.limits])
        self._outputs = outputs
        self._send = send
        self._tell = tell
        self._say = say
        self._running: dict[
            str, tuple[float, Alarm]
        ] = {}  # limit -> when its drill is over, and the alarm that ends it

    def handlers(self) -> dict[str, Handler]:
        """What may be asked over the socket."""
        return {"drill": self._ask_drill, "outputs": self._ask_outputs}

    def over(self) -> list[Alarm]:
        """Lets time pass: the alarms that end drills of limits."""
        now_s = asyncio.get_running_loop().time()
        done = [limit for limit, (until_s, _) in self._running.items() if now_s >= until_s]
        return [self._running.pop(limit)[1] for limit in done]

    def end(self) -> list[Alarm]:
        """The gateway ends: the alarms that end all of them."""
        ends = [end for _, end in self._running.values()]
        self._running = {}
        return ends

    def left(self, told: Sequence[Mapping[str, Any]]) -> list[Alarm]:
        """The ends that a run before has not told, as it was cut off. `told`: the alarms it has, as `shown_of` has
        them, oldest first."""
        last = {shown["limit"]: shown for shown in told if shown["drill"]}
        return [
            _alarm(self._limits[id_], LEVELS[shown["level"]], Change.CLEARED)
            if id_ in self._limits
            else Alarm(id_, shown["point"], Level.NONE, Change.CLEARED, Rule.REMOVED, None, 0, 0, drill=True)
            for id_, shown in last.items()
            if shown["level"] in LEVELS and id_ not in self._running
        ]

    async def _ask_outputs(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return self._outputs.show()

    async def _ask_drill(self, request: Mapping[str, Any]) -> dict[str, Any]:
        what, word = (str(request.get(key) or "").strip() for key in ("name", "level"))
        for_s = self._for_s(request)
        by, reason = signed(request)
        if what not in self._limits and what not in self._outputs.switchers:
            known = ", ".join([*self._outputs.switchers, *self._limits])
            raise FengsuiError(f"there is no output or limit {what}; there are: {known}")
        if word and what not in self._limits:
            raise FengsuiError(f"{what} is an output and has no levels: leave --level out, or name a limit")
        if word and word not in LEVELS:
            raise FengsuiError(f"there is no level {word}; there are: {', '.join(LEVELS)}")
        if word and LEVELS[word] not in self._reach[what]:
            has = ", ".join(level.name.lower() for level in sorted(self._reach[what]))
            raise FengsuiError(f"{what} never stands at {word}; it has: {has or 'no level'}")
        for_s = for_s if what in self._limits else self._outputs.drill(what, for_s)
        self._tell({"drill": what, "for_s": for_s, "by": by, "reason": reason})
        self._say("drill", f"DRILL of {what} for {for_s:g} s by {by}: {reason}")
        if what in self._limits:
            self._raise(self._limits[what], word, for_s)
        return {"drill": what, "is": "limit" if what in self._limits else "output", "for_s": for_s}

    def _for_s(self, request: Mapping[str, Any]) -> float:
        for_s = request.get("for_s", DRILL_S)
        if isinstance(for_s, bool) or not isinstance(for_s, int | float):
            raise FengsuiError("for_s must be a number of seconds")
        if not DRILL_LEAST_S <= for_s <= DRILL_MOST_S:
            raise FengsuiError(f"a drill lasts {DRILL_LEAST_S:g} s to {DRILL_MOST_S:g} s")
        return for_s

    def _raise(self, limit: Limit, word: str, for_s: float) -> None:
        level = LEVELS[word] if word else max(self._reach[limit.id], default=Level.RED)
        end = _alarm(limit, level, Change.CLEARED)
        self._running[limit.id] = asyncio.get_running_loop().time() + for_s, end
        self._send([_alarm(limit, level, Change.RAISED)])


def _alarm(limit: Limit, level: Level, change: Change) -> Alarm:
    """Of a drill at `level`: its beginning or its end."""
    stands = Level.NONE if change is Change.CLEARED else level
    value = 0 if limit.rule is Rule.COMBINED else None
    threshold = dict(limit.thresholds).get(level, 0)
    return Alarm(limit.id, limit.point, stands, change, limit.rule, value, threshold, 0, drill=True)
