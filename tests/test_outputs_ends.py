"""The ends of outputs: commands, the speech module, the bus; and what a site file may not say."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.command import DRIVER as COMMAND
from drivers.command import CommandOutput
from drivers.command.output import Command
from drivers.modbus import DRIVER as MODBUS
from drivers.modbus.turns import Turns
from drivers.mqtt import DRIVER as MQTT
from drivers.syn6288 import wire
from drivers.syn6288.output import Speech
from edge.actions import Action, Actions
from edge.config import load
from edge.contract import Level, OutputSpec, Port, PortSettings, Switched
from edge.errors import SiteFileError
from edge.switching import Switcher
from sim.virtual import run
from tests.modbus_site import PortSettings as Settings
from tests.modbus_site import run_virtual
from tests.outputs_site import HEAD, SIREN, Rig, action, output


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_command_runs_as_it_stands_and_nothing_else(tmp_path: Path) -> None:
    on = program(tmp_path, "on", f'echo "$# $1 ${{HOME-none}}" > {tmp_path}/seen')
    off = program(tmp_path, "off", "exit 3")
    command = Command(CommandOutput(run_on=(on, "; rm -rf $HOME"), run_off=(off,)))

    async def main() -> tuple[Switched, Switched]:
        return await command.switch(True, 1.0, "text"), await command.switch(False, 1.0)

    done, failed = asyncio.run(main())
    assert done == Switched(True)
    assert (tmp_path / "seen").read_text() == "1 ; rm -rf $HOME none\n"
    assert failed == Switched(None, f"{off} ended with code 3")


def test_a_command_without_end_is_killed_with_its_children(tmp_path: Path) -> None:
    slow = program(tmp_path, "slow", f"sleep 60 &\necho $! > {tmp_path}/child\nsleep 60")
    command = Command(CommandOutput(run_on=(slow,), run_off=("/nowhere/off",), timeout="500ms"))
    began_s = time.monotonic()
    killed, missing = asyncio.run(_both(command))
    assert "was killed: no end in 0.5 s" in killed.why
    assert missing.why == "/nowhere/off can not be run: No such file or directory"
    assert time.monotonic() - began_s < 5
    child = int((tmp_path / "child").read_text())
    assert dies(child)


def dies(process: int) -> bool:
    """A kill takes its moment."""
    until_s = time.monotonic() + 5
    while lives(process) and time.monotonic() < until_s:
        time.sleep(0.01)
    return not lives(process)


def lives(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


def test_what_a_command_leaves_running_ends_with_the_next_order(tmp_path: Path) -> None:
    on = program(tmp_path, "on", f"sleep 60 &\necho $! > {tmp_path}/player")
    command = Command(CommandOutput(run_on=(on,), run_off=("/bin/true",)))

    def player() -> int:
        return int((tmp_path / "player").read_text())

    async def main() -> None:
        assert await command.switch(True, 9.0) == Switched(True)
        first = player()
        assert lives(first)
        assert await command.switch(True, 9.0) == Switched(True)
        second = player()
        assert lives(second)
        assert dies(first)
        assert await command.switch(False, 9.0) == Switched(False)
        assert dies(second)

    asyncio.run(main())


def test_a_command_that_is_ended_by_a_signal_has_failed(tmp_path: Path) -> None:
    on = program(tmp_path, "on", "kill -9 $$")
    got = asyncio.run(Command(CommandOutput(run_on=(on,), run_off=(on,))).switch(True, 1.0))
    assert got == Switched(None, f"{on} was ended by signal 9")


@pytest.fixture
def children_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("children_ignored")
def test_an_end_that_nobody_can_see_is_told_and_the_next_order_runs(tmp_path: Path) -> None:
    on = program(tmp_path, "on", f"echo on >> {tmp_path}/seen")
    command = Command(CommandOutput(run_on=(on,), run_off=("/bin/true",), timeout="500ms"))

    async def main() -> list[Switched]:
        return [await command.switch(on, 9.0) for on in (True, False, True)]

    for got in asyncio.run(main()):
        assert got.on is None
        assert "SIGCHLD" in got.why
    assert (tmp_path / "seen").read_text() == "on\non\n"


def test_a_fault_in_its_thread_is_told_and_the_next_order_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    command = Command(CommandOutput(run_on=("/bin/true",), run_off=("/bin/true",), timeout="500ms"))

    def fails(*_: object) -> None:
        raise RuntimeError("no")

    async def main() -> tuple[Switched, Switched]:
        with monkeypatch.context() as patch:
            patch.setattr("drivers.command.output._end_of", fails)
            first = await command.switch(True, 9.0)
        return first, await command.switch(False, 9.0)

    first, second = asyncio.run(main())
    assert first == Switched(None, "/bin/true failed, a fault of ours: RuntimeError: no")
    assert second == Switched(False)


@pytest.mark.usefixtures("children_ignored")
def test_the_gateway_sees_the_ends_of_its_commands_whoever_started_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, SIREN)

    async def story(_rig: Rig) -> None:
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL

    run_virtual(rig.play(story))


async def _both(command: Command) -> tuple[Switched, Switched]:
    return await command.switch(True, 1.0), await command.switch(False, 1.0)


def test_what_must_not_run_is_refused() -> None:
    bad = CommandOutput(run_on=("gpioset",), run_off=("/bin/sh", "-c", "x"), timeout="1h")
    assert list(COMMAND.check_outputs(None, [OutputSpec("light", bad)])) == [
        "light: run_on: gpioset is no absolute path",
        "light: run_off: sh is not run; name the program, or a script of your own",
        "light: timeout is outside 100ms to 10s",
    ]


def test_frames_of_the_speech_module() -> None:
    """Stop: as libdriver/syn6288 sends it. Speak: the same frame built by hand from the fields."""
    assert wire.stop().hex() == "fd000202fd"
    raw = "撤离".encode("gbk")
    frame = bytes([0xFD, 0, len(raw) + 3, 1, 1]) + raw
    check = 0
    for byte in frame:
        check ^= byte
    assert wire.speak("撤离") == frame + bytes([check])
    assert len(wire.speak("险" * 500)) == 6 + wire.TEXT_MOST_BYTES
    assert [wire.answer(heard) for heard in (b"", b"\x4a\x4f", b"\x4a\x41\x4e", b"\x45")] == [None, None, True, False]


class Module:
    """A module that answers each frame with one byte."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.heard = b""
        self._out = b""

    async def read(self) -> bytes:
        if not self._out:
            await asyncio.sleep(1e6)
        out, self._out = self._out, b""
        return out

    async def write(self, data: bytes) -> None:
        self.heard += data
        self._out = self.reply

    def flush_input(self) -> bytes:
        return b""

    def close(self) -> None: ...


REPLIES = [(b"\x41", True, ""), (b"\x45", None, "understand"), (b"", None, "TX")]


@pytest.mark.parametrize(("reply", "on", "why"), REPLIES)
def test_the_speech_module_says_what_it_has_taken(reply: bytes, on: bool | None, why: str) -> None:
    module = Module(reply)

    async def open_port(_: PortSettings) -> Port:
        return module

    async def main() -> Switched:
        return await Speech(Settings("serial:/dev/x"), open_port).switch(True, 10.0, "撤离")

    found = run_virtual(main())
    assert found.on is on
    assert why in found.why
    assert module.heard == wire.speak("撤离")


def test_those_in_a_hurry_go_first_and_a_cancelled_one_holds_up_nobody() -> None:
    order: list[str] = []

    async def speak(turns: Turns, name: str, urgent: bool) -> None:
        async with turns.take(urgent):
            order.append(name)
            await asyncio.sleep(1)

    async def main() -> None:
        turns = Turns()
        names = [("first", False), ("a", False), ("b", False), ("gone", True), ("siren", True)]
        tasks = [asyncio.ensure_future(speak(turns, *it)) for it in names]
        await asyncio.sleep(0.5)
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await speak(turns, "last", False)

    run_virtual(main())
    assert order == ["first", "siren", "a", "b", "last"]


def pulse(id_: str, register: int, timer: int) -> str:
    return output(id_, register, f'timer = "pulse"\ntimer_register = {timer}\ntimer_unit = "100ms"')


def watched(id_: str, register: int, hold: str) -> str:
    return output(id_, register, f'timer = "watchdog"\ntimer_register = 8\nhold = "{hold}"')


ZERO = 'output[0] "siren": timer_unit: found “0s”; allowed: '
VOICE = '[[output]]\nid = "voice"\ndriver = "syn6288"\nport = "relays"\n' + action(
    "say", "high", 'output = "voice"\nmax_on = "5s"'
)
COMMAND_SITE = '[[output]]\nid = "c"\ndriver = "command"\nrun_on = ["/bin/ls"]\nrun_off = ["/bin/true"]\n'
WRONG = [
    (output("siren", 0), "no action switches “siren”"),
    (SIREN.replace('max_on = "20s"', ""), "the key `max_on` is missing"),
    (SIREN.replace("20s", "2d"), "allowed: 1s to 1d"),
    (SIREN.replace('"high"', '"hihg"'), "there is no limit “hihg”; did you mean “high”?"),
    (SIREN.replace('output = "siren"', 'output = "sirn"'), "there is no output “sirn”"),
    (SIREN + action("x", "high", 'max_on = "5s"'), "needs `output`"),
    (SIREN + action("x", "high", 'output = "siren"\nmax_on = "5s"\npattern = ["1s", "1s", "1s"]'), "one is missing"),
    (SIREN.replace('"siren"', '"high"'), "is a limit's name too"),
    (output("siren", 0, 'timer = "pulse"') + SIREN.partition("\n\n")[2], "`timer` and `timer_register` go together"),
    (output("f", 1, 'rest = "on"') + action("c", "high", 'output = "f"\nmax_on = "5s"'), "take this key out"),
    (SIREN.replace('port = "relays"', 'port = "relay"'), "there is no port “relay”"),
    (
        SIREN + output("b", 0) + action("x", "high", 'output = "b"\nmax_on = "5s"'),
        "coil 0 of unit 1 is siren's already",
    ),
    (SIREN.replace("register = 0", 'register = 0\ntimer = "pulse"\ntimer_register = 9\ntimer_unit = "0s"'), ZERO),
    (SIREN.replace("register = 0", 'register = 0\ntimer = "puls"'), 'allowed: "none" or "pulse" or "watchdog"'),
    (pulse("b", 1, 512) + pulse("c", 2, 512), "coil 512 of unit 1 is b's already"),
    (pulse("b", 1, 512) + output("c", 512), "coil 512 of unit 1 is b's already"),
    (watched("b", 1, "10s") + watched("c", 2, "20s"), "unit 1 has one watchdog for all: give it the `hold` of b"),
    (SIREN.replace('max_on = "20s"', 'max_on = "20s"\ntext = "x"'), "“siren” does not speak (driver modbus)"),
    (VOICE, "the key `text` is missing: what “voice” says"),
    (VOICE + 'text = "撤离🚨"', '[0] "say" → text: the module has no “🚨”'),
    (VOICE + f'text = "{"撤" * 101}"', 'allowed: a text in "quotes" of at most 100 characters'),
    (VOICE.replace("relays", "bus"), "what is on “bus” speaks modbus: take another port"),
    (SIREN + VOICE + 'text = "x"', "what is on “relays” speaks modbus: take another port"),
    (COMMAND_SITE.replace("ls", "ls\\u0000x"), "run_on: holds a NUL character"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_a_site_file_may_not_say(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "site.toml").write_text(HEAD + text)
    with pytest.raises(SiteFileError) as error:
        load(tmp_path / "site.toml")
    assert said in str(error.value)


class Slow:
    """A relay that has switched long before it is read back."""

    hold_s: float | None = None
    readable = True
    stands = False

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        self.stands = on
        await asyncio.sleep(1.0)
        return Switched(on)

    async def read(self) -> Switched:
        return Switched(self.stands)

    def health(self) -> dict[str, int]:
        return {}


def test_an_order_that_the_end_cuts_off_is_taken_back() -> None:
    async def main() -> bool:
        relay, actions = Slow(), Actions({"siren": False}, [Action("wail", ("high",), Level.RED, "siren", 60.0)], {})
        switcher = Switcher("siren", relay, actions, lambda _about, _text: None, lambda _words: None)
        running = asyncio.ensure_future(switcher.run())
        await asyncio.sleep(1.1)
        assert switcher.on is False
        actions.drill("siren", 10.0, asyncio.get_running_loop().time())
        switcher.wake()
        await asyncio.sleep(0.5)
        assert relay.stands
        running.cancel()
        await switcher.end()
        return relay.stands

    assert run(main()) is False


def test_two_relays_of_one_module_may_share_its_watchdog(tmp_path: Path) -> None:
    both = "".join(action(f"a{it}", "high", f'output = "{it}"\nmax_on = "5s"') for it in "bc")
    (tmp_path / "site.toml").write_text(HEAD + watched("b", 1, "10s") + watched("c", 2, "10s") + both)
    assert len(load(tmp_path / "site.toml").outputs) == 2


def test_a_driver_that_fails_in_its_check_is_a_problem_of_the_file(tmp_path: Path) -> None:
    """So the last good copy is taken; fengsui check says which driver it was."""

    def fails(*_: object) -> list[str]:
        raise ZeroDivisionError("division by zero")

    drivers = dict.fromkeys(("modbus", "mqtt"), MODBUS) | {"mqtt": MQTT}
    (tmp_path / "site.toml").write_text(HEAD + SIREN)
    load(tmp_path / "site.toml", drivers)
    replace = dataclasses.replace
    for broken in (replace(MODBUS, check_outputs=fails), replace(MODBUS, check=fails)):
        with pytest.raises(SiteFileError, match=r"driver “modbus” itself fails .*ZeroDivisionError"):
            load(tmp_path / "site.toml", drivers | {"modbus": broken})


def test_programs_that_can_not_be_run_are_said_by_check(tmp_path: Path) -> None:
    here = program(tmp_path, "ok", "true")
    plain = program(tmp_path, "plain", "true")
    Path(plain).chmod(0o644)
    anybody = program(tmp_path, "anybody", "true")
    Path(anybody).chmod(0o777)
    pairs = [(here, here), (plain, anybody), (str(tmp_path), str(tmp_path / "gone"))]
    specs = [OutputSpec(f"o{n}", CommandOutput(run_on=(a,), run_off=(b,))) for n, (a, b) in enumerate(pairs)]
    assert COMMAND.lacks(specs) == [
        f"o1: run_on: {plain} may not be executed: chmod 755 {plain}",
        f"o1: run_off: {anybody} may be written by anybody: chmod o-w {anybody}",
        f"o2: run_on: {tmp_path} is not a file",
        f"o2: run_off: {tmp_path / 'gone'} can not be looked at: No such file or directory",
    ]


def test_off_kills_the_command_that_still_runs(tmp_path: Path) -> None:
    """As at the end of the gateway: the order for on was cut off, its program goes on."""
    slow = program(tmp_path, "slow", f"echo on >> {tmp_path}/seen; sleep 60; echo late >> {tmp_path}/seen")
    off = program(tmp_path, "off", f"echo off >> {tmp_path}/seen")
    command = Command(CommandOutput(run_on=(slow,), run_off=(off,), timeout="10s"))

    async def main() -> Switched:
        ordering = asyncio.ensure_future(command.switch(True, 1.0))
        for _ in range(200):
            if (tmp_path / "seen").exists():
                break
            await asyncio.sleep(0.02)
        ordering.cancel()
        return await command.switch(False, 1.0)

    began_s = time.monotonic()
    assert asyncio.run(main()) == Switched(False)
    assert (tmp_path / "seen").read_text() == "on\noff\n"
    assert time.monotonic() - began_s < 5
