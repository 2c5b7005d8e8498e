"""A relay on the board's own pins, a relay hat: one line of a GPIO chip, high or low for on. `edge.gpio` has the calls.

No timer: what becomes of a pin when the gateway is gone is the kernel's affair, and `if_killed` says it.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from edge import gpio
from edge.contract import Driver, OpenPort, Output, OutputSpec, PortSettings, Sensor

ALLOWED = "gpio:gpiochip0/17 (high: on) or gpio:gpiochip0/17/low (low: on, as most relay boards)"
# "GPIO Usage on Raspberry Pi Devices" (white paper, Raspberry Pi Ltd, 2024), chapter libgpiod: their kernel retains
# the state of an output whose program has ended, unless dtparam=strict_gpiod. raspberrypi/linux, pull requests 6117
# and 6150: persist_gpio_outputs, true there in pinctrl-bcm2835 and pinctrl-rp1; false in the kernel of kernel.org.
IF_KILLED = (
    "its pin has no timer: if the gateway dies while it is on, a Raspberry Pi's own kernel leaves it on until the "
    "gateway runs again (some 10 s), and for ever if it does not; dtparam=strict_gpiod in config.txt makes the pin an "
    "input then, and a pull resistor to its off side lets the relay fall (edge/ACTIONS.md) / 引脚没有定时器："
    "网关在其接通时意外终止，树莓派自带内核会使其一直接通，直到网关重新运行；请在 config.txt 中加 "
    "dtparam=strict_gpiod，并加上拉或下拉电阻使继电器释放。"
)


class GpioOutput(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Keys of `[[output]]`."""

    line: Annotated[str, Meta(description=f"Chip and line, as gpioinfo counts them: {ALLOWED}")]


def check_outputs(_port: PortSettings | None, specs: Sequence[OutputSpec]) -> list[str]:
    """Sentences about lines that are none, or are named twice."""
    found, taken = [], dict[tuple[str, int], str]()
    for spec in specs:
        place = gpio.place_of(spec.settings.line)
        if place is None:
            found.append(f"{spec.id}: line: found “{spec.settings.line}”; allowed: {ALLOWED}")
        elif (owner := taken.setdefault(place[:2], spec.id)) != spec.id:
            found.append(f"{spec.id}: line: line {place.offset} of {place.chip} is {owner}'s already")
    return found


def lacks(specs: Sequence[OutputSpec]) -> list[str]:
    """Lines that are not there, or are somebody else's. One that a gateway holds is taken for this site's."""
    found = []
    for spec in specs:
        place = _place(spec)
        try:
            user = gpio.holder(place)
        except OSError as error:
            found.append(f"{spec.id}: {why_not(place, error)}")
            continue
        if user is not None and user != gpio.CONSUMER.decode():
            found.append(f"{spec.id}: {_in_use(place, user)}")
    return found


def why_not(place: gpio.Place, error: OSError) -> str:
    """What is wrong with a line, and what to do."""
    device, line = place.device, f"line {place.offset} of {place.chip}"
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return f"{device} is not there: gpiodetect lists the chips of this machine"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"no permission for {device}: put the gateway's user into the group gpio; a service needs "
            "DeviceAllow=char-gpiochip rw and SupplementaryGroups=gpio too (systemctl edit fengsui)"
        )
    if error.errno == errno.EBUSY:
        return _in_use(place, _user(place))
    if error.errno == errno.ENOTTY:
        return f"{device} is not a GPIO chip: gpiodetect lists those of this machine"
    if error.errno == errno.EINVAL:
        return f"{place.chip} has no line {place.offset} to switch: gpioinfo lists them (Linux 5.10 or later)"
    if error.errno == errno.EBADF:
        return f"{line} is not held: no order has reached it yet"
    return f"{line} can not be switched: {error.strerror}"


def outputs(
    _port: PortSettings | None, _open_port: OpenPort, specs: Sequence[OutputSpec], _sensors: Mapping[str, Sensor]
) -> Mapping[str, Output]:
    """All relays on the board's pins."""
    from drivers.gpio.output import GpioSwitch

    return {spec.id: GpioSwitch(_place(spec)) for spec in specs}


def _place(spec: OutputSpec) -> gpio.Place:
    place = gpio.place_of(spec.settings.line)
    if place is None:
        raise ValueError(f"{spec.settings.line} is no line")
    return place


def _user(place: gpio.Place) -> str:
    try:
        return gpio.holder(place) or ""
    except OSError:
        return ""


def _in_use(place: gpio.Place, user: str) -> str:
    who = f"“{user}”" if user else "the kernel or a program without a name"
    if user == gpio.CONSUMER.decode():
        who += " (another gateway, or [store] power_fail of this one)"
    return f"line {place.offset} of {place.chip} is in use by {who}: free it, or take another one (gpioinfo)"


DRIVER = Driver(
    name="gpio",
    output=GpioOutput,
    outputs=outputs,
    check_outputs=check_outputs,
    lacks=lacks,
    if_killed=IF_KILLED,
)
