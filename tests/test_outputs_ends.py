"""The ends of outputs: commands, the speech module, the bus; and what a site file may not say."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from drivers.command import DRIVER as COMMAND
from drivers.command import CommandOutput
from drivers.command.output import Command
from drivers.modbus.turns import Turns
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
from tests.outputs_site import HEAD, SIREN, action, output


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
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text():
            return
        time.sleep(0.02)
    os.kill(child, 0)
    pytest.fail("its child lives on")


async def _both(command: Command) -> tuple[Switched, Switched]:
    return await command.switch(True, 1.0), await command.switch(False, 1.0)


def test_what_must_not_run_is_refused() -> None:
    bad = CommandOutput(run_on=("gpioset",), run_off=("/bin/sh", "-c", "x"), timeout="1h")
    assert list(COMMAND.check_outputs(None, [OutputSpec("light", bad)])) == [
        "light: run_on: gpioset is no absolute path",
        "light: run_off: no shell and nothing that runs others; write a program of your own",
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
