"""Troubles in real time, by hand or by a scenario: what can be done to instruments on a bench.

One command a line, a trouble as in a scenario, each answered by one line:

    KIND ON [VALUE] [for DURATION]     device.crc piezo-1 0.3 for 2min     point.is pond-level 421     port.unplug rs485
    clear KIND ON      clear all       stats      quit

Those without a duration last until cleared. What needs a world of its own (power, disk, clock, roads) is not here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from sim.world.bench import Bench
from sim.world.nouns import KINDS, Record, Trouble
from sim.world.scenario import seconds
from sim.world.scenario_check import value_problem

FOR_EVER_S = 1e9
FAMILIES = ("device", "point", "port")


class Bends(Protocol):
    """What bends the truth at a point (`sim.world.weather.Weather`)."""

    def bend(self, point: str, now: list[Trouble], at_s: float) -> None: ...


class Hands:
    """Lets troubles begin and end on a bench; `begin` and `end` are for scenarios too."""

    def __init__(self, bench: Bench, weather: Bends, record: Record, things: dict[str, list[str]]) -> None:
        """`things`: device, point, port -> the ids that are on the bench."""
        self._bench = bench
        self._weather = weather
        self._record = record
        self._things = things
        self._lasting: list[Trouble] = []

    def can(self, trouble: Trouble) -> bool:
        return trouble.kind.partition(".")[0] in FAMILIES

    async def begin(self, trouble: Trouble) -> None:
        at_s = asyncio.get_running_loop().time()
        self._record.troubles.append((at_s, trouble))
        self._record.note(at_s, trouble.words())
        self._lasting.append(trouble)
        await self._settle(trouble)

    async def end(self, trouble: Trouble) -> None:
        """Nothing happens when it was ended before."""
        if trouble in self._lasting:
            self._lasting.remove(trouble)
            self._record.note(asyncio.get_running_loop().time(), f"{trouble.kind} {trouble.on} is over")
            await self._settle(trouble)

    async def obey(self, text: str) -> str:
        """Carries out one command; "ok", figures, or what is wrong with it."""
        words = text.split()
        if words == ["stats"]:
            shown = Counter({point: len(values) for point, values in self._record.shown.items()})
            return "ok " + " ".join(f"{point}={count}" for point, count in sorted(shown.items()))
        if words[:1] == ["clear"]:
            return await self._clear(words[1:])
        try:
            trouble = parse(text, asyncio.get_running_loop().time(), self._things)
        except ValueError as error:
            return f"error: {error}"
        await self.begin(trouble)
        if trouble.for_s < FOR_EVER_S:
            asyncio.get_running_loop().call_later(trouble.for_s, self._end_soon, trouble)
        return "ok"

    def _end_soon(self, trouble: Trouble) -> None:
        self._ending = asyncio.ensure_future(self.end(trouble))

    async def _clear(self, words: list[str]) -> str:
        if words != ["all"] and len(words) != 2:
            return "error: clear KIND ON, or clear all"
        for trouble in list(self._lasting):
            if words in (["all"], [trouble.kind, trouble.on]):
                await self.end(trouble)
        return "ok"

    async def _settle(self, trouble: Trouble) -> None:
        family = trouble.kind.partition(".")[0]
        now = [it for it in self._lasting if it.on == trouble.on and it.kind.startswith(f"{family}.")]
        if family == "device":
            faults = {it.kind.partition(".")[2]: it.value for it in now}
            self._bench.wires.model_of(trouble.on).set_faults(trouble.on, faults)
        elif family == "point":
            self._weather.bend(trouble.on, now, asyncio.get_running_loop().time())
        else:
            await self._settle_port(trouble.on, now)

    async def _settle_port(self, port: str, now: list[Trouble]) -> None:
        is_out = any(it.kind == "port.unplug" for it in now)
        await (self._bench.unplug if is_out else self._bench.plug)(port)
        self._bench.wires.impair(port, "flip", max([0.0, *(it.value for it in now if it.kind == "port.flip")]))
        self._bench.wires.impair(port, "drop", max([0.0, *(it.value for it in now if it.kind == "port.drop")]))


def parse(text: str, at_s: float, things: dict[str, list[str]]) -> Trouble:
    """A command as a trouble that begins now. Raises ValueError with a sentence."""
    head, has_for, duration = text.partition(" for ")
    kind, *rest = head.split() or [""]
    kinds = [it for it in KINDS if it.partition(".")[0] in FAMILIES]
    if kind not in kinds:
        raise ValueError(f"{kind!r} is none of {' '.join(kinds)} clear stats quit")
    what, means = KINDS[kind]
    if not rest or rest[0] not in things[what]:
        raise ValueError(f"{kind} needs a {what}: {' '.join(things[what])}")
    wanted = 2 if means else 1
    if len(rest) != wanted and not (means.startswith("chance") and len(rest) == 1):
        raise ValueError(f"write {kind} {rest[0]}{f' VALUE ({means})' if means else ''}, and for 2min if it is to end")
    value = _number(rest[1]) if len(rest) > 1 else float(bool(means))
    for_s = seconds(duration) if has_for else FOR_EVER_S
    if for_s > FOR_EVER_S:
        raise ValueError(f"for {duration.strip()} is too long: leave it out, and it lasts until cleared")
    if means and (problem := value_problem(kind, value)):
        raise ValueError(f"{kind}: {problem}")
    return Trouble(kind, at_s, for_s, rest[0], value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
