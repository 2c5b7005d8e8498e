"""A real MQTT broker for tests and demonstrations: Mosquitto on a free loopback port, in a folder that goes with it.

`Broker` can be stopped, killed and started again on the same port. Where Mosquitto is not installed, `start_broker`
falls back to amqtt (pure Python, MQTT 3.1.1 only) in a process of its own, so that the demonstration runs anywhere.
Real time only; nothing here belongs to the gateway.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

Program = Literal["mosquitto", "amqtt"]
HOST = "127.0.0.1"
START_TIMEOUT_S = 20.0  # Mosquitto takes 20 ms, amqtt 0.6 s; a loaded machine takes longer
STOP_TIMEOUT_S = 5.0
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")  # Debian puts mosquitto where a user's PATH does not look


class BrokerMissing(Exception):
    """The broker's program is not installed; `str()` says how to get it."""


class BrokerFailed(Exception):
    """The broker did not start; `str()` holds the end of its log."""


def mosquitto_path() -> str | None:
    """Where Mosquitto is, or None."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS]))


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Broker:
    """A broker process, as a context manager. `extra`: further lines of mosquitto.conf (ignored by amqtt)."""

    def __init__(self, program: Program = "mosquitto", *, port: int = 0, extra: Sequence[str] = ()) -> None:
        self.name: Program = program
        self.version: Literal["5", "3.1.1"] = "5" if program == "mosquitto" else "3.1.1"
        self.host = HOST
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="fengsui-broker-"))
        self._extra = tuple(extra)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Broker:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()

    @property
    def log(self) -> str:
        """What the broker has said so far."""
        paths = (self.folder / "printed", self.folder / "log")
        return "".join(path.read_text("utf-8", "replace") for path in paths if path.exists())

    def start(self) -> None:
        """Starts it (again, on the same port) unless it runs, and waits until it accepts.

        Raises BrokerMissing, BrokerFailed.
        """
        if self._process is not None and self._process.poll() is None:
            return
        command = self._command()
        with (self.folder / "printed").open("ab") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while not self._accepts() or self._process.poll() is not None:
            if self._process.poll() is not None or time.monotonic() > give_up_s:
                raise BrokerFailed(f"{self.name} did not start on port {self.port}: {self.log[-500:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Asks it to end, as a service manager would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stops it answering while its connections stay open, as a hung server or a dark path would."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it and removes its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self) -> list[str]:
        if self.name == "amqtt":
            if importlib.util.find_spec("amqtt") is None:
                raise BrokerMissing("neither mosquitto nor amqtt is installed: apt install mosquitto")
            return [sys.executable, "-m", "sim.broker", str(self.port)]
        program = mosquitto_path()
        if program is None:
            raise BrokerMissing("mosquitto is not installed: apt install mosquitto")
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(self._config_lines()) + "\n", "utf-8")
        return [program, "-c", str(config)]

    def _config_lines(self) -> list[str]:
        log = self.folder / "log"  # a file of its own is written line by line, what is printed only at the end
        lines = [f"listener {self.port} {HOST}", f"log_dest file {log}", "set_tcp_nodelay true"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it changes to a user who may not read this folder
        if not any(line.startswith("allow_anonymous") for line in self._extra):
            lines.append("allow_anonymous true")
        return [*lines, *self._extra]

    def _accepts(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1.0):
                return True
        except OSError:
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._signal(number)
        self._signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def start_broker(prefer: Program = "mosquitto", *, port: int = 0) -> Broker:
    """A running broker: the one preferred, else the other. Its `.port`, `.version` and `.name` say what came of it."""
    use: Program = "mosquitto" if prefer == "mosquitto" and mosquitto_path() is not None else "amqtt"
    broker = Broker(use, port=port)
    try:
        broker.start()
    except BaseException:
        broker.close()
        raise
    return broker


async def _serve_amqtt(port: int) -> None:
    from amqtt.broker import Broker as Embedded  # type: ignore[import-untyped]

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Embedded(config)
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_amqtt(int(sys.argv[1])))
