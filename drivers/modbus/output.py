"""A coil or register that is switched: one order, one write, then it is read back. A `contract.Output`.

The write goes first and waits for no read. It is never repeated in here: what it has done is what the read-back shows,
of the coil itself or of a contact of what hangs on it. With a timer the device is told for how long (pulse), or how
much silence it may bear (watchdog), so that it is off without us.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from drivers.duration import parse_duration_s
from drivers.modbus import wire
from drivers.modbus.bus import Bus, Silence
from drivers.modbus.plan import FUNCTIONS
from drivers.modbus.settings_output import PULSE_LEAST, PULSE_MOST, ModbusOutput
from drivers.modbus.wire import Answer, Request
from edge.contract import Switched
from edge.errors import PortLost

WORDS = {True: "on", False: "off"}


class ModbusSwitch:
    """One output on a bus, before whose other questions it goes."""

    readable = True

    def __init__(self, settings: ModbusOutput, bus: Bus) -> None:
        self.hold_s = settings.hold_s
        self._settings = settings
        self._bus = bus
        self._timeout_s = parse_duration_s(settings.timeout)
        self._settle_s = parse_duration_s(settings.settle)
        self._unit_s = parse_duration_s(settings.timer_unit)
        self._counts = dict.fromkeys(("orders", "done", "wrong", "unknown", "reads"), 0)
        self._watchdog_set = False

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        self._counts["orders"] += 1
        try:
            written = await self._bus.order(self._order(on, for_s), self._timeout_s)
            await self._set_watchdog()
        except PortLost as error:
            self._counts["unknown"] += 1
            return Switched(None, str(error))
        if self._settle_s:
            await asyncio.sleep(self._settle_s)
        got = await self.read()
        if got.on is None:
            self._counts["unknown"] += 1
            return Switched(None, f"{written.why}; {got.why}" if written.why else got.why)
        self._counts["done" if got.on is on else "wrong"] += 1
        if got.on is on and on and self._settings.timer == "watchdog" and not self._watchdog_set:
            return Switched(on, f"is on, but would stay so without us: its {self._settings.hold} could not be set")
        if got.on is on:
            return got
        why = f": {written.why}" if written.why else ""
        return Switched(got.on, f"was switched {WORDS[on]}, but is {WORDS[got.on]}{why}")

    async def read(self) -> Switched:
        settings = self._settings
        self._counts["reads"] += 1
        table: str = settings.table
        register = settings.register
        if settings.feedback is not None:
            table, register = settings.feedback_table, settings.feedback
        try:
            reply = await self._bus.ask(
                Request(settings.unit, FUNCTIONS[table], register), self._timeout_s, urgent=True
            )
        except PortLost as error:
            return Switched(None, str(error))
        if not isinstance(reply, Answer):
            self._watchdog_set = False
            return Switched(None, f"can not be read: {reply.why if isinstance(reply, Silence) else reply}")
        value = reply.values[0]
        if settings.feedback is not None:
            return Switched(value == settings.feedback_on)
        if value in (settings.on, settings.off):
            return Switched(value == settings.on)
        return Switched(True, f"holds {value}, which is neither on nor off")

    def health(self) -> Mapping[str, Any]:
        return {**self._counts, "wire": self._bus.health()}

    def _order(self, on: bool, for_s: float) -> Request:
        settings = self._settings
        function = wire.WRITE_COIL if settings.table == "coil" else wire.WRITE_REGISTER
        if on and settings.timer == "pulse" and settings.timer_register is not None and self.hold_s is not None:
            units = math.ceil(min(for_s, self.hold_s) / self._unit_s - 1e-9)
            number = min(max(units, PULSE_LEAST), PULSE_MOST)
            return Request(settings.unit, function, settings.timer_register, 1, (number,))
        value = settings.on if on else settings.off
        return Request(settings.unit, function, settings.register, 1, (value,))

    async def _set_watchdog(self) -> None:
        """Once in a run, and again after a silence: the device may have been without power."""
        if self._settings.timer != "watchdog" or self._watchdog_set:
            return
        if self._settings.timer_register is None or self.hold_s is None:
            return
        value = math.ceil(self.hold_s / self._unit_s)
        request = Request(self._settings.unit, wire.WRITE_REGISTER, self._settings.timer_register, 1, (value,))
        written = await self._bus.write(request, self._timeout_s, urgent=True)
        self._watchdog_set = written.outcome.name == "DONE"
