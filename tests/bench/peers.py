"""The gateway beside others on the same machine at the same time, at the same work: CPU, memory, uplink, disk.

All poll the same slaves (100 registers of real series, 1 Hz, Modbus TCP) and deliver to the same Mosquitto, where this
program counts readings and payload bytes of the others (ours are counted at the province). Costs are those of each
one's whole process tree, over the same window. The scaling to units is ours alone: the others deliver raw counts.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from sim.rig import Rig, until
from tests.bench import peer_thingsboard as thingsboard
from tests.bench.figure import Figure, plain
from tests.bench.proc import cost
from tests.bench.scratch import folder
from tests.bench.steady import readings_taken
from tests.bench.workload import REGISTERS, site_text, write_slave

WARM_UP_S = 20.0
WINDOW_S = 60.0
CPU_RATIO = 20.0
PLAIN_TOPIC = "plain/telemetry"
TAGS, RANGE, SCRIPT, OURS = "tb-tags", "tb-range", "script", "fengsui"
NAMES = {
    TAGS: f"thingsboard-gateway {thingsboard.VERSION}, SQLite, a tag a register",
    RANGE: f"thingsboard-gateway {thingsboard.VERSION}, SQLite, one range of registers",
    SCRIPT: "pymodbus + paho script, stores nothing",
    OURS: "fengsui, stored durably each second",
}
HOW = (
    f"{REGISTERS} registers at 1 Hz over Modbus TCP, all at the same time for {WINDOW_S:.0f} s; CPU of the whole "
    "process tree per 1000 readings, payload and disk bytes per reading, time from process spawn to the first reading"
)
RATIO_HOW = "CPU time per reading of the one divided by ours, in the same window"
FIRST_DELIVERY_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Far:
    """What has arrived of one of them."""

    readings: int = 0
    payload_bytes: int = 0


class Listener:
    """Counts what arrives at the broker, and answers the one question the peer asks there."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._readings: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", port)
        for topic in (thingsboard.TELEMETRY, PLAIN_TOPIC, thingsboard.RPC_REQUEST + "+"):
            self._client.subscribe(topic)
        self._client.loop_start()

    def far(self, name: str) -> Far:
        with self._lock:
            return Far(self._readings[name], self._bytes[name])

    def close(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()

    def _heard(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        if message.topic.startswith(thingsboard.RPC_REQUEST):
            request = message.topic.removeprefix(thingsboard.RPC_REQUEST)
            client.publish(thingsboard.RPC_RESPONSE + request, thingsboard.NO_LIMITS)
            return
        packs = {SCRIPT: [body]} if message.topic == PLAIN_TOPIC else body
        with self._lock:
            for device, rows in packs.items():
                self._readings[device] += sum(len(row["values"]) for row in rows)
                self._bytes[device] += len(message.payload) // len(packs)


def run() -> Iterator[Figure]:
    """All figures of this part."""
    python = thingsboard.prepare()
    with contextlib.ExitStack() as stack:
        slaves = stack.enter_context(folder("slaves"))
        rig = stack.enter_context(Rig(stack.enter_context(folder("ours"))))
        broker = rig.start_broker()
        rig.start_province()
        address = rig.start_slaves(str(write_slave(slaves)), "--tcp", "127.0.0.1:0").address
        listener = Listener(broker.port)
        stack.callback(listener.close)
        modbus_port = int(address.rpartition(":")[2])
        rig.write_site(site_text(address))

        def far(name: str) -> Far:
            return _ours(rig) if name == OURS else listener.far(name)

        def begin(name: str) -> int:
            if name == OURS:
                rig.start_gateway()
                return rig.pid("gateway")
            if name == SCRIPT:
                return stack.enter_context(_script(modbus_port, broker.port))
            where = stack.enter_context(folder(name))
            return stack.enter_context(
                thingsboard.running(python, where, name, modbus_port, broker.port, one_read=name == RANGE)
            )

        pids, first_s = _begin_all(begin, far)
        yield from _measure(pids, first_s, far, rig)


def _begin_all(begin: Callable[[str], int], far: Callable[[str], Far]) -> tuple[dict[str, int], dict[str, float]]:
    """Starts one after the other: process ids, and the seconds until each one's first reading has arrived."""
    pids, first_s = {}, {}
    for name in NAMES:
        began_s = time.monotonic()
        pids[name] = begin(name)
        until(f"{NAMES[name]} delivers", partial(_delivers, far, name), FIRST_DELIVERY_TIMEOUT_S)
        first_s[name] = time.monotonic() - began_s
    return pids, first_s


def _delivers(far: Callable[[str], Far], name: str) -> bool:
    return far(name).readings > 0


def _measure(pids: dict[str, int], first_s: dict[str, float], far: Callable[[str], Far], rig: Rig) -> Iterator[Figure]:
    time.sleep(WARM_UP_S)
    first = {name: (cost(pid), far(name)) for name, pid in pids.items()}
    taken = readings_taken(rig)
    time.sleep(WINDOW_S)
    second = {name: (cost(pid), far(name)) for name, pid in pids.items()}
    taken = readings_taken(rig) - taken
    cpu = {}
    for name in pids:
        (cost_1, far_1), (cost_2, far_2) = first[name], second[name]
        arrived = Far(far_2.readings - far_1.readings, far_2.payload_bytes - far_1.payload_bytes)
        done = max(1, taken if name == OURS else arrived.readings)  # ours leave in batches
        cpu[name] = (cost_2.cpu_s - cost_1.cpu_s) / done * 1000
        disk = (cost_2.written_bytes - cost_1.written_bytes) / done
        yield plain(NAMES[name], _words(cpu[name], cost_2.rss_mb, disk, arrived, done, first_s[name]), HOW)
    for name in (TAGS, RANGE, SCRIPT):
        times = cpu[name] / cpu[OURS]
        target = f">= {CPU_RATIO:g}" if name == TAGS else ""
        met = times >= CPU_RATIO if name == TAGS else None
        yield Figure(f"CPU per reading: {NAMES[name]} / ours", f"{times:.1f} times", target, met, RATIO_HOW)


def _words(cpu: float, rss_mb: float, disk: float, arrived: Far, done: int, first_s: float) -> str:
    payload = arrived.payload_bytes / max(1, arrived.readings)
    return (
        f"CPU {cpu:.3f} s/1000, RSS {rss_mb:.0f} MB, up {payload:.2f} B, disk {disk:.0f} B, "
        f"first after {first_s:.2f} s, {done / (WINDOW_S * REGISTERS):.0%} of what was due"
    )


def _ours(rig: Rig) -> Far:
    return Far(int(rig.one("SELECT count(*) FROM readings")), int(rig.one("SELECT sum(bytes) FROM packets")))


@contextlib.contextmanager
def _script(modbus_port: int, mqtt_port: int) -> Iterator[int]:
    script = Path(__file__).with_name("peer_plain.py")
    command = [sys.executable, str(script), str(modbus_port), str(mqtt_port), PLAIN_TOPIC]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
