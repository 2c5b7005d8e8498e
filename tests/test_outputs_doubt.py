"""An output that can not be read, or is in doubt: it is switched all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from pathlib import Path

import pytest

from drivers.modbus import DRIVER, ModbusOutput
from edge.actions import Action, Actions
from edge.contract import Alarm, Change, Level, OutputSpec, Rule, Switched
from edge.switching import Outputs, Switcher
from sim.modbus import plain_slaves
from sim.modbus_port import opener
from sim.modbus_slave import Fault, Line
from tests.modbus_site import PortSettings, run_virtual
from tests.outputs_site import Rig, action, output


class Relay:
    """One output in virtual time, beside its contact. `answers` False: orders arrive, nothing comes back; `lost`: so
    many orders do not even arrive."""

    def __init__(
        self, *, hold_s: float | None = None, readable: bool = True, rest_on: bool = False, call_s: float = 60.0
    ) -> None:
        self.hold_s, self.readable, self.answers, self.lost = hold_s, readable, True, 0
        self.orders: list[tuple[float, bool, str]] = []
        self.off_s = inf  # when its own timer switches it off
        self.said: list[str] = []
        calls = [
            Action("call", ("c",), Level.ORANGE, "it", inf if rest_on else call_s, text="ready"),
            Action("wail", ("c",), Level.RED, "it", inf if rest_on else 60.0, text="leave"),
        ]
        self.actions = Actions({"it": rest_on}, calls, {"c": {"c"}})
        self.actions.sure("c")
        self.switcher = Switcher("it", self, self.actions, lambda _, text: self.said.append(text), lambda _: None)

    @property
    def stands(self) -> bool:
        return bool(self.orders) and self.orders[-1][1] and self.now_s < self.off_s

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        if self.lost:
            self.lost -= 1
            return Switched(None, "no answer")
        self.orders.append((self.now_s, on, text))
        self.off_s = self.now_s + min(self.hold_s, for_s) if self.hold_s is not None else inf
        await asyncio.sleep(0.01)
        return await self.read() if self.readable else Switched(on if self.answers else None, self.why)

    async def read(self) -> Switched:
        await asyncio.sleep(0.01)
        return Switched(self.stands if self.answers else None, self.why)

    @property
    def why(self) -> str:
        return "" if self.answers else "exception 2"

    def health(self) -> dict[str, int]:
        return {}

    def alarm(self, level: Level) -> None:
        it = Alarm("c", "p", level, Change.RAISED, Rule.ABOVE, 1, 1, 0)
        self.actions.judged(it, self.now_s)
        self.actions.alarm(it, self.now_s)
        self.switcher.wake()

    def play(self, story: Callable[[Relay], Awaitable[None]]) -> None:
        async def main() -> None:
            running = asyncio.ensure_future(self.switcher.run())
            await asyncio.sleep(1)
            await story(self)
            running.cancel()
            self.answers = True
            await self.switcher.end()
            assert not self.stands

        run_virtual(main())


@pytest.mark.parametrize("rest_on", [False, True])
def test_what_can_not_be_read_is_switched_all_the_same(rest_on: bool) -> None:
    """A feedback contact that answers exception 2, and one whose answers are lost: the orders arrive."""

    async def story(relay: Relay) -> None:
        assert relay.stands is rest_on
        relay.answers = False
        await asyncio.sleep(100)
        for level in (Level.RED, Level.NONE, Level.RED):
            relay.alarm(level)
            await asyncio.sleep(0.001)
            assert relay.stands is (bool(level) is not rest_on)
            await asyncio.sleep(100 if rest_on else 55)
            assert relay.stands is (bool(level) is not rest_on)
        assert relay.switcher.why
        assert len(relay.orders) < 60, "with pauses of 10 s"

    Relay(rest_on=rest_on).play(story)


def test_in_doubt_its_timer_is_wound_up_all_the_same() -> None:
    async def story(relay: Relay) -> None:
        relay.answers = False
        relay.alarm(Level.RED)
        for _ in range(580):
            await asyncio.sleep(0.1)
            assert relay.stands

    Relay(hold_s=4.0).play(story)


@pytest.mark.parametrize("hold_s", [4.0, 20.0, 60.0])
@pytest.mark.parametrize("case", ["two actions", "a drill before", "an order lost"])
def test_the_end_of_one_that_asks_leaves_no_gap_while_another_stands(case: str, hold_s: float) -> None:
    """A device with a timer of its own is told the end of the last, and again in time."""

    async def story(relay: Relay) -> None:
        if case == "a drill before":
            relay.actions.drill("it", 15.0, relay.now_s)
            relay.switcher.wake()
        else:
            relay.alarm(Level.ORANGE)
        await asyncio.sleep(5)
        relay.lost = int(case == "an order lost")
        relay.alarm(Level.RED)
        await asyncio.sleep(1.5)
        for _ in range(580):
            assert relay.stands
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.5)
        assert not relay.stands

    Relay(hold_s=hold_s, call_s=15.0).play(story)


def test_a_timer_that_ran_before_the_start_is_wound_up_at_once(tmp_path: Path) -> None:
    """After a restart the relay stands on still, for a time that nobody knows."""
    timer = output("siren", 0, 'timer = "pulse"\ntimer_register = 512\ntimer_unit = "100ms"\nhold = "6s"')
    site = timer + action("wail", "high", 'output = "siren"\nmax_on = "60s"')
    rig = Rig(tmp_path, site)
    rig.set(0, 6)
    rig.relays.coil[0] = 1
    rig.relays.pulses[0] = 2.0

    async def story(rig: Rig) -> None:
        for _ in range(40):
            assert rig.on()
            await asyncio.sleep(0.2)
        assert not [it for it in rig.told if it.get("wrong")]

    run_virtual(rig.play(story))


def test_a_worse_alarm_is_spoken_over_the_first_and_a_failed_one_is_tried_again() -> None:
    async def story(relay: Relay) -> None:
        relay.orders.clear()
        relay.alarm(Level.ORANGE)
        await asyncio.sleep(3)
        relay.alarm(Level.RED)
        await asyncio.sleep(25)
        assert [text for _, _, text in relay.orders] == ["ready", "leave"]
        relay.alarm(Level.NONE)
        await asyncio.sleep(1)
        relay.answers = False
        relay.orders.clear()
        relay.alarm(Level.ORANGE)
        await asyncio.sleep(2)
        relay.alarm(Level.RED)
        await asyncio.sleep(1)
        relay.answers = True
        await asyncio.sleep(40)
        assert [text for _, _, text in relay.orders] == ["ready", "leave", "leave"]
        assert relay.switcher.on is True

    Relay(readable=False).play(story)


def test_a_pattern_in_doubt_sounds_without_pauses(tmp_path: Path) -> None:
    beats = output("siren", 0, "feedback = 4") + action(
        "wail", "high", 'output = "siren"\nmax_on = "60s"\npattern = ["2s", "2s"]'
    )

    async def story(rig: Rig) -> None:
        rig.set(0, 6)
        await asyncio.sleep(0.2)
        for _ in range(55):
            assert rig.on(), "no discrete input 4: exception 2"
            await asyncio.sleep(1)
        await asyncio.sleep(6)
        assert not rig.on()

    run_virtual(Rig(tmp_path, beats).play(story))


def test_the_end_tries_again_and_says_what_it_could_not_do() -> None:
    async def main() -> list[str]:
        relay, said = Relay(), []
        outputs = Outputs.__new__(Outputs)
        outputs.switchers = {"it": relay.switcher}
        outputs._say = lambda about, text: said.append(f"{about}: {text}")
        relay.answers = False
        await outputs.end()
        assert len(relay.orders) > 3
        assert asyncio.get_running_loop().time() < 2.1
        return said

    assert run_virtual(main()) == ["output it: was told to be off at the end, and was not seen to be: exception 2"]


@pytest.mark.parametrize("is_rtu", [True, False])
def test_orders_arrive_on_a_wire_that_loses_every_answer(is_rtu: bool) -> None:
    """On RTU a late answer may still be owed: reads have to wait for that, orders do not."""
    slave = plain_slaves([1], 8)[0]
    slave.put("coil", 0, [0] * 8)
    line = Line([slave], is_rtu=is_rtu)

    async def main() -> None:
        settings = ModbusOutput(register=0, mode="rtu" if is_rtu else "tcp")
        port, spec = PortSettings("serial:/dev/x"), OutputSpec("siren", settings)
        assert DRIVER.outputs is not None
        relay = DRIVER.outputs(port, opener({"bus": line}), [spec], {})["siren"]
        assert await relay.switch(True, 10.0) == Switched(True)
        slave.faults.append(Fault("silence"))
        for on in (False, True, False, False, True):
            began_s = asyncio.get_running_loop().time()
            ordering = asyncio.ensure_future(relay.switch(on, 10.0))
            await asyncio.sleep(0.1)
            assert slave.coil[0] == on
            got = await ordering
            assert got.on is None
            assert got.why
            assert asyncio.get_running_loop().time() - began_s < 1.2
        slave.faults.clear()
        await asyncio.sleep(11)
        assert await relay.switch(False, 10.0) == Switched(False)

    run_virtual(main())
