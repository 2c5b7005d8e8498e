"""What the Modbus tests share: ports and devices as a site file would give them, and an event loop in virtual time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from drivers.modbus import DRIVER, ModbusDevice, ModbusPoint
from drivers.port import open_port
from edge.contract import DeviceSpec, OpenPort, PolledSensor

T = TypeVar("T")


@dataclass(frozen=True)
class PortSettings:
    """A `contract.PortSettings`."""

    open: str
    baud: int = 9600
    parity: str = "N"
    stop_bits: int = 1
    data_bits: int = 8
    id: str = "bus"


def device(unit: int, points: Mapping[str, ModbusPoint], **settings: Any) -> DeviceSpec:
    return DeviceSpec(f"d{unit}", ModbusDevice(unit=unit, **settings), dict(points))


def row_of(unit: int, registers: int, **settings: Any) -> DeviceSpec:
    """A device with points r0, r1, ... at registers 0, 1, ..."""
    return device(unit, {f"r{i}": ModbusPoint(register=i) for i in range(registers)}, **settings)


def sensors(port: PortSettings, *devices: DeviceSpec, opener: OpenPort = open_port) -> dict[str, PolledSensor]:
    assert list(DRIVER.check(port, devices)) == []
    assert DRIVER.sensors is not None
    return dict(DRIVER.sensors(port, opener, devices))  # type: ignore[arg-type]


class _NoWaiting(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits and nothing is due: a deadlock")
        self.now_s += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeps take no time: when all wait, the clock jumps to what is due next."""

    def __init__(self) -> None:
        self._clock = _NoWaiting()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
