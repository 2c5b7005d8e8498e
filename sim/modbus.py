"""`fengsui-sim modbus`: Modbus slaves on a pseudo-terminal or a TCP port, in real time.

The slaves themselves are `sim.modbus_slave`; here are the slave file, the event loop and the commands that change
registers and faults while it runs, one a line on standard input, each answered by one line on standard output:

    set UNIT TABLE ADDRESS WORD...      fault UNIT KIND [p=0.1] [value=2.5] [times=3]      clear UNIT|all
    unplug      plug      stats      log UNIT      quit

A slave file is TOML:

    [[slave]]
    unit = 1
    [[slave.register]]
    address = 0
    table = "holding"         # default
    type = "f32"              # default u16; order = "CDAB" (default ABCD)
    series = "rain_10min.csv" # beside this file; or: value = 12.3
    every_s = 1.0             # how long a row lasts; default as recorded
    scale = 0.1               # raw = (value - offset) / scale

From Python: `start("--units", "1-3", ...)` runs it as a process and gives commands. Plain blocking select with precise
sleeps: nothing here may be used by the gateway.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import select
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import click

from sim.modbus_slave import FAULTS, TABLES, Fault, Line, Live, Slave, encode_words
from sim.pty import Pty
from sim.series import load

COMMAND_BYTES = 4096
CLIENTS_MAX = 16  # more than any test needs; real devices take one to four


# ---- what slaves there are


def plain_slaves(units: Iterable[int], registers: int) -> list[Slave]:
    """Slaves whose values tell where they come from: word = (unit * 1000 + address) mod 65536, bit = address odd."""
    slaves = [Slave(unit) for unit in units]
    for slave in slaves:
        for table in ("holding", "input"):
            slave.put(table, 0, ((slave.unit * 1000 + i) % 65536 for i in range(registers)))
        for table in ("coil", "discrete"):
            slave.put(table, 0, (i & 1 for i in range(registers)))
    return slaves


def slaves_from_file(path: Path) -> list[Slave]:
    """Reads a slave file. Raises ValueError, KeyError, OSError naming what is wrong."""
    with path.open("rb") as file:
        tables = tomllib.load(file)["slave"]
    slaves = []
    for table in tables:
        slave = Slave(table["unit"])
        for register in table.get("register", []):
            _add_register(slave, register, path.parent)
        slave.refresh(0.0)
        slaves.append(slave)
    return slaves


def _add_register(slave: Slave, register: dict[str, Any], folder: Path) -> None:
    table, address = register.get("table", "holding"), register["address"]
    kind, order = register.get("type", "u16"), register.get("order", "ABCD")
    scale, offset = register.get("scale", 1.0), register.get("offset", 0.0)
    if "series" in register:
        series = load(folder / register["series"])
        every_s = register.get("every_s", series.dt_s)
        slave.live.append(Live(table, address, series, every_s, kind, order, scale, offset))
    elif table in ("coil", "discrete"):
        slave.put(table, address, [int(bool(register["value"]))])
    else:
        slave.put(table, address, encode_words((register["value"] - offset) / scale, kind, order))


def parse_units(text: str) -> list[int]:
    """`1-3,7` -> [1, 2, 3, 7]. Raises ValueError."""
    units: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        units += range(int(first), int(last or first) + 1)
    return units


# ---- commands


def obey(slaves: dict[int, Slave], text: str) -> str:
    """Carries out `set`, `fault`, `clear` or `stats`; the answer is one line, beginning with ok or error."""
    verb, *words = text.split()
    try:
        if verb == "set":
            slaves[int(words[0])].put(words[1], int(words[2]), [int(word, 0) for word in words[3:]])
        elif verb == "fault":
            slaves[int(words[0])].faults.append(parse_fault(words[1:]))
        elif verb == "clear":
            for slave in slaves.values() if words[0] == "all" else [slaves[int(words[0])]]:
                slave.faults.clear()
        elif verb == "stats":
            return "ok " + json.dumps({unit: [slave.requests, slave.writes] for unit, slave in slaves.items()})
        else:
            return f"error: {verb} is none of set fault clear unplug plug stats quit"
    except (ValueError, IndexError) as error:
        return f"error: {error}"
    except KeyError as error:
        return f"error: there is no unit {error}"
    return "ok"


def parse_fault(words: list[str]) -> Fault:
    """`late p=0.1 value=2.5 times=3` -> Fault. Raises ValueError."""
    kind, options = words[0], dict(word.partition("=")[::2] for word in words[1:])
    if kind not in FAULTS or not options.keys() <= {"p", "value", "times"}:
        raise ValueError(f"{' '.join(words)}: a fault is one of {' '.join(FAULTS)} with p=, value=, times=")
    times = int(options["times"]) if "times" in options else None
    return Fault(kind, float(options.get("p", 1.0)), float(options.get("value", 0.0)), times)


# ---- the loop


class Channel(Protocol):
    """One master, seen from here."""

    def read(self) -> bytes | None: ...
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class _Connection:
    """A TCP client."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection

    def read(self) -> bytes | None:
        """None: gone."""
        try:
            return self._socket.recv(4096) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            return  # gone: the next read notices

    def close(self) -> None:
        self._socket.close()


class Server:
    """Serves `slaves` until `quit`. `where`: a path for the PTY's link, "" for a bare PTY, or (host, port) for TCP."""

    def __init__(self, slaves: list[Slave], where: str | tuple[str, int], **line: Any) -> None:
        self._slaves = {slave.unit: slave for slave in slaves}
        self._line = line
        self._where = where
        self._started_s = time.monotonic()
        self._masters: dict[int, tuple[Channel, Line]] = {}
        self._listener: socket.socket | None = None
        self._due: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._running = True
        self.address = self.plug()

    def plug(self) -> str:
        """Opens the port; what a site file's `open` has to be."""
        if isinstance(self._where, tuple):
            self._listener = socket.create_server(self._where)
            host, port = self._listener.getsockname()[:2]
            self._where = (host, port)
            return f"tcp:{host}:{port}"
        pty = Pty(Path(self._where) if self._where else None)
        self._masters[pty.fd] = (pty, self._new_line())
        return f"serial:{pty.path}"

    def unplug(self) -> None:
        """As if the cable were pulled: whoever has the port open loses it."""
        for channel, _ in self._masters.values():
            channel.close()
        self._masters.clear()
        self._due.clear()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def run(self, commands: Any = None, stop_at_eof: bool = False) -> None:
        """The loop. `commands`: a raw binary file to read commands from."""
        while self._running:
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            others = [self._listener.fileno()] if self._listener else []
            watched = [*self._masters, *others, *([commands.fileno()] if commands else [])]
            for fd in select.select(watched, [], [], wait_s)[0]:
                if fd in self._masters:
                    self._hear(fd)
                elif fd in others:
                    self._accept()
                elif not self._command(commands):
                    commands, self._running = None, not stop_at_eof
            self._send_due()
        self.unplug()

    def _new_line(self) -> Line:
        return Line(self._slaves.values(), **self._line)

    def _accept(self) -> None:
        if self._listener is not None:
            connection = self._listener.accept()[0]
            if len(self._masters) >= CLIENTS_MAX:
                connection.close()
                return
            self._masters[connection.fileno()] = (_Connection(connection), self._new_line())

    def _hear(self, fd: int) -> None:
        channel, line = self._masters[fd]
        data = channel.read()
        if data is None:
            channel.close()
            del self._masters[fd]
            self._due = [entry for entry in self._due if entry[2] != fd]
            heapq.heapify(self._due)
            return
        now_s = time.monotonic()
        for delay_s, reply in line.feed(data, now_s - self._started_s) if data else []:
            self._count += 1
            heapq.heappush(self._due, (now_s + delay_s, self._count, fd, reply))

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            _, _, fd, data = heapq.heappop(self._due)
            if fd in self._masters:
                self._masters[fd][0].write(data)

    def _log(self, line: str) -> str:
        """`log UNIT`: the changes of its coils, [time.monotonic(), coil, value] each."""
        slave = self._slaves.get(int(line.split()[1]))
        if slave is None:
            return "error: there is no such unit"
        slave.refresh(time.monotonic() - self._started_s)
        return "ok " + json.dumps([(self._started_s + at_s, coil, value) for at_s, coil, value in slave.log])

    def _command(self, commands: Any) -> bool:
        """Obeys what has come in; False: no more will come."""
        text = commands.read(COMMAND_BYTES)
        for line in text.decode(errors="replace").splitlines():
            if not line.strip():
                continue
            answer = "ok"
            if line == "quit":
                self._running = False
            elif line == "unplug":
                self.unplug()
            elif line == "plug":
                answer = f"ok {self.plug()}"
            elif line.startswith("log "):
                answer = self._log(line)
            else:
                answer = obey(self._slaves, line)
            print(answer, flush=True)
        return bool(text)


# ---- from Python


class Running:
    """`fengsui-sim modbus` as a child process. `address` is what a site file's `open` has to be."""

    def __init__(self, *arguments: str) -> None:
        command_line = [sys.executable, "-m", "sim.modbus", "--stop-at-eof", *arguments]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command_line, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self.pid = self._process.pid
        self.address = self._answer().removeprefix("ready ")

    def command(self, text: str) -> str:
        """Gives one command line; its answer. Raises RuntimeError when it was refused or the process is gone."""
        if self._process.stdin is None:
            raise RuntimeError("the simulator has no input")
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if not answer.startswith("ok"):
            raise RuntimeError(answer)
        return answer.removeprefix("ok").strip()

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the Modbus simulator ended with code {self._process.wait()}")
        return line.strip()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(*arguments: str) -> Running:
    """Starts the simulator with the options of `fengsui-sim modbus`; ready when this returns."""
    return Running(*arguments)


# ---- from the command line


@click.command()
@click.argument("slave_file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--units", default="1", show_default=True, help="Without a slave file: units, such as 1-10 or 1,5,9.")
@click.option("--registers", default=100, show_default=True, help="Without a slave file: registers of each table.")
@click.option("--pty", "link", help="Serve on a pseudo-terminal with this name (default: its own /dev/pts name).")
@click.option("--tcp", help="Serve on this host:port instead (port 0: any free one).")
@click.option("--rtu", is_flag=True, help="On TCP: RTU frames, as a serial converter passes them.")
@click.option("--baud", default=9600, show_default=True, help="Adds the time on the wire; 0: none.")
@click.option("--bits", default=10, show_default=True, help="Bits of a character: 8N1 10, 8E1 11.")
@click.option("--echo", is_flag=True, help="The adapter gives the master's own bytes back (2-wire RS-485).")
@click.option("--fault", "faults", multiple=True, help="UNIT KIND [p=] [value=] [times=]; may be repeated.")
@click.option("--seed", default=1, show_default=True, help="Of all chance.")
@click.option("--stop-at-eof", is_flag=True, help="End when standard input ends.")
def command(
    slave_file: Path | None,
    units: str,
    registers: int,
    link: str | None,
    tcp: str | None,
    rtu: bool,
    baud: int,
    bits: int,
    echo: bool,
    faults: tuple[str, ...],
    seed: int,
    stop_at_eof: bool,
) -> None:
    """Modbus slaves on a pseudo-terminal or TCP port. Commands on standard input: see the file's head."""
    try:
        slaves = slaves_from_file(slave_file) if slave_file else plain_slaves(parse_units(units), registers)
    except (ValueError, KeyError, OSError) as error:
        raise click.UsageError(f"slaves: {error!r}; tables are {' '.join(TABLES)}") from error
    by_unit = {slave.unit: slave for slave in slaves}
    for fault in faults:
        answer = obey(by_unit, f"fault {fault}")
        if answer != "ok":
            raise click.UsageError(answer)
    where: str | tuple[str, int] = link or ""
    if tcp is not None:
        host, _, port = tcp.rpartition(":")
        where = (host or "127.0.0.1", int(port))
    server = Server(slaves, where, is_rtu=tcp is None or rtu, baud=baud, bits=bits, echo=echo, seed=seed)
    print(f"ready {server.address}", flush=True)
    with contextlib.suppress(KeyboardInterrupt), open(0, "rb", buffering=0, closefd=False) as commands:
        server.run(commands, stop_at_eof)


if __name__ == "__main__":
    command()
