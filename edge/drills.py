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
from edge.control import Handler
from edge.errors import FengsuiError
from edge.switching import Outputs

DRILL_S = 10.0
DRILL_LEAST_S = 1.0
MOST_CHARS = 200  # of a name or a reason: they go to the province
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

    async def _ask_outputs(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return self._outputs.show()

    async def _ask_drill(self, request: Mapping[str, Any]) -> dict[str, Any]:
        what, by, reason = (str(request.get(key, "")).strip() for key in ("name", "by", "reason"))
        for_s = request.get("for_s", DRILL_S)
        if isinstance(for_s, bool) or not isinstance(for_s, int | float):
            raise FengsuiError("for_s must be a number of seconds")
        if not DRILL_LEAST_S <= for_s <= DRILL_MOST_S:
            raise FengsuiError(f"a drill lasts {DRILL_LEAST_S:g} s to {DRILL_MOST_S:g} s")
        if not (0 < len(by) <= MOST_CHARS and 0 < len(reason) <= MOST_CHARS):
            raise FengsuiError(f"a drill needs who is behind it and why, at most {MOST_CHARS} characters each")
        if what not in self._limits and what not in self._outputs.switchers:
            known = ", ".join([*self._outputs.switchers, *self._limits])
            raise FengsuiError(f"there is no output or limit {what}; there are: {known}")
        self._tell({"drill": what, "for_s": for_s, "by": by, "reason": reason})
        self._say("drill", f"DRILL of {what} for {for_s:g} s by {by}: {reason}")
        if what in self._limits:
            self._raise(self._limits[what], str(request.get("level") or ""), for_s)
        else:
            self._outputs.drill(what, for_s)
        return {"drill": what, "is": "limit" if what in self._limits else "output", "for_s": for_s}

    def _raise(self, limit: Limit, word: str, for_s: float) -> None:
        if word and word not in LEVELS:
            raise FengsuiError(f"there is no level {word}; there are: {', '.join(LEVELS)}")
        thresholds = dict(limit.thresholds)
        level = LEVELS[word] if word else max(thresholds, default=Level.RED)
        value = 0 if limit.rule is Rule.COMBINED else None
        end = Alarm(
            *(limit.id, limit.point, Level.NONE, Change.CLEARED, limit.rule, value, thresholds.get(level, 0), 0),
            drill=True,
        )
        begin = Alarm(
            *(limit.id, limit.point, level, Change.RAISED, limit.rule, value, thresholds.get(level, 0), 0), drill=True
        )
        self._running[limit.id] = asyncio.get_running_loop().time() + for_s, end
        self._send([begin])
