"""The script many sites run: polls 100 registers each second with pymodbus and publishes them as JSON. Stores nothing.

`python peer_plain.py MODBUS_PORT MQTT_PORT TOPIC`. A second anchor beside the big gateway, written as plainly as people
write it: blocking calls, one read, one message of named values with a time.
"""

from __future__ import annotations

import json
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import ModbusTcpClient

REGISTERS = 100
EVERY_S = 1.0


def main(modbus_port: int, mqtt_port: int, topic: str) -> None:
    """Runs until killed."""
    device = ModbusTcpClient("127.0.0.1", port=modbus_port)
    device.connect()  # type: ignore[no-untyped-call]
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mqtt_port)
    client.loop_start()
    due_s = time.monotonic()
    while True:
        answer = device.read_holding_registers(0, count=REGISTERS, device_id=1)
        if not answer.isError():
            values = {f"register{address}": value for address, value in enumerate(answer.registers)}
            client.publish(topic, json.dumps({"ts": int(time.time() * 1000), "values": values}), qos=1)
        due_s += EVERY_S
        time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
