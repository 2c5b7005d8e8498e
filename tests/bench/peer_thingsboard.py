"""thingsboard-gateway in an environment of its own under build/peers, configured for the bench's slaves and broker.

It expects a ThingsBoard server; a Mosquitto that takes anyone serves, with an answer to its one question at connecting
(the session's limits; without one it waits for a time-out). SQLite storage; its other settings as it is installed, save
that remote configuration and statistics of its own are off (both would only cost it).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.scratch import say
from tests.bench.workload import REGISTERS

VERSION = "3.8.5"
NEEDS = (f"thingsboard-gateway=={VERSION}", "pymodbus==3.9.2")  # the second it would install at its first start
FOLDER = Path(__file__).resolve().parents[2] / "build" / "peers"
INSTALL_TIMEOUT_S = 600
RPC_REQUEST = "v1/devices/me/rpc/request/"
RPC_RESPONSE = "v1/devices/me/rpc/response/"
TELEMETRY = "v1/gateway/telemetry"
NO_LIMITS = json.dumps({"rateLimits": {}, "maxInflightMessages": 100, "maxPayloadSize": 65536})


def prepare() -> Path:
    """Makes the environment where it is not there yet; returns its Python. Raises subprocess.CalledProcessError."""
    venv = FOLDER / f"thingsboard-{VERSION}"
    python = venv / "bin" / "python"
    ready = venv / ".ready"
    if not ready.exists():
        say(f"  installing {' '.join(NEEDS)} into {venv}, once")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *NEEDS]
        subprocess.run(pip, check=True, timeout=INSTALL_TIMEOUT_S, stdout=sys.stderr)
        ready.touch()
    return python


@contextlib.contextmanager
def running(
    python: Path, folder: Path, device: str, modbus_port: int, mqtt_port: int, *, one_read: bool
) -> Iterator[int]:
    """A gateway that runs in `folder`: its process id. `one_read`: all registers as one address range."""
    installed = next(python.parents[1].glob("lib/python*/site-packages/thingsboard_gateway/config"))
    config = folder / "config"
    shutil.copytree(installed, config)
    _change(config / "tb_gateway.json", lambda old: _gateway(old, mqtt_port, device))
    (config / "modbus.json").write_text(json.dumps(_modbus(device, modbus_port, one_read)))
    (folder / "logs").mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), "-c", "from thingsboard_gateway.tb_gateway import main; main()"],
            cwd=folder,
            env={**os.environ, "TB_GW_CONFIG_DIR": str(config), "TB_GW_LOGS_PATH": str(folder / "logs")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _change(path: Path, change: Any) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def _gateway(old: dict[str, Any], mqtt_port: int, token: str) -> dict[str, Any]:
    server = {**old["thingsboard"], "host": "127.0.0.1", "port": mqtt_port, "remoteConfiguration": False}
    server["security"] = {"type": "accessToken", "accessToken": token}
    server["statistics"] = {**server["statistics"], "enable": False, "enableCustom": False}
    storage = {**old["storage"], "type": "sqlite", "data_file_path": "./data/"}
    connectors = [{"type": "modbus", "name": "Modbus", "configuration": "modbus.json"}]
    return {**old, "thingsboard": server, "storage": storage, "connectors": connectors}


def _modbus(device: str, port: int, one_read: bool) -> dict[str, Any]:
    """A connector with one slave: a tag for each register, or one range of all of them."""
    kind = {"type": "16int", "functionCode": 3, "objectsCount": 1}
    tags: list[dict[str, Any]] = [{**kind, "tag": f"register{i}", "address": i} for i in range(REGISTERS)]
    if one_read:
        whole = {"tag": "register${address}", "address": f"0-{REGISTERS - 1}", "maxRegistersPerRequest": REGISTERS}
        tags = [{**kind, **whole}]
    slave = {
        **{"host": "127.0.0.1", "port": port, "type": "tcp", "method": "socket", "unitId": 1},
        **{"deviceName": device, "deviceType": "default", "timeout": 5, "byteOrder": "BIG", "wordOrder": "BIG"},
        **{"retries": 3, "pollPeriod": 1000, "connectAttemptTimeMs": 500, "connectAttemptCount": 5},
        **{"timeseries": tags, "attributes": [], "attributeUpdates": [], "rpc": []},
    }
    return {"master": {"slaves": [slave]}, "logLevel": "INFO"}
