"""A relay on the board's own pins and the daemon as a whole, in virtual time; `fengsui check`; the world."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from drivers.gpio.output import GpioSwitch
from edge.cli.verbs import fengsui
from edge.contract import Switched
from edge.preflight import Look
from sim.world.stage import play_in_memory
from tests import world_site, world_stories
from tests.gpio_chip import Chip
from tests.modbus_site import run_virtual
from tests.outputs_site import HEAD, Rig, action


def relay(id_: str, line: str, more: str = "") -> str:
    return f'[[output]]\nid = "{id_}"\ndriver = "gpio"\nline = "gpio:gpiochip0/{line}"\n{more}\n'


SIREN = relay("siren", "17/low") + action("wail", "high", 'output = "siren"\nlevel = "red"\nmax_on = "20s"')
FEEDER = relay("feeder", "27", 'rest = "on"') + action("cut", "gas-high", 'output = "feeder"')
SITE = HEAD.replace('[[port]]\nid = "relays"\nopen = "tcp:127.0.0.1:2"\n', "")  # no relay hangs on a wire
ON, OFF = False, True  # what pin 17 shows: the board switches at a low level


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Chip:
    monkeypatch.setattr("tests.outputs_site.HEAD", SITE)
    return Chip(monkeypatch, tmp_path)


def test_an_alarm_switches_the_pin_and_start_and_end_are_off(chip: Chip, tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        assert chip.log == [(17, OFF)], "off from the first moment"
        rig.set(0, 6)
        await asyncio.sleep(0.11)  # it is read every 100 ms
        assert chip.levels[17] is ON
        await asyncio.sleep(19.5)
        assert chip.levels[17] is ON
        await asyncio.sleep(1)
        assert chip.levels[17] is OFF, "20 s are over"
        rig.set(0, 0)
        await asyncio.sleep(1)
        rig.set(0, 6)
        await asyncio.sleep(1)
        assert chip.levels[17] is ON
        assert [words.get("by") for words in rig.told] == [["wail"], [], ["wail"]]

    run_virtual(Rig(tmp_path, SIREN).play(story))
    assert chip.log == [(17, OFF), (17, ON)] * 2 + [(17, OFF)]


def test_a_release_rests_on_and_is_taken_away(chip: Chip, tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        assert chip.log[0] == (27, False), "off until the gas is known"
        await asyncio.sleep(2)
        assert chip.log == [(27, False), (27, True)]
        rig.set(1, 1.6)
        await asyncio.sleep(0.2)
        assert chip.levels[27] is False
        rig.set(1, 0.5)
        await asyncio.sleep(0.2)
        assert chip.levels[27] is True

    run_virtual(Rig(tmp_path, FEEDER).play(story))
    assert chip.levels[27] is False


def test_a_line_that_is_busy_is_said_once_and_taken_when_it_is_free(chip: Chip, tmp_path: Path) -> None:
    chip.users[17] = "gpio-leds"

    async def story(rig: Rig) -> None:
        rig.set(0, 6)
        await asyncio.sleep(5)
        assert rig.daemon is not None
        assert rig.daemon.limits.levels()["high"].name == "RED", "the judging goes on"
        shown = rig.daemon.outputs.show()["siren"]
        assert (shown["on"], shown["wanted"]) == (None, True)
        assert "line 17 of gpiochip0 is in use by “gpio-leds”" in shown["wrong"]
        assert len([words for words in rig.told if words.get("wrong")]) <= 1
        assert chip.log == []
        chip.users.clear()
        await asyncio.sleep(10.5)
        assert chip.log == [(17, ON)]
        assert rig.daemon.outputs.show()["siren"]["wrong"] == ""

    run_virtual(Rig(tmp_path, SIREN).play(story))


def test_somebody_who_drives_the_pin_is_found_and_put_right(chip: Chip, tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await asyncio.sleep(1)
        chip.levels[17] = ON
        await asyncio.sleep(62)  # what is off is looked at each minute
        assert chip.levels[17] is OFF
        assert [words["wrong"] for words in rig.told if "wrong" in words] == [
            "stands on and has to be off: somebody has switched it",
            "",
        ]

    run_virtual(Rig(tmp_path, SIREN).play(story))


@pytest.mark.parametrize(("level", "end"), [(6, ON), (0, OFF)])
def test_killed_while_it_is_on_the_pin_stays_and_the_next_start_puts_it_right(
    chip: Chip, tmp_path: Path, level: float, end: bool
) -> None:
    """As a Raspberry Pi's own kernel has it: `fengsui check` says so."""

    async def alarm(rig: Rig) -> None:
        rig.set(0, 6)
        await asyncio.sleep(1)
        chip.silent = True

    async def again(rig: Rig) -> None:
        assert chip.levels[17] is end
        assert len(chip.log) <= 2, "no more than off, and on again as soon as the store has said what stood"

    run_virtual(Rig(tmp_path, SIREN).play(alarm))
    assert chip.levels[17] is ON
    chip.let_go()
    chip.silent = False
    chip.log.clear()
    second = Rig(tmp_path, SIREN)
    second.later_ms = 5000
    second.set(0, level)
    run_virtual(second.play(again))
    assert chip.levels[17] is OFF


def test_check_says_what_a_kill_leaves_on_and_what_is_not_there(
    chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.preflight.look", lambda _folder, _quota_bytes: Look([], ""))
    monkeypatch.setattr("edge.preflight.sqlite_note", lambda _version: None)
    site = tmp_path / "site.toml"
    site.write_text(SITE + SIREN)
    done = CliRunner().invoke(fengsui, ["check", str(site)])
    assert done.exit_code == 0, done.output
    assert "note: output siren: its pin has no timer: if the gateway dies while it is on, a Rasp" in done.stdout
    assert "dtparam=strict_gpiod" in done.stdout
    assert "take a device with a timer" not in done.stdout
    site.write_text(SITE + SIREN.replace("gpiochip0/17", "gpiochip7/17"))
    done = CliRunner().invoke(fengsui, ["check", str(site)])
    assert done.exit_code == 3
    assert "error: output siren: /dev/gpiochip7 is not there: gpiodetect lists the chips of this machine" in done.stderr
    site.write_text(SITE + SIREN.replace("17/low", "17/lo"))
    done = CliRunner().invoke(fengsui, ["check", str(site)])
    assert done.exit_code == 3
    assert 'output[0] "siren": line: found “gpio:gpiochip0/17/lo”; allowed: gpio:gpiochip0/17' in done.stderr


# -- in the world: its pins are no pins of this machine ------------------------------------------------------------

EVACUATE = action("evacuate", "gas-high", 'output = "siren"\nmax_on = "8min"')
PINNED = world_site.site() + relay("siren", "17/low") + EVACUATE
GAS = """
    1s 2h point.is pond.level 418
    1s 2h point.is dam.pore 100
    1s 59s point.is fan.gas 0.5
    60s 180s point.is fan.gas 2.5
    240s 2h point.is fan.gas 0.5
    150s 20s power.kill
"""


def test_a_site_with_such_a_relay_is_played_and_judged() -> None:
    played = play_in_memory(world_stories.story("pins", "12min", GAS, PINNED))
    assert played.outcome.broken == ()
    assert played.outcome.sums["sirens"] == 2, "once before the kill, once after"


def test_a_relay_that_does_not_come_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(_self: GpioSwitch, on: bool, _for_s: float, _text: str = "") -> Switched:
        return Switched(on)

    monkeypatch.setattr(GpioSwitch, "switch", deaf)
    broken = play_in_memory(world_stories.story("pins", "12min", GAS, PINNED)).outcome.broken
    assert broken[0].promise == "3 alarms"
    assert "siren is off from" in broken[0].what
