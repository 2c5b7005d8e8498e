"""All Modbus devices on one wire, as a site file has them, with registers that follow what there is to measure.

Frames, CRC and the time on the wire are `sim.modbus_slave.Line`'s; here is what the registers hold when they are asked
for, what a reply carries, and whether it comes whole and in time. A late reply keeps clear of its device's time limit,
so that there is no doubt whether it was in time. Relays answer as they are asked, with their own timer and a record of
when they were really on. Pure: no clock, no I/O; chance from one seeded generator.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from edge.config.units import duration_ms
from edge.contract import DeviceSpec, OutputSpec, PortSettings
from sim.instrument import Damage, Faults, Said, dropped, flipped
from sim.modbus_slave import SILENT_CHARACTERS, Line, Slave
from sim.model_gauge import GaugeRegister
from sim.model_registers import Register

NETWORK_S = 0.002  # a PLC in the next cabinet
FILLED = 124  # unused registers between two used ones exist too: the most a site file lets a driver read across
OWED_S = 11.0  # after a reply that was lost, the gateway may ask a probe so long (it forgets what is owed after 10 s)
KNOWN = 256  # questions a device remembers; a site asks a handful
CLEAR_OF_LIMIT = 0.1  # of a device's time limit
DEVICE_FAILURE = 4
TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class Device(Slave):
    """One slave: its registers, and what it may owe."""

    def __init__(self, id_: str, unit: int, timeout_s: float, registers: Sequence[Register]) -> None:
        super().__init__(unit)
        self.id = id_
        self.timeout_s = timeout_s
        self.registers = tuple(sorted(registers, key=lambda it: (it.table, it.address)))
        self.faults_now = Faults()
        self.owes_until_s = -inf
        self.known: set[bytes] = set()
        self._asked: dict[bytes, tuple[Register, ...]] = {}
        _claim(registers)
        for register in registers:
            register.cells = self.table(register.table)
        for first, second in zip(self.registers, (*self.registers[1:], None), strict=True):
            self._fill(first, second)

    def _fill(self, first: Register, second: Register | None) -> None:
        end = first.address + first.count
        if second is not None and second.table == first.table and second.address - end <= FILLED:
            end = max(end, second.address)
        table = self.table(first.table)
        for address in range(first.address, end):
            table.setdefault(address, 0)

    def asked(self, pdu: bytes) -> tuple[Register, ...]:
        """Those that lie wholly in what is read."""
        found = self._asked.get(pdu)
        if found is None:
            name, address, count = TABLES.get(pdu[0]), int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
            end = address + count
            found = tuple(
                it
                for it in self.registers
                if it.table == name and address <= it.address and it.address + it.count <= end
            )
            found = tuple(sorted(found, key=lambda it: isinstance(it, GaugeRegister)))  # after what corrects them
            if len(self._asked) < KNOWN:
                self._asked[pdu] = found
        return found

    def measure(self, asked: Sequence[Register], now_s: float) -> tuple[list[tuple[str, float]], list[str], bool]:
        """Brings registers up to now: what they show, which show nothing, and whether it must refuse to answer."""
        values, failed, refuses = [], [], False
        for register in asked:
            other = register.temperature if isinstance(register, GaugeRegister) else None
            if other is not None and other not in asked:
                self.measure([other], now_s)
            if register.leads:
                words, value = register.carry(register.source(now_s))
                if words is None:
                    refuses = True
                else:
                    register.write(words)
                if value is None:
                    failed.append(register.id)
                else:
                    values.append((register.id, value))
        for register in asked:
            if not register.leads:
                value = register.shows(register.words())
                if value is None:
                    failed.append(register.id)
                else:
                    values.append((register.id, value))
        return values, failed, refuses

    def is_doubtful(self, pdu: bytes, now_s: float) -> bool:
        """Whether a question may be a probe, whose answer nobody uses."""
        if now_s < self.owes_until_s:
            return pdu not in self.known
        if len(self.known) < KNOWN:
            self.known.add(pdu)
        return False


def _relays(outputs: Sequence[OutputSpec]) -> dict[int, Slave]:
    """Unit -> the module whose coils these are. Those that are registers have no model."""
    found: dict[int, Slave] = {}
    for output in outputs:
        settings = output.settings
        if settings.table == "coil":
            module = found.setdefault(settings.unit, Slave(settings.unit))
            module.coil[settings.register] = 0
            if settings.timer == "watchdog":
                module.watchdog = settings.timer_register
                module.holding[settings.timer_register] = 0
    return found


def _claim(registers: Iterable[Register]) -> None:
    """Of points that share bits the first writes them."""
    taken: dict[tuple[str, int], int] = {}
    for register in registers:
        places = [(register.table, register.address + i) for i in range(register.count)]
        register.leads = not any(taken.get(place, 0) & register.mask for place in places)
        for place in places:
            taken[place] = taken.get(place, 0) | register.mask


class ModbusModel(Line):
    """`sim.instrument.Model` of the devices on one port."""

    def __init__(
        self,
        port: PortSettings,
        specs: Sequence[DeviceSpec],
        registers: Mapping[str, Sequence[Register]],
        seed: str,
        outputs: Sequence[OutputSpec] = (),
    ) -> None:
        """`outputs`: relays, each on a unit that is no device's."""
        is_tcp = port.open.startswith("tcp:")
        mode = specs[0].settings.mode if specs else outputs[0].settings.mode
        is_rtu = (mode or ("tcp" if is_tcp else "rtu")) == "rtu"
        devices = [
            Device(spec.id, spec.settings.unit, duration_ms(spec.settings.timeout) / 1000, registers[spec.id])
            for spec in specs
        ]
        bits = 1 + port.data_bits + (port.parity != "N") + port.stop_bits
        self._relays = _relays(outputs)
        self._coils = {output.id: (output.settings.unit, output.settings.register) for output in outputs}
        super().__init__([*devices, *self._relays.values()], is_rtu=is_rtu, baud=port.baud, bits=bits)
        self.devices = tuple(device.id for device in devices)
        self.by_id = {device.id: device for device in devices}
        self.character_s = self._character_s
        self._random = random.Random(seed)
        self._said: list[Said] = []

    @property
    def writes(self) -> int:
        """Write requests that were carried out."""
        return sum(device.writes for device in self.by_id.values())

    def switched(self, output: str, now_s: float) -> list[tuple[float, bool]]:
        """When a relay really changed, and to what; its own timer is let run until now. Raises KeyError."""
        unit, coil = self._coils[output]
        self._relays[unit].refresh(now_s)
        return [(at_s, bool(value)) for at_s, which, value in self._relays[unit].log if which == coil]

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self._coils)

    def hear(self, data: bytes, now_s: float) -> list[Said]:
        self.feed(data, now_s)
        said, self._said = self._said, []
        return said

    def next_s(self, now_s: float) -> float:
        return inf

    def say(self, now_s: float) -> list[Said]:
        return []

    def damaged(self, data: bytes, how: Damage, chance: random.Random) -> bytes:
        """TCP has a checksum of its own: a damaged segment is sent again, too late."""
        if not self._is_rtu or not data:
            return b""
        return (flipped if how == "flip" else dropped)(data, 0, len(data), chance)

    def doubt(self, now_s: float) -> None:
        for device in self.by_id.values():
            device.owes_until_s = now_s + OWED_S

    def set_faults(self, device: str, faults: Mapping[str, float]) -> None:
        self.by_id[device].faults_now.set(faults)

    def _answer(self, slave: Slave, head: bytes, pdu: bytes, now_s: float, sent_s: float) -> list[tuple[float, bytes]]:
        if not isinstance(slave, Device):
            frame = self._frame(head, slave.unit, slave.reply(pdu))
            after_s = sent_s + (SILENT_CHARACTERS + len(frame)) * self.character_s + NETWORK_S
            self._said.append(Said(after_s, frame, "", (), ()))
            return []
        asked = slave.asked(pdu)
        values, failed, refuses = slave.measure(asked, now_s)
        struck = slave.faults_now.strike(self._random)
        code = int(struck.get("exception", DEVICE_FAILURE)) if "exception" in struck or refuses else 0
        reply = bytes([pdu[0] | 0x80, code]) if code else slave.reply(pdu)
        if "silence" in struck or ("crc" in struck and not self._is_rtu):
            slave.owes_until_s = now_s + OWED_S
            self._said.append(Said(sent_s, b"", slave.id, (), [it.id for it in asked]))
            return []
        frame = self._frame(head, slave.unit, reply)
        data = self._spoil(frame, struck)
        extra_s = max(0, len(data) - len(frame)) * self.character_s
        wait_s = self._wait_s(slave, struck, now_s + sent_s, extra_s)
        after_s = sent_s + wait_s + (len(data) * self.character_s or NETWORK_S)
        slave.busy_until_s = now_s + after_s
        if reply[0] & 0x80:  # without a fault: a register that is not there, which only a probe asks for
            values, failed = [], [it.id for it in asked] if code else []
        clean = wait_s + extra_s < slave.timeout_s and not {"crc", "short"} & struck.keys()
        if not clean or (values and slave.is_doubtful(pdu, now_s)):
            failed = [it.id for it in asked]
        if not clean:
            slave.owes_until_s = max(slave.owes_until_s, now_s + OWED_S)
        self._said.append(Said(after_s, data, slave.id, values, failed, clean, len(data) <= len(frame)))
        return []

    def _wait_s(self, device: Device, struck: Mapping[str, float], asked_s: float, extra_s: float) -> float:
        """From the end of the question to the beginning of the reply. It answers in order. `extra_s`: what is sent
        beside the reply takes so long."""
        wait_s = SILENT_CHARACTERS * self.character_s + struck.get("late", 0.0)
        wait_s = max(wait_s, device.busy_until_s - asked_s)
        limit_s = device.timeout_s
        if abs(wait_s + extra_s - limit_s) < CLEAR_OF_LIMIT * limit_s:
            wait_s = limit_s * (1 + CLEAR_OF_LIMIT)
        return wait_s

    def _spoil(self, frame: bytes, struck: Mapping[str, float]) -> bytes:
        if not struck:
            return frame
        if "crc" in struck:
            frame = flipped(frame, 0, len(frame), self._random)
        if "short" in struck:
            frame = frame[: self._random.randrange(1, len(frame))]
        if "twice" in struck and "short" not in struck:  # over TCP two halves would make a whole, of other numbers
            frame += frame
        if "noise" in struck and self._is_rtu:
            frame = self._random.randbytes(self._random.randint(1, 8)) + frame
        return frame
