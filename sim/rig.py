"""A whole site on this machine: broker, Beidou, province, Modbus slaves and the real gateway, each a process.

For the demo, the tests and the benchmarks. Everything is on loopback, free ports and pseudo-terminals, in one folder;
leaving the `with` ends every process. The gateway is the installed `fengsui run`, and is killed like any process.
Start the broker, or Beidou, or both, then the province, and write the site file after that: it has a link for each.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edge.control import NoDaemon, Refused, ask_once
from sim import modbus
from sim.beidou import cli as beidou
from sim.broker import Broker, start_broker

T = TypeVar("T")

POLL_S = 0.02
PATIENCE_S = 20.0
CAUGHT_UP_S = 10.0
SITE_CARD, PROVINCE_CARD = 4_207_733, 1_595_001
PROVINCE_PERIOD_S = 1.0  # of a commanding card, by contract
LEVEL_3_BITS = 628  # of one message of a civil card: packets of 77 bytes
PROVINCE_SCRIPT = "from sim.ground import command; command()"
GATEWAY_SCRIPT = "from edge.cli import main; main()"


class Rig:
    """One site. `site` is the site file's text but for [gateway], [store] and [[link]], which the rig writes."""

    def __init__(self, folder: Path, gateway: str = "rig-1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.gateway = gateway
        self.site_file = folder / "site.toml"
        self.key_file = folder / f"{gateway}.key"
        self.socket = folder / "s"
        self.store = folder / "store"
        self.database = folder / "province.db"
        self.broker: Broker | None = None
        self.link_extra = ""
        self.link_port = 0  # where the gateway finds the broker, if not at the broker's own port
        self.beidou: beidou.Running | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._slaves: list[modbus.Running] = []

    def __enter__(self) -> Rig:
        self.key_file.write_text("5a" * 32 + "\n")
        self.key_file.chmod(0o600)
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._processes):
            self.kill(name)
        for slaves in self._slaves:
            slaves.stop()
        if self.beidou is not None:
            self.beidou.stop()
        if self.broker is not None:
            self.broker.close()

    # -- parts ---------------------------------------------------------------------------------------------------

    def start_broker(self) -> Broker:
        """A broker on a free port (Mosquitto, or the embedded one where there is none)."""
        self.broker = start_broker()
        return self.broker

    def start_beidou(
        self, *, period_s: float = 60.0, loss: float = 0.0, delay_s: tuple[float, float] = (2.0, 5.0)
    ) -> beidou.Running:
        """BDS-3 terminals `site`, with a civil card of this period, and `province`; `.command`, `.counts`.

        Messages are neither doubled nor held up for minutes, unless told so by command."""
        site = f"site:{SITE_CARD},period={period_s}"
        province = f"province:{PROVINCE_CARD},period={PROVINCE_PERIOD_S}"
        chances = ("--loss", str(loss), "--delay", *map(str, delay_s))
        self.beidou = beidou.start("--terminal", site, "--terminal", province, *chances)
        self.beidou.command("duplicate 0")
        self.beidou.command("reorder 0")
        return self.beidou

    def start_slaves(self, *options: str) -> modbus.Running:
        """`fengsui-sim modbus` with these options; `.address` is what a port opens."""
        slaves = modbus.start(*options)
        self._slaves.append(slaves)
        return slaves

    def start_province(self) -> None:
        """`fengsui-sim ground`, on the broker, on Beidou, or on both: whatever was started."""
        options = ["--db", str(self.database), "--keys", str(self.folder)]
        if self.broker is not None:
            options += ["--port", str(self.broker.port), "--mqtt", self.broker.version]
        else:
            options += ["--no-mqtt"]
        if self.beidou is not None:
            device = f"serial:{self.beidou.paths['province']}"
            options += ["--beidou", device, "--beidou-card", f"{SITE_CARD}={self.gateway}"]
        self._start("province", PROVINCE_SCRIPT, *options)

    def write_site(self, body: str, *, commit_every: str = "1s", batch: str = "10s", quota: str = "200MB") -> None:
        """Writes the site file: `body` holds ports, devices and limits."""
        self.site_file.write_text(
            f'[gateway]\nid = "{self.gateway}"\nkey = "{self.key_file.name}"\nsocket = "{self.socket}"\n'
            f'[store]\npath = "{self.store.name}"\ncommit_every = "{commit_every}"\nquota = "{quota}"\n'
            f"{self._fibre_table(batch)}{self._beidou_tables()}\n{body}"
        )

    def _fibre_table(self, batch: str) -> str:
        if self.broker is None:
            return ""
        link_port = self.link_port or self.broker.port
        return (
            f'[[link]]\nid = "fibre"\ndriver = "mqtt"\nhost = "127.0.0.1"\nport = {link_port}\n'
            f'version = "{self.broker.version}"\nbatch = "{batch}"\n{self.link_extra}\n'
        )

    def _beidou_tables(self) -> str:
        if self.beidou is None:
            return ""
        link = f'[[link]]\nid = "beidou"\ndriver = "beidou"\nport = "bd"\nprovince = {PROVINCE_CARD}\n'
        port = port_table("bd", f"serial:{self.beidou.paths['site']}", baud=115_200)
        return f"{port}{link}limit_bits = {LEVEL_3_BITS}\n"

    def start_gateway(self, *, first: str = "", environment: Mapping[str, str] | None = None) -> None:
        """`first`: Python to be run in the gateway's process before it starts (a test's faults)."""
        self._start("gateway", f"{first}\n{GATEWAY_SCRIPT}", "run", str(self.site_file), environment=environment)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def alive(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def ended(self) -> list[str]:
        """The processes that nobody has ended and that do not run any more."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def kill(self, name: str) -> None:
        """-9."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def stop(self, name: str) -> int:
        """SIGTERM; returns the exit code."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=PATIENCE_S)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def _start(self, name: str, script: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-c", script, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            )

    # -- looking -------------------------------------------------------------------------------------------------

    def ask(self, what: str, **more: Any) -> Any:
        """Asks the gateway at its socket. Raises NoDaemon."""
        return ask_once(self.socket, {"ask": what, **more})

    def asked(self, what: str) -> Any:
        """The same; None while nobody answers."""
        try:
            return self.ask(what)
        except (NoDaemon, Refused):
            return None

    def province(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the province's database; none while it has no such table yet."""
        if not self.database.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as db:
            try:
                return db.execute(query, values).fetchall()
            except sqlite3.OperationalError:
                return []

    def one(self, query: str, *values: object) -> Any:
        """The first column of the first row, or 0."""
        rows = self.province(query, *values)
        return rows[0][0] if rows and rows[0][0] is not None else 0

    def account(self) -> dict[str, Any]:
        """The gateway's account, counted in its store. Raises NoDaemon."""
        account: dict[str, Any] = self.ask("outbox")["account"]
        return account

    def settled(self) -> bool:
        """Whether the gateway holds nothing any more (it never does while it reads)."""
        answer = self.asked("outbox")
        return answer is not None and answer["account"]["entries"]["held"] == 0

    def caught_up(self) -> bool:
        """Whether the gateway holds no round older than CAUGHT_UP_S (while it reads, it always holds the newest)."""
        answer = self.asked("outbox")
        if answer is None or answer["broken"]:
            return False
        return answer["oldest_ms"] is None or time.time() * 1000 - answer["oldest_ms"] < CAUGHT_UP_S * 1000

    def missing(self) -> set[int]:
        """Entries the gateway has ever taken that are neither held by it, nor at the province, nor folded into a
        summary, which is an entry too. It must be stopped.

        Of folded ones only the number is kept: where more are gone than that, all that are gone are returned.
        """
        with contextlib.closing(sqlite3.connect(self.store / "outbox.db", timeout=5)) as db:
            epoch, folded = db.execute("SELECT epoch, folded_entries FROM store").fetchone()
            last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()[0]
            held = {row[0] for row in db.execute("SELECT seq FROM entry")}
        arrived = {row[0] for row in self.province("SELECT seq FROM entries WHERE epoch = ?", epoch)}
        gone = set(range(1, last + 1)) - held - arrived
        return gone if len(gone) > folded else set()

    def repeated(self) -> int:
        """Readings that stand more than once in the province's table."""
        rows = "SELECT COUNT(*) - COUNT(DISTINCT epoch || '/' || seq || '/' || point) FROM readings"
        return int(self.one(rows))


def until(what: str, holds: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Waits until `holds()` is true and returns it; fails with `what` in words when it takes too long."""
    give_up_s = time.monotonic() + patience_s
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"not within {patience_s} s: {what}")
        time.sleep(POLL_S)


@contextlib.contextmanager
def cut(broker: Broker) -> Iterator[None]:
    """The network is gone: the broker is killed, and is back on the same port afterwards."""
    broker.kill()
    try:
        yield
    finally:
        broker.start()


def point_table(device: str, port: str, count: int, every: str, *, first: int = 0, unit: int = 1) -> str:
    """Site file text of a Modbus device with `count` u16 registers from `first`, all read each `every`."""
    head = f'[[device]]\nid = "{device}"\ndriver = "modbus"\nport = "{port}"\nunit = {unit}\n'
    points = "".join(
        f'[[device.point]]\nid = "{device}.{i}"\nunit = ""\nstep = 1\nrange = [0, 65535]\nevery = "{every}"\n'
        f"register = {first + i}\n"
        for i in range(count)
    )
    return head + points


def port_table(name: str, address: str, **line: object) -> str:
    """Site file text of a port."""
    extra = "".join(f"{key} = {json.dumps(value)}\n" for key, value in line.items())
    return f'[[port]]\nid = "{name}"\nopen = "{address}"\n{extra}'


def loopback_is_free(port: int) -> bool:
    """Whether nobody listens on a TCP port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
