"""A relay on the board's own pins: what the kernel is asked for, byte by byte, and what is said when it refuses."""

from __future__ import annotations

import asyncio
import errno
import struct
from pathlib import Path

import pytest

from drivers.gpio import DRIVER, GpioOutput
from drivers.gpio.output import GpioSwitch
from edge import gpio
from edge.contract import OutputSpec, Switched
from edge.power_line import GpioLine
from tests.gpio_chip import GET_LINE, GET_VALUES, SET_VALUES, Chip

PIN, LOW_PIN = gpio.Place("gpiochip0", 17, False), gpio.Place("gpiochip0", 17, True)
ON, OFF = Switched(True), Switched(False)


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Chip:
    return Chip(monkeypatch, tmp_path)


def order(output: GpioSwitch, *ons: bool) -> list[Switched]:
    async def main() -> list[Switched]:
        return [await output.switch(on, 60.0) for on in ons]

    return asyncio.run(main())


def look(output: GpioSwitch) -> Switched:
    return asyncio.run(output.read())


def open_handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def request(low: bool, value: int) -> bytes:
    """struct gpio_v2_line_request for line 17 as an output, written by hand: offsets as gcc gives them."""
    wanted = bytearray(592)
    struct.pack_into("=I", wanted, 0, 17)  # offsets[0]
    wanted[256:263] = b"fengsui"  # consumer
    struct.pack_into("=QI", wanted, 288, 8 + 2 * low, 1)  # config.flags: OUTPUT, ACTIVE_LOW; config.num_attrs
    struct.pack_into("=IIQQ", wanted, 320, 2, 0, value, 1)  # OUTPUT_VALUES, padding, values, mask: of the first line
    struct.pack_into("=I", wanted, 560, 1)  # num_lines
    return bytes(wanted)


def values(bits: int) -> bytes:
    return struct.pack("=QQ", bits, 1)


@pytest.mark.parametrize("low", [False, True])
def test_the_first_order_is_in_the_request_itself_and_nothing_flickers(chip: Chip, low: bool) -> None:
    output = GpioSwitch(LOW_PIN if low else PIN)
    assert chip.asked == [], "nothing is opened yet"
    assert order(output, False, True, True, False) == [OFF, ON, ON, OFF]
    assert chip.asked == [
        (GET_LINE, request(low, 0)),
        (GET_VALUES, values(0)),
        *[(SET_VALUES, values(1)), (GET_VALUES, values(0))] * 2,
        (SET_VALUES, values(0)),
        (GET_VALUES, values(0)),
    ]
    assert chip.log == [(17, low), (17, not low), (17, low)]


@pytest.mark.parametrize("low", [False, True])
def test_a_first_order_that_is_on_is_on_at_once(chip: Chip, low: bool) -> None:
    """After a restart, an alarm may stand: a pin that the kernel has kept on does not blink."""
    assert order(GpioSwitch(LOW_PIN if low else PIN), True) == [ON]
    assert chip.asked[0] == (GET_LINE, request(low, 1))
    assert chip.log == [(17, not low)]


def test_what_the_pin_shows_is_read_back(chip: Chip) -> None:
    output = GpioSwitch(PIN)
    order(output, False)
    chip.stuck.add(17)
    assert order(output, True) == [
        Switched(False, "was switched on, but its pin is off: is it shorted, or driven by more?")
    ]
    chip.levels[17] = True
    assert look(output) == ON
    assert order(output, False)[0].on is True
    assert output.health() == {"orders": 3, "done": 1, "wrong": 2, "unknown": 0, "reads": 4}


def test_looking_at_a_line_that_was_never_switched_switches_nothing(chip: Chip) -> None:
    assert look(GpioSwitch(PIN)) == Switched(None, "line 17 of gpiochip0 is not held: no order has reached it yet")
    assert chip.asked == []


def test_a_line_that_fails_is_asked_for_anew(chip: Chip) -> None:
    output = GpioSwitch(PIN)
    order(output, False)
    before = open_handles()
    chip.error = errno.ENODEV
    [got] = order(output, True)
    assert got == Switched(None, "/dev/gpiochip0 is not there: gpiodetect lists the chips of this machine")
    assert open_handles() == before - 1, "its handle is let go"
    chip.error = 0
    assert order(output, True) == [ON]
    assert chip.asked[-2] == (GET_LINE, request(False, 1))
    assert open_handles() == before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errno.ENOENT, "/dev/gpiochip0 is not there: gpiodetect"),
        (errno.EACCES, "no permission for /dev/gpiochip0: put the gateway's user into the group gpio"),
        (errno.EPERM, "DeviceAllow=char-gpiochip rw and SupplementaryGroups=gpio too (systemctl edit fengsui)"),
        (errno.ENOTTY, "/dev/gpiochip0 is not a GPIO chip"),
        (errno.EIO, "line 17 of gpiochip0 can not be switched: Input/output error"),
    ],
)
def test_a_chip_that_can_not_be_had_is_said_with_what_to_do(chip: Chip, error: int, said: str) -> None:
    chip.open_error = error
    output = GpioSwitch(PIN)
    [got] = order(output, False)
    assert got.on is None
    assert said in got.why
    [told] = DRIVER.lacks([OutputSpec("siren", GpioOutput(line="gpio:gpiochip0/17"))])
    assert told == f"siren: {got.why}"
    assert output.health()["unknown"] == 1


def test_a_file_that_is_no_chip_and_a_line_that_is_not_there(chip: Chip, tmp_path: Path) -> None:
    [got] = order(GpioSwitch(gpio.Place("gpiochip0", 54, False)), False)
    assert got.why == "gpiochip0 has no line 54 to switch: gpioinfo lists them (Linux 5.10 or later)"
    [got] = order(GpioSwitch(gpio.Place("gpiochip9", 1, False)), False)
    assert got.why.startswith("/dev/gpiochip9 is not there")


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("gpio-leds", "in use by “gpio-leds”: free it, or take another one (gpioinfo)"),
        ("", "in use by the kernel or a program without a name: free it"),
        ("fengsui", "in use by “fengsui” (another gateway, or [store] power_fail of this one): free it"),
    ],
)
def test_a_line_that_somebody_else_holds_is_said_with_his_name(chip: Chip, user: str, said: str) -> None:
    chip.users[17] = user
    output = GpioSwitch(PIN)
    [got] = order(output, True)
    assert got == Switched(None, f"line 17 of gpiochip0 is {got.why.partition(' is ')[2]}")
    assert said in got.why
    told = DRIVER.lacks([OutputSpec("siren", GpioOutput(line="gpio:gpiochip0/17"))])
    assert told == ([] if user == "fengsui" else [f"siren: {got.why}"]), "a gateway that runs is this one"
    chip.users.clear()
    assert order(output, True) == [ON]


def test_the_power_fail_line_is_no_output(chip: Chip) -> None:
    failing = GpioLine("gpiochip0", 4, low=True)
    chip.levels[4] = True
    assert failing.failing() is False
    assert order(GpioSwitch(gpio.Place("gpiochip0", 4, False)), True)[0].why.startswith("line 4 of gpiochip0 is in use")
    assert chip.levels[4] is True


def test_check_changes_nothing(chip: Chip) -> None:
    chip.levels[17] = True
    assert DRIVER.lacks([OutputSpec("siren", GpioOutput(line="gpio:gpiochip0/17"))]) == []
    assert chip.log == []
    assert [call for call, _ in chip.asked] == [0xC100B405]


WRONG = [
    ("gpiochip0/17", "line: found “gpiochip0/17”; allowed: gpio:gpiochip0/17 (high: on) or gpio:gpiochip0/17/low"),
    ("gpio:17", "line: found “gpio:17”"),
    ("gpio:gpiochip0/17/high", "line: found"),
    ("file:/run/x", "line: found"),
]


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_settings_that_are_wrong(line: str, said: str) -> None:
    [told] = DRIVER.check_outputs(None, [OutputSpec("siren", GpioOutput(line=line))])
    assert told.startswith(f"siren: {said}")


def test_one_line_is_one_output(chip: Chip) -> None:
    lines = ["gpio:gpiochip0/17", "gpio:gpiochip0/017/low", "gpio:gpiochip1/17", "gpio:gpiochip0/27/low"]
    specs = [OutputSpec(f"o{n}", GpioOutput(line=line)) for n, line in enumerate(lines)]
    assert DRIVER.check_outputs(None, specs) == ["o1: line: line 17 of gpiochip0 is o0's already"]
