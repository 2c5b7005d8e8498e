"""Outputs and the daemon as a whole, in virtual time: what a relay module sees when limits are reached."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.errors import FengsuiError
from sim.modbus_slave import Fault
from tests.modbus_site import run_virtual
from tests.outputs_site import SIREN, Rig, action, output


def test_the_siren_follows_the_limit_and_its_maximum(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        assert not rig.on()
        rig.set(0, 6)
        await asyncio.sleep(0.2)
        assert rig.on()
        await asyncio.sleep(19)
        assert rig.on()
        await asyncio.sleep(1.2)
        assert not rig.on(), "20 s are over, though red stands"
        rig.set(0, 0)
        await asyncio.sleep(1)
        rig.set(0, 6)
        await asyncio.sleep(0.2)
        assert rig.on(), "a new alarm"
        rig.set(0, 4)
        await asyncio.sleep(0.2)
        assert not rig.on(), "yellow is not red"

    run_virtual(Rig(tmp_path, SIREN).play(story))


def test_a_pattern_beats_and_the_end_of_the_gateway_is_off(tmp_path: Path) -> None:
    beats = output("siren", 0) + action(
        "wail", "high", 'output = "siren"\nlevel = "red"\nmax_on = "60s"\npattern = ["2s", "1s"]'
    )
    rig = Rig(tmp_path, beats)

    async def story(rig: Rig) -> None:
        rig.set(0, 6)
        await asyncio.sleep(9.5)
        lengths = [round(b[0] - a[0], 1) for a, b in zip(rig.relays.log, rig.relays.log[1:], strict=False)]
        assert lengths == [2.0, 1.0, 2.0, 1.0, 2.0, 1.0][: len(lengths)]
        assert len(lengths) >= 5
        assert rig.on()

    run_virtual(rig.play(story))
    assert rig.relays.coil[0] == 0


def test_two_alarms_on_one_output_end_with_the_last(tmp_path: Path) -> None:
    both = SIREN + action("gas-wail", "gas-high", 'output = "siren"\nmax_on = "20s"')

    async def story(rig: Rig) -> None:
        rig.set(0, 6)
        await asyncio.sleep(10)
        rig.set(1, 2)
        await asyncio.sleep(5)
        rig.set(0, 0)
        await asyncio.sleep(0.5)
        assert rig.on(), "gas still stands"
        await asyncio.sleep(16)
        assert not rig.on()

    run_virtual(Rig(tmp_path, both).play(story))


def test_a_column_shows_the_level_that_stands(tmp_path: Path) -> None:
    lamps = output("lamp-yellow", 1) + output("lamp-red", 2)
    column = action("column", "high", 'column = { yellow = "lamp-yellow", red = "lamp-red" }\nmax_on = "1h"')

    async def story(rig: Rig) -> None:
        seen = []
        for level in (4, 6, 4, 0):
            rig.set(0, level)
            await asyncio.sleep(0.5)
            seen.append((rig.on(1), rig.on(2)))
        assert seen == [(True, False), (False, True), (True, False), (False, False)]

    run_virtual(Rig(tmp_path, lamps + column).play(story))


def test_a_contact_that_does_not_follow_is_said_and_put_right_when_it_can(tmp_path: Path) -> None:
    rig = Rig(tmp_path, SIREN)

    async def story(rig: Rig) -> None:
        rig.relays.faults.append(Fault("stuck"))
        rig.set(0, 6)
        await asyncio.sleep(5)
        assert not rig.on()
        wrong = [it["wrong"] for it in rig.told if "wrong" in it]
        assert wrong == ["was switched on, but is off"]
        rig.relays.faults.clear()
        await asyncio.sleep(11)
        assert rig.on()
        assert [it["wrong"] for it in rig.told if "wrong" in it][1:] == [""]

    run_virtual(rig.play(story))


def test_a_write_is_never_repeated_before_it_was_asked_how_it_stands(tmp_path: Path) -> None:
    """The relay switches, and its confirmation is lost: a look tells, and it is not told a second time."""
    rig = Rig(tmp_path, SIREN)

    async def story(rig: Rig) -> None:
        await asyncio.sleep(2)
        before = rig.relays.writes
        rig.relays.faults.append(Fault("silence", times=2))  # the answer to the write, and to the first look
        rig.set(0, 6)
        await asyncio.sleep(8)
        assert rig.on()
        assert rig.relays.writes == before + 1

    run_virtual(rig.play(story))


def test_a_dead_bus_is_said_once_and_the_order_is_done_when_it_is_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path, SIREN)

    async def story(rig: Rig) -> None:
        relays = rig.lines.pop("relays")
        await asyncio.sleep(70)  # the next look finds it dead; a memory port stays open, so pull it
        rig.relays.faults.append(Fault("silence"))
        rig.set(0, 6)
        await asyncio.sleep(8)
        assert sum("wrong" in it for it in rig.told) == 1
        assert rig.daemon is not None
        assert rig.daemon.limits.levels()["high"].name == "RED", "the judging goes on"
        rig.relays.faults.clear()
        rig.lines["relays"] = relays
        await asyncio.sleep(11)
        assert rig.on()

    run_virtual(rig.play(story))


def test_a_stuck_output_holds_up_no_other(tmp_path: Path) -> None:
    rig = Rig(tmp_path, SIREN + output("horn", 1, "unit = 2") + action("h", "high", 'output = "horn"\nmax_on = "20s"'))

    async def story(rig: Rig) -> None:
        assert rig.daemon is not None
        hangs = rig.daemon.outputs.switchers["horn"]

        class Hanging:
            hold_s, readable = None, True

            async def switch(self, *_: object) -> None:
                await asyncio.sleep(1e6)

            read = switch

            def health(self) -> dict[str, int]:
                return {}

        hangs._output = Hanging()  # type: ignore[assignment]
        await asyncio.sleep(5)  # the unit that is not there has been asked for the last time
        rig.set(0, 6)
        await asyncio.sleep(0.3)
        assert rig.on()

    run_virtual(rig.play(story))


def test_what_rests_on_is_released_when_all_is_heard_and_cut_by_the_alarm(tmp_path: Path) -> None:
    fan = output("feeder", 3, 'rest = "on"') + action("cut", "gas-high", 'output = "feeder"')
    rig = Rig(tmp_path, fan)
    rig.sensors.faults.append(Fault("silence"))

    async def story(rig: Rig) -> None:
        await asyncio.sleep(30)
        assert not rig.on(3), "nobody knows the gas yet"
        rig.sensors.faults.clear()
        await asyncio.sleep(70)
        assert rig.on(3)
        rig.set(1, 1.6)
        await asyncio.sleep(0.3)
        assert not rig.on(3)
        rig.set(1, 1.2)
        await asyncio.sleep(3600)
        assert not rig.on(3), "restored at 1.0, never by time"
        rig.set(1, 0.9)
        await asyncio.sleep(0.3)
        assert rig.on(3)

    run_virtual(rig.play(story))
    assert rig.relays.coil[3] == 0, "without the gateway there is no release"


def test_an_alarm_put_aside_sounds_nothing_but_cuts(tmp_path: Path) -> None:
    all_of_it = (
        output("siren", 0)
        + output("feeder", 3, 'rest = "on"')
        + action("wail", "gas-high", 'output = "siren"\nmax_on = "1min"')
        + action("cut", "gas-high", 'output = "feeder"')
    )

    async def story(rig: Rig) -> None:
        assert rig.daemon is not None
        await asyncio.sleep(1)
        rig.set(1, 1.6)
        await asyncio.sleep(0.5)
        await rig.daemon.shelving._ask_shelve({"limit": "gas-high", "for_s": 600, "by": "w", "reason": "test"})
        rig.set(1, 0.5)
        await asyncio.sleep(1)
        assert not rig.on(0)
        assert rig.on(3)
        rig.set(1, 1.6)
        await asyncio.sleep(1)
        assert not rig.on(0)
        assert not rig.on(3)

    run_virtual(Rig(tmp_path, all_of_it).play(story))


@pytest.mark.parametrize(("gone_s", "left_s"), [(5, 15), (30, 0)])
def test_a_restart_goes_on_for_the_rest_of_the_time(tmp_path: Path, gone_s: int, left_s: int) -> None:
    async def alarm(rig: Rig) -> None:
        rig.set(0, 6)
        await asyncio.sleep(1)
        assert rig.on()

    async def again(rig: Rig) -> None:
        assert rig.on() == (left_s > 0)
        await asyncio.sleep(left_s - 1 if left_s else 1)
        assert rig.on() == (left_s > 0)
        await asyncio.sleep(3)
        assert not rig.on()

    first, second = Rig(tmp_path, SIREN), Rig(tmp_path, SIREN)
    run_virtual(first.play(alarm))
    assert first.relays.coil[0] == 0
    second.later_ms = gone_s * 1000
    second.set(0, 6)
    run_virtual(second.play(again))


@pytest.mark.parametrize("timer", ["pulse", "watchdog"])
def test_a_device_with_a_timer_is_off_without_us(tmp_path: Path, timer: str) -> None:
    register, unit = ("512", "100ms") if timer == "pulse" else ("8", "1s")
    keys = f'timer = "{timer}"\ntimer_register = {register}\ntimer_unit = "{unit}"\nhold = "6s"'
    rig = Rig(tmp_path, output("siren", 0, keys) + action("wail", "high", 'output = "siren"\nmax_on = "5min"'))
    rig.relays.put("holding", 8, [0])
    rig.relays.watchdog = 8

    async def story(rig: Rig) -> None:
        rig.set(0, 6)
        await asyncio.sleep(100)
        assert rig.on()
        assert [value for _, coil, value in rig.relays.log if coil == 0] == [1], "never off in between"
        del rig.lines["relays"]
        assert rig.daemon is not None
        for switcher in rig.daemon.outputs.switchers.values():  # as after kill -9: nobody says anything any more
            switcher._output = None  # type: ignore[assignment]
        await asyncio.sleep(6.1)
        assert not rig.on()

    run_virtual(rig.play(story))


def test_a_drill_of_a_limit_is_marked_everywhere_and_ends(tmp_path: Path) -> None:
    rig = Rig(tmp_path, SIREN)

    async def story(rig: Rig) -> None:
        assert rig.daemon is not None
        drill = rig.daemon.drills._ask_drill
        with pytest.raises(FengsuiError, match="who says so, and why"):
            await drill({"name": "high"})
        with pytest.raises(FengsuiError, match="there is no output or limit low"):
            await drill({"name": "low", "by": "w", "reason": "r"})
        await drill({"name": "high", "by": "wang", "reason": "monthly", "for_s": 5})
        await asyncio.sleep(0.3)
        assert rig.on()
        assert rig.daemon.limits.levels()["high"].name == "NONE"
        assert rig.daemon.journal.alarms[-1]["text"].startswith("DRILL, RED raised")
        assert [it.get("drill") for it in rig.told if it.get("by") == ["wail"]] == [True]
        await asyncio.sleep(7)
        assert not rig.on()
        assert rig.daemon.journal.alarms[-1]["text"].startswith("DRILL, cleared")
        await drill({"name": "siren", "by": "wang", "reason": "monthly", "for_s": 3})
        await asyncio.sleep(0.3)
        assert rig.on()
        await asyncio.sleep(3.2)
        assert not rig.on()

    run_virtual(rig.play(story))


def test_the_journal_says_when_the_clock_was_years_off(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        assert rig.daemon is not None
        clock = rig.daemon.clock
        clock._synchronised = lambda: False
        clock.learn(clock.now().at_ms - 3 * 365 * 86_400_000 / 12, 40, "the province")
        await asyncio.sleep(2)
        [told] = [event["text"] for event in rig.daemon.journal.events if "corrected" in event["text"]]
        assert "by the province" in told

    run_virtual(Rig(tmp_path, SIREN).play(story))


def texts(rig: Rig) -> list[str]:
    assert rig.daemon is not None
    return [alarm["text"].partition(":")[0] for alarm in rig.daemon.journal.alarms if alarm["drill"]]


@pytest.mark.parametrize("crash", [False, True])
def test_a_drill_that_is_cut_off_has_its_end(tmp_path: Path, crash: bool) -> None:
    """At the stop of the gateway, or when it runs again after a crash; once."""

    async def cut_off(rig: Rig) -> None:
        assert rig.daemon is not None
        await rig.daemon.drills._ask_drill({"name": "high", "by": "wang", "reason": "monthly", "for_s": 30})
        await asyncio.sleep(2)
        if crash:
            rig.daemon.drills._running = {}

    async def again(rig: Rig) -> None:
        assert texts(rig) == ["DRILL, RED raised", "DRILL, cleared"]
        assert not rig.on()

    first = Rig(tmp_path, SIREN)
    run_virtual(first.play(cut_off))
    assert texts(first) == ["DRILL, RED raised", "DRILL, cleared"][: 1 if crash else 2]
    run_virtual(Rig(tmp_path, SIREN).play(again))
    run_virtual(Rig(tmp_path, SIREN).play(again))


def test_a_drill_of_a_limit_that_is_gone_has_its_end_too(tmp_path: Path) -> None:
    more = '[[limit]]\nid = "more"\npoint = "level"\nabove = { red = 9 }\n'

    async def cut_off(rig: Rig) -> None:
        assert rig.daemon is not None
        await rig.daemon.drills._ask_drill({"name": "more", "by": "wang", "reason": "monthly", "for_s": 30})
        await asyncio.sleep(2)
        rig.daemon.drills._running = {}

    async def again(rig: Rig) -> None:
        assert texts(rig) == ["DRILL, RED raised", "DRILL, cleared"]

    run_virtual(Rig(tmp_path, more + SIREN).play(cut_off))
    run_virtual(Rig(tmp_path, SIREN).play(again))


def test_a_drill_of_an_output_says_how_long_it_really_is_and_has_no_level(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        assert rig.daemon is not None
        ask = {"name": "siren", "by": "wang", "reason": "monthly", "for_s": 50}
        with pytest.raises(FengsuiError, match="siren is an output and has no levels"):
            await rig.daemon.drills._ask_drill({**ask, "level": "red"})
        with pytest.raises(FengsuiError, match="there is no level rde"):
            await rig.daemon.drills._ask_drill({**ask, "name": "high", "level": "rde"})
        with pytest.raises(FengsuiError, match="high never stands at blue; it has: yellow, red"):
            await rig.daemon.drills._ask_drill({**ask, "name": "high", "level": "blue"})
        with pytest.raises(FengsuiError, match="holds '\\\\n', which is no writing"):
            await rig.daemon.drills._ask_drill({**ask, "reason": "monthly\nlimit high: cleared"})
        assert not rig.on()
        assert not [event for event in rig.daemon.journal.events if event["about"] == "drill"]
        assert (await rig.daemon.drills._ask_drill({**ask, "level": None}))["for_s"] == 20.0

    run_virtual(Rig(tmp_path, SIREN).play(story))


def test_a_drill_is_a_field_of_the_alarms_and_decides_nothing(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        assert rig.daemon is not None
        answers = rig.daemon.answers
        rig.set(0, 6)
        await asyncio.sleep(0.5)
        await rig.daemon.drills._ask_drill({"name": "high", "by": "wang", "reason": "monthly", "for_s": 1})
        await asyncio.sleep(3)
        recent = (await answers._ask_alarms({}))["recent"]
        assert [(alarm["level"], alarm["drill"]) for alarm in recent] == [("red", False), ("red", True), ("none", True)]
        [rule] = await answers._ask_rules({"limit": "high"})
        assert (rule["last_alarm"]["level"], rule["last_alarm"]["drill"]) == ("red", False)

    run_virtual(Rig(tmp_path, SIREN).play(story))


def test_a_real_alarm_goes_before_a_drill(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        assert rig.daemon is not None
        ask = {"name": "high", "by": "wang", "reason": "monthly", "for_s": 5}
        await rig.daemon.drills._ask_drill(ask)
        rig.set(0, 6)
        await asyncio.sleep(10)
        assert rig.on(), "the drill is over, the alarm is not"
        assert [it.get("drill", False) for it in rig.told if it.get("by") == ["wail"]] == [True, False]
        assert rig.daemon.outputs.show()["siren"]["drill"] is False

    run_virtual(Rig(tmp_path, SIREN).play(story))
