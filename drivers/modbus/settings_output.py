"""What a site file says of a Modbus output, and what can be wrong with it.

Two kinds of relays switch off by themselves when we are gone:

`timer = "pulse"`: a register takes for how long the output is to be on. Waveshare's relay modules (wiki "Modbus RTU
Relay", development protocol V2, "flash on": 01 05 02 00 00 07 is relay 0 for 7 x 100 ms, at most 0x7FFF): table coil,
timer_register 512 + channel, timer_unit 100ms.

`timer = "watchdog"`: a holding register takes after how much silence on the bus all relays fall. Wiren Board's relay
modules (wiki "Relay Module Modbus Management", safe mode: holding register 8, seconds, 0 is never).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.duration import parse_duration_s
from drivers.modbus.settings import LAST_ADDRESS, TIMEOUT_MAX_S, TIMEOUT_MIN_S, mode_of
from edge.contract import OutputSpec, PortSettings

PULSE_MOST = 0x7FFF  # Waveshare's figure; others take more, none needs it
PULSE_LEAST = 2  # as a number, 1 would be taken for the standard's "on"
HOLD_LEAST_S = 2.0  # said again three times in it; shorter, one disturbed answer would switch a siren off
SETTLE_MOST_S = 2.0

WATCHDOG = "watchdog"

Place = tuple[int, str, int]  # unit, table, address
Register = Annotated[int, Meta(ge=0, le=LAST_ADDRESS)]


class ModbusOutput(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Keys of `[[output]]`."""

    unit: Annotated[int, Meta(ge=0, le=255, description="Address on the bus: 1 to 247 on RTU, 0 to 255 on TCP.")] = 1
    mode: Annotated[Literal["rtu", "tcp"] | None, Meta(description="Framing, as of a device.")] = None
    timeout: Annotated[str, Meta(description="How long the device may take to begin its answer.")] = "500ms"
    register: Annotated[int, Meta(ge=0, le=LAST_ADDRESS, description="Protocol address from 0.")]
    table: Annotated[Literal["coil", "holding"], Meta(description="Written by function 5 or 6.")] = "coil"
    on: Annotated[int, Meta(ge=0, le=65535, description="What is written to switch it on.")] = 1
    off: Annotated[int, Meta(ge=0, le=65535, description="What is written to switch it off.")] = 0
    feedback: Annotated[
        Register | None, Meta(description="Read back here instead: an auxiliary contact of what is switched.")
    ] = None
    feedback_table: Annotated[
        Literal["coil", "discrete", "holding", "input"], Meta(description="Where `feedback` is.")
    ] = "discrete"
    feedback_on: Annotated[int, Meta(ge=0, le=65535, description="What `feedback` reads while it is on.")] = 1
    settle: Annotated[str, Meta(description="How long until it can be read back.")] = "0s"
    timer: Annotated[
        Literal["none", "pulse", "watchdog"], Meta(description="How the device switches off without us, if it does.")
    ] = "none"
    timer_register: Annotated[Register | None, Meta(description="Of the timer.")] = None
    timer_unit: Annotated[str, Meta(description="What the timer counts in.")] = "1s"
    hold: Annotated[str, Meta(description="Off by itself after so long without a word from us.")] = "10s"

    @property
    def hold_s(self) -> float | None:
        return None if self.timer == "none" else parse_duration_s(self.hold)


def check_outputs(port: PortSettings | None, outputs: Sequence[OutputSpec]) -> list[str]:
    """Sentences about settings that are wrong together, each beginning with the output's id."""
    first: dict[Place, tuple[str, str]] = {}  # who writes it first, and as what
    found: list[str] = []
    for spec in outputs:
        wrong = list(_wrong(port, spec.settings))
        found += (f"{spec.id}: {why}" for why in wrong)
        for where, use in _written(spec.settings) if not wrong else ():
            other, other_use = first.setdefault(where, (spec.id, use))
            if other == spec.id and use == other_use:
                continue
            unit, table, register = where
            if use != other_use and use.startswith(WATCHDOG) and other_use.startswith(WATCHDOG):
                found.append(f"{spec.id}: unit {unit} has one watchdog for all: give it the `hold` of {other}")
            elif use != other_use or not use.startswith(WATCHDOG):
                found.append(f"{spec.id}: {table} {register} of unit {unit} is {other}'s already")
    return found


def _written(settings: ModbusOutput) -> Iterator[tuple[Place, str]]:
    """What an output writes, and as what. A watchdog's register may be that of several, if they set it alike."""
    unit = settings.unit
    yield (unit, settings.table, settings.register), "output"
    if settings.timer_register is None:
        return
    if settings.timer == "pulse":
        yield (unit, settings.table, settings.timer_register), "pulse"
    else:
        value = (settings.hold_s or 0) / parse_duration_s(settings.timer_unit)
        yield (unit, "holding", settings.timer_register), f"{WATCHDOG} {value:g}"


def _wrong(port: PortSettings | None, settings: ModbusOutput) -> Iterator[str]:
    if port is not None and mode_of(port, settings) == "rtu" and not 1 <= settings.unit <= 247:
        yield f"unit {settings.unit} is not an address on an RTU bus, which are 1 to 247"
    if settings.on == settings.off or (settings.table == "coil" and {settings.on, settings.off} != {0, 1}):
        yield f"on = {settings.on} and off = {settings.off} must differ, and of a coil be 0 and 1"
    out_of_range = False
    for key, most_s in (("timeout", TIMEOUT_MAX_S), ("settle", SETTLE_MOST_S), ("hold", 3600.0), ("timer_unit", 60.0)):
        try:
            length_s = parse_duration_s(getattr(settings, key))
        except ValueError as error:
            yield f"{key}: {error}"
            return
        if length_s > most_s or (key != "settle" and length_s < TIMEOUT_MIN_S):
            least_s = 0 if key == "settle" else TIMEOUT_MIN_S
            yield f"{key}: found “{getattr(settings, key)}”; allowed: {least_s:g}s to {most_s:g}s"
            out_of_range = True
    if (settings.timer_register is None) != (settings.timer == "none"):
        yield "`timer` and `timer_register` go together"
    if settings.timer == "none" or out_of_range:
        return
    hold_s, unit_s = parse_duration_s(settings.hold), parse_duration_s(settings.timer_unit)
    if hold_s < HOLD_LEAST_S or not PULSE_LEAST <= hold_s / unit_s <= PULSE_MOST:
        yield f"hold must be at least {HOLD_LEAST_S:g}s, and {PULSE_LEAST} to {PULSE_MOST} times timer_unit"
    if settings.timer == "pulse" and settings.off != 0:
        yield "a pulse ends in 0: off must be 0"
