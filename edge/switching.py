"""Carries out what edge/actions.py wants: one task for each output, so that none waits for another, nor for a disk.

An order says how an output has to stand, so giving it again does no harm, and no read ever keeps one from being given.
What is new (an alarm, a worse one, its end) is ordered at once. What the output then shows is read back; where it shows
something else, or nothing, that is said (and told to the province), and the order is given again, with growing pauses;
before a second "on" it is asked how it stands. While it is in doubt a pattern sounds without its pauses. What stands on
is ordered again before the device's own timer runs out. Now and then every output that can be read is looked at: a hand
or a welded contact may have changed it.

At the start and at the end every output is off; edge/ACTIONS.md says what that means for one that rests on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from math import inf
from typing import Any

from edge.actions import Actions, Wanted
from edge.config.site import Site
from edge.contract import Alarm, Level, OpenPort, Output, Sensor, Switched
from edge.limit_reach import leaves_of

ORDER_MOST_S = 15.0  # a driver ends by itself long before; one that does not must not be waited for
STOP_S = 2.0  # at the end: the service is killed after 20 s, and the store is to be committed before
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 10.0
LOOK_ON_S = 10.0  # how often it is looked at while it is to be on,
LOOK_OFF_S = 60.0  # and while it is to be off
SAY_AGAIN = 3.0  # parts of the device's timer: two orders may fail before it runs out
UNSEEN_AGAIN_S = 30.0  # one that can not be asked and has failed: long enough to have spoken a text to its end
STEADY_S = 60.0  # no pattern for so long after a doubt: beats that can not be seen would come and go with the doubt
END_AGAIN_S = 0.3

Say = Callable[[str, str], None]
Tell = Callable[[dict[str, Any]], None]


class Switcher:
    """One output."""

    def __init__(self, id_: str, output: Output, actions: Actions, say: Say, tell: Tell) -> None:
        self.id = id_
        self.on: bool | None = None  # as seen last; of one that can not be read, as ordered
        self.why = ""  # what is wrong, while something is
        self.wanted = Wanted(False, inf)
        self.last_ms = 0.0  # from the alarm to the end of the order that followed
        self._output = output
        self._actions = actions
        self._say = say
        self._tell = tell
        self._woken = asyncio.Event()
        self._woken_s = 0.0
        self._asked: tuple[bool, object] | None = None  # what was followed last, and because of what
        self._due_s = -inf  # when it is to be looked at, or told again
        self._held_until_s = -inf  # when the device's own timer switches it off
        self._steady_until_s = -inf
        self._retry_s = RETRY_FIRST_S
        self._ran: tuple[tuple[str, ...], bool] = (), False

    def wake(self) -> None:
        """What is wanted may have changed."""
        if not self._woken.is_set():
            self._woken_s = asyncio.get_running_loop().time()
        self._woken.set()

    async def run(self) -> None:
        """Follows what is wanted until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            now_s = loop.time()
            wanted = self.wanted = self._actions.wanted(self.id, now_s, steady=now_s < self._steady_until_s)
            is_news = (wanted.on, wanted.lead) != self._asked
            if is_news or now_s >= self._next_s(wanted):
                await self._follow(wanted, now_s, is_news)
                self._asked = wanted.on, wanted.lead
            self._tell_run(wanted)
            wake_s = min(wanted.until_s, self._next_s(wanted))
            try:
                async with asyncio.timeout_at(wake_s if wake_s < inf else None):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def end(self) -> None:
        """Off, whatever is wanted, again and again until it is done. An order that was under way when `run` was
        cancelled may have arrived."""
        while self.on is not False:
            got = await self._order(False, inf)
            self.on, self.why = got.on, got.why
            if self.on is not False:
                await asyncio.sleep(END_AGAIN_S)

    def show(self) -> dict[str, Any]:
        """For `fengsui outputs`; JSON types only."""
        return {
            "on": self.on,
            "wanted": self.wanted.on,
            "by": list(self.wanted.by),
            "drill": self.wanted.drill,
            "wrong": self.why,
            "hold_s": self._output.hold_s,
            "last_ms": round(self.last_ms, 1),
            "driver": dict(self._output.health()),
        }

    def _next_s(self, wanted: Wanted) -> float:
        """When it is to be looked at or told again: early enough that what is to last outlasts the device's timer."""
        hold_s = self._output.hold_s
        if hold_s is None or self.why or not wanted.on or self._held_until_s >= wanted.last_s:
            return self._due_s
        return min(self._due_s, self._held_until_s - hold_s + hold_s / SAY_AGAIN)

    async def _follow(self, wanted: Wanted, now_s: float, is_news: bool) -> None:
        """One step: a look, where that may be enough, else the order."""
        hold_s = self._output.hold_s
        runs_out = wanted.on and hold_s is not None and self._held_until_s < wanted.last_s
        if self._output.readable and not is_news and not runs_out and (wanted.on or not self.why):
            got = await self._bounded(self._output.read())
            if got.on is wanted.on and not got.why:
                self._note(got)
                return
            self._wrong(got.why or f"stands {_word(got.on)} and has to be {_word(wanted.on)}: somebody has switched it")
        got = await self._order(wanted.on, wanted.last_s - now_s, wanted.text)
        if self._woken_s:
            self.last_ms = (asyncio.get_running_loop().time() - self._woken_s) * 1000
            self._woken_s = 0.0
        if not wanted.on:
            self._held_until_s = -inf
        elif hold_s is not None and got.on and not got.why:  # of one that has failed nobody knows
            self._held_until_s = min(wanted.last_s, now_s + hold_s)
        self._note(got)
        if self.why:
            self._steady_until_s = asyncio.get_running_loop().time() + STEADY_S

    async def _order(self, on: bool, for_s: float, text: str = "") -> Switched:
        self.on = None  # until its end is known: whoever cuts it off must not believe what was before
        return await self._bounded(self._output.switch(on, for_s, text))

    async def _bounded(self, doing: Awaitable[Switched]) -> Switched:
        try:
            async with asyncio.timeout(ORDER_MOST_S):
                return await doing
        except TimeoutError:
            return Switched(None, f"no end of it in {ORDER_MOST_S:g} s")

    def _note(self, got: Switched) -> None:
        """What was seen, and when to look or order again."""
        now_s, hold_s = asyncio.get_running_loop().time(), self._output.hold_s
        self.on = got.on
        if got.why or got.on is not self.wanted.on:
            self._wrong(got.why or f"stands {_word(got.on)} and has to be {_word(self.wanted.on)}")
            unseen = self.wanted.on and not self._output.readable
            often_s = inf if hold_s is None or not self.wanted.on else hold_s / SAY_AGAIN
            self._due_s = now_s + min(often_s, UNSEEN_AGAIN_S if unseen else self._retry_s)
            self._retry_s = min(RETRY_LONGEST_S, self._retry_s * 2)
            return
        if self.why:
            self._say(f"output {self.id}", f"is {_word(got.on)}, as it has to be")
            self._tell({"output": self.id, "wrong": ""})
        self.why, self._retry_s = "", RETRY_FIRST_S
        look_s = (LOOK_ON_S if got.on else LOOK_OFF_S) if self._output.readable else inf
        self._due_s = now_s + look_s

    def _wrong(self, why: str) -> None:
        """Said and told once, until it is right again."""
        if not self.why:
            self._say(f"output {self.id}", why)
            self._tell({"output": self.id, "wrong": why})
        self.why = why

    def _tell_run(self, wanted: Wanted) -> None:
        """The province hears of the beginning and the end of what asks for it, not of each beat of a pattern."""
        if (wanted.by, wanted.drill) == self._ran:
            return
        self._ran = wanted.by, wanted.drill
        words: dict[str, Any] = {"output": self.id, "by": list(wanted.by), "on": self.on}
        self._tell({**words, "drill": True} if wanted.drill else words)
        drill = "DRILL: " if wanted.drill else ""
        self._say(
            f"output {self.id}", f"{drill}{_word(self.on)}{f', by {chr(44).join(wanted.by)}' if wanted.by else ''}"
        )


class Outputs:
    """All outputs of a site. `outputs`: by id, from `open_outputs`."""

    def __init__(self, site: Site, outputs: Mapping[str, Output], say: Say, tell: Tell) -> None:
        rests = {output.id: output.rest_on for output in site.outputs}
        waited = {limit for action in site.actions if rests[action.output] for limit in action.limits}
        leaves = leaves_of([limit.judged for limit in site.limits], waited)
        self.actions = Actions(rests, site.actions, leaves)
        self._say = say
        self.switchers = {id_: Switcher(id_, output, self.actions, say, tell) for id_, output in outputs.items()}

    def parts(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """What runs, by name."""
        return {f"output {id_}": switcher.run for id_, switcher in self.switchers.items()}

    def restore(self, standing: Mapping[str, tuple[Level, float]]) -> None:
        """What stood before a restart: limit -> (level, seconds since)."""
        if self.switchers:
            self.actions.restore(standing, asyncio.get_running_loop().time())
            self._wake(self.switchers)

    def judged(self, alarms: Sequence[Alarm]) -> None:
        """Limits have changed: first of all that follows."""
        if self.switchers:
            now_s = asyncio.get_running_loop().time()
            self._wake({output for alarm in alarms for output in self.actions.judged(alarm, now_s)})

    def alarms(self, alarms: Sequence[Alarm]) -> None:
        """Alarms go out."""
        if self.switchers:
            now_s = asyncio.get_running_loop().time()
            self._wake({output for alarm in alarms for output in self.actions.alarm(alarm, now_s)})

    def look(self, sure: Callable[[str], bool]) -> None:
        """What rests on comes when all its limits are sure of their levels."""
        for limit in [waited for waited in self.actions.waits_for if sure(waited)]:
            self._wake(self.actions.sure(limit))

    def doubt(self, sure: Callable[[str], bool]) -> None:
        """Limits that were sure are not any more: what rests on and hangs on them waits for them again."""
        self._wake(self.actions.doubt(sure))

    def drill(self, output: str, for_s: float) -> float:
        """Switches an output as its first action would; for how long."""
        for_s = self.actions.drill(output, for_s, asyncio.get_running_loop().time())
        self._wake([output])
        return for_s

    async def end(self) -> None:
        """All off, each by itself, in STOP_S at most; what could not be done is said."""
        if not self.switchers:
            return
        ending = [asyncio.ensure_future(switcher.end()) for switcher in self.switchers.values()]
        _, late = await asyncio.wait(ending, timeout=STOP_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for switcher in self.switchers.values():
            if switcher.on is not False:
                why = f": {switcher.why}" if switcher.why else ""
                self._say(f"output {switcher.id}", f"was told to be off at the end, and was not seen to be{why}")

    def show(self) -> dict[str, Any]:
        return {id_: switcher.show() for id_, switcher in self.switchers.items()}

    def _wake(self, outputs: Sequence[str] | set[str] | Mapping[str, Any]) -> None:
        for output in outputs:
            self.switchers[output].wake()


def open_outputs(site: Site, open_port: OpenPort, sensors: Mapping[str, Sensor]) -> dict[str, Output]:
    """The outputs of a site, those on a wire with `sensors` (by device id) sharing it. Nothing is opened yet."""
    ports = {port.id: port for port in site.ports}
    made: dict[str, Output] = {}
    for where in dict.fromkeys((output.driver.name, output.port) for output in site.outputs):
        here = [output for output in site.outputs if (output.driver.name, output.port) == where]
        beside = {
            device.id: sensors[device.id] for device in site.devices if device.port == where[1] and device.id in sensors
        }
        port = ports[where[1]] if where[1] else None
        if here[0].driver.outputs is not None:
            made |= here[0].driver.outputs(port, open_port, [output.spec for output in here], beside)
    return made


def _word(on: bool | None) -> str:
    return "in doubt" if on is None else "on" if on else "off"
