"""Listens to every sensor: asks when it is time, rounds values to whole steps, checks them, groups them into rounds.

One task for each device. All devices of a group are due at the same instants of the UTC grid (every 10 s: :00, :10
...), the first time at once. A round is closed when each of its devices has answered or failed, at the latest when its
next instant is due: then who has not answered has no value in it. Nothing is filled in, nothing is carried over.

One ladder for silence: a device that fails twice running is left alone for a growing pause (its points have no value
meanwhile), at least TIME_SHARE times as long as the attempt took, so that a dead one costs its neighbours on the wire
less than 5 %. A lost port pauses all its devices together. Both come back by themselves. Each loss and each return is
said once. Driver failures end here; only cancelling leaves this file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from edge.belief import Beliefs
from edge.contract import (
    ClockQuality,
    ListenedSensor,
    Point,
    PolledSensor,
    Quality,
    Reading,
    Round,
    Sensor,
)
from edge.errors import DeviceSilent, PortLost
from edge.intake_nouns import NOT_HEARD, DeviceNow, Heard, PointNow, PortNow

PATIENCE = 2  # failures running before a device is left alone: one lost frame on a noisy bus is no reason
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0  # a device that was repaired is heard again within a minute
PORT_LONGEST_PAUSE_S = 5.0  # trying to open a port that is gone costs nearly nothing
CLOCK_JUMP_MS = 2000  # woken this far from the instant waited for: the clock was set, or the machine stood still
SET_BACK_MS = 6000  # a learnt time that was better than the last one: both are right within 5 s (clock.py)
TIME_SHARE = 40  # pause at least this many times what the failed attempt took on the wire


class Now(Protocol):
    """What intake needs of the clock (`edge.clock.Clock`)."""

    def now(self) -> Any: ...
    def wait_s(self, at_ms: int) -> float: ...


Judge = Callable[[str, int | None, Quality, float], None]
Keep = Callable[[Round], None]
Say = Callable[[str, str], None]  # (what it is about, one sentence)
Part = Callable[[], Coroutine[Any, Any, None]]
Supervise = Callable[[str, Part], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class _Group:
    """The points read every `every_ms`, and the round being filled."""

    index: int
    every_ms: int
    points: tuple[Point, ...]
    places: dict[str, int]
    devices: frozenset[str]
    at_ms: int | None = None
    kept_ms: int | None = None  # of the round kept last
    clock: ClockQuality = ClockQuality.UNKNOWN
    waiting: set[str] = field(default_factory=set)
    values: list[int | None] = field(default_factory=list)
    qualities: bytearray = field(default_factory=bytearray)


class Intake:
    """All sensors of a site. `judge` sees every reading at once, `keep` every closed round."""

    def __init__(
        self,
        groups: Mapping[int, Sequence[Point]],
        sensors: Mapping[str, Sensor],
        ports: Mapping[str, str],
        clock: Now,
        judge: Judge,
        keep: Keep,
        say: Say,
        supervise: Supervise | None = None,
    ) -> None:
        """`groups`: every_ms -> points; `sensors`, `ports`: by device id; `say` takes (subject, sentence).

        `supervise` runs a part and begins it again should it fail: a faulty driver costs its own device only.
        """
        self._clock = clock
        self._judge = judge
        self._keep = keep
        self._say = say
        self._supervise = supervise or _once
        self.beliefs = Beliefs(point for points in groups.values() for point in points)
        self._pace: dict[int, int] = {}  # every_ms of a group -> how often it is read at present, where that differs
        self._paced: asyncio.Event | None = None  # set when the paces change, if they ever may
        self.points = {point.id: PointNow(point) for points in groups.values() for point in points}
        self.ports = {port: PortNow(port) for port in sorted(set(ports.values()))}
        self.devices: dict[str, DeviceNow] = {}
        self._groups: dict[int, _Group] = {}
        # What devices that speak by themselves have said last: (every_ms, device) -> point -> value.
        self._heard: dict[tuple[int, str], dict[str, Heard]] = {}
        for index, (every_ms, points) in enumerate(groups.items()):
            places = {point.id: place for place, point in enumerate(points)}
            devices = frozenset(point.device for point in points)
            self._groups[every_ms] = _Group(index, every_ms, tuple(points), places, devices)
        for device, sensor in sensors.items():
            mine = tuple(now.point for now in self.points.values() if now.point.device == device)
            by_every = {
                every: tuple(p.id for p in points if p.device == device)
                for every, points in groups.items()
                if any(p.device == device for p in points)
            }
            self.devices[device] = DeviceNow(device, self.ports[ports[device]], sensor, mine, by_every)

    async def run(self) -> None:
        """Reads until cancelled."""
        start_ms = self._clock.now().at_ms
        async with asyncio.TaskGroup() as tasks:
            for device in self.devices.values():
                if isinstance(device.sensor, PolledSensor):
                    parts = {"poll": partial(self._poll, device, start_ms)}
                else:
                    listen = partial(self._listen, device, device.sensor)
                    parts = {"sample": partial(self._sample, device, start_ms), "listen": listen}
                for name, part in parts.items():
                    name = f"{name} {device.id}"
                    tasks.create_task(self._supervise(name, part), name=name)

    def pace(self, paces: Mapping[int, int]) -> None:
        """How often groups are read from now on: every_ms -> a part of it; groups that are not named, as usual. Only
        after `may_pace`."""
        if self._paced is None or paces == self._pace:
            return
        self._pace = dict(paces)
        changed, self._paced = self._paced, asyncio.Event()
        changed.set()

    def hurries(self, every_ms: int) -> bool:
        """Whether anything in a group can be asked more often: what speaks by itself can not."""
        return any(isinstance(self.devices[device].sensor, PolledSensor) for device in self._groups[every_ms].devices)

    def may_pace(self) -> None:
        """Waits can be cut short from now on, which costs each a little. Before `run`."""
        self._paced = asyncio.Event()

    async def ask(self, device_id: str) -> list[PointNow]:
        """Reads a device now, for a person. Raises KeyError, DeviceSilent, PortLost; judges, but keeps no round."""
        device = self.devices[device_id]
        if isinstance(device.sensor, PolledSensor):
            readings = await device.sensor.read([point.id for point in device.points])
            self._back(device)
            self._take(readings)
        return [self.points[point.id] for point in device.points]

    # -- polled --------------------------------------------------------------------------------------------------

    async def _poll(self, device: DeviceNow, start_ms: int) -> None:
        sensor = device.sensor
        assert isinstance(sensor, PolledSensor)
        async for at_ms, ready in self._instants(device, start_ms):
            for every in ready:
                self._open(self._groups[every], at_ms)
            wanted = [point for every in ready for point in device.groups[every]]
            began_s = asyncio.get_running_loop().time()
            self._take(await self._try(device, sensor, wanted))
            self._look_behind(device, ready, began_s)
            for every in ready:
                self._fill(self._groups[every], device, at_ms)

    async def _instants(self, device: DeviceNow, start_ms: int) -> AsyncIterator[tuple[int, list[int]]]:
        """Each instant at which a device is due, when it is there, with the groups that are. The first is `start_ms`.

        Instants that passed while the device was busy are left out, not caught up. Where the clock was set or learnt
        during the wait, the old plan means nothing: the device is due at once, at the time it is now.
        """
        now_ms = self._clock.now().at_ms
        due = dict.fromkeys(device.groups, start_ms)
        if abs(now_ms - start_ms) > CLOCK_JUMP_MS:  # begun again after a fault: not before the others are due too
            due = {every: (now_ms // every + 1) * every for every in device.groups}
        while True:
            at_ms = min(due.values())
            if not await self._wait(at_ms):
                sooner = self._following(device, self._clock.now().at_ms)
                due = {every: min(due[every], sooner[every]) for every in due}
                continue
            ready = [every for every, instant in due.items() if instant <= at_ms]
            now_ms = self._clock.now().at_ms
            if abs(now_ms - at_ms) > CLOCK_JUMP_MS and at_ms != start_ms:
                at_ms = (now_ms + 500) // 1000 * 1000
            yield at_ms, ready
            now_ms = self._clock.now().at_ms
            if at_ms - now_ms <= CLOCK_JUMP_MS:  # set back a little: no instant has two rounds
                now_ms = max(now_ms, at_ms)
            following = self._following(device, now_ms)
            due = {every: following[every] if every in ready else min(due[every], following[every]) for every in due}

    async def _wait(self, at_ms: int) -> bool:
        """Waits for an instant; False when the paces changed before it came."""
        if self._paced is None:
            await asyncio.sleep(self._clock.wait_s(at_ms))
            return True
        try:
            async with asyncio.timeout(self._clock.wait_s(at_ms)):
                await self._paced.wait()
        except TimeoutError:
            return True
        return False

    def _following(self, device: DeviceNow, now_ms: int) -> dict[int, int]:
        """The next instant of each group of a device after `now_ms`."""
        paces = {every: self._pace.get(every, every) for every in device.groups}
        return {every: (now_ms // pace + 1) * pace for every, pace in paces.items()}

    async def _try(self, device: DeviceNow, sensor: PolledSensor, points: Sequence[str]) -> list[Reading]:
        """One rung: asks unless it is pausing; always one reading for each point."""
        began_s = asyncio.get_running_loop().time()
        if began_s < max(device.retry_at_s, device.port.retry_at_s):
            return [Reading(point, None, Quality.NO_ANSWER) for point in points]
        device.asked += 1
        try:
            readings = await sensor.read(points)
        except PortLost as lost:
            self._port_lost(device.port, lost)
        except DeviceSilent as silence:
            self._device_silent(device, silence.why, asyncio.get_running_loop().time() - began_s)
        else:
            self._back(device)
            return readings
        return [Reading(point, None, Quality.NO_ANSWER) for point in points]

    def _look_behind(self, device: DeviceNow, ready: Sequence[int], began_s: float) -> None:
        """Says when a wire can not carry what it is asked for. What fails is not counted: that is said by itself."""
        if device.failures or device.port.lost is not None:
            return
        now_s = asyncio.get_running_loop().time()
        for every in ready:
            left_out = int((now_s - began_s) * 1000 // self._pace.get(every, every))
            if word := device.port.answered(left_out, now_s):
                self._say(f"port {device.port.id}", word)

    # -- listened ------------------------------------------------------------------------------------------------

    async def _listen(self, device: DeviceNow, sensor: Sensor) -> None:
        assert isinstance(sensor, ListenedSensor)
        while True:
            try:
                async for readings in sensor.listen():
                    device.answered += 1
                    self._back(device)
                    self._take(readings)
                    for every in device.groups:
                        self._note(self._groups[every], device.id, readings)
                raise PortLost(device.port.id, "it ended")
            except PortLost as lost:
                self._port_lost(device.port, lost)
                self._forget(device)
            await asyncio.sleep(max(0.0, device.port.retry_at_s - asyncio.get_running_loop().time()))

    async def _sample(self, device: DeviceNow, start_ms: int) -> None:
        """Closes the rounds of a device that speaks by itself: at each instant, what it said since the one before. It
        can not be hurried. In a group that is, rounds between two words have none: else they would show one that died,
        and amounts twice. It is silent when it said nothing within the group's own `every`, or its port is lost."""
        async for at_ms, ready in self._instants(device, start_ms):
            for every in ready:
                heard = self._said_for(every, device.id, at_ms)
                self._open(self._groups[every], at_ms)
                if at_ms != start_ms:  # in the first round it has not had time to say anything: no failure of its own
                    silent = [point for point in device.groups[every] if point not in self._heard[every, device.id]]
                    self._take([Reading(point, None, Quality.NO_ANSWER) for point in silent])
                self._fill(self._groups[every], device, at_ms, heard)

    def _said_for(self, every: int, device: str, at_ms: int) -> dict[str, Heard]:
        """What it said since the instant before; what is out of its time is forgotten."""
        found, heard = {}, self._heard.setdefault((every, device), {})
        for point, said in list(heard.items()):
            if said.from_ms is None:
                said.from_ms = at_ms
                found[point] = said
            elif not 0 <= at_ms - said.from_ms < every:
                del heard[point]  # for good: a clock that is set back would bring it up again
        return found

    def _forget(self, device: DeviceNow) -> None:
        """Its port is lost: what has had its round is no sign of life any more; the rest is still due in one."""
        for every in device.groups:
            heard = self._heard.get((every, device.id), {})
            self._heard[every, device.id] = {point: said for point, said in heard.items() if said.from_ms is None}

    def _note(self, group: _Group, device: str, readings: Sequence[Reading]) -> None:
        heard = self._heard.setdefault((group.every_ms, device), {})
        for reading in readings:
            if reading.point in group.places:
                now = self.points[reading.point]
                heard[reading.point] = Heard(now.value, now.quality)

    # -- the ladder ----------------------------------------------------------------------------------------------

    def _port_lost(self, port: PortNow, lost: PortLost) -> None:
        now_s = asyncio.get_running_loop().time()
        if port.lost is None:
            self._say(f"port {port.id}", f"lost: {lost.why}")
        port.lost = lost.why
        port.pause_s = min(PORT_LONGEST_PAUSE_S, port.pause_s * 2 or FIRST_PAUSE_S)
        port.retry_at_s = now_s + port.pause_s

    def _device_silent(self, device: DeviceNow, why: str, took_s: float) -> None:
        device.failures += 1
        if device.failures < PATIENCE:
            return
        if device.silent is None:
            self._say(f"device {device.id}", f"does not answer: {why}; asked again with growing pauses")
        device.silent = why
        growing_s = FIRST_PAUSE_S * 2 ** min(device.failures - PATIENCE, 10)
        pause_s = min(LONGEST_PAUSE_S, max(growing_s, TIME_SHARE * took_s))
        device.retry_at_s = asyncio.get_running_loop().time() + pause_s

    def _back(self, device: DeviceNow) -> None:
        device.answered += 1
        device.failures = 0
        device.retry_at_s = 0.0
        if device.silent is not None:
            device.silent = None
            self._say(f"device {device.id}", "answers again")
        if device.port.lost is not None:
            device.port.lost = None
            device.port.pause_s = device.port.retry_at_s = 0.0
            self._say(f"port {device.port.id}", "is back")

    # -- readings and rounds -------------------------------------------------------------------------------------

    def _take(self, readings: Sequence[Reading]) -> None:
        """Checks and judges each reading, at once."""
        at_ms = self._clock.now().at_ms
        now_s = asyncio.get_running_loop().time()
        points, judge, beliefs = self.points, self._judge, self.beliefs
        for point, value, quality in readings:
            now = points.get(point)
            if now is None:
                continue
            now.take(value, quality, at_ms)
            if now.quality is Quality.GOOD and now.value is not None and beliefs.doubts(point, now.value, now_s):
                now.doubted()
            judge(point, now.value, now.quality, now_s)

    def _open(self, group: _Group, at_ms: int) -> None:
        if group.at_ms is not None:
            if 0 <= group.at_ms - at_ms <= CLOCK_JUMP_MS:
                return
            self._close(group)  # its end, or the clock was set back
        group.at_ms = at_ms
        group.clock = self._clock.now().quality
        group.waiting = set(group.devices)
        group.values = [None] * len(group.points)
        group.qualities = bytearray([Quality.NO_ANSWER]) * len(group.points)

    def _fill(
        self,
        group: _Group,
        device: DeviceNow,
        at_ms: int,
        heard: Mapping[str, Heard] | None = None,
    ) -> None:
        """Puts a device's present values into the round of `at_ms`; one that came after its round's end is left out."""
        if group.at_ms != at_ms or device.id not in group.waiting:
            return
        for point in device.groups[group.every_ms]:
            if heard is None:
                value, quality = self.points[point].value, self.points[point].quality
            else:
                said = heard.get(point, NOT_HEARD)
                value, quality = said.value, said.quality
            place = group.places[point]
            group.values[place] = value
            group.qualities[place] = quality
        group.waiting.discard(device.id)
        if not group.waiting:
            self._close(group)

    def _close(self, group: _Group) -> None:
        assert group.at_ms is not None
        qualities = bytes(group.qualities)
        if not any(qualities):
            qualities = b""
        # Set back by what a time that is known may be off: these instants have their rounds. All is judged; after
        # more than that the clock was wrong, and what it said then is no reason to keep nothing now.
        if group.kept_ms is None or not 0 <= group.kept_ms - group.at_ms <= SET_BACK_MS:
            self._keep(Round(group.index, group.at_ms, tuple(group.values), qualities, group.clock))
            group.kept_ms = group.at_ms
        group.at_ms = None


async def _once(_name: str, part: Part) -> None:
    await part()
