"""The power-fail line: a moment's warning before the power goes. Commit what waits, say a last word, go on.

A UPS hat, or the board, tells by a file or a GPIO line that the mains are gone and that a capacitor carries the box
for some seconds. The line is looked at every POLL_S. When it says so: everything that waits is committed with one last
word to the province (STATUS {"power": "failing"}), which goes by the links that are up. While the hold-up may last,
what comes in is committed each second, whatever `commit_every` says. Nothing is stopped: the power may come back, and
when the line has been good for BACK_S that is said too. SIGPWR (power daemons send it) is a last word without a line.

Nothing relies on this: what a commit has returned is safe without any warning (edge/outbox.py). A line that cannot be
read is said once and looked at again. May not decide anything else, nor touch the disk itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

from edge.power_line import Line, line_of

POLL_S = 0.05  # of the 200 ms from the line to the last word; looking so often takes 0.4 % of a core of a small PC
COMMIT_EACH_S = 1.0  # of what comes in while it fails
HOLD_UP_S = 60.0  # a capacitor lasts some 30 s; what still runs then has a battery, and a card to spare
BACK_S = 5.0  # good for so long: a line that flutters is one failure
SIGNAL_AGAIN_S = 10.0  # who sends SIGPWR again and again gets commits, not more last words


class PowerFail:
    """Watches the line and does what is to be done.

    `last_word(words)` takes a STATUS for the province, `commit()` commits all that waits, and the word with it.
    """

    def __init__(
        self,
        setting: str,
        commit: Callable[[], Awaitable[None]],
        last_word: Callable[[dict[str, Any]], None],
        say: Callable[[str, str], None],
    ) -> None:
        self._setting = setting
        self._line = line_of(setting)
        self._commit = commit
        self._last_word = last_word
        self._say = say
        self._woken = asyncio.Event()
        self._signalled = False
        self._signal_s = -inf
        self._unreadable = ""
        self._since_s: float | None = None  # failing since, by the line
        self._last_bad_s = 0.0
        self._committed_s = 0.0
        self.failures = 0

    def signalled(self) -> None:
        """SIGPWR has come."""
        self._signalled = True
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self._woken.clear()
            if self._signalled:
                self._signalled = False
                await self._signal()
            if self._line is None:
                await self._woken.wait()
            else:
                await self._look(self._line)
                await asyncio.sleep(POLL_S)

    def show(self) -> dict[str, Any]:
        """As a technician may ask for it. JSON types only."""
        since_s = self._since_s
        return {
            "line": self._setting or None,
            "failing_s": None if since_s is None else round(asyncio.get_running_loop().time() - since_s, 1),
            "failures": self.failures,
            "unreadable": self._unreadable or None,
        }

    async def _signal(self) -> None:
        now_s = asyncio.get_running_loop().time()
        new = now_s - self._signal_s >= SIGNAL_AGAIN_S
        self._signal_s = now_s
        if new:
            self.failures += 1
            self._last_word({"power": "failing", "by": "SIGPWR"})
        await self._commit()
        if new:
            self._say("power", "is failing (SIGPWR): what waited is committed, the province is told")

    async def _look(self, line: Line) -> None:
        """Looks at the line, and does what follows."""
        try:
            failing = line.failing()
        except OSError as error:
            why = error.strerror or str(error)
            if why != self._unreadable:
                self._unreadable = why
                what = f"the power-fail line {self._setting} can not be read: {why}"
                self._say("power", f"{what}. Is [store] power_fail right?")
            return
        if self._unreadable:
            self._unreadable = ""
            self._say("power", f"the power-fail line {self._setting} can be read again")
        now_s = asyncio.get_running_loop().time()
        if failing:
            await self._fails(now_s)
        elif self._since_s is not None and now_s - self._last_bad_s >= BACK_S:
            await self._is_back(now_s)

    async def _fails(self, now_s: float) -> None:
        self._last_bad_s = now_s
        if self._since_s is None:
            self._since_s = self._committed_s = now_s
            self.failures += 1
            self._last_word({"power": "failing"})
            await self._commit()
            self._say("power", "is failing: what waited is committed, the province is told")
        elif now_s - self._committed_s >= COMMIT_EACH_S and now_s - self._since_s <= HOLD_UP_S:
            self._committed_s = now_s
            await self._commit()

    async def _is_back(self, now_s: float) -> None:
        gone_s = round(now_s - (self._since_s or now_s) - BACK_S)
        self._since_s = None
        self._last_word({"power": "back", "gone_s": gone_s})
        await self._commit()
        self._say("power", f"is back after {gone_s} s")
