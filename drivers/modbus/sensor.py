"""A Modbus device that answers when asked. Plans the reads, asks the bus, makes readings; no caching, no retries.

Every read stands for itself: a refused or disturbed one leaves its own points without a value, not its neighbours.
When a read of several points is refused (exception 2 or 3: one register in it does not exist), its points are asked
for one by one at once, and what was learnt is kept for this run: the refused points are asked alone from then on; if
none was refused, an unused register between them was, and the device is read without gaps.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.duration import parse_duration_s
from drivers.modbus.bus import Bus, Silence
from drivers.modbus.plan import FUNCTIONS, Read, Span, plan
from drivers.modbus.settings import BIT_TABLES, ModbusDevice, ModbusPoint, kind_of, registers_of
from drivers.modbus.values import Scaler, is_marked, raw_value, scaler
from drivers.modbus.wire import Answer, Refusal, Request
from drivers.modbus.wire_gauge import converter
from edge.contract import DeviceSpec, Quality, Reading
from edge.errors import DeviceSilent

ADDRESS_REFUSALS = (2, 3)  # illegal data address; some devices say illegal data value instead
NO_PATH_REFUSALS = (10, 11)  # a gateway's word that the device behind it is silent
SILENT_READS_MAX = 2  # then the rest of this round's reads are not even asked: others wait for the wire
LATENCY_BUCKETS_MS = (10, 20, 50, 100, 200, 500, 1000, 2000)  # wide enough to see that a timeout is too short


class ModbusSensor:
    """One device on a bus; a `contract.PolledSensor`."""

    def __init__(self, device: DeviceSpec, bus: Bus) -> None:
        settings: ModbusDevice = device.settings
        self._id = device.id
        self.bus = self._bus = bus
        self._unit = settings.unit
        self._timeout_s = parse_duration_s(settings.timeout)
        self._max_gap = settings.max_gap
        self._max_registers = settings.max_registers
        self._decoders = {point_id: _Decoder(point) for point_id, point in device.points.items()}
        self._spans = {point_id: _span(point_id, point) for point_id, point in device.points.items()}
        self._gauges = {
            point_id: (point.vibrating_wire.temperature, converter(point.vibrating_wire))
            for point_id, point in device.points.items()
            if point.vibrating_wire is not None
        }
        self._alone: frozenset[str] = frozenset()
        self._plans: dict[tuple[str, ...], list[Read]] = {}
        self._counts = dict.fromkeys(("asked", "answered", "silent", "garbled", "refused"), 0)
        self._latency = [0] * (len(LATENCY_BUCKETS_MS) + 1)
        self._slowest_ms = 0.0
        self._last_problem = ""

    async def read(self, points: Sequence[str]) -> list[Reading]:
        """One Reading for each of `points`, in their order. Raises DeviceSilent when nothing usable came, PortLost."""
        found: dict[str, Reading] = {}
        failed: list[Silence] = []
        for read in self._plan(self._needed(points)):
            reply = await self._ask(read)
            if isinstance(reply, Answer):
                found.update(self._decode(read, reply))
            elif isinstance(reply, Refusal):
                found.update(await self._refused(read, reply))
            else:
                failed.append(reply)
                if len(failed) >= SILENT_READS_MAX or not (found or reply.raw):
                    break
        if failed and not found:
            raise DeviceSilent(self._id, failed[0].why, failed[0].raw)
        for point in self._gauges.keys() & found.keys():
            found[point] = self._gauged(point, found)
        return [found.get(point) or Reading(point, None, Quality.NO_ANSWER) for point in points]

    def health(self) -> Mapping[str, Any]:
        """Counters of this run. `latency_ms` counts answers by the first bound (in ms) they came within."""
        names = [*(f"<={bound}" for bound in LATENCY_BUCKETS_MS), f">{LATENCY_BUCKETS_MS[-1]}"]
        return {
            **self._counts,
            "latency_ms": dict(zip(names, self._latency, strict=True)),
            "slowest_ms": round(self._slowest_ms, 1),
            "asked_alone": sorted(self._alone),
            "last_problem": self._last_problem,
            "wire": self._bus.health(),
        }

    def _needed(self, points: Sequence[str]) -> tuple[str, ...]:
        """The points, and the temperatures that vibrating wires among them are corrected by."""
        if not self._gauges:
            return tuple(points)
        temperatures = [self._gauges[point][0] for point in points if point in self._gauges]
        return tuple(dict.fromkeys([*points, *filter(None, temperatures)]))

    def _gauged(self, point: str, found: Mapping[str, Reading]) -> Reading:
        """A vibrating wire's frequency as the value that it means; none where its temperature has none."""
        temperature_point, value_of = self._gauges[point]
        frequency, temperature = found[point].value, found.get(temperature_point)
        if frequency is None:
            return found[point]
        value = value_of(frequency, temperature.value if temperature else None)
        if value is not None and math.isfinite(value):
            return Reading(point, value)
        silent = temperature_point and temperature is None
        return Reading(point, None, Quality.NO_ANSWER if silent else Quality.REFUSED)

    def _plan(self, points: tuple[str, ...]) -> list[Read]:
        if points not in self._plans:
            spans = [self._spans[point] for point in points]
            self._plans[points] = plan(spans, self._max_gap, self._max_registers, self._alone)
        return self._plans[points]

    async def _ask(self, read: Read) -> Answer | Refusal | Silence:
        self._counts["asked"] += 1
        reply = await self._bus.ask(Request(self._unit, read.function, read.address, read.quantity), self._timeout_s)
        if isinstance(reply, Refusal) and reply.code in NO_PATH_REFUSALS:
            reply = Silence(str(reply))
        if isinstance(reply, Silence):
            self._counts["garbled" if reply.raw else "silent"] += 1
            self._last_problem = reply.why
            return reply
        self._counts["refused" if isinstance(reply, Refusal) else "answered"] += 1
        self._note_latency(self._bus.last_answer_ms)
        return reply

    def _note_latency(self, took_ms: float) -> None:
        self._slowest_ms = max(self._slowest_ms, took_ms)
        self._latency[bisect_left(LATENCY_BUCKETS_MS, took_ms)] += 1

    def _decode(self, read: Read, answer: Answer) -> dict[str, Reading]:
        found = {}
        for point, offset in zip(read.points, read.offsets, strict=True):
            words = answer.values[offset : offset + self._spans[point].quantity]
            value = self._decoders[point].value(words)
            quality = Quality.REFUSED if value is None else Quality.GOOD
            found[point] = Reading(point, value, quality)
        return found

    async def _refused(self, read: Read, refusal: Refusal) -> dict[str, Reading]:
        """Readings after a refused read: of a shared one, its points asked one by one."""
        self._last_problem = f"register {read.address} x{read.quantity}: {refusal}"
        if refusal.code not in ADDRESS_REFUSALS or len(read.points) == 1:
            return {point: Reading(point, None, Quality.REFUSED) for point in read.points}
        found: dict[str, Reading] = {}
        for part in plan([self._spans[point] for point in read.points], 0, 1, frozenset(read.points)):
            reply = await self._ask(part)
            if isinstance(reply, Answer):
                found.update(self._decode(part, reply))
            elif isinstance(reply, Refusal):
                found[part.points[0]] = Reading(part.points[0], None, Quality.REFUSED)
            else:
                break
        self._learn(read, found)
        return found

    def _learn(self, read: Read, found: Mapping[str, Reading]) -> None:
        """Keeps what the parts of a refused read have shown; nothing when not all of them were answered."""
        if len(found) < len(read.points):
            return
        bad = {point for point, reading in found.items() if reading.quality is Quality.REFUSED}
        if not bad and self._max_gap:
            self._max_gap = 0
        else:
            self._alone |= bad or set(read.points)
        self._plans.clear()


class _Decoder:
    """A point's settings, made ready for use on each answer."""

    def __init__(self, point: ModbusPoint) -> None:
        self._is_bit = point.table in BIT_TABLES
        self._kind = kind_of(point)
        self._order = point.order
        self._bit = point.bit
        self._invalid = point.invalid
        self._scaled: Scaler = scaler(point.scale, point.offset)
        # Most registers of most sites are plain 16-bit words: those need no bytes put in order.
        self._is_word = point.bit is None and self._kind in ("u16", "i16") and point.order in ("ABCD", "CDAB")
        self._is_signed = self._kind == "i16"

    def value(self, words: Sequence[int]) -> int | float | None:
        raw: int | float | None
        if self._is_bit:
            raw = words[0]
        elif self._is_word:
            raw = words[0] - 0x10000 if self._is_signed and words[0] >= 0x8000 else words[0]
        else:
            raw = raw_value(words, self._kind, self._order, self._bit)
        if raw is None or (self._invalid and is_marked(raw, self._kind, self._invalid)):
            return None
        value = self._scaled(raw)
        return value if math.isfinite(value) else None


def _span(point_id: str, point: ModbusPoint) -> Span:
    return Span(FUNCTIONS[point.table], point.register, registers_of(point), point_id)
