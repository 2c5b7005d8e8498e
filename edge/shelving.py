"""The shelf in the running gateway: what a technician asks for, the record of it, and when its time is over.

Each acknowledgement, each putting aside and its end is told to the province (STATUS) and said in the journal. Wires
`edge.shelf` to limits and socket; decides nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge.contract import Alarm
from edge.control import Handler, signed
from edge.errors import FengsuiError
from edge.limits import Judged, Limits
from edge.shelf import Shelf


class Shelving:
    """`tell` takes a STATUS for the province, `say` a line for the journal."""

    def __init__(self, limits: Limits, tell: Callable[[dict[str, Any]], None], say: Callable[[str, str], None]) -> None:
        self._limits = limits
        self._shelf = Shelf()
        self._tell = tell
        self._say = say

    def handlers(self) -> dict[str, Handler]:
        """What may be asked over the socket."""
        return {"ack": self._ask_ack, "shelve": self._ask_shelve, "unshelve": self._ask_unshelve}

    def show(self) -> dict[str, Any]:
        """What is acknowledged and put aside; JSON types only."""
        return self._shelf.show(asyncio.get_running_loop().time())

    def let_through(self, changed: Sequence[Alarm]) -> list[Alarm]:
        """Those of the alarms that go out."""
        now_s = asyncio.get_running_loop().time()
        passed = [alarm for alarm in changed if self._shelf.passes(alarm, now_s)]
        self._record_ends()
        return passed

    def over(self) -> list[Alarm]:
        """Lets time pass: alarms of limits that stand elsewhere than was told when they were put aside."""
        found = []
        for limit, told in self._shelf.over(asyncio.get_running_loop().time()):
            if (alarm := self._limits.again(limit, told)) is not None:
                found.append(alarm)
        self._record_ends()
        return found

    def _record_ends(self) -> None:
        """However it ended; nobody in person has ended it but where it was taken back, and then who is not asked."""
        for limit, why in self._shelf.ended():
            self._record({"unshelved": limit, "by": "", "reason": why}, f"limit {limit}", f"no longer put aside: {why}")

    async def _ask_ack(self, request: Mapping[str, Any]) -> dict[str, Any]:
        state, by, reason = self._asked(request)
        self._shelf.see(state.limit.id, state.level, by, reason)
        words = {"acknowledged": state.limit.id, "level": state.level.name.lower(), "by": by, "reason": reason}
        self._record(words, f"limit {state.limit.id}", f"acknowledged by {by}: {reason}")
        return self.show()

    async def _ask_shelve(self, request: Mapping[str, Any]) -> dict[str, Any]:
        state, by, reason = self._asked(request)
        for_s = request.get("for_s")
        if isinstance(for_s, bool) or not isinstance(for_s, int | float):
            raise FengsuiError("for_s must be a number of seconds")
        now_s = asyncio.get_running_loop().time()
        self._shelf.put(state.limit.id, state.level, for_s, by, reason, now_s)
        words = {"shelved": state.limit.id, "level": state.level.name.lower(), "for_s": for_s}
        text = f"put aside up to {state.level.name.lower()} for {for_s:g} s by {by}: {reason}"
        self._record({**words, "by": by, "reason": reason}, f"limit {state.limit.id}", text)
        return self.show()

    async def _ask_unshelve(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._shelf.take_back(str(request.get("limit")), asyncio.get_running_loop().time())
        return self.show()

    def _asked(self, request: Mapping[str, Any]) -> tuple[Judged, str, str]:
        limit = str(request.get("limit"))
        if limit not in self._limits.judged:
            raise FengsuiError(f"there is no limit {limit}; limits: {', '.join(self._limits.judged)}")
        return self._limits.judged[limit], *signed(request)

    def _record(self, words: dict[str, Any], about: str, text: str) -> None:
        self._tell(words)
        self._say(about, text)
